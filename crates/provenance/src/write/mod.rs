//! Writes the implicit AIGC label of GB 45438-2025 (annex E) where the TC260 practice guides put it.
//!
//! | container | place |
//! | --- | --- |
//! | JPEG, PNG, WebP, GIF, TIFF | XMP property `AIGC` |
//! | MP3 | ID3v2 frame `TXXX` with the description `AIGC` |
//! | WAV | RIFF chunk `AIGC` |
//! | FLAC, Ogg Vorbis, Opus | Vorbis comment `AIGC` |
//! | MP4, M4A, MOV | `moov.udta.meta`: key `AIGC`, or a freeform item beside items of iTunes |
//! | PDF | Info dictionary, by an incremental update |
//! | DOCX, XLSX, PPTX | custom property `AIGC` |
//! | Markdown | YAML front matter |
//!
//! All other metadata and all content are kept byte for byte. A file never gets two labels: over an existing one nothing
//! is written unless [`Options::replace`] is set, and what was made is read again before it is returned.

mod audio;
mod document;
mod image;
mod mp4;
mod visible;
mod xmp;

use std::io::Write as _;
use std::path::Path;

use crate::container::Kind;
use crate::marks::aigc;
use crate::report::{Limits, Warning, WarningCode};
use crate::sink::Sink;
use crate::{Error, Result};

pub use visible::{mark_text, with_metadata};

/// CRC-32 of PNG (ISO 3309).
pub(crate) fn crc32(data: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(data);
    crc.sum()
}

/// What the label states (GB 45438-2025, annex E, field `Label`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LabelKind {
    /// 1: generated or synthesised by AI.
    Generated,
    /// 2: possibly; its user said so to the platform.
    Possible,
    /// 3: suspected; the platform found signs.
    Suspected,
}

/// A label (GB 45438-2025, annex E). Fields hold visible ASCII only and may be empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// What it states.
    pub kind: LabelKind,
    /// `ContentProducer`: name or code of the service that made the content.
    pub content_producer: String,
    /// `ProduceID`: the service's number of the content.
    pub produce_id: String,
    /// `ReservedCode1`: the producer's own integrity data.
    pub reserved_code1: String,
    /// `ContentPropagator`: name or code of the service that spreads the content.
    pub content_propagator: String,
    /// `PropagateID`: that service's number of the content.
    pub propagate_id: String,
    /// `ReservedCode2`: the propagator's own integrity data.
    pub reserved_code2: String,
}

impl Label {
    /// A label with a producer and its number, and nothing else.
    pub fn generated(content_producer: impl Into<String>, produce_id: impl Into<String>) -> Self {
        Self {
            kind: LabelKind::Generated,
            content_producer: content_producer.into(),
            produce_id: produce_id.into(),
            reserved_code1: String::new(),
            content_propagator: String::new(),
            propagate_id: String::new(),
            reserved_code2: String::new(),
        }
    }

    /// The fields in the order of the standard.
    fn fields(&self) -> [(&'static str, &str); 7] {
        let kind = match self.kind {
            LabelKind::Generated => "1",
            LabelKind::Possible => "2",
            LabelKind::Suspected => "3",
        };
        [
            ("Label", kind),
            ("ContentProducer", &self.content_producer),
            ("ProduceID", &self.produce_id),
            ("ReservedCode1", &self.reserved_code1),
            ("ContentPropagator", &self.content_propagator),
            ("PropagateID", &self.propagate_id),
            ("ReservedCode2", &self.reserved_code2),
        ]
    }

    /// The label as JSON, as it is written into a file.
    ///
    /// # Errors
    /// [`Error::Label`] for characters other than visible ASCII, for more than 1024 of them in a field, and for a label
    /// that names neither a producer nor a propagator.
    pub fn to_json(&self) -> Result<String> {
        let mut out = String::from("{");
        for (i, (key, value)) in self.fields().into_iter().enumerate() {
            if value.len() > 1024 {
                return Err(Error::Label("a field is longer than 1024 characters"));
            }
            if !value.bytes().all(|b| (0x20..0x7f).contains(&b)) {
                return Err(Error::Label("only visible ASCII characters are allowed"));
            }
            if i > 0 {
                out.push(',');
            }
            crate::json::quote(key, &mut out);
            out.push(':');
            crate::json::quote(value, &mut out);
        }
        if self.content_producer.is_empty() && self.content_propagator.is_empty() {
            return Err(Error::Label("it names neither a producer nor a propagator"));
        }
        out.push('}');
        Ok(out)
    }
}

/// How to write.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Options {
    /// Put the new label in the place of an existing one.
    pub replace: bool,
}

/// A file with its label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Labelled {
    /// The whole file.
    pub bytes: Vec<u8>,
    /// What its owner should know.
    pub warnings: Vec<Warning>,
}

/// Every label in a file, and whether it has Content Credentials.
fn survey(bytes: &[u8]) -> (Vec<aigc::Label>, bool, Kind) {
    let limits = Limits::default();
    let mut sink = Sink::new(&limits);
    let kind = Kind::of(bytes);
    kind.read(bytes, &mut sink);
    if kind == Kind::Text
        && let Some(text) = crate::container::page::decode(bytes)
    {
        crate::container::page::front_matter(&text, &mut sink);
    }
    let labels = aigc::find(&mut sink).into_iter().map(|(label, _)| label).collect();
    (labels, !sink.stores.is_empty(), kind)
}

/// The file with the labels in its EXIF texts overwritten with spaces, if it has any and no checksum covers them.
fn without_exif_labels(bytes: &[u8], kind: Kind) -> Option<Vec<u8>> {
    if !matches!(kind, Kind::Jpeg | Kind::WebP | Kind::Tiff) {
        return None;
    }
    let limits = Limits::default();
    let mut sink = Sink::new(&limits);
    kind.read(bytes, &mut sink);
    let mut out = None;
    for text in sink.texts.iter().filter(|t| t.space == crate::sink::Space::Exif && aigc::wrapped(&t.value)) {
        let Some(at) = text.location.offset.and_then(|o| usize::try_from(o).ok()) else { continue };
        // Eight bytes may name the encoding; anything but ASCII is left to be refused.
        let prefix = [0, 8]
            .into_iter()
            .find(|p| bytes.get(at + p..).is_some_and(|b| b.starts_with(text.value.as_bytes())));
        let Some(start) = prefix.map(|p| at + p) else { continue };
        let copy = out.get_or_insert_with(|| bytes.to_vec());
        if let Some(range) = copy.get_mut(start..start + text.value.len()) {
            range.fill(b' ');
        }
    }
    out
}

/// Adds a label to a file in memory.
///
/// # Errors
/// [`Error::Unsupported`], [`Error::AlreadyLabelled`], [`Error::Damaged`], [`Error::Label`] and [`Error::Refused`].
pub fn label(bytes: &[u8], label: &Label, options: Options) -> Result<Labelled> {
    let json = label.to_json()?;
    let (before, signed, kind) = survey(bytes);
    if !before.is_empty() && !options.replace {
        return Err(Error::AlreadyLabelled);
    }
    let blanked = if options.replace { without_exif_labels(bytes, kind) } else { None };
    let bytes = blanked.as_deref().unwrap_or(bytes);
    let out = match kind {
        Kind::Jpeg => image::jpeg(bytes, &json)?,
        Kind::Png => image::png(bytes, &json)?,
        Kind::WebP => image::webp(bytes, &json)?,
        Kind::Gif => image::gif(bytes, &json)?,
        Kind::Tiff => image::tiff(bytes, &json)?,
        Kind::Mp3 => audio::mp3(bytes, &json)?,
        Kind::Wav => audio::wav(bytes, &json)?,
        Kind::Flac => audio::flac(bytes, &json)?,
        Kind::Ogg => audio::ogg(bytes, &json)?,
        Kind::Bmff => mp4::write(bytes, &json)?,
        Kind::Pdf => document::pdf(bytes, &json)?,
        Kind::Zip => document::office(bytes, &json)?,
        Kind::Text => document::markdown(bytes, label)?,
        other => return Err(Error::Unsupported(other.name())),
    };
    // What a reader finds is what counts.
    let (after, ..) = survey(&out);
    let expected = aigc::parse(&json);
    match after.as_slice() {
        [one] if Some(one) == expected.as_ref() => {}
        [] => return Err(Error::Refused("the label could not be read back")),
        [_] => return Err(Error::Refused("another label than the new one would be found")),
        _ => return Err(Error::Refused("the file has a label in another place, which cannot be replaced")),
    }
    let mut warnings = Vec::new();
    if signed {
        warnings.push(Warning {
            code: WarningCode::Contradiction,
            message: "the file has Content Credentials; their signature no longer fits once the label is in"
                .to_owned(),
        });
    }
    Ok(Labelled { bytes: out, warnings })
}

/// Adds a label to a file on disk. The file is replaced in one step, or not at all, and keeps its permissions.
///
/// # Errors
/// As [`label`], and [`Error::Io`].
pub fn label_file(path: &Path, new: &Label, options: Options) -> Result<Vec<Warning>> {
    let bytes = std::fs::read(path).map_err(|source| Error::Io { path: path.to_owned(), source })?;
    let done = label(&bytes, new, options)?;
    replace(path, &done.bytes)?;
    Ok(done.warnings)
}

/// Puts other bytes in the place of a file's, in one step or not at all; its permissions stay, and a link is followed.
///
/// # Errors
/// [`Error::Io`].
pub fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let io = |source| Error::Io { path: path.to_owned(), source };
    // A link would be replaced by a file of its own otherwise.
    let real = std::fs::canonicalize(path).map_err(io)?;
    let permissions = std::fs::metadata(&real).map_err(io)?.permissions();
    let folder = real.parent().unwrap_or(Path::new("."));
    let mut temporary = tempfile::NamedTempFile::new_in(folder).map_err(io)?;
    temporary.write_all(bytes).map_err(io)?;
    temporary.as_file().set_permissions(permissions).map_err(io)?;
    temporary.as_file().sync_all().map_err(io)?;
    temporary.persist(&real).map_err(|e| io(e.error))?;
    // The new name is on disk once its folder is; not every system lets a folder be opened.
    if let Ok(folder) = std::fs::File::open(folder) {
        let _ = folder.sync_all();
    }
    Ok(())
}

#[cfg(test)]
mod tests;

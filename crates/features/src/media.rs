//! The types that decoding returns.

use std::ops::Range;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Limits on what one file may ask for.
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// Most pixels (width x height) that an image may claim.
    pub max_pixels: u64,
    /// Most bytes that an image decoder may allocate.
    pub max_image_alloc: u64,
    /// Seconds of audio that are decoded; the rest is left out with a warning.
    pub max_seconds: f64,
    /// Bytes of text that are read; the rest is left out with a warning.
    pub max_text_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_pixels: 100_000_000,
            max_image_alloc: 512 << 20,
            max_seconds: 600.0,
            max_text_bytes: 8 << 20,
        }
    }
}

/// The three kinds of media.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MediaKind {
    /// A still picture.
    Image,
    /// A recording.
    Audio,
    /// A text.
    Text,
}

impl std::fmt::Display for MediaKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Image => "image",
            Self::Audio => "audio",
            Self::Text => "text",
        })
    }
}

/// Something that a reader of the result should know about the decoding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Warning {
    /// Stable code.
    pub code: WarningCode,
    /// For people.
    pub message: String,
}

impl Warning {
    /// A warning with its text.
    pub fn new(code: WarningCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

/// Stable codes of warnings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum WarningCode {
    /// The file ends early or is damaged; what could be decoded was used.
    Truncated,
    /// Only the first part of a long file was used.
    LimitReached,
    /// Only the first frame or picture was used.
    FirstFrameOnly,
    /// Colours were converted without a colour profile.
    ColourConverted,
    /// Samples were not finite or outside their range and were mended.
    BadSamples,
    /// The text's encoding is a guess.
    EncodingGuessed,
    /// The text's language is not covered by the detector.
    LanguageNotCovered,
    /// Hidden or look-alike characters were found and folded.
    HiddenCharacters,
    /// The file name's extension does not fit the content.
    ExtensionMismatch,
}

/// Decoded media.
#[derive(Debug, Clone)]
pub enum Media {
    /// A picture.
    Image(Pixels),
    /// A recording.
    Audio(Waveform),
    /// A text.
    Text(Document),
}

impl Media {
    /// Which kind this is.
    pub fn kind(&self) -> MediaKind {
        match self {
            Self::Image(_) => MediaKind::Image,
            Self::Audio(_) => MediaKind::Audio,
            Self::Text(_) => MediaKind::Text,
        }
    }

    /// Warnings from decoding.
    pub fn warnings(&self) -> &[Warning] {
        match self {
            Self::Image(m) => &m.warnings,
            Self::Audio(m) => &m.warnings,
            Self::Text(m) => &m.warnings,
        }
    }
}

/// An 8-bit RGB picture with its orientation applied.
#[derive(Debug, Clone)]
pub struct Pixels {
    /// Width in pixels, at least 1.
    pub width: usize,
    /// Height in pixels, at least 1.
    pub height: usize,
    /// `height * width * 3` bytes, row by row, RGB interleaved.
    pub rgb: Vec<u8>,
    /// Format of the file, for instance `jpeg`.
    pub format: &'static str,
    /// The luminance quantisation table in zigzag order, if the file was a JPEG.
    pub jpeg_luma_table: Option<[u16; 64]>,
    /// What the decoder noticed.
    pub warnings: Vec<Warning>,
}

impl Pixels {
    /// A picture from interleaved RGB bytes.
    ///
    /// Returns `None` if `rgb` does not hold `width * height * 3` bytes or a side is zero.
    pub fn from_rgb(width: usize, height: usize, rgb: Vec<u8>) -> Option<Self> {
        let len = width.checked_mul(height)?.checked_mul(3)?;
        (len > 0 && rgb.len() == len).then_some(Self {
            width,
            height,
            rgb,
            format: "rgb",
            jpeg_luma_table: None,
            warnings: Vec::new(),
        })
    }
}

/// A mono recording at [`Waveform::RATE`].
#[derive(Debug, Clone)]
pub struct Waveform {
    /// Samples, nominally in [-1, 1].
    pub samples: Vec<f32>,
    /// Sample rate of the file in Hz.
    pub source_rate: u32,
    /// Channels of the file.
    pub source_channels: u16,
    /// Container and codec, for instance `wav/pcm_s16le`.
    pub format: String,
    /// What the decoder noticed.
    pub warnings: Vec<Warning>,
}

impl Waveform {
    /// Sample rate of every [`Waveform`] in Hz.
    pub const RATE: u32 = 16_000;

    /// Length in seconds.
    pub fn seconds(&self) -> f64 {
        self.samples.len() as f64 / f64::from(Self::RATE)
    }
}

/// What kind of document a text came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DocumentKind {
    /// Plain text.
    Plain,
    /// Markdown.
    Markdown,
    /// HTML with its boilerplate stripped.
    Html,
    /// Word document. Of this and what follows, offsets are those of the text that was taken out, in UTF-8.
    Docx,
    /// Presentation.
    Pptx,
    /// OpenDocument.
    OpenDocument,
    /// EPUB.
    Epub,
    /// PDF.
    Pdf,
    /// Rich Text Format.
    Rtf,
    /// E-mail without what it quotes or forwards.
    Mail,
}

/// A text in NFC Unicode with a map to the bytes of its source.
#[derive(Debug, Clone)]
pub struct Document {
    /// The readable text in NFC, markup stripped, otherwise as written (case, punctuation, odd characters kept).
    pub text: String,
    /// From bytes of `text` to bytes of the file.
    pub map: OffsetMap,
    /// Encoding label after the WHATWG standard, for instance `UTF-8` or `GB18030`.
    pub encoding: &'static str,
    /// What the text came from.
    pub kind: DocumentKind,
    /// The markup of the source, counted before it was stripped.
    pub markup: Markup,
    /// What the decoder noticed.
    pub warnings: Vec<Warning>,
}

/// Counts of markup in the source of a text. Plain text is counted by the rules of Markdown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Markup {
    /// Headings.
    pub headings: u32,
    /// Items of bulleted lists.
    pub bullets: u32,
    /// Items of numbered lists.
    pub numbered: u32,
    /// Spans in bold type.
    pub bold: u32,
    /// Links, images left out.
    pub links: u32,
    /// Fenced or preformatted blocks of code.
    pub code_blocks: u32,
    /// Tables.
    pub tables: u32,
}

/// Maps byte offsets of a decoded text to byte offsets of its source.
///
/// A sorted list of anchors: the source offset of a text offset is that of the last anchor at or before it, plus the
/// distance when the run is one-to-one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OffsetMap {
    /// `(text offset, source offset, one_to_one)`, sorted by text offset.
    anchors: Vec<(u32, u32, bool)>,
    /// Length of the source in bytes.
    source_len: u32,
}

impl OffsetMap {
    /// The map of a text that is its own source.
    pub fn identity(len: usize) -> Self {
        Self { anchors: vec![(0, 0, true)], source_len: u32::try_from(len).unwrap_or(u32::MAX) }
    }

    /// An empty map onto a source of `source_len` bytes; fill it with [`OffsetMap::push`].
    pub fn new(source_len: usize) -> Self {
        Self { anchors: Vec::new(), source_len: u32::try_from(source_len).unwrap_or(u32::MAX) }
    }

    /// Says that the text from byte `text` on comes from the source's byte `source` on; `one_to_one` if the bytes
    /// advance together until the next anchor. Anchors must come in the order of `text`.
    pub fn push(&mut self, text: usize, source: usize, one_to_one: bool) {
        let anchor =
            (u32::try_from(text).unwrap_or(u32::MAX), u32::try_from(source).unwrap_or(u32::MAX), one_to_one);
        if let Some(&(t, s, o)) = self.anchors.last() {
            let continues = one_to_one && o && anchor.0 >= t && anchor.1.checked_sub(s) == Some(anchor.0 - t);
            if continues {
                return;
            }
            if t == anchor.0 {
                self.anchors.pop();
            }
        }
        self.anchors.push(anchor);
    }

    /// The map of a text made from a middle text (`self`) that was itself made from a source (`inner`).
    pub(crate) fn through(&self, inner: &Self) -> Self {
        let mut out = Self { anchors: Vec::with_capacity(self.anchors.len()), source_len: inner.source_len };
        for (i, &(text, middle, one_to_one)) in self.anchors.iter().enumerate() {
            let end = self.anchors.get(i + 1).map_or(u32::MAX, |next| next.0);
            let k = inner.anchors.partition_point(|a| a.0 <= middle);
            let copied = k.checked_sub(1).and_then(|k| inner.anchors.get(k)).is_none_or(|a| a.2);
            out.push(text as usize, inner.source(middle as usize), one_to_one && copied);
            if !one_to_one {
                continue;
            }
            for &(m, source, copied) in inner.anchors.get(k..).unwrap_or_default() {
                let at = text.saturating_add(m - middle);
                if at >= end {
                    break;
                }
                out.push(at as usize, source as usize, copied);
            }
        }
        out
    }

    /// Source offset of a text offset.
    pub fn source(&self, text: usize) -> usize {
        let text = u32::try_from(text).unwrap_or(u32::MAX);
        let i = self.anchors.partition_point(|a| a.0 <= text);
        let Some(&(t, s, one_to_one)) = i.checked_sub(1).and_then(|i| self.anchors.get(i)) else { return 0 };
        let next = self.anchors.get(i).map_or(self.source_len, |a| a.1);
        let at = if one_to_one { s.saturating_add(text - t) } else { s };
        at.min(next.max(s)).min(self.source_len) as usize
    }

    /// Source range of a text range; never empty for a range that is not.
    pub fn source_range(&self, text: Range<usize>) -> Range<usize> {
        let start = self.source(text.start);
        let i = self.anchors.partition_point(|a| (a.0 as usize) < text.end);
        let end = match i.checked_sub(1).and_then(|i| self.anchors.get(i)) {
            Some(&(t, s, true)) => s as usize + (text.end - t as usize),
            Some(_) => self.anchors.get(i).map_or(self.source_len, |a| a.1) as usize,
            None => start,
        };
        start..end.min(self.source_len as usize).max(start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_follow_one_to_one_runs_and_jumps() {
        // source "a<b>cd", text "acd"
        let mut map = OffsetMap::new(6);
        map.push(0, 0, true);
        map.push(1, 4, true);
        map.push(2, 5, true);
        assert_eq!(map.anchors.len(), 2);
        assert_eq!((map.source(0), map.source(1), map.source(2)), (0, 4, 5));
        assert_eq!(map.source_range(1..3), 4..6);
        assert_eq!(map.source_range(0..1), 0..1);
    }

    #[test]
    fn maps_compose() {
        // source "xx<b>cd", middle "xxcd" without the tag, text "xYcd" with one letter replaced
        let mut inner = OffsetMap::new(7);
        inner.push(0, 0, true);
        inner.push(2, 5, true);
        let mut outer = OffsetMap::new(4);
        outer.push(0, 0, true);
        outer.push(1, 1, false);
        outer.push(2, 2, true);
        let map = outer.through(&inner);
        assert_eq!([0, 1, 2, 3].map(|at| map.source(at)), [0, 1, 5, 6]);
        assert_eq!(map.source_range(2..4), 5..7);
        assert_eq!(OffsetMap::identity(4).through(&inner), inner);
    }

    #[test]
    fn pixels_refuse_wrong_lengths() {
        assert!(Pixels::from_rgb(2, 2, vec![0; 12]).is_some());
        assert!(Pixels::from_rgb(2, 2, vec![0; 11]).is_none());
        assert!(Pixels::from_rgb(0, 2, vec![]).is_none());
    }
}

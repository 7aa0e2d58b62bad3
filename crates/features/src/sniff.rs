//! Finds the kind of a file from its content.
//!
//! Names and extensions are never looked at. Binary formats are known by their signatures; formats whose signature is
//! short (BMP, MP3, ADTS) are checked further so that a text that begins with the same letters stays a text. What has
//! no signature is a text if its bytes look like one.

use crate::{Error, Result, text::is_mail};

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// A picture.
    Image(ImageFormat),
    /// A recording, or a video whose audio track is read.
    Audio(AudioFormat),
    /// A text.
    Text(TextFormat),
}

/// Picture formats that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ImageFormat {
    /// JPEG
    Jpeg,
    /// PNG
    Png,
    /// WebP
    WebP,
    /// GIF, first frame
    Gif,
    /// TIFF, first picture
    Tiff,
    /// BMP
    Bmp,
}

/// Audio containers; the codec is found by the decoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum AudioFormat {
    /// RIFF WAVE, RF64 and BW64
    Wav,
    /// AIFF and AIFF-C
    Aiff,
    /// Apple Core Audio
    Caf,
    /// FLAC
    Flac,
    /// Ogg: Vorbis, FLAC, Opus, Speex
    Ogg,
    /// MPEG-1/2 audio, layers I to III
    Mp3,
    /// AAC in ADTS frames
    Aac,
    /// MP4, M4A, MOV and 3GP
    Mp4,
    /// Matroska and `WebM`
    Matroska,
}

/// Text formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TextFormat {
    /// Plain text or Markdown
    Plain,
    /// HTML
    Html,
    /// Word document
    Docx,
    /// Presentation
    Pptx,
    /// OpenDocument text, presentation or drawing
    OpenDocument,
    /// EPUB
    Epub,
    /// PDF
    Pdf,
    /// Rich Text Format
    Rtf,
    /// E-mail
    Mail,
}

impl Format {
    /// Short lower-case name, for instance `jpeg`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Image(f) => f.name(),
            Self::Audio(f) => f.name(),
            Self::Text(TextFormat::Plain) => "text",
            Self::Text(TextFormat::Html) => "html",
            Self::Text(TextFormat::Docx) => "docx",
            Self::Text(TextFormat::Pptx) => "pptx",
            Self::Text(TextFormat::OpenDocument) => "opendocument",
            Self::Text(TextFormat::Epub) => "epub",
            Self::Text(TextFormat::Pdf) => "pdf",
            Self::Text(TextFormat::Rtf) => "rtf",
            Self::Text(TextFormat::Mail) => "mail",
        }
    }

    /// Usual extensions in lower case, without the dot. Plain text has too many to list: the slice is empty.
    pub fn extensions(self) -> &'static [&'static str] {
        match self {
            Self::Image(f) => f.extensions(),
            Self::Audio(f) => f.extensions(),
            Self::Text(TextFormat::Plain) => &[],
            Self::Text(TextFormat::Html) => &["html", "htm", "xhtml"],
            Self::Text(TextFormat::Docx) => &["docx", "docm", "dotx"],
            Self::Text(TextFormat::Pptx) => &["pptx", "pptm", "ppsx"],
            Self::Text(TextFormat::OpenDocument) => &["odt", "odp", "odg", "ott"],
            Self::Text(TextFormat::Epub) => &["epub"],
            Self::Text(TextFormat::Pdf) => &["pdf"],
            Self::Text(TextFormat::Rtf) => &["rtf", "doc"],
            Self::Text(TextFormat::Mail) => &["eml"],
        }
    }

    /// Whether a file of this format may be called `*.extension`, whatever its case.
    ///
    /// A text may be called anything but what a picture or a recording is called.
    pub fn fits_extension(self, extension: &str) -> bool {
        let listed = |f: Format| f.extensions().iter().any(|e| e.eq_ignore_ascii_case(extension));
        match self {
            Self::Text(TextFormat::Plain | TextFormat::Html | TextFormat::Mail) => {
                !ImageFormat::ALL.iter().any(|&f| listed(Self::Image(f)))
                    && !AudioFormat::ALL.iter().any(|&f| listed(Self::Audio(f)))
            }
            _ => listed(self),
        }
    }
}

impl ImageFormat {
    /// Every format.
    pub const ALL: [Self; 6] = [Self::Jpeg, Self::Png, Self::WebP, Self::Gif, Self::Tiff, Self::Bmp];

    /// Short lower-case name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Jpeg => "jpeg",
            Self::Png => "png",
            Self::WebP => "webp",
            Self::Gif => "gif",
            Self::Tiff => "tiff",
            Self::Bmp => "bmp",
        }
    }

    /// Usual extensions in lower case, without the dot.
    pub fn extensions(self) -> &'static [&'static str] {
        match self {
            Self::Jpeg => &["jpg", "jpeg", "jpe", "jfif", "jif"],
            Self::Png => &["png", "apng"],
            Self::WebP => &["webp"],
            Self::Gif => &["gif"],
            Self::Tiff => &["tif", "tiff"],
            Self::Bmp => &["bmp", "dib"],
        }
    }
}

impl AudioFormat {
    /// Every format.
    pub const ALL: [Self; 9] = [
        Self::Wav,
        Self::Aiff,
        Self::Caf,
        Self::Flac,
        Self::Ogg,
        Self::Mp3,
        Self::Aac,
        Self::Mp4,
        Self::Matroska,
    ];

    /// Short lower-case name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Wav => "wav",
            Self::Aiff => "aiff",
            Self::Caf => "caf",
            Self::Flac => "flac",
            Self::Ogg => "ogg",
            Self::Mp3 => "mp3",
            Self::Aac => "aac",
            Self::Mp4 => "mp4",
            Self::Matroska => "matroska",
        }
    }

    /// Usual extensions in lower case, without the dot.
    pub fn extensions(self) -> &'static [&'static str] {
        match self {
            Self::Wav => &["wav", "wave", "rf64", "bwf"],
            Self::Aiff => &["aif", "aiff", "aifc"],
            Self::Caf => &["caf"],
            Self::Flac => &["flac"],
            Self::Ogg => &["ogg", "oga", "ogv", "opus", "spx"],
            Self::Mp3 => &["mp3", "mp2", "mp1", "mpga"],
            Self::Aac => &["aac", "adts"],
            Self::Mp4 => &["mp4", "m4a", "m4b", "m4v", "mov", "3gp", "3g2", "qt"],
            Self::Matroska => &["mkv", "mka", "webm"],
        }
    }
}

/// Finds the format from the first bytes (and, for text, from a sample of the content).
///
/// # Errors
/// [`Error::Empty`], [`Error::Unsupported`] for a known format that is not read, with what to do about it, and
/// [`Error::UnknownKind`] for everything else.
pub fn sniff(bytes: &[u8]) -> Result<Format> {
    if bytes.is_empty() {
        return Err(Error::Empty);
    }
    if let Some(format) = image(bytes) {
        return Ok(Format::Image(format));
    }
    if let Some(format) = audio(bytes) {
        return Ok(Format::Audio(format));
    }
    if let Some(format) = document(bytes) {
        return Ok(Format::Text(format));
    }
    if let Some((format, remedy)) = unsupported(bytes) {
        return Err(Error::Unsupported { format, remedy });
    }
    text(bytes)
}

fn at(bytes: &[u8], offset: usize, magic: &[u8]) -> bool {
    bytes.get(offset..).is_some_and(|rest| rest.starts_with(magic))
}

fn byte(bytes: &[u8], offset: usize) -> u8 {
    bytes.get(offset).copied().unwrap_or(0)
}

fn head(bytes: &[u8], len: usize) -> &[u8] {
    bytes.get(..len).unwrap_or(bytes)
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|w| w == needle)
}

fn image(b: &[u8]) -> Option<ImageFormat> {
    if b.starts_with(&[0xff, 0xd8, 0xff]) {
        return Some(ImageFormat::Jpeg);
    }
    if b.starts_with(b"\x89PNG\r\n\x1a\n") {
        return Some(ImageFormat::Png);
    }
    if b.starts_with(b"RIFF") && at(b, 8, b"WEBP") {
        return Some(ImageFormat::WebP);
    }
    if b.starts_with(b"GIF87a") || b.starts_with(b"GIF89a") {
        return Some(ImageFormat::Gif);
    }
    let tiff = [&b"II*\0"[..], b"MM\0*", b"II+\0", b"MM\0+"].iter().any(|m| b.starts_with(m));
    if tiff && !at(b, 8, b"CR") {
        return Some(ImageFormat::Tiff);
    }
    // "BM" begins many a text; the length of the second header is what tells.
    let second_header = b.get(14..18).map_or(0, |s| u32::from_le_bytes([s[0], s[1], s[2], s[3]]));
    if b.starts_with(b"BM") && matches!(second_header, 12 | 16 | 40 | 52 | 56 | 64 | 108 | 124) {
        return Some(ImageFormat::Bmp);
    }
    None
}

fn audio(b: &[u8]) -> Option<AudioFormat> {
    let riff = b.starts_with(b"RIFF") || b.starts_with(b"RF64") || b.starts_with(b"BW64");
    if riff && at(b, 8, b"WAVE") {
        return Some(AudioFormat::Wav);
    }
    if b.starts_with(b"FORM") && (at(b, 8, b"AIFF") || at(b, 8, b"AIFC")) {
        return Some(AudioFormat::Aiff);
    }
    if b.starts_with(b"caff\0\x01") {
        return Some(AudioFormat::Caf);
    }
    if b.starts_with(b"fLaC") {
        return Some(AudioFormat::Flac);
    }
    if b.starts_with(b"OggS\0") {
        return Some(AudioFormat::Ogg);
    }
    if b.starts_with(&[0x1a, 0x45, 0xdf, 0xa3]) {
        return Some(AudioFormat::Matroska);
    }
    if at(b, 4, b"ftyp") {
        return still_brand(b).is_none().then_some(AudioFormat::Mp4);
    }
    // Old QuickTime files have no `ftyp`.
    if at(b, 4, b"moov") || at(b, 4, b"mdat") || (at(b, 4, b"wide") && at(b, 12, b"mdat")) {
        return Some(AudioFormat::Mp4);
    }
    if b.starts_with(b"ID3") {
        let size = b.get(6..10)?.iter().fold(0, |n, &s| (n << 7) | usize::from(s & 0x7f));
        let footer = if byte(b, 5) & 0x10 == 0 { 0 } else { 10 };
        let rest = b.get(10 + size + footer..).unwrap_or(&[]);
        return Some(match rest {
            r if r.starts_with(b"fLaC") => AudioFormat::Flac,
            r if adts(r) => AudioFormat::Aac,
            _ => AudioFormat::Mp3,
        });
    }
    if mpeg(b) {
        return Some(AudioFormat::Mp3);
    }
    adts(b).then_some(AudioFormat::Aac)
}

/// Two frames of MPEG audio in a row that agree in version, layer and sample rate.
fn mpeg(b: &[u8]) -> bool {
    let Some(len) = mpeg_frame(b) else { return false };
    match b.get(len..) {
        Some([]) => true,
        Some(next) => {
            mpeg_frame(next).is_some()
                && byte(next, 1) & 0xfe == byte(b, 1) & 0xfe
                && byte(next, 2) & 0x0c == byte(b, 2) & 0x0c
        }
        None => false,
    }
}

/// Length of the MPEG audio frame at the start of `b` in bytes (ISO 11172-3, 2.4.1.3 and 2.4.2.3).
fn mpeg_frame(b: &[u8]) -> Option<usize> {
    const LAYER1: [usize; 14] = [32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448];
    const LAYER2: [usize; 14] = [32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384];
    const LAYER3: [usize; 14] = [32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320];
    const LSF1: [usize; 14] = [32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256];
    const LSF23: [usize; 14] = [8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160];
    let &[first, second, third, ..] = b else { return None };
    if first != 0xff || second & 0xe0 != 0xe0 {
        return None;
    }
    let (version, layer) = ((second >> 3) & 3, (second >> 1) & 3);
    let mpeg1 = version == 3;
    let rates = match (layer, mpeg1) {
        (3, true) => LAYER1,
        (2, true) => LAYER2,
        (1, true) => LAYER3,
        (3, false) => LSF1,
        (1 | 2, false) => LSF23,
        _ => return None,
    };
    let kbps = rates.get(usize::from(third >> 4).checked_sub(1)?)?;
    let base = match (third >> 2) & 3 {
        0 => 44_100,
        1 => 48_000,
        2 => 32_000,
        _ => return None,
    };
    let hz = match version {
        3 => base,
        2 => base / 2,
        0 => base / 4,
        _ => return None,
    };
    let padding = usize::from((third >> 1) & 1);
    Some(match layer {
        3 => (12_000 * kbps / hz + padding) * 4,
        1 if !mpeg1 => 72_000 * kbps / hz + padding,
        _ => 144_000 * kbps / hz + padding,
    })
}

/// Two ADTS frames in a row.
fn adts(b: &[u8]) -> bool {
    let frame = |b: &[u8]| {
        let &[0xff, sync, rate, high, middle, low, ..] = b else { return None };
        let len = (usize::from(high & 3) << 11) | (usize::from(middle) << 3) | usize::from(low >> 5);
        (sync & 0xf6 == 0xf0 && (rate >> 2) & 15 < 13 && len > 7).then_some(len)
    };
    match frame(b).map(|len| b.get(len..)) {
        Some(Some([])) => true,
        Some(Some(next)) => frame(next).is_some(),
        _ => false,
    }
}

/// The still-picture format that the brands of an `ftyp` box stand for.
fn still_brand(b: &[u8]) -> Option<&'static str> {
    let size = b.get(..4).map_or(0, |s| u32::from_be_bytes([s[0], s[1], s[2], s[3]])) as usize;
    let brands = b.get(8..size.clamp(8, 256).min(b.len()))?;
    let has = |wanted: &[&[u8]]| brands.chunks_exact(4).any(|brand| wanted.contains(&brand));
    match brands.first_chunk::<4>()? {
        b"avif" | b"avis" => Some("AVIF"),
        b"heic" | b"heix" | b"heim" | b"heis" | b"hevc" | b"hevx" => Some("HEIC"),
        b"mif1" | b"msf1" | b"miaf" if has(&[b"avif", b"avis"]) => Some("AVIF"),
        b"mif1" | b"msf1" | b"miaf" => Some("HEIF"),
        b"crx " => Some("camera raw (CR3)"),
        _ => None,
    }
}

const TO_PNG: &str = "convert it to PNG first, without scaling it";
const TO_FLAC: &str = "convert it to WAV or FLAC first";
const EXTRACT: &str = "extract the files first";
const COPY_TEXT: &str = "save its text as a .txt or .html file first";
const NO_MEDIA: &str = "only images, audio and text are analysed";

/// Signatures of formats that are known but not read: offset, signature, name, remedy.
#[rustfmt::skip]
const SIGNATURES: &[(usize, &[u8], &str, &str)] = &[
    (0, b"\xff\x0a", "JPEG XL", TO_PNG),
    (0, b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL", TO_PNG),
    (0, b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000", TO_PNG),
    (0, b"\xff\x4f\xff\x51", "JPEG 2000", TO_PNG),
    (0, b"8BPS", "Photoshop (PSD)", "export it as PNG first, without scaling it"),
    (0, b"gimp xcf", "GIMP (XCF)", "export it as PNG first, without scaling it"),
    (0, b"II*\0\x10\0\0\0CR", "camera raw (CR2)", "develop it to PNG or TIFF first"),
    (0, b"IIRO", "camera raw (ORF)", "develop it to PNG or TIFF first"),
    (0, b"IIU\0", "camera raw (RW2)", "develop it to PNG or TIFF first"),
    (0, b"FUJIFILMCCD-RAW", "camera raw (RAF)", "develop it to PNG or TIFF first"),
    (0, b"\0\0\x01\0", "icon (ICO)", TO_PNG),
    (0, b"\x76\x2f\x31\x01", "OpenEXR", TO_PNG),
    (0, b"#?RADIANCE", "Radiance HDR", TO_PNG),
    (0, b"DDS ", "DDS", TO_PNG),
    (0, b"qoif", "QOI", TO_PNG),
    (0, b"farbfeld", "farbfeld", TO_PNG),
    (8, b"AVI ", "AVI video", "extract its audio track to WAV or FLAC, or a frame to PNG"),
    (0, b"\0\0\x01\xba", "MPEG video", "extract its audio track to WAV or FLAC, or a frame to PNG"),
    (0, b"\0\0\x01\xb3", "MPEG video", "extract its audio track to WAV or FLAC, or a frame to PNG"),
    (0, b"FLV\x01", "Flash video", "extract its audio track to WAV or FLAC, or a frame to PNG"),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "Windows Media (ASF)", TO_FLAC),
    (0, b"#!AMR", "AMR", TO_FLAC),
    (0, b"MAC ", "Monkey's Audio", TO_FLAC),
    (0, b"wvpk", "WavPack", TO_FLAC),
    (0, b"DSD ", "DSD", TO_FLAC),
    (0, b".snd", "Sun audio (AU)", TO_FLAC),
    (0, b"MThd", "MIDI", "render it to WAV first"),
    (0, b"%!PS", "PostScript", COPY_TEXT),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "old Microsoft Office document", COPY_TEXT),
    (0, b"PK\x05\x06", "empty ZIP archive", EXTRACT),
    (0, b"PK\x07\x08", "ZIP archive", EXTRACT),
    (0, b"\x1f\x8b", "gzip archive", EXTRACT),
    (0, b"BZh", "bzip2 archive", EXTRACT),
    (0, b"\xfd7zXZ\0", "xz archive", EXTRACT),
    (0, b"\x28\xb5\x2f\xfd", "zstd archive", EXTRACT),
    (0, b"\x04\x22\x4d\x18", "LZ4 archive", EXTRACT),
    (0, b"7z\xbc\xaf\x27\x1c", "7z archive", EXTRACT),
    (0, b"Rar!\x1a\x07", "RAR archive", EXTRACT),
    (0, b"MSCF\0\0\0\0", "cabinet archive", EXTRACT),
    (257, b"ustar", "tar archive", EXTRACT),
    (0, b"\x7fELF", "ELF program", NO_MEDIA),
    (0, b"\xfe\xed\xfa\xce", "Mach-O program", NO_MEDIA),
    (0, b"\xfe\xed\xfa\xcf", "Mach-O program", NO_MEDIA),
    (0, b"\xce\xfa\xed\xfe", "Mach-O program", NO_MEDIA),
    (0, b"\xcf\xfa\xed\xfe", "Mach-O program", NO_MEDIA),
    (0, b"\xca\xfe\xba\xbe", "Java class or Mach-O program", NO_MEDIA),
    (0, b"\0asm", "WebAssembly module", NO_MEDIA),
    (0, b"SQLite format 3\0", "SQLite database", NO_MEDIA),
    (0, b"\x89HDF\r\n\x1a\n", "HDF5 file", NO_MEDIA),
    (0, b"\x93NUMPY", "NumPy array", NO_MEDIA),
    (0, b"PAR1", "Parquet table", NO_MEDIA),
    (0, b"ttcf\0", "font", NO_MEDIA),
    (0, b"OTTO\0", "font", NO_MEDIA),
    (0, b"\0\x01\0\0\0", "font", NO_MEDIA),
    (0, b"wOFF", "font", NO_MEDIA),
    (0, b"wOF2", "font", NO_MEDIA),
];

fn unsupported(b: &[u8]) -> Option<(&'static str, &'static str)> {
    if at(b, 4, b"ftyp") {
        return still_brand(b).map(|name| (name, TO_PNG));
    }
    // A text may begin with "MAC " or "DDS " too: letters alone do for a signature only if binary data follows.
    let binary = head(b, 512).iter().any(|&c| c < 7);
    let found = SIGNATURES.iter().find(|(offset, magic, ..)| {
        let letters = magic.iter().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'.' | b' '));
        at(b, *offset, magic) && (binary || !letters)
    });
    if let Some(&(.., name, remedy)) = found {
        return Some((name, remedy));
    }
    if b.starts_with(b"PK\x03\x04") {
        return Some(zip(b));
    }
    let new_header = b.get(60..64).map_or(0, |s| u32::from_le_bytes([s[0], s[1], s[2], s[3]])) as usize;
    if b.starts_with(b"MZ") && at(b, new_header, b"PE\0\0") {
        return Some(("Windows program", NO_MEDIA));
    }
    // Binary netpbm: "P6 640 480 255" and then bytes.
    if let [b'P', b'4'..=b'7', b' ' | b'\n' | b'\r' | b'\t', next, ..] = b
        && (next.is_ascii_digit() || *next == b'#' || at(b, 3, b"WIDTH"))
    {
        return Some(("netpbm picture", TO_PNG));
    }
    let start = head(trim(b), 2048);
    let svg = starts_with_tag(start, b"svg")
        || ((starts_ignoring_case(start, b"<?xml") || starts_ignoring_case(start, b"<!--"))
            && contains(start, b"<svg"))
        || starts_ignoring_case(start, b"<!doctype svg");
    svg.then_some(("SVG", "it is a drawing, not a photograph; render it to PNG if it holds one"))
}

/// Documents whose bytes are not their text.
fn document(b: &[u8]) -> Option<TextFormat> {
    // The PDF standard allows rubbish before the signature, but a text about PDF is not a PDF.
    if b.starts_with(b"%PDF-") || (contains(head(b, 1024), b"%PDF-1.") && contains(head(b, 1024), b" obj")) {
        return Some(TextFormat::Pdf);
    }
    if b.starts_with(b"{\\rtf") {
        return Some(TextFormat::Rtf);
    }
    if !b.starts_with(b"PK\x03\x04") {
        return None;
    }
    // Names of members stand before each and, all of them, in the directory at the end.
    let (start, end) = (head(b, 4096), b.get(b.len().saturating_sub(WINDOW)..).unwrap_or(b));
    let has = |needle: &[u8]| contains(start, needle) || contains(end, needle);
    let typed = |kind: &[u8]| contains(start, &[b"mimetypeapplication/", kind].concat());
    if typed(b"epub+zip") {
        Some(TextFormat::Epub)
    } else if typed(b"vnd.oasis.opendocument.text")
        || typed(b"vnd.oasis.opendocument.presentation")
        || typed(b"vnd.oasis.opendocument.graphics")
    {
        Some(TextFormat::OpenDocument)
    } else if has(b"word/document.xml") {
        Some(TextFormat::Docx)
    } else if has(b"ppt/slides/slide") {
        Some(TextFormat::Pptx)
    } else {
        None
    }
}

/// What another ZIP archive holds, from the names of its first members.
fn zip(b: &[u8]) -> (&'static str, &'static str) {
    let start = head(b, 4096);
    let has = |needle: &[u8]| contains(start, needle);
    if has(b"mimetypeapplication/vnd.oasis.opendocument") {
        ("OpenDocument table", COPY_TEXT)
    } else if has(b"[Content_Types].xml") || has(b"xl/") || has(b"docProps/") {
        ("Microsoft Office table (XLSX)", COPY_TEXT)
    } else {
        ("ZIP archive", EXTRACT)
    }
}

/// Bytes of a text that are looked at, in each of three places.
const WINDOW: usize = 64 << 10;

fn text(bytes: &[u8]) -> Result<Format> {
    if bytes.starts_with(&[0xff, 0xfe, 0, 0]) || bytes.starts_with(&[0, 0, 0xfe, 0xff]) {
        return Err(Error::Unsupported { format: "UTF-32 text", remedy: "save it as UTF-8 first" });
    }
    let wide_bom = bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]);
    let ok = if wide_bom || utf16_without_bom(head(bytes, WINDOW)) {
        looks_like_utf16(head(bytes, WINDOW))
    } else {
        windows(bytes).all(few_controls) && plausible_encoding(head(bytes, WINDOW))
    };
    if !ok {
        return Err(Error::UnknownKind);
    }
    Ok(Format::Text(if html(bytes) {
        TextFormat::Html
    } else if is_mail(head(bytes, WINDOW)) {
        TextFormat::Mail
    } else {
        TextFormat::Plain
    }))
}

/// The start, the middle and the end of a text; a short one in one piece.
fn windows(b: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (starts, len) =
        if b.len() <= 3 * WINDOW { ([0; 3], b.len()) } else { ([0, b.len() / 2, b.len() - WINDOW], WINDOW) };
    starts.into_iter().filter_map(move |start| b.get(start..start + len))
}

/// Whether the zero bytes of `b` lie where those of UTF-16 with mostly Western letters do.
fn utf16_without_bom(b: &[u8]) -> bool {
    let pairs = b.len() / 2;
    let zeros = |side: usize| b.chunks_exact(2).filter(|p| p.get(side) == Some(&0)).count();
    let (even, odd) = (zeros(0), zeros(1));
    let (few, many) = (even.min(odd), even.max(odd));
    pairs >= 2 && many * 10 >= pairs * 3 && few * 50 <= pairs
}

fn looks_like_utf16(b: &[u8]) -> bool {
    let little = if b.starts_with(&[0xff, 0xfe]) {
        true
    } else if b.starts_with(&[0xfe, 0xff]) {
        false
    } else {
        let zeros = |side: usize| b.chunks_exact(2).filter(|p| p.get(side) == Some(&0)).count();
        zeros(1) > zeros(0)
    };
    let units = b.chunks_exact(2).map(|p| match (p, little) {
        (&[low, high], true) | (&[high, low], false) => u16::from_be_bytes([high, low]),
        _ => 0,
    });
    let (mut total, mut bad) = (0_usize, 0_usize);
    for c in char::decode_utf16(units) {
        total += 1;
        let wrong = c.map_or(true, |c| c.is_control() && !matches!(c, '\t' | '\n' | '\r' | '\x0c'));
        bad += usize::from(wrong);
    }
    // A pair that the window cuts is no fault.
    bad.saturating_sub(1) * 50 <= total
}

/// At most one byte in a hundred is a control character that texts do not hold, and one in a thousand a zero.
fn few_controls(b: &[u8]) -> bool {
    let zeros: usize = b.iter().map(|&c| usize::from(c == 0)).sum();
    let odd = |c: u8| (c < 0x20 && !matches!(c, b'\t' | b'\n' | b'\r' | 0x0c | 0x1b)) || c == 0x7f;
    let controls = b.iter().filter(|&&c| odd(c)).count();
    zeros * 1000 <= b.len() && controls * 100 <= b.len()
}

/// Whether `b` is UTF-8 or may be text in an older encoding.
fn plausible_encoding(b: &[u8]) -> bool {
    match std::str::from_utf8(b) {
        Ok(_) => return true,
        Err(e) if e.error_len().is_none() && e.valid_up_to() > 0 => return true,
        Err(_) => {}
    }
    // Erased memory and raw silence: one value over and over.
    if b.len() >= 8 && b.iter().all(|c| Some(c) == b.first()) {
        return false;
    }
    // Single-byte encodings keep 0x80..0xa0 for rare signs; in noise it is a quarter of the upper half.
    let high = b.iter().filter(|&&c| c >= 0x80).count();
    let c1 = b.iter().filter(|&&c| (0x80..0xa0).contains(&c)).count();
    if c1 * 8 <= high {
        return true;
    }
    // Damaged UTF-8 and the multi-byte encodings: nearly everything decodes.
    let damage = |encoding: &'static encoding_rs::Encoding| {
        let text = encoding.decode_without_bom_handling(b).0;
        let (mut chars, mut bad) = (0_usize, 0_usize);
        for c in text.chars() {
            chars += 1;
            // Private-use characters are what GB18030 makes of noise.
            bad += usize::from(matches!(c, '\u{fffd}' | '\u{80}'..='\u{9f}' | '\u{e000}'..='\u{f8ff}'));
        }
        bad.saturating_sub(1) * 50 > chars
    };
    [
        encoding_rs::UTF_8,
        encoding_rs::GB18030,
        encoding_rs::SHIFT_JIS,
        encoding_rs::BIG5,
        encoding_rs::EUC_KR,
        encoding_rs::EUC_JP,
    ]
    .into_iter()
    .any(|e| !damage(e))
}

fn trim(b: &[u8]) -> &[u8] {
    b.strip_prefix(b"\xef\xbb\xbf").unwrap_or(b).trim_ascii()
}

fn starts_ignoring_case(b: &[u8], prefix: &[u8]) -> bool {
    b.get(..prefix.len()).is_some_and(|s| s.eq_ignore_ascii_case(prefix))
}

/// Whether `b` begins with the opening tag `name`.
fn starts_with_tag(b: &[u8], name: &[u8]) -> bool {
    let Some(rest) = b.strip_prefix(b"<") else { return false };
    starts_ignoring_case(rest, name)
        && rest.get(name.len()).is_some_and(|c| c.is_ascii_whitespace() || matches!(c, b'>' | b'/'))
}

/// Whether a text is HTML: a document, or a fragment that begins and ends with a block.
///
/// Markdown often begins with a `<div>` or `<p>`, but hardly ever ends with one too.
fn html(bytes: &[u8]) -> bool {
    const BLOCKS: [&[u8]; 15] = [
        b"p", b"div", b"article", b"section", b"main", b"header", b"table", b"ul", b"ol", b"h1", b"h2",
        b"h3", b"meta", b"title", b"style",
    ];
    // Without its zero bytes, UTF-16 reads like ASCII here.
    let strip = |part: &[u8]| -> Vec<u8> {
        part.iter().copied().filter(|&c| !matches!(c, 0 | 0xfe | 0xff)).collect()
    };
    let start = strip(head(bytes, 4096));
    let start = trim(&start);
    let document = |b: &[u8]| {
        starts_ignoring_case(b, b"<!doctype html")
            || [&b"html"[..], b"head", b"body"].iter().any(|tag| starts_with_tag(b, tag))
    };
    if document(start) {
        return true;
    }
    if starts_ignoring_case(start, b"<?xml") || start.starts_with(b"<!--") {
        return start.iter().enumerate().any(|(i, &c)| {
            c == b'<'
                && start.get(i..).is_some_and(|rest| {
                    starts_ignoring_case(rest, b"<!doctype html") || starts_with_tag(rest, b"html")
                })
        });
    }
    if !BLOCKS.iter().any(|tag| starts_with_tag(start, tag)) {
        return false;
    }
    let tail = strip(bytes.get(bytes.len().saturating_sub(64)..).unwrap_or(bytes));
    let tail = trim(&tail);
    tail.ends_with(b">")
        && tail.iter().rposition(|&c| c == b'<').is_some_and(|i| tail.get(i + 1) == Some(&b'/'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(bytes: &[u8]) -> &'static str {
        match sniff(bytes) {
            Ok(format) => format.name(),
            Err(Error::Unsupported { format, remedy }) => {
                assert!(!remedy.is_empty());
                format
            }
            Err(Error::UnknownKind) => "unknown",
            Err(e) => panic!("{e}"),
        }
    }

    #[test]
    fn signatures() {
        let bmp = [&b"BM\x46\0\0\0\0\0\0\0\x36\0\0\0"[..], &[40, 0, 0, 0, 2, 0]].concat();
        let mz = [&b"MZ"[..], &[0; 58], &[64, 0, 0, 0], b"PE\0\0"].concat();
        let tar = [&b"notes.txt"[..], &[0; 248], b"ustar\0"].concat();
        let cases: &[(&[u8], &str)] = &[
            (b"\xff\xd8\xff\xe0\0\x10JFIF", "jpeg"),
            (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "png"),
            (b"RIFF\x24\0\0\0WEBPVP8 ", "webp"),
            (b"RIFF\x24\0\0\0WAVEfmt ", "wav"),
            (b"RF64\xff\xff\xff\xffWAVEds64", "wav"),
            (b"RIFF\x24\0\0\0AVI LIST", "AVI video"),
            (b"GIF89a\x01\0\x01\0", "gif"),
            (b"II*\0\x08\0\0\0", "tiff"),
            (b"MM\0*\0\0\0\x08", "tiff"),
            (b"II*\0\x10\0\0\0CR\x02\0", "camera raw (CR2)"),
            (&bmp, "bmp"),
            (b"FORM\0\0\0\x10AIFFCOMM", "aiff"),
            (b"caff\0\x01\0\0desc", "caf"),
            (b"fLaC\0\0\0\x22", "flac"),
            (b"OggS\0\x02", "ogg"),
            (b"\x1a\x45\xdf\xa3\x9f", "matroska"),
            (b"ID3\x04\0\0\0\0\0\0fLaC", "flac"),
            (b"ID3\x03\0\0\0\0\x0f\x76TIT2", "mp3"),
            (b"\0\0\0\x18ftypM4A \0\0\0\0M4A mp42", "mp4"),
            (b"\0\0\0\x14ftypqt  \0\0\0\0qt  ", "mp4"),
            (b"\0\0\0\x18ftypavif\0\0\0\0avifmif1", "AVIF"),
            (b"\0\0\0\x18ftypmif1\0\0\0\0mif1avif", "AVIF"),
            (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC"),
            (b"\xff\x0a\xfa\x7f", "JPEG XL"),
            (b"8BPS\0\x01", "Photoshop (PSD)"),
            (b"<?xml version='1.0'?>\n<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
            (b"\n<svg viewBox='0 0 1 1'></svg>", "SVG"),
            (b"%PDF-1.7\n%\xe2\xe3", "pdf"),
            (b"{\\rtf1\\ansi", "rtf"),
            (b"PK\x03\x04\x14\0\0\0mimetypeapplication/epub+zip", "epub"),
            (b"PK\x03\x04\x14\0\0\0mimetypeapplication/vnd.oasis.opendocument.textPK", "opendocument"),
            (
                b"PK\x03\x04\x14\0\0\0mimetypeapplication/vnd.oasis.opendocument.spreadsheetPK",
                "OpenDocument table",
            ),
            (b"PK\x03\x04\x14\0\x06\0[Content_Types].xmlPK\x03\x04word/document.xml", "docx"),
            (b"PK\x03\x04\x14\0\x06\0[Content_Types].xmlPK\x03\x04ppt/slides/slide1.xml", "pptx"),
            (b"PK\x03\x04\x14\0\x06\0[Content_Types].xml", "Microsoft Office table (XLSX)"),
            (b"PK\x03\x04\x14\0\0\0a.txt", "ZIP archive"),
            (b"\x1f\x8b\x08\0", "gzip archive"),
            (b"\x7fELF\x02\x01", "ELF program"),
            (&mz, "Windows program"),
            (&tar, "tar archive"),
            (b"P6 2 2 255\n\0\0\0\xff\xff\xff", "netpbm picture"),
            (b"\xff\xfe\0\0a\0\0\0", "UTF-32 text"),
        ];
        for (bytes, wanted) in cases {
            assert_eq!(name(bytes), *wanted, "{:?}", String::from_utf8_lossy(bytes));
        }
        assert_eq!(sniff(b""), Err(Error::Empty));
    }

    #[test]
    fn frames_of_mp3_and_adts_must_follow_each_other() {
        // MPEG-1 layer III, 128 kbit/s, 44.1 kHz: 417 bytes.
        let mut mp3 = vec![0; 900];
        mp3[..4].copy_from_slice(&[0xff, 0xfb, 0x90, 0x64]);
        mp3[417..421].copy_from_slice(&[0xff, 0xfb, 0x90, 0x64]);
        assert_eq!(name(&mp3), "mp3");
        mp3[417] = 0;
        assert_ne!(name(&mp3), "mp3");
        // ADTS frames of 16 bytes.
        let mut aac = vec![0; 40];
        for start in [0, 16] {
            aac[start..start + 7].copy_from_slice(&[0xff, 0xf1, 0x50, 0x80, 0x02, 0x00, 0xfc]);
        }
        assert_eq!(name(&aac), "aac");
        aac[16] = 0;
        assert_ne!(name(&aac), "aac");
    }

    #[test]
    fn texts_in_many_encodings() {
        let chinese = "检测人工智能生成的文本需要谨慎,因为误报会伤害真实的作者。".repeat(3);
        let japanese = "この文章は人が書いたものです。機械が書いたものではありません。".repeat(3);
        let russian = "Это письмо написал человек, а не машина.".repeat(3);
        let german = "Größe, Übermaß und Öl: ein kurzer Satz.";
        for (label, text) in [
            ("gb18030", chinese.as_str()),
            ("big5", "偵測人工智慧產生的文字需要謹慎。"),
            ("shift_jis", japanese.as_str()),
            ("euc-jp", japanese.as_str()),
            ("iso-2022-jp", japanese.as_str()),
            ("euc-kr", "이 글은 사람이 썼습니다. 기계가 쓴 것이 아닙니다."),
            ("windows-1251", russian.as_str()),
            ("koi8-r", russian.as_str()),
            ("windows-1252", german),
            ("utf-8", chinese.as_str()),
        ] {
            let encoding = encoding_rs::Encoding::for_label(label.as_bytes()).unwrap();
            let (bytes, _, lossy) = encoding.encode(text);
            assert!(!lossy, "{label}");
            assert_eq!(name(&bytes), "text", "{label}");
        }
        let wide: Vec<u8> = german.encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(name(&wide), "text");
        let wide: Vec<u8> = german.encode_utf16().flat_map(u16::to_be_bytes).collect();
        assert_eq!(name(&wide), "text");
        let marked: Vec<u8> =
            [&[0xff, 0xfe][..], &chinese.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>()]
                .concat();
        assert_eq!(name(&marked), "text");
        for text in ["BM is a bad start", "a", "MAC and cheese", "ID", "P6 lens kit", "MZ", "BZh"] {
            assert_eq!(name(text.as_bytes()), "text", "{text}");
        }
    }

    #[test]
    fn html_by_content() {
        let html = [
            "<!DOCTYPE html><html><p>x",
            "\u{feff}  <HTML lang=en>",
            "<!-- saved --><html>",
            "<?xml version=\"1.0\"?><!DOCTYPE html PUBLIC>",
            "<p>One.</p>\n<p>Two.</p>\n",
        ];
        for text in html {
            assert_eq!(name(text.as_bytes()), "html", "{text}");
        }
        for text in ["<p align=center>\n\n# Title\n\nWords.", "<3 you", "a <b>c</b>", "<paper>x</paper>"] {
            assert_eq!(name(text.as_bytes()), "text", "{text}");
        }
        let wide: Vec<u8> = "<html><body>x".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(name(&wide), "html");
    }

    #[test]
    fn zeros_and_noise_are_unknown() {
        assert_eq!(name(&[0; 64]), "unknown");
        assert_eq!(name(&[0]), "unknown");
        assert_eq!(name(&[0x80; 64]), "unknown");
        assert_eq!(name(&[0xff; 64]), "unknown");
    }

    #[test]
    fn extensions_fit_their_formats() {
        assert!(Format::Image(ImageFormat::Jpeg).fits_extension("JPG"));
        assert!(!Format::Image(ImageFormat::Jpeg).fits_extension("png"));
        assert!(Format::Text(TextFormat::Plain).fits_extension("rs"));
        assert!(!Format::Text(TextFormat::Plain).fits_extension("mp3"));
    }

    proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = sniff(&bytes);
        }

        #[test]
        fn never_panics_after_a_signature(i in 0..SIGNATURES.len(), rest in proptest::collection::vec(any::<u8>(), 0..80)) {
            let (offset, magic, ..) = SIGNATURES[i];
            let _ = sniff(&[&vec![0; offset][..], magic, &rest].concat());
            for start in [&b"RIFF"[..], b"ID3\x03\0\0", b"\xff\xfb", b"\xff\xf1", b"\0\0\0\x18ftyp", b"BM", b"MZ", b"PK\x03\x04", b"<"] {
                let _ = sniff(&[start, &rest].concat());
            }
        }

        #[test]
        fn noise_is_not_text(bytes in proptest::collection::vec(any::<u8>(), 256..600)) {
            prop_assert!(!matches!(sniff(&bytes), Ok(Format::Text(_))));
        }

        #[test]
        fn words_are_text(text in "[A-Za-z]{1,8}( [a-z,.éüñ]{1,9}){0,40}\n") {
            prop_assert!(matches!(sniff(text.as_bytes()), Ok(Format::Text(_))));
        }
    }
}

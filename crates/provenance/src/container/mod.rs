//! Containers: each module walks one format, by its own structure, and hands what it finds to the sink.

pub(crate) mod bmff;
pub(crate) mod ebml;
pub(crate) mod gif;
pub(crate) mod iff;
pub(crate) mod jpeg;
pub(crate) mod ogg;
pub(crate) mod page;
pub(crate) mod pdf;
pub(crate) mod png;
pub(crate) mod trailer;
pub(crate) mod zip;

use crate::bytes::{be32, has};
use crate::meta::{exif, id3};
use crate::sink::Sink;

/// Containers that are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Jpeg,
    Png,
    WebP,
    Gif,
    Tiff,
    Bmff,
    Jxl,
    Wav,
    Avi,
    Aiff,
    Caf,
    Mp3,
    Flac,
    Ogg,
    Matroska,
    Flv,
    Pdf,
    Zip,
    Svg,
    Html,
    Text,
    Unknown,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Jpeg => "jpeg",
            Self::Png => "png",
            Self::WebP => "webp",
            Self::Gif => "gif",
            Self::Tiff => "tiff",
            Self::Bmff => "bmff",
            Self::Jxl => "jxl",
            Self::Wav => "wav",
            Self::Avi => "avi",
            Self::Aiff => "aiff",
            Self::Caf => "caf",
            Self::Mp3 => "mp3",
            Self::Flac => "flac",
            Self::Ogg => "ogg",
            Self::Matroska => "matroska",
            Self::Flv => "flv",
            Self::Pdf => "pdf",
            Self::Zip => "zip",
            Self::Svg => "svg",
            Self::Html => "html",
            Self::Text => "text",
            Self::Unknown => "unknown",
        }
    }

    /// Finds the container from the first bytes; names are never looked at.
    pub(crate) fn of(b: &[u8]) -> Self {
        let riff = b.starts_with(b"RIFF") || b.starts_with(b"RF64") || b.starts_with(b"BW64");
        let box_type = b.get(4..8).unwrap_or_default();
        let start = b.get(..1024).unwrap_or(b);
        match b {
            [0xff, 0xd8, 0xff, ..] => Self::Jpeg,
            [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Self::Png,
            [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Self::Gif,
            [0x1a, 0x45, 0xdf, 0xa3, ..] => Self::Matroska,
            _ if riff && has(b, 8, b"WEBP") => Self::WebP,
            _ if riff && has(b, 8, b"WAVE") => Self::Wav,
            _ if riff && has(b, 8, b"AVI ") => Self::Avi,
            _ if b.starts_with(b"FORM") && has(b, 8, b"AIF") => Self::Aiff,
            _ if b.starts_with(b"caff\0\x01") => Self::Caf,
            _ if b.starts_with(b"fLaC") => Self::Flac,
            _ if b.starts_with(b"OggS") => Self::Ogg,
            _ if b.starts_with(b"FLV\x01") => Self::Flv,
            _ if b.starts_with(b"PK\x03\x04") => Self::Zip,
            _ if exif::Layout::of(b).is_some() => Self::Tiff,
            _ if box_type == b"JXL " => Self::Jxl,
            // Four letters alone may stand in a text: the size before them must be possible too.
            _ if matches!(box_type, b"ftyp" | b"moov" | b"mdat" | b"wide" | b"free" | b"skip")
                && be32(b, 0)
                    .is_some_and(|n| (n as usize) <= b.len() || n < 1 << 24 || box_type == b"mdat") =>
            {
                Self::Bmff
            }
            _ if b.starts_with(b"%PDF-") || start.windows(6).any(|w| w == b"%PDF-1" || w == b"%PDF-2") => {
                Self::Pdf
            }
            _ if id3::header(b).is_some() => {
                let after = id3::header(b).and_then(|h| b.get(h.total..)).unwrap_or_default();
                if after.starts_with(b"fLaC") { Self::Flac } else { Self::Mp3 }
            }
            [0xff, second, third, ..] if second & 0xe0 == 0xe0 && third >> 4 != 15 && second & 6 != 0 => {
                Self::Mp3
            }
            // ADTS frames have zero in the bits where MPEG audio has its layer.
            [0xff, 0xf0 | 0xf1 | 0xf8 | 0xf9, ..] => Self::Mp3,
            _ => page::kind(b),
        }
    }

    /// Walks the container.
    pub(crate) fn read(self, b: &[u8], sink: &mut Sink<'_>) {
        match self {
            Self::Jpeg => jpeg::read(b, sink),
            Self::Png => png::read(b, sink),
            Self::WebP => iff::riff(b, "WebP", sink),
            Self::Wav => iff::riff(b, "WAV", sink),
            Self::Avi => iff::riff(b, "AVI", sink),
            Self::Aiff => iff::aiff(b, sink),
            Self::Caf => iff::caf(b, sink),
            Self::Gif => gif::read(b, sink),
            Self::Tiff => exif::read(b, "TIFF", 0, sink),
            Self::Bmff | Self::Jxl => bmff::read(b, sink),
            Self::Mp3 => {
                id3::read(b, "ID3v2", 0, sink);
                id3::v1(b, sink);
            }
            Self::Flac => ogg::flac(b, sink),
            Self::Ogg => ogg::read(b, sink),
            Self::Matroska => ebml::read(b, sink),
            Self::Flv => ebml::flv(b, sink),
            Self::Pdf => pdf::read(b, sink),
            Self::Zip => zip::read(b, sink),
            Self::Svg => page::svg(b, sink),
            Self::Html | Self::Text | Self::Unknown => {}
        }
        if matches!(self, Self::Jpeg | Self::Png | Self::WebP | Self::Bmff) {
            trailer::samsung(b, sink);
        }
    }
}

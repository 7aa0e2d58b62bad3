//! Decoding under limits and forensic feature extraction for images, audio and text.
//!
//! Everything here takes plain bytes or samples and returns plain data: no network, no files, no global state.
//! Every decoder works under [`Limits`] that a hostile file cannot break, and every function is deterministic
//! whatever the number of threads.

pub mod audio;
mod error;
pub mod image;
mod media;
pub mod sniff;
pub mod text;

pub use error::{Error, Result};
pub use media::{
    Document, DocumentKind, Limits, Markup, Media, MediaKind, OffsetMap, Pixels, Warning, WarningCode,
    Waveform,
};

/// Decodes a file of any supported kind.
///
/// The kind is found from the content, never from a name.
///
/// # Errors
/// [`Error::Empty`], [`Error::UnknownKind`], [`Error::Unsupported`], [`Error::Limit`] or [`Error::Decode`].
pub fn decode(bytes: &[u8], limits: &Limits) -> Result<Media> {
    if bytes.is_empty() {
        return Err(Error::Empty);
    }
    match sniff::sniff(bytes)? {
        sniff::Format::Image(format) => image::decode(bytes, format, limits).map(Media::Image),
        sniff::Format::Audio(format) => audio::decode(bytes, format, limits).map(Media::Audio),
        sniff::Format::Text(format) => text::decode(bytes, format, limits).map(Media::Text),
    }
}

//! Formats of metadata that several containers carry.

pub(crate) mod exif;
pub(crate) mod id3;
pub(crate) mod iim;
pub(crate) mod xml;

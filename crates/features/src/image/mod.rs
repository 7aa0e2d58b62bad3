//! image
use crate::{Error, Limits, Pixels, Result, sniff::ImageFormat};
/// Decodes.
pub fn decode(_b: &[u8], _f: ImageFormat, _l: &Limits) -> Result<Pixels> {
    Err(Error::UnknownKind)
}

//! text
use crate::{Document, Error, Limits, Result, sniff::TextFormat};
/// Decodes.
pub fn decode(_b: &[u8], _f: TextFormat, _l: &Limits) -> Result<Document> {
    Err(Error::UnknownKind)
}

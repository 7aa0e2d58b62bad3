//! audio
use crate::{Error, Limits, Result, Waveform, sniff::AudioFormat};
/// Decodes.
pub fn decode(_b: &[u8], _f: AudioFormat, _l: &Limits) -> Result<Waveform> {
    Err(Error::UnknownKind)
}

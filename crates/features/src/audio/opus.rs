//! Opus (RFC 6716), which symphonia takes out of its containers and does not decode.

use ropus::{Channels, DecodeMode, Decoder};
use symphonia::core::{codecs::audio::AudioCodecParameters, packet::Packet};

use crate::{Error, Result};

/// Rate at which Opus is decoded, whatever it was made from.
pub(super) const RATE: u32 = 48_000;
/// Longest packet: 120 ms.
const MAX_FRAMES: usize = RATE as usize * 120 / 1_000;

/// Decoder of one track.
pub(super) struct OpusTrack {
    decoder: Decoder,
    pub(super) channels: usize,
    /// Frames that still belong to the encoder's delay.
    skip: usize,
    buffer: Vec<f32>,
}

impl OpusTrack {
    /// Reads channels, delay and gain from the identification header (RFC 7845, section 5.1).
    ///
    /// # Errors
    /// [`Error::Unsupported`] for more than two channels, [`Error::Decode`] if the decoder refuses.
    pub(super) fn new(params: &AudioCodecParameters) -> Result<Self> {
        let head = params.extra_data.as_deref().filter(|h| h.starts_with(b"OpusHead")).unwrap_or_default();
        // MP4 keeps the same fields in the other byte order, and its version is 0 (Opus in ISOBMFF, section 4.3.2).
        let word = |at: usize| {
            let pair = head.get(at..at + 2).map_or([0; 2], |b| [b[0], b[1]]);
            if head.get(8) == Some(&0) { u16::from_be_bytes(pair) } else { u16::from_le_bytes(pair) }
        };
        let channels = params.channels.as_ref().map_or(2, symphonia::core::audio::Channels::count);
        let layout = match channels {
            1 => Channels::Mono,
            2 => Channels::Stereo,
            _ => {
                return Err(Error::Unsupported {
                    format: "Opus with more than two channels",
                    remedy: super::decode::CONVERT,
                });
            }
        };
        let failed = |reason: String| Error::Decode { format: "Opus", reason };
        let mut decoder = Decoder::new(RATE, layout).map_err(|e| failed(format!("{e:?}")))?;
        decoder.set_gain(i32::from(word(16).cast_signed())).map_err(|e| failed(format!("{e:?}")))?;
        Ok(Self { decoder, channels, skip: usize::from(word(10)), buffer: vec![0.0; MAX_FRAMES * channels] })
    }

    /// Decodes a packet to interleaved samples; `None` if it is damaged.
    pub(super) fn decode(&mut self, packet: &Packet) -> Option<&[f32]> {
        if packet.data.is_empty() {
            return Some(&[]);
        }
        let frames = self.decoder.decode_float(&packet.data, &mut self.buffer, DecodeMode::Normal).ok()?;
        let drop = self.skip.min(frames);
        self.skip -= drop;
        let end = frames.saturating_sub(usize::try_from(packet.trim_end.get()).unwrap_or(usize::MAX));
        Some(self.buffer.get(drop * self.channels..end * self.channels).unwrap_or_default())
    }
}

//! Audio: decoding to 16 kHz mono, spectral features, measured statistics and the laundering law.
//!
//! Everything after [`decode()`] works on plain `&[f32]` at [`Waveform::RATE`](crate::Waveform::RATE).

mod copy_synthesis;
mod decode;
mod equalise;
mod filter;
pub mod launder;
pub mod lfcc;
mod mel;
mod opus;
mod resample;
mod stats;
pub mod stft;
mod vad;
mod window;

pub use copy_synthesis::copy_synthesis;
pub use decode::{DECODER_THREAD, decode};
pub use equalise::{ACTIVE_LEVEL_DB, NOISE_LEVEL_DB, equalise};
pub use filter::Biquads;
pub use launder::{AudioCondition, AudioLaundering};
pub use lfcc::{Lfcc, LfccConfig, log_linear_filterbank};
pub use mel::LogMel;
pub use resample::{Converter, MAX_RATE, MIN_RATE, resample};
pub use stats::{AudioStats, audio_stats};
pub use stft::{Stft, WindowShape};
pub use vad::{Activity, activity};
pub use window::{AudioWindow, WINDOW, tile, windows};

/// Root mean square of a signal, 0 for an empty one.
pub fn rms(samples: &[f32]) -> f64 {
    if samples.is_empty() {
        return 0.0;
    }
    (samples.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>() / samples.len() as f64).sqrt()
}

/// Decibels of an amplitude (1 = 0 dB), never below -120.
pub fn decibels(amplitude: f64) -> f64 {
    20.0 * amplitude.max(1e-6).log10()
}

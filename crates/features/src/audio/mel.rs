//! Logarithmic mel spectrogram as speech recognisers read it.

use ndarray::Array2;

use super::stft::{Stft, WindowShape};
use crate::Waveform;

/// Samples of a frame, and points of its transform: 25 ms.
const FRAME: usize = 400;
/// Samples between frames: 10 ms.
const HOP: usize = 160;
/// Power that is added to nothing.
const FLOOR: f32 = 1e-10;
/// Powers of ten below the loudest value at which the rest ends.
const RANGE: f32 = 8.0;

/// Triangular filters of equal area on Slaney's mel scale (linear below 1 kHz, logarithmic above; Slaney 1998, Auditory Toolbox), in the
/// scaling of Whisper (Radford et al. 2022): common logarithm of the power, at most eight below the largest, plus four, a quarter of that.
pub struct LogMel {
    stft: Stft,
    /// For each band its first bin and its weights from there on.
    bands: Vec<(usize, Vec<f32>)>,
}

impl LogMel {
    /// Bands up to 8 kHz.
    pub const BANDS: usize = 80;

    /// Filters and a transform for 16 kHz.
    pub fn new() -> Option<Self> {
        let stft = Stft::new(FRAME, FRAME, HOP, WindowShape::Hann)?;
        let top = mel(f64::from(Waveform::RATE) / 2.0);
        let edge = |i: usize| hertz(top * i as f64 / (Self::BANDS + 1) as f64);
        let frequency = |bin: usize| bin as f64 * f64::from(Waveform::RATE) / FRAME as f64;
        let bands = (0..Self::BANDS).map(|b| {
            let [low, centre, high] = [edge(b), edge(b + 1), edge(b + 2)];
            let weight = |f: f64| {
                let slope = ((f - low) / (centre - low)).min((high - f) / (high - centre));
                (slope.max(0.0) * 2.0 / (high - low)) as f32
            };
            let within = |bin: &usize| (low..high).contains(&frequency(*bin));
            let first = (0..stft.bins()).find(within).unwrap_or_default();
            (first, (first..stft.bins()).take_while(within).map(|bin| weight(frequency(bin))).collect())
        });
        Some(Self { bands: bands.collect(), stft })
    }

    /// A row of 80 for every 10 ms of at least 25 ms at 16 kHz, `[samples / 160, 80]`; frames are centred, and both ends mirrored.
    pub fn frames(&self, samples: &[f32]) -> Array2<f32> {
        let n = samples.len();
        let half = FRAME / 2;
        let before = (1..=half).rev().filter_map(|i| samples.get(i).copied());
        let after = (1..=half).filter_map(|i| samples.get(n.wrapping_sub(1 + i)).copied());
        let padded: Vec<f32> = before.chain(samples.iter().copied()).chain(after).collect();
        let power = self.stft.power(&padded);
        let rows = (n / HOP).min(power.nrows());
        let mut out = Array2::zeros((rows, Self::BANDS));
        for (mut row, power) in out.rows_mut().into_iter().zip(power.rows()) {
            for (cell, (first, weights)) in row.iter_mut().zip(&self.bands) {
                let sum: f32 = power.iter().skip(*first).zip(weights).map(|(p, w)| p * w).sum();
                *cell = sum.max(FLOOR).log10();
            }
        }
        let largest = out.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        out.mapv_inplace(|v| (v.max(largest - RANGE) + 4.0) / 4.0);
        out
    }
}

/// Slaney's mel of a frequency in Hz.
fn mel(hertz: f64) -> f64 {
    if hertz < 1000.0 { hertz * 3.0 / 200.0 } else { 15.0 + 27.0 * (hertz / 1000.0).ln() / 6.4_f64.ln() }
}

fn hertz(mel: f64) -> f64 {
    if mel < 15.0 { mel * 200.0 / 3.0 } else { 1000.0 * ((mel - 15.0) * 6.4_f64.ln() / 27.0).exp() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Frame, band and value, by numpy with the filters of librosa's definition, for the signal below.
    const VALUES: [(usize, usize, f32); 6] = [
        (0, 0, 1.196_87),
        (0, 5, 1.067_28),
        (50, 4, 1.117_01),
        (30, 70, -0.682_43),
        (99, 40, -0.294_22),
        (99, 79, -0.682_43),
    ];

    #[test]
    fn values_are_those_of_the_published_front_end() {
        let signal = |n: u32| {
            let n = f64::from(n);
            (0.3 * (0.05 * n).sin() + 0.1 * (0.9 * n).sin() * (n / 16_000.0)) as f32
        };
        let samples: Vec<f32> = (0..16_000).map(signal).collect();
        let mel = LogMel::new().unwrap();
        let frames = mel.frames(&samples);
        assert_eq!(frames.dim(), (100, LogMel::BANDS));
        for (frame, band, expected) in VALUES {
            let found = frames[[frame, band]];
            assert!((found - expected).abs() < 2e-3, "{frame}, {band}: {found}, not {expected}");
        }
        assert!(mel.frames(&[0.0; 4000]).iter().all(|v| v.is_finite()));
        assert_eq!(mel.frames(&[]).nrows(), 0);
    }
}

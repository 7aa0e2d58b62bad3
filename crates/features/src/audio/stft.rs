//! Short-time Fourier transform.

use std::{f64::consts::TAU, sync::Arc};

use ndarray::Array2;
use rayon::prelude::*;
use realfft::{RealFftPlanner, RealToComplex, num_complex::Complex32};
use serde::{Deserialize, Serialize};

/// Frames that one task transforms.
const FRAMES_PER_TASK: usize = 64;

/// Shape of the analysis window, in its periodic form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WindowShape {
    /// `0.5 - 0.5 cos(2 pi n / N)`
    #[default]
    Hann,
    /// `0.54 - 0.46 cos(2 pi n / N)`
    Hamming,
}

impl WindowShape {
    /// `len` coefficients.
    pub fn coefficients(self, len: usize) -> Vec<f32> {
        let (a, b) = match self {
            Self::Hann => (0.5, 0.5),
            Self::Hamming => (0.54, 0.46),
        };
        (0..len).map(|n| (a - b * (TAU * n as f64 / len as f64).cos()) as f32).collect()
    }
}

/// A reusable plan for one transform size.
///
/// Frame `t` covers the samples from `t * hop` on; the end is padded with zeros, so that `n` samples give
/// `ceil(n / hop)` frames. Results do not depend on the number of threads.
#[derive(Clone)]
pub struct Stft {
    hop: usize,
    window: Vec<f32>,
    fft: Arc<dyn RealToComplex<f32>>,
}

impl Stft {
    /// A plan with windows of `win` samples in transforms of `n_fft` points, `hop` samples apart.
    ///
    /// `None` unless `2 <= win <= n_fft` and `hop >= 1`.
    pub fn new(n_fft: usize, win: usize, hop: usize, shape: WindowShape) -> Option<Self> {
        let sound = (2..=n_fft).contains(&win) && hop > 0;
        sound.then(|| Self {
            hop,
            window: shape.coefficients(win),
            fft: RealFftPlanner::new().plan_fft_forward(n_fft),
        })
    }

    /// Frequency bins, `n_fft / 2 + 1`.
    pub fn bins(&self) -> usize {
        self.fft.complex_len()
    }

    /// Frames of a signal of `len` samples.
    pub fn frames(&self, len: usize) -> usize {
        len.div_ceil(self.hop)
    }

    /// Complex spectra, `[frames, bins]`.
    pub fn complex(&self, samples: &[f32]) -> Array2<Complex32> {
        self.map(samples, self.bins(), |spectrum, row| row.copy_from_slice(spectrum))
    }

    /// Power spectra `|X|^2` without normalisation, `[frames, bins]`.
    pub fn power(&self, samples: &[f32]) -> Array2<f32> {
        self.map(samples, self.bins(), |spectrum, row| {
            for (p, x) in row.iter_mut().zip(spectrum) {
                *p = x.norm_sqr();
            }
        })
    }

    /// Natural logarithm of the power spectra, no power being taken below `floor`; `[frames, bins]`.
    pub fn log_power(&self, samples: &[f32], floor: f32) -> Array2<f32> {
        self.map(samples, self.bins(), |spectrum, row| {
            for (p, x) in row.iter_mut().zip(spectrum) {
                *p = x.norm_sqr().max(floor).ln();
            }
        })
    }

    /// Transforms every frame and lets `fill` make a row of `width` values from its spectrum.
    pub(super) fn map<T, F>(&self, samples: &[f32], width: usize, fill: F) -> Array2<T>
    where
        T: Copy + Default + Send,
        F: Fn(&[Complex32], &mut [T]) + Sync,
    {
        let frames = self.frames(samples.len());
        let mut out = vec![T::default(); frames * width];
        out.par_chunks_mut((FRAMES_PER_TASK * width).max(1)).enumerate().for_each(|(task, rows)| {
            let mut frame = self.fft.make_input_vec();
            let mut spectrum = self.fft.make_output_vec();
            let mut scratch = self.fft.make_scratch_vec();
            for (i, row) in rows.chunks_exact_mut(width).enumerate() {
                let start = (task * FRAMES_PER_TASK + i) * self.hop;
                let part = samples.get(start..).unwrap_or_default();
                frame.fill(0.0);
                for ((f, w), x) in frame.iter_mut().zip(&self.window).zip(part) {
                    *f = w * x;
                }
                // Cannot fail: the buffers were made by the plan.
                if self.fft.process_with_scratch(&mut frame, &mut spectrum, &mut scratch).is_ok() {
                    fill(&spectrum, row);
                }
            }
        });
        Array2::from_shape_vec((frames, width), out).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tone_falls_into_its_bin() {
        let stft = Stft::new(512, 400, 160, WindowShape::Hann).unwrap();
        let x: Vec<f32> =
            (0..16_000).map(|n| (TAU * 1_000.0 * f64::from(n) / 16_000.0).sin() as f32).collect();
        let power = stft.power(&x);
        assert_eq!(power.dim(), (100, 257));
        for row in power.rows().into_iter().take(97) {
            let peak = (0..257).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap();
            assert_eq!(peak, 32);
            // A unit sine under a Hann window of 400 has |X| = 0.5 * 0.5 * 400.
            assert!((row[32].sqrt() - 100.0).abs() < 0.1);
        }
        let log = stft.log_power(&x, 1e-10);
        assert!((log[[5, 32]] - power[[5, 32]].ln()).abs() < 1e-5);
    }

    #[test]
    fn any_length_and_any_thread_count_work() {
        let stft = Stft::new(512, 320, 160, WindowShape::Hamming).unwrap();
        assert_eq!(stft.power(&[]).dim(), (0, 257));
        assert_eq!(stft.power(&[1.0]).dim(), (1, 257));
        assert!(Stft::new(512, 513, 160, WindowShape::Hann).is_none());
        assert!(Stft::new(512, 320, 0, WindowShape::Hann).is_none());
        let x: Vec<f32> = (0..40_000).map(|n| ((n * 7919) % 1_000) as f32 / 1_000.0 - 0.5).collect();
        let many = stft.power(&x);
        let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap().install(|| stft.power(&x));
        assert_eq!(many, one);
    }
}

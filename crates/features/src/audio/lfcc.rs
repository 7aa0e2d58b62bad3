//! Linear-frequency cepstral coefficients.
//!
//! After Sahidullah, Kinnunen and Hanilci, "A Comparison of Features for Synthetic Speech Detection" (Interspeech
//! 2015) and the ASVspoof baselines: triangular filters spaced evenly in Hz on the power spectrum, natural
//! logarithm, orthonormal DCT-II, deltas `x[t + 1] - x[t - 1]` with repeated edges. There is no pre-emphasis, and
//! the zeroth coefficient is kept.

use ndarray::Array2;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::stft::{Stft, WindowShape};
use crate::Waveform;

/// Settings of the filter bank and the cepstrum, for signals at 16 kHz.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LfccConfig {
    /// Points of the transform.
    pub n_fft: usize,
    /// Samples of the analysis window.
    pub win: usize,
    /// Samples between frames.
    pub hop: usize,
    /// Shape of the analysis window.
    pub shape: WindowShape,
    /// Triangular filters.
    pub n_filters: usize,
    /// Cepstral coefficients, at most `n_filters`.
    pub n_ceps: usize,
    /// Lower edge of the first filter in Hz.
    pub low_hz: f64,
    /// Upper edge of the last filter in Hz, at most 8000.
    pub high_hz: f64,
    /// Energies are not taken below this.
    pub floor: f32,
}

impl Default for LfccConfig {
    fn default() -> Self {
        Self {
            n_fft: 512,
            win: 320,
            hop: 160,
            shape: WindowShape::Hann,
            n_filters: 60,
            n_ceps: 20,
            low_hz: 0.0,
            high_hz: 8_000.0,
            floor: 1e-10,
        }
    }
}

/// A reusable plan.
#[derive(Clone)]
pub struct Lfcc {
    stft: Stft,
    floor: f32,
    /// For each filter its first bin and its weights.
    filters: Vec<(usize, Vec<f32>)>,
    /// DCT-II, `[n_ceps, n_filters]`.
    dct: Vec<Vec<f32>>,
}

impl Lfcc {
    /// A plan, or `None` for settings that make no sense (a zero size, more coefficients than filters, edges out of
    /// order or above 8 kHz, a window longer than the transform, a floor that is not positive).
    pub fn new(config: &LfccConfig) -> Option<Self> {
        let stft = Stft::new(config.n_fft, config.win, config.hop, config.shape)?;
        let nyquist = f64::from(Waveform::RATE) / 2.0;
        let sound = (1..=config.n_filters).contains(&config.n_ceps)
            && config.low_hz >= 0.0
            && config.low_hz < config.high_hz
            && config.high_hz <= nyquist
            && config.floor > 0.0;
        if !sound {
            return None;
        }
        let step = (config.high_hz - config.low_hz) / (config.n_filters + 1) as f64;
        let bin_hz = f64::from(Waveform::RATE) / config.n_fft as f64;
        let filters = (0..config.n_filters)
            .map(|i| {
                let (left, centre) = (config.low_hz + step * i as f64, config.low_hz + step * (i + 1) as f64);
                let weight =
                    |bin: usize| (1.0 - ((bin as f64 * bin_hz - centre) / step).abs()).max(0.0) as f32;
                let first = (left / bin_hz).ceil() as usize;
                let last = ((centre + step) / bin_hz).floor() as usize;
                (first, (first..=last.min(stft.bins() - 1)).map(weight).collect())
            })
            .collect();
        let n = config.n_filters as f64;
        let dct = (0..config.n_ceps)
            .map(|k| {
                let scale = if k == 0 { (1.0 / n).sqrt() } else { (2.0 / n).sqrt() };
                let angle = std::f64::consts::PI * k as f64 / n;
                (0..config.n_filters).map(|m| (scale * (angle * (m as f64 + 0.5)).cos()) as f32).collect()
            })
            .collect();
        Some(Self { stft, floor: config.floor, filters, dct })
    }

    /// Frames of a signal of `len` samples: `ceil(len / hop)`.
    pub fn frames(&self, len: usize) -> usize {
        self.stft.frames(len)
    }

    /// Natural logarithm of the filters' energies, `[n_filters, frames]`.
    pub fn filterbank(&self, samples: &[f32]) -> Array2<f32> {
        transpose(&self.by_frame(samples))
    }

    /// Coefficients, then their deltas, then the deltas of those: `[3 * n_ceps, frames]`.
    pub fn lfcc(&self, samples: &[f32]) -> Array2<f32> {
        let energies = self.by_frame(samples);
        let (frames, n_ceps) = (energies.nrows(), self.dct.len());
        let mut out = vec![0.0_f32; 3 * n_ceps * frames];
        let (ceps, deltas) = out.split_at_mut(n_ceps * frames);
        ceps.par_chunks_mut(frames.max(1)).zip(&self.dct).for_each(|(row, basis)| {
            for (c, frame) in row.iter_mut().zip(energies.rows()) {
                *c = frame.iter().zip(basis).map(|(e, b)| e * b).sum();
            }
        });
        let (first, second) = deltas.split_at_mut(n_ceps * frames);
        delta_rows(ceps, first, frames);
        delta_rows(first, second, frames);
        Array2::from_shape_vec((3 * n_ceps, frames), out).unwrap_or_default()
    }

    /// Log energies, `[frames, n_filters]`.
    fn by_frame(&self, samples: &[f32]) -> Array2<f32> {
        self.stft.map(samples, self.filters.len(), |spectrum, row| {
            for (e, (first, weights)) in row.iter_mut().zip(&self.filters) {
                let bins = spectrum.get(*first..).unwrap_or_default();
                let energy: f32 = bins.iter().zip(weights).map(|(x, w)| w * x.norm_sqr()).sum();
                *e = energy.max(self.floor).ln();
            }
        })
    }
}

/// Log filter-bank energies with a plan made for this one call, `[n_filters, frames]`.
///
/// `None` for settings that [`Lfcc::new`] refuses.
pub fn log_linear_filterbank(samples: &[f32], config: &LfccConfig) -> Option<Array2<f32>> {
    Lfcc::new(config).map(|plan| plan.filterbank(samples))
}

/// `x[t + 1] - x[t - 1]` along each row of `frames` values, edges repeated: the baselines' `Deltas` of width 3.
fn delta_rows(from: &[f32], to: &mut [f32], frames: usize) {
    for (x, d) in from.chunks_exact(frames.max(1)).zip(to.chunks_exact_mut(frames.max(1))) {
        for (t, d) in d.iter_mut().enumerate() {
            *d = x[(t + 1).min(frames - 1)] - x[t.saturating_sub(1)];
        }
    }
}

fn transpose(a: &Array2<f32>) -> Array2<f32> {
    a.t().as_standard_layout().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A signal that is the same in every language.
    fn signal(len: usize) -> Vec<f32> {
        (0..len)
            .map(|n| {
                let t = n as f64 / 16_000.0;
                let noise = ((n * n * 31 + n * 17) % 1_009) as f64 / 1_009.0 - 0.5;
                (0.4 * (2.0 * std::f64::consts::PI * (300.0 + 900.0 * t) * t).sin() + 0.1 * noise) as f32
            })
            .collect()
    }

    fn close(got: &Array2<f32>, want: &[((usize, usize), f32)]) {
        for &(at, want) in want {
            assert!((got[at] - want).abs() < 2e-3, "{at:?}: {} instead of {want}", got[at]);
        }
    }

    // The numbers below were computed with numpy and scipy:
    // import numpy as np, scipy.fft
    // def sig(n):
    //     n = np.arange(n, dtype=np.int64); t = n / 16000
    //     return (0.4 * np.sin(2 * np.pi * (300 + 900 * t) * t) + 0.1 * ((n * n * 31 + n * 17) % 1009 / 1009 - 0.5)).astype(np.float32)
    // def fbank(x, win, n_filters, lo=0.0, hi=8000.0):
    //     frames = -(-len(x) // 160); x = np.pad(x.astype(float), (0, 160 * frames + win - len(x)))
    //     w = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(win) / win)
    //     p = np.abs(np.fft.rfft([x[160 * t:160 * t + win] * w for t in range(frames)], 512)) ** 2
    //     edges, hz = np.linspace(lo, hi, n_filters + 2), np.arange(257) * 31.25
    //     tri = [np.interp(hz, edges[i:i + 3], [0, 1, 0], 0, 0) for i in range(n_filters)]
    //     return np.log(np.maximum(p @ np.array(tri).T, 1e-10))
    // def deltas(c):
    //     p = np.pad(c, ((0, 0), (1, 1)), 'edge'); return p[:, 2:] - p[:, :-2]
    // def lfcc(x, win, n_filters, n_ceps, **k):
    //     c = scipy.fft.dct(fbank(x, win, n_filters, **k), norm='ortho')[:, :n_ceps].T
    //     return np.concatenate([c, deltas(c), deltas(deltas(c))])
    // def show(a, at): print(a.shape, ', '.join(f'(({i}, {j}), {a[i, j]:.4f})' for i, j in at))
    #[test]
    fn energies_and_coefficients_agree_with_scipy() {
        let x = signal(5_000);
        let default = LfccConfig::default();
        let plan = Lfcc::new(&default).unwrap();
        // fbank(sig(5000), 320, 60)
        let energies = plan.filterbank(&x);
        assert_eq!(energies.dim(), (60, 32));
        close(
            &energies,
            &[
                ((0, 0), 1.9742),
                ((3, 7), 6.8798),
                ((17, 20), -2.6086),
                ((59, 31), -7.8299),
                ((30, 30), -1.5914),
            ],
        );
        // lfcc(sig(5000), 320, 60, 20)
        let ceps = plan.lfcc(&x);
        assert_eq!(ceps.dim(), (60, 32));
        close(
            &ceps,
            &[
                ((0, 0), -5.7851),
                ((1, 5), 4.0079),
                ((19, 31), -0.0392),
                ((20, 0), -0.4606),
                ((23, 12), -1.3133),
            ],
        );
        close(&ceps, &[((40, 1), 0.3103), ((45, 15), 3.5311), ((59, 31), 1.7662)]);
        // lfcc(sig(5000), 400, 20, 20)
        let plan = Lfcc::new(&LfccConfig { win: 400, n_filters: 20, ..default.clone() }).unwrap();
        close(
            &plan.lfcc(&x),
            &[
                ((0, 0), 3.1945),
                ((2, 9), 4.2554),
                ((19, 20), -0.2307),
                ((25, 0), -0.2961),
                ((59, 30), 0.4830),
            ],
        );
        // lfcc(sig(5000), 400, 40, 13, lo=100., hi=7000.)
        let narrow =
            LfccConfig { win: 400, n_filters: 40, n_ceps: 13, low_hz: 100.0, high_hz: 7_000.0, ..default };
        close(
            &Lfcc::new(&narrow).unwrap().lfcc(&x),
            &[((0, 3), -1.5917), ((12, 9), -1.3415), ((14, 20), 0.0120), ((38, 30), -1.0147)],
        );
    }

    #[test]
    fn senseless_settings_are_refused_and_short_signals_are_not() {
        let ok = LfccConfig::default();
        for bad in [
            LfccConfig { n_ceps: 61, ..ok.clone() },
            LfccConfig { n_ceps: 0, ..ok.clone() },
            LfccConfig { high_hz: 9_000.0, ..ok.clone() },
            LfccConfig { low_hz: 8_000.0, ..ok.clone() },
            LfccConfig { low_hz: f64::NAN, ..ok.clone() },
            LfccConfig { win: 600, ..ok.clone() },
            LfccConfig { hop: 0, ..ok.clone() },
            LfccConfig { floor: 0.0, ..ok.clone() },
        ] {
            assert!(Lfcc::new(&bad).is_none(), "{bad:?}");
        }
        let plan = Lfcc::new(&ok).unwrap();
        assert_eq!(plan.lfcc(&[]).dim(), (60, 0));
        assert_eq!(plan.lfcc(&[0.1]).dim(), (60, 1));
        assert_eq!(plan.filterbank(&vec![0.0; 64_000]).dim(), (60, 400));
        assert!(plan.lfcc(&[0.0; 1_000]).iter().all(|v| v.is_finite()));
    }
}

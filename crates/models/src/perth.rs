//! The decoder of Perth, the audio watermark of Resemble AI (PyPI `resemble-perth`, MIT).
//!
//! A network reads the mark from the spectrogram below 2 kHz, at three speeds, and says how sure it is. The published decoder
//! works at 32 kHz with 2,048-point spectra; the same bins come from 1,024 points at 16 kHz, where magnitudes are half as large.

use std::sync::OnceLock;

use candle_core::Tensor;
use candor_features::Waveform;
use candor_features::audio::{Stft, WindowShape};

use crate::net::{FROZEN, Params, Start};
use crate::{Error, Result, kernels::over_time};

/// Points of a spectrum and samples between spectra, at 16 kHz.
const FRAME: usize = 1_024;
const HOP: usize = 160;
/// Bins that are read: those below 2 kHz.
const BAND: usize = 128;
/// Channels inside.
const HIDDEN: usize = 256;
/// Taps of the layers of a branch.
const TAPS: [usize; 7] = [1, 7, 7, 7, 7, 7, 1];
/// Names of the branches and how much longer each makes the time.
const BRANCHES: [(&str, f64); 3] = [("slow", 1.25), ("normal", 1.0), ("fast", 0.75)];
/// Slope of the activation below zero.
const LEAK: f32 = 0.01;
/// Share of the loudest frame's sum of levels below which a frame is left out.
const MASK: f32 = 0.05;
/// Seconds of a window, and for how many seconds of a recording there is one.
const WINDOW_S: usize = 3;
const EVERY_S: usize = 20;
/// Most windows.
const WINDOWS: usize = 3;

/// The published decoder, converted by `candor model import perth`.
const WEIGHTS: &[u8] = include_bytes!("../../../weights/audio/perth.safetensors");

/// A layer: weights `[taps * inputs, outputs]`, bias.
struct Layer {
    taps: usize,
    inputs: usize,
    weight: Vec<f32>,
    bias: Vec<f32>,
}

/// The decoder with its weights.
pub struct Perth {
    branches: Vec<Vec<Layer>>,
    stft: Stft,
}

/// Inputs and outputs of a layer.
fn widths(layer: usize) -> (usize, usize) {
    (if layer == 0 { BAND } else { HIDDEN }, if layer + 1 == TAPS.len() { 2 } else { HIDDEN })
}

/// Makes the variables, with the shapes of the checkpoint: `[outputs, inputs, taps]`.
pub(crate) fn variables(params: &mut Params) -> Result<()> {
    for (branch, _) in BRANCHES {
        for (i, taps) in TAPS.into_iter().enumerate() {
            let (inputs, outputs) = widths(i);
            params.get(
                &format!("{FROZEN}{branch}.{i}.weight"),
                &[outputs, inputs, taps],
                Start::Constant(0.0),
            )?;
            params.get(&format!("{FROZEN}{branch}.{i}.bias"), &[outputs], Start::Constant(0.0))?;
        }
    }
    Ok(())
}

impl Perth {
    /// The decoder that is built in.
    ///
    /// # Errors
    /// When the embedded file is damaged, which the tests rule out.
    pub fn embedded() -> Result<&'static Self> {
        static DECODER: OnceLock<Option<Perth>> = OnceLock::new();
        let decoder = DECODER.get_or_init(|| Self::from_safetensors(WEIGHTS).ok());
        decoder.as_ref().ok_or_else(|| Error::model("audio/perth", "the embedded weights are damaged"))
    }

    /// A decoder from a file that `candor model import perth` made.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape.
    pub fn from_safetensors(bytes: &[u8]) -> Result<Self> {
        let mut params = Params::blank();
        variables(&mut params)?;
        params.load_safetensors(bytes)?;
        let values = params.snapshot()?;
        let mut branches = Vec::new();
        for (branch, _) in BRANCHES {
            let mut layers = Vec::new();
            for (i, taps) in TAPS.into_iter().enumerate() {
                let get = |what: &str| {
                    let name = format!("{FROZEN}{branch}.{i}.{what}");
                    values.get(&name).cloned().ok_or_else(|| Error::model(name, "is not there"))
                };
                let (inputs, outputs) = widths(i);
                let shape = (outputs, inputs, taps);
                let weight = Tensor::from_vec(get("weight")?, shape, &candle_core::Device::Cpu)?;
                let weight = weight.permute((2, 1, 0))?.flatten_all()?.to_vec1()?;
                layers.push(Layer { taps, inputs, weight, bias: get("bias")? });
            }
            branches.push(layers);
        }
        let stft = Stft::new(FRAME, FRAME, HOP, WindowShape::Hann)
            .ok_or_else(|| Error::model("audio/perth", "no transform"))?;
        Ok(Self { branches, stft })
    }

    /// How sure the network is that the recording carries the mark, in [0, 1]: the mean over up to three windows of 3 s, evenly spread.
    /// `None` below half a second and for silence.
    pub fn confidence(&self, wave: &Waveform) -> Option<f64> {
        let rate = Waveform::RATE as usize;
        let samples = &wave.samples;
        if samples.len() < rate / 2 {
            return None;
        }
        let len = (WINDOW_S * rate).min(samples.len());
        let count = samples.len().div_ceil(EVERY_S * rate).clamp(1, WINDOWS);
        let rest = samples.len() - len;
        let start = |i: usize| rest * (2 * i + 1) / (2 * count);
        let found: Vec<f64> =
            (0..count).filter_map(|i| self.window(samples.get(start(i)..start(i) + len)?)).collect();
        (!found.is_empty()).then(|| found.iter().sum::<f64>() / found.len() as f64)
    }

    fn window(&self, samples: &[f32]) -> Option<f64> {
        let half = FRAME / 2;
        // Centred frames, the ends reflected without repeating the last sample.
        let before = samples.get(1..=half)?.iter().rev();
        let after = samples.get(samples.len() - half - 1..samples.len() - 1)?.iter().rev();
        let padded: Vec<f32> = before.chain(samples).chain(after).copied().collect();
        let power = self.stft.power(&padded);
        let frames = (samples.len() / HOP + 1).min(power.nrows());
        let mut band = Vec::with_capacity(frames * BAND);
        let mut sums = Vec::with_capacity(frames);
        for row in power.rows().into_iter().take(frames) {
            // Twice the magnitude, as at twice the rate.
            let level = |p: &f32| ((20.0 * (2.0 * p.sqrt()).max(1e-9).log10()) + 180.0) / 195.0;
            band.extend(row.iter().take(BAND).map(level));
            sums.push(row.iter().map(level).sum::<f32>());
        }
        let most = sums.iter().copied().fold(0.0_f32, f32::max);
        let mask: Vec<bool> = sums.iter().map(|s| *s > MASK * most).collect();
        let mut pairs = Vec::new();
        for (layers, (_, stretch)) in self.branches.iter().zip(BRANCHES) {
            let len = (frames as f64 * stretch) as usize;
            let mut x = resized(&band, frames, len);
            for (i, layer) in layers.iter().enumerate() {
                x = over_time(&x, layer.inputs, &layer.weight, &layer.bias, layer.taps);
                if i + 1 < layers.len() {
                    x.iter_mut().filter(|v| **v < 0.0).for_each(|v| *v *= LEAK);
                }
            }
            let (mut attention, mut mark, mut n) = (0.0_f64, 0.0_f64, 0.0_f64);
            for (t, pair) in x.chunks_exact(2).enumerate() {
                // The nearest frame of the original time.
                let kept = mask.get(t * frames / len.max(1)).copied().unwrap_or(false);
                if let (&[a, m], true) = (pair, kept) {
                    (attention, mark, n) = (attention + f64::from(a), mark + f64::from(m), n + 1.0);
                }
            }
            if n > 0.0 {
                pairs.push((attention / n, mark / n));
            }
        }
        let top = pairs.iter().map(|p| p.0).fold(f64::NEG_INFINITY, f64::max);
        let (sum, norm) = pairs.iter().fold((0.0, 0.0), |(sum, norm), (attention, mark)| {
            let weight = (attention - top).exp();
            (sum + weight * mark, norm + weight)
        });
        (norm > 0.0 && f64::is_finite(sum)).then(|| (sum / norm).clamp(0.0, 1.0))
    }
}

/// Frames made `len` by linear interpolation with the ends in place.
fn resized(x: &[f32], frames: usize, len: usize) -> Vec<f32> {
    if len == frames || frames < 2 || len < 2 {
        return x.to_vec();
    }
    let row = |t: usize| x.get(t * BAND..(t + 1) * BAND).unwrap_or_default();
    let mut out = Vec::with_capacity(len * BAND);
    for t in 0..len {
        let at = t as f64 * (frames - 1) as f64 / (len - 1) as f64;
        let (low, share) = (at as usize, (at - at.floor()) as f32);
        let high = (low + 1).min(frames - 1);
        out.extend(row(low).iter().zip(row(high)).map(|(a, b)| a + (b - a) * share));
    }
    out
}

#[cfg(test)]
mod tests {
    use candor_features::{Limits, Media, decode};

    use super::*;

    fn wave(samples: Vec<f32>) -> Waveform {
        let clip = decode(include_bytes!("../tests/data/perth.flac"), &Limits::default()).unwrap();
        let Media::Audio(clip) = clip else { panic!("no recording") };
        Waveform { samples, ..clip }
    }

    #[test]
    fn a_marked_recording_is_known_and_others_are_not() {
        let decoder = Perth::embedded().unwrap();
        let clip = decode(include_bytes!("../tests/data/perth.flac"), &Limits::default()).unwrap();
        let Media::Audio(clip) = clip else { panic!("no recording") };
        assert!(decoder.confidence(&clip).unwrap() > 0.99);
        let plain =
            decode(include_bytes!("../../../datasets/samples/numbers.wav"), &Limits::default()).unwrap();
        let Media::Audio(plain) = plain else { panic!("no recording") };
        assert!(decoder.confidence(&plain).unwrap() < 0.1);
        assert!(decoder.confidence(&wave(vec![0.0; 7_999])).is_none());
        assert!(decoder.confidence(&wave(vec![0.0; 48_000])).is_none_or(|c| c < 0.5));
    }

    /// The published decoder in numpy, in double precision at 32 kHz, gives 0.0661 for this sound.
    #[test]
    fn as_the_published_decoder_at_twice_the_rate() {
        use std::f64::consts::TAU;
        let sound = |n: usize| {
            let t = n as f64 / f64::from(Waveform::RATE);
            let sweep = 0.2 * (TAU * (150.0 * t + 40.0 * t * t)).sin() * (1.0 + 0.5 * (TAU * 3.0 * t).sin());
            (sweep + 0.05 * (TAU * 1200.0 * t + 3.0 * (TAU * 2.0 * t).sin()).sin()) as f32
        };
        let found = Perth::embedded().unwrap().confidence(&wave((0..48_000).map(sound).collect())).unwrap();
        assert!((found - 0.0661).abs() < 0.02, "{found}");
    }
}

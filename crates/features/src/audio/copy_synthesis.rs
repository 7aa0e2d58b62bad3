//! Copy synthesis: genuine speech taken apart and put together again, as a vocoder does it.
//!
//! Such copies are valid spoofed training data (Wang and Yamagishi 2023, arXiv:2210.10570): speaker, room, microphone and
//! words are those of the genuine recording, so that only the synthesis tells the two apart.

use std::{f32::consts::TAU, sync::Arc};

use rand::{Rng, RngExt};
use realfft::{ComplexToReal, RealFftPlanner, RealToComplex, num_complex::Complex32};

use super::{WindowShape, rms};
use crate::Waveform;

const RATE: f32 = Waveform::RATE as f32;
/// Pitch that the source of the source-filter vocoder can have, in Hz.
const PITCH_HZ: [f32; 2] = [60.0, 400.0];
/// Normalised autocorrelation from which a frame is voiced.
const VOICED: f32 = 0.45;
/// Momentum of the fast Griffin-Lim algorithm.
const MOMENTUM: f32 = 0.99;

/// A copy of a recording from one of three vocoders, with its parameters drawn: phases of the spectrogram found anew,
/// phases of a mel spectrogram's inverse, or a source and a filter. Length and level stay.
pub fn copy_synthesis(samples: &[f32], rng: &mut impl Rng) -> Vec<f32> {
    let size = if rng.random() { 512 } else { 1024 };
    let frames = Frames::new(size, size / 4);
    let kind = rng.random_range(0..5);
    let mut copy = match kind {
        0 => {
            let magnitudes: Vec<f32> = frames.analyse(samples).iter().map(|x| x.norm()).collect();
            griffin_lim(&frames, &magnitudes, samples.len(), rng.random_range(1..=8), rng)
        }
        1..=3 => {
            let bands = rng.random_range(50..=100);
            let magnitudes: Vec<f32> = frames.analyse(samples).iter().map(|x| x.norm()).collect();
            let smooth = mel_copy(&magnitudes, frames.bins(), bands);
            griffin_lim(&frames, &smooth, samples.len(), rng.random_range(2..=16), rng)
        }
        _ => source_filter(&frames, samples, rng),
    };
    let (before, after) = (rms(samples), rms(&copy));
    let gain = if after > 0.0 { (before / after) as f32 } else { 0.0 };
    for v in &mut copy {
        *v = (*v * gain).clamp(-1.0, 1.0);
    }
    copy
}

/// Frames around every `hop`-th sample, from spectra and to spectra.
struct Frames {
    hop: usize,
    window: Vec<f32>,
    forward: Arc<dyn RealToComplex<f32>>,
    inverse: Arc<dyn ComplexToReal<f32>>,
}

impl Frames {
    fn new(size: usize, hop: usize) -> Self {
        let mut planner = RealFftPlanner::new();
        let (forward, inverse) = (planner.plan_fft_forward(size), planner.plan_fft_inverse(size));
        Self { hop, window: WindowShape::Hann.coefficients(size), forward, inverse }
    }

    fn bins(&self) -> usize {
        self.window.len() / 2 + 1
    }

    /// Spectra of all frames, side by side; the ends are padded with zeros.
    fn analyse(&self, samples: &[f32]) -> Vec<Complex32> {
        let (size, frames) = (self.window.len(), samples.len() / self.hop + 1);
        let mut out = vec![Complex32::default(); frames * self.bins()];
        let mut scratch = self.forward.make_scratch_vec();
        let mut frame = vec![0.0; size];
        for (t, spectrum) in out.chunks_exact_mut(self.bins()).enumerate() {
            for (i, (f, w)) in frame.iter_mut().zip(&self.window).enumerate() {
                let at = (t * self.hop + i).checked_sub(size / 2);
                *f = w * at.and_then(|at| samples.get(at)).copied().unwrap_or(0.0);
            }
            // Cannot fail: the buffers have the plan's sizes.
            let _ = self.forward.process_with_scratch(&mut frame, spectrum, &mut scratch);
        }
        out
    }

    /// Least-squares signal of `len` samples (Griffin and Lim 1984, equation 6); `spectra` are used up.
    fn synthesise(&self, spectra: &mut [Complex32], len: usize) -> Vec<f32> {
        let size = self.window.len();
        let (mut sum, mut weight) = (vec![0.0_f32; len], vec![1e-6_f32; len]);
        let mut scratch = self.inverse.make_scratch_vec();
        let mut frame = vec![0.0; size];
        for (t, spectrum) in spectra.chunks_exact_mut(self.bins()).enumerate() {
            // A real signal has real ends of its spectrum.
            for at in [0, size / 2] {
                spectrum[at].im = 0.0;
            }
            let _ = self.inverse.process_with_scratch(spectrum, &mut frame, &mut scratch);
            for (i, (f, w)) in frame.iter().zip(&self.window).enumerate() {
                let Some(at) = (t * self.hop + i).checked_sub(size / 2).filter(|&at| at < len) else {
                    continue;
                };
                sum[at] += f * w / size as f32;
                weight[at] += w * w;
            }
        }
        for (s, w) in sum.iter_mut().zip(weight) {
            *s /= w;
        }
        sum
    }
}

/// Finds phases for magnitudes, from random ones (Perraudin, Balazs and Soendergaard 2013, algorithm 2).
fn griffin_lim(
    frames: &Frames,
    magnitudes: &[f32],
    len: usize,
    iterations: usize,
    rng: &mut impl Rng,
) -> Vec<f32> {
    let with_phase = |phases: &[Complex32]| -> Vec<Complex32> {
        magnitudes.iter().zip(phases).map(|(&m, p)| p * (m / p.norm().max(1e-9))).collect()
    };
    let mut phases: Vec<Complex32> =
        magnitudes.iter().map(|_| Complex32::from_polar(1.0, rng.random_range(0.0..TAU))).collect();
    let mut before = Vec::new();
    for _ in 0..iterations {
        let now = frames.analyse(&frames.synthesise(&mut with_phase(&phases), len));
        phases = if before.is_empty() {
            now.clone()
        } else {
            now.iter().zip(&before).map(|(n, b): (&Complex32, &Complex32)| n + (n - b) * MOMENTUM).collect()
        };
        before = now;
    }
    frames.synthesise(&mut with_phase(&phases), len)
}

/// What is left of magnitudes after `bands` triangular mel bands: between the centres of two bands the logarithm is
/// interpolated.
fn mel_copy(magnitudes: &[f32], bins: usize, bands: usize) -> Vec<f32> {
    let mel = |hz: f32| (1.0 + hz / 700.0).ln();
    let top = mel(RATE / 2.0);
    // Place of each bin among the centres.
    let places: Vec<f32> = (0..bins)
        .map(|b| mel(b as f32 * RATE / 2.0 / (bins - 1) as f32) / top * (bands - 1) as f32)
        .collect();
    let mut out = Vec::with_capacity(magnitudes.len());
    for row in magnitudes.chunks_exact(bins) {
        let (mut energy, mut weight) = (vec![0.0_f32; bands + 1], vec![0.0_f32; bands + 1]);
        for (m, place) in row.iter().zip(&places) {
            let (low, share) = (*place as usize, place.fract());
            for (band, w) in [(low, 1.0 - share), (low + 1, share)] {
                energy[band] += w * m * m;
                weight[band] += w;
            }
        }
        let mut level: Vec<f32> = energy
            .iter()
            .zip(&weight)
            .map(|(e, w)| if *w > 0.0 { (e / w).max(1e-12).ln() } else { f32::NAN })
            .collect();
        // Low bands may be narrower than a bin: they take their neighbour's level.
        for band in 1..level.len() {
            if level[band].is_nan() {
                level[band] = level[band - 1];
            }
        }
        out.extend(places.iter().map(|place| {
            let low = *place as usize;
            (0.5 * (level[low] + (level[low + 1] - level[low]) * place.fract())).exp()
        }));
    }
    out
}

/// Pulses at the pitch and noise, coloured by the spectral envelope, as classic vocoders make speech.
fn source_filter(frames: &Frames, samples: &[f32], rng: &mut impl Rng) -> Vec<f32> {
    let bins = frames.bins();
    // Above this, voiced speech is noise as well.
    let noisy_bin = (rng.random_range(2_500.0..7_000.0) / (RATE / 2.0) * bins as f32) as usize;
    let lifter = rng.random_range(20..=50);
    let pitch = pitch_track(samples, frames.hop);
    let (mut pulses, mut noise) = (vec![0.0_f32; samples.len()], vec![0.0_f32; samples.len()]);
    let mut phase = 0.0;
    for (i, (p, n)) in pulses.iter_mut().zip(&mut noise).enumerate() {
        let hz = pitch.get(i / frames.hop).copied().unwrap_or(0.0);
        *n = rng.random_range(-1.7..1.7);
        if hz > 0.0 {
            phase += hz / RATE;
            if phase >= 1.0 {
                phase -= 1.0;
                // As much power as the noise.
                *p = (RATE / hz).sqrt();
            }
        }
    }
    let magnitudes: Vec<f32> = frames.analyse(samples).iter().map(|x| x.norm()).collect();
    let (mut out, other) = (frames.analyse(&pulses), frames.analyse(&noise));
    for (t, ((row, other), magnitudes)) in out
        .chunks_exact_mut(bins)
        .zip(other.chunks_exact(bins))
        .zip(magnitudes.chunks_exact(bins))
        .enumerate()
    {
        let voiced = pitch.get(t).is_some_and(|&hz| hz > 0.0);
        let envelope = smooth(magnitudes, lifter);
        for (bin, ((x, other), e)) in row.iter_mut().zip(other).zip(envelope).enumerate() {
            *x = if voiced && bin < noisy_bin { *x } else { *other } * e;
        }
    }
    frames.synthesise(&mut out, samples.len())
}

/// Spectral envelope by the first `keep` coefficients of the real cepstrum.
fn smooth(magnitudes: &[f32], keep: usize) -> Vec<f32> {
    let n = magnitudes.len();
    let log: Vec<f32> = magnitudes.iter().map(|m| m.max(1e-6).ln()).collect();
    let period = 2 * (n - 1);
    let table: Vec<f32> = (0..period).map(|i| (TAU * i as f32 / period as f32).cos()).collect();
    // A cosine transform of few coefficients, by its definition; ends count half.
    let end = |i: usize| if i == 0 || i == n - 1 { 0.5 } else { 1.0 };
    let cosine = |k: usize, i: usize| table[k * i % period];
    let cepstrum: Vec<f32> = (0..keep.min(n))
        .map(|k| {
            let sum: f32 = log.iter().enumerate().map(|(i, l)| end(i) * l * cosine(k, i)).sum();
            sum * if k == 0 { 1.0 } else { 2.0 } / (n - 1) as f32
        })
        .collect();
    (0..n).map(|i| cepstrum.iter().enumerate().map(|(k, c)| c * cosine(k, i)).sum::<f32>().exp()).collect()
}

/// Pitch in Hz at every `hop`-th sample, 0 where there is none: the highest normalised autocorrelation of 40 ms.
fn pitch_track(samples: &[f32], hop: usize) -> Vec<f32> {
    /// Samples averaged into one, which leaves 4 kHz.
    const STEP: usize = 4;
    const LEN: usize = 160;
    let low: Vec<f32> = samples.chunks(STEP).map(|c| c.iter().sum::<f32>() / c.len() as f32).collect();
    let rate = RATE / STEP as f32;
    let [shortest, longest] = [rate / PITCH_HZ[1], rate / PITCH_HZ[0]].map(|lag| lag as usize);
    (0..=samples.len() / hop)
        .map(|t| {
            let start = (t * hop / STEP).saturating_sub(LEN / 2);
            let Some(frame) = low.get(start..start + LEN + longest) else { return 0.0 };
            let (now, energy) = (&frame[..LEN], |x: &[f32]| x.iter().map(|v| v * v).sum::<f32>());
            let own = energy(now);
            let mut best = (VOICED, 0.0);
            for lag in shortest..=longest {
                let then = &frame[lag..lag + LEN];
                let dot: f32 = now.iter().zip(then).map(|(a, b)| a * b).sum();
                let r = dot / (own * energy(then)).sqrt().max(1e-9);
                // A multiple of the period fits as well as the period: later ones must be clearly better.
                if r > best.0 + if best.1 > 0.0 { 0.02 } else { 0.0 } {
                    best = (r, rate / lag as f32);
                }
            }
            best.1
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    /// A second of a vowel-like sound: harmonics of 120 Hz under two formants.
    fn vowel() -> Vec<f32> {
        let formant = |hz: f32, centre: f32| (-((hz - centre) / 300.0).powi(2)).exp();
        (0..16_000)
            .map(|i| {
                let time = i as f32 / RATE;
                (1..50)
                    .map(|k| {
                        let hz = 120.0 * k as f32;
                        (0.01 + formant(hz, 700.0) + formant(hz, 1_800.0)) * (TAU * hz * time).sin()
                    })
                    .sum::<f32>()
                    * 0.05
            })
            .collect()
    }

    /// Mean absolute difference of the log magnitudes, in dB, between bands of 250 Hz.
    fn distance(a: &[f32], b: &[f32]) -> f32 {
        let frames = Frames::new(1024, 256);
        let bands = |x: &[f32]| -> Vec<f32> {
            let spectra = frames.analyse(x);
            let rows = spectra.chunks_exact(frames.bins()).skip(4);
            let power = rows.take(50).fold(vec![0.0; frames.bins()], |mut sum, row| {
                sum.iter_mut().zip(row).for_each(|(s, v)| *s += v.norm_sqr());
                sum
            });
            power.chunks_exact(16).take(12).map(|c| 10.0 * c.iter().sum::<f32>().log10()).collect()
        };
        let (a, b) = (bands(a), bands(b));
        a.iter().zip(&b).map(|(a, b)| (a - b).abs()).sum::<f32>() / a.len() as f32
    }

    #[test]
    fn frames_give_back_the_signal() {
        let x = vowel();
        let frames = Frames::new(512, 128);
        let back = frames.synthesise(&mut frames.analyse(&x), x.len());
        assert!(x.iter().zip(&back).all(|(a, b)| (a - b).abs() < 1e-4));
    }

    #[test]
    fn pitch_is_found_and_silence_has_none() {
        let track = pitch_track(&vowel(), 256);
        assert!(track[10..50].iter().all(|hz| (hz - 120.0).abs() < 4.0), "{track:?}");
        assert!(pitch_track(&vec![0.0; 16_000], 256).iter().all(|&hz| hz == 0.0));
    }

    #[test]
    fn copies_sound_like_the_original_but_are_not_it() {
        let x = vowel();
        for seed in 0..12 {
            let copy = copy_synthesis(&x, &mut ChaCha8Rng::seed_from_u64(seed));
            assert_eq!(copy.len(), x.len());
            assert!((rms(&copy) / rms(&x) - 1.0).abs() < 0.05);
            let d = distance(&x, &copy);
            assert!(d < 6.0, "seed {seed}: {d} dB");
            let difference: Vec<f32> = x.iter().zip(&copy).map(|(a, b)| a - b).collect();
            assert!(rms(&difference) > 0.2 * rms(&x), "seed {seed} changed nothing");
            assert_eq!(copy, copy_synthesis(&x, &mut ChaCha8Rng::seed_from_u64(seed)));
        }
        for x in [vec![], vec![0.3], vec![0.0; 9_000]] {
            let copy = copy_synthesis(&x, &mut ChaCha8Rng::seed_from_u64(1));
            assert!(copy.len() == x.len() && copy.iter().all(|v| v.is_finite()));
        }
    }
}

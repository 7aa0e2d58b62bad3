//! `RawBoost` (Tak, Kamble, Patino, Todisco and Evans, "RawBoost: A Raw Data Boosting and Augmentation Method applied
//! to Automatic Speaker Verification Anti-Spoofing", ICASSP 2022), with the authors' default parameters.

use std::f64::consts::PI;

use rand::{Rng, RngExt};
use realfft::RealFftPlanner;

use super::{gaussian, scale_to};
use crate::audio::{filter::convolve, rms};

const RATE: f64 = 16_000.0;
/// Notches of a filter.
const BANDS: usize = 5;
/// Orders of the non-linearity.
const ORDERS: i32 = 5;
/// Most samples that impulses hit, as a share.
const IMPULSE_SHARE: f64 = 0.1;
/// Size of the impulses against the samples they hit.
const IMPULSE_GAIN: f32 = 2.0;

/// Algorithm 1, linear and non-linear convolutive noise: powers 1 to 5 of the signal, each through a filter of its
/// own with five notches, the higher ones 5 to 20 dB weaker.
pub fn convolutive_noise(samples: &[f32], rng: &mut impl Rng) -> Vec<f32> {
    let mut out = vec![0.0_f32; samples.len()];
    for order in 1..=ORDERS {
        let gain = if order == 1 { 0.0 } else { -rng.random_range(5.0..20.0) };
        let powers: Vec<f32> = samples.iter().map(|x| x.powi(order)).collect();
        for (o, y) in out.iter_mut().zip(filtered(&powers, &notches(gain, rng))) {
            *o += y;
        }
    }
    let mean = out.iter().sum::<f32>() / out.len().max(1) as f32;
    for x in &mut out {
        *x -= mean;
    }
    limit(&mut out);
    out
}

/// Algorithm 2, impulsive signal-dependent noise: up to a tenth of the samples change by up to twice their value.
pub fn impulsive_noise(samples: &[f32], rng: &mut impl Rng) -> Vec<f32> {
    let mut out = samples.to_vec();
    if out.is_empty() {
        return out;
    }
    let hits = (samples.len() as f64 * rng.random_range(0.0..IMPULSE_SHARE)) as usize;
    for _ in 0..hits {
        let at = rng.random_range(0..samples.len());
        let factor = rng.random_range(-1.0..1.0_f32) * rng.random_range(-1.0..1.0_f32);
        out[at] = samples[at] * (1.0 + IMPULSE_GAIN * factor);
    }
    limit(&mut out);
    out
}

/// Algorithm 3, stationary signal-independent noise: white noise through a filter with five notches, 10 to 40 dB
/// below the signal.
pub fn coloured_noise(samples: &[f32], rng: &mut impl Rng) -> Vec<f32> {
    let white: Vec<f32> = (0..samples.len()).map(|_| gaussian(rng)).collect();
    let mut noise = filtered(&white, &notches(0.0, rng));
    scale_to(&mut noise, rms(samples) / 10.0_f64.powf(rng.random_range(10.0..40.0) / 20.0));
    samples.iter().zip(noise).map(|(x, n)| x + n).collect()
}

/// A filter with five random notches (20 to 8000 Hz, 100 to 1000 Hz wide, 10 to 100 taps each) whose largest gain is
/// `gain` dB.
fn notches(gain: f64, rng: &mut impl Rng) -> Vec<f32> {
    let mut taps = vec![1.0_f32];
    for _ in 0..BANDS {
        let centre = rng.random_range(20.0..8_000.0);
        let width = rng.random_range(100.0..1_000.0);
        let count = rng.random_range(10..100_usize) | 1;
        let low = f64::max(centre - width / 2.0, 1e-3);
        let high = f64::min(centre + width / 2.0, RATE / 2.0 - 1e-3);
        let section: Vec<f32> = band_stop(count, low, high).iter().map(|&h| h as f32).collect();
        taps = direct_convolve(&taps, &section);
    }
    // 512 frequencies, as the authors look at; the filter has at most 496 taps.
    let mut padded = taps.clone();
    padded.resize(1_024, 0.0);
    let fft = RealFftPlanner::<f32>::new().plan_fft_forward(1_024);
    let mut spectrum = fft.make_output_vec();
    let _ = fft.process(&mut padded, &mut spectrum);
    let peak = spectrum.iter().take(512).map(|s| s.norm()).fold(1e-9, f32::max);
    let scale = 10.0_f32.powf(gain as f32 / 20.0) / peak;
    for h in &mut taps {
        *h *= scale;
    }
    taps
}

/// Windowed-sinc band-stop with an odd number of taps: Hamming window, unit gain at 0 Hz, as scipy's `firwin`.
fn band_stop(taps: usize, low: f64, high: f64) -> Vec<f64> {
    let sinc = |x: f64| if x == 0.0 { 1.0 } else { (PI * x).sin() / (PI * x) };
    let (low, high) = (low / (RATE / 2.0), high / (RATE / 2.0));
    let middle = (taps - 1) as f64 / 2.0;
    let mut h: Vec<f64> = (0..taps)
        .map(|n| {
            let m = n as f64 - middle;
            let window =
                if taps > 1 { 0.54 - 0.46 * (2.0 * PI * n as f64 / (taps - 1) as f64).cos() } else { 1.0 };
            window * (sinc(m) - high * sinc(high * m) + low * sinc(low * m))
        })
        .collect();
    let sum: f64 = h.iter().sum();
    for x in &mut h {
        *x /= sum;
    }
    h
}

fn direct_convolve(a: &[f32], b: &[f32]) -> Vec<f32> {
    let mut out = vec![0.0; a.len() + b.len() - 1];
    for (i, x) in a.iter().enumerate() {
        for (o, y) in out[i..].iter_mut().zip(b) {
            *o += x * y;
        }
    }
    out
}

/// The signal through a filter, its delay of half the taps taken out.
fn filtered(samples: &[f32], taps: &[f32]) -> Vec<f32> {
    let full = convolve(samples, taps);
    full.into_iter().skip(taps.len() / 2).take(samples.len()).collect()
}

/// Brings the peak down to 1 if it is above.
fn limit(samples: &mut [f32]) {
    let peak = samples.iter().fold(0.0_f32, |m, x| m.max(x.abs()));
    if peak > 1.0 {
        for x in samples.iter_mut() {
            *x /= peak;
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn tone() -> Vec<f32> {
        (0..16_000).map(|n| 0.3 * (std::f32::consts::TAU * 440.0 * n as f32 / 16_000.0).sin()).collect()
    }

    #[test]
    fn band_stop_agrees_with_scipy() {
        // scipy.signal.firwin(31, [1000., 1800.], window='hamming', fs=16000)
        let h = band_stop(31, 1_000.0, 1_800.0);
        for (n, want) in [
            (0, 0.000_915_473),
            (7, 0.011_463_377),
            (11, 0.046_450_774),
            (15, 0.896_777_1),
            (22, 0.036_106_815),
        ] {
            assert!((h[n] - want).abs() < 1e-6, "{n}: {} {want}", h[n]);
        }
    }

    #[test]
    fn the_three_algorithms_keep_length_and_stay_finite() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let x = tone();
        for _ in 0..20 {
            for y in
                [convolutive_noise(&x, &mut rng), impulsive_noise(&x, &mut rng), coloured_noise(&x, &mut rng)]
            {
                assert_eq!(y.len(), x.len());
                assert!(y.iter().all(|v| v.is_finite() && v.abs() <= 1.5));
                assert!(rms(&y) > 0.0);
            }
        }
        for empty in
            [convolutive_noise(&[], &mut rng), impulsive_noise(&[], &mut rng), coloured_noise(&[], &mut rng)]
        {
            assert!(empty.is_empty());
        }
    }

    #[test]
    fn impulses_hit_at_most_a_tenth_and_noise_keeps_its_distance() {
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let x = tone();
        for _ in 0..10 {
            let hit = impulsive_noise(&x, &mut rng)
                .iter()
                .zip(&x)
                .filter(|(a, b)| a.to_bits() != b.to_bits())
                .count();
            assert!(hit <= 1_600);
            let y = coloured_noise(&x, &mut rng);
            let noise: Vec<f32> = y.iter().zip(&x).map(|(a, b)| a - b).collect();
            let snr = 20.0 * (rms(&x) / rms(&noise)).log10();
            assert!((9.9..40.1).contains(&snr), "{snr}");
        }
    }
}

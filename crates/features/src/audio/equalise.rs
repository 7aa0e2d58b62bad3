//! Takes out of a recording what tells its source and not its nature.

use super::{filter::Biquads, rms, vad};

/// Level of the active frames afterwards, in dB re full scale.
pub const ACTIVE_LEVEL_DB: f64 = -24.0;
/// Level of the added noise, in dB re full scale.
pub const NOISE_LEVEL_DB: f64 = -65.0;

const HIGH_PASS_HZ: f64 = 80.0;
const LOW_PASS_HZ: f64 = 7_000.0;
/// More gain than this would lift nothing but rounding noise.
const MAX_GAIN: f64 = 1_000.0;

/// The same band, level and noise floor for every recording.
///
/// Collections of genuine and synthetic speech differ in offset, rumble, the band next to 8 kHz, level and digital
/// silence; a detector that sees these learns the collections. So, in training and in use alike: the mean is removed,
/// a 4th-order Butterworth high-pass at 80 Hz and an 8th-order low-pass at 7 kHz are applied, the active frames (all
/// frames if none is) are set to [`ACTIVE_LEVEL_DB`] by a gain of at most 60 dB, and white noise at
/// [`NOISE_LEVEL_DB`] is added, the same numbers for every file.
///
/// Input and output are at 16 kHz and of equal length; the output is not clipped.
pub fn equalise(samples: &[f32]) -> Vec<f32> {
    let mean = samples.iter().map(|&x| f64::from(x)).sum::<f64>() / samples.len().max(1) as f64;
    let mut out: Vec<f32> = samples.iter().map(|&x| (f64::from(x) - mean) as f32).collect();
    Biquads::high_pass(4, HIGH_PASS_HZ).run(&mut out);
    Biquads::low_pass(8, LOW_PASS_HZ).run(&mut out);
    let level = active_rms(&out);
    let gain = if level > 0.0 { (amplitude(ACTIVE_LEVEL_DB) / level).min(MAX_GAIN) } else { 0.0 };
    // Uniform noise of amplitude sqrt(3) has a root mean square of 1.
    let noise = amplitude(NOISE_LEVEL_DB) * 3.0_f64.sqrt();
    for (n, x) in out.iter_mut().enumerate() {
        *x = (f64::from(*x) * gain + noise * hash_noise(n as u64)) as f32;
    }
    out
}

/// Root mean square over the active frames, over everything if none is.
fn active_rms(samples: &[f32]) -> f64 {
    let activity = vad::activity(samples);
    let (mut sum, mut count) = (0.0, 0_usize);
    for (frame, _) in samples.chunks(vad::HOP).zip(activity.level_frames()).filter(|(_, active)| **active) {
        sum += frame.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>();
        count += frame.len();
    }
    if count > 0 { (sum / count as f64).sqrt() } else { rms(samples) }
}

fn amplitude(db: f64) -> f64 {
    10.0_f64.powf(db / 20.0)
}

/// The `n`-th number of a fixed sequence, uniform in [-1, 1): `SplitMix64` (Steele et al. 2014) of the index.
fn hash_noise(n: u64) -> f64 {
    let mut z = n.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::{WindowShape, stft::Stft};

    fn voice(gain: f32, offset: f32, rumble: f32) -> Vec<f32> {
        (0..64_000)
            .map(|n| {
                let t = n as f32 / 16_000.0;
                let pulse: f32 = (1..20).map(|h| (std::f32::consts::TAU * 140.0 * h as f32 * t).sin()).sum();
                let on = if (n / 16_000) % 2 == 1 { 0.05 } else { 0.0 };
                gain * on * pulse + offset + rumble * (std::f32::consts::TAU * 30.0 * t).sin()
            })
            .collect()
    }

    #[test]
    fn level_offset_and_rumble_leave_no_trace() {
        let a = equalise(&voice(1.0, 0.0, 0.0));
        let b = equalise(&voice(0.05, 0.01, 0.001));
        let difference: Vec<f32> = a.iter().zip(&b).map(|(x, y)| x - y).collect();
        assert!(rms(&difference[4_000..]) / rms(&a) < 0.1, "{}", rms(&difference[4_000..]) / rms(&a));
        let on = rms(&a[17_000..31_000]);
        assert!((20.0 * on.log10() - ACTIVE_LEVEL_DB).abs() < 0.5, "{}", 20.0 * on.log10());
    }

    #[test]
    fn silence_becomes_the_common_noise() {
        for x in [vec![0.0; 16_000], vec![0.3; 16_000]] {
            let y = equalise(&x);
            let quiet = &y[8_000..];
            assert!(
                (20.0 * rms(quiet).log10() - NOISE_LEVEL_DB).abs() < 0.3,
                "{}",
                20.0 * rms(quiet).log10()
            );
        }
        assert!(equalise(&[]).is_empty());
        assert_eq!(equalise(&[1.0]).len(), 1);
    }

    #[test]
    fn the_band_is_the_same_for_everybody() {
        let mut x: Vec<f32> = (0..64_000).map(|n| 0.1 * hash_noise(n + 999) as f32).collect();
        x[0] = 0.0;
        let power = Stft::new(512, 512, 256, WindowShape::Hann).unwrap().power(&equalise(&x));
        let mean = power.mean_axis(ndarray::Axis(0)).unwrap();
        let level = |from: usize, to: usize| {
            10.0 * (mean.iter().take(to).skip(from).sum::<f32>() / (to - from) as f32).log10()
        };
        assert!(level(0, 1) < level(32, 200) - 20.0);
        assert!(level(240, 256) < level(32, 200) - 35.0);
    }

    #[test]
    fn the_noise_is_white_and_fixed() {
        let noise: Vec<f64> = (0..100_000).map(hash_noise).collect();
        let mean = noise.iter().sum::<f64>() / 1e5;
        let power = noise.iter().map(|x| x * x).sum::<f64>() / 1e5;
        let lag: f64 = noise.iter().zip(&noise[1..]).map(|(a, b)| a * b).sum::<f64>() / 1e5;
        assert!(mean.abs() < 0.01 && (power - 1.0 / 3.0).abs() < 0.01 && lag.abs() < 0.01);
        // SplitMix64 of seed 0 begins with 0xe220a8397b1dcdaf.
        let first = 0xe220_a839_7b1d_cdaf_u64 as f64 / 2.0_f64.powi(63) - 1.0;
        assert!((hash_noise(0) - first).abs() < 1e-12, "{}", hash_noise(0));
    }
}

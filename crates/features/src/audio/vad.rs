//! Speech activity from energy and periodicity.

use serde::{Deserialize, Serialize};

/// Samples between frames: 10 ms.
pub(super) const HOP: usize = 160;
/// Samples of a frame: 40 ms, two periods of a voice of 50 Hz.
const FRAME: usize = 640;
/// Samples averaged into one before the periodicity is measured, which leaves 4 kHz.
const DECIMATION: usize = 4;
/// Pitch periods that are searched: 60 to 400 Hz at 4 kHz.
const LAGS: std::ops::RangeInclusive<usize> = 10..=67;
/// Normalised autocorrelation from which a frame is voiced.
const VOICED: f32 = 0.5;
/// Frames around a voiced one within which loud frames count as speech, so that consonants are kept.
const REACH: usize = 20;

/// What each 10 ms of a recording holds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Activity {
    /// Speech or something like it: loud, and within 0.2 s of a voiced frame.
    pub active: Vec<bool>,
    /// Loud against the recording's own noise floor.
    pub loud: Vec<bool>,
    /// Loud and periodic between 60 and 400 Hz.
    pub voiced: Vec<bool>,
    /// Level of the 40 ms around the frame in dB re full scale, at least -120.
    pub level_db: Vec<f32>,
}

impl Activity {
    /// Share of frames for which `flags` is set, 0 for none.
    pub fn share(flags: &[bool]) -> f64 {
        flags.iter().filter(|&&f| f).count() as f64 / flags.len().max(1) as f64
    }

    /// The frames that a level should be measured over: the active ones, else the loud ones.
    pub fn level_frames(&self) -> &[bool] {
        if self.active.iter().any(|&a| a) { &self.active } else { &self.loud }
    }
}

/// Judges every 10 ms (one frame for each begun 160 samples).
///
/// The thresholds follow the recording's own levels, so that gain does not change the outcome: a frame is loud if it
/// is 10 dB above the level that a tenth of the frames stay below, though always if it is within 10 dB of the loudest
/// twentieth and never if it is 40 dB below that. Digital silence is never loud.
pub fn activity(samples: &[f32]) -> Activity {
    let mean = samples.iter().map(|&x| f64::from(x)).sum::<f64>() / samples.len().max(1) as f64;
    let samples: Vec<f32> = samples.iter().map(|&x| (f64::from(x) - mean) as f32).collect();
    let low: Vec<f32> = samples.chunks(DECIMATION).map(|c| c.iter().sum::<f32>() / c.len() as f32).collect();
    let frames = samples.len().div_ceil(HOP);
    let mut level_db = Vec::with_capacity(frames);
    for t in 0..frames {
        let frame = around(&samples, t * HOP, FRAME);
        level_db.push(super::decibels(super::rms(frame)) as f32);
    }
    let mut sorted = level_db.clone();
    sorted.sort_by(f32::total_cmp);
    let floor = percentile(&sorted, 0.1);
    let peak = percentile(&sorted, 0.95);
    let threshold = (floor + 10.0).clamp(peak - 40.0, peak - 10.0).max(-100.0);
    let loud: Vec<bool> = level_db.iter().map(|&l| l > threshold).collect();
    let voiced: Vec<bool> = loud
        .iter()
        .enumerate()
        .map(|(t, &l)| l && periodicity(around(&low, t * HOP / DECIMATION, FRAME / DECIMATION)) > VOICED)
        .collect();
    let mut active = vec![false; frames];
    // Frames until the reach of the last voiced one ends, forwards then backwards.
    for backwards in [false, true] {
        let mut left = 0;
        for i in 0..frames {
            let t = if backwards { frames - 1 - i } else { i };
            left = if voiced[t] { REACH } else { usize::saturating_sub(left, 1) };
            active[t] |= loud[t] && left > 0;
        }
    }
    Activity { active, loud, voiced, level_db }
}

/// The value that the share `p` of sorted values stays below; 0 for none.
pub(super) fn percentile(sorted: &[f32], p: f64) -> f32 {
    let at = (p * sorted.len().saturating_sub(1) as f64).round() as usize;
    sorted.get(at).copied().unwrap_or_default()
}

/// `len` samples around the middle of the hop that begins at `start`, cut at the edges.
fn around(samples: &[f32], start: usize, len: usize) -> &[f32] {
    let from = start.saturating_sub(3 * len / 8);
    samples.get(from..(from + len).min(samples.len())).unwrap_or_default()
}

/// Highest normalised autocorrelation over the pitch lags, 0 to 1.
fn periodicity(frame: &[f32]) -> f32 {
    let mean = frame.iter().sum::<f32>() / frame.len().max(1) as f32;
    let x: Vec<f32> = frame.iter().map(|v| v - mean).collect();
    let energy = dot(&x, &x);
    // Energy of the samples that a lag leaves without a partner, at the end and at the beginning.
    let (mut tail, mut head) = (0.0_f32, 0.0_f32);
    let mut best = 0.0_f32;
    for lag in 1..=*LAGS.end() {
        // At least two thirds of a frame must overlap, or chance looks like a period.
        if 3 * (x.len().saturating_sub(lag)) < x.len() {
            break;
        }
        let n = x.len() - lag;
        tail += x[n] * x[n];
        head += x[lag - 1] * x[lag - 1];
        if lag < *LAGS.start() {
            continue;
        }
        let norm = (energy - tail).max(0.0) * (energy - head).max(0.0);
        if norm > 0.0 {
            best = best.max(dot(&x[..n], &x[lag..]) / norm.sqrt());
        }
    }
    best.min(1.0)
}

/// Inner product in eight partial sums, which the compiler turns into vector instructions.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0_f32; 8];
    let (a, b) = (a.chunks_exact(8), b[..a.len()].chunks_exact(8));
    let rest: f32 = a.remainder().iter().zip(b.remainder()).map(|(p, q)| p * q).sum();
    for (p, q) in a.zip(b) {
        for (s, (p, q)) in sums.iter_mut().zip(p.iter().zip(q)) {
            *s += p * q;
        }
    }
    sums.iter().sum::<f32>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buzz(len: usize, hz: usize, gain: f32) -> Vec<f32> {
        // A pulse train through a one-pole filter has many harmonics, as a voice has.
        let mut state = 0.0;
        (0..len)
            .map(|n| {
                state = 0.9 * state + if n % (16_000 / hz) == 0 { 1.0 } else { 0.0 };
                gain * state
            })
            .collect()
    }

    fn hiss(len: usize, gain: f32) -> Vec<f32> {
        let mut s = 1_u32;
        (0..len)
            .map(|_| {
                s = s.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                gain * ((s >> 8) as f32 / 8_388_608.0 - 1.0)
            })
            .collect()
    }

    #[test]
    fn a_voice_between_pauses_is_found_at_any_gain() {
        for gain in [0.001, 0.1, 1.0] {
            let mut x = hiss(48_000, 0.003 * gain);
            for (a, b) in x[16_000..32_000].iter_mut().zip(buzz(16_000, 125, gain)) {
                *a += b;
            }
            let found = activity(&x);
            assert_eq!(found.active.len(), 300);
            assert!(Activity::share(&found.active[102..198]) > 0.98);
            assert!(
                Activity::share(&found.active[..95]) < 0.05 && Activity::share(&found.active[205..]) < 0.05
            );
        }
    }

    #[test]
    fn hiss_is_loud_but_no_speech() {
        let found = activity(&hiss(32_000, 0.1));
        assert!(Activity::share(&found.active) < 0.05 && Activity::share(&found.loud) > 0.95);
        assert_eq!(found.level_frames().len(), 200);
    }

    #[test]
    fn silence_and_crumbs_are_harmless() {
        assert_eq!(activity(&[]), Activity::default());
        for x in [vec![0.0; 16_000], vec![0.5], vec![0.0; 161]] {
            let found = activity(&x);
            assert_eq!(found.level_db.len(), x.len().div_ceil(HOP));
            assert!(!found.active.iter().any(|&a| a) && found.level_db.iter().all(|l| l.is_finite()));
        }
    }
}

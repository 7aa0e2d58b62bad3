//! A simulation of what MP3 and AAC do to speech.
//!
//! This is no codec: nothing is written, there is one block size, no stereo and no psychoacoustic model. It has the
//! parts whose loss is heard and seen: a sine-windowed MDCT of 1024 samples, about 20 bands, the power-law quantiser
//! of MP3 (ISO/IEC 11172-3) with steps that follow the bands' energies, a bit count to be kept in each frame, and a
//! low-pass that falls with the bit rate. Low rates therefore leave holes in the spectrum that come and go, and
//! pre-echoes, as the real ones do.

use std::{f64::consts::PI, sync::Arc};

use realfft::{ComplexToReal, RealFftPlanner, RealToComplex, num_complex::Complex32};

/// Coefficients of a frame, samples between frames.
const HALF: usize = 512;
const FULL: usize = 2 * HALF;

/// The modified discrete cosine transform (Princen and Bradley 1986) with a sine window, by two real transforms each
/// way.
struct Mdct {
    forward: Arc<dyn RealToComplex<f32>>,
    inverse: Arc<dyn ComplexToReal<f32>>,
    window: Vec<f32>,
    /// `exp(-i pi n / FULL)`
    pre: Vec<Complex32>,
    /// `exp(-i pi n0 (k + 1/2) / HALF)`
    post: Vec<Complex32>,
}

impl Mdct {
    fn new() -> Self {
        let mut planner = RealFftPlanner::new();
        let turn = |angle: f64| Complex32::new(angle.cos() as f32, angle.sin() as f32);
        let offset = 0.5 + HALF as f64 / 2.0;
        Self {
            forward: planner.plan_fft_forward(FULL),
            inverse: planner.plan_fft_inverse(FULL),
            window: (0..FULL).map(|n| (PI * (n as f64 + 0.5) / FULL as f64).sin() as f32).collect(),
            pre: (0..FULL).map(|n| turn(-PI * n as f64 / FULL as f64)).collect(),
            post: (0..HALF).map(|k| turn(-PI * offset * (k as f64 + 0.5) / HALF as f64)).collect(),
        }
    }

    /// `HALF` coefficients of `FULL` samples.
    fn analyse(&self, samples: &[f32]) -> Vec<f32> {
        let spectrum = |part: fn(&Complex32) -> f32| {
            let mut time: Vec<f32> =
                samples.iter().zip(&self.window).zip(&self.pre).map(|((x, w), p)| x * w * part(p)).collect();
            let mut out = self.forward.make_output_vec();
            // Cannot fail: the sizes are the plan's.
            let _ = self.forward.process(&mut time, &mut out);
            out
        };
        let (re, im) = (spectrum(|p| p.re), spectrum(|p| p.im));
        let turned = re.iter().zip(&im).map(|(a, b)| Complex32::new(a.re - b.im, a.im + b.re));
        turned.zip(&self.post).map(|(s, p)| (s * p).re).collect()
    }

    /// `FULL` samples to be overlapped and added.
    fn synthesise(&self, coefficients: &[f32]) -> Vec<f32> {
        // Conjugates of the forward twiddles; the factor of the inverse real transform is split among its halves.
        let turned: Vec<Complex32> =
            coefficients.iter().zip(&self.post).map(|(x, p)| p.conj() * (x / HALF as f32)).collect();
        let part = |quarter: Complex32| {
            let mut bins = self.inverse.make_input_vec();
            for (b, t) in bins.iter_mut().zip(&turned) {
                *b = t * quarter;
            }
            if let Some(first) = bins.first_mut() {
                *first = Complex32::new(2.0 * first.re, 0.0);
            }
            let mut time = self.inverse.make_output_vec();
            let _ = self.inverse.process(&mut bins, &mut time);
            time
        };
        let (re, im) = (part(Complex32::new(1.0, 0.0)), part(Complex32::new(0.0, -1.0)));
        let turns = self.pre.iter().map(Complex32::conj);
        re.iter()
            .zip(&im)
            .zip(turns)
            .zip(&self.window)
            .map(|(((a, b), p), w)| w * (a * p.re - b * p.im))
            .collect()
    }
}

/// Band edges in coefficients (15.6 Hz each): 100 Hz wide at first, then growing with frequency.
fn bands() -> Vec<std::ops::Range<usize>> {
    let mut edges = vec![0];
    let mut at = 0;
    while at < HALF {
        at = (at + 6 + at / 8).min(HALF);
        edges.push(at);
    }
    edges.windows(2).map(|e| e[0]..e[1]).collect()
}

/// Highest frequency in Hz that is kept at a bit rate.
fn cutoff(kbps: f64) -> f64 {
    (3_000.0 + 120.0 * kbps).clamp(3_500.0, 8_000.0)
}

/// The loss of a perceptual codec at `kbps` kb/s (8 to 256 make sense), length and alignment kept.
pub fn simulate_codec(samples: &[f32], kbps: f64) -> Vec<f32> {
    let mdct = Mdct::new();
    let bands = bands();
    let budget = kbps.clamp(4.0, 512.0) * 1_000.0 * HALF as f64 / 16_000.0;
    let keep = (cutoff(kbps) / 8_000.0 * HALF as f64) as usize;
    let mut padded = vec![0.0; HALF];
    padded.extend_from_slice(samples);
    padded.resize(samples.len().div_ceil(HALF) * HALF + FULL, 0.0);
    let mut out = vec![0.0; padded.len()];
    for start in (0..=padded.len() - FULL).step_by(HALF) {
        let mut coefficients = mdct.analyse(&padded[start..start + FULL]);
        if let Some(high) = coefficients.get_mut(keep..) {
            high.fill(0.0);
        }
        quantise(&mut coefficients, &bands, budget);
        for (o, y) in out[start..].iter_mut().zip(mdct.synthesise(&coefficients)) {
            *o += y;
        }
    }
    out.get(HALF..HALF + samples.len()).unwrap_or_default().to_vec()
}

/// Quantises a frame so that its estimated size is at most `budget` bits.
fn quantise(coefficients: &mut [f32], bands: &[std::ops::Range<usize>], budget: f64) {
    let shape: Vec<f32> = bands
        .iter()
        .map(|b| {
            let band = coefficients.get(b.clone()).unwrap_or_default();
            // Noise may rise with the square root of the band's level, as masking allows.
            (band.iter().map(|x| x * x).sum::<f32>() / band.len().max(1) as f32).sqrt().sqrt()
        })
        .collect();
    if shape.iter().all(|&s| s <= 1e-9) {
        coefficients.fill(0.0);
        return;
    }
    let code = |x: f32, step: f32| ((x.abs() / step).powf(0.75) + 0.4054).floor().min(8_191.0);
    let size = |scale: f32| -> f64 {
        bands
            .iter()
            .zip(&shape)
            .map(|(b, s)| {
                let step = (scale * s).max(1e-9);
                let bits: f32 = coefficients
                    .get(b.clone())
                    .unwrap_or_default()
                    .iter()
                    // Zeros run together; other values cost their magnitude twice, prefix and body, and a sign.
                    .map(|&x| match code(x, step) {
                        q if q < 0.5 => 0.35,
                        q => 1.5 + 1.6 * (1.0 + q).log2(),
                    })
                    .sum();
                f64::from(bits)
            })
            .sum()
    };
    // Smallest step that fits the budget, by bisection on its exponent.
    let (mut low, mut high) = (-20.0_f32, 12.0_f32);
    for _ in 0..12 {
        let middle = f32::midpoint(low, high);
        if size(middle.exp2()) > budget { low = middle } else { high = middle }
    }
    for (b, s) in bands.iter().zip(&shape) {
        let step = (high.exp2() * s).max(1e-9);
        for x in coefficients.get_mut(b.clone()).unwrap_or_default() {
            *x = code(*x, step).powf(4.0 / 3.0).copysign(*x) * step;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::rms;

    fn speech_like(len: usize) -> Vec<f32> {
        let mut noise = 1_u32;
        (0..len)
            .map(|n| {
                let t = n as f32 / 16_000.0;
                noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let hiss = (noise >> 8) as f32 / 8_388_608.0 - 1.0;
                let tone: f32 =
                    (1..30).map(|h| (std::f32::consts::TAU * 130.0 * h as f32 * t).sin() / h as f32).sum();
                (0.1 * tone + 0.005 * hiss) * (3.0 * t).sin().abs()
            })
            .collect()
    }

    fn snr(clean: &[f32], coded: &[f32]) -> f64 {
        let error: Vec<f32> = clean.iter().zip(coded).map(|(a, b)| a - b).collect();
        20.0 * (rms(clean) / rms(&error)).log10()
    }

    #[test]
    fn the_transform_follows_its_definition_and_inverts() {
        let mdct = Mdct::new();
        let x = speech_like(3 * HALF);
        let got = mdct.analyse(&x[..FULL]);
        for k in [0, 1, 77, 511] {
            let want: f64 = (0..FULL)
                .map(|n| {
                    let angle = PI / HALF as f64 * (n as f64 + 0.5 + HALF as f64 / 2.0) * (k as f64 + 0.5);
                    f64::from(x[n]) * f64::from(mdct.window[n]) * angle.cos()
                })
                .sum();
            assert!((f64::from(got[k]) - want).abs() < 1e-3, "{k}: {} {want}", got[k]);
        }
        let (a, b) = (mdct.synthesise(&got), mdct.synthesise(&mdct.analyse(&x[HALF..])));
        for n in 0..HALF {
            assert!((a[HALF + n] + b[n] - x[HALF + n]).abs() < 1e-4, "{n}");
        }
    }

    #[test]
    fn lower_rates_lose_more() {
        let x = speech_like(32_000);
        let quality: Vec<f64> =
            [12.0, 24.0, 32.0, 64.0, 128.0].map(|k| snr(&x, &simulate_codec(&x, k))).into();
        assert!(quality.windows(2).all(|q| q[0] < q[1]), "{quality:?}");
        assert!(quality[0] > 3.0 && quality[2] < 30.0 && quality[4] > 25.0, "{quality:?}");
    }

    #[test]
    fn lengths_stay_and_silence_stays_silent() {
        for len in [0, 1, 511, 512, 513, 5_000] {
            assert_eq!(simulate_codec(&vec![0.0; len], 32.0), vec![0.0; len]);
            assert_eq!(simulate_codec(&speech_like(len), 32.0).len(), len);
        }
    }
}

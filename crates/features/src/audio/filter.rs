//! Recursive and finite filters.

use realfft::RealFftPlanner;

use crate::Waveform;

/// A cascade of second-order sections in double precision.
#[derive(Debug, Clone)]
pub struct Biquads {
    /// `[b0, b1, b2, a1, a2]`, `a0` being 1.
    sections: Vec<[f64; 5]>,
}

impl Biquads {
    /// Butterworth low-pass of even order `order` with -3 dB at `hz`, for signals at 16 kHz.
    pub fn low_pass(order: usize, hz: f64) -> Self {
        Self::butterworth(order, hz, |c| [(1.0 - c) / 2.0, 1.0 - c, (1.0 - c) / 2.0])
    }

    /// Butterworth high-pass of even order `order` with -3 dB at `hz`, for signals at 16 kHz.
    pub fn high_pass(order: usize, hz: f64) -> Self {
        Self::butterworth(order, hz, |c| [f64::midpoint(1.0, c), -1.0 - c, f64::midpoint(1.0, c)])
    }

    /// Bilinear transform of the analogue prototype, with the frequency pre-warped.
    fn butterworth(order: usize, hz: f64, numerator: impl Fn(f64) -> [f64; 3]) -> Self {
        let pairs = order.max(2) / 2;
        let rate = f64::from(Waveform::RATE);
        let (sin, cos) = (std::f64::consts::TAU * hz.clamp(1.0, 0.499 * rate) / rate).sin_cos();
        let sections = (0..pairs)
            .map(|k| {
                // Quality of the k-th pole pair.
                let q = 0.5 / (std::f64::consts::PI * (2 * k + 1) as f64 / (4 * pairs) as f64).sin();
                let alpha = sin / (2.0 * q);
                let a0 = 1.0 + alpha;
                let [b0, b1, b2] = numerator(cos).map(|b| b / a0);
                [b0, b1, b2, -2.0 * cos / a0, (1.0 - alpha) / a0]
            })
            .collect();
        Self { sections }
    }

    /// Filters a signal in place, from rest.
    pub fn run(&self, samples: &mut [f32]) {
        for &[b0, b1, b2, a1, a2] in &self.sections {
            let (mut s1, mut s2) = (0.0_f64, 0.0_f64);
            for x in samples.iter_mut() {
                let input = f64::from(*x);
                let y = b0 * input + s1;
                s1 = b1 * input - a1 * y + s2;
                s2 = b2 * input - a2 * y;
                *x = y as f32;
            }
        }
    }
}

/// Linear convolution by overlap and add, `x.len() + h.len() - 1` samples; empty if either is.
pub(super) fn convolve(x: &[f32], h: &[f32]) -> Vec<f32> {
    if x.is_empty() || h.is_empty() {
        return Vec::new();
    }
    let size = (2 * h.len()).next_power_of_two().max(1_024);
    let step = size - h.len() + 1;
    let mut planner = RealFftPlanner::<f32>::new();
    let (forward, inverse) = (planner.plan_fft_forward(size), planner.plan_fft_inverse(size));
    let mut time = vec![0.0; size];
    time[..h.len()].copy_from_slice(h);
    let mut response = forward.make_output_vec();
    let mut spectrum = forward.make_output_vec();
    let mut out = vec![0.0; x.len() + h.len() - 1];
    // None of the transforms can fail: the plans made their buffers.
    let _ = forward.process(&mut time, &mut response);
    for (i, piece) in x.chunks(step).enumerate() {
        time.fill(0.0);
        time[..piece.len()].copy_from_slice(piece);
        let _ = forward.process(&mut time, &mut spectrum);
        for (s, r) in spectrum.iter_mut().zip(&response) {
            *s *= *r / size as f32;
        }
        let _ = inverse.process(&mut spectrum, &mut time);
        for (o, t) in out[i * step..].iter_mut().zip(&time) {
            *o += t;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gain(filter: &Biquads, hz: f64) -> f64 {
        let mut x: Vec<f32> = (0..16_000)
            .map(|n| (std::f64::consts::TAU * hz * f64::from(n) / 16_000.0).sin() as f32)
            .collect();
        filter.run(&mut x);
        20.0 * (super::super::rms(&x[8_000..]) * 2.0_f64.sqrt()).log10()
    }

    #[test]
    fn butterworth_sections_have_the_right_slopes() {
        let low = Biquads::low_pass(8, 4_000.0);
        assert!((gain(&low, 4_000.0) + 3.01).abs() < 0.05);
        assert!(gain(&low, 1_000.0).abs() < 0.01 && gain(&low, 6_000.0) < -50.0);
        let high = Biquads::high_pass(4, 80.0);
        assert!((gain(&high, 80.0) + 3.01).abs() < 0.05);
        // 24 dB per octave.
        assert!((gain(&high, 20.0) + 48.2).abs() < 0.5 && gain(&high, 1_000.0).abs() < 0.01);
    }

    #[test]
    fn convolution_equals_the_sum() {
        let x: Vec<f32> = (0..3_000).map(|n| ((n * 37) % 101) as f32 / 101.0 - 0.5).collect();
        for taps in [1, 7, 700] {
            let h: Vec<f32> = (0..taps).map(|n| ((n * 53) % 97) as f32 / 97.0 - 0.5).collect();
            let y = convolve(&x, &h);
            assert_eq!(y.len(), x.len() + taps - 1);
            for n in [0, 5, 800, 2_999, y.len() - 1] {
                let want: f32 =
                    (0..taps).filter(|&k| n >= k && n - k < x.len()).map(|k| h[k] * x[n - k]).sum();
                assert!((y[n] - want).abs() < 1e-3, "{taps} taps, {n}: {} {want}", y[n]);
            }
        }
        assert!(convolve(&[], &[1.0]).is_empty());
    }
}

//! The radially averaged power spectrum.
//!
//! Natural pictures follow a power law (D. J. Field, "Relations between the statistics of natural images and the
//! response properties of cortical cells", 1987); generators miss its upper end and leave peaks where they up-sample
//! (R. Durall et al., "Watch your Up-Convolution: CNN Based Generative Deep Neural Networks are Failing to Reproduce
//! Spectral Distributions", CVPR 2020; X. Zhang et al., "Detecting and Simulating Artifacts in GAN Fake Images", WIFS
//! 2019).

use std::f32::consts::TAU;

use realfft::RealFftPlanner;
use realfft::num_complex::Complex32;

use super::Planes;

/// Longest side of the region whose spectrum is computed.
pub const REGION: usize = 512;
/// Most bins of the radial average.
const BINS: usize = 64;
/// Frequencies of the fit, in cycles per pixel: below, the window leaks; above, circles leave the square.
const FIT: [f64; 2] = [0.03, 0.5];

/// What the power spectrum of the luma tells.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Spectrum {
    /// Mean power in rings of equal width from 0 to 0.5 cycles per pixel; empty for a picture under 8 pixels.
    pub radial: Vec<f64>,
    /// Slope of log power over log frequency from 0.03 to 0.5 cycles per pixel; about -2 for photographs, 0 for noise.
    pub slope: f64,
    /// Root mean square deviation from that line, in decades.
    pub bend: f64,
    /// Share of the power above 0.25 cycles per pixel in all power but the mean, in [0, 1].
    pub high_share: f64,
    /// Strongest single frequency off the axes and above 0.1 cycles per pixel: its power over that of its ring, in
    /// decades. About 1 for noise, more for a periodic pattern.
    pub peak: f64,
}

/// Spectrum of the centre of a picture, at most [`REGION`] pixels on each side, under a Hann window.
///
/// A flat picture and one with a side under 8 pixels give zeros.
pub fn spectrum(planes: &Planes) -> Spectrum {
    let (width, height) = (planes.width.min(REGION), planes.height.min(REGION));
    if width < 8 || height < 8 {
        return Spectrum::default();
    }
    let (x, y) = ((planes.width - width) / 2, (planes.height - height) / 2);
    let luma = planes.crop(x, y, width, height).luma();
    let power = power(&luma);
    let columns = width / 2 + 1;

    // Signed frequencies of a row; columns of a real transform have none below zero.
    let row_frequency = |i: usize| {
        let i = if 2 * i > height { i as f64 - height as f64 } else { i as f64 };
        i / height as f64
    };
    // All columns but the first and the Nyquist one stand for two frequencies.
    let weight = |j: usize| if j == 0 || 2 * j == width { 1.0 } else { 2.0 };
    let cells = || {
        power.iter().enumerate().map(|(k, &p)| {
            let (i, j) = (k / columns, k % columns);
            let (v, u) = (row_frequency(i), j as f64 / width as f64);
            (i, j, u.hypot(v), p)
        })
    };

    let bins = (width.min(height) / 2).min(BINS);
    let bin = |radius: f64| (radius * 2.0 * bins as f64) as usize;
    let (mut sums, mut counts) = (vec![0.0; bins], vec![0.0; bins]);
    let (mut all, mut high) = (0.0, 0.0);
    for (_, j, radius, p) in cells() {
        if radius == 0.0 {
            continue;
        }
        all += weight(j) * p;
        if radius > 0.25 {
            high += weight(j) * p;
        }
        if let (Some(sum), Some(count)) = (sums.get_mut(bin(radius)), counts.get_mut(bin(radius))) {
            *sum += weight(j) * p;
            *count += weight(j);
        }
    }
    let radial: Vec<f64> =
        sums.iter().zip(&counts).map(|(s, &c)| if c > 0.0 { s / c } else { 0.0 }).collect();
    // A flat picture's power is rounding noise.
    if all < 1e-9 * power.len() as f64 {
        return Spectrum { radial: vec![0.0; bins], ..Spectrum::default() };
    }

    let points: Vec<(f64, f64)> = radial
        .iter()
        .enumerate()
        .map(|(i, &p)| ((i as f64 + 0.5) / (2.0 * bins as f64), p))
        .filter(|&(f, p)| (FIT[0]..=FIT[1]).contains(&f) && p > 0.0)
        .map(|(f, p)| (f.log10(), p.log10()))
        .collect();
    let (slope, bend) = line(&points);

    let peak = cells()
        .filter(|&(i, j, radius, _)| radius > 0.1 && j > 1 && i > 1 && i + 1 < height)
        .filter_map(|(.., radius, p)| {
            radial.get(bin(radius)).filter(|&&ring| ring > 0.0).map(|ring| p / ring)
        })
        .fold(0.0, f64::max);
    Spectrum {
        radial,
        slope,
        bend,
        high_share: high / all,
        peak: if peak > 0.0 { peak.log10() } else { 0.0 },
    }
}

/// Squared magnitudes of the windowed transform, without its mean: `height` rows of `width / 2 + 1`.
fn power(luma: &Planes) -> Vec<f64> {
    let (height, width) = (luma.height, luma.width);
    let columns = width / 2 + 1;
    let hann =
        |n: usize| -> Vec<f32> { (0..n).map(|i| 0.5 - 0.5 * (TAU * i as f32 / n as f32).cos()).collect() };
    let (across, down) = (hann(width), hann(height));
    let mean = (luma.data.iter().map(|&v| f64::from(v)).sum::<f64>() / luma.data.len() as f64) as f32;

    let forward = RealFftPlanner::<f32>::new().plan_fft_forward(width);
    let mut transformed = vec![Complex32::default(); height * columns];
    let mut row = forward.make_input_vec();
    for ((line, out), gain) in luma.rows(0).zip(transformed.chunks_exact_mut(columns)).zip(&down) {
        for ((slot, value), window) in row.iter_mut().zip(line).zip(&across) {
            *slot = (value - mean) * window * gain;
        }
        // The lengths are those that the plan was made for.
        let _ = forward.process(&mut row, out);
    }

    // The real transform's crate hides its complex planner; two real transforms make the complex one of a column.
    let vertical = RealFftPlanner::<f32>::new().plan_fft_forward(height);
    let mut power = vec![0.0; height * columns];
    let (mut re, mut im) = (vertical.make_input_vec(), vertical.make_input_vec());
    let (mut re_out, mut im_out) = (vertical.make_output_vec(), vertical.make_output_vec());
    for j in 0..columns {
        for ((value, re), im) in
            transformed.iter().skip(j).step_by(columns).zip(re.iter_mut()).zip(im.iter_mut())
        {
            (*re, *im) = (value.re, value.im);
        }
        let _ = vertical.process(&mut re, &mut re_out);
        let _ = vertical.process(&mut im, &mut im_out);
        for (i, slot) in power.iter_mut().skip(j).step_by(columns).enumerate() {
            // A real signal's transform is conjugate symmetric.
            let at = |out: &[Complex32]| {
                if 2 * i <= height {
                    out.get(i).copied().unwrap_or_default()
                } else {
                    out.get(height - i).copied().unwrap_or_default().conj()
                }
            };
            let (a, b) = (at(&re_out), at(&im_out));
            *slot = f64::from(a.re - b.im).powi(2) + f64::from(a.im + b.re).powi(2);
        }
    }
    power
}

/// Slope of the least-squares line and the root mean square distance from it.
fn line(points: &[(f64, f64)]) -> (f64, f64) {
    if points.len() < 3 {
        return (0.0, 0.0);
    }
    let n = points.len() as f64;
    let (mx, my) = (points.iter().map(|p| p.0).sum::<f64>() / n, points.iter().map(|p| p.1).sum::<f64>() / n);
    let sxy: f64 = points.iter().map(|p| (p.0 - mx) * (p.1 - my)).sum();
    let sxx: f64 = points.iter().map(|p| (p.0 - mx).powi(2)).sum();
    let slope = sxy / sxx;
    let rss: f64 = points.iter().map(|p| (p.1 - my - slope * (p.0 - mx)).powi(2)).sum();
    (slope, (rss / n).sqrt())
}

#[cfg(test)]
#[expect(clippy::unreadable_literal, reason = "golden numbers as Python prints them")]
mod tests {
    use rand::{RngExt, SeedableRng};

    use super::*;

    fn picture(height: usize, width: usize) -> Planes {
        let data = (0..height * width)
            .map(|i| {
                let noise = ((i * i * i * 7 + i * i * 13 + i * 37) % 251) as f32 / 255.0;
                let (y, x) = ((i / width) as f32, (i % width) as f32);
                0.5 + 0.3 * (x * 0.21).sin() * (y * 0.13).cos() + 0.1 * noise
            })
            .collect();
        Planes { channels: 1, height, width, data }
    }

    fn close(got: f64, wanted: f64) {
        assert!((got - wanted).abs() < 1e-3 * wanted.abs().max(0.01), "{got} {wanted}");
    }

    #[test]
    fn matches_numpy() {
        // import numpy as np
        // H, W = 40, 45; i = np.arange(H*W); y, x = i // W, i % W
        // a = .5 + .3*np.sin(x*.21)*np.cos(y*.13) + .1*((i**3*7 + i*i*13 + i*37) % 251)/255
        // a = a.reshape(H, W); w = lambda n: .5 - .5*np.cos(2*np.pi*np.arange(n)/n)
        // p = np.abs(np.fft.fft2((a - a.mean())*np.outer(w(H), w(W))))**2
        // r = np.hypot(*np.meshgrid(np.fft.fftfreq(H), np.fft.fftfreq(W), indexing='ij'))
        // B = min(H, W)//2; k = (r*2*B).astype(int); m = r > 0
        // rad = np.array([p[m & (k == j)].mean() for j in range(B)])
        // f = (np.arange(B) + .5)/(2*B); s = f >= .03; c = np.polyfit(np.log10(f[s]), np.log10(rad[s]), 1)
        // bend = np.sqrt(np.mean((np.polyval(c, np.log10(f[s])) - np.log10(rad[s]))**2))
        // u = np.arange(W)[None]; v = np.arange(H)[:, None]
        // off = (r > .1) & (k < B) & (u > 1) & (u <= W//2) & (v > 1) & (v < H - 1)
        // peak = np.log10((p/rad[np.minimum(k, B - 1)])[off].max())
        // print(rad[[0, 3, 19]], c[0], bend, p[r > .25].sum()/p[m].sum(), peak)
        let s = spectrum(&picture(40, 45));
        assert_eq!(s.radial.len(), 20);
        for (i, wanted) in [0, 3, 19].into_iter().zip([1041.828728, 1.102911, 0.153038]) {
            close(s.radial[i], wanted);
        }
        close(s.slope, -2.5996203);
        close(s.bend, 0.6700936);
        close(s.high_share, 0.0233991);
        close(s.peak, 1.1083490);
    }

    #[test]
    fn a_pattern_off_the_axes_is_a_peak() {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
        let data = (0..128 * 128).map(|_| rng.random::<f32>()).collect();
        let mut x = Planes { channels: 1, height: 128, width: 128, data };
        let before = spectrum(&x).peak;
        for (i, v) in x.data.iter_mut().enumerate() {
            *v += if (i / 128 + i % 128) % 4 < 2 { 0.2 } else { -0.2 };
        }
        let after = spectrum(&x).peak;
        assert!(before < 1.2 && after > 1.7, "{before} {after}");
    }

    #[test]
    fn flat_and_tiny_give_zeros() {
        let flat = Planes { channels: 3, height: 16, width: 9, data: vec![0.7; 3 * 16 * 9] };
        let s = spectrum(&flat);
        assert_eq!(s, Spectrum { radial: vec![0.0; 4], ..Spectrum::default() });
        assert_eq!(spectrum(&Planes::zeros(3, 1, 1)), Spectrum::default());
    }
}

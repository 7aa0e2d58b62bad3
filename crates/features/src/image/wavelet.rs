//! The diagonal (HH) band of the two-dimensional wavelet transform.
//!
//! I. Daubechies, "Ten Lectures on Wavelets", 1992. The band carries the traces of up-sampling that O. Li et al.
//! ("Improving Synthetic Image Detection Towards Generalization: An Image Transformation Perspective", KDD 2025, arXiv
//! 2408.06741) feed their network with.

use std::f32::consts::FRAC_1_SQRT_2;

use rayon::prelude::*;

use super::Planes;

/// Wavelets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Wavelet {
    /// Haar
    Haar,
    /// Biorthogonal 1.3, whose high-pass filter for analysis is Haar's between zeros
    Bior13,
}

impl Wavelet {
    /// Length of the analysis filters and the place of the high-pass filter's two taps in them.
    fn layout(self) -> (usize, usize) {
        match self {
            Self::Haar => (2, 0),
            Self::Bior13 => (6, 2),
        }
    }
}

/// The HH band of the first level with symmetric extension (`pywt.dwt2(x, wavelet, mode='symmetric')[1][2]`).
///
/// Each side becomes `(n + filter length - 1) / 2` long: half of it, rounded up, for Haar and two more for bior1.3. For values in
/// [0, 1] the band lies in [-1, 1]. An empty picture gives an empty band.
#[must_use]
pub fn hh(planes: &Planes, wavelet: Wavelet) -> Planes {
    let (height, width) = (planes.height, planes.width);
    if planes.data.is_empty() {
        return Planes::zeros(planes.channels, 0, 0);
    }
    let (taps, place) = wavelet.layout();
    let (h2, w2) = ((height + taps - 1) / 2, (width + taps - 1) / 2);
    // Output i is sum over j of filter[j] x[2 i + 1 - j], with only j = place and place + 1 in use.
    let pair = |i: usize, n: usize| {
        let at = (2 * i + 1) as isize - place as isize;
        (mirror(at, n), mirror(at - 1, n))
    };
    let columns: Vec<(usize, usize)> = (0..w2).map(|i| pair(i, width)).collect();
    let mut out = Planes::zeros(planes.channels, h2, w2);
    out.data.par_chunks_exact_mut(w2).enumerate().with_min_len(16).for_each(|(row, out)| {
        let (channel, i) = (row / h2, row % h2);
        let plane = planes.plane(channel);
        let line = |y: usize| plane.get(y * width..(y + 1) * width).unwrap_or(&[]);
        let (y1, y0) = pair(i, height);
        let (later, earlier) = (line(y1), line(y0));
        for (out, &(x1, x0)) in out.iter_mut().zip(&columns) {
            *out = 0.5 * (later[x1] - later[x0] - earlier[x1] + earlier[x0]);
        }
    });
    out
}

/// Index `i` in a signal of length `n` that is continued by reflection, its ends repeated.
fn mirror(i: isize, n: usize) -> usize {
    let n = n as isize;
    let i = i.rem_euclid(2 * n);
    (if i < n { i } else { 2 * n - 1 - i }) as usize
}

/// The HH band of the first level without decimation: the same size as the picture, for use as a channel of a network.
///
/// Value (y, x) is `(x[y, x] - x[y, x + 1] - x[y + 1, x] + x[y + 1, x + 1]) / 2`; beyond the last row and column the
/// picture is continued by reflection, which makes the last row and column zero. Every other value in both directions
/// is Haar's [`hh`], and bior1.3's inside the borders.
#[must_use]
pub fn hh_undecimated(planes: &Planes) -> Planes {
    let (height, width) = (planes.height, planes.width);
    let mut out = Planes::zeros(planes.channels, height, width);
    if planes.data.is_empty() {
        return out;
    }
    let gain = FRAC_1_SQRT_2 * FRAC_1_SQRT_2;
    out.data.par_chunks_exact_mut(width).enumerate().with_min_len(32).for_each(|(row, out)| {
        let (channel, y) = (row / height, row % height);
        let rows = planes.plane(channel).get(y * width..).unwrap_or(&[]);
        let (here, below) = rows.split_at(width);
        // The last row has none below it and stays zero.
        let pairs = here.windows(2).zip(below.windows(2));
        for (out, (here, below)) in out.iter_mut().zip(pairs).take(width - 1) {
            if let (&[a, b], &[c, d]) = (here, below) {
                *out = gain * (a - b - c + d);
            }
        }
    });
    out
}

#[cfg(test)]
#[expect(clippy::unreadable_literal, reason = "golden numbers as Python prints them")]
mod tests {
    use super::*;

    fn picture(channels: usize, height: usize, width: usize) -> Planes {
        let data = (0..channels * height * width)
            .map(|i| ((i * i * i * 7 + i * i * 13 + i * 37) % 251) as f32 / 255.0)
            .collect();
        Planes { channels, height, width, data }
    }

    fn assert_close(got: &[f32], wanted: &[f32]) {
        assert_eq!(got.len(), wanted.len());
        for (i, (a, b)) in got.iter().zip(wanted).enumerate() {
            assert!((a - b).abs() < 1e-5, "{i}: {a} {b}");
        }
    }

    // import numpy as np, pywt
    // i = np.arange(35); x = ((i**3*7 + i*i*13 + i*37) % 251 / 255.).reshape(5, 7)
    // for w in ['haar', 'bior1.3']: print(np.round(pywt.dwt2(x, w, mode='symmetric')[1][2].ravel(), 6).tolist())
    #[test]
    fn matches_pywavelets() {
        let x = picture(1, 5, 7);
        let haar = hh(&x, Wavelet::Haar);
        assert_eq!((haar.height, haar.width), (3, 4));
        assert_close(
            &haar.data,
            &[0.201961, -0.121569, 0.047059, 0.0, -0.094118, 0.566667, -0.741176, 0.0, 0.0, 0.0, 0.0, 0.0],
        );
        let bior = hh(&x, Wavelet::Bior13);
        assert_eq!((bior.height, bior.width), (5, 6));
        assert_close(
            &bior.data,
            &[
                0.201961, -0.201961, 0.121569, -0.047059, 0.0, 0.047059, -0.201961, 0.201961, -0.121569,
                0.047059, 0.0, -0.047059, 0.094118, -0.094118, 0.566667, -0.741176, 0.0, 0.741176, 0.0, 0.0,
                0.0, 0.0, 0.0, 0.0, -0.094118, 0.094118, -0.566667, 0.741176, 0.0, -0.741176,
            ],
        );
    }

    #[test]
    fn undecimated_holds_the_decimated() {
        let x = picture(2, 6, 8);
        let (full, half) = (hh_undecimated(&x), hh(&x, Wavelet::Haar));
        for c in 0..2 {
            for y in 0..3 {
                for x in 0..4 {
                    let (a, b) = (full.plane(c)[2 * y * 8 + 2 * x], half.plane(c)[y * 4 + x]);
                    assert!((a - b).abs() < 1e-6);
                }
            }
        }
        assert_eq!(full.plane(1)[5 * 8..], [0.0; 8]);
    }

    #[test]
    fn sizes_down_to_nothing() {
        for (height, width) in [(0, 3), (1, 1), (1, 5), (5, 1), (2, 3)] {
            let x = picture(3, height, width);
            assert_eq!(hh_undecimated(&x).data.len(), x.data.len());
            assert!(hh(&x, Wavelet::Bior13).data.iter().all(|v| v.is_finite()));
        }
    }
}

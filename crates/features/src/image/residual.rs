//! The local median residual of FerretNet.

use rayon::prelude::*;

use super::Planes;

/// Mean and standard deviation that normalise [0, 1] before the median, for all channels.
pub const MEAN: f32 = 0.5;
/// See [`MEAN`].
pub const DEVIATION: f32 = 0.25;

/// Each value minus the median of its 3x3 window whose centre is overwritten with zero.
///
/// The planes come in [0, 1] and are normalised to `(x - MEAN) / DEVIATION` first, so that the zero in the centre and
/// the zeros beyond the border are the middle grey. Channels are treated apart. The result has the shape of `planes`,
/// is in units of the normalised values and lies in [-4, 4].
///
/// S. Liang et al., "`FerretNet`: Efficient Synthetic Image Detection via Local Pixel Dependencies", `NeurIPS` 2025,
/// arXiv 2509.20890.
#[must_use]
pub fn median_residual(planes: &Planes) -> Planes {
    let mut out = Planes::zeros(planes.channels, planes.height, planes.width);
    let (height, width) = (planes.height, planes.width);
    if height == 0 || width == 0 {
        return out;
    }
    // A frame of zeros around each plane spares the inner loop every question about borders.
    let stride = width + 2;
    for channel in 0..planes.channels {
        let mut padded = vec![0.0_f32; stride * (height + 2)];
        padded
            .par_chunks_exact_mut(stride)
            .skip(1)
            .zip(planes.plane(channel).par_chunks_exact(width))
            .with_min_len(32)
            .for_each(|(to, from)| {
                for (to, from) in to.iter_mut().skip(1).zip(from) {
                    *to = (from - MEAN) / DEVIATION;
                }
            });
        let area = height * width;
        let Some(plane) = out.data.get_mut(channel * area..(channel + 1) * area) else { continue };
        plane.par_chunks_exact_mut(width).enumerate().with_min_len(16).for_each(|(y, out)| {
            if let Some(rows) = padded.get(y * stride..(y + 3) * stride) {
                let (above, rest) = rows.split_at(stride);
                let (middle, below) = rest.split_at(stride);
                residual_row(out, above, middle, below);
            }
        });
    }
    out
}

/// One row of the residual; the inputs are two values longer than `out`.
fn residual_row(out: &mut [f32], above: &[f32], middle: &[f32], below: &[f32]) {
    // Slices of one known length let the compiler drop every bounds check and compute many pixels at once.
    let n = out.len();
    let (a0, a1, a2) = (&above[..n], &above[1..=n], &above[2..n + 2]);
    let (m0, m1, m2) = (&middle[..n], &middle[1..=n], &middle[2..n + 2]);
    let (b0, b1, b2) = (&below[..n], &below[1..=n], &below[2..n + 2]);
    for i in 0..n {
        let window = [a0[i], a1[i], a2[i], m0[i], 0.0, m2[i], b0[i], b1[i], b2[i]];
        out[i] = m1[i] - median9(window);
    }
}

/// Median of nine values: the middle one of the greatest minimum, the middle median and the least maximum of three
/// triples (A. W. Paeth, "Median finding on a 3x3 grid", 1990).
#[inline]
fn median9([a, b, c, d, e, f, g, h, i]: [f32; 9]) -> f32 {
    let (first, second, third) = (sort3(a, b, c), sort3(d, e, f), sort3(g, h, i));
    let greatest_minimum = max(max(first[0], second[0]), third[0]);
    let middle_median = sort3(first[1], second[1], third[1])[1];
    let least_maximum = min(min(first[2], second[2]), third[2]);
    sort3(greatest_minimum, middle_median, least_maximum)[1]
}

#[inline]
fn sort3(a: f32, b: f32, c: f32) -> [f32; 3] {
    let (b, c) = (min(b, c), max(b, c));
    let (a, b) = (min(a, b), max(a, b));
    [a, min(b, c), max(b, c)]
}

/// One machine instruction, unlike `f32::min`, which treats NaN apart.
#[inline]
fn min(a: f32, b: f32) -> f32 {
    if a < b { a } else { b }
}

/// See [`min`].
#[inline]
fn max(a: f32, b: f32) -> f32 {
    if a < b { b } else { a }
}

#[cfg(test)]
#[expect(
    clippy::unreadable_literal,
    clippy::float_cmp,
    reason = "golden numbers as Python prints them; the network must be exact"
)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A picture with values that repeat nowhere, the same as in the Python snippets.
    fn picture(channels: usize, height: usize, width: usize) -> Planes {
        let data = (0..channels * height * width)
            .map(|i| ((i * i * i * 7 + i * i * 13 + i * 37) % 251) as f32 / 255.0)
            .collect();
        Planes { channels, height, width, data }
    }

    #[test]
    fn matches_scipy() {
        // import numpy as np
        // from scipy.ndimage import generic_filter
        // i = np.arange(3*5*4); x = ((i**3*7 + i*i*13 + i*37) % 251 / 255.).reshape(3, 5, 4); x = (x - .5) / .25
        // def f(w): w = w.copy(); w[4] = 0; return np.median(w)
        // r = np.stack([c - generic_filter(c, f, 3, mode='constant') for c in x])
        // print(r.ravel()[[0, 1, 5, 6, 19, 20, 27, 45, 59]], r.sum(), np.abs(r).sum())
        let r = median_residual(&picture(3, 5, 4));
        let golden = [-2.0, -1.105882, -0.094118, 1.003922, 1.090196, 1.043137, 1.568627, 0.878431, 0.713725];
        for (i, v) in [0, 1, 5, 6, 19, 20, 27, 45, 59].into_iter().zip(golden) {
            assert!((r.data[i] - v).abs() < 1e-5, "{i}: {} {v}", r.data[i]);
        }
        let sum: f32 = r.data.iter().sum();
        let abs: f32 = r.data.iter().map(|v| v.abs()).sum();
        assert!((sum - 2.66667).abs() < 1e-3 && (abs - 62.71373).abs() < 1e-3, "{sum} {abs}");
    }

    #[test]
    fn sizes_down_to_nothing() {
        for (height, width) in [(0, 0), (1, 1), (1, 7), (7, 1)] {
            let r = median_residual(&picture(3, height, width));
            assert_eq!((r.height, r.width, r.data.len()), (height, width, 3 * height * width));
        }
        assert_eq!(median_residual(&picture(1, 1, 1)).data, [-2.0]);
    }

    proptest! {
        #[test]
        fn the_network_sorts(values in proptest::array::uniform9(-4.0_f32..4.0)) {
            let mut sorted = values;
            sorted.sort_by(f32::total_cmp);
            prop_assert_eq!(median9(values), sorted[4]);
        }
    }
}

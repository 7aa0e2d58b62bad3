//! A map of the local noise level.
//!
//! The standard deviation of Gaussian noise is the median magnitude of the diagonal wavelet band over 0.6745 (D. L.
//! Donoho and I. M. Johnstone, "Ideal spatial adaptation by wavelet shrinkage", Biometrika 81, 1994). A sensor's noise
//! covers the whole frame; generated and smoothed areas have blocks with none.

use rayon::prelude::*;

use super::{Planes, wavelet::hh_undecimated};

/// Side of a block in pixels.
pub const BLOCK: usize = 16;

/// Noise levels block by block.
#[derive(Debug, Clone, PartialEq)]
pub struct NoiseMap {
    /// Rows of blocks.
    pub rows: usize,
    /// Columns of blocks.
    pub columns: usize,
    /// `rows * columns` standard deviations in the units of the picture, row by row.
    pub sigma: Vec<f32>,
}

/// Statistics of a [`NoiseMap`].
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct NoiseStats {
    /// Median level.
    pub median: f64,
    /// Distance between the quartiles.
    pub iqr: f64,
    /// Share of blocks without any noise, in [0, 1].
    pub zero_share: f64,
}

/// Noise levels of the luma in blocks of [`BLOCK`] pixels; what is left at the right and bottom belongs to no block.
///
/// A side shorter than a block makes one block of what there is.
pub fn noise_map(planes: &Planes) -> NoiseMap {
    let band = hh_undecimated(&planes.luma());
    let (rows, columns) = ((band.height / BLOCK).max(1), (band.width / BLOCK).max(1));
    let sigma = (0..rows * columns)
        .into_par_iter()
        .map(|i| {
            let block = band.crop(i % columns * BLOCK, i / columns * BLOCK, BLOCK, BLOCK);
            let mut magnitudes: Vec<f32> = block.data.iter().map(|v| v.abs()).collect();
            quantile(&mut magnitudes, 0.5) / 0.6745
        })
        .collect();
    NoiseMap { rows, columns, sigma }
}

impl NoiseMap {
    /// Median, spread and share of blocks without noise.
    pub fn stats(&self) -> NoiseStats {
        let mut levels = self.sigma.clone();
        // Luma is computed in floating point: a thousandth of a grey level is nothing.
        let zeros = levels.iter().filter(|&&s| s < 0.001 / 255.0).count();
        NoiseStats {
            median: f64::from(quantile(&mut levels, 0.5)),
            iqr: f64::from(quantile(&mut levels, 0.75)) - f64::from(quantile(&mut levels, 0.25)),
            zero_share: zeros as f64 / self.sigma.len().max(1) as f64,
        }
    }
}

/// The `q` quantile with linear interpolation, as `numpy.quantile`; 0 of nothing.
fn quantile(values: &mut [f32], q: f64) -> f32 {
    let Some(last) = values.len().checked_sub(1) else { return 0.0 };
    let place = q * last as f64;
    let (low, share) = (place.floor() as usize, place.fract() as f32);
    let (_, &mut below, above) = values.select_nth_unstable_by(low, f32::total_cmp);
    let next = above.iter().copied().min_by(f32::total_cmp).unwrap_or(below);
    below + share * (next - below)
}

#[cfg(test)]
#[expect(clippy::unreadable_literal, reason = "golden numbers as Python prints them")]
mod tests {
    use super::*;

    #[test]
    fn matches_numpy() {
        // import numpy as np
        // i = np.arange(50*70); a = ((i**3*7 + i*i*13 + i*37) % 251 / 255).reshape(50, 70)
        // p = np.pad(a, ((0, 1), (0, 1)), mode='symmetric'); h = (a - p[:-1, 1:] - p[1:, :-1] + p[1:, 1:])/2
        // s = np.median(np.abs(h[:48, :64]).reshape(3, 16, 4, 16), axis=(1, 3))/.6745
        // q = np.quantile(s, [.25, .5, .75]); print(s[0, 0], s[2, 3], q[1], q[2] - q[0])
        let data =
            (0..50 * 70_i64).map(|i| ((i * i * i * 7 + i * i * 13 + i * 37) % 251) as f32 / 255.0).collect();
        let map = noise_map(&Planes { channels: 1, height: 50, width: 70, data });
        assert_eq!((map.rows, map.columns), (3, 4));
        let stats = map.stats();
        let got = [f64::from(map.sigma[0]), f64::from(map.sigma[11]), stats.median, stats.iqr];
        for (got, wanted) in got.into_iter().zip([0.2848879, 0.305237, 0.2856146, 0.0210759]) {
            assert!((got - wanted).abs() < 1e-5, "{got} {wanted}");
        }
        assert!(stats.zero_share.abs() < 1e-12);
    }

    #[test]
    fn flat_and_tiny_pictures() {
        for (height, width) in [(0, 0), (1, 1), (5, 40), (64, 64)] {
            let stats =
                noise_map(&Planes { channels: 3, height, width, data: vec![0.3; 3 * height * width] })
                    .stats();
            assert_eq!(stats, NoiseStats { median: 0.0, iqr: 0.0, zero_share: 1.0 });
        }
    }
}

//! Named scalars that describe a picture, for a small classifier and for explanations.

use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Planes, blockgrid::block_grid, colour::colour_stats, noise::noise_map, npr::npr,
    residual::median_residual, spectrum::spectrum, wavelet::hh_undecimated,
};
use crate::Pixels;

/// Side of a tile in pixels.
const TILE: usize = 512;

macro_rules! stats {
    ($($(#[doc = $doc:literal])+ $name:ident),* $(,)?) => {
        /// Scalars of a picture. All are finite; none depends on its file format or size.
        #[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
        pub struct ImageStats {
            $($(#[doc = $doc])+ pub $name: f64,)*
        }

        impl ImageStats {
            /// Names in the order of [`ImageStats::named`].
            pub const NAMES: &'static [&'static str] = &[$(stringify!($name)),*];

            /// Every scalar with its name, in a fixed order.
            pub fn named(&self) -> Vec<(&'static str, f64)> {
                vec![$((stringify!($name), self.$name)),*]
            }

            fn mean(parts: &[Self]) -> Self {
                let n = parts.len().max(1) as f64;
                Self { $($name: parts.iter().map(|p| p.$name).sum::<f64>() / n),* }
            }
        }
    };
}

stats! {
    /// Slope of log power over log frequency
    spectrum_slope,
    /// Distance of the spectrum from a straight line, in decades
    spectrum_bend,
    /// Share of the power above a quarter of a cycle per pixel
    spectrum_high_share,
    /// Strongest periodic pattern off the axes, in decades over its ring
    spectrum_peak,
    /// Strength of the 8x8 grid between columns, 1 without
    grid_horizontal,
    /// Strength of the 8x8 grid between rows, 1 without
    grid_vertical,
    /// Median noise level of the blocks, in grey levels of 255
    noise_median,
    /// Distance between the quartiles of the noise levels, in grey levels
    noise_iqr,
    /// Share of blocks without noise
    noise_zero_share,
    /// Mean saturation
    saturation_mean,
    /// Standard deviation of the saturation
    saturation_sd,
    /// Correlation of red and green
    correlation_red_green,
    /// Correlation of green and blue
    correlation_green_blue,
    /// Correlation of red and blue
    correlation_red_blue,
    /// Share of samples at 0 or 255
    clipped_share,
    /// Different colours over pixels in a subsample
    unique_colour_share,
    /// Logarithm (base 10) of 1 plus the variance of the Laplacian
    sharpness,
    /// Mean magnitude of the local median residual of the green channel, in grey levels
    residual_magnitude,
    /// Excess kurtosis of that residual
    residual_kurtosis,
    /// Correlation of the residual with its right neighbour
    residual_correlation_right,
    /// Correlation of the residual with its lower neighbour
    residual_correlation_below,
    /// Correlation of the red and the green residual
    residual_correlation_red_green,
    /// Correlation of the green and the blue residual
    residual_correlation_green_blue,
    /// Mean magnitude of the neighbouring-pixel relations of the green channel, in grey levels
    npr_magnitude,
    /// Excess kurtosis of the diagonal wavelet band of the luma
    diagonal_kurtosis,
    /// Largest energy of the diagonal band in the four phases of a 2x2 lattice over their mean: above 1 after
    /// demosaicking and up-sampling
    lattice_imbalance,
}

/// Describes a picture by the mean over fixed regions: the whole picture up to a megapixel, else four tiles of 512
/// pixels in the centres of its quarters. The tiles begin at multiples of eight, so that block grids stay in phase.
pub fn image_stats(pixels: &Pixels) -> ImageStats {
    let regions = regions(pixels.width, pixels.height);
    let parts: Vec<ImageStats> = regions
        .par_iter()
        .map(|&(x, y, width, height)| region_stats(&Planes::from_region(pixels, x, y, width, height)))
        .collect();
    ImageStats::mean(&parts)
}

fn regions(width: usize, height: usize) -> Vec<(usize, usize, usize, usize)> {
    if width.saturating_mul(height) <= 4 * TILE * TILE {
        return vec![(0, 0, width, height)];
    }
    // Start of the tile in the first and second half of a side; both the same where they would overlap much.
    let starts = |n: usize| -> Vec<usize> {
        if n < 3 * TILE / 2 {
            return vec![n.saturating_sub(TILE) / 2 / 8 * 8];
        }
        [n / 4, n - n / 4]
            .iter()
            .map(|centre| centre.saturating_sub(TILE / 2).min(n - TILE) / 8 * 8)
            .collect()
    };
    let columns = starts(width);
    starts(height).into_iter().flat_map(|y| columns.iter().map(move |&x| (x, y, TILE, TILE))).collect()
}

fn region_stats(planes: &Planes) -> ImageStats {
    let luma = planes.luma();
    let (spectrum, grid) = (spectrum(&luma), block_grid(&luma));
    let (noise, colour) = (noise_map(&luma).stats(), colour_stats(planes));
    let residual = median_residual(planes);
    let green =
        Planes { channels: 1, height: planes.height, width: planes.width, data: residual.plane(1).to_vec() };
    let band = hh_undecimated(&luma);
    let relations = npr(planes);
    let grey_per_unit = f64::from(super::residual::DEVIATION) * 255.0;
    ImageStats {
        spectrum_slope: spectrum.slope,
        spectrum_bend: spectrum.bend,
        spectrum_high_share: spectrum.high_share,
        spectrum_peak: spectrum.peak,
        grid_horizontal: grid.horizontal_strength(),
        grid_vertical: grid.vertical_strength(),
        noise_median: noise.median * 255.0,
        noise_iqr: noise.iqr * 255.0,
        noise_zero_share: noise.zero_share,
        saturation_mean: colour.saturation_mean,
        saturation_sd: colour.saturation_sd,
        correlation_red_green: colour.correlations[0],
        correlation_green_blue: colour.correlations[1],
        correlation_red_blue: colour.correlations[2],
        clipped_share: colour.clipped_share,
        unique_colour_share: colour.unique_share,
        sharpness: (1.0 + colour.sharpness).log10(),
        residual_magnitude: mean_magnitude(residual.plane(1)) * grey_per_unit,
        residual_kurtosis: excess_kurtosis(residual.plane(1)),
        residual_correlation_right: neighbour_correlation(&green, 1, 0),
        residual_correlation_below: neighbour_correlation(&green, 0, 1),
        residual_correlation_red_green: correlation(
            residual.plane(0).iter().zip(residual.plane(1)).map(|(&a, &b)| (a, b)),
        ),
        residual_correlation_green_blue: correlation(
            residual.plane(1).iter().zip(residual.plane(2)).map(|(&a, &b)| (a, b)),
        ),
        npr_magnitude: mean_magnitude(relations.plane(1)) * 255.0,
        diagonal_kurtosis: excess_kurtosis(&band.data),
        lattice_imbalance: lattice_imbalance(&band),
    }
}

fn mean_magnitude(values: &[f32]) -> f64 {
    values.iter().map(|v| f64::from(v.abs())).sum::<f64>() / values.len().max(1) as f64
}

/// Fourth central moment over the squared variance, minus 3; 0 where nothing varies.
fn excess_kurtosis(values: &[f32]) -> f64 {
    let n = values.len().max(1) as f64;
    let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
    let (mut second, mut fourth) = (0.0, 0.0);
    for &v in values {
        let square = (f64::from(v) - mean).powi(2);
        second += square;
        fourth += square * square;
    }
    let variance = second / n;
    if variance < NOTHING { 0.0 } else { fourth / n / (variance * variance) - 3.0 }
}

/// Variance below which differences are rounding: a thousandth of a grey level, squared.
const NOTHING: f64 = 1.5e-11;

/// Pearson's correlation; 0 where a side does not vary.
pub(super) fn correlation(pairs: impl Iterator<Item = (f32, f32)>) -> f64 {
    let (mut n, mut x, mut y, mut xx, mut yy, mut xy) = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0);
    for (a, b) in pairs {
        let (a, b) = (f64::from(a), f64::from(b));
        n += 1.0;
        x += a;
        y += b;
        xx += a * a;
        yy += b * b;
        xy += a * b;
    }
    if n < 1.0 {
        return 0.0;
    }
    let (vx, vy) = (xx / n - (x / n).powi(2), yy / n - (y / n).powi(2));
    if vx < NOTHING || vy < NOTHING {
        return 0.0;
    }
    ((xy / n - x / n * y / n) / (vx * vy).sqrt()).clamp(-1.0, 1.0)
}

/// Correlation of the first plane with itself `dx` to the right and `dy` down.
fn neighbour_correlation(plane: &Planes, dx: usize, dy: usize) -> f64 {
    let later = plane.rows(0).skip(dy);
    correlation(
        plane.rows(0).zip(later).flat_map(|(here, there)| {
            here.iter().copied().zip(there.get(dx..).unwrap_or(&[]).iter().copied())
        }),
    )
}

fn lattice_imbalance(band: &Planes) -> f64 {
    let mut energy = [0.0_f64; 4];
    // Whole cells only, without the last row and column, which are zero by construction.
    let (height, width) = (band.height.saturating_sub(1) / 2 * 2, band.width.saturating_sub(1) / 2 * 2);
    for (y, row) in band.rows(0).take(height).enumerate() {
        for pair in row.get(..width).unwrap_or(&[]).as_chunks::<2>().0 {
            for (x, v) in pair.iter().enumerate() {
                if let Some(slot) = energy.get_mut(y % 2 * 2 + x) {
                    *slot += f64::from(v * v);
                }
            }
        }
    }
    let mean = energy.iter().sum::<f64>() / 4.0;
    let cells = (height * width / 4).max(1) as f64;
    if mean / cells < NOTHING { 1.0 } else { energy.iter().fold(0.0_f64, |a, &b| a.max(b)) / mean }
}

#[cfg(test)]
#[expect(clippy::unreadable_literal, reason = "golden numbers as Python prints them")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn moments_match_scipy() {
        // import numpy as np; from scipy.stats import kurtosis
        // v = np.arange(40)**2 % 17; print(kurtosis(v), np.corrcoef(v[:-1], v[1:])[0, 1])
        let v: Vec<f32> = (0..40).map(|i| (i * i % 17) as f32).collect();
        assert!((excess_kurtosis(&v) - -1.4404742).abs() < 1e-6);
        let plane = Planes { channels: 1, height: 1, width: 40, data: v };
        assert!((neighbour_correlation(&plane, 1, 0) - 0.3696962).abs() < 1e-6);
    }

    #[test]
    fn names_are_unique_and_in_order() {
        let named = ImageStats::default().named();
        assert_eq!(named.iter().map(|n| n.0).collect::<Vec<_>>(), ImageStats::NAMES);
        let mut sorted = ImageStats::NAMES.to_vec();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(sorted.len(), named.len());
    }

    #[test]
    fn tiles_stay_inside_and_in_phase() {
        for (width, height) in [(1, 1), (1024, 1024), (1025, 1024), (4000, 3000), (600, 9000), (1, 9_000_000)]
        {
            let regions = regions(width, height);
            assert!(regions.len() <= 4 && !regions.is_empty());
            for (x, y, w, h) in regions {
                assert!(x % 8 == 0 && y % 8 == 0 && x < width && y < height);
                assert!(x + w.min(width) <= width && y + h.min(height) <= height);
            }
        }
    }

    #[test]
    fn the_number_of_threads_changes_nothing() {
        let rgb = (0..700 * 600 * 3_usize * 4).map(|i| (i * i % 253) as u8).collect();
        let pixels = Pixels::from_rgb(1400, 1200, rgb).unwrap();
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| image_stats(&pixels))
        };
        assert_eq!(run(1), run(3));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn finite_for_any_picture(width in 1..40_usize, height in 1..40_usize, kind in 0..4_u8, seed in any::<u32>()) {
            let value = |i: u32| match kind {
                0 => seed as u8,
                1 => (i.wrapping_mul(2_654_435_761) ^ seed) as u8,
                2 => if (i / 3 + i).is_multiple_of(2) { 0 } else { 255 },
                _ => (i % 256) as u8,
            };
            let rgb = (0..(width * height * 3) as u32).map(value).collect();
            let stats = image_stats(&Pixels::from_rgb(width, height, rgb).unwrap());
            for (name, v) in stats.named() {
                prop_assert!(v.is_finite(), "{} {}", name, v);
            }
        }
    }
}

//! The grid of 8x8 blocks that JPEG leaves.
//!
//! Z. Fan and R. L. de Queiroz, "Identification of Bitmap Compression History: JPEG Detection and Quantizer
//! Estimation", IEEE Transactions on Image Processing 12 (2003): gradients across block borders are larger than those
//! inside.

use super::Planes;

/// Strength and place of the block grid.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BlockGrid {
    /// Mean gradient between the columns `x - 1` and `x` with `x % 8` equal to the index, over the mean of the other
    /// seven phases. All 1 without a grid.
    pub horizontal: [f64; 8],
    /// The same between rows.
    pub vertical: [f64; 8],
}

/// Gradient that is added on both sides of a ratio: a tenth of a grey level, so that flat pictures give 1.
const FLOOR: f64 = 0.1 / 255.0;

impl BlockGrid {
    /// Largest ratio between columns.
    pub fn horizontal_strength(&self) -> f64 {
        largest(&self.horizontal).1
    }

    /// Largest ratio between rows.
    pub fn vertical_strength(&self) -> f64 {
        largest(&self.vertical).1
    }

    /// Column and row, in 0..8, at which the blocks begin; `(0, 0)` for a JPEG that was not cropped since.
    pub fn offset(&self) -> (usize, usize) {
        (largest(&self.horizontal).0, largest(&self.vertical).0)
    }
}

fn largest(ratios: &[f64; 8]) -> (usize, f64) {
    ratios.iter().enumerate().fold((0, 0.0), |best, (i, &r)| if r > best.1 { (i, r) } else { best })
}

/// Measures the block grid in the luma of a picture with values in [0, 1].
///
/// The phases count from the left and top border of `planes`. A side under 16 pixels gives ratios of 1.
pub fn block_grid(planes: &Planes) -> BlockGrid {
    let luma = planes.luma();
    let (mut across, mut down) = ([0.0; 8], [0.0; 8]);
    let mut previous: Option<&[f32]> = None;
    for (y, row) in luma.rows(0).enumerate() {
        // Eight sums side by side keep the order of the additions, and with it the result.
        let mut sums = [0.0_f32; 8];
        let inner = row.get(7..).unwrap_or(&[]);
        let (left, right) = (inner.as_chunks::<8>().0, row.get(8..).unwrap_or(&[]).as_chunks::<8>().0);
        for (l, r) in left.iter().zip(right) {
            for ((sum, l), r) in sums.iter_mut().zip(l).zip(r) {
                *sum += (r - l).abs();
            }
        }
        for (total, sum) in across.iter_mut().zip(sums) {
            *total += f64::from(sum);
        }
        if let Some(previous) = previous {
            let sum: f32 = row.iter().zip(previous).map(|(a, b)| (a - b).abs()).sum();
            // The first block has no row above it; leave it out so that all phases count the same rows.
            if y >= 8
                && y < luma.height / 8 * 8
                && let Some(total) = down.get_mut(y % 8)
            {
                *total += f64::from(sum);
            }
        }
        previous = Some(row);
    }
    let blocks = |n: usize| (n / 8).saturating_sub(1);
    BlockGrid {
        horizontal: ratios(&across, luma.height * blocks(luma.width)),
        vertical: ratios(&down, luma.width * blocks(luma.height)),
    }
}

/// Each phase's mean over the mean of the others.
fn ratios(sums: &[f64; 8], count: usize) -> [f64; 8] {
    if count == 0 {
        return [1.0; 8];
    }
    let means = sums.map(|s| s / count as f64);
    let all: f64 = means.iter().sum();
    means.map(|m| (m + FLOOR) / ((all - m) / 7.0 + FLOOR))
}

#[cfg(test)]
#[expect(clippy::unreadable_literal, reason = "golden numbers as Python prints them")]
mod tests {
    use super::*;
    use crate::Pixels;
    use crate::image::launder::{crop, encode_jpeg};

    fn picture(height: usize, width: usize) -> Planes {
        let data = (0..height * width)
            .map(|i| ((i * i * i * 7 + i * i * 13 + i * 37) % 251) as f32 / 255.0)
            .collect();
        Planes { channels: 1, height, width, data }
    }

    #[test]
    fn matches_numpy() {
        // import numpy as np
        // i = np.arange(20*29); a = ((i**3*7 + i*i*13 + i*37) % 251 / 255).reshape(20, 29); e = .1/255
        // g = np.abs(np.diff(a, axis=1)); m = np.array([g[:, 7+k:23:8].mean() for k in range(8)])
        // h = np.abs(np.diff(a, axis=0)); n = np.array([h[7+k:15:8].mean() for k in range(8)])
        // for m in (m, n): print(((m + e)/((m.sum() - m)/7 + e)).tolist())
        let grid = block_grid(&picture(20, 29));
        for (got, wanted) in grid.horizontal.iter().chain(&grid.vertical).zip([
            0.801593, 1.12737, 0.700681, 1.151007, 0.880564, 1.152466, 1.215333, 1.002768, 0.975409,
            0.926677, 1.099432, 0.914587, 0.98723, 1.116323, 0.976771, 1.008231,
        ]) {
            assert!((got - wanted).abs() < 1e-4, "{got} {wanted}");
        }
    }

    #[test]
    fn finds_the_grid_of_a_jpeg_and_of_its_crop() {
        let rgb = (0..128 * 128)
            .flat_map(|i| {
                let (x, y) = ((i % 128) as f32, (i / 128) as f32);
                [(128.0 + 60.0 * (x / 9.0).sin() + 50.0 * (y / 7.0).cos() + (i * i % 23) as f32) as u8; 3]
            })
            .collect();
        let bytes = encode_jpeg(&Pixels::from_rgb(128, 128, rgb).unwrap(), 30, false).unwrap();
        let decoded = crate::decode(&bytes, &crate::Limits::default()).unwrap();
        let crate::Media::Image(pixels) = decoded else { panic!("not an image") };
        let grid = block_grid(&Planes::from_pixels(&pixels));
        assert_eq!(grid.offset(), (0, 0));
        assert!(grid.horizontal_strength() > 1.2 && grid.vertical_strength() > 1.2, "{grid:?}");
        let cropped = block_grid(&Planes::from_pixels(&crop(&pixels, 3, 5, 100, 100)));
        assert_eq!(cropped.offset(), (5, 3));
    }

    #[test]
    fn flat_and_tiny_have_no_grid() {
        for (height, width) in [(1, 1), (15, 15), (40, 40)] {
            let grid = block_grid(&Planes { channels: 1, height, width, data: vec![0.5; height * width] });
            assert_eq!(grid, BlockGrid { horizontal: [1.0; 8], vertical: [1.0; 8] });
        }
    }
}

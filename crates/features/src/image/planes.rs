//! Planar floating-point pictures.

use rayon::prelude::*;

use crate::Pixels;

/// A picture as planes of floats, one after the other.
#[derive(Debug, Clone, PartialEq)]
pub struct Planes {
    /// Number of planes: 3 for RGB, 1 for luma.
    pub channels: usize,
    /// Rows of a plane.
    pub height: usize,
    /// Columns of a plane.
    pub width: usize,
    /// `channels * height * width` values, plane by plane and row by row.
    pub data: Vec<f32>,
}

impl Planes {
    /// Planes full of zeros.
    pub fn zeros(channels: usize, height: usize, width: usize) -> Self {
        Self { channels, height, width, data: vec![0.0; channels * height * width] }
    }

    /// The RGB planes of a picture, in [0, 1].
    pub fn from_pixels(pixels: &Pixels) -> Self {
        Self::from_region(pixels, 0, 0, pixels.width, pixels.height)
    }

    /// The RGB planes of a region whose top left corner is at column `x` and row `y`, in [0, 1]. What lies outside the
    /// picture is left out, so that the result may be smaller than asked for, and empty if nothing is inside.
    pub fn from_region(pixels: &Pixels, x: usize, y: usize, width: usize, height: usize) -> Self {
        let width = width.min(pixels.width.saturating_sub(x));
        let height = height.min(pixels.height.saturating_sub(y));
        let mut planes = Self::zeros(3, height, width);
        let (Some(area), true) = (width.checked_mul(height), width > 0 && height > 0) else { return planes };
        let (red, rest) = planes.data.split_at_mut(area);
        let (green, blue) = rest.split_at_mut(area);
        let rows = pixels.rgb.par_chunks_exact(pixels.width * 3).skip(y).take(height);
        red.par_chunks_exact_mut(width)
            .zip(green.par_chunks_exact_mut(width))
            .zip(blue.par_chunks_exact_mut(width))
            .zip(rows)
            .with_min_len(32)
            .for_each(|(((red, green), blue), row)| {
                let row = row.get(x * 3..).unwrap_or(&[]).chunks_exact(3);
                for (((r, g), b), rgb) in red.iter_mut().zip(green).zip(blue).zip(row) {
                    let &[sr, sg, sb] = rgb else { continue };
                    *r = f32::from(sr) / 255.0;
                    *g = f32::from(sg) / 255.0;
                    *b = f32::from(sb) / 255.0;
                }
            });
        planes
    }

    /// One plane, row by row; empty if there is no such plane.
    pub fn plane(&self, channel: usize) -> &[f32] {
        let area = self.height * self.width;
        self.data.get(channel * area..(channel + 1) * area).unwrap_or(&[])
    }

    /// The rows of one plane.
    pub fn rows(&self, channel: usize) -> impl Iterator<Item = &[f32]> {
        self.plane(channel).chunks_exact(self.width.max(1))
    }

    /// A region of every plane, cut off at the borders like [`Planes::from_region`].
    #[must_use]
    pub fn crop(&self, x: usize, y: usize, width: usize, height: usize) -> Self {
        let width = width.min(self.width.saturating_sub(x));
        let height = height.min(self.height.saturating_sub(y));
        let mut data = Vec::with_capacity(self.channels * width * height);
        for channel in 0..self.channels {
            for row in self.rows(channel).skip(y).take(height) {
                data.extend_from_slice(row.get(x..x + width).unwrap_or(&[]));
            }
        }
        Self { channels: self.channels, height, width, data }
    }

    /// Luma after ITU-R BT.601 (0.299 R + 0.587 G + 0.114 B) as one plane; a single plane is returned as it is.
    #[must_use]
    pub fn luma(&self) -> Self {
        if self.channels != 3 {
            return Self {
                channels: 1,
                height: self.height,
                width: self.width,
                data: self.plane(0).to_vec(),
            };
        }
        let data = self
            .plane(0)
            .iter()
            .zip(self.plane(1))
            .zip(self.plane(2))
            .map(|((r, g), b)| 0.299 * r + 0.587 * g + 0.114 * b)
            .collect();
        Self { channels: 1, height: self.height, width: self.width, data }
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "one division of whole numbers is exact")]
mod tests {
    use super::*;

    fn pixels() -> Pixels {
        Pixels::from_rgb(3, 2, (0..18).map(|i| i * 10).collect()).unwrap()
    }

    #[test]
    fn regions_and_crops_agree() {
        let all = Planes::from_pixels(&pixels());
        assert_eq!((all.channels, all.height, all.width), (3, 2, 3));
        assert_eq!(all.plane(1)[4], 130.0 / 255.0);
        let region = Planes::from_region(&pixels(), 1, 1, 5, 5);
        assert_eq!((region.height, region.width), (1, 2));
        assert_eq!(region, all.crop(1, 1, 5, 5));
        assert!(Planes::from_region(&pixels(), 3, 0, 1, 1).data.is_empty());
        assert!(all.crop(9, 9, 1, 1).data.is_empty());
    }

    #[test]
    fn luma_weights() {
        // PIL.Image.fromarray(np.uint8([[[0, 10, 20]]])).convert('L') rounds 0.299*0 + 0.587*10 + 0.114*20 = 8.15
        let luma = Planes::from_pixels(&pixels()).luma();
        assert!((luma.data[0] - 8.15 / 255.0).abs() < 1e-6);
        assert_eq!(luma.luma(), luma);
    }
}

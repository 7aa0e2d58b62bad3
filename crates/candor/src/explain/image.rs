//! The heat map of a picture: evidence in colour over the picture in grey, with a scale below.

use std::io::Cursor;

use candor_features::Pixels;
use image::imageops::{FilterType, resize, thumbnail};
use image::{ImageBuffer, ImageFormat, Rgb, RgbImage};

use super::colour::{luma, mix, viridis};
use super::{font, scale_limit};

/// Longer side of the drawn picture in pixels, at most.
const MAX_SIDE: u32 = 1024;
/// Shorter side in pixels, at least, so that the scale can be read.
const MIN_SIDE: u32 = 320;
/// Share of the heat colour in the mixture; the rest is the picture's lightness.
const OPACITY: f64 = 0.6;
/// Height of the scale below the picture in pixels.
const LEGEND: u32 = 64;
const BACKGROUND: [u8; 3] = [255, 255, 255];
const INK: [u8; 3] = [32, 32, 32];

/// A PNG of the picture with `rows * cols` cells of evidence; `None` when the grid does not fit its figures.
pub(super) fn draw(pixels: &Pixels, cols: usize, rows: usize, evidence: &[f64]) -> Option<Vec<u8>> {
    if cols == 0 || rows == 0 || evidence.len() != cols.checked_mul(rows)? {
        return None;
    }
    let picture = fit(pixels)?;
    let (w, h) = picture.dimensions();
    let limit = scale_limit(evidence);
    // A canvas of its own for slim pictures, which would leave no room for the scale.
    let mut canvas = RgbImage::from_pixel(w.max(MIN_SIDE), h + LEGEND, Rgb(BACKGROUND));
    for (x, y, pixel) in picture.enumerate_pixels() {
        // Cells stay visible as cells: smoothing would promise a resolution that the detector does not have.
        let (c, r) = (x as usize * cols / w as usize, y as usize * rows / h as usize);
        let heat = viridis(f64::midpoint(evidence[r * cols + c] / limit, 1.0));
        canvas.put_pixel(x, y, Rgb(mix([luma(pixel.0); 3], heat, OPACITY)));
    }
    legend(&mut canvas, h, limit);
    let mut png = Cursor::new(Vec::new());
    canvas.write_to(&mut png, ImageFormat::Png).ok()?;
    Some(png.into_inner())
}

/// The picture with its longer side at most [`MAX_SIDE`] and, where that allows, its shorter at least [`MIN_SIDE`].
fn fit(pixels: &Pixels) -> Option<RgbImage> {
    let (w, h) = (u32::try_from(pixels.width).ok()?, u32::try_from(pixels.height).ok()?);
    let source = ImageBuffer::<Rgb<u8>, &[u8]>::from_raw(w, h, &pixels.rgb)?;
    let longer = w.max(h);
    if longer > MAX_SIDE {
        let scaled = |side: u32| ((u64::from(side) * u64::from(MAX_SIDE) / u64::from(longer)) as u32).max(1);
        return Some(thumbnail(&source, scaled(w), scaled(h)));
    }
    // Whole factors keep every source pixel a square.
    let factor = MIN_SIDE.div_ceil(w.min(h)).min(MAX_SIDE / longer).max(1);
    Some(resize(&source, w * factor, h * factor, FilterType::Nearest))
}

/// Draws the scale from `-limit` to `limit` below row `top`.
fn legend(canvas: &mut RgbImage, top: u32, limit: f64) {
    let (left, right) = (24, canvas.width() - 24);
    let (bar_top, bar_bottom) = (top + 26, top + 38);
    for x in left..=right {
        let t = f64::from(x - left) / f64::from(right - left);
        for y in bar_top..bar_bottom {
            canvas.put_pixel(x, y, Rgb(viridis(t)));
        }
    }
    for step in -2..=2_i32 {
        let value = f64::from(step) * limit / 2.0;
        let x = left + (f64::from(step + 2) / 4.0 * f64::from(right - left)).round() as u32;
        for y in bar_bottom..bar_bottom + 4 {
            canvas.put_pixel(x, y, Rgb(INK));
        }
        let text = if step == 0 { "0".to_owned() } else { format!("{value:+.0}") };
        let at = x - (font::width(&text, 2) / 2).min(x);
        font::write(canvas, &text, (at, bar_bottom + 7), 2, INK);
    }
    let caption = top + (26 - font::HEIGHT * 2) / 2;
    let at_right = right - font::width("MACHINE", 2);
    let middle = canvas.width().midpoint(0) - font::width("LLR", 2) / 2;
    font::write(canvas, "GENUINE", (left, caption), 2, INK);
    font::write(canvas, "LLR", (middle, caption), 2, INK);
    font::write(canvas, "MACHINE", (at_right, caption), 2, INK);
}

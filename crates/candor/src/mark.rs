//! Explicit marks of generated content: words that people see, in a picture or at the head of a text, and tones that they hear.

use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::audible;
use ab_glyph::{Font, FontRef, Glyph, PxScale, ScaleFont, point};
use candor_provenance::write::{LabelKind, mark_text, with_metadata};
use image::codecs::jpeg::JpegEncoder;
use image::metadata::Orientation;
use image::{DynamicImage, GenericImage, GenericImageView, ImageDecoder, ImageFormat, ImageReader, Rgba};

/// The letters that the words take, out of Noto Sans CJK SC Bold.
const FONT: &[u8] = include_bytes!("../assets/label.otf");
/// Height of an ideograph over the shorter side: GB 45438-2025, 4.3 b), asks for at least 0.05 of it.
const HEIGHT: f32 = 0.055;
/// Height of an ideograph over its em, in this font.
const IDEOGRAPH: f32 = 0.92;
/// Smallest height in pixels that can be read.
const LEAST: f32 = 10.0;
/// Quality of JPEG and WebP pictures that are written anew.
const QUALITY: u8 = 95;
/// Opacity of the plate under the words.
const PLATE: f32 = 0.55;

/// Language of an explicit mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wording {
    /// Simplified Chinese, as GB 45438-2025 asks for.
    Chinese,
    /// English.
    English,
}

impl Wording {
    /// The words for what a label states.
    pub fn words(self, kind: LabelKind) -> &'static str {
        match (self, kind) {
            (Self::Chinese, LabelKind::Generated) => "AI生成",
            (Self::Chinese, LabelKind::Possible) => "可能为AI生成",
            (Self::Chinese, LabelKind::Suspected) => "疑似AI生成",
            (Self::English, LabelKind::Generated) => "AI-generated",
            (Self::English, LabelKind::Possible) => "Possibly AI-generated",
            (Self::English, LabelKind::Suspected) => "Suspected AI-generated",
        }
    }
}

/// Why a file was not marked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MarkError {
    /// There is no way to mark such a file.
    #[error("{0} files get no mark for people here: JPEG, PNG, WebP, WAV, plain text and Markdown do")]
    Unsupported(String),
    /// The picture cannot be decoded or written.
    #[error("the picture cannot be marked: {0}")]
    Picture(String),
    /// The samples cannot be put behind others.
    #[error("the recording cannot be marked: {0}")]
    Recording(String),
    /// The text or the container cannot be changed.
    #[error(transparent)]
    Container(#[from] candor_provenance::Error),
}

/// The file with an explicit mark: for pictures words in the lower right corner, for texts a first paragraph, for recordings "AI" in Morse
/// code before they begin (GB 45438-2025: short-long short-short), whatever the label states.
///
/// A picture is coded anew (JPEG and lossy WebP at quality 95, others without loss) in its own colours and bit depth; its metadata
/// stay. Of a WAV file in plain PCM the samples and other chunks
/// stay as they are. Only these, JPEG, PNG, WebP, and plain text and Markdown in UTF-8 are marked.
///
/// # Errors
/// [`MarkError`].
pub fn mark(bytes: &[u8], kind: LabelKind, wording: Wording) -> Result<Vec<u8>, MarkError> {
    if audible::is_wav(bytes) {
        return audible::mark(bytes);
    }
    let words = wording.words(kind);
    match image::guess_format(bytes) {
        Ok(format @ (ImageFormat::Jpeg | ImageFormat::Png | ImageFormat::WebP)) => {
            // The decoders are not ours and the file is not a friend's.
            let drawn = catch_unwind(AssertUnwindSafe(|| redrawn(bytes, format, words)))
                .map_err(|_| MarkError::Picture("it is damaged".to_owned()))??;
            Ok(with_metadata(bytes, &drawn)?)
        }
        Ok(format) => Err(MarkError::Unsupported(format!("{format:?}"))),
        Err(_) => mark_text(bytes, words).map_err(|error| match error {
            candor_provenance::Error::Unsupported(kind) => MarkError::Unsupported(kind.to_owned()),
            other => other.into(),
        }),
    }
}

/// The picture with the words, coded anew without metadata.
fn redrawn(bytes: &[u8], format: ImageFormat, words: &str) -> Result<Vec<u8>, MarkError> {
    let failed = |error: image::ImageError| MarkError::Picture(error.to_string());
    let reader = ImageReader::with_format(Cursor::new(bytes), format);
    let mut decoder = reader.into_decoder().map_err(failed)?;
    if format == ImageFormat::Jpeg && decoder.original_color_type() == image::ExtendedColorType::Cmyk8 {
        return Err(MarkError::Picture("it is in CMYK; convert it to RGB first".to_owned()));
    }
    let orientation = decoder.orientation().map_err(failed)?;
    let mut picture = DynamicImage::from_decoder(decoder).map_err(failed)?;
    picture.apply_orientation(orientation);
    draw(&mut picture, words)?;
    picture.apply_orientation(inverse(orientation));
    let mut out = Cursor::new(Vec::new());
    match format {
        ImageFormat::Jpeg => {
            picture.write_with_encoder(JpegEncoder::new_with_quality(&mut out, QUALITY)).map_err(failed)?;
        }
        // A lossless file behind a lossy one would be many times as large.
        ImageFormat::WebP if lossy(bytes) => {
            let picture = picture.to_rgba8();
            let encoder = webp::Encoder::from_rgba(&picture, picture.width(), picture.height());
            return Ok(encoder.encode(f32::from(QUALITY)).to_vec());
        }
        _ => picture.write_to(&mut out, format).map_err(failed)?,
    }
    Ok(out.into_inner())
}

/// Whether a WebP file has a lossy frame: the chunk `VP8 ` where a frame stands.
fn lossy(bytes: &[u8]) -> bool {
    let mut at = 12_usize;
    while let Some(&[a, b, c, d, l0, l1, l2, l3]) = bytes.get(at..at.saturating_add(8)) {
        match &[a, b, c, d] {
            b"VP8 " => return true,
            b"VP8L" => return false,
            _ => {}
        }
        let len = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
        at = at.saturating_add(8).saturating_add(len).saturating_add(len & 1);
    }
    false
}

/// What undoes an orientation; all but the quarter turns undo themselves.
fn inverse(orientation: Orientation) -> Orientation {
    match orientation {
        Orientation::Rotate90 => Orientation::Rotate270,
        Orientation::Rotate270 => Orientation::Rotate90,
        other => other,
    }
}

/// Draws white words on a dark plate into the lower right corner.
fn draw(picture: &mut DynamicImage, words: &str) -> Result<(), MarkError> {
    let font = FontRef::try_from_slice(FONT).map_err(|e| MarkError::Picture(e.to_string()))?;
    let (width, height) = picture.dimensions();
    let ideograph = (HEIGHT * width.min(height) as f32).max(LEAST);
    let em = ideograph / IDEOGRAPH;
    let units = font.units_per_em().unwrap_or(1000.0);
    let scaled = font.as_scaled(PxScale::from(em * font.height_unscaled() / units));
    let mut glyphs: Vec<Glyph> = Vec::new();
    let mut x = 0.0;
    for c in words.chars() {
        let id = scaled.glyph_id(c);
        glyphs.push(id.with_scale_and_position(scaled.scale(), point(x, 0.0)));
        x += scaled.h_advance(id);
    }
    let (margin, inner) = ((0.4 * em).round(), (0.3 * em).round());
    let plate = [x.ceil() + 2.0 * inner, (1.1 * em).ceil() + inner];
    if plate[0] > width as f32 || plate[1] > height as f32 {
        return Err(MarkError::Picture(format!("{width} x {height} pixels leave no room for the words")));
    }
    let left = (width as f32 - plate[0] - margin).max(0.0);
    let top = (height as f32 - plate[1] - margin).max(0.0);
    for y in top as u32..((top + plate[1]) as u32).min(height) {
        for x in left as u32..((left + plate[0]) as u32).min(width) {
            blend(picture, x, y, 0, PLATE);
        }
    }
    // The ideographs' em box, which reaches from 0.88 above the baseline to 0.12 below, in the middle of the plate.
    let baseline = top + plate[1] / 2.0 + 0.38 * em;
    for glyph in glyphs {
        let Some(outline) = font.outline_glyph(glyph) else { continue };
        let bounds = outline.px_bounds();
        outline.draw(|gx, gy, cover| {
            let (x, y) = (left + inner + bounds.min.x + gx as f32, baseline + bounds.min.y + gy as f32);
            if x >= 0.0 && y >= 0.0 && (x as u32) < width && (y as u32) < height {
                blend(picture, x as u32, y as u32, 255, cover);
            }
        });
    }
    Ok(())
}

fn blend(picture: &mut DynamicImage, x: u32, y: u32, value: u8, cover: f32) {
    let Rgba([r, g, b, a]) = picture.get_pixel(x, y);
    let cover = cover.clamp(0.0, 1.0);
    let mix = |old: u8| (f32::from(old) * (1.0 - cover) + f32::from(value) * cover).round() as u8;
    // Where nothing is seen, the plate is.
    let alpha = (f32::from(a) * (1.0 - cover) + 255.0 * cover).round() as u8;
    picture.put_pixel(x, y, Rgba([mix(r), mix(g), mix(b), alpha]));
}

#[cfg(test)]
mod tests {
    use image::{GrayImage, RgbImage};

    use super::*;

    fn coded(picture: &DynamicImage, format: ImageFormat) -> Vec<u8> {
        let mut out = Cursor::new(Vec::new());
        picture.write_to(&mut out, format).unwrap();
        out.into_inner()
    }

    #[test]
    fn words_stand_in_the_corner_and_the_rest_stays() {
        let plain = DynamicImage::ImageRgb8(RgbImage::from_pixel(400, 300, image::Rgb([90, 140, 60])));
        for format in [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::WebP] {
            for wording in [Wording::Chinese, Wording::English] {
                let marked = mark(&coded(&plain, format), LabelKind::Suspected, wording).unwrap();
                assert_eq!(image::guess_format(&marked).unwrap(), format);
                let seen = image::load_from_memory(&marked).unwrap().to_rgb8();
                assert_eq!(seen.dimensions(), (400, 300));
                assert!(seen.get_pixel(20, 20).0.iter().zip([90, 140, 60]).all(|(a, b)| a.abs_diff(b) < 6));
                let white = |p: &&image::Rgb<u8>| p.0.iter().all(|v| *v > 200);
                assert!(seen.pixels().filter(white).count() > 150, "{format:?} {wording:?}");
                assert!(seen.rows().take(200).flatten().filter(white).count() == 0);
            }
        }
    }

    #[test]
    fn ideographs_are_as_high_as_the_standard_asks_for() {
        for (width, height) in [(1000, 600), (600, 2000)] {
            let mut picture =
                DynamicImage::ImageLuma8(GrayImage::from_pixel(width, height, image::Luma([0])));
            draw(&mut picture, "生成").unwrap();
            let picture = picture.to_luma8();
            let rows = picture.rows().filter(|row| row.clone().any(|p| p.0[0] > 200)).count();
            assert!(rows >= 30, "{rows} of {width} x {height}");
        }
    }

    #[test]
    fn what_has_no_room_or_no_way_is_refused() {
        let tiny = coded(&DynamicImage::ImageRgb8(RgbImage::new(24, 24)), ImageFormat::Png);
        assert!(matches!(mark(&tiny, LabelKind::Generated, Wording::English), Err(MarkError::Picture(_))));
        let gif = b"GIF89a\x01\0\x01\0\0\0\0;";
        assert!(matches!(mark(gif, LabelKind::Generated, Wording::Chinese), Err(MarkError::Unsupported(_))));
        assert!(mark(b"\xff\xd8\xff\xe0 no picture", LabelKind::Generated, Wording::Chinese).is_err());
    }

    #[test]
    fn the_words_lie_upright_for_whoever_looks() {
        // A TIFF block with the one entry Orientation = 6: the camera was turned, and viewers turn the picture back.
        let exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
        let plain = coded(&DynamicImage::ImageRgb8(RgbImage::new(300, 200)), ImageFormat::Jpeg);
        let mut turned = plain[..2].to_vec();
        turned.extend([0xff, 0xe1]);
        turned.extend((exif.len() as u16 + 2).to_be_bytes());
        turned.extend(exif);
        turned.extend(&plain[2..]);
        let marked = mark(&turned, LabelKind::Generated, Wording::Chinese).unwrap();
        let mut decoder =
            ImageReader::with_format(Cursor::new(&marked), ImageFormat::Jpeg).into_decoder().unwrap();
        assert_eq!(decoder.orientation().unwrap(), Orientation::Rotate90);
        let mut seen = DynamicImage::from_decoder(decoder).unwrap();
        seen.apply_orientation(Orientation::Rotate90);
        let seen = seen.to_luma8();
        assert_eq!(seen.dimensions(), (200, 300));
        let white: Vec<_> = seen.enumerate_pixels().filter(|(.., p)| p.0[0] > 200).collect();
        assert!(!white.is_empty() && white.iter().all(|(x, y, _)| *x > 100 && *y > 200));
    }
}

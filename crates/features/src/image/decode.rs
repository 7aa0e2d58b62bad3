//! Decodes pictures under limits.

use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};

use image::codecs::{
    bmp::BmpDecoder, gif::GifDecoder, jpeg::JpegDecoder, png::PngDecoder, tiff::TiffDecoder,
    webp::WebPDecoder,
};
use image::metadata::Orientation;
use image::{DynamicImage, ExtendedColorType, ImageDecoder, ImageError, RgbImage};

use super::jpeg::JpegInfo;
use crate::{Error, Limits, Pixels, Result, Warning, WarningCode, sniff::ImageFormat};

/// Decodes a picture to 8-bit RGB with its orientation applied.
///
/// - Sizes are checked against `limits` before anything is allocated for the pixels.
/// - 16-bit samples are rounded to 8 bits, grey is repeated, palettes are looked up; floating-point samples are clamped
///   to [0, 1]. Colour profiles are not applied: forensic traces live in the values as stored.
/// - Transparency: a pixel that is not fully transparent keeps its stored colour, a fully transparent one becomes
///   white. Blending would mix the traces with a background that no camera or generator made.
/// - Of an animation or a file with many pictures the first is taken.
/// - A damaged JPEG, PNG, GIF or BMP gives the rows that could be decoded, if there are at least eight.
///
/// # Errors
/// [`Error::Limit`] and [`Error::Decode`].
pub fn decode(bytes: &[u8], format: ImageFormat, limits: &Limits) -> Result<Pixels> {
    // The decoders are written not to panic, but they read hostile files.
    catch_unwind(AssertUnwindSafe(|| decode_format(bytes, format, limits)))
        .unwrap_or_else(|_| Err(failed(format, "the decoder broke down on damaged data")))
}

fn decode_format(bytes: &[u8], format: ImageFormat, limits: &Limits) -> Result<Pixels> {
    let mut warnings = Vec::new();
    let fail = |e: ImageError| failed(format, &e.to_string());
    let reader = Cursor::new(bytes);
    let mut jpeg_luma_table = None;
    let mut raw = match format {
        ImageFormat::Jpeg => {
            let info = JpegInfo::parse(bytes).ok_or_else(|| failed(format, "it has no frame header"))?;
            check_pixels(info.width.into(), info.height.into(), limits)?;
            // Files in many scans are decoded through their coefficients, two bytes each.
            if info.progressive || info.scans > 1 {
                let (h, v) = info.subsampling;
                let chroma = u64::from(info.components - 1).div_ceil(u64::from(h) * u64::from(v));
                let pixels = u64::from(info.width) * u64::from(info.height);
                check_alloc(2 * pixels * (1 + chroma), limits)?;
            }
            if info.components == 4 {
                warnings.push(Warning::new(
                    WarningCode::ColourConverted,
                    "CMYK colours were converted without their profile",
                ));
            }
            jpeg_luma_table = info.luma_table;
            let mut raw = read(JpegDecoder::new(reader).map_err(fail)?, limits, limits.max_image_alloc)?;
            if raw.error.is_none() && !info.complete {
                raw.error = Some("the end of the image is missing".into());
                // The decoder fills what it did not find with middle grey.
                if !info.progressive {
                    raw.cut_rows(128);
                }
            } else {
                raw.cut_undecoded_rows();
            }
            raw
        }
        ImageFormat::Png => {
            let decoder =
                PngDecoder::with_limits(reader, alloc_limit(limits.max_image_alloc)).map_err(fail)?;
            if decoder.is_apng().unwrap_or(false) {
                warnings.push(first_frame("an animation"));
            }
            let mut raw = read(decoder, limits, limits.max_image_alloc)?;
            let interlaced = bytes.get(28).is_some_and(|&b| b != 0);
            if raw.error.is_some() {
                // Rows of a broken interlaced file are full of holes.
                if interlaced {
                    raw.data.clear();
                }
                // The decoder swaps 16-bit samples only when it is done.
                raw.big_endian = true;
            }
            raw.cut_undecoded_rows();
            raw
        }
        ImageFormat::Gif => {
            if gif_frames(bytes) > 1 {
                warnings.push(first_frame("an animation"));
            }
            let mut raw = read(GifDecoder::new(reader).map_err(fail)?, limits, limits.max_image_alloc)?;
            raw.cut_undecoded_rows();
            raw
        }
        ImageFormat::Bmp => {
            let mut raw = read(BmpDecoder::new(reader).map_err(fail)?, limits, limits.max_image_alloc)?;
            raw.cut_undecoded_rows();
            raw
        }
        ImageFormat::Tiff => {
            let more = check_tiff(bytes, limits)?;
            let decoder = TiffDecoder::new(reader).map_err(fail)?;
            let original = decoder.original_color_type();
            if matches!(original, ExtendedColorType::Cmyk8 | ExtendedColorType::Cmyk16) {
                warnings.push(Warning::new(
                    WarningCode::ColourConverted,
                    "CMYK colours were converted without their profile",
                ));
            }
            if more {
                warnings.push(first_frame("a file with many pictures"));
            }
            // This decoder counts its own copy of the picture as its allocation.
            read(decoder, limits, 0)?.all_or_nothing()
        }
        ImageFormat::WebP => {
            let decoder = WebPDecoder::new(reader).map_err(fail)?;
            let (width, height) = decoder.dimensions();
            check_pixels(width, height, limits)?;
            let mut working = 4;
            let mut orientation = None;
            let mut parts: Vec<([u8; 4], &[u8])> = Vec::new();
            for (name, body) in webp_chunks(bytes.get(12..).unwrap_or(&[])) {
                match &name {
                    b"ANMF" => parts.extend(webp_chunks(body.get(16..).unwrap_or(&[]))),
                    b"EXIF" => {
                        let block = body.strip_prefix(b"Exif\0\0").unwrap_or(body);
                        orientation = Orientation::from_exif_chunk(block);
                    }
                    _ => parts.push((name, body)),
                }
            }
            for (name, body) in parts {
                // The decoder allocates what a frame claims before it compares that with the canvas.
                if let (b"VP8 ", Some(&[0x9d, 0x01, 0x2a, w0, w1, h0, h1])) = (&name, body.get(3..10)) {
                    let side = |low, high| u32::from(u16::from_le_bytes([low, high]) & 0x3fff);
                    check_pixels(side(w0, w1), side(h0, h1), limits)?;
                }
                if &name == b"ALPH" {
                    working = 7;
                }
            }
            if decoder.has_animation() {
                warnings.push(first_frame("an animation"));
                // The canvas, the frame, its alpha plane and its YUV planes.
                working = 14;
            }
            check_alloc(working * u64::from(width) * u64::from(height), limits)?;
            let mut raw = read(WithoutExif(decoder), limits, limits.max_image_alloc)?.all_or_nothing();
            raw.orientation = orientation.unwrap_or(Orientation::NoTransforms);
            raw
        }
    };

    if let Some(reason) = raw.error.take() {
        let rows = raw.rows();
        // Eight rows are one row of JPEG blocks; less shows nothing.
        if rows < 8.min(raw.height) || rows == 0 {
            return Err(Error::Decode { format: format.name(), reason });
        }
        warnings.push(Warning::new(
            WarningCode::Truncated,
            format!("only {rows} of {} rows could be decoded: {reason}", raw.height),
        ));
        raw.height = rows;
    }
    if raw.narrow() {
        warnings.push(Warning::new(
            WarningCode::BadSamples,
            "samples were not finite or outside the range from 0 to 1 and were mended",
        ));
    }
    let (width, height, orientation) = (raw.width, raw.height, raw.orientation);
    let (width, height, rgb) = orient(width, height, raw.into_rgb(), orientation)
        .ok_or_else(|| failed(format, "the picture has an impossible size"))?;
    let mut pixels = Pixels::from_rgb(width, height, rgb)
        .ok_or_else(|| failed(format, "the picture has an impossible size"))?;
    pixels.format = format.name();
    pixels.jpeg_luma_table = jpeg_luma_table;
    pixels.warnings = warnings;
    Ok(pixels)
}

fn failed(format: ImageFormat, reason: &str) -> Error {
    Error::Decode { format: format.name(), reason: reason.into() }
}

fn first_frame(of: &str) -> Warning {
    Warning::new(WarningCode::FirstFrameOnly, format!("only the first picture of {of} was used"))
}

fn check_pixels(width: u32, height: u32, limits: &Limits) -> Result<()> {
    let value = u64::from(width) * u64::from(height);
    if value > limits.max_pixels {
        return Err(Error::Limit { what: "number of pixels", value, limit: limits.max_pixels });
    }
    Ok(())
}

fn check_alloc(value: u64, limits: &Limits) -> Result<()> {
    let limit = limits.max_image_alloc;
    if value > limit {
        return Err(Error::Limit { what: "decoder memory in bytes", value, limit });
    }
    Ok(())
}

fn alloc_limit(bytes: u64) -> image::Limits {
    let mut limits = image::Limits::no_limits();
    limits.max_alloc = Some(bytes);
    limits
}

/// What a decoder left in its buffer.
struct Raw {
    width: usize,
    height: usize,
    channels: usize,
    /// 1, 2 or 4 (floating point).
    sample_bytes: usize,
    /// Whether 16-bit samples are in big-endian order instead of the machine's.
    big_endian: bool,
    data: Vec<u8>,
    orientation: Orientation,
    error: Option<String>,
}

/// Reads the pixels. A decoder that fails half-way leaves its error and its rows in the result.
///
/// `shared` is the part of the limit that the buffer made here counts towards: all of it, or nothing for a decoder that
/// counts for itself.
fn read(mut decoder: impl ImageDecoder, limits: &Limits, shared: u64) -> Result<Raw> {
    let (width, height) = decoder.dimensions();
    check_pixels(width, height, limits)?;
    let total = decoder.total_bytes();
    check_alloc(total, limits)?;
    let colour = decoder.color_type();
    let channels = usize::from(colour.channel_count());
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let limit = limits.max_image_alloc;
    let mut data = vec![0; total as usize];
    let result = catch_unwind(AssertUnwindSafe(|| {
        decoder.set_limits(alloc_limit(limit - total.min(shared)))?;
        decoder.read_image(&mut data)
    }));
    let error = match result {
        Ok(Ok(())) => None,
        Ok(Err(ImageError::Limits(_))) => {
            // The decoder does not say how much it wanted; it holds the picture beside the one made here.
            let value = (2 * total).max(limit + 1);
            return Err(Error::Limit { what: "decoder memory in bytes", value, limit });
        }
        Ok(Err(e)) => Some(e.to_string()),
        Err(_) => Some("the decoder broke down on damaged data".into()),
    };
    Ok(Raw {
        width: width as usize,
        height: height as usize,
        channels,
        sample_bytes: usize::from(colour.bytes_per_pixel()) / channels.max(1),
        big_endian: false,
        data,
        orientation,
        error,
    })
}

impl Raw {
    fn stride(&self) -> usize {
        (self.width * self.channels * self.sample_bytes).max(1)
    }

    fn rows(&self) -> usize {
        self.data.len() / self.stride()
    }

    /// Drops the rows after an error, for decoders that write them only when all are done.
    fn all_or_nothing(mut self) -> Self {
        if self.error.is_some() {
            self.data.clear();
        }
        self
    }

    /// Cuts rows off the end that hold nothing but `fill`.
    fn cut_rows(&mut self, fill: u8) {
        let stride = self.stride();
        let empty = self.data.rchunks_exact(stride).take_while(|row| row.iter().all(|&b| b == fill)).count();
        self.data.truncate(self.data.len() - empty * stride);
    }

    /// After an error, cuts the rows that the decoder did not reach: those still zero at the end, or at the start of a
    /// file that is stored upside down.
    fn cut_undecoded_rows(&mut self) {
        if self.error.is_none() {
            return;
        }
        self.cut_rows(0);
        let stride = self.stride();
        let empty = self.data.chunks_exact(stride).take_while(|row| row.iter().all(|&b| b == 0)).count();
        self.data.drain(..empty * stride);
    }

    /// Rounds the samples to 8 bits in place; `true` if floating-point samples had to be mended.
    fn narrow(&mut self) -> bool {
        let mut bad = false;
        let big_endian = self.big_endian;
        match self.sample_bytes {
            2 => shrink::<2, 1>(&mut self.data, |s| {
                let v = if big_endian { u16::from_be_bytes(s) } else { u16::from_ne_bytes(s) };
                [((u32::from(v) * 255 + 32_767) / 65_535) as u8]
            }),
            4 => shrink::<4, 1>(&mut self.data, |s| {
                let v = f32::from_ne_bytes(s);
                bad |= !(0.0..=1.0).contains(&v);
                // A cast of NaN gives 0.
                [(v * 255.0).round() as u8]
            }),
            _ => {}
        }
        self.sample_bytes = 1;
        bad
    }

    /// Makes RGB of 8-bit samples.
    fn into_rgb(mut self) -> Vec<u8> {
        match self.channels {
            1 => self.data.iter().flat_map(|&v| [v; 3]).collect(),
            2 => self
                .data
                .chunks_exact(2)
                .flat_map(|p| match p {
                    [_, 0] => [255; 3],
                    [v, ..] => [*v; 3],
                    [] => [0; 3],
                })
                .collect(),
            4 => {
                shrink::<4, 3>(&mut self.data, |[r, g, b, a]| if a == 0 { [255; 3] } else { [r, g, b] });
                self.data.shrink_to_fit();
                self.data
            }
            _ => self.data,
        }
    }
}

/// Replaces every `N` bytes by `M < N` bytes in place, so that no second copy of a large picture is needed.
fn shrink<const N: usize, const M: usize>(data: &mut Vec<u8>, mut f: impl FnMut([u8; N]) -> [u8; M]) {
    let groups = data.len() / N;
    for i in 0..groups {
        let Some(&group) = data.get(i * N..).and_then(|d| d.first_chunk::<N>()) else { break };
        if let Some(slot) = data.get_mut(i * M..).and_then(|d| d.first_chunk_mut::<M>()) {
            *slot = f(group);
        }
    }
    data.truncate(groups * M);
}

fn orient(
    width: usize,
    height: usize,
    rgb: Vec<u8>,
    orientation: Orientation,
) -> Option<(usize, usize, Vec<u8>)> {
    if orientation == Orientation::NoTransforms {
        return Some((width, height, rgb));
    }
    let image = RgbImage::from_raw(u32::try_from(width).ok()?, u32::try_from(height).ok()?, rgb)?;
    let mut image = DynamicImage::ImageRgb8(image);
    image.apply_orientation(orientation);
    Some((image.width() as usize, image.height() as usize, image.into_bytes()))
}

/// Hides the Exif chunk of a WebP file, which its decoder would allocate at whatever size the file claims.
struct WithoutExif<D>(D);

impl<D: ImageDecoder> ImageDecoder for WithoutExif<D> {
    fn dimensions(&self) -> (u32, u32) {
        self.0.dimensions()
    }

    fn color_type(&self) -> image::ColorType {
        self.0.color_type()
    }

    fn read_image(self, buf: &mut [u8]) -> image::ImageResult<()> {
        self.0.read_image(buf)
    }

    fn read_image_boxed(self: Box<Self>, buf: &mut [u8]) -> image::ImageResult<()> {
        self.0.read_image(buf)
    }
}

/// Names and bodies of RIFF chunks, cut off where the bytes end.
fn webp_chunks(mut rest: &[u8]) -> impl Iterator<Item = ([u8; 4], &[u8])> {
    std::iter::from_fn(move || {
        let (name, after) = rest.split_first_chunk::<4>()?;
        let (size, after) = after.split_first_chunk::<4>()?;
        let size = u32::from_le_bytes(*size) as usize;
        let body = after.get(..size).unwrap_or(after);
        rest = after.get(size + size % 2..).unwrap_or(&[]);
        Some((*name, body))
    })
}

/// Number of pictures in a GIF file, counted up to two.
fn gif_frames(bytes: &[u8]) -> usize {
    let table = |flags: u8| if flags & 0x80 == 0 { 0 } else { 3 << ((flags & 7) + 1) };
    let skip_blocks = |mut at: usize| {
        while let Some(&len) = bytes.get(at) {
            at += 1 + usize::from(len);
            if len == 0 {
                break;
            }
        }
        at
    };
    let mut at = 13 + bytes.get(10).map_or(0, |&flags| table(flags));
    let mut frames = 0;
    while let Some(kind) = bytes.get(at) {
        at = match kind {
            0x21 => skip_blocks(at + 2),
            0x2c => {
                frames += 1;
                skip_blocks(at + 11 + bytes.get(at + 9).map_or(0, |&flags| table(flags)))
            }
            _ => break,
        };
        if frames > 1 {
            break;
        }
    }
    frames
}

/// Checks that the values which the first directory of a TIFF file announces can lie in the file, since its decoder
/// makes room for them before it reads them. Says whether there is a second directory.
fn check_tiff(bytes: &[u8], limits: &Limits) -> Result<bool> {
    let little = bytes.starts_with(b"II");
    let number = |at: usize, len: usize| -> Option<usize> {
        let field = bytes.get(at..at.checked_add(len)?)?;
        let join = |n: usize, &b: &u8| (n << 8) | usize::from(b);
        Some(if little { field.iter().rev().fold(0, join) } else { field.iter().fold(0, join) })
    };
    let broken = || failed(ImageFormat::Tiff, "its directory is damaged");
    // The classic form has 2-byte counts of entries and 4-byte numbers; BigTIFF has 8 of each.
    let big = number(2, 2) == Some(43);
    let (start, wide, entry) = if big { (8, 8, 20) } else { (4, 4, 12) };
    let head = if big { 8 } else { 2 };
    let directory = number(start, wide).ok_or_else(broken)?;
    let entries = number(directory, head).ok_or_else(broken)?;
    let end = entries.checked_mul(entry).and_then(|n| n.checked_add(directory)?.checked_add(head));
    let more = end.and_then(|end| number(end, wide)).ok_or_else(broken)? != 0;
    for i in 0..entries {
        let at = directory + head + i * entry;
        let (Some(tag), Some(kind), Some(count)) = (number(at, 2), number(at + 2, 2), number(at + 4, wide))
        else {
            return Err(broken());
        };
        let size = match kind {
            1 | 2 | 6 | 7 => 1,
            3 | 8 => 2,
            4 | 9 | 11 | 13 => 4,
            _ => 8,
        };
        if count.checked_mul(size).is_none_or(|n| n > bytes.len()) {
            return Err(broken());
        }
        // The decoder spends 32 bytes on a value of the tags that describe the layout.
        if tag < 400 {
            check_alloc(32 * count as u64, limits)?;
        }
    }
    Ok(more)
}

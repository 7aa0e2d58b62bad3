//! Every picture format in every layout that it has, against pictures made here.
#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use std::io::Cursor;

use candor_features::{Error, Limits, Media, Pixels, WarningCode, decode};
use image::{DynamicImage, ExtendedColorType, ImageEncoder, ImageFormat, codecs};

const WIDTH: u32 = 37;
const HEIGHT: u32 = 26;

fn rgb() -> Vec<u8> {
    (0..HEIGHT * WIDTH)
        .flat_map(|i| {
            let (x, y) = (i % WIDTH, i / WIDTH);
            [(x * 6) as u8, (y * 9 + 5) as u8, ((x * y) % 240 + 3) as u8]
        })
        .collect()
}

fn open(bytes: &[u8]) -> Pixels {
    match decode(bytes, &Limits::default()) {
        Ok(Media::Image(pixels)) => pixels,
        other => panic!("{other:?}"),
    }
}

fn codes(pixels: &Pixels) -> Vec<WarningCode> {
    pixels.warnings.iter().map(|w| w.code).collect()
}

fn encode(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut out = Cursor::new(Vec::new());
    image.write_to(&mut out, format).unwrap();
    out.into_inner()
}

fn dynamic() -> DynamicImage {
    DynamicImage::ImageRgb8(image::RgbImage::from_raw(WIDTH, HEIGHT, rgb()).unwrap())
}

/// Mean absolute difference.
fn difference(a: &[u8], b: &[u8]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>() / a.len() as f64
}

#[test]
fn lossless_formats_give_the_pixels_back() {
    for (format, name) in [
        (ImageFormat::Png, "png"),
        (ImageFormat::Bmp, "bmp"),
        (ImageFormat::Tiff, "tiff"),
        (ImageFormat::WebP, "webp"),
    ] {
        let pixels = open(&encode(&dynamic(), format));
        assert_eq!((pixels.width, pixels.height), (WIDTH as usize, HEIGHT as usize));
        assert_eq!(pixels.rgb, rgb(), "{name}");
        assert_eq!(pixels.format, name);
        assert_eq!((pixels.jpeg_luma_table, codes(&pixels)), (None, vec![]));
    }
}

#[test]
fn layouts_become_rgb() {
    let grey: Vec<u8> = dynamic().to_luma8().into_raw();
    let repeated: Vec<u8> = grey.iter().flat_map(|&v| [v; 3]).collect();
    for format in [ImageFormat::Png, ImageFormat::Tiff] {
        let luma = |d: DynamicImage| open(&encode(&d, format)).rgb;
        assert_eq!(luma(DynamicImage::ImageLuma8(dynamic().to_luma8())), repeated);
        assert_eq!(
            luma(DynamicImage::ImageLuma16(DynamicImage::from(dynamic().to_luma8()).to_luma16())),
            repeated
        );
        assert_eq!(luma(DynamicImage::ImageRgb16(dynamic().to_rgb16())), rgb());
        assert_eq!(luma(DynamicImage::ImageRgba16(dynamic().to_rgba16())), rgb());
    }
    assert_eq!(
        open(&encode(&DynamicImage::ImageLumaA8(dynamic().to_luma_alpha8()), ImageFormat::Png)).rgb,
        repeated
    );
}

#[test]
fn transparency_keeps_stored_colours() {
    let mut rgba = dynamic().to_rgba8();
    rgba.put_pixel(0, 0, image::Rgba([10, 20, 30, 0]));
    rgba.put_pixel(1, 0, image::Rgba([10, 20, 30, 1]));
    for format in [ImageFormat::Png, ImageFormat::WebP, ImageFormat::Tiff] {
        let pixels = open(&encode(&DynamicImage::ImageRgba8(rgba.clone()), format));
        assert_eq!(pixels.rgb[..6], [255, 255, 255, 10, 20, 30]);
        assert_eq!(pixels.rgb[6..], rgb()[6..]);
    }
}

#[test]
fn palettes_are_looked_up() {
    let mut bytes = Vec::new();
    {
        let mut encoder = codecs::gif::GifEncoder::new(&mut bytes);
        encoder
            .encode(
                &[255, 0, 0, 0, 255, 0, 0, 0, 255, 255, 0, 0, 0, 255, 0, 0, 0, 255],
                3,
                2,
                ExtendedColorType::Rgb8,
            )
            .unwrap();
    }
    let pixels = open(&bytes);
    assert_eq!(pixels.rgb, [255, 0, 0, 0, 255, 0, 0, 0, 255, 255, 0, 0, 0, 255, 0, 0, 0, 255]);
    assert!(pixels.warnings.is_empty());
}

#[test]
fn animations_give_their_first_frame() {
    let mut bytes = Vec::new();
    {
        let mut encoder = codecs::gif::GifEncoder::new(&mut bytes);
        for shade in [40, 200] {
            let frame = image::RgbaImage::from_pixel(9, 10, image::Rgba([shade, shade, shade, 255]));
            encoder.encode_frame(image::Frame::new(frame)).unwrap();
        }
    }
    let pixels = open(&bytes);
    assert!(pixels.rgb.iter().all(|&v| v.abs_diff(40) < 4), "{:?}", &pixels.rgb[..6]);
    assert_eq!(codes(&pixels), [WarningCode::FirstFrameOnly]);
}

fn jpeg(colour: jpeg_encoder::ColorType, data: &[u8], progressive: bool) -> Vec<u8> {
    let mut out = Vec::new();
    let mut encoder = jpeg_encoder::Encoder::new(&mut out, 92);
    encoder.set_progressive(progressive);
    encoder.encode(data, WIDTH as u16, HEIGHT as u16, colour).unwrap();
    out
}

#[test]
fn jpeg_in_grey_colour_and_print_colours() {
    use jpeg_encoder::ColorType;
    for progressive in [false, true] {
        let pixels = open(&jpeg(ColorType::Rgb, &rgb(), progressive));
        assert!(difference(&pixels.rgb, &rgb()) < 6.0);
        assert!(pixels.warnings.is_empty());
        assert_eq!(pixels.jpeg_luma_table.unwrap()[0], 3);
    }
    let grey = dynamic().to_luma8().into_raw();
    let repeated: Vec<u8> = grey.iter().flat_map(|&v| [v; 3]).collect();
    assert!(difference(&open(&jpeg(ColorType::Luma, &grey, false)).rgb, &repeated) < 6.0);

    let cmyk: Vec<u8> = rgb().chunks_exact(3).flat_map(|p| [255 - p[0], 255 - p[1], 255 - p[2], 0]).collect();
    for colour in [ColorType::Cmyk, ColorType::CmykAsYcck] {
        let pixels = open(&jpeg(colour, &cmyk, false));
        assert!(difference(&pixels.rgb, &rgb()) < 8.0, "{colour:?} {}", difference(&pixels.rgb, &rgb()));
        assert_eq!(codes(&pixels), [WarningCode::ColourConverted]);
    }
}

/// An Exif block with nothing but an orientation.
fn exif(orientation: u8) -> Vec<u8> {
    let mut block = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
    block.extend([orientation, 0, 0, 0, 0, 0, 0]);
    block
}

#[test]
fn orientation_is_applied() {
    let turned = |orientation: u8| {
        let mut bytes = Vec::new();
        let mut encoder = codecs::png::PngEncoder::new(&mut bytes);
        encoder.set_exif_metadata(exif(orientation)).unwrap();
        encoder.write_image(&rgb(), WIDTH, HEIGHT, ExtendedColorType::Rgb8).unwrap();
        open(&bytes)
    };
    assert_eq!(turned(1).rgb, rgb());
    assert_eq!(turned(2).rgb, dynamic().fliph().into_bytes());
    assert_eq!(turned(3).rgb, dynamic().rotate180().into_bytes());
    for (orientation, wanted) in [(6, dynamic().rotate90()), (8, dynamic().rotate270())] {
        let pixels = turned(orientation);
        assert_eq!((pixels.width, pixels.height), (HEIGHT as usize, WIDTH as usize));
        assert_eq!(pixels.rgb, wanted.into_bytes());
    }

    let mut bytes = Vec::new();
    let mut encoder = jpeg_encoder::Encoder::new(&mut bytes, 90);
    encoder.add_exif_metadata(&exif(6)).unwrap();
    encoder.encode(&rgb(), WIDTH as u16, HEIGHT as u16, jpeg_encoder::ColorType::Rgb).unwrap();
    assert_eq!(open(&bytes).width, HEIGHT as usize);

    let mut bytes = Vec::new();
    let mut encoder = codecs::webp::WebPEncoder::new_lossless(&mut bytes);
    encoder.set_exif_metadata(exif(8)).unwrap();
    encoder.write_image(&rgb(), WIDTH, HEIGHT, ExtendedColorType::Rgb8).unwrap();
    assert_eq!(open(&bytes).rgb, dynamic().rotate270().into_bytes());
}

#[test]
fn floating_point_is_mended() {
    let float = |edit: fn(&mut [f32])| {
        let mut image = dynamic().to_rgb32f();
        edit(&mut image);
        open(&encode(&DynamicImage::ImageRgb32F(image), ImageFormat::Tiff))
    };
    let good = float(|_| {});
    assert_eq!((good.rgb, good.warnings.len()), (rgb(), 0));
    let bad = float(|v| v[..4].copy_from_slice(&[f32::NAN, f32::INFINITY, -3.0, 7.5]));
    assert_eq!(bad.rgb[..4], [0, 255, 0, 255]);
    assert_eq!(bad.rgb[4..], rgb()[4..]);
    assert_eq!(codes(&bad), [WarningCode::BadSamples]);
}

#[test]
fn a_cut_file_gives_its_rows_or_an_error() {
    let noise: Vec<u8> =
        (0..120 * 100 * 3_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let big = DynamicImage::ImageRgb8(image::RgbImage::from_raw(120, 100, noise.clone()).unwrap());
    for format in [ImageFormat::Png, ImageFormat::Bmp] {
        let bytes = encode(&big, format);
        let pixels = open(&bytes[..bytes.len() / 2]);
        assert_eq!(codes(&pixels), [WarningCode::Truncated]);
        assert_eq!(pixels.width, 120);
        assert!((30..70).contains(&pixels.height), "{format:?} {}", pixels.height);
        let at = if format == ImageFormat::Png { 0 } else { (100 - pixels.height + 1) * 120 * 3 };
        let wanted = &noise[at..at + 20 * 360];
        let got = if format == ImageFormat::Png { &pixels.rgb[..] } else { &pixels.rgb[360..] };
        assert_eq!(got[..20 * 360], *wanted, "{format:?}");
    }
    let wide = big.to_rgb16();
    let bytes = encode(&DynamicImage::ImageRgb16(wide), ImageFormat::Png);
    let pixels = open(&bytes[..bytes.len() / 2]);
    assert_eq!(pixels.rgb[..360], noise[..360]);

    for progressive in [false, true] {
        let mut bytes = Vec::new();
        let mut encoder = jpeg_encoder::Encoder::new(&mut bytes, 80);
        encoder.set_progressive(progressive);
        encoder.encode(&noise, 120, 100, jpeg_encoder::ColorType::Rgb).unwrap();
        let pixels = open(&bytes[..bytes.len() / 2]);
        assert_eq!(codes(&pixels), [WarningCode::Truncated]);
        if progressive {
            assert_eq!(pixels.height, 100);
        } else {
            assert!((30..80).contains(&pixels.height), "{}", pixels.height);
        }
        assert!(decode(&bytes[..200], &Limits::default()).is_err());
    }
    for format in [ImageFormat::Tiff, ImageFormat::WebP] {
        let bytes = encode(&big, format);
        let result = decode(&bytes[..bytes.len() / 2], &Limits::default());
        assert!(matches!(result, Err(Error::Decode { .. })), "{format:?}");
    }
    let bytes = encode(&big, ImageFormat::Gif);
    let pixels = open(&bytes[..bytes.len() / 2]);
    assert_eq!(codes(&pixels), [WarningCode::Truncated]);
    assert!((30..70).contains(&pixels.height), "{}", pixels.height);
}

#[test]
fn limits_hold() {
    let bytes = encode(&dynamic(), ImageFormat::Png);
    let small = Limits { max_pixels: 100, ..Limits::default() };
    assert!(matches!(decode(&bytes, &small), Err(Error::Limit { value: 962, limit: 100, .. })));
    let tight = Limits { max_image_alloc: 1000, ..Limits::default() };
    for format in [ImageFormat::Png, ImageFormat::Bmp, ImageFormat::Tiff, ImageFormat::WebP, ImageFormat::Gif]
    {
        assert!(decode(&encode(&dynamic(), format), &tight).is_err());
    }
    let progressive = jpeg(jpeg_encoder::ColorType::Rgb, &rgb(), true);
    let coefficients = Limits { max_image_alloc: 3000, ..Limits::default() };
    assert!(matches!(decode(&progressive, &coefficients), Err(Error::Limit { .. })));
}

//! Damaged and lying picture files: an error or a warning, no panic, and no allocation beyond the limits.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::Cursor;
use std::sync::Once;

use candor_features::{Error, Limits, Media, decode};
use image::{DynamicImage, ImageFormat};
use proptest::prelude::*;

/// Remembers the largest single allocation of a thread.
struct Watched;

thread_local! {
    static LARGEST: Cell<usize> = const { Cell::new(0) };
}

fn watch(size: usize) {
    // A thread that ends has no such value any more.
    let _ = LARGEST.try_with(|largest| largest.set(largest.get().max(size)));
}

// SAFETY: every call is passed on unchanged to the system's allocator.
unsafe impl GlobalAlloc for Watched {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        watch(layout.size());
        // SAFETY: the caller's promises are those that the system's allocator asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        watch(layout.size());
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        watch(size);
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Watched = Watched;

const LIMIT: u64 = 4 << 20;

fn limits() -> Limits {
    Limits { max_pixels: 1 << 20, max_image_alloc: LIMIT, ..Limits::default() }
}

/// What a decoder may allocate apart from pixels: tables, and for WebP a partition, whose size has 24 bits.
fn slack(bytes: &[u8]) -> usize {
    if bytes.starts_with(b"RIFF") { 17 << 20 } else { 1 << 20 }
}

/// Decodes on the watched thread.
fn watched(bytes: &[u8], limits: &Limits) -> candor_features::Result<Media> {
    // The usual report of a panic that the decoder catches would read megabytes of debugging data.
    static QUIET: Once = Once::new();
    QUIET.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if panic
                .location()
                .is_some_and(|l| l.file().contains("image_hostile") || l.file().contains("proptest"))
            {
                usual(panic);
            } else {
                eprintln!("caught: {panic}");
            }
        }));
    });
    LARGEST.set(0);
    let result = decode(bytes, limits);
    let largest = LARGEST.get();
    let most = limits.max_image_alloc as usize + slack(bytes);
    assert!(largest <= most, "an allocation of {largest} bytes, {:?}", result.as_ref().err());
    result
}

fn samples() -> Vec<Vec<u8>> {
    let (width, height) = (61, 45);
    let rgb: Vec<u8> = (0..width * height * 3).map(|i: u32| (i % 3 * 50 + i / 7 * i % 150) as u8).collect();
    let image = image::RgbImage::from_raw(width, height, rgb.clone()).unwrap();
    let image = DynamicImage::ImageRgb8(image);
    let mut samples: Vec<Vec<u8>> = [
        (ImageFormat::Png, image.clone()),
        (ImageFormat::Png, DynamicImage::ImageRgba16(image.to_rgba16())),
        (ImageFormat::Gif, image.clone()),
        (ImageFormat::Bmp, image.clone()),
        (ImageFormat::Tiff, image.clone()),
        (ImageFormat::Tiff, DynamicImage::ImageRgb32F(image.to_rgb32f())),
        (ImageFormat::WebP, DynamicImage::ImageRgba8(image.to_rgba8())),
    ]
    .into_iter()
    .map(|(format, image)| {
        let mut out = Cursor::new(Vec::new());
        image.write_to(&mut out, format).unwrap();
        out.into_inner()
    })
    .collect();
    for progressive in [false, true] {
        let mut out = Vec::new();
        let mut encoder = jpeg_encoder::Encoder::new(&mut out, 85);
        encoder.set_progressive(progressive);
        encoder.encode(&rgb, width as u16, height as u16, jpeg_encoder::ColorType::Rgb).unwrap();
        samples.push(out);
    }
    samples.push(LOSSY_WEBP.to_vec());
    samples.push(ANIMATED_WEBP.to_vec());
    samples
}

// import io; from PIL import Image; import numpy as np
// a = Image.fromarray((np.indices((12, 16)).sum(0) * 8).astype('uint8')).convert('RGB')
// f = io.BytesIO(); a.save(f, 'WEBP', quality=50); print(f.getvalue())
#[rustfmt::skip]
const LOSSY_WEBP: &[u8] = b"RIFF2\0\0\0WEBPVP8 &\0\0\0\xd0\x01\0\x9d\x01*\x10\0\x0c\0\x02\xc0L%\xa4\0\x026\x9f\xf4L\xf0\0\0\
    \xfe\xf9P\xdd%\x9a\xf7\xda\x13\xd1\xac\0\0\0";
// f = io.BytesIO(); a.save(f, 'WEBP', save_all=True, append_images=[a.rotate(90)], quality=50); print(f.getvalue())
#[rustfmt::skip]
const ANIMATED_WEBP: &[u8] = b"RIFF\xf0\0\0\0WEBPVP8X\x0a\0\0\0\x02\0\0\0\x0f\0\0\x0b\0\0ANIM\x06\0\0\0\0\0\0\0\0\0ANMFL\0\0\0\
    \0\0\0\0\0\0\x0f\0\0\x0b\0\0\0\0\0\x02VP8 4\0\0\0P\x01\0\x9d\x01*\x10\0\x0c\0\x02\xc0L%\xa4\0\
    \x04t\0\0\xfe\xd5\xd7\xff\xd7\xbf\xff\xcf\xc7'\x7f\xc7\xe6\x7f\xfd\xc2\x9f\xd4\x13\xf0\xc97^\x92\
    \xff\x06\xc8\xa0`\x99`\0ANMFp\0\0\0\0\0\0\0\0\0\x0f\0\0\x0b\0\0\0\0\0\0VP8 X\0\0\0T\x01\0\x9d\
    \x01*\x10\0\x0c\0\0\0L%\xa4\0\x04t\0\0\xfe\xef8\x7f\xc4\xff\xd5\xa6?\xfe\x9c\xab\xee\xcf\xff\xa2\
    \xbao_\xff\xaa`K\xfaY\x1b\xd0\xff\xfe9L\x0f\xfeo\x1f\xf7\x86\x99\x92\x1c\x22\x7f\xf0S\xe9\x7f\
    \xe3?\xad@\x87Y\xff\xfdx\xa5o\xf7\xe9\xf7XO\xfd\x11\x1f\xf1\0\0";

/// Decodes and checks what must hold for any bytes; whether there was an error or a warning.
fn noticed(bytes: &[u8]) -> bool {
    match watched(bytes, &limits()) {
        Ok(Media::Image(pixels)) => {
            assert_eq!(pixels.rgb.len(), pixels.width * pixels.height * 3);
            assert!(!pixels.rgb.is_empty());
            !pixels.warnings.is_empty()
        }
        // A flipped bit in a signature can make anything of a file.
        Ok(_) => true,
        Err(e) => {
            assert!(!e.to_string().is_empty());
            true
        }
    }
}

#[test]
fn samples_are_whole() {
    for sample in samples() {
        match watched(&sample, &limits()) {
            Ok(Media::Image(pixels)) => assert!(pixels.width >= 16),
            other => panic!("{other:?}"),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn cuts_are_noticed(which in 0..11_usize, share in 0.0..0.85_f64) {
        let sample = &samples()[which];
        let end = (sample.len() as f64 * share) as usize;
        prop_assert!(noticed(&sample[..end]), "sample {} cut to {}", which, end);
    }

    #[test]
    fn flipped_bits_do_no_harm(which in 0..11_usize, flips in proptest::collection::vec(any::<u32>(), 1..12)) {
        let mut bytes = samples()[which].clone();
        for flip in flips {
            let at = flip as usize / 8 % bytes.len();
            bytes[at] ^= 1 << (flip % 8);
        }
        noticed(&bytes);
    }

    #[test]
    fn overwritten_headers_do_no_harm(which in 0..11_usize, at in 0..96_usize, with in proptest::collection::vec(prop_oneof![Just(0_u8), Just(255), any::<u8>()], 1..9)) {
        let mut bytes = samples()[which].clone();
        for (slot, byte) in bytes.iter_mut().skip(at).zip(with) {
            *slot = byte;
        }
        noticed(&bytes);
    }
}

fn replace(bytes: &mut [u8], at: usize, with: &[u8]) {
    bytes[at..at + with.len()].copy_from_slice(with);
}

fn find(bytes: &[u8], needle: &[u8]) -> usize {
    bytes.windows(needle.len()).position(|w| w == needle).unwrap()
}

fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, &byte| {
        (0..8)
            .fold(crc ^ u32::from(byte), |c: u32, _| if c & 1 == 1 { (c >> 1) ^ 0xedb8_8320 } else { c >> 1 })
    })
}

/// An uncompressed RGB TIFF with one strip of twelve bytes, whatever its size.
fn tiff(width: u32, height: u32) -> Vec<u8> {
    let entries = [
        (256_u16, 4_u16, width),
        (257, 4, height),
        (258, 3, 8),
        (259, 3, 1),
        (262, 3, 2),
        (273, 4, 8),
        (277, 3, 3),
        (278, 4, height),
        (279, 4, 12),
    ];
    let mut bytes = b"II*\0\x14\0\0\0abcdefghijkl".to_vec();
    bytes.extend((entries.len() as u16).to_le_bytes());
    for (tag, kind, value) in entries {
        // Three samples of eight bits each do not fit in an entry; they lie behind the directory.
        let (count, value) =
            if tag == 258 { (3, 20 + 2 + 12 * entries.len() as u32 + 4) } else { (1, value) };
        bytes.extend([tag, kind].into_iter().flat_map(u16::to_le_bytes));
        bytes.extend([count, value].into_iter().flat_map(u32::to_le_bytes));
    }
    bytes.extend([0; 4]);
    bytes.extend([8, 0, 8, 0, 8, 0]);
    bytes
}

/// Claims of 144 Mpixel and more, over the default limits too.
#[test]
fn lying_headers_are_refused() {
    let samples = samples();
    let mut lies: Vec<(&str, Vec<u8>)> = Vec::new();

    for png in &samples[..2] {
        let mut png = png.clone();
        replace(&mut png, 16, &[0, 0, 0x40, 0, 0, 0, 0x40, 0]);
        let sum = crc(&png[12..29]);
        replace(&mut png, 29, &sum.to_be_bytes());
        lies.push(("png", png));
    }

    let mut gif = samples[2].clone();
    replace(&mut gif, 6, &[0xff; 4]);
    lies.push(("gif screen", gif));

    let mut bmp = samples[3].clone();
    replace(&mut bmp, 18, &[0, 0x30, 0, 0, 0, 0x30, 0, 0]);
    lies.push(("bmp", bmp));

    lies.push(("tiff", tiff(0x4000, 0x4000)));

    let mut lossless = samples[6].clone();
    let at = find(&lossless, b"VP8L") + 9;
    replace(&mut lossless, at, &[0xff, 0xff, 0xff, 0x0f]);
    lies.push(("webp lossless", lossless));
    let mut lossy = samples[9].clone();
    let at = find(&lossy, &[0x9d, 0x01, 0x2a]) + 3;
    replace(&mut lossy, at, &[0xff, 0x3f, 0xff, 0x3f]);
    lies.push(("webp lossy", lossy));
    let mut animated = samples[10].clone();
    let at = find(&animated, b"VP8X") + 12;
    replace(&mut animated, at, &[0xff, 0x3f, 0, 0xff, 0x3f, 0]);
    lies.push(("webp canvas", animated));

    for jpeg in &samples[7..9] {
        let mut jpeg = jpeg.clone();
        let frame = jpeg.windows(2).position(|w| w == [0xff, 0xc0] || w == [0xff, 0xc2]).unwrap();
        replace(&mut jpeg, frame + 5, &[0x30, 0, 0x30, 0]);
        lies.push(("jpeg", jpeg));
    }

    assert!(matches!(watched(&tiff(2, 2), &limits()), Ok(Media::Image(p)) if p.rgb == b"abcdefghijkl"));
    for (name, bytes) in lies {
        for limits in [Limits::default(), limits()] {
            let result = watched(&bytes, &limits);
            // A WebP file says its size twice.
            let differs = matches!(result, Err(Error::Decode { .. })) && name == "webp lossless";
            assert!(differs || matches!(result, Err(Error::Limit { .. })), "{name}: {:?}", result.err());
        }
    }
}

#[test]
fn a_large_frame_in_a_small_gif_is_refused() {
    let mut gif = samples()[2].clone();
    let frame = 13 + 3 * (1 << ((gif[10] & 7) + 1)) * usize::from(gif[10] >> 7);
    let frame = frame + find(&gif[frame..], &[0x2c, 0, 0, 0, 0, 61, 0, 45, 0]);
    replace(&mut gif, frame + 5, &[0xff; 4]);
    assert!(watched(&gif, &limits()).is_err());
}

//! Pictures: decoding, and what is measured of them.
#![no_main]

use candor_features::Limits;
use candor_features::image::{decode, image_stats};
use candor_features::sniff::{Format, sniff};
use libfuzzer_sys::fuzz_target;

fuzz_target!(init: candor_fuzz::contained(), |bytes: &[u8]| {
    let Ok(Format::Image(format)) = sniff(bytes) else { return };
    // Small, so that a run spends its time on parsers and not on filling pixels.
    let limits = Limits { max_pixels: 1 << 16, max_image_alloc: 8 << 20, ..Limits::default() };
    let Ok(pixels) = decode(bytes, format, &limits) else { return };
    assert!(pixels.width > 0 && pixels.height > 0);
    assert_eq!(pixels.rgb.len(), pixels.width * pixels.height * 3);
    assert!(image_stats(&pixels).named().iter().all(|(_, value)| value.is_finite()));
});

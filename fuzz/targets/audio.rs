//! Recordings: decoding, and what is measured of them.
#![no_main]

use candor_features::Limits;
use candor_features::audio::{audio_stats, decode, equalise};
use candor_features::sniff::{Format, sniff};
use libfuzzer_sys::fuzz_target;

fuzz_target!(init: candor_fuzz::contained(), |bytes: &[u8]| {
    let Ok(Format::Audio(format)) = sniff(bytes) else { return };
    let limits = Limits { max_seconds: 2.0, ..Limits::default() };
    let Ok(wave) = decode(bytes, format, &limits) else { return };
    assert!(wave.samples.len() <= 2 * 16_000 + 1);
    assert!(wave.samples.iter().all(|x| x.is_finite()));
    assert!(equalise(&wave.samples).iter().all(|x| x.is_finite()));
    assert!(audio_stats(&wave).named().iter().all(|(_, value)| value.is_finite()));
});

//! Audio files that are honest, damaged or lying.

use std::{f64::consts::TAU, time::Instant};

use candor_features::{
    Error, Limits, WarningCode, Waveform,
    audio::{Stft, WindowShape, decode},
    sniff::AudioFormat,
};
use proptest::{
    prelude::*,
    test_runner::{Config, RngSeed, TestRunner},
};

/// A 440 Hz tone of 0.5 s as the encoders of ffmpeg 5.1 make it:
/// `ffmpeg -f lavfi -i sine=frequency=440:sample_rate=44100:duration=0.5 -flags:a +bitexact -c:a CODEC -ar RATE FILE`
const FIXTURES: [(&str, &str, &[u8]); 15] = [
    ("mp3/mp3", "mp3", include_bytes!("fixtures/tone.mp3")),
    ("mp2/mp2", "mp2", include_bytes!("fixtures/tone.mp2")),
    ("flac/flac", "flac", include_bytes!("fixtures/tone.flac")),
    ("ogg/vorbis", "ogg", include_bytes!("fixtures/tone.ogg")),
    ("ogg/opus", "opus", include_bytes!("fixtures/tone.opus")),
    ("isomp4/aac", "m4a", include_bytes!("fixtures/tone.m4a")),
    ("isomp4/aac", "fragmented mp4", include_bytes!("fixtures/tone-fragmented.mp4")),
    ("isomp4/alac", "alac", include_bytes!("fixtures/tone-alac.m4a")),
    ("aac/aac", "adts", include_bytes!("fixtures/tone.aac")),
    ("matroska/vorbis", "webm", include_bytes!("fixtures/tone.webm")),
    ("matroska/opus", "webm opus", include_bytes!("fixtures/tone-opus.webm")),
    ("isomp4/opus", "mp4 opus", include_bytes!("fixtures/tone-opus.mp4")),
    ("wav/adpcm_ima_wav", "adpcm", include_bytes!("fixtures/tone-adpcm.wav")),
    ("aiff/pcm_s8", "aiff", include_bytes!("fixtures/tone.aiff")),
    ("caf/alac", "caf", include_bytes!("fixtures/tone.caf")),
];

/// Sample types of a WAV file.
#[derive(Clone, Copy, Debug)]
enum Sample {
    U8,
    S16,
    S24,
    F32,
}

/// A WAV file of a 440 Hz tone in every channel.
fn wav(sample: Sample, channels: u16, rate: u32, seconds: f64, extensible: bool) -> Vec<u8> {
    let mut data = Vec::new();
    for n in 0..(seconds * f64::from(rate)) as usize {
        let x = 0.25 * (TAU * 440.0 * n as f64 / f64::from(rate)).sin();
        for _ in 0..channels {
            match sample {
                Sample::U8 => data.push((128.0 + 127.0 * x).round() as u8),
                Sample::S16 => data.extend_from_slice(&((32_767.0 * x).round() as i16).to_le_bytes()),
                Sample::S24 => {
                    data.extend_from_slice(&((8_388_607.0 * x).round() as i32).to_le_bytes()[..3]);
                }
                Sample::F32 => data.extend_from_slice(&(x as f32).to_le_bytes()),
            }
        }
    }
    wav_around(sample, channels, rate, extensible, &data)
}

fn wav_around(sample: Sample, channels: u16, rate: u32, extensible: bool, data: &[u8]) -> Vec<u8> {
    let (bytes, tag): (u16, u16) = match sample {
        Sample::U8 => (1, 1),
        Sample::S16 => (2, 1),
        Sample::S24 => (3, 1),
        Sample::F32 => (4, 3),
    };
    let mut fmt = Vec::new();
    fmt.extend_from_slice(&if extensible { 0xfffe_u16 } else { tag }.to_le_bytes());
    fmt.extend_from_slice(&channels.to_le_bytes());
    fmt.extend_from_slice(&rate.to_le_bytes());
    fmt.extend_from_slice(&rate.wrapping_mul(u32::from(channels) * u32::from(bytes)).to_le_bytes());
    fmt.extend_from_slice(&channels.wrapping_mul(bytes).to_le_bytes());
    fmt.extend_from_slice(&(8 * bytes).to_le_bytes());
    if extensible {
        fmt.extend_from_slice(&22_u16.to_le_bytes());
        fmt.extend_from_slice(&(8 * bytes).to_le_bytes());
        fmt.extend_from_slice(&((1_u32 << channels) - 1).to_le_bytes());
        fmt.extend_from_slice(&tag.to_le_bytes());
        fmt.extend_from_slice(b"\x00\x00\x00\x00\x10\x00\x80\x00\x00\xaa\x00\x38\x9b\x71");
    }
    let mut out = b"RIFF".to_vec();
    out.extend_from_slice(&((4 + 8 + fmt.len() + 8 + data.len()) as u32).to_le_bytes());
    out.extend_from_slice(b"WAVEfmt ");
    out.extend_from_slice(&(fmt.len() as u32).to_le_bytes());
    out.extend_from_slice(&fmt);
    out.extend_from_slice(b"data");
    out.extend_from_slice(&(data.len() as u32).to_le_bytes());
    out.extend_from_slice(data);
    out
}

fn read(bytes: &[u8]) -> Result<Waveform, Error> {
    decode(bytes, AudioFormat::Wav, &Limits::default())
}

fn has(w: &Waveform, code: WarningCode) -> bool {
    w.warnings.iter().any(|x| x.code == code)
}

/// Strongest frequency in the middle of a recording.
fn peak_hz(samples: &[f32]) -> f64 {
    let middle = &samples[samples.len() / 4..];
    let power = Stft::new(4_096, 4_000, 4_000, WindowShape::Hann).expect("sane sizes").power(middle);
    let row = power.row(0);
    (0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b])).expect("not empty") as f64 * 16_000.0 / 4_096.0
}

fn check_tone(name: &str, w: &Waveform, seconds: f64) {
    let peak = peak_hz(&w.samples);
    assert!((peak - 440.0).abs() < 4.0, "{name}: peak at {peak} Hz");
    assert!((w.seconds() - seconds).abs() < 0.06, "{name}: {} s", w.seconds());
    assert!(w.samples.iter().all(|x| x.is_finite()), "{name}");
}

#[test]
fn every_codec_gives_the_tone() {
    for (format, name, bytes) in FIXTURES {
        assert!(bytes.len() < 6_000, "{name} is {} bytes", bytes.len());
        let w = read(bytes).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(w.format, format, "{name}");
        assert_eq!(w.source_channels, 1, "{name}");
        assert!(w.warnings.is_empty(), "{name}: {:?}", w.warnings);
        check_tone(name, &w, 0.5);
    }
}

#[test]
fn every_kind_of_wav_gives_the_tone() {
    for sample in [Sample::U8, Sample::S16, Sample::S24, Sample::F32] {
        for channels in 1..=6 {
            for extensible in [false, true] {
                for rate in [8_000, 16_000, 44_100, 48_000] {
                    let name = format!("{sample:?}, {channels} channels, {rate} Hz");
                    let bytes = wav(sample, channels, rate, 0.6, extensible);
                    let w = read(&bytes).unwrap_or_else(|e| panic!("{name}: {e}"));
                    assert_eq!((w.source_channels, w.source_rate), (channels, rate), "{name}");
                    assert!(w.warnings.is_empty(), "{name}: {:?}", w.warnings);
                    check_tone(&name, &w, 0.6);
                    let loudest =
                        w.samples.iter().take(8_000).skip(1_600).fold(0.0_f32, |m, x| m.max(x.abs()));
                    assert!((loudest - 0.25).abs() < 0.01, "{name}: amplitude {loudest}");
                }
            }
        }
    }
}

#[test]
fn the_claimed_length_is_not_believed() {
    let mut ten_hours = wav(Sample::S16, 1, 16_000, 0.5, false);
    ten_hours[40..44].copy_from_slice(&(10 * 3_600 * 32_000_u32).to_le_bytes());
    let w = read(&ten_hours).unwrap();
    assert!(has(&w, WarningCode::Truncated), "{:?}", w.warnings);
    check_tone("ten hours", &w, 0.5);
    // Writers that cannot seek back leave the lengths open; interrupted ones leave the outer one at zero.
    for (outer, inner) in [(u32::MAX, Some(u32::MAX)), (0, None), (100, None)] {
        let mut piped = wav(Sample::S16, 1, 16_000, 0.5, false);
        piped[4..8].copy_from_slice(&outer.to_le_bytes());
        if let Some(inner) = inner {
            piped[40..44].copy_from_slice(&inner.to_le_bytes());
        }
        let w = read(&piped).unwrap_or_else(|e| panic!("{outer}: {e}"));
        assert!(w.warnings.is_empty(), "{:?}", w.warnings);
        check_tone("piped", &w, 0.5);
    }
}

#[test]
fn long_recordings_stop_at_the_limit() {
    let bytes = wav(Sample::S16, 1, 44_100, 3.0, false);
    let limits = Limits { max_seconds: 1.25, ..Limits::default() };
    let w = decode(&bytes, AudioFormat::Wav, &limits).unwrap();
    assert_eq!(w.samples.len(), 20_000);
    assert!(has(&w, WarningCode::LimitReached) && !has(&w, WarningCode::Truncated));
}

#[test]
fn bad_samples_are_mended() {
    let mut data = Vec::new();
    for n in 0..16_000_u32 {
        let x = match n % 1_000 {
            10 => f32::NAN,
            20 => f32::INFINITY,
            30 => -1e30,
            _ => 0.1 * (f64::from(n) * 0.17).sin() as f32,
        };
        data.extend_from_slice(&x.to_le_bytes());
    }
    let w = read(&wav_around(Sample::F32, 1, 16_000, false, &data)).unwrap();
    assert!(has(&w, WarningCode::BadSamples));
    assert!(w.samples.iter().all(|x| x.is_finite() && x.abs() <= 8.0));
    assert_eq!(w.samples[10].to_bits(), 0.0_f32.to_bits());
}

#[test]
fn senseless_headers_are_refused() {
    let with = |channels: u16, rate: u32| {
        let mut bytes = wav(Sample::S16, 1, 16_000, 0.2, false);
        bytes[22..24].copy_from_slice(&channels.to_le_bytes());
        bytes[24..28].copy_from_slice(&rate.to_le_bytes());
        bytes
    };
    for (channels, rate) in [(0, 16_000), (65_535, 16_000), (1_000, 48_000), (1, 0), (1, 1), (1, 3_999)] {
        let got = read(&with(channels, rate));
        assert!(got.is_err(), "{channels} channels, {rate} Hz: {got:?}");
    }
    assert!(matches!(read(&with(1, 768_001)), Err(Error::Limit { .. })));
    assert!(matches!(read(&with(1, u32::MAX)), Err(Error::Limit { .. })));
    assert!(read(&with(1, 768_000)).is_ok() && read(&with(1, 767_999)).is_ok());
    assert_eq!(read(&[]).unwrap_err(), Error::Empty);
    let empty = read(&wav(Sample::S16, 1, 16_000, 0.0, false)).unwrap_err();
    assert!(empty.to_string().contains("no samples"), "{empty}");
}

#[test]
fn half_a_file_gives_half_the_tone_or_an_error() {
    for (_, name, bytes) in FIXTURES {
        for share in [0.3, 0.5, 0.9] {
            let part = &bytes[..(share * bytes.len() as f64) as usize];
            if let Ok(w) = read(part) {
                assert!(!w.samples.is_empty() && w.seconds() < 0.6, "{name}");
            }
        }
    }
    let whole = wav(Sample::S16, 2, 44_100, 1.0, false);
    let w = read(&whole[..whole.len() / 2]).unwrap();
    assert!(has(&w, WarningCode::Truncated), "{:?}", w.warnings);
    check_tone("half a WAV", &w, 0.5);
}

/// One way to damage a file.
#[derive(Debug, Clone)]
enum Damage {
    Cut(usize),
    Flip(Vec<(usize, u8)>),
    /// Four bytes that may be a length.
    Length(usize, u32),
    Repeat(usize, usize),
    Zeros(usize, usize),
}

impl Damage {
    fn apply(&self, bytes: &[u8]) -> Vec<u8> {
        let mut out = bytes.to_vec();
        let len = out.len();
        match self {
            Self::Cut(at) => out.truncate(at % len),
            Self::Flip(flips) => {
                for (at, mask) in flips {
                    out[at % len] ^= mask;
                }
            }
            Self::Length(at, value) => {
                let at = at % (len - 4);
                out[at..at + 4].copy_from_slice(&if at.is_multiple_of(2) {
                    value.to_be_bytes()
                } else {
                    value.to_le_bytes()
                });
            }
            Self::Repeat(at, count) => {
                let at = at % len;
                let part = out[at..(at + count).min(len)].to_vec();
                out.splice(at..at, part);
            }
            Self::Zeros(at, count) => {
                let at = at % len;
                out[at..(at + count).min(len)].fill(0);
            }
        }
        out
    }
}

/// Sets the checksums of all Ogg pages right, for otherwise no damage would reach the codec.
fn mend_ogg(bytes: &mut [u8]) {
    let mut at = 0;
    while let Some(page) = bytes.get_mut(at..).filter(|p| p.len() > 27 && p.starts_with(b"OggS")) {
        let segments = usize::from(page[26]);
        let body: usize = page[27..].iter().take(segments).map(|&s| usize::from(s)).sum();
        let len = (27 + segments + body).min(page.len());
        page[22..26].fill(0);
        let sum = page[..len].iter().fold(0_u32, |crc, &byte| {
            (0..8)
                .fold(crc ^ u32::from(byte) << 24, |c, _| c << 1 ^ if c >> 31 == 1 { 0x04c1_1db7 } else { 0 })
        });
        page[22..26].copy_from_slice(&sum.to_le_bytes());
        at += len;
    }
}

fn damage() -> impl Strategy<Value = Damage> {
    // The first 600 bytes hold most of what can lie.
    let place = prop_oneof![0..600_usize, 0..6_000_usize];
    let length =
        prop_oneof![Just(0), Just(1), Just(0x7fff_ffff), Just(u32::MAX), Just(1 << 24), any::<u32>()];
    prop_oneof![
        place.clone().prop_map(Damage::Cut),
        prop::collection::vec((place.clone(), 1..=255_u8), 1..12).prop_map(Damage::Flip),
        (place.clone(), length).prop_map(|(at, v)| Damage::Length(at, v)),
        (place.clone(), 1..400_usize).prop_map(|(at, n)| Damage::Repeat(at, n)),
        (place, 1..400_usize).prop_map(|(at, n)| Damage::Zeros(at, n)),
    ]
}

#[test]
fn damaged_files_never_break_the_decoder() {
    let mut sources: Vec<Vec<u8>> = FIXTURES.iter().map(|f| f.2.to_vec()).collect();
    for sample in [Sample::U8, Sample::S16, Sample::S24, Sample::F32] {
        sources.push(wav(sample, 2, 44_100, 0.02, false));
        sources.push(wav(sample, 6, 8_000, 0.02, true));
    }
    let config =
        Config { cases: CASES, rng_seed: RngSeed::Fixed(3), failure_persistence: None, ..Config::default() };
    let kinds = sources.len();
    TestRunner::new(config)
        .run(&(0..kinds, prop::collection::vec(damage(), 1..4)), |(source, damages)| {
            let mut bytes = damages
                .iter()
                .fold(sources[source].clone(), |b, d| if b.len() > 8 { d.apply(&b) } else { b });
            mend_ogg(&mut bytes);
            let start = Instant::now();
            if let Ok(w) = read(&bytes) {
                prop_assert!(!w.samples.is_empty() && w.seconds() <= 600.0);
                prop_assert!(w.samples.iter().all(|x| x.is_finite()));
                prop_assert!(w.source_channels > 0 && w.source_rate > 0);
            }
            prop_assert!(start.elapsed().as_secs() < 20, "{} s", start.elapsed().as_secs());
            Ok(())
        })
        .unwrap();
}

/// Damaged files that are tried.
const CASES: u32 = 600;

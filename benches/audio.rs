//! Speed of the audio features, per 10 s of synthetic audio.

use std::hint::black_box;

use candor_features::{
    Limits, Waveform,
    audio::{
        Lfcc, LfccConfig, Stft, WindowShape, activity, audio_stats, decode, equalise,
        launder::{self, AudioLaundering, Law, NoiseColour, rawboost},
        resample,
    },
    sniff::AudioFormat,
};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

const SECONDS: u64 = 10;

/// Harmonics with vibrato, pauses and a little noise.
fn speech_like(rate: u32) -> Vec<f32> {
    let mut noise = 1_u32;
    (0..SECONDS as u32 * rate)
        .map(|n| {
            let t = f64::from(n) / f64::from(rate);
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let pitch = std::f64::consts::TAU * (140.0 * t + (5.0 * t).sin());
            let voice: f64 = (1..12).map(|h| (f64::from(h) * pitch).sin() / f64::from(h)).sum();
            (0.1 * voice * (2.0 * t).sin().max(0.0) + 1e-3 * (f64::from(noise >> 8) / 8_388_608.0 - 1.0))
                as f32
        })
        .collect()
}

fn wav(samples: &[f32], rate: u32) -> Vec<u8> {
    let size = samples.len() as u32 * 2;
    let mut out = b"RIFF".to_vec();
    out.extend_from_slice(&(size + 36).to_le_bytes());
    out.extend_from_slice(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    out.extend_from_slice(&rate.to_le_bytes());
    out.extend_from_slice(&(2 * rate).to_le_bytes());
    out.extend_from_slice(b"\x02\0\x10\0data");
    out.extend_from_slice(&size.to_le_bytes());
    out.extend(samples.iter().flat_map(|x| ((x * 32_767.0) as i16).to_le_bytes()));
    out
}

fn reading(c: &mut Criterion) {
    let mut group = c.benchmark_group("audio/read");
    group.sample_size(20).throughput(Throughput::Elements(SECONDS));
    for rate in [16_000, 44_100] {
        let samples = speech_like(rate);
        let bytes = wav(&samples, rate);
        group.bench_function(format!("decode WAV at {rate} Hz"), |b| {
            b.iter(|| decode(black_box(&bytes), AudioFormat::Wav, &Limits::default()));
        });
        if rate != Waveform::RATE {
            group.bench_function(format!("resample from {rate} Hz"), |b| {
                b.iter(|| resample(black_box(&samples), rate, Waveform::RATE));
            });
        }
    }
    group.finish();
}

fn features(c: &mut Criterion) {
    let samples = speech_like(Waveform::RATE);
    let waveform = Waveform {
        samples: samples.clone(),
        source_rate: Waveform::RATE,
        source_channels: 1,
        format: "synthetic".into(),
        warnings: Vec::new(),
    };
    let mut group = c.benchmark_group("audio/features");
    group.sample_size(20).throughput(Throughput::Elements(SECONDS));
    if let (Some(stft), Some(lfcc)) =
        (Stft::new(512, 320, 160, WindowShape::Hann), Lfcc::new(&LfccConfig::default()))
    {
        group.bench_function("stft", |b| b.iter(|| stft.power(black_box(&samples))));
        group.bench_function("filter bank", |b| b.iter(|| lfcc.filterbank(black_box(&samples))));
        group.bench_function("lfcc", |b| b.iter(|| lfcc.lfcc(black_box(&samples))));
    }
    group.bench_function("activity", |b| b.iter(|| activity(black_box(&samples))));
    group.bench_function("stats", |b| b.iter(|| audio_stats(black_box(&waveform))));
    group.bench_function("equalise", |b| b.iter(|| equalise(black_box(&samples))));
    group.finish();
}

fn laundering(c: &mut Criterion) {
    let samples = speech_like(Waveform::RATE);
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut group = c.benchmark_group("audio/launder");
    group.sample_size(20).throughput(Throughput::Elements(SECONDS));
    let law = AudioLaundering::default();
    group.bench_function("the whole law", |b| b.iter(|| law.launder(black_box(&samples), &mut rng)));
    group.bench_function("speed", |b| b.iter(|| launder::change_speed(black_box(&samples), 1.05)));
    group.bench_function("reverberation", |b| {
        b.iter(|| launder::reverberate(black_box(&samples), 0.4, -10.0, &mut rng));
    });
    group.bench_function("pink noise", |b| {
        b.iter(|| launder::add_noise(black_box(&samples), NoiseColour::Pink, 20.0, &mut rng));
    });
    group.bench_function("telephone band", |b| b.iter(|| launder::telephone_band(black_box(&samples))));
    group.bench_function("mu-law", |b| b.iter(|| launder::compand(black_box(&samples), Law::Mu)));
    group.bench_function("codec at 32 kb/s", |b| {
        b.iter(|| launder::simulate_codec(black_box(&samples), 32.0));
    });
    group.bench_function("RawBoost 1", |b| {
        b.iter(|| rawboost::convolutive_noise(black_box(&samples), &mut rng));
    });
    group.bench_function("RawBoost 2", |b| {
        b.iter(|| rawboost::impulsive_noise(black_box(&samples), &mut rng));
    });
    group.bench_function("RawBoost 3", |b| {
        b.iter(|| rawboost::coloured_noise(black_box(&samples), &mut rng));
    });
    group.finish();
}

criterion_group!(benches, reading, features, laundering);
criterion_main!(benches);

//! Whole scans, from bytes to verdict: one file of each kind, and a batch on one and on two threads.
//!
//! ```text
//! cargo bench -p candor --bench scan
//! ```
//!
//! A kind without an embedded model is left out with a note: timing its decoder alone would look like a scan.

use std::hint::black_box;
use std::io::Cursor;

use candor::{MediaKind, Scanner};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use image::{ImageFormat, RgbImage};
use rayon::prelude::*;

/// A 512x512 PNG of smooth colours under noise, which gives decoder and network something to do.
fn picture() -> Vec<u8> {
    let mut state = 1_u32;
    let picture = RgbImage::from_fn(512, 512, |x, y| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let noise = (state >> 28) as u8;
        image::Rgb([(x / 3) as u8 + noise, (y / 3) as u8 + noise, ((x + y) / 6) as u8 + noise])
    });
    let mut png = Cursor::new(Vec::new());
    picture.write_to(&mut png, ImageFormat::Png).expect("a picture in memory encodes");
    png.into_inner()
}

/// Seconds of 16-bit mono WAV at 16 kHz: a chirp.
fn recording(seconds: u32) -> Vec<u8> {
    let samples: Vec<u8> = (0..16_000 * seconds)
        .flat_map(|i| {
            let t = f64::from(i) / 16_000.0;
            let value = (std::f64::consts::TAU * (200.0 * t + 150.0 * t * t)).sin();
            ((value * 20_000.0) as i16).to_le_bytes()
        })
        .collect();
    let length = samples.len() as u32;
    let mut wav = Vec::with_capacity(44 + samples.len());
    wav.extend(b"RIFF");
    wav.extend((36 + length).to_le_bytes());
    wav.extend(b"WAVEfmt ");
    wav.extend(16_u32.to_le_bytes());
    wav.extend(1_u16.to_le_bytes());
    wav.extend(1_u16.to_le_bytes());
    wav.extend(16_000_u32.to_le_bytes());
    wav.extend(32_000_u32.to_le_bytes());
    wav.extend(2_u16.to_le_bytes());
    wav.extend(16_u16.to_le_bytes());
    wav.extend(b"data");
    wav.extend(length.to_le_bytes());
    wav.extend(samples);
    wav
}

/// About a thousand bytes of English.
fn text() -> Vec<u8> {
    "The ferry left before the fog had lifted, and nobody on the quay could say which island it was bound for. "
        .repeat(10)
        .into_bytes()
}

fn pool(threads: usize) -> rayon::ThreadPool {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a thread pool starts")
}

fn scans(c: &mut Criterion) {
    let scanner = Scanner::new().expect("the embedded models load");
    let files = [
        (MediaKind::Image, "image-512px.png", picture()),
        (MediaKind::Audio, "audio-1s.wav", recording(1)),
        (MediaKind::Text, "text-1kb.txt", text()),
    ];
    let (covered, missing): (Vec<_>, Vec<_>) =
        files.into_iter().partition(|(kind, ..)| scanner.registry().get(*kind).is_some());
    for (kind, ..) in &missing {
        eprintln!("no embedded model for {kind}: left out");
    }
    if covered.is_empty() {
        return;
    }

    let mut group = c.benchmark_group("scan");
    let single = pool(1);
    for (_, name, bytes) in &covered {
        group.throughput(Throughput::Elements(1));
        group.bench_function(*name, |b| {
            b.iter(|| single.install(|| black_box(scanner.scan_bytes(name, bytes))));
        });
    }
    let batch: Vec<_> = covered.iter().cycle().take(24).collect();
    for threads in [1, 2] {
        let pool = pool(threads);
        group.throughput(Throughput::Elements(batch.len() as u64));
        group.bench_function(format!("batch-{threads}-threads"), |b| {
            b.iter(|| {
                pool.install(|| {
                    batch
                        .par_iter()
                        .map(|(_, name, bytes)| black_box(scanner.scan_bytes(name, bytes)).verdict.label)
                        .collect::<Vec<_>>()
                })
            });
        });
    }
    group.finish();
}

criterion_group!(benches, scans);
criterion_main!(benches);

//! Speed of decoding and of the features of pictures, on one synthetic megapixel.
#![allow(missing_docs, reason = "the macros of criterion make undocumented functions")]

use std::hint::black_box;
use std::time::Duration;

use candor_features::image::{
    Planes, blockgrid::block_grid, chroma, colour::colour_stats, image_stats, launder, noise::noise_map,
    npr::npr, residual::median_residual, spectrum::spectrum, wavelet::hh_undecimated,
};
use candor_features::{Limits, Pixels, decode};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use image::imageops::{FilterType, resize};
use image::{ImageBuffer, ImageEncoder, Rgb};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

const SIDE: usize = 1024;

/// Waves with noise, so that the coders have about as much to do as on a photograph.
fn picture() -> Pixels {
    let mut state = 1_u32;
    let rgb = (0..SIDE * SIDE)
        .flat_map(|i| {
            let (x, y) = ((i % SIDE) as f32, (i / SIDE) as f32);
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let noise = (state >> 24) as f32 / 32.0;
            let v = 120.0 + 60.0 * (x / 17.0).sin() + 40.0 * (y / 11.0).cos() + noise;
            [v as u8, (v * 0.8) as u8, (255.0 - v) as u8]
        })
        .collect();
    Pixels::from_rgb(SIDE, SIDE, rgb).expect("the length fits the sides")
}

fn decoding(c: &mut Criterion) {
    let picture = picture();
    let jpeg = launder::encode_jpeg(&picture, 85, false).expect("the sides fit a JPEG");
    let mut png = Vec::new();
    image::codecs::png::PngEncoder::new(&mut png)
        .write_image(&picture.rgb, SIDE as u32, SIDE as u32, image::ExtendedColorType::Rgb8)
        .expect("the length fits the sides");
    let mut group = c.benchmark_group("image decode");
    group.throughput(Throughput::Elements((SIDE * SIDE) as u64)).measurement_time(Duration::from_secs(3));
    for (name, bytes) in [("jpeg", &jpeg), ("png", &png)] {
        group.bench_function(name, |b| b.iter(|| decode(black_box(bytes), &Limits::default())));
    }
    group.finish();
}

fn features(c: &mut Criterion) {
    let picture = picture();
    let planes = Planes::from_pixels(&picture);
    let luma = planes.luma();
    let mut group = c.benchmark_group("image features");
    group.throughput(Throughput::Elements((SIDE * SIDE) as u64)).measurement_time(Duration::from_secs(3));
    group.bench_function("scale to 768", |b| {
        b.iter(|| launder::resize_to_longest(black_box(&picture), 768));
    });
    let side = SIDE as u32;
    let view = ImageBuffer::<Rgb<u8>, &[u8]>::from_raw(side, side, &picture.rgb).expect("the length fits");
    group.bench_function("scale to 768, image::imageops", |b| {
        b.iter(|| resize(black_box(&view), 768, 768, FilterType::Lanczos3));
    });
    group.bench_function("planes", |b| b.iter(|| Planes::from_pixels(black_box(&picture))));
    group.bench_function("median residual", |b| b.iter(|| median_residual(black_box(&planes))));
    group.bench_function("npr", |b| b.iter(|| npr(black_box(&planes))));
    group.bench_function("hh undecimated", |b| b.iter(|| hh_undecimated(black_box(&planes))));
    group.bench_function("spectrum", |b| b.iter(|| spectrum(black_box(&luma))));
    group.bench_function("block grid", |b| b.iter(|| block_grid(black_box(&luma))));
    group.bench_function("noise map", |b| b.iter(|| noise_map(black_box(&luma))));
    group.bench_function("colour", |b| b.iter(|| colour_stats(black_box(&planes))));
    group.bench_function("chroma", |b| b.iter(|| chroma(black_box(&picture))));
    group.bench_function("image_stats", |b| b.iter(|| image_stats(black_box(&picture))));
    group.finish();
}

fn laundering(c: &mut Criterion) {
    let picture = picture();
    let law = launder::ImageLaundering::default();
    let mut group = c.benchmark_group("image laundering");
    group.throughput(Throughput::Elements(1)).measurement_time(Duration::from_secs(3));
    for size in [128, 224] {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        group.bench_function(format!("crop of {size}"), |b| {
            b.iter(|| law.launder_crop(black_box(&picture), size, &mut rng));
        });
    }
    group.finish();
}

criterion_group!(benches, decoding, features, laundering);
criterion_main!(benches);

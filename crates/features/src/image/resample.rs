//! Scaling by the Lanczos kernel, line by line.
//!
//! `image::imageops::resize` makes all scaled columns of a picture before the first row, four numbers for each pixel: 160 MB and seconds for
//! 100 megapixels that become one. Here a row of the result is made from the rows around it at once, with the same sums in the same order, so
//! that each byte is that of the library; threads share the rows.

use std::f32::consts::PI;

use rayon::prelude::*;

/// Reach of the kernel, in pixels of the smaller one of both pictures.
const SUPPORT: f32 = 3.0;

/// Samples of a line that one of the scaled line is a mean of.
struct Taps {
    first: usize,
    weights: Vec<f32>,
}

/// For each sample of a line of `to` what it takes of a line of `from`.
fn taps(from: usize, to: usize) -> Vec<Taps> {
    let ratio = from as f32 / to as f32;
    let scale = ratio.max(1.0);
    let support = SUPPORT * scale;
    let of = |i: usize| {
        let centre = (i as f32 + 0.5) * ratio;
        let first = ((centre - support).floor() as i64).clamp(0, from as i64 - 1);
        let end = ((centre + support).ceil() as i64).clamp(first + 1, from as i64);
        let centre = centre - 0.5;
        let mut weights: Vec<f32> = (first..end).map(|i| lanczos((i as f32 - centre) / scale)).collect();
        let sum: f32 = weights.iter().fold(0.0, |sum, w| sum + w);
        for weight in &mut weights {
            *weight /= sum;
        }
        Taps { first: first as usize, weights }
    };
    (0..to).map(of).collect()
}

fn lanczos(x: f32) -> f32 {
    let sinc = |t: f32| if t == 0.0 { 1.0 } else { (t * PI).sin() / (t * PI) };
    if x.abs() < SUPPORT { sinc(x) * sinc(x / SUPPORT) } else { 0.0 }
}

/// Scales a picture of `from` pixels, width and height, to one of `to` pixels; neither may be empty.
pub(super) fn resize(rgb: &[u8], from: [usize; 2], to: [usize; 2]) -> Vec<u8> {
    if from == to {
        return rgb.to_vec();
    }
    let (columns, rows) = (taps(from[0], to[0]), taps(from[1], to[1]));
    let mut out = vec![0; 3 * to[0] * to[1]];
    let lines = out.par_chunks_exact_mut(3 * to[0]).zip(&rows);
    lines.for_each_init(
        || vec![0.0_f32; 3 * from[0]],
        |line, (out, row)| {
            line.fill(0.0);
            for (source, weight) in rgb.chunks_exact(3 * from[0]).skip(row.first).zip(&row.weights) {
                line.iter_mut().zip(source).for_each(|(sum, &v)| *sum += f32::from(v) * weight);
            }
            let (pixels, _) = line.as_chunks::<3>();
            let (out, _) = out.as_chunks_mut::<3>();
            for (out, column) in out.iter_mut().zip(&columns) {
                let mut sum = [0.0_f32; 3];
                for (pixel, weight) in pixels.iter().skip(column.first).zip(&column.weights) {
                    sum.iter_mut().zip(pixel).for_each(|(sum, v)| *sum += v * weight);
                }
                *out = sum.map(|v| v.clamp(0.0, 255.0).round() as u8);
            }
        },
    );
    out
}

#[cfg(test)]
mod tests {
    use image::{
        ImageBuffer, Rgb,
        imageops::{self, FilterType},
    };
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn each_byte_is_that_of_the_library(
            from in [1_usize..90, 1_usize..90],
            to in [1_usize..90, 1_usize..90],
            seed in any::<u32>(),
        ) {
            let step = |i: usize| (i as u32).wrapping_mul(2_654_435_761).wrapping_add(seed);
            // Some runs of one value, where sums leave the range of bytes.
            let rgb: Vec<u8> = (0..3 * from[0] * from[1])
                .map(|i| if i / 37 % 3 == 0 { 255 * (i / 111 % 2) as u8 } else { (step(i) >> 24) as u8 })
                .collect();
            let view = ImageBuffer::<Rgb<u8>, &[u8]>::from_raw(from[0] as u32, from[1] as u32, &rgb).unwrap();
            let expected = imageops::resize(&view, to[0] as u32, to[1] as u32, FilterType::Lanczos3);
            prop_assert_eq!(resize(&rgb, from, to), expected.into_raw());
        }
    }
}

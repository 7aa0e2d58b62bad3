//! How much the colours of a picture vary from place to place, and at which scales, as numbers for a linear detector.
//!
//! Colour is where generated pictures keep differing from genuine ones when the generator was never seen: it varies more from
//! place to place and more smoothly (compare S. `McCloskey` and M. Albright, "Detecting GAN-Generated Imagery Using Saturation
//! Cues", ICIP 2019, and H. Li et al., "Identification of Deep Network Generated Images Using Disparities in Color Components",
//! Signal Processing 174, 2020). What luma says of its texture belongs to the generators that were seen.

use rayon::prelude::*;

use crate::Pixels;

/// Numbers of a picture.
pub const CHROMA: usize = 2 * (SIDES.len() + BOXES.len() - 1);

/// Sides in pixels of the squares within which the variance is taken.
const SIDES: [usize; 4] = [3, 9, 27, 81];
/// Sides in pixels of the boxes over which means are taken; between two lies a band, and the first has the pixels themselves before it.
const BOXES: [usize; 5] = [3, 7, 15, 31, 63];
/// Side of the boxes over which the squares of a band are averaged.
const LOCAL: usize = 17;
/// Added to a variance or energy, in grey levels squared, before its logarithm: about that of rounding.
const FLOOR: f32 = 0.05;
/// Variances are taken around every second row and column.
const STEP: usize = 2;
/// Local energies are taken at every fourth row and column.
const LOCAL_STEP: usize = 4;

/// Describes a picture by [`CHROMA`] numbers, all finite, eight for the blue and eight for the red difference (ITU-R BT.601, in
/// grey levels of 255): the mean logarithm of the variance within squares of 3, 9, 27 and 81 pixels, and of the energies around
/// a place how much larger each of five bands, from fine to coarse, is than the next one, as the mean difference of their
/// logarithms. Zeros for a picture without pixels.
///
/// The numbers depend on scale and on compression: the caller brings pictures to one size and through one round of JPEG.
pub fn chroma(pixels: &Pixels) -> Vec<f32> {
    let (width, height) = (pixels.width, pixels.height);
    if width == 0 || height == 0 {
        return vec![0.0; CHROMA];
    }
    let plane = |difference: fn([f32; 3], f32) -> f32| -> Vec<f32> {
        let value = |p: &[u8; 3]| {
            let [r, g, b] = p.map(f32::from);
            difference([r, g, b], 0.299 * r + 0.587 * g + 0.114 * b)
        };
        pixels.rgb.as_chunks::<3>().0.iter().map(value).collect()
    };
    let planes = [plane(|[_, _, b], y| 0.564 * (b - y)), plane(|[r, _, _], y| 0.713 * (r - y))];
    planes.par_iter().flat_map_iter(|plane| describe(plane, width, height)).collect()
}

/// The eight numbers of one plane.
fn describe(plane: &[f32], width: usize, height: usize) -> Vec<f32> {
    let squares: Vec<f32> = plane.iter().map(|v| v * v).collect();
    let mut out: Vec<f32> = SIDES
        .map(|side| {
            let [mean, of_squares] = [plane, &squares].map(|p| means(p, width, height, side, STEP));
            mean_logarithm(of_squares.iter().zip(&mean).map(|(s, m)| s - m * m))
        })
        .into();
    let mut finer = plane.to_vec();
    let levels = BOXES.map(|side| {
        let coarser = means(plane, width, height, side, 1);
        let energy: Vec<f32> = finer.iter().zip(&coarser).map(|(a, b)| (a - b) * (a - b)).collect();
        finer.clone_from(&coarser);
        mean_logarithm(means(&energy, width, height, LOCAL, LOCAL_STEP).into_iter())
    });
    out.extend(levels.windows(2).filter_map(|pair| Some(pair.first()? - pair.last()?)));
    out
}

fn mean_logarithm(values: impl ExactSizeIterator<Item = f32>) -> f32 {
    let n = values.len().max(1) as f64;
    (values.map(|v| f64::from((v.max(0.0) + FLOOR).ln())).sum::<f64>() / n) as f32
}

/// Means over boxes of this odd side around every `step`th row and column; what lies outside of the picture is left out.
fn means(plane: &[f32], width: usize, height: usize, side: usize, step: usize) -> Vec<f32> {
    let reach = side / 2;
    let around = |at: usize, size: usize| (at.saturating_sub(reach), (at + reach + 1).min(size));
    let row = |y: usize| plane.get(y * width..(y + 1) * width).unwrap_or_default();
    let mut out = Vec::with_capacity((width / step + 1) * (height / step + 1));
    // Sums of the rows from `top` to `bottom`.
    let mut columns = vec![0.0_f64; width];
    let (mut top, mut bottom) = (0, 0);
    for y in (0..height).step_by(step) {
        let (first, end) = around(y, height);
        for y in bottom..end {
            columns.iter_mut().zip(row(y)).for_each(|(sum, v)| *sum += f64::from(*v));
        }
        for y in top..first {
            columns.iter_mut().zip(row(y)).for_each(|(sum, v)| *sum -= f64::from(*v));
        }
        (top, bottom) = (first, end);
        let (mut left, mut right, mut sum) = (0, 0, 0.0);
        for x in (0..width).step_by(step) {
            let (first, end) = around(x, width);
            sum += columns[right..end].iter().sum::<f64>() - columns[left..first].iter().sum::<f64>();
            (left, right) = (first, end);
            out.push((sum / ((bottom - top) * (right - left)) as f64) as f32);
        }
    }
    out
}

#[cfg(test)]
#[expect(clippy::unreadable_literal, reason = "golden numbers as Python prints them")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn picture() -> Pixels {
        let (w, h) = (48_usize, 40_usize);
        let value = |i: usize| ((i * i % 211) / 2 + (i / 3 % w) * 2 + i % 3 * 11) as u8;
        Pixels::from_rgb(w, h, (0..3 * w * h).map(value).collect()).unwrap()
    }

    #[test]
    fn numbers_match_numpy() {
        // i = np.arange(3*48*40); v = ((i*i % 211)//2 + (i//3 % 48)*2 + i%3*11) % 256; a = v.reshape(40, 48, 3)
        // Y = a @ [.299, .587, .114]; C = .564*(a[..., 2] - Y), and .713*(a[..., 0] - Y)
        // def mean(P, s): r = s//2; n = np.pad(np.ones_like(P), r); return the sums over windows of s of np.pad(P, r) and of n, divided
        // np.log((mean(C*C, 9) - mean(C, 9)**2)[::2, ::2] + .05).mean()
        // L = [np.log(mean((fine - coarse)**2, 17)[::4, ::4] + .05).mean() for the bands between C and mean(C, 3), (C, 7), (C, 15) ...]
        let found = chroma(&picture());
        assert_eq!(found.len(), CHROMA);
        for (index, expected) in GOLDEN {
            assert!((found[index] - expected).abs() < 1e-4, "{index}: {}", found[index]);
        }
    }

    const GOLDEN: [(usize, f32); 8] = [
        (0, 5.604645),
        (2, 5.832661),
        (3, 5.832358),
        (4, 2.435145),
        (7, 1.969147),
        (8, 5.712349),
        (12, 2.404411),
        (15, 1.737003),
    ];

    #[test]
    fn a_flat_picture_has_the_floor_everywhere() {
        let found = chroma(&Pixels::from_rgb(30, 20, [90, 120, 40].repeat(600)).unwrap());
        for numbers in found.chunks(8) {
            assert!(numbers[..4].iter().all(|v| (v - FLOOR.ln()).abs() < 1e-3), "{numbers:?}");
            assert!(numbers[4..].iter().all(|v| v.abs() < 1e-3), "{numbers:?}");
        }
    }

    #[test]
    fn the_number_of_threads_changes_nothing() {
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| chroma(&picture()))
        };
        assert_eq!(run(1), run(3));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn finite_for_any_picture(width in 0..40_usize, height in 0..40_usize, seed in any::<u32>(), flat in any::<bool>()) {
            let value = |i: u32| if flat { seed as u8 } else { (i.wrapping_mul(2_654_435_761) ^ seed) as u8 };
            let rgb = (0..(width * height * 3) as u32).map(value).collect();
            if let Some(pixels) = Pixels::from_rgb(width, height, rgb) {
                let found = chroma(&pixels);
                prop_assert_eq!(found.len(), CHROMA);
                prop_assert!(found.iter().all(|v| v.is_finite()));
            }
        }
    }
}

//! How a picture looks, as numbers for a linear detector: how much luma and colour vary from place to place, how bright it
//! is and how its colours go together.
//!
//! Colour is where generated pictures keep differing from genuine ones when the generator was never seen, most of all from
//! scans, faces and renders: it varies more from place to place, and more smoothly (compare S. `McCloskey` and M. Albright,
//! "Detecting GAN-Generated Imagery Using Saturation Cues", ICIP 2019, and H. Li et al., "Identification of Deep Network
//! Generated Images Using Disparities in Color Components", Signal Processing 174, 2020). What luma alone says of its
//! texture belongs to the generators that were seen.

use rayon::prelude::*;

use super::stats::correlation;
use crate::Pixels;

/// Numbers of a picture.
pub const APPEARANCE: usize = 3 * SIDES.len() * PLACES.len() + BRIGHTNESS.len() + 9;

/// Sides in pixels of the squares in which the variance is taken.
const SIDES: [usize; 3] = [3, 9, 27];
/// Quantiles of the variances.
const PLACES: [f64; 7] = [0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 0.98];
/// Quantiles of the luma.
const BRIGHTNESS: [f64; 7] = [0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99];
/// Added to a variance, in grey levels squared, before its logarithm: about that of rounding.
const FLOOR: f64 = 0.05;
/// Squares begin at every second row and column.
const STEP: usize = 2;
/// Luma below which a pixel is black, and above which it is white.
const BLACK_AND_WHITE: [f32; 2] = [3.0, 252.0];

/// Describes a picture by [`APPEARANCE`] numbers, all finite: for luma, blue and red difference (ITU-R BT.601, in grey levels of
/// 255) and for squares of 3, 9 and 27 pixels, seven quantiles of the logarithm of the variance within a square; seven
/// quantiles of the luma; correlations of red and green, green and blue, red and blue; that of luma and saturation; shares of
/// black and of white; correlations of the two colour differences and of luma and either. Zeros for a picture without pixels.
///
/// The numbers depend on scale and on compression: the caller brings pictures to one size and through one round of JPEG.
pub fn appearance(pixels: &Pixels) -> Vec<f32> {
    let (width, height) = (pixels.width, pixels.height);
    if width == 0 || height == 0 {
        return vec![0.0; APPEARANCE];
    }
    let rgb = || pixels.rgb.as_chunks::<3>().0.iter().map(|p| p.map(f32::from));
    let luma: Vec<f32> = rgb().map(|[r, g, b]| 0.299 * r + 0.587 * g + 0.114 * b).collect();
    let blue: Vec<f32> = rgb().zip(&luma).map(|([_, _, b], y)| 0.564 * (b - y)).collect();
    let red: Vec<f32> = rgb().zip(&luma).map(|([r, _, _], y)| 0.713 * (r - y)).collect();
    let planes = [&luma, &blue, &red];
    let texture: Vec<Vec<f32>> = planes
        .par_iter()
        .flat_map_iter(|plane| {
            let sums = Sums::new(plane, width, height);
            SIDES.map(|side| quantiles(&mut sums.variances(side), &PLACES))
        })
        .collect();
    let mut out: Vec<f32> = texture.iter().flatten().map(|&v| (f64::from(v) + FLOOR).ln() as f32).collect();
    out.extend(quantiles(&mut luma.clone(), &BRIGHTNESS));
    let n = luma.len() as f32;
    let [black, white] = BLACK_AND_WHITE;
    let share = |of: &dyn Fn(f32) -> bool| luma.iter().filter(|&&y| of(y)).count() as f32 / n;
    let channels = |a: usize, b: usize| correlation(rgb().map(|p| (p[a], p[b]))) as f32;
    let saturation = rgb().map(|[r, g, b]| {
        let (top, bottom) = (r.max(g).max(b), r.min(g).min(b));
        (top - bottom) / (top + 1.0)
    });
    let pair = |a: &[f32], b: &[f32]| correlation(a.iter().copied().zip(b.iter().copied())) as f32;
    out.extend([
        channels(0, 1),
        channels(1, 2),
        channels(0, 2),
        correlation(luma.iter().copied().zip(saturation)) as f32,
        share(&|y| y < black),
        share(&|y| y > white),
        pair(&blue, &red),
        pair(&luma, &blue),
        pair(&luma, &red),
    ]);
    out
}

/// Values at these shares of the order, which rise; the lower neighbour where a share falls between two. Zeros without
/// values.
fn quantiles(values: &mut [f32], shares: &[f64]) -> Vec<f32> {
    let mut sorted = 0;
    let of = |share: &f64| {
        let at = (share * values.len().saturating_sub(1) as f64) as usize;
        if at >= sorted && at < values.len() {
            values[sorted..].select_nth_unstable_by(at - sorted, f32::total_cmp);
            sorted = at + 1;
        }
        values.get(at).copied().unwrap_or_default()
    };
    shares.iter().map(of).collect()
}

/// Sums of values and of squares over everything above and to the left (F. Crow, "Summed-Area Tables for Texture Mapping",
/// SIGGRAPH 1984).
struct Sums {
    width: usize,
    height: usize,
    /// `(height + 1) * (width + 1)` pairs; the first row and column are zero.
    table: Vec<[f64; 2]>,
}

impl Sums {
    fn new(plane: &[f32], width: usize, height: usize) -> Self {
        let stride = width + 1;
        let mut table = vec![[0.0; 2]; stride * (height + 1)];
        for (y, row) in plane.chunks_exact(width).enumerate() {
            let (above, below) = table[y * stride..].split_at_mut(stride);
            let mut sum = [0.0; 2];
            for ((v, above), below) in row.iter().zip(&above[1..]).zip(&mut below[1..]) {
                let v = f64::from(*v);
                sum = [sum[0] + v, sum[1] + v * v];
                *below = [above[0] + sum[0], above[1] + sum[1]];
            }
        }
        Self { width, height, table }
    }

    /// Variances within squares of this side, or of the picture's where that is smaller.
    fn variances(&self, side: usize) -> Vec<f32> {
        let side = side.min(self.width).min(self.height);
        let (stride, area) = (self.width + 1, (side * side) as f64);
        let mut out = Vec::with_capacity((self.width / STEP + 1) * (self.height / STEP + 1));
        for y in (0..=self.height - side).step_by(STEP) {
            let top = &self.table[y * stride..(y + 1) * stride];
            let bottom = &self.table[(y + side) * stride..(y + side + 1) * stride];
            for x in (0..=self.width - side).step_by(STEP) {
                let of =
                    |i: usize| (bottom[x + side][i] - bottom[x][i] - top[x + side][i] + top[x][i]) / area;
                let mean = of(0);
                out.push((of(1) - mean * mean).max(0.0) as f32);
            }
        }
        out
    }
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
        // Y = a @ [.299, .587, .114]; C = .564*(a[..., 2] - Y)
        // W = np.lib.stride_tricks.sliding_window_view(C, (9, 9))[::2, ::2].var((2, 3))
        // np.log(np.quantile(W, [.02, .5, .98], method='lower') + .05), np.quantile(Y, [.01, .5], method='lower')
        // np.corrcoef(a[..., 0].ravel(), a[..., 1].ravel())[0, 1]
        let found = appearance(&picture());
        assert_eq!(found.len(), APPEARANCE);
        let blue_9 = &found[7 * 4..7 * 5];
        for (index, expected) in [(0, 5.5534), (3, 5.820295), (6, 6.015395)] {
            assert!((blue_9[index] - expected).abs() < 1e-4, "{index}: {}", blue_9[index]);
        }
        for (index, expected) in [(63, 32.559), (66, 106.004), (70, 0.479047)] {
            assert!((found[index] - expected).abs() < 1e-3, "{index}: {}", found[index]);
        }
    }

    #[test]
    fn a_flat_picture_has_the_floor_everywhere() {
        let found = appearance(&Pixels::from_rgb(30, 20, [90, 120, 40].repeat(600)).unwrap());
        assert!(found[..63].iter().all(|v| (v - (FLOOR as f32).ln()).abs() < 1e-3));
        assert!(found[70..].iter().all(|v| v.abs() < 1e-6));
    }

    #[test]
    fn the_number_of_threads_changes_nothing() {
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| appearance(&picture()))
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
                let found = appearance(&pixels);
                prop_assert_eq!(found.len(), APPEARANCE);
                prop_assert!(found.iter().all(|v| v.is_finite()));
            }
        }
    }
}

//! Statistics of colours and sharpness.
//!
//! Colour saturation and over-exposure tell generated pictures from photographs (S. `McCloskey` and M. Albright,
//! "Detecting GAN-Generated Imagery Using Saturation Cues", ICIP 2019); the variance of the Laplacian measures focus
//! (J. L. Pech-Pacheco et al., "Diatom autofocusing in brightfield microscopy", ICPR 2000).

use super::Planes;

/// Most pixels whose colours are counted.
const COUNTED: usize = 1 << 14;

/// Colour statistics.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct ColourStats {
    /// Mean saturation (HSV), in [0, 1].
    pub saturation_mean: f64,
    /// Its standard deviation.
    pub saturation_sd: f64,
    /// Correlation of red and green, of green and blue, of red and blue; 0 where a channel is constant.
    pub correlations: [f64; 3],
    /// Share of samples at 0 or 255, in [0, 1].
    pub clipped_share: f64,
    /// Different colours over pixels in an even subsample of at most 16,384, in (0, 1].
    pub unique_share: f64,
    /// Variance of the Laplacian of the luma, in grey levels of 255 squared.
    pub sharpness: f64,
}

/// Statistics of three planes in [0, 1] that come from 8-bit samples. Zeros for anything but three planes with pixels.
pub fn colour_stats(planes: &Planes) -> ColourStats {
    let area = planes.width * planes.height;
    if planes.channels != 3 || area == 0 {
        return ColourStats::default();
    }
    let n = area as f64;
    let (red, green, blue) = (planes.plane(0), planes.plane(1), planes.plane(2));
    let (mut sum, mut squares, mut clipped) = (0.0, 0.0, 0_usize);
    let (mut moments, mut products) = ([0.0; 3], [0.0; 6]);
    for ((&r, &g), &b) in red.iter().zip(green).zip(blue) {
        let (top, bottom) = (r.max(g).max(b), r.min(g).min(b));
        let saturation = if top > 0.0 { f64::from((top - bottom) / top) } else { 0.0 };
        sum += saturation;
        squares += saturation * saturation;
        clipped += [r, g, b].iter().filter(|&&v| v <= 0.0 || v >= 1.0).count();
        let [r, g, b] = [r, g, b].map(f64::from);
        for (moment, v) in moments.iter_mut().zip([r, g, b]) {
            *moment += v;
        }
        for (product, v) in products.iter_mut().zip([r * r, g * g, b * b, r * g, g * b, r * b]) {
            *product += v;
        }
    }
    let [r, g, b] = moments.map(|m| m / n);
    let [rr, gg, bb, rg, gb, rb] = products.map(|p| p / n);
    let correlation = |xy: f64, x: f64, y: f64, xx: f64, yy: f64| {
        let (vx, vy) = (xx - x * x, yy - y * y);
        // A variance of less than a hundredth of a grey level is rounding.
        if vx < 1e-9 || vy < 1e-9 { 0.0 } else { ((xy - x * y) / (vx * vy).sqrt()).clamp(-1.0, 1.0) }
    };
    let mean = sum / n;
    ColourStats {
        saturation_mean: mean,
        saturation_sd: (squares / n - mean * mean).max(0.0).sqrt(),
        correlations: [
            correlation(rg, r, g, rr, gg),
            correlation(gb, g, b, gg, bb),
            correlation(rb, r, b, rr, bb),
        ],
        clipped_share: clipped as f64 / (3.0 * n),
        unique_share: unique_share(red, green, blue),
        sharpness: laplacian_variance(&planes.luma()),
    }
}

fn unique_share(red: &[f32], green: &[f32], blue: &[f32]) -> f64 {
    let step = red.len().div_ceil(COUNTED).max(1);
    let level = |v: f32| (v * 255.0).round() as u32;
    let mut colours: Vec<u32> = red
        .iter()
        .zip(green)
        .zip(blue)
        .step_by(step)
        .map(|((&r, &g), &b)| (level(r) << 16) | (level(g) << 8) | level(b))
        .collect();
    let all = colours.len().max(1) as f64;
    colours.sort_unstable();
    colours.dedup();
    colours.len() as f64 / all
}

/// Population variance of the 4-neighbour Laplacian inside the border; 0 where nothing is inside.
fn laplacian_variance(luma: &Planes) -> f64 {
    let (mut n, mut sum, mut squares) = (0.0, 0.0, 0.0);
    let rows: Vec<&[f32]> = luma.rows(0).collect();
    for rows in rows.windows(3) {
        let &[above, here, below] = rows else { continue };
        for ((above, here), below) in above.windows(3).zip(here.windows(3)).zip(below.windows(3)) {
            if let (&[_, up, _], &[left, centre, right], &[_, down, _]) = (above, here, below) {
                let v = 255.0 * f64::from(up + down + left + right - 4.0 * centre);
                n += 1.0;
                sum += v;
                squares += v * v;
            }
        }
    }
    if n > 0.0 { (squares / n - (sum / n) * (sum / n)).max(0.0) } else { 0.0 }
}

#[cfg(test)]
#[expect(clippy::unreadable_literal, reason = "golden numbers as Python prints them")]
mod tests {
    use super::*;

    #[test]
    fn matches_numpy() {
        // import numpy as np; from scipy.ndimage import laplace
        // i = np.arange(3*30*40); a = ((i**3*7 + i*i*13 + i*37) % 256).reshape(3, 30, 40)/255
        // t, b = a.max(0), a.min(0); s = np.divide(t - b, t, out=np.zeros_like(t), where=t > 0)
        // c = np.corrcoef(a.reshape(3, -1)); q = np.round(a*255).reshape(3, -1)
        // l = laplace(np.tensordot([.299, .587, .114], a, 1)*255)[1:-1, 1:-1]
        // print(s.mean(), s.std(), c[0, 1], c[1, 2], c[0, 2], ((a == 0) | (a == 1)).mean(),
        //       len(np.unique(q, axis=1).T)/1200, l.var())
        let data = (0..3 * 30 * 40_i64)
            .map(|i| ((i * i * i * 7 + i * i * 13 + i * 37) % 256) as f32 / 255.0)
            .collect();
        let s = colour_stats(&Planes { channels: 3, height: 30, width: 40, data });
        let got = [
            s.saturation_mean,
            s.saturation_sd,
            s.correlations[0],
            s.correlations[1],
            s.correlations[2],
            s.clipped_share,
            s.unique_share,
            s.sharpness,
        ];
        for (got, wanted) in got.into_iter().zip([
            0.4811957,
            0.3645688,
            0.3128817,
            0.3126311,
            0.3531042,
            0.0041667,
            0.1225,
            77345.2627439,
        ]) {
            assert!((got - wanted).abs() < 1e-5 * wanted.abs().max(1.0), "{got} {wanted}");
        }
    }

    #[test]
    fn flat_and_tiny_are_finite() {
        for (height, width) in [(0, 0), (1, 1), (2, 9), (20, 20)] {
            let s = colour_stats(&Planes { channels: 3, height, width, data: vec![0.5; 3 * height * width] });
            assert!(s.correlations.iter().all(|c| c.abs() < 1e-12) && s.sharpness.abs() < 1e-6);
        }
    }
}

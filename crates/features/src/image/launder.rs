//! What happens to pictures on their way through the web, as one law for training and evaluation.
//!
//! Detectors that meet only pristine files learn the file format. Here every picture, real or generated, goes through
//! the same random rescaling, blur, noise, colour change and rounds of JPEG; between the rounds the picture is cropped
//! by a few pixels, so that the 8x8 grids of the rounds are not aligned. Rounds of WebP are left out: the encoder of
//! `image-webp`, the pure Rust one, is lossless only.

use image::imageops::{self, FilterType};
use image::{ImageBuffer, ImageDecoder, Rgb};
use jpeg_encoder::{ColorType, Encoder, SamplingFactor};
use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

use super::resample;
use crate::{Error, Pixels, Result};

/// The laws of a random laundering. Probabilities lie in [0, 1]; ranges are `[low, high]`, drawn uniformly.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ImageLaundering {
    /// How often the picture is rescaled.
    pub rescale_probability: f64,
    /// Factor of the rescaling, drawn uniformly in its logarithm; the kernel is nearest, bilinear, bicubic or Lanczos.
    pub rescale: [f64; 2],
    /// How often it is blurred, before the rounds of JPEG.
    pub blur_probability: f64,
    /// Standard deviation of the Gaussian blur in pixels.
    pub blur_sigma: [f64; 2],
    /// How often noise is added.
    pub noise_probability: f64,
    /// Standard deviation of the Gaussian noise in grey levels of 255.
    pub noise_sigma: [f64; 2],
    /// How often brightness, contrast and saturation are changed.
    pub jitter_probability: f64,
    /// Greatest change of each, as a factor of 1 plus or minus this.
    pub jitter: f64,
    /// How often the picture is mirrored left to right.
    pub flip_probability: f64,
    /// Weights of no, one, two... rounds of JPEG.
    pub jpeg_rounds: Vec<f64>,
    /// Quality of a round on the IJG scale from 1 to 100.
    pub jpeg_quality: [u8; 2],
    /// How often a round keeps the full colour resolution (4:4:4); otherwise it is 4:2:0.
    pub jpeg_444_probability: f64,
}

impl Default for ImageLaundering {
    /// Rescaling by 0.4 to 1.3 and up to two rounds of JPEG at 30 to 95, the law that made detectors hold up best on
    /// web pictures, with a little blur, noise and colour change.
    fn default() -> Self {
        Self {
            rescale_probability: 0.5,
            rescale: [0.4, 1.3],
            blur_probability: 0.1,
            blur_sigma: [0.3, 1.5],
            noise_probability: 0.1,
            noise_sigma: [1.0, 6.0],
            jitter_probability: 0.2,
            jitter: 0.2,
            flip_probability: 0.5,
            jpeg_rounds: vec![0.15, 0.5, 0.35],
            jpeg_quality: [30, 95],
            jpeg_444_probability: 0.25,
        }
    }
}

/// What one draw of the law does.
struct Plan {
    scale: Option<(f64, FilterType)>,
    rounds: usize,
}

/// Pixels that a crop between two rounds may cost at each side.
const SHIFT: usize = 7;

impl ImageLaundering {
    /// The law that leaves every picture as it is.
    pub fn none() -> Self {
        Self {
            rescale_probability: 0.0,
            blur_probability: 0.0,
            noise_probability: 0.0,
            jitter_probability: 0.0,
            flip_probability: 0.0,
            jpeg_rounds: vec![1.0],
            ..Self::default()
        }
    }

    /// Launders a whole picture. The result depends on nothing but the picture, the law and the random numbers.
    ///
    /// It may be smaller than a rescaling alone would make it, by the crops between the rounds of JPEG.
    #[must_use]
    pub fn launder(&self, pixels: &Pixels, rng: &mut impl Rng) -> Pixels {
        let plan = self.plan(rng);
        self.apply(pixels.clone(), &plan, rng)
    }

    /// Launders a random region so that a crop of `size` x `size` pixels comes out, at a fraction of the cost of the
    /// whole picture.
    ///
    /// A rescaling that would make the picture smaller than the crop is left out; a picture that is smaller to begin
    /// with is continued by reflection ([`reflect_to`]) after the laundering.
    #[must_use]
    pub fn launder_crop(&self, pixels: &Pixels, size: usize, rng: &mut impl Rng) -> Pixels {
        let mut plan = self.plan(rng);
        let margin = 2 * SHIFT * plan.rounds;
        let side = |scale: f64| ((size + margin) as f64 / scale).ceil() as usize + 2;
        if let Some((scale, _)) = plan.scale
            && scale < 1.0
            && side(scale) > pixels.width.min(pixels.height)
        {
            plan.scale = None;
        }
        let side = side(plan.scale.map_or(1.0, |s| s.0));
        let (width, height) = (side.min(pixels.width), side.min(pixels.height));
        let x = rng.random_range(0..=pixels.width - width);
        let y = rng.random_range(0..=pixels.height - height);
        let laundered = self.apply(crop(pixels, x, y, width, height), &plan, rng);
        let x = rng.random_range(0..=laundered.width.saturating_sub(size));
        let y = rng.random_range(0..=laundered.height.saturating_sub(size));
        reflect_to(crop(&laundered, x, y, size, size), size, size)
    }

    fn plan(&self, rng: &mut impl Rng) -> Plan {
        const KERNELS: [FilterType; 4] =
            [FilterType::Nearest, FilterType::Triangle, FilterType::CatmullRom, FilterType::Lanczos3];
        let scale = chance(rng, self.rescale_probability).then(|| {
            let [low, high] = self.rescale.map(|s| s.clamp(0.01, 100.0).ln());
            let kernel = KERNELS.get(rng.random_range(0..KERNELS.len())).copied().unwrap_or(KERNELS[1]);
            (between(rng, [low, high]).exp(), kernel)
        });
        let total: f64 = self.jpeg_rounds.iter().map(|w| w.max(0.0)).sum();
        let mut left = rng.random::<f64>() * total;
        let rounds = self.jpeg_rounds.iter().position(|w| {
            left -= w.max(0.0);
            left < 0.0
        });
        Plan { scale, rounds: rounds.unwrap_or(0) }
    }

    fn apply(&self, mut pixels: Pixels, plan: &Plan, rng: &mut impl Rng) -> Pixels {
        if chance(rng, self.flip_probability) {
            flip(&mut pixels);
        }
        if let Some((scale, kernel)) = plan.scale {
            let scaled = |n: usize| ((n as f64 * scale).round() as usize).max(1);
            pixels = resize(&pixels, scaled(pixels.width), scaled(pixels.height), kernel);
        }
        if chance(rng, self.jitter_probability) {
            jitter(&mut pixels, [(); 3].map(|()| 1.0 + between(rng, [-self.jitter, self.jitter])));
        }
        if chance(rng, self.blur_probability) {
            pixels = blur(&pixels, between(rng, self.blur_sigma));
        }
        if chance(rng, self.noise_probability) {
            let sigma = between(rng, self.noise_sigma);
            add_noise(&mut pixels, sigma, rng);
        }
        for _ in 0..plan.rounds {
            pixels = shift_grid(pixels, rng);
            let quality = between(rng, self.jpeg_quality.map(f64::from)).round() as u8;
            let full = chance(rng, self.jpeg_444_probability);
            pixels = jpeg_round(&pixels, quality, full).unwrap_or(pixels);
        }
        if plan.rounds > 0 {
            pixels = shift_grid(pixels, rng);
        }
        pixels
    }
}

/// The fixed conditions of the evaluation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Condition {
    /// As it is.
    Clean,
    /// As a web site shows it: longest side at most 1024 pixels, then JPEG 4:2:0 at a quality from 75 to 90.
    Web,
    /// As a messenger leaves it: longest side at most 512 pixels, then JPEG 4:2:0 at quality 40.
    Hard,
}

impl Condition {
    /// Every condition.
    pub const ALL: [Self; 3] = [Self::Clean, Self::Web, Self::Hard];

    /// Short lower-case name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Clean => "clean",
            Self::Web => "web",
            Self::Hard => "hard",
        }
    }

    /// Puts a picture into this condition. Only [`Condition::Web`] draws from `rng`.
    #[must_use]
    pub fn apply(self, pixels: &Pixels, rng: &mut impl Rng) -> Pixels {
        let (longest, quality) = match self {
            Self::Clean => return pixels.clone(),
            Self::Web => (1024, rng.random_range(75..=90)),
            Self::Hard => (512, 40),
        };
        let small = resize_to_longest(pixels, longest);
        jpeg_round(&small, quality, false).unwrap_or(small)
    }
}

/// What may happen to a picture on its way, one thing at a time: the grid of robustness tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it; `Perturbation::apply` has the figures")]
pub enum Perturbation {
    Jpeg90,
    Jpeg70,
    Jpeg50,
    Jpeg30,
    Webp75,
    Webp50,
    Resize75,
    Resize50,
    Resize35,
    Blur,
    Noise,
    Crop,
    Screenshot,
    Social,
}

impl Perturbation {
    /// Every one of them.
    pub const ALL: [Self; 14] = [
        Self::Jpeg90,
        Self::Jpeg70,
        Self::Jpeg50,
        Self::Jpeg30,
        Self::Webp75,
        Self::Webp50,
        Self::Resize75,
        Self::Resize50,
        Self::Resize35,
        Self::Blur,
        Self::Noise,
        Self::Crop,
        Self::Screenshot,
        Self::Social,
    ];

    /// Short lower-case name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Jpeg90 => "jpeg-90",
            Self::Jpeg70 => "jpeg-70",
            Self::Jpeg50 => "jpeg-50",
            Self::Jpeg30 => "jpeg-30",
            Self::Webp75 => "webp-75",
            Self::Webp50 => "webp-50",
            Self::Resize75 => "resize-75",
            Self::Resize50 => "resize-50",
            Self::Resize35 => "resize-35",
            Self::Blur => "blur",
            Self::Noise => "noise",
            Self::Crop => "crop",
            Self::Screenshot => "screenshot",
            Self::Social => "social",
        }
    }

    /// Applies it: JPEG 4:2:0 or lossy WebP at the quality in the name; a Lanczos resize to the percentage in the name; a
    /// Gaussian blur of 1 pixel; noise of 5 grey levels; a random crop of 70 % of each side; a screenshot (shown at 60 to
    /// 95 % of its size with the screen's triangle kernel, then JPEG 95 4:4:4); a social chain of five steps (to 1280,
    /// JPEG 80, crop of 95 %, to 1080, JPEG 70).
    #[must_use]
    pub fn apply(self, pixels: &Pixels, rng: &mut impl Rng) -> Pixels {
        let jpeg = |p: Pixels, quality| jpeg_round(&p, quality, false).unwrap_or(p);
        let scaled = |percent: usize, kernel| {
            let side = |n: usize| (n * percent / 100).max(1);
            resize(pixels, side(pixels.width), side(pixels.height), kernel)
        };
        match self {
            Self::Jpeg90 => jpeg(pixels.clone(), 90),
            Self::Jpeg70 => jpeg(pixels.clone(), 70),
            Self::Jpeg50 => jpeg(pixels.clone(), 50),
            Self::Jpeg30 => jpeg(pixels.clone(), 30),
            Self::Webp75 => webp_round(pixels, 75.0).unwrap_or_else(|| pixels.clone()),
            Self::Webp50 => webp_round(pixels, 50.0).unwrap_or_else(|| pixels.clone()),
            Self::Resize75 => scaled(75, FilterType::Lanczos3),
            Self::Resize50 => scaled(50, FilterType::Lanczos3),
            Self::Resize35 => scaled(35, FilterType::Lanczos3),
            Self::Blur => blur(pixels, 1.0),
            Self::Noise => {
                let mut noisy = pixels.clone();
                add_noise(&mut noisy, 5.0, rng);
                noisy
            }
            Self::Crop => crop_share(pixels, 70, rng),
            Self::Screenshot => {
                let shown = scaled(rng.random_range(60..=95), FilterType::Triangle);
                jpeg_round(&shown, 95, true).unwrap_or(shown)
            }
            Self::Social => {
                let posted = jpeg(resize_to_longest(pixels, 1280), 80);
                jpeg(resize_to_longest(&crop_share(&posted, 95, rng), 1080), 70)
            }
        }
    }
}

/// A random region of this percentage of each side.
fn crop_share(pixels: &Pixels, percent: usize, rng: &mut impl Rng) -> Pixels {
    let side = |n: usize| (n * percent / 100).max(1);
    let (width, height) = (side(pixels.width), side(pixels.height));
    let x = rng.random_range(0..=pixels.width - width);
    let y = rng.random_range(0..=pixels.height - height);
    crop(pixels, x, y, width, height)
}

/// A region; what lies outside the picture is left out, but at least one pixel remains.
#[must_use]
pub fn crop(pixels: &Pixels, x: usize, y: usize, width: usize, height: usize) -> Pixels {
    let (x, y) = (x.min(pixels.width - 1), y.min(pixels.height - 1));
    let (width, height) = (width.clamp(1, pixels.width - x), height.clamp(1, pixels.height - y));
    let mut rgb = Vec::with_capacity(width * height * 3);
    for row in pixels.rgb.chunks_exact(pixels.width * 3).skip(y).take(height) {
        rgb.extend_from_slice(row.get(x * 3..(x + width) * 3).unwrap_or(&[]));
    }
    like(pixels, width, height, rgb)
}

/// Makes the longest side at most `longest` pixels with the Lanczos kernel; a smaller picture stays as it is.
#[must_use]
pub fn resize_to_longest(pixels: &Pixels, longest: usize) -> Pixels {
    let side = pixels.width.max(pixels.height);
    let longest = longest.max(1);
    if side <= longest {
        return pixels.clone();
    }
    let scaled = |n: usize| ((n * longest + side / 2) / side).max(1);
    resize(pixels, scaled(pixels.width), scaled(pixels.height), FilterType::Lanczos3)
}

/// Brings a picture to this size with the Lanczos kernel.
#[must_use]
pub fn resize_exact(pixels: &Pixels, width: usize, height: usize) -> Pixels {
    resize(pixels, width.max(1), height.max(1), FilterType::Lanczos3)
}

/// Continues a picture by reflection, without repeating its border, to at least `width` x `height` pixels.
#[must_use]
pub fn reflect_to(pixels: Pixels, width: usize, height: usize) -> Pixels {
    if pixels.width >= width && pixels.height >= height {
        return pixels;
    }
    let (width, height) = (width.max(pixels.width), height.max(pixels.height));
    let mirror = |i: usize, n: usize| {
        let i = i % (2 * n - 2).max(1);
        if i < n { i } else { 2 * n - 2 - i }
    };
    let mut rgb = Vec::with_capacity(width * height * 3);
    for y in 0..height {
        let start = mirror(y, pixels.height) * pixels.width * 3;
        let row = pixels.rgb.get(start..start + pixels.width * 3).unwrap_or(&[]);
        for x in 0..width {
            let at = mirror(x, pixels.width) * 3;
            rgb.extend_from_slice(row.get(at..at + 3).unwrap_or(&[0; 3]));
        }
    }
    like(&pixels, width, height, rgb)
}

/// Encodes a picture as baseline JPEG.
///
/// # Errors
/// [`Error::Limit`] if a side is over 65,535 pixels.
pub fn encode_jpeg(pixels: &Pixels, quality: u8, full_colour: bool) -> Result<Vec<u8>> {
    let side = |value: usize| {
        u16::try_from(value).map_err(|_| Error::Limit {
            what: "side of a JPEG in pixels",
            value: value as u64,
            limit: u64::from(u16::MAX),
        })
    };
    let (width, height) = (side(pixels.width)?, side(pixels.height)?);
    let mut bytes = Vec::with_capacity(pixels.rgb.len() / 8 + 1024);
    let mut encoder = Encoder::new(&mut bytes, quality.clamp(1, 100));
    encoder.set_sampling_factor(if full_colour { SamplingFactor::F_1_1 } else { SamplingFactor::F_2_2 });
    encoder
        .encode(&pixels.rgb, width, height, ColorType::Rgb)
        .map_err(|e| Error::Decode { format: "jpeg", reason: e.to_string() })?;
    Ok(bytes)
}

/// Encodes and decodes, with the decoder that reads the users' files.
/// JPEG 4:2:0 at a quality from 1 to 100 and back. A picture that cannot be encoded stays as it is.
#[must_use]
pub fn recompress(pixels: Pixels, quality: u8) -> Pixels {
    jpeg_round(&pixels, quality, false).unwrap_or(pixels)
}

fn jpeg_round(pixels: &Pixels, quality: u8, full_colour: bool) -> Option<Pixels> {
    let bytes = encode_jpeg(pixels, quality, full_colour).ok()?;
    let decoder = image::codecs::jpeg::JpegDecoder::new(std::io::Cursor::new(bytes)).ok()?;
    let mut rgb = vec![0; pixels.rgb.len()];
    if decoder.total_bytes() != rgb.len() as u64 {
        return None;
    }
    decoder.read_image(&mut rgb).ok()?;
    Some(like(pixels, pixels.width, pixels.height, rgb))
}

/// Cuts up to [`SHIFT`] pixels off the left and the top, and of the right and the bottom what makes the cost the same.
/// Lossy WebP and back; `None` for sides beyond the format's 16,383 pixels.
fn webp_round(pixels: &Pixels, quality: f32) -> Option<Pixels> {
    let (width, height) = (u32::try_from(pixels.width).ok()?, u32::try_from(pixels.height).ok()?);
    let encoded = webp::Encoder::from_rgb(&pixels.rgb, width, height).encode_simple(false, quality).ok()?;
    let decoded = image::load_from_memory_with_format(&encoded, image::ImageFormat::WebP).ok()?;
    Some(like(pixels, pixels.width, pixels.height, decoded.into_rgb8().into_raw()))
}

fn shift_grid(pixels: Pixels, rng: &mut impl Rng) -> Pixels {
    let (dx, dy) = (rng.random_range(0..=SHIFT), rng.random_range(0..=SHIFT));
    if pixels.width < 8 * SHIFT || pixels.height < 8 * SHIFT {
        return pixels;
    }
    crop(&pixels, dx, dy, pixels.width - SHIFT, pixels.height - SHIFT)
}

/// A picture of another size that keeps the name of its format.
fn like(pixels: &Pixels, width: usize, height: usize, rgb: Vec<u8>) -> Pixels {
    Pixels { width, height, rgb, format: pixels.format, jpeg_luma_table: None, warnings: Vec::new() }
}

fn chance(rng: &mut impl Rng, probability: f64) -> bool {
    rng.random::<f64>() < probability
}

fn between(rng: &mut impl Rng, [low, high]: [f64; 2]) -> f64 {
    low + (high - low) * rng.random::<f64>()
}

fn resize(pixels: &Pixels, width: usize, height: usize, kernel: FilterType) -> Pixels {
    if kernel == FilterType::Lanczos3 {
        let scaled = resample::resize(&pixels.rgb, [pixels.width, pixels.height], [width, height]);
        return like(pixels, width, height, scaled);
    }
    let view = ImageBuffer::<Rgb<u8>, &[u8]>::from_raw(
        pixels.width as u32,
        pixels.height as u32,
        pixels.rgb.as_slice(),
    );
    let Some(view) = view else { return pixels.clone() };
    let resized = imageops::resize(&view, width as u32, height as u32, kernel);
    like(pixels, width, height, resized.into_raw())
}

fn flip(pixels: &mut Pixels) {
    for row in pixels.rgb.chunks_exact_mut(pixels.width * 3) {
        let (pairs, _) = row.as_chunks_mut::<3>();
        pairs.reverse();
    }
}

/// Multiplies brightness, contrast (around the picture's mean luma) and saturation by the three factors.
fn jitter(pixels: &mut Pixels, [brightness, contrast, saturation]: [f64; 3]) {
    let luma = |p: [f32; 3]| 0.299 * p[0] + 0.587 * p[1] + 0.114 * p[2];
    let (groups, _) = pixels.rgb.as_chunks_mut::<3>();
    let sum: f64 = groups.iter().map(|p| f64::from(luma(p.map(f32::from)))).sum();
    let mean = (sum / groups.len().max(1) as f64 * brightness) as f32;
    let (brightness, contrast, saturation) = (brightness as f32, contrast as f32, saturation as f32);
    for group in groups {
        let bright = group.map(|v| f32::from(v) * brightness);
        let grey = luma(bright);
        *group = bright.map(|v| {
            let coloured = grey + (v - grey) * saturation;
            (mean + (coloured - mean) * contrast).round() as u8
        });
    }
}

fn blur(pixels: &Pixels, sigma: f64) -> Pixels {
    let view = ImageBuffer::<Rgb<u8>, &[u8]>::from_raw(
        pixels.width as u32,
        pixels.height as u32,
        pixels.rgb.as_slice(),
    );
    let Some(view) = view else { return pixels.clone() };
    let blurred = imageops::blur(&view, sigma.max(0.05) as f32);
    like(pixels, pixels.width, pixels.height, blurred.into_raw())
}

/// Adds noise that is nearly Gaussian: the sum of four uniform draws.
fn add_noise(pixels: &mut Pixels, sigma: f64, rng: &mut impl Rng) {
    // Four bytes have a variance of 4 (256^2 - 1) / 12.
    let gain = (sigma / (f64::from(256 * 256 - 1) / 3.0).sqrt()) as f32;
    for value in &mut pixels.rgb {
        let sum: u16 = rng.next_u32().to_le_bytes().iter().map(|&b| u16::from(b)).sum();
        let noise = (f32::from(sum) - 510.0) * gain;
        *value = (f32::from(*value) + noise).round() as u8;
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    /// A smooth picture with some texture.
    fn picture(width: usize, height: usize) -> Pixels {
        let rgb = (0..height * width)
            .flat_map(|i| {
                let (x, y) = ((i % width) as f32, (i / width) as f32);
                let v = 128.0 + 60.0 * (x / 17.0).sin() + 40.0 * (y / 11.0).cos();
                [v as u8, (v * 0.8 + (x * 0.1) % 20.0) as u8, (255.0 - v) as u8]
            })
            .collect();
        Pixels::from_rgb(width, height, rgb).unwrap()
    }

    fn psnr(a: &Pixels, b: &Pixels) -> f64 {
        assert_eq!(a.rgb.len(), b.rgb.len());
        let sum: f64 = a.rgb.iter().zip(&b.rgb).map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2)).sum();
        10.0 * (255.0 * 255.0 / (sum / a.rgb.len() as f64)).log10()
    }

    #[test]
    fn the_same_seed_gives_the_same_picture() {
        let (law, picture) = (ImageLaundering::default(), picture(301, 240));
        for seed in 0..40 {
            let run = || law.launder_crop(&picture, 96, &mut ChaCha8Rng::seed_from_u64(seed));
            let (a, b) = (run(), run());
            assert_eq!((a.width, a.height), (96, 96));
            assert_eq!(a.rgb, b.rgb);
        }
    }

    #[test]
    fn perturbations_change_every_picture_the_same_way_each_time() {
        for (width, height) in [(301, 240), (1, 1), (3, 70)] {
            let picture = picture(width, height);
            for p in Perturbation::ALL {
                let run = || p.apply(&picture, &mut ChaCha8Rng::seed_from_u64(5));
                let (a, b) = (run(), run());
                assert_eq!((a.width, a.height, &a.rgb), (b.width, b.height, &b.rgb), "{}", p.name());
                assert_eq!(a.rgb.len(), a.width * a.height * 3, "{}", p.name());
                assert!(width < 100 || a.rgb != picture.rgb, "{}", p.name());
            }
        }
        let picture = picture(301, 240);
        let quality = |p: Perturbation| psnr(&picture, &p.apply(&picture, &mut ChaCha8Rng::seed_from_u64(5)));
        for chain in [
            [Perturbation::Jpeg90, Perturbation::Jpeg70, Perturbation::Jpeg50, Perturbation::Jpeg30]
                .as_slice(),
            &[Perturbation::Webp75, Perturbation::Webp50],
        ] {
            assert!(chain.windows(2).all(|p| quality(p[0]) > quality(p[1]) && quality(p[1]) > 25.0));
        }
        let half = Perturbation::Resize50.apply(&picture, &mut ChaCha8Rng::seed_from_u64(5));
        assert_eq!((half.width, half.height), (150, 120));
    }

    #[test]
    fn any_size_comes_out_right() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let law = ImageLaundering::default();
        for (width, height) in [(1, 1), (2, 1), (5, 90), (97, 96), (640, 33)] {
            let picture = picture(width, height);
            for _ in 0..20 {
                let out = law.launder_crop(&picture, 96, &mut rng);
                assert_eq!((out.width, out.height, out.rgb.len()), (96, 96, 96 * 96 * 3));
                let out = law.launder(&picture, &mut rng);
                assert_eq!(out.rgb.len(), out.width * out.height * 3);
            }
        }
    }

    #[test]
    fn no_law_changes_nothing() {
        let picture = picture(50, 40);
        let out = ImageLaundering::none().launder(&picture, &mut ChaCha8Rng::seed_from_u64(2));
        assert_eq!(out.rgb, picture.rgb);
    }

    #[test]
    fn conditions_have_their_sizes_and_qualities() {
        let picture = picture(1500, 900);
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let web = Condition::Web.apply(&picture, &mut rng);
        assert_eq!((web.width, web.height), (1024, 614));
        let hard = Condition::Hard.apply(&picture, &mut rng);
        assert_eq!((hard.width, hard.height), (512, 307));
        assert_eq!(Condition::Clean.apply(&picture, &mut rng).rgb, picture.rgb);
        let small = crop(&picture, 3, 5, 256, 200);
        let (web, hard) = (Condition::Web.apply(&small, &mut rng), Condition::Hard.apply(&small, &mut rng));
        assert!(psnr(&small, &web) > psnr(&small, &hard));
        assert!(psnr(&small, &hard) > 25.0);
    }

    #[test]
    fn quality_reaches_the_encoder() {
        let bytes = encode_jpeg(&picture(64, 64), 40, false).unwrap();
        let info = super::super::jpeg::JpegInfo::parse(&bytes).unwrap();
        assert_eq!((info.quality(), info.subsampling_name()), (Some(40), "4:2:0"));
        let tall = Pixels::from_rgb(1, 65_536, vec![0; 65_536 * 3]).unwrap();
        assert!(matches!(encode_jpeg(&tall, 40, false), Err(Error::Limit { .. })));
    }

    #[test]
    fn reflection_and_flip() {
        let row = Pixels::from_rgb(3, 1, vec![1, 1, 1, 2, 2, 2, 3, 3, 3]).unwrap();
        let wide = reflect_to(row.clone(), 7, 2);
        let reds: Vec<u8> = wide.rgb.iter().step_by(3).copied().collect();
        assert_eq!(reds, [1, 2, 3, 2, 1, 2, 3, 1, 2, 3, 2, 1, 2, 3]);
        let mut mirrored = row;
        flip(&mut mirrored);
        assert_eq!(mirrored.rgb, [3, 3, 3, 2, 2, 2, 1, 1, 1]);
    }

    #[test]
    fn noise_has_its_deviation() {
        let flat = Pixels::from_rgb(100, 100, vec![128; 30_000]).unwrap();
        let mut noisy = flat.clone();
        add_noise(&mut noisy, 5.0, &mut ChaCha8Rng::seed_from_u64(4));
        let sd = (noisy.rgb.iter().map(|&v| (f64::from(v) - 128.0).powi(2)).sum::<f64>() / 30_000.0).sqrt();
        assert!((sd - 5.0).abs() < 0.15, "{sd}");
    }

    #[test]
    fn config_refuses_unknown_fields() {
        let law: ImageLaundering = serde_json::from_str(r#"{"jpeg_quality": [50, 60]}"#).unwrap();
        assert_eq!(law.jpeg_quality, [50, 60]);
        assert!(serde_json::from_str::<ImageLaundering>(r#"{"jpg": 1}"#).is_err());
    }
}

//! Detection of generated pictures.

use candle_core::{Device, Tensor};
use candor_features::{
    Media, MediaKind, Pixels,
    image::{
        Planes, image_stats,
        launder::{crop, recompress, resize_to_longest},
        npr::npr,
        residual::median_residual,
        wavelet::hh_undecimated,
    },
};

use crate::{
    Abstention, AbstentionCode, Architecture, Detection, Detector, Error, Fact, Result, ScoreMap,
    net::{Mode, Params, PublishedImageNet, PublishedNet, ResidualNet, ResidualNetConfig},
};

/// Input planes of the network: median residual (3), neighbouring-pixel residual (3), undecimated HH band of the
/// luma (1).
pub(crate) const PLANES: usize = 7;

/// Least side in pixels for an answer.
const LEAST_SIDE: usize = 96;
/// Longest side that is analysed in one piece.
const VIEW: usize = 1024;
/// Standard deviation of the luma, in grey levels, below which a picture has no content.
const LEAST_CONTRAST: f64 = 2.0;

/// The network's input for a picture, `[PLANES, height, width]`. Content is removed by three residuals, so that the
/// network sees how pixels relate to their neighbours and little of what they show.
pub(crate) fn planes(pixels: &Pixels) -> Vec<f32> {
    let rgb = Planes::from_pixels(pixels);
    let mut out = median_residual(&rgb).data;
    // Residuals of values in [0, 1] have a spread of a few hundredths; the scale brings all planes near unit variance.
    for v in &mut out {
        *v *= 4.0;
    }
    out.extend(npr(&rgb).data.iter().map(|v| v * 16.0));
    out.extend(hh_undecimated(&rgb.luma()).data.iter().map(|v| v * 16.0));
    out
}

/// A fully convolutional network on residuals, ours or a published one: the mean of its map is a picture's logit.
#[derive(Debug)]
pub(crate) enum ImageNet {
    /// Ours.
    Residual(ResidualNetConfig, ResidualNet),
    /// Somebody else's.
    Published(PublishedImageNet, PublishedNet),
}

impl ImageNet {
    /// Input planes.
    pub(crate) fn planes(&self) -> usize {
        match self {
            Self::Residual(..) => PLANES,
            Self::Published(..) => PublishedImageNet::PLANES,
        }
    }

    /// The input for a picture, `[planes, height, width]`.
    pub(crate) fn input(&self, pixels: &Pixels) -> Vec<f32> {
        match self {
            Self::Residual(..) => planes(pixels),
            Self::Published(which, _) => which.planes(pixels),
        }
    }

    /// `[n, planes, h, w]` to a map of logits `[n, 1, rows, columns]`.
    pub(crate) fn forward(&self, x: &Tensor, mode: Mode) -> Result<Tensor> {
        match self {
            Self::Residual(_, net) => net.forward(x, mode),
            Self::Published(_, net) => net.forward(x, mode),
        }
    }

    /// What a weight file says of it.
    pub(crate) fn architecture(&self) -> Architecture {
        match self {
            Self::Residual(network, _) => Architecture::ResidualNet { network: network.clone() },
            Self::Published(network, _) => Architecture::PublishedImage { network: *network },
        }
    }

    pub(crate) fn update_running(&self) -> Result<()> {
        match self {
            Self::Residual(_, net) => net.update_running(),
            Self::Published(_, net) => net.update_running(),
        }
    }
}

/// An [`ImageNet`] with its way of reading a whole picture.
pub(crate) struct ResidualDetector {
    net: ImageNet,
}

impl ResidualDetector {
    pub(crate) fn new(params: &mut Params, config: &ResidualNetConfig) -> Result<Self> {
        Ok(Self { net: ImageNet::Residual(config.clone(), ResidualNet::new(params, config)?) })
    }

    pub(crate) fn published(params: &mut Params, which: PublishedImageNet) -> Result<Self> {
        Ok(Self { net: ImageNet::Published(which, PublishedNet::new(params, which)?) })
    }

    /// What our networks see: see [`USUAL_QUALITY`]. Published ones see the picture as it is, as their authors' do.
    fn usual(&self, pixels: Pixels) -> Pixels {
        match self.net {
            ImageNet::Residual(..) => recompress(pixels, USUAL_QUALITY),
            ImageNet::Published(..) => pixels,
        }
    }

    /// Logit map of a picture: `(columns, rows, logits)`.
    fn map(&self, pixels: &Pixels) -> Result<(usize, usize, Vec<f32>)> {
        let shape = (1, self.net.planes(), pixels.height, pixels.width);
        let x = Tensor::from_vec(self.net.input(pixels), shape, &Device::Cpu)?;
        let y = self.net.forward(&x, Mode::Eval)?;
        let (_, _, rows, cols) = y.dims4()?;
        Ok((cols, rows, y.flatten_all()?.to_vec1()?))
    }
}

impl Detector for ResidualDetector {
    fn kind(&self) -> MediaKind {
        MediaKind::Image
    }

    /// A picture of at most 1024 pixels is read in one piece. A larger one is read twice, scaled down to 1024 for the
    /// whole and in the native centre, and the two logits are averaged: scaling loses the finest traces, the centre
    /// misses the rest. The map is that of the whole, smoothed.
    fn detect(&self, media: &Media) -> Result<Detection> {
        let Media::Image(pixels) = media else { return Err(Error::WrongKind("an image detector".into())) };
        let large = pixels.width.max(pixels.height) > VIEW;
        let small = if large { resize_to_longest(pixels, VIEW) } else { pixels.clone() };
        let (cols, rows, logits) = self.map(&self.usual(small))?;
        let mut logit = mean(&logits);
        if large {
            let (w, h) = (pixels.width.min(VIEW), pixels.height.min(VIEW));
            let (x, y) = ((pixels.width - w) / 2, (pixels.height - h) / 2);
            let centre = self.usual(crop(pixels, x, y, w, h));
            logit = f64::midpoint(logit, mean(&self.map(&centre)?.2));
        }
        if !logit.is_finite() {
            return Err(Error::NotFinite("image".into()));
        }
        let stats = image_stats(pixels);
        let facts = stats.named().into_iter().map(|(name, value)| Fact {
            name: name.into(),
            value,
            unit: String::new(),
        });
        Ok(Detection {
            logit,
            spread: block_spread(cols, rows, &logits),
            abstain: abstain(pixels),
            stratum: stratum(pixels).to_owned(),
            map: ScoreMap::Grid { cols, rows, logits: smooth(cols, &logits) },
            facts: facts.collect(),
        })
    }
}

/// JPEG quality that every picture is brought to before it is looked at. Training never saw one without a compression
/// history, so fresh noise and sharp pixels of a file without one would look like something else; on the development pictures
/// this costs nothing and takes noise out of the false alarms.
pub(crate) const USUAL_QUALITY: u8 = 80;

/// Shorter side in pixels below which a picture has its own calibration: a view then shows more of the scene and less of
/// its grain, and all scores lie further apart.
const SMALL: usize = 300;

/// See [`SMALL`].
pub(crate) fn stratum(pixels: &Pixels) -> &'static str {
    if pixels.width.min(pixels.height) < SMALL { "small" } else { "of usual size" }
}

fn mean(x: &[f32]) -> f64 {
    x.iter().map(|&v| f64::from(v)).sum::<f64>() / x.len().max(1) as f64
}

/// Cells on each side that a cell of the map is averaged with: 9x9 cells are 72 pixels. A single cell sees too little to
/// say much. On composites of development pictures the AUROC of the cells is 0.66 as they are, 0.73 so averaged.
const AROUND: usize = 4;

/// The map with each cell as the mean of those around it.
fn smooth(cols: usize, map: &[f32]) -> Vec<f32> {
    let means = |line: &mut dyn Iterator<Item = f32>| -> Vec<f32> {
        let line: Vec<f32> = line.collect();
        let of = |i: usize| &line[i.saturating_sub(AROUND)..(i + AROUND + 1).min(line.len())];
        (0..line.len()).map(|i| of(i).iter().sum::<f32>() / of(i).len() as f32).collect()
    };
    let lines: Vec<f32> = map.chunks(cols).flat_map(|line| means(&mut line.iter().copied())).collect();
    let mut out = vec![0.0; map.len()];
    for column in 0..cols {
        let found = means(&mut lines.iter().skip(column).step_by(cols).copied());
        out.iter_mut().skip(column).step_by(cols).zip(found).for_each(|(o, v)| *o = v);
    }
    out
}

/// Standard deviation between the means of a 4x4 division of the map.
fn block_spread(cols: usize, rows: usize, logits: &[f32]) -> f64 {
    let (nx, ny) = (cols.min(4), rows.min(4));
    let mut means = Vec::new();
    for by in 0..ny {
        for bx in 0..nx {
            let lines = logits.chunks(cols).take((by + 1) * rows / ny).skip(by * rows / ny);
            let cells: Vec<f32> =
                lines.flat_map(|l| &l[bx * cols / nx..(bx + 1) * cols / nx]).copied().collect();
            means.push(mean(&cells));
        }
    }
    let centre = means.iter().sum::<f64>() / means.len().max(1) as f64;
    (means.iter().map(|m| (m - centre).powi(2)).sum::<f64>() / means.len().max(1) as f64).sqrt()
}

fn abstain(pixels: &Pixels) -> Option<Abstention> {
    let (w, h) = (pixels.width, pixels.height);
    if w.min(h) < LEAST_SIDE {
        return Some(Abstention {
            code: AbstentionCode::TooSmall,
            message: format!("{w}x{h} pixels; at least {LEAST_SIDE} on the shorter side are needed"),
        });
    }
    // Every seventh pixel is enough for a spread.
    let luma = pixels
        .rgb
        .chunks_exact(3)
        .step_by(7)
        .map(|p| 0.299 * f64::from(p[0]) + 0.587 * f64::from(p[1]) + 0.114 * f64::from(p[2]));
    let (n, sum, square) = luma.fold((0.0, 0.0, 0.0), |(n, s, q), v| (n + 1.0, s + v, q + v * v));
    let sd = (square / n - (sum / n) * (sum / n)).max(0.0).sqrt();
    (sd < LEAST_CONTRAST).then(|| Abstention {
        code: AbstentionCode::NoContent,
        message: format!(
            "nearly uniform: the brightness varies by {sd:.1} grey levels, {LEAST_CONTRAST} are needed"
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_smoothed_map_keeps_its_shape_and_its_level() {
        let (cols, rows) = (20, 11);
        let level = smooth(cols, &vec![0.5; cols * rows]);
        assert!(level.iter().all(|v| (v - 0.5).abs() < 1e-6));
        let mut one = vec![0.0; cols * rows];
        one[5 * cols + 10] = 81.0;
        let found = smooth(cols, &one);
        let at = |x: usize, y: usize| found[y * cols + x];
        assert!((at(10, 5) - 1.0).abs() < 1e-5 && (at(6, 1) - 1.0).abs() > 1e-3);
        assert!(at(14, 5) > 0.0 && at(15, 5) == 0.0 && at(10, 10) == 0.0);
    }
}

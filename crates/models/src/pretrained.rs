//! Detection of generated pictures by features that were learned from photographs of things and by how colour varies, beside
//! residuals.

use candle_core::{Device, Tensor};
use candor_features::{
    Media, MediaKind, Pixels,
    image::{
        CHROMA, chroma,
        launder::{crop, recompress, reflect_to, resize_exact, resize_to_longest},
    },
};

use crate::{
    Detection, Detector, Error, Result, ScoreMap,
    image::{ResidualDetector, USUAL_QUALITY},
    net::{EfficientNetLite, FrozenLinear, LiteSize, Params, ResidualNetConfig},
};

/// Longest side at which a picture is looked at.
pub(crate) const LONGEST: usize = 768;
/// Side of a view.
const SIDE: usize = 224;
/// Tiles: the centre and two corners.
pub(crate) const TILES: usize = 3;
/// Standard deviations at which a feature is cut off: a picture may be far from all that was seen in one of thousands.
pub(crate) const REACH: f32 = 5.0;

/// Which maps of which backbone describe a picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Selection {
    pub(crate) size: LiteSize,
    /// Of the tiles.
    pub(crate) tiles: Vec<usize>,
    /// Of the whole.
    pub(crate) whole: Vec<usize>,
}

impl Selection {
    /// Every map of both.
    pub(crate) fn all(size: LiteSize) -> Self {
        let maps: Vec<usize> = (0..LiteSize::MAPS).collect();
        Self { size, tiles: maps.clone(), whole: maps }
    }

    /// Where the numbers of this selection lie in a description by [`Selection::all`] of the same backbone.
    pub(crate) fn places(&self) -> Vec<usize> {
        let sizes = self.size.channels().map(|c| 2 * c);
        let start = |map: usize| sizes.iter().take(map).sum::<usize>();
        let half = start(sizes.len());
        let of = |maps: &[usize], offset: usize| -> Vec<usize> {
            maps.iter().flat_map(|&m| offset + start(m)..offset + start(m + 1)).collect()
        };
        [of(&self.tiles, 0), of(&self.whole, half)].concat()
    }

    /// Numbers in a description: a mean and a standard deviation for each channel.
    pub(crate) fn len(&self) -> usize {
        let channels = self.size.channels();
        2 * self.tiles.iter().chain(&self.whole).filter_map(|&m| channels.get(m)).sum::<usize>()
    }

    /// Describes a picture by `tiles` of its tiles and by the whole: mean and standard deviation over each channel of the
    /// maps; those of the tiles are averaged.
    ///
    /// Frozen features of a network for things tell generated pictures from photographs that neither was trained on
    /// (Ojha, Li and Lee 2023, there with CLIP); two scales see different things, and simple statistics of a map are
    /// enough for a linear layer.
    pub(crate) fn describe(&self, net: &EfficientNetLite, pixels: &Pixels, tiles: usize) -> Result<Vec<f32>> {
        let maps = net.forward(&views(pixels, tiles)?)?;
        let mut out = Vec::with_capacity(self.len());
        let (n, _, _, _) = maps.first().ok_or_else(|| Error::model("image", "no map"))?.dims4()?;
        for (wanted, range) in [(&self.tiles, 0..n - 1), (&self.whole, n - 1..n)] {
            for map in wanted.iter().filter_map(|&m| maps.get(m)) {
                let (_, c, h, w) = map.dims4()?;
                let values = map.flatten_all()?.to_vec1::<f32>()?;
                for channel in 0..c {
                    let (mut mean, mut sd) = (0.0, 0.0);
                    for view in range.clone() {
                        let plane = (view * c + channel) * h * w;
                        let x = values.get(plane..plane + h * w).unwrap_or_default();
                        let m = x.iter().sum::<f32>() / x.len() as f32;
                        mean += m;
                        sd += (x.iter().map(|v| (v - m).powi(2)).sum::<f32>() / x.len() as f32).sqrt();
                    }
                    out.extend([mean / range.len() as f32, sd / range.len() as f32]);
                }
            }
        }
        Ok(out)
    }
}

/// The views of a picture, `[tiles + 1, 3, SIDE, SIDE]`. The picture is scaled down to 768 pixels first; tiles lie in its
/// centre and in two corners; the whole is the largest centred square, so that the aspect tells nothing.
fn views(pixels: &Pixels, tiles: usize) -> Result<Tensor> {
    let scaled = reflect_to(resize_to_longest(pixels, LONGEST), SIDE, SIDE);
    let (w, h) = (scaled.width, scaled.height);
    let (right, bottom) = (w - SIDE, h - SIDE);
    let places: [_; TILES] = [(right / 2, bottom / 2), (0, 0), (right, bottom)];
    let side = w.min(h);
    let square = crop(&scaled, (w - side) / 2, (h - side) / 2, side, side);
    let tiles = places.iter().take(tiles).map(|&(x, y)| crop(&scaled, x, y, SIDE, SIDE));
    let mut data = Vec::new();
    for view in tiles.chain([resize_exact(&square, SIDE, SIDE)]) {
        for channel in 0..3 {
            data.extend(view.rgb.iter().skip(channel).step_by(3).map(|&v| (f32::from(v) - 127.0) / 128.0));
        }
    }
    let n = data.len() / (3 * SIDE * SIDE);
    Ok(Tensor::from_vec(data, (n, 3, SIDE, SIDE), &Device::Cpu)?)
}

/// A picture as its colour is described: at the size and through the round of JPEG that all are looked at.
pub(crate) fn seen(pixels: &Pixels) -> Pixels {
    recompress(resize_to_longest(pixels, LONGEST), USUAL_QUALITY)
}

/// A [`ResidualDetector`] and a linear layer on frozen features and on [`chroma`], their logits added.
pub(crate) struct PretrainedDetector {
    residual: ResidualDetector,
    net: EfficientNetLite,
    selection: Selection,
    linear: FrozenLinear,
}

impl PretrainedDetector {
    pub(crate) fn new(
        params: &mut Params,
        residual: &ResidualNetConfig,
        selection: Selection,
    ) -> Result<Self> {
        Ok(Self {
            residual: ResidualDetector::new(params, residual)?,
            net: EfficientNetLite::new(params, selection.size)?,
            linear: FrozenLinear::new(params, selection.len() + CHROMA)?,
            selection,
        })
    }

    /// Logit of the linear layer and the whole of the residual network's answer.
    pub(crate) fn both(&self, media: &Media) -> Result<(f64, Detection)> {
        let Media::Image(pixels) = media else { return Err(Error::WrongKind("an image detector".into())) };
        let found = self.residual.detect(media)?;
        let seen = seen(pixels);
        let mut features = self.selection.describe(&self.net, &seen, TILES)?;
        features.extend(chroma(&seen));
        Ok((self.linear.logit(&features)?, found))
    }
}

impl Detector for PretrainedDetector {
    fn kind(&self) -> MediaKind {
        MediaKind::Image
    }

    /// The map is that of the residual network, moved and scaled as its logit is: the mean over the cells stays close to
    /// the picture's logit.
    fn detect(&self, media: &Media) -> Result<Detection> {
        let (logit, mut found) = self.both(media)?;
        let [of_linear, of_residual] = self.linear.mix()?;
        let base = of_linear * logit;
        found.logit = base + of_residual * found.logit;
        found.spread *= of_residual;
        if let ScoreMap::Grid { logits, .. } = &mut found.map {
            for cell in logits {
                *cell = (base + of_residual * f64::from(*cell)) as f32;
            }
        }
        if !found.logit.is_finite() {
            return Err(Error::NotFinite("image".into()));
        }
        Ok(found)
    }
}

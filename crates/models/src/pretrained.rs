//! Detection of generated pictures by features that were learned from photographs of things and by how colour varies, beside
//! residuals.

use std::ops::Range;

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
    net::{Backbone, FrozenLinear, Params, ResidualNetConfig, Things},
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
    pub(crate) backbone: Backbone,
    /// Of the tiles, which are looked at only if there are any.
    pub(crate) tiles: Vec<usize>,
    /// Of the whole.
    pub(crate) whole: Vec<usize>,
}

impl Selection {
    /// Every map of what it looks at.
    pub(crate) fn all(&self) -> Self {
        let maps: Vec<usize> = (0..self.backbone.channels().len()).collect();
        let of = |some: &[usize]| if some.is_empty() { Vec::new() } else { maps.clone() };
        Self { backbone: self.backbone, tiles: of(&self.tiles), whole: of(&self.whole) }
    }

    /// Where the numbers of this selection lie in a description by [`Selection::all`].
    pub(crate) fn places(&self) -> Vec<usize> {
        let channels = self.backbone.channels();
        let start = |map: usize| 2 * channels.iter().take(map).sum::<usize>();
        let tiles = if self.tiles.is_empty() { 0 } else { start(channels.len()) };
        let of = |maps: &[usize], offset: usize| -> Vec<usize> {
            maps.iter().flat_map(|&m| offset + start(m)..offset + start(m + 1)).collect()
        };
        [of(&self.tiles, 0), of(&self.whole, tiles)].concat()
    }

    /// Numbers in a description: a mean and a standard deviation for each channel.
    pub(crate) fn len(&self) -> usize {
        let channels = self.backbone.channels();
        2 * self.tiles.iter().chain(&self.whole).filter_map(|&m| channels.get(m)).sum::<usize>()
    }

    /// Describes a picture by `tiles` of its tiles and by the whole: mean and standard deviation over each channel of the
    /// maps; those of the tiles are averaged.
    ///
    /// Frozen features of a network for things tell generated pictures from photographs that neither was trained on
    /// (Ojha, Li and Lee 2023, there with CLIP); two scales see different things, and simple statistics of a map are
    /// enough for a linear layer.
    pub(crate) fn describe(&self, net: &Things, pixels: &Pixels, tiles: usize) -> Result<Vec<f32>> {
        let maps = self.maps(net, pixels, tiles)?;
        Ok([self.of_tiles(&maps)?, self.of_whole(&maps, &[ALL])?.concat()].concat())
    }

    /// The maps of `tiles` of its tiles, if any is asked for, and of the whole.
    fn maps(&self, net: &Things, pixels: &Pixels, tiles: usize) -> Result<Vec<Tensor>> {
        net.forward(&views(pixels, if self.tiles.is_empty() { 0 } else { tiles })?)
    }

    /// Means and standard deviations of the tiles' maps, averaged over the tiles.
    fn of_tiles(&self, maps: &[Tensor]) -> Result<Vec<f32>> {
        let mut out = Vec::new();
        for map in self.tiles.iter().filter_map(|&m| maps.get(m)) {
            let (n, c, h, w) = map.dims4()?;
            let values = map.flatten_all()?.to_vec1::<f32>()?;
            for channel in 0..c {
                let (mut mean, mut sd) = (0.0, 0.0);
                for view in 0..n - 1 {
                    let plane = (view * c + channel) * h * w;
                    let x = values.get(plane..plane + h * w).unwrap_or_default();
                    let m = x.iter().sum::<f32>() / x.len() as f32;
                    mean += m;
                    sd += (x.iter().map(|v| (v - m).powi(2)).sum::<f32>() / x.len() as f32).sqrt();
                }
                out.extend([mean / (n - 1) as f32, sd / (n - 1) as f32]);
            }
        }
        Ok(out)
    }

    /// Means and standard deviations of the whole's maps within each of the parts.
    fn of_whole(&self, maps: &[Tensor], parts: &[Part]) -> Result<Vec<Vec<f32>>> {
        let mut out = vec![Vec::new(); parts.len()];
        for map in self.whole.iter().filter_map(|&m| maps.get(m)) {
            let (n, _, h, w) = map.dims4()?;
            let values = map.get(n - 1)?.flatten_all()?.to_vec1::<f32>()?;
            for plane in values.chunks_exact(h * w) {
                for (part, out) in parts.iter().zip(&mut out) {
                    let (columns, rows) = (part.x.of(w), part.y.of(h));
                    let n = (columns.len() * rows.len()) as f32;
                    let within = || {
                        let rows = plane.chunks_exact(w).take(rows.end).skip(rows.start);
                        rows.flat_map(|row| row.get(columns.clone()).unwrap_or_default())
                    };
                    let mean = within().sum::<f32>() / n;
                    let variance = within().map(|v| (v - mean).powi(2)).sum::<f32>() / n;
                    out.extend([mean, variance.sqrt()]);
                }
            }
        }
        Ok(out)
    }
}

/// Where a part begins and ends, in shares of a length.
#[derive(Debug, Clone, Copy)]
struct Span(f64, f64);

impl Span {
    /// The places that it touches, at least one.
    fn of(self, len: usize) -> Range<usize> {
        let first = ((self.0 * len as f64) as usize).min(len - 1);
        first..((self.1 * len as f64).ceil() as usize).clamp(first + 1, len)
    }
}

/// A rectangle of a view.
#[derive(Debug, Clone, Copy)]
struct Part {
    x: Span,
    y: Span,
}

/// The whole view.
const ALL: Part = Part { x: Span(0.0, 1.0), y: Span(0.0, 1.0) };

/// Parts along each side of the whole.
const GRID: usize = 14;
/// How far a part reaches to each side of its middle, in sides of the whole.
const AROUND: f64 = 0.13;
/// Weight in the map of what is said of a part beside the rest: a part has less to show than the whole.
const WITHIN: f64 = 2.0;
/// Share of what is said of the whole in each cell of the map.
const OF_WHOLE: f64 = 0.5;

/// The parts around the places of a grid over the whole, row by row.
fn parts() -> Vec<Part> {
    let span = |i: usize| {
        let middle = (i as f64 + 0.5) / GRID as f64;
        Span((middle - AROUND).max(0.0), (middle + AROUND).min(1.0))
    };
    (0..GRID * GRID).map(|i| Part { x: span(i % GRID), y: span(i / GRID) }).collect()
}

/// Reads a grid over the largest centred square of a picture at a place of the picture; `x` and `y` are shares of its sides. Between
/// the middles of parts it is interpolated, beyond the outermost ones it goes on as they are.
fn at(grid: &[f64], pixels: &Pixels, x: f64, y: f64) -> f64 {
    // As in `views`: scaled down, and mirrored at its right and lower edge if it is too small then.
    let scale = (LONGEST as f64 / pixels.width.max(pixels.height) as f64).min(1.0);
    let seen = [pixels.width, pixels.height].map(|len| len as f64 * scale);
    let filled = seen.map(|len| len.max(SIDE as f64));
    let side = filled[0].min(filled[1]);
    let place = |share: f64, seen: f64, filled: f64| {
        let inside = (share * seen - (filled - side) / 2.0) / side;
        (inside * GRID as f64 - 0.5).clamp(0.0, (GRID - 1) as f64)
    };
    let (x, y) = (place(x, seen[0], filled[0]), place(y, seen[1], filled[1]));
    let (left, top) = (x as usize, y as usize);
    let row = |row: usize| {
        let cell = |column: usize| grid.get(row * GRID + column.min(GRID - 1)).copied().unwrap_or_default();
        let u = x - left as f64;
        cell(left) * (1.0 - u) + cell(left + 1) * u
    };
    let v = y - top as f64;
    row(top) * (1.0 - v) + row((top + 1).min(GRID - 1)) * v
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
    net: Things,
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
            net: selection.backbone.build(params)?,
            linear: FrozenLinear::new(params, selection.len() + CHROMA)?,
            selection,
        })
    }

    /// Lays the weights out; call it after the parameters were set.
    pub(crate) fn ready(self) -> Result<Self> {
        Ok(Self { net: self.net.ready()?, ..self })
    }

    /// Logit of the linear layer and the whole of the residual network's answer.
    pub(crate) fn both(&self, media: &Media) -> Result<(f64, Detection)> {
        let Media::Image(pixels) = media else { return Err(Error::WrongKind("an image detector".into())) };
        let (logit, _, found) = self.all(pixels, media)?;
        Ok((logit, found))
    }

    /// Logit of the linear layer, its logits for the [`parts`], and the whole of the residual network's answer.
    fn all(&self, pixels: &Pixels, media: &Media) -> Result<(f64, Vec<f64>, Detection)> {
        let found = self.residual.detect(media)?;
        let seen = seen(pixels);
        let maps = self.selection.maps(&self.net, &seen, TILES)?;
        let (tiles, colour) = (self.selection.of_tiles(&maps)?, chroma(&seen));
        let logit = |whole: &Vec<f32>| self.linear.logit(&[&tiles[..], whole, &colour].concat());
        let parts = self.selection.of_whole(&maps, &parts())?;
        let whole = self.selection.of_whole(&maps, &[ALL])?.concat();
        Ok((logit(&whole)?, parts.iter().map(logit).collect::<Result<_>>()?, found))
    }
}

impl Detector for PretrainedDetector {
    fn kind(&self) -> MediaKind {
        MediaKind::Image
    }

    /// The map is that of the residual network, scaled as its logit is, and on it half of what the layer says of the whole and what
    /// it says of the part around a cell, beside its mean over the parts. The layer was fitted on whole pictures; it reads a part by
    /// the same statistics of the same maps, there alone.
    fn detect(&self, media: &Media) -> Result<Detection> {
        let Media::Image(pixels) = media else { return Err(Error::WrongKind("an image detector".into())) };
        let (logit, parts, mut found) = self.all(pixels, media)?;
        let [of_linear, of_residual] = self.linear.mix()?;
        found.logit = of_linear * logit + of_residual * found.logit;
        found.spread *= of_residual;
        let mean = parts.iter().sum::<f64>() / parts.len() as f64;
        if let ScoreMap::Grid { cols, rows, logits } = &mut found.map {
            for (i, cell) in logits.iter_mut().enumerate() {
                let share = |at: usize, of: usize| (at as f64 + 0.5) / of as f64;
                let part = at(&parts, pixels, share(i % *cols, *cols), share(i / *cols, *rows)) - mean;
                let linear = of_linear * (OF_WHOLE * logit + WITHIN * part);
                *cell = (linear + of_residual * f64::from(*cell)) as f32;
            }
        }
        if !found.logit.is_finite() {
            return Err(Error::NotFinite("image".into()));
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selection() -> Selection {
        Selection { backbone: Backbone::Lite0, tiles: Vec::new(), whole: vec![0] }
    }

    #[test]
    fn a_part_is_described_by_itself() {
        // Two channels of two rows and four columns; the last of the two views is the whole.
        let whole: Vec<f32> = [[1.0_f32, 1.0, 3.0, 3.0, 1.0, 1.0, 3.0, 3.0], [5.0; 8]].concat();
        let views = [vec![9.0_f32; 16], whole].concat();
        let map = Tensor::from_vec(views, (2, 2, 2, 4), &Device::Cpu).unwrap();
        let left = Part { x: Span(0.0, 0.5), y: Span(0.0, 1.0) };
        let none = Part { x: Span(1.0, 1.0), y: Span(1.0, 1.0) };
        let found = selection().of_whole(&[map], &[ALL, left, none]).unwrap();
        assert_eq!(found[0], [2.0, 1.0, 5.0, 0.0]);
        assert_eq!(found[1], [1.0, 0.0, 5.0, 0.0]);
        // Never without a place.
        assert_eq!(found[2], [3.0, 0.0, 5.0, 0.0]);
    }

    #[test]
    fn a_grid_lies_over_the_centred_square() {
        let pixels = Pixels::from_rgb(600, 300, vec![0; 600 * 300 * 3]).unwrap();
        let grid: Vec<f64> = (0..GRID * GRID).map(|i| (i % GRID) as f64).collect();
        // The middle of the picture is between the middle columns; left of the square is as its first one.
        assert!((at(&grid, &pixels, 0.5, 0.3) - 6.5).abs() < 1e-9);
        assert!((at(&grid, &pixels, 0.0, 0.0)).abs() < 1e-9);
        assert!((at(&grid, &pixels, 0.25, 1.0)).abs() < 1e-9);
        assert!((at(&grid, &pixels, 1.0, 0.5) - 13.0).abs() < 1e-9);
        assert!((at(&grid, &pixels, 0.25 + 0.5 * 1.5 / 14.0, 0.5) - 1.0).abs() < 1e-9);
        // A picture of half a view is in its left upper quarter.
        let pixels = Pixels::from_rgb(SIDE / 2, SIDE / 2, vec![0; SIDE * SIDE / 4 * 3]).unwrap();
        assert!((at(&grid, &pixels, 1.0, 0.5) - 6.5).abs() < 1e-9);
    }
}

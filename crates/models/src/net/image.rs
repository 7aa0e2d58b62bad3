//! The residual micro-network for images.

use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use super::{
    Mode, Params,
    layers::{ConvUnit, Head},
};
use crate::{
    Result,
    kernels::{Activation, AddRelu},
};

/// Shape of a [`ResidualNet`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResidualNetConfig {
    /// Input planes.
    pub planes: usize,
    /// Channels of the stem and of the three stages.
    pub widths: [usize; 4],
    /// Residual blocks in each stage.
    pub blocks: [usize; 3],
}

/// A compact, fully convolutional network on residual planes: a strided 3x3 stem, three stages of depthwise-separable
/// residual blocks at strides 2, 4 and 8, and a 1x1 head that gives one logit for each 8x8 cell.
///
/// The compact trunk follows the finding of FerretNet (arXiv 2509.20890) that few parameters at high resolution
/// generalise better than a deep trunk; the logit map in place of a pooled feature follows `LaDeDa` (arXiv 2406.07283).
#[derive(Debug)]
pub struct ResidualNet {
    stem: ConvUnit,
    entries: Vec<[ConvUnit; 2]>,
    blocks: Vec<Vec<[ConvUnit; 4]>>,
    head: Head,
}

impl ResidualNet {
    /// Pixels for each cell of the logit map, in both directions.
    pub const CELL: usize = 8;

    /// Builds the network, making the variables that are missing.
    pub fn new(params: &mut Params, config: &ResidualNetConfig) -> Result<Self> {
        let w = config.widths;
        let stem = ConvUnit::dense(params, "stem", [config.planes, w[0]], 3, 2, Activation::Relu)?;
        let (mut entries, mut blocks) = (Vec::new(), Vec::new());
        for stage in 0..3 {
            let stride = if stage == 0 { 1 } else { 2 };
            let name = format!("stage{stage}");
            entries.push([
                ConvUnit::depthwise(
                    params,
                    &format!("{name}.entry.dw"),
                    w[stage],
                    3,
                    stride,
                    Activation::None,
                )?,
                ConvUnit::dense(
                    params,
                    &format!("{name}.entry.pw"),
                    [w[stage], w[stage + 1]],
                    1,
                    1,
                    Activation::Relu,
                )?,
            ]);
            let c = w[stage + 1];
            let mut units = Vec::new();
            for block in 0..config.blocks[stage] {
                let name = format!("{name}.block{block}");
                units.push([
                    ConvUnit::depthwise(params, &format!("{name}.dw1"), c, 3, 1, Activation::None)?,
                    ConvUnit::dense(params, &format!("{name}.pw1"), [c, c], 1, 1, Activation::Relu)?,
                    ConvUnit::depthwise(params, &format!("{name}.dw2"), c, 3, 1, Activation::None)?,
                    ConvUnit::dense(params, &format!("{name}.pw2"), [c, c], 1, 1, Activation::None)?,
                ]);
            }
            blocks.push(units);
        }
        Ok(Self { stem, entries, blocks, head: Head::new(params, "head", w[3])? })
    }

    /// `[n, planes, h, w]` to logits `[n, 1, ceil(h / 8), ceil(w / 8)]`.
    pub fn forward(&self, x: &Tensor, mode: Mode) -> Result<Tensor> {
        let mut x = self.stem.forward(x, mode)?;
        for (entry, blocks) in self.entries.iter().zip(&self.blocks) {
            for unit in entry {
                x = unit.forward(&x, mode)?;
            }
            for block in blocks {
                let mut y = x.clone();
                for unit in block {
                    y = unit.forward(&y, mode)?;
                }
                x = x.apply_op2(&y, AddRelu)?;
            }
        }
        self.head.forward(&x)
    }

    /// Moves the running statistics after a training step.
    pub(crate) fn update_running(&self) -> Result<()> {
        let units = self.entries.iter().flatten().chain(self.blocks.iter().flatten().flatten());
        std::iter::once(&self.stem).chain(units).try_for_each(ConvUnit::update_running)
    }
}

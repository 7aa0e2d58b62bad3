//! The cepstral network for audio.

use candle_core::{D, Tensor};
use serde::{Deserialize, Serialize};

use super::{
    Mode, Params,
    layers::{ConvUnit, Head},
};
use crate::{
    Result,
    kernels::{Activation, MaxHalves, MaxPool2},
};

/// Shape of an [`LfccNet`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LfccNetConfig {
    /// Channels after each of the five convolution stages (before max-feature-map they are twice as many).
    pub widths: [usize; 5],
}

/// A light convolutional network on cepstra (LCNN: Lavrentyeva et al. 2019, Wu et al. 2018): max-feature-map
/// convolutions (the first with stride 2) and 2x2 max pooling, without recurrence; frame logits and an attention over frames.
///
/// Input `[n, 1, coefficients, frames]`; the time axis is pooled by [`LfccNet::POOL`].
#[derive(Debug)]
pub struct LfccNet {
    stem: ConvUnit,
    stages: Vec<[ConvUnit; 2]>,
    frames: Head,
    attention: Head,
}

/// What an [`LfccNet`] returns.
#[derive(Debug)]
pub struct FrameLogits {
    /// Logit of each clip, `[n]`.
    pub clip: Tensor,
    /// Logit of each pooled frame, `[n, t]`.
    pub frames: Tensor,
}

impl LfccNet {
    /// Input frames for each frame logit.
    pub const POOL: usize = 16;

    /// Builds the network, making the variables that are missing.
    pub fn new(params: &mut Params, config: &LfccNetConfig) -> Result<Self> {
        let w = config.widths;
        let stem = ConvUnit::dense(params, "stem", [1, 2 * w[0]], 5, 2, Activation::None)?;
        let stages = (0..4)
            .map(|i| {
                let name = format!("stage{i}");
                Ok([
                    ConvUnit::dense(
                        params,
                        &format!("{name}.nin"),
                        [w[i], 2 * w[i]],
                        1,
                        1,
                        Activation::None,
                    )?,
                    ConvUnit::dense(
                        params,
                        &format!("{name}.conv"),
                        [w[i], 2 * w[i + 1]],
                        3,
                        1,
                        Activation::None,
                    )?,
                ])
            })
            .collect::<Result<_>>()?;
        Ok(Self {
            stem,
            stages,
            frames: Head::new(params, "frames", w[4])?,
            attention: Head::new(params, "attention", w[4])?,
        })
    }

    /// Clip and frame logits.
    pub fn forward(&self, x: &Tensor, mode: Mode) -> Result<FrameLogits> {
        let mut x = self.stem.forward(x, mode)?.apply_op1(MaxHalves)?;
        for (i, [nin, conv]) in self.stages.iter().enumerate() {
            x = nin.forward(&x, mode)?.apply_op1(MaxHalves)?;
            x = conv.forward(&x, mode)?.apply_op1(MaxHalves)?;
            if i < 3 {
                x = x.apply_op1(MaxPool2)?;
            }
        }
        // [n, c, f, t] -> mean over frequency -> [n, c, 1, t]; the transposition puts the reduced axis last, where
        // candle reduces fast.
        let x = x.transpose(2, 3)?.contiguous()?.mean(D::Minus1)?.unsqueeze(2)?;
        let frames = self.frames.forward(&x)?.squeeze(1)?.squeeze(1)?;
        let attention = self.attention.forward(&x)?.squeeze(1)?.squeeze(1)?;
        // candle_nn::ops::softmax has a gradient, softmax_last_dim has none.
        let weights = candle_nn::ops::softmax(&attention, D::Minus1)?;
        let clip = (&frames * weights)?.sum(D::Minus1)?;
        Ok(FrameLogits { clip, frames })
    }

    /// Moves the running statistics after a training step.
    pub(crate) fn update_running(&self) -> Result<()> {
        std::iter::once(&self.stem).chain(self.stages.iter().flatten()).try_for_each(ConvUnit::update_running)
    }
}

//! The n-gram and style network for text.

use std::sync::Arc;

use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use super::{Params, params::Start};
use crate::{
    Result,
    kernels::{SparseLinear, SparseRows},
};

/// Shape of an [`NgramNet`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NgramNetConfig {
    /// Hash buckets, as a power of two.
    pub bits: u32,
    /// Features of style and, with `surprisal`, of surprise.
    pub style: usize,
    /// Hidden units of the style branch.
    pub hidden: usize,
    /// Buckets for pairs of words in the two language models, as a power of two, 8 to 23; 0 for no such models.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub surprisal: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(n: &u32) -> bool {
    *n == 0
}

/// A linear layer over hashed n-grams plus a small perceptron over standardised style features; their logits add up, so
/// that each n-gram's share of the score can be read off.
#[derive(Debug)]
pub struct NgramNet {
    grams: Tensor,
    bias: Tensor,
    style: Option<[Tensor; 4]>,
}

impl NgramNet {
    /// Builds the network, making the variables that are missing.
    pub fn new(params: &mut Params, config: &NgramNetConfig) -> Result<Self> {
        let (n, h) = (config.style, config.hidden);
        let style = if n * h > 0 {
            Some([
                params.get("style.hidden.weight", &[h, n], Start::He)?,
                params.get("style.hidden.bias", &[h], Start::Constant(0.0))?,
                params.get("style.out.weight", &[1, h], Start::Constant(0.0))?,
                params.get("style.out.bias", &[1], Start::Constant(0.0))?,
            ])
        } else {
            None
        };
        Ok(Self {
            grams: params.get("grams.weight", &[1 << config.bits], Start::Constant(0.0))?,
            bias: params.get("grams.bias", &[1], Start::Constant(0.0))?,
            style,
        })
    }

    /// Logits `[n]` of the n-gram branch.
    pub fn grams(&self, rows: &Arc<SparseRows>) -> Result<Tensor> {
        let y = self.grams.apply_op1(SparseLinear { rows: Arc::clone(rows) })?;
        Ok(y.broadcast_add(&self.bias)?)
    }

    /// Logits `[n]` of the style branch for standardised features `[n, style]`; `None` without that branch.
    pub fn style(&self, style: &Tensor) -> Result<Option<Tensor>> {
        let Some([w1, b1, w2, b2]) = &self.style else { return Ok(None) };
        let hidden = candle_nn::Linear::new(w1.clone(), Some(b1.clone()));
        let out = candle_nn::Linear::new(w2.clone(), Some(b2.clone()));
        let y = candle_nn::Module::forward(&hidden, style)?.tanh()?;
        Ok(Some(candle_nn::Module::forward(&out, &y)?.squeeze(1)?))
    }

    /// Weight of one bucket.
    pub(crate) fn weights(&self) -> Result<Vec<f32>> {
        Ok(self.grams.to_vec1()?)
    }
}

impl NgramNetConfig {
    /// Number of hash buckets.
    pub fn buckets(&self) -> usize {
        1 << self.bits
    }
}

//! What the frozen transformers are made of.

use candle_core::{DType, Tensor};

use super::{FROZEN, Params, params::Start};
use crate::{
    Error, Result,
    kernels::{Attention, Curve, Dense, LayerNorm},
};

/// A linear layer: as it is loaded, and as it computes.
pub(super) enum Linear {
    Declared { weight: Tensor, bias: Tensor, curve: Curve },
    Ready(Dense),
}

impl Linear {
    /// Makes its variables, the weights of type `dtype`.
    pub(super) fn new(
        params: &mut Params,
        name: &str,
        inputs: usize,
        outputs: usize,
        curve: Curve,
        dtype: DType,
    ) -> Result<Self> {
        let name = |what: &str| format!("{FROZEN}{name}.{what}");
        let weight = params.get_as(&name("weight"), &[outputs, inputs], Start::He, dtype)?.detach();
        let bias = params.get(&name("bias"), &[outputs], Start::Constant(0.0))?.detach();
        Ok(Self::Declared { weight, bias, curve })
    }

    /// Lays the weights out; call it after the parameters were set.
    pub(super) fn ready(self) -> Result<Self> {
        Ok(match self {
            Self::Declared { weight, bias, curve } => Self::Ready(Dense::new(&weight, &bias, curve)?),
            Self::Ready(dense) => Self::Ready(dense),
        })
    }

    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::Ready(dense) => Ok(x.apply_op1_no_bwd(dense)?),
            Self::Declared { .. } => Err(Error::model("transformer", "it is not ready")),
        }
    }
}

/// A layer normalisation.
pub(super) struct Norm {
    gain: Tensor,
    bias: Tensor,
    epsilon: f32,
}

impl Norm {
    pub(super) fn new(params: &mut Params, name: &str, width: usize, epsilon: f32) -> Result<Self> {
        let mut get = |what: &str, value: f32| {
            let tensor = params.get(&format!("{FROZEN}{name}.{what}"), &[width], Start::Constant(value))?;
            Ok::<_, Error>(tensor.detach())
        };
        Ok(Self { gain: get("gain", 1.0)?, bias: get("bias", 0.0)?, epsilon })
    }

    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        Ok(x.apply_op3_no_bwd(&self.gain, &self.bias, &LayerNorm { epsilon: self.epsilon })?)
    }
}

/// What the blocks of a transformer have in common.
pub(super) struct Form {
    /// Numbers that stand for each place.
    pub(super) width: usize,
    /// Numbers between the two layers of the perceptron.
    pub(super) hidden: usize,
    /// Of the normalisations.
    pub(super) epsilon: f32,
    /// Between the layers of the perceptron.
    pub(super) curve: Curve,
    /// Of the weights; those in f16 are stored in four bits.
    pub(super) dtype: DType,
}

/// A block: attention and a perceptron, each with a normalisation, which lies before or after it.
pub(super) struct Block {
    pub(super) norm: Norm,
    pub(super) attend: Linear,
    pub(super) out: Linear,
    pub(super) last_norm: Norm,
    pub(super) up: Linear,
    pub(super) down: Linear,
}

impl Block {
    /// Makes its variables.
    pub(super) fn new(params: &mut Params, name: &str, form: &Form) -> Result<Self> {
        let &Form { width, hidden, epsilon, curve, dtype } = form;
        let name = |part: &str| format!("{name}.{part}");
        let linear = |params: &mut Params, part: &str, inputs, outputs, curve| {
            Linear::new(params, &name(part), inputs, outputs, curve, dtype)
        };
        Ok(Self {
            norm: Norm::new(params, &name("norm"), width, epsilon)?,
            attend: linear(params, "attend", width, 3 * width, Curve::None)?,
            out: linear(params, "out", width, width, Curve::None)?,
            last_norm: Norm::new(params, &name("last_norm"), width, epsilon)?,
            up: linear(params, "up", width, hidden, curve)?,
            down: linear(params, "down", hidden, width, Curve::None)?,
        })
    }

    /// The rows `[n, width]` behind the block, where the normalisations lie before attention and perceptron.
    pub(super) fn forward(&self, x: &Tensor, heads: usize) -> Result<Tensor> {
        let attended = self.attend.forward(&self.norm.forward(x)?)?;
        let x = (self.out.forward(&attended.apply_op1_no_bwd(&Attention { heads })?)? + x)?;
        let hidden = self.up.forward(&self.last_norm.forward(&x)?)?;
        Ok((self.down.forward(&hidden)? + x)?)
    }

    /// Lays the weights out; call it after the parameters were set.
    pub(super) fn ready(self) -> Result<Self> {
        Ok(Self {
            attend: self.attend.ready()?,
            out: self.out.ready()?,
            up: self.up.ready()?,
            down: self.down.ready()?,
            ..self
        })
    }
}

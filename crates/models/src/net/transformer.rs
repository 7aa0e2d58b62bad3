//! What the frozen transformers are made of.

use candle_core::Tensor;

use super::{FROZEN, Params, params::Start};
use crate::{
    Error, Result,
    kernels::{Dense, LayerNorm},
};

/// A linear layer: as it is loaded, and as it computes.
pub(super) enum Linear {
    Declared { weight: Tensor, bias: Tensor, gelu: bool },
    Ready(Dense),
}

impl Linear {
    /// Makes its variables; `gelu` follows it where that is wanted.
    pub(super) fn new(
        params: &mut Params,
        name: &str,
        inputs: usize,
        outputs: usize,
        gelu: bool,
    ) -> Result<Self> {
        let mut get = |what: &str, shape: &[usize], start| {
            params.get(&format!("{FROZEN}{name}.{what}"), shape, start).map(|t| t.detach())
        };
        let weight = get("weight", &[outputs, inputs], Start::He)?;
        Ok(Self::Declared { weight, bias: get("bias", &[outputs], Start::Constant(0.0))?, gelu })
    }

    /// Lays the weights out; call it after the parameters were set.
    pub(super) fn ready(self) -> Result<Self> {
        Ok(match self {
            Self::Declared { weight, bias, gelu } => Self::Ready(Dense::new(&weight, &bias, gelu)?),
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
    /// Makes its variables: `width` numbers stand for each place, `hidden` are between the layers of the perceptron.
    pub(super) fn new(
        params: &mut Params,
        name: &str,
        width: usize,
        hidden: usize,
        epsilon: f32,
    ) -> Result<Self> {
        let name = |part: &str| format!("{name}.{part}");
        Ok(Self {
            norm: Norm::new(params, &name("norm"), width, epsilon)?,
            attend: Linear::new(params, &name("attend"), width, 3 * width, false)?,
            out: Linear::new(params, &name("out"), width, width, false)?,
            last_norm: Norm::new(params, &name("last_norm"), width, epsilon)?,
            up: Linear::new(params, &name("up"), width, hidden, true)?,
            down: Linear::new(params, &name("down"), hidden, width, false)?,
        })
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

//! Layers that the networks share.

use std::sync::{Mutex, PoisonError};

use candle_core::{Tensor, Var};

use super::{Params, params::Start};
use crate::{
    Error, Result,
    kernels::{Activation, BatchStatistics, Conv2d, ConvNorm, Convolution, Depthwise2d},
};

/// How a network runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Batch statistics, gradients.
    Train,
    /// Running statistics folded into the convolutions.
    Eval,
}

/// Weight of the newest batch in the running statistics.
const MOMENTUM: f32 = 0.02;

/// Added to variances.
const EPSILON: f32 = 1e-5;

/// Convolution, batch normalisation and activation.
#[derive(Debug)]
pub(crate) struct ConvUnit {
    convolution: Convolution,
    activation: Activation,
    weight: Tensor,
    gamma: Tensor,
    beta: Tensor,
    running_mean: Var,
    running_var: Var,
    /// Of the last training batch.
    statistics: Mutex<Option<BatchStatistics>>,
}

impl ConvUnit {
    /// A dense convolution of `k` by `k` from `inp` to `out` channels that keeps the size at stride 1.
    pub(crate) fn dense(
        params: &mut Params,
        name: &str,
        [inp, out]: [usize; 2],
        k: usize,
        stride: usize,
        activation: Activation,
    ) -> Result<Self> {
        let weight = params.get(&format!("{name}.weight"), &[out, inp, k, k], Start::He)?;
        let convolution = Convolution::Full(Conv2d::same(k, stride, Activation::None));
        Self::new(params, name, convolution, weight, out, activation)
    }

    /// A depthwise convolution of `k` by `k`.
    pub(crate) fn depthwise(
        params: &mut Params,
        name: &str,
        channels: usize,
        k: usize,
        stride: usize,
        activation: Activation,
    ) -> Result<Self> {
        let weight = params.get(&format!("{name}.weight"), &[channels, 1, k, k], Start::He)?;
        let convolution =
            Convolution::Depthwise(Depthwise2d { stride, tensorflow: false, activation: Activation::None });
        Self::new(params, name, convolution, weight, channels, activation)
    }

    fn new(
        params: &mut Params,
        name: &str,
        convolution: Convolution,
        weight: Tensor,
        channels: usize,
        activation: Activation,
    ) -> Result<Self> {
        let mut vector =
            |what: &str, v: f32| params.get(&format!("{name}.{what}"), &[channels], Start::Constant(v));
        let (gamma, beta) = (vector("gamma", 1.0)?, vector("beta", 0.0)?);
        vector("running_mean", 0.0)?;
        vector("running_var", 1.0)?;
        let vars = params.vars();
        let var = |what: &str| {
            let key = format!("{name}.{what}");
            vars.get(&key).cloned().ok_or_else(|| Error::model(key, "no such variable"))
        };
        Ok(Self {
            convolution,
            activation,
            weight,
            gamma,
            beta,
            running_mean: var("running_mean")?,
            running_var: var("running_var")?,
            statistics: Mutex::default(),
        })
    }

    pub(crate) fn forward(&self, x: &Tensor, mode: Mode) -> Result<Tensor> {
        match mode {
            Mode::Train => {
                let op = ConvNorm::new(self.convolution, EPSILON, self.activation);
                let affine = Tensor::stack(&[&self.gamma, &self.beta], 0)?;
                let y = x.apply_op3(&self.weight, &affine, op.clone())?;
                *self.statistics.lock().unwrap_or_else(PoisonError::into_inner) = op.statistics();
                Ok(y)
            }
            Mode::Eval => {
                let (mean, var) =
                    (self.running_mean.as_detached_tensor(), self.running_var.as_detached_tensor());
                let inverse = (var + f64::from(EPSILON))?.sqrt()?.recip()?;
                let scale = (self.gamma.detach() * inverse)?;
                let bias = (self.beta.detach() - (mean * &scale)?)?;
                let weight = self.weight.detach().broadcast_mul(&scale.reshape(((), 1, 1, 1))?)?;
                Ok(match self.convolution {
                    Convolution::Full(op) => {
                        x.apply_op3(&weight, &bias, Conv2d { activation: self.activation, ..op })?
                    }
                    Convolution::Depthwise(op) => {
                        x.apply_op3(&weight, &bias, Depthwise2d { activation: self.activation, ..op })?
                    }
                })
            }
        }
    }

    /// Moves the running statistics towards those of the last training batch.
    pub(crate) fn update_running(&self) -> Result<()> {
        let Some(stats) = self.statistics.lock().unwrap_or_else(PoisonError::into_inner).take() else {
            return Ok(());
        };
        for (var, new) in [(&self.running_mean, stats.mean), (&self.running_var, stats.var)] {
            let old = var.to_vec1::<f32>()?;
            let moved: Vec<f32> = old.iter().zip(&new).map(|(o, n)| o + MOMENTUM * (n - o)).collect();
            var.set(&Tensor::from_vec(moved, var.shape(), var.device())?)?;
        }
        Ok(())
    }
}

/// A 1x1 convolution to one channel with a bias: the logit of each place. Starts at zero, so that a fresh network says
/// 0 everywhere.
#[derive(Debug)]
pub(crate) struct Head {
    weight: Tensor,
    bias: Tensor,
}

impl Head {
    pub(crate) fn new(params: &mut Params, name: &str, channels: usize) -> Result<Self> {
        Ok(Self {
            weight: params.get(&format!("{name}.weight"), &[1, channels, 1, 1], Start::Constant(0.0))?,
            bias: params.get(&format!("{name}.bias"), &[1], Start::Constant(0.0))?,
        })
    }

    /// `[n, c, h, w]` to `[n, 1, h, w]`.
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        Ok(x.apply_op3(&self.weight, &self.bias, Conv2d::same(1, 1, Activation::None))?)
    }
}

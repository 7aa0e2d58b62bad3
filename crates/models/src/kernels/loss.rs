//! Binary cross-entropy on logits, stable for any size of logit.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};

use super::{data, with_data};

/// Weighted mean binary cross-entropy of a vector of logits against targets in [0, 1]; a scalar.
#[derive(Debug, Clone)]
pub struct BceWithLogits {
    /// Targets, one a logit.
    pub targets: Vec<f32>,
    /// Weights, one a logit; they are divided by their sum.
    pub weights: Vec<f32>,
}

impl BceWithLogits {
    fn total(&self) -> f32 {
        self.weights.iter().sum::<f32>().max(f32::MIN_POSITIVE)
    }
}

impl CustomOp1 for BceWithLogits {
    fn name(&self) -> &'static str {
        "candor-bce-with-logits"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = data(storage, layout)?;
        if x.len() != self.targets.len() || x.len() != self.weights.len() {
            bail!("{} logits for {} targets", x.len(), self.targets.len());
        }
        let loss: f32 = x
            .iter()
            .zip(&self.targets)
            .zip(&self.weights)
            // softplus(x) - t x, with softplus(x) = max(x, 0) + ln(1 + exp(-|x|))
            .map(|((&x, &t), &w)| w * (x.max(0.0) + (-x.abs()).exp().ln_1p() - t * x))
            .sum();
        Ok((CpuStorage::F32(vec![loss / self.total()]), Shape::from(())))
    }

    fn bwd(&self, arg: &Tensor, _res: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let scale = grad.to_scalar::<f32>()? / self.total();
        let dx = with_data(arg, |x| -> Vec<f32> {
            x.iter()
                .zip(&self.targets)
                .zip(&self.weights)
                .map(|((&x, &t), &w)| scale * w * (1.0 / (1.0 + (-x).exp()) - t))
                .collect()
        })?;
        Ok(Some(Tensor::from_vec(dx, arg.shape(), arg.device())?))
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor};

    use super::*;
    use crate::kernels::check;

    #[test]
    fn gradients_agree_with_differences() {
        let op = BceWithLogits { targets: vec![0.0, 1.0, 0.3, 1.0], weights: vec![1.0, 2.0, 0.5, 1.0] };
        check::gradients(&[check::var(&[4], 1)], 1e-3, |v| v[0].as_tensor().apply_op1(op.clone()));
    }

    #[test]
    fn large_logits_stay_finite() {
        let op = BceWithLogits { targets: vec![1.0, 0.0], weights: vec![1.0, 1.0] };
        let x = Tensor::from_vec(vec![-200f32, 200.0], 2, &Device::Cpu).unwrap();
        assert_eq!(x.apply_op1(op).unwrap().to_scalar::<f32>().unwrap(), 200.0);
    }
}

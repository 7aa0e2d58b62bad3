//! Batch normalisation with a fused activation.

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use super::{Activation, data, nchw, with_data};

/// Mean and (biased) variance of each channel over one batch.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct BatchStatistics {
    /// Means, one a channel.
    pub mean: Vec<f32>,
    /// Variances, one a channel.
    pub var: Vec<f32>,
}

/// Training-mode batch normalisation (Ioffe and Szegedy 2015) of `(input [n, c, h, w], gamma [c], beta [c])`, with the
/// activation in the same pass. Leaves the batch's statistics in `statistics` for the running averages.
#[derive(Debug, Clone)]
pub struct BatchNorm {
    /// Added to the variance.
    pub epsilon: f32,
    /// Activation applied to the output.
    pub activation: Activation,
    /// Filled by the forward pass.
    pub statistics: Arc<Mutex<BatchStatistics>>,
}

impl BatchNorm {
    /// A normalisation with the usual epsilon of 1e-5.
    pub fn new(activation: Activation) -> Self {
        Self { epsilon: 1e-5, activation, statistics: Arc::default() }
    }

    fn saved(&self) -> BatchStatistics {
        self.statistics.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Sum over planes of channel `ch`, each plane reduced by `f` to a pair, in the order of the batch.
fn channel_sums(n: usize, c: usize, f: impl Fn(usize, usize) -> (f64, f64) + Sync) -> Vec<(f64, f64)> {
    (0..c)
        .into_par_iter()
        .map(|ch| (0..n).map(|i| f(i * c + ch, ch)).fold((0.0, 0.0), |acc, v| (acc.0 + v.0, acc.1 + v.1)))
        .collect()
}

/// Sum of `f` over pairs in sixteen fixed lanes, which the compiler turns into vector code.
fn sum(x: &[f32], y: &[f32], f: impl Fn(f32, f32) -> f32) -> f64 {
    let mut lanes = [0f32; 16];
    let (cx, cy) = (x.chunks_exact(16), y.chunks_exact(16));
    let rest: f32 = cx.remainder().iter().zip(cy.remainder()).map(|(&a, &b)| f(a, b)).sum();
    for (a, b) in cx.zip(cy) {
        for ((l, &a), &b) in lanes.iter_mut().zip(a).zip(b) {
            *l += f(a, b);
        }
    }
    lanes.iter().map(|&l| f64::from(l)).sum::<f64>() + f64::from(rest)
}

impl CustomOp3 for BatchNorm {
    fn name(&self) -> &'static str {
        "candor-batch-norm"
    }

    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
        s3: &CpuStorage,
        l3: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let [n, c, h, w] = nchw(l1)?;
        let (x, gamma, beta) = (data(s1, l1)?, data(s2, l2)?, data(s3, l3)?);
        let area = h * w;
        let count = (n * area) as f64;
        if gamma.len() != c || beta.len() != c || n * area == 0 {
            bail!("batch normalisation: the shapes do not fit");
        }
        let plane = |i: usize| &x[i * area..(i + 1) * area];
        let means: Vec<f32> = channel_sums(n, c, |i, _| (sum(plane(i), plane(i), |v, _| v), 0.0))
            .iter()
            .map(|s| (s.0 / count) as f32)
            .collect();
        // Second pass around the mean: the one-pass formula loses precision.
        let vars: Vec<f32> = channel_sums(n, c, |i, ch| {
            (sum(plane(i), plane(i), |v, _| (v - means[ch]) * (v - means[ch])), 0.0)
        })
        .iter()
        .map(|s| (s.0 / count) as f32)
        .collect();
        let mut out = vec![0f32; x.len()];
        out.par_chunks_mut(area).zip(x.par_chunks(area)).enumerate().for_each(|(i, (out, x))| {
            let ch = i % c;
            let scale = gamma[ch] / (vars[ch] + self.epsilon).sqrt();
            let shift = beta[ch] - scale * means[ch];
            out.iter_mut().zip(x).for_each(|(o, &v)| *o = scale * v + shift);
            self.activation.apply(out);
        });
        *self.statistics.lock().unwrap_or_else(PoisonError::into_inner) =
            BatchStatistics { mean: means, var: vars };
        Ok((CpuStorage::F32(out), l1.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        gamma: &Tensor,
        _beta: &Tensor,
        res: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (n, c, h, w) = x.dims4()?;
        let area = h * w;
        let count = (n * area) as f64;
        let stats = self.saved();
        let gammas = gamma.to_vec1::<f32>()?;
        let mut dy = with_data(grad, <[f32]>::to_vec)?;
        if self.activation != Activation::None {
            with_data(res, |y| {
                dy.par_chunks_mut(area)
                    .zip(y.par_chunks(area))
                    .for_each(|(dy, y)| self.activation.mask(dy, y));
            })?;
        }
        let inverse: Vec<f32> = stats.var.iter().map(|v| 1.0 / (v + self.epsilon).sqrt()).collect();
        let sums = with_data(x, |x| {
            // Sums of dy and of dy * x_hat, one pair a channel.
            let sums = channel_sums(n, c, |i, ch| {
                let (x, dy) = (&x[i * area..(i + 1) * area], &dy[i * area..(i + 1) * area]);
                let (mean, inverse) = (stats.mean[ch], inverse[ch]);
                (sum(dy, dy, |g, _| g), sum(x, dy, |v, g| (v - mean) * inverse * g))
            });
            dy.par_chunks_mut(area).zip(x.par_chunks(area)).enumerate().for_each(|(i, (dy, x))| {
                let ch = i % c;
                let (mean_dy, mean_hat) = ((sums[ch].0 / count) as f32, (sums[ch].1 / count) as f32);
                let (mean, inverse) = (stats.mean[ch], inverse[ch]);
                let scale = gammas[ch] * inverse;
                dy.iter_mut().zip(x).for_each(|(g, &v)| {
                    let hat = (v - mean) * inverse;
                    *g = scale * (*g - mean_dy - hat * mean_hat);
                });
            });
            sums
        })?;
        let device = x.device();
        let dgamma: Vec<f32> = sums.iter().map(|s| s.1 as f32).collect();
        let dbeta: Vec<f32> = sums.iter().map(|s| s.0 as f32).collect();
        Ok((
            Some(Tensor::from_vec(dy, x.shape(), device)?),
            Some(Tensor::from_vec(dgamma, c, device)?),
            Some(Tensor::from_vec(dbeta, c, device)?),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::check;

    #[test]
    fn output_has_zero_mean_and_unit_variance() {
        let x = check::var(&[4, 2, 5, 3], 1);
        let (gamma, beta) = (check::var(&[2], 2), check::var(&[2], 3));
        gamma.set(&gamma.ones_like().unwrap()).unwrap();
        beta.set(&beta.zeros_like().unwrap()).unwrap();
        let y = x.apply_op3(&gamma, &beta, BatchNorm::new(Activation::None)).unwrap();
        let y = y.transpose(0, 1).unwrap().flatten_from(1).unwrap().to_vec2::<f32>().unwrap();
        for channel in y {
            let n = channel.len() as f32;
            let mean = channel.iter().sum::<f32>() / n;
            let var = channel.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / n;
            assert!(mean.abs() < 1e-5 && (var - 1.0).abs() < 1e-3);
        }
    }

    #[test]
    fn gradients_agree_with_differences() {
        let vars = [check::var(&[3, 2, 4, 3], 1), check::var(&[2], 2), check::var(&[2], 3)];
        check::gradients(&vars, 1e-2, |v| {
            v[0].as_tensor().apply_op3(v[1].as_tensor(), v[2].as_tensor(), BatchNorm::new(Activation::None))
        });
    }
}

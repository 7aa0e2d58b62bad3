//! Convolution with batch normalisation and an activation behind it, as one operation.

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{CpuStorage, CustomOp3, Device, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use super::{Activation, Conv2d, Depthwise2d, data, in_chunks, nchw, vectorized, with_data};

/// Mean and (biased) variance of each channel over one batch.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct BatchStatistics {
    /// Means, one a channel.
    pub mean: Vec<f32>,
    /// Variances, one a channel.
    pub var: Vec<f32>,
}

/// The convolution in front of a normalisation.
#[derive(Debug, Clone, Copy)]
pub enum Convolution {
    /// Each output channel from every input channel.
    Full(Conv2d),
    /// Each channel by itself.
    Depthwise(Depthwise2d),
}

/// Convolution and training-mode batch normalisation (Ioffe and Szegedy 2015) of `(input [n, c, h, w], weight, affine
/// [2, o])`, the rows of `affine` being gamma and beta, with an activation.
///
/// One operation and not two, because candle adds every gradient to a tensor of zeros: a pass over memory that costs
/// as much as the gradient itself. The convolution's own activation is not applied.
#[derive(Debug, Clone)]
pub struct ConvNorm {
    convolution: Convolution,
    epsilon: f32,
    activation: Activation,
    /// What the forward pass leaves for the backward pass: the output of the convolution and its statistics.
    kept: Arc<Mutex<Option<(Tensor, BatchStatistics)>>>,
}

impl ConvNorm {
    /// An operation for one forward pass.
    pub fn new(convolution: Convolution, epsilon: f32, activation: Activation) -> Self {
        Self { convolution, epsilon, activation, kept: Arc::default() }
    }

    /// Statistics of the batch that was run through it, or of a clone.
    pub fn statistics(&self) -> Option<BatchStatistics> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(|kept| kept.1.clone())
    }
}

/// Lanes in which sums are added up: fixed, so that they keep their order on any processor.
const LANES: usize = 32;

/// Sum of `f` over triples in fixed lanes, which the compiler turns into vector code.
#[inline(always)]
fn sum(x: &[f32], y: &[f32], z: &[f32], f: impl Fn(f32, f32, f32) -> f32) -> f64 {
    let mut lanes = [0f32; LANES];
    let (cx, cy, cz) = (x.chunks_exact(LANES), y.chunks_exact(LANES), z.chunks_exact(LANES));
    let rest = cx.remainder().iter().zip(cy.remainder()).zip(cz.remainder());
    let rest: f32 = rest.map(|((&a, &b), &c)| f(a, b, c)).sum();
    for ((a, b), c) in cx.zip(cy).zip(cz) {
        for (((l, &a), &b), &c) in lanes.iter_mut().zip(a).zip(b).zip(c) {
            *l += f(a, b, c);
        }
    }
    lanes.iter().map(|&l| f64::from(l)).sum::<f64>() + f64::from(rest)
}

/// What one plane knows of its channel: the sum, and the squares around a mean of its own, `pivot`. Squares around
/// zero would lose the precision of a small variance beside a large mean.
struct Moments {
    sum: f64,
    pivot: f64,
    squares: f64,
}

impl Moments {
    fn of(plane: &[f32]) -> Self {
        vectorized(|| {
            let total = sum(plane, plane, plane, |v, _, _| v);
            let pivot = (total / plane.len() as f64) as f32;
            let squares = sum(plane, plane, plane, |v, _, _| (v - pivot) * (v - pivot));
            Self { sum: total, pivot: f64::from(pivot), squares }
        })
    }

    /// Squares around another mean, for a plane of `n` places.
    fn around(&self, mean: f64, n: f64) -> f64 {
        let shift = self.pivot - mean;
        self.squares + 2.0 * shift * (self.sum - n * self.pivot) + n * shift * shift
    }
}

impl BatchStatistics {
    /// Of `[n, c, area]`, each channel's planes in the order of the batch.
    fn of(x: &[f32], c: usize, area: usize) -> Self {
        let planes: Vec<Moments> = x.par_chunks(area).map(Moments::of).collect();
        let (n, count) = (area as f64, (x.len() / c) as f64);
        let (mean, var) = (0..c)
            .map(|ch| {
                let planes = || planes[ch..].iter().step_by(c);
                let mean = planes().map(|p| p.sum).sum::<f64>() / count;
                (mean as f32, (planes().map(|p| p.around(mean, n)).sum::<f64>() / count) as f32)
            })
            .unzip();
        Self { mean, var }
    }
}

/// Gradients of the normalisation of `x`, `[n, c, area]`: of `x`, and of gamma and beta as the rows of `[2, c]`. `grad`
/// lies behind the activation, whose output is `y`; where that is flat, `passes` is false.
struct NormGradient<'a> {
    x: &'a [f32],
    y: &'a [f32],
    grad: &'a [f32],
    area: usize,
    statistics: &'a BatchStatistics,
    gamma: &'a [f32],
    epsilon: f32,
}

impl NormGradient<'_> {
    fn by(&self, activation: Activation) -> (Vec<f32>, Vec<f32>) {
        match activation {
            Activation::None => self.with(|_| true),
            Activation::Relu => self.with(|y| y > 0.0),
            Activation::Relu6 => self.with(|y| y > 0.0 && y < 6.0),
        }
    }

    fn with(&self, passes: impl Fn(f32) -> bool + Copy + Sync) -> (Vec<f32>, Vec<f32>) {
        let (c, area) = (self.gamma.len(), self.area);
        let count = (self.x.len() / c) as f64;
        let inverse: Vec<f32> = self.statistics.var.iter().map(|v| 1.0 / (v + self.epsilon).sqrt()).collect();
        let masked = move |g: f32, y: f32| if passes(y) { g } else { 0.0 };
        // Sums of the gradient before the activation and of its product with the normalised input, a pair a plane.
        let planes: Vec<(f64, f64)> = self
            .x
            .par_chunks(area)
            .zip(self.y.par_chunks(area))
            .zip(self.grad.par_chunks(area))
            .enumerate()
            .map(|(i, ((x, y), grad))| {
                let (mean, inverse) = (self.statistics.mean[i % c], inverse[i % c]);
                vectorized(|| {
                    let plain = sum(x, y, grad, |_, y, g| masked(g, y));
                    (plain, sum(x, y, grad, |x, y, g| (x - mean) * inverse * masked(g, y)))
                })
            })
            .collect();
        let sums: Vec<(f64, f64)> = (0..c)
            .map(|ch| {
                let planes = planes[ch..].iter().step_by(c);
                planes.fold((0.0, 0.0), |acc, p| (acc.0 + p.0, acc.1 + p.1))
            })
            .collect();
        let dx = in_chunks(self.x.len(), area, |i, dx| {
            let (ch, plane) = (i % c, i * area..(i + 1) * area);
            let (mean_dy, mean_hat) = ((sums[ch].0 / count) as f32, (sums[ch].1 / count) as f32);
            let (mean, inverse) = (self.statistics.mean[ch], inverse[ch]);
            let scale = self.gamma[ch] * inverse;
            let (x, y, grad) = (&self.x[plane.clone()], &self.y[plane.clone()], &self.grad[plane]);
            vectorized(|| {
                for (((d, &x), &y), &g) in dx.iter_mut().zip(x).zip(y).zip(grad) {
                    *d = scale * (masked(g, y) - mean_dy - (x - mean) * inverse * mean_hat);
                }
            });
        });
        let affine = sums.iter().map(|s| s.1 as f32).chain(sums.iter().map(|s| s.0 as f32)).collect();
        (dx, affine)
    }
}

impl CustomOp3 for ConvNorm {
    fn name(&self) -> &'static str {
        "candor-conv-norm"
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
        let (x, weight, affine) = ((data(s1, l1)?, nchw(l1)?), (data(s2, l2)?, nchw(l2)?), data(s3, l3)?);
        let (before, shape) = match self.convolution {
            Convolution::Full(op) => op.forward(x.0, x.1, weight.0, weight.1, None, Activation::None)?,
            Convolution::Depthwise(op) => op.forward(x.0, x.1, weight.0, weight.1, None, Activation::None)?,
        };
        let (_, c, h, w) = shape.dims4()?;
        let area = h * w;
        if affine.len() != 2 * c || before.is_empty() {
            bail!("batch normalisation: the shapes do not fit");
        }
        let (gamma, beta) = affine.split_at(c);
        let statistics = BatchStatistics::of(&before, c, area);
        let out = in_chunks(before.len(), area, |i, out| {
            let (ch, x) = (i % c, &before[i * area..(i + 1) * area]);
            let scale = gamma[ch] / (statistics.var[ch] + self.epsilon).sqrt();
            let shift = beta[ch] - scale * statistics.mean[ch];
            vectorized(|| {
                out.iter_mut().zip(x).for_each(|(o, &v)| *o = scale * v + shift);
                self.activation.apply(out);
            });
        });
        let before = Tensor::from_vec(before, &shape, &Device::Cpu)?;
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some((before, statistics));
        Ok((CpuStorage::F32(out), shape))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        affine: &Tensor,
        res: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some((before, statistics)) = kept else { bail!("a gradient before the forward pass") };
        let (_, c, h, w) = before.dims4()?;
        let gamma = affine.get(0)?.to_vec1::<f32>()?;
        let (dy, daffine) = with_data(&before, |x| {
            with_data(res, |y| {
                with_data(grad, |grad| {
                    let epsilon = self.epsilon;
                    NormGradient { x, y, grad, area: h * w, statistics: &statistics, gamma: &gamma, epsilon }
                        .by(self.activation)
                })
            })
        })???;
        let dy = Tensor::from_vec(dy, before.shape(), x.device())?;
        let (dx, dw) = match self.convolution {
            Convolution::Full(op) => op.backward(x, weight, &dy)?,
            Convolution::Depthwise(op) => {
                let (dx, dw) = op.backward(x, weight, &dy)?;
                (Some(dx), dw)
            }
        };
        Ok((dx, Some(dw), Some(Tensor::from_vec(daffine, (2, c), x.device())?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::check;

    fn pointwise(activation: Activation) -> ConvNorm {
        ConvNorm::new(Convolution::Full(Conv2d::same(1, 1, Activation::None)), 1e-5, activation)
    }

    #[test]
    fn output_has_zero_mean_and_unit_variance() {
        // A mean far from zero, where the sum of squares alone would have lost the variance.
        let x = (check::var(&[4, 1, 5, 3], 1).as_tensor() + 3000.0).unwrap();
        let weight = Tensor::ones((1, 1, 1, 1), candle_core::DType::F32, &Device::Cpu).unwrap();
        let affine = Tensor::from_vec(vec![1f32, 0.0], (2, 1), &Device::Cpu).unwrap();
        let op = pointwise(Activation::None);
        let y = x.apply_op3(&weight, &affine, op.clone()).unwrap();
        let y = y.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let n = y.len() as f32;
        let mean = y.iter().sum::<f32>() / n;
        let var = y.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / n;
        assert!(mean.abs() < 1e-3 && (var - 1.0).abs() < 2e-3, "{mean} {var}");
        let statistics = op.statistics().unwrap();
        assert!((statistics.mean[0] - 3000.0).abs() < 1.0 && statistics.var[0] < 1.0);
    }

    #[test]
    fn gradients_agree_with_differences() {
        let depthwise = Depthwise2d { stride: 1, tensorflow: false, activation: Activation::None };
        for (convolution, weight) in [
            (Convolution::Full(Conv2d::same(3, 2, Activation::None)), [2, 2, 3, 3]),
            (Convolution::Depthwise(depthwise), [2, 1, 3, 3]),
        ] {
            let vars = [check::var(&[3, 2, 4, 3], 1), check::var(&weight, 2), check::var(&[2, 2], 3)];
            check::gradients(&vars, 1e-2, |v| {
                let op = ConvNorm::new(convolution, 1e-5, Activation::None);
                v[0].as_tensor().apply_op3(v[1].as_tensor(), v[2].as_tensor(), op)
            });
        }
    }

    #[test]
    fn activations_mask_the_gradient() {
        let (x, weight) = (check::var(&[2, 2, 3, 3], 1), check::var(&[2, 2, 1, 1], 2));
        for (activation, beta, open) in [
            (Activation::Relu, 10f32, true),
            (Activation::Relu, -10.0, false),
            (Activation::Relu6, 20.0, false),
        ] {
            let affine = Tensor::from_vec(vec![1f32, 1.0, beta, beta], (2, 2), &Device::Cpu).unwrap();
            let affine = candle_core::Var::from_tensor(&affine).unwrap();
            let y = x.apply_op3(weight.as_tensor(), affine.as_tensor(), pointwise(activation)).unwrap();
            let grads = y.sum_all().unwrap().backward().unwrap();
            let grad = grads.get(&affine).unwrap().to_vec2::<f32>().unwrap();
            assert_eq!(grad[1], [if open { 18.0 } else { 0.0 }; 2]);
        }
    }
}

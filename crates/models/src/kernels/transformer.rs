//! Dense layers, attention and normalisation of a transformer encoder, without gradients.

use candle_core::{CpuStorage, CustomOp1, CustomOp3, DType, Layout, Result, Shape, Tensor, bail};
use half::f16;

use super::{
    data,
    gemm::{Mat, matmul},
    packed::Packed,
    vectorized, with_data,
};

/// What follows a dense layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Curve {
    /// Nothing.
    None,
    /// GELU (Hendrycks and Gimpel 2016) with the error function.
    Gelu,
    /// Its approximation by a logistic function, from section 2 there.
    QuickGelu,
}

/// `x w' + b` of `x` `[n, i]` with `w` `[o, i]` and `b` `[o]` that stay the same, one thread.
#[derive(Debug, Clone)]
pub struct Dense {
    packed: Packed,
    curve: Curve,
}

impl Dense {
    /// Takes the weights as they are now; those in f16 are kept so.
    ///
    /// # Errors
    /// When the shapes do not fit each other.
    pub fn new(weight: &Tensor, bias: &Tensor, curve: Curve) -> Result<Self> {
        let (outputs, inputs) = weight.dims2()?;
        if bias.dims1()? != outputs || outputs * inputs == 0 {
            bail!("a dense layer of {inputs} to {outputs} with a bias of {:?}", bias.dims());
        }
        let packed = if weight.dtype() == DType::F16 {
            let weight = weight.flatten_all()?.to_vec1::<f16>()?;
            with_data(bias, |bias| Packed::half(&weight, bias))?
        } else {
            with_data(weight, |weight| with_data(bias, |bias| Packed::new(weight, bias)))??
        };
        Ok(Self { packed, curve })
    }
}

impl CustomOp1 for Dense {
    fn name(&self) -> &'static str {
        "candor-dense"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (n, inputs) = layout.shape().dims2()?;
        if inputs != self.packed.inputs {
            bail!("a dense layer of {} on {inputs} values", self.packed.inputs);
        }
        let mut out = self.packed.rows(data(x, layout)?);
        match self.curve {
            Curve::None => {}
            Curve::Gelu => vectorized(|| out.iter_mut().for_each(|v| *v = gelu(*v))),
            Curve::QuickGelu => vectorized(|| out.iter_mut().for_each(|v| *v = quick_gelu(*v))),
        }
        Ok((CpuStorage::F32(out), Shape::from((n, self.packed.outputs))))
    }
}

/// Attention of every row to every row (Vaswani et al. 2017, equation 1) of `[n, 3 * width]`: queries, keys and values side by side;
/// the result is `[n, width]`. One thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attention {
    /// Parts of the width that attend apart.
    pub heads: usize,
}

impl CustomOp1 for Attention {
    fn name(&self) -> &'static str {
        "candor-attention"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (n, wide) = layout.shape().dims2()?;
        let width = wide / 3;
        if n == 0 || wide % 3 != 0 || self.heads == 0 || width % self.heads != 0 || width == 0 {
            bail!("attention of {} heads on {n} rows of {wide}", self.heads);
        }
        let x = data(x, layout)?;
        let size = width / self.heads;
        let scale = 1.0 / (size as f32).sqrt();
        let part = |start: usize| Mat::strided(&x[start..], n, size, wide);
        let mut out = vec![0.0; n * width];
        let mut scores = vec![0.0; n * n];
        for head in 0..self.heads {
            let (q, k, v) = (part(head * size), part(width + head * size), part(2 * width + head * size));
            matmul(&mut scores, n, q, k.t(), false);
            vectorized(|| scores.chunks_exact_mut(n).for_each(|row| softmax(row, scale)));
            matmul(&mut out[head * size..], width, Mat::rows(&scores, n, n), v, false);
        }
        Ok((CpuStorage::F32(out), Shape::from((n, width))))
    }
}

/// Layer normalisation (Ba, Kiros and Hinton 2016) of each row of `[n, width]`, then times `[width]` plus `[width]`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LayerNorm {
    /// Added to the variance.
    pub epsilon: f32,
}

impl CustomOp3 for LayerNorm {
    fn name(&self) -> &'static str {
        "candor-layer-norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        gain: &CpuStorage,
        gain_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (n, width) = x_layout.shape().dims2()?;
        let (x, gain, bias) = (data(x, x_layout)?, data(gain, gain_layout)?, data(bias, bias_layout)?);
        if gain.len() != width || bias.len() != width || width == 0 {
            bail!("normalisation of rows of {width} by {} values", gain.len());
        }
        let mut out = x.to_vec();
        vectorized(|| {
            for row in out.chunks_exact_mut(width) {
                let mean = sum(row) / width as f32;
                for v in row.iter_mut() {
                    *v -= mean;
                }
                let scale = 1.0 / (sum_of_squares(row) / width as f32 + self.epsilon).sqrt();
                for ((v, g), b) in row.iter_mut().zip(gain).zip(bias) {
                    *v = *v * scale * g + b;
                }
            }
        });
        Ok((CpuStorage::F32(out), Shape::from((n, width))))
    }
}

/// Sums run side by side, so that they fit vectors; their order is always the same.
const LANES: usize = 16;

#[inline(always)]
fn over_lanes(row: &[f32], start: f32, f: impl Fn(f32, f32) -> f32, join: impl Fn(f32, f32) -> f32) -> f32 {
    let mut lanes = [start; LANES];
    let (blocks, rest) = row.as_chunks::<LANES>();
    for block in blocks {
        for (lane, &v) in lanes.iter_mut().zip(block) {
            *lane = f(*lane, v);
        }
    }
    for (lane, &v) in lanes.iter_mut().zip(rest) {
        *lane = f(*lane, v);
    }
    lanes.into_iter().fold(start, join)
}

#[inline(always)]
fn sum(row: &[f32]) -> f32 {
    over_lanes(row, 0.0, |a, v| a + v, |a, b| a + b)
}

#[inline(always)]
fn sum_of_squares(row: &[f32]) -> f32 {
    over_lanes(row, 0.0, |a, v| a + v * v, |a, b| a + b)
}

/// Exponentials of `scale` times the values, scaled to add up to 1.
#[inline(always)]
fn softmax(row: &mut [f32], scale: f32) {
    let largest = over_lanes(row, f32::NEG_INFINITY, larger, larger);
    for v in row.iter_mut() {
        *v = exp((*v - largest) * scale);
    }
    let unit = 1.0 / sum(row);
    for v in row.iter_mut() {
        *v *= unit;
    }
}

/// `f32::max` minds NaN, which costs.
#[inline(always)]
fn larger(a: f32, b: f32) -> f32 {
    if b > a { b } else { a }
}

/// `x` times the share of a normal distribution below `x`; the error function is off by at most 1.5e-7 (Abramowitz and Stegun 1964,
/// 7.1.26).
#[inline(always)]
fn gelu(x: f32) -> f32 {
    let z = x.abs() * std::f32::consts::FRAC_1_SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * z);
    let series =
        ((((1.061_405_4 * t - 1.453_152) * t + 1.421_413_8) * t - 0.284_496_74) * t + 0.254_829_6) * t;
    let beyond = 0.5 * series * exp(-z * z);
    x * if x > 0.0 { 1.0 - beyond } else { beyond }
}

/// `x` times the logistic function of 1.702 `x`.
#[inline(always)]
fn quick_gelu(x: f32) -> f32 {
    x / (1.0 + exp(-1.702 * x))
}

/// The exponential function within 2e-7 of its value, in steps that vectorise: the whole number of powers of two goes into the exponent,
/// the rest through the Taylor series. Below -87 it is that of -87, above 88 that of 88.
#[inline(always)]
fn exp(x: f32) -> f32 {
    /// Added and taken away it rounds, and leaves the whole number in the lowest bits in between.
    const ROUND: f32 = 12_582_912.0;
    /// ln 2 in two parts, the first with so few bits that its multiples are exact.
    const LN2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];
    let x = if x > -87.0 { x } else { -87.0 };
    let x = if x < 88.0 { x } else { 88.0 };
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = x - n * LN2[0] - n * LN2[1];
    let series = 1.0
        + r * (1.0 + r * (0.5 + r * (1.0 / 6.0 + r * (1.0 / 24.0 + r * (1.0 / 120.0 + r * (1.0 / 720.0))))));
    let exponent = shifted.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127) << 23;
    series * f32::from_bits(exponent)
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor};

    use super::*;
    use crate::kernels::check::values;

    fn tensor(shape: &[usize], seed: u64) -> Tensor {
        Tensor::from_vec(values(shape.iter().product(), seed), shape, &Device::Cpu).unwrap()
    }

    fn assert_close(a: &Tensor, b: &Tensor) {
        let off = (a - b).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
        assert!(off < 2e-6, "{off}");
    }

    #[test]
    fn exponentials_are_those_of_the_standard_library() {
        for i in -8600..8700 {
            let x = i as f32 * 0.01;
            let (found, expected) = (f64::from(exp(x)), f64::from(x).exp());
            assert!((found / expected - 1.0).abs() < 3e-7, "exp({x}) is {found}, not {expected}");
        }
        assert!(exp(f32::NEG_INFINITY) < 2e-38 && exp(f32::MAX).is_finite());
    }

    #[test]
    fn a_dense_layer_and_its_curves_are_those_of_candle() {
        let (x, w, b) = (tensor(&[7, 24], 1), tensor(&[10, 24], 2), tensor(&[10], 3));
        let plain = x.matmul(&w.t().unwrap()).unwrap().broadcast_add(&b).unwrap();
        let dense = |curve| Dense::new(&w, &b, curve).unwrap();
        let found = |curve| x.apply_op1_no_bwd(&dense(curve)).unwrap();
        assert_close(&found(Curve::None), &plain);
        assert_close(&found(Curve::Gelu), &plain.gelu_erf().unwrap());
        let logistic = candle_nn::ops::sigmoid(&(&plain * 1.702).unwrap()).unwrap();
        assert_close(&found(Curve::QuickGelu), &(&plain * logistic).unwrap());
        assert!(w.t().unwrap().contiguous().unwrap().apply_op1_no_bwd(&dense(Curve::None)).is_err());
        assert!(Dense::new(&w.t().unwrap(), &b, Curve::None).is_err());
        let half = w.to_dtype(DType::F16).unwrap();
        let dense = |w: &Tensor| x.apply_op1_no_bwd(&Dense::new(w, &b, Curve::None).unwrap()).unwrap();
        assert_close(&dense(&half), &dense(&half.to_dtype(DType::F32).unwrap()));
    }

    #[test]
    fn attention_is_the_published_formula() {
        let (n, heads, size) = (5, 3, 8);
        let x = tensor(&[n, 3 * heads * size], 4);
        let found = x.apply_op1_no_bwd(&Attention { heads }).unwrap();
        let part = |i: usize| {
            let part = x.narrow(1, i * heads * size, heads * size).unwrap();
            part.reshape((n, heads, size)).unwrap().transpose(0, 1).unwrap().contiguous().unwrap()
        };
        let scores = (part(0).matmul(&part(1).transpose(1, 2).unwrap().contiguous().unwrap()).unwrap()
            / (size as f64).sqrt())
        .unwrap();
        let weights = candle_nn::ops::softmax(&scores, 2).unwrap();
        let expected = weights.matmul(&part(2)).unwrap().transpose(0, 1).unwrap().contiguous().unwrap();
        assert_close(&found, &expected.reshape((n, heads * size)).unwrap());
        assert!(x.apply_op1_no_bwd(&Attention { heads: 5 }).is_err());
    }

    #[test]
    fn rows_are_normalised_as_candle_does() {
        let (x, gain, bias) = (tensor(&[4, 40], 5), tensor(&[40], 6), tensor(&[40], 7));
        let found = x.apply_op3_no_bwd(&gain, &bias, &LayerNorm { epsilon: 1e-5 }).unwrap();
        assert_close(&found, &candle_nn::ops::layer_norm_slow(&x, &gain, &bias, 1e-5).unwrap());
    }
}

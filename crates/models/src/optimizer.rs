//! `AdamW` with a running average of the weights; its whole state can be written and read back.

use std::collections::BTreeMap;

use candle_core::{Tensor, Var, backprop::GradStore};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Settings of [`AdamW`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OptimizerConfig {
    /// Highest learning rate, reached after the warm-up and lowered to zero along half a cosine.
    pub learning_rate: f64,
    /// Steps of linear warm-up.
    pub warmup: u64,
    /// Decoupled weight decay (Loshchilov and Hutter 2019), on weights of two and more dimensions and on n-gram
    /// weights, never on biases and normalisation.
    pub weight_decay: f64,
    /// Largest global norm of a gradient; a larger one is scaled down.
    pub clip: f64,
    /// Decay of the running average of the weights, for instance 0.998.
    pub ema: f64,
}

impl OptimizerConfig {
    /// Learning rate of step `step` (from 0) of `steps`.
    pub fn rate(&self, step: u64, steps: u64) -> f64 {
        if step < self.warmup {
            return self.learning_rate * (step + 1) as f64 / self.warmup as f64;
        }
        let t = (step - self.warmup) as f64 / (steps.saturating_sub(self.warmup)).max(1) as f64;
        self.learning_rate * 0.5 * (1.0 + (std::f64::consts::PI * t.min(1.0)).cos())
    }
}

/// Moments and running average of one variable.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Slot {
    pub(crate) first: Vec<f32>,
    pub(crate) second: Vec<f32>,
    pub(crate) average: Vec<f32>,
}

/// `AdamW` (Kingma and Ba 2015; Loshchilov and Hutter 2019).
#[derive(Debug, Clone)]
pub(crate) struct AdamW {
    config: OptimizerConfig,
    /// Steps made.
    pub(crate) step: u64,
    /// State by name.
    pub(crate) slots: BTreeMap<String, Slot>,
}

const BETA1: f64 = 0.9;
const BETA2: f64 = 0.999;
const EPSILON: f64 = 1e-8;

impl AdamW {
    pub(crate) fn new(config: OptimizerConfig) -> Self {
        Self { config, step: 0, slots: BTreeMap::new() }
    }

    /// One step on the trainable variables; returns the gradient's global norm.
    ///
    /// # Errors
    /// When a variable gets no gradient (a layer without a backward pass) or the norm is not finite.
    pub(crate) fn apply(
        &mut self,
        vars: &BTreeMap<String, Var>,
        grads: &GradStore,
        steps: u64,
    ) -> Result<f64> {
        let mut values = Vec::with_capacity(vars.len());
        for (name, var) in vars {
            let grad = grads.get(var).ok_or_else(|| Error::model(name, "gets no gradient"))?;
            let grad = grad.flatten_all()?.to_vec1::<f32>()?;
            values.push((name, var, grad));
        }
        let norm = values.iter().flat_map(|v| &v.2).map(|&g| f64::from(g).powi(2)).sum::<f64>().sqrt();
        if !norm.is_finite() {
            return Err(Error::NotFinite("the gradient".into()));
        }
        let scale = if norm > self.config.clip { self.config.clip / norm } else { 1.0 } as f32;
        let rate = self.config.rate(self.step, steps);
        self.step += 1;
        let t = self.step as i32;
        let (c1, c2) = (1.0 - BETA1.powi(t), 1.0 - BETA2.powi(t));
        // The average starts as a plain mean, else the first steps would weigh on it for long.
        let ema = self.config.ema.min((self.step as f64) / (self.step as f64 + 9.0)) as f32;
        for (name, var, grad) in values {
            let mut theta = var.flatten_all()?.to_vec1::<f32>()?;
            let slot = self.slots.entry(name.clone()).or_insert_with(|| Slot {
                first: vec![0.0; theta.len()],
                second: vec![0.0; theta.len()],
                average: theta.clone(),
            });
            let decays = var.rank() >= 2 || name.starts_with("grams.weight");
            let shrink = (1.0 - rate * if decays { self.config.weight_decay } else { 0.0 }) as f32;
            let (b1, b2) = (BETA1 as f32, BETA2 as f32);
            let (rate, eps) = ((rate / c1) as f32, EPSILON as f32);
            let c2 = c2 as f32;
            let chunk = 16_384;
            theta
                .par_chunks_mut(chunk)
                .zip(grad.par_chunks(chunk))
                .zip(slot.first.par_chunks_mut(chunk))
                .zip(slot.second.par_chunks_mut(chunk))
                .zip(slot.average.par_chunks_mut(chunk))
                .for_each(|((((theta, grad), m), v), avg)| {
                    for i in 0..theta.len() {
                        let g = grad[i] * scale;
                        m[i] = b1 * m[i] + (1.0 - b1) * g;
                        v[i] = b2 * v[i] + (1.0 - b2) * g * g;
                        theta[i] = theta[i] * shrink - rate * m[i] / ((v[i] / c2).sqrt() + eps);
                        avg[i] = ema * avg[i] + (1.0 - ema) * theta[i];
                    }
                });
            var.set(&Tensor::from_vec(theta, var.shape(), var.device())?)?;
        }
        Ok(norm)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    fn config() -> OptimizerConfig {
        OptimizerConfig { learning_rate: 0.1, warmup: 2, weight_decay: 0.0, clip: 1e9, ema: 0.9 }
    }

    #[test]
    fn finds_the_minimum_of_a_parabola() {
        let x = Var::from_tensor(&Tensor::from_vec(vec![5f32, -3.0], 2, &Device::Cpu).unwrap()).unwrap();
        let vars = BTreeMap::from([("x".to_owned(), x.clone())]);
        let mut opt = AdamW::new(config());
        for _ in 0..400 {
            let loss = (x.as_tensor() - 1.0).unwrap().sqr().unwrap().sum_all().unwrap();
            opt.apply(&vars, &loss.backward().unwrap(), 400).unwrap();
        }
        for v in x.to_vec1::<f32>().unwrap() {
            assert!((v - 1.0).abs() < 1e-2, "{v}");
        }
        for v in &opt.slots["x"].average {
            assert!((v - 1.0).abs() < 1e-2, "{v}");
        }
    }

    #[test]
    fn a_variable_without_gradient_is_an_error() {
        let x = Var::from_tensor(&Tensor::ones(2, candle_core::DType::F32, &Device::Cpu).unwrap()).unwrap();
        let y = Var::from_tensor(&Tensor::ones(2, candle_core::DType::F32, &Device::Cpu).unwrap()).unwrap();
        let vars = BTreeMap::from([("x".to_owned(), x.clone()), ("y".to_owned(), y)]);
        let grads = x.sum_all().unwrap().backward().unwrap();
        let err = AdamW::new(config()).apply(&vars, &grads, 1).unwrap_err();
        assert!(err.to_string().contains('y'));
    }

    #[test]
    fn the_rate_rises_and_falls() {
        let c = config();
        assert_eq!(c.rate(0, 10), 0.05);
        assert_eq!(c.rate(2, 10), 0.1);
        assert!(c.rate(6, 10) < 0.06 && c.rate(10, 10) < 1e-12);
    }
}

//! 1x1 convolution for networks that are not trained.

use std::cell::RefCell;

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, bail};
use pulp::{Arch, Simd, WithSimd};

use super::{conv::Activation, data, in_chunks, nchw};

/// Outputs that are worked on together.
const OUTPUTS: usize = 8;

thread_local! {
    static PANEL: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// 1x1 convolution of `[n, c, h, w]` with `[o, c, 1, 1]`, a bias `[o]` and an activation, without gradients.
///
/// A general product copies both operands and leaves its sums in memory, where bias and activation fetch them again; here some
/// places of all channels are copied once, and sums stay in registers until they are done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pointwise {
    /// Applied to the output.
    pub activation: Activation,
}

impl CustomOp3 for Pointwise {
    fn name(&self) -> &'static str {
        "candor-pointwise"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let [n, c, h, w] = nchw(x_layout)?;
        let [o, inputs, 1, 1] = nchw(weight_layout)? else { bail!("a pointwise kernel has one place") };
        let (x, weight, bias) = (data(x, x_layout)?, data(weight, weight_layout)?, data(bias, bias_layout)?);
        let area = h * w;
        if inputs != c || bias.len() != o || o * c * area == 0 {
            bail!("pointwise convolution of {c} planes of {area} places with {o} by {inputs} weights");
        }
        // For each eight outputs, input by input what they weigh it with; outputs that are missing in the last eight weigh nothing.
        let mut weights = vec![[0.0; OUTPUTS]; o.div_ceil(OUTPUTS) * c];
        for (block, rows) in weights.chunks_exact_mut(c).zip(weight.chunks(OUTPUTS * c)) {
            for (i, row) in rows.chunks_exact(c).enumerate() {
                block.iter_mut().zip(row).for_each(|(cells, &w)| cells[i] = w);
            }
        }
        let out = in_chunks(n * o * area, o * area, |i, out| {
            let x = &x[i * c * area..(i + 1) * c * area];
            let (weights, activation) = (weights.as_slice(), self.activation);
            Arch::new().dispatch(Product { weights, bias, x, area, out, activation });
        });
        Ok((CpuStorage::F32(out), Shape::from((n, o, h, w))))
    }
}

/// `out = activation(weight x + bias)` of `[o, c]` and `[c, area]`.
struct Product<'a> {
    weights: &'a [[f32; OUTPUTS]],
    bias: &'a [f32],
    x: &'a [f32],
    area: usize,
    out: &'a mut [f32],
    activation: Activation,
}

impl WithSimd for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        // Vectors of places at a time: as many sums as fit the registers.
        match S::F32_LANES {
            16 => self.panels::<S, 3>(simd),
            _ => self.panels::<S, 1>(simd),
        }
    }
}

impl Product<'_> {
    #[inline(always)]
    fn panels<S: Simd, const VECTORS: usize>(mut self, simd: S) {
        // Taken out, since what a closure of the standard library calls is not compiled for this processor.
        let mut panel = PANEL.take();
        for start in (0..self.area).step_by(VECTORS * S::F32_LANES) {
            match (self.area - start).div_ceil(S::F32_LANES).min(VECTORS) {
                1 => self.panel::<S, 1>(simd, start, &mut panel),
                2 => self.panel::<S, 2>(simd, start, &mut panel),
                _ => self.panel::<S, 3>(simd, start, &mut panel),
            }
        }
        PANEL.set(panel);
    }

    /// `V` vectors of places from `start`, all outputs.
    #[inline(always)]
    fn panel<S: Simd, const V: usize>(&mut self, simd: S, start: usize, panel: &mut Vec<f32>) {
        let inputs = self.x.len() / self.area;
        let width = V * S::F32_LANES;
        let places = width.min(self.area - start);
        panel.resize(inputs * width, 0.0);
        for (line, plane) in panel.chunks_exact_mut(width).zip(self.x.chunks_exact(self.area)) {
            let (within, beyond) = line.split_at_mut(places);
            within.copy_from_slice(&plane[start..start + places]);
            beyond.fill(0.0);
        }
        let panel = S::as_simd_f32s(panel).0.as_chunks::<V>().0;
        let blocks = self.weights.chunks_exact(inputs).zip(self.bias.chunks(OUTPUTS));
        for ((weights, bias), out) in blocks.zip(self.out.chunks_mut(OUTPUTS * self.area)) {
            let mut sums = [[simd.splat_f32s(0.0); V]; OUTPUTS];
            sums.iter_mut().zip(bias).for_each(|(sums, &bias)| *sums = [simd.splat_f32s(bias); V]);
            for (x, weights) in panel.iter().zip(weights) {
                for (sums, &weight) in sums.iter_mut().zip(weights) {
                    let weight = simd.splat_f32s(weight);
                    for (sum, &x) in sums.iter_mut().zip(x) {
                        *sum = simd.mul_add_e_f32s(weight, x, *sum);
                    }
                }
            }
            for (plane, sums) in out.chunks_exact_mut(self.area).zip(&sums) {
                let plane = &mut plane[start..start + places];
                let (vectors, rest) = S::as_mut_simd_f32s(plane);
                vectors.iter_mut().zip(sums).for_each(|(cells, &sum)| *cells = sum);
                if let Some(&sum) = sums.get(vectors.len()) {
                    simd.partial_store_f32s(rest, sum);
                }
                self.activation.apply(plane);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor};

    use super::*;
    use crate::kernels::{Conv2d, check::values};

    #[test]
    fn agrees_with_the_general_convolution() {
        for (n, c, o, h, w) in [(1, 1, 1, 1, 1), (2, 3, 8, 7, 7), (1, 20, 13, 14, 14), (3, 40, 24, 5, 9)] {
            let tensor = |shape: &[usize], seed| {
                Tensor::from_vec(values(shape.iter().product(), seed), shape, &Device::Cpu).unwrap()
            };
            let (x, weight, bias) = (tensor(&[n, c, h, w], 1), tensor(&[o, c, 1, 1], 2), tensor(&[o], 3));
            for activation in [Activation::None, Activation::Relu6] {
                let ours = x.apply_op3_no_bwd(&weight, &bias, &Pointwise { activation }).unwrap();
                let theirs = x.apply_op3(&weight, &bias, Conv2d::same(1, 1, activation)).unwrap();
                assert_eq!(ours.dims(), theirs.dims());
                let off = (ours - theirs).unwrap().abs().unwrap().max_all().unwrap();
                assert!(off.to_scalar::<f32>().unwrap() < 2e-6, "{c} to {o} of {h} by {w}");
            }
            assert!(x.apply_op3_no_bwd(&bias, &bias, &Pointwise { activation: Activation::None }).is_err());
        }
    }
}

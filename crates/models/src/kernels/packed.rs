//! The product of rows with a matrix that stays the same, laid out once as the processor reads it.

use std::borrow::Cow;

use half::{f16, slice::HalfFloatSliceExt};
use pulp::{Arch, Simd, WithSimd};

/// Columns of a panel: three vectors of AVX-512, six of AVX2.
const PANEL: usize = 48;

/// A matrix `[outputs, inputs]` and a bias, in panels of 48 outputs: for each input the weights of all outputs of the panel lie side
/// by side.
///
/// A general product turns both operands round and copies them each time, which for few rows costs as much as the product itself.
#[derive(Debug, Clone)]
pub(super) struct Packed {
    pub(super) inputs: usize,
    pub(super) outputs: usize,
    /// `[panels, inputs, 48]`, zeros beyond the last output.
    panels: Panels,
    /// `[panels, 48]`.
    bias: Vec<f32>,
}

/// Weights as they are kept; those in half precision are widened panel by panel as they are used.
#[derive(Debug, Clone)]
enum Panels {
    Single(Vec<f32>),
    Half(Vec<f16>),
}

impl Panels {
    /// Panel number `i` of `len` values.
    fn get(&self, i: usize, len: usize) -> Cow<'_, [f32]> {
        match self {
            Self::Single(panels) => Cow::Borrowed(&panels[i * len..][..len]),
            Self::Half(panels) => Cow::Owned(panels[i * len..][..len].to_f32_vec()),
        }
    }
}

impl Packed {
    /// From `[outputs, inputs]`, row by row, and `[outputs]`.
    pub(super) fn new(weight: &[f32], bias: &[f32]) -> Self {
        Self::from_panels(weight, bias, 0.0, Panels::Single)
    }

    /// The same from weights in half precision, which are kept so; sums run in single precision.
    pub(super) fn half(weight: &[f16], bias: &[f32]) -> Self {
        Self::from_panels(weight, bias, f16::ZERO, Panels::Half)
    }

    fn from_panels<T: Copy>(weight: &[T], bias: &[f32], zero: T, keep: impl Fn(Vec<T>) -> Panels) -> Self {
        let outputs = bias.len();
        let inputs = weight.len().checked_div(outputs).unwrap_or_default();
        let count = outputs.div_ceil(PANEL);
        let mut panels = vec![zero; count * inputs * PANEL];
        for (panel, rows) in
            panels.chunks_exact_mut((inputs * PANEL).max(1)).zip(weight.chunks((inputs * PANEL).max(1)))
        {
            for (column, row) in rows.chunks_exact(inputs.max(1)).enumerate() {
                for (cell, &w) in panel.iter_mut().skip(column).step_by(PANEL).zip(row) {
                    *cell = w;
                }
            }
        }
        let mut padded = bias.to_vec();
        padded.resize(count * PANEL, 0.0);
        Self { inputs, outputs, panels: keep(panels), bias: padded }
    }

    /// `x w' + b` for rows `[n, inputs]`, on the calling thread; every sum runs over the inputs in their order and is fused with its
    /// product where the processor can.
    pub(super) fn rows(&self, x: &[f32]) -> Vec<f32> {
        let n = x.len().checked_div(self.inputs).unwrap_or_default();
        let mut out = vec![0.0; n * self.outputs];
        if !out.is_empty() {
            Arch::new().dispatch(Rows { packed: self, x, out: &mut out });
        }
        out
    }
}

struct Rows<'a> {
    packed: &'a Packed,
    x: &'a [f32],
    out: &'a mut [f32],
}

impl WithSimd for Rows<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        // Vectors side by side, and rows at a time: as many sums as fit the registers.
        match S::F32_LANES {
            16 => self.strips::<S, 3, 8>(simd),
            8 => self.strips::<S, 6, 2>(simd),
            4 => self.strips::<S, 12, 1>(simd),
            _ => self.strips::<S, PANEL, 1>(simd),
        }
    }
}

impl Rows<'_> {
    #[inline(always)]
    fn strips<S: Simd, const VECTORS: usize, const ROWS: usize>(self, simd: S) {
        let Self { packed, x, out } = self;
        let (inputs, outputs) = (packed.inputs, packed.outputs);
        let n = x.len() / inputs;
        // Rows that are worked on together, value by value; rows that are missing at the end are zeros.
        let mut strips = vec![0.0; n.div_ceil(ROWS) * ROWS * inputs];
        for (strip, rows) in strips.chunks_exact_mut(ROWS * inputs).zip(x.chunks(ROWS * inputs)) {
            for (r, row) in rows.chunks_exact(inputs).enumerate() {
                for (cell, &v) in strip.iter_mut().skip(r).step_by(ROWS).zip(row) {
                    *cell = v;
                }
            }
        }
        for (p, bias) in packed.bias.chunks_exact(PANEL).enumerate() {
            let panel = packed.panels.get(p, inputs * PANEL);
            let panel = S::as_simd_f32s(&panel).0.as_chunks::<VECTORS>().0;
            let Some(bias) = S::as_simd_f32s(bias).0.first_chunk::<VECTORS>() else { return };
            let width = PANEL.min(outputs - p * PANEL);
            for (strip, rows) in strips.chunks_exact(ROWS * inputs).zip(out.chunks_mut(ROWS * outputs)) {
                let mut sums = [*bias; ROWS];
                for (w, x) in panel.iter().zip(strip.as_chunks::<ROWS>().0) {
                    for (sums, &x) in sums.iter_mut().zip(x) {
                        let x = simd.splat_f32s(x);
                        for (sum, &w) in sums.iter_mut().zip(w) {
                            *sum = simd.mul_add_e_f32s(w, x, *sum);
                        }
                    }
                }
                for (row, sums) in rows.chunks_exact_mut(outputs).zip(&sums) {
                    let mut cells = [0.0; PANEL];
                    for (cells, &sum) in S::as_mut_simd_f32s(&mut cells).0.iter_mut().zip(sums) {
                        *cells = sum;
                    }
                    row[p * PANEL..][..width].copy_from_slice(&cells[..width]);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::check::values;

    #[test]
    fn rows_times_a_matrix_as_by_the_definition() {
        for (n, inputs, outputs) in [(1, 1, 1), (8, 64, 48), (13, 37, 50), (128, 20, 96), (3, 5, 147)] {
            let (x, w, b) = (values(n * inputs, 1), values(outputs * inputs, 2), values(outputs, 3));
            let out = Packed::new(&w, &b).rows(&x);
            assert_eq!(out.len(), n * outputs);
            for i in 0..n {
                for j in 0..outputs {
                    let dot: f64 = (0..inputs)
                        .map(|k| f64::from(x[i * inputs + k]) * f64::from(w[j * inputs + k]))
                        .sum();
                    assert!((f64::from(out[i * outputs + j] - b[j]) - dot).abs() < 1e-4, "{i} {j}");
                }
            }
        }
        assert!(Packed::new(&[], &[]).rows(&[]).is_empty());
    }

    #[test]
    fn weights_in_half_precision_count_as_the_same_in_single_precision() {
        let (x, b) = (values(5 * 20, 1), values(50, 3));
        let half: Vec<f16> = values(50 * 20, 2).into_iter().map(f16::from_f32).collect();
        let single: Vec<f32> = half.iter().map(|w| w.to_f32()).collect();
        assert_eq!(Packed::half(&half, &b).rows(&x), Packed::new(&single, &b).rows(&x));
    }
}

//! A linear layer over sparse rows.

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};

use super::{data, with_data};

/// Sparse rows in compressed form: row `r` has the entries `offsets[r]..offsets[r + 1]`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SparseRows {
    /// Start of each row, and the end of the last; `rows + 1` numbers.
    pub offsets: Vec<usize>,
    /// Column of each entry.
    pub index: Vec<u32>,
    /// Value of each entry.
    pub value: Vec<f32>,
}

impl SparseRows {
    /// Rows from `(columns, values)` pairs.
    pub fn from_rows<'a>(rows: impl IntoIterator<Item = (&'a [u32], &'a [f32])>) -> Self {
        let mut out = Self { offsets: vec![0], ..Self::default() };
        for (index, value) in rows {
            out.index.extend_from_slice(index);
            out.value.extend_from_slice(value);
            out.offsets.push(out.index.len());
        }
        out
    }

    fn rows(&self) -> impl Iterator<Item = (&[u32], &[f32])> {
        self.offsets.windows(2).map(|w| (&self.index[w[0]..w[1]], &self.value[w[0]..w[1]]))
    }
}

/// `y[r] = sum_i value[i] * weight[index[i]]` over the entries of row `r`; the argument is the weight vector, so the
/// gradient is dense and a step costs the entries of its batch only.
#[derive(Debug, Clone)]
pub struct SparseLinear {
    /// The rows.
    pub rows: Arc<SparseRows>,
}

impl CustomOp1 for SparseLinear {
    fn name(&self) -> &'static str {
        "candor-sparse-linear"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let w = data(storage, layout)?;
        if self.rows.index.iter().any(|&i| i as usize >= w.len()) {
            bail!("a column is outside the {} weights", w.len());
        }
        let y: Vec<f32> = self
            .rows
            .rows()
            .map(|(index, value)| index.iter().zip(value).map(|(&i, &v)| v * w[i as usize]).sum())
            .collect();
        let n = y.len();
        Ok((CpuStorage::F32(y), Shape::from(n)))
    }

    fn bwd(&self, arg: &Tensor, _res: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let mut dw = vec![0f32; arg.elem_count()];
        with_data(grad, |dy| {
            for ((index, value), &g) in self.rows.rows().zip(dy) {
                for (&i, &v) in index.iter().zip(value) {
                    dw[i as usize] += g * v;
                }
            }
        })?;
        Ok(Some(Tensor::from_vec(dw, arg.shape(), arg.device())?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::check;

    #[test]
    fn gradients_agree_with_differences() {
        let rows: [(&[u32], &[f32]); 3] =
            [(&[0, 2], &[1.0, -0.5]), (&[], &[]), (&[4, 2, 4], &[0.3, 2.0, 1.0])];
        let rows = Arc::new(SparseRows::from_rows(rows));
        check::gradients(&[check::var(&[5], 1)], 1e-3, |v| {
            v[0].as_tensor().apply_op1(SparseLinear { rows: Arc::clone(&rows) })
        });
    }

    #[test]
    fn refuses_a_column_outside_the_weights() {
        let rows = Arc::new(SparseRows::from_rows([(&[5u32][..], &[1.0f32][..])]));
        assert!(check::var(&[5], 1).as_tensor().apply_op1(SparseLinear { rows }).is_err());
    }
}

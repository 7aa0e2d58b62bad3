//! Max pooling and max-feature-map, with gradients that go to one winner only.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use super::{data, nchw, with_data};

/// 2x2 max pooling with stride 2 of `[n, c, h, w]`; an odd last row or column is left out. On a tie the first element
/// wins the whole gradient; NaN wins always.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MaxPool2;

/// Index (0..4, row by row) of the winner.
fn winner(v: [f32; 4]) -> usize {
    let mut best = 0;
    for i in 1..4 {
        if v[i] > v[best] || (v[i].is_nan() && !v[best].is_nan()) {
            best = i;
        }
    }
    best
}

fn window(plane: &[f32], w: usize, y: usize, x: usize) -> [f32; 4] {
    let at = 2 * y * w + 2 * x;
    [plane[at], plane[at + 1], plane[at + w], plane[at + w + 1]]
}

impl CustomOp1 for MaxPool2 {
    fn name(&self) -> &'static str {
        "candor-max-pool2"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let [n, c, h, w] = nchw(layout)?;
        let (oh, ow) = (h / 2, w / 2);
        if oh * ow == 0 {
            bail!("max pooling of {h}x{w}");
        }
        let x = data(storage, layout)?;
        let mut out = vec![0f32; n * c * oh * ow];
        out.par_chunks_mut(oh * ow).zip(x.par_chunks(h * w)).for_each(|(out, x)| {
            for (i, o) in out.iter_mut().enumerate() {
                let v = window(x, w, i / ow, i % ow);
                *o = v[winner(v)];
            }
        });
        Ok((CpuStorage::F32(out), Shape::from((n, c, oh, ow))))
    }

    fn bwd(&self, arg: &Tensor, _res: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let (_, _, h, w) = arg.dims4()?;
        let (oh, ow) = (h / 2, w / 2);
        let mut dx = vec![0f32; arg.elem_count()];
        with_data(arg, |x| {
            with_data(grad, |dy| {
                dx.par_chunks_mut(h * w).zip(x.par_chunks(h * w)).zip(dy.par_chunks(oh * ow)).for_each(
                    |((dx, x), dy)| {
                        for (i, &g) in dy.iter().enumerate() {
                            let (y, xx) = (i / ow, i % ow);
                            let at = winner(window(x, w, y, xx));
                            dx[(2 * y + at / 2) * w + 2 * xx + at % 2] = g;
                        }
                    },
                );
            })
        })??;
        Ok(Some(Tensor::from_vec(dx, arg.shape(), arg.device())?))
    }
}

/// Max-feature-map (Wu et al. 2018): the larger of channel `i` and channel `i + c / 2` of `[n, c, h, w]`, `c` even. On a
/// tie the first half wins the gradient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MaxHalves;

fn second_wins(a: f32, b: f32) -> bool {
    b > a || (b.is_nan() && !a.is_nan())
}

impl CustomOp1 for MaxHalves {
    fn name(&self) -> &'static str {
        "candor-max-halves"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let [n, c, h, w] = nchw(layout)?;
        if c % 2 != 0 || c == 0 {
            bail!("max-feature-map of {c} channels");
        }
        let half = c / 2 * h * w;
        let x = data(storage, layout)?;
        let mut out = vec![0f32; n * half];
        out.par_chunks_mut(half).zip(x.par_chunks(2 * half)).for_each(|(out, x)| {
            let (a, b) = x.split_at(half);
            for ((o, &a), &b) in out.iter_mut().zip(a).zip(b) {
                *o = if second_wins(a, b) { b } else { a };
            }
        });
        Ok((CpuStorage::F32(out), Shape::from((n, c / 2, h, w))))
    }

    fn bwd(&self, arg: &Tensor, _res: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let (_, c, h, w) = arg.dims4()?;
        let half = c / 2 * h * w;
        let mut dx = vec![0f32; arg.elem_count()];
        with_data(arg, |x| {
            with_data(grad, |dy| {
                dx.par_chunks_mut(2 * half).zip(x.par_chunks(2 * half)).zip(dy.par_chunks(half)).for_each(
                    |((dx, x), dy)| {
                        let (a, b) = x.split_at(half);
                        let (da, db) = dx.split_at_mut(half);
                        for (i, &g) in dy.iter().enumerate() {
                            if second_wins(a[i], b[i]) { db[i] = g } else { da[i] = g }
                        }
                    },
                );
            })
        })??;
        Ok(Some(Tensor::from_vec(dx, arg.shape(), arg.device())?))
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor, Var};

    use super::*;
    use crate::kernels::check;

    #[test]
    fn gradients_agree_with_differences() {
        // Spread values, so that a step of the difference never changes the winner.
        let n = 2 * 4 * 5 * 6;
        let x: Vec<f32> = (0..n).map(|i| ((i * 37) % n) as f32 * 0.1).collect();
        let x = Var::from_tensor(&Tensor::from_vec(x, (2, 4, 5, 6), &Device::Cpu).unwrap()).unwrap();
        check::gradients(std::slice::from_ref(&x), 1e-2, |v| v[0].as_tensor().apply_op1(MaxPool2));
        check::gradients(&[x], 1e-2, |v| v[0].as_tensor().apply_op1(MaxHalves));
    }

    #[test]
    fn a_tie_has_one_winner() {
        let x = Var::from_tensor(&Tensor::ones((1, 2, 4, 4), candle_core::DType::F32, &Device::Cpu).unwrap())
            .unwrap();
        for out in [x.apply_op1(MaxPool2).unwrap(), x.apply_op1(MaxHalves).unwrap()] {
            let total = out.elem_count() as f32;
            let grads = out.sum_all().unwrap().backward().unwrap();
            let sum = grads.get(&x).unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap();
            assert_eq!(sum, total);
        }
    }

    #[test]
    fn nan_is_not_hidden() {
        let x = Tensor::from_vec(vec![1f32, f32::NAN, 2.0, 3.0], (1, 1, 2, 2), &Device::Cpu).unwrap();
        let y = x.apply_op1(MaxPool2).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert!(y[0].is_nan());
    }
}

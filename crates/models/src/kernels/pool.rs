//! Max pooling and max-feature-map, with gradients that go to one winner only.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};

use super::{data, in_chunks, nchw, vectorized, with_data};

/// 2x2 max pooling with stride 2 of `[n, c, h, w]`; an odd last row or column is left out. On a tie the first element
/// wins the whole gradient; NaN wins always.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MaxPool2;

/// Whether `b` takes the place of `a`: the larger does, the first of equals, NaN before numbers, the first NaN.
#[inline(always)]
fn second_wins(a: f32, b: f32) -> bool {
    (b > a) | (b.is_nan() & !a.is_nan())
}

/// The winner of each 2x2 window of two rows, by pairs of a row and then of the rows, and whether it lies right and
/// below.
#[inline(always)]
fn winner(top: &[f32], bottom: &[f32]) -> (f32, bool, bool) {
    let of_row = |row: &[f32]| {
        let right = second_wins(row[0], row[1]);
        (if right { row[1] } else { row[0] }, right)
    };
    let ((a, right_above), (b, right_below)) = (of_row(top), of_row(bottom));
    let below = second_wins(a, b);
    (if below { b } else { a }, if below { right_below } else { right_above }, below)
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
        let out = in_chunks(n * c * oh * ow, oh * ow, |i, out| {
            let x = &x[i * h * w..(i + 1) * h * w];
            vectorized(|| {
                for (out, rows) in out.chunks_exact_mut(ow).zip(x.chunks_exact(2 * w)) {
                    let (top, bottom) = rows.split_at(w);
                    for ((o, top), bottom) in
                        out.iter_mut().zip(top.chunks_exact(2)).zip(bottom.chunks_exact(2))
                    {
                        *o = winner(top, bottom).0;
                    }
                }
            });
        });
        Ok((CpuStorage::F32(out), Shape::from((n, c, oh, ow))))
    }

    fn bwd(&self, arg: &Tensor, _res: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let (_, _, h, w) = arg.dims4()?;
        let (oh, ow) = (h / 2, w / 2);
        let dx = with_data(arg, |x| {
            with_data(grad, |dy| {
                in_chunks(x.len(), h * w, |i, dx| {
                    let (x, dy) = (&x[i * h * w..(i + 1) * h * w], &dy[i * oh * ow..(i + 1) * oh * ow]);
                    // A line for each corner of the windows, laid side by side afterwards.
                    let mut corners = [(); 4].map(|()| vec![0f32; ow]);
                    vectorized(|| {
                        let rows = dx.chunks_exact_mut(2 * w).zip(x.chunks_exact(2 * w));
                        for ((dx, x), dy) in rows.zip(dy.chunks_exact(ow)) {
                            let ((top, bottom), (dtop, dbottom)) = (x.split_at(w), dx.split_at_mut(w));
                            let [a, b, c, d] = &mut corners;
                            let lines = a.iter_mut().zip(b.iter_mut()).zip(c.iter_mut()).zip(d.iter_mut());
                            let windows = top.chunks_exact(2).zip(bottom.chunks_exact(2));
                            for (((((a, b), c), d), (top, bottom)), &g) in lines.zip(windows).zip(dy) {
                                let (_, right, below) = winner(top, bottom);
                                let (above, under) = if below { (0.0, g) } else { (g, 0.0) };
                                (*a, *b) = if right { (0.0, above) } else { (above, 0.0) };
                                (*c, *d) = if right { (0.0, under) } else { (under, 0.0) };
                            }
                            for (line, left, right) in [(dtop, &*a, &*b), (dbottom, &*c, &*d)] {
                                for ((pair, &l), &r) in line.chunks_exact_mut(2).zip(left).zip(right) {
                                    (pair[0], pair[1]) = (l, r);
                                }
                            }
                        }
                    });
                })
            })
        })??;
        Ok(Some(Tensor::from_vec(dx, arg.shape(), arg.device())?))
    }
}

/// Max-feature-map (Wu et al. 2018): the larger of channel `i` and channel `i + c / 2` of `[n, c, h, w]`, `c` even. On a
/// tie the first half wins the gradient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MaxHalves;

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
        let out = in_chunks(n * half, half, |i, out| {
            let (a, b) = x[2 * i * half..2 * (i + 1) * half].split_at(half);
            vectorized(|| {
                for ((o, &a), &b) in out.iter_mut().zip(a).zip(b) {
                    *o = if second_wins(a, b) { b } else { a };
                }
            });
        });
        Ok((CpuStorage::F32(out), Shape::from((n, c / 2, h, w))))
    }

    fn bwd(&self, arg: &Tensor, _res: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let (_, c, h, w) = arg.dims4()?;
        let half = c / 2 * h * w;
        let dx = with_data(arg, |x| {
            with_data(grad, |dy| {
                in_chunks(x.len(), 2 * half, |i, dx| {
                    let (a, b) = x[2 * i * half..2 * (i + 1) * half].split_at(half);
                    let (da, db) = dx.split_at_mut(half);
                    let dy = &dy[i * half..(i + 1) * half];
                    vectorized(|| {
                        for ((((da, db), &a), &b), &g) in da.iter_mut().zip(db).zip(a).zip(b).zip(dy) {
                            let second = second_wins(a, b);
                            (*da, *db) = (if second { 0.0 } else { g }, if second { g } else { 0.0 });
                        }
                    });
                })
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

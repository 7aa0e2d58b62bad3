//! Depthwise 2-D convolution as sums of shifted rows.

use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use super::{Activation, data, nchw, with_data};

/// Convolution of each channel of `[n, c, h, w]` with its own kernel of `[c, 1, k, k]`, `k` odd, zero padding `k / 2`,
/// optional bias `[c]` and activation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Depthwise2d {
    /// Step between outputs in both directions.
    pub stride: usize,
    /// Activation applied to the output.
    pub activation: Activation,
}

#[derive(Clone, Copy)]
struct Geometry {
    c: usize,
    h: usize,
    w: usize,
    k: usize,
    oh: usize,
    ow: usize,
    stride: usize,
}

impl Geometry {
    fn new(op: Depthwise2d, x: [usize; 4], w: [usize; 4]) -> Result<Self> {
        let [_, c, h, width] = x;
        if w[0] != c
            || w[1] != 1
            || w[2] != w[3]
            || w[2].is_multiple_of(2)
            || op.stride == 0
            || h == 0
            || width == 0
        {
            bail!("depthwise convolution of {x:?} with {w:?}: the shapes do not fit");
        }
        let out = |n: usize| (n - 1) / op.stride + 1;
        Ok(Self { c, h, w: width, k: w[2], oh: out(h), ow: out(width), stride: op.stride })
    }

    fn in_len(&self) -> usize {
        self.h * self.w
    }

    fn out_len(&self) -> usize {
        self.oh * self.ow
    }

    /// Output columns whose source column `ox * stride + kx - k / 2` lies inside the picture, and the source of the
    /// first.
    fn span(&self, kx: usize) -> (usize, usize, usize) {
        let pad = self.k / 2;
        let low = pad.saturating_sub(kx).div_ceil(self.stride).min(self.ow);
        let high = (self.w + pad).saturating_sub(kx).div_ceil(self.stride).min(self.ow);
        (low, high.max(low), (low * self.stride + kx).saturating_sub(pad))
    }

    /// Calls `f(output row, source row, kernel row)` for every pair that meets.
    fn rows(&self, mut f: impl FnMut(usize, usize, usize)) {
        let pad = self.k / 2;
        for oy in 0..self.oh {
            for ky in 0..self.k {
                let iy = (oy * self.stride + ky).wrapping_sub(pad);
                if iy < self.h {
                    f(oy, iy, ky);
                }
            }
        }
    }

    fn spans(&self) -> Vec<(usize, usize, usize)> {
        (0..self.k).map(|kx| self.span(kx)).collect()
    }

    /// Whether the three taps of a row can be taken in one pass.
    fn fused(&self) -> bool {
        self.k == 3 && self.stride == 1 && self.w >= 3
    }

    fn forward_plane(&self, x: &[f32], kernel: &[f32], bias: f32, out: &mut [f32]) {
        out.fill(bias);
        let (spans, w) = (self.spans(), self.w);
        self.rows(|oy, iy, ky| {
            let line = &mut out[oy * self.ow..(oy + 1) * self.ow];
            let source = &x[iy * w..(iy + 1) * w];
            let taps = &kernel[ky * self.k..(ky + 1) * self.k];
            if self.fused() {
                add_three(line, source, [taps[0], taps[1], taps[2]]);
                return;
            }
            for (&weight, &(low, high, first)) in taps.iter().zip(&spans) {
                let line = &mut line[low..high];
                let source = source[first.min(w)..].iter().step_by(self.stride);
                line.iter_mut().zip(source).for_each(|(d, &s)| *d += weight * s);
            }
        });
    }

    fn backward_plane(&self, x: &[f32], kernel: &[f32], dy: &[f32], dx: &mut [f32], dk: &mut [f32]) {
        let (spans, w) = (self.spans(), self.w);
        self.rows(|oy, iy, ky| {
            let line = &dy[oy * self.ow..(oy + 1) * self.ow];
            let (source, target) = (&x[iy * w..(iy + 1) * w], &mut dx[iy * w..(iy + 1) * w]);
            let taps = ky * self.k..(ky + 1) * self.k;
            if self.fused() {
                let k = &kernel[taps.clone()];
                // The transposed convolution has the taps in reverse.
                add_three(target, line, [k[2], k[1], k[0]]);
            }
            for ((tap, &weight), &(low, high, first)) in taps.clone().zip(&kernel[taps]).zip(&spans) {
                let line = &line[low..high];
                let first = first.min(w);
                if self.stride == 1 {
                    dk[tap] += dot(line, &source[first..]);
                } else {
                    let pairs = line.iter().zip(source[first..].iter().step_by(self.stride));
                    dk[tap] += pairs.map(|(&g, &s)| g * s).sum::<f32>();
                }
                if !self.fused() {
                    let target = target[first..].iter_mut().step_by(self.stride);
                    target.zip(line).for_each(|(d, &g)| *d += weight * g);
                }
            }
        });
    }
}

/// `line[i] += k[0] * source[i - 1] + k[1] * source[i] + k[2] * source[i + 1]`, zeros beyond the ends.
fn add_three(line: &mut [f32], source: &[f32], k: [f32; 3]) {
    let n = line.len();
    line[0] += k[1] * source[0] + k[2] * source[1];
    line[n - 1] += k[0] * source[n - 2] + k[1] * source[n - 1];
    let inner = line[1..n - 1].iter_mut().zip(&source[..n - 2]).zip(&source[1..n - 1]).zip(&source[2..n]);
    inner.for_each(|(((d, &a), &b), &c)| *d += k[0] * a + k[1] * b + k[2] * c);
}

/// Dot product in eight fixed lanes, which the compiler turns into vector code.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let n = a.len().min(b.len());
    let (a, b) = (&a[..n], &b[..n]);
    let mut lanes = [0f32; 8];
    let (ca, cb) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f32 = ca.remainder().iter().zip(cb.remainder()).map(|(x, y)| x * y).sum();
    for (x, y) in ca.zip(cb) {
        for ((l, x), y) in lanes.iter_mut().zip(x).zip(y) {
            *l += x * y;
        }
    }
    lanes.iter().sum::<f32>() + rest
}

impl Depthwise2d {
    fn forward(
        self,
        x: &[f32],
        xs: [usize; 4],
        w: &[f32],
        ws: [usize; 4],
        bias: Option<&[f32]>,
    ) -> Result<(CpuStorage, Shape)> {
        let g = Geometry::new(self, xs, ws)?;
        if bias.is_some_and(|b| b.len() != g.c) {
            bail!("depthwise convolution: the bias does not fit");
        }
        let mut out = vec![0f32; xs[0] * g.c * g.out_len()];
        out.par_chunks_mut(g.out_len()).zip(x.par_chunks(g.in_len())).enumerate().for_each(
            |(i, (out, x))| {
                let ch = i % g.c;
                let kernel = &w[ch * g.k * g.k..(ch + 1) * g.k * g.k];
                g.forward_plane(x, kernel, bias.map_or(0.0, |b| b[ch]), out);
                self.activation.apply(out);
            },
        );
        Ok((CpuStorage::F32(out), Shape::from((xs[0], g.c, g.oh, g.ow))))
    }

    fn backward(self, x: &Tensor, w: &Tensor, res: &Tensor, grad: &Tensor) -> Result<[Tensor; 3]> {
        let (xs, ws) = (x.dims4()?, w.dims4()?);
        let g = Geometry::new(self, [xs.0, xs.1, xs.2, xs.3], [ws.0, ws.1, ws.2, ws.3])?;
        let taps = g.k * g.k;
        let mut dy = with_data(grad, <[f32]>::to_vec)?;
        if self.activation != Activation::None {
            with_data(res, |y| self.activation.mask(&mut dy, y))?;
        }
        let mut dx = vec![0f32; xs.0 * g.c * g.in_len()];
        // One row of kernel and bias gradient for each plane, summed over the batch in order below.
        let mut parts = vec![0f32; xs.0 * g.c * (taps + 1)];
        with_data(x, |x| {
            with_data(w, |w| {
                dx.par_chunks_mut(g.in_len())
                    .zip(x.par_chunks(g.in_len()))
                    .zip(dy.par_chunks(g.out_len()))
                    .zip(parts.par_chunks_mut(taps + 1))
                    .enumerate()
                    .for_each(|(i, (((dx, x), dy), part))| {
                        let ch = i % g.c;
                        let (dk, db) = part.split_at_mut(taps);
                        g.backward_plane(x, &w[ch * taps..(ch + 1) * taps], dy, dx, dk);
                        db[0] = dy.iter().sum();
                    });
            })
        })??;
        let (mut dk, mut db) = (vec![0f32; g.c * taps], vec![0f32; g.c]);
        for (i, part) in parts.chunks_exact(taps + 1).enumerate() {
            let ch = i % g.c;
            let (k, b) = part.split_at(taps);
            dk[ch * taps..(ch + 1) * taps].iter_mut().zip(k).for_each(|(d, s)| *d += s);
            db[ch] += b[0];
        }
        let device = x.device();
        Ok([
            Tensor::from_vec(dx, x.shape(), device)?,
            Tensor::from_vec(dk, w.shape(), device)?,
            Tensor::from_vec(db, g.c, device)?,
        ])
    }
}

impl CustomOp2 for Depthwise2d {
    fn name(&self) -> &'static str {
        "candor-depthwise2d"
    }

    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        self.forward(data(s1, l1)?, nchw(l1)?, data(s2, l2)?, nchw(l2)?, None)
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        res: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let [dx, dw, _] = self.backward(x, w, res, grad)?;
        Ok((Some(dx), Some(dw)))
    }
}

impl CustomOp3 for Depthwise2d {
    fn name(&self) -> &'static str {
        "candor-depthwise2d-bias"
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
        self.forward(data(s1, l1)?, nchw(l1)?, data(s2, l2)?, nchw(l2)?, Some(data(s3, l3)?))
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        _bias: &Tensor,
        res: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let [dx, dw, db] = self.backward(x, w, res, grad)?;
        Ok((Some(dx), Some(dw), Some(db)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::check;

    #[test]
    fn agrees_with_candle() {
        for (k, stride, h, w) in
            [(3, 1, 7, 9), (3, 2, 8, 7), (5, 1, 9, 6), (5, 2, 11, 8), (3, 1, 1, 1), (3, 2, 2, 1)]
        {
            let x = check::var(&[2, 3, h, w], 1);
            let kernel = check::var(&[3, 1, k, k], 2);
            let ours = x.apply_op2(&kernel, Depthwise2d { stride, activation: Activation::None }).unwrap();
            let theirs = x.conv2d(&kernel, k / 2, stride, 1, 3).unwrap();
            assert_eq!(ours.dims(), theirs.dims());
            let diff = (ours - theirs).unwrap().abs().unwrap().flatten_all().unwrap();
            assert!(diff.max(0).unwrap().to_scalar::<f32>().unwrap() < 1e-5);
        }
    }

    #[test]
    fn gradients_agree_with_differences() {
        for (k, stride) in [(3, 1), (3, 2), (5, 1), (5, 2)] {
            let vars = [check::var(&[2, 3, 9, 10], 1), check::var(&[3, 1, k, k], 2), check::var(&[3], 3)];
            check::gradients(&vars, 1e-2, |v| {
                v[0].as_tensor().apply_op3(
                    v[1].as_tensor(),
                    v[2].as_tensor(),
                    Depthwise2d { stride, activation: Activation::None },
                )
            });
        }
    }
}

//! Depthwise 2-D convolution as sums of shifted planes.

use std::{cell::RefCell, sync::OnceLock};

use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor, bail};

use super::{
    Activation,
    conv::{before, bias_gradient},
    data, in_chunks, nchw, vectorized, with_data,
};

/// Convolution of each channel of `[n, c, h, w]` with its own kernel of `[c, 1, k, k]`, `k` 1, 3 or 5, zeros around, optional
/// bias `[c]` and activation; the output has `ceil(size / stride)` places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Depthwise2d {
    /// Step between outputs in both directions.
    pub stride: usize,
    /// Zeros as TensorFlow's `SAME` lays them, the odd one behind; otherwise `k / 2` before, as in PyTorch. It makes a
    /// difference at stride 2 alone.
    pub tensorflow: bool,
    /// Activation applied to the output.
    pub activation: Activation,
}

thread_local! {
    /// A plane with zeros around, and one of the output's size.
    static PLANES: RefCell<[Vec<f32>; 2]> = const { RefCell::new([Vec::new(), Vec::new()]) };
}

/// Sizes of one convolution, and its layout of planes.
///
/// A padded plane is stored in `stride * stride` phases: every `stride`-th row and column, beginning with those of the
/// phase. The output is laid out with the same distance between rows, so that what a tap of the kernel meets, over the
/// whole plane, is one slice: the output moved by the tap's offset. A few places between the rows are computed for
/// nothing.
#[derive(Clone, Copy)]
struct Geometry {
    c: usize,
    h: usize,
    w: usize,
    k: usize,
    oh: usize,
    ow: usize,
    stride: usize,
    /// Zeros above and to the left.
    top: usize,
    left: usize,
}

impl Geometry {
    fn new(op: Depthwise2d, x: [usize; 4], w: [usize; 4]) -> Result<Self> {
        let [_, c, h, width] = x;
        if w[0] != c
            || w[1] != 1
            || w[2] != w[3]
            || ![1, 3, 5].contains(&w[2])
            || op.stride == 0
            || h == 0
            || width == 0
        {
            bail!("depthwise convolution of {x:?} with {w:?}: the shapes do not fit");
        }
        let out = |n: usize| (n - 1) / op.stride + 1;
        let k = w[2];
        let before = |n: usize| {
            if op.tensorflow { ((out(n) - 1) * op.stride + k).saturating_sub(n) / 2 } else { k / 2 }
        };
        let (top, left) = (before(h), before(width));
        Ok(Self { c, h, w: width, k, oh: out(h), ow: out(width), stride: op.stride, top, left })
    }

    fn in_len(&self) -> usize {
        self.h * self.w
    }

    fn out_len(&self) -> usize {
        self.oh * self.ow
    }

    /// Rows, or columns, by which taps of a phase reach beyond the output.
    #[inline]
    fn reach(&self) -> usize {
        (self.k - 1) / self.stride
    }

    /// Places from row to row.
    #[inline]
    fn pitch(&self) -> usize {
        self.ow + self.reach()
    }

    #[inline]
    fn phase_len(&self) -> usize {
        (self.oh + self.reach()) * self.pitch()
    }

    /// Places of the output with the gaps between its rows.
    #[inline]
    fn flat_len(&self) -> usize {
        (self.oh - 1) * self.pitch() + self.ow
    }

    /// Where the tap of a row and column of the kernel finds what belongs to the first output.
    fn offset(&self, ky: usize, kx: usize) -> usize {
        let s = self.stride;
        (ky % s * s + kx % s) * self.phase_len() + ky / s * self.pitch() + kx / s
    }

    /// Calls `f(first, place, len, stride)` for each run of a row of the input: `len` values from `first` on, every
    /// `stride`-th, which lie side by side from `place` on.
    fn runs(&self, mut f: impl FnMut(usize, usize, usize, usize)) {
        let s = self.stride;
        for px in 0..s {
            // Place j of the phase holds column `j * stride + px - left`.
            let low = self.left.saturating_sub(px).div_ceil(s);
            let first = low * s + px - self.left;
            let len = self.w.saturating_sub(first).div_ceil(s).min(self.pitch().saturating_sub(low));
            if len == 0 {
                continue;
            }
            for py in 0..s {
                for row in 0..self.oh + self.reach() {
                    let y = (row * s + py).wrapping_sub(self.top);
                    if y < self.h {
                        let place = (py * s + px) * self.phase_len() + row * self.pitch() + low;
                        f(y * self.w + first, place, len, s);
                    }
                }
            }
        }
    }

    /// Lays a plane out in phases with zeros around.
    fn pad(&self, x: &[f32], padded: &mut Vec<f32>) {
        padded.clear();
        padded.resize(self.stride * self.stride * self.phase_len(), 0.0);
        self.runs(|from, place, len, step| {
            let line = &mut padded[place..place + len];
            if step == 1 {
                line.copy_from_slice(&x[from..from + len]);
            } else {
                line.iter_mut().zip(x[from..].iter().step_by(step)).for_each(|(d, &v)| *d = v);
            }
        });
    }

    /// The opposite of [`Self::pad`].
    fn unpad(&self, padded: &[f32], x: &mut [f32]) {
        self.runs(|from, place, len, step| {
            let line = &padded[place..place + len];
            if step == 1 {
                x[from..from + len].copy_from_slice(line);
            } else {
                x[from..].iter_mut().step_by(step).zip(line).for_each(|(d, &v)| *d = v);
            }
        });
    }

    fn forward_plane(&self, x: &[f32], kernel: &[f32], bias: f32, out: &mut [f32]) {
        PLANES.with_borrow_mut(|[padded, flat]| {
            self.pad(x, padded);
            flat.clear();
            flat.resize(self.flat_len(), bias);
            // Row after row of the kernel, in one order on every machine.
            for (ky, taps) in kernel.chunks_exact(self.k).enumerate() {
                let part = |kx: usize| &padded[self.offset(ky, kx)..][..flat.len()];
                match *taps {
                    [k] => {
                        let a = part(0);
                        vectorized(|| flat.iter_mut().zip(a).for_each(|(s, a)| *s += k * a));
                    }
                    [k, l, m] => {
                        let (a, b, c) = (part(0), part(1), part(2));
                        vectorized(|| {
                            for (((s, a), b), c) in flat.iter_mut().zip(a).zip(b).zip(c) {
                                *s += k * a + l * b + m * c;
                            }
                        });
                    }
                    [k, l, m, n, o] => {
                        let (a, b, c, d, e) = (part(0), part(1), part(2), part(3), part(4));
                        vectorized(|| {
                            for (((((s, a), b), c), d), e) in
                                flat.iter_mut().zip(a).zip(b).zip(c).zip(d).zip(e)
                            {
                                *s += k * a + l * b + m * c + n * d + o * e;
                            }
                        });
                    }
                    _ => {}
                }
            }
            for (line, sums) in out.chunks_exact_mut(self.ow).zip(flat.chunks(self.pitch())) {
                line.copy_from_slice(&sums[..self.ow]);
            }
        });
    }

    /// Input gradient `dx` and kernel gradient `dk` of one plane.
    fn backward_plane(&self, x: &[f32], kernel: &[f32], dy: &[f32], dx: &mut [f32], dk: &mut [f32]) {
        PLANES.with_borrow_mut(|[padded, flat]| {
            self.pad(x, padded);
            flat.clear();
            flat.resize(self.flat_len(), 0.0);
            for (line, dy) in flat.chunks_mut(self.pitch()).zip(dy.chunks_exact(self.ow)) {
                line[..self.ow].copy_from_slice(dy);
            }
            for (ky, dk) in dk.chunks_exact_mut(self.k).enumerate() {
                for (kx, dk) in dk.iter_mut().enumerate() {
                    let part = &padded[self.offset(ky, kx)..][..flat.len()];
                    *dk = vectorized(|| dot(flat, part));
                }
            }
            padded.fill(0.0);
            for (ky, taps) in kernel.chunks_exact(self.k).enumerate() {
                for (kx, &tap) in taps.iter().enumerate() {
                    let part = &mut padded[self.offset(ky, kx)..][..flat.len()];
                    vectorized(|| part.iter_mut().zip(&*flat).for_each(|(d, g)| *d += tap * g));
                }
            }
            self.unpad(padded, dx);
        });
    }
}

/// Dot product in fixed lanes, which the compiler turns into vector code.
#[inline(always)]
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0f32; 64];
    let (ca, cb) = (a.chunks_exact(64), b.chunks_exact(64));
    let rest: f32 = ca.remainder().iter().zip(cb.remainder()).map(|(x, y)| x * y).sum();
    for (x, y) in ca.zip(cb) {
        for ((l, x), y) in lanes.iter_mut().zip(x).zip(y) {
            *l += x * y;
        }
    }
    lanes.iter().sum::<f32>() + rest
}

impl Depthwise2d {
    pub(super) fn forward(
        self,
        x: &[f32],
        xs: [usize; 4],
        w: &[f32],
        ws: [usize; 4],
        bias: Option<&[f32]>,
        activation: Activation,
    ) -> Result<(Vec<f32>, Shape)> {
        let g = Geometry::new(self, xs, ws)?;
        if bias.is_some_and(|b| b.len() != g.c) {
            bail!("depthwise convolution: the bias does not fit");
        }
        let out = in_chunks(xs[0] * g.c * g.out_len(), g.out_len(), |i, out| {
            let (ch, x) = (i % g.c, &x[i * g.in_len()..(i + 1) * g.in_len()]);
            let kernel = &w[ch * g.k * g.k..(ch + 1) * g.k * g.k];
            g.forward_plane(x, kernel, bias.map_or(0.0, |b| b[ch]), out);
            vectorized(|| activation.apply(out));
        });
        Ok((out, Shape::from((xs[0], g.c, g.oh, g.ow))))
    }

    /// Gradients of input and weight from that before the activation.
    pub(super) fn backward(self, x: &Tensor, w: &Tensor, dy: &Tensor) -> Result<(Tensor, Tensor)> {
        let (xs, ws) = (x.dims4()?, w.dims4()?);
        let g = Geometry::new(self, [xs.0, xs.1, xs.2, xs.3], [ws.0, ws.1, ws.2, ws.3])?;
        let taps = g.k * g.k;
        // Kernel gradients of each image, summed over the batch in order below.
        let parts: Vec<OnceLock<Vec<f32>>> = (0..xs.0).map(|_| OnceLock::new()).collect();
        let dx = with_data(x, |x| {
            with_data(w, |w| {
                with_data(dy, |dy| {
                    in_chunks(x.len(), g.c * g.in_len(), |image, dx| {
                        parts[image].get_or_init(|| {
                            let mut part = vec![0f32; g.c * taps];
                            let planes = dx.chunks_exact_mut(g.in_len()).zip(part.chunks_exact_mut(taps));
                            for (ch, (dx, dk)) in planes.enumerate() {
                                let plane = image * g.c + ch;
                                let x = &x[plane * g.in_len()..(plane + 1) * g.in_len()];
                                let dy = &dy[plane * g.out_len()..(plane + 1) * g.out_len()];
                                g.backward_plane(x, &w[ch * taps..(ch + 1) * taps], dy, dx, dk);
                            }
                            part
                        });
                    })
                })
            })
        })???;
        let mut dk = vec![0f32; g.c * taps];
        for part in parts.into_iter().filter_map(OnceLock::into_inner) {
            dk.iter_mut().zip(part).for_each(|(d, s)| *d += s);
        }
        let device = x.device();
        Ok((Tensor::from_vec(dx, x.shape(), device)?, Tensor::from_vec(dk, w.shape(), device)?))
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
        let (out, shape) =
            self.forward(data(s1, l1)?, nchw(l1)?, data(s2, l2)?, nchw(l2)?, None, self.activation)?;
        Ok((CpuStorage::F32(out), shape))
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        res: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (dx, dw) = self.backward(x, w, &before(self.activation, res, grad)?)?;
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
        let (out, shape) = self.forward(
            data(s1, l1)?,
            nchw(l1)?,
            data(s2, l2)?,
            nchw(l2)?,
            Some(data(s3, l3)?),
            self.activation,
        )?;
        Ok((CpuStorage::F32(out), shape))
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        _bias: &Tensor,
        res: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let dy = before(self.activation, res, grad)?;
        let (dx, dw) = self.backward(x, w, &dy)?;
        Ok((Some(dx), Some(dw), Some(bias_gradient(&dy)?)))
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
            let ours = x
                .apply_op2(&kernel, Depthwise2d { stride, tensorflow: false, activation: Activation::None })
                .unwrap();
            let theirs = x.conv2d(&kernel, k / 2, stride, 1, 3).unwrap();
            assert_eq!(ours.dims(), theirs.dims());
            let diff = (ours - theirs).unwrap().abs().unwrap().flatten_all().unwrap();
            assert!(diff.max(0).unwrap().to_scalar::<f32>().unwrap() < 1e-5);
        }
    }

    #[test]
    fn the_odd_zero_lies_behind_where_tensorflow_has_it() {
        for (k, h, w) in [(3, 8, 7), (5, 8, 10), (5, 9, 6), (3, 2, 1)] {
            let x = check::var(&[1, 2, h, w], 1);
            let kernel = check::var(&[2, 1, k, k], 2);
            let op = Depthwise2d { stride: 2, tensorflow: true, activation: Activation::None };
            let ours = x.apply_op2(&kernel, op).unwrap();
            let pad = |n: usize| ((n.div_ceil(2) - 1) * 2 + k).saturating_sub(n);
            let padded = x.pad_with_zeros(2, pad(h) / 2, pad(h).div_ceil(2)).unwrap();
            let padded = padded.pad_with_zeros(3, pad(w) / 2, pad(w).div_ceil(2)).unwrap();
            let theirs = padded.conv2d(&kernel, 0, 2, 1, 2).unwrap();
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
                    Depthwise2d { stride, tensorflow: false, activation: Activation::None },
                )
            });
        }
    }
}

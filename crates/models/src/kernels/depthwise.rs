//! Depthwise 2-D convolution as sums of shifted rows.

use std::cell::RefCell;

use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use super::{Activation, data, nchw, with_data};

/// Convolution of each channel of `[n, c, h, w]` with its own kernel of `[c, 1, k, k]`, `k` odd, zeros around, optional
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

/// Rows are padded to a multiple of this.
const LANES: usize = 8;

thread_local! {
    static PADDED: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
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
            || w[2].is_multiple_of(2)
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

    /// Output columns whose source column `ox * stride + kx - left` lies inside the picture, and the source of the
    /// first.
    fn span(&self, kx: usize) -> (usize, usize, usize) {
        let pad = self.left;
        let low = pad.saturating_sub(kx).div_ceil(self.stride).min(self.ow);
        let high = (self.w + pad).saturating_sub(kx).div_ceil(self.stride).min(self.ow);
        (low, high.max(low), (low * self.stride + kx).saturating_sub(pad))
    }

    /// Calls `f(output row, source row, kernel row)` for every pair that meets.
    fn rows(&self, mut f: impl FnMut(usize, usize, usize)) {
        let pad = self.top;
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

    /// Places of one phase of a padded row: every `stride`-th value, beginning with that of the phase, so that the
    /// values which a tap meets along a row lie side by side at any stride.
    fn phase_len(&self) -> usize {
        self.ow.next_multiple_of(LANES) + self.k
    }

    fn forward_plane(&self, x: &[f32], kernel: &[f32], bias: f32, out: &mut [f32]) {
        PADDED.with_borrow_mut(|padded| {
            let row = self.stride * self.phase_len();
            let rows = (self.oh - 1) * self.stride + self.k;
            padded.clear();
            padded.resize(rows * row, 0.0);
            for (source, line) in x.chunks_exact(self.w).zip(padded.chunks_exact_mut(row).skip(self.top)) {
                for (phase, line) in line.chunks_exact_mut(self.phase_len()).enumerate() {
                    // Place j of the phase holds column `j * stride + phase - left`.
                    let low = self.left.saturating_sub(phase).div_ceil(self.stride);
                    let first = low * self.stride + phase - self.left;
                    let source = source.get(first..).unwrap_or_default().iter().step_by(self.stride);
                    line.iter_mut().skip(low).zip(source).for_each(|(d, &v)| *d = v);
                }
            }
            #[cfg(target_arch = "x86_64")]
            if is_x86_feature_detected!("avx2") {
                // SAFETY: the processor has what the function is compiled for.
                unsafe { self.rows_avx2(padded, kernel, bias, out) };
                return;
            }
            self.rows_of_any(padded, kernel, bias, out);
        });
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    fn rows_avx2(&self, padded: &[f32], kernel: &[f32], bias: f32, out: &mut [f32]) {
        self.rows_of_any(padded, kernel, bias, out);
    }

    /// The loops with the usual sizes known to the compiler.
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "it must be compiled for the processor of its caller")]
    fn rows_of_any(&self, padded: &[f32], kernel: &[f32], bias: f32, out: &mut [f32]) {
        match self.k {
            3 => self.convolve_rows::<3>(padded, kernel, bias, out),
            5 => self.convolve_rows::<5>(padded, kernel, bias, out),
            _ => self.convolve_rows::<1>(padded, kernel, bias, out),
        }
    }

    /// Adds up rows of the kernel in order, `TAPS` taps of a row in one pass, in one order on every machine.
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "it must be compiled for the processor of its caller")]
    fn convolve_rows<const TAPS: usize>(&self, padded: &[f32], kernel: &[f32], bias: f32, out: &mut [f32]) {
        let (phase, row) = (self.phase_len(), self.stride * self.phase_len());
        // Whole vectors to the end; what lies beyond the output is thrown away.
        let n = self.ow.next_multiple_of(LANES);
        let mut sums = vec![0.0; n];
        for (oy, line) in out.chunks_exact_mut(self.ow).enumerate() {
            sums.fill(bias);
            for (ky, taps) in kernel.chunks_exact(self.k).enumerate() {
                let source = &padded[(oy * self.stride + ky) * row..][..row];
                for (group, taps) in taps.chunks_exact(TAPS).enumerate() {
                    let parts: [&[f32]; TAPS] = std::array::from_fn(|tap| {
                        let kx = group * TAPS + tap;
                        &source[kx % self.stride * phase + kx / self.stride..][..n]
                    });
                    add_row(&mut sums, taps, &parts);
                }
            }
            line.copy_from_slice(&sums[..self.ow]);
        }
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

/// `sums[i] += taps[0] * parts[0][i] + taps[1] * parts[1][i] + ...` for one, three or five parts. Zipped slices are what
/// the compiler turns into vector code.
#[inline(always)]
#[allow(clippy::inline_always, reason = "it must be compiled for the processor of its caller")]
fn add_row(sums: &mut [f32], taps: &[f32], parts: &[&[f32]]) {
    match (taps, parts) {
        (&[k], [a]) => sums.iter_mut().zip(*a).for_each(|(s, a)| *s += k * a),
        (&[k, l, m], [a, b, c]) => {
            for (((s, a), b), c) in sums.iter_mut().zip(*a).zip(*b).zip(*c) {
                *s += k * a + l * b + m * c;
            }
        }
        (&[k, l, m, n, o], [a, b, c, d, e]) => {
            for (((((s, a), b), c), d), e) in sums.iter_mut().zip(*a).zip(*b).zip(*c).zip(*d).zip(*e) {
                *s += k * a + l * b + m * c + n * d + o * e;
            }
        }
        _ => {}
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

//! 2-D convolution as im2col and matrix products, forward and backward.

use std::{cell::RefCell, sync::OnceLock};

use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use super::{
    data,
    gemm::{Mat, add_products_of_rows, matmul},
    in_chunks, nchw, vectorized, with_data,
};

/// What follows a convolution or a normalisation in the same pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// Nothing.
    None,
    /// `max(x, 0)`; NaN stays NaN.
    Relu,
    /// `min(max(x, 0), 6)`; NaN stays NaN.
    Relu6,
}

impl Activation {
    #[inline(always)]
    pub(super) fn apply(self, x: &mut [f32]) {
        match self {
            Self::None => {}
            // `f32::max` would drop NaN; a comparison keeps it.
            Self::Relu => x.iter_mut().for_each(|v| *v = if *v < 0.0 { 0.0 } else { *v }),
            Self::Relu6 => x.iter_mut().for_each(|v| {
                let low = if *v < 0.0 { 0.0 } else { *v };
                *v = if low > 6.0 { 6.0 } else { low };
            }),
        }
    }

    /// Sets the gradient to zero where the activation is flat, judged by its output.
    #[inline(always)]
    pub(super) fn mask(self, grad: &mut [f32], out: &[f32]) {
        match self {
            Self::None => {}
            Self::Relu => grad.iter_mut().zip(out).for_each(|(g, &y)| *g = if y > 0.0 { *g } else { 0.0 }),
            Self::Relu6 => {
                grad.iter_mut().zip(out).for_each(|(g, &y)| *g = if y > 0.0 && y < 6.0 { *g } else { 0.0 });
            }
        }
    }
}

/// The gradient before an activation from that behind it; `out` is the activation's output, `[n, c, h, w]` as `grad`.
pub(super) fn before(activation: Activation, out: &Tensor, grad: &Tensor) -> Result<Tensor> {
    if activation == Activation::None {
        return grad.contiguous();
    }
    let mut dy = with_data(grad, <[f32]>::to_vec)?;
    let image = (dy.len() / grad.dim(0)?.max(1)).max(1);
    with_data(out, |y| {
        dy.par_chunks_mut(image)
            .zip(y.par_chunks(image))
            .for_each(|(dy, y)| vectorized(|| activation.mask(dy, y)));
    })?;
    Tensor::from_vec(dy, grad.shape(), grad.device())
}

/// The gradient of a bias, `[c]`, from that of an output, `[n, c, h, w]`.
pub(super) fn bias_gradient(dy: &Tensor) -> Result<Tensor> {
    let (n, c, h, w) = dy.dims4()?;
    let planes = with_data(dy, |dy| {
        dy.par_chunks((h * w).max(1)).map(|plane| plane.iter().sum::<f32>()).collect::<Vec<f32>>()
    })?;
    let of = |ch: usize| (0..n).map(|i| planes[i * c + ch]).sum::<f32>();
    Tensor::from_vec((0..c).map(of).collect::<Vec<f32>>(), c, dy.device())
}

/// Convolution of `[n, c, h, w]` with `[o, c, kh, kw]`, zero padding, optional bias `[o]` and activation.
///
/// As a [`CustomOp2`] it takes `(input, weight)`, as a [`CustomOp3`] `(input, weight, bias)`. The input's gradient is
/// left out where nothing asks for it, as on the first layer of a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conv2d {
    /// Step between outputs, vertical and horizontal.
    pub stride: [usize; 2],
    /// Zeros added on each side, vertical and horizontal.
    pub pad: [usize; 2],
    /// Activation applied to the output.
    pub activation: Activation,
}

impl Conv2d {
    /// A convolution that keeps the size for odd kernels of `k` by `k` at stride 1.
    pub fn same(k: usize, stride: usize, activation: Activation) -> Self {
        Self { stride: [stride; 2], pad: [k / 2; 2], activation }
    }
}

/// Sizes of one convolution.
#[derive(Clone, Copy)]
struct Geometry {
    n: usize,
    c: usize,
    h: usize,
    w: usize,
    o: usize,
    kh: usize,
    kw: usize,
    oh: usize,
    ow: usize,
    sy: usize,
    sx: usize,
    py: usize,
    px: usize,
}

/// Floats of im2col buffer that are meant to stay in the second-level cache.
const COLUMN_BUDGET: usize = 96 * 1024;

thread_local! {
    static COLUMNS: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

impl Geometry {
    fn new(op: &Conv2d, input: [usize; 4], weight: [usize; 4]) -> Result<Self> {
        let ([n, c, h, w], [o, wc, kh, kw]) = (input, weight);
        let ([sy, sx], [py, px]) = (op.stride, op.pad);
        if c != wc || sy == 0 || sx == 0 || h + 2 * py < kh || w + 2 * px < kw || kh * kw == 0 {
            bail!("convolution of {input:?} with {weight:?}: the shapes do not fit");
        }
        let (oh, ow) = ((h + 2 * py - kh) / sy + 1, (w + 2 * px - kw) / sx + 1);
        Ok(Self { n, c, h, w, o, kh, kw, oh, ow, sy, sx, py, px })
    }

    fn k(&self) -> usize {
        self.c * self.kh * self.kw
    }

    fn in_len(&self) -> usize {
        self.c * self.h * self.w
    }

    fn out_len(&self) -> usize {
        self.o * self.oh * self.ow
    }

    /// A 1x1 convolution without stride or padding is a plain matrix product.
    fn pointwise(&self) -> bool {
        [self.kh, self.kw, self.sy, self.sx] == [1; 4] && self.py == 0 && self.px == 0
    }

    /// Output rows per tile.
    fn tile_rows(&self) -> usize {
        (COLUMN_BUDGET / (self.k() * self.ow)).clamp(1, self.oh)
    }

    /// Range of output columns whose source column `ox * sx + kx - px` lies inside the picture.
    fn valid_x(&self, kx: usize) -> (usize, usize) {
        let low = self.px.saturating_sub(kx).div_ceil(self.sx);
        let high = (self.w + self.px).saturating_sub(kx).div_ceil(self.sx);
        (low.min(self.ow), high.min(self.ow))
    }

    /// Visits the rows of the column matrix for output rows `y0..y1`: `f(column row, source row or none, kx)`, where
    /// the column row is the slice range of length `ow` in the tile.
    fn visit(&self, y0: usize, y1: usize, mut f: impl FnMut(usize, Option<usize>, usize)) {
        let tile = (y1 - y0) * self.ow;
        let mut row = 0;
        for ch in 0..self.c {
            for ky in 0..self.kh {
                for kx in 0..self.kw {
                    for oy in y0..y1 {
                        let iy = (oy * self.sy + ky).wrapping_sub(self.py);
                        let source = (iy < self.h).then(|| (ch * self.h + iy) * self.w);
                        f(row * tile + (oy - y0) * self.ow, source, kx);
                    }
                    row += 1;
                }
            }
        }
    }

    fn im2col(&self, x: &[f32], col: &mut [f32], y0: usize, y1: usize) {
        let bounds: Vec<(usize, usize)> = (0..self.kw).map(|kx| self.valid_x(kx)).collect();
        self.visit(y0, y1, |at, source, kx| {
            let line = &mut col[at..at + self.ow];
            let Some(source) = source else { return line.fill(0.0) };
            let (low, high) = bounds[kx];
            line[..low].fill(0.0);
            line[high..].fill(0.0);
            if low == high {
                return;
            }
            let first = source + low * self.sx + kx - self.px;
            if self.sx == 1 {
                line[low..high].copy_from_slice(&x[first..first + high - low]);
            } else if self.sx == 2 {
                // Pairs are what the compiler turns into vector code; the last place may have no second value.
                line[high - 1] = x[first + 2 * (high - 1 - low)];
                let pairs = line[low..high - 1].iter_mut().zip(x[first..].chunks_exact(2));
                vectorized(|| pairs.for_each(|(d, s)| *d = s[0]));
            } else {
                let step = x[first..].iter().step_by(self.sx);
                line[low..high].iter_mut().zip(step).for_each(|(d, &s)| *d = s);
            }
        });
    }

    fn col2im(&self, col: &[f32], dx: &mut [f32], y0: usize, y1: usize) {
        let bounds: Vec<(usize, usize)> = (0..self.kw).map(|kx| self.valid_x(kx)).collect();
        self.visit(y0, y1, |at, source, kx| {
            let Some(source) = source else { return };
            let (low, high) = bounds[kx];
            if low == high {
                return;
            }
            let line = &col[at + low..at + high];
            let first = source + low * self.sx + kx - self.px;
            if self.sx == 1 {
                dx[first..first + line.len()].iter_mut().zip(line).for_each(|(d, &s)| *d += s);
            } else {
                dx[first..].iter_mut().step_by(self.sx).zip(line).for_each(|(d, &s)| *d += s);
            }
        });
    }

    fn forward_one(&self, x: &[f32], weight: &[f32], bias: Option<&[f32]>, act: Activation, out: &mut [f32]) {
        let (k, area) = (self.k(), self.oh * self.ow);
        let weight = Mat::rows(weight, self.o, k);
        if let Some(bias) = bias {
            for (line, &b) in out.chunks_exact_mut(area).zip(bias) {
                line.fill(b);
            }
        }
        if self.pointwise() {
            matmul(out, area, weight, Mat::rows(x, k, area), bias.is_some());
        } else {
            COLUMNS.with_borrow_mut(|col| {
                for y0 in (0..self.oh).step_by(self.tile_rows()) {
                    let y1 = (y0 + self.tile_rows()).min(self.oh);
                    let tile = (y1 - y0) * self.ow;
                    col.resize(k * tile, 0.0);
                    self.im2col(x, col, y0, y1);
                    matmul(&mut out[y0 * self.ow..], area, weight, Mat::rows(col, k, tile), bias.is_some());
                }
            });
        }
        vectorized(|| act.apply(out));
    }

    /// Adds one image's share to `dw`, and writes its input gradient if asked.
    fn backward_one(&self, x: &[f32], weight: &[f32], dy: &[f32], dw: &mut [f32], dx: Option<&mut [f32]>) {
        let (k, area) = (self.k(), self.oh * self.ow);
        let weight = Mat::rows(weight, self.o, k);
        if self.pointwise() {
            add_products_of_rows(dw, Mat::rows(dy, self.o, area), Mat::rows(x, k, area));
            if let Some(dx) = dx {
                matmul(dx, area, weight.t(), Mat::rows(dy, self.o, area), false);
            }
            return;
        }
        let mut dx = dx;
        COLUMNS.with_borrow_mut(|col| {
            for y0 in (0..self.oh).step_by(self.tile_rows()) {
                let y1 = (y0 + self.tile_rows()).min(self.oh);
                let tile = (y1 - y0) * self.ow;
                col.resize(k * tile, 0.0);
                self.im2col(x, col, y0, y1);
                let dy = Mat::strided(&dy[y0 * self.ow..], self.o, tile, area);
                add_products_of_rows(dw, dy, Mat::rows(col, k, tile));
                if let Some(dx) = dx.as_deref_mut() {
                    matmul(col, tile, weight.t(), dy, false);
                    self.col2im(col, dx, y0, y1);
                }
            }
        });
    }
}

/// Images whose weight gradients share one accumulator: fixed, so that sums keep their order on any machine.
const GRADIENT_GROUP: usize = 4;

impl Conv2d {
    pub(super) fn forward(
        self,
        x: &[f32],
        xs: [usize; 4],
        weight: &[f32],
        ws: [usize; 4],
        bias: Option<&[f32]>,
        activation: Activation,
    ) -> Result<(Vec<f32>, Shape)> {
        let g = Geometry::new(&self, xs, ws)?;
        if bias.is_some_and(|b| b.len() != g.o) {
            bail!("convolution: the bias does not fit");
        }
        let out = in_chunks(g.n * g.out_len(), g.out_len(), |i, out| {
            let x = &x[i * g.in_len()..(i + 1) * g.in_len()];
            g.forward_one(x, weight, bias, activation, out);
        });
        Ok((out, Shape::from((g.n, g.o, g.oh, g.ow))))
    }

    /// Gradients of input (if asked) and weight from that before the activation.
    pub(super) fn backward(
        self,
        x: &Tensor,
        weight: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Tensor)> {
        let (xs, ws) = (x.dims4()?, weight.dims4()?);
        let g = Geometry::new(&self, [xs.0, xs.1, xs.2, xs.3], [ws.0, ws.1, ws.2, ws.3])?;
        let want_dx = x.track_op();
        let groups = g.n.div_ceil(GRADIENT_GROUP);
        let (dx, parts) = with_data(x, |x| {
            with_data(weight, |weight| {
                with_data(dy, |dy| {
                    // Weight gradient of a group of images, and where it is wanted the input gradient.
                    let group = |i: usize, mut dx: Option<&mut [f32]>| {
                        let mut dw = vec![0f32; g.o * g.k()];
                        let images = i * GRADIENT_GROUP..g.n.min((i + 1) * GRADIENT_GROUP);
                        for (place, image) in images.enumerate() {
                            let dx = dx
                                .as_deref_mut()
                                .map(|d| &mut d[place * g.in_len()..(place + 1) * g.in_len()]);
                            let x = &x[image * g.in_len()..(image + 1) * g.in_len()];
                            let dy = &dy[image * g.out_len()..(image + 1) * g.out_len()];
                            g.backward_one(x, weight, dy, &mut dw, dx);
                        }
                        dw
                    };
                    if !want_dx {
                        return (Vec::new(), (0..groups).into_par_iter().map(|i| group(i, None)).collect());
                    }
                    let parts: Vec<OnceLock<Vec<f32>>> = (0..groups).map(|_| OnceLock::new()).collect();
                    let dx = in_chunks(x.len(), GRADIENT_GROUP * g.in_len(), |i, dx| {
                        parts[i].get_or_init(|| group(i, Some(dx)));
                    });
                    (dx, parts.into_iter().filter_map(OnceLock::into_inner).collect::<Vec<_>>())
                })
            })
        })???;
        let mut dw = vec![0f32; g.o * g.k()];
        for part in parts {
            dw.iter_mut().zip(&part).for_each(|(t, p)| *t += p);
        }
        let device = x.device();
        let dx = want_dx.then(|| Tensor::from_vec(dx, x.shape(), device)).transpose()?;
        Ok((dx, Tensor::from_vec(dw, weight.shape(), device)?))
    }
}

impl CustomOp2 for Conv2d {
    fn name(&self) -> &'static str {
        "candor-conv2d"
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
        Ok((dx, Some(dw)))
    }
}

impl CustomOp3 for Conv2d {
    fn name(&self) -> &'static str {
        "candor-conv2d-bias"
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
        Ok((dx, Some(dw), Some(bias_gradient(&dy)?)))
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor};

    use super::*;
    use crate::kernels::check;

    fn tensor(shape: &[usize], seed: u64) -> Tensor {
        check::var(shape, seed).as_tensor().clone()
    }

    #[test]
    fn agrees_with_candle() {
        for (k, stride, size) in [(1, 1, 5), (1, 2, 6), (3, 1, 7), (3, 2, 8), (5, 1, 9), (3, 1, 80)] {
            let x = tensor(&[2, 3, size, size + 1], 1);
            let w = tensor(&[4, 3, k, k], 2);
            let op = Conv2d::same(k, stride, Activation::None);
            let ours = x.apply_op2(&w, op).unwrap();
            let theirs = x.conv2d(&w, k / 2, stride, 1, 1).unwrap();
            assert_eq!(ours.dims(), theirs.dims());
            let diff = (ours - theirs).unwrap().abs().unwrap().flatten_all().unwrap();
            assert!(diff.max(0).unwrap().to_scalar::<f32>().unwrap() < 2e-5, "k {k} stride {stride}");
        }
    }

    #[test]
    fn gradients_agree_with_differences() {
        for (k, stride, activation) in [
            (1, 1, Activation::None),
            (3, 1, Activation::None),
            (3, 2, Activation::None),
            (5, 2, Activation::None),
        ] {
            let vars = [check::var(&[5, 2, 6, 7], 1), check::var(&[3, 2, k, k], 2), check::var(&[3], 3)];
            check::gradients(&vars, 1e-2, |v| {
                v[0].as_tensor().apply_op3(
                    v[1].as_tensor(),
                    v[2].as_tensor(),
                    Conv2d::same(k, stride, activation),
                )
            });
        }
    }

    #[test]
    fn one_dimensional_kernels_and_uneven_strides_have_gradients() {
        let op = Conv2d { stride: [1, 2], pad: [0, 2], activation: Activation::None };
        let vars = [check::var(&[2, 2, 1, 9], 1), check::var(&[3, 2, 1, 5], 2)];
        check::gradients(&vars, 1e-2, |v| v[0].as_tensor().apply_op2(v[1].as_tensor(), op));
    }

    #[test]
    fn activation_masks_the_gradient() {
        // All-positive and all-negative outputs, away from the kink.
        let x = check::var(&[1, 1, 2, 2], 1);
        let w = check::var(&[2, 1, 1, 1], 2);
        w.set(&Tensor::from_vec(vec![0.01f32, 0.01], (2, 1, 1, 1), &Device::Cpu).unwrap()).unwrap();
        let b = check::var(&[2], 3);
        b.set(&Tensor::from_vec(vec![1f32, -1.0], 2, &Device::Cpu).unwrap()).unwrap();
        check::gradients(&[x, w, b], 1e-2, |v| {
            v[0].as_tensor().apply_op3(
                v[1].as_tensor(),
                v[2].as_tensor(),
                Conv2d::same(1, 1, Activation::Relu),
            )
        });
    }

    #[test]
    fn nan_survives_the_activation() {
        let x = Tensor::from_vec(vec![f32::NAN, -1.0], (1, 1, 1, 2), &Device::Cpu).unwrap();
        let w = Tensor::from_vec(vec![1f32], (1, 1, 1, 1), &Device::Cpu).unwrap();
        for activation in [Activation::Relu, Activation::Relu6] {
            let y = x.apply_op2(&w, Conv2d::same(1, 1, activation)).unwrap();
            let y = y.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            assert!(y[0].is_nan() && y[1] == 0.0);
        }
    }

    #[test]
    fn refuses_shapes_that_do_not_fit() {
        let x = tensor(&[1, 3, 4, 4], 1);
        assert!(x.apply_op2(&tensor(&[2, 2, 3, 3], 2), Conv2d::same(3, 1, Activation::None)).is_err());
        let op = Conv2d { stride: [1, 1], pad: [0, 0], activation: Activation::None };
        assert!(x.apply_op2(&tensor(&[2, 3, 5, 5], 2), op).is_err());
    }
}

//! Safe entries to the matrix product.

use pulp::{Arch, Simd, WithSimd};

/// A read-only matrix view: element `(r, c)` is `data[r * row_stride + c * col_stride]`.
#[derive(Clone, Copy)]
pub(super) struct Mat<'a> {
    pub(super) data: &'a [f32],
    pub(super) rows: usize,
    pub(super) cols: usize,
    pub(super) row_stride: usize,
    pub(super) col_stride: usize,
}

impl<'a> Mat<'a> {
    /// A dense row-major matrix.
    pub(super) fn rows(data: &'a [f32], rows: usize, cols: usize) -> Self {
        Self { data, rows, cols, row_stride: cols, col_stride: 1 }
    }

    /// Row-major with a longer stride between rows.
    pub(super) fn strided(data: &'a [f32], rows: usize, cols: usize, row_stride: usize) -> Self {
        Self { data, rows, cols, row_stride, col_stride: 1 }
    }

    pub(super) fn t(self) -> Self {
        Self {
            rows: self.cols,
            cols: self.rows,
            row_stride: self.col_stride,
            col_stride: self.row_stride,
            ..self
        }
    }

    /// A row of a row-major matrix; the last one for any that is beyond.
    fn row(&self, r: usize) -> &'a [f32] {
        &self.data[r.min(self.rows - 1) * self.row_stride..][..self.cols]
    }

    fn last(&self) -> usize {
        (self.rows - 1) * self.row_stride + (self.cols - 1) * self.col_stride
    }
}

/// `out = a * b`, or `out += a * b` with `accumulate`; `out` is row-major with `out_stride` between rows.
///
/// Runs on the calling thread only, so the result does not depend on the thread count.
pub(super) fn matmul(out: &mut [f32], out_stride: usize, a: Mat<'_>, b: Mat<'_>, accumulate: bool) {
    let (m, n, k) = (a.rows, b.cols, a.cols);
    assert_eq!(k, b.rows, "inner dimensions");
    if m == 0 || n == 0 || k == 0 {
        return;
    }
    assert!(out_stride >= n && (m - 1) * out_stride + n <= out.len(), "output too small");
    assert!(a.last() < a.data.len() && b.last() < b.data.len(), "operand too small");
    // SAFETY: the assertions above keep every element that the product touches inside its slice.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.as_mut_ptr(),
            1,
            out_stride as isize,
            accumulate,
            a.data.as_ptr(),
            a.col_stride as isize,
            a.row_stride as isize,
            b.data.as_ptr(),
            b.col_stride as isize,
            b.row_stride as isize,
            1.0,
            1.0,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

/// `out[i, j] += sum over t of a[i, t] * b[j, t]`, with the long axis of both operands last; `out` is `[a.rows, b.rows]`,
/// dense. `a` and `b` are row-major.
///
/// For weight gradients. A general product has to turn both operands round before its vectors find anything side by
/// side, value by value; here the vectors run along the long axis, and only the end is summed across.
pub(super) fn add_products_of_rows(out: &mut [f32], a: Mat<'_>, b: Mat<'_>) {
    assert!(a.cols == b.cols && a.col_stride == 1 && b.col_stride == 1, "rows of one length");
    assert_eq!(out.len(), a.rows * b.rows, "output size");
    Arch::new().dispatch(RowProducts { out, a, b });
}

struct RowProducts<'a> {
    out: &'a mut [f32],
    a: Mat<'a>,
    b: Mat<'a>,
}

/// Rows of each operand that are multiplied in one pass: 16 sums, which fit the registers with AVX-512.
const BLOCK: usize = 4;

impl WithSimd for RowProducts<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { out, a, b } = self;
        for i in (0..a.rows).step_by(BLOCK) {
            for j in (0..b.rows).step_by(BLOCK) {
                // At the edge the last row stands in for those that are missing; what comes of it is not used.
                let sums = block(simd, a, i, b, j);
                for (i, sums) in (i..a.rows).zip(sums) {
                    for (j, sum) in (j..b.rows).zip(sums) {
                        out[i * b.rows + j] += sum;
                    }
                }
            }
        }
    }
}

#[inline(always)]
fn block<S: Simd>(simd: S, a: Mat<'_>, i: usize, b: Mat<'_>, j: usize) -> [[f32; BLOCK]; BLOCK] {
    let (a0, a1, a2, a3) = (a.row(i), a.row(i + 1), a.row(i + 2), a.row(i + 3));
    let (b0, b1, b2, b3) = (b.row(j), b.row(j + 1), b.row(j + 2), b.row(j + 3));
    let mut sums = [[simd.splat_f32s(0.0); BLOCK]; BLOCK];
    let mut add = |a: [S::f32s; BLOCK], b: [S::f32s; BLOCK]| {
        for (sums, a) in sums.iter_mut().zip(a) {
            for (sum, b) in sums.iter_mut().zip(b) {
                *sum = simd.mul_add_e_f32s(a, b, *sum);
            }
        }
    };
    let ((a0, a0t), (a1, a1t)) = (S::as_simd_f32s(a0), S::as_simd_f32s(a1));
    let ((a2, a2t), (a3, a3t)) = (S::as_simd_f32s(a2), S::as_simd_f32s(a3));
    let ((b0, b0t), (b1, b1t)) = (S::as_simd_f32s(b0), S::as_simd_f32s(b1));
    let ((b2, b2t), (b3, b3t)) = (S::as_simd_f32s(b2), S::as_simd_f32s(b3));
    let vectors = a0.iter().zip(a1).zip(a2).zip(a3).zip(b0).zip(b1).zip(b2).zip(b3);
    for (((((((&a0, &a1), &a2), &a3), &b0), &b1), &b2), &b3) in vectors {
        add([a0, a1, a2, a3], [b0, b1, b2, b3]);
    }
    if !a0t.is_empty() {
        let load = |part: &[f32]| simd.partial_load_f32s(part);
        add([load(a0t), load(a1t), load(a2t), load(a3t)], [load(b0t), load(b1t), load(b2t), load(b3t)]);
    }
    // Not by `map`, which is no longer compiled for the processor.
    let mut totals = [[0.0; BLOCK]; BLOCK];
    for (totals, sums) in totals.iter_mut().zip(sums) {
        for (total, sum) in totals.iter_mut().zip(sums) {
            *total = simd.reduce_sum_f32s(sum);
        }
    }
    totals
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::check::values;

    #[test]
    fn products_of_rows_as_by_the_definition() {
        for (m, n, k, stride) in [(1, 1, 1, 1), (4, 4, 64, 64), (3, 5, 37, 40), (9, 6, 130, 131)] {
            let (a, b) = (values(m * stride, 1), values(n * stride, 2));
            let mut out = vec![1f32; m * n];
            add_products_of_rows(&mut out, Mat::strided(&a, m, k, stride), Mat::strided(&b, n, k, stride));
            for i in 0..m {
                for j in 0..n {
                    let dot: f64 =
                        (0..k).map(|t| f64::from(a[i * stride + t]) * f64::from(b[j * stride + t])).sum();
                    assert!((f64::from(out[i * n + j]) - 1.0 - dot).abs() < 1e-4);
                }
            }
        }
    }
}

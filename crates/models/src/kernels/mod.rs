//! Kernels that candle lacks or has only slowly, as custom operations with gradients of their own.
//!
//! All of them read and write contiguous f32 tensors in NCHW order, parallelise over the batch with rayon, and give the
//! same bits whatever the thread count: every sum has one fixed order.
#![allow(
    clippy::inline_always,
    reason = "what is vectorised must be compiled for the processor of its caller"
)]

mod conv;
mod depthwise;
mod gemm;
mod loss;
mod norm;
mod packed;
mod pointwise;
mod pool;
mod residual;
mod sparse;
mod temporal;
mod transformer;

use candle_core::{CpuStorage, Layout, Result, Tensor, bail};
use rayon::prelude::*;

pub use conv::{Activation, Conv2d};
pub use depthwise::Depthwise2d;
pub use loss::BceWithLogits;
pub use norm::{BatchStatistics, ConvNorm, Convolution};
pub use pointwise::Pointwise;
pub use pool::{MaxHalves, MaxPool2};
pub use residual::AddRelu;
pub use sparse::{SparseLinear, SparseRows};
pub(crate) use temporal::over_time;
pub use transformer::{Attention, Curve, Dense, LayerNorm};

/// The contiguous f32 data behind an operand.
fn data<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    let slice = storage.as_slice::<f32>()?;
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&slice[start..end]),
        None => bail!("operand is not contiguous"),
    }
}

/// Runs `f` on the contiguous f32 data of a tensor.
fn with_data<R>(tensor: &Tensor, f: impl FnOnce(&[f32]) -> R) -> Result<R> {
    let tensor = tensor.contiguous()?;
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        candle_core::Storage::Cpu(cpu) => Ok(f(data(cpu, layout)?)),
        _ => bail!("the kernels run on the CPU only"),
    }
}

/// Tells glibc to keep freed memory for the next tensors; elsewhere it does nothing.
///
/// A training step frees hundreds of megabytes and asks for them again. Unless told, glibc hands them back to the
/// system each time, and a third of the step goes into getting fresh pages. Memory then stays at its peak.
pub fn keep_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: both are plain settings of the allocator, which it takes at any time; a refusal changes nothing.
    unsafe {
        // The largest threshold that glibc takes: what is larger is mapped by itself as before.
        libc::mallopt(libc::M_MMAP_THRESHOLD, 32 << 20);
        libc::mallopt(libc::M_TRIM_THRESHOLD, libc::c_int::MAX);
    }
}

/// Runs `f` as the compiler vectorises it for this processor (AVX2 or AVX-512 where it has them). What `f` calls must be
/// inlined to take part. The bits don't change: nothing is reordered, and products and sums are not fused.
#[inline]
fn vectorized<R>(f: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(f)
}

/// `len` zeros, of which `f` changes each run of `chunk` as it likes, in parallel; `f` gets the number of the run.
///
/// A run is zeroed where and when it is worked on, not all of the memory beforehand by one thread.
fn in_chunks(len: usize, chunk: usize, f: impl Fn(usize, &mut [f32]) + Sync) -> Vec<f32> {
    let mut out: Vec<f32> = Vec::with_capacity(len);
    out.spare_capacity_mut()[..len].par_chunks_mut(chunk.max(1)).enumerate().for_each(|(i, run)| {
        for value in run.iter_mut() {
            value.write(0.0);
        }
        // SAFETY: every element of the run was written just now.
        f(i, unsafe { &mut *(std::ptr::from_mut(run) as *mut [f32]) });
    });
    // SAFETY: the runs cover the first `len` elements, and each was written.
    unsafe { out.set_len(len) };
    out
}

/// Splits NCHW dimensions.
fn nchw(layout: &Layout) -> Result<[usize; 4]> {
    let (n, c, h, w) = layout.shape().dims4()?;
    Ok([n, c, h, w])
}

#[cfg(test)]
pub(crate) mod check {
    //! Gradient checks by central differences.

    use candle_core::{Device, Result, Tensor, Var};
    use rand::{Rng, RngExt, SeedableRng};

    /// Reproducible values in (-1, 1).
    pub(crate) fn values(n: usize, seed: u64) -> Vec<f32> {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
        (0..n).map(|_| rng.random_range(-1.0..1.0)).collect()
    }

    /// A variable of reproducible values.
    pub(crate) fn var(shape: &[usize], seed: u64) -> Var {
        let n = shape.iter().product();
        Var::from_tensor(&Tensor::from_vec(values(n, seed), shape, &Device::Cpu).unwrap()).unwrap()
    }

    /// Compares the gradient of `sum(f(vars) * weights)` with central differences at up to 40 places of each variable.
    pub(crate) fn gradients(vars: &[Var], tolerance: f32, f: impl Fn(&[Var]) -> Result<Tensor>) {
        let objective = |vars: &[Var]| -> f64 {
            let out = f(vars).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
            let weights = values(out.len(), 99);
            out.iter().zip(&weights).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
        };
        let out = f(vars).unwrap();
        let weights = Tensor::from_vec(values(out.elem_count(), 99), out.shape(), &Device::Cpu).unwrap();
        let loss = (out * weights).unwrap().sum_all().unwrap();
        let grads = loss.backward().unwrap();
        for (v, var) in vars.iter().enumerate() {
            let grad = grads.get(var).expect("every variable gets a gradient");
            let grad = grad.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            let base = var.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(7);
            for _ in 0..40.min(base.len()) {
                let i = (rng.next_u64() % base.len() as u64) as usize;
                let h = 1e-2f32;
                let at = |delta: f32| {
                    let mut moved = base.clone();
                    moved[i] += delta;
                    var.set(&Tensor::from_vec(moved, var.shape(), &Device::Cpu).unwrap()).unwrap();
                    objective(vars)
                };
                let numeric = (at(h) - at(-h)) / f64::from(2.0 * h);
                var.set(&Tensor::from_vec(base.clone(), var.shape(), &Device::Cpu).unwrap()).unwrap();
                let analytic = f64::from(grad[i]);
                let scale = 1.0 + numeric.abs().max(analytic.abs());
                assert!(
                    (numeric - analytic).abs() <= f64::from(tolerance) * scale,
                    "variable {v}, element {i}: numeric {numeric}, analytic {analytic}"
                );
            }
        }
    }
}

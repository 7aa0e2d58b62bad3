//! The end of a residual block.

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor, bail};

use super::{Activation, conv::before, data, in_chunks, vectorized};

/// `max(a + b, 0)` of two tensors of one shape, `[n, ...]`; NaN stays NaN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddRelu;

impl CustomOp2 for AddRelu {
    fn name(&self) -> &'static str {
        "candor-add-relu"
    }

    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (a, b) = (data(s1, l1)?, data(s2, l2)?);
        if l1.shape() != l2.shape() {
            bail!("a residual of {:?} on {:?}", l2.shape(), l1.shape());
        }
        let image = (a.len() / l1.dims().first().copied().unwrap_or(1).max(1)).max(1);
        let out = in_chunks(a.len(), image, |i, out| {
            let (a, b) = (&a[i * image..][..out.len()], &b[i * image..][..out.len()]);
            vectorized(|| {
                out.iter_mut().zip(a).zip(b).for_each(|((o, a), b)| *o = a + b);
                Activation::Relu.apply(out);
            });
        });
        Ok((CpuStorage::F32(out), l1.shape().clone()))
    }

    fn bwd(
        &self,
        _a: &Tensor,
        _b: &Tensor,
        res: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let dy = before(Activation::Relu, res, grad)?;
        Ok((Some(dy.clone()), Some(dy)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::check;

    #[test]
    fn as_candle_has_it_with_its_gradients() {
        let (a, b) = (check::var(&[2, 3, 4, 5], 1), check::var(&[2, 3, 4, 5], 2));
        let ours = a.apply_op2(b.as_tensor(), AddRelu).unwrap();
        let theirs = (a.as_tensor() + b.as_tensor()).unwrap().relu().unwrap();
        let gradient = |y: &Tensor| {
            let grads = y.sqr().unwrap().sum_all().unwrap().backward().unwrap();
            [&a, &b].map(|v| grads.get(v).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap())
        };
        assert_eq!(gradient(&ours), gradient(&theirs));
        let values = |y: &Tensor| y.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(values(&ours), values(&theirs));
        assert!(a.apply_op2(&b.narrow(2, 0, 2).unwrap().contiguous().unwrap(), AddRelu).is_err());
    }
}

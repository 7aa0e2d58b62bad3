//! Ridge logistic regression.

use rayon::prelude::*;

/// Rows whose gradients are summed before they are added up in order.
const CHUNK: usize = 256;

/// A linear function of the features.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Linear {
    pub(crate) weights: Vec<f64>,
    pub(crate) bias: f64,
}

/// Minimises `sum_i weight_i * cross_entropy(target_i, logit_i) + ridge / 2 * |weights|^2` over rows of `d` features by
/// `steps` steps of Nesterov's accelerated gradient; the bias is free. The features are expected to be standardised and
/// the weights to sum to one. `None` without rows or when the lengths do not fit.
pub(crate) fn fit(
    x: &[f32],
    d: usize,
    targets: &[f64],
    weights: &[f64],
    ridge: f64,
    steps: u32,
) -> Option<Linear> {
    let n = targets.len();
    if d == 0 || n == 0 || x.len() != n * d || weights.len() != n {
        return None;
    }
    // Gradient of the data term without the sigmoid's slope: X' diag(w) (X v), for v with the bias last.
    let product = |theta: &[f64], residual: &(dyn Fn(usize, f64) -> f64 + Sync)| -> Vec<f64> {
        let parts: Vec<Vec<f64>> = x
            .par_chunks(CHUNK * d)
            .enumerate()
            .map(|(c, rows)| {
                let mut sum = vec![0.0; d + 1];
                for (i, row) in rows.chunks_exact(d).enumerate() {
                    let z = theta[d] + row.iter().zip(theta).map(|(&a, b)| f64::from(a) * b).sum::<f64>();
                    let r = residual(c * CHUNK + i, z);
                    sum.iter_mut().zip(row).for_each(|(s, &v)| *s += r * f64::from(v));
                    sum[d] += r;
                }
                sum
            })
            .collect();
        parts.into_iter().fold(vec![0.0; d + 1], |mut total, part| {
            total.iter_mut().zip(&part).for_each(|(t, p)| *t += p);
            total
        })
    };
    // A quarter of the largest eigenvalue bounds the curvature; a dozen steps of the power method come close from below.
    let mut v = vec![1.0 / ((d + 1) as f64).sqrt(); d + 1];
    let mut largest = 0.0;
    for _ in 0..12 {
        v = product(&v, &|i, z| weights[i] * z);
        largest = v.iter().map(|a| a * a).sum::<f64>().sqrt();
        for a in &mut v {
            *a /= largest.max(1e-300);
        }
    }
    let rate = 1.0 / (0.25 * 1.2 * largest + ridge);
    let (mut theta, mut ahead) = (vec![0.0; d + 1], vec![0.0; d + 1]);
    for t in 0..steps {
        let mut gradient = product(&ahead, &|i, z| weights[i] * (1.0 / (1.0 + (-z).exp()) - targets[i]));
        gradient.iter_mut().zip(&ahead).take(d).for_each(|(g, a)| *g += ridge * a);
        let next: Vec<f64> = ahead.iter().zip(&gradient).map(|(a, g)| a - rate * g).collect();
        let momentum = f64::from(t) / f64::from(t + 3);
        ahead = next.iter().zip(&theta).map(|(n, o)| n + momentum * (n - o)).collect();
        theta = next;
    }
    let bias = theta.pop()?;
    Some(Linear { weights: theta, bias })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_a_reference() {
        // x = np.array([[0, 1], [1, 0], [2, 2], [3, 1], [1, 3], [4, 0.5]]); y = np.array([0, 0, 1, 1, 0, 1]); w = np.full(6, 1 / 6)
        // f = lambda t: (w * (np.logaddexp(0, x @ t[:2] + t[2]) - y * (x @ t[:2] + t[2]))).sum() + .05 * (t[:2] @ t[:2])
        // scipy.optimize.minimize(f, np.zeros(3), tol=1e-12).x
        let x = [0.0, 1.0, 1.0, 0.0, 2.0, 2.0, 3.0, 1.0, 1.0, 3.0, 4.0, 0.5];
        let y = [0.0, 0.0, 1.0, 1.0, 0.0, 1.0];
        let fitted = fit(&x, 2, &y, &[1.0 / 6.0; 6], 0.1, 3000).unwrap();
        for (got, want) in fitted.weights.iter().chain([&fitted.bias]).zip(WANT) {
            assert!((got - want).abs() < 1e-4, "{got} instead of {want}");
        }
        assert!(fit(&x, 3, &y, &[1.0; 6], 0.1, 10).is_none());
    }

    const WANT: [f64; 3] = [1.454_004, 0.084_707, -2.659_795];
}

//! Convolution over time of a sequence of frames, as one matrix product.

use super::gemm::{Mat, matmul};

/// Convolves `x`, `[frames, inputs]`, over time with `weight`, `[taps * inputs, outputs]`, and adds `bias`; the ends are padded with
/// zeros to the same length. `[frames, outputs]`.
///
/// Frame after frame in memory, the inputs of an output overlap: a view with a row stride of one frame is the matrix that other layouts
/// have to copy together.
pub(crate) fn over_time(x: &[f32], inputs: usize, weight: &[f32], bias: &[f32], taps: usize) -> Vec<f32> {
    let (frames, outputs) = (x.len() / inputs.max(1), bias.len());
    let mut out = bias.repeat(frames);
    if frames == 0 || outputs == 0 {
        return out;
    }
    let margin = vec![0.0; taps / 2 * inputs];
    let padded = [&margin, x, &margin].concat();
    let windows = Mat::strided(&padded, frames, taps * inputs, inputs);
    matmul(&mut out, outputs, windows, Mat::rows(weight, taps * inputs, outputs), true);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_by_the_definition() {
        let (frames, inputs, outputs, taps) = (11, 3, 4, 5);
        let value = |i: usize| (i as f32 * 0.37).sin();
        let x: Vec<f32> = (0..frames * inputs).map(value).collect();
        let weight: Vec<f32> = (0..taps * inputs * outputs).map(|i| value(i + 7)).collect();
        let bias: Vec<f32> = (0..outputs).map(|i| value(i + 99)).collect();
        let got = over_time(&x, inputs, &weight, &bias, taps);
        for t in 0..frames {
            for o in 0..outputs {
                let mut sum = bias[o];
                for j in 0..taps {
                    let at = t as i64 + j as i64 - 2;
                    if (0..frames as i64).contains(&at) {
                        for i in 0..inputs {
                            sum += x[at as usize * inputs + i] * weight[(j * inputs + i) * outputs + o];
                        }
                    }
                }
                assert!((got[t * outputs + o] - sum).abs() < 1e-5);
            }
        }
        assert!(over_time(&[], 3, &weight, &bias, taps).is_empty());
    }
}

//! Comparison of what networks compute with what was computed elsewhere.

use candle_core::Tensor;

/// Compares mean, standard deviation and the values at some places of a tensor, in this order, with what is expected; each may be off by
/// `share` of the standard deviation.
pub(super) fn check(tensor: &Tensor, places: &[usize], expected: &[f64], share: f64) {
    let values = tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let values: Vec<f64> = values.into_iter().map(f64::from).collect();
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let sd = (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n).sqrt();
    let found: Vec<f64> = [mean, sd].into_iter().chain(places.iter().map(|&i| values[i])).collect();
    assert_eq!(found.len(), expected.len());
    let tolerance = share * sd.min(expected[1]);
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() < tolerance, "{:?}: {found}, not {expected}", tensor.dims());
    }
}

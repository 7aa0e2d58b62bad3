//! Points for diagrams.

use serde::Serialize;
use statrs::function::erf::erfc_inv;

use crate::{Scored, ascending, classes};

/// One point of a ROC curve.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct RocPoint {
    /// Share of genuine items flagged, 0 to 1.
    pub fpr: f64,
    /// Share of machine-made items flagged, 0 to 1.
    pub tpr: f64,
    /// Items above it are flagged; minus infinity where all are.
    pub threshold: f64,
}

/// The ROC curve from (0, 0) to (1, 1); points on a straight line between their neighbours are left out. `None` when a
/// class is empty.
pub fn roc(items: &[&Scored]) -> Option<Vec<RocPoint>> {
    let (genuine, fabricated) = classes(items)?;
    let sorted = ascending(items);
    // Counts stay whole until the end, so that the test for a straight line is exact.
    let mut points: Vec<(usize, usize, f64)> = Vec::new();
    let mut add = |p: (usize, usize, f64)| {
        if let [.., a, b] = points.as_slice()
            && (b.0 - a.0) * (p.1 - b.1) == (p.0 - b.0) * (b.1 - a.1)
        {
            points.pop();
        }
        points.push(p);
    };
    let (mut g, mut f) = (0, 0);
    for tie in sorted.chunk_by(|a, b| a.0 == b.0).rev() {
        add((g, f, tie.first().map_or(f64::NEG_INFINITY, |t| t.0)));
        f += tie.iter().filter(|s| s.1).count();
        g += tie.iter().filter(|s| !s.1).count();
    }
    add((g, f, f64::NEG_INFINITY));
    let point =
        |(g, f, threshold)| RocPoint { fpr: g as f64 / genuine, tpr: f as f64 / fabricated, threshold };
    Some(points.into_iter().map(|(g, f, t): (usize, usize, f64)| point((g, f, t))).collect())
}

/// One point of a detection error trade-off curve (Martin et al. 1997).
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct DetPoint {
    /// Share of genuine items flagged, between 0 and 1.
    pub fpr: f64,
    /// Share of machine-made items missed, between 0 and 1.
    pub miss: f64,
    /// Probit of `fpr`: the abscissa.
    pub x: f64,
    /// Probit of `miss`: the ordinate.
    pub y: f64,
}

/// The points of [`roc`] on probit axes; rates of 0 and 1 have no place on those and are left out.
pub fn det(items: &[&Scored]) -> Option<Vec<DetPoint>> {
    let inside = |p: &RocPoint| p.fpr > 0.0 && p.fpr < 1.0 && p.tpr > 0.0 && p.tpr < 1.0;
    let point = |p: RocPoint| {
        let miss = 1.0 - p.tpr;
        DetPoint { fpr: p.fpr, miss, x: probit(p.fpr), y: probit(miss) }
    };
    Some(roc(items)?.into_iter().filter(inside).map(point).collect())
}

/// Quantile of the standard normal distribution; infinite at 0 and 1.
pub fn probit(p: f64) -> f64 {
    -std::f64::consts::SQRT_2 * erfc_inv(2.0 * p)
}

/// Counts of scores in bins of equal width.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Histogram {
    /// Edges of the bins, ascending, one more than bins.
    pub edges: Vec<f64>,
    /// Genuine items in each bin.
    pub genuine: Vec<usize>,
    /// Machine-made items in each bin.
    pub fabricated: Vec<usize>,
}

/// Histogram of the scores of both classes from the lowest to the highest; the last bin holds its upper edge. `None`
/// without items, bins or finite range.
pub fn histogram(items: &[&Scored], bins: usize) -> Option<Histogram> {
    let low = items.iter().map(|s| s.score).reduce(f64::min)?;
    let high = items.iter().map(|s| s.score).reduce(f64::max)?;
    let width = (high - low) / bins as f64;
    if bins == 0 || !width.is_finite() {
        return None;
    }
    let edges = (0..bins).map(|i| low + width * i as f64).chain([high]).collect();
    let mut counts = [vec![0; bins], vec![0; bins]];
    for s in items {
        let bin = if width > 0.0 { ((s.score - low) / width) as usize } else { 0 };
        if let Some(count) = counts[usize::from(s.fabricated)].get_mut(bin.min(bins - 1)) {
            *count += 1;
        }
    }
    let [genuine, fabricated] = counts;
    Some(Histogram { edges, genuine, fabricated })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        auroc,
        testing::{close, golden, items},
    };

    #[test]
    fn roc_agrees_with_scikit_learn() {
        // fpr, tpr, _ = roc_curve(y, s, drop_intermediate=True), less three points that lie on straight lines, which it
        // keeps where steps differ in length
        const ROC: [(f64, f64); 11] = [
            (0.0, 0.0),
            (0.0, 0.5),
            (0.1, 0.5),
            (0.1, 0.6),
            (0.2, 0.7),
            (0.2, 0.8),
            (0.3, 0.8),
            (0.4, 0.9),
            (0.6, 0.9),
            (0.6, 1.0),
            (1.0, 1.0),
        ];
        let points = golden(roc).unwrap();
        assert_eq!(points.len(), ROC.len());
        for (p, (fpr, tpr)) in points.iter().zip(ROC) {
            close(Some(p.fpr), fpr);
            close(Some(p.tpr), tpr);
        }
        // The area under the points is the rank statistic.
        let area = points.windows(2).map(|w| (w[1].fpr - w[0].fpr) * (w[1].tpr + w[0].tpr) / 2.0).sum();
        close(golden(auroc), area);
    }

    #[test]
    fn det_has_probit_axes() {
        // scipy.stats.norm.ppf([.001, .05, .5, .975]) -> [-3.09023231, -1.64485363, 0, 1.95996398]
        for (p, x) in [(0.001, -3.090_232_306), (0.05, -1.644_853_627), (0.5, 0.0), (0.975, 1.959_963_985)] {
            close(Some(probit(p)), x);
        }
        let points = golden(det).unwrap();
        assert!(!points.is_empty() && points.iter().all(|p| p.x.is_finite() && p.y.is_finite()));
        assert_eq!(det(&[]), None);
    }

    #[test]
    fn histogram_counts_every_item() {
        let h = golden(|s| histogram(s, 4)).unwrap();
        // np.histogram(g, 4, (-2.1, 3.1))[0], np.histogram(f, 4, (-2.1, 3.1))[0]
        assert_eq!((h.genuine, h.fabricated), (vec![4, 5, 1, 0], vec![1, 3, 3, 3]));
        assert_eq!(h.edges.len(), 5);
        let one = items(&[1.0], &[1.0]);
        let one: Vec<&Scored> = one.iter().collect();
        assert_eq!(histogram(&one, 3).unwrap().genuine, [1, 0, 0]);
        assert_eq!(histogram(&one, 0), None);
        assert_eq!(histogram(&[], 3), None);
    }
}

//! Metrics that depend on the order of the scores only.

use crate::{Scored, ascending, classes};

/// Area under the ROC curve, 0 to 1: the probability that a machine-made item scores above a genuine one, ties counted
/// half (Mann and Whitney 1947). `None` when a class is empty.
pub fn auroc(items: &[&Scored]) -> Option<f64> {
    let (genuine, fabricated) = classes(items)?;
    let sorted = ascending(items);
    let (mut below, mut area) = (0usize, 0.0);
    for tie in sorted.chunk_by(|a, b| a.0 == b.0) {
        let f = tie.iter().filter(|s| s.1).count();
        let g = tie.len() - f;
        area += f as f64 * (below as f64 + g as f64 / 2.0);
        below += g;
    }
    Some(area / (fabricated * genuine))
}

/// Average precision of the machine-made class, 0 to 1: precisions at the distinct thresholds weighted by the recall
/// that each adds, without interpolation (the definition of scikit-learn). It depends on the share of machine-made
/// items; that share is its value for scores that say nothing. `None` when a class is empty.
pub fn average_precision(items: &[&Scored]) -> Option<f64> {
    let (_, fabricated) = classes(items)?;
    let sorted = ascending(items);
    let (mut hits, mut flagged, mut total) = (0usize, 0usize, 0.0);
    for tie in sorted.chunk_by(|a, b| a.0 == b.0).rev() {
        let f = tie.iter().filter(|s| s.1).count();
        hits += f;
        flagged += tie.len();
        total += f as f64 * hits as f64 / flagged as f64;
    }
    Some(total / fabricated)
}

/// Equal error rate, 0 to 1: where the miss rate of machine-made items and the false-alarm rate of genuine ones meet,
/// interpolated linearly between neighbouring thresholds. `None` when a class is empty.
pub fn eer(items: &[&Scored]) -> Option<f64> {
    let (genuine, fabricated) = classes(items)?;
    let sorted = ascending(items);
    // Threshold below everything: no miss, every genuine item a false alarm.
    let (mut miss, mut alarm) = (0.0, 1.0);
    for tie in sorted.chunk_by(|a, b| a.0 == b.0) {
        let f = tie.iter().filter(|s| s.1).count() as f64;
        let next = (miss + f / fabricated, alarm - (tie.len() as f64 - f) / genuine);
        if next.0 >= next.1 {
            let (d0, d1) = (alarm - miss, next.0 - next.1);
            let t = if d0 + d1 > 0.0 { d0 / (d0 + d1) } else { 0.0 };
            return Some(miss + t * (next.0 - miss));
        }
        (miss, alarm) = next;
    }
    Some(miss)
}

/// Share of machine-made items above the threshold that lets through at most `fpr` of the genuine ones, 0 to 1.
/// [`crate::operating_point`] says whether there are enough genuine items for that `fpr`. `None` when a class is empty.
pub fn tpr_at_fpr(items: &[&Scored], fpr: f64) -> Option<f64> {
    let (_, fabricated) = classes(items)?;
    let threshold = threshold_at_fpr(items, fpr);
    let hits = items.iter().filter(|s| s.fabricated && s.score > threshold).count();
    Some(hits as f64 / fabricated)
}

/// The lowest threshold with at most `fpr` of the genuine items above it.
pub(crate) fn threshold_at_fpr(items: &[&Scored], fpr: f64) -> f64 {
    let mut genuine: Vec<f64> = items.iter().filter(|s| !s.fabricated).map(|s| s.score).collect();
    // The small term keeps 0.29 * 100 from being 28.
    let allowed = (fpr * genuine.len() as f64 + 1e-9).floor() as usize;
    let Some(place) = genuine.len().checked_sub(allowed + 1) else { return f64::NEG_INFINITY };
    *genuine.select_nth_unstable_by(place, f64::total_cmp).1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{close, golden, items};

    #[test]
    fn agrees_with_scikit_learn() {
        // from sklearn.metrics import roc_auc_score, average_precision_score
        // roc_auc_score([0,0,0,0,1,1,1,1], [.1,.4,.35,.8,.4,.8,.9,.2])  -> 0.6875
        let s = items(&[0.1, 0.4, 0.35, 0.8], &[0.4, 0.8, 0.9, 0.2]);
        close(auroc(&s.iter().collect::<Vec<_>>()), 0.6875);
        // roc_auc_score(y, s), average_precision_score(y, s)
        close(golden(auroc), 0.86);
        close(golden(average_precision), 0.875_222_833);
    }

    #[test]
    fn eer_of_known_cases() {
        let rate = |g: &[f64], f: &[f64]| {
            let s = items(g, f);
            eer(&s.iter().collect::<Vec<_>>()).unwrap()
        };
        assert_eq!(rate(&[0.0, 1.0], &[2.0, 3.0]), 0.0);
        assert_eq!(rate(&[2.0, 3.0], &[0.0, 1.0]), 1.0);
        assert_eq!(rate(&[0.0, 1.0, 2.0, 5.0], &[3.0, 4.0, 6.0, 7.0]), 0.25);
        assert_eq!(rate(&[1.0], &[1.0]), 0.5);
    }

    #[test]
    fn tpr_counts_only_above_the_threshold() {
        let s = items(&(0..100).map(f64::from).collect::<Vec<_>>(), &[98.0, 98.5, 99.0, 100.0]);
        let s: Vec<&Scored> = s.iter().collect();
        assert_eq!(tpr_at_fpr(&s, 0.01), Some(0.75));
        assert_eq!(tpr_at_fpr(&s, 0.0), Some(0.25));
        assert_eq!(tpr_at_fpr(&s, 1.0), Some(1.0));
    }

    #[test]
    fn an_empty_class_has_no_figure() {
        let s = items(&[0.5, 0.1], &[]);
        let s: Vec<&Scored> = s.iter().collect();
        for metric in [auroc, average_precision, eer, |s: &[&Scored]| tpr_at_fpr(s, 0.1)] {
            assert_eq!(metric(&s), None);
            assert_eq!(metric(&[]), None);
        }
    }
}

//! Decisions at a threshold, and abstention.

use serde::Serialize;

use crate::{Estimate, Scored, classes, interval::Z, ranking::threshold_at_fpr, wilson};

/// Mean of the shares of genuine items let through and of machine-made items flagged at a threshold, 0 to 1. `None`
/// when a class is empty.
pub fn balanced_accuracy(items: &[&Scored], threshold: f64) -> Option<f64> {
    let (genuine, fabricated) = classes(items)?;
    let right = |class: bool| {
        items.iter().filter(|s| s.fabricated == class && (s.score > threshold) == class).count() as f64
    };
    Some(0.5 * (right(false) / genuine + right(true) / fabricated))
}

/// What a threshold with a wanted false-positive rate does on the items that it was set on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct OperatingPoint {
    /// Wanted share of genuine items flagged, 0 to 1.
    pub wanted: f64,
    /// The lowest threshold that flags at most that share; items above it are flagged.
    pub threshold: f64,
    /// Share of genuine items flagged, with Wilson's interval: its upper end is what the items support.
    pub fpr: Estimate,
    /// Share of machine-made items flagged, with Wilson's interval.
    pub tpr: Estimate,
    /// Whether there are [`genuine_needed`] genuine items; if not, the rate is out of reach of these items.
    pub supported: bool,
}

/// Genuine items without which not even a faultless detector shows that its false-positive rate is at most `fpr`: with
/// fewer, Wilson's upper bound for no false positive at all is above it. 73 for 5 %, 381 for 1 %, 3,838 for 0.1 %.
pub fn genuine_needed(fpr: f64) -> usize {
    // Wilson's upper bound for none of n is z^2 / (n + z^2).
    (Z * Z * (1.0 - fpr) / fpr).ceil() as usize
}

/// The operating point for a wanted false-positive rate. `None` when a class is empty.
pub fn operating_point(items: &[&Scored], fpr: f64) -> Option<OperatingPoint> {
    let threshold = threshold_at_fpr(items, fpr);
    let share = |class: bool| {
        let mine = items.iter().filter(|s| s.fabricated == class);
        let (flagged, all) = mine.fold((0, 0), |(k, n), s| (k + usize::from(s.score > threshold), n + 1));
        Some((wilson(flagged, all)?, all))
    };
    let ((tpr, _), (observed, genuine)) = (share(true)?, share(false)?);
    let supported = genuine >= genuine_needed(fpr);
    Some(OperatingPoint { wanted: fpr, threshold, fpr: observed, tpr, supported })
}

/// A decision on one item, which may be none.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    /// Name of the item, unique within its data set.
    pub name: String,
    /// Whether the item is machine-made.
    pub fabricated: bool,
    /// Whether it was flagged as machine-made; `None` for an abstention.
    pub flagged: Option<bool>,
    /// Source of the item: the unit of the bootstrap.
    pub group: String,
}

/// Accuracy that rewards abstention over errors, 0 to 1: an abstention counts as the accuracy over all items
/// (Peñas and Rodrigo 2011). `None` without items.
pub fn c_at_1(items: &[&Judged]) -> Option<f64> {
    let n = items.len() as f64;
    let right = items.iter().filter(|j| j.flagged == Some(j.fabricated)).count() as f64;
    let open = items.iter().filter(|j| j.flagged.is_none()).count() as f64;
    (!items.is_empty()).then(|| (right + open * right / n) / n)
}

/// Share of items that were decided, 0 to 1. `None` without items.
pub fn coverage(items: &[&Judged]) -> Option<f64> {
    let decided = items.iter().filter(|j| j.flagged.is_some()).count() as f64;
    (!items.is_empty()).then(|| decided / items.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{close, golden, items};

    #[test]
    fn balanced_accuracy_agrees_with_scikit_learn() {
        // balanced_accuracy_score(y, s > 0)
        close(golden(|s| balanced_accuracy(s, 0.0)), 0.8);
        assert_eq!(balanced_accuracy(&[], 0.0), None);
    }

    #[test]
    fn says_when_items_are_too_few() {
        assert_eq!([0.05, 0.01, 0.001].map(genuine_needed), [73, 381, 3838]);
        for (n, supported) in [(380, false), (381, true)] {
            let s = items(&(0..n).map(f64::from).collect::<Vec<_>>(), &[1e3, 1e4]);
            let p = operating_point(&s.iter().collect::<Vec<_>>(), 0.01).unwrap();
            assert_eq!(p.supported, supported);
            assert_eq!(p.tpr.value, 1.0);
            assert!(p.fpr.value <= 0.01 && p.fpr.high > 0.01);
        }
        for fpr in [0.05, 0.01, 0.001] {
            let n = genuine_needed(fpr);
            assert!(wilson(0, n).unwrap().high <= fpr && wilson(0, n - 1).unwrap().high > fpr);
        }
    }

    #[test]
    fn abstention_is_better_than_an_error() {
        let judged = |flags: &[Option<bool>]| -> Vec<Judged> {
            let make = |(i, &flagged): (usize, &Option<bool>)| Judged {
                name: i.to_string(),
                fabricated: true,
                flagged,
                group: String::new(),
            };
            flags.iter().enumerate().map(make).collect()
        };
        let s = judged(&[Some(true), Some(true), Some(false), None]);
        let s: Vec<&Judged> = s.iter().collect();
        // (2 + 1 * 2/4) / 4
        close(c_at_1(&s), 0.625);
        close(coverage(&s), 0.75);
        assert_eq!(c_at_1(&[]), None);
        assert_eq!(coverage(&[]), None);
    }
}

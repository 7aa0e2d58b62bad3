//! Detection metrics, curves and intervals.
//!
//! Scores are oriented so that higher means more likely machine-made; machine-made items are the positive class. Where
//! a metric takes a threshold, an item is flagged when its score is above it. Scores must be finite.
//!
//! The ASVspoof challenges orient scores the other way: theirs are high for bona fide speech, their *miss* is a genuine
//! item rejected and their *false alarm* a machine-made item accepted. See [`DetectionCost`] for the mapping.

mod calibration;
mod curves;
mod decision;
mod detection_cost;
mod interval;
mod paired;
mod ranking;

use serde::{Deserialize, Serialize};

pub use calibration::{ReliabilityBin, brier, cllr, cllr_min, ece, ece_by_chance, reliability};
pub use curves::{DetPoint, Histogram, RocPoint, det, histogram, probit, roc};
pub use decision::{
    Judged, OperatingPoint, balanced_accuracy, c_at_1, coverage, genuine_needed, operating_point,
};
pub use detection_cost::{DetectionCost, act_dcf, min_dcf};
pub use interval::{Unit, bootstrap, wilson};
pub use paired::{DeLong, Pair, delong, difference, pair};
pub use ranking::{auroc, average_precision, eer, tpr_at_fpr};

/// One scored item.
#[derive(Debug, Clone, PartialEq)]
pub struct Scored {
    /// Name of the item, unique within its data set.
    pub name: String,
    /// Raw score, probability or log likelihood ratio, as the metric asks; higher means more likely machine-made.
    pub score: f64,
    /// Whether the item is machine-made.
    pub fabricated: bool,
    /// Source of the item: the unit of the bootstrap.
    pub group: String,
}

/// A figure with its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The figure on all items.
    pub value: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end of the interval.
    pub high: f64,
}

impl std::fmt::Display for Estimate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.3} [{:.3}, {:.3}]", self.value, self.low, self.high)
    }
}

/// Scores in ascending order with their class.
fn ascending(items: &[&Scored]) -> Vec<(f64, bool)> {
    let mut sorted: Vec<(f64, bool)> = items.iter().map(|s| (s.score, s.fabricated)).collect();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    sorted
}

/// Genuine and machine-made items, `None` when a class is empty.
fn classes(items: &[&Scored]) -> Option<(f64, f64)> {
    let fabricated = items.iter().filter(|s| s.fabricated).count();
    let genuine = items.len() - fabricated;
    (fabricated > 0 && genuine > 0).then_some((genuine as f64, fabricated as f64))
}

#[cfg(test)]
mod testing {
    use super::Scored;

    /// Items named by class and place.
    pub(crate) fn items(genuine: &[f64], fabricated: &[f64]) -> Vec<Scored> {
        let make = |f: bool| {
            move |(i, &score): (usize, &f64)| Scored {
                name: format!("{f}{i}"),
                score,
                fabricated: f,
                group: format!("g{}", i % 3),
            }
        };
        genuine
            .iter()
            .enumerate()
            .map(make(false))
            .chain(fabricated.iter().enumerate().map(make(true)))
            .collect()
    }

    // The vectors of the golden tests, with ties within and between classes:
    // g = np.array([-2.1,-1.7,-1.3,-1.3,-.8,-.6,-.2,0.,.4,1.1])
    // f = np.array([-.9,-.2,.3,.4,.9,1.2,1.6,2.,2.,3.1])
    // y, s = np.r_[np.zeros(10), np.ones(10)], np.r_[g, f]
    pub(crate) const GENUINE: [f64; 10] = [-2.1, -1.7, -1.3, -1.3, -0.8, -0.6, -0.2, 0.0, 0.4, 1.1];
    pub(crate) const FABRICATED: [f64; 10] = [-0.9, -0.2, 0.3, 0.4, 0.9, 1.2, 1.6, 2.0, 2.0, 3.1];

    /// A metric on the golden vectors.
    pub(crate) fn golden<R>(metric: impl Fn(&[&Scored]) -> R) -> R {
        let items = items(&GENUINE, &FABRICATED);
        metric(&items.iter().collect::<Vec<_>>())
    }

    pub(crate) fn close(a: Option<f64>, b: f64) {
        assert!(a.is_some_and(|a| (a - b).abs() < 1e-6), "{a:?} is not {b}");
    }
}

//! Detection costs in the manner of the `ASVspoof` challenges.

use serde::{Deserialize, Serialize};

use crate::{Scored, ascending, classes};

/// Prior and costs of a detection cost function.
///
/// `ASVspoof` scores are high for bona fide speech. With `theirs = -ours`, their miss (bona fide rejected) is a genuine
/// item flagged here, and their false alarm (spoof accepted) a machine-made item let through; so `Cmiss` is
/// `genuine_flagged` and `Cfa` is `fabricated_missed`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct DetectionCost {
    /// Prior probability of a machine-made item, between 0 and 1.
    pub prior: f64,
    /// Cost of flagging a genuine item, positive.
    pub genuine_flagged: f64,
    /// Cost of missing a machine-made item, positive.
    pub fabricated_missed: f64,
}

impl DetectionCost {
    /// The parameters of `ASVspoof` 5, track 1 (Wang et al. 2024): `Pspoof` 0.05, `Cmiss` 1, `Cfa` 10.
    pub const ASVSPOOF5: Self = Self { prior: 0.05, genuine_flagged: 1.0, fabricated_missed: 10.0 };

    /// Weights of the rates at which genuine items are flagged and machine-made ones missed.
    fn weights(self) -> (f64, f64) {
        (self.genuine_flagged * (1.0 - self.prior), self.fabricated_missed * self.prior)
    }

    /// The log likelihood ratio above which flagging costs less than letting through (Bayes' threshold).
    pub fn threshold(self) -> f64 {
        let (flagged, missed) = self.weights();
        (flagged / missed).ln()
    }
}

/// Least normalised detection cost over all thresholds, 0 to 1; 1 is the cost of the better of flagging everything and
/// nothing. `None` when a class is empty.
pub fn min_dcf(items: &[&Scored], cost: DetectionCost) -> Option<f64> {
    let (genuine, fabricated) = classes(items)?;
    let (flagged, missed) = cost.weights();
    // Threshold below everything: every item flagged.
    let (mut g, mut f) = (genuine, 0.0);
    let mut least = flagged;
    for tie in ascending(items).chunk_by(|a, b| a.0 == b.0) {
        let of_fabricated = tie.iter().filter(|s| s.1).count() as f64;
        f += of_fabricated;
        g -= tie.len() as f64 - of_fabricated;
        least = least.min(flagged * g / genuine + missed * f / fabricated);
    }
    Some(least / flagged.min(missed))
}

/// Normalised detection cost of log likelihood ratios at Bayes' threshold, 0 or more. Scores are natural logarithms of
/// the ratio, positive for machine-made. `None` when a class is empty.
pub fn act_dcf(items: &[&Scored], cost: DetectionCost) -> Option<f64> {
    let (genuine, fabricated) = classes(items)?;
    let (flagged, missed) = cost.weights();
    let above = |class: bool| {
        items.iter().filter(|s| s.fabricated == class && s.score > cost.threshold()).count() as f64
    };
    let total = flagged * above(false) / genuine + missed * (fabricated - above(true)) / fabricated;
    Some(total / flagged.min(missed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{close, golden, items};

    #[test]
    fn agrees_with_the_evaluation_plan() {
        // Pspoof, Cmiss, Cfa, bona, spoof = .05, 1, 10, -g, -f
        // dcf = lambda t: Cmiss*(1-Pspoof)*(bona < t).mean() + Cfa*Pspoof*(spoof >= t).mean()
        // norm = min(Cmiss*(1-Pspoof), Cfa*Pspoof)
        // min(dcf(t) for t in np.r_[-np.inf, np.unique(np.r_[bona, spoof]), np.inf]) / norm
        // dcf(-np.log(Cmiss*(1-Pspoof) / (Cfa*Pspoof))) / norm
        close(golden(|s| min_dcf(s, DetectionCost::ASVSPOOF5)), 0.5);
        close(golden(|s| act_dcf(s, DetectionCost::ASVSPOOF5)), 0.59);
        // The same with Pspoof, Cmiss, Cfa = .5, 1, 1
        let even = DetectionCost { prior: 0.5, genuine_flagged: 1.0, fabricated_missed: 1.0 };
        close(golden(|s| min_dcf(s, even)), 0.4);
        close(golden(|s| act_dcf(s, even)), 0.4);
    }

    #[test]
    fn costs_at_their_bounds() {
        let cost = DetectionCost::ASVSPOOF5;
        let wrong = items(&[5.0, 6.0], &[-5.0, -6.0]);
        let wrong: Vec<&Scored> = wrong.iter().collect();
        close(min_dcf(&wrong, cost), 1.0);
        assert!(act_dcf(&wrong, cost).unwrap() > 1.0);
        let right = items(&[-5.0, -6.0], &[5.0, 6.0]);
        close(min_dcf(&right.iter().collect::<Vec<_>>(), cost), 0.0);
        close(act_dcf(&right.iter().collect::<Vec<_>>(), cost), 0.0);
    }
}

//! From a raw logit to a likelihood ratio and a conformal p-value.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// Calibration of one detector, fitted on development items that training never saw.
///
/// The likelihood ratio is Platt's logistic map (Platt 1999) fitted with both classes weighted equally, so its linear
/// predictor is a natural-log likelihood ratio; it is bounded by what the number of items can support (in the manner of
/// the ELUB of Vergeer et al. 2016: no ratio larger than the number of items of the other class plus one).
/// The p-value is split-conformal over the genuine items (Vovk et al. 2005) of each condition they were measured under
/// (clean, laundered in this way or that), and the largest of these counts: nobody tells a detector what a file went
/// through, and the promise about false alarms is to hold whatever it was.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// Slope of the logistic map, positive.
    pub slope: f64,
    /// Intercept of the logistic map.
    pub intercept: f64,
    /// Number of machine-made items behind the fit.
    pub fabricated: usize,
    /// Raw logits of the genuine items, ascending, a list for each condition.
    pub genuine: Vec<Vec<f32>>,
}

/// The score of one item, with what decides its calibration.
#[derive(Debug, Clone, Copy)]
pub struct Sample<'a> {
    /// Index of the condition that it was measured under.
    pub condition: usize,
    /// See [`crate::Detection::stratum`].
    pub stratum: &'a str,
    /// Raw logit.
    pub logit: f64,
    /// Whether it is machine-made.
    pub fabricated: bool,
}

/// The calibrations of a detector: one for all items, and one for each stratum of items that is large enough to stand
/// alone. What a detector can measure of an item (its bandwidth, its length) often decides how far its scores reach;
/// one threshold for all would then accuse some and let the others go.
#[derive(Debug, Clone, PartialEq)]
pub struct Calibrations {
    /// Fitted on all items.
    pub pooled: Calibration,
    /// Fitted on those of a stratum, by its name.
    pub strata: BTreeMap<String, Calibration>,
}

/// Genuine and machine-made items that a stratum, or a condition within one, needs to be calibrated by itself: with
/// fewer, no p-value could reach [`FLAG_P`].
const STRATUM_ITEMS: usize = 50;

impl Calibrations {
    /// Fits everything. A condition with few genuine items of a stratum joins the one that has most.
    ///
    /// Returns `None` where [`Calibration::fit`] does for all items together.
    pub fn fit(samples: &[Sample<'_>]) -> Option<Self> {
        let conditions = samples.iter().map(|s| s.condition + 1).max()?;
        let lists = |stratum: Option<&str>, fabricated: bool| {
            let mut lists = vec![Vec::new(); conditions];
            let mine = |s: &&Sample<'_>| s.fabricated == fabricated && stratum.is_none_or(|t| t == s.stratum);
            for s in samples.iter().filter(mine) {
                if let Some(list) = lists.get_mut(s.condition) {
                    list.push(s.logit);
                }
            }
            lists
        };
        // A condition under which nothing was judged says nothing.
        let mut genuine = lists(None, false);
        genuine.retain(|l| !l.is_empty());
        let pooled = Calibration::fit(&genuine, &lists(None, true))?;
        let names: BTreeSet<&str> = samples.iter().map(|s| s.stratum).filter(|s| !s.is_empty()).collect();
        let fit = |name: &&str| {
            let (genuine, fabricated) = (gather(lists(Some(name), false)), lists(Some(name), true));
            let enough = |lists: &[Vec<f64>]| lists.iter().map(Vec::len).max() >= Some(STRATUM_ITEMS);
            (enough(&genuine) && enough(&fabricated)).then(|| Calibration::fit(&genuine, &fabricated))?
        };
        let strata = names.iter().filter_map(|name| Some(((*name).to_owned(), fit(name)?))).collect();
        Some(Self { pooled, strata })
    }

    /// The calibration for an item of a stratum.
    pub fn of(&self, stratum: &str) -> &Calibration {
        self.strata.get(stratum).unwrap_or(&self.pooled)
    }
}

impl From<Calibration> for Calibrations {
    fn from(pooled: Calibration) -> Self {
        Self { pooled, strata: BTreeMap::new() }
    }
}

/// Puts the items of small lists into the first of the largest ones and leaves no list empty.
fn gather(lists: Vec<Vec<f64>>) -> Vec<Vec<f64>> {
    let (mut large, small): (Vec<_>, Vec<_>) = lists.into_iter().partition(|l| l.len() >= STRATUM_ITEMS);
    if large.is_empty() {
        return vec![small.concat()];
    }
    let most = large.iter().map(Vec::len).max();
    if let Some(largest) = large.iter_mut().find(|l| Some(l.len()) == most) {
        largest.extend(small.concat());
    }
    large
}

/// Largest p-value at which an item is flagged as `suspected`.
pub const FLAG_P: f64 = 0.02;
/// Largest p-value at which an item that is not flagged is called `inconclusive`.
pub const WEAK_P: f64 = 0.10;

impl Calibration {
    /// Fits the map on raw logits of genuine and machine-made items, a list for each condition. All conditions are
    /// pooled for the ratio and kept apart for the p-value.
    ///
    /// Newton's method on the class-balanced logistic likelihood with a weak ridge on the slope, which keeps
    /// separable data finite. Returns `None` when a class is empty, a condition has no genuine item or a score is not
    /// finite.
    pub fn fit(genuine: &[Vec<f64>], fabricated: &[Vec<f64>]) -> Option<Self> {
        let items = fabricated.iter().map(Vec::len).max()?;
        if genuine.is_empty() || genuine.iter().any(Vec::is_empty) || items == 0 {
            return None;
        }
        let (conditions, genuine, fabricated) = (genuine, genuine.concat(), fabricated.concat());
        if genuine.iter().chain(&fabricated).any(|s| !s.is_finite()) {
            return None;
        }
        let rows = || {
            let wg = 0.5 / genuine.len() as f64;
            let wf = 0.5 / fabricated.len() as f64;
            genuine.iter().map(move |&s| (s, 0.0, wg)).chain(fabricated.iter().map(move |&s| (s, 1.0, wf)))
        };
        let mean = rows().map(|(s, _, w)| w * s).sum::<f64>();
        let sd = rows().map(|(s, _, w)| w * (s - mean).powi(2)).sum::<f64>().sqrt().max(1e-9);
        let (mut a, mut b) = (1.0_f64, 0.0_f64);
        let ridge = 1e-4;
        for _ in 0..100 {
            let (mut ga, mut gb, mut haa, mut hab, mut hbb) = (ridge * a, 0.0, ridge, 0.0, 0.0);
            for (s, y, w) in rows() {
                let x = (s - mean) / sd;
                let p = 1.0 / (1.0 + (-(a * x + b)).exp());
                let (r, h) = (w * (p - y), w * p * (1.0 - p));
                ga += r * x;
                gb += r;
                haa += h * x * x;
                hab += h * x;
                hbb += h;
            }
            hbb += 1e-12;
            let det = haa * hbb - hab * hab;
            let (da, db) = ((ga * hbb - gb * hab) / det, (gb * haa - ga * hab) / det);
            // Damped: a full step can overshoot far from the optimum.
            let step = 1.0_f64.min(4.0 / (da.abs() + db.abs() + 1e-12));
            a -= step * da;
            b -= step * db;
            if da.abs() + db.abs() < 1e-10 {
                break;
            }
        }
        // A detector that points the wrong way must not be turned round silently: it says nothing instead.
        let a = a.max(0.0);
        let sorted = |scores: &Vec<f64>| {
            let mut sorted: Vec<f32> = scores.iter().map(|&s| s as f32).collect();
            sorted.sort_by(f32::total_cmp);
            sorted
        };
        Some(Self {
            slope: a / sd,
            intercept: b - a * mean / sd,
            fabricated: items,
            genuine: conditions.iter().map(sorted).collect(),
        })
    }

    /// Genuine items behind the p-value: those of the smallest condition.
    pub fn genuine_items(&self) -> usize {
        self.genuine.iter().map(Vec::len).min().unwrap_or_default()
    }

    /// Natural-log likelihood ratio of machine-made against genuine.
    pub fn llr(&self, logit: f64) -> f64 {
        let genuine = self.genuine.iter().map(Vec::len).max().unwrap_or_default();
        let upper = ((genuine + 1) as f64).ln();
        let lower = -((self.fabricated + 1) as f64).ln();
        (self.slope * logit + self.intercept).clamp(lower, upper)
    }

    /// Of the condition under which the score is least remarkable: how many genuine items score at least as high, and
    /// of how many.
    pub fn at_least(&self, logit: f64) -> (usize, usize) {
        let count = |genuine: &Vec<f32>| {
            (genuine.len() - genuine.partition_point(|&g| f64::from(g) < logit), genuine.len())
        };
        // The first of equals, so that the outcome is the same everywhere.
        let larger = |a: (usize, usize), b: (usize, usize)| if share(b) > share(a) { b } else { a };
        self.genuine.iter().map(count).reduce(larger).unwrap_or_default()
    }

    /// Conformal p-value: the share of genuine items, this one included, that score at least as high, under the
    /// condition for which it is largest.
    pub fn p_value(&self, logit: f64) -> f64 {
        share(self.at_least(logit))
    }

    /// Smallest raw logit whose p-value is at most `p`; `None` when there are too few genuine items for that.
    pub fn threshold(&self, p: f64) -> Option<f64> {
        let of = |genuine: &Vec<f32>| {
            let n = genuine.len();
            // p_value(s) <= p  <=>  #{g >= s} <= p (n + 1) - 1
            let allowed = (p * (n + 1) as f64 - 1.0 + 1e-9).floor();
            if allowed < 0.0 {
                return None;
            }
            let allowed = (allowed as usize).min(n);
            match n.checked_sub(allowed + 1) {
                Some(i) => Some(f64::from(genuine[i].next_up())),
                None => Some(f64::NEG_INFINITY),
            }
        };
        let thresholds = self.genuine.iter().map(of).collect::<Option<Vec<_>>>()?;
        thresholds.into_iter().reduce(f64::max)
    }
}

/// Conformal p-value of one condition.
fn share((at_least, n): (usize, usize)) -> f64 {
    (at_least + 1) as f64 / (n + 1) as f64
}

/// Posterior probability of machine-made from a log likelihood ratio and a prior probability in (0, 1).
pub fn posterior(llr: f64, prior: f64) -> f64 {
    1.0 / (1.0 + (-(llr + (prior / (1.0 - prior)).ln())).exp())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn recovers_the_log_likelihood_ratio_of_two_gaussians() {
        // N(0,1) against N(2,1): llr(s) = 2 s - 2, exactly logistic. Quantile grid in place of random draws.
        let grid: Vec<f64> = (1..4000).map(|i| normal_quantile(f64::from(i) / 4000.0)).collect();
        let fake: Vec<f64> = grid.iter().map(|z| z + 2.0).collect();
        let c = Calibration::fit(&[grid], &[fake]).unwrap();
        assert!((c.slope - 2.0).abs() < 0.03, "{}", c.slope);
        assert!((c.intercept + 2.0).abs() < 0.03, "{}", c.intercept);
    }

    #[test]
    fn p_value_is_the_share_of_genuine_items_at_least_as_high() {
        let c = Calibration {
            slope: 1.0,
            intercept: 0.0,
            fabricated: 9,
            genuine: vec![vec![0.0, 1.0, 2.0, 3.0]],
        };
        assert_eq!(c.p_value(-1.0), 1.0);
        assert_eq!(c.p_value(2.0), 3.0 / 5.0);
        assert_eq!(c.p_value(3.5), 1.0 / 5.0);
        assert_eq!(c.threshold(0.02), None);
        assert!(c.p_value(c.threshold(0.2).unwrap()) <= 0.2);
    }

    #[test]
    fn the_condition_that_accuses_least_decides() {
        let genuine = vec![vec![0.0, 1.0, 2.0], vec![1.0, 2.0, 3.0, 4.0]];
        let c = Calibration { slope: 1.0, intercept: 0.0, fabricated: 9, genuine };
        assert_eq!((c.at_least(2.5), c.p_value(2.5)), ((2, 4), 3.0 / 5.0));
        assert_eq!(c.at_least(0.5), (4, 4));
        assert_eq!(c.threshold(0.25), Some(f64::from(4.0_f32.next_up())));
        assert_eq!(c.threshold(0.2), None);
        assert_eq!(c.genuine_items(), 3);
    }

    #[test]
    fn strata_that_are_large_enough_stand_alone() {
        let sample = |condition: usize, stratum: &'static str, logit: f64, fabricated: bool| Sample {
            condition,
            stratum,
            logit,
            fabricated,
        };
        let mut samples = Vec::new();
        for i in 0..60 {
            let x = f64::from(i) / 60.0;
            samples.extend([
                sample(0, "wide", x + 2.0, false),
                sample(0, "wide", x + 2.5, true),
                sample(1, "narrow", x, false),
                sample(1, "narrow", x + 0.5, true),
            ]);
        }
        samples.extend((0..3).map(|_| sample(0, "narrow", 9.0, false)));
        samples.extend((0..9).flat_map(|_| [sample(0, "rare", 0.0, false), sample(0, "rare", 1.0, true)]));
        let c = Calibrations::fit(&samples).unwrap();
        assert_eq!(c.strata.keys().collect::<Vec<_>>(), ["narrow", "wide"]);
        assert_eq!((c.of("rare"), c.of("")), (&c.pooled, &c.pooled));
        // The few of the clean condition are not forgotten, and not asked alone either.
        assert_eq!(c.of("narrow").genuine.iter().map(Vec::len).collect::<Vec<_>>(), [63]);
        assert!(c.of("narrow").p_value(1.2) < 0.1 && c.of("wide").p_value(1.2) == 1.0);
        assert!(c.of("narrow").llr(1.2) > c.of("wide").llr(1.2));
    }

    #[test]
    fn separable_data_stays_finite_and_bounded() {
        let c = Calibration::fit(&[vec![-1.0, -2.0]], &[vec![1.0, 2.0, 3.0]]).unwrap();
        assert!(c.slope.is_finite());
        assert!(c.llr(1e9) <= 3f64.ln() + 1e-12);
        assert!(c.llr(-1e9) >= -(4f64.ln()) - 1e-12);
    }

    #[test]
    fn a_detector_that_points_the_wrong_way_says_nothing() {
        let c = Calibration::fit(&[vec![1.0, 2.0, 3.0]], &[vec![-1.0, -2.0, -3.0]]).unwrap();
        assert_eq!(c.slope, 0.0);
    }

    proptest! {
        #[test]
        fn flagging_at_p_keeps_the_promise(genuine in prop::collection::vec(-5f64..5.0, 1..200), p in 0.01f64..0.5) {
            let c = Calibration::fit(std::slice::from_ref(&genuine), &[vec![6.0]]).unwrap();
            if let Some(t) = c.threshold(p) {
                prop_assert!(c.p_value(t) <= p + 1e-9);
                let flagged = genuine.iter().filter(|&&g| f64::from(g as f32) >= t).count();
                prop_assert!(flagged as f64 <= p * (genuine.len() + 1) as f64);
            }
        }

        #[test]
        fn llr_never_falls_with_the_score(a in -10f64..10.0, b in -10f64..10.0) {
            let c = Calibration::fit(&[vec![0.0, 0.5, 1.0]], &[vec![0.7, 1.5, 2.0]]).unwrap();
            let (lo, hi) = if a < b { (a, b) } else { (b, a) };
            prop_assert!(c.llr(lo) <= c.llr(hi));
            prop_assert!(c.p_value(lo) >= c.p_value(hi));
        }
    }

    /// Acklam's rational approximation would do; bisection on erf's series is simpler and exact enough here.
    fn normal_quantile(p: f64) -> f64 {
        let cdf = |x: f64| {
            // Composite Simpson from -8.
            let n = 400;
            let h = (x + 8.0) / f64::from(n);
            let f = |t: f64| (-t * t / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
            let mut s = f(-8.0) + f(x);
            for i in 1..n {
                s += f(-8.0 + h * f64::from(i)) * if i % 2 == 1 { 4.0 } else { 2.0 };
            }
            s * h / 3.0
        };
        let (mut lo, mut hi) = (-7.0, 7.0);
        for _ in 0..60 {
            let mid = f64::midpoint(lo, hi);
            if cdf(mid) < p { lo = mid } else { hi = mid }
        }
        f64::midpoint(lo, hi)
    }
}

//! Detection metrics with grouped bootstrap intervals.
//!
//! Scores are oriented so that higher means more likely machine-made. Every function ignores nothing: pass finite
//! scores only.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// One scored item.
#[derive(Debug, Clone, PartialEq)]
pub struct Scored {
    /// Raw score.
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
    /// 2.5th percentile of the bootstrap.
    pub low: f64,
    /// 97.5th percentile of the bootstrap.
    pub high: f64,
}

impl std::fmt::Display for Estimate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.3} [{:.3}, {:.3}]", self.value, self.low, self.high)
    }
}

/// Area under the ROC curve: the probability that a machine-made item scores above a genuine one, ties counted half
/// (Mann and Whitney 1947). `None` when a class is empty.
pub fn auroc(items: &[&Scored]) -> Option<f64> {
    let mut sorted: Vec<(f64, bool)> = items.iter().map(|s| (s.score, s.fabricated)).collect();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let fabricated = sorted.iter().filter(|s| s.1).count();
    let genuine = sorted.len() - fabricated;
    if fabricated == 0 || genuine == 0 {
        return None;
    }
    let (mut below, mut area) = (0usize, 0.0);
    for tie in sorted.chunk_by(|a, b| a.0 == b.0) {
        let f = tie.iter().filter(|s| s.1).count();
        let g = tie.len() - f;
        area += f as f64 * (below as f64 + g as f64 / 2.0);
        below += g;
    }
    Some(area / (fabricated as f64 * genuine as f64))
}

/// Equal error rate: where the miss rate of machine-made items and the false-alarm rate of genuine ones meet on the
/// convex hull's vertices, interpolated linearly. `None` when a class is empty.
pub fn eer(items: &[&Scored]) -> Option<f64> {
    let mut sorted: Vec<(f64, bool)> = items.iter().map(|s| (s.score, s.fabricated)).collect();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let fabricated = sorted.iter().filter(|s| s.1).count() as f64;
    let genuine = sorted.len() as f64 - fabricated;
    if fabricated == 0.0 || genuine == 0.0 {
        return None;
    }
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

/// Expected calibration error of probabilities over `bins` bins of equal mass (Nixon et al. 2019), each class weighted
/// to one half, which is the prior that the probabilities are stated for. Items are `(probability, fabricated)`.
pub fn ece(items: &[(f64, bool)], bins: usize) -> Option<f64> {
    let fabricated = items.iter().filter(|i| i.1).count() as f64;
    let genuine = items.len() as f64 - fabricated;
    if fabricated == 0.0 || genuine == 0.0 || bins == 0 {
        return None;
    }
    let weight = |f: bool| if f { 0.5 / fabricated } else { 0.5 / genuine };
    let mut sorted = items.to_vec();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut total, mut mass, mut p, mut y) = (0.0, 0.0, 0.0, 0.0);
    let mut filled = 0;
    for (i, &(prob, f)) in sorted.iter().enumerate() {
        let w = weight(f);
        mass += w;
        p += w * prob;
        y += if f { w } else { 0.0 };
        filled += 1;
        if filled * bins >= sorted.len() || i + 1 == sorted.len() {
            if mass > 0.0 {
                total += (p - y).abs();
            }
            (mass, p, y, filled) = (0.0, 0.0, 0.0, 0);
        }
    }
    Some(total)
}

/// Share of machine-made items above the threshold that lets through at most `fpr` of the genuine ones.
pub fn tpr_at_fpr(items: &[&Scored], fpr: f64) -> Option<f64> {
    let mut genuine: Vec<f64> = items.iter().filter(|s| !s.fabricated).map(|s| s.score).collect();
    let fabricated: Vec<f64> = items.iter().filter(|s| s.fabricated).map(|s| s.score).collect();
    if genuine.is_empty() || fabricated.is_empty() {
        return None;
    }
    genuine.sort_by(f64::total_cmp);
    let allowed = (fpr * genuine.len() as f64).floor() as usize;
    let threshold = match genuine.len().checked_sub(allowed + 1) {
        Some(i) => genuine[i],
        None => f64::NEG_INFINITY,
    };
    Some(fabricated.iter().filter(|&&s| s > threshold).count() as f64 / fabricated.len() as f64)
}

/// A figure with a 95 % percentile interval from `draws` bootstrap samples of whole groups, drawn within each class so
/// that no sample loses one. A class with a single group is resampled by item.
pub fn bootstrap(
    items: &[Scored],
    draws: usize,
    seed: u64,
    metric: impl Fn(&[&Scored]) -> Option<f64>,
) -> Option<Estimate> {
    let all: Vec<&Scored> = items.iter().collect();
    let value = metric(&all)?;
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let strata = [units(items, false), units(items, true)];
    let mut draws: Vec<f64> = (0..draws)
        .filter_map(|_| {
            let mut sample: Vec<&Scored> = Vec::with_capacity(items.len());
            for stratum in &strata {
                for _ in 0..stratum.len() {
                    sample.extend(&stratum[rng.random_range(0..stratum.len())]);
                }
            }
            metric(&sample)
        })
        .collect();
    draws.sort_by(f64::total_cmp);
    let at = |q: f64| draws.get(((draws.len() as f64 - 1.0) * q).round() as usize).copied().unwrap_or(value);
    Some(Estimate { value, low: at(0.025), high: at(0.975) })
}

/// The bootstrap units of one class.
fn units(items: &[Scored], fabricated: bool) -> Vec<Vec<&Scored>> {
    let mut groups: std::collections::BTreeMap<&str, Vec<&Scored>> = std::collections::BTreeMap::new();
    for item in items.iter().filter(|i| i.fabricated == fabricated) {
        groups.entry(&item.group).or_default().push(item);
    }
    if groups.len() == 1 {
        return groups.into_values().flatten().map(|i| vec![i]).collect();
    }
    groups.into_values().collect()
}

/// Wilson 95 % interval of a proportion (Wilson 1927).
pub fn wilson(hits: usize, n: usize) -> Option<Estimate> {
    if n == 0 {
        return None;
    }
    let (z, n_, p) = (1.959_964_f64, n as f64, hits as f64 / n as f64);
    let centre = (p + z * z / (2.0 * n_)) / (1.0 + z * z / n_);
    let half = z / (1.0 + z * z / n_) * (p * (1.0 - p) / n_ + z * z / (4.0 * n_ * n_)).sqrt();
    Some(Estimate { value: p, low: (centre - half).max(0.0), high: (centre + half).min(1.0) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(genuine: &[f64], fabricated: &[f64]) -> Vec<Scored> {
        let make = |f: bool| {
            move |(i, &score): (usize, &f64)| Scored { score, fabricated: f, group: format!("g{}", i % 3) }
        };
        genuine
            .iter()
            .enumerate()
            .map(make(false))
            .chain(fabricated.iter().enumerate().map(make(true)))
            .collect()
    }

    #[test]
    fn agrees_with_scikit_learn() {
        // from sklearn.metrics import roc_auc_score
        // roc_auc_score([0,0,0,0,1,1,1,1], [.1,.4,.35,.8,.4,.8,.9,.2])  -> 0.6875
        let s = items(&[0.1, 0.4, 0.35, 0.8], &[0.4, 0.8, 0.9, 0.2]);
        let s: Vec<&Scored> = s.iter().collect();
        assert!((auroc(&s).unwrap() - 0.6875).abs() < 1e-12);
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
    fn ece_of_perfect_and_of_opposite_probabilities() {
        let perfect: Vec<(f64, bool)> =
            (0..100).map(|i| (f64::from(u8::from(i % 2 == 0)), i % 2 == 0)).collect();
        assert!(ece(&perfect, 10).unwrap() < 1e-12);
        let opposite: Vec<(f64, bool)> = perfect.iter().map(|&(p, f)| (1.0 - p, f)).collect();
        assert!((ece(&opposite, 10).unwrap() - 1.0).abs() < 1e-12);
    }

    #[test]
    fn tpr_counts_only_above_the_threshold() {
        let s = items(&(0..100).map(f64::from).collect::<Vec<_>>(), &[98.0, 98.5, 99.0, 100.0]);
        let s: Vec<&Scored> = s.iter().collect();
        assert_eq!(tpr_at_fpr(&s, 0.01), Some(0.75));
        assert_eq!(tpr_at_fpr(&s, 0.0), Some(0.25));
    }

    #[test]
    fn intervals_hold_the_figure_and_need_both_classes() {
        let s = items(&[0.0, 0.3, 0.2, 0.6, 0.1], &[0.4, 0.5, 0.9, 0.7]);
        let e = bootstrap(&s, 200, 1, auroc).unwrap();
        assert!(e.low <= e.value && e.value <= e.high && e.low < e.high);
        assert_eq!(e, bootstrap(&s, 200, 1, auroc).unwrap());
        assert!(bootstrap(&items(&[0.1], &[]), 200, 1, auroc).is_none());
    }

    #[test]
    fn wilson_of_no_errors_in_75() {
        // statsmodels.stats.proportion.proportion_confint(0, 75, method="wilson") -> (0, 0.04872)
        let e = wilson(0, 75).unwrap();
        assert!(e.low.abs() < 1e-12 && (e.high - 0.048_72).abs() < 1e-4);
    }
}

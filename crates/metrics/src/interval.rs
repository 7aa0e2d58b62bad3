//! Intervals.

use std::collections::BTreeMap;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::{Estimate, Judged, Scored};

/// The 97.5th percentile of the standard normal distribution.
pub(crate) const Z: f64 = 1.959_963_984_540_054;

/// An item that [`bootstrap`] can draw.
pub trait Unit {
    /// Whether the item is machine-made.
    fn fabricated(&self) -> bool;
    /// Its source, drawn as a whole.
    fn group(&self) -> &str;
    /// What samples are sorted by before the metric sees them: metrics that sort by it have nothing left to do.
    fn score(&self) -> f64 {
        0.0
    }
}

impl Unit for Scored {
    fn fabricated(&self) -> bool {
        self.fabricated
    }

    fn group(&self) -> &str {
        &self.group
    }

    fn score(&self) -> f64 {
        self.score
    }
}

impl Unit for Judged {
    fn fabricated(&self) -> bool {
        self.fabricated
    }

    fn group(&self) -> &str {
        &self.group
    }
}

/// A figure with a 95 % percentile interval from `draws` bootstrap samples of whole groups, drawn within each class so
/// that no sample loses one (Efron 1979; Field and Welsh 2007). A class with a single group is resampled by item. The
/// same items, in the same order, and seed give the same interval. `None` when the metric has no value on all items.
pub fn bootstrap<T: Unit>(
    items: &[T],
    draws: usize,
    seed: u64,
    metric: impl Fn(&[&T]) -> Option<f64>,
) -> Option<Estimate> {
    let all: Vec<&T> = items.iter().collect();
    let value = metric(&all)?;
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    // Numbers of the units of each class, and of the unit of each item.
    let (genuine, total, of_item) = units(items);
    // Sorted once; a sample is the sorted list with each item as often as its unit was drawn.
    let mut sorted: Vec<(&T, usize)> = all.iter().copied().zip(of_item).collect();
    sorted.sort_by(|a, b| a.0.score().total_cmp(&b.0.score()));
    let mut times = vec![0usize; total];
    let mut sample: Vec<&T> = Vec::with_capacity(items.len());
    let mut values = Vec::with_capacity(draws);
    for _ in 0..draws {
        times.fill(0);
        for class in [0..genuine, genuine..total] {
            for _ in class.clone() {
                times[rng.random_range(class.clone())] += 1;
            }
        }
        sample.clear();
        for &(item, unit) in &sorted {
            sample.extend(std::iter::repeat_n(item, times[unit]));
        }
        values.extend(metric(&sample));
    }
    values.sort_by(f64::total_cmp);
    let at = |q: f64| values.get(((values.len() as f64 - 1.0) * q).round() as usize).copied();
    Some(Estimate { value, low: at(0.025).unwrap_or(value), high: at(0.975).unwrap_or(value) })
}

/// Numbers the bootstrap units, genuine ones first: how many are genuine, how many there are, and that of each item.
fn units<T: Unit>(items: &[T]) -> (usize, usize, Vec<usize>) {
    let mut of_item = vec![0; items.len()];
    let (mut genuine, mut total) = (0, 0);
    for class in [false, true] {
        let mut groups: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (i, item) in items.iter().enumerate().filter(|(_, item)| item.fabricated() == class) {
            groups.entry(item.group()).or_default().push(i);
        }
        let by_item = groups.len() == 1;
        for members in groups.into_values() {
            for i in members {
                of_item[i] = total;
                total += usize::from(by_item);
            }
            total += usize::from(!by_item);
        }
        if !class {
            genuine = total;
        }
    }
    (genuine, total, of_item)
}

/// Wilson's 95 % interval of a proportion (Wilson 1927). `None` for none of none.
pub fn wilson(hits: usize, n: usize) -> Option<Estimate> {
    if n == 0 {
        return None;
    }
    let (z, n_, p) = (Z, n as f64, hits as f64 / n as f64);
    let centre = (p + z * z / (2.0 * n_)) / (1.0 + z * z / n_);
    let half = z / (1.0 + z * z / n_) * (p * (1.0 - p) / n_ + z * z / (4.0 * n_ * n_)).sqrt();
    Some(Estimate { value: p, low: (centre - half).max(0.0), high: (centre + half).min(1.0) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{auroc, balanced_accuracy, c_at_1, testing::items};

    #[test]
    fn intervals_hold_the_figure_and_need_both_classes() {
        let s = items(&[0.0, 0.3, 0.2, 0.6, 0.1], &[0.4, 0.5, 0.9, 0.7]);
        let e = bootstrap(&s, 200, 1, auroc).unwrap();
        assert!(e.low <= e.value && e.value <= e.high && e.low < e.high);
        assert_eq!(e, bootstrap(&s, 200, 1, auroc).unwrap());
        assert!(bootstrap(&items(&[0.1], &[]), 200, 1, auroc).is_none());
    }

    #[test]
    fn draws_whole_groups() {
        let mut s = items(&[0.0, 0.1, 0.2, 1.0, 1.1, 1.2], &[2.0]);
        for (i, item) in s.iter_mut().enumerate() {
            item.group = if i < 3 { "a".into() } else { "b".into() };
        }
        // Two genuine groups of three: the number of low items in a sample is 0, 3 or 6.
        bootstrap(&s, 50, 7, |s| {
            assert!(s.is_sorted_by(|a, b| a.score <= b.score));
            assert!([0, 3, 6].contains(&s.iter().filter(|i| i.score < 0.5).count()));
            assert_eq!(s.len(), 7);
            Some(0.0)
        });
    }

    #[test]
    fn takes_decisions_too() {
        let judged: Vec<Judged> = (0..40)
            .map(|i| Judged {
                name: i.to_string(),
                fabricated: i % 2 == 0,
                flagged: (i % 5 != 0).then_some(i % 4 == 0),
                group: (i % 7).to_string(),
            })
            .collect();
        let e = bootstrap(&judged, 100, 3, c_at_1).unwrap();
        assert!(e.low < e.value && e.value < e.high);
    }

    #[test]
    fn wilson_of_no_errors_in_75() {
        // statsmodels.stats.proportion.proportion_confint(0, 75, method="wilson") -> (0, 0.048724)
        let e = wilson(0, 75).unwrap();
        assert!(e.low.abs() < 1e-12 && (e.high - 0.048_724).abs() < 1e-6);
        assert!(wilson(0, 0).is_none());
    }

    /// Standard normal draws (Box and Muller 1958).
    pub(crate) fn normal(rng: &mut ChaCha8Rng) -> f64 {
        let (u, v): (f64, f64) = (1.0 - rng.random::<f64>(), rng.random());
        (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
    }

    /// Share of 200 simulated data sets whose interval holds the truth.
    fn held(truth: f64, effect: f64, metric: impl Fn(&[&Scored]) -> Option<f64> + Copy) -> f64 {
        let mut rng = ChaCha8Rng::seed_from_u64(11);
        let covers = |_: &u64| {
            // 40 groups of two items in each class; `effect` is the share of the variance that a group has in common.
            let mut set = Vec::new();
            for group in 0..80 {
                let (common, fabricated) = (normal(&mut rng), group % 2 == 0);
                for item in 0..2 {
                    let noise = effect.sqrt() * common + (1.0 - effect).sqrt() * normal(&mut rng);
                    let score = noise + f64::from(u8::from(fabricated));
                    let name = format!("{group} {item}");
                    set.push(Scored { name, score, fabricated, group: group.to_string() });
                }
            }
            bootstrap(&set, 200, 5, metric).is_some_and(|e| e.low <= truth && truth <= e.high)
        };
        (0..200).filter(covers).count() as f64 / 200.0
    }

    #[test]
    fn bootstrap_intervals_hold_the_truth_as_often_as_they_say() {
        // N(1, 1) against N(0, 1): AUROC = Phi(1 / sqrt 2), balanced accuracy at 0.5 = Phi(0.5).
        for effect in [0.0, 0.8] {
            let area = held(0.760_249_938_9, effect, auroc);
            assert!((0.90..=0.99).contains(&area), "{effect}: {area}");
            let accuracy = held(0.691_462_461_3, effect, |s| balanced_accuracy(s, 0.5));
            assert!((0.90..=0.99).contains(&accuracy), "{effect}: {accuracy}");
        }
    }

    #[test]
    fn wilson_intervals_hold_the_truth_as_often_as_they_say() {
        let mut rng = ChaCha8Rng::seed_from_u64(12);
        for p in [0.02, 0.1, 0.5] {
            let covers = |_: &u32| {
                let hits = (0..100).filter(|_| rng.random::<f64>() < p).count();
                wilson(hits, 100).is_some_and(|e| e.low <= p && p <= e.high)
            };
            let held = (0..400).filter(covers).count() as f64 / 400.0;
            assert!((0.90..=0.99).contains(&held), "{p}: {held}");
        }
    }
}

//! How well probabilities and likelihood ratios mean what they say.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use crate::{Estimate, Scored, ascending, classes};

/// One bin of a reliability diagram.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ReliabilityBin {
    /// Mean stated probability of its items, 0 to 1.
    pub stated: f64,
    /// Share of machine-made items in it, 0 to 1.
    pub observed: f64,
    /// Its share of the weight of all items, 0 to 1.
    pub mass: f64,
    /// Genuine items.
    pub genuine: usize,
    /// Machine-made items.
    pub fabricated: usize,
}

/// Bins of equal mass for a reliability diagram (Nixon et al. 2019), in ascending order of the stated probability. Each
/// class is weighted to one half, which is the prior that the probabilities are stated for. Items are
/// `(probability, fabricated)`. `None` when a class or `bins` is empty.
pub fn reliability(items: &[(f64, bool)], bins: usize) -> Option<Vec<ReliabilityBin>> {
    let fabricated = items.iter().filter(|i| i.1).count();
    let genuine = items.len() - fabricated;
    if fabricated == 0 || genuine == 0 || bins == 0 {
        return None;
    }
    let weight = [0.5 / genuine as f64, 0.5 / fabricated as f64];
    let mut sorted = items.to_vec();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    // No more bins than items: each bin takes the next items until it has its share.
    let size = sorted.len().div_ceil(bins);
    let bin = |chunk: &[(f64, bool)]| {
        let weight = |f: bool| weight[usize::from(f)];
        let mass: f64 = chunk.iter().map(|i| weight(i.1)).sum();
        let stated: f64 = chunk.iter().map(|i| weight(i.1) * i.0).sum();
        let fabricated = chunk.iter().filter(|i| i.1).count();
        let observed = fabricated as f64 * weight(true);
        ReliabilityBin {
            stated: stated / mass,
            observed: observed / mass,
            mass,
            genuine: chunk.len() - fabricated,
            fabricated,
        }
    };
    let (mut all, mut rest) = (Vec::new(), sorted.as_slice());
    while !rest.is_empty() {
        // Equal probabilities stay together: their order is the input's and must not decide a bin.
        let mut end = size.min(rest.len());
        while end < rest.len() && rest[end].0 == rest[end - 1].0 {
            end += 1;
        }
        let (chunk, after) = rest.split_at(end);
        all.push(bin(chunk));
        rest = after;
    }
    Some(all)
}

/// Expected calibration error, 0 to 1: the mean distance of stated and observed shares over the bins of
/// [`reliability`], by mass.
pub fn ece(items: &[(f64, bool)], bins: usize) -> Option<f64> {
    let bins = reliability(items, bins)?;
    Some(bins.iter().map(|b| b.mass * (b.stated - b.observed).abs()).sum())
}

/// What [`ece`] comes to by chance: its mean and its central 95 % over 200 draws of as many items of each class from a
/// detector that states the same probabilities and is perfectly calibrated. With few items it is far from 0, and an
/// error that is no larger is no evidence of miscalibration (a parametric bootstrap, after Vaicenavicius et al. 2019).
/// `None` when a class is empty.
pub fn ece_by_chance(items: &[(f64, bool)], bins: usize, seed: u64) -> Option<Estimate> {
    const DRAWS: usize = 200;
    let size = |class: bool| items.iter().filter(|i| i.1 == class).count();
    // Both classes count alike, so that a stated probability is one at even odds.
    let cumulative = |class: bool| -> Vec<f64> {
        let mut sum = 0.0;
        let of = |&(p, f): &(f64, bool)| if class { p / size(f) as f64 } else { (1.0 - p) / size(f) as f64 };
        items
            .iter()
            .map(|i| {
                sum += of(i);
                sum
            })
            .collect()
    };
    let cumulative = [cumulative(false), cumulative(true)];
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut draws = (0..DRAWS)
        .map(|_| {
            let mut drawn = Vec::with_capacity(items.len());
            for class in [false, true] {
                let sums = &cumulative[usize::from(class)];
                let total = *sums.last()?;
                for _ in 0..size(class) {
                    let at = rng.random::<f64>() * total;
                    drawn.push((items.get(sums.partition_point(|&s| s <= at))?.0, class));
                }
            }
            ece(&drawn, bins)
        })
        .collect::<Option<Vec<f64>>>()?;
    draws.sort_by(f64::total_cmp);
    let value = draws.iter().sum::<f64>() / DRAWS as f64;
    Some(Estimate { value, low: draws[DRAWS / 40], high: draws[DRAWS - 1 - DRAWS / 40] })
}

/// Brier score of probabilities, 0 (perfect) to 1: the mean squared distance to the truth over all items, classes not
/// weighted (Brier 1950). `None` without items.
pub fn brier(items: &[&Scored]) -> Option<f64> {
    let distance = |s: &&Scored| (s.score - f64::from(u8::from(s.fabricated))).powi(2);
    (!items.is_empty()).then(|| items.iter().map(distance).sum::<f64>() / items.len() as f64)
}

/// Cost of log likelihood ratios in bits (Brümmer and du Preez 2006), 0 or more; 1 is the cost of saying nothing.
/// Scores are natural logarithms of the ratio, positive for machine-made. Swapping the classes and the sign, as
/// `ASVspoof` does, leaves it as it is. `None` when a class is empty.
pub fn cllr(items: &[&Scored]) -> Option<f64> {
    let (genuine, fabricated) = classes(items)?;
    let cost = |f: bool| -> f64 {
        let side = items.iter().filter(|s| s.fabricated == f).map(|s| if f { -s.score } else { s.score });
        side.map(softplus).sum()
    };
    Some(0.5 * (cost(true) / fabricated + cost(false) / genuine) / std::f64::consts::LN_2)
}

/// The part of [`cllr`] in bits that no monotone recalibration removes, 0 to 1: the cost after the pool-adjacent-
/// violators fit to the same items (Brümmer and du Preez 2006). Takes scores on any scale.
pub fn cllr_min(items: &[&Scored]) -> Option<f64> {
    let (genuine, fabricated) = classes(items)?;
    // Blocks of pooled items as (genuine, machine-made), their machine-made share ascending.
    let mut blocks: Vec<(f64, f64)> = Vec::new();
    for tie in ascending(items).chunk_by(|a, b| a.0 == b.0) {
        let f = tie.iter().filter(|s| s.1).count() as f64;
        let mut block = (tie.len() as f64 - f, f);
        while let Some(&last) = blocks.last() {
            if last.1 * (block.0 + block.1) < block.1 * (last.0 + last.1) {
                break;
            }
            block = (block.0 + last.0, block.1 + last.1);
            blocks.pop();
        }
        blocks.push(block);
    }
    let cost = |&(g, f): &(f64, f64)| {
        let llr = ((f / fabricated) / (g / genuine)).ln();
        let of_fabricated = if f > 0.0 { f / fabricated * softplus(-llr) } else { 0.0 };
        let of_genuine = if g > 0.0 { g / genuine * softplus(llr) } else { 0.0 };
        of_fabricated + of_genuine
    };
    Some(0.5 * blocks.iter().map(cost).sum::<f64>() / std::f64::consts::LN_2)
}

/// `ln(1 + exp(x))` without overflow.
fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{FABRICATED, GENUINE, close, golden, items};

    #[test]
    fn ece_of_perfect_and_of_opposite_probabilities() {
        let perfect: Vec<(f64, bool)> =
            (0..100).map(|i| (f64::from(u8::from(i % 2 == 0)), i % 2 == 0)).collect();
        assert!(ece(&perfect, 10).unwrap() < 1e-12);
        let opposite: Vec<(f64, bool)> = perfect.iter().map(|&(p, f)| (1.0 - p, f)).collect();
        assert!((ece(&opposite, 10).unwrap() - 1.0).abs() < 1e-12);
        assert_eq!(ece(&perfect, 0), None);
        assert_eq!(ece(&[(0.1, false)], 10), None);
    }

    #[test]
    fn chance_alone_gives_an_error_that_shrinks_with_the_items() {
        // Perfectly calibrated by construction: of each pair of probabilities p and 1 - p, the machine-made share is p.
        let items = |n: u32| -> Vec<(f64, bool)> {
            let of = |i: u32| f64::from(i % 19 + 1) / 20.0;
            (0..n).flat_map(|i| (0..20).map(move |k| (of(i), f64::from(k) < 20.0 * of(i) - 0.5))).collect()
        };
        let (few, many) = (items(19), items(19 * 64));
        assert!(ece(&many, 19).unwrap() < 1e-9);
        let (few, many) = (ece_by_chance(&few, 10, 1).unwrap(), ece_by_chance(&many, 10, 1).unwrap());
        // Eight times fewer standard errors.
        assert!((few.value / many.value - 8.0).abs() < 1.5, "{few} {many}");
        assert!(few.low < few.value && few.value < few.high && few.value > 0.03, "{few}");
        assert_eq!(ece_by_chance(&[(0.5, true)], 10, 1), None);
    }

    #[test]
    fn bins_hold_every_item_once() {
        let items: Vec<(f64, bool)> = (0..103).map(|i| (f64::from(i) / 103.0, i % 3 == 0)).collect();
        for bins in [1, 7, 10, 103, 1000] {
            let r = reliability(&items, bins).unwrap();
            assert!(r.len() <= bins);
            assert_eq!(r.iter().map(|b| b.genuine + b.fabricated).sum::<usize>(), 103);
            assert!((r.iter().map(|b| b.mass).sum::<f64>() - 1.0).abs() < 1e-12);
            assert!(r.is_sorted_by(|a, b| a.stated <= b.stated));
        }
    }

    #[test]
    fn agrees_with_the_definitions() {
        // sig = lambda x: 1 / (1 + np.exp(-x))
        // sklearn.metrics.brier_score_loss(y, sig(s))
        let probable = items(&GENUINE.map(sigmoid), &FABRICATED.map(sigmoid));
        close(brier(&probable.iter().collect::<Vec<_>>()), 0.153_433_994);
        // c = lambda f, g: .5 * (np.log2(1 + np.exp(-f)).mean() + np.log2(1 + np.exp(g)).mean())
        // c(f, g)
        close(golden(cllr), 0.675_070_77);
        // p = IsotonicRegression(y_min=0, y_max=1).fit(s, y).predict(s)
        // l = np.log(p / (1 - p))  # both classes have ten items
        // c(l[y == 1], l[y == 0])
        close(golden(cllr_min), 0.518_226_399);
        // b = [[]]
        // for _, tie in itertools.groupby(sorted(zip(s, y)), key=lambda i: i[0]):
        //     if len(b[-1]) >= 4: b.append([])
        //     b[-1] += tie
        // sum(abs(sum(sig(s) for s, _ in i) - sum(y for _, y in i)) for i in b) / 20
        let pairs: Vec<(f64, bool)> = probable.iter().map(|s| (s.score, s.fabricated)).collect();
        close(ece(&pairs, 5), 0.072_661_205_9);
    }

    fn sigmoid(x: f64) -> f64 {
        1.0 / (1.0 + (-x).exp())
    }

    #[test]
    fn cllr_at_its_bounds() {
        let silent = items(&[0.0; 4], &[0.0; 3]);
        let silent: Vec<&Scored> = silent.iter().collect();
        close(cllr(&silent), 1.0);
        close(cllr_min(&silent), 1.0);
        let apart = items(&[-1.0, -2.0], &[3.0, 4.0, 5.0]);
        close(cllr_min(&apart.iter().collect::<Vec<_>>()), 0.0);
        let wrong = items(&[1e4], &[-1e4]);
        assert!(cllr(&wrong.iter().collect::<Vec<_>>()).is_some_and(f64::is_finite));
        close(cllr_min(&wrong.iter().collect::<Vec<_>>()), 1.0);
    }
}

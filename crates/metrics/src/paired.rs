//! Comparison of two systems on the same items.

use std::collections::BTreeMap;

use serde::Serialize;
use statrs::function::erf::erfc;

use crate::{Estimate, Scored, Unit, bootstrap};

/// The scores of two systems for one item.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pair<'a> {
    /// The first system's.
    pub a: &'a Scored,
    /// The second system's.
    pub b: &'a Scored,
}

impl Unit for Pair<'_> {
    fn fabricated(&self) -> bool {
        self.a.fabricated
    }

    fn group(&self) -> &str {
        &self.a.group
    }

    fn score(&self) -> f64 {
        self.a.score
    }
}

/// The items that both systems scored, by name and class, in the order of `a`; the others are left out. Names are
/// expected to be unique in each list.
pub fn pair<'a>(a: &'a [Scored], b: &'a [Scored]) -> Vec<Pair<'a>> {
    let by_name: BTreeMap<(&str, bool), &Scored> =
        b.iter().map(|s| ((s.name.as_str(), s.fabricated), s)).collect();
    let find = |s: &'a Scored| Some(Pair { a: s, b: by_name.get(&(s.name.as_str(), s.fabricated))? });
    a.iter().filter_map(find).collect()
}

/// A figure of the first system minus that of the second, with a 95 % interval from the bootstrap of [`bootstrap`]:
/// both systems are measured on the same sample in each draw. `None` when a system has no value.
pub fn difference(
    pairs: &[Pair<'_>],
    draws: usize,
    seed: u64,
    metric: impl Fn(&[&Scored]) -> Option<f64>,
) -> Option<Estimate> {
    bootstrap(pairs, draws, seed, |sample| {
        let (a, b): (Vec<&Scored>, Vec<&Scored>) = sample.iter().map(|p| (p.a, p.b)).unzip();
        Some(metric(&a)? - metric(&b)?)
    })
}

/// The result of [`delong`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct DeLong {
    /// AUROC of the first system, 0 to 1.
    pub a: f64,
    /// AUROC of the second system, 0 to 1.
    pub b: f64,
    /// Variance of `a - b`.
    pub variance: f64,
    /// `a - b` in standard deviations; 0 when both are equal.
    pub z: f64,
    /// Two-sided p-value, 0 to 1.
    pub p: f64,
}

/// The test of `DeLong` et al. (1988) for the difference of two AUROCs on the same items, in the fast form of Sun and
/// Xu (2014). It takes items as independent, which items of one source are not: where groups are large, believe
/// [`difference`] instead. `None` with fewer than two items in a class.
pub fn delong(pairs: &[Pair<'_>]) -> Option<DeLong> {
    let side = |first: bool, class: bool| -> Vec<f64> {
        let mine = pairs.iter().filter(|p| p.a.fabricated == class);
        mine.map(|p| if first { p.a.score } else { p.b.score }).collect()
    };
    let (m, n) = (side(true, true).len(), side(true, false).len());
    if m < 2 || n < 2 {
        return None;
    }
    let (m_, n_) = (m as f64, n as f64);
    // Of each system: its area, and what each machine-made and each genuine item adds to it.
    let components = |first: bool| {
        let (x, y) = (side(first, true), side(first, false));
        let all = midranks(&[x.as_slice(), y.as_slice()].concat());
        let (of_x, of_y) = (midranks(&x), midranks(&y));
        let area = (all.iter().take(m).sum::<f64>() / m_ - f64::midpoint(m_, 1.0)) / n_;
        let v10: Vec<f64> = all.iter().zip(&of_x).map(|(t, r)| (t - r) / n_).collect();
        let v01: Vec<f64> = all.iter().skip(m).zip(&of_y).map(|(t, r)| 1.0 - (t - r) / m_).collect();
        (area, v10, v01)
    };
    let (a, a10, a01) = components(true);
    let (b, b10, b01) = components(false);
    let spread = |u: &[f64], v: &[f64]| {
        let d: Vec<f64> = u.iter().zip(v).map(|(u, v)| u - v).collect();
        let mean = d.iter().sum::<f64>() / d.len() as f64;
        d.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (d.len() as f64 - 1.0) / d.len() as f64
    };
    let variance = spread(&a10, &b10) + spread(&a01, &b01);
    let z = if variance > 0.0 { (a - b) / variance.sqrt() } else { 0.0 };
    Some(DeLong { a, b, variance, z, p: erfc(z.abs() / std::f64::consts::SQRT_2) })
}

/// Ranks from 1, the mean rank for ties, in the order of the input.
fn midranks(values: &[f64]) -> Vec<f64> {
    let mut sorted: Vec<(f64, usize)> = values.iter().copied().zip(0..).collect();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut ranks = vec![0.0; values.len()];
    let mut before = 0;
    for tie in sorted.chunk_by(|a, b| a.0 == b.0) {
        let rank = before as f64 + f64::midpoint(tie.len() as f64, 1.0);
        for &(_, i) in tie {
            ranks[i] = rank;
        }
        before += tie.len();
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        auroc,
        testing::{FABRICATED, GENUINE, close, items},
    };

    // A second system on the items of the golden vectors:
    const GENUINE_B: [f64; 10] = [0.1, -0.4, -1.0, 0.7, -0.3, 0.2, 0.2, -0.9, 1.5, 0.6];
    const FABRICATED_B: [f64; 10] = [0.3, -0.5, 0.9, 0.2, 1.1, 0.6, -0.1, 1.9, 0.8, 2.2];

    #[test]
    fn delong_agrees_with_the_definition() {
        // g2 = np.array([.1,-.4,-1.,.7,-.3,.2,.2,-.9,1.5,.6])
        // f2 = np.array([.3,-.5,.9,.2,1.1,.6,-.1,1.9,.8,2.2])
        // psi = lambda x, y: (x[:,None] > y) + .5 * (x[:,None] == y)
        // P, Q = psi(f, g), psi(f2, g2); D = P - Q
        // var = D.mean(1).var(ddof=1) / 10 + D.mean(0).var(ddof=1) / 10
        // z = D.mean() / var**.5; P.mean(), Q.mean(), var, z, 2 * scipy.stats.norm.sf(abs(z))
        let (a, b) = (items(&GENUINE, &FABRICATED), items(&GENUINE_B, &FABRICATED_B));
        let d = delong(&pair(&a, &b)).unwrap();
        for (got, want) in [d.a, d.b, d.variance, d.z, d.p].into_iter().zip([
            0.86,
            0.735,
            0.011_805_556,
            1.150_447_483,
            0.249_959_613,
        ]) {
            close(Some(got), want);
        }
        close(auroc(&a.iter().collect::<Vec<_>>()), d.a);
    }

    #[test]
    fn equal_systems_do_not_differ() {
        let a = items(&GENUINE, &FABRICATED);
        let pairs = pair(&a, &a);
        let d = delong(&pairs).unwrap();
        assert_eq!((d.variance, d.z, d.p), (0.0, 0.0, 1.0));
        let e = difference(&pairs, 100, 1, auroc).unwrap();
        assert_eq!((e.value, e.low, e.high), (0.0, 0.0, 0.0));
        assert!(delong(&pairs[..3]).is_none());
    }

    #[test]
    fn pairs_by_name_and_class() {
        let a = items(&GENUINE, &FABRICATED);
        let mut b = items(&GENUINE_B, &FABRICATED_B[..4]);
        b.reverse();
        b[0].fabricated = false;
        let pairs = pair(&a, &b);
        assert_eq!(pairs.len(), 13);
        assert!(pairs.iter().all(|p| p.a.name == p.b.name));
        let e = difference(&pairs, 200, 1, auroc).unwrap();
        assert!(e.low <= e.value && e.value <= e.high && e.low < e.high);
    }
}

//! From values to places on a plot.

/// How an axis is divided.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    Linear,
    Log,
    /// Quantiles of the normal distribution.
    Probit,
}

/// An axis from `low` to `high`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Scale {
    kind: Kind,
    low: f64,
    high: f64,
}

impl Scale {
    pub(super) fn new(kind: Kind, low: f64, high: f64) -> Self {
        Self { kind, low, high }
    }

    pub(super) fn holds(self, value: f64) -> bool {
        (self.low..=self.high).contains(&value)
    }

    /// Where a value lies between the ends of the axis, 0 to 1; values beyond are drawn at the end.
    pub(super) fn place(self, value: f64) -> f64 {
        let value = value.clamp(self.low, self.high);
        let map = |v: f64| match self.kind {
            Kind::Linear => v,
            Kind::Log => v.ln(),
            Kind::Probit => probit(v),
        };
        let place = (map(value) - map(self.low)) / (map(self.high) - map(self.low));
        if place.is_finite() { place } else { 0.0 }
    }
}

/// Round steps that divide a range into about `n` parts, as (values, decimals to print).
pub(super) fn ticks(low: f64, high: f64, n: usize) -> (Vec<f64>, usize) {
    let span = high - low;
    if !span.is_finite() || span <= 0.0 || n == 0 {
        return (Vec::new(), 0);
    }
    let raw = span / n as f64;
    let power = raw.log10().floor();
    let base = 10f64.powf(power);
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|m| m * base).find(|s| *s >= raw * 0.75).unwrap_or(raw);
    let decimals = (-step.log10().floor()).clamp(0.0, 9.0) as usize;
    let first = (low / step - 1e-9).ceil() as i64;
    let last = (high / step + 1e-9).floor() as i64;
    ((first..=last.min(first.saturating_add(50))).map(|i| i as f64 * step).collect(), decimals)
}

/// At most `limit` points that keep the look of a line: of each stretch the point that spans the largest triangle with
/// its neighbours (Steinarsson 2013, "largest triangle three buckets").
pub(super) fn thin(points: &[(f64, f64)], limit: usize) -> Vec<(f64, f64)> {
    let mut points = points.to_vec();
    points.dedup();
    let (Some(&first), Some(&last)) = (points.first(), points.last()) else { return points };
    if points.len() <= limit || limit < 3 {
        return points;
    }
    let inner = points.get(1..points.len() - 1).unwrap_or_default();
    let buckets = limit - 2;
    let bucket =
        |i: usize| inner.get(i * inner.len() / buckets..(i + 1) * inner.len() / buckets).unwrap_or_default();
    let mut out = Vec::with_capacity(limit);
    out.push(first);
    let mut before = first;
    for i in 0..buckets {
        let after = if i + 1 < buckets { mean(bucket(i + 1)) } else { last };
        let area = |p: &(f64, f64)| {
            ((before.0 - after.0) * (p.1 - before.1) - (before.0 - p.0) * (after.1 - before.1)).abs()
        };
        if let Some(&best) = bucket(i).iter().max_by(|a, b| area(a).total_cmp(&area(b))) {
            out.push(best);
            before = best;
        }
    }
    out.push(last);
    out
}

fn mean(points: &[(f64, f64)]) -> (f64, f64) {
    let n = points.len().max(1) as f64;
    let (x, y) = points.iter().fold((0.0, 0.0), |s, p| (s.0 + p.0, s.1 + p.1));
    (x / n, y / n)
}

/// Quantile of the standard normal distribution by P. J. Acklam's rational approximation (relative error below
/// 1.2e-9), which is plenty for an axis.
pub(super) fn probit(p: f64) -> f64 {
    const A: [f64; 6] = [
        -3.969_683_028_665_376e1,
        2.209_460_984_245_205e2,
        -2.759_285_104_469_687e2,
        1.383_577_518_672_69e2,
        -3.066_479_806_614_716e1,
        2.506_628_277_459_239,
    ];
    const B: [f64; 6] = [
        -5.447_609_879_822_406e1,
        1.615_858_368_580_409e2,
        -1.556_989_798_598_866e2,
        6.680_131_188_771_972e1,
        -1.328_068_155_288_572e1,
        1.0,
    ];
    const C: [f64; 6] = [
        -7.784_894_002_430_293e-3,
        -3.223_964_580_411_365e-1,
        -2.400_758_277_161_838,
        -2.549_732_539_343_734,
        4.374_664_141_464_968,
        2.938_163_982_698_783,
    ];
    const D: [f64; 5] = [
        7.784_695_709_041_462e-3,
        3.224_671_290_700_398e-1,
        2.445_134_137_142_996,
        3.754_408_661_907_416,
        1.0,
    ];
    let poly = |c: &[f64], x: f64| c.iter().fold(0.0, |s, c| s * x + c);
    let tail = |p: f64| {
        let q = (-2.0 * p.ln()).sqrt();
        poly(&C, q) / poly(&D, q)
    };
    if p < 0.024_25 {
        tail(p)
    } else if p > 1.0 - 0.024_25 {
        -tail(1.0 - p)
    } else {
        let q = p - 0.5;
        poly(&A, q * q) * q / poly(&B, q * q)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probit_gives_known_quantiles() {
        // scipy.stats.norm.ppf([.001, .01, .02, .2, .5, .9, .995])
        for (p, z) in [
            (0.001, -3.090_232_306_167_813_6),
            (0.01, -2.326_347_874_040_841),
            (0.02, -2.053_748_910_631_823),
            (0.2, -0.841_621_233_572_914_2),
            (0.5, 0.0),
            (0.9, 1.281_551_565_544_600_4),
            (0.995, 2.575_829_303_548_900_4),
        ] {
            assert!((probit(p) - z).abs() < 1e-8, "{p}: {}", probit(p));
        }
    }

    #[test]
    fn places_stay_on_the_axis() {
        let log = Scale::new(Kind::Log, 0.001, 1.0);
        assert!((log.place(0.01) - 1.0 / 3.0).abs() < 1e-12);
        assert_eq!((log.place(0.0), log.place(2.0)), (0.0, 1.0));
        assert_eq!(Scale::new(Kind::Linear, 1.0, 1.0).place(1.0), 0.0);
        assert_eq!(Scale::new(Kind::Linear, 0.0, 1.0).place(f64::NAN), 0.0);
    }

    #[test]
    fn ticks_are_round() {
        assert_eq!(ticks(-4.2, 8.1, 5), (vec![-4.0, -2.0, 0.0, 2.0, 4.0, 6.0, 8.0], 0));
        assert_eq!(ticks(0.0, 0.4, 4).1, 1);
        assert_eq!(ticks(0.0, 0.0, 4), (vec![], 0));
        assert_eq!(ticks(f64::NAN, 1.0, 4), (vec![], 0));
    }

    #[test]
    fn thinning_keeps_ends_corners_and_short_lines() {
        let step: Vec<_> = (0..=1000).map(|i| (f64::from(i), if i < 500 { 0.0 } else { 100.0 })).collect();
        let thinned = thin(&step, 50);
        assert_eq!(thinned.len(), 50);
        assert_eq!((thinned.first(), thinned.last()), (step.first(), step.last()));
        assert!(thinned.contains(&(499.0, 0.0)) || thinned.contains(&(500.0, 100.0)));
        assert_eq!(thin(&step[..3], 50), step[..3]);
        assert_eq!(thin(&[], 50), []);
    }
}

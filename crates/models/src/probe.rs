//! A logistic regression on nuisance facts: what the class can be told by without looking at the content.

use crate::{
    logistic::{self, Linear},
    metrics::Scored,
};

/// Ridge logistic regression on standardised features, both classes weighted alike.
#[derive(Debug, Clone)]
pub struct Probe {
    mean: Vec<f64>,
    sd: Vec<f64>,
    weights: Vec<f64>,
    bias: f64,
}

/// Nuisance facts of one item.
#[derive(Debug, Clone, PartialEq)]
pub struct Facts {
    /// Name of the item.
    pub name: String,
    /// The facts, finite, in a fixed order.
    pub values: Vec<f64>,
    /// Whether the item is machine-made.
    pub fabricated: bool,
    /// Its group.
    pub group: String,
}

impl Probe {
    /// Fits by 2,000 steps of Nesterov's accelerated gradient with a ridge of 0.01, enough for a few dozen standardised
    /// facts. `None` without items of both classes.
    pub fn fit(items: &[Facts]) -> Option<Self> {
        let d = items.first()?.values.len();
        let n = items.len() as f64;
        let fabricated = items.iter().filter(|i| i.fabricated).count() as f64;
        if fabricated == 0.0 || fabricated == n {
            return None;
        }
        let mean: Vec<f64> = (0..d).map(|j| items.iter().map(|i| i.values[j]).sum::<f64>() / n).collect();
        let sd: Vec<f64> = (0..d)
            .map(|j| {
                (items.iter().map(|i| (i.values[j] - mean[j]).powi(2)).sum::<f64>() / n).sqrt().max(1e-9)
            })
            .collect();
        let standard = |i: &Facts| {
            (0..d).map(|j| ((i.values[j] - mean[j]) / sd[j]).clamp(-5.0, 5.0) as f32).collect::<Vec<_>>()
        };
        let rows: Vec<f32> = items.iter().flat_map(standard).collect();
        let targets: Vec<f64> = items.iter().map(|i| f64::from(u8::from(i.fabricated))).collect();
        let weights: Vec<f64> = items
            .iter()
            .map(|i| if i.fabricated { 0.5 / fabricated } else { 0.5 / (n - fabricated) })
            .collect();
        let Linear { weights, bias } = logistic::fit(&rows, d, &targets, &weights, 0.01, 2000)?;
        Some(Self { mean, sd, weights, bias })
    }

    /// Scores items.
    pub fn score(&self, items: &[Facts]) -> Vec<Scored> {
        items
            .iter()
            .map(|i| {
                let z = i
                    .values
                    .iter()
                    .zip(&self.mean)
                    .zip(&self.sd)
                    .zip(&self.weights)
                    .map(|(((v, mean), sd), w)| w * ((v - mean) / sd).clamp(-5.0, 5.0));
                Scored {
                    name: i.name.clone(),
                    score: self.bias + z.sum::<f64>(),
                    fabricated: i.fabricated,
                    group: i.group.clone(),
                }
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::auroc;

    fn facts(leak: f64) -> Vec<Facts> {
        (0..400)
            .map(|i| {
                let fabricated = i % 2 == 0;
                let noise = f64::from((i * 7919) % 401) / 401.0;
                let shift = if fabricated { leak } else { 0.0 };
                Facts {
                    name: i.to_string(),
                    values: vec![noise + shift, 3.0],
                    fabricated,
                    group: format!("{}", i % 5),
                }
            })
            .collect()
    }

    #[test]
    fn finds_a_planted_leak_and_nothing_where_there_is_none() {
        for (leak, low, high) in [(2.0, 0.999, 1.0), (0.0, 0.4, 0.6)] {
            let items = facts(leak);
            let scored = Probe::fit(&items).unwrap().score(&items);
            let a = auroc(&scored.iter().collect::<Vec<_>>()).unwrap();
            assert!((low..=high).contains(&a), "{leak}: {a}");
        }
        assert!(Probe::fit(&facts(1.0).into_iter().filter(|f| f.fabricated).collect::<Vec<_>>()).is_none());
    }
}

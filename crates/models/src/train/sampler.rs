//! Which items a batch holds.

use std::collections::BTreeMap;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{Sampling, manifest::Item};

/// Draws items class by class, group by group; a draw depends on seed, step and slot only.
#[derive(Debug)]
pub(crate) struct Sampler {
    seed: u64,
    /// For each class: cumulative weights of the groups and the items of each.
    classes: [Vec<(f64, Vec<usize>)>; 2],
}

impl Sampler {
    /// Over the items of the training split.
    pub(crate) fn new(items: &[Item], sampling: &Sampling, seed: u64) -> Self {
        let class = |fabricated: bool| {
            let mut groups: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
            for (i, item) in items.iter().enumerate().filter(|(_, i)| !i.dev && i.fabricated == fabricated) {
                groups.entry(&item.group).or_default().push(i);
            }
            let mut total = 0.0;
            groups
                .into_values()
                .map(|members| {
                    total += (members.len() as f64).powf(sampling.group_power);
                    (total, members)
                })
                .collect()
        };
        Self { seed, classes: [class(false), class(true)] }
    }

    /// The generator of one slot of one step.
    pub(crate) fn rng(&self, step: u64, slot: usize) -> ChaCha8Rng {
        let mut key = [0u8; 32];
        key[..8].copy_from_slice(&self.seed.to_le_bytes());
        key[8..16].copy_from_slice(&step.to_le_bytes());
        key[16..24].copy_from_slice(&(slot as u64).to_le_bytes());
        ChaCha8Rng::from_seed(key)
    }

    /// Draws an item; even slots are genuine, odd ones machine-made.
    pub(crate) fn draw(&self, slot: usize, rng: &mut ChaCha8Rng) -> usize {
        let groups = &self.classes[slot % 2];
        let total = groups.last().map_or(0.0, |g| g.0);
        let at = rng.random::<f64>() * total;
        let group = groups.partition_point(|g| g.0 <= at).min(groups.len() - 1);
        let members = &groups[group].1;
        members[rng.random_range(0..members.len())]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::manifest::Source;

    #[test]
    fn classes_alternate_and_groups_are_weighed() {
        let item = |fabricated: bool, group: &str, dev: bool| Item {
            source: Source::Inline(String::new()),
            name: String::new(),
            fabricated,
            group: group.into(),
            generator: String::new(),
            dev,
            language: String::new(),
        };
        let mut items = vec![item(false, "a", false), item(true, "c", true)];
        items.extend((0..99).map(|_| item(false, "b", false)));
        items.extend((0..10).map(|_| item(true, "c", false)));
        let sampling = Sampling { group_power: 0.0, exclude_groups: vec![], label_smoothing: 0.0 };
        let sampler = Sampler::new(&items, &sampling, 3);
        let mut of_a = 0;
        for step in 0..1000 {
            let genuine = sampler.draw(0, &mut sampler.rng(step, 0));
            let fabricated = sampler.draw(1, &mut sampler.rng(step, 1));
            assert!(!items[genuine].fabricated && items[fabricated].fabricated && !items[fabricated].dev);
            of_a += usize::from(items[genuine].group == "a");
            assert_eq!(genuine, sampler.draw(0, &mut sampler.rng(step, 0)));
        }
        assert!((430..570).contains(&of_a), "{of_a}");
    }
}

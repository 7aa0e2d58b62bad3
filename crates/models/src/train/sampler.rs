//! Which items a batch holds.

use std::collections::BTreeMap;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{Sampling, manifest::Item};

/// Draws items class by class, group by group; a draw depends on seed, step and slot only.
#[derive(Debug)]
pub(crate) struct Sampler {
    seed: u64,
    all: Pool,
    /// Cumulative weights of the collections and the items of each; empty unless pairs come from one collection.
    collections: Vec<(f64, Pool)>,
}

/// For each class: cumulative weights of the groups and the items of each.
#[derive(Debug, Default)]
struct Pool([Vec<(f64, Vec<usize>)>; 2]);

impl Pool {
    fn new<'a>(items: impl Iterator<Item = (usize, &'a Item)>, power: f64) -> Self {
        let mut classes = [BTreeMap::new(), BTreeMap::new()];
        for (i, item) in items {
            let groups: &mut BTreeMap<&str, Vec<usize>> = &mut classes[usize::from(item.fabricated)];
            groups.entry(&item.group).or_default().push(i);
        }
        Self(
            classes
                .map(|groups| cumulative(groups.into_values(), |members| (members.len() as f64).powf(power))),
        )
    }

    fn draw(&self, class: usize, rng: &mut ChaCha8Rng) -> Option<usize> {
        let members = pick(&self.0[class], rng)?;
        Some(members[rng.random_range(0..members.len())])
    }
}

fn cumulative<T>(values: impl IntoIterator<Item = T>, weight: impl Fn(&T) -> f64) -> Vec<(f64, T)> {
    let mut total = 0.0;
    values
        .into_iter()
        .map(|value| {
            total += weight(&value);
            (total, value)
        })
        .collect()
}

fn pick<'a, T>(weighted: &'a [(f64, T)], rng: &mut ChaCha8Rng) -> Option<&'a T> {
    let at = rng.random::<f64>() * weighted.last()?.0;
    weighted.get(weighted.partition_point(|g| g.0 <= at).min(weighted.len() - 1)).map(|g| &g.1)
}

impl Sampler {
    /// Over the items of the training split.
    pub(crate) fn new(items: &[Item], sampling: &Sampling, seed: u64) -> Self {
        let power = sampling.group_power;
        let training = || items.iter().enumerate().filter(|(_, i)| !i.dev);
        let mut members: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        if sampling.within_collection {
            for (i, item) in training() {
                members.entry(&item.collection).or_default().push(i);
            }
        }
        let collections = cumulative(members.into_values(), |m| (m.len() as f64).powf(power));
        let pool = |m: Vec<usize>| Pool::new(m.into_iter().filter_map(|i| Some((i, items.get(i)?))), power);
        Self {
            seed,
            all: Pool::new(training(), power),
            collections: collections.into_iter().map(|(weight, m)| (weight, pool(m))).collect(),
        }
    }

    /// The generator of one slot of one step.
    pub(crate) fn rng(&self, step: u64, slot: usize) -> ChaCha8Rng {
        let mut key = [0u8; 32];
        key[..8].copy_from_slice(&self.seed.to_le_bytes());
        key[8..16].copy_from_slice(&step.to_le_bytes());
        key[16..24].copy_from_slice(&(slot as u64).to_le_bytes());
        ChaCha8Rng::from_seed(key)
    }

    /// Draws an item; even slots are genuine, odd ones machine-made, two together a pair.
    pub(crate) fn draw(&self, step: u64, slot: usize, rng: &mut ChaCha8Rng) -> usize {
        let class = slot % 2;
        // Both slots of a pair draw the collection from the generator of the second kind that they share.
        let collection = pick(&self.collections, &mut self.rng(step, PAIRS + slot / 2));
        let item = collection.and_then(|c| c.draw(class, rng)).or_else(|| self.all.draw(class, rng));
        item.unwrap_or_default()
    }
}

/// Beyond every slot: from here on, generators are those of pairs.
const PAIRS: usize = 1 << 32;

#[cfg(test)]
mod tests {
    use super::*;

    fn item(fabricated: bool, collection: &str, group: &str, dev: bool) -> Item {
        Item::example(fabricated, group, "", collection, dev)
    }

    #[test]
    fn classes_alternate_and_groups_are_weighed() {
        let mut items = vec![item(false, "", "a", false), item(true, "", "c", true)];
        items.extend((0..99).map(|_| item(false, "", "b", false)));
        items.extend((0..10).map(|_| item(true, "", "c", false)));
        let sampling = Sampling {
            group_power: 0.0,
            within_collection: false,
            exclude_groups: vec![],
            label_smoothing: 0.0,
        };
        let sampler = Sampler::new(&items, &sampling, 3);
        let mut of_a = 0;
        for step in 0..1000 {
            let genuine = sampler.draw(step, 0, &mut sampler.rng(step, 0));
            let fabricated = sampler.draw(step, 1, &mut sampler.rng(step, 1));
            assert!(!items[genuine].fabricated && items[fabricated].fabricated && !items[fabricated].dev);
            of_a += usize::from(items[genuine].group == "a");
            assert_eq!(genuine, sampler.draw(step, 0, &mut sampler.rng(step, 0)));
        }
        assert!((430..570).contains(&of_a), "{of_a}");
    }

    #[test]
    fn a_pair_comes_from_one_collection_where_it_has_both_classes() {
        let mut items = vec![item(false, "x", "a", false), item(true, "x", "b", false)];
        items.extend([item(false, "y", "c", false), item(true, "y", "d", false)]);
        items.push(item(true, "z", "e", false));
        let sampling = Sampling {
            group_power: 0.5,
            within_collection: true,
            exclude_groups: vec![],
            label_smoothing: 0.0,
        };
        let sampler = Sampler::new(&items, &sampling, 3);
        let mut seen = [0; 5];
        for step in 0..1000 {
            let [genuine, fabricated] =
                [6, 7].map(|slot| sampler.draw(step, slot, &mut sampler.rng(step, slot)));
            assert!(!items[genuine].fabricated && items[fabricated].fabricated);
            assert!(fabricated == 4 || items[genuine].collection == items[fabricated].collection);
            seen[genuine] += 1;
            seen[fabricated] += 1;
        }
        assert!(seen.iter().all(|&n| n > 200), "{seen:?}");
    }
}

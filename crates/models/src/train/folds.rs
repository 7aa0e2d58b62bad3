//! Cross-validation that leaves whole generators, sources or collections out.

use std::collections::BTreeMap;

use super::manifest::Item;

/// What a fold leaves out as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaveOut {
    /// Generators; of genuine items, their groups.
    Generator,
    /// Groups.
    Group,
    /// Collections: everything that was published together, of both classes.
    Collection,
}

impl std::fmt::Display for LeaveOut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Generator => "generator",
            Self::Group => "group",
            Self::Collection => "collection",
        })
    }
}

impl LeaveOut {
    fn unit(self, item: &Item) -> (bool, &str) {
        match self {
            Self::Generator if item.fabricated && !item.generator.is_empty() => (true, &item.generator),
            Self::Generator | Self::Group => (item.fabricated, &item.group),
            // One unit whatever the class.
            Self::Collection => (false, &item.collection),
        }
    }
}

/// The fold of each item, from 0 to `folds - 1`: large units first, each to the fold that has fewest items of its class.
pub(crate) fn assign(items: &[Item], by: LeaveOut, folds: usize) -> Vec<usize> {
    let mut sizes: BTreeMap<(bool, &str), usize> = BTreeMap::new();
    for item in items {
        *sizes.entry(by.unit(item)).or_default() += 1;
    }
    let mut units: Vec<_> = sizes.into_iter().collect();
    units.sort_by_key(|&(unit, size)| (std::cmp::Reverse(size), unit));
    let mut filled = [vec![0; folds], vec![0; folds]];
    let mut fold_of = BTreeMap::new();
    for (unit, size) in units {
        let filled = &mut filled[usize::from(unit.0)];
        let fold = (0..folds).min_by_key(|&f| filled[f]).unwrap_or_default();
        filled[fold] += size;
        fold_of.insert(unit, fold);
    }
    items.iter().map(|item| fold_of.get(&by.unit(item)).copied().unwrap_or_default()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(fabricated: bool, group: &str, generator: &str, collection: &str) -> Item {
        Item::example(fabricated, group, generator, collection, false)
    }

    #[test]
    fn units_stay_whole_and_folds_are_of_like_size() {
        let mut items = Vec::new();
        for i in 0..120 {
            let (group, generator) = (format!("g{}", i % 13), format!("m{}", i % 7));
            items.push(item(
                i % 2 == 0,
                &group,
                if i % 2 == 0 { &generator } else { "" },
                &format!("c{}", i % 5),
            ));
        }
        for by in [LeaveOut::Generator, LeaveOut::Group, LeaveOut::Collection] {
            let folds = assign(&items, by, 3);
            for class in [false, true] {
                let sizes: Vec<usize> = (0..3)
                    .map(|f| {
                        items.iter().zip(&folds).filter(|(i, g)| **g == f && i.fabricated == class).count()
                    })
                    .collect();
                assert!(sizes.iter().all(|&n| (8..=32).contains(&n)), "{by:?} {sizes:?}");
            }
            for (a, fa) in items.iter().zip(&folds) {
                for (b, fb) in items.iter().zip(&folds) {
                    assert!(by.unit(a) != by.unit(b) || fa == fb);
                }
            }
        }
    }
}

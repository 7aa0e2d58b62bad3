//! Figures on the development items, calibration, and the model card.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Leak, LeaveOut, Measured, TrainConfig, manifest};
use crate::{
    Calibrations, FLAG_P, Sample,
    calibration::posterior,
    metrics::{self, Estimate, Scored},
    model_file::ModelFile,
    probe::Probe,
};

/// One measured figure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// What it was measured on: a condition, or `condition / group`.
    pub slice: String,
    /// Name of the metric.
    pub metric: String,
    /// The figure with its 95 % interval.
    pub estimate: Estimate,
    /// Genuine and machine-made items behind it.
    pub items: [usize; 2],
}

/// Everything that was measured. Figures that need a calibration come from folds: the items that they are measured on
/// took no part in fitting it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Figures {
    /// Per condition.
    pub overall: Vec<Row>,
    /// Per generator and genuine source.
    #[serde(default)]
    pub groups: Vec<Row>,
    /// Logistic regressions on facts beside the content.
    #[serde(default)]
    pub leaks: Vec<Row>,
}

const FOLDS: usize = 5;

/// Assigns each unit to a fold by a hash of the seed and its name.
fn fold(seed: u64, unit: &str) -> usize {
    let digest = Sha256::new().chain_update(seed.to_le_bytes()).chain_update(unit).finalize();
    digest[0] as usize % FOLDS
}

/// The scores that take part in the calibration.
fn samples(measured: &[Measured], keep: impl Fn(&Scored) -> bool) -> Vec<Sample<'_>> {
    let mut samples = Vec::new();
    for (condition, m) in measured.iter().filter(|m| !m.part).enumerate() {
        for (s, stratum) in m.scores.iter().zip(&m.strata).filter(|(s, _)| keep(s)) {
            samples.push(Sample { condition, stratum, logit: s.score, fabricated: s.fabricated });
        }
    }
    samples
}

/// `(llr, p)` of every item from a calibration that was fitted on the other folds. An item is in the same fold under
/// every condition.
fn out_of_fold(seed: u64, measured: &[Measured], by_group: bool) -> Option<Vec<Vec<(f64, f64)>>> {
    let unit = |s: &Scored| fold(seed, if by_group { &s.group } else { &s.name });
    let fits = (0..FOLDS)
        .map(|f| Calibrations::fit(&samples(measured, |s| unit(s) != f)))
        .collect::<Option<Vec<_>>>()?;
    let apply = |(s, stratum): (&Scored, &String)| {
        let c = fits[unit(s)].of(stratum);
        (c.llr(s.score), c.p_value(s.score))
    };
    Some(measured.iter().map(|m| m.scores.iter().zip(&m.strata).map(apply).collect()).collect())
}

/// Measures and calibrates; `None` when a class has no development items.
pub(crate) fn figures(measured: &[Measured], leaks: &[Leak], seed: u64) -> Option<(Figures, Calibrations)> {
    let calibrations = Calibrations::fit(&samples(measured, |_| true))?;
    let by_item = out_of_fold(seed, measured, false)?;
    let by_group = out_of_fold(seed, measured, true)?;
    let mut figures = Figures::default();
    for ((m, by_item), by_group) in measured.iter().zip(&by_item).zip(&by_group) {
        figures.overall.extend(condition_rows(m, by_item, by_group, seed));
        figures.groups.extend(group_rows(m, by_item, seed));
    }
    for leak in leaks {
        let scored = Probe::fit(&leak.train)?.score(&leak.dev);
        let counts = counts(&scored);
        for (metric, f) in [("AUROC", metrics::auroc as Metric), ("EER", metrics::eer)] {
            let estimate = metrics::bootstrap(&scored, 1000, seed, f)?;
            figures.leaks.push(Row {
                slice: leak.name.into(),
                metric: metric.into(),
                estimate,
                items: counts,
            });
        }
    }
    Some((figures, calibrations))
}

/// Least items of each class for a collection to count by itself.
const LEAST_WITHIN: usize = 4;

/// AUROC and EER within collections that have both classes, their mean over the collections: there, microphones, speakers,
/// cameras and topics are shared by both classes and tell nothing. The intervals come from the items of each collection.
pub(crate) fn within(measured: &[Measured], items: &[manifest::Item], seed: u64) -> Vec<Row> {
    let collection: BTreeMap<&str, &str> =
        items.iter().map(|i| (i.name.as_str(), i.collection.as_str())).collect();
    let mut rows = Vec::new();
    for m in measured.iter().filter(|m| !m.part) {
        let mut parts: BTreeMap<&str, Vec<Scored>> = BTreeMap::new();
        for s in &m.scores {
            if let Some(collection) = collection.get(s.name.as_str()) {
                // Items are drawn, not groups: a collection has few of those.
                parts.entry(collection).or_default().push(Scored { group: s.name.clone(), ..s.clone() });
            }
        }
        parts.retain(|_, part| counts(part).into_iter().all(|n| n >= LEAST_WITHIN));
        for (name, f) in [("AUROC", metrics::auroc as Metric), ("EER", metrics::eer)] {
            let of = |part: &Vec<Scored>| metrics::bootstrap(part, 1000, seed, f);
            let found: Vec<Estimate> = parts.values().filter_map(of).collect();
            if found.is_empty() {
                continue;
            }
            let n = found.len() as f64;
            let value = found.iter().map(|e| e.value).sum::<f64>() / n;
            // Errors of independent collections add up by their squares.
            let side = |f: fn(&Estimate) -> f64| found.iter().map(|e| f(e).powi(2)).sum::<f64>().sqrt() / n;
            let low = (value - side(|e| e.value - e.low)).max(0.0);
            let high = (value + side(|e| e.high - e.value)).min(1.0);
            let items = parts.values().map(|p| counts(p)).fold([0; 2], |[a, b], [c, d]| [a + c, b + d]);
            rows.push(Row {
                slice: m.condition.clone(),
                metric: format!("{name} within a collection, mean of {}", found.len()),
                estimate: Estimate { value, low, high },
                items,
            });
        }
    }
    rows
}

fn counts(scores: &[Scored]) -> [usize; 2] {
    let fabricated = scores.iter().filter(|s| s.fabricated).count();
    [scores.len() - fabricated, fabricated]
}

type Metric = fn(&[&Scored]) -> Option<f64>;

fn condition_rows(m: &Measured, by_item: &[(f64, f64)], by_group: &[(f64, f64)], seed: u64) -> Vec<Row> {
    let items = counts(&m.scores);
    let row =
        |metric: &str, estimate| Row { slice: m.condition.clone(), metric: metric.into(), estimate, items };
    let mut rows = Vec::new();
    let tpr5: Metric = |s| metrics::tpr_at_fpr(s, 0.05);
    let tpr1: Metric = |s| metrics::tpr_at_fpr(s, 0.01);
    for (name, f) in [
        ("AUROC", metrics::auroc as Metric),
        ("EER", metrics::eer),
        ("TPR at 5 % FPR", tpr5),
        ("TPR at 1 % FPR", tpr1),
    ] {
        if let Some(e) = metrics::bootstrap(&m.scores, 1000, seed, f) {
            rows.push(row(name, e));
        }
    }
    // The score slot carries the out-of-fold probability.
    let probable: Vec<Scored> = m
        .scores
        .iter()
        .zip(by_item)
        .map(|(s, (llr, _))| Scored { score: posterior(*llr, 0.5), ..s.clone() })
        .collect();
    let ece =
        |s: &[&Scored]| metrics::ece(&s.iter().map(|s| (s.score, s.fabricated)).collect::<Vec<_>>(), 10);
    if let Some(e) = metrics::bootstrap(&probable, 1000, seed, ece) {
        rows.push(row("ECE, 10 bins, out of fold", e));
    }
    let stated: Vec<(f64, bool)> = probable.iter().map(|s| (s.score, s.fabricated)).collect();
    if let Some(chance) = metrics::ece_by_chance(&stated, 10, seed) {
        rows.push(row("ECE of a perfect calibration with as few items", chance));
    }
    for (name, fabricated, folded) in [
        ("genuine flagged, out of fold", false, by_item),
        ("genuine flagged, folds by source", false, by_group),
        ("machine-made flagged, out of fold", true, by_item),
    ] {
        let mine = m.scores.iter().zip(folded).filter(|(s, _)| s.fabricated == fabricated);
        let flags: Vec<bool> = mine.map(|(_, (_, p))| *p <= FLAG_P).collect();
        if let Some(e) = metrics::wilson(flags.iter().filter(|&&f| f).count(), flags.len()) {
            rows.push(row(name, e));
        }
    }
    if let Some(e) = metrics::wilson(m.abstained, m.abstained + m.scores.len()) {
        rows.push(row("abstained", e));
    }
    rows
}

fn group_rows(m: &Measured, by_item: &[(f64, f64)], seed: u64) -> Vec<Row> {
    let groups: BTreeSet<(bool, &str)> = m.scores.iter().map(|s| (s.fabricated, s.group.as_str())).collect();
    let groups: Vec<_> = groups.into_iter().collect();
    groups
        .into_par_iter()
        .filter_map(|(fabricated, group)| {
            let of_group = |s: &Scored| s.fabricated == fabricated && s.group == group;
            let slice = format!("{} / {group}", m.condition);
            if fabricated {
                let sample = m.scores.iter().filter(|s| !s.fabricated || of_group(s)).cloned();
                let sample: Vec<Scored> = sample.collect();
                let estimate = metrics::bootstrap(&sample, 200, seed, metrics::auroc)?;
                Some(Row { slice, metric: "AUROC".into(), estimate, items: counts(&sample) })
            } else {
                let mine = m.scores.iter().zip(by_item).filter(|(s, _)| of_group(s));
                let flags: Vec<bool> = mine.map(|(_, (_, p))| *p <= FLAG_P).collect();
                let estimate = metrics::wilson(flags.iter().filter(|&&f| f).count(), flags.len())?;
                Some(Row { slice, metric: "flagged".into(), estimate, items: [flags.len(), 0] })
            }
        })
        .collect()
}

/// Figures of a cross-validation and a page that holds them; `None` when a class is missing.
///
/// Ranking metrics are taken over all folds together, although each fold has a network of its own with its own zero:
/// this errs on the low side. The mean over the folds stands beside it.
pub(crate) fn folds(
    config: &TrainConfig,
    digest: &str,
    by: LeaveOut,
    parts: &[Vec<Measured>],
) -> Option<(Vec<Row>, String)> {
    let mut pooled: Vec<Measured> = Vec::new();
    for part in parts {
        if pooled.is_empty() {
            pooled.clone_from(part);
            continue;
        }
        for (all, m) in pooled.iter_mut().zip(part) {
            all.scores.extend(m.scores.iter().cloned());
            all.strata.extend(m.strata.iter().cloned());
            all.abstained += m.abstained;
        }
    }
    let (figures, _) = figures(&pooled, &[], config.seed)?;
    let items = pooled.first().map_or(0, |m| m.scores.len() + m.abstained);
    let mut overall = Vec::new();
    for (i, all) in pooled.iter().enumerate() {
        overall.extend(figures.overall.iter().filter(|r| r.slice == all.condition).cloned());
        let of_fold = |part: &Vec<Measured>| {
            metrics::auroc(&part.get(i).map(|m| m.scores.iter().collect::<Vec<_>>()).unwrap_or_default())
        };
        let of_pairs = |part: &Vec<Measured>| part.get(i).map(|m| pairs(&m.scores)).unwrap_or_default();
        let spreads = [
            ("the folds", parts.iter().filter_map(of_fold).collect::<Vec<f64>>()),
            (
                "pairs of a genuine and a machine-made source in a fold",
                parts.iter().flat_map(of_pairs).collect(),
            ),
        ];
        for (of, each) in spreads.iter().filter(|(_, each)| !each.is_empty()) {
            let value = each.iter().sum::<f64>() / each.len() as f64;
            let low = each.iter().copied().fold(f64::INFINITY, f64::min);
            let high = each.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            overall.push(Row {
                slice: all.condition.clone(),
                metric: format!("AUROC, mean of {of} (lowest, highest)"),
                estimate: Estimate { value, low, high },
                items: counts(&all.scores),
            });
        }
    }
    let what = match by {
        LeaveOut::Generator => "generators, and of the genuine items whole groups,",
        LeaveOut::Group => "groups",
        LeaveOut::Collection => "collections",
    };
    let how = by.to_string();
    let mut out = format!(
        "# {}, cross-validated\n\n{items} items, data digest `{digest}`. Made by `candor train --folds {how}={} --config \
         weights/{}.train.toml --data MANIFEST…`: every item is measured by a network that was trained without its fold, and \
         whole {what} are in one fold. \"Out of fold\" speaks of the calibration, which is fitted on other items.\n\n",
        config.id,
        parts.len(),
        config.id,
    );
    table(&mut out, &overall);
    out.push_str(
        "\n## Per source\n\nAUROC of each generator against all genuine items; share flagged of each genuine source.\n\n",
    );
    table(&mut out, &figures.groups);
    Some((overall, out))
}

/// AUROC of each genuine source against each machine-made one: their mean counts a small source like a large one.
fn pairs(scores: &[Scored]) -> Vec<f64> {
    let mut sources: [BTreeMap<&str, Vec<&Scored>>; 2] = Default::default();
    for score in scores {
        sources[usize::from(score.fabricated)].entry(&score.group).or_default().push(score);
    }
    let [genuine, fabricated] = &sources;
    let against = |a: &Vec<&Scored>, b: &Vec<&Scored>| metrics::auroc(&[a.as_slice(), b.as_slice()].concat());
    genuine.values().flat_map(|a| fabricated.values().filter_map(|b| against(a, b))).collect()
}

/// The model card.
pub(crate) fn card(file: &ModelFile, config: &TrainConfig, items: &[manifest::Item]) -> String {
    let mut out = String::new();
    let name = file.id.rsplit('/').next().unwrap_or(&file.id);
    let anew = if file.measured_on == file.data_digest {
        String::new()
    } else {
        format!("| measured and calibrated on | digest `{}` |\n", file.measured_on)
    };
    let _ = write!(
        out,
        "# {}\n\n{}\n\n| | |\n| --- | --- |\n| licence | {} |\n| weights | SHA-256 `{}` |\n| data | digest `{}` |\n{}| \
         seed | {} |\n| made by | `candor train --config weights/{}.train.toml --data MANIFEST…` |\n",
        file.id, file.summary, file.licence, file.sha256, file.data_digest, anew, file.seed, file.id
    );
    let summary = manifest::summary(items);
    let effort = match (&config.schedule, &config.pretrained, &config.spectral) {
        (Some(s), _, _) => format!("{} steps of {}", s.steps, s.batch),
        (_, Some(p), _) => format!("{} laundered copies of each", p.copies),
        (_, _, Some(s)) => format!("{} copies of each, all but one of them laundered", s.copies),
        _ => String::new(),
    };
    let count = |split: &str, class: usize| summary.get(split).map_or(0, |c| c[class]);
    let _ = write!(
        out,
        "| training | {} genuine, {} machine-made, {} |\n| development | {} genuine, {} machine-made |\n\n",
        count("train", 0),
        count("train", 1),
        effort,
        count("dev", 0),
        count("dev", 1),
    );
    out.push_str(
        "## Measured on the development items\n\nNone of them took part in training. Intervals are 95 %: bootstrap over \
         sources for ranking metrics and ECE, Wilson for shares. Figures marked \"out of fold\" come from calibrations \
         fitted on other items; \"folds by source\" means on other sources.\n\n",
    );
    table(&mut out, &file.figures.overall);
    out.push_str(
        "\n## What facts beside the content tell\n\nA logistic regression on such facts alone, fitted on the training \
         items, measured on the development items. 0.5 AUROC is chance.\n\n",
    );
    table(&mut out, &file.figures.leaks);
    out.push_str(
        "\n## Per source\n\nAUROC of each generator against all genuine items; share flagged of each genuine source.\n\n",
    );
    table(&mut out, &file.figures.groups);
    let mut generators: BTreeMap<&str, [usize; 2]> = BTreeMap::new();
    for item in items.iter().filter(|i| i.fabricated) {
        generators.entry(&item.generator).or_default()[usize::from(item.dev)] += 1;
    }
    let _ = write!(
        out,
        "\n## Generators in the data\n\n| generator | training | development |\n| --- | --- | --- |\n"
    );
    for (generator, [train, dev]) in generators {
        let _ = writeln!(out, "| {} | {train} | {dev} |", generator.replace('|', "/"));
    }
    let _ = write!(
        out,
        "\n## Use\n\nFor a first look and for sorting; a flag is evidence to weigh, never proof. The detector was not \
         measured on generators, cameras, microphones or writers beyond those above, and its error rates there will be \
         worse. `no-sign` does not mean authentic. The learning curve is `{name}.log.csv`.\n"
    );
    out
}

fn table(out: &mut String, rows: &[Row]) {
    let _ = writeln!(
        out,
        "| slice | metric | value | 95 % | genuine | machine-made |\n| --- | --- | --- | --- | --- | --- |"
    );
    for row in rows {
        let e = row.estimate;
        let _ = writeln!(
            out,
            "| {} | {} | {:.3} | {:.3} to {:.3} | {} | {} |",
            row.slice.replace('|', "/"),
            row.metric,
            e.value,
            e.low,
            e.high,
            row.items[0],
            row.items[1]
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use manifest::{Item, Source};

    #[test]
    fn pairs_count_small_sources_like_large_ones() {
        let score = |group: &str, fabricated: bool, score: f64| Scored {
            name: String::new(),
            score,
            fabricated,
            group: group.into(),
        };
        let mut scores = vec![score("few", false, 5.0), score("x", true, 3.0), score("y", true, 10.0)];
        scores.extend((0..50).map(|_| score("many", false, 1.0)));
        assert_eq!(pairs(&scores), [0.0, 1.0, 1.0, 1.0]);
        assert!(pairs(&scores[..1]).is_empty());
    }

    /// Two collections that are told apart within, at levels that mislead between them; a third has one class only.
    #[test]
    fn figures_within_collections_do_not_see_what_differs_between_them() {
        let (mut items, mut scores) = (Vec::new(), Vec::new());
        for (collection, level, classes) in [("a", 0.0, 2), ("b", 100.0, 2), ("c", -100.0, 1)] {
            for i in 0..12 {
                let fabricated = i % classes == 1;
                // The genuine items of "a" and "b" all score lower than the made ones beside them.
                let score = level + f64::from(u8::from(fabricated)) * 10.0 + f64::from(i) * 0.1;
                let name = format!("{collection}{i}");
                scores.push(Scored { name: name.clone(), score, fabricated, group: collection.into() });
                items.push(Item {
                    source: Source::Inline(String::new()),
                    name,
                    fabricated,
                    group: collection.into(),
                    collection: collection.into(),
                    generator: String::new(),
                    dev: true,
                    language: String::new(),
                    taught: None,
                });
            }
        }
        let pooled: Vec<&Scored> = scores.iter().filter(|s| s.group != "c").collect();
        assert!(metrics::auroc(&pooled).unwrap() < 0.8);
        let strata = vec![String::new(); scores.len()];
        let measured = Measured { condition: "clean".into(), scores, strata, abstained: 0, part: false };
        let rows = within(&[measured], &items, 1);
        let expected = [("AUROC", 1.0), ("EER", 0.0)];
        assert_eq!(rows.len(), expected.len());
        for (row, (name, value)) in rows.iter().zip(expected) {
            assert_eq!(row.metric, format!("{name} within a collection, mean of 2"));
            assert!((row.estimate.value - value).abs() < 1e-12, "{row:?}");
            assert_eq!(row.items, [12, 12]);
        }
    }
}

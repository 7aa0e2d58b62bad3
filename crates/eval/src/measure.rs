//! From rows of scores to everything that a report says.

use std::collections::{BTreeMap, BTreeSet};

use candor::{Label, MediaKind};
use candor_metrics::{self as metrics, DetectionCost, Judged, Scored};
use candor_models::{Facts, Probe, posterior};
use sha2::{Digest, Sha256};

use crate::{
    judge::{Row, fact_names},
    report::data::{
        Bin, Class, Condition, Counts, Difference, Estimate, Grid, GridMetric, GridRow, Histogram, Leak,
        Matched, MetricRow, Slice, SliceRow, System, Threshold,
    },
};

/// Bootstrap samples behind each interval.
pub const DRAWS: usize = 1000;
/// Seed of the bootstrap and of the folds.
pub const SEED: u64 = 1;

type Metric = fn(&[&Scored]) -> Option<f64>;

fn estimate(e: Option<metrics::Estimate>) -> Estimate {
    e.map_or(Estimate::bare(f64::NAN), |e| Estimate::new(e.value, e.low, e.high))
}

fn scored(row: &Row, score: Option<f64>) -> Option<Scored> {
    Some(Scored {
        name: row.name.clone(),
        score: score?,
        fabricated: row.fabricated,
        group: row.group.clone(),
    })
}

fn counts(items: &[Scored]) -> Counts {
    let fabricated = items.iter().filter(|s| s.fabricated).count() as u64;
    Counts { genuine: items.len() as u64 - fabricated, fabricated }
}

pub(crate) fn booted(items: &[Scored], metric: impl Fn(&[&Scored]) -> Option<f64>) -> Estimate {
    estimate(metrics::bootstrap(items, DRAWS, SEED, metric))
}

/// The ranking metrics, which any system's scores have.
fn ranking(items: &[Scored]) -> Vec<MetricRow> {
    let mut rows = Vec::new();
    let plain: [(&str, Metric); 3] =
        [("AUROC", metrics::auroc), ("average precision", metrics::average_precision), ("EER", metrics::eer)];
    for (name, metric) in plain {
        rows.push(MetricRow { name: name.into(), estimate: booted(items, metric), note: String::new() });
    }
    let all: Vec<&Scored> = items.iter().collect();
    for (percent, fpr) in [("5", 0.05), ("1", 0.01), ("0.1", 0.001)] {
        let Some(point) = metrics::operating_point(&all, fpr) else { continue };
        let note = if point.supported {
            String::new()
        } else {
            format!(
                "{} genuine items do not support this rate: up to {:.1} % are possible, {} are needed",
                items.iter().filter(|s| !s.fabricated).count(),
                100.0 * point.fpr.high,
                metrics::genuine_needed(fpr)
            )
        };
        let estimate = booted(items, |s| metrics::tpr_at_fpr(s, fpr));
        rows.push(MetricRow { name: format!("TPR at {percent} % FPR"), estimate, note });
    }
    rows
}

/// Everything about one condition; `rows` are those of that condition.
pub fn condition(name: &str, rows: &[&Row], kind: MediaKind) -> Condition {
    let scores: Vec<Scored> = rows.iter().filter_map(|r| scored(r, r.score)).collect();
    let llrs: Vec<Scored> = rows.iter().filter_map(|r| scored(r, r.llr)).collect();
    let probable: Vec<Scored> =
        rows.iter().filter_map(|r| scored(r, r.llr.map(|llr| posterior(llr, 0.5)))).collect();
    let judged: Vec<Judged> = rows
        .iter()
        .map(|r| Judged {
            name: r.name.clone(),
            fabricated: r.fabricated,
            flagged: match r.verdict {
                Label::Suspected | Label::AiGenerated => Some(true),
                Label::NoSign => Some(false),
                _ => None,
            },
            group: r.group.clone(),
        })
        .collect();
    let mut all = ranking(&scores);
    let mut add = |name: &str, estimate: Estimate, note: &str| {
        all.push(MetricRow { name: name.into(), estimate, note: note.into() });
    };
    let share = |fabricated: bool| {
        let mine = judged.iter().filter(|j| j.fabricated == fabricated);
        let (hits, n) = mine.fold((0, 0), |(k, n), j| (k + usize::from(j.flagged == Some(true)), n + 1));
        estimate(metrics::wilson(hits, n))
    };
    add("genuine flagged", share(false), "at the threshold that the scan uses; Wilson");
    add("machine-made flagged", share(true), "at the threshold that the scan uses; Wilson");
    let ece =
        |s: &[&Scored]| metrics::ece(&s.iter().map(|s| (s.score, s.fabricated)).collect::<Vec<_>>(), 10);
    add("ECE", booted(&probable, ece), "10 bins of equal mass, prior 0.5");
    add("Brier score", booted(&probable, metrics::brier), "prior 0.5");
    add("Cllr", booted(&llrs, metrics::cllr), "bits; 1 says nothing");
    add("Cllr min", booted(&llrs, metrics::cllr_min), "after the best monotone recalibration");
    let decided = |f: fn(&[&Judged]) -> Option<f64>| estimate(metrics::bootstrap(&judged, DRAWS, SEED, f));
    add("coverage", decided(metrics::coverage), "share of items with an answer");
    add("c@1", decided(metrics::c_at_1), "accuracy that rewards abstention over errors");
    if kind == MediaKind::Audio {
        let cost = DetectionCost::ASVSPOOF5;
        add("minDCF", booted(&llrs, |s| metrics::min_dcf(s, cost)), "costs of ASVspoof 5");
        add("actDCF", booted(&llrs, |s| metrics::act_dcf(s, cost)), "costs of ASVspoof 5");
    }
    let refs: Vec<&Scored> = scores.iter().collect();
    let points: Vec<(f64, bool)> = probable.iter().map(|s| (s.score, s.fabricated)).collect();
    let reliability = metrics::reliability(&points, 10).unwrap_or_default().into_iter().map(|b| {
        let n = b.genuine + b.fabricated;
        Bin { mean_p: b.stated, observed: Estimate::bare(b.observed), n: n as u64 }
    });
    let histogram = metrics::histogram(&refs, 24).map_or_else(Histogram::default, |h| Histogram {
        axis: "network score".into(),
        edges: h.edges,
        genuine: h.genuine.into_iter().map(|n| n as u64).collect(),
        fabricated: h.fabricated.into_iter().map(|n| n as u64).collect(),
    });
    Condition {
        name: name.into(),
        counts: counts(&scores),
        metrics: all,
        roc: metrics::roc(&refs).unwrap_or_default().into_iter().map(|p| (p.fpr, p.tpr)).collect(),
        thresholds: vec![Threshold {
            name: "flagging threshold".into(),
            score: f64::NAN,
            fpr: share(false),
            tpr: share(true),
        }],
        reliability: reliability.collect(),
        histogram,
    }
}

/// Most values of a column that is sliced by; a column with more is a name, not a kind.
const MOST_VALUES: usize = 20;
/// Most columns that are sliced by.
const MOST_COLUMNS: usize = 8;
/// Columns that speak of how the data were kept, not of what the items are.
const BOOKKEEPING: [&str; 6] = ["commit", "license", "licence", "repo_path", "sha256", "url"];

/// How large an item is, by the facts of its file.
fn size(row: &Row) -> Option<&'static str> {
    let fact = |name: &str| {
        let at = fact_names(row.kind?).iter().position(|n| *n == name)?;
        row.facts.get(at).map(|v| v.exp_m1().round())
    };
    let (value, steps): (f64, [(f64, &str); 3]) = match row.kind? {
        MediaKind::Image => (
            fact("width")?.max(fact("height")?),
            [(512.0, "<= 512 px"), (1024.0, "<= 1024 px"), (2048.0, "<= 2048 px")],
        ),
        MediaKind::Audio => (fact("length")?, [(2.0, "<= 2 s"), (5.0, "<= 5 s"), (20.0, "<= 20 s")]),
        MediaKind::Text => {
            (fact("words")?, [(60.0, "<= 60 words"), (150.0, "<= 150 words"), (300.0, "<= 300 words")])
        }
    };
    Some(steps.iter().find(|(most, _)| value <= *most).map_or("larger", |(_, name)| *name))
}

/// Marks the first of rows that are sorted by how bad they are, where there is a worse and a better one.
fn mark_worst(rows: &mut [SliceRow]) {
    let differ = rows.first().zip(rows.last()).is_some_and(|(a, b)| a.estimate.value != b.estimate.value);
    if let Some(first) = rows.first_mut() {
        first.worst = differ;
    }
}

/// AUROC within each value of a column or of the size, where it has items of both classes, and the share of genuine items
/// flagged.
fn within<'a>(by: &str, rows: &[&'a Row], value: impl Fn(&'a Row) -> Option<&'a str>) -> Vec<Slice> {
    let mut parts: BTreeMap<&str, Vec<&Row>> = BTreeMap::new();
    for row in rows {
        parts.entry(value(row).unwrap_or("(none)")).or_default().push(row);
    }
    if !(2..=MOST_VALUES).contains(&parts.len()) {
        return Vec::new();
    }
    let (mut ranked, mut flagged) = (Vec::new(), Vec::new());
    for (name, part) in parts {
        let scores: Vec<Scored> = part.iter().filter_map(|r| scored(r, r.score)).collect();
        let n = counts(&scores);
        if n.genuine > 0 && n.fabricated > 0 {
            let estimate = booted(&scores, metrics::auroc);
            ranked.push(SliceRow { name: name.into(), counts: n, estimate, worst: false });
        }
        let genuine = part.iter().filter(|r| !r.fabricated);
        let (hits, n) =
            genuine.fold((0, 0), |(k, n), r| (k + usize::from(r.verdict == Label::Suspected), n + 1));
        if n > 0 {
            let counts = Counts { genuine: n as u64, fabricated: 0 };
            let estimate = estimate(metrics::wilson(hits, n));
            flagged.push(SliceRow { name: name.into(), counts, estimate, worst: false });
        }
    }
    ranked.sort_by(|a, b| a.estimate.value.total_cmp(&b.estimate.value));
    flagged.sort_by(|a, b| b.estimate.value.total_cmp(&a.estimate.value));
    [(Class::Both, "AUROC", ranked), (Class::Genuine, "share flagged", flagged)]
        .into_iter()
        .filter(|(.., rows)| rows.len() > 1)
        .map(|(class, metric, mut rows)| {
            mark_worst(&mut rows);
            Slice { by: by.into(), class, metric: metric.into(), overall: f64::NAN, rows }
        })
        .collect()
}

/// Each generator against all genuine items, and the share flagged of each genuine source; then both by size and by the
/// columns of the manifest, such as language or domain. `rows` are those of one condition, `columns` gives an item's
/// columns by its name.
pub fn slices<'a>(
    rows: &[&'a Row],
    columns: impl Fn(&str) -> Option<&'a BTreeMap<String, String>>,
) -> Vec<Slice> {
    let scores: Vec<(Scored, &Row)> = rows.iter().filter_map(|r| Some((scored(r, r.score)?, *r))).collect();
    let genuine: Vec<Scored> = scores.iter().filter(|s| !s.0.fabricated).map(|s| s.0.clone()).collect();
    let mut makers: BTreeMap<&str, Vec<Scored>> = BTreeMap::new();
    for (s, row) in scores.iter().filter(|s| s.0.fabricated) {
        let name = if row.generator.is_empty() { &row.group } else { &row.generator };
        makers.entry(name).or_default().push(s.clone());
    }
    let mut generators: Vec<SliceRow> = makers
        .into_iter()
        .map(|(name, mine)| {
            let sample = [genuine.clone(), mine].concat();
            let estimate = booted(&sample, metrics::auroc);
            SliceRow { name: name.into(), counts: counts(&sample), estimate, worst: false }
        })
        .collect();
    generators.sort_by(|a, b| a.estimate.value.total_cmp(&b.estimate.value));
    let mut origins: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for row in rows.iter().filter(|r| !r.fabricated) {
        let entry = origins.entry(&row.group).or_default();
        entry.0 += usize::from(row.verdict == Label::Suspected);
        entry.1 += 1;
    }
    let mut sources: Vec<SliceRow> = origins
        .into_iter()
        .map(|(name, (flagged, n))| SliceRow {
            name: name.into(),
            counts: Counts { genuine: n as u64, fabricated: 0 },
            estimate: estimate(metrics::wilson(flagged, n)),
            worst: false,
        })
        .collect();
    sources.sort_by(|a, b| b.estimate.value.total_cmp(&a.estimate.value));
    mark_worst(&mut generators);
    mark_worst(&mut sources);
    let all: Vec<Scored> = scores.into_iter().map(|s| s.0).collect();
    let refs: Vec<&Scored> = all.iter().collect();
    let slice = |by: &str, class, metric: &str, overall, rows| Slice {
        by: by.into(),
        class,
        metric: metric.into(),
        overall,
        rows,
    };
    let mut slices = vec![
        slice("generator", Class::Fabricated, "AUROC", metrics::auroc(&refs).unwrap_or(f64::NAN), generators),
        slice("source", Class::Genuine, "share flagged", f64::NAN, sources),
    ];
    slices.extend(within("size", rows, |r| -> Option<&str> { size(r) }));
    let names: BTreeSet<&String> = rows
        .iter()
        .filter_map(|r| columns(&r.name))
        .flat_map(BTreeMap::keys)
        .filter(|name| !BOOKKEEPING.contains(&name.as_str()))
        .collect();
    let sliced = names
        .into_iter()
        .map(|name| within(name, rows, |r| columns(&r.name).and_then(|c| c.get(name)).map(String::as_str)));
    slices.extend(sliced.filter(|s| !s.is_empty()).take(MOST_COLUMNS).flatten());
    slices
}

const FOLDS: u8 = 5;

/// The leak test: a logistic regression on facts beside the content, each source judged by a fit on other sources, or
/// each item by a fit on other items where a class has fewer sources than there are folds.
///
/// `matched` are the rows of the condition [`crate::condition::MATCHED`], if they were asked for.
pub fn leak(rows: &[&Row], matched: &[&Row], kind: MediaKind) -> Option<Leak> {
    let facts_auroc = facts_auroc(rows)?;
    let scores: Vec<Scored> = rows.iter().filter_map(|r| scored(r, r.score)).collect();
    let detector_auroc = booted(&scores, metrics::auroc);
    let verdict = if facts_auroc.low > detector_auroc.value {
        "Facts beside the content tell the classes apart better than the detector: a high figure on these data proves \
         nothing about content."
    } else if facts_auroc.low > 0.6 {
        "The classes differ in facts beside the content: figures on these data may owe something to them."
    } else {
        "Facts beside the content tell little about the class."
    };
    Some(Leak {
        facts: fact_names(kind).iter().map(ToString::to_string).collect(),
        facts_auroc,
        detector_auroc,
        verdict: verdict.into(),
        matched: facts_of_matched(matched),
    })
}

fn facts_of_matched(rows: &[&Row]) -> Option<Matched> {
    let scores: Vec<Scored> = rows.iter().filter_map(|r| scored(r, r.score)).collect();
    Some(Matched {
        counts: counts(&scores),
        facts_auroc: facts_auroc(rows)?,
        detector_auroc: booted(&scores, metrics::auroc),
    })
}

/// AUROC of facts beside the content, out of fold.
fn facts_auroc(rows: &[&Row]) -> Option<Estimate> {
    let sources = |fabricated: bool| {
        let mine = rows.iter().filter(|r| r.fabricated == fabricated);
        mine.map(|r| r.group.as_str()).collect::<BTreeSet<_>>().len()
    };
    let by_source = sources(true).min(sources(false)) >= usize::from(FOLDS);
    let fold = |facts: &Facts| {
        let unit = if by_source { &facts.group } else { &facts.name };
        Sha256::digest(unit).first().copied().unwrap_or_default() % FOLDS
    };
    let facts: Vec<Facts> = rows
        .iter()
        .filter(|r| !r.facts.is_empty())
        .map(|r| Facts {
            name: r.name.clone(),
            values: r.facts.clone(),
            fabricated: r.fabricated,
            group: r.group.clone(),
        })
        .collect();
    let mut found = Vec::new();
    for f in 0..FOLDS {
        let (mine, rest): (Vec<_>, Vec<_>) = facts.iter().cloned().partition(|x| fold(x) == f);
        found.extend(Probe::fit(&rest)?.score(&mine));
    }
    Some(booted(&found, metrics::auroc))
}

/// Conditions against metrics; `None` for a single condition.
pub fn robustness(conditions: &[Condition]) -> Option<Grid> {
    const COLUMNS: [(&str, f64, f64); 4] = [
        ("AUROC", 1.0, 0.5),
        ("EER", 0.0, 0.5),
        ("genuine flagged", 0.0, 0.2),
        ("machine-made flagged", 1.0, 0.0),
    ];
    let cell = |c: &Condition, name: &str| {
        let found = c.metrics.iter().find(|m| m.name == name);
        found.map_or(Estimate::bare(f64::NAN), |m| m.estimate)
    };
    let row = |c: &Condition| GridRow {
        condition: c.name.clone(),
        cells: COLUMNS.iter().map(|(name, _, _)| cell(c, name)).collect(),
    };
    let metric = |&(name, best, worst): &(&str, f64, f64)| GridMetric { name: name.into(), best, worst };
    (conditions.len() > 1).then(|| Grid {
        metrics: COLUMNS.iter().map(metric).collect(),
        rows: conditions.iter().map(row).collect(),
    })
}

/// Candor and other systems on the items that all of them scored, best AUROC first; the differences are from Candor.
pub fn systems(rows: &[&Row], others: &[(String, Vec<Scored>)]) -> Vec<System> {
    let ours: Vec<Scored> = rows.iter().filter_map(|r| scored(r, r.score)).collect();
    let mut common: BTreeSet<&str> = ours.iter().map(|s| s.name.as_str()).collect();
    for (_, theirs) in others {
        let names: BTreeSet<&str> = theirs.iter().map(|s| s.name.as_str()).collect();
        common.retain(|name| names.contains(name));
    }
    let keep = |all: &[Scored]| -> Vec<Scored> {
        all.iter().filter(|s| common.contains(s.name.as_str())).cloned().collect()
    };
    let ours = keep(&ours);
    let system = |name: &str, scores: &[Scored], difference| {
        let refs: Vec<&Scored> = scores.iter().collect();
        let roc = metrics::roc(&refs).unwrap_or_default().into_iter().map(|p| (p.fpr, p.tpr)).collect();
        System { name: name.into(), metrics: ranking(scores), roc, difference }
    };
    let mut all = vec![system("candor", &ours, None)];
    for (name, theirs) in others {
        let theirs = keep(theirs);
        let pairs = metrics::pair(&theirs, &ours);
        let difference = Difference {
            against: "candor".into(),
            metric: "AUROC".into(),
            estimate: estimate(metrics::difference(&pairs, DRAWS, SEED, metrics::auroc)),
        };
        all.push(system(name, &theirs, Some(difference)));
    }
    let auroc = |s: &System| s.metrics.first().map_or(f64::NAN, |m| m.estimate.value);
    all.sort_by(|a, b| auroc(b).total_cmp(&auroc(a)));
    all
}

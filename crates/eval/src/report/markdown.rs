//! The figures of an evaluation as a page of Markdown, to be kept beside a model card.

use std::fmt::Write;

use super::data::{Estimate, ReportData};
use candor::visible;

use super::number;

/// Metrics that the table has, in this order.
const METRICS: [&str; 6] =
    ["AUROC", "EER", "TPR at 1 % FPR", "genuine flagged", "machine-made flagged", "ECE"];

/// A table with a line for each condition, the leak test and the worst group of each slice.
pub fn markdown(data: &ReportData) -> String {
    let mut out = String::new();
    // Writing to a string does not fail.
    _ = write_all(&mut out, data);
    out
}

fn cell(text: &str) -> String {
    visible::line(text).replace('<', "&lt;").replace('|', "\\|")
}

fn row(out: &mut String, cells: impl IntoIterator<Item = String>) {
    let cells: Vec<String> = cells.into_iter().collect();
    _ = writeln!(out, "| {} |", cells.join(" | "));
}

fn write_all(out: &mut String, data: &ReportData) -> std::fmt::Result {
    writeln!(out, "# {}\n\n    {}\n", cell(&data.title), visible::line(&data.command))?;
    for model in &data.models {
        writeln!(out, "- {}, weights SHA-256 `{}`", cell(&model.id), cell(&model.sha256))?;
    }
    let set = &data.data;
    writeln!(
        out,
        "- {}, {}, digest `{}`",
        number::both(set.counts),
        number::items(set.groups, "group"),
        cell(&set.digest)
    )?;
    for warning in &data.warnings {
        writeln!(out, "- {}", cell(warning))?;
    }
    out.push_str(
        "\nIntervals are 95 %: bootstrap over groups, Wilson for shares. Shares are those at the threshold that a scan uses; \
         where it was calibrated on the same items, the model card's figures out of fold are those to believe.\n\n",
    );
    let used: Vec<&str> = METRICS
        .into_iter()
        .filter(|name| data.conditions.iter().flat_map(|c| &c.metrics).any(|m| m.name == *name))
        .collect();
    row(out, std::iter::once("condition".to_owned()).chain(used.iter().map(|n| (*n).to_owned())));
    row(out, vec!["---".to_owned(); used.len() + 1]);
    for condition in &data.conditions {
        let of = |name: &&str| {
            let found = condition.metrics.iter().find(|m| m.name == **name);
            number::estimate(found.map_or_else(Estimate::default, |m| m.estimate))
        };
        row(out, std::iter::once(cell(&condition.name)).chain(used.iter().map(of)));
    }
    if let Some(found) = &data.localisation {
        writeln!(
            out,
            "\nLocalisation on {}, genuine items with a part of a machine-made one in them:\n",
            number::items(found.composites, "composite")
        )?;
        row(out, ["metric", "value", "note"].map(str::to_owned));
        row(out, vec!["---".to_owned(); 3]);
        for metric in &found.metrics {
            row(out, [cell(&metric.name), number::estimate(metric.estimate), cell(&metric.note)]);
        }
    }
    if let Some(leak) = &data.leak {
        let both = |facts, detector| {
            format!(
                "AUROC {} against {} of the detector",
                number::estimate(facts),
                number::estimate(detector)
            )
        };
        write!(out, "\nFacts beside the content alone: {}", both(leak.facts_auroc, leak.detector_auroc))?;
        if let Some(matched) = &leak.matched {
            let found = both(matched.facts_auroc, matched.detector_auroc);
            write!(out, "; on files that were made alike: {found}")?;
        }
        out.push_str(".\n");
    }
    let worst = data.slices.iter().filter_map(|slice| Some((slice, slice.rows.iter().find(|r| r.worst)?)));
    let mut lines = worst.peekable();
    if lines.peek().is_some() {
        out.push('\n');
        row(out, ["slice", "metric", "worst group", "value", "genuine", "machine-made"].map(str::to_owned));
        row(out, vec!["---".to_owned(); 6]);
        for (slice, worst) in lines {
            row(
                out,
                [
                    cell(&slice.by),
                    cell(&slice.metric),
                    cell(&worst.name),
                    number::estimate(worst.estimate),
                    number::count(worst.counts.genuine),
                    number::count(worst.counts.fabricated),
                ],
            );
        }
    }
    Ok(())
}

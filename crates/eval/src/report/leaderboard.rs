//! Several evaluations side by side.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Serialize;

use super::data::{Estimate, ReportData};
use super::terminal::Table;
use candor::visible;

use super::number;

/// Evaluations of the same items, the best first.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Board {
    /// Digest of the items and of their labels.
    pub digest: String,
    /// What was judged, and name of the data in the first run.
    pub data: String,
    /// Systems, by falling AUROC.
    pub lines: Vec<Line>,
}

/// One system in one run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Line {
    /// Folder or file that the figures were read from.
    pub run: String,
    /// Model and the beginning of its digest, or the name of another system's scores.
    pub system: String,
    /// First metrics of the items as they are, by name.
    pub metrics: Vec<(String, Estimate)>,
    /// The condition under which the first metric is lowest, with its value; none if one condition was measured.
    pub worst: Option<(String, f64)>,
}

/// Metrics that a line shows.
const METRICS: usize = 4;

/// Puts runs, each with its name, into a board for each set of items. Runs on other items can't be compared: another set
/// may simply be easier.
pub fn leaderboard(runs: &[(String, ReportData)]) -> Vec<Board> {
    let mut boards: BTreeMap<&str, Board> = BTreeMap::new();
    for (name, data) in runs {
        let board = boards.entry(&data.data.digest).or_insert_with(|| Board {
            digest: data.data.digest.clone(),
            data: format!("{}: {}, {}", data.media, data.data.name, number::both(data.data.counts)),
            lines: Vec::new(),
        });
        let models: Vec<String> = data
            .models
            .iter()
            .map(|m| format!("{} {}", m.id, m.sha256.get(..8).unwrap_or(&m.sha256)))
            .collect();
        let first = |metrics: &[super::data::MetricRow]| {
            metrics.iter().take(METRICS).map(|m| (m.name.clone(), m.estimate)).collect::<Vec<_>>()
        };
        let headline = data.conditions.first().map(|c| first(&c.metrics)).unwrap_or_default();
        let worst = data
            .conditions
            .iter()
            .filter_map(|c| Some((c.name.clone(), c.metrics.first()?.estimate.value)))
            .filter(|(_, value)| value.is_finite())
            .min_by(|a, b| a.1.total_cmp(&b.1))
            .filter(|_| data.conditions.len() > 1);
        board.lines.push(Line { run: name.clone(), system: models.join(", "), metrics: headline, worst });
        for system in data.systems.iter().filter(|s| s.difference.is_some()) {
            board.lines.push(Line {
                run: name.clone(),
                system: system.name.clone(),
                metrics: first(&system.metrics),
                worst: None,
            });
        }
    }
    let mut boards: Vec<Board> = boards.into_values().collect();
    for board in &mut boards {
        let auroc = |line: &Line| line.metrics.first().map_or(f64::NAN, |m| m.1.value);
        board.lines.sort_by(|a, b| auroc(b).total_cmp(&auroc(a)).then_with(|| a.run.cmp(&b.run)));
    }
    boards
}

fn cells(line: &Line, columns: &[String]) -> Vec<String> {
    let mut out = vec![visible::line(&line.system)];
    for name in columns {
        let found = line.metrics.iter().find(|m| m.0 == *name);
        out.push(found.map_or_else(|| number::MISSING.to_owned(), |m| number::estimate(m.1)));
    }
    out.push(line.worst.as_ref().map_or_else(
        || "-".to_owned(),
        |(condition, value)| format!("{} {}", visible::line(condition), number::fixed(*value)),
    ));
    out.push(visible::line(&line.run));
    out
}

fn columns(board: &Board) -> Vec<String> {
    let first = board.lines.first().map(|line| &line.metrics);
    first.into_iter().flatten().map(|m| m.0.clone()).collect()
}

fn heads(columns: &[String]) -> Vec<String> {
    let worst = columns.first().map_or_else(String::new, |name| format!("worst {name}"));
    let names = columns.iter().map(|c| visible::line(c));
    std::iter::once("system".to_owned()).chain(names).chain([worst, "run".to_owned()]).collect()
}

/// The boards as tables for a terminal.
pub fn leaderboard_text(boards: &[Board]) -> String {
    let mut out = String::new();
    for board in boards {
        let digest = board.digest.get(..12).unwrap_or(&board.digest);
        _ = writeln!(out, "{} (items {})", visible::line(&board.data), visible::line(digest));
        let columns = columns(board);
        let mut table = Table::default();
        table.push(heads(&columns), false);
        for line in &board.lines {
            table.push(cells(line, &columns), false);
        }
        _ = table.write(&mut out, false);
        out.push('\n');
    }
    if boards.len() > 1 {
        out.push_str("Runs on other items stand in tables of their own: they can't be compared.\n");
    }
    out
}

/// The boards as tables in Markdown.
pub fn leaderboard_markdown(boards: &[Board]) -> String {
    let mut out = String::new();
    let row = |cells: &[String]| {
        let escaped: Vec<String> = cells.iter().map(|c| c.replace('|', "\\|")).collect();
        format!("| {} |\n", escaped.join(" | "))
    };
    for board in boards {
        let columns = columns(board);
        let heads = heads(&columns);
        _ = writeln!(out, "{} (items `{}`)\n", visible::line(&board.data), visible::line(&board.digest));
        out.push_str(&row(&heads));
        out.push_str(&row(&vec!["---".to_owned(); heads.len()]));
        for line in &board.lines {
            out.push_str(&row(&cells(line, &columns)));
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::data::{Condition, DataSet, MetricRow, ModelRef};
    use super::*;

    fn run(digest: &str, model: &str, auroc: &[f64]) -> ReportData {
        let condition = |(i, &value): (usize, &f64)| Condition {
            name: format!("c{i}"),
            metrics: vec![MetricRow {
                name: "AUROC".into(),
                estimate: Estimate::new(value, value - 0.1, value + 0.1),
                note: String::new(),
            }],
            ..Condition::default()
        };
        ReportData {
            media: "image".into(),
            models: vec![ModelRef { id: model.into(), sha256: "0123456789".into() }],
            data: DataSet { name: "set".into(), digest: digest.into(), ..DataSet::default() },
            conditions: auroc.iter().enumerate().map(condition).collect(),
            ..ReportData::default()
        }
    }

    #[test]
    fn the_best_stands_first_and_other_items_apart() {
        let runs = [
            ("a".to_owned(), run("x", "image/one", &[0.7, 0.6])),
            ("b".to_owned(), run("x", "image/two", &[0.9, 0.5])),
            ("c".to_owned(), run("y", "image/one|", &[0.99])),
        ];
        let boards = leaderboard(&runs);
        assert_eq!(boards.len(), 2);
        assert_eq!(boards[0].lines.iter().map(|l| l.run.as_str()).collect::<Vec<_>>(), ["b", "a"]);
        assert_eq!(boards[0].lines[0].worst, Some(("c1".into(), 0.5)));
        insta::assert_snapshot!(leaderboard_text(&boards));
        insta::assert_snapshot!(leaderboard_markdown(&boards));
    }
}

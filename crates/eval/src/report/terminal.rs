//! The table for the terminal.

use std::fmt::{self, Write};

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::data::{Class, ReportData};
use candor::visible;

use super::number;

/// Columns of a name.
const NAME: usize = 32;
/// Metrics of a condition that fit beside each other.
const METRICS: usize = 4;
const BOLD: &str = "\x1b[1m";
const END: &str = "\x1b[0m";

/// The evaluation as a compact table. The worst group of each slice is marked, and bold if `colour` is set.
pub fn terminal(data: &ReportData, colour: bool) -> String {
    let mut out = String::new();
    // Writing to a string does not fail.
    _ = write_all(&mut out, data, colour);
    out
}

/// Lines of cells; the first cell is aligned to the left, the others to the right.
#[derive(Default)]
pub(super) struct Table {
    rows: Vec<(Vec<String>, bool)>,
}

impl Table {
    pub(super) fn push(&mut self, cells: impl IntoIterator<Item = String>, strong: bool) {
        self.rows.push((cells.into_iter().collect(), strong));
    }

    pub(super) fn write(&self, out: &mut String, colour: bool) -> fmt::Result {
        let columns = self.rows.iter().map(|r| r.0.len()).max().unwrap_or(0);
        let widths: Vec<_> = (0..columns)
            .map(|i| self.rows.iter().filter_map(|r| r.0.get(i)).map(|c| c.width()).max().unwrap_or(0))
            .collect();
        for (cells, strong) in &self.rows {
            let mut line = String::new();
            for (i, (cell, width)) in cells.iter().zip(&widths).enumerate() {
                let pad = " ".repeat(width.saturating_sub(cell.width()));
                if i == 0 {
                    write!(line, "  {cell}{pad}")?;
                } else {
                    write!(line, "  {pad}{cell}")?;
                }
            }
            let line = line.trim_end();
            if *strong && colour {
                writeln!(out, "{BOLD}{line}{END}")?;
            } else {
                writeln!(out, "{line}")?;
            }
        }
        Ok(())
    }
}

fn heading(out: &mut String, text: &str, colour: bool) -> fmt::Result {
    let (start, end) = if colour { (BOLD, END) } else { ("", "") };
    writeln!(out, "\n{start}{text}{end}")
}

/// A name on one line of at most `NAME` columns.
fn name(text: &str) -> String {
    let line = visible::line(text);
    if line.width() <= NAME {
        return line;
    }
    let mut out = String::new();
    let mut width = 0;
    for c in line.chars() {
        width += c.width().unwrap_or(0);
        if width >= NAME {
            break;
        }
        out.push(c);
    }
    out.push('…');
    out
}

fn write_all(out: &mut String, data: &ReportData, colour: bool) -> fmt::Result {
    let (start, end) = if colour { (BOLD, END) } else { ("", "") };
    writeln!(out, "{start}{}{end}", visible::line(&data.title))?;
    let set = &data.data;
    writeln!(
        out,
        "{}: {}, {}",
        visible::line(&set.name),
        number::both(set.counts),
        number::items(set.groups, "group")
    )?;
    for model in &data.models {
        let digest = visible::line(&model.sha256);
        writeln!(out, "{} {}", visible::line(&model.id), digest.get(..12).unwrap_or(&digest))?;
    }
    for warning in &data.warnings {
        writeln!(out, "warning: {}", visible::line(warning))?;
    }

    if let Some(first) = data.conditions.first() {
        let mut table = Table::default();
        let columns: Vec<_> = first.metrics.iter().take(METRICS).map(|m| visible::line(&m.name)).collect();
        table.push(std::iter::once("condition".to_owned()).chain(columns.iter().cloned()), false);
        for c in &data.conditions {
            let cells = (0..columns.len()).map(|i| {
                c.metrics.get(i).map_or_else(|| number::MISSING.to_owned(), |m| number::estimate(m.estimate))
            });
            table.push(std::iter::once(name(&c.name)).chain(cells), false);
        }
        heading(out, "Conditions", colour)?;
        table.write(out, colour)?;
    }

    if data.systems.len() > 1 {
        let mut table = Table::default();
        let columns: Vec<_> =
            data.systems.iter().take(1).flat_map(|s| &s.metrics).take(METRICS - 1).collect();
        let heads = columns.iter().map(|m| visible::line(&m.name));
        table.push(
            std::iter::once("system".to_owned()).chain(heads).chain(["paired difference".to_owned()]),
            false,
        );
        for s in &data.systems {
            let cells = (0..columns.len()).map(|i| {
                s.metrics.get(i).map_or_else(|| number::MISSING.to_owned(), |m| number::estimate(m.estimate))
            });
            let difference = s.difference.as_ref().map_or_else(
                || "-".to_owned(),
                |d| {
                    let e = d.estimate;
                    match e.interval() {
                        Some((low, high)) => format!(
                            "{} [{}, {}]",
                            number::signed(e.value),
                            number::signed(low),
                            number::signed(high)
                        ),
                        None => number::signed(e.value),
                    }
                },
            );
            table.push(std::iter::once(name(&s.name)).chain(cells).chain([difference]), false);
        }
        heading(out, "Systems", colour)?;
        table.write(out, colour)?;
    }

    for slice in &data.slices {
        let mut table = Table::default();
        let (metric, by) = (visible::line(&slice.metric), visible::line(&slice.by));
        table.push([by.clone(), "items".to_owned(), metric.clone(), String::new()], false);
        for row in &slice.rows {
            let n = match slice.class {
                Class::Genuine => row.counts.genuine,
                Class::Fabricated => row.counts.fabricated,
                Class::Both => row.counts.genuine.saturating_add(row.counts.fabricated),
            };
            let mark = if row.worst { "worst" } else { "" };
            table.push(
                [name(&row.name), number::count(n), number::estimate(row.estimate), mark.to_owned()],
                row.worst,
            );
        }
        if slice.overall.is_finite() {
            table.push(["all".to_owned(), String::new(), number::fixed(slice.overall)], false);
        }
        heading(out, &format!("{metric} by {by}"), colour)?;
        table.write(out, colour)?;
    }

    if let Some(found) = &data.localisation {
        let mut table = Table::default();
        for row in &found.metrics {
            let note = visible::line(&row.note);
            table.push([visible::line(&row.name), number::estimate(row.estimate), note], false);
        }
        let what = number::items(found.composites, "composite");
        heading(out, &format!("Localisation on {what}"), colour)?;
        table.write(out, colour)?;
    }

    if let Some(leak) = &data.leak {
        heading(out, "Leak test (AUROC)", colour)?;
        let mut table = Table::default();
        let mut row = |what: &str, e| table.push([what.to_owned(), number::estimate(e)], false);
        row("facts alone", leak.facts_auroc);
        row("detector", leak.detector_auroc);
        if let Some(m) = &leak.matched {
            row("facts alone, matched items", m.facts_auroc);
            row("detector, matched items", m.detector_auroc);
        }
        table.write(out, colour)?;
        if !leak.verdict.is_empty() {
            writeln!(out, "  {}", visible::line(&leak.verdict))?;
        }
    }
    Ok(())
}

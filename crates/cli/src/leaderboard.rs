//! `candor leaderboard`: several evaluations side by side.

use std::fs;
use std::io::{self, Write};

use anyhow::Context;
use candor_eval::report::ReportData;
use candor_eval::report::leaderboard::{leaderboard, leaderboard_markdown, leaderboard_text};

use crate::args::{BoardFormat, LeaderboardArgs};
use crate::exit::Exit;

/// Runs the command.
pub(crate) fn run(args: &LeaderboardArgs) -> anyhow::Result<Exit> {
    let mut runs = Vec::new();
    for run in &args.runs {
        let path = if run.is_dir() { run.join("metrics.json") } else { run.clone() };
        let text = fs::read_to_string(&path).with_context(|| {
            format!("cannot read {}; `candor eval -o {}` writes it", path.display(), run.display())
        })?;
        let data: ReportData = serde_json::from_str(&text)
            .with_context(|| format!("{} is no metrics.json of this version", path.display()))?;
        runs.push((run.display().to_string(), data));
    }
    let boards = leaderboard(&runs);
    let mut out = io::stdout().lock();
    match args.format {
        BoardFormat::Text => out.write_all(leaderboard_text(&boards).as_bytes())?,
        BoardFormat::Markdown => out.write_all(leaderboard_markdown(&boards).as_bytes())?,
        BoardFormat::Json => writeln!(out, "{}", serde_json::to_string_pretty(&boards)?)?,
    }
    Ok(Exit::Done)
}

//! `candor inspect`: everything that files declare about their origin.

use std::fs;
use std::io::{self, Write};

use candor::MAX_FILE_BYTES;
use candor_features::sniff::Format;
use candor_provenance::{Grade, Limits, Manifest, Report, Statement, Trust, inspect};
use serde::Serialize;

use crate::args::{InspectArgs, InspectFormat};
use crate::escape::escape;
use crate::exit::Exit;
use crate::trust;

/// One line of `--format json`.
#[derive(Serialize)]
struct Inspected<'a> {
    path: &'a str,
    #[serde(flatten)]
    report: Option<&'a Report>,
    error: Option<&'a str>,
}

/// Runs the command.
pub(crate) fn run(args: &InspectArgs) -> anyhow::Result<Exit> {
    let trust = trust::load(&args.trust_anchors)?;
    let mut out = io::stdout().lock();
    let mut exit = Exit::Done;
    for path in &args.files {
        let name = candor::path_text(path);
        let report = match fs::metadata(path).and_then(|m| {
            if m.len() > MAX_FILE_BYTES {
                Err(io::Error::other("the file is too large"))
            } else {
                fs::read(path)
            }
        }) {
            Ok(bytes) => Ok(read(&bytes, &trust, !args.no_watermarks)),
            Err(error) => Err(error.to_string()),
        };
        if report.is_err() {
            exit = Exit::Unreadable;
        }
        match args.format {
            InspectFormat::Json => {
                let error = report.as_ref().err().map(String::as_str);
                let line = Inspected { path: &name, report: report.as_ref().ok(), error };
                writeln!(out, "{}", serde_json::to_string(&line)?)?;
            }
            InspectFormat::Text => match report {
                Ok(report) => text(&mut out, &name, &report)?,
                Err(error) => writeln!(out, "{}: {}", escape(&name), escape(&error))?,
            },
        }
    }
    Ok(exit)
}

/// Seconds of a recording that are searched for a watermark.
const SECONDS: f64 = 120.0;

/// What the file declares, and the public watermark that its pixels or samples may carry.
fn read(bytes: &[u8], trust: &Trust, watermarks: bool) -> Report {
    let mut report = inspect(bytes, &Limits::default(), trust);
    let limits = candor::Limits { max_seconds: SECONDS, ..candor::Limits::default() };
    // A text has no such mark; large ones need not be decoded for it.
    if watermarks
        && !matches!(candor_features::sniff::sniff(bytes), Ok(Format::Text(_)))
        && let Ok(media) = candor_features::decode(bytes, &limits)
    {
        report.statements.extend(candor::invisible(&media));
        report.statements.sort_by_key(|s| std::cmp::Reverse(s.grade));
    }
    report
}

fn text(out: &mut impl Write, name: &str, report: &Report) -> io::Result<()> {
    writeln!(out, "{}  {}", escape(name), escape(&report.container))?;
    if report.statements.is_empty() {
        writeln!(out, "  declares nothing that Candor reads")?;
    }
    for Statement { id, grade, words, location, raw, .. } in &report.statements {
        let grade = match grade {
            Grade::Proof => "proof",
            Grade::Strong => "strong",
            Grade::Medium => "medium",
            Grade::Weak => "weak",
        };
        writeln!(out, "  {grade:<6}  {}", escape(words))?;
        writeln!(out, "          {} in {}", escape(id), escape(&location.place))?;
        for field in raw {
            writeln!(out, "          {} = {}", escape(&field.key), escape(&field.value))?;
        }
    }
    if !report.lineage.is_empty() {
        writeln!(out, "  history, as the Content Credentials tell it")?;
    }
    for manifest in &report.lineage {
        step(out, manifest, 1)?;
    }
    for warning in &report.warnings {
        writeln!(out, "  note    {}", escape(&warning.message))?;
    }
    Ok(())
}

/// A step of the history, and those before it further in.
fn step(out: &mut impl Write, manifest: &Manifest, depth: usize) -> io::Result<()> {
    let known = [
        manifest.title.clone(),
        manifest.relationship.clone(),
        manifest.generator.as_ref().map(|g| format!("made with {g}")),
        manifest.signer.as_ref().map(|s| format!("signed by {s}")),
        (!manifest.actions.is_empty()).then(|| manifest.actions.join(", ")),
    ];
    let known: Vec<String> = known.into_iter().flatten().collect();
    let line = if known.is_empty() { "something without credentials".to_owned() } else { known.join("; ") };
    writeln!(out, "          {:indent$}- {}", "", escape(&line), indent = 2 * (depth - 1))?;
    manifest.ingredients.iter().try_for_each(|inner| step(out, inner, depth + 1))
}

//! `candor label`: writes China's AIGC label into files.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufRead, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use candor::{Label as Found, MarkError, Note, Verdict};
use candor_provenance::Error as LabelError;
use candor_provenance::write::{Label, LabelKind, Options, label, replace};

use crate::args::{InspectFormat, LabelArgs};
use crate::escape::escape;
use crate::exit::Exit;

/// What became of a file.
enum Outcome {
    Labelled(LabelKind, Vec<String>),
    Left(&'static str),
    Failed(String),
}

/// A file, the label that it is to get (`None` when its verdict calls for none) and the digest that it must have.
struct Order {
    path: PathBuf,
    kind: Option<LabelKind>,
    sha256: Option<String>,
}

/// Runs the command.
pub(crate) fn run(args: &LabelArgs) -> anyhow::Result<Exit> {
    let orders = orders(args)?;
    if args.output.is_some() && orders.len() != 1 {
        bail!("--output takes one file, not {}", orders.len());
    }
    // A mistake in the fields is told before any file is touched.
    made(args, LabelKind::Suspected).to_json()?;
    let mut out = io::stdout().lock();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for order in &orders {
        let outcome = write(args, order);
        let (name, detail) = match &outcome {
            Outcome::Labelled(..) => ("labelled", String::new()),
            Outcome::Left(why) => ("left", (*why).to_owned()),
            Outcome::Failed(why) => ("failed", why.clone()),
        };
        *counts.entry(name).or_default() += 1;
        let (number, warnings) = match outcome {
            Outcome::Labelled(kind, warnings) => (Some(number(kind)), warnings),
            _ => (None, Vec::new()),
        };
        let path = candor::path_text(args.output.as_deref().unwrap_or(&order.path));
        match args.format {
            InspectFormat::Json => {
                let line = serde_json::json!({
                    "path": path, "outcome": name, "label": number, "reason": detail, "warnings": warnings,
                    "written": name == "labelled" && !args.dry_run,
                });
                writeln!(out, "{line}")?;
            }
            InspectFormat::Text => {
                let what = number.map_or_else(|| name.to_owned(), |n| format!("{name} {n}"));
                let colon = if detail.is_empty() { "" } else { ": " };
                writeln!(out, "{what:<12}{}{colon}{}", escape(&path), escape(&detail))?;
                for warning in &warnings {
                    writeln!(out, "{:12}note: {}", "", escape(warning))?;
                }
            }
        }
    }
    let count = |name| counts.get(name).copied().unwrap_or(0);
    let dry = if args.dry_run { "nothing was written; " } else { "" };
    let _ = writeln!(
        io::stderr(),
        "candor: {dry}{} labelled, {} left, {} failed",
        count("labelled"),
        count("left"),
        count("failed")
    );
    Ok(if count("failed") > 0 { Exit::Unreadable } else { Exit::Done })
}

fn orders(args: &LabelArgs) -> anyhow::Result<Vec<Order>> {
    let Some(verdicts) = &args.from else {
        let kind = match args.label {
            Some(1) => LabelKind::Generated,
            Some(2) => LabelKind::Possible,
            _ => LabelKind::Suspected,
        };
        return Ok(args
            .files
            .iter()
            .map(|path| Order { path: path.clone(), kind: Some(kind), sha256: None })
            .collect());
    };
    let name = candor::path_text(verdicts);
    let reader: Box<dyn BufRead> = if verdicts == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        Box::new(io::BufReader::new(fs::File::open(verdicts).with_context(|| format!("cannot read {name}"))?))
    };
    let mut orders = Vec::new();
    for (i, line) in reader.lines().enumerate() {
        let line = line.with_context(|| format!("cannot read {name}"))?;
        if line.trim().is_empty() {
            continue;
        }
        let verdict: Verdict = serde_json::from_str(&line).with_context(|| {
            format!("{name}, line {}, is no verdict; `candor scan --format jsonl` writes them", i + 1)
        })?;
        orders.push(Order { kind: called_for(&verdict), path: verdict.path.into(), sha256: verdict.sha256 });
    }
    Ok(orders)
}

/// The label that a verdict calls for, after the measures for labelling of March 2025, article 6: confirmed by what the file
/// states, possible where the file says so without enough weight, suspected where only the detectors do.
fn called_for(verdict: &Verdict) -> Option<LabelKind> {
    match verdict.label {
        Found::AiGenerated => Some(LabelKind::Generated),
        Found::Suspected => Some(LabelKind::Suspected),
        Found::Inconclusive => {
            let declared = verdict.abstention.as_ref().is_some_and(|note| note.code == Note::DECLARED);
            declared.then_some(LabelKind::Possible)
        }
        Found::NoSign | Found::Error => None,
    }
}

fn made(args: &LabelArgs, kind: LabelKind) -> Label {
    let field = |value: &Option<String>| value.clone().unwrap_or_default();
    Label {
        kind,
        content_producer: field(&args.producer),
        produce_id: field(&args.produce_id),
        reserved_code1: String::new(),
        content_propagator: field(&args.propagator),
        propagate_id: field(&args.propagate_id),
        reserved_code2: String::new(),
    }
}

fn number(kind: LabelKind) -> u8 {
    match kind {
        LabelKind::Generated => 1,
        LabelKind::Possible => 2,
        LabelKind::Suspected => 3,
    }
}

fn write(args: &LabelArgs, order: &Order) -> Outcome {
    let Some(kind) = order.kind else { return Outcome::Left("its verdict calls for no label") };
    let new = made(args, kind);
    let options = Options { replace: args.replace };
    let done = (|| -> anyhow::Result<_> {
        let original = fs::read(&order.path).context("cannot be read")?;
        if let Some(expected) = &order.sha256
            && candor_models::sha256(&original) != *expected
        {
            bail!("it was changed after it was scanned; scan it again");
        }
        let mut notes = Vec::new();
        let marked = match args.visible.map(|wording| candor::mark(&original, kind, wording.into())) {
            None => None,
            Some(Ok(marked)) => Some(marked),
            // The label that programs read is worth having without the words that people read.
            Some(Err(error @ MarkError::Unsupported(_))) => {
                notes.push(format!("not marked for people: {error}"));
                None
            }
            Some(Err(error)) => return Err(error.into()),
        };
        let done = label(marked.as_deref().unwrap_or(&original), &new, options)?;
        notes.extend(done.warnings.into_iter().map(|w| w.message));
        if args.dry_run {
            return Ok(notes);
        }
        match &args.output {
            // Links are followed: the file behind one is what gets the label.
            None => replace(&order.path, &done.bytes)?,
            Some(output) => {
                fs::copy(&order.path, output)
                    .with_context(|| format!("cannot write {}", candor::path_text(output)))?;
                replace(output, &done.bytes).inspect_err(|_| {
                    // No copy without a label is left behind under the name of a labelled one.
                    let _ = fs::remove_file(output);
                })?;
            }
        }
        Ok(notes)
    })();
    match done {
        Ok(notes) => Outcome::Labelled(kind, notes),
        Err(error) => match error.downcast_ref::<LabelError>() {
            Some(LabelError::AlreadyLabelled) => {
                Outcome::Left("it has a label already; --replace puts this one in its place")
            }
            _ => Outcome::Failed(format!("{error:#}")),
        },
    }
}

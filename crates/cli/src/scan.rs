//! `candor scan`: judges files in parallel and writes the results in order.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, IsTerminal, Write};
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;
use candor::{
    Artifact, DECODER_THREAD, ErrorCode, Exhibit, Label, MediaKind, Note, ScanOptions, Scanner, Verdict,
};

use candor_report::Item;

use crate::args::{FailOn, Format, JudgeArgs, ScanArgs};
use crate::exit::Exit;
use crate::model;
use crate::order::in_order;
use crate::output::{self, Record, Sink};
use crate::progress::Progress;
use crate::report::{self, Gathered};
use crate::trust;
use crate::walk::{self, Input};

/// Name of the threads that work on files; a panic on one of them is reported in a verdict.
pub(crate) const WORKER: &str = "scan";

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Runs the command.
pub(crate) fn run(args: &ScanArgs) -> anyhow::Result<Exit> {
    // Files are what is shared out between the cores. candle would start a pool of its own beside that, whose threads
    // wait for each other; it takes its size from this variable.
    // SAFETY: this is the only thread so far.
    unsafe { std::env::set_var("RAYON_NUM_THREADS", "1") };
    let scanner = scanner(&args.judge)?;
    if let Some(folder) = &args.explain {
        fs::create_dir_all(folder)
            .with_context(|| format!("cannot create the folder {}", folder.display()))?;
    }
    let pool = pool(threads(args.judge.jobs))?;
    silence_workers();
    ctrlc::set_handler(|| {
        // Whoever asks twice does not want to wait for what is in flight.
        if INTERRUPTED.swap(true, Ordering::Relaxed) {
            std::process::exit(Exit::Interrupted as i32);
        }
    })?;

    let mut sink = sink(args.format)?;
    let mut tally = Tally { only: args.judge.only.map(MediaKind::from), ..Tally::default() };
    let progress = Progress::start(&args.paths, args.quiet);
    let work = |input| judge(&scanner, input, args.explain.is_some(), args.report.is_some());
    let mut gathered = Gathered::default();
    let written: anyhow::Result<()> = in_order(
        &pool,
        walk::inputs(args.paths.clone()),
        &INTERRUPTED,
        work,
        |(verdict, artifact, exhibit)| {
            progress.advance();
            tally.add(&verdict);
            if verdict.is_skipped() {
                return Ok(());
            }
            if args.report.is_some() {
                gathered.add(Item { verdict: verdict.clone(), exhibit });
            }
            let artifact = match (artifact, &args.explain) {
                (Some(artifact), Some(folder)) => {
                    let path = folder.join(artifact.file_name(&verdict));
                    fs::write(&path, artifact.bytes)
                        .with_context(|| format!("cannot write {}", path.display()))?;
                    Some(path)
                }
                _ => None,
            };
            Ok(progress.aside(|| sink.write(&Record { verdict: &verdict, artifact: artifact.as_deref() }))?)
        },
    )
    .and_then(|()| Ok(sink.finish()?));
    progress.finish();
    written?;
    if let Some(page) = &args.report {
        gathered.write(page, args.lang, args.judge.weights.as_deref())?;
    }

    let interrupted = INTERRUPTED.load(Ordering::Relaxed);
    if !args.quiet {
        let note = if interrupted { "interrupted; " } else { "" };
        // Nothing is lost when nobody reads the summary.
        let _ = writeln!(io::stderr(), "candor: {note}{}", tally.summary());
    }
    Ok(if interrupted { Exit::Interrupted } else { tally.exit(args.fail_on) })
}

/// How many files are worked on at the same time.
pub(crate) fn threads(jobs: Option<NonZeroUsize>) -> usize {
    jobs.or_else(|| std::thread::available_parallelism().ok()).map_or(1, NonZeroUsize::get)
}

/// Threads that work on files.
pub(crate) fn pool(threads: usize) -> anyhow::Result<rayon::ThreadPool> {
    Ok(rayon::ThreadPoolBuilder::new().num_threads(threads).thread_name(|_| WORKER.to_owned()).build()?)
}

/// The scanner that the options ask for.
pub(crate) fn scanner(args: &JudgeArgs) -> anyhow::Result<Scanner> {
    let options = ScanOptions {
        prior: args.prior,
        flag_p: args.threshold,
        only: args.only.map(MediaKind::from),
        declarations: !args.no_declarations,
        trust: trust::load(&args.trust_anchors)?,
        ..ScanOptions::default()
    };
    let registry = model::registry(args.weights.as_deref(), &args.model)?;
    Ok(Scanner::builder().options(options).registry(registry).build()?)
}

/// Judges one input. Runs on a worker, so the decoded media are gone before the result waits for its turn.
fn judge(
    scanner: &Scanner,
    input: Input,
    explain: bool,
    show: bool,
) -> (Verdict, Option<Artifact>, Option<Exhibit>) {
    let scan = match input {
        Input::File(path) => scanner.scan_path(&path),
        Input::Stdin => scanner.scan_reader("-", io::stdin().lock()),
        Input::Hidden(path, kind) => {
            let code = match kind {
                io::ErrorKind::NotFound => ErrorCode::NotFound,
                io::ErrorKind::PermissionDenied => ErrorCode::PermissionDenied,
                _ => ErrorCode::Read,
            };
            scanner.failure(&candor::path_text(&path), code, format!("cannot list this folder: {kind}"))
        }
    };
    let exhibit = if show { report::exhibit(&scan) } else { None };
    if !explain {
        return (scan.verdict, None, exhibit);
    }
    let artifact = catch_unwind(AssertUnwindSafe(|| candor::explain(&scan)));
    let mut verdict = scan.verdict;
    let artifact = artifact.unwrap_or_else(|_| {
        verdict.warnings.push(Note::new(Note::NOT_EXPLAINED, "an internal error stopped the explanation"));
        None
    });
    (verdict, artifact, exhibit)
}

fn sink(format: Format) -> io::Result<Box<dyn Sink>> {
    let stdout = io::stdout();
    let terminal = stdout.is_terminal();
    let out = io::BufWriter::new(stdout.lock());
    Ok(match format {
        Format::Text => {
            let colour = terminal && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
            Box::new(output::Text::new(out, colour))
        }
        Format::Json => Box::new(output::Json::array(out)),
        Format::Jsonl => Box::new(output::Json::lines(out)),
        Format::Csv => Box::new(output::Csv::new(out)),
        Format::Arrow if terminal => {
            return Err(io::Error::other("Arrow is not for reading; send it to a file or a program"));
        }
        Format::Arrow => Box::new(output::Arrow::new(out)?),
    })
}

/// Keeps panics on workers off standard error: they are caught and become verdicts.
pub(crate) fn silence_workers() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if !matches!(std::thread::current().name(), Some(WORKER | DECODER_THREAD)) {
            usual(info);
        }
    }));
}

/// What was found so far.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    labels: BTreeMap<Label, u64>,
    skipped: u64,
    only: Option<MediaKind>,
}

impl Tally {
    fn add(&mut self, verdict: &Verdict) {
        if verdict.is_skipped() {
            self.skipped += 1;
        } else {
            *self.labels.entry(verdict.label).or_default() += 1;
        }
    }

    pub(crate) fn add_many(&mut self, label: Label, n: u64) {
        *self.labels.entry(label).or_default() += n;
    }

    fn count(&self, label: Label) -> u64 {
        self.labels.get(&label).copied().unwrap_or_default()
    }

    /// For instance `3 files: 1 suspected, 2 no-sign; 4 skipped (not image)`.
    pub(crate) fn summary(&self) -> String {
        let files: u64 = self.labels.values().sum();
        let mut text = format!("{files} {}", if files == 1 { "file" } else { "files" });
        for (i, label) in Label::ALL.into_iter().filter(|&l| self.count(l) > 0).enumerate() {
            // Writing to a string does not fail.
            let _ = write!(text, "{} {} {label}", if i == 0 { ":" } else { "," }, self.count(label));
        }
        if let (1.., Some(only)) = (self.skipped, self.only) {
            let _ = write!(text, "; {} skipped (not {only})", self.skipped);
        }
        text
    }

    pub(crate) fn exit(&self, fail_on: Option<FailOn>) -> Exit {
        let strong = self.count(Label::AiGenerated) + self.count(Label::Suspected);
        let found = match fail_on {
            None => 0,
            Some(FailOn::Suspected) => strong,
            Some(FailOn::Inconclusive) => strong + self.count(Label::Inconclusive),
        };
        if found > 0 {
            Exit::Flagged
        } else if self.count(Label::Error) > 0 {
            Exit::Unreadable
        } else {
            Exit::Done
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(labels: &[(Label, u64)]) -> Tally {
        Tally { labels: labels.iter().copied().collect(), ..Tally::default() }
    }

    #[test]
    fn the_exit_status_follows_the_labels() {
        let mixed = tally(&[(Label::Suspected, 1), (Label::Error, 1)]);
        assert_eq!(mixed.exit(None), Exit::Unreadable);
        assert_eq!(mixed.exit(Some(FailOn::Suspected)), Exit::Flagged);
        let unsure = tally(&[(Label::Inconclusive, 1), (Label::NoSign, 1)]);
        assert_eq!(unsure.exit(Some(FailOn::Suspected)), Exit::Done);
        assert_eq!(unsure.exit(Some(FailOn::Inconclusive)), Exit::Flagged);
        assert_eq!(tally(&[(Label::AiGenerated, 1)]).exit(Some(FailOn::Suspected)), Exit::Flagged);
    }

    #[test]
    fn the_summary_counts_labels_and_skipped_files() {
        let mut t = tally(&[(Label::NoSign, 2), (Label::Suspected, 1)]);
        assert_eq!(t.summary(), "3 files: 1 suspected, 2 no-sign");
        t.skipped = 4;
        t.only = Some(MediaKind::Image);
        assert_eq!(t.summary(), "3 files: 1 suspected, 2 no-sign; 4 skipped (not image)");
        assert_eq!(tally(&[(Label::Error, 1)]).summary(), "1 file: 1 error");
        assert_eq!(Tally::default().summary(), "0 files");
    }
}

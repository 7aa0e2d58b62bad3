//! `candor batch` and `candor watch`: any number of files, each with exactly one result whatever happens.

mod budget;
mod executor;
mod policy;
mod sink;
mod source;
mod store;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};
use candor::{ErrorCode, Label, Scanner, Verdict};
use indicatif::{ProgressBar, ProgressStyle};

use crate::args::{BatchArgs, BatchFormat, BatchOptions, JudgeArgs, WatchArgs};
use crate::exit::Exit;
use crate::order::in_order;
use crate::remote::{Elsewhere, Missing};
use crate::scan;
use budget::Budget;
use executor::Children;
pub(crate) use executor::Executor;
use policy::{Action, Policy};
pub(crate) use source::addresses as listed;
use source::{Content, Item, Sources, State, Wanted};
pub(crate) use store::replace;
use store::{Cache, Known, Line, Store};

/// Without a terminal, progress is a line so often.
const REPORT: Duration = Duration::from_secs(30);

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Runs `candor batch`.
pub(crate) fn run(args: &BatchArgs) -> anyhow::Result<Exit> {
    let sources = Sources::new(&args.sources, args.list.as_deref(), &args.column, wanted(&args.options)?)?;
    let mut batch = Batch::open(&args.options)?;
    batch.pass(&sources)?;
    batch.finish()
}

/// Runs `candor watch`: one pass after the other until Ctrl-C.
pub(crate) fn watch(args: &WatchArgs) -> anyhow::Result<Exit> {
    if !args.folder.is_dir() {
        bail!("{} is no folder", candor::path_text(&args.folder));
    }
    let sources = Sources::new(std::slice::from_ref(&args.folder), None, "path", wanted(&args.options)?)?;
    let mut batch = Batch::open(&args.options)?;
    batch.settle = Some(Duration::from_secs_f64(args.settle));
    while !INTERRUPTED.load(Ordering::Relaxed) {
        batch.pass(&sources)?;
        let next = Instant::now() + Duration::from_secs_f64(args.interval);
        while Instant::now() < next && !INTERRUPTED.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    batch.finish()
}

/// Runs the hidden command that makes this process a scanning one.
pub(crate) fn serve(judge: &JudgeArgs, memory_mib: u64) -> anyhow::Result<Exit> {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, setrlimit};
        let bytes = Some(memory_mib << 20);
        setrlimit(Resource::As, Rlimit { current: bytes, maximum: bytes })
            .context("cannot limit the memory of this process")?;
    }
    #[cfg(not(unix))]
    let _ = memory_mib;
    std::panic::set_hook(Box::new(|_| ()));
    executor::serve(&scan::scanner(judge)?)?;
    Ok(Exit::Done)
}

fn wanted(options: &BatchOptions) -> anyhow::Result<Wanted> {
    let since = match &options.since {
        None => None,
        Some(text) => Some(since(text)?.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos() as i64)),
    };
    Ok(Wanted {
        share: options.sample.map(|percent| percent / 100.0),
        since,
        archives: !options.no_archives,
        max_bytes: candor::MAX_FILE_BYTES,
    })
}

/// A date, a time in UTC or a duration before now.
fn since(text: &str) -> anyhow::Result<SystemTime> {
    if let Ok(ago) = humantime::parse_duration(text) {
        return SystemTime::now().checked_sub(ago).context("that is before time began");
    }
    humantime::parse_rfc3339_weak(text)
        .or_else(|_| humantime::parse_rfc3339_weak(&format!("{text} 00:00:00")))
        .with_context(|| format!("\"{text}\" is neither a duration (24h, 7d) nor a date (2026-01-31)"))
}

/// What became of an input.
enum Outcome {
    /// It has a verdict; whether that was reused.
    Judged(Box<Verdict>, bool),
    /// It has the content that its result is about, with this SHA-256.
    Unchanged(String),
}

/// A batch that is under way.
struct Batch<'a> {
    options: &'a BatchOptions,
    store: Store,
    results: PathBuf,
    executor: Executor,
    pool: rayon::ThreadPool,
    policy: Option<Policy>,
    actions: BTreeMap<Action, u64>,
    /// How long a file must have been left alone before it is taken.
    settle: Option<Duration>,
    judged: u64,
    reused: u64,
    skipped: u64,
    known: u64,
    changed: u64,
    started: Instant,
}

impl<'a> Batch<'a> {
    fn open(options: &'a BatchOptions) -> anyhow::Result<Self> {
        // As in `candor scan`: files are what the cores share out.
        // SAFETY: this is the only thread so far.
        unsafe { std::env::set_var("RAYON_NUM_THREADS", "1") };
        let policy = options.policy.as_deref().map(Policy::read).transpose()?;
        if options.review.is_some() && policy.is_none() {
            bail!("--review needs --policy, which says what is reviewed and what mistakes cost");
        }
        let scanner = scan::scanner(&options.judge)?;
        let (results, state) = places(options);
        let settings = settings(&scanner, options);
        let store =
            Store::open(&results, &state, &settings, options.fresh, options.retry_errors, !options.no_cache)?;
        let threads = scan::threads(options.judge.jobs);
        let pool = scan::pool(threads)?;
        scan::silence_workers();
        let executor = if options.no_isolate {
            Executor::Here(scanner)
        } else {
            children(&options.judge, scanner, threads, options.time_limit, options.memory_limit)?
        };
        ctrlc::set_handler(|| {
            if INTERRUPTED.swap(true, Ordering::Relaxed) {
                std::process::exit(Exit::Interrupted as i32);
            }
        })?;
        Ok(Self {
            options,
            store,
            results,
            executor,
            pool,
            policy,
            actions: BTreeMap::new(),
            settle: None,
            judged: 0,
            reused: 0,
            skipped: 0,
            known: 0,
            changed: 0,
            started: Instant::now(),
        })
    }

    /// Judges every input that has no result yet.
    fn pass(&mut self, sources: &Sources) -> anyhow::Result<()> {
        let budget = Budget::new(self.options.in_flight << 20);
        let progress = Progress::start(sources, self.options.quiet || self.settle.is_some());
        let cache = self.store.cache();
        let (executor, retries) = (&self.executor, self.options.retries);
        let limit = self.options.max_files.map_or(u64::MAX, |n| n.get() as u64);
        let store = std::cell::RefCell::new(&mut self.store);
        let failure = std::cell::RefCell::new(None);
        let (mut known, mut changed, mut taken) = (0, 0, 0);
        let newest = self.settle.map(|settle| SystemTime::now().checked_sub(settle).unwrap_or(UNIX_EPOCH));
        let newest = newest.map(|t| t.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos() as i64));
        let inputs = sources
            .items(&budget)
            .map_while(|item| item.map_err(|error| *failure.borrow_mut() = Some(error)).ok())
            .filter_map(|item| {
                if newest.is_some_and(|newest| item.state.modified > newest) {
                    return None;
                }
                match store.borrow().known(&item.id, item.state) {
                    Known::Same => {
                        known += 1;
                        progress.advance(None);
                        None
                    }
                    Known::New => Some((item, None)),
                    Known::Changed(digest) => {
                        changed += 1;
                        Some((item, Some(digest)))
                    }
                }
            })
            .take_while(|_| {
                taken += 1;
                taken <= limit
            });
        let work = |(item, before): (Item, Option<store::Start>)| {
            let thread = rayon::current_thread_index().unwrap_or(0);
            let (id, state) = (item.id.clone(), item.state);
            (id, state, judge(executor, &cache, thread, retries, item, before))
        };
        let (policy, actions) = (self.policy.as_ref(), &mut self.actions);
        let (mut judged, mut reused, mut skipped) = (0, 0, 0);
        let mut last_report = Instant::now();
        let quiet = self.options.quiet || self.settle.is_some();
        let take = |(id, state, outcome): (String, State, Outcome)| -> anyhow::Result<()> {
            let mut store = store.borrow_mut();
            match outcome {
                Outcome::Unchanged(sha256) => {
                    store.unchanged(&id, state, &sha256)?;
                    progress.advance(None);
                }
                Outcome::Judged(verdict, _) if verdict.is_skipped() => {
                    skipped += 1;
                    if let Some(sha256) = &verdict.sha256 {
                        cache.forget(sha256, &id);
                    }
                    progress.advance(None);
                }
                Outcome::Judged(verdict, again) => {
                    judged += 1;
                    reused += u64::from(again);
                    let action = policy.map(|p| p.action(&verdict));
                    if let Some(action) = action {
                        *actions.entry(action).or_default() += 1;
                    }
                    let label = verdict.label;
                    if label == Label::Error
                        && let Some(sha256) = &verdict.sha256
                    {
                        cache.forget(sha256, &id);
                    }
                    store.add(&id, state, &Line { verdict: *verdict, action })?;
                    progress.advance(Some(label));
                }
            }
            if !quiet && progress.hidden() && last_report.elapsed() >= REPORT {
                last_report = Instant::now();
                let _ = writeln!(io::stderr(), "candor: {}", counts(store.counts()));
            }
            Ok(())
        };
        let done = in_order(&self.pool, inputs, &INTERRUPTED, work, take);
        // Whatever went wrong, what is there is saved.
        let saved = self.store.commit();
        progress.finish();
        (self.known, self.changed) = (self.known + known, self.changed + changed);
        (self.judged, self.reused, self.skipped) =
            (self.judged + judged, self.reused + reused, self.skipped + skipped);
        done?;
        saved?;
        match failure.into_inner() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// Writes what is made of the results as a whole, and the summary.
    fn finish(self) -> anyhow::Result<Exit> {
        let interrupted = INTERRUPTED.load(Ordering::Relaxed);
        let watching = self.settle.is_some();
        if !interrupted || watching {
            let format = format_of(self.options);
            if self.results != self.options.output {
                sink::convert(store::lines(&self.results)?, format, &self.options.output)
                    .with_context(|| format!("cannot write {}", candor::path_text(&self.options.output)))?;
            }
            if let (Some(policy), Some(review)) = (&self.policy, &self.options.review) {
                write_queue(policy, &self.results, review)?;
            }
        }
        if !self.options.quiet {
            let _ = writeln!(io::stderr(), "candor: {}", self.summary(interrupted));
        }
        Ok(if interrupted && !watching { Exit::Interrupted } else { self.exit() })
    }

    fn summary(&self, interrupted: bool) -> String {
        // Writing to a string does not fail.
        let mut text = String::new();
        if interrupted {
            text.push_str("interrupted, the same command continues; ");
        }
        text.push_str(&counts(self.store.counts()));
        let seconds = self.started.elapsed().as_secs_f64();
        let rate = self.judged as f64 / seconds.max(1e-3);
        let _ = write!(text, "; {} in this run, {rate:.1}/s", self.judged);
        for (n, what) in [
            (self.known, "had their result"),
            (self.changed, "had changed in size or time"),
            (self.reused, "have the content of another"),
            (self.skipped, "of another kind of media"),
        ] {
            if n > 0 {
                let _ = write!(text, "; {n} {what}");
            }
        }
        if !self.actions.is_empty() {
            let _ = write!(text, "; actions: {}", policy::summary(&self.actions));
        }
        let _ = write!(text, "; {}", candor::path_text(&self.options.output));
        text
    }

    fn exit(&self) -> Exit {
        let mut tally = scan::Tally::default();
        for (&label, &n) in self.store.counts() {
            tally.add_many(label, n);
        }
        tally.exit(self.options.fail_on)
    }
}

/// Judges one input on a worker thread.
fn judge(
    executor: &Executor,
    cache: &Cache,
    thread: usize,
    retries: u32,
    item: Item,
    before: Option<store::Start>,
) -> Outcome {
    // Held until the bytes are gone.
    let _permit = item.permit;
    let failed = |code: ErrorCode, message: String| {
        Outcome::Judged(Box::new(executor.blank().failure(&item.id, code, message).verdict), false)
    };
    let bytes = match item.content {
        Content::Bytes(bytes) => bytes,
        Content::Failed(code, message) => return failed(code, message),
        Content::Remote(uri) => {
            let mut left = retries;
            loop {
                let fetched = Elsewhere::get()
                    .map_err(|e| Missing::new(ErrorCode::Read, format!("{e:#}"), false))
                    .and_then(|elsewhere| elsewhere.fetch(&uri));
                match fetched {
                    Ok(bytes) => break bytes,
                    Err(missing) if missing.transient && left > 0 => left -= 1,
                    Err(missing) => return failed(missing.code, missing.message),
                }
            }
        }
        Content::File(path) => {
            let mut left = retries;
            loop {
                match executor.blank().read(&path) {
                    Ok(bytes) => break bytes,
                    Err(failure) if failure.code == ErrorCode::Read && left > 0 => left -= 1,
                    Err(failure) => return failed(failure.code, failure.message),
                }
            }
        }
    };
    let sha256 = candor_models::sha256(&bytes);
    if before.is_some_and(|before| before == store::start(&sha256)) {
        return Outcome::Unchanged(sha256);
    }
    let (verdict, reused) =
        cache.verdict(&sha256, &item.id, || executor.scan(thread, &item.id, &bytes, retries));
    Outcome::Judged(Box::new(verdict), reused)
}

/// The file that results are gathered in, and the folder with the state. JSON Lines are gathered in place.
fn places(options: &BatchOptions) -> (PathBuf, PathBuf) {
    let mut state = options.output.clone().into_os_string();
    state.push(".state");
    let state = PathBuf::from(state);
    match format_of(options) {
        BatchFormat::Jsonl => (options.output.clone(), state),
        _ => (state.join("results.jsonl"), state),
    }
}

fn format_of(options: &BatchOptions) -> BatchFormat {
    let extension = options.output.extension().and_then(|e| e.to_str()).unwrap_or_default();
    options.format.unwrap_or_else(|| match extension.to_ascii_lowercase().as_str() {
        "csv" => BatchFormat::Csv,
        "parquet" => BatchFormat::Parquet,
        "sqlite" | "sqlite3" | "db" => BatchFormat::Sqlite,
        _ => BatchFormat::Jsonl,
    })
}

/// Everything that results depend on.
fn settings(scanner: &Scanner, options: &BatchOptions) -> String {
    let judge = &options.judge;
    let models: Vec<&candor::ModelId> = scanner.registry().models().iter().map(|m| &m.id).collect();
    let policy = options.policy.as_ref().and_then(|p| fs::read(p).ok()).map(|p| candor_models::sha256(&p));
    let value = serde_json::json!({
        "version": env!("CARGO_PKG_VERSION"),
        "models": models,
        "prior": judge.prior,
        "threshold": judge.threshold,
        "only": judge.only.map(|k| candor::MediaKind::from(k).to_string()),
        "declarations": !judge.no_declarations,
        "trust": scanner.options().trust.digest(),
        "policy": policy,
    });
    format!("{value:#}\n")
}

/// Scanning in processes of their own, one of which is started to see whether that works.
pub(crate) fn executor(
    judge: &JudgeArgs,
    threads: usize,
    time_limit: f64,
    memory_mib: u64,
) -> anyhow::Result<Executor> {
    children(judge, scan::scanner(judge)?, threads, time_limit, memory_mib)
}

fn children(
    judge: &JudgeArgs,
    blank: Scanner,
    threads: usize,
    time_limit: f64,
    memory_mib: u64,
) -> anyhow::Result<Executor> {
    let limit = Duration::from_secs_f64(time_limit);
    let children = Children::new(threads, child_arguments(judge, memory_mib), limit, memory_mib, blank);
    children.try_one()?;
    Ok(Executor::Children(children))
}

fn child_arguments(judge: &JudgeArgs, memory_mib: u64) -> Vec<String> {
    let mut arguments = vec![
        "scan-process".to_owned(),
        format!("--memory-limit={memory_mib}"),
        format!("--prior={}", judge.prior),
        format!("--threshold={}", judge.threshold),
    ];
    if let Some(kind) = judge.only {
        arguments.push(format!("--only={}", candor::MediaKind::from(kind)));
    }
    if judge.no_declarations {
        arguments.push("--no-declarations".to_owned());
    }
    arguments.extend(judge.trust_anchors.iter().map(|p| format!("--trust-anchors={}", p.display())));
    if let Some(weights) = &judge.weights {
        arguments.push(format!("--weights={}", weights.display()));
    }
    arguments.extend(judge.model.iter().map(|m| format!("--model={m}")));
    arguments
}

fn write_queue(policy: &Policy, results: &Path, output: &Path) -> anyhow::Result<()> {
    let mut wanted = Vec::new();
    for line in store::lines(results)? {
        let line = line?;
        if line.action == Some(Action::Review) {
            wanted.push(line.verdict);
        }
    }
    let queue = policy.queue(wanted.iter());
    store::replace(output, |file| {
        let mut out = csv::Writer::from_writer(file);
        out.write_record(["rank", "day", "path", "label", "confidence", "expected_cost", "reason"])?;
        for item in &queue {
            out.write_record(item.row())?;
        }
        Ok(out.flush()?)
    })
}

/// For instance `12 results: 1 suspected, 11 no-sign`.
fn counts(counts: &BTreeMap<Label, u64>) -> String {
    let mut tally = scan::Tally::default();
    for (&label, &n) in counts {
        tally.add_many(label, n);
    }
    tally.summary()
}

/// Progress on standard error: a bar with rate, remaining time and counts.
struct Progress {
    bar: Option<ProgressBar>,
    counts: std::cell::RefCell<BTreeMap<Label, u64>>,
}

impl Progress {
    fn start(sources: &Sources, quiet: bool) -> Self {
        let shown = !quiet && io::stderr().is_terminal();
        let bar = shown.then(|| {
            let bar = ProgressBar::no_length();
            if let Ok(style) =
                ProgressStyle::with_template("{bar:24} {pos}/{len}  {per_sec}  {eta} left  {msg}")
            {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(200));
            let (counted, sources) = (bar.clone(), sources.clone());
            std::thread::spawn(move || {
                if let Some(n) = sources.count() {
                    counted.set_length(n);
                }
            });
            bar
        });
        Self { bar, counts: std::cell::RefCell::default() }
    }

    fn hidden(&self) -> bool {
        self.bar.is_none()
    }

    fn advance(&self, label: Option<Label>) {
        if let Some(bar) = &self.bar {
            if let Some(label) = label {
                let mut counts = self.counts.borrow_mut();
                *counts.entry(label).or_default() += 1;
                let text: Vec<String> = counts.iter().map(|(label, n)| format!("{n} {label}")).collect();
                bar.set_message(text.join(", "));
            }
            bar.inc(1);
        }
    }

    fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_dates_or_durations() {
        assert!(since("24h").unwrap() < SystemTime::now());
        assert_eq!(since("1970-01-02").unwrap(), UNIX_EPOCH + Duration::from_hours(24));
        assert_eq!(since("1970-01-01T00:00:07Z").unwrap(), UNIX_EPOCH + Duration::from_secs(7));
        assert!(since("yesterday").is_err());
    }
}

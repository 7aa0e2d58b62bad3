//! `candor train`: trains a detector from a configuration and manifests.

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use candor_models::train::{self, Event, Job, Run};
use indicatif::{ProgressBar, ProgressStyle};

use crate::args::TrainArgs;
use crate::exit::Exit;

static STOP: AtomicBool = AtomicBool::new(false);

/// Seconds between two lines of progress where no bar can be shown.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Runs the command.
pub(crate) fn run(args: &TrainArgs) -> anyhow::Result<Exit> {
    ctrlc::set_handler(|| {
        if STOP.swap(true, Ordering::Relaxed) {
            std::process::exit(Exit::Interrupted as i32);
        }
    })?;
    if let Some(jobs) = args.jobs {
        rayon::ThreadPoolBuilder::new().num_threads(jobs.get()).build_global()?;
    }
    let run_dir = args.run.clone().unwrap_or_else(|| {
        let stem = args.config.file_name().map(|n| n.to_string_lossy().replace(".train.toml", ""));
        PathBuf::from("runs").join(stem.unwrap_or_default())
    });
    let display = Display::new();
    candor_models::kernels::keep_freed_memory();
    let written = train::train(&Run {
        job: match args.folds {
            Some((by, folds)) => Job::Folds(by, folds),
            None if args.calibrate_only => Job::Calibrate,
            None => Job::Train,
        },
        config: &args.config,
        data: &args.data,
        run_dir: &run_dir,
        init: args.init.as_deref(),
        teacher: args.teacher.as_deref(),
        stop: &STOP,
        progress: &|event| display.show(&event),
    });
    display.bar.finish_and_clear();
    match written {
        Ok(path) => {
            writeln!(io::stdout(), "{}", path.display())?;
            Ok(Exit::Done)
        }
        Err(candor_models::Error::Stopped(checkpoint)) => {
            let note = format!("stopped; the same command continues from {}", checkpoint.display());
            writeln!(io::stderr(), "candor: {note}")?;
            Ok(Exit::Interrupted)
        }
        Err(error) => Err(error.into()),
    }
}

/// A bar on a terminal, lines elsewhere.
struct Display {
    bar: ProgressBar,
    lines: bool,
    last: Mutex<Option<Instant>>,
}

impl Display {
    fn new() -> Self {
        let lines = !io::stderr().is_terminal();
        let bar = if lines { ProgressBar::hidden() } else { ProgressBar::no_length() };
        if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} steps  {msg}  {eta} left") {
            bar.set_style(style);
        }
        Self { bar, lines, last: Mutex::new(None) }
    }

    fn line(&self, text: &str) {
        self.bar.suspend(|| {
            let _ = writeln!(io::stderr(), "{text}");
        });
    }

    fn show(&self, event: &Event) {
        match event {
            Event::Note(note) => self.line(note),
            Event::Dev { step, auroc, eer } => {
                self.line(&format!("step {step}: dev AUROC {auroc:.3}, EER {:.1} %", eer * 100.0));
            }
            Event::Step { step, steps, loss, rate } => {
                self.bar.set_length(*steps);
                self.bar.set_position(*step);
                let message = format!("loss {loss:.3}  {rate:.0} items/s");
                if self.lines {
                    let mut last = self.last.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    if last.is_none_or(|t| t.elapsed() >= LINE_EVERY) {
                        *last = Some(Instant::now());
                        self.line(&format!("step {step} of {steps}  {message}"));
                    }
                }
                self.bar.set_message(message);
            }
        }
    }
}

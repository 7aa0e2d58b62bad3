//! The progress bar on standard error.

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::walk;

/// A bar with rate and remaining time, or nothing when nobody would see it.
pub(crate) struct Progress(Option<ProgressBar>);

impl Progress {
    /// Starts a bar unless `quiet` or standard error is no terminal.
    pub(crate) fn start(paths: &[PathBuf], quiet: bool) -> Self {
        let progress = Self::bar(quiet);
        if let Some(bar) = &progress.0 {
            // The total is counted on the side, so that the first result does not wait for it.
            let (counted, paths) = (bar.clone(), paths.to_owned());
            std::thread::spawn(move || counted.set_length(walk::inputs(paths).count() as u64));
        }
        progress
    }

    /// As [`Progress::start`], for a known number of items.
    pub(crate) fn counted(items: u64, quiet: bool) -> Self {
        let progress = Self::bar(quiet);
        if let Some(bar) = &progress.0 {
            bar.set_length(items);
        }
        progress
    }

    fn bar(quiet: bool) -> Self {
        if quiet || !io::stderr().is_terminal() {
            return Self(None);
        }
        let bar = ProgressBar::no_length();
        let template = "{bar:30} {pos}/{len} files  {per_sec}  {eta} left";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(200));
        Self(Some(bar))
    }

    /// One more file is done.
    pub(crate) fn advance(&self) {
        if let Some(bar) = &self.0 {
            bar.inc(1);
        }
    }

    /// Writes something while the bar is out of the way.
    pub(crate) fn aside<T>(&self, write: impl FnOnce() -> T) -> T {
        match &self.0 {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }

    /// Takes the bar away.
    pub(crate) fn finish(&self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

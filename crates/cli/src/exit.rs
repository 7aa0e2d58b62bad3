//! The exit status.

use std::process::ExitCode;

/// How a run ended; the number is the exit status. When several apply, the highest number wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Exit {
    /// Done. Also when the reader of the output went away, as `head` does.
    Done = 0,
    /// The program failed: damaged weights, a full disk.
    Failed = 1,
    /// The command line is wrong; nothing was done.
    Usage = 2,
    /// Done, but at least one file could not be judged.
    Unreadable = 3,
    /// Done, and something was found that `--fail-on` names.
    Flagged = 4,
    /// Stopped by Ctrl-C; what was finished has been written.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

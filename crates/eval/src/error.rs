//! What can go wrong with data sets and score files.

use std::path::PathBuf;

/// Result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// What can go wrong with data sets and score files.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or folder could not be read.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A row of a table or protocol is wrong.
    #[error("{path}, line {line}: {reason}")]
    Row {
        /// The file.
        path: PathBuf,
        /// Its line, from 1; the first line of a row that has several.
        line: u64,
        /// What is wrong and what is expected.
        reason: String,
    },
    /// A file as a whole is wrong.
    #[error("{path}: {reason}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong and what is expected.
        reason: String,
    },
    /// No layout is recognised.
    #[error("{path}: no known layout; looked for {looked_for}")]
    Layout {
        /// The file or folder.
        path: PathBuf,
        /// What a known layout would have had there.
        looked_for: String,
    },
}

impl Error {
    pub(crate) fn io(path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        Self::Io { path: path.into(), source }
    }

    pub(crate) fn row(path: impl Into<PathBuf>, line: u64, reason: impl Into<String>) -> Self {
        Self::Row { path: path.into(), line, reason: reason.into() }
    }

    pub(crate) fn file(path: impl Into<PathBuf>, reason: impl Into<String>) -> Self {
        Self::File { path: path.into(), reason: reason.into() }
    }
}

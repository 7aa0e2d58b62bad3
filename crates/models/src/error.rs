//! What can go wrong with weights, training and inference.

use std::path::PathBuf;

/// Result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// What can go wrong with weights, training and inference.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A model file is damaged or does not fit its description.
    #[error("model {model}: {reason}")]
    Model {
        /// Model or file name.
        model: String,
        /// What does not fit.
        reason: String,
    },
    /// A configuration or manifest is wrong.
    #[error("{path}: {reason}")]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong and where.
        reason: String,
    },
    /// The network produced a value that is not finite.
    #[error("the network of {0} gave a value that is not finite")]
    NotFinite(String),
    /// A detector was given another kind of media than it reads.
    #[error("{0} does not read this kind of media")]
    WrongKind(String),
    /// Training was stopped from outside; a checkpoint was written.
    #[error("stopped; continue with the same command, the checkpoint is {0}")]
    Stopped(PathBuf),
    /// An error of the tensor library.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}

impl Error {
    pub(crate) fn io(path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        Self::Io { path: path.into(), source }
    }

    pub(crate) fn model(model: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Model { model: model.into(), reason: reason.into() }
    }

    pub(crate) fn config(path: impl Into<PathBuf>, reason: impl Into<String>) -> Self {
        Self::Config { path: path.into(), reason: reason.into() }
    }
}

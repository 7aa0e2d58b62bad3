use std::path::PathBuf;

/// Why a label could not be written, or a trust list not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The container is not one that a label is written to.
    #[error("{0} files cannot be labelled")]
    Unsupported(&'static str),
    /// The file has a label already.
    #[error("the file has a label already; replace it explicitly or leave it")]
    AlreadyLabelled,
    /// The file's structure could not be followed to its end, so nothing is changed.
    #[error("the {0} is damaged; nothing was written")]
    Damaged(&'static str),
    /// The label itself is not what the standard allows.
    #[error("the label is not valid: {0}")]
    Label(&'static str),
    /// The file has something that the writer cannot keep.
    #[error("{0}; nothing was written")]
    Refused(&'static str),
    /// A list of certificates is not one.
    #[error("no trust list: {0}")]
    TrustList(String),
    /// This build was made without the part that it takes.
    #[error("this build does not check {0}; build it with the feature `c2pa`")]
    Unavailable(&'static str),
    /// Reading or writing the file failed.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// The result of writing, or of reading a trust list.
pub type Result<T> = std::result::Result<T, Error>;

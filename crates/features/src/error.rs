//! Why a file could not be read.

/// Result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a file could not be read. The message is for people; it never repeats the file's name.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file has no bytes.
    #[error("the file is empty")]
    Empty,
    /// The content is no image, audio or text that is known here.
    #[error("unknown kind of file: neither a known image, a known audio format nor text")]
    UnknownKind,
    /// The kind is known but not read by this build.
    #[error("{format} is not supported: {remedy}")]
    Unsupported {
        /// Name of the format.
        format: &'static str,
        /// What the user can do.
        remedy: &'static str,
    },
    /// The file asks for more than the limits allow.
    #[error("{what} of {value} is over the limit of {limit}")]
    Limit {
        /// The limited quantity, with its unit.
        what: &'static str,
        /// What the file asks for.
        value: u64,
        /// What is allowed.
        limit: u64,
    },
    /// The decoder gave up.
    #[error("cannot decode {format}: {reason}")]
    Decode {
        /// Name of the format.
        format: &'static str,
        /// The decoder's reason.
        reason: String,
    },
}

//! Why a scanner could not be built. A file that cannot be read is no error here: it gets an error verdict.

/// Result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a scanner could not be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An option lies outside its range.
    #[error("{name} is {value}; it must lie between 0 and 1, both excluded")]
    Option {
        /// Name of the option.
        name: &'static str,
        /// What was given.
        value: f64,
    },
    /// The models could not be loaded.
    #[error(transparent)]
    Models(#[from] candor_models::Error),
}

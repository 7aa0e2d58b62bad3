//! Data sets and comparison for measuring detectors.
//!
//! [`data`] reads labelled collections in their public layouts, [`compare`] reads the scores of another system.

pub mod compare;
pub mod data;
mod error;

pub use error::{Error, Result};

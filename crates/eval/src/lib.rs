//! Evaluation of detectors: data sets, comparison, and the report.
//!
//! [`data`] reads labelled collections in their public layouts, [`compare`] reads the scores of another system,
//! [`report`] makes a page and a table of what was measured.

pub mod compare;
pub mod data;
mod error;
pub mod report;

pub use error::{Error, Result};

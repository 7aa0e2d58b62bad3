//! Evaluation of detectors: data sets, comparison, and the report.
//!
//! [`data`] reads labelled collections in their public layouts, [`judge`] scores their items under the conditions of
//! [`condition`], [`splice`] measures maps on composites, [`compare`] reads the scores of another system, [`measure`] turns scores into figures, and [`report`]
//! makes a page and a table of them.

pub mod compare;
pub mod condition;
pub mod data;
mod error;
pub mod judge;
pub mod measure;
pub mod report;
pub mod splice;

pub use error::{Error, Result};

//! Evaluation of detectors.

pub mod report;

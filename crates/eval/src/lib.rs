//! Data sets and comparison for measuring detectors.

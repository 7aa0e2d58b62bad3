//! The command as its users run it.
#![allow(clippy::unwrap_used, reason = "a test may fail by a panic, helpers included")]

mod batch;
mod eval;
mod help;
mod hostile;
mod inspect;
mod label;
mod model;
mod report;
mod samples;
mod scan;
mod serve;
#[cfg(feature = "c2pa")]
mod trust;
mod util;
mod worker;

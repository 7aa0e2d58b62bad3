//! Detects AI-generated and deepfake images, audio and text, with a calibrated verdict and its reasons.
//!
//! ```
//! let scanner = candor::Scanner::new()?;
//! let scan = scanner.scan_bytes("note.txt", b"");
//! assert_eq!(scan.verdict.label, candor::Label::Error);
//! # Ok::<(), candor::Error>(())
//! ```
//!
//! A [`Scanner`] holds the models and the policy; [`Scanner::scan_path`] and [`Scanner::scan_bytes`] always return a
//! [`Scan`], whose [`Verdict`] says what was found or why the file could not be read. [`explain`] draws where the
//! score comes from. Nothing here prints, and nothing reaches for the network.

mod audible;
mod decision;
mod declared;
mod error;
mod explain;
mod mark;
mod reason;
mod region;
mod scanner;
mod schema;
mod verdict;
pub mod visible;

pub use candor_features::audio::DECODER_THREAD;
pub use candor_features::{
    Document, DocumentKind, Limits, Media, MediaKind, OffsetMap, Pixels, Warning, WarningCode, Waveform,
};
pub use candor_models::{
    Abstention, AbstentionCode, Calibration, Calibrations, Detection, Detector, FLAG_P, Fact, Model, ModelId,
    Registry, ScoreMap, WEAK_P,
};
pub use candor_provenance::Trust;

pub use declared::invisible;
pub use error::{Error, Result};
pub use explain::{Artifact, Exhibit, Marked, exhibit, explain};
pub use mark::{MarkError, Wording, mark};
pub use scanner::{Evidence, MAX_FILE_BYTES, Scan, ScanOptions, Scanner, ScannerBuilder};
pub use schema::schema_json;
pub use verdict::{
    ErrorCode, Failure, Label, MediaFacts, Note, Reason, Region, SCHEMA_VERSION, Signal, SignalKind,
    Threshold, Verdict, path_text,
};

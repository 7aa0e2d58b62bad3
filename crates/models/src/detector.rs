//! What a detector is and what it returns.

use std::ops::Range;

use candor_features::{Media, MediaKind};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Result;

/// A learned detector of one kind of media.
pub trait Detector: Send + Sync {
    /// Which kind of media it reads.
    fn kind(&self) -> MediaKind;

    /// Scores one item. The same media gives the same bits, whatever the thread count.
    ///
    /// # Errors
    /// [`crate::Error::WrongKind`] for another kind of media, [`crate::Error::NotFinite`] when the network overflows.
    fn detect(&self, media: &Media) -> Result<Detection>;
}

/// What a detector says of one item.
#[derive(Debug, Clone)]
pub struct Detection {
    /// Raw score, uncalibrated: the higher, the more likely machine-made.
    pub logit: f64,
    /// Standard deviation of the partial scores (tiles, windows, sentences); 0 with a single part.
    pub spread: f64,
    /// Why the score should not be used, if so.
    pub abstain: Option<Abstention>,
    /// What the item is like, where that decides how its score is calibrated ("narrow band", "en, 60 to 150 words"): a
    /// property that is measured, in words that read well after "genuine recordings: ". Empty when none matters.
    pub stratum: String,
    /// Where the score comes from.
    pub map: ScoreMap,
    /// Named measurements beside the network's, in a fixed order: statistical facts that put the score in context.
    pub facts: Vec<Fact>,
}

/// A named measurement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Fact {
    /// Stable name, for instance `spectral_slope`.
    pub name: String,
    /// The value, finite.
    pub value: f64,
    /// Unit, empty for a pure number.
    pub unit: String,
}

/// Why a detector abstains.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Abstention {
    /// Stable code.
    pub code: AbstentionCode,
    /// For people, with the measured figure and the least that is needed.
    pub message: String,
}

/// Stable codes of abstention.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum AbstentionCode {
    /// The picture is too small.
    TooSmall,
    /// The recording or text is too short.
    TooShort,
    /// The picture is nearly uniform, or the recording nearly silent.
    NoContent,
    /// The language is not one that the detector was trained on.
    LanguageNotCovered,
    /// The calibrated evidence lies between the two thresholds.
    WeakEvidence,
}

/// Where a score comes from: partial logits over space, time or text.
#[derive(Debug, Clone)]
pub enum ScoreMap {
    /// A grid over a picture, row by row; cell `(r, c)` covers the rectangle from `(c, r)` to `(c + 1, r + 1)` times
    /// `(width / cols, height / rows)`.
    Grid {
        /// Number of columns, at least 1.
        cols: usize,
        /// Number of rows, at least 1.
        rows: usize,
        /// `rows * cols` logits.
        logits: Vec<f32>,
    },
    /// Windows over a recording.
    Timeline {
        /// Start and end of each window in seconds, in order.
        windows: Vec<(f64, f64)>,
        /// One logit a window.
        logits: Vec<f32>,
    },
    /// Sentences of a text.
    Sentences {
        /// Byte ranges in [`candor_features::Document::text`], in order.
        ranges: Vec<Range<usize>>,
        /// One logit a sentence: its share of the file's logit, positive towards machine-made.
        logits: Vec<f32>,
    },
    /// No parts.
    None,
}

//! Text: decoding, a normal form that disguises fall away from, and the features that detectors read.
//!
//! [`decode`] gives a [`Document`]; [`features`] gives all that is known about it.

mod decode;
mod html;
mod language;
mod launder;
mod mail;
mod mapped;
mod markdown;
mod ngram;
mod normalise;
mod packed;
mod segment;
mod style;
mod trigram;

use std::ops::Range;

use serde::{Deserialize, Serialize};

pub use decode::{decode, document};
pub use language::{Language, language};
pub use launder::{Quotes, TextCondition, TextLaundering};
pub(crate) use mail::is_mail;
pub use ngram::{Bag, NgramConfig, bag, each_hit};
pub use normalise::{Normalised, Oddities, normalise};
pub use segment::{Segmentation, Word, WordKind, segment};
pub use style::{FORMAT as STYLE_FORMAT, N as STYLE_LEN, NAMES as STYLE_NAMES, style};
pub use trigram::{Trigram, WORD_BITS, trigrams};

use crate::{Document, Warning};

/// Settings of the features; they belong to a model.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TextConfig {
    /// Hashed n-grams.
    pub ngrams: NgramConfig,
}

/// All that detectors read of a text.
#[derive(Debug, Clone)]
pub struct TextFeatures {
    /// The normal form; offsets of all else are offsets into its text.
    pub normalised: Normalised,
    /// Paragraphs, sentences and words.
    pub segmentation: Segmentation,
    /// Guess of the language.
    pub language: Language,
    /// Number of words; an ideograph counts as one.
    pub words: usize,
    /// Hashed n-grams.
    pub bag: Bag,
    /// Style, in the order of [`STYLE_NAMES`].
    pub style: [f32; STYLE_LEN],
    /// What a reader should know beside the decoder's warnings.
    pub warnings: Vec<Warning>,
}

impl TextFeatures {
    /// Sentences as byte ranges of [`Document::text`], in the order of the segmentation.
    pub fn document_sentences(&self) -> Vec<Range<usize>> {
        self.segmentation.sentences.iter().map(|s| self.normalised.map.source_range(s.clone())).collect()
    }
}

/// Computes the features of a document.
pub fn features(document: &Document, config: &TextConfig) -> TextFeatures {
    let normalised = normalise(&document.text);
    let segmentation = segment(&normalised.text);
    let language = language(&normalised.text, &segmentation);
    let bag = bag(&normalised.text, &segmentation, &config.ngrams);
    let style = style(document, &normalised, &segmentation);
    let warnings = normalised.oddities.warning().into_iter().chain(language.warning()).collect();
    TextFeatures { words: segmentation.words.len(), normalised, segmentation, language, bag, style, warnings }
}

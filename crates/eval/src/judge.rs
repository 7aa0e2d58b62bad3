//! Scoring the items of a data set with Candor's own detectors.

use candor::{Label as Verdict, MediaFacts, MediaKind, Scanner};
use serde::{Deserialize, Serialize};

use crate::{condition, data::Item};

/// What was found on one item under one condition: a row of `scores.csv`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Name of the item.
    pub name: String,
    /// Whether it is machine-made.
    pub fabricated: bool,
    /// Its source.
    pub group: String,
    /// What made it; empty where that is not known.
    pub generator: String,
    /// What was done to it.
    pub condition: String,
    /// Label of the verdict.
    pub verdict: Verdict,
    /// Raw score; `None` for an abstention or an error.
    pub score: Option<f64>,
    /// Natural-log likelihood ratio; `None` as before.
    pub llr: Option<f64>,
    /// Conformal p-value; `None` as before.
    pub p_value: Option<f64>,
    /// Why there is no score; empty if there is one.
    pub reason: String,
    /// The kind of media, if it could be read.
    pub kind: Option<MediaKind>,
    /// Facts beside the content, of the file as it is (as it was made, where files are matched): see [`fact_names`].
    pub facts: Vec<f64>,
}

/// What was found on one item: a line of a journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Judgement {
    /// SHA-256 of its content, hexadecimal; of nothing, where it can't be read.
    pub sha256: String,
    /// A row for each condition.
    pub rows: Vec<Row>,
}

/// Names of [`Row::facts`].
pub fn fact_names(kind: MediaKind) -> &'static [&'static str] {
    match kind {
        MediaKind::Image => &["bytes", "width", "height", "bytes per pixel", "JPEG", "PNG", "WebP"],
        MediaKind::Audio => {
            &["bytes", "length", "bytes per second", "sample rate", "channels", "WAV", "FLAC", "MP3"]
        }
        MediaKind::Text => &["bytes", "characters", "words", "characters per word", "UTF-8"],
    }
}

fn facts(media: &MediaFacts, bytes: usize) -> Vec<f64> {
    let ln = |x: f64| (1.0 + x).ln();
    let is = |name: &str| f64::from(u8::from(media.format().starts_with(name)));
    let size = ln(bytes as f64);
    match media {
        MediaFacts::Image { width, height, .. } => {
            let (w, h) = (*width as f64, *height as f64);
            vec![size, ln(w), ln(h), bytes as f64 / (w * h).max(1.0), is("jpeg"), is("png"), is("webp")]
        }
        MediaFacts::Audio { seconds, source_rate, source_channels, .. } => vec![
            size,
            ln(*seconds),
            ln(bytes as f64 / seconds.max(0.01)),
            ln(f64::from(*source_rate)),
            f64::from(*source_channels),
            is("wav"),
            is("flac"),
            is("mp3"),
        ],
        MediaFacts::Text { chars, words, encoding, .. } => vec![
            size,
            ln(*chars as f64),
            ln(*words as f64),
            *chars as f64 / (*words).max(1) as f64,
            f64::from(u8::from(encoding == "UTF-8")),
        ],
    }
}

/// Judges an item under conditions of its kind of media; those of other kinds give an error row.
///
/// Never fails: what could not be read or judged is a row with a reason.
pub fn judge(scanner: &Scanner, item: &Item, conditions: &[String]) -> Judgement {
    let bytes = item.bytes();
    let sha256 = candor_models::sha256(bytes.as_deref().unwrap_or_default());
    Judgement { sha256, rows: rows(scanner, item, bytes, conditions) }
}

fn rows(
    scanner: &Scanner,
    item: &Item,
    bytes: Result<Vec<u8>, crate::Error>,
    conditions: &[String],
) -> Vec<Row> {
    let blank = |condition: &str| Row {
        name: item.name.clone(),
        fabricated: item.label.is_fabricated(),
        group: item.group.clone(),
        generator: item.generator.clone().unwrap_or_default(),
        condition: condition.to_owned(),
        verdict: Verdict::Error,
        score: None,
        llr: None,
        p_value: None,
        reason: String::new(),
        kind: None,
        facts: Vec::new(),
    };
    let failed = |reason: String| -> Vec<Row> {
        conditions.iter().map(|c| Row { reason: reason.clone(), ..blank(c) }).collect()
    };
    let bytes = match bytes {
        Ok(bytes) => bytes,
        Err(error) => return failed(error.to_string()),
    };
    let media = match candor_features::decode(&bytes, &scanner.options().limits) {
        Ok(media) => media,
        Err(error) => return failed(error.to_string()),
    };
    let mut rows = Vec::with_capacity(conditions.len());
    let mut known = Vec::new();
    for condition in conditions {
        let mut row = Row { kind: Some(media.kind()), ..blank(condition) };
        let alike = condition == condition::MATCHED;
        let changed = if alike {
            condition::matched(media.clone())
        } else {
            condition::apply(media.clone(), condition, &item.name).map(|media| (media, bytes.len()))
        };
        match changed {
            Err(reason) => row.reason = reason,
            Ok((changed, size)) => {
                let verdict = scanner.scan_media(&item.name, changed).verdict;
                if let Some(media) = &verdict.media {
                    if alike {
                        row.facts = facts(media, size);
                    } else if known.is_empty() {
                        known = facts(media, size);
                    }
                }
                row.verdict = verdict.label;
                row.llr = verdict.llr;
                row.p_value = verdict.p_value;
                // A detector that abstains has a score that must not be quoted.
                row.score = verdict.llr.and(verdict.signals.first().and_then(|s| s.score));
                if row.score.is_none() {
                    let why = verdict.error.map(|e| e.message).or(verdict.abstention.map(|a| a.message));
                    row.reason = why.unwrap_or_default();
                }
            }
        }
        if row.facts.is_empty() && !alike {
            row.facts.clone_from(&known);
        }
        rows.push(row);
    }
    rows
}

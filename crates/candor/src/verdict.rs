//! What a scan says of one file, as it is written to disk and over the wire.

use std::collections::BTreeMap;
use std::path::Path;

use candor_features::{DocumentKind, MediaKind};
use candor_models::ModelId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Version of the layout of [`Verdict`]: it rises when a field changes its meaning or goes away, not when one is added.
pub const SCHEMA_VERSION: &str = "1";

/// What was found in one file and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Verdict {
    /// Version of this layout, [`SCHEMA_VERSION`].
    pub schema_version: String,
    /// The file as it was named; bytes that are not UTF-8 are written `\xNN`. `-` is standard input.
    pub path: String,
    /// SHA-256 of the file, hexadecimal; null when it was not read.
    pub sha256: Option<String>,
    /// Length of the file in bytes; null when it is not known.
    pub bytes: Option<u64>,
    /// What the file holds; null when it could not be decoded.
    pub media: Option<MediaFacts>,
    /// The conclusion.
    pub label: Label,
    /// Calibrated probability in (0, 1) that the file is machine-made, under `prior`; null on error and abstention.
    pub confidence: Option<f64>,
    /// Natural logarithm of the likelihood ratio of machine-made against genuine; null as `confidence`.
    pub llr: Option<f64>,
    /// Share in (0, 1] of genuine calibration items that score at least as high, this one included; null as
    /// `confidence`.
    pub p_value: Option<f64>,
    /// Probability of machine-made before the file was looked at.
    pub prior: f64,
    /// From where on a file is flagged.
    pub threshold: Threshold,
    /// The conclusion in plain language, the most important reason first.
    pub reasons: Vec<Reason>,
    /// Every finding, each with its own figures.
    pub signals: Vec<Signal>,
    /// What a reader should know about the decoding and the models.
    pub warnings: Vec<Note>,
    /// Why nothing is concluded, when the label is `inconclusive`. Codes: `too-small`, `too-short`, `no-content`,
    /// `language-not-covered`, `weak-evidence`, `no-model`, `not-asked-for`, `declared`.
    pub abstention: Option<Note>,
    /// Why the file could not be judged, when the label is `error`.
    pub error: Option<Failure>,
    /// The models that looked at the file.
    pub models: Vec<ModelId>,
    /// Version of the program.
    pub version: String,
    /// Wall-clock time of the scan in milliseconds.
    pub elapsed_ms: f64,
}

impl Verdict {
    /// Whether the file was passed over because only another kind of media was asked for.
    pub fn is_skipped(&self) -> bool {
        self.abstention.as_ref().is_some_and(|a| a.code == Note::NOT_ASKED_FOR)
    }
}

/// The conclusion about one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Label {
    /// The file itself states it: a signed or machine-written declaration, or a decoded watermark.
    AiGenerated,
    /// The evidence of the detectors passes the flagging threshold.
    Suspected,
    /// Too little evidence either way.
    Inconclusive,
    /// Nothing was found, which does not prove that the file is genuine.
    NoSign,
    /// The file could not be judged.
    Error,
}

impl Label {
    /// All labels, the strongest finding first.
    pub const ALL: [Self; 5] =
        [Self::AiGenerated, Self::Suspected, Self::Inconclusive, Self::NoSign, Self::Error];

    /// The label as it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AiGenerated => "ai-generated",
            Self::Suspected => "suspected",
            Self::Inconclusive => "inconclusive",
            Self::NoSign => "no-sign",
            Self::Error => "error",
        }
    }
}

impl std::fmt::Display for Label {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// What a file holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum MediaFacts {
    /// A picture.
    Image {
        /// Format of the file, for instance `jpeg`.
        format: String,
        /// Width in pixels after the orientation was applied.
        width: usize,
        /// Height in pixels after the orientation was applied.
        height: usize,
    },
    /// A recording.
    Audio {
        /// Container and codec, for instance `wav/pcm_s16le`.
        format: String,
        /// Length of what was decoded, in seconds.
        seconds: f64,
        /// Sample rate of the file in Hz.
        source_rate: u32,
        /// Channels of the file.
        source_channels: u16,
    },
    /// A text.
    Text {
        /// Format of the file: `plain`, `markdown` or `html`.
        format: String,
        /// Unicode characters of the readable text.
        chars: usize,
        /// Words of the readable text after Unicode's word boundaries.
        words: usize,
        /// Encoding label after the WHATWG standard.
        encoding: String,
        /// What the text came from.
        document: DocumentKind,
    },
}

impl MediaFacts {
    /// The kind of media.
    pub fn kind(&self) -> MediaKind {
        match self {
            Self::Image { .. } => MediaKind::Image,
            Self::Audio { .. } => MediaKind::Audio,
            Self::Text { .. } => MediaKind::Text,
        }
    }

    /// The format of the file.
    pub fn format(&self) -> &str {
        match self {
            Self::Image { format, .. } | Self::Audio { format, .. } | Self::Text { format, .. } => format,
        }
    }
}

/// From where on a file is flagged as `suspected`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Threshold {
    /// Largest p-value that is flagged, in (0, 1): the share of false alarms on material like the calibration set.
    pub p: f64,
    /// The raw score of the learned signal from which on that p-value is reached; null when no model looked at the
    /// file or its calibration cannot reach that p-value.
    pub score: Option<f64>,
}

/// One reason in plain language.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reason {
    /// The `id` of the signal that it comes from.
    pub signal: String,
    /// One line for people.
    pub text: String,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Signal {
    /// Stable name, for instance `image/residual` or `image/facts`.
    pub id: String,
    /// Where the finding comes from.
    pub kind: SignalKind,
    /// Raw score, the higher the more likely machine-made; null for findings without one.
    pub score: Option<f64>,
    /// Natural logarithm of the likelihood ratio after calibration; null when the signal has none or abstains.
    pub llr: Option<f64>,
    /// Figures behind the finding.
    pub detail: BTreeMap<String, Value>,
    /// The parts with the strongest evidence, in order of place.
    pub regions: Vec<Region>,
}

impl Signal {
    /// Id of the finding that holds the history told by Content Credentials: `manifests` in its details, each with what it was made
    /// from under `ingredients`.
    pub const LINEAGE: &'static str = "c2pa/lineage";
}

/// Where a finding comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SignalKind {
    /// The file says so.
    Declared,
    /// A decoded watermark.
    Watermark,
    /// A trained network.
    Learned,
    /// A measurement.
    Statistical,
}

/// A part of a file with its own score.
///
/// The score of a rectangle or a stretch of time is the natural-log likelihood ratio of that part alone; the score of
/// a stretch of text is what it adds to the ratio of the whole.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "unit", rename_all = "lowercase")]
pub enum Region {
    /// A rectangle of the picture, in pixels.
    Pixels {
        /// Left edge.
        x: usize,
        /// Upper edge.
        y: usize,
        /// Width.
        width: usize,
        /// Height.
        height: usize,
        /// Evidence, positive towards machine-made.
        score: f64,
    },
    /// A stretch of the recording, in seconds.
    Seconds {
        /// Start.
        start: f64,
        /// End.
        end: f64,
        /// Evidence, positive towards machine-made.
        score: f64,
    },
    /// A stretch of the source file, in bytes.
    Bytes {
        /// First byte.
        start: usize,
        /// One past the last byte.
        end: usize,
        /// Evidence, positive towards machine-made.
        score: f64,
    },
}

impl Region {
    /// Evidence, positive towards machine-made.
    pub fn score(&self) -> f64 {
        match *self {
            Self::Pixels { score, .. } | Self::Seconds { score, .. } | Self::Bytes { score, .. } => score,
        }
    }
}

/// Something to know about a result: a stable code and a text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Note {
    /// Stable code in kebab case.
    pub code: String,
    /// For people.
    pub message: String,
}

impl Note {
    /// Abstention: the evidence is too weak to flag and too strong to pass over.
    pub const WEAK_EVIDENCE: &str = "weak-evidence";
    /// Abstention: there is no model for this kind of media.
    pub const NO_MODEL: &str = "no-model";
    /// Abstention: only another kind of media was asked for.
    pub const NOT_ASKED_FOR: &str = "not-asked-for";
    /// Abstention: the detectors found nothing, but the file says that generative AI had a part in it.
    pub const DECLARED: &str = "declared";
    /// Warning: the label rests on what the file declares alone, because its content could not be judged.
    pub const NOT_JUDGED: &str = "not-judged";
    /// Warning: the calibration set is too small for the flagging threshold, so nothing is flagged.
    pub const THRESHOLD_UNREACHABLE: &str = "threshold-unreachable";
    /// Warning: the picture, curve or text that shows where the score comes from could not be drawn.
    pub const NOT_EXPLAINED: &str = "not-explained";

    /// A note with its text.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into() }
    }

    /// A note from a code that serialises to a string.
    pub(crate) fn of(code: impl Serialize, message: &str) -> Self {
        let code = match serde_json::to_value(code) {
            Ok(Value::String(code)) => code,
            _ => String::from("other"),
        };
        Self::new(code, message)
    }
}

/// Why a file could not be judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Failure {
    /// Stable code.
    pub code: ErrorCode,
    /// For people.
    pub message: String,
}

/// Stable codes of failures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ErrorCode {
    /// There is no such file.
    NotFound,
    /// The system does not allow reading it.
    PermissionDenied,
    /// A folder, a pipe, a socket or a device.
    NotAFile,
    /// The system failed while reading.
    Read,
    /// The file is larger than the limit.
    TooLarge,
    /// The file has no bytes.
    Empty,
    /// Neither a known image, a known audio format nor text.
    UnknownKind,
    /// Known, but not read by this build.
    Unsupported,
    /// The content asks for more than the limits allow.
    Limit,
    /// The decoder gave up.
    Decode,
    /// The network gave a value that is not finite.
    NotFinite,
    /// The detector failed.
    Detector,
    /// A mistake in this program.
    Internal,
    /// There was no verdict within the time that one file may take.
    TimeLimit,
    /// The process that scanned it ended.
    Crashed,
}

impl ErrorCode {
    /// The code as it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotFound => "not-found",
            Self::PermissionDenied => "permission-denied",
            Self::NotAFile => "not-a-file",
            Self::Read => "read",
            Self::TooLarge => "too-large",
            Self::Empty => "empty",
            Self::UnknownKind => "unknown-kind",
            Self::Unsupported => "unsupported",
            Self::Limit => "limit",
            Self::Decode => "decode",
            Self::NotFinite => "not-finite",
            Self::Detector => "detector",
            Self::Internal => "internal",
            Self::TimeLimit => "time-limit",
            Self::Crashed => "crashed",
        }
    }
}

/// A path as it is written into verdicts: bytes that are not valid Unicode become `\xNN`.
///
/// The text is for reading, not for opening the file again: a name that holds a literal `\xNN` looks the same.
pub fn path_text(path: &Path) -> String {
    let mut text = String::new();
    for chunk in path.as_os_str().as_encoded_bytes().utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|b| format!("\\x{b:02x}")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_names_agree_with_serde() {
        for label in Label::ALL {
            assert_eq!(serde_json::to_value(label).unwrap(), label.as_str());
        }
        for code in [
            ErrorCode::NotFound,
            ErrorCode::PermissionDenied,
            ErrorCode::NotAFile,
            ErrorCode::Read,
            ErrorCode::TooLarge,
            ErrorCode::Empty,
            ErrorCode::UnknownKind,
            ErrorCode::Unsupported,
            ErrorCode::Limit,
            ErrorCode::Decode,
            ErrorCode::NotFinite,
            ErrorCode::Detector,
            ErrorCode::Internal,
            ErrorCode::TimeLimit,
            ErrorCode::Crashed,
        ] {
            assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
        }
    }

    #[cfg(unix)]
    #[test]
    fn bytes_that_are_not_unicode_are_escaped_in_paths() {
        use std::os::unix::ffi::OsStrExt;
        let path = Path::new(std::ffi::OsStr::from_bytes(b"caf\xe9/\xc3\xa9.jpg"));
        assert_eq!(path_text(path), "caf\\xe9/é.jpg");
    }
}

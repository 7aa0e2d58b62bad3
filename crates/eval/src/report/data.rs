//! What a report says, as plain data.
//!
//! Every string may come from a file and hold anything; the writers escape it. A number that could not be measured is
//! NaN in memory, `null` in JSON and "n/a" in a report.

use serde::{Deserialize, Serialize};

/// One evaluation: everything that `report.html` and the table on the terminal show.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReportData {
    /// Heading of the report.
    pub title: String,
    /// A sentence below the heading; empty for none.
    pub subtitle: String,
    /// The command line that made the report.
    pub command: String,
    /// Version of the program.
    pub version: String,
    /// What was judged: "image", "audio" or "text".
    pub media: String,
    /// The models that gave the scores.
    pub models: Vec<ModelRef>,
    /// The items that were judged.
    pub data: DataSet,
    /// What a reader has to know before believing a figure.
    pub warnings: Vec<String>,
    /// Results for each condition. The first one is the headline.
    pub conditions: Vec<Condition>,
    /// Results for each group of items.
    pub slices: Vec<Slice>,
    /// How far facts beside the content go.
    pub leak: Option<Leak>,
    /// Conditions against metrics.
    pub robustness: Option<Grid>,
    /// How far the maps find what was put into genuine items.
    #[serde(default)]
    pub localisation: Option<Localisation>,
    /// Machine-made items with the lowest scores.
    pub misses: Vec<Exhibit>,
    /// Genuine items with the highest scores.
    pub false_alarms: Vec<Exhibit>,
    /// Systems that judged the same items, the best first; empty or one if there is nothing to compare.
    pub systems: Vec<System>,
}

/// A model and its weights.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelRef {
    /// Such as `image/residual`.
    pub id: String,
    /// Digest of the weights, in hexadecimal digits.
    pub sha256: String,
}

/// Numbers of items of both classes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counts {
    /// Genuine items.
    pub genuine: u64,
    /// Machine-made items.
    pub fabricated: u64,
}

/// The items that were judged.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataSet {
    /// Name, often that of the manifest.
    pub name: String,
    /// Digest of the manifest and the files.
    pub digest: String,
    /// Items of both classes.
    pub counts: Counts,
    /// Groups (sources and generators) that the items come from; intervals are drawn over them.
    pub groups: u64,
}

/// A number with its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Estimate {
    /// The number.
    #[serde(with = "nullable")]
    pub value: f64,
    /// Lower end of the interval; NaN if there is none.
    #[serde(with = "nullable")]
    pub low: f64,
    /// Upper end of the interval; NaN if there is none.
    #[serde(with = "nullable")]
    pub high: f64,
}

impl Estimate {
    /// A number with its interval.
    pub fn new(value: f64, low: f64, high: f64) -> Self {
        Self { value, low, high }
    }

    /// A number without an interval.
    pub fn bare(value: f64) -> Self {
        Self::new(value, f64::NAN, f64::NAN)
    }

    /// The interval, if both its ends are numbers.
    pub fn interval(self) -> Option<(f64, f64)> {
        (self.low.is_finite() && self.high.is_finite()).then_some((self.low, self.high))
    }
}

impl Default for Estimate {
    fn default() -> Self {
        Self::bare(f64::NAN)
    }
}

/// One metric.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetricRow {
    /// Such as "AUROC".
    pub name: String,
    /// The number.
    pub estimate: Estimate,
    /// A remark, such as how the interval was drawn; empty for none.
    pub note: String,
}

/// Results under one condition.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    /// Such as "clean" or "jpeg-70".
    pub name: String,
    /// Items that were scored.
    pub counts: Counts,
    /// The metrics, the most important first.
    pub metrics: Vec<MetricRow>,
    /// Points (share of genuine items flagged, share of machine-made items flagged), in any order.
    pub roc: Vec<(f64, f64)>,
    /// Thresholds worth a mark on the curves.
    pub thresholds: Vec<Threshold>,
    /// Stated probability against observed share.
    pub reliability: Vec<Bin>,
    /// How the scores are distributed.
    pub histogram: Histogram,
}

/// What a threshold does.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Threshold {
    /// Such as "flagging threshold".
    pub name: String,
    /// On the axis of the histogram; NaN to leave it out there.
    #[serde(with = "nullable")]
    pub score: f64,
    /// Share of genuine items flagged.
    pub fpr: Estimate,
    /// Share of machine-made items flagged.
    pub tpr: Estimate,
}

/// One bin of a reliability diagram.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bin {
    /// Mean stated probability that an item is machine-made.
    #[serde(with = "nullable")]
    pub mean_p: f64,
    /// Share of items that are.
    pub observed: Estimate,
    /// Items in the bin.
    pub n: u64,
}

/// Counts of scores. Bin `i` lies between edges `i` and `i + 1`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Histogram {
    /// What the scores are, such as "log likelihood ratio".
    pub axis: String,
    /// Edges in ascending order, one more than there are bins.
    pub edges: Vec<f64>,
    /// Genuine items in each bin.
    pub genuine: Vec<u64>,
    /// Machine-made items in each bin.
    pub fabricated: Vec<u64>,
}

/// Which class the groups of a slice belong to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// Sources of genuine items.
    Genuine,
    /// Generators.
    Fabricated,
    /// Groups with items of both classes, such as languages.
    #[default]
    Both,
}

/// Results for groups of items.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slice {
    /// What tells the groups apart, such as "generator" or "language".
    pub by: String,
    /// What is in the groups.
    pub class: Class,
    /// The metric of the rows.
    pub metric: String,
    /// The metric over all groups, for comparison; NaN for none.
    #[serde(with = "nullable")]
    pub overall: f64,
    /// One row for each group, the worst first.
    pub rows: Vec<SliceRow>,
}

/// One group.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SliceRow {
    /// Name of the group.
    pub name: String,
    /// Items of both classes that take part.
    pub counts: Counts,
    /// The metric.
    pub estimate: Estimate,
    /// Whether it is the worst of the slice.
    pub worst: bool,
}

/// The leak test: a logistic regression on facts beside the content (size, format, length).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Leak {
    /// The facts that were given to it.
    pub facts: Vec<String>,
    /// Its AUROC.
    pub facts_auroc: Estimate,
    /// The detector's AUROC on the same items.
    pub detector_auroc: Estimate,
    /// What follows, in one sentence.
    pub verdict: String,
    /// The same on pairs of items with like facts.
    pub matched: Option<Matched>,
}

/// Results on items that were matched for the facts of a leak test.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Matched {
    /// Items that found a match.
    pub counts: Counts,
    /// AUROC of the facts.
    pub facts_auroc: Estimate,
    /// AUROC of the detector.
    pub detector_auroc: Estimate,
}

/// Conditions against metrics.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grid {
    /// The columns.
    pub metrics: Vec<GridMetric>,
    /// The rows.
    pub rows: Vec<GridRow>,
}

/// A column of a grid.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GridMetric {
    /// Such as "AUROC".
    pub name: String,
    /// The value that stays without colour, such as 1.
    #[serde(with = "nullable")]
    pub best: f64,
    /// The value of the strongest colour, such as 0.5.
    #[serde(with = "nullable")]
    pub worst: f64,
}

/// How far a detector's map finds a part of a machine-made item in a genuine one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Localisation {
    /// Composites that were scored.
    pub composites: u64,
    /// The metrics.
    pub metrics: Vec<MetricRow>,
}

/// A row of a grid.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GridRow {
    /// Name of the condition.
    pub condition: String,
    /// One number for each metric, in their order.
    pub cells: Vec<Estimate>,
}

/// An item that was judged wrongly.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exhibit {
    /// Name of the file.
    pub name: String,
    /// Label of the verdict.
    pub label: String,
    /// Source or generator.
    pub group: String,
    /// Score of the network.
    #[serde(with = "nullable")]
    pub score: f64,
    /// Natural-log likelihood ratio.
    #[serde(with = "nullable")]
    pub llr: f64,
    /// Conformal p-value.
    #[serde(with = "nullable")]
    pub p_value: f64,
    /// Something to look at.
    pub preview: Preview,
}

/// What an item looks like. The bytes are those of a PNG or JPEG file and are base64 in JSON; anything else is left
/// out of the report.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Preview {
    /// Nothing to show.
    #[default]
    None,
    /// A small copy of a picture.
    Image(#[serde(with = "encoded")] Vec<u8>),
    /// The spectrogram of a recording.
    Spectrogram(#[serde(with = "encoded")] Vec<u8>),
    /// The beginning of a text.
    Text(String),
}

/// A system that judged the same items as the others.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct System {
    /// Its name.
    pub name: String,
    /// The same metrics in the same order for every system.
    pub metrics: Vec<MetricRow>,
    /// As in [`Condition::roc`].
    pub roc: Vec<(f64, f64)>,
    /// The paired difference from another system.
    pub difference: Option<Difference>,
}

/// A difference between two systems, over the same items.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Difference {
    /// The other system.
    pub against: String,
    /// What was compared.
    pub metric: String,
    /// This system's figure less the other's, with a paired interval.
    pub estimate: Estimate,
}

/// NaN and infinities as `null`.
mod nullable {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
    pub(super) fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        value.is_finite().then_some(value).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        Ok(Option::deserialize(deserializer)?.unwrap_or(f64::NAN))
    }
}

/// Bytes as base64.
mod encoded {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        STANDARD.decode(String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

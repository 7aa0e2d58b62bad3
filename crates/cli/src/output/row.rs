//! Verdicts as rows of a table.

use candor::Verdict;

/// Columns of Parquet, SQLite and Arrow: name and type. `verdict` is the whole result as JSON.
pub(crate) const COLUMNS: [(&str, Type); 17] = [
    ("path", Type::Text),
    ("label", Type::Text),
    ("action", Type::Text),
    ("confidence", Type::Real),
    ("llr", Type::Real),
    ("p_value", Type::Real),
    ("prior", Type::Real),
    ("kind", Type::Text),
    ("format", Type::Text),
    ("bytes", Type::Integer),
    ("sha256", Type::Text),
    ("reason", Type::Text),
    ("abstention", Type::Text),
    ("error_code", Type::Text),
    ("error", Type::Text),
    ("version", Type::Text),
    ("verdict", Type::Text),
];

/// What a column holds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Type {
    Text,
    Real,
    Integer,
}

/// One value.
#[derive(Clone)]
pub(crate) enum Cell {
    Null,
    Text(String),
    Real(f64),
    Integer(i64),
}

impl From<Option<String>> for Cell {
    fn from(value: Option<String>) -> Self {
        value.map_or(Self::Null, Self::Text)
    }
}

impl From<Option<f64>> for Cell {
    fn from(value: Option<f64>) -> Self {
        value.map_or(Self::Null, Self::Real)
    }
}

/// The row of a verdict; `action` is what a policy makes of it.
pub(crate) fn cells(v: &Verdict, action: Option<String>) -> serde_json::Result<[Cell; COLUMNS.len()]> {
    Ok([
        Cell::Text(v.path.clone()),
        Cell::Text(v.label.to_string()),
        action.into(),
        v.confidence.into(),
        v.llr.into(),
        v.p_value.into(),
        Cell::Real(v.prior),
        v.media.as_ref().map(|m| m.kind().to_string()).into(),
        v.media.as_ref().map(|m| m.format().to_owned()).into(),
        v.bytes.map_or(Cell::Null, |b| Cell::Integer(b as i64)),
        v.sha256.clone().into(),
        v.reasons.first().map(|r| r.text.clone()).into(),
        v.abstention.as_ref().map(|a| a.code.clone()).into(),
        v.error.as_ref().map(|e| e.code.as_str().to_owned()).into(),
        v.error.as_ref().map(|e| e.message.clone()).into(),
        Cell::Text(v.version.clone()),
        Cell::Text(serde_json::to_string(v)?),
    ])
}

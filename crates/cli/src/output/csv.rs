//! CSV, one row a file.

use std::io::{self, Write};

use super::{Record, Sink};
use crate::escape::cell;

const COLUMNS: [&str; 20] = [
    "path",
    "label",
    "confidence",
    "llr",
    "p_value",
    "prior",
    "threshold_p",
    "kind",
    "format",
    "bytes",
    "sha256",
    "reason",
    "abstention",
    "error_code",
    "error",
    "warnings",
    "models",
    "score",
    "version",
    "elapsed_ms",
];

/// Writes CSV with a header row. Text cells are escaped and cannot start a formula; numbers are plain.
pub(crate) struct Csv<W: Write> {
    out: csv::Writer<W>,
    header: bool,
}

impl<W: Write> Csv<W> {
    pub(crate) fn new(out: W) -> Self {
        Self { out: csv::Writer::from_writer(out), header: false }
    }

    fn header(&mut self) -> io::Result<()> {
        if !self.header {
            self.header = true;
            self.out.write_record(COLUMNS)?;
        }
        Ok(())
    }
}

impl<W: Write> Sink for Csv<W> {
    fn write(&mut self, record: &Record<'_>) -> io::Result<()> {
        self.header()?;
        let v = record.verdict;
        let number = |value: Option<f64>| value.map(|v| v.to_string()).unwrap_or_default();
        let codes = |mut all: Vec<String>| {
            all.dedup();
            cell(&all.join(" ")).into_owned()
        };
        let kind = v.media.as_ref().map(|m| m.kind().to_string()).unwrap_or_default();
        self.out.write_record([
            cell(&v.path).as_ref(),
            v.label.as_str(),
            &number(v.confidence),
            &number(v.llr),
            &number(v.p_value),
            &v.prior.to_string(),
            &v.threshold.p.to_string(),
            &kind,
            &cell(v.media.as_ref().map_or("", |m| m.format())),
            &v.bytes.map(|b| b.to_string()).unwrap_or_default(),
            v.sha256.as_deref().unwrap_or_default(),
            &cell(v.reasons.first().map_or("", |r| &r.text)),
            v.abstention.as_ref().map_or("", |a| &a.code),
            v.error.as_ref().map_or("", |e| e.code.as_str()),
            &cell(v.error.as_ref().map_or("", |e| &e.message)),
            &codes(v.warnings.iter().map(|w| w.code.clone()).collect()),
            &codes(v.models.iter().map(|m| m.id.clone()).collect()),
            &number(v.signals.first().and_then(|s| s.score)),
            &v.version,
            &v.elapsed_ms.to_string(),
        ])?;
        self.out.flush()
    }

    fn finish(&mut self) -> io::Result<()> {
        self.header()?;
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::written;
    use super::*;

    #[test]
    fn rows_are_safe_in_spreadsheets() {
        let mut out = Vec::new();
        written(Csv::new, &mut out);
        insta::assert_snapshot!(String::from_utf8(out).unwrap());
    }
}

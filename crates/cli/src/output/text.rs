//! Text for reading.

use std::io::{self, Write};

use candor::{Label, Verdict};

use super::{Record, Sink};
use crate::escape::escape;

/// Reasons that are shown; the other formats have all.
const REASONS: usize = 2;

/// Writes a line for each file and the reasons below it.
pub(crate) struct Text<W> {
    out: W,
    colour: bool,
}

impl<W: Write> Text<W> {
    pub(crate) fn new(out: W, colour: bool) -> Self {
        Self { out, colour }
    }
}

impl<W: Write> Sink for Text<W> {
    fn write(&mut self, record: &Record<'_>) -> io::Result<()> {
        let v = record.verdict;
        let (start, end) = if self.colour { (ansi(v.label), "\x1b[0m") } else { ("", "") };
        writeln!(self.out, "{start}{:<12}{end}  {:>9}  {}", v.label, confidence(v), escape(&v.path))?;
        let mut line = |text: &str| writeln!(self.out, "{:25}{}", "", escape(text));
        for reason in v.reasons.iter().take(REASONS) {
            line(&reason.text)?;
        }
        if v.reasons.is_empty()
            && let Some(abstention) = &v.abstention
        {
            line(&abstention.message)?;
        }
        if let Some(error) = &v.error {
            line(&error.message)?;
        }
        for warning in &v.warnings {
            line(&format!("note: {}", warning.message))?;
        }
        if let Some(path) = record.artifact {
            line(&format!("see {}", candor::path_text(path)))?;
        }
        self.out.flush()
    }

    fn finish(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Probability of machine-made; the ends are cut off, because no detector is certain.
fn confidence(verdict: &Verdict) -> String {
    if verdict.label == Label::AiGenerated {
        // The label comes from the file's own statement, which has no probability.
        return "declared".to_owned();
    }
    match verdict.confidence {
        Some(c) => format!("AI {:>4.1} %", (100.0 * c).clamp(0.1, 99.9)),
        None => "-".to_owned(),
    }
}

fn ansi(label: Label) -> &'static str {
    match label {
        Label::AiGenerated | Label::Suspected => "\x1b[1;31m",
        Label::Inconclusive => "\x1b[33m",
        // Not green: nothing found is no proof of anything.
        Label::NoSign => "\x1b[2m",
        Label::Error => "\x1b[35m",
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::written;
    use super::*;

    #[test]
    fn results_are_aligned_and_escaped() {
        let mut out = Vec::new();
        written(|out| Text::new(out, false), &mut out);
        insta::assert_snapshot!(String::from_utf8(out).unwrap());
    }

    #[test]
    fn colours_surround_the_label_only() {
        let mut out = Vec::new();
        written(|out| Text::new(out, true), &mut out);
        let text = String::from_utf8(out).unwrap();
        assert!(
            text.starts_with("\x1b[1;31msuspected   \x1b[0m  AI 98.8 %  holiday/\\x1b[31mcat\\n.jpg\n"),
            "{text:?}"
        );
    }
}

//! Ways to write results.

mod arrow;
mod csv;
mod json;
mod row;
mod text;

use std::io;
use std::path::Path;

use candor::Verdict;

pub(crate) use arrow::Arrow;
pub(crate) use csv::Csv;
pub(crate) use json::Json;
pub(crate) use row::{COLUMNS, Cell, Type, cells};
pub(crate) use text::Text;

/// One result.
pub(crate) struct Record<'a> {
    pub(crate) verdict: &'a Verdict,
    /// Where the explanation was written, if there is one.
    pub(crate) artifact: Option<&'a Path>,
}

/// Takes results one by one; each is flushed, so that a reader sees it when its turn comes.
pub(crate) trait Sink {
    fn write(&mut self, record: &Record<'_>) -> io::Result<()>;

    /// Writes what follows the last result.
    fn finish(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod samples {
    use candor::{Label, MediaFacts, ModelId, Note, Reason, Registry, Scanner, Signal, SignalKind, Verdict};

    /// A suspected picture, an abstention and an error, with hostile names.
    pub(crate) fn verdicts() -> Vec<Verdict> {
        let scanner = Scanner::builder().registry(Registry::default()).build().unwrap();
        let blank = |name: &str| {
            let mut v = scanner.scan_bytes(name, b"").verdict;
            v.elapsed_ms = 1.5;
            "0.0.0".clone_into(&mut v.version);
            v
        };
        let mut suspected = blank("holiday/\u{1b}[31mcat\n.jpg");
        suspected.label = Label::Suspected;
        suspected.error = None;
        suspected.media = Some(MediaFacts::Image { format: "png".to_owned(), width: 64, height: 32 });
        (suspected.confidence, suspected.llr, suspected.p_value) = (Some(0.9875), Some(4.375), Some(0.008));
        suspected.models = vec![ModelId { id: "image/fake".to_owned(), sha256: "00".repeat(32) }];
        suspected.signals = vec![Signal {
            id: "image/fake".to_owned(),
            kind: SignalKind::Learned,
            score: Some(2.5),
            llr: Some(4.375),
            detail: std::collections::BTreeMap::new(),
            regions: Vec::new(),
        }];
        let reason = |text: &str| Reason { signal: "image/fake".to_owned(), text: text.to_owned() };
        suspected.reasons = ["first reason", "second reason", "third reason"].map(reason).into();
        suspected.warnings =
            vec![Note::new("extension-mismatch", "the name ends in .jpg, but the content is png")];

        let mut small = blank("=cmd|' /C calc'!A0");
        small.label = Label::Inconclusive;
        small.error = None;
        small.abstention = Some(Note::new("too-small", "too small: 48x48 px, at least 96 needed"));
        small.reasons = vec![reason("too small: 48x48 px, at least 96 needed")];

        let mut genuine = blank("b.png");
        genuine.label = Label::NoSign;
        genuine.error = None;
        (genuine.confidence, genuine.llr, genuine.p_value) = (Some(0.0001), Some(-9.25), Some(1.0));
        vec![suspected, small, genuine, blank("empty")]
    }

    /// What a sink makes of [`verdicts`].
    pub(crate) fn written<'a, S: super::Sink + 'a>(
        sink: impl FnOnce(&'a mut Vec<u8>) -> S,
        out: &'a mut Vec<u8>,
    ) {
        let mut sink = sink(out);
        for (i, verdict) in verdicts().iter().enumerate() {
            let artifact = (i == 0).then_some(std::path::Path::new("out/cat.heatmap.png"));
            sink.write(&super::Record { verdict, artifact }).unwrap();
        }
        sink.finish().unwrap();
    }
}

//! What a file declares about its own origin, read offline.
//!
//! [`inspect`] walks the structure of a file (it never searches bytes for words) and returns what the file says:
//! Content Credentials, IPTC, XMP and EXIF marks, generation parameters, China's AIGC label, marks in plain text, hidden
//! messages. [`watermark`] looks for invisible watermarks in pixels, [`write`] writes the AIGC label.
//!
//! Two rules hold for every statement. That a file says nothing never means that a person made it. And whatever is not
//! signed can be forged or removed: a [`Statement`] is what the *file says*, with a [`Grade`] for its weight.
//!
//! ```
//! use candor_provenance::{Limits, Trust, inspect};
//!
//! let report = inspect(b"The bridge opened in 1932 citeturn0search0.", &Limits::default(), &Trust::default());
//! assert_eq!(report.container, "text");
//! assert_eq!(report.ai().map(|s| s.id.as_str()), Some("text/chatgpt-citation"));
//! ```
#![cfg_attr(not(test), warn(clippy::indexing_slicing))]

mod bytes;
mod cbor;
mod container;
mod error;
mod json;
mod marks;
mod meta;
mod report;
mod sink;
mod trust;
pub mod watermark;
pub mod write;

use container::{Kind, page};
pub use error::{Error, Result};
pub use report::{
    Field, Grade, Integrity, Limits, Location, Manifest, Report, Says, Statement, Warning, WarningCode,
};
use sink::Sink;
pub use trust::{Anchor, Trust};

/// Reads what a file declares about itself.
///
/// The container is known from the content, never from a name. Nothing is fetched, no entity is expanded, and whatever
/// the file claims is bounded by `limits`; damage gives a warning, never an error. Signatures of Content Credentials count as
/// proof when their issuer is in `trust`. Whether a certificate is out of date is seen from the clock of the machine.
pub fn inspect(bytes: &[u8], limits: &Limits, trust: &Trust) -> Report {
    let kind = Kind::of(bytes);
    let mut sink = Sink::new(limits);
    let mut statements = Vec::new();
    kind.read(bytes, &mut sink);
    if matches!(kind, Kind::Text | Kind::Html) {
        read_text(bytes, kind, &mut sink, &mut statements);
    }
    let lineage = marks::c2pa::read(bytes, kind.name(), trust, &mut sink, &mut statements);
    marks::iptc::read(&mut sink, &mut statements);
    marks::aigc::read(&mut sink, &mut statements);
    marks::params::read(&sink, &mut statements);
    marks::sound::read(&sink, &mut statements);
    if kind == Kind::Png {
        marks::stealth::read(bytes, &mut sink, &mut statements);
    }
    // Copies of one mark in several places say it once.
    let mut kept: Vec<Statement> = Vec::new();
    for statement in statements {
        let same = kept.iter().any(|k| {
            k.id == statement.id
                && k.says == statement.says
                && k.generator == statement.generator
                && k.grade >= statement.grade
                && statement.id != "china-aigc"
        });
        if !same && kept.len() < limits.max_statements {
            kept.push(statement);
        }
    }
    kept.sort_by_key(|s| (std::cmp::Reverse(s.grade), !s.says.is_ai()));
    for statement in &mut kept {
        statement.raw.truncate(32);
        for field in &mut statement.raw {
            field.value = bytes::clip(&field.value, limits.max_raw).to_owned();
        }
        if let Some(generator) = &mut statement.generator {
            *generator = bytes::clip(generator, limits.max_raw).to_owned();
        }
        statement.location.place = bytes::clip(&statement.location.place, limits.max_raw).to_owned();
    }
    Report { container: kind.name().to_owned(), statements: kept, lineage, warnings: sink.warnings }
}

fn read_text(bytes: &[u8], kind: Kind, sink: &mut Sink<'_>, out: &mut Vec<Statement>) {
    let cut = bytes.get(..sink.limits.max_text).unwrap_or(bytes);
    if cut.len() < bytes.len() {
        sink.warn(WarningCode::LimitReached, "only the first part of the text is searched");
    }
    let Some(text) = page::decode(cut) else { return };
    if kind == Kind::Html {
        let prose = page::html(&text, sink);
        marks::words::read(&prose, &text, sink, out);
    } else {
        page::front_matter(&text, sink);
        let prose = marks::words::prose(&text);
        marks::words::read(&prose, &prose, sink, out);
    }
}

/// Looks for a message in the lowest bits of the pixels of a lossless picture ("stealth pnginfo").
///
/// [`inspect`] does this for PNG itself. `rgba` is `width * height * 4` bytes, row by row, as decoded and not
/// multiplied with alpha.
pub fn stealth(rgba: &[u8], width: usize, height: usize, limits: &Limits) -> Option<Statement> {
    marks::stealth::from_rgba(rgba, width, height, limits)
}

#[cfg(test)]
mod tests;

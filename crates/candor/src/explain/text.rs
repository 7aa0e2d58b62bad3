//! A text with each sentence coloured by its score.

use std::fmt::{self, Write};
use std::ops::Range;

use candor_features::Document;

use super::markup::escape;
use super::{base_name, headline, scale_limit};
use crate::Verdict;

/// Steps of colour towards either side.
const STEPS: usize = 5;

// Orange against blue holds for every common form of colour blindness; the text stays black on all of them.
const STYLE: &str = "\
body{font:16px/1.6 sans-serif;max-width:50em;margin:2em auto;padding:0 1em;color:#111;background:#fff}
h1{font-size:1.2em;margin-bottom:0;overflow-wrap:anywhere}
main{white-space:pre-wrap;overflow-wrap:anywhere;unicode-bidi:plaintext}
span{border-radius:3px}
.legend span{padding:0 .6em}
.m1{background:#fff0e0}.m2{background:#fee0bf}.m3{background:#fdcc96}.m4{background:#fdb566}.m5{background:#f99b3d}
.g1{background:#e8f1fa}.g2{background:#cfe2f4}.g3{background:#b2d0ec}.g4{background:#92bbe2}.g5{background:#72a6d8}
";

/// A self-contained HTML page of the document. A range that does not lie on characters is left uncoloured.
pub(super) fn draw(
    verdict: &Verdict,
    document: &Document,
    ranges: &[Range<usize>],
    evidence: &[f64],
) -> String {
    let mut html = String::with_capacity(2 * document.text.len());
    // Writing to a string does not fail.
    let _ = write_html(&mut html, verdict, &document.text, ranges, evidence);
    html
}

fn write_html(
    html: &mut String,
    verdict: &Verdict,
    text: &str,
    ranges: &[Range<usize>],
    evidence: &[f64],
) -> fmt::Result {
    let limit = scale_limit(evidence);
    let name = escape(base_name(&verdict.path));
    writeln!(html, "<!doctype html>\n<html>\n<head>\n<meta charset=\"utf-8\">")?;
    writeln!(
        html,
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
    )?;
    writeln!(html, "<title>{name}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>")?;
    writeln!(html, "<h1>{name}</h1>\n<p>{}</p>", escape(&headline(verdict)))?;
    write!(html, "<p class=\"legend\">genuine ")?;
    for step in -(STEPS as i32)..=STEPS as i32 {
        let value = limit * f64::from(step) / STEPS as f64;
        let text = if step == 0 { "0".to_owned() } else { format!("{value:+.1}") };
        write!(html, "<span class=\"{}\">{text}</span>", class(value, limit))?;
    }
    writeln!(html, " machine-made</p>")?;
    writeln!(
        html,
        "<p>Each sentence is coloured by what it adds to the evidence of the whole (natural-log likelihood \
         ratio). Point at a sentence for its figure.</p>"
    )?;
    write!(html, "<main>")?;
    let mut done = 0;
    for (range, &e) in ranges.iter().zip(evidence) {
        let Some((before, sentence)) = text.get(done..range.start).zip(text.get(range.clone())) else {
            continue;
        };
        write!(html, "{}", escape(before))?;
        write!(html, "<span class=\"{}\" title=\"{e:+.3}\">{}</span>", class(e, limit), escape(sentence))?;
        done = range.end;
    }
    writeln!(html, "{}</main>\n</body>\n</html>", escape(text.get(done..).unwrap_or_default()))
}

/// `m1` to `m5` towards machine-made, `g1` to `g5` towards genuine, `n` for nothing worth a colour.
fn class(evidence: f64, limit: f64) -> String {
    let step = (evidence.abs() / limit * STEPS as f64).round().min(STEPS as f64) as usize;
    match step {
        0 => "n".to_owned(),
        _ if evidence > 0.0 => format!("m{step}"),
        _ => format!("g{step}"),
    }
}

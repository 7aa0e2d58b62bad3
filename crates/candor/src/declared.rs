//! What a file declares about its own origin, weighed beside what the detectors found.
//!
//! The rules: a declaration never changes a score. A statement that the whole was made by generative AI, machine-written and
//! specific to a generator or signed, gives the label `ai-generated`, with the words of what the file states. Any other
//! statement about generative AI that is more than a habit of writing keeps a file from being passed over as `no-sign`.
//! Statements that the file contradicts, and those about cameras or people, are reported and change nothing.

use std::collections::BTreeMap;

use candor_features::Media;
use candor_models::Perth;
use candor_provenance::{
    Grade, Integrity, Limits, Report, Says, Statement, Trust, WarningCode, inspect, watermark,
};
use serde::Serialize;
use serde_json::Value;

use crate::{ErrorCode, Label, Note, Reason, Signal, SignalKind, Verdict, scanner::Scan};

/// What a public watermark in the pixels of a picture or in the samples of a recording says.
pub fn invisible(media: &Media) -> Option<Statement> {
    match media {
        Media::Image(pixels) => {
            watermark::statement(&watermark::dwt_dct(&pixels.rgb, pixels.width, pixels.height)?)
        }
        Media::Audio(wave) => watermark::perth_statement(Perth::embedded().ok()?.confidence(wave)?),
        Media::Text(_) => None,
    }
}

/// Reads what the file declares and adds it to the verdict.
pub(crate) fn add(scan: &mut Scan, bytes: &[u8], trust: &Trust) {
    let Report { mut statements, warnings, lineage, .. } = inspect(bytes, &Limits::default(), trust);
    statements.extend(scan.media.as_ref().and_then(invisible));
    statements.sort_by_key(|s| std::cmp::Reverse(s.grade));
    let verdict = &mut scan.verdict;
    for warning in warnings {
        if matches!(warning.code, WarningCode::Contradiction | WarningCode::Remote) {
            verdict.warnings.push(Note::of(warning.code, &warning.message));
        }
    }
    let shown: Vec<Statement> = statements.into_iter().filter(is_shown).collect();
    let whole = shown.iter().find(|s| holds(s) && s.says == Says::Ai && s.grade >= Grade::Strong);
    let part = shown.iter().find(|s| holds(s) && s.says.is_ai() && s.grade >= Grade::Medium);
    if let Some(statement) = whole {
        confirm(verdict, statement);
    } else if let Some(statement) = part
        && verdict.label == Label::NoSign
    {
        verdict.label = Label::Inconclusive;
        verdict.abstention = Some(Note::new(
            Note::DECLARED,
            format!("the detectors found nothing, but {}", lower_first(&statement.words)),
        ));
    }
    // What weighs most comes first, before the detectors' reasons.
    let reasons = shown.iter().map(|s| Reason { signal: s.id.clone(), text: words(s) });
    verdict.reasons.splice(0..0, reasons);
    verdict.signals.extend(shown.iter().map(signal));
    if !lineage.is_empty() {
        let told = serde_json::to_value(lineage).unwrap_or(Value::Null);
        verdict.signals.push(Signal {
            id: Signal::LINEAGE.to_owned(),
            kind: SignalKind::Declared,
            score: None,
            llr: None,
            detail: BTreeMap::from([("manifests".to_owned(), told)]),
            regions: Vec::new(),
        });
    }
}

/// The label that only a declaration gives; also to a file whose content could not be judged.
fn confirm(verdict: &mut Verdict, statement: &Statement) {
    if let Some(failure) = &verdict.error {
        let unread = [ErrorCode::Unsupported, ErrorCode::UnknownKind, ErrorCode::Decode, ErrorCode::Limit];
        if !unread.contains(&failure.code) {
            return;
        }
        let message = format!("the content was not judged: {}", failure.message);
        verdict.warnings.push(Note::new(Note::NOT_JUDGED, message));
        verdict.error = None;
    }
    debug_assert!(statement.says == Says::Ai, "only a statement about the whole confirms");
    verdict.abstention = None;
    verdict.label = Label::AiGenerated;
}

/// Whether nothing in the file speaks against the statement.
fn holds(statement: &Statement) -> bool {
    statement.integrity != Integrity::Broken
}

fn is_shown(statement: &Statement) -> bool {
    statement.says.is_ai() || matches!(statement.says, Says::Capture | Says::Human) || !holds(statement)
}

/// The statement in words, with what it weighs.
fn words(statement: &Statement) -> String {
    let weight = match (holds(statement), statement.grade) {
        (false, _) => "the file was changed afterwards, so this proves nothing",
        (true, Grade::Proof) => "its signature holds",
        (true, Grade::Strong) if statement.integrity == Integrity::Signed => {
            "signed, but by whom is not confirmed: anyone can sign"
        }
        (true, Grade::Strong) => "such a mark is written by programs, but anyone can forge or remove it",
        (true, Grade::Medium) => "not confirmed",
        (true, Grade::Weak) => "people leave this too",
    };
    format!("{} ({weight})", statement.words.trim_end_matches('.'))
}

fn lower_first(words: &str) -> String {
    let mut chars = words.trim_end_matches('.').chars();
    chars.next().map(|c| c.to_lowercase().collect::<String>() + chars.as_str()).unwrap_or_default()
}

fn signal(statement: &Statement) -> Signal {
    fn plain(value: impl Serialize) -> Value {
        serde_json::to_value(value).unwrap_or(Value::Null)
    }
    let mut detail = BTreeMap::from([
        ("grade".to_owned(), plain(statement.grade)),
        ("says".to_owned(), plain(statement.says)),
        ("integrity".to_owned(), plain(statement.integrity)),
        ("place".to_owned(), plain(&statement.location.place)),
    ]);
    if let Some(generator) = &statement.generator {
        detail.insert("generator".to_owned(), plain(generator));
    }
    let watermark = statement.id.starts_with("watermark/");
    Signal {
        id: statement.id.clone(),
        kind: if watermark { SignalKind::Watermark } else { SignalKind::Declared },
        score: None,
        llr: None,
        detail,
        regions: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use candor_provenance::Location;

    use super::*;
    use crate::{ScanOptions, Scanner};

    fn statement(says: Says, grade: Grade, integrity: Integrity) -> Statement {
        Statement {
            id: "test/mark".into(),
            grade,
            says,
            integrity,
            generator: None,
            raw: Vec::new(),
            location: Location { place: "here".into(), offset: None },
            words: "The file states something.".into(),
        }
    }

    fn scanned(text: &str, declarations: bool) -> Verdict {
        let options = ScanOptions { declarations, ..ScanOptions::default() };
        let scanner = Scanner::builder().options(options).build().unwrap();
        scanner.scan_bytes("note.txt", text.as_bytes()).verdict
    }

    /// Long enough to be judged, and by a person.
    fn prose() -> &'static str {
        include_str!("../../../datasets/samples/baltimore.txt")
    }

    #[test]
    fn a_declaration_gives_the_label_and_leaves_the_score_alone() {
        let marked =
            format!("---\nAIGC: '{{\"Label\":\"1\",\"ContentProducer\":\"001\"}}'\n---\n{}", prose());
        let (with, without) = (scanned(&marked, true), scanned(&marked, false));
        assert_eq!(with.label, Label::AiGenerated, "{with:?}");
        assert_ne!(without.label, Label::AiGenerated);
        assert_eq!((with.llr, with.p_value), (without.llr, without.p_value));
        assert!(with.reasons[0].text.starts_with("The file carries a Chinese AIGC label that states"));
        let signal = with.signals.iter().find(|s| s.kind == SignalKind::Declared).unwrap();
        assert_eq!(signal.detail["grade"], "strong");
        // What the file only suspects is not confirmed.
        let suspected = scanned(&marked.replace("\"1\"", "\"3\""), true);
        assert_eq!(suspected.label, Label::Inconclusive, "{suspected:?}");
        assert_eq!(suspected.abstention.unwrap().code, Note::DECLARED);
    }

    #[test]
    fn content_that_is_not_read_can_still_declare_itself() {
        // A FLAC file with a label in its comments and no sound in it.
        let comment = b"AIGC={\"Label\":\"1\",\"ContentProducer\":\"001\"}";
        let mut block = vec![0, 0, 0, 0, 1, 0, 0, 0];
        block.extend((comment.len() as u32).to_le_bytes());
        block.extend(comment);
        let mut file = b"fLaC\0\0\0\x22".to_vec();
        file.extend([16, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0x0a, 0xc4, 0x42, 0xf0, 0, 0, 0, 0]);
        file.extend([0; 16]);
        file.extend([0x84, 0, 0, block.len() as u8]);
        file.extend(block);
        let verdict = Scanner::new().unwrap().scan_bytes("song.flac", &file).verdict;
        assert_eq!(verdict.label, Label::AiGenerated, "{verdict:?}");
        assert!(verdict.error.is_none() && verdict.llr.is_none());
    }

    #[test]
    fn only_what_holds_and_speaks_of_the_whole_confirms() {
        let blank = || Scanner::new().unwrap().scan_bytes("a", prose().as_bytes()).verdict;
        for (says, grade, integrity, confirmed) in [
            (Says::Ai, Grade::Strong, Integrity::Unchecked, true),
            (Says::Ai, Grade::Proof, Integrity::Signed, true),
            (Says::Ai, Grade::Strong, Integrity::Broken, false),
            (Says::Ai, Grade::Medium, Integrity::HashesMatch, false),
            (Says::AiEdited, Grade::Proof, Integrity::Signed, false),
            (Says::Capture, Grade::Proof, Integrity::Signed, false),
        ] {
            let s = statement(says, grade, integrity);
            let whole = holds(&s) && s.says == Says::Ai && s.grade >= Grade::Strong;
            assert_eq!(whole, confirmed, "{s:?}");
            assert!(is_shown(&s));
            if confirmed {
                let mut verdict = blank();
                confirm(&mut verdict, &s);
                assert_eq!(verdict.label, Label::AiGenerated);
            }
        }
    }
}

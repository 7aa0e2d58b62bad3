//! What the collected metadata says.

pub(crate) mod aigc;
pub(crate) mod c2pa;
pub(crate) mod iptc;
pub(crate) mod params;
pub(crate) mod sound;
pub(crate) mod stealth;
pub(crate) mod words;

use crate::report::{Field, Grade, Integrity, Location, Says, Statement};

/// A statement under construction.
#[derive(Debug)]
pub(crate) struct Draft(pub(crate) Statement);

impl Draft {
    pub(crate) fn new(
        id: &str,
        grade: Grade,
        says: Says,
        location: &Location,
        words: impl Into<String>,
    ) -> Self {
        Self(Statement {
            id: id.to_owned(),
            grade,
            says,
            integrity: Integrity::Unchecked,
            generator: None,
            raw: Vec::new(),
            location: location.clone(),
            words: words.into(),
        })
    }

    pub(crate) fn generator(mut self, name: impl Into<String>) -> Self {
        self.0.generator = Some(name.into());
        self
    }

    pub(crate) fn field(mut self, key: &str, value: impl Into<String>) -> Self {
        self.0.raw.push(Field { key: key.to_owned(), value: value.into() });
        self
    }

    pub(crate) fn done(self) -> Statement {
        self.0
    }
}

/// What a value of the IPTC vocabulary "Digital Source Type" says (IPTC `NewsCodes`, and two of C2PA's own).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Source {
    pub(crate) code: &'static str,
    pub(crate) says: Says,
    pub(crate) words: &'static str,
}

#[rustfmt::skip]
const SOURCES: &[Source] = &[
    Source { code: "trainedAlgorithmicMedia", says: Says::Ai, words: "was made by a generative model" },
    Source { code: "trainedAlgorithmicData", says: Says::Ai, words: "is data made by a generative model" },
    Source { code: "compositeWithTrainedAlgorithmicMedia", says: Says::AiEdited, words: "was made or altered in part by a generative model" },
    Source { code: "compositeSynthetic", says: Says::AiEdited, words: "is a composite with synthetic parts" },
    Source { code: "algorithmicMedia", says: Says::Procedural, words: "was made by an algorithm that was not trained" },
    Source { code: "virtualRecording", says: Says::Procedural, words: "is a recording of a virtual event" },
    Source { code: "dataDrivenMedia", says: Says::Procedural, words: "was made from data" },
    Source { code: "composite", says: Says::Other, words: "is a composite of several elements" },
    Source { code: "compositeCapture", says: Says::Capture, words: "is a composite of captured elements" },
    Source { code: "digitalArt", says: Says::Other, words: "is digital art" },
    Source { code: "screenCapture", says: Says::Other, words: "is a capture of a screen" },
    Source { code: "digitalCapture", says: Says::Capture, words: "was captured by a digital device" },
    Source { code: "computationalCapture", says: Says::Capture, words: "was captured by a digital device from several frames" },
    Source { code: "negativeFilm", says: Says::Capture, words: "was digitised from a negative" },
    Source { code: "positiveFilm", says: Says::Capture, words: "was digitised from a positive" },
    Source { code: "print", says: Says::Capture, words: "was digitised from a print" },
    Source { code: "humanEdits", says: Says::Human, words: "was edited by a person without generative tools" },
    Source { code: "minorHumanEdits", says: Says::Human, words: "was edited slightly by a person" },
    Source { code: "digitalCreation", says: Says::Human, words: "was created by a person with digital tools" },
    Source { code: "softwareImage", says: Says::Other, words: "was made with software" },
    Source { code: "algorithmicallyEnhanced", says: Says::Other, words: "was enhanced by an algorithm" },
    Source { code: "empty", says: Says::Other, words: "began empty" },
];

/// Looks up a digital source type by the last segment of its address.
pub(crate) fn source_type(value: &str) -> Option<Source> {
    let code = value.trim().trim_end_matches('/').rsplit(['/', '#', ':']).next()?;
    SOURCES.iter().find(|s| s.code.eq_ignore_ascii_case(code)).copied()
}

/// Whether `text` holds `word` as whole words, whatever the case.
pub(crate) fn has_word(text: &str, word: &str) -> bool {
    let (text, word) = (text.to_lowercase(), word.to_lowercase());
    let mut from = 0;
    while let Some(at) = text.get(from..).and_then(|t| t.find(&word)) {
        let start = from + at;
        let end = start + word.len();
        let edge = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric());
        let before = text.get(..start).and_then(|t| t.chars().next_back());
        let after = text.get(end..).and_then(|t| t.chars().next());
        if edge(before) && edge(after) {
            return true;
        }
        from = end;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn source_types_by_their_last_segment() {
        let of = |v: &str| source_type(v).map(|s| s.says);
        assert_eq!(
            of("https://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"),
            Some(Says::Ai)
        );
        assert_eq!(of("http://c2pa.org/digitalsourcetype/trainedAlgorithmicData/"), Some(Says::Ai));
        assert_eq!(of("algorithmicMedia"), Some(Says::Procedural));
        assert_eq!(of("http://example.org/trained"), None);
    }

    #[test]
    fn words_are_whole() {
        assert!(has_word("Made with NovelAI.", "novelai"));
        assert!(!has_word("audio", "udio"));
    }
}

//! A text with the map to what it was made from.

use std::ops::Range;

use unicode_normalization::{IsNormalized, UnicodeNormalization, char::canonical_combining_class};

use crate::OffsetMap;

/// A text under construction with the map to its source.
#[derive(Debug, Clone)]
pub(super) struct Mapped {
    /// What was written so far.
    pub(super) text: String,
    /// From bytes of `text` to bytes of the source.
    pub(super) map: OffsetMap,
}

/// A normalisation form of Unicode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Canonical composition.
    Nfc,
    /// Compatibility composition.
    Nfkc,
}

impl Mapped {
    /// An empty text made from a source of `source_len` bytes.
    pub(super) fn new(source_len: usize) -> Self {
        Self { text: String::with_capacity(source_len), map: OffsetMap::new(source_len) }
    }

    /// Appends the source's bytes `range`; nothing when the range is empty or cuts a character.
    pub(super) fn copy(&mut self, source: &str, range: Range<usize>) {
        let at = range.start;
        if let Some(run) = source.get(range).filter(|run| !run.is_empty()) {
            self.map.push(self.text.len(), at, true);
            self.text.push_str(run);
        }
    }

    /// Appends a character that stands for the source from byte `at` on.
    pub(super) fn put(&mut self, c: char, at: usize) {
        self.map.push(self.text.len(), at, false);
        self.text.push(c);
    }

    /// Says where the source goes on after the last character, so that its range ends there.
    pub(super) fn mark(&mut self, at: usize) {
        self.map.push(self.text.len(), at, true);
    }

    /// The same text seen from the source of the text that it was made from.
    pub(super) fn through(self, inner: &OffsetMap) -> Self {
        Self { map: self.map.through(inner), text: self.text }
    }
}

/// Whether `text` may be taken as normalised without looking closer.
fn is_normal(chars: impl Iterator<Item = char>, form: Form) -> bool {
    let quick = match form {
        Form::Nfc => unicode_normalization::is_nfc_quick(chars),
        Form::Nfkc => unicode_normalization::is_nfkc_quick(chars),
    };
    quick == IsNormalized::Yes
}

/// Normalises a text; `None` if it already is in that form.
///
/// Works on runs that start with a character which never combines with what is before it: the forms of such runs
/// can be joined (Unicode Standard Annex 15, section 9), so each has its own place in the map.
pub(super) fn compose(text: &str, form: Form) -> Option<Mapped> {
    if text.is_ascii() || is_normal(text.chars(), form) {
        return None;
    }
    let mut out = Mapped::new(text.len());
    // Runs that stay as they are wait to be copied together.
    let (mut waiting, mut start) = (0, 0);
    let mut close = |range: Range<usize>| {
        let Some(run) = text.get(range.clone()) else { return };
        if run.len() == 1 || is_normal(run.chars(), form) {
            return;
        }
        out.copy(text, waiting..range.start);
        waiting = range.end;
        match form {
            Form::Nfc => run.nfc().for_each(|c| out.put(c, range.start)),
            Form::Nfkc => run.nfkc().for_each(|c| out.put(c, range.start)),
        }
    };
    // An ASCII character stands alone: only the last one before others can be changed by them.
    let mut ascii_from = 0;
    let others = |from: usize| text.as_bytes().get(from..)?.iter().position(|b| !b.is_ascii());
    while let Some(ascii) = others(ascii_from) {
        let mut at = ascii_from + ascii;
        start = if ascii > 0 { at - 1 } else { start };
        for c in text.get(at..).unwrap_or_default().chars().take_while(|c| !c.is_ascii()) {
            if at > start && stands_alone(c) {
                close(start..at);
                start = at;
            }
            at += c.len_utf8();
        }
        close(start..at);
        (start, ascii_from) = (at, at);
    }
    out.copy(text, waiting..text.len());
    Some(out)
}

/// Whether the character, mapped or not, never joins with the one before it.
fn stands_alone(c: char) -> bool {
    let starter = |c: char| canonical_combining_class(c) == 0 && is_normal(std::iter::once(c), Form::Nfc);
    c.is_ascii() || std::iter::once(c).nfkd().next().is_some_and(starter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn composes_run_by_run() {
        let text = "cafe\u{301} ﬁx \u{1100}\u{1161} ｱﾞ e\u{301}\u{323}";
        for form in [Form::Nfc, Form::Nfkc] {
            let whole: String = match form {
                Form::Nfc => text.nfc().collect(),
                Form::Nfkc => text.nfkc().collect(),
            };
            let made = compose(text, form).unwrap();
            assert_eq!(made.text, whole);
            // "é" comes from three bytes, the space behind it from one
            assert_eq!(made.map.source_range(3..5), 3..6);
            assert_eq!(made.map.source_range(5..6), 6..7);
        }
        assert!(compose("plain", Form::Nfkc).is_none());
    }
}

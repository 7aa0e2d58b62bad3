//! Paragraphs, sentences and words.

use std::ops::Range;

use super::normalise::is_cjk;

/// Byte ranges of the parts of a text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Segmentation {
    /// Paragraphs, in order; what lies between newlines, blank ones left out.
    pub paragraphs: Vec<Range<usize>>,
    /// Sentences, in order, without the white space around them; together they hold every other character.
    pub sentences: Vec<Range<usize>>,
    /// Words, in order; each lies in one sentence.
    pub words: Vec<Word>,
}

/// A word of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Word {
    /// First byte.
    pub start: u32,
    /// Byte after the last.
    pub end: u32,
    /// What it is made of.
    pub kind: WordKind,
}

/// What a word is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WordKind {
    /// Letters of a script that puts spaces between words.
    Letters,
    /// A single ideograph or kana.
    Cjk,
    /// Starts with a digit.
    Number,
}

impl Word {
    /// Byte range.
    pub fn range(&self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

impl Segmentation {
    /// Indices of the words that start in a byte range.
    pub fn words_in(&self, range: &Range<usize>) -> Range<usize> {
        let from = self.words.partition_point(|w| (w.start as usize) < range.start);
        from..self.words.partition_point(|w| (w.start as usize) < range.end).max(from)
    }
}

/// Finds the paragraphs, sentences and words of a text. Offsets are 32 bits wide: what is beyond 4 GiB is left out.
pub fn segment(text: &str) -> Segmentation {
    let mut out = Segmentation::default();
    let text = if u32::try_from(text.len()).is_ok() { text } else { "" };
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let start = at + (line.len() - line.trim_start().len());
        let end = at + line.trim_end().len();
        at += line.len();
        if start < end {
            out.paragraphs.push(start..end);
            sentences(text, start..end, &mut out.sentences);
        }
    }
    words(text, &mut out.words);
    out
}

/// Abbreviations whose full stop ends no sentence, lower case, sorted.
const ABBREVIATIONS: &[&str] = &[
    "al", "approx", "apr", "aug", "ave", "bros", "capt", "cf", "ch", "co", "col", "dec", "dept", "dr", "ed",
    "eds", "eq", "est", "feb", "fig", "figs", "gen", "gov", "inc", "jan", "jr", "lt", "ltd", "mr", "mrs",
    "ms", "mt", "nov", "oct", "pp", "prof", "rev", "sec", "sen", "sept", "sgt", "sr", "st", "vs",
];

/// Splits a paragraph into sentences.
fn sentences(text: &str, paragraph: Range<usize>, out: &mut Vec<Range<usize>>) {
    let Some(body) = text.get(paragraph.clone()) else { return };
    let base = paragraph.start;
    let mut start = 0;
    let mut chars = body.char_indices().peekable();
    // Start of the word before, and the character before.
    let (mut word, mut previous) = (0, ' ');
    let mut push = |range: Range<usize>| {
        let Some(piece) = body.get(range.clone()) else { return };
        let from = range.start + (piece.len() - piece.trim_start().len());
        let to = range.start + piece.trim_end().len();
        if from < to {
            out.push(base + from..base + to);
        }
    };
    while let Some((at, c)) = chars.next() {
        if c.is_whitespace() || matches!(c, '(' | '"' | '\'' | '[' | '-') {
            word = at + c.len_utf8();
        }
        let before = std::mem::replace(&mut previous, c);
        let full = matches!(c, '。' | '！' | '？' | '；') || (c == ';' && is_cjk(before));
        if !(full || matches!(c, '.' | '!' | '?' | '…')) {
            continue;
        }
        // More marks, then what closes a quotation or a bracket.
        let mut marks = 1;
        let mut end = at + c.len_utf8();
        while let Some((i, m)) =
            chars.next_if(|(_, m)| matches!(m, '.' | '!' | '?' | '…' | '。' | '！' | '？'))
        {
            marks += 1;
            end = i + m.len_utf8();
        }
        while let Some((i, m)) = chars.next_if(|(_, m)| {
            matches!(m, '"' | '\'' | ')' | ']' | '”' | '’' | '」' | '』' | '）' | '】' | '》')
        }) {
            end = i + m.len_utf8();
            previous = m;
        }
        let next = chars.peek().map(|(_, n)| *n);
        let ends = match next {
            None => true,
            Some(_) if full || is_cjk(before) => true,
            Some(n) if is_cjk(n) => true,
            Some(n) if !n.is_whitespace() => false,
            Some(_) if c == '.' && marks == 1 && is_abbreviation(body.get(word..at).unwrap_or_default()) => {
                false
            }
            // A mark before a small letter ends nothing: an ellipsis, a quoted question, a name such as Yahoo!
            Some(_) => {
                let rest = body.get(end..).unwrap_or_default();
                !rest.chars().find(|n| !n.is_whitespace()).is_some_and(char::is_lowercase)
            }
        };
        if ends {
            push(start..end);
            start = end;
            word = end;
        }
    }
    push(start..body.len());
}

/// Whether the word before a full stop is an abbreviation, an initial or has full stops inside.
fn is_abbreviation(word: &str) -> bool {
    let mut chars = word.chars();
    match (chars.next(), chars.next()) {
        (Some(only), None) => only.is_alphabetic() && only != 'I' && !is_cjk(only),
        (Some(_), Some(_)) if word.len() <= 6 => {
            let inner = word.contains('.') && word.split('.').all(|part| part.len() == 1);
            let mut lower = [0_u8; 6];
            let lower = lower.get_mut(..word.len()).unwrap_or_default();
            lower.copy_from_slice(word.as_bytes());
            lower.make_ascii_lowercase();
            inner || ABBREVIATIONS.binary_search_by(|a| a.as_bytes().cmp(lower)).is_ok()
        }
        _ => false,
    }
}

/// Splits a text into words: runs of letters, marks and digits, with apostrophes inside words and points and commas
/// inside numbers; each ideograph or kana is a word.
fn words(text: &str, out: &mut Vec<Word>) {
    let mut push = |start: usize, end: usize, kind: WordKind| {
        out.push(Word { start: start as u32, end: end as u32, kind });
    };
    let mut open: Option<(usize, WordKind)> = None;
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        if c.is_ascii_alphanumeric() || (!c.is_ascii() && (c.is_alphanumeric() || is_mark(c))) {
            if is_cjk(c) {
                if let Some((start, kind)) = open.take() {
                    push(start, at, kind);
                }
                push(at, at + c.len_utf8(), WordKind::Cjk);
            } else if open.is_none() {
                let kind = if c.is_numeric() { WordKind::Number } else { WordKind::Letters };
                open = Some((at, kind));
            }
            continue;
        }
        let Some((start, kind)) = open else { continue };
        let next = chars.peek().map_or(' ', |(_, n)| *n);
        let inside = match kind {
            WordKind::Letters => matches!(c, '\'' | '’') && next.is_alphabetic() && !is_cjk(next),
            WordKind::Number => matches!(c, '.' | ',') && next.is_ascii_digit(),
            WordKind::Cjk => false,
        };
        if !inside {
            push(start, at, kind);
            open = None;
        }
    }
    if let Some((start, kind)) = open {
        push(start, text.len(), kind);
    }
}

/// Whether the character is a combining mark, which continues a word.
fn is_mark(c: char) -> bool {
    unicode_normalization::char::is_combining_mark(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str) -> Vec<&str> {
        segment(text).sentences.into_iter().map(|r| &text[r]).collect()
    }

    #[test]
    fn english_sentences() {
        let text = "Dr. Smith paid $3.50 for it. \"Why?\" he asked. J. R. Smith, e.g. me, waited... then left. Ok!\nNew line";
        assert_eq!(
            split(text),
            [
                "Dr. Smith paid $3.50 for it.",
                "\"Why?\" he asked.",
                "J. R. Smith, e.g. me, waited... then left.",
                "Ok!",
                "New line"
            ]
        );
    }

    #[test]
    fn chinese_sentences() {
        assert_eq!(
            split("他说:\"你好!\"我走了。真的吗?是的;不是...好"),
            ["他说:\"你好!\"", "我走了。", "真的吗?", "是的;", "不是...", "好"]
        );
    }

    #[test]
    fn words_of_both() {
        let text = "Don't pay 1,234.5 for well-known 中文x.";
        let words: Vec<&str> = segment(text).words.iter().map(|w| &text[w.range()]).collect();
        assert_eq!(words, ["Don't", "pay", "1,234.5", "for", "well", "known", "中", "文", "x"]);
    }

    #[test]
    fn abbreviations_are_sorted() {
        assert!(ABBREVIATIONS.is_sorted());
    }
}

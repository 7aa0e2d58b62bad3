//! The normal form that detectors read: the same for a text and for its disguised copies.

use std::ops::Range;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::mapped::{Form, Mapped, compose};
use crate::{OffsetMap, Warning, WarningCode};

/// A text in the detectors' normal form.
#[derive(Debug, Clone)]
pub struct Normalised {
    /// NFKC text without invisible characters, look-alikes folded to Latin letters, quotes, dashes and ellipses in
    /// ASCII, white space collapsed to single spaces and paragraphs ended by a single newline. Case is kept.
    pub text: String,
    /// From bytes of `text` to bytes of the text that was normalised.
    pub map: OffsetMap,
    /// What was odd before.
    pub oddities: Oddities,
}

/// Counts of characters that the normal form hides, as they were before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Oddities {
    /// Zero-width spaces and joiners, soft hyphens and other invisible characters; those that emoji and scripts
    /// such as Arabic and Devanagari need are left out.
    pub zero_width: u32,
    /// Marks and controls of bidirectional text.
    pub bidi: u32,
    /// Look-alikes of Latin letters in Latin text, mathematical and fullwidth letters among them.
    pub homoglyphs: u32,
    /// Tag characters outside flags.
    pub tags: u32,
    /// Variation selectors outside emoji.
    pub variation_selectors: u32,
    /// Characters of private use.
    pub private_use: u32,
    /// No-break spaces, narrow ones as well.
    pub no_break_spaces: u32,
    /// Curly quotation marks and apostrophes.
    pub curly_quotes: u32,
    /// Em dashes.
    pub em_dashes: u32,
    /// Ellipsis characters.
    pub ellipses: u32,
    /// Replacement characters.
    pub replacements: u32,
    /// Control characters other than white space.
    pub controls: u32,
    /// Emoji and pictographs.
    pub emoji: u32,
}

impl Oddities {
    /// Characters that a reader can't see or tell from others.
    pub fn hidden(&self) -> u32 {
        self.zero_width + self.bidi + self.homoglyphs + self.tags + self.variation_selectors
    }

    /// The warning that hidden characters deserve. One or two may come from copying and are passed over.
    pub fn warning(&self) -> Option<Warning> {
        (self.hidden() > 2).then(|| {
            Warning::new(
                WarningCode::HiddenCharacters,
                format!("{} hidden or look-alike characters were found and folded", self.hidden()),
            )
        })
    }
}

/// Brings a text to the normal form. Linear in time and space.
pub fn normalise(text: &str) -> Normalised {
    let mut oddities = Oddities::default();
    let mut stages: Option<Mapped> = None;
    if !text.is_ascii() || text.bytes().any(|b| is_control(b as char)) {
        let visible = reveal(text, &mut oddities);
        let composed = then(visible, |text| compose(text, Form::Nfkc));
        let folded = then(composed, |text| fold(text, &mut oddities));
        // A folded letter may join with the accent behind it.
        stages = Some(then(folded, |text| compose(text, Form::Nfc)));
    }
    let plain = stages.as_ref().map_or(text, |s| s.text.as_str());
    let spaced = space(plain, is_hard_wrapped(plain));
    let Mapped { text, map } = match stages {
        Some(stages) => spaced.through(&stages.map),
        None => spaced,
    };
    Normalised { text, map, oddities }
}

/// Puts a text through one more stage, which gives `None` if it changes nothing.
fn then(text: Mapped, stage: impl FnOnce(&str) -> Option<Mapped>) -> Mapped {
    match stage(&text.text) {
        Some(made) => made.through(&text.map),
        None => text,
    }
}

/// Whether the character is a control without a use in text.
fn is_control(c: char) -> bool {
    c.is_control() && !matches!(c, '\t' | '\n' | '\r' | '\x0B' | '\x0C' | '\u{85}')
}

/// Whether the character is an emoji or a pictograph.
pub(super) fn is_emoji(c: char) -> bool {
    matches!(c, '\u{1F000}'..='\u{1FAFF}' | '\u{2600}'..='\u{27BF}' | '\u{2B00}'..='\u{2BFF}' | '\u{231A}'..='\u{23FF}')
}

/// Drops what can't be seen and counts what is odd.
fn reveal(text: &str, oddities: &mut Oddities) -> Mapped {
    let mut out = Mapped::new(text.len());
    let mut from = 0;
    let mut previous = ' ';
    let mut in_flag = false;
    for (at, c) in text.char_indices() {
        if c.is_ascii() && !is_control(c) {
            previous = c;
            continue;
        }
        // Emoji are joined and coloured by invisible characters; many scripts shape words with them.
        let after_emoji = is_emoji(previous) || matches!(previous, '#' | '*' | '0'..='9' | '©' | '®' | '™');
        let joins =
            matches!(previous, '\u{0600}'..='\u{0DFF}' | '\u{1780}'..='\u{17FF}' | '\u{1800}'..='\u{18AF}');
        in_flag = c == '\u{1F3F4}' || (in_flag && matches!(c, '\u{E0020}'..='\u{E007F}'));
        let hidden = match c {
            '\u{200D}' | '\u{FE0E}' | '\u{FE0F}' if after_emoji => true,
            '\u{200C}' | '\u{200D}' if joins => true,
            '\u{E0020}'..='\u{E007F}' if in_flag => true,
            '\u{200B}'..='\u{200D}'
            | '\u{2060}'..='\u{2064}'
            | '\u{FEFF}'
            | '\u{AD}'
            | '\u{180B}'..='\u{180E}'
            | '\u{34F}'
            | '\u{115F}'
            | '\u{1160}'
            | '\u{3164}'
            | '\u{FFA0}'
            | '\u{206A}'..='\u{206F}'
            | '\u{FFF9}'..='\u{FFFB}'
            | '\u{1D173}'..='\u{1D17A}' => {
                oddities.zero_width += 1;
                true
            }
            '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{61C}' => {
                oddities.bidi += 1;
                true
            }
            '\u{FE00}'..='\u{FE0F}' | '\u{E0100}'..='\u{E01EF}' => {
                oddities.variation_selectors += 1;
                true
            }
            '\u{E0000}'..='\u{E007F}' => {
                oddities.tags += 1;
                true
            }
            _ if is_control(c) => {
                oddities.controls += 1;
                true
            }
            _ => {
                let count = match c {
                    '\u{A0}' | '\u{202F}' => Some(&mut oddities.no_break_spaces),
                    '‘'..='‟' => Some(&mut oddities.curly_quotes),
                    '—' => Some(&mut oddities.em_dashes),
                    '…' => Some(&mut oddities.ellipses),
                    char::REPLACEMENT_CHARACTER => Some(&mut oddities.replacements),
                    '\u{E000}'..='\u{F8FF}' | '\u{F0000}'..='\u{10FFFD}' => Some(&mut oddities.private_use),
                    '\u{1D400}'..='\u{1D7FF}' | 'Ａ'..='Ｚ' | 'ａ'..='ｚ' => {
                        Some(&mut oddities.homoglyphs)
                    }
                    _ if is_emoji(c) => Some(&mut oddities.emoji),
                    _ => None,
                };
                if let Some(count) = count {
                    *count += 1;
                }
                false
            }
        };
        if hidden {
            out.copy(text, from..at);
            from = at + c.len_utf8();
            // What follows in the source no longer belongs to the character before.
            out.mark(from);
        } else {
            previous = c;
        }
    }
    out.copy(text, from..text.len());
    out
}

/// Latin letters and the letters of other scripts that look like them, as they are after NFKC (which makes a final
/// sigma of the lunate one).
const LOOK_ALIKES: &[(char, &str)] = &[
    ('A', "АΑᎪꓮ"),
    ('B', "ВΒᏴꓐ"),
    ('C', "СᏟꓚ"),
    ('D', "ᎠꓓԀ"),
    ('E', "ЕΕᎬꓰ"),
    ('F', "ҒϜꓝ"),
    ('G', "ԌᏀꓖ"),
    ('H', "НΗᎻꓧ"),
    ('I', "ІΙӀᏆꓲ"),
    ('J', "ЈͿᎫꓙ"),
    ('K', "КΚᏦꓗ"),
    ('L', "ᏞꓡԼ"),
    ('M', "МΜᎷꓟ"),
    ('N', "Νꓠ"),
    ('O', "ОΟՕꓳ"),
    ('P', "РΡᏢꓑ"),
    ('Q', "Ԛ"),
    ('R', "ᎡᏒꓣ"),
    ('S', "ЅՏᏚꓢ"),
    ('T', "ТΤᎢꓔ"),
    ('U', "ՍꓴԱ"),
    ('V', "ѴᏙꓦ"),
    ('W', "ԜᎳꓪ"),
    ('X', "ХΧꓫ"),
    ('Y', "ҮΥУꓬ"),
    ('Z', "ΖᏃꓜ"),
    ('a', "аαɑ"),
    ('b', "ЬƄᏏ"),
    ('c', "сᴄς"),
    ('d', "ԁᏧ"),
    ('e', "еҽ"),
    ('f', "ϝꞙ"),
    ('g', "ɡց"),
    ('h', "һհ"),
    ('i', "іιɩ"),
    ('j', "јϳ"),
    ('k', "кκ"),
    ('l', "ӏǀ"),
    ('m', "м"),
    ('n', "ոռη"),
    ('o', "оοօσ"),
    ('p', "рρ"),
    ('q', "ԛզ"),
    ('r', "гᴦ"),
    ('s', "ѕꜱ"),
    ('t', "тτ"),
    ('u', "υսʋ"),
    ('v', "νѵᴠ"),
    ('w', "ѡԝա"),
    ('x', "хχ"),
    ('y', "уγү"),
    ('z', "ᴢ"),
];

/// The Latin letter that a character looks like.
fn latin_of(c: char) -> Option<char> {
    static TABLE: std::sync::LazyLock<Vec<(char, char)>> = std::sync::LazyLock::new(|| {
        let mut table: Vec<(char, char)> =
            LOOK_ALIKES.iter().flat_map(|(latin, like)| like.chars().map(|c| (c, *latin))).collect();
        table.sort_unstable();
        table
    });
    let i = TABLE.binary_search_by_key(&c, |entry| entry.0).ok()?;
    TABLE.get(i).map(|entry| entry.1)
}

/// The look-alikes of a Latin letter.
pub(super) fn look_alikes(latin: char) -> Option<&'static str> {
    LOOK_ALIKES.iter().find(|(l, _)| *l == latin).map(|(_, like)| *like)
}

/// Whether the character is a letter of the Latin script as English and its neighbours write it.
pub(super) fn is_latin(c: char) -> bool {
    c.is_ascii_alphabetic()
        || (matches!(c, '\u{C0}'..='\u{24F}' | '\u{1E00}'..='\u{1EFF}') && c.is_alphabetic())
}

/// Folds look-alikes inside a text that is mostly Latin; `None` if nothing has to be folded.
///
/// A word is folded if it mixes Latin letters with look-alikes, or if all its letters look Latin. A single lower-case
/// Greek letter is left alone, since it stands for itself in formulas, unless the text is full of look-alikes.
fn fold(text: &str, oddities: &mut Oddities) -> Option<Mapped> {
    let mut latin = text.bytes().filter(u8::is_ascii_alphabetic).count();
    let (mut like, mut foreign) = (0_usize, 0_usize);
    for c in text.chars().filter(|c| !c.is_ascii() && c.is_alphabetic()) {
        if latin_of(c).is_some() {
            like += 1;
        } else if is_latin(c) {
            latin += 1;
        } else if matches!(c, '\u{370}'..='\u{58F}' | '\u{13A0}'..='\u{13FF}' | '\u{A4D0}'..='\u{A4FF}') {
            foreign += 1;
        }
    }
    // Half of a Russian text's letters look Latin; all of a disguised English text's do.
    if like == 0 || latin + like <= 4 * foreign {
        return None;
    }
    let everywhere = like * 50 > latin + like;
    let is_letter = |c: char| c.is_alphabetic() && !is_cjk(c);
    let mut out = Mapped::new(text.len());
    // What was written so far of the text.
    let mut written = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let word = rest.find(|c| !is_letter(c)).unwrap_or(rest.len());
        let (letters, after) = rest.split_at_checked(word).unwrap_or((rest, ""));
        let other = after.find(is_letter).unwrap_or(after.len());
        let next = after.get(other..).unwrap_or_default();
        if !letters.is_ascii() && is_disguised(letters, everywhere) {
            let start = text.len() - rest.len();
            for (at, c) in letters.char_indices().filter(|(_, c)| !c.is_ascii()) {
                if let Some(latin) = latin_of(c) {
                    out.copy(text, written..start + at);
                    out.put(latin, start + at);
                    written = start + at + c.len_utf8();
                    oddities.homoglyphs += 1;
                }
            }
        }
        rest = next;
    }
    out.copy(text, written..text.len());
    Some(out)
}

/// Whether a word of letters is to be folded; `everywhere` if the text has many look-alikes.
fn is_disguised(word: &str, everywhere: bool) -> bool {
    let mut letters = 0;
    let (mut latin, mut unlike, mut greek) = (false, false, false);
    for c in word.chars() {
        letters += 1;
        let like = !c.is_ascii() && latin_of(c).is_some();
        latin |= is_latin(c) && !like;
        unlike |= !is_latin(c) && !like;
        greek |= matches!(c, '\u{370}'..='\u{3FF}') && c.is_lowercase();
    }
    latin || (!unlike && (everywhere || letters > 1 || !greek))
}

/// Whether single newlines only wrap long lines: most lines that are followed by another have between 33 and 85
/// letters and digits.
fn is_hard_wrapped(text: &str) -> bool {
    let (mut wrapped, mut other) = (0_usize, 0_usize);
    let mut previous: Option<usize> = None;
    for line in text.lines() {
        // Longer lines need no exact count.
        let len = line.chars().filter(|c| c.is_alphanumeric()).take(86).count();
        if len > 0
            && let Some(previous) = previous
        {
            *if (33..=85).contains(&previous) { &mut wrapped } else { &mut other } += 1;
        }
        previous = (len > 0).then_some(len);
    }
    wrapped >= 4 && wrapped >= 4 * other
}

/// Whether words are written without spaces around the character: ideographs, kana and their punctuation, but
/// no combining marks.
pub(super) fn is_cjk(c: char) -> bool {
    matches!(c, '\u{2E80}'..='\u{3029}' | '\u{3030}'..='\u{3098}' | '\u{309B}'..='\u{30FF}' | '\u{31F0}'..='\u{31FF}' | '\u{3400}'..='\u{4DBF}' | '\u{4E00}'..='\u{9FFF}'
        | '\u{F900}'..='\u{FAFF}' | '\u{20000}'..='\u{323AF}')
}

/// Writes the normal form.
struct Writer<'a> {
    text: &'a str,
    out: Mapped,
    /// White space not yet written: the place where it began and whether it ends a paragraph.
    gap: Option<(usize, bool)>,
    previous: Option<char>,
    /// Characters that stay as they are and wait to be copied together.
    waiting: Range<usize>,
}

impl Writer<'_> {
    /// Writes `c`, which is the source's own character at `at` or (if not `same`) stands for it, after the white space
    /// before it.
    fn write(&mut self, c: char, same: bool, at: usize) {
        if let (Some((from, paragraph)), Some(before)) = (self.gap.take(), self.previous) {
            if paragraph {
                self.put('\n', from);
            } else if !is_cjk(before) && !is_cjk(c) {
                if from + 1 == at && self.text.get(from..at) == Some(" ") {
                    self.copy(from..at);
                } else {
                    self.put(' ', from);
                }
            }
        }
        if same {
            self.copy(at..at + c.len_utf8());
        } else {
            self.put(c, at);
        }
        self.previous = Some(c);
    }

    fn copy(&mut self, range: Range<usize>) {
        if self.waiting.end != range.start {
            self.flush();
            self.waiting.start = range.start;
        }
        self.waiting.end = range.end;
    }

    fn put(&mut self, c: char, at: usize) {
        self.flush();
        self.out.put(c, at);
    }

    fn flush(&mut self) {
        self.out.copy(self.text, self.waiting.clone());
        self.waiting = self.waiting.end..self.waiting.end;
    }
}

/// Unifies quotes, dashes, ellipses and white space; `wrapped` if a single newline is no more than a space.
fn space(text: &str, wrapped: bool) -> Mapped {
    let mut writer = Writer { text, out: Mapped::new(text.len()), gap: None, previous: None, waiting: 0..0 };
    let is_dash = |c: char| matches!(c, '-' | '‐' | '‑' | '‒' | '−' | '–' | '—' | '―' | '⸺');
    let mut newlines = 0;
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        if c.is_whitespace() {
            let newline = matches!(c, '\n' | '\u{85}' | '\u{2028}' | '\u{2029}' | '\x0B' | '\x0C')
                || (c == '\r' && chars.peek().is_none_or(|(_, next)| *next != '\n'));
            newlines = if writer.gap.is_none() { 0 } else { newlines } + u32::from(newline);
            writer.gap = Some((writer.gap.map_or(at, |g| g.0), newlines > u32::from(wrapped)));
            continue;
        }
        let unified = match c {
            '‘' | '’' | '‚' | '‛' | '′' | 'ʼ' | '`' | '´' | 'ʹ' => '\'',
            '“' | '”' | '„' | '‟' | '″' | '«' | '»' | '「' | '」' | '『' | '』' | '〝' | '〞' => {
                '"'
            }
            // A dash between words stands between spaces; a single one in a range of numbers is a hyphen.
            _ if is_dash(c) => {
                let mut last = (1, c);
                while let Some((_, next)) = chars.next_if(|(_, next)| is_dash(*next)) {
                    last = (last.0 + 1, next);
                }
                let spaced = last.0 > 1 || matches!(last.1, '—' | '―' | '⸺');
                if spaced && writer.gap.is_none() {
                    writer.gap = Some((at, false));
                }
                writer.write('-', c == '-', at);
                if spaced {
                    writer.gap = Some((at, false));
                    newlines = 0;
                }
                continue;
            }
            '.' | '…' => {
                let dots = |c: char| if c == '…' { 3 } else { 1 };
                let mut count = dots(c);
                while let Some((_, next)) = chars.next_if(|(_, next)| matches!(next, '.' | '…')) {
                    count += dots(next);
                }
                for _ in 0..count.min(3) {
                    // Only a single dot stands for its own source.
                    writer.write('.', count == 1, at);
                }
                continue;
            }
            _ => c,
        };
        writer.write(unified, unified == c, at);
    }
    writer.flush();
    writer.out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disguises_fall_away() {
        let clean = "\"It's a test,\" he said - and the copy, of course, was 10-20 % worse...\nNext one.";
        let disguised = [
            "“It’s a test,” he said—and the copy, of course, was 10–20 % worse…\n\nNext one.",
            "\u{FEFF}\"It's  a\u{200B} te\u{AD}st,\"\t he said -- and\u{A0}the c\u{2060}opy, of course, was 10-20 % worse....\r\nNext one. ",
            "\"Іt's а test,\" he sаіd - and thе сору, οf cοursе, wаs 10-20 % wοrse...\nNехt one.",
            "\"Ｉｔ's a 𝐭𝐞𝐬𝐭,\" he said - and the copy, of course, was 10-20 % worse...\nNext one.",
        ];
        assert_eq!(normalise(clean).text, clean);
        for text in disguised {
            let made = normalise(text);
            assert_eq!(made.text, clean);
            assert!(made.oddities != Oddities::default());
            let at = made.text.find("worse").unwrap();
            let source = &text[made.map.source_range(at..at + 5)];
            assert!(source.ends_with("rse") && source.chars().count() == 5, "{source}");
        }
    }

    #[test]
    fn foreign_words_and_formulas_stay() {
        for text in
            ["α = 0.05 and β = 1", "Москва и Тот кто не спит", "中文,混排English文本。", "naïve café Straße"]
        {
            assert_eq!(normalise(text).text, text);
        }
        assert_eq!(normalise("中文 ，混排 English 文本。").text, "中文,混排English文本。");
        assert_eq!(normalise("👩\u{200D}🚀 ok ❤\u{FE0F}").oddities.hidden(), 0);
        assert_eq!(normalise("a\u{E0041}b\u{FE01}").oddities.hidden(), 2);
    }

    #[test]
    fn wrapped_lines_join() {
        let line = "This line of a letter is about as long as lines of old mails are.\n";
        let text = line.repeat(6) + "\nNew paragraph.";
        assert_eq!(normalise(&text).text.matches('\n').count(), 1);
        assert_eq!(normalise("one\ntwo\nthree").text, "one\ntwo\nthree");
    }
}

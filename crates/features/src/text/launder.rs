//! What people do to a text before it is checked: attacks and honest edits, for training and for tests.

use std::fmt;

use rand::{Rng, RngExt};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{decode::document, normalise::look_alikes, segment::segment};

/// Which quotation marks a text is set with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Quotes {
    /// ASCII marks.
    Straight,
    /// Typographic marks.
    Curly,
}

/// Edits of a text. The default changes nothing; rates are probabilities in [0, 1].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TextLaundering {
    /// Probability that each of the edits below takes part at all.
    pub chance: f64,
    /// Markdown is stripped.
    pub strip_formatting: bool,
    /// Of each sentence, that it changes places with the next one of its paragraph.
    pub shuffle_sentences: f64,
    /// Words that are kept from the start; `None` keeps all.
    pub truncate_words: Option<usize>,
    /// Of each article (a, an, the), that it is left out.
    pub drop_articles: f64,
    /// Of each word of four letters or more, that two inner letters change places or one is lost or doubled.
    pub misspelling: f64,
    /// Of each common English word that has one, that a synonym takes its place.
    pub synonym: f64,
    /// Of each word, that the case of its first letter changes.
    pub case: f64,
    /// Newlines become spaces.
    pub flatten_newlines: bool,
    /// Quotation marks and apostrophes are set anew.
    pub quotes: Option<Quotes>,
    /// Of each space between words, that more white space is put beside it.
    pub whitespace: f64,
    /// Of each word of four letters or more, that a space splits it.
    pub word_split: f64,
    /// Of each Latin letter, that a look-alike takes its place.
    pub homoglyph: f64,
    /// Of each letter, that an invisible character follows it.
    pub zero_width: f64,
}

impl Default for TextLaundering {
    fn default() -> Self {
        Self {
            chance: 1.0,
            strip_formatting: false,
            shuffle_sentences: 0.0,
            truncate_words: None,
            drop_articles: 0.0,
            misspelling: 0.0,
            synonym: 0.0,
            case: 0.0,
            flatten_newlines: false,
            quotes: None,
            whitespace: 0.0,
            word_split: 0.0,
            homoglyph: 0.0,
            zero_width: 0.0,
        }
    }
}

impl TextLaundering {
    /// Edits a text. The same text, settings and state of `rng` give the same result.
    pub fn launder(&self, text: &str, rng: &mut impl Rng) -> String {
        let mut text = text.to_owned();
        // The draw is made for every edit, so that switching one off leaves the others as they were.
        let mut plays = |on: bool| draw(rng, self.chance) && on;
        let plays = [
            plays(self.strip_formatting),
            plays(self.shuffle_sentences > 0.0),
            plays(self.truncate_words.is_some()),
            plays(
                self.drop_articles > 0.0
                    || self.misspelling > 0.0
                    || self.synonym > 0.0
                    || self.case > 0.0
                    || self.word_split > 0.0,
            ),
            plays(self.flatten_newlines),
            plays(self.quotes.is_some()),
            plays(self.whitespace > 0.0),
            plays(self.homoglyph > 0.0 || self.zero_width > 0.0),
        ];
        let [strip, shuffle, truncate, words, flatten, quotes, whitespace, letters] = plays;
        if strip {
            text = document(&text).text;
        }
        if shuffle {
            text = self.shuffle(&text, rng);
        }
        if truncate && let Some(keep) = self.truncate_words {
            let end = keep.checked_sub(1).map_or(0, |last| {
                segment(&text).words.get(last).map_or(text.len(), |word| word.end as usize)
            });
            text.truncate(text.floor_char_boundary(end));
        }
        if words {
            text = self.edit_words(&text, rng);
        }
        if flatten {
            text = text
                .split(['\r', '\n'])
                .map(str::trim)
                .filter(|l| !l.is_empty())
                .collect::<Vec<_>>()
                .join(" ");
        }
        if quotes && let Some(quotes) = self.quotes {
            text = set_quotes(&text, quotes);
        }
        if whitespace {
            text = self.widen(&text, rng);
        }
        if letters {
            text = self.disguise(&text, rng);
        }
        text
    }

    fn shuffle(&self, text: &str, rng: &mut impl Rng) -> String {
        let segmentation = segment(text);
        let mut out = String::with_capacity(text.len());
        let mut at = 0;
        for paragraph in &segmentation.paragraphs {
            let sentences = &segmentation.sentences;
            let first = sentences.partition_point(|s| s.start < paragraph.start);
            let after = sentences.partition_point(|s| s.start < paragraph.end);
            let mut order: Vec<usize> = (first..after).collect();
            for i in 1..order.len() {
                if draw(rng, self.shuffle_sentences) {
                    order.swap(i - 1, i);
                }
            }
            // The white space between sentences stays where it was.
            for (place, moved) in (first..after).zip(order) {
                let (Some(place), Some(moved)) = (sentences.get(place), sentences.get(moved)) else {
                    continue;
                };
                out.push_str(text.get(at..place.start).unwrap_or_default());
                out.push_str(text.get(moved.clone()).unwrap_or_default());
                at = place.end;
            }
        }
        out.push_str(text.get(at..).unwrap_or_default());
        out
    }

    fn edit_words(&self, text: &str, rng: &mut impl Rng) -> String {
        let mut out = String::with_capacity(text.len());
        let mut at = 0;
        for word in segment(text).words {
            let (range, before) = (word.range(), at);
            let Some(letters) = text.get(range.clone()) else { continue };
            out.push_str(text.get(before..range.start).unwrap_or_default());
            at = range.end;
            let article = ["a", "an", "the"].iter().any(|a| letters.eq_ignore_ascii_case(a));
            if article && draw(rng, self.drop_articles) {
                // With the space after it.
                at += usize::from(text.as_bytes().get(at) == Some(&b' '));
                continue;
            }
            let mut chars: Vec<char> = letters.chars().collect();
            // Not drawn where it is switched off, so that other settings keep their sequence.
            if self.synonym > 0.0
                && let Some(other) = synonym(letters)
                && draw(rng, self.synonym)
            {
                chars = other.chars().collect();
                if letters.starts_with(|c: char| c.is_ascii_uppercase()) {
                    chars.iter_mut().take(1).for_each(|c| *c = c.to_ascii_uppercase());
                }
            }
            let long = chars.len() >= 4 && chars.iter().all(char::is_ascii_alphabetic);
            if long && draw(rng, self.misspelling) {
                let i = rng.random_range(1..chars.len() - 2);
                match rng.random_range(0..3) {
                    0 => chars.swap(i, i + 1),
                    1 => drop(chars.remove(i)),
                    _ => chars.insert(i, chars[i]),
                }
            }
            if draw(rng, self.case)
                && let Some(first) = chars.first_mut()
            {
                *first = if first.is_ascii_lowercase() {
                    first.to_ascii_uppercase()
                } else {
                    first.to_ascii_lowercase()
                };
            }
            if long && draw(rng, self.word_split) {
                chars.insert(rng.random_range(1..chars.len()), ' ');
            }
            out.extend(chars);
        }
        out.push_str(text.get(at..).unwrap_or_default());
        out
    }

    fn widen(&self, text: &str, rng: &mut impl Rng) -> String {
        const SPACES: [&str; 6] = [" ", "  ", "\t", "\u{A0}", "\u{2009}", "\u{3000}"];
        let mut out = String::with_capacity(text.len());
        for c in text.chars() {
            out.push(c);
            if c == ' ' && draw(rng, self.whitespace) {
                out.push_str(SPACES[rng.random_range(0..SPACES.len())]);
            }
        }
        out
    }

    fn disguise(&self, text: &str, rng: &mut impl Rng) -> String {
        const INVISIBLE: [char; 5] = ['\u{200B}', '\u{200C}', '\u{2060}', '\u{FEFF}', '\u{AD}'];
        let mut out = String::with_capacity(text.len() * 2);
        for c in text.chars() {
            let like =
                if c.is_ascii_alphabetic() && draw(rng, self.homoglyph) { look_alikes(c) } else { None };
            let pick = like.and_then(|like| like.chars().nth(rng.random_range(0..like.chars().count())));
            out.push(pick.unwrap_or(c));
            if c.is_alphabetic() && draw(rng, self.zero_width) {
                out.push(INVISIBLE[rng.random_range(0..INVISIBLE.len())]);
            }
        }
        out
    }
}

/// True with a probability; out of range or not a number counts as the nearest end or 0.
fn draw(rng: &mut impl Rng, probability: f64) -> bool {
    rng.random::<f64>() < probability
}

/// Sets quotation marks and apostrophes anew.
fn set_quotes(text: &str, quotes: Quotes) -> String {
    let mut before = ' ';
    let set = |c: char| {
        let opens = before.is_whitespace() || matches!(before, '(' | '[' | '—' | '-' | '“' | '‘');
        let set = match (quotes, c) {
            (Quotes::Straight, '‘' | '’') => '\'',
            (Quotes::Straight, '“' | '”') => '"',
            (Quotes::Curly, '\'') => ['’', '‘'][usize::from(opens)],
            (Quotes::Curly, '"') => ['”', '“'][usize::from(opens)],
            _ => c,
        };
        before = set;
        set
    };
    text.chars().map(set).collect()
}

/// Common words that can stand for each other in most sentences; each stands for its neighbour.
const SYNONYMS: [[&str; 2]; 48] = [
    ["big", "large"],
    ["small", "little"],
    ["begin", "start"],
    ["began", "started"],
    ["end", "finish"],
    ["help", "aid"],
    ["show", "display"],
    ["shows", "displays"],
    ["use", "employ"],
    ["used", "employed"],
    ["using", "employing"],
    ["get", "obtain"],
    ["make", "create"],
    ["makes", "creates"],
    ["important", "significant"],
    ["many", "numerous"],
    ["often", "frequently"],
    ["also", "additionally"],
    ["but", "yet"],
    ["because", "since"],
    ["however", "nevertheless"],
    ["so", "thus"],
    ["about", "regarding"],
    ["needs", "requires"],
    ["need", "require"],
    ["give", "provide"],
    ["gives", "provides"],
    ["think", "believe"],
    ["find", "discover"],
    ["found", "discovered"],
    ["different", "distinct"],
    ["new", "novel"],
    ["quick", "fast"],
    ["quickly", "rapidly"],
    ["hard", "difficult"],
    ["easy", "simple"],
    ["good", "fine"],
    ["bad", "poor"],
    ["right", "correct"],
    ["wrong", "mistaken"],
    ["whole", "entire"],
    ["answer", "reply"],
    ["ask", "inquire"],
    ["buy", "purchase"],
    ["keep", "retain"],
    ["enough", "sufficient"],
    ["main", "principal"],
    ["certain", "sure"],
];

fn synonym(word: &str) -> Option<&'static str> {
    SYNONYMS.iter().find_map(|[a, b]| {
        if word.eq_ignore_ascii_case(a) { Some(*b) } else { word.eq_ignore_ascii_case(b).then_some(*a) }
    })
}

/// Fixed edits under which detectors are evaluated; the rates are those of the RAID benchmark (Dugan et al., 2024)
/// where it has the edit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TextCondition {
    /// Nothing.
    Clean,
    /// More white space at a fifth of the spaces.
    Whitespace,
    /// Look-alikes for all letters.
    Homoglyph,
    /// An invisible character after every letter.
    ZeroWidth,
    /// A fifth of the longer words misspelt.
    Misspelling,
    /// The case of one word in twenty changed.
    Case,
    /// Half of the common words that have a synonym replaced by it.
    Synonym,
    /// Half of the articles left out.
    Articles,
    /// Half of the sentences moved.
    Shuffled,
    /// The first 50 words.
    #[serde(rename = "first-50-words")]
    First50,
    /// The first 100 words.
    #[serde(rename = "first-100-words")]
    First100,
    /// The first 200 words.
    #[serde(rename = "first-200-words")]
    First200,
    /// Markdown stripped.
    Unformatted,
    /// On one line.
    Flattened,
    /// Curly quotation marks.
    Curly,
}

impl TextCondition {
    /// All conditions.
    pub const ALL: [Self; 15] = [
        Self::Clean,
        Self::Whitespace,
        Self::Homoglyph,
        Self::ZeroWidth,
        Self::Misspelling,
        Self::Case,
        Self::Synonym,
        Self::Articles,
        Self::Shuffled,
        Self::First50,
        Self::First100,
        Self::First200,
        Self::Unformatted,
        Self::Flattened,
        Self::Curly,
    ];

    /// The settings of the condition.
    pub fn laundering(self) -> TextLaundering {
        let none = TextLaundering::default();
        match self {
            Self::Clean => none,
            Self::Whitespace => TextLaundering { whitespace: 0.2, ..none },
            Self::Homoglyph => TextLaundering { homoglyph: 1.0, ..none },
            Self::ZeroWidth => TextLaundering { zero_width: 1.0, ..none },
            Self::Misspelling => TextLaundering { misspelling: 0.2, ..none },
            Self::Case => TextLaundering { case: 0.05, ..none },
            Self::Articles => TextLaundering { drop_articles: 0.5, ..none },
            Self::Shuffled => TextLaundering { shuffle_sentences: 0.5, ..none },
            Self::Synonym => TextLaundering { synonym: 0.5, ..none },
            Self::First50 => TextLaundering { truncate_words: Some(50), ..none },
            Self::First100 => TextLaundering { truncate_words: Some(100), ..none },
            Self::First200 => TextLaundering { truncate_words: Some(200), ..none },
            Self::Unformatted => TextLaundering { strip_formatting: true, ..none },
            Self::Flattened => TextLaundering { flatten_newlines: true, ..none },
            Self::Curly => TextLaundering { quotes: Some(Quotes::Curly), ..none },
        }
    }
}

impl fmt::Display for TextCondition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Clean => "clean",
            Self::Whitespace => "whitespace",
            Self::Homoglyph => "homoglyph",
            Self::ZeroWidth => "zero-width",
            Self::Misspelling => "misspelling",
            Self::Case => "case",
            Self::Articles => "articles",
            Self::Shuffled => "shuffled",
            Self::Synonym => "synonym",
            Self::First50 => "first-50-words",
            Self::First100 => "first-100-words",
            Self::First200 => "first-200-words",
            Self::Unformatted => "unformatted",
            Self::Flattened => "flattened",
            Self::Curly => "curly",
        })
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::text::normalise;

    const TEXT: &str = "The committee met on Tuesday, as it does every week. Nothing had changed since the spring, \
        and a member's request for more time was refused. \"Why not?\" she asked.\n\nA vote followed; the result was \
        10-20 against it. Everyone left early.";

    fn under(condition: TextCondition, seed: u64) -> String {
        condition.laundering().launder(TEXT, &mut ChaCha8Rng::seed_from_u64(seed))
    }

    #[test]
    fn disguises_leave_the_normal_form_alone() {
        let clean = normalise(TEXT).text;
        for condition in [
            TextCondition::Clean,
            TextCondition::Whitespace,
            TextCondition::Homoglyph,
            TextCondition::ZeroWidth,
            TextCondition::Curly,
        ] {
            for seed in 0..20 {
                let text = under(condition, seed);
                assert_eq!(text == TEXT, condition == TextCondition::Clean);
                assert_eq!(normalise(&text).text, clean, "{condition} {seed}");
            }
        }
    }

    #[test]
    fn conditions_do_what_they_say() {
        for condition in TextCondition::ALL {
            assert_eq!(under(condition, 7), under(condition, 7));
            let name = serde_json::to_string(&condition).unwrap();
            assert_eq!(name.trim_matches('"'), condition.to_string());
        }
        assert!(!under(TextCondition::Flattened, 1).contains('\n'));
        assert!(under(TextCondition::Articles, 1).len() < TEXT.len());
        let swapped = TextLaundering { synonym: 1.0, ..TextLaundering::default() };
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        assert_eq!(
            swapped.launder("Big or often; a bigger one.", &mut rng),
            "Large or frequently; a bigger one."
        );
        let mut bytes = under(TextCondition::Shuffled, 1).into_bytes();
        let mut same = TEXT.as_bytes().to_vec();
        assert_ne!(bytes, same);
        bytes.sort_unstable();
        same.sort_unstable();
        assert_eq!(bytes, same);
        let five = TextLaundering { truncate_words: Some(5), ..TextLaundering::default() };
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        assert_eq!(five.launder(TEXT, &mut rng), "The committee met on Tuesday");
        let none = TextLaundering { chance: 0.0, ..TextCondition::Homoglyph.laundering() };
        assert_eq!(none.launder(TEXT, &mut rng), TEXT);
        assert!(serde_json::from_str::<TextLaundering>(r#"{"unknown": 1}"#).is_err());
    }
}

//! A cheap guess of a text's language: enough to know whether a detector was trained on it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    normalise::is_latin,
    segment::{Segmentation, WordKind},
};
use crate::{Warning, WarningCode};

/// Words that the guess looks at.
const SAMPLE: usize = 4000;

/// Groups of languages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Language {
    /// English.
    English,
    /// Chinese, simplified or traditional.
    Chinese,
    /// Japanese.
    Japanese,
    /// Korean.
    Korean,
    /// Another language in Latin script, or no running text.
    OtherLatin,
    /// Another script, or no letters.
    Other,
}

impl Language {
    /// Whether detectors are trained on it.
    pub fn covered(self) -> bool {
        matches!(self, Self::English | Self::Chinese)
    }

    /// The warning for a language that is not covered.
    pub fn warning(self) -> Option<Warning> {
        (!self.covered()).then(|| {
            Warning::new(
                WarningCode::LanguageNotCovered,
                "the text is not running English or Chinese; the detector knows no others",
            )
        })
    }
}

/// Frequent words, lower case and sorted, that are rare in the other languages.
const ENGLISH: &[&str] = &[
    "and", "are", "as", "at", "be", "been", "but", "by", "for", "from", "had", "has", "have", "he", "her",
    "his", "i", "if", "in", "is", "it", "its", "not", "of", "on", "or", "our", "she", "that", "the", "their",
    "there", "they", "this", "to", "was", "we", "were", "what", "which", "who", "will", "with", "would",
    "you", "your",
];

/// Frequent words of other languages in Latin script (Spanish, French, German, Italian, Portuguese, Dutch, Swedish,
/// Danish, Polish, Turkish, Indonesian, Vietnamese), sorted; words that English shares are left out.
const OTHERS: &[&str] = &[
    "aan", "als", "att", "auch", "auf", "aus", "av", "bei", "bir", "bu", "che", "como", "con", "da", "dalla",
    "dan", "dans", "das", "de", "deel", "dei", "del", "della", "dem", "den", "der", "des", "det", "di",
    "die", "dos", "du", "e", "ein", "eine", "einer", "el", "en", "er", "es", "est", "et", "ett", "für",
    "gli", "het", "ich", "il", "ile", "im", "ist", "itu", "je", "jest", "kan", "la", "las", "le", "les",
    "lo", "los", "mais", "med", "met", "mit", "más", "na", "nao", "nicht", "nie", "non", "não", "och",
    "oder", "og", "os", "pas", "por", "pour", "på", "que", "qui", "se", "si", "sich", "sie", "som", "sono",
    "sont", "sur", "są", "të", "um", "uma", "un", "una", "une", "und", "untuk", "uno", "van", "ve", "voor",
    "von", "w", "yang", "y", "z", "zu", "è", "được", "là",
];

/// Guesses the language of a text, best in its normal form.
pub fn language(text: &str, segmentation: &Segmentation) -> Language {
    let (mut latin, mut han, mut kana, mut hangul, mut other) = (0_usize, 0_usize, 0_usize, 0_usize, 0_usize);
    let sample = segmentation.words.get(..SAMPLE).unwrap_or(&segmentation.words);
    let (mut english, mut others, mut words) = (0_usize, 0_usize, 0_usize);
    for word in sample {
        let Some(letters) = text.get(word.range()) else { continue };
        for c in letters.chars().take(30) {
            match c {
                _ if is_latin(c) => latin += 1,
                '\u{3040}'..='\u{30FF}' | '\u{31F0}'..='\u{31FF}' => kana += 1,
                '\u{1100}'..='\u{11FF}' | '\u{3130}'..='\u{318F}' | '\u{AC00}'..='\u{D7AF}' => hangul += 1,
                _ if super::normalise::is_cjk(c) => han += 1,
                _ if c.is_alphabetic() => other += 1,
                _ => {}
            }
        }
        if word.kind == WordKind::Letters && letters.len() <= 12 {
            let lower = letters.to_lowercase();
            words += 1;
            english += usize::from(ENGLISH.binary_search(&lower.as_str()).is_ok());
            others += usize::from(others_has(&lower));
        } else if word.kind == WordKind::Letters {
            words += 1;
        }
    }
    // An ideograph says about as much as three letters.
    let weights = [latin, 3 * han, 2 * kana, 2 * hangul, other];
    let total: usize = weights.iter().sum();
    let most = |weight: usize| weight * 2 > total;
    if total == 0 {
        Language::Other
    } else if kana * 10 > han && most(3 * han + 2 * kana) && kana > 1 {
        Language::Japanese
    } else if most(3 * han) {
        Language::Chinese
    } else if most(2 * hangul + 3 * han) {
        Language::Korean
    } else if most(latin) {
        // About four in ten words of English prose are in the list; notes and headlines have fewer.
        if english > 2 * others && english * 10 >= words { Language::English } else { Language::OtherLatin }
    } else {
        Language::Other
    }
}

/// Whether a lower-case word is in [`OTHERS`]. The list is not in byte order where letters have accents.
fn others_has(word: &str) -> bool {
    static SORTED: std::sync::LazyLock<Vec<&str>> = std::sync::LazyLock::new(|| {
        let mut sorted = OTHERS.to_vec();
        sorted.sort_unstable();
        sorted
    });
    SORTED.binary_search(&word).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::segment;

    #[test]
    fn tells_languages_apart() {
        for (text, expected) in [
            ("The cat sat on the mat and it was happy with the sun.", Language::English),
            ("El gato se sentó en la alfombra y estaba feliz con el sol.", Language::OtherLatin),
            ("Der Hund ist nicht im Haus, und die Katze schläft auf dem Sofa.", Language::OtherLatin),
            ("今天天气很好，我们去公园散步。", Language::Chinese),
            ("用Python写一个API接口的方法如下，首先安装依赖。", Language::Chinese),
            ("今日はとても天気がいいので、公園へ行きます。", Language::Japanese),
            ("오늘은 날씨가 아주 좋아서 공원에 갑니다.", Language::Korean),
            ("Сегодня хорошая погода, и мы идём в парк.", Language::Other),
            ("let x = foo(bar); return x + y;", Language::OtherLatin),
            ("", Language::Other),
            ("12 34 😀", Language::Other),
        ] {
            assert_eq!(language(text, &segment(text)), expected, "{text}");
        }
        assert!(ENGLISH.is_sorted());
    }
}

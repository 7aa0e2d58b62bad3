//! Near copies: training texts that development texts, or the part left out of a fold, would be recognised by.

use std::{
    collections::{HashMap, HashSet},
    hash::{DefaultHasher, Hash, Hasher},
};

use rayon::prelude::*;

/// Tokens in a run. Two texts on one subject share few runs of so many.
const RUN: usize = 8;

/// The distinct runs of [`RUN`] tokens of a text, hashed; a token is a word, or an ideograph, without regard to case.
fn runs(text: &str) -> HashSet<u64> {
    let mut tokens: Vec<String> = Vec::new();
    let mut word = String::new();
    for c in text.chars() {
        let alone = matches!(c, '\u{3400}'..='\u{9fff}' | '\u{20000}'..='\u{3ffff}');
        if alone || !c.is_alphanumeric() {
            if !word.is_empty() {
                tokens.push(std::mem::take(&mut word));
            }
            if alone {
                tokens.push(c.into());
            }
        } else {
            word.extend(c.to_lowercase());
        }
    }
    if !word.is_empty() {
        tokens.push(word);
    }
    let hash = |run: &[String]| {
        let mut hasher = DefaultHasher::new();
        run.hash(&mut hasher);
        hasher.finish()
    };
    tokens.windows(RUN).map(hash).collect()
}

/// Which of `texts` are training texts (`dev` false) that share more than `share` of the runs of one that isn't, or of their own runs
/// with it.
pub(super) fn near_copies(texts: &[(&str, bool)], share: f64) -> Vec<bool> {
    let found: Vec<HashSet<u64>> = texts.par_iter().map(|(text, _)| runs(text)).collect();
    let mut holders: HashMap<u64, Vec<usize>> = HashMap::new();
    for (i, runs) in found.iter().enumerate().filter(|(i, _)| texts[*i].1) {
        for run in runs {
            holders.entry(*run).or_default().push(i);
        }
    }
    let copies = |i: usize| {
        let mut shared: HashMap<usize, usize> = HashMap::new();
        for holder in found[i].iter().filter_map(|run| holders.get(run)).flatten() {
            *shared.entry(*holder).or_default() += 1;
        }
        shared.iter().any(|(dev, n)| *n as f64 > share * found[i].len().min(found[*dev].len()) as f64)
    };
    (0..texts.len()).into_par_iter().map(|i| !texts[i].1 && copies(i)).collect()
}

#[cfg(test)]
mod tests {
    use super::near_copies;

    #[test]
    fn a_text_with_much_of_a_development_text_is_a_near_copy() {
        let words =
            |range: std::ops::Range<usize>| range.map(|i| format!("word{i}")).collect::<Vec<_>>().join(" ");
        let dev = words(0..60);
        // Other case and punctuation, a text around it, a third of it, a twentieth of it.
        let same = dev.to_uppercase().replace(' ', ", ");
        let around = format!("{} {dev} {}", words(100..160), words(200..260));
        let third = format!("{} {}", words(30..52), words(300..360));
        let little = format!("{} {}", words(0..10), words(400..450));
        let texts = [
            (&dev[..], true),
            (&same, false),
            (&around, false),
            (&third, false),
            (&little, false),
            (&dev, true),
            ("", false),
        ];
        assert_eq!(near_copies(&texts, 0.25), [false, true, true, true, false, false, false]);
        assert_eq!(near_copies(&texts, 0.5), [false, true, true, false, false, false, false]);
    }

    #[test]
    fn ideographs_are_tokens() {
        let dev = "今天的会议讨论了明年春天的计划和预算";
        let texts = [
            (dev, true),
            ("他说今天的会议讨论了明年春天的计划", false),
            ("今天的会议很短，明年春天再谈计划", false),
        ];
        assert_eq!(near_copies(&texts, 0.3), [false, true, false]);
    }
}

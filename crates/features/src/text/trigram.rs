//! Hashed words, pairs and triples of words in running order: what the language models of a text detector count and look up.

use super::{
    ngram::word_hash,
    segment::{Segmentation, WordKind},
};

/// Buckets of single words, as a power of two.
pub const WORD_BITS: u32 = 16;

/// A word with the two words before it, as buckets. Before the first word of a sentence stands a mark of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trigram {
    /// Bucket of the word, below `2^WORD_BITS`.
    pub word: u32,
    /// Bucket of the word before, below `2^WORD_BITS`.
    pub before: u32,
    /// Bucket of the word and the one before, below `2^bits`.
    pub pair: u32,
    /// Bucket of the two words before, below `2^bits`.
    pub pair_before: u32,
    /// Bucket of all three, below `2^(bits + 1)`.
    pub triple: u32,
    /// Whether the word begins a sentence.
    pub first: bool,
}

/// The trigrams of a text in its normal form, one for each word; a single ideograph is a word. Letters are read in lower case and digits as
/// zeros; punctuation is left out, since it says more about keyboards and editors than about who wrote.
///
/// `bits` is the logarithm of the number of buckets for pairs, 8 to 24; there are twice as many for triples.
pub fn trigrams(text: &str, segmentation: &Segmentation, bits: u32) -> Vec<Trigram> {
    let bits = bits.clamp(8, 24);
    let mut out = Vec::with_capacity(segmentation.words.len());
    for sentence in &segmentation.sentences {
        let (mut before, mut earlier) = (START, START);
        let words = segmentation.words.get(segmentation.words_in(sentence)).unwrap_or_default();
        for (i, word) in words.iter().enumerate() {
            let hash = if word.kind == WordKind::Number {
                NUMBER
            } else {
                word_hash(text.get(word.range()).unwrap_or_default())
            };
            let pair = join(before, hash);
            let pair_before = join(earlier, before);
            out.push(Trigram {
                word: bucket(hash, WORD_BITS),
                before: bucket(before, WORD_BITS),
                pair: bucket(pair, bits),
                pair_before: bucket(pair_before, bits),
                triple: bucket(join(pair_before, hash), bits + 1),
                first: i == 0,
            });
            (earlier, before) = (before, hash);
        }
    }
    out
}

/// Hash of the mark before a sentence.
const START: u64 = 0x243F_6A88_85A3_08D3;
/// Hash of every number.
const NUMBER: u64 = 0x1319_8A2E_0370_7344;

fn join(a: u64, b: u64) -> u64 {
    (a.rotate_left(23) ^ b).wrapping_mul(0xD134_2543_DE82_EF95)
}

fn bucket(hash: u64, bits: u32) -> u32 {
    ((hash ^ hash >> 32).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (64 - bits)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::segment;

    fn make(text: &str) -> Vec<Trigram> {
        trigrams(text, &segment(text), 18)
    }

    #[test]
    fn every_word_has_one_and_sentences_begin_anew() {
        let made = make("The cat sat. The cat ran on 12 roofs.");
        assert_eq!(made.len(), 9);
        assert_eq!(made[0], made[3]);
        assert_eq!(made[1], made[4]);
        assert!(made[0].first && made[3].first && !made[1].first);
        // The same word after another: the word alone is equal.
        assert_eq!(made[1].word, made[2].before);
        assert_ne!(made[1].pair, made[2].pair);
        assert_eq!(made[2].pair_before, made[1].pair);
        assert_eq!(make("THE CAT")[1], make("the, cat")[1]);
        assert_eq!(make("on 12 roofs"), make("on 345 roofs"));
        assert_eq!(make("中文").len(), 2);
        assert!(make("").is_empty());
    }

    #[test]
    fn buckets_stay_below_their_number() {
        let text = "one two three four five six seven eight nine ten eleven twelve".repeat(20);
        for t in trigrams(&text, &segment(&text), 8) {
            assert!(
                t.pair < 1 << 8 && t.pair_before < 1 << 8 && t.triple < 1 << 9 && t.word < 1 << WORD_BITS
            );
        }
    }
}

//! Hashed n-grams of characters and words.

use serde::{Deserialize, Serialize};

use super::{
    normalise::is_cjk,
    segment::{Segmentation, Word, WordKind},
};

/// Settings of the n-grams; they belong to a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NgramConfig {
    /// There are `2^bits` buckets, half of them for each family; 8 to 24.
    pub bits: u32,
    /// Changes every bucket.
    pub seed: u64,
}

impl Default for NgramConfig {
    fn default() -> Self {
        Self { bits: 18, seed: 0 }
    }
}

impl NgramConfig {
    /// Number of buckets: a power of two.
    pub fn buckets(&self) -> usize {
        1 << self.bits.clamp(8, 24)
    }
}

/// A sparse vector of n-grams, sorted by bucket. N-grams of characters lie in the lower half of the buckets, n-grams
/// of words in the upper half.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Bag {
    /// Buckets, strictly ascending, below [`NgramConfig::buckets`].
    pub index: Vec<u32>,
    /// `1 + ln(count)` over the Euclidean norm of its half, so that both families weigh alike.
    pub value: Vec<f32>,
    /// How often each bucket was hit.
    pub count: Vec<u32>,
}

/// Counts the n-grams of a text in its normal form.
///
/// The text is read in lower case with digits as zeros, sentence by sentence, each between two spaces: the counts are
/// the sums of the sentences' counts. Characters give n-grams of 3 to 5 (1 to 3 that end in an ideograph or kana),
/// words n-grams of 1 to 3 (2 to 4 that end in an ideograph: one to three overlapping pairs).
pub fn bag(text: &str, segmentation: &Segmentation, config: &NgramConfig) -> Bag {
    let hasher = Hasher::new(config);
    let mut bag = Bag::default();
    // A table of all buckets pays once a text has about as many n-grams.
    if text.len() * 4 >= config.buckets() {
        let mut counts = vec![0_u32; config.buckets()];
        for sentence in 0..segmentation.sentences.len() {
            hasher.sentence(text, segmentation, sentence, &mut |bucket| {
                if let Some(count) = counts.get_mut(bucket as usize) {
                    *count += 1;
                }
            });
        }
        for (bucket, count) in (0..).zip(counts) {
            if count > 0 {
                bag.index.push(bucket);
                bag.count.push(count);
            }
        }
    } else {
        let mut hits = Vec::with_capacity(text.len() * 4);
        for sentence in 0..segmentation.sentences.len() {
            hasher.sentence(text, segmentation, sentence, &mut |bucket| hits.push(bucket));
        }
        sort(&mut hits, config.buckets());
        for run in hits.chunk_by(|a, b| a == b) {
            bag.index.extend(run.first());
            bag.count.push(run.len() as u32);
        }
    }
    // Most n-grams occur once, and logarithms take their time.
    let weight = |&count: &u32| if count == 1 { 1.0 } else { 1.0 + (count as f32).ln() };
    bag.value = bag.count.iter().map(weight).collect();
    let half = bag.index.partition_point(|&bucket| (bucket as usize) < config.buckets() / 2);
    let (chars, words) = bag.value.split_at_mut(half);
    for family in [chars, words] {
        let norm = family.iter().map(|v| f64::from(v * v)).sum::<f64>().sqrt();
        let scale = if norm > 0.0 { (1.0 / norm) as f32 } else { 0.0 };
        for value in family {
            *value *= scale;
        }
    }
    bag
}

/// Calls `sink` with the bucket of each n-gram of one of [`Segmentation::sentences`], in the order of the text. All sentences
/// together hit each bucket of [`bag`] as often as its count says.
pub fn each_hit(
    text: &str,
    segmentation: &Segmentation,
    sentence: usize,
    config: &NgramConfig,
    mut sink: impl FnMut(u32),
) {
    Hasher::new(config).sentence(text, segmentation, sentence, &mut sink);
}

/// Sorts buckets by two passes over half of their bits each.
fn sort(hits: &mut Vec<u32>, buckets: usize) {
    if hits.len() < 256 {
        hits.sort_unstable();
        return;
    }
    let digit_bits = buckets.ilog2().div_ceil(2);
    let mask = (1_u32 << digit_bits) - 1;
    let mut other = vec![0_u32; hits.len()];
    for shift in [0, digit_bits] {
        let mut places = vec![0_usize; 1 << digit_bits];
        for hit in hits.iter() {
            places[(hit >> shift & mask) as usize] += 1;
        }
        let mut sum = 0;
        for place in &mut places {
            sum += std::mem::replace(place, sum);
        }
        for &hit in hits.iter() {
            let place = &mut places[(hit >> shift & mask) as usize];
            other[*place] = hit;
            *place += 1;
        }
        std::mem::swap(hits, &mut other);
    }
}

/// Hash of a lower-case word, the same in every run.
pub(super) fn word_hash(word: &str) -> u64 {
    let mut hash = 0xCBF2_9CE4_8422_2325;
    for c in word.chars() {
        each_lower(c, |c| hash = step(hash, u64::from(c)));
    }
    hash
}

/// Calls `f` with the character in lower case; digits become zeros.
fn each_lower(c: char, mut f: impl FnMut(u32)) {
    match c {
        'A'..='Z' => f(u32::from(c) | 0x20),
        '0'..='9' => f(u32::from('0')),
        _ if c.is_ascii() || is_cjk(c) => f(u32::from(c)),
        _ => c.to_lowercase().for_each(|c| f(u32::from(c))),
    }
}

/// One step of a multiplicative hash (the constant is that of Steele and Vigna's 64-bit multipliers).
fn step(hash: u64, value: u64) -> u64 {
    (hash.rotate_left(5) ^ value).wrapping_mul(0xD134_2543_DE82_EF95)
}

/// Turns hashes into buckets.
struct Hasher {
    seeds: [u64; 2],
    /// Bits of a bucket inside its half.
    bits: u32,
}

impl Hasher {
    fn new(config: &NgramConfig) -> Self {
        let seed = |family: u64| step(step(config.seed, family), 0x9E37_79B9_7F4A_7C15);
        Self { seeds: [seed(1), seed(2)], bits: config.buckets().ilog2() - 1 }
    }

    /// Bucket of a hash in the lower (0) or upper (1) half.
    fn bucket(&self, hash: u64, half: u32) -> u32 {
        let mixed = (hash ^ hash >> 32).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        (mixed >> (64 - self.bits)) as u32 | half << self.bits
    }

    /// Gives the buckets of one sentence to `sink`.
    fn sentence(&self, text: &str, segmentation: &Segmentation, sentence: usize, sink: &mut impl FnMut(u32)) {
        let Some(range) = segmentation.sentences.get(sentence) else { return };
        self.chars(text.get(range.clone()).unwrap_or_default(), sink);
        let words = segmentation.words_in(range);
        self.words(text, segmentation.words.get(words).unwrap_or_default(), sink);
    }

    /// N-grams of characters. Each is hashed from its last character backwards, so that the shorter ones come free.
    fn chars(&self, sentence: &str, sink: &mut impl FnMut(u32)) {
        let mut ring = [0_u32; 5];
        let mut seen = 0_usize;
        let mut next = |c: u32| {
            ring = [c, ring[0], ring[1], ring[2], ring[3]];
            seen = (seen + 1).min(5);
            let cjk = c >= 0x80 && char::from_u32(c).is_some_and(is_cjk);
            // Nearly always.
            if seen == 5 && !cjk {
                let mut hash = step(step(self.seeds[0], u64::from(c)), u64::from(ring[1]));
                for &c in &ring[2..] {
                    hash = step(hash, u64::from(c));
                    sink(self.bucket(hash, 0));
                }
                return;
            }
            let lengths = if cjk { 1..=3 } else { 3..=5 };
            let mut hash = self.seeds[0];
            for (length, &c) in (1..=seen).zip(&ring) {
                hash = step(hash, u64::from(c));
                if lengths.contains(&length) {
                    sink(self.bucket(hash, 0));
                }
            }
        };
        next(u32::from(' '));
        for c in sentence.chars() {
            if c.is_whitespace() {
                next(u32::from(' '));
            } else {
                each_lower(c, &mut next);
            }
        }
        next(u32::from(' '));
    }

    /// N-grams of words.
    fn words(&self, text: &str, words: &[Word], sink: &mut impl FnMut(u32)) {
        let mut ring = [0_u64; 4];
        let mut seen = 0_usize;
        for word in words {
            ring = [word_hash(text.get(word.range()).unwrap_or_default()), ring[0], ring[1], ring[2]];
            seen = (seen + 1).min(4);
            let lengths = if word.kind == WordKind::Cjk { 2..=4 } else { 1..=3 };
            let mut hash = self.seeds[1];
            for (length, &word) in (1..=seen).zip(&ring) {
                hash = step(hash, word);
                if lengths.contains(&length) {
                    sink(self.bucket(hash, 1));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::segment;

    fn make(text: &str) -> Bag {
        bag(text, &segment(text), &NgramConfig::default())
    }

    #[test]
    fn counts_what_is_there() {
        // " abc ": four characters give 3 + 2 + 1 n-grams; one word
        let made = make("abc");
        assert_eq!((made.index.len(), made.count.iter().sum::<u32>()), (7, 7));
        // " 中文 " between spaces: 1 + 2, 2 + 3 that end in an ideograph, then one of 3 and one of 4; one pair
        let made = make("中文");
        assert_eq!(made.count.iter().sum::<u32>(), 2 + 3 + 2 + 1);
        assert_eq!(make("ABC 12"), make("abc 34"));
        assert_ne!(make("abd").index, make("abc").index);
        assert_eq!(make(""), Bag::default());
    }

    #[test]
    fn families_weigh_alike() {
        let made = make("The cat sat. The dog sat on the cat.");
        let half = made.index.partition_point(|&b| b < 1 << 17);
        for family in [&made.value[..half], &made.value[half..]] {
            assert!((family.iter().map(|v| v * v).sum::<f32>() - 1.0).abs() < 1e-5);
        }
        assert!(made.index.is_sorted_by(|a, b| a < b));
    }

    #[test]
    fn sentences_add_up_both_ways_of_counting() {
        let text = "The cat sat on the mat. It was happy! Was it? 是的。".repeat(900);
        let seg = segment(&text);
        let config = NgramConfig { bits: 16, ..NgramConfig::default() };
        let table = bag(&text, &seg, &config);
        let mut hits = Vec::new();
        for sentence in 0..seg.sentences.len() {
            each_hit(&text, &seg, sentence, &config, |bucket| hits.push(bucket));
        }
        hits.sort_unstable();
        let runs: Vec<(u32, u32)> = hits.chunk_by(|a, b| a == b).map(|r| (r[0], r.len() as u32)).collect();
        assert_eq!(runs, table.index.iter().copied().zip(table.count.iter().copied()).collect::<Vec<_>>());
    }
}

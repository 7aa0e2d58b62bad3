//! Style: how a text is written, whatever it is about.

use std::{collections::HashMap, io::Write, ops::Range};

use flate2::{Compression, write::DeflateEncoder};

use super::{
    ngram::word_hash,
    normalise::{Normalised, is_cjk},
    segment::{Segmentation, Word, WordKind},
};
use crate::Document;

/// Number of style features.
pub const N: usize = 64;

/// Names of the style features, in order. A rate is per word unless said otherwise; all are clipped to the ranges of
/// [`style`].
pub const NAMES: [&str; N] = [
    // Lengths
    "sentence_mean",
    "sentence_sd",
    "sentence_skew",
    "sentence_cv",
    "sentence_lag",
    "sentence_short",
    "sentence_long",
    "word_mean",
    "word_sd",
    "word_long",
    "paragraph_mean",
    "paragraph_cv",
    // Punctuation
    "comma",
    "semicolon",
    "colon",
    "question",
    "exclamation",
    "parenthesis",
    "dash",
    "quote",
    "ellipsis",
    // Vocabulary and repetition
    "type_token",
    "hapax",
    "yule_k",
    "simpson",
    "opening_repetition",
    "bigram_repetition",
    "compression",
    "entropy",
    // Words
    "function",
    "article",
    "pronoun",
    "preposition",
    "conjunction",
    "auxiliary",
    "determiner",
    "negation",
    "question_word",
    "contraction",
    "first_person",
    "second_person",
    "transition",
    "hedge",
    "intensifier",
    // Characters
    "digit",
    "uppercase",
    "cjk",
    // Chinese particles, per ideograph
    "zh_de",
    "zh_le",
    "zh_shi",
    "zh_zai",
    "zh_he",
    "zh_measure",
    // Formatting and typography, see FORMAT
    "heading",
    "bullet",
    "numbered",
    "bold",
    "link",
    "code",
    "table",
    "emoji",
    "curly_quote",
    "em_dash",
    "hidden",
];

/// The features that only say how a text was formatted or typed. They tell the habits of chat products from those of
/// web pages rather than machines from people; a model may leave them out.
pub const FORMAT: Range<usize> = 53..64;

/// Words in a window of the moving type-token ratio.
const WINDOW: usize = 50;
/// Words in a block in which words that occur once and repeated pairs are counted.
const BLOCK: usize = 100;
/// Bytes whose compression is measured; more would make the ratio a measure of length.
const COMPRESSED: usize = 8192;

/// Word classes as bits.
mod class {
    pub(super) const ARTICLE: u16 = 1;
    pub(super) const PRONOUN: u16 = 1 << 1;
    pub(super) const PREPOSITION: u16 = 1 << 2;
    pub(super) const CONJUNCTION: u16 = 1 << 3;
    pub(super) const AUXILIARY: u16 = 1 << 4;
    pub(super) const DETERMINER: u16 = 1 << 5;
    pub(super) const NEGATION: u16 = 1 << 6;
    pub(super) const QUESTION: u16 = 1 << 7;
    pub(super) const CONTRACTION: u16 = 1 << 8;
    pub(super) const FIRST: u16 = 1 << 9;
    pub(super) const SECOND: u16 = 1 << 10;
    pub(super) const TRANSITION: u16 = 1 << 11;
    pub(super) const HEDGE: u16 = 1 << 12;
    pub(super) const INTENSIFIER: u16 = 1 << 13;
    /// Classes of function words.
    pub(super) const FUNCTION: u16 = 0xFF | FIRST | SECOND;
    /// Number of classes.
    pub(super) const COUNT: usize = 14;
}

/// English words of each class.
const WORDS: &[(u16, &str)] = &[
    (class::ARTICLE, "a an the"),
    (
        class::PRONOUN,
        "he him his himself she her hers herself it its itself they them their theirs themselves one",
    ),
    (
        class::PREPOSITION,
        "about above across after against along among around at before behind below beneath beside between beyond by \
         despite down during for from in inside into like near of off on onto out outside over past since through \
         throughout to toward towards under until up upon via with within without",
    ),
    (
        class::CONJUNCTION,
        "and or but nor so yet because although though while whereas unless if whether as than",
    ),
    (
        class::AUXILIARY,
        "am is are was were be been being have has had having do does did can could will would shall should may \
         might must",
    ),
    (
        class::DETERMINER,
        "this that these those some any each every either neither both all few many much several such other another",
    ),
    (class::NEGATION, "no not none never nothing nobody nowhere neither nor cannot"),
    (class::QUESTION, "who whom whose which what when where why how"),
    (class::FIRST, "i me my mine myself we us our ours ourselves"),
    (class::SECOND, "you your yours yourself yourselves"),
    (
        class::TRANSITION,
        "however moreover furthermore additionally consequently therefore thus hence nevertheless nonetheless \
         meanwhile similarly likewise finally firstly secondly thirdly lastly overall ultimately accordingly \
         subsequently conversely instead otherwise besides indeed notably importantly specifically",
    ),
    (
        class::HEDGE,
        "perhaps maybe possibly probably likely seemingly apparently arguably somewhat fairly rather seem seems \
         seemed appear appears appeared suggest suggests suggested tend tends might could may generally typically \
         often usually sometimes",
    ),
    (
        class::INTENSIFIER,
        "very really extremely highly incredibly truly deeply particularly especially significantly crucial vital \
         essential pivotal absolutely completely totally quite",
    ),
];

/// Chinese words of two characters by class.
const CHINESE: &[(u16, &str)] = &[
    (class::FIRST, "我们 咱们 自己"),
    (class::SECOND, "你们 您们"),
    (class::PRONOUN, "他们 她们 它们"),
    (class::TRANSITION, "此外 然而 因此 总之 首先 其次 最后 同时 另外 其中 从而 进而 综上 不仅 而且 尽管"),
    (class::HEDGE, "可能 也许 或许 大概 似乎 一般 通常 往往 恐怕 好像"),
    (class::INTENSIFIER, "非常 十分 特别 极其 尤其 重要 关键 显著"),
    (class::CONJUNCTION, "但是 因为 所以 如果 虽然 或者 以及"),
    (class::NEGATION, "没有 不是 不会 不能"),
    (class::QUESTION, "什么 怎么 为何 哪里"),
    (class::DETERMINER, "这个 那个 这些 那些 每个"),
];

/// The style of a text.
///
/// Lengths of sentences and paragraphs are in words, of words in characters; `*_cv` is the standard deviation over
/// the mean, `sentence_lag` the correlation of neighbouring sentences' lengths. Every feature is finite, whatever the
/// text, and lies in `[-5, 5]` (skewness), `[-1, 1]` (correlation), `[0, 1000]` (`yule_k`, `paragraph_mean`),
/// `[0, 100]` (other means and deviations), `[0, 16]` (`entropy`, in bits), `[0, 5]` (`*_cv`, `compression`) or
/// `[0, 1]` (all rates).
///
/// Yule's K is that of "The Statistical Study of Literary Vocabulary" (1944), Simpson's index that of Nature 163
/// (1949), the moving type-token ratio of the Journal of Quantitative
/// Linguistics 17 (2010).
pub fn style(document: &Document, normalised: &Normalised, segmentation: &Segmentation) -> [f32; N] {
    let text = normalised.text.as_str();
    let words = &segmentation.words;
    let n = words.len().max(1) as f64;
    let mut out = Features { values: [0.0; N], at: 0 };

    let lengths: Vec<f64> = word_counts(words, &segmentation.sentences);
    let sentence = Moments::of(lengths.iter().copied());
    let share =
        |test: fn(f64) -> bool| lengths.iter().filter(|l| test(**l)).count() as f64 / sentence.n.max(1.0);
    out.push(sentence.mean, 0.0, 100.0);
    out.push(sentence.sd, 0.0, 100.0);
    out.push(sentence.skew, -5.0, 5.0);
    out.push(sentence.cv(), 0.0, 5.0);
    out.push(lag(&lengths, &sentence), -1.0, 1.0);
    out.rate(share(|l| l < 8.0));
    out.rate(share(|l| l > 30.0));
    // An ideograph says nothing about the length of words.
    let letters = words.iter().filter(|w| w.kind == WordKind::Letters);
    let letter_counts = letters.map(|w| text.get(w.range()).unwrap_or_default().chars().count() as f64);
    let (mut long, mut counted) = (0.0, 0.0);
    let word = Moments::of(letter_counts.inspect(|l| {
        long += f64::from(u8::from(*l > 6.0));
        counted += 1.0;
    }));
    out.push(word.mean, 0.0, 100.0);
    out.push(word.sd, 0.0, 100.0);
    out.rate(long / f64::max(counted, 1.0));
    let paragraph = Moments::of(word_counts(words, &segmentation.paragraphs).into_iter());
    out.push(paragraph.mean, 0.0, 1000.0);
    out.push(paragraph.cv(), 0.0, 5.0);

    let chars = Characters::of(text);
    for count in chars.marks {
        out.rate(count / n);
    }

    let ids = word_ids(text, words);
    let vocabulary = Vocabulary::of(&ids);
    out.rate(vocabulary.type_token);
    out.rate(vocabulary.hapax);
    out.push(vocabulary.yule_k, 0.0, 1000.0);
    out.rate(vocabulary.simpson);
    out.rate(opening_repetition(&ids, segmentation));
    out.rate(vocabulary.bigram_repetition);
    out.push(compression(text), 0.0, 5.0);
    out.push(chars.entropy, 0.0, 16.0);

    let classes = Classes::of(text, words);
    out.rate(classes.function / n);
    for count in classes.counts {
        out.rate(count / n);
    }

    out.rate(chars.digits / chars.visible.max(1.0));
    out.rate(chars.upper / chars.letters.max(1.0));
    out.rate(chars.cjk / chars.visible.max(1.0));
    for count in chars.particles {
        out.rate(count / chars.cjk.max(1.0));
    }

    let markup = &document.markup;
    let odd = &normalised.oddities;
    // Items stand for a line or a few words; the factor brings common rates to the size of the others.
    for count in [markup.headings, markup.bullets, markup.numbered, markup.bold, markup.links] {
        out.rate(10.0 * f64::from(count) / n);
    }
    for count in [markup.code_blocks, markup.tables, odd.emoji] {
        out.rate(10.0 * f64::from(count) / n);
    }
    for count in [odd.curly_quotes, odd.em_dashes, odd.hidden()] {
        out.rate(f64::from(count) / n);
    }
    debug_assert_eq!(out.at, N);
    out.values
}

/// Takes features one after the other.
struct Features {
    values: [f32; N],
    at: usize,
}

impl Features {
    fn push(&mut self, value: f64, low: f64, high: f64) {
        if let Some(slot) = self.values.get_mut(self.at) {
            *slot = if value.is_finite() { value.clamp(low, high) as f32 } else { 0.0 };
        }
        self.at += 1;
    }

    fn rate(&mut self, value: f64) {
        self.push(value, 0.0, 1.0);
    }
}

/// Number, mean, standard deviation (of the population) and skewness.
#[derive(Debug, Default)]
struct Moments {
    n: f64,
    mean: f64,
    sd: f64,
    skew: f64,
}

impl Moments {
    fn of(values: impl Iterator<Item = f64>) -> Self {
        let (mut n, mut s1, mut s2, mut s3) = (0.0, 0.0, 0.0, 0.0);
        for v in values {
            n += 1.0;
            s1 += v;
            s2 += v * v;
            s3 += v * v * v;
        }
        if n == 0.0 {
            return Self::default();
        }
        let mean = s1 / n;
        let variance = f64::max(s2 / n - mean * mean, 0.0);
        let third = s3 / n - 3.0 * mean * s2 / n + 2.0 * mean * mean * mean;
        // Lengths are whole numbers: a smaller deviation is rounding.
        let sd = if variance < 1e-9 { 0.0 } else { variance.sqrt() };
        Self { n, mean, sd, skew: if sd == 0.0 { 0.0 } else { third / (sd * sd * sd) } }
    }

    fn cv(&self) -> f64 {
        if self.mean > 0.0 { self.sd / self.mean } else { 0.0 }
    }
}

/// Correlation of neighbouring values.
fn lag(values: &[f64], moments: &Moments) -> f64 {
    if values.len() < 3 || moments.sd == 0.0 {
        return 0.0;
    }
    let sum: f64 = values.windows(2).map(|w| (w[0] - moments.mean) * (w[1] - moments.mean)).sum();
    sum / (moments.n * moments.sd * moments.sd)
}

/// Words in each of some ranges, those without any left out. Ranges and words are in order.
fn word_counts(words: &[Word], ranges: &[Range<usize>]) -> Vec<f64> {
    let mut words = words.iter().peekable();
    let counts = ranges.iter().map(|range| {
        let mut count = 0.0;
        while words.next_if(|w| (w.start as usize) < range.end).is_some() {
            count += 1.0;
        }
        count
    });
    counts.filter(|count| *count > 0.0).collect()
}

/// A number for each word, the same for the same lower-case word, counted up from 0.
fn word_ids(text: &str, words: &[Word]) -> Vec<u32> {
    let mut ids: HashMap<u64, u32> = HashMap::with_capacity(words.len().min(1 << 16) / 2);
    let id = |word: &Word| {
        let next = ids.len() as u32;
        *ids.entry(word_hash(text.get(word.range()).unwrap_or_default())).or_insert(next)
    };
    words.iter().map(id).collect()
}

/// Richness and repetition of the vocabulary.
struct Vocabulary {
    type_token: f64,
    hapax: f64,
    yule_k: f64,
    simpson: f64,
    bigram_repetition: f64,
}

impl Vocabulary {
    fn of(ids: &[u32]) -> Self {
        let types = ids.iter().max().map_or(0, |max| *max as usize + 1);
        let n = ids.len() as f64;
        let mut counts = vec![0_u32; types];
        let mut count = |id: u32, up: bool| {
            let slot = &mut counts[id as usize];
            if up {
                *slot += 1;
                u32::from(*slot == 1)
            } else {
                *slot -= 1;
                u32::from(*slot == 0)
            }
        };
        // Distinct words in a window that moves by one.
        let window = WINDOW.min(ids.len());
        let (mut distinct, mut sum, mut windows) = (0_u32, 0.0, 0.0);
        for (i, &id) in ids.iter().enumerate() {
            distinct += count(id, true);
            if let Some(&old) = i.checked_sub(window).and_then(|old| ids.get(old)) {
                distinct -= count(old, false);
            }
            if i + 1 >= window {
                sum += f64::from(distinct);
                windows += 1.0;
            }
        }
        let type_token = if window == 0 { 0.0 } else { sum / windows / window as f64 };

        counts.fill(0);
        for &id in ids {
            counts[id as usize] += 1;
        }
        let squares: f64 = counts.iter().map(|&c| f64::from(c).powi(2)).sum();
        let yule_k = if n > 0.0 { 1e4 * (squares - n) / (n * n) } else { 0.0 };
        let simpson = if n > 1.0 { (squares - n) / (n * (n - 1.0)) } else { 0.0 };

        // Whole blocks only, unless the text has less than one.
        let block = BLOCK.min(ids.len()).max(1);
        let (mut once, mut repeated, mut blocks) = (0.0, 0.0, 0.0);
        for block in ids.chunks_exact(block) {
            let mut sorted = block.to_vec();
            sorted.sort_unstable();
            once += sorted.chunk_by(|a, b| a == b).filter(|run| run.len() == 1).count() as f64
                / block.len() as f64;
            let mut pairs: Vec<(u32, u32)> = block.windows(2).map(|w| (w[0], w[1])).collect();
            pairs.sort_unstable();
            let distinct = pairs.chunk_by(|a, b| a == b).count() as f64;
            repeated += if pairs.is_empty() { 0.0 } else { 1.0 - distinct / pairs.len() as f64 };
            blocks += 1.0;
        }
        let blocks = f64::max(blocks, 1.0);
        Self { type_token, hapax: once / blocks, yule_k, simpson, bigram_repetition: repeated / blocks }
    }
}

/// Share of sentences that start with the same word as one of the three before.
fn opening_repetition(ids: &[u32], segmentation: &Segmentation) -> f64 {
    let mut openings = Vec::with_capacity(segmentation.sentences.len());
    let mut words = segmentation.words.iter().zip(ids).peekable();
    for sentence in &segmentation.sentences {
        let mut first = None;
        while let Some((_, id)) = words.next_if(|(w, _)| (w.start as usize) < sentence.end) {
            first = first.or(Some(*id));
        }
        openings.extend(first);
    }
    let repeats = (1..openings.len())
        .filter(|&i| openings[i.saturating_sub(3)..i].contains(&openings[i]))
        .count() as f64;
    repeats / openings.len().saturating_sub(1).max(1) as f64
}

/// Bytes after DEFLATE over bytes before, of the start of the text.
fn compression(text: &str) -> f64 {
    let bytes = text.as_bytes();
    let start = bytes.get(..COMPRESSED).unwrap_or(bytes);
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::new(6));
    match encoder.write_all(start).and_then(|()| encoder.finish()) {
        Ok(packed) if !start.is_empty() => packed.len() as f64 / start.len() as f64,
        _ => 0.0,
    }
}

/// Counts of characters.
#[derive(Default)]
struct Characters {
    visible: f64,
    letters: f64,
    upper: f64,
    digits: f64,
    cjk: f64,
    /// In the order of [`NAMES`], from `comma` to `ellipsis`.
    marks: [f64; 9],
    /// In the order of [`NAMES`], from `zh_de`.
    particles: [f64; 6],
    /// Of the distribution of lower-case characters, in bits.
    entropy: f64,
}

impl Characters {
    fn of(text: &str) -> Self {
        let mut out = Self::default();
        let mut ascii = [0_u32; 128];
        let mut others: HashMap<char, u32> = HashMap::new();
        let (mut before, mut before_that) = (' ', ' ');
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            let lower = if c == '\n' { ' ' } else { c.to_ascii_lowercase() };
            match ascii.get_mut(lower as usize) {
                Some(count) => *count += 1,
                None => *others.entry(lower).or_default() += 1,
            }
            if !c.is_whitespace() {
                out.visible += 1.0;
            }
            let next = chars.peek().copied().unwrap_or(' ');
            if c.is_alphabetic() {
                out.letters += 1.0;
                out.upper += f64::from(u8::from(c.is_uppercase()));
                if is_cjk(c) {
                    out.cjk += 1.0;
                    let particle = match c {
                        '的' | '地' | '得' => Some(0),
                        '了' => Some(1),
                        '是' => Some(2),
                        '在' => Some(3),
                        '和' | '与' | '及' => Some(4),
                        '个' | '种' | '些' => Some(5),
                        _ => None,
                    };
                    if let Some(slot) = particle.and_then(|i| out.particles.get_mut(i)) {
                        *slot += 1.0;
                    }
                }
            } else if c.is_ascii_digit() {
                out.digits += 1.0;
            } else {
                let mark = match c {
                    ',' | '、' => Some(0),
                    ';' => Some(1),
                    ':' => Some(2),
                    '?' => Some(3),
                    '!' => Some(4),
                    '(' => Some(5),
                    // A hyphen joins letters or digits, a dash does not.
                    '-' if !(before.is_ascii_alphanumeric() && next.is_ascii_alphanumeric()) => Some(6),
                    '"' => Some(7),
                    '.' if before == '.' && before_that == '.' => Some(8),
                    _ => None,
                };
                if let Some(slot) = mark.and_then(|i| out.marks.get_mut(i)) {
                    *slot += 1.0;
                }
            }
            before_that = before;
            before = c;
        }
        // In the order of the characters, so that rounding is the same in every run.
        let mut others: Vec<(char, u32)> = others.into_iter().collect();
        others.sort_unstable();
        let counts =
            || ascii.iter().chain(others.iter().map(|(_, count)| count)).map(|&count| f64::from(count));
        let total: f64 = counts().sum();
        out.entropy = counts()
            .filter(|count| *count > 0.0)
            .map(|count| -(count / total) * (count / total).log2())
            .sum();
        out
    }
}

/// Counts of word classes.
struct Classes {
    /// Words of any class of function words.
    function: f64,
    /// In the order of [`NAMES`], from `article`.
    counts: [f64; class::COUNT],
}

impl Classes {
    fn of(text: &str, words: &[Word]) -> Self {
        let mut out = Self { function: 0.0, counts: [0.0; class::COUNT] };
        for (i, word) in words.iter().enumerate() {
            let letters = text.get(word.range()).unwrap_or_default();
            let classes = match word.kind {
                WordKind::Letters => english_classes(letters),
                WordKind::Number => 0,
                WordKind::Cjk => match letters {
                    "我" => class::FIRST,
                    "你" | "您" => class::SECOND,
                    "他" | "她" | "它" => class::PRONOUN,
                    "不" | "没" => class::NEGATION,
                    _ => 0,
                },
            };
            let pair = match words.get(i + 1) {
                Some(next)
                    if word.kind == WordKind::Cjk && next.kind == WordKind::Cjk && word.end == next.start =>
                {
                    text.get(word.start as usize..next.end as usize).map_or(0, chinese_classes)
                }
                _ => 0,
            };
            let classes = classes | pair;
            out.function += f64::from(u8::from(classes & class::FUNCTION != 0));
            let mut left = classes;
            while left != 0 {
                if let Some(count) = out.counts.get_mut(left.trailing_zeros() as usize) {
                    *count += 1.0;
                }
                left &= left - 1;
            }
        }
        out
    }
}

/// Most bytes of a word in a list.
const LONGEST: usize = 16;

/// A word list by word: a hash table with places for twice as many, in which a word that finds its place taken has the next free one.
struct Table {
    /// The word as a number, and its classes; 0 is no word.
    places: Vec<(u128, u16)>,
}

impl Table {
    /// Makes a table of word lists, classes of the same word joined.
    fn new(lists: &[(u16, &'static str)]) -> Self {
        let words =
            || lists.iter().flat_map(|(class, words)| words.split_whitespace().map(|word| (word, *class)));
        let mut table = Self { places: vec![(0, 0); (2 * words().count()).next_power_of_two()] };
        for (word, class) in words() {
            let key = key(word.as_bytes());
            let at = table.find(key);
            if let Some(place) = table.places.get_mut(at) {
                *place = (key, place.1 | class);
            }
        }
        table
    }

    /// Where a word is or would be.
    fn find(&self, key: u128) -> usize {
        let folded = (key ^ key >> 64) as u64;
        let mask = self.places.len() - 1;
        let mut at = (folded.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) as usize & mask;
        while self.places.get(at).is_some_and(|place| place.0 != key && place.0 != 0) {
            at = (at + 1) & mask;
        }
        at
    }

    /// Classes of a word, 0 for one that is not in the lists.
    fn get(&self, word: &[u8]) -> u16 {
        if word.is_empty() || word.len() > LONGEST {
            return 0;
        }
        let key = key(word);
        self.places.get(self.find(key)).map_or(0, |place| place.1)
    }
}

/// A word of at most 16 bytes as a number.
fn key(word: &[u8]) -> u128 {
    let mut bytes = [0; LONGEST];
    for (to, from) in bytes.iter_mut().zip(word) {
        *to = *from;
    }
    u128::from_le_bytes(bytes)
}

/// Classes of an English word.
fn english_classes(word: &str) -> u16 {
    static TABLE: std::sync::LazyLock<Table> = std::sync::LazyLock::new(|| Table::new(WORDS));
    let mut lower = [0_u8; LONGEST];
    let Some(lower) = lower.get_mut(..word.len()).filter(|_| word.is_ascii()) else { return 0 };
    lower.copy_from_slice(word.as_bytes());
    lower.make_ascii_lowercase();
    let Some(apostrophe) = lower.iter().position(|b| *b == b'\'') else { return TABLE.get(lower) };
    let (stem, ending) = lower.split_at(apostrophe);
    let classes = match ending {
        // "don't" is "don" and "'t"
        b"'t" if stem.ends_with(b"n") => class::NEGATION | class::AUXILIARY,
        b"'re" | b"'ve" | b"'ll" | b"'m" | b"'d" => class::AUXILIARY,
        // Other words before 's are owners.
        b"'s"
            if ["it", "that", "he", "she", "what", "there", "here", "let", "who", "where", "how"]
                .iter()
                .any(|s| s.as_bytes() == stem) =>
        {
            class::AUXILIARY
        }
        _ => return TABLE.get(stem),
    };
    class::CONTRACTION | classes | TABLE.get(stem)
}

/// Classes of a Chinese word of two characters.
fn chinese_classes(word: &str) -> u16 {
    static TABLE: std::sync::LazyLock<Table> = std::sync::LazyLock::new(|| Table::new(CHINESE));
    TABLE.get(word.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::{document, normalise, segment};

    fn of(text: &str) -> HashMap<&'static str, f32> {
        let document = document(text);
        let normalised = normalise(&document.text);
        let values = style(&document, &normalised, &segment(&normalised.text));
        assert!(values.iter().all(|v| v.is_finite()));
        NAMES.into_iter().zip(values).collect()
    }

    #[test]
    fn every_listed_word_is_found_with_all_its_classes() {
        for lists in [WORDS, CHINESE] {
            let table = Table::new(lists);
            let mut expected: HashMap<&str, u16> = HashMap::new();
            for (class, words) in lists {
                for word in words.split_whitespace() {
                    assert!(word.len() <= LONGEST, "{word}");
                    *expected.entry(word).or_default() |= class;
                }
            }
            assert!(expected.iter().all(|(word, classes)| table.get(word.as_bytes()) == *classes));
        }
        let table = Table::new(WORDS);
        assert!(["", "zyzzyva", "a word that is too long"].iter().all(|w| table.get(w.as_bytes()) == 0));
    }

    fn check(features: &HashMap<&str, f32>, expected: &[(&str, f64)]) {
        for (name, value) in expected {
            assert!(
                (f64::from(features[name]) - value).abs() < 1e-4,
                "{name}: {} is not {value}",
                features[name]
            );
        }
    }

    // Expected values from Python:
    //   S = [number of words of each sentence]; m = mean(S); sd = sqrt(mean((x - m)**2)); skew = mean((x - m)**3)/sd**3
    //   lag = sum((a - m)*(b - m) for a, b in zip(S, S[1:]))/(len(S)*sd**2)
    //   w = re.findall(r"[A-Za-z]+(?:'[A-Za-z]+)?", text.lower()); c = Counter(w); Q = sum(v*v for v in c.values())
    //   yule = 1e4*(Q - len(w))/len(w)**2; simpson = (Q - len(w))/(len(w)*(len(w) - 1))
    //   entropy = -sum(p*log2(p) for p in frequencies(text.lower().replace("\n", " ")))
    //   z = zlib.compressobj(6, 8, -15); compression = len(z.compress(b) + z.flush())/len(b)
    #[test]
    fn agrees_with_an_independent_computation() {
        let features = of(
            "However, the committee didn't agree. It met on Tuesday, and it left early; nobody voted! Perhaps you \
             think that we should wait...\nIt was \"late\" - very late.",
        );
        check(
            &features,
            &[
                ("sentence_mean", 6.75),
                ("sentence_sd", 2.046_338),
                ("sentence_skew", 0.689_254),
                ("sentence_cv", 0.303_161),
                ("sentence_lag", -0.317_164),
                ("sentence_short", 0.75),
                ("word_mean", 4.333_333),
                ("word_sd", 1.825_742),
                ("word_long", 0.148_148),
                ("paragraph_mean", 13.5),
                ("type_token", 0.888_889),
                ("hapax", 0.814_815),
                ("yule_k", 109.739_369),
                ("simpson", 0.011_396),
                ("entropy", 4.248_860),
                ("opening_repetition", 1.0 / 3.0),
                ("bigram_repetition", 0.0),
                ("comma", 2.0 / 27.0),
                ("semicolon", 1.0 / 27.0),
                ("exclamation", 1.0 / 27.0),
                ("ellipsis", 1.0 / 27.0),
                ("dash", 1.0 / 27.0),
                ("quote", 2.0 / 27.0),
                ("article", 1.0 / 27.0),
                ("negation", 2.0 / 27.0),
                ("contraction", 1.0 / 27.0),
                ("first_person", 1.0 / 27.0),
                ("second_person", 1.0 / 27.0),
                ("transition", 1.0 / 27.0),
                ("hedge", 1.0 / 27.0),
                ("intensifier", 1.0 / 27.0),
                ("uppercase", 0.043_103),
                ("heading", 0.0),
            ],
        );
        assert!((f64::from(features["compression"]) - 0.801_282).abs() < 0.02);
    }

    #[test]
    fn windows_move_and_blocks_do_not() {
        // Words a b ... of a cycle of 60: every window of 50 holds 50 types, every block of 100 has 20 single words
        // (60 types, 40 of them twice) and no pair but 39 of the 99 again.
        let names: Vec<String> = (0..60_u8)
            .map(|i| format!("w{}{}", char::from(b'a' + i / 8), char::from(b'a' + i % 8)))
            .collect();
        let text: Vec<&str> = (0..240).map(|i| names[i % 60].as_str()).collect();
        check(
            &of(&text.join(" ")),
            &[("type_token", 1.0), ("hapax", 0.2), ("bigram_repetition", 39.0 / 99.0)],
        );
    }

    #[test]
    fn chinese_and_formatting() {
        let features = of("# 标题\n\n- **我们**是在这里的。\n- 然而他走了,也许吧。");
        check(
            &features,
            &[
                ("zh_de", 1.0 / 17.0),
                ("zh_le", 1.0 / 17.0),
                ("zh_shi", 1.0 / 17.0),
                ("transition", 1.0 / 17.0),
            ],
        );
        check(&features, &[("heading", 10.0 / 17.0), ("bold", 10.0 / 17.0), ("bullet", 1.0)]);
        assert_eq!(NAMES[FORMAT.start], "heading");
        assert_eq!(FORMAT.end, N);
    }

    #[test]
    fn nothing_is_still_finite() {
        for text in ["", "a", ".", "\n", "😀", "中", "1"] {
            of(text);
        }
    }
}

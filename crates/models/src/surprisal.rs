//! How much a text surprises two small language models, one of people's writing and one of machines'.

use std::sync::OnceLock;

use candor_features::text::{Segmentation, Trigram, WORD_BITS, trigrams};
use half::f16;

use crate::{
    Error, Result,
    net::{FROZEN, Params, Start},
};

/// Words that the shorter context counts for where a longer one is rare: strength of the Dirichlet prior for pairs and for triples.
const PRIOR: [f32; 2] = [8.0, 4.0];
/// Pairs and triples that were seen less often are forgotten: most of the latter are accidents of one text.
const LEAST: [u16; 2] = [1, 2];
/// Sizes that a model may have.
pub(crate) const BITS: std::ops::RangeInclusive<u32> = 8..=WIDE;
/// Numbers that describe the surprise of one sequence.
const STATISTICS: usize = 9;
/// Number of features.
pub(crate) const N: usize = 3 * STATISTICS + 2;

/// The features that are reported: their names and places.
pub(crate) const MEANS: [(&str, usize); 2] = [("surprisal_genuine", 0), ("surprisal_machine", STATISTICS)];

/// Names of the two models.
const SIDES: [&str; 2] = ["genuine", "machine"];
/// Names of a model's tables.
const TABLES: [&str; 3] = ["words", "pairs", "triples"];

fn variable(side: &str, table: &str) -> String {
    format!("{FROZEN}surprisal.{side}.{table}")
}

/// Sizes of the tables for pairs of `bits`.
fn sizes(bits: u32) -> [usize; 3] {
    [1 << WORD_BITS, 1 << bits, 2 << bits]
}

/// Logarithm of the number of buckets that pairs are counted in: so many that few of them share one. What is rare is dropped before the
/// buckets are brought together as a model keeps them.
const WIDE: u32 = 23;

/// Counts of words, pairs and triples, by bucket.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Counts {
    words: Vec<u32>,
    /// Pairs and triples.
    sequences: [Vec<u16>; 2],
}

impl Counts {
    pub(crate) fn new() -> Self {
        let [words, pairs, triples] = sizes(WIDE);
        Self { words: vec![0; words], sequences: [vec![0; pairs], vec![0; triples]] }
    }

    /// Counts a text in its normal form.
    pub(crate) fn add(&mut self, text: &str, segmentation: &Segmentation) {
        let [pairs, triples] = &mut self.sequences;
        let more = |table: &mut [u16], bucket: u32| {
            if let Some(count) = table.get_mut(bucket as usize) {
                *count = count.saturating_add(1);
            }
        };
        for t in trigrams(text, segmentation, WIDE) {
            self.words[t.word as usize] += 1;
            more(pairs, t.pair);
            more(triples, t.triple);
            if t.first {
                // The marks before a sentence are contexts, too.
                self.words[t.before as usize] += 1;
                more(pairs, t.pair_before);
            }
        }
    }

    /// The sum of some counts.
    pub(crate) fn sum<'a>(parts: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut sum = Self::new();
        for part in parts {
            sum.words.iter_mut().zip(&part.words).for_each(|(a, b)| *a += b);
            for (all, more) in sum.sequences.iter_mut().zip(&part.sequences) {
                all.iter_mut().zip(more).for_each(|(a, b)| *a = a.saturating_add(*b));
            }
        }
        sum
    }

    /// `ln(1 + count)` of each table of a model with `2^bits` buckets for pairs.
    fn tables(&self, bits: u32) -> [Vec<f16>; 3] {
        let logarithm = |c: u32| f16::from_f32((c as f32).ln_1p());
        let [pairs, triples] = [0, 1].map(|i| {
            // The bits of a bucket are the first ones of its hash, so neighbours come together.
            self.sequences[i]
                .chunks(1 << (WIDE - bits))
                .map(|c| logarithm(c.iter().filter(|&&n| n >= LEAST[i]).map(|&n| u32::from(n)).sum()))
                .collect()
        });
        [self.words.iter().map(|&c| logarithm(c)).collect(), pairs, triples]
    }
}

/// Two trigram models with hierarchical Dirichlet priors (`MacKay` and Peto 1995, "A hierarchical Dirichlet language model"): the
/// probability of a word after two others is `(c(uvw) + m p(w|v)) / (c(uv) + m)`, and so on down to single words.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Surprisal {
    bits: u32,
    /// Of each model, `ln(1 + count)` in each table. They stay as the file has them: most texts need few of these millions.
    tables: [[Vec<f16>; 3]; 2],
    /// Words in each model.
    total: [f32; 2],
}

impl Surprisal {
    /// From counts of genuine and machine-made texts, with `2^bits` buckets for pairs and twice as many for triples.
    pub(crate) fn new(bits: u32, counts: [&Counts; 2]) -> Self {
        let bits = bits.clamp(*BITS.start(), *BITS.end());
        Self::of(bits, counts.map(|c| c.tables(bits)))
    }

    fn of(bits: u32, tables: [[Vec<f16>; 3]; 2]) -> Self {
        let words = |t: &[Vec<f16>; 3]| t[0].iter().map(|v| f64::from(*v).exp_m1()).sum::<f64>() as f32;
        let total = [words(&tables[0]), words(&tables[1])];
        Self { bits, tables, total }
    }

    /// Puts the tables among the variables that a weight file is made of.
    pub(crate) fn store(&self, params: &mut Params) -> Result<()> {
        for (side, tables) in SIDES.iter().zip(&self.tables) {
            for (table, values) in TABLES.iter().zip(tables) {
                let name = variable(side, table);
                params.get(&name, &[values.len()], Start::Constant(0.0))?;
                params.set(&name, values.iter().map(|v| v.to_f32()).collect())?;
            }
        }
        Ok(())
    }

    /// From a weight file in f16 or f32.
    ///
    /// # Errors
    /// When it is damaged or has no such tables.
    pub(crate) fn load(bits: u32, weights: &[u8]) -> Result<Self> {
        let wrong = |e: String| Error::model("text", e);
        let file = safetensors::SafeTensors::deserialize(weights).map_err(|e| wrong(e.to_string()))?;
        let read = |side: &str, table: usize| -> Result<Vec<f16>> {
            let name = variable(side, TABLES[table]);
            let view = file.tensor(&name).map_err(|e| wrong(format!("{name}: {e}")))?;
            if view.shape() != [sizes(bits)[table]] {
                return Err(wrong(format!("{name}: not {} values", sizes(bits)[table])));
            }
            let bytes = view.data();
            match view.dtype() {
                safetensors::Dtype::F16 => {
                    Ok(bytes.as_chunks::<2>().0.iter().map(|b| f16::from_le_bytes(*b)).collect())
                }
                safetensors::Dtype::F32 => {
                    let values = bytes.as_chunks::<4>().0.iter();
                    Ok(values.map(|b| f16::from_f32(f32::from_le_bytes(*b))).collect())
                }
                other => Err(wrong(format!("{name}: {other:?} is neither f16 nor f32"))),
            }
        };
        let side = |name: &str| Ok::<_, Error>([read(name, 0)?, read(name, 1)?, read(name, 2)?]);
        Ok(Self::of(bits, [side(SIDES[0])?, side(SIDES[1])?]))
    }

    /// Negative logarithm of the probability of each word in one of the models, in nats.
    fn surprise(&self, side: usize, text: &[Trigram]) -> Vec<f32> {
        let [words, pairs, triples] = &self.tables[side];
        let counts = counts();
        let count = |table: &[f16], bucket: u32| {
            let stored = table.get(bucket as usize).and_then(|v| counts.get(usize::from(v.to_bits())));
            stored.copied().unwrap_or_default()
        };
        let flat = 0.5;
        let all = self.total[side] + flat * (1 << WORD_BITS) as f32;
        text.iter()
            .map(|t| {
                let p = (count(words, t.word) + flat) / all;
                let p = (count(pairs, t.pair) + PRIOR[0] * p) / (count(words, t.before) + PRIOR[0]);
                let context = count(pairs, t.pair_before);
                // Buckets are shared: no triple is more frequent than its context.
                let p = (count(triples, t.triple).min(context) + PRIOR[1] * p) / (context + PRIOR[1]);
                -p.min(1.0).ln()
            })
            .collect()
    }

    /// The features of a text: statistics of the surprise of each model and of their difference (the
    /// diversity of surprise that `DivEye` measures), the share of words that surprise the model of machines less, and the ratio of both means (the
    /// idea of Hans et al. 2024, "Binoculars": surprise in units of what was to be expected). A text of fewer than four words has none: zeros.
    pub(crate) fn features(&self, text: &str, segmentation: &Segmentation) -> [f32; N] {
        let mut out = [0.0; N];
        let places = trigrams(text, segmentation, self.bits);
        if places.len() < 4 {
            return out;
        }
        let genuine = self.surprise(0, &places);
        let machine = self.surprise(1, &places);
        let difference: Vec<f32> = genuine.iter().zip(&machine).map(|(g, m)| g - m).collect();
        let less = difference.iter().filter(|&&d| d > 0.0).count() as f32 / places.len() as f32;
        let parts = [statistics(&genuine), statistics(&machine), statistics(&difference)];
        let ratio = parts[0][0] / parts[1][0].max(1e-3);
        let values = parts.iter().flatten().copied().chain([less, ratio]);
        out.iter_mut().zip(values).for_each(|(o, v)| *o = v);
        out
    }
}

/// The count that each stored logarithm stands for, by its bits: a word asks for ten of them. Below zero there are none.
fn counts() -> &'static [f32] {
    static COUNTS: OnceLock<Vec<f32>> = OnceLock::new();
    let count = |bits: u16| f16::from_bits(bits).to_f32().exp_m1();
    COUNTS.get_or_init(|| (0..=f16::INFINITY.to_bits()).map(count).collect())
}

/// Mean, standard deviation, skewness, kurtosis, mean and standard deviation of the change from word to word, correlation of neighbours, 10th and
/// 90th percentile.
fn statistics(values: &[f32]) -> [f32; STATISTICS] {
    let n = values.len() as f64;
    let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
    let sd = (values.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / n).sqrt() + 1e-6;
    let z: Vec<f64> = values.iter().map(|&v| (f64::from(v) - mean) / sd).collect();
    let moment = |p: i32| z.iter().map(|v| v.powi(p)).sum::<f64>() / n;
    let steps: Vec<f64> = values.windows(2).map(|w| f64::from(w[1]) - f64::from(w[0])).collect();
    let m = steps.len().max(1) as f64;
    let step_mean = steps.iter().sum::<f64>() / m;
    let step_sd = (steps.iter().map(|s| (s - step_mean).powi(2)).sum::<f64>() / m).sqrt();
    let lag = z.windows(2).map(|w| w[0] * w[1]).sum::<f64>() / m;
    let mut values = values.to_vec();
    let mut quantile = |q: f64| {
        let at = q * (values.len() - 1) as f64;
        let (low, part) = (at as usize, at.fract());
        // What is left of a place after the selection is below it.
        let next = (low + 1).min(values.len() - 1);
        let (before, high, _) = values.select_nth_unstable_by(next, f32::total_cmp);
        let low = before.iter().copied().max_by(f32::total_cmp).unwrap_or(*high);
        f64::from(low) * (1.0 - part) + f64::from(*high) * part
    };
    let (tenth, last_tenth) = (quantile(0.1), quantile(0.9));
    [
        mean,
        sd,
        moment(3),
        moment(4),
        steps.iter().map(|s| s.abs()).sum::<f64>() / m,
        step_sd,
        lag,
        tenth,
        last_tenth,
    ]
    .map(|v| v as f32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candor_features::text::segment;

    fn counted(texts: &[&str]) -> Counts {
        let mut counts = Counts::new();
        for text in texts {
            counts.add(text, &segment(text));
        }
        counts
    }

    #[test]
    fn probabilities_follow_the_formula() {
        let people = counted(&["the cat sat", "the cat ran", "the cat ran"]);
        let model = Surprisal::new(12, [&people, &counted(&["a dog"])]);
        let text = "the cat ran";
        let got = model.surprise(0, &trigrams(text, &segment(text), 12));
        // 9 words and 3 marks; "the" 3, "cat" 3, "ran" 2; every sentence begins with "the"; what was seen once is forgotten.
        let all = 12.0 + 0.5 * 65536.0_f64;
        let frequent = (3.0 + 8.0 * (3.0 + 0.5) / all) / (3.0 + 8.0);
        let frequent = (3.0 + 4.0 * frequent) / (3.0 + 4.0);
        let ran = (2.0 + 8.0 * (2.0 + 0.5) / all) / (3.0 + 8.0);
        let ran = (2.0 + 4.0 * ran) / (3.0 + 4.0);
        for (got, want) in got.iter().zip([frequent, frequent, ran]) {
            // The counts are kept in 11 bits.
            assert!((f64::from(*got) + want.ln()).abs() < 2e-3, "{got} instead of {}", -want.ln());
        }
    }

    #[test]
    fn each_model_is_surprised_less_by_its_own() {
        let people = ["we walked down to the river and it rained"; 2];
        let machine = ["it is important to note the role that rivers play"; 2];
        let model = Surprisal::new(12, [&counted(&people), &counted(&machine)]);
        let of = |text: &str| model.features(text, &segment(text));
        let (own, other) =
            (of("we walked down to the river and home"), of("it is important to note the role of rivers"));
        let mean = |f: [f32; N]| f[2 * STATISTICS];
        assert!(mean(own) < 0.0 && mean(other) > 0.0);
        assert!(own[N - 2] < other[N - 2] && own[N - 1] < other[N - 1]);
        assert_eq!(of("two words"), [0.0; N]);
    }

    #[test]
    fn parts_add_up_and_tables_come_back() {
        let (a, b) = (counted(&["one two three four"]), counted(&["two three four five"]));
        assert_eq!(Counts::sum([&a, &b]), counted(&["one two three four", "two three four five"]));
        let model = Surprisal::new(12, [&Counts::sum([&a, &b]), &a]);
        let mut params = Params::new(0);
        model.store(&mut params).unwrap();
        let weights = params.to_safetensors().unwrap();
        assert_eq!(Surprisal::load(12, &weights).unwrap(), model);
        let wide = params.to_safetensors_f32().unwrap();
        assert_eq!(Surprisal::load(12, &wide).unwrap(), model);
        assert!(Surprisal::load(13, &weights).is_err() && Surprisal::load(12, &weights[..9]).is_err());
    }

    #[test]
    fn statistics_agree_with_numpy() {
        // v = np.array([1, 3, 2, 5, 4.5]); z = (v - v.mean()) / (v.std() + 1e-6); d = np.diff(v)
        // [v.mean(), v.std(), (z**3).mean(), (z**4).mean(), abs(d).mean(), d.std(), (z[1:]*z[:-1]).mean(), *np.percentile(v, (10, 90))]
        let got = statistics(&[1.0, 3.0, 2.0, 5.0, 4.5]);
        for (got, want) in got.iter().zip(WANT) {
            assert!((got - want).abs() < 1e-4, "{got} instead of {want}");
        }
    }

    const WANT: [f32; STATISTICS] =
        [3.1, 1.496_663, -0.059_060, 1.506_134, 1.625, 1.672_386, 0.099_330, 1.4, 4.8];
}

//! Detection of machine-written text.

use std::sync::Arc;

use candle_core::{Device, Tensor};
use candor_features::{
    Media, MediaKind,
    text::{Language, STYLE_FORMAT, STYLE_LEN, STYLE_NAMES, TextConfig, TextFeatures, each_hit, features},
};

use crate::{
    Abstention, AbstentionCode, Detection, Detector, Error, Fact, Result, ScoreMap,
    kernels::SparseRows,
    net::{NgramNet, NgramNetConfig, Params},
    surprisal::{self, Surprisal},
};

/// Least words (an ideograph counts as one) for an answer.
const LEAST_WORDS: usize = 60;
/// Least ideographs for an answer.
const LEAST_IDEOGRAPHS: usize = 100;
/// Words from which on a text is long.
const SHORT_WORDS: usize = 150;
/// Ideographs from which on a text is long.
const SHORT_IDEOGRAPHS: usize = 250;
/// Standardised style features are clipped here: a single odd text must not outweigh everything.
const CLIP: f32 = 3.0;

/// The style features that the network reads: all but those of the markup, which tell a chat window from an essay
/// better than a machine from a person.
pub(crate) fn style_inputs() -> Vec<usize> {
    (0..STYLE_LEN).filter(|i| !STYLE_FORMAT.contains(i)).collect()
}

/// An [`NgramNet`] with its features.
pub(crate) struct NgramDetector {
    net: NgramNet,
    weights: Vec<f32>,
    features: TextConfig,
    standard: Standard,
    /// Size of the language models, 0 for none, and they once they are loaded.
    bits: u32,
    surprisal: Option<Surprisal>,
}

/// Mean and standard deviation of the style features over the training texts.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Standard {
    /// Means.
    pub(crate) mean: Vec<f32>,
    /// Standard deviations, positive.
    pub(crate) sd: Vec<f32>,
}

impl Standard {
    /// From rows of raw features.
    pub(crate) fn fit(rows: &[Vec<f32>]) -> Self {
        let n = rows.len().max(1) as f64;
        let d = rows.first().map_or(0, Vec::len);
        let mean: Vec<f64> = (0..d).map(|j| rows.iter().map(|r| f64::from(r[j])).sum::<f64>() / n).collect();
        let sd = (0..d).map(|j| {
            let var = rows.iter().map(|r| (f64::from(r[j]) - mean[j]).powi(2)).sum::<f64>() / n;
            var.sqrt().max(1e-6) as f32
        });
        Self { sd: sd.collect(), mean: mean.iter().map(|&m| m as f32).collect() }
    }

    /// Standardised and clipped.
    pub(crate) fn apply(&self, row: &[f32]) -> Vec<f32> {
        let scaled = row.iter().zip(&self.mean).zip(&self.sd).map(|((v, m), s)| (v - m) / s);
        scaled.map(|v| v.clamp(-CLIP, CLIP)).collect()
    }
}

/// Raw inputs of the style branch for one text: style, and how much the text surprises the two language models.
pub(crate) fn raw_style(f: &TextFeatures, models: Option<&Surprisal>) -> Vec<f32> {
    let mut inputs: Vec<f32> = style_inputs().into_iter().map(|i| f.style[i]).collect();
    if let Some(models) = models {
        inputs.extend(models.features(&f.normalised.text, &f.segmentation));
    }
    inputs
}

/// Number of inputs of the style branch.
pub(crate) fn inputs(network: &NgramNetConfig) -> usize {
    style_inputs().len() + if network.surprisal > 0 { surprisal::N } else { 0 }
}

impl NgramDetector {
    pub(crate) fn new(
        params: &mut Params,
        config: &NgramNetConfig,
        features: TextConfig,
        standard: Standard,
    ) -> Result<Self> {
        if config.surprisal > 0 && !surprisal::BITS.contains(&config.surprisal) {
            return Err(Error::model("text", format!("surprisal is 0 or {:?}", surprisal::BITS)));
        }
        let style = inputs(config);
        if standard.mean.len() != style || standard.sd.len() != style || config.style != style {
            return Err(Error::model("text", format!("this version has {style} style features")));
        }
        let net = NgramNet::new(params, config)?;
        Ok(Self { net, weights: Vec::new(), features, standard, bits: config.surprisal, surprisal: None })
    }

    /// Takes the weights of n-grams for the shares of sentences and the language models of the file; call it after the parameters
    /// were set.
    pub(crate) fn ready(mut self, file: &[u8]) -> Result<Self> {
        self.weights = self.net.weights()?;
        self.surprisal = (self.bits > 0).then(|| Surprisal::load(self.bits, file)).transpose()?;
        Ok(self)
    }

    /// Each sentence's share of the n-gram logit: the shares and the bias add up to it, but for rounding.
    fn sentence_logits(&self, f: &TextFeatures) -> Vec<f32> {
        // What one hit of each bucket adds.
        let buckets = f.bag.index.iter().zip(&f.bag.value).zip(&f.bag.count);
        let shares: Vec<f32> = buckets
            .map(|((&bucket, &value), &count)| {
                let weight = self.weights.get(bucket as usize).copied().unwrap_or_default();
                (f64::from(weight) * f64::from(value) / f64::from(count.max(1))) as f32
            })
            .collect();
        // All but the shortest texts hit so many buckets that a table of all is sooner read than a list is searched.
        let table = (shares.len() > self.weights.len() / 256).then(|| {
            let mut table = vec![0.0; self.weights.len()];
            for (&bucket, &share) in f.bag.index.iter().zip(&shares) {
                if let Some(place) = table.get_mut(bucket as usize) {
                    *place = share;
                }
            }
            table
        });
        let of = |bucket: u32| match &table {
            Some(table) => table.get(bucket as usize).copied(),
            None => f.bag.index.binary_search(&bucket).ok().and_then(|at| shares.get(at).copied()),
        };
        (0..f.segmentation.sentences.len())
            .map(|i| {
                let mut sum = 0.0;
                each_hit(&f.normalised.text, &f.segmentation, i, &self.features.ngrams, |bucket| {
                    sum += f64::from(of(bucket).unwrap_or_default());
                });
                sum as f32
            })
            .collect()
    }
}

impl NgramDetector {
    /// The features of a text and what is said of them.
    pub(crate) fn read(&self, media: &Media) -> Result<(TextFeatures, Detection)> {
        let Media::Text(document) = media else { return Err(Error::WrongKind("a text detector".into())) };
        let f = features(document, &self.features);
        let rows = Arc::new(SparseRows::from_rows([(&f.bag.index[..], &f.bag.value[..])]));
        let grams = f64::from(self.net.grams(&rows)?.to_vec1::<f32>()?[0]);
        let raw = raw_style(&f, self.surprisal.as_ref());
        let style = self.standard.apply(&raw);
        let width = style.len();
        let style = Tensor::from_vec(style, (1, width), &Device::Cpu)?;
        let style = match self.net.style(&style)? {
            Some(y) => f64::from(y.to_vec1::<f32>()?[0]),
            None => 0.0,
        };
        let logit = grams + style;
        if !logit.is_finite() {
            return Err(Error::NotFinite("text".into()));
        }
        let logits = self.sentence_logits(&f);
        let n = logits.len().max(1) as f64;
        let centre = logits.iter().map(|&l| f64::from(l)).sum::<f64>() / n;
        let spread = (logits.iter().map(|&l| (f64::from(l) - centre).powi(2)).sum::<f64>() / n).sqrt();
        let mut facts = vec![
            Fact { name: "ngram_logit".into(), value: grams, unit: String::new() },
            Fact { name: "style_logit".into(), value: style, unit: String::new() },
            Fact { name: "words".into(), value: f.words as f64, unit: String::new() },
        ];
        for (name, value) in
            surprisal::MEANS.iter().filter_map(|(n, i)| Some((n, raw.get(style_inputs().len() + i)?)))
        {
            facts.push(Fact { name: (*name).into(), value: f64::from(*value), unit: "nats per word".into() });
        }
        facts.extend(STYLE_NAMES.iter().zip(f.style).map(|(name, v)| Fact {
            name: (*name).into(),
            value: f64::from(v),
            unit: String::new(),
        }));
        let found = Detection {
            logit,
            spread,
            abstain: abstain(&f),
            stratum: stratum(&f).to_owned(),
            map: ScoreMap::Sentences { ranges: f.document_sentences(), logits },
            facts,
        };
        Ok((f, found))
    }
}

impl Detector for NgramDetector {
    fn kind(&self) -> MediaKind {
        MediaKind::Text
    }

    fn detect(&self, media: &Media) -> Result<Detection> {
        Ok(self.read(media)?.1)
    }
}

/// Scores of short texts lie further apart than those of long ones, and those of the two languages are not on one scale: one
/// threshold for all would accuse writers of short texts more often than others.
fn stratum(f: &TextFeatures) -> &'static str {
    match (f.language == Language::Chinese, f.words) {
        (false, ..SHORT_WORDS) => "short",
        (false, _) => "long",
        (true, ..SHORT_IDEOGRAPHS) => "short, Chinese",
        (true, _) => "long, Chinese",
    }
}

fn abstain(f: &TextFeatures) -> Option<Abstention> {
    if !f.language.covered() {
        return Some(Abstention {
            code: AbstentionCode::LanguageNotCovered,
            message:
                "the text is neither English nor Chinese, the languages that this detector was trained on"
                    .into(),
        });
    }
    let (least, unit) = if f.language == Language::Chinese {
        (LEAST_IDEOGRAPHS, "characters")
    } else {
        (LEAST_WORDS, "words")
    };
    (f.words < least).then(|| Abstention {
        code: AbstentionCode::TooShort,
        message: format!("{} {unit}; at least {least} are needed", f.words),
    })
}

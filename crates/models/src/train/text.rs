//! Training on texts.

use std::sync::Arc;

use candle_core::{Device, Tensor};
use candor_features::{
    Media,
    text::{
        Language, STYLE_FORMAT, STYLE_NAMES, TextCondition, TextConfig, document, features, language,
        normalise, segment,
    },
};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use sha2::{Digest, Sha256};

use super::{
    Event, Leak, Measured, Subject, Task, TextTask, TrainConfig,
    copies::near_copies,
    image::{Answer, conditions, facts_of, item_rng, split},
    manifest::{Item, Source},
};
use crate::{
    Detector, Error, Result,
    kernels::{BceWithLogits, SparseRows},
    metrics::Scored,
    model_file::Architecture,
    net::{NgramNet, Params},
    probe::Facts,
    surprisal::{Counts, Surprisal},
    text::{Standard, inputs, raw_style},
};

/// Conditions that the detector is measured under.
const CONDITIONS: [TextCondition; 3] =
    [TextCondition::Clean, TextCondition::Whitespace, TextCondition::Homoglyph];
/// Style features that count punctuation.
const PUNCTUATION: [&str; 9] =
    ["comma", "semicolon", "colon", "question", "exclamation", "parenthesis", "dash", "quote", "ellipsis"];
/// Style features are standardised on at most this many training texts.
const STANDARD_TEXTS: usize = 4000;

/// Parts that the training texts are divided into, groups as a whole: the language models that describe a text never counted its part, as
/// they never counted what they will meet later.
const PARTS: usize = 4;

/// The language models that describe each text.
struct Models {
    /// For the texts of each part those of the others, then those of all for what takes no part in training.
    models: Vec<Surprisal>,
    /// The models of each item.
    of: Vec<usize>,
}

impl Models {
    fn new(items: &[Item], bits: u32) -> Self {
        let of: Vec<usize> = items
            .iter()
            .map(|i| if i.dev { PARTS } else { part_of(&format!("{} {}", i.fabricated, i.group)) })
            .collect();
        let counts: Vec<[Counts; 2]> = (0..PARTS)
            .into_par_iter()
            .map(|part| {
                let mut counts = [Counts::new(), Counts::new()];
                for (item, _) in items.iter().zip(&of).filter(|(_, p)| **p == part) {
                    let text = normalise(body(item)).text;
                    counts[usize::from(item.fabricated)].add(&text, &segment(&text));
                }
                counts
            })
            .collect();
        let without = |part: usize| {
            let [genuine, machine] = [0, 1].map(|class: usize| {
                Counts::sum(counts.iter().enumerate().filter(|(p, _)| *p != part).map(|(_, c)| &c[class]))
            });
            Surprisal::new(bits, [&genuine, &machine])
        };
        Self { models: (0..=PARTS).map(without).collect(), of }
    }

    fn for_item(&self, item: usize) -> Option<&Surprisal> {
        self.models.get(*self.of.get(item)?)
    }
}

/// The part of a group, by its name alone.
fn part_of(name: &str) -> usize {
    usize::from(Sha256::digest(name)[0]) % PARTS
}

/// Texts with the network that learns from them.
pub(crate) struct Texts {
    task: TextTask,
    smoothing: f32,
    seed: u64,
    items: Vec<Item>,
    standard: Standard,
    models: Option<Models>,
    /// Every fourth development text with its features.
    quick: Vec<(usize, Prepared)>,
    params: Params,
    net: NgramNet,
}

/// Features of one text.
struct Prepared {
    index: Vec<u32>,
    value: Vec<f32>,
    style: Vec<f32>,
}

/// A batch.
pub(crate) struct Batch {
    rows: Arc<SparseRows>,
    style: Tensor,
    targets: Vec<f32>,
}

/// The text of an item of [`texts`].
pub(super) fn body(item: &Item) -> &str {
    match &item.source {
        Source::Inline(text) => text,
        Source::File(_) => "",
    }
}

/// Items with their texts in them, so that an epoch costs no reading, without near copies of those that are measured on.
pub(super) fn texts(
    items: Vec<Item>,
    near_copies_share: Option<f64>,
    progress: &(dyn Fn(Event) + Sync),
) -> Result<Vec<Item>> {
    let items = items
        .into_par_iter()
        .map(|mut item| {
            if let Source::File(path) = &item.source {
                let Media::Text(d) = super::image::decode(&item)? else {
                    return Err(Error::config(path, "is no text"));
                };
                item.source = Source::Inline(d.text);
            }
            // What follows a model's end mark is another document.
            if let Source::Inline(text) = &mut item.source
                && let Some(end) = text.find("<|endoftext|>")
            {
                text.truncate(end);
            }
            Ok(item)
        })
        .collect::<Result<Vec<_>>>()?;
    let Some(share) = near_copies_share else { return Ok(items) };
    let copies = {
        let texts: Vec<(&str, bool)> = items.iter().map(|i| (body(i), i.dev)).collect();
        near_copies(&texts, share)
    };
    let left_out = copies.iter().filter(|c| **c).count();
    progress(Event::Note(format!("{left_out} near copies of texts that are measured on left out")));
    Ok(items.into_iter().zip(copies).filter(|(_, copy)| !copy).map(|(item, _)| item).collect())
}

/// Whether an item of [`texts`] is in English, or in no language that is known better.
pub(super) fn is_english(item: &Item) -> bool {
    let text = normalise(body(item)).text;
    language(&text, &segment(&text)) == Language::English
}

/// A random part of a text of so many words, by whole words (characters where no spaces are).
pub(super) fn cut<'a>(text: &'a str, words: [usize; 2], rng: &mut ChaCha8Rng) -> &'a str {
    let [low, high] = words.map(|w| (w as f64).ln());
    let words = (low + rng.random::<f64>() * (high - low)).exp();
    // A word and its space are about 6 bytes of English, an ideograph 3 bytes: 5 serves both, roughly.
    let want = (words * 5.0) as usize;
    if text.len() <= want {
        return text;
    }
    let boundary = |mut at: usize| {
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    let start = boundary(rng.random_range(0..=text.len() - want));
    let start = text[start..].find([' ', '\n', '。', '，']).map_or(start, |n| boundary(start + n));
    &text[start..boundary((start + want).min(text.len()))]
}

impl Texts {
    pub(crate) fn new(
        config: &TrainConfig,
        items: Vec<Item>,
        progress: &(dyn Fn(Event) + Sync),
    ) -> Result<Self> {
        let task = config.text.clone().ok_or_else(|| Error::config(&config.id, "no [text]"))?;
        let items = texts(items, task.near_copies, progress)?;
        if task.network.style != inputs(&task.network) {
            let reason = format!("text.network.style is {} here", inputs(&task.network));
            return Err(Error::config(&config.id, reason));
        }
        let bits = task.network.surprisal;
        let models = (bits > 0).then(|| Models::new(&items, bits));
        let train: Vec<usize> = (0..items.len()).filter(|&i| !items[i].dev).collect();
        let step = train.len().div_ceil(STANDARD_TEXTS).max(1);
        let rows: Vec<Vec<f32>> = train
            .par_iter()
            .step_by(step)
            .map(|&i| {
                let f = features(&document(body(&items[i])), &task.features);
                raw_style(&f, models.as_ref().and_then(|m| m.for_item(i)))
            })
            .collect();
        let standard = Standard::fit(&rows);
        let mut params = Params::new(config.seed);
        let net = NgramNet::new(&mut params, &task.network)?;
        if let Some(all) = models.as_ref().and_then(|m| m.models.last()) {
            all.store(&mut params)?;
        }
        let smoothing = config.sampling.label_smoothing;
        let seed = config.seed;
        let quick = Vec::new();
        let mut texts = Self { task, smoothing, seed, items, standard, models, quick, params, net };
        let dev = (0..texts.items.len()).filter(|&i| texts.items[i].dev);
        let dev: Vec<usize> = dev.step_by(4).collect();
        texts.quick = dev.par_iter().map(|&i| (i, texts.features(i, body(&texts.items[i])))).collect();
        progress(Event::Note(format!("style standardised on {} texts", rows.len())));
        Ok(texts)
    }

    fn features(&self, item: usize, text: &str) -> Prepared {
        let f = features(&document(text), &self.task.features);
        let models = self.models.as_ref().and_then(|m| m.for_item(item));
        let style = self.standard.apply(&raw_style(&f, models));
        Prepared { index: f.bag.index, value: f.bag.value, style }
    }

    fn batch<'a>(texts: impl Iterator<Item = &'a Prepared> + Clone) -> Result<(Arc<SparseRows>, Tensor)> {
        let rows = SparseRows::from_rows(texts.clone().map(|t| (&t.index[..], &t.value[..])));
        let style: Vec<f32> = texts.clone().flat_map(|t| t.style.iter().copied()).collect();
        let n = texts.count();
        let width = style.len() / n.max(1);
        Ok((Arc::new(rows), Tensor::from_vec(style, (n, width), &Device::Cpu)?))
    }

    fn logits(&self, rows: &Arc<SparseRows>, style: &Tensor) -> Result<Tensor> {
        let grams = self.net.grams(rows)?;
        Ok(match self.net.style(style)? {
            Some(style) => (grams + style)?,
            None => grams,
        })
    }
}

impl Task for Texts {
    type Batch = Batch;

    fn params(&self) -> &Params {
        &self.params
    }

    fn prepare(&self, picks: Vec<(usize, ChaCha8Rng)>) -> Result<Batch> {
        let targets = picks.iter().map(|(i, _)| self.items[*i].target(self.smoothing)).collect();
        let prepared: Vec<Prepared> = picks
            .into_par_iter()
            .map(|(i, mut rng)| {
                let mut text = body(&self.items[i]);
                if rng.random::<f64>() < self.task.cut_probability {
                    text = cut(text, self.task.words, &mut rng);
                }
                let mut prepared = if rng.random::<f64>() < self.task.clean_probability {
                    self.features(i, text)
                } else {
                    self.features(i, &self.task.laundering.launder(text, &mut rng))
                };
                let keep = 1.0 - self.task.dropout;
                for v in &mut prepared.value {
                    *v = if rng.random::<f64>() < keep { *v / keep as f32 } else { 0.0 };
                }
                prepared
            })
            .collect();
        let (rows, style) = Self::batch(prepared.iter())?;
        Ok(Batch { rows, style, targets })
    }

    fn loss(&self, batch: &Batch) -> Result<Tensor> {
        let logits = self.logits(&batch.rows, &batch.style)?;
        let weights = vec![1.0; batch.targets.len()];
        Ok(logits.apply_op1(BceWithLogits { targets: batch.targets.clone(), weights })?)
    }

    fn after_step(&self) -> Result<()> {
        Ok(())
    }

    fn quick_dev(&self) -> Result<Vec<Scored>> {
        let (rows, style) = Self::batch(self.quick.iter().map(|q| &q.1))?;
        let logits = self.logits(&rows, &style)?.to_vec1::<f32>()?;
        let scored = self.quick.iter().zip(logits).map(|((i, _), y)| {
            let item = &self.items[*i];
            Scored {
                name: item.name.clone(),
                score: f64::from(y),
                fabricated: item.fabricated,
                group: item.group.clone(),
            }
        });
        Ok(scored.collect())
    }
}

impl Subject for Texts {
    fn items(&self) -> &[Item] {
        &self.items
    }

    fn architecture(&self) -> Architecture {
        Architecture::NgramNet {
            network: self.task.network.clone(),
            features: self.task.features,
            standard: self.standard.clone(),
        }
    }

    fn measure(&self, detector: &dyn Detector) -> Result<Vec<Measured>> {
        measure(&self.items, self.seed, detector)
    }

    fn leaks(&self) -> Result<Vec<Leak>> {
        Ok(leaks(&self.items, &self.task.features))
    }
}

/// Scores the development texts under each condition.
pub(super) fn measure(items: &[Item], seed: u64, detector: &dyn Detector) -> Result<Vec<Measured>> {
    let dev: Vec<&Item> = items.iter().filter(|i| i.dev).collect();
    let per_item = dev
        .par_iter()
        .map(|item| {
            CONDITIONS
                .iter()
                .map(|condition| {
                    let mut rng = item_rng(seed, &item.name, &format!("{condition:?}"));
                    let text = condition.laundering().launder(body(item), &mut rng);
                    let found = detector.detect(&Media::Text(document(&text)))?;
                    Ok(Answer::of(found))
                })
                .collect::<Result<Vec<_>>>()
        })
        .collect::<Result<Vec<_>>>()?;
    let mut all = conditions(&dev, &per_item, &["clean", "whitespace attack", "homoglyph attack"]);
    // Each language apart, clean.
    for language in ["en", "zh"] {
        let mine: Vec<usize> = (0..dev.len()).filter(|&i| dev[i].language == language).collect();
        let items: Vec<&Item> = mine.iter().map(|&i| dev[i]).collect();
        let scores: Vec<Vec<_>> = mine.iter().map(|&i| vec![per_item[i][0].clone()]).collect();
        let name = format!("clean, {language}");
        all.extend(
            conditions(&items, &scores, &[&name])
                .into_iter()
                .filter(|m| m.scores.iter().any(|s| s.fabricated) && m.scores.iter().any(|s| !s.fabricated))
                .map(|m| Measured { part: true, ..m }),
        );
    }
    Ok(all)
}

/// What length and form of the texts give away.
pub(super) fn leaks(items: &[Item], config: &TextConfig) -> Vec<Leak> {
    let facts = items
        .par_iter()
        .map(|item| {
            let f = features(&document(body(item)), config);
            let punctuation = STYLE_NAMES
                .iter()
                .zip(f.style)
                .enumerate()
                .filter(|(i, (name, _))| STYLE_FORMAT.contains(i) || PUNCTUATION.contains(name))
                .map(|(_, (_, v))| f64::from(v));
            let mut values = vec![
                (1.0 + f.words as f64).ln(),
                (1.0 + f.segmentation.sentences.len() as f64).ln(),
                (1.0 + body(item).matches('\n').count() as f64).ln(),
            ];
            values.extend(punctuation);
            (item.dev, Facts { values, ..facts_of(item) })
        })
        .collect::<Vec<_>>();
    vec![split("length, line breaks, markup and punctuation", facts)]
}

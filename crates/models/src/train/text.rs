//! Training on texts.

use std::sync::Arc;

use candle_core::{Device, Tensor};
use candor_features::{
    Media,
    text::{STYLE_FORMAT, STYLE_NAMES, TextCondition, document, features},
};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::{
    Event, Leak, Measured, Subject, Task, TextTask, TrainConfig,
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
    text::{Standard, raw_style},
};

/// Conditions that the detector is measured under.
const CONDITIONS: [TextCondition; 3] =
    [TextCondition::Clean, TextCondition::Whitespace, TextCondition::Homoglyph];
/// Style features that count punctuation.
const PUNCTUATION: [&str; 9] =
    ["comma", "semicolon", "colon", "question", "exclamation", "parenthesis", "dash", "quote", "ellipsis"];
/// Style features are standardised on at most this many training texts.
const STANDARD_TEXTS: usize = 4000;

/// Texts with the network that learns from them.
pub(crate) struct Texts {
    task: TextTask,
    smoothing: f32,
    seed: u64,
    items: Vec<Item>,
    standard: Standard,
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

fn body(item: &Item) -> &str {
    match &item.source {
        Source::Inline(text) => text,
        Source::File(_) => "",
    }
}

impl Texts {
    pub(crate) fn new(
        config: &TrainConfig,
        items: Vec<Item>,
        progress: &(dyn Fn(Event) + Sync),
    ) -> Result<Self> {
        let task = config.text.clone().ok_or_else(|| Error::config(&config.id, "no [text]"))?;
        // Texts in files are read once, so that an epoch costs no reading.
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
        let train: Vec<&Item> = items.iter().filter(|i| !i.dev).collect();
        let step = train.len().div_ceil(STANDARD_TEXTS).max(1);
        let rows: Vec<Vec<f32>> = train
            .par_iter()
            .step_by(step)
            .map(|item| raw_style(&features(&document(body(item)), &task.features)))
            .collect();
        let standard = Standard::fit(&rows);
        let mut params = Params::new(config.seed);
        let net = NgramNet::new(&mut params, &task.network)?;
        let smoothing = config.sampling.label_smoothing;
        let seed = config.seed;
        let mut texts = Self { task, smoothing, seed, items, standard, quick: Vec::new(), params, net };
        let dev = (0..texts.items.len()).filter(|&i| texts.items[i].dev);
        let dev: Vec<usize> = dev.step_by(4).collect();
        texts.quick = dev.par_iter().map(|&i| (i, texts.features(body(&texts.items[i])))).collect();
        progress(Event::Note(format!("style standardised on {} texts", rows.len())));
        Ok(texts)
    }

    fn features(&self, text: &str) -> Prepared {
        let f = features(&document(text), &self.task.features);
        let style = self.standard.apply(&raw_style(&f));
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

    /// A random part of a text, by whole words (characters where no spaces are).
    fn cut<'a>(&self, text: &'a str, rng: &mut ChaCha8Rng) -> &'a str {
        let [low, high] = self.task.words.map(|w| (w as f64).ln());
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
                    text = self.cut(text, &mut rng);
                }
                let mut prepared = if rng.random::<f64>() < self.task.clean_probability {
                    self.features(text)
                } else {
                    self.features(&self.task.laundering.launder(text, &mut rng))
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
        let dev: Vec<&Item> = self.items.iter().filter(|i| i.dev).collect();
        let per_item = dev
            .par_iter()
            .map(|item| {
                CONDITIONS
                    .iter()
                    .map(|condition| {
                        let mut rng = item_rng(self.seed, &item.name, &format!("{condition:?}"));
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
                    .filter(|m| {
                        m.scores.iter().any(|s| s.fabricated) && m.scores.iter().any(|s| !s.fabricated)
                    })
                    .map(|m| Measured { part: true, ..m }),
            );
        }
        Ok(all)
    }

    fn leaks(&self) -> Result<Vec<Leak>> {
        let facts = self
            .items
            .par_iter()
            .map(|item| {
                let f = features(&document(body(item)), &self.task.features);
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
        Ok(vec![split("length, line breaks, markup and punctuation", facts)])
    }
}

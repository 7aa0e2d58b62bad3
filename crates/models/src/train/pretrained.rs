//! Training of a linear layer on frozen features of pictures, of spectrograms or of texts.

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io::{Read, Write},
    ops::Range,
    path::Path,
    sync::atomic::Ordering,
};

use candor_features::{
    Media,
    audio::{LfccConfig, equalise, launder::encode_somehow, tile},
    image::{
        CHROMA, chroma,
        launder::{Condition, resize_to_longest},
    },
    text::{TextConfig, document, normalise},
};
use rand::RngExt;
use rayon::prelude::*;
use sha2::{Digest, Sha256};

use super::{
    EncodedTask, Leak, Measured, PretrainedTask, Run, SpectralTask, Subject, TrainConfig, audio,
    image::{item_rng, leaks, picture},
    manifest::Item,
    text,
};
use crate::{
    Detector, Error, Result,
    audio::WINDOW,
    encoder::{self, EncodedDetector, Reader},
    hex,
    logistic::{self, Linear},
    metrics::Scored,
    model_file::{Architecture, ModelFile},
    net::{
        Encoder, FROZEN, FrozenLinear, LfccNetConfig, NgramNetConfig, Params, ResidualNetConfig, Things,
        WEIGHT_UNIT,
    },
    pretrained::{LONGEST, PretrainedDetector, REACH, Selection, seen},
    spectral::{self, Ears, Hearing, SpectralDetector, between_silence},
    text::Standard,
};

/// Items whose features are computed before they are written down.
const CHUNK: usize = 128;
/// Tiles of a training picture: two show enough of it, and the linear layer does not care how many are averaged.
const TILES: usize = 2;
/// Windows of a training text.
const WINDOWS: usize = 2;

/// Weights of rows that sum to one half in each class; a group's share goes by `size ^ power`.
fn by_group(rows: &[&Item], power: f64) -> Vec<f64> {
    let mut sizes: BTreeMap<(bool, &str), f64> = BTreeMap::new();
    for item in rows {
        *sizes.entry((item.fabricated, &item.group)).or_default() += 1.0;
    }
    let total = |class: bool| -> f64 {
        sizes.iter().filter(|((c, _), _)| *c == class).map(|(_, n)| n.powf(power)).sum()
    };
    let totals = [total(false), total(true)];
    let weight = |item: &&Item| {
        let n = sizes.get(&(item.fabricated, item.group.as_str())).copied().unwrap_or(1.0);
        0.5 * n.powf(power) / n / totals[usize::from(item.fabricated)]
    };
    rows.iter().map(weight).collect()
}

/// Scales weights so that both classes of a collection weigh what the lighter one did; collections with one class weigh nothing. `None`
/// where no collection has both.
fn matched(rows: &[&Item], mut weights: Vec<f64>) -> Option<Vec<f64>> {
    let mut sums: BTreeMap<&str, [f64; 2]> = BTreeMap::new();
    for (item, w) in rows.iter().zip(&weights) {
        sums.entry(&item.collection).or_default()[usize::from(item.fabricated)] += w;
    }
    let lighter = |s: &[f64; 2]| s[0].min(s[1]);
    let total: f64 = sums.values().map(lighter).sum();
    for (item, w) in rows.iter().zip(&mut weights) {
        let s = sums.get(item.collection.as_str()).copied().unwrap_or_default();
        *w *= 0.5 * lighter(&s) / s[usize::from(item.fabricated)] / total;
    }
    (total > 0.0).then_some(weights)
}

/// What is described, and the trained network whose logit is added.
enum Kind {
    Pictures {
        task: PretrainedTask,
        selection: Selection,
        residual: ResidualNetConfig,
        net: Things,
    },
    Recordings {
        task: SpectralTask,
        hearing: Hearing,
        network: LfccNetConfig,
        lfcc: LfccConfig,
        ears: Box<Ears>,
    },
    Texts {
        task: EncodedTask,
        reader: Box<Reader>,
        network: NgramNetConfig,
        features: TextConfig,
        standard: Standard,
    },
}

impl Kind {
    fn copies(&self) -> usize {
        match self {
            Self::Pictures { task, .. } => task.copies,
            Self::Recordings { task, .. } => task.copies,
            Self::Texts { task, .. } => task.copies,
        }
    }

    /// Descriptions of a copy, each of which is fitted: of the whole picture, of the seconds of a window, or of windows.
    fn per_copy(&self) -> usize {
        match self {
            Self::Pictures { .. } => 1,
            Self::Recordings { .. } => spectral::SECONDS,
            Self::Texts { .. } => WINDOWS,
        }
    }

    /// Descriptions of an item.
    fn rows(&self) -> usize {
        self.copies() * self.per_copy()
    }

    /// Steps of the solver.
    fn steps(&self) -> u32 {
        match self {
            Self::Pictures { task, .. } => task.steps,
            Self::Recordings { task, .. } => task.steps,
            Self::Texts { task, .. } => task.steps,
        }
    }

    /// The parts of the layer.
    fn parts(&self) -> Vec<Part> {
        match self {
            Self::Pictures { task, selection, .. } => {
                let deep = selection.len();
                vec![
                    Part { numbers: 0..deep, ridge: task.ridge, share: 1.0 - task.chroma_share },
                    Part { numbers: deep..deep + CHROMA, ridge: task.chroma_ridge, share: task.chroma_share },
                ]
            }
            Self::Recordings { task, hearing, .. } => {
                let (seen, all) = (Hearing { layers: Vec::new(), ..hearing.clone() }.len(), hearing.len());
                match &task.speech {
                    None => vec![Part { numbers: 0..seen, ridge: task.ridge, share: 1.0 }],
                    Some(speech) => vec![
                        Part { numbers: 0..seen, ridge: task.ridge, share: 1.0 - speech.share },
                        Part { numbers: seen..all, ridge: speech.ridge, share: speech.share },
                    ],
                }
            }
            Self::Texts { task, .. } => {
                vec![Part { numbers: 0..encoder::len(&task.layers), ridge: task.ridge, share: 1.0 }]
            }
        }
    }

    /// For each number that is used, the root of its share of the ridge: the number of its map says how deep it lies.
    fn restraint(&self) -> Vec<f32> {
        let roots = |growth: f64, depths: Vec<(usize, usize)>| {
            let root = move |depth: usize| growth.powf(depth as f64 / 2.0) as f32;
            depths.into_iter().flat_map(move |(depth, n)| std::iter::repeat_n(root(depth), n))
        };
        match self {
            Self::Pictures { task, selection, .. } => {
                let channels = selection.backbone.channels();
                let maps = selection.tiles.iter().chain(&selection.whole);
                let chroma = std::iter::repeat_n(1.0, CHROMA);
                roots(task.ridge_growth, maps.map(|&m| (m, 2 * channels[m])).collect())
                    .chain(chroma)
                    .collect()
            }
            Self::Recordings { task, hearing, .. } => {
                let (depths, sizes) = (hearing.maps.iter().chain(&hearing.layers), hearing.sizes());
                let mut maps: Vec<(usize, usize)> = depths.copied().zip(sizes).collect();
                let layers = maps.split_off(hearing.maps.len());
                let growth = task.speech.as_ref().map_or(1.0, |speech| speech.ridge_growth);
                roots(task.ridge_growth, maps).chain(roots(growth, layers)).collect()
            }
            Self::Texts { task, .. } => {
                let layers = task.layers.iter().map(|&layer| (layer, encoder::len(&[layer])));
                roots(task.ridge_growth, layers.collect()).collect()
            }
        }
    }

    /// Share of the trained network.
    fn share(&self) -> f64 {
        match self {
            Self::Pictures { task, .. } => task.residual_share,
            Self::Recordings { task, .. } => task.cepstral_share,
            Self::Texts { task, .. } => task.ngram_share,
        }
    }

    /// Everything in the configuration that the features of a copy depend on.
    fn law(&self) -> std::result::Result<String, toml::ser::Error> {
        match self {
            Self::Pictures { task, .. } => {
                let tiles = if task.tile_maps.is_empty() { 0 } else { TILES };
                Ok(format!("chroma\0{tiles}\0{}", toml::to_string(&task.laundering)?))
            }
            Self::Recordings { task, .. } => {
                Ok(format!("seconds\0{}\0{}", task.encoded, toml::to_string(&task.laundering)?))
            }
            Self::Texts { task, .. } => {
                let EncodedTask { words, cut_probability, clean_probability, .. } = task;
                let law = format!("{WINDOWS}\0{words:?}\0{cut_probability}\0{clean_probability}");
                Ok(format!("windows\0{law}\0{}", toml::to_string(&task.laundering)?))
            }
        }
    }

    /// Numbers of a description that are computed, and where those that are used lie among them.
    fn places(&self) -> (usize, Vec<usize>) {
        match self {
            Self::Pictures { selection, .. } => {
                let deep = selection.all().len();
                let places = selection.places().into_iter().chain(deep..deep + CHROMA);
                (deep + CHROMA, places.collect())
            }
            Self::Recordings { hearing, .. } => (hearing.all().len(), hearing.places()),
            Self::Texts { task, .. } => {
                let layers: Vec<usize> = (0..Encoder::LAYERS).collect();
                let one = encoder::len(&[0]);
                let places = task.layers.iter().flat_map(|&l| l * one..(l + 1) * one).collect();
                (encoder::len(&layers), places)
            }
        }
    }

    /// The whole detector around weight files: its own and those that it names.
    fn detector(&self, files: &[&[u8]]) -> Result<Both> {
        Ok(match self {
            Self::Pictures { selection, residual, .. } => {
                let mut params = Params::blank();
                let detector = PretrainedDetector::new(&mut params, residual, selection.clone())?;
                params.load_files(files)?;
                Both::Pictures(Box::new(detector.ready()?))
            }
            Self::Recordings { hearing, network, lfcc, .. } => {
                Both::Recordings(Box::new(SpectralDetector::load(network, lfcc, hearing, files)?))
            }
            Self::Texts { task, network, features, standard, .. } => {
                let &[own, encoder, ngrams] = files else {
                    return Err(Error::model("text", "two weight files"));
                };
                let files = [own, encoder, ngrams];
                let detector = EncodedDetector::load(network, *features, standard, &task.layers, files)?;
                Both::Texts(Box::new(detector))
            }
        })
    }
}

/// Numbers of a description that are fitted together and apart from the others.
struct Part {
    numbers: Range<usize>,
    /// Weight of the squared length of the part.
    ridge: f64,
    /// Share in the layer; parts are in units of their standard deviation on the training items.
    share: f64,
}

/// A detector whose two logits can be read.
enum Both {
    Pictures(Box<PretrainedDetector>),
    Recordings(Box<SpectralDetector>),
    Texts(Box<EncodedDetector>),
}

/// Items with the parts that are put together.
pub(crate) struct Head {
    kind: Kind,
    group_power: f64,
    seed: u64,
    items: Vec<Item>,
    /// SHA-256 of the weights that features are computed with.
    backbone: [u8; 32],
    /// Weight files that the model shares with others, with their names: of the frozen networks, then of the trained one.
    parts: Vec<(String, Vec<u8>)>,
}

/// A linear layer on standardised features.
struct Layer {
    mean: Vec<f32>,
    scale: Vec<f32>,
    linear: Linear,
}

impl Layer {
    fn logit(&self, features: &[f32]) -> f64 {
        let terms = features.iter().zip(&self.mean).zip(&self.scale).zip(&self.linear.weights);
        let sum: f64 = terms.map(|(((x, m), s), w)| f64::from(((x - m) * s).clamp(-REACH, REACH)) * w).sum();
        self.linear.bias + sum
    }
}

/// Standard deviation of a layer's logits for rows of these weights, which sum to 1.
fn deviation(linear: &Linear, x: &[f32], weights: &[f64]) -> f64 {
    let logit = |row: &[f32]| row.iter().zip(&linear.weights).map(|(x, w)| f64::from(*x) * w).sum::<f64>();
    let logits: Vec<f64> = x.chunks_exact(linear.weights.len()).map(logit).collect();
    let mean: f64 = logits.iter().zip(weights).map(|(l, w)| l * w).sum();
    let variance: f64 = logits.iter().zip(weights).map(|(l, w)| (l - mean).powi(2) * w).sum();
    variance.sqrt().max(1e-9)
}

impl Head {
    pub(crate) fn new(run: &Run<'_>, config: &TrainConfig, items: Vec<Item>) -> Result<Self> {
        let folder = run.config.parent().unwrap_or(Path::new("."));
        let read = |name: &str| {
            let path = folder.join(name);
            std::fs::read(&path).map_err(|e| Error::io(path, e))
        };
        let trained = |name: &str| {
            let description = String::from_utf8_lossy(&read(&format!("{name}.toml"))?).into_owned();
            let file = ModelFile::from_toml(name, &description)?;
            Ok::<_, Error>((file.architecture, (name.to_owned(), read(&format!("{name}.safetensors"))?)))
        };
        let frozen = |path: &str| {
            let name = Path::new(path).file_stem().unwrap_or_default().to_string_lossy().into_owned();
            Ok::<_, Error>((name, read(path)?))
        };
        let load = |params: &mut Params, parts: &[(String, Vec<u8>)]| {
            params.load_files(&parts.iter().map(|(_, bytes)| bytes.as_slice()).collect::<Vec<_>>())
        };
        let mut params = Params::blank();
        let (kind, mut parts, last) = match (&config.pretrained, &config.spectral, &config.encoded) {
            (Some(task), ..) => {
                let (Architecture::ResidualNet { network: residual }, last) = trained(&task.residual)? else {
                    return Err(Error::model(&task.residual, "is no residual network"));
                };
                let parts = vec![frozen(&task.backbone)?];
                let net = task.size.build(&mut params)?;
                load(&mut params, &parts)?;
                let net = net.ready()?;
                let (tiles, whole) = (task.tile_maps.clone(), task.whole_maps.clone());
                let selection = Selection { backbone: task.size, tiles, whole };
                (Kind::Pictures { task: task.clone(), selection, residual, net }, parts, last)
            }
            (None, Some(task), _) => {
                let (Architecture::LfccNet { network, lfcc }, last) = trained(&task.cepstral)? else {
                    return Err(Error::model(&task.cepstral, "is no cepstral network"));
                };
                let mut parts = vec![frozen(&task.backbone)?];
                let mut layers = Vec::new();
                if let Some(speech) = &task.speech {
                    parts.push(frozen(&speech.encoder)?);
                    layers.clone_from(&speech.layers);
                }
                let hearing = Hearing { size: task.size, maps: task.maps.clone(), layers };
                let ears = Ears::new(&mut params, &hearing)?;
                load(&mut params, &parts)?;
                let ears = Box::new(ears.ready()?);
                (Kind::Recordings { task: task.clone(), hearing, network, lfcc, ears }, parts, last)
            }
            (None, None, Some(task)) => {
                let (Architecture::NgramNet { network, features, standard }, last) = trained(&task.ngrams)?
                else {
                    return Err(Error::model(&task.ngrams, "is no network on n-grams"));
                };
                let parts = vec![frozen(&format!("{}.safetensors", task.encoder))?];
                let encoder = parts.first().map(|(_, bytes)| bytes.as_slice()).unwrap_or_default();
                let reader = Reader::new(&mut params, encoder)?;
                load(&mut params, &parts)?;
                let reader = Box::new(reader.ready()?);
                (Kind::Texts { task: task.clone(), reader, network, features, standard }, parts, last)
            }
            (None, None, None) => {
                return Err(Error::config(&config.id, "none of [pretrained], [spectral] and [encoded]"));
            }
        };
        let digest = |hash: Sha256, (_, bytes): &(String, Vec<u8>)| hash.chain_update(bytes);
        let backbone = parts.iter().fold(Sha256::new(), digest).finalize().into();
        parts.push(last);
        Ok(Self { kind, group_power: config.sampling.group_power, seed: config.seed, items, backbone, parts })
    }

    /// Fits the layer on the training items and adds it to the residual network.
    pub(crate) fn fit(&self, run: &Run<'_>, data_digest: &str) -> Result<(Vec<u8>, String)> {
        let train: Vec<&Item> = self.items.iter().filter(|i| !i.dev).collect();
        let x = self.features(run, data_digest, &train)?;
        let layer = self.fit_layer(run, x, &train)?;
        let (mix, log) = self.mix(&self.assemble(&layer, [1.0, 0.0])?)?;
        Ok((self.assemble(&layer, mix)?, log))
    }

    /// Scores of the first copies of the training items by the linear layer alone: fitted without the fold of each.
    pub(crate) fn cross_validate(
        &self,
        run: &Run<'_>,
        data_digest: &str,
        fold_of: &[usize],
        folds: usize,
    ) -> Result<Vec<Vec<Measured>>> {
        let (items, fold_of): (Vec<&Item>, Vec<usize>) =
            self.items.iter().zip(fold_of).filter(|(i, _)| !i.dev).unzip();
        let (d, rows_of_one) = (self.kind.places().1.len(), self.kind.rows());
        let x = self.features(run, data_digest, &items)?;
        (0..folds)
            .map(|fold| {
                run.note(format!("fold {} of {folds}", fold + 1));
                let others = || items.iter().zip(&fold_of).enumerate().filter(|(_, (_, f))| **f != fold);
                let rows =
                    |i: usize| x.get(i * rows_of_one * d..(i + 1) * rows_of_one * d).unwrap_or_default();
                let part: Vec<f32> = others().flat_map(|(i, _)| rows(i).iter().copied()).collect();
                let learned: Vec<&Item> = others().map(|(_, (item, _))| *item).collect();
                let layer = self.fit_layer(run, part, &learned)?;
                let mut scores = Vec::new();
                for (i, (item, _)) in items.iter().zip(&fold_of).enumerate().filter(|(_, (_, f))| **f == fold)
                {
                    let of_copy = rows(i).chunks_exact(d).take(self.kind.per_copy());
                    scores.push(Scored {
                        name: item.name.clone(),
                        score: of_copy.map(|row| layer.logit(row)).sum::<f64>() / self.kind.per_copy() as f64,
                        fabricated: item.fabricated,
                        group: item.group.clone(),
                    });
                }
                let strata = vec![String::new(); scores.len()];
                // The first copy of a recording is not laundered.
                let condition = match self.kind {
                    Kind::Pictures { .. } => "laundered, linear layer alone",
                    Kind::Recordings { .. } => "clean, linear layer alone",
                    Kind::Texts { .. } => "cut and laundered, linear layer alone",
                };
                Ok(vec![Measured { condition: condition.into(), scores, strata, abstained: 0, part: false }])
            })
            .collect()
    }

    /// Fits the layer on descriptions of items, copies side by side.
    fn fit_layer(&self, run: &Run<'_>, mut x: Vec<f32>, items: &[&Item]) -> Result<Layer> {
        let d = self.kind.places().1.len();
        let n = x.len() / d;
        let (mut mean, mut sd) = (vec![0.0_f64; d], vec![0.0_f64; d]);
        for row in x.chunks_exact(d) {
            mean.iter_mut().zip(row).for_each(|(m, &v)| *m += f64::from(v) / n as f64);
        }
        for row in x.chunks_exact(d) {
            sd.iter_mut()
                .zip(row)
                .zip(&mean)
                .for_each(|((s, &v), m)| *s += (f64::from(v) - m).powi(2) / n as f64);
        }
        let scale: Vec<f32> = sd.iter().map(|v| (1.0 / (v.sqrt() + 1e-3)) as f32).collect();
        let mean: Vec<f32> = mean.iter().map(|&m| m as f32).collect();
        // A feature that is divided by the root of a factor has that many times the ridge.
        let restraint = self.kind.restraint();
        for row in x.chunks_exact_mut(d) {
            for (((v, m), s), r) in row.iter_mut().zip(&mean).zip(&scale).zip(&restraint) {
                *v = ((*v - m) * s).clamp(-REACH, REACH) / r;
            }
        }
        let rows: Vec<&Item> =
            items.iter().flat_map(|item| std::iter::repeat_n(*item, self.kind.rows())).collect();
        let targets: Vec<f64> = rows.iter().map(|i| f64::from(u8::from(i.fabricated))).collect();
        let weights = self.weights(&rows).ok_or_else(|| {
            Error::config(run.config, "no collection has both classes: spectral.matched = false")
        })?;
        run.note(format!("fitting {d} weights on {n} descriptions"));
        let parts = self.kind.parts();
        let mut linear = Linear { weights: Vec::with_capacity(d), bias: 0.0 };
        for Part { numbers, ridge, share } in &parts {
            let apart: Vec<f32>;
            let x = if parts.len() == 1 {
                &x
            } else {
                apart = x.chunks_exact(d).flat_map(|row| &row[numbers.clone()]).copied().collect();
                &apart
            };
            let part = logistic::fit(x, numbers.len(), &targets, &weights, *ridge, self.kind.steps())
                .ok_or_else(|| Error::config(run.config, "nothing to fit"))?;
            // One part has its scale from the logit.
            let unit = if parts.len() == 1 { 1.0 } else { share / deviation(&part, x, &weights) };
            linear.weights.extend(part.weights.iter().map(|w| w * unit));
            linear.bias += part.bias * unit;
        }
        linear.weights.iter_mut().zip(&restraint).for_each(|(w, &r)| *w /= f64::from(r));
        Ok(Layer { mean, scale, linear })
    }

    /// Features of laundered copies of the items, a row for each description, those of an item side by side. What is computed is kept in the run's folder, so
    /// that an interrupted run continues and another head on the same features costs little.
    fn features(&self, run: &Run<'_>, data_digest: &str, items: &[&Item]) -> Result<Vec<f32>> {
        std::fs::create_dir_all(run.run_dir).map_err(|e| Error::io(run.run_dir, e))?;
        let law = self.kind.law().map_err(|e| Error::config(run.config, e.to_string()))?;
        let copies = self.kind.copies();
        let key = Sha256::new()
            .chain_update(format!("{}\0{copies}\0{data_digest}\0{law}", self.seed))
            .chain_update(self.backbone)
            .finalize();
        let path = run.run_dir.join(format!("features-{}.f32", &hex(&key)[..16]));
        let mut bytes = Vec::new();
        if let Ok(mut file) = File::open(&path) {
            file.read_to_end(&mut bytes).map_err(|e| Error::io(&path, e))?;
        }
        let (all, places) = self.kind.places();
        let per_item = self.kind.rows() * all;
        // What a stopped run left of an item is made again.
        bytes.truncate(bytes.len() / (4 * per_item) * 4 * per_item);
        let mut x: Vec<f32> = bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
        drop(bytes);
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(|e| Error::io(&path, e))?;
        let end = 4 * x.len() as u64;
        file.set_len(end).map_err(|e| Error::io(&path, e))?;
        std::io::Seek::seek(&mut file, std::io::SeekFrom::Start(end)).map_err(|e| Error::io(&path, e))?;
        let rest = items.get(x.len() / per_item..).unwrap_or_default();
        for chunk in rest.chunks(CHUNK) {
            if run.stop.load(Ordering::Relaxed) {
                return Err(Error::Stopped(path));
            }
            run.note(format!("features of {} of {} items", x.len() / per_item, items.len()));
            let new = chunk.par_iter().map(|item| self.copies(item)).collect::<Result<Vec<_>>>()?.concat();
            let bytes: Vec<u8> = new.iter().flat_map(|v| v.to_le_bytes()).collect();
            file.write_all(&bytes).map_err(|e| Error::io(&path, e))?;
            x.extend(new);
        }
        Ok(x.chunks_exact(all).flat_map(|row| places.iter().filter_map(|&p| row.get(p).copied())).collect())
    }

    fn copies(&self, item: &Item) -> Result<Vec<f32>> {
        let mut out = Vec::new();
        match &self.kind {
            Kind::Pictures { task, selection, net, .. } => {
                let all = selection.all();
                let small = resize_to_longest(&picture(item)?, LONGEST);
                for copy in 0..task.copies {
                    let mut rng = item_rng(self.seed, &item.name, &format!("copy {copy}"));
                    let laundered = task.laundering.launder(&small, &mut rng);
                    out.extend(all.describe(net, &laundered, TILES)?);
                    out.extend(chroma(&seen(&laundered)));
                }
            }
            Kind::Recordings { task, hearing, ears, .. } => {
                let all = hearing.all();
                let wave = audio::recording(item)?;
                for copy in 0..task.copies {
                    let mut rng = item_rng(self.seed, &item.name, &format!("copy {copy}"));
                    // A little more than a window, for what speed and trimming take away.
                    let part = audio::stretch(&wave.samples, WINDOW + WINDOW / 4, &mut rng);
                    let heard = if copy == 0 {
                        equalise(part)
                    } else {
                        let mut laundered = task.laundering.launder(part, &mut rng);
                        if rng.random_bool(task.encoded) {
                            laundered = encode_somehow(&laundered, &mut rng)
                                .map_err(|e| Error::config(&item.name, e.to_string()))?;
                        }
                        equalise(&laundered)
                    };
                    let sound = heard.get(between_silence(&heard)).unwrap_or(&heard);
                    let window = tile(audio::stretch(sound, WINDOW, &mut rng), WINDOW);
                    out.extend(ears.maps(&all, &window)?.describe_seconds().concat());
                }
            }
            Kind::Texts { task, reader, .. } => {
                let layers: Vec<usize> = (0..Encoder::LAYERS).collect();
                for copy in 0..task.copies {
                    let mut rng = item_rng(self.seed, &item.name, &format!("copy {copy}"));
                    let mut text = text::body(item);
                    if rng.random::<f64>() < task.cut_probability {
                        text = text::cut(text, task.words, &mut rng);
                    }
                    let clean = rng.random::<f64>() < task.clean_probability;
                    let text = if clean { text.to_owned() } else { task.laundering.launder(text, &mut rng) };
                    let windows = reader.windows(&normalise(&text).text, WINDOWS)?;
                    let described = windows.iter().map(|window| reader.describe(&layers, window));
                    let described = described.collect::<Result<Vec<_>>>()?;
                    for i in 0..WINDOWS {
                        match described.get(i).or(described.first()) {
                            Some(numbers) => out.extend(numbers),
                            // No text at all.
                            None => out.extend(vec![0.0; encoder::len(&layers)]),
                        }
                    }
                }
            }
        }
        Ok(out)
    }

    /// Weights of rows that sum to one half in each class; a group's share goes by `size ^ group_power`, and collections are matched where
    /// the configuration asks for it. `None` where none can be.
    fn weights(&self, rows: &[&Item]) -> Option<Vec<f64>> {
        let weights = by_group(rows, self.group_power);
        match &self.kind {
            Kind::Recordings { task, .. } if task.matched => matched(rows, weights),
            _ => Some(weights),
        }
    }

    /// The weight file, which has the layer and names the others.
    fn assemble(&self, layer: &Layer, mix: [f64; 2]) -> Result<Vec<u8>> {
        let mut params = Params::new(0);
        FrozenLinear::new(&mut params, layer.mean.len())?;
        let weights = layer.linear.weights.iter().map(|&w| w as f32 * WEIGHT_UNIT).collect();
        for (name, values) in [
            ("mean", layer.mean.clone()),
            ("scale", layer.scale.clone()),
            ("weight", weights),
            ("bias", vec![layer.linear.bias as f32]),
            ("mix", mix.map(|m| m as f32).to_vec()),
        ] {
            params.set(&format!("{FROZEN}linear.{name}"), values)?;
        }
        params.to_safetensors_with(&self.parts)
    }

    /// How much each logit counts: its share over its standard deviation on the development items, pictures in the condition
    /// that most are met in. Their labels are not looked at.
    fn mix(&self, weights: &[u8]) -> Result<([f64; 2], String)> {
        let parts = self.parts.iter().map(|(_, bytes)| bytes.as_slice());
        let files: Vec<&[u8]> = std::iter::once(weights).chain(parts).collect();
        let detector = self.kind.detector(&files)?;
        let dev: Vec<&Item> = self.items.iter().filter(|i| i.dev).collect();
        let found = dev
            .par_iter()
            .map(|item| {
                let (linear, found) = match &detector {
                    Both::Pictures(detector) => {
                        let pixels = picture(item)?;
                        let mut rng = item_rng(self.seed, &item.name, Condition::Web.name());
                        detector.both(&Media::Image(Condition::Web.apply(&pixels, &mut rng)))?
                    }
                    Both::Recordings(detector) => {
                        let found = detector.both(&Media::Audio(audio::recording(item)?))?;
                        let n = found.windows.len().max(1) as f64;
                        (found.windows.iter().sum::<f64>() / n, found.cepstral)
                    }
                    Both::Texts(detector) => {
                        let (found, logit) = detector.both(&Media::Text(document(text::body(item))))?;
                        let Some(logit) = logit else { return Ok(None) };
                        (logit, found)
                    }
                };
                Ok(found.abstain.is_none().then_some([linear, found.logit]))
            })
            .collect::<Result<Vec<_>>>()?;
        let rows: Vec<[f64; 2]> = found.into_iter().flatten().collect();
        let n = rows.len().max(1) as f64;
        let share = [1.0 - self.kind.share(), self.kind.share()];
        let mix = [0, 1].map(|j| {
            let mean = rows.iter().map(|r| r[j]).sum::<f64>() / n;
            let sd = (rows.iter().map(|r| (r[j] - mean).powi(2)).sum::<f64>() / n).sqrt();
            share[j] / sd.max(1e-6)
        });
        let (beside, mix) = match &self.kind {
            Kind::Pictures { .. } => ("residuals", mix),
            Kind::Recordings { .. } => ("cepstra", mix),
            // Chinese has the n-grams' logit alone, which stays as it is.
            Kind::Texts { .. } => ("n-grams", [mix[0] / mix[1], 1.0]),
        };
        let log = format!("logit,weight\nfeatures,{:.5}\n{beside},{:.5}\n", mix[0], mix[1]);
        Ok((mix, log))
    }
}

impl Subject for Head {
    fn items(&self) -> &[Item] {
        &self.items
    }

    fn architecture(&self) -> Architecture {
        match &self.kind {
            Kind::Pictures { task, residual, .. } => Architecture::Pretrained {
                backbone: task.size,
                residual: residual.clone(),
                tile_maps: task.tile_maps.clone(),
                whole_maps: task.whole_maps.clone(),
            },
            Kind::Recordings { hearing, network, lfcc, .. } => Architecture::Spectral {
                backbone: hearing.size,
                network: network.clone(),
                lfcc: lfcc.clone(),
                maps: hearing.maps.clone(),
                layers: hearing.layers.clone(),
            },
            Kind::Texts { task, network, features, standard, .. } => Architecture::Encoded {
                network: network.clone(),
                features: *features,
                standard: standard.clone(),
                layers: task.layers.clone(),
            },
        }
    }

    fn parts(&self) -> Vec<&[u8]> {
        self.parts.iter().map(|(_, bytes)| bytes.as_slice()).collect()
    }

    fn measure(&self, detector: &dyn Detector) -> Result<Vec<Measured>> {
        match &self.kind {
            Kind::Pictures { .. } => super::image::measure(&self.items, self.seed, detector),
            Kind::Recordings { .. } => audio::measure(&self.items, self.seed, detector),
            Kind::Texts { .. } => text::measure(&self.items, self.seed, detector),
        }
    }

    fn leaks(&self) -> Result<Vec<Leak>> {
        match &self.kind {
            Kind::Pictures { task, .. } => leaks(&self.items, self.seed, LONGEST, 224, &task.laundering),
            Kind::Recordings { .. } => audio::leaks(&self.items, self.seed),
            Kind::Texts { features, .. } => Ok(text::leaks(&self.items, features)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(fabricated: bool, group: &str, collection: &str) -> Item {
        Item::example(fabricated, group, "", collection, false)
    }

    #[test]
    fn matched_collections_weigh_alike_in_both_classes() {
        let items = [
            item(false, "a", "both"),
            item(false, "a", "both"),
            item(false, "b", "people"),
            item(true, "c", "both"),
            item(true, "d", "machines"),
            item(true, "d", "machines"),
            item(true, "e", "more"),
            item(false, "f", "more"),
        ];
        let rows: Vec<&Item> = items.iter().collect();
        let weights = matched(&rows, by_group(&rows, 0.5)).unwrap();
        let sum = |fabricated: bool, collection: &str| -> f64 {
            let of = rows.iter().zip(&weights);
            of.filter(|(i, _)| i.fabricated == fabricated && i.collection == collection).map(|(_, w)| w).sum()
        };
        for collection in ["both", "more"] {
            assert!((sum(false, collection) - sum(true, collection)).abs() < 1e-12);
            assert!(sum(true, collection) > 0.0);
        }
        assert_eq!((sum(false, "people"), sum(true, "machines")), (0.0, 0.0));
        assert!((weights.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        assert!((weights[0] - weights[1]).abs() < 1e-15);
        let apart: Vec<&Item> =
            items.iter().filter(|i| ["people", "machines"].contains(&&*i.collection)).collect();
        assert_eq!(matched(&apart, by_group(&apart, 0.5)), None);
    }
}

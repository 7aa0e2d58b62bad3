//! Training of a linear layer on frozen features of pictures.

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io::{Read, Write},
    sync::atomic::Ordering,
};

use candor_features::{
    Media,
    image::launder::{Condition, resize_to_longest},
};
use rayon::prelude::*;
use sha2::{Digest, Sha256};

use super::{
    Leak, Measured, PretrainedTask, Run, Subject, TrainConfig,
    image::{item_rng, leaks, picture},
    manifest::Item,
};
use crate::{
    Detector, Error, Result, hex,
    logistic::{self, Linear},
    metrics::Scored,
    model_file::{Architecture, ModelFile},
    net::{EfficientNetLite0, FROZEN, Params, ResidualNetConfig, WEIGHT_UNIT},
    pretrained::{LONGEST, PretrainedDetector, REACH, Selection},
};

/// Pictures whose features are computed before they are written down.
const CHUNK: usize = 128;
/// Tiles of a training picture: two show enough of it, and the linear layer does not care how many are averaged.
const TILES: usize = 2;

/// Pictures with the parts that are put together.
pub(crate) struct Head {
    task: PretrainedTask,
    group_power: f64,
    seed: u64,
    items: Vec<Item>,
    selection: Selection,
    net: EfficientNetLite0,
    residual: ResidualNetConfig,
    /// SHA-256 of the backbone's weights.
    backbone: [u8; 32],
    /// Values of the backbone and of the residual network by name.
    known: BTreeMap<String, Vec<f32>>,
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

impl Head {
    pub(crate) fn new(run: &Run<'_>, config: &TrainConfig, items: Vec<Item>) -> Result<Self> {
        let task = config.pretrained.clone().ok_or_else(|| Error::config(&config.id, "no [pretrained]"))?;
        let folder = run.config.parent().unwrap_or(std::path::Path::new("."));
        let read = |name: String| {
            let path = folder.join(name);
            std::fs::read(&path).map_err(|e| Error::io(path, e))
        };
        let mut backbone = Params::new(0);
        let net = EfficientNetLite0::new(&mut backbone)?;
        let weights = read(task.backbone.clone())?;
        backbone.load_safetensors(&weights)?;
        let description = String::from_utf8_lossy(&read(format!("{}.toml", task.residual))?).into_owned();
        let file = ModelFile::from_toml(&task.residual, &description)?;
        let Architecture::ResidualNet { network: residual } = file.architecture else {
            return Err(Error::model(&task.residual, "is no residual network"));
        };
        let mut params = Params::new(0);
        crate::net::ResidualNet::new(&mut params, &residual)?;
        params.load_safetensors(&read(format!("{}.safetensors", task.residual))?)?;
        let mut known = backbone.snapshot()?;
        known.extend(params.snapshot()?);
        let selection = Selection { tiles: task.tile_maps.clone(), whole: task.whole_maps.clone() };
        let (group_power, seed) = (config.sampling.group_power, config.seed);
        let backbone = Sha256::digest(&weights).into();
        Ok(Self { task, group_power, seed, items, selection, net, residual, backbone, known })
    }

    /// Fits the layer on the training items and adds it to the residual network.
    pub(crate) fn fit(&self, run: &Run<'_>, data_digest: &str) -> Result<(Vec<u8>, String)> {
        let train: Vec<&Item> = self.items.iter().filter(|i| !i.dev).collect();
        let x = self.features(run, data_digest, &train)?;
        let layer = self.fit_layer(run, x, &train)?;
        let params = self.assemble(&layer, [1.0, 0.0])?;
        let (mix, log) = self.mix(&params.to_safetensors()?)?;
        Ok((self.assemble(&layer, mix)?.to_safetensors()?, log))
    }

    /// Scores of the training items, laundered as for training, by the linear layer alone: fitted without the fold of each.
    pub(crate) fn cross_validate(
        &self,
        run: &Run<'_>,
        data_digest: &str,
        fold_of: &[usize],
        folds: usize,
    ) -> Result<Vec<Vec<Measured>>> {
        let (items, fold_of): (Vec<&Item>, Vec<usize>) =
            self.items.iter().zip(fold_of).filter(|(i, _)| !i.dev).unzip();
        let (d, copies) = (self.selection.len(), self.task.copies);
        let x = self.features(run, data_digest, &items)?;
        (0..folds)
            .map(|fold| {
                run.note(format!("fold {} of {folds}", fold + 1));
                let others = || items.iter().zip(&fold_of).enumerate().filter(|(_, (_, f))| **f != fold);
                let rows = |i: usize| x.get(i * copies * d..(i + 1) * copies * d).unwrap_or_default();
                let part: Vec<f32> = others().flat_map(|(i, _)| rows(i).iter().copied()).collect();
                let learned: Vec<&Item> = others().map(|(_, (item, _))| *item).collect();
                let layer = self.fit_layer(run, part, &learned)?;
                let mut scores = Vec::new();
                for (i, (item, _)) in items.iter().zip(&fold_of).enumerate().filter(|(_, (_, f))| **f == fold)
                {
                    scores.push(Scored {
                        name: item.name.clone(),
                        score: layer.logit(rows(i).get(..d).unwrap_or_default()),
                        fabricated: item.fabricated,
                        group: item.group.clone(),
                    });
                }
                let strata = vec![String::new(); scores.len()];
                Ok(vec![Measured {
                    condition: "laundered, linear layer alone".into(),
                    scores,
                    strata,
                    abstained: 0,
                    part: false,
                }])
            })
            .collect()
    }

    /// Fits the layer on descriptions of items, copies side by side.
    fn fit_layer(&self, run: &Run<'_>, mut x: Vec<f32>, items: &[&Item]) -> Result<Layer> {
        let d = self.selection.len();
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
        for row in x.chunks_exact_mut(d) {
            for ((v, m), s) in row.iter_mut().zip(&mean).zip(&scale) {
                *v = ((*v - m) * s).clamp(-REACH, REACH);
            }
        }
        let rows: Vec<&Item> =
            items.iter().flat_map(|item| std::iter::repeat_n(*item, self.task.copies)).collect();
        let targets: Vec<f64> = rows.iter().map(|i| f64::from(u8::from(i.fabricated))).collect();
        let weights = self.weights(&rows);
        run.note(format!("fitting {d} weights on {n} descriptions"));
        let linear = logistic::fit(&x, d, &targets, &weights, self.task.ridge, self.task.steps)
            .ok_or_else(|| Error::config(run.config, "nothing to fit"))?;
        Ok(Layer { mean, scale, linear })
    }

    /// Features of laundered copies of the items, a row for each copy, copies side by side. What is computed is kept in the run's folder, so
    /// that an interrupted run continues and another head on the same features costs little.
    fn features(&self, run: &Run<'_>, data_digest: &str, items: &[&Item]) -> Result<Vec<f32>> {
        std::fs::create_dir_all(run.run_dir).map_err(|e| Error::io(run.run_dir, e))?;
        let law =
            toml::to_string(&self.task.laundering).map_err(|e| Error::config(run.config, e.to_string()))?;
        let key = Sha256::new()
            .chain_update(format!("{}\0{}\0{TILES}\0{data_digest}\0{law}", self.seed, self.task.copies))
            .chain_update(self.backbone)
            .finalize();
        let path = run.run_dir.join(format!("features-{}.f32", &hex(&key)[..16]));
        let mut bytes = Vec::new();
        if let Ok(mut file) = File::open(&path) {
            file.read_to_end(&mut bytes).map_err(|e| Error::io(&path, e))?;
        }
        let per_item = self.task.copies * Selection::all().len();
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
            run.note(format!("features of {} of {} pictures", x.len() / per_item, items.len()));
            let new = chunk.par_iter().map(|item| self.copies(item)).collect::<Result<Vec<_>>>()?.concat();
            let bytes: Vec<u8> = new.iter().flat_map(|v| v.to_le_bytes()).collect();
            file.write_all(&bytes).map_err(|e| Error::io(&path, e))?;
            x.extend(new);
        }
        let places = self.selection.places();
        let all = Selection::all().len();
        Ok(x.chunks_exact(all).flat_map(|row| places.iter().filter_map(|&p| row.get(p).copied())).collect())
    }

    fn copies(&self, item: &Item) -> Result<Vec<f32>> {
        let small = resize_to_longest(&picture(item)?, LONGEST);
        let mut out = Vec::new();
        for copy in 0..self.task.copies {
            let mut rng = item_rng(self.seed, &item.name, &format!("copy {copy}"));
            let laundered = self.task.laundering.launder(&small, &mut rng);
            out.extend(Selection::all().describe(&self.net, &laundered, TILES)?);
        }
        Ok(out)
    }

    /// Weights of rows that sum to one half in each class; a group's share goes by `size ^ group_power`.
    fn weights(&self, rows: &[&Item]) -> Vec<f64> {
        let mut sizes: BTreeMap<(bool, &str), f64> = BTreeMap::new();
        for item in rows {
            *sizes.entry((item.fabricated, &item.group)).or_default() += 1.0;
        }
        let total = |class: bool| -> f64 {
            sizes.iter().filter(|((c, _), _)| *c == class).map(|(_, n)| n.powf(self.group_power)).sum()
        };
        let totals = [total(false), total(true)];
        let weight = |item: &&Item| {
            let n = sizes.get(&(item.fabricated, item.group.as_str())).copied().unwrap_or(1.0);
            0.5 * n.powf(self.group_power) / n / totals[usize::from(item.fabricated)]
        };
        rows.iter().map(weight).collect()
    }

    /// All values under their names, rounded as they are shipped.
    fn assemble(&self, layer: &Layer, mix: [f64; 2]) -> Result<Params> {
        let mut params = Params::new(0);
        PretrainedDetector::new(&mut params, &self.residual, self.selection.clone())?;
        for (name, values) in &self.known {
            params.set(name, values.clone())?;
        }
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
        params.round_to_f16()?;
        Ok(params)
    }

    /// How much each logit counts: its share over its standard deviation on the development items, in the condition that most
    /// pictures are met in. Their labels are not looked at.
    fn mix(&self, weights: &[u8]) -> Result<([f64; 2], String)> {
        let mut params = Params::new(0);
        let detector = PretrainedDetector::new(&mut params, &self.residual, self.selection.clone())?;
        params.load_safetensors(weights)?;
        let dev: Vec<&Item> = self.items.iter().filter(|i| i.dev).collect();
        let found = dev
            .par_iter()
            .map(|item| {
                let pixels = picture(item)?;
                let mut rng = item_rng(self.seed, &item.name, Condition::Web.name());
                let (linear, found) =
                    detector.both(&Media::Image(Condition::Web.apply(&pixels, &mut rng)))?;
                Ok(found.abstain.is_none().then_some([linear, found.logit]))
            })
            .collect::<Result<Vec<_>>>()?;
        let rows: Vec<[f64; 2]> = found.into_iter().flatten().collect();
        let n = rows.len().max(1) as f64;
        let share = [1.0 - self.task.residual_share, self.task.residual_share];
        let mix = [0, 1].map(|j| {
            let mean = rows.iter().map(|r| r[j]).sum::<f64>() / n;
            let sd = (rows.iter().map(|r| (r[j] - mean).powi(2)).sum::<f64>() / n).sqrt();
            share[j] / sd.max(1e-6)
        });
        let log = format!("logit,weight\nfeatures,{:.5}\nresiduals,{:.5}\n", mix[0], mix[1]);
        Ok((mix, log))
    }
}

impl Subject for Head {
    fn items(&self) -> &[Item] {
        &self.items
    }

    fn architecture(&self) -> Architecture {
        Architecture::Pretrained {
            residual: self.residual.clone(),
            tile_maps: self.task.tile_maps.clone(),
            whole_maps: self.task.whole_maps.clone(),
        }
    }

    fn measure(&self, detector: &dyn Detector) -> Result<Vec<Measured>> {
        super::image::measure(&self.items, self.seed, detector)
    }

    fn leaks(&self) -> Result<Vec<Leak>> {
        leaks(&self.items, self.seed, LONGEST, 224, &self.task.laundering)
    }
}

//! Training on pictures.

use candle_core::{Device, Tensor};
use candor_features::{
    Limits, Media, Pixels,
    image::{
        Planes,
        blockgrid::block_grid,
        launder::{Condition, ImageLaundering, Perturbation, crop, encode_jpeg},
    },
    sniff,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::{Event, ImageTask, Leak, Measured, Subject, Task, TrainConfig, manifest::Item};
use crate::{
    Detection, Detector, Error, Result,
    image::ImageNet,
    kernels::BceWithLogits,
    metrics::Scored,
    model_file::Architecture,
    net::{Mode, Params, PublishedNet, ResidualNet},
    probe::Facts,
};

/// Side of the quick development crops.
const QUICK: usize = 256;

/// Pictures with the network that learns from them.
pub(crate) struct Images {
    task: ImageTask,
    smoothing: f32,
    seed: u64,
    items: Vec<Item>,
    /// A region of each training picture at native resolution; empty for development pictures.
    regions: Vec<Option<Pixels>>,
    /// Laundered crops of the development pictures.
    quick: Vec<(usize, Pixels)>,
    params: Params,
    net: ImageNet,
}

/// Reproducible generator for one item and purpose.
pub(super) fn item_rng(seed: u64, name: &str, purpose: &str) -> ChaCha8Rng {
    use sha2::{Digest, Sha256};
    let digest =
        Sha256::new().chain_update(seed.to_le_bytes()).chain_update(name).chain_update(purpose).finalize();
    let mut key = [0; 32];
    key.copy_from_slice(&digest);
    ChaCha8Rng::from_seed(key)
}

pub(super) fn decode(item: &Item) -> Result<Media> {
    let bytes = item.bytes()?;
    candor_features::decode(&bytes, &Limits::default()).map_err(|e| Error::config(&item.name, e.to_string()))
}

pub(super) fn picture(item: &Item) -> Result<Pixels> {
    match decode(item)? {
        Media::Image(pixels) => Ok(pixels),
        other => Err(Error::config(&item.name, format!("is {}, not an image", other.kind()))),
    }
}

impl Images {
    pub(crate) fn new(
        config: &TrainConfig,
        items: Vec<Item>,
        progress: &(dyn Fn(Event) + Sync),
    ) -> Result<Self> {
        let task = config.image.clone().ok_or_else(|| Error::config(&config.id, "no [image]"))?;
        let seed = config.seed;
        let regions = items
            .par_iter()
            .map(|item| {
                if item.dev {
                    return Ok(None);
                }
                let pixels = picture(item)?;
                let mut rng = item_rng(seed, &item.name, "region");
                let (w, h) = (pixels.width.min(task.region), pixels.height.min(task.region));
                let x = rng.random_range(0..=pixels.width - w);
                let y = rng.random_range(0..=pixels.height - h);
                Ok(Some(crop(&pixels, x, y, w, h)))
            })
            .collect::<Result<Vec<_>>>()?;
        let dev: Vec<usize> = (0..items.len()).filter(|&i| items[i].dev).collect();
        let quick = dev
            .par_iter()
            .map(|&i| {
                let mut rng = item_rng(seed, &items[i].name, "quick");
                let pixels = Condition::Web.apply(&picture(&items[i])?, &mut rng);
                let (w, h) = (pixels.width.min(QUICK), pixels.height.min(QUICK));
                let (x, y) = ((pixels.width - w) / 2, (pixels.height - h) / 2);
                Ok((i, crop(&pixels, x, y, w, h)))
            })
            .collect::<Result<Vec<_>>>()?;
        progress(Event::Note(format!("{} training pictures in memory", items.len() - quick.len())));
        let mut params = Params::new(seed);
        let net = match (&task.network, task.published) {
            (Some(shape), _) => ImageNet::Residual(shape.clone(), ResidualNet::new(&mut params, shape)?),
            (None, Some(which)) => ImageNet::Published(which, PublishedNet::new(&mut params, which)?),
            (None, None) => return Err(Error::config(&config.id, "no network")),
        };
        let smoothing = config.sampling.label_smoothing;
        Ok(Self { task, smoothing, seed, items, regions, quick, params, net })
    }
}

impl Task for Images {
    type Batch = (Tensor, Vec<f32>);

    fn params(&self) -> &Params {
        &self.params
    }

    fn prepare(&self, picks: Vec<(usize, ChaCha8Rng)>) -> Result<Self::Batch> {
        let (n, side) = (picks.len(), self.task.crop);
        let targets = picks.iter().map(|(i, _)| self.items[*i].target(self.smoothing)).collect();
        let crops: Vec<Vec<f32>> = picks
            .into_par_iter()
            .filter_map(|(i, mut rng)| {
                let region = self.regions[i].as_ref()?;
                Some(self.net.input(&self.task.laundering.launder_crop(region, side, &mut rng)))
            })
            .collect();
        Ok((Tensor::from_vec(crops.concat(), (n, self.net.planes(), side, side), &Device::Cpu)?, targets))
    }

    fn loss(&self, (x, targets): &Self::Batch) -> Result<Tensor> {
        let map = self.net.forward(x, Mode::Train)?;
        let logits = map.flatten_from(1)?.mean(1)?;
        let weights = vec![1.0; targets.len()];
        Ok(logits.apply_op1(BceWithLogits { targets: targets.clone(), weights })?)
    }

    fn after_step(&self) -> Result<()> {
        self.net.update_running()
    }

    fn quick_dev(&self) -> Result<Vec<Scored>> {
        self.quick
            .par_iter()
            .map(|(i, pixels)| {
                let shape = (1, self.net.planes(), pixels.height, pixels.width);
                let x = Tensor::from_vec(self.net.input(pixels), shape, &Device::Cpu)?;
                let y = self.net.forward(&x, Mode::Eval)?.flatten_all()?.mean(0)?.to_scalar::<f32>()?;
                let item = &self.items[*i];
                Ok(Scored {
                    name: item.name.clone(),
                    score: f64::from(y),
                    fabricated: item.fabricated,
                    group: item.group.clone(),
                })
            })
            .collect()
    }
}

impl Subject for Images {
    fn items(&self) -> &[Item] {
        &self.items
    }

    fn architecture(&self) -> Architecture {
        self.net.architecture()
    }

    fn measure(&self, detector: &dyn Detector) -> Result<Vec<Measured>> {
        measure(&self.items, self.seed, detector)
    }

    fn leaks(&self) -> Result<Vec<Leak>> {
        leaks(&self.items, self.seed, self.task.region, self.task.crop, &self.task.laundering)
    }
}

/// What may have happened to a picture beside the conditions of the figures to reach: thresholds are to hold there, too.
const ALSO: [Perturbation; 5] = [
    Perturbation::Resize50,
    Perturbation::Resize35,
    Perturbation::Noise,
    Perturbation::Crop,
    Perturbation::Screenshot,
];

/// Scores the development pictures under each condition.
pub(super) fn measure(items: &[Item], seed: u64, detector: &dyn Detector) -> Result<Vec<Measured>> {
    let dev: Vec<&Item> = items.iter().filter(|i| i.dev).collect();
    let per_item = dev
        .par_iter()
        .map(|item| {
            let pixels = picture(item)?;
            let fixed = Condition::ALL
                .iter()
                .map(|condition| condition.apply(&pixels, &mut item_rng(seed, &item.name, condition.name())));
            let also = ALSO
                .iter()
                .map(|change| change.apply(&pixels, &mut item_rng(seed, &item.name, change.name())));
            fixed
                .chain(also)
                .map(|changed| Ok(Answer::of(detector.detect(&Media::Image(changed))?)))
                .collect::<Result<Vec<_>>>()
        })
        .collect::<Result<Vec<_>>>()?;
    let names = [&Condition::ALL.map(Condition::name)[..], &ALSO.map(Perturbation::name)].concat();
    Ok(conditions(&dev, &per_item, &names))
}

/// Facts about the files, and about what is left of them in crops of `side` from regions of `longest` pixels.
pub(super) fn leaks(
    items: &[Item],
    seed: u64,
    longest: usize,
    side: usize,
    laundering: &ImageLaundering,
) -> Result<Vec<Leak>> {
    // Before: what the files are. After: what is left to tell of the crops that the network learns from.
    let files = items
        .par_iter()
        .map(|item| Ok((item.dev, Facts { values: file_facts(item)?, ..facts_of(item) })))
        .collect::<Result<Vec<_>>>()?;
    let crops = items
        .par_iter()
        .map(|item| {
            let pixels = picture(item)?;
            let mut rng = item_rng(seed, &item.name, "leak");
            let (w, h) = (pixels.width.min(longest), pixels.height.min(longest));
            let region = crop(&pixels, (pixels.width - w) / 2, (pixels.height - h) / 2, w, h);
            let laundered = laundering.launder_crop(&region, side, &mut rng);
            let encoded =
                encode_jpeg(&laundered, 90, false).map_err(|e| Error::config(&item.name, e.to_string()))?;
            let bits = encoded.len() as f64 / (laundered.width * laundered.height) as f64;
            let luma = Planes::from_pixels(&laundered).luma();
            let grid = block_grid(&luma);
            let values = vec![
                laundered.width as f64,
                laundered.height as f64,
                bits.ln(),
                grid.horizontal_strength(),
                grid.vertical_strength(),
            ];
            Ok((item.dev, Facts { values, ..facts_of(item) }))
        })
        .collect::<Result<Vec<_>>>()?;
    Ok(vec![
        split("files: format, bytes, sides, aspect, quantiser", files),
        split("laundered crops: sides, bits per pixel, 8x8 grid", crops),
    ])
}

/// A score with its stratum.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    score: f64,
    stratum: String,
}

impl Answer {
    /// Of a detector; `None` where it abstains.
    pub(super) fn of(found: Detection) -> Option<Self> {
        found.abstain.is_none().then_some(Self { score: found.logit, stratum: found.stratum })
    }
}

/// Regroups the scores of items by condition.
pub(super) fn conditions(dev: &[&Item], per_item: &[Vec<Option<Answer>>], names: &[&str]) -> Vec<Measured> {
    names
        .iter()
        .enumerate()
        .map(|(c, name)| {
            let (scores, strata): (Vec<_>, Vec<_>) = dev
                .iter()
                .zip(per_item)
                .filter_map(|(item, scores)| {
                    let Answer { score, stratum } = scores.get(c)?.clone()?;
                    let scored = Scored {
                        name: item.name.clone(),
                        score,
                        fabricated: item.fabricated,
                        group: item.group.clone(),
                    };
                    Some((scored, stratum))
                })
                .unzip();
            let abstained = dev.len() - scores.len();
            Measured { condition: (*name).into(), abstained, scores, strata, part: false }
        })
        .collect()
}

/// Facts without values yet.
pub(super) fn facts_of(item: &Item) -> Facts {
    Facts {
        name: item.name.clone(),
        values: Vec::new(),
        fabricated: item.fabricated,
        group: item.group.clone(),
    }
}

/// Facts by split.
pub(super) fn split(name: &'static str, facts: Vec<(bool, Facts)>) -> Leak {
    let (dev, train): (Vec<_>, Vec<_>) = facts.into_iter().partition(|f| f.0);
    let strip = |v: Vec<(bool, Facts)>| v.into_iter().map(|f| f.1).collect();
    Leak { name, train: strip(train), dev: strip(dev) }
}

fn file_facts(item: &Item) -> Result<Vec<f64>> {
    let bytes = item.bytes()?;
    let pixels = picture(item)?;
    let (w, h) = (pixels.width as f64, pixels.height as f64);
    let format = sniff::sniff(&bytes).map_err(|e| Error::config(&item.name, e.to_string()))?;
    let is = |f: sniff::ImageFormat| f64::from(u8::from(format == sniff::Format::Image(f)));
    let table = pixels.jpeg_luma_table.map_or(0.0, |t| t.iter().map(|&v| f64::from(v)).sum::<f64>() / 64.0);
    Ok(vec![
        is(sniff::ImageFormat::Png),
        is(sniff::ImageFormat::Jpeg),
        is(sniff::ImageFormat::WebP),
        (bytes.len() as f64).ln(),
        (8.0 * bytes.len() as f64 / (w * h)).ln(),
        w.ln(),
        h.ln(),
        (w / h).ln().abs(),
        f64::from(u8::from(pixels.width == pixels.height)),
        f64::from(u8::from(pixels.width % 64 == 0 && pixels.height % 64 == 0)),
        (1.0 + table).ln(),
    ])
}

//! Training on recordings.

use candle_core::{Device, Tensor};
use candor_features::{
    Media, Waveform,
    audio::{
        AudioCondition, AudioStats, Lfcc, audio_stats, copy_synthesis, equalise, launder::Perturbation, tile,
    },
};
use rand::{Rng, RngExt};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::{
    AudioTask, Event, Leak, Measured, Subject, Task, TrainConfig,
    image::{Answer, conditions, decode, facts_of, item_rng, split},
    manifest::Item,
};
use crate::{
    Detector, Error, Result,
    audio::{WINDOW, cepstra},
    kernels::BceWithLogits,
    metrics::Scored,
    model_file::Architecture,
    net::{LfccNet, Mode, Params},
    probe::Facts,
};

/// Share of the frame loss beside the clip loss: it makes the timeline meaningful.
const FRAME_SHARE: f64 = 0.3;

/// Recordings with the network that learns from them.
pub(crate) struct Recordings {
    task: AudioTask,
    smoothing: f32,
    seed: u64,
    items: Vec<Item>,
    /// A stretch of each training recording; empty for development recordings.
    stretches: Vec<Vec<f32>>,
    /// Cepstra of the first window of each development recording.
    quick: Vec<(usize, Vec<f32>)>,
    shape: (usize, usize),
    plan: Lfcc,
    params: Params,
    net: LfccNet,
}

pub(super) fn recording(item: &Item) -> Result<Waveform> {
    match decode(item)? {
        Media::Audio(wave) => Ok(wave),
        other => Err(Error::config(&item.name, format!("is {}, not audio", other.kind()))),
    }
}

/// A random stretch of at most `len` samples.
pub(super) fn stretch<'a>(samples: &'a [f32], len: usize, rng: &mut impl Rng) -> &'a [f32] {
    let n = samples.len().min(len);
    let start = rng.random_range(0..=samples.len() - n);
    &samples[start..start + n]
}

impl Recordings {
    pub(crate) fn new(
        config: &TrainConfig,
        items: Vec<Item>,
        progress: &(dyn Fn(Event) + Sync),
    ) -> Result<Self> {
        let task = config.audio.clone().ok_or_else(|| Error::config(&config.id, "no [audio]"))?;
        let seed = config.seed;
        let plan =
            Lfcc::new(&task.lfcc).ok_or_else(|| Error::config(&config.id, "audio.lfcc makes no sense"))?;
        let keep = (task.keep_seconds * f64::from(Waveform::RATE)) as usize;
        let stretches = items
            .par_iter()
            .map(|item| {
                if item.dev {
                    return Ok(Vec::new());
                }
                let wave = recording(item)?;
                Ok(stretch(&wave.samples, keep, &mut item_rng(seed, &item.name, "stretch")).to_vec())
            })
            .collect::<Result<Vec<_>>>()?;
        let dev: Vec<usize> = (0..items.len()).filter(|&i| items[i].dev).collect();
        let quick = dev
            .par_iter()
            .map(|&i| {
                let samples = equalise(&recording(&items[i])?.samples);
                let n = samples.len().min(WINDOW);
                Ok((i, cepstra(&plan, &tile(&samples[..n], WINDOW)).2))
            })
            .collect::<Result<Vec<_>>>()?;
        let (rows, cols, _) = cepstra(&plan, &vec![0.0; WINDOW]);
        let seconds = stretches.iter().map(Vec::len).sum::<usize>() / Waveform::RATE as usize;
        progress(Event::Note(format!("{seconds} seconds of training recordings in memory")));
        let mut params = Params::new(seed);
        let net = LfccNet::new(&mut params, &task.network)?;
        let smoothing = config.sampling.label_smoothing;
        Ok(Self { task, smoothing, seed, items, stretches, quick, shape: (rows, cols), plan, params, net })
    }
}

impl Task for Recordings {
    type Batch = (Tensor, Vec<f32>);

    fn params(&self) -> &Params {
        &self.params
    }

    fn prepare(&self, picks: Vec<(usize, ChaCha8Rng)>) -> Result<Self::Batch> {
        let n = picks.len();
        // Slots come in pairs, the genuine one first: a copy is made of the genuine recording beside it.
        let partners: Vec<usize> = picks.iter().map(|(i, _)| *i).collect();
        let made: Vec<(Vec<f32>, f32)> = picks
            .into_par_iter()
            .enumerate()
            .map(|(slot, (i, mut rng))| {
                let copied = slot % 2 == 1
                    && self.task.copy_synthesis > 0.0
                    && rng.random::<f64>() < self.task.copy_synthesis;
                let source = if copied { partners[slot - 1] } else { i };
                // A little more than a window, for what speed and trimming take away.
                let part = stretch(&self.stretches[source], WINDOW + WINDOW / 4, &mut rng);
                let part = if copied { copy_synthesis(part, &mut rng) } else { part.to_vec() };
                let laundered = if rng.random::<f64>() < self.task.clean_probability {
                    equalise(&part)
                } else {
                    equalise(&self.task.laundering.launder(&part, &mut rng))
                };
                let window = stretch(&laundered, WINDOW, &mut rng);
                // What a teacher says of the item is not about the copy in its place.
                let target = if copied { 1.0 - self.smoothing } else { self.items[i].target(self.smoothing) };
                (cepstra(&self.plan, &tile(window, WINDOW)).2, target)
            })
            .collect();
        let (inputs, targets): (Vec<_>, Vec<_>) = made.into_iter().unzip();
        let (rows, cols) = self.shape;
        Ok((Tensor::from_vec(inputs.concat(), (n, 1, rows, cols), &Device::Cpu)?, targets))
    }

    fn loss(&self, (x, targets): &Self::Batch) -> Result<Tensor> {
        let y = self.net.forward(x, Mode::Train)?;
        let bce = |targets: Vec<f32>| BceWithLogits { weights: vec![1.0; targets.len()], targets };
        let clip = y.clip.apply_op1(bce(targets.clone()))?;
        let (_, frames) = y.frames.dims2()?;
        let repeated = targets.iter().flat_map(|&t| std::iter::repeat_n(t, frames)).collect();
        let frames = y.frames.flatten_all()?.apply_op1(bce(repeated))?;
        Ok(((clip * (1.0 - FRAME_SHARE))? + (frames * FRAME_SHARE)?)?)
    }

    fn after_step(&self) -> Result<()> {
        self.net.update_running()
    }

    fn quick_dev(&self) -> Result<Vec<Scored>> {
        let (rows, cols) = self.shape;
        let scored = self
            .quick
            .par_iter()
            .map(|(i, c)| {
                let x = Tensor::from_slice(c, (1, 1, rows, cols), &Device::Cpu)?;
                let score = f64::from(self.net.forward(&x, Mode::Eval)?.clip.to_vec1::<f32>()?[0]);
                let item = &self.items[*i];
                Ok(Scored {
                    name: item.name.clone(),
                    score,
                    fabricated: item.fabricated,
                    group: item.group.clone(),
                })
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(scored)
    }
}

impl Subject for Recordings {
    fn items(&self) -> &[Item] {
        &self.items
    }

    fn architecture(&self) -> Architecture {
        Architecture::LfccNet { network: self.task.network.clone(), lfcc: self.task.lfcc.clone() }
    }

    fn measure(&self, detector: &dyn Detector) -> Result<Vec<Measured>> {
        measure(&self.items, self.seed, detector)
    }

    fn leaks(&self) -> Result<Vec<Leak>> {
        leaks(&self.items, self.seed)
    }
}

/// What may have happened to a recording beside the conditions of the figures to reach: thresholds are to hold there, too.
/// Under a hard reverberation or Opus at 12 kb/s they would have to be so high that little would be found elsewhere.
const ALSO: [Perturbation; 2] = [Perturbation::Opus24k, Perturbation::Noise20];

/// Scores the development recordings under each condition.
pub(super) fn measure(items: &[Item], seed: u64, detector: &dyn Detector) -> Result<Vec<Measured>> {
    let dev: Vec<&Item> = items.iter().filter(|i| i.dev).collect();
    let per_item = dev
        .par_iter()
        .map(|item| {
            let wave = recording(item)?;
            let fixed = AudioCondition::ALL.iter().map(|condition| condition.apply(&wave.samples));
            let also = ALSO
                .iter()
                .map(|change| change.apply(&wave.samples, &mut item_rng(seed, &item.name, change.name())));
            fixed
                .chain(also)
                .map(|samples| {
                    let samples = samples.map_err(|e| Error::config(&item.name, e.to_string()))?;
                    let found = detector.detect(&Media::Audio(Waveform { samples, ..wave.clone() }))?;
                    Ok(Answer::of(found))
                })
                .collect::<Result<Vec<_>>>()
        })
        .collect::<Result<Vec<_>>>()?;
    let names = [&["clean", "telephone", "mp3 32 kb/s"][..], &ALSO.map(Perturbation::name)].concat();
    Ok(conditions(&dev, &per_item, &names))
}

/// Facts of the recordings as they are, and of equalised windows of them.
pub(super) fn leaks(items: &[Item], seed: u64) -> Result<Vec<Leak>> {
    let both = items
        .par_iter()
        .map(|item| {
            let wave = recording(item)?;
            let raw = trivial(&audio_stats(&wave));
            let mut files = raw;
            files.extend([
                f64::from(wave.source_rate).ln(),
                f64::from(wave.source_channels),
                wave.seconds().ln(),
            ]);
            let mut rng = item_rng(seed, &item.name, "leak");
            let part = stretch(&wave.samples, WINDOW, &mut rng);
            let samples = equalise(part);
            let inputs = trivial(&audio_stats(&Waveform { samples, ..wave.clone() }));
            let facts = |values| (item.dev, Facts { values, ..facts_of(item) });
            Ok((facts(files), facts(inputs)))
        })
        .collect::<Result<Vec<_>>>()?;
    let (files, inputs): (Vec<_>, Vec<_>) = both.into_iter().unzip();
    Ok(vec![
        split(
            "files: level, peak, DC, hum, leading silence, 7.2-7.8 kHz level, rate, channels, length",
            files,
        ),
        split("equalised windows: level, peak, DC, hum, leading silence, 7.2-7.8 kHz level", inputs),
    ])
}

/// The cues that careless data sets give away.
fn trivial(s: &AudioStats) -> Vec<f64> {
    const CUES: [&str; 7] = [
        "rms_db",
        "crest_factor_db",
        "dc_offset",
        "rumble_share",
        "leading_silence_s",
        "high_band_db",
        "noise_floor_db",
    ];
    s.named().into_iter().filter(|(name, _)| CUES.contains(name)).map(|(_, v)| v).collect()
}

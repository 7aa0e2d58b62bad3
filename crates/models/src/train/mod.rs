//! Training: the same configuration, data and seed give the same weights, bit for bit.

mod audio;
mod checkpoint;
mod config;
mod copies;
mod folds;
mod image;
mod imported;
pub mod manifest;
mod pretrained;
mod report;
mod sampler;
mod text;

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    time::Instant,
};

use candle_core::Tensor;
use sha2::{Digest, Sha256};

pub use config::{
    AudioTask, Distillation, EncodedTask, ImageTask, ImportedTask, PretrainedTask, Sampling, Schedule,
    SpectralTask, TextTask, TrainConfig,
};
pub use folds::LeaveOut;
pub use report::{Figures, Row};

use crate::{
    Detector, Error, Result, hex,
    metrics::{self, Scored},
    model_file::{Architecture, ModelFile},
    net::Params,
    optimizer::AdamW,
    probe::Facts,
};
use manifest::Item;
use sampler::Sampler;

/// What a training does on its way, for a progress display.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// Something about the data or the state, in one line.
    Note(String),
    /// A step was made.
    Step {
        /// Steps made.
        step: u64,
        /// Steps in all.
        steps: u64,
        /// Mean loss since the last event.
        loss: f64,
        /// Items a second since the start of this run.
        rate: f64,
    },
    /// The development items were scored.
    Dev {
        /// Steps made.
        step: u64,
        /// AUROC on the quick development set.
        auroc: f64,
        /// EER on the quick development set.
        eer: f64,
    },
}

/// What the finished training is measured on.
#[derive(Clone)]
pub(crate) struct Measured {
    /// Name of the condition, `clean` first.
    pub(crate) condition: String,
    /// Scores of the development items on which the detector did not abstain.
    pub(crate) scores: Vec<Scored>,
    /// Stratum of each of them, see [`crate::Detection::stratum`].
    pub(crate) strata: Vec<String>,
    /// Development items on which it abstained.
    pub(crate) abstained: usize,
    /// Whether it is a part of another condition's items, shown but not calibrated on.
    pub(crate) part: bool,
}

/// Facts of the items beside their content, for the leak test.
pub(crate) struct Leak {
    /// What the facts are.
    pub(crate) name: &'static str,
    /// Facts of training items.
    pub(crate) train: Vec<Facts>,
    /// Facts of development items.
    pub(crate) dev: Vec<Facts>,
}

/// What is trained on, and measured in the end.
pub(crate) trait Subject: Sync {
    /// The labelled items.
    fn items(&self) -> &[Item];
    /// The detector's description for the model file.
    fn architecture(&self) -> Architecture;
    /// The weight files that the detector's own one names.
    fn parts(&self) -> Vec<&[u8]> {
        Vec::new()
    }
    /// Scores every development item through the finished detector, under each condition.
    fn measure(&self, detector: &dyn Detector) -> Result<Vec<Measured>>;
    /// Facts for the leak test.
    fn leaks(&self) -> Result<Vec<Leak>>;
}

/// One kind of media, seen from the training loop.
pub(crate) trait Task: Subject {
    /// A prepared batch.
    type Batch: Send + Sync;
    /// The variables.
    fn params(&self) -> &Params;
    /// Prepares the items of a batch, each with a generator of its own.
    fn prepare(&self, picks: Vec<(usize, rand_chacha::ChaCha8Rng)>) -> Result<Self::Batch>;
    /// Loss of a batch in training mode, a scalar.
    fn loss(&self, batch: &Self::Batch) -> Result<Tensor>;
    /// Moves running statistics after a step.
    fn after_step(&self) -> Result<()>;
    /// Scores of a quick, fixed set of development items.
    fn quick_dev(&self) -> Result<Vec<Scored>>;
}

/// What a call of [`train`] is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Job {
    /// Train, then measure and calibrate.
    Train,
    /// Leave the weights as they are: measure them on the development items and fit the calibration anew.
    Calibrate,
    /// Train this many times, each time without a part of the generators or sources, and measure on that part. All items
    /// take part, whatever their split. Writes `<name>.folds.md` only.
    Folds(LeaveOut, usize),
}

/// Where a training reads and writes, and who follows it.
pub struct Run<'a> {
    /// What to do.
    pub job: Job,
    /// The configuration; weights, description, card and curve are written beside it.
    pub config: &'a Path,
    /// Manifests of labelled items.
    pub data: &'a [PathBuf],
    /// Folder of the checkpoint. One that is there is continued.
    pub run_dir: &'a Path,
    /// Weights that the training begins with in place of random ones, of the same network; for fine-tuning.
    pub init: Option<&'a Path>,
    /// Scores of another detector on the training items, to learn from beside the labels; `[distillation]` says how.
    pub teacher: Option<&'a Path>,
    /// Set from outside to end the training after a checkpoint.
    pub stop: &'a AtomicBool,
    /// Told what happens.
    pub progress: &'a (dyn Fn(Event) + Sync),
}

impl Run<'_> {
    fn note(&self, text: String) {
        (self.progress)(Event::Note(text));
    }

    /// A file beside the configuration, named after the model.
    fn beside(&self, config: &TrainConfig, suffix: &str) -> PathBuf {
        let name = config.id.rsplit('/').next().unwrap_or(&config.id);
        self.config.parent().unwrap_or(Path::new(".")).join(format!("{name}.{suffix}"))
    }
}

/// Does what `run` says and, unless it cross-validates, writes `<name>.safetensors`, `<name>.toml`, `<name>.md` and `<name>.log.csv` beside the
/// configuration. Returns the path of the description, or of `<name>.folds.md`.
///
/// # Errors
/// Names the file and the reason; [`Error::Stopped`] when `stop` was set.
pub fn train(run: &Run<'_>) -> Result<PathBuf> {
    let config = TrainConfig::read(run.config)?;
    let mut items = manifest::read(run.data, &config.sampling.exclude_groups)?;
    for (split, [genuine, fabricated]) in manifest::summary(&items) {
        run.note(format!("{split}: {genuine} genuine and {fabricated} machine-made items"));
    }
    if config.imported.is_some() && run.job != Job::Calibrate {
        return Err(Error::config(
            run.config,
            "imported weights are not trained here; --calibrate-only measures them",
        ));
    }
    if run.init.is_some() && (config.frozen() || run.job == Job::Calibrate) {
        return Err(Error::config(
            run.config,
            "weights to begin with are for networks that are trained step by step",
        ));
    }
    let digest = manifest::digest(&items)?;
    run.note(format!("data digest {digest}"));
    match (run.teacher, &config.distillation) {
        (_, Some(_)) if matches!(run.job, Job::Folds(..)) => {
            let reason =
                "[distillation] can't be cross-validated: the teacher has seen what a fold leaves out";
            return Err(Error::config(run.config, reason));
        }
        (Some(path), Some(how)) => {
            let found = manifest::teach(&mut items, path, how)?;
            run.note(format!("{found} training items have a score of the teacher"));
        }
        (None, Some(_)) if run.job != Job::Calibrate => {
            return Err(Error::config(run.config, "[distillation] needs the scores of a teacher: --teacher"));
        }
        (Some(_), None) => {
            return Err(Error::config(run.config, "a teacher needs [distillation] share and temperature"));
        }
        _ => {}
    }
    if let Some(task) = &config.encoded {
        items = text::texts(items, task.near_copies, run.progress)?;
        // What is not measured on and not learned from.
        items.retain(|item| item.dev || text::is_english(item));
    }
    if let Job::Folds(by, folds) = run.job {
        return cross_validate(run, &config, &digest, items, by, folds);
    }
    let loading = "decoding the items".to_owned();
    if let Some(task) = &config.imported {
        let imported = imported::Imported::new(task.network, config.seed, items);
        let untrained = || Err(Error::config(run.config, "imported weights are not trained here"));
        obtain(run, &config, &digest, &imported, untrained)
    } else if config.frozen() {
        run.note(loading);
        let head = pretrained::Head::new(run, &config, items)?;
        obtain(run, &config, &digest, &head, || head.fit(run, &digest))
    } else if config.image.is_some() {
        run.note(loading);
        dispatch(run, &config, &digest, &image::Images::new(&config, items, run.progress)?)
    } else if config.audio.is_some() {
        run.note(loading);
        dispatch(run, &config, &digest, &audio::Recordings::new(&config, items, run.progress)?)
    } else {
        dispatch(run, &config, &digest, &text::Texts::new(&config, items, run.progress)?)
    }
}

fn dispatch<T: Task>(run: &Run<'_>, config: &TrainConfig, digest: &str, task: &T) -> Result<PathBuf> {
    obtain(run, config, digest, task, || learn(run, config, digest, task))
}

/// Learns without each part in turn and measures on it.
fn cross_validate(
    run: &Run<'_>,
    config: &TrainConfig,
    digest: &str,
    items: Vec<Item>,
    by: LeaveOut,
    folds: usize,
) -> Result<PathBuf> {
    let fold_of = folds::assign(&items, by, folds);
    let mut parts: Vec<Vec<Measured>> = Vec::new();
    if config.frozen() {
        // The features stay as they are whatever is left out.
        parts = pretrained::Head::new(run, config, items)?.cross_validate(run, digest, &fold_of, folds)?;
    } else {
        for fold in 0..folds {
            run.note(format!("fold {} of {folds}", fold + 1));
            let mut items = items.clone();
            for (item, of) in items.iter_mut().zip(&fold_of) {
                item.dev = *of == fold;
            }
            let run_dir = run.run_dir.join(format!("fold-{fold}"));
            let run = Run { job: Job::Train, run_dir: &run_dir, ..*run };
            // Checkpoints of another division are of no use.
            let digest = format!("{digest} {by:?} {fold} {folds}");
            let progress = run.progress;
            parts.push(if config.image.is_some() {
                held_out(&run, config, &digest, &image::Images::new(config, items, progress)?)
            } else if config.audio.is_some() {
                held_out(&run, config, &digest, &audio::Recordings::new(config, items, progress)?)
            } else {
                held_out(&run, config, &digest, &text::Texts::new(config, items, progress)?)
            }?);
        }
    }
    let (rows, page) = report::folds(config, digest, by, &parts)
        .ok_or_else(|| Error::model(&config.id, "too few items of a class in a fold"))?;
    for row in &rows {
        run.note(format!("{}: {} = {}", row.slice, row.metric, row.estimate));
    }
    let path = run.beside(config, "folds.md");
    std::fs::write(&path, page).map_err(|e| Error::io(&path, e))?;
    Ok(path)
}

/// Learns, and measures on the items that took no part.
fn held_out<T: Task>(run: &Run<'_>, config: &TrainConfig, digest: &str, task: &T) -> Result<Vec<Measured>> {
    let (weights, _) = learn(run, config, digest, task)?;
    task.measure(task.architecture().build(&weights, &task.parts())?.as_ref())
}

/// Learns, or takes what is there; then measures. `learn` gives the weights and the learning curve.
fn obtain(
    run: &Run<'_>,
    config: &TrainConfig,
    digest: &str,
    task: &impl Subject,
    learn: impl FnOnce() -> Result<(Vec<u8>, String)>,
) -> Result<PathBuf> {
    let read = |suffix| {
        let path = run.beside(config, suffix);
        std::fs::read(&path).map_err(|e| Error::io(&path, e))
    };
    let learned = match run.job {
        Job::Train | Job::Folds(..) => {
            let (weights, log) = learn()?;
            Learned { weights, log, architecture: task.architecture(), data_digest: digest.to_owned() }
        }
        Job::Calibrate => {
            let weights = read("safetensors")?;
            if run.beside(config, "toml").exists() {
                let file = String::from_utf8_lossy(&read("toml")?).into_owned();
                let file = ModelFile::from_toml(&config.id, &file)?;
                // Imported weights have no learning curve.
                let log = read("log.csv").unwrap_or_default();
                let log = String::from_utf8_lossy(&log).into_owned();
                Learned { weights, log, architecture: file.architecture, data_digest: file.data_digest }
            } else {
                let data_digest = "not known, imported".to_owned();
                Learned { weights, log: String::new(), architecture: task.architecture(), data_digest }
            }
        }
    };
    run.note("scoring the development items".into());
    finish(run, config, digest, task, learned)
}

/// The outcome of a training.
struct Learned {
    weights: Vec<u8>,
    log: String,
    architecture: Architecture,
    /// Digest of the items that it was made from.
    data_digest: String,
}

/// Trains; returns the weights and the learning curve.
fn learn<T: Task>(
    run: &Run<'_>,
    config: &TrainConfig,
    data_digest: &str,
    task: &T,
) -> Result<(Vec<u8>, String)> {
    std::fs::create_dir_all(run.run_dir).map_err(|e| Error::io(run.run_dir, e))?;
    let progress = run.progress;
    let (Some(schedule), Some(settings)) = (&config.schedule, &config.optimizer) else {
        return Err(Error::config(run.config, "no [schedule] and [optimizer]"));
    };
    let mut params = task.params().clone();
    let mut begun = String::new();
    if let Some(path) = run.init {
        let weights = std::fs::read(path).map_err(|e| Error::io(path, e))?;
        params.load_safetensors(&weights).map_err(|e| Error::config(path, e.to_string()))?;
        begun = hex(&Sha256::digest(&weights));
        run.note(format!("begun with the weights {begun}"));
    }
    let mut optimizer = AdamW::new(settings.clone());
    if let Some(path) = run.teacher {
        begun.push_str(&hex(&Sha256::digest(std::fs::read(path).map_err(|e| Error::io(path, e))?)));
    }
    let resolved = toml::to_string(config).map_err(|e| Error::config(run.config, e.to_string()))?;
    let identity =
        hex(&Sha256::new().chain_update(&resolved).chain_update(data_digest).chain_update(&begun).finalize());
    let checkpoint = run.run_dir.join("checkpoint.safetensors");
    let log_path = run.run_dir.join("log.csv");
    let mut log = String::from("step,loss,gradient_norm,dev_auroc,dev_eer\n");
    if checkpoint::load(&checkpoint, &identity, &mut params, &mut optimizer)? {
        // Lines after the checkpoint belong to steps that are made again.
        let old = std::fs::read_to_string(&log_path).map_err(|e| Error::io(&log_path, e))?;
        log = old
            .lines()
            .filter(|l| {
                l.split(',').next().and_then(|s| s.parse().ok()).is_none_or(|s: u64| s <= optimizer.step)
            })
            .fold(String::new(), |all, line| all + line + "\n");
        progress(Event::Note(format!("continued at step {}", optimizer.step)));
    }
    progress(Event::Note(format!("{} trainable values", params.count())));
    let sampler = Sampler::new(task.items(), &config.sampling, config.seed);
    let draw = |step: u64| {
        let picks = (0..schedule.batch).map(|slot| {
            let mut rng = sampler.rng(step, slot);
            (sampler.draw(step, slot, &mut rng), rng)
        });
        task.prepare(picks.collect())
    };
    let vars = params.trainable();
    let start = Instant::now();
    let first = optimizer.step;
    let (mut losses, mut norms) = (Vec::new(), Vec::new());
    let best_path = run.run_dir.join("best.safetensors");
    let mut done_early = exhausted(&log, schedule);
    let mut next = (first < schedule.steps && !done_early).then(|| draw(first)).transpose()?;
    while optimizer.step < schedule.steps && !done_early {
        let step = optimizer.step;
        let batch = match next.take() {
            Some(batch) => batch,
            None => draw(step)?,
        };
        // The next batch is prepared while this one is learned from.
        let (prepared, learned) = rayon::join(
            || (step + 1 < schedule.steps).then(|| draw(step + 1)).transpose(),
            || {
                let loss = task.loss(&batch)?;
                let value = f64::from(loss.to_scalar::<f32>()?);
                if !value.is_finite() {
                    return Err(Error::NotFinite(config.id.clone()));
                }
                let norm = optimizer.apply(&vars, &loss.backward()?, schedule.steps)?;
                task.after_step()?;
                Ok((value, norm))
            },
        );
        next = prepared?;
        let (loss, norm) = learned?;
        losses.push(loss);
        norms.push(norm);
        let done = optimizer.step;
        if done.is_multiple_of(10) {
            let recent = &losses[losses.len().saturating_sub(10)..];
            progress(Event::Step {
                step: done,
                steps: schedule.steps,
                loss: recent.iter().sum::<f64>() / recent.len() as f64,
                rate: (done - first) as f64 * schedule.batch as f64 / start.elapsed().as_secs_f64(),
            });
        }
        if done.is_multiple_of(schedule.evaluate_every) || done == schedule.steps {
            let scores = task.quick_dev()?;
            let all: Vec<&Scored> = scores.iter().collect();
            let (auroc, eer) = (metrics::auroc(&all).unwrap_or(0.5), metrics::eer(&all).unwrap_or(0.5));
            let mean = |x: &[f64]| x.iter().sum::<f64>() / x.len().max(1) as f64;
            let _ = writeln!(log, "{done},{:.5},{:.4},{auroc:.4},{eer:.4}", mean(&losses), mean(&norms));
            (losses, norms) = (Vec::new(), Vec::new());
            std::fs::write(&log_path, &log).map_err(|e| Error::io(&log_path, e))?;
            progress(Event::Dev { step: done, auroc, eer });
            if schedule.patience.is_some() && best_look(&log).is_some_and(|(step, _)| step == done) {
                checkpoint::save(&best_path, &identity, &params, &optimizer)?;
            }
            done_early = exhausted(&log, schedule);
        }
        let stopped = run.stop.load(Ordering::Relaxed);
        let last = done == schedule.steps || done_early;
        if stopped || done.is_multiple_of(schedule.checkpoint_every) || last {
            checkpoint::save(&checkpoint, &identity, &params, &optimizer)?;
            std::fs::write(&log_path, &log).map_err(|e| Error::io(&log_path, e))?;
            if stopped && !last {
                return Err(Error::Stopped(checkpoint));
            }
        }
    }
    if schedule.patience.is_some() {
        let wanted = best_look(&log).map(|(step, _)| step);
        if !checkpoint::load(&best_path, &identity, &mut params, &mut optimizer)?
            || Some(optimizer.step) != wanted
        {
            return Err(Error::config(
                &best_path,
                "is not the best look of this run; remove the folder to start anew",
            ));
        }
        progress(Event::Note(format!("the weights of step {} are taken", optimizer.step)));
    }
    settle(task, &mut params, &optimizer, &draw, schedule)?;
    Ok((params.to_safetensors()?, log))
}

/// Step and AUROC of the best look at the development items, the first of equals, from the lines of the log.
fn best_look(log: &str) -> Option<(u64, f64)> {
    let look = |line: &str| {
        let cells: Vec<&str> = line.split(',').collect();
        Some((cells.first()?.parse().ok()?, cells.get(3)?.parse().ok()?))
    };
    let looks = log.lines().filter_map(look);
    looks.fold(None, |best: Option<(u64, f64)>, look| match best {
        Some((_, auroc)) if auroc >= look.1 => best,
        _ => Some(look),
    })
}

/// Whether as many looks followed the best one as the schedule has patience for.
fn exhausted(log: &str, schedule: &Schedule) -> bool {
    let Some((patience, (best, _))) = schedule.patience.zip(best_look(log)) else { return false };
    let steps = log.lines().filter_map(|l| l.split(',').next()?.parse::<u64>().ok());
    steps.filter(|&step| step > best).count() as u64 >= patience
}

/// Steps whose batches renew the running statistics under the averaged weights.
const SETTLING: u64 = 200;

/// Puts the averaged weights in place and lets the running statistics follow them.
fn settle<T: Task>(
    task: &T,
    params: &mut Params,
    optimizer: &AdamW,
    draw: &(impl Fn(u64) -> Result<T::Batch> + Sync),
    schedule: &Schedule,
) -> Result<()> {
    for (name, slot) in &optimizer.slots {
        params.set(name, slot.average.clone())?;
    }
    if params.vars().len() > params.trainable().len() {
        for step in schedule.steps..schedule.steps + SETTLING {
            task.loss(&draw(step)?)?;
            task.after_step()?;
        }
    }
    params.round_to_f16()
}

fn finish(
    run: &Run<'_>,
    config: &TrainConfig,
    measured_on: &str,
    task: &impl Subject,
    learned: Learned,
) -> Result<PathBuf> {
    let Learned { weights, log, architecture, data_digest } = learned;
    let detector = architecture.build(&weights, &task.parts())?;
    let measured = task.measure(detector.as_ref())?;
    let leaks = task.leaks()?;
    let (mut figures, calibrations) = report::figures(&measured, &leaks, config.seed)
        .ok_or_else(|| Error::model(&config.id, "too few development items to calibrate"))?;
    figures.overall.extend(report::within(&measured, task.items(), config.seed));
    let file = ModelFile {
        id: config.id.clone(),
        summary: config.summary.clone(),
        licence: config.licence.clone(),
        seed: config.seed,
        data_digest,
        measured_on: measured_on.to_owned(),
        sha256: hex(&Sha256::digest(&weights)),
        architecture,
        calibration: calibrations.pooled,
        strata: calibrations.strata,
        figures,
    };
    let write = |suffix: &str, bytes: &[u8]| {
        let path = run.beside(config, suffix);
        std::fs::write(&path, bytes).map_err(|e| Error::io(&path, e))?;
        Ok::<_, Error>(path)
    };
    write("safetensors", &weights)?;
    if !log.is_empty() {
        write("log.csv", log.as_bytes())?;
    }
    write("md", report::card(&file, config, task.items()).as_bytes())?;
    let path = write("toml", file.to_toml()?.as_bytes())?;
    for row in &file.figures.overall {
        run.note(format!("{}: {} = {}", row.slice, row.metric, row.estimate));
    }
    Ok(path)
}

//! `candor calibrate`: thresholds from a platform's own genuine files.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::bail;
use candor::{Calibration, MediaKind, ScanOptions, Scanner};
use candor_metrics::wilson;
use candor_models::{ModelFiles, Registry};

use crate::args::CalibrateArgs;
use crate::exit::Exit;
use crate::model;
use crate::order::in_order;
use crate::progress::Progress;
use crate::scan;
use crate::walk::{self, Input};

/// Genuine files that a kind of media, or a stratum of it, needs: with fewer, no p-value could reach the usual threshold.
const ITEMS: usize = 50;

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// The score of one genuine file.
struct Scored {
    sha256: String,
    stratum: String,
    logit: f64,
}

/// Runs the command.
pub(crate) fn run(args: &CalibrateArgs) -> anyhow::Result<Exit> {
    // SAFETY: this is the only thread so far.
    unsafe { std::env::set_var("RAYON_NUM_THREADS", "1") };
    let all = model::found(args.weights.as_deref())?;
    let options = ScanOptions { declarations: false, ..ScanOptions::default() };
    let registry = Registry::choose(&all, &args.model)?;
    let scanner = Scanner::builder().options(options).registry(registry).build()?;
    let pool = scan::pool(scan::threads(args.jobs))?;
    scan::silence_workers();
    ctrlc::set_handler(|| INTERRUPTED.store(true, Ordering::Relaxed))?;

    let mut scores: BTreeMap<MediaKind, BTreeMap<String, Scored>> = BTreeMap::new();
    let mut unusable = 0_u64;
    let progress = Progress::start(&args.genuine, args.quiet);
    let work = |input: Input| match input {
        Input::File(path) => Some(scanner.scan_path(&path)),
        Input::Stdin | Input::Hidden(..) => None,
    };
    in_order(&pool, walk::inputs(args.genuine.clone()), &INTERRUPTED, work, |scan| -> anyhow::Result<()> {
        progress.advance();
        let Some(scan) = scan else {
            unusable += 1;
            return Ok(());
        };
        let usable = match (&scan.verdict.media, &scan.detection, &scan.verdict.sha256) {
            (Some(media), Some(detection), Some(sha256))
                if detection.abstain.is_none() && detection.logit.is_finite() =>
            {
                Some((media.kind(), detection, sha256))
            }
            _ => None,
        };
        match usable {
            Some((kind, detection, sha256)) => {
                let scored = Scored {
                    sha256: sha256.clone(),
                    stratum: detection.stratum.clone(),
                    logit: detection.logit,
                };
                // A file that is there twice counts once.
                scores.entry(kind).or_default().insert(sha256.clone(), scored);
            }
            None => unusable += 1,
        }
        Ok(())
    })?;
    progress.finish();
    if INTERRUPTED.load(Ordering::Relaxed) {
        return Ok(Exit::Interrupted);
    }
    let enough = |kind: MediaKind| scores.get(&kind).is_some_and(|s| s.len() >= ITEMS);
    if scanner.registry().models().iter().all(|m| !enough(m.detector.kind())) {
        let counts: Vec<String> = scores.iter().map(|(kind, s)| format!("{} {kind}", s.len())).collect();
        bail!(
            "too few genuine files that could be judged: {}; at least {ITEMS} of one kind of media are needed",
            if counts.is_empty() { "none".to_owned() } else { counts.join(", ") }
        );
    }

    let mut out = io::stdout().lock();
    for model in scanner.registry().models() {
        let kind = model.detector.kind();
        let Some(files) = all.iter().find(|f| f.id == model.id.id) else { continue };
        let mut file = files.file()?;
        if let Some(scores) = scores.get(&kind).filter(|s| s.len() >= ITEMS) {
            let scores: Vec<&Scored> = scores.values().collect();
            let flagged = held_out(&scores, &file.calibration, args.threshold);
            let digests: Vec<&str> = scores.iter().map(|s| s.sha256.as_str()).collect();
            file.measured_on = candor_models::sha256(digests.concat().as_bytes());
            file.calibration.genuine = vec![sorted(scores.iter().map(|s| s.logit))];
            file.strata = strata(&scores, &file.calibration);
            let flagged_before = scores
                .iter()
                .filter(|s| model.calibrations.of(&s.stratum).p_value(s.logit) <= args.threshold)
                .count();
            let share = |flagged| {
                wilson(flagged, scores.len()).map_or_else(String::new, |e| {
                    format!("{:.2} % ({:.2}-{:.2})", 100.0 * e.value, 100.0 * e.low, 100.0 * e.high)
                })
            };
            writeln!(
                out,
                "{}: {} genuine files; flagged by the old threshold {}, by the new one {} of those that it was not fitted on",
                file.id,
                scores.len(),
                share(flagged_before),
                share(flagged),
            )?;
        } else {
            writeln!(out, "{}: left as it is, there are fewer than {ITEMS} genuine files", file.id)?;
        }
        write(&args.output, files, &file)?;
    }
    if unusable > 0 {
        let _ = writeln!(io::stderr(), "candor: {unusable} files could not be judged and were left out");
    }
    writeln!(out, "use it with: --weights {}", args.output.display())?;
    Ok(Exit::Done)
}

fn write(
    folder: &std::path::Path,
    files: &ModelFiles,
    file: &candor_models::ModelFile,
) -> anyhow::Result<()> {
    let stem = folder.join(&file.id);
    model::write_weights(&stem, files, &files.weights)?;
    model::write(&stem.with_extension("toml"), file.to_toml()?.as_bytes())
}

/// How many files are flagged by a threshold that was fitted on the others: two halves, by digest, take turns. Each is fitted on
/// half as many as in use, so that it tends to flag fewer.
fn held_out(scores: &[&Scored], like: &Calibration, p: f64) -> usize {
    let half = |odd: bool| {
        let mine = move |s: &&&Scored| s.sha256.bytes().last().is_some_and(|b| b % 2 == u8::from(odd));
        scores.iter().filter(mine).map(|s| s.logit).collect::<Vec<f64>>()
    };
    let (even, odd) = (half(false), half(true));
    let flagged = |fitted: &[f64], measured: &[f64]| {
        let calibration = Calibration { genuine: vec![sorted(fitted.iter().copied())], ..like.clone() };
        measured.iter().filter(|&&s| calibration.p_value(s) <= p).count()
    };
    flagged(&even, &odd) + flagged(&odd, &even)
}

/// A list of its own for every stratum that is large enough.
fn strata(scores: &[&Scored], like: &Calibration) -> BTreeMap<String, Calibration> {
    let mut lists: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for scored in scores.iter().filter(|s| !s.stratum.is_empty()) {
        lists.entry(&scored.stratum).or_default().push(scored.logit);
    }
    let own = |(name, list): (&str, Vec<f64>)| {
        (list.len() >= ITEMS)
            .then(|| (name.to_owned(), Calibration { genuine: vec![sorted(list)], ..like.clone() }))
    };
    lists.into_iter().filter_map(own).collect()
}

fn sorted(scores: impl IntoIterator<Item = f64>) -> Vec<f32> {
    let mut scores: Vec<f32> = scores.into_iter().map(|s| s as f32).collect();
    scores.sort_by(f32::total_cmp);
    scores
}

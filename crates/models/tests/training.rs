//! Training through the public interface, on material made here.
#![allow(clippy::unwrap_used, reason = "a test may fail by a panic, helpers included")]

use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

use candor_features::{Limits, Pixels, image::launder::encode_jpeg};
use candor_models::{
    Error, Model, ModelFiles, Registry, WeightPart,
    train::{Event, Job, LeaveOut, Run, train},
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const CONFIG: &str = r#"
id = "image/tiny"
summary = "A network for a test."
licence = "MIT"
seed = 7
[schedule]
steps = 6
batch = 4
evaluate_every = 3
checkpoint_every = 2
[sampling]
group_power = 0.5
label_smoothing = 0.05
[optimizer]
learning_rate = 1e-3
warmup = 2
weight_decay = 0.01
clip = 2.0
ema = 0.9
[image]
crop = 32
region = 96
[image.network]
planes = 7
widths = [4, 4, 8, 8]
blocks = [1, 0, 1]
[image.laundering]
"#;

/// Smooth noise as genuine pictures, the same noise enlarged without smoothing as made ones.
fn picture(made: bool, seed: u64) -> Pixels {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let (side, block) = (112, if made { 2 } else { 1 });
    let grid: Vec<u8> = (0..side * side).map(|_| rng.random_range(60..200)).collect();
    let rgb = (0..side * side)
        .flat_map(|i| {
            let (x, y) = (i % side / block, i / side / block);
            let v = grid[y * side + x];
            [v, v / 2 + 40, 255 - v]
        })
        .collect();
    Pixels::from_rgb(side, side, rgb).unwrap()
}

fn data(dir: &Path) -> PathBuf {
    let mut manifest = String::from("path,label,group,generator,split\n");
    for i in 0..24 {
        let (made, dev) = (i % 2 == 1, i % 3 == 0);
        let name = format!("{i}.jpg");
        fs::write(dir.join(&name), encode_jpeg(&picture(made, i), 95, true).unwrap()).unwrap();
        let (label, group) =
            if made { ("ai", format!("g{}", i % 4)) } else { ("real", format!("r{}", i % 4)) };
        let split = if dev { "dev" } else { "train" };
        let _ = writeln!(manifest, "{name},{label},{group},Maker,{split}");
    }
    let path = dir.join("manifest.csv");
    fs::write(&path, manifest).unwrap();
    path
}

struct Training {
    dir: tempfile::TempDir,
    data: PathBuf,
    teacher: Option<PathBuf>,
}

impl Training {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let data = data(dir.path());
        fs::write(dir.path().join("tiny.train.toml"), CONFIG).unwrap();
        Self { dir, data, teacher: None }
    }

    fn train(&self, stop_after: Option<u64>) -> candor_models::Result<PathBuf> {
        self.job(Job::Train, stop_after)
    }

    fn job(&self, job: Job, stop_after: Option<u64>) -> candor_models::Result<PathBuf> {
        self.run(job, stop_after, None)
    }

    fn run(&self, job: Job, stop_after: Option<u64>, init: Option<&Path>) -> candor_models::Result<PathBuf> {
        let stop = AtomicBool::new(false);
        let seen = |event: Event| {
            if let (Event::Dev { step, .. }, Some(last)) = (&event, stop_after)
                && *step >= last
            {
                stop.store(true, Ordering::Relaxed);
            }
        };
        let dir = self.dir.path();
        train(&Run {
            job,
            config: &dir.join("tiny.train.toml"),
            data: std::slice::from_ref(&self.data),
            run_dir: &dir.join("run"),
            init,
            teacher: self.teacher.as_deref(),
            stop: &stop,
            progress: &seen,
        })
    }

    fn file(&self, suffix: &str) -> Vec<u8> {
        fs::read(self.dir.path().join(format!("tiny.{suffix}"))).unwrap()
    }
}

#[test]
fn the_same_training_gives_the_same_bytes_even_after_a_stop() {
    let whole = Training::new();
    whole.train(None).unwrap();

    let stopped = Training::new();
    let error = stopped.train(Some(3)).unwrap_err();
    assert!(matches!(error, Error::Stopped(_)), "{error}");
    let one_thread = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    one_thread.install(|| stopped.train(None)).unwrap();

    for suffix in ["safetensors", "toml", "md", "log.csv"] {
        assert_eq!(whole.file(suffix), stopped.file(suffix), "{suffix}");
    }
}

#[test]
fn what_training_writes_can_be_loaded_and_is_checked() {
    let run = Training::new();
    let path = run.train(None).unwrap();
    let description = fs::read_to_string(&path).unwrap();
    let weights = run.file("safetensors");
    let model = Model::new("tiny", &description, &weights, &[]).unwrap();
    assert_eq!(model.id.id, "image/tiny");

    let media =
        candor_features::decode(&encode_jpeg(&picture(true, 99), 95, true).unwrap(), &Limits::default());
    let found = model.detector.detect(&media.unwrap()).unwrap();
    assert!(found.logit.is_finite());

    let mut damaged = weights.clone();
    *damaged.last_mut().unwrap() ^= 1;
    let error = Model::new("tiny", &description, &damaged, &[]).err().unwrap().to_string();
    assert!(error.contains("SHA-256"), "{error}");

    let folder = run.dir.path().join("weights/image");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("tiny.safetensors"), &weights).unwrap();
    fs::write(folder.join("tiny.toml"), &description).unwrap();
    let registry = Registry::from_dir(&run.dir.path().join("weights")).unwrap();
    assert_eq!(registry.models().len(), 1);
}

#[test]
fn calibrating_leaves_the_weights_alone_and_repeats_itself() {
    let run = Training::new();
    run.train(None).unwrap();
    let trained = ["safetensors", "toml", "md", "log.csv"].map(|suffix| run.file(suffix));
    run.job(Job::Calibrate, None).unwrap();
    assert_eq!(["safetensors", "toml", "md", "log.csv"].map(|suffix| run.file(suffix)), trained);

    // Without two of the development items there is another calibration of the same weights.
    let rows = fs::read_to_string(&run.data).unwrap();
    let mut dev = 0;
    let fewer: Vec<&str> = rows
        .lines()
        .filter(|line| {
            dev += usize::from(line.ends_with("dev"));
            !line.ends_with("dev") || dev > 2
        })
        .collect();
    assert!(fewer.len() < rows.lines().count(), "the manifest ends its lines with the split");
    fs::write(&run.data, fewer.join("\n")).unwrap();
    run.job(Job::Calibrate, None).unwrap();
    assert_eq!(run.file("safetensors"), trained[0]);
    assert_ne!(run.file("toml"), trained[1]);
    assert!(String::from_utf8(run.file("md")).unwrap().contains("measured and calibrated on"));
}

#[test]
fn every_item_is_held_out_once_and_nothing_else_is_written() {
    let run = Training::new();
    let job = Job::Folds(LeaveOut::Group, 2);
    let path = run.job(job, None).unwrap();
    assert!(path.ends_with("tiny.folds.md"));
    let page = run.file("folds.md");
    let text = String::from_utf8(page.clone()).unwrap();
    // All 24 pictures, whatever their split, are measured.
    assert!(text.lines().any(|l| l.starts_with("| clean | AUROC |") && l.ends_with("| 12 | 12 |")), "{text}");
    assert!(
        text.contains("mean of the folds")
            && text.contains("mean of pairs")
            && text.contains("--folds group=2"),
        "{text}"
    );
    assert!(!run.dir.path().join("tiny.safetensors").exists());
    run.job(job, None).unwrap();
    assert_eq!(run.file("folds.md"), page);
}

/// Weight files of a folder that a model shares with others.
fn parts(folder: &Path, names: &[&str]) -> Vec<WeightPart> {
    let read = |name: &&str| fs::read(folder.join(format!("{name}.safetensors"))).unwrap();
    names.iter().map(|name| ((*name).to_owned(), read(name).into())).collect()
}

#[test]
fn a_layer_on_frozen_features_is_trained_and_repeats_itself() {
    const HEAD: &str = r#"
id = "image/tiny"
summary = "A layer for a test."
licence = "MIT"
seed = 7
[sampling]
group_power = 0.5
label_smoothing = 0.0
[pretrained]
backbone = "lite0.safetensors"
residual = "residual"
tile_maps = [6]
whole_maps = [1, 2]
copies = 1
ridge = 0.03
steps = 60
chroma_ridge = 1.0
chroma_share = 0.5
residual_share = 0.25
[pretrained.laundering]
"#;
    let embedded = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../weights/image");
    let run = Training::new();
    fs::write(run.dir.path().join("tiny.train.toml"), HEAD).unwrap();
    for name in ["lite0.safetensors", "residual.toml", "residual.safetensors"] {
        fs::copy(embedded.join(name), run.dir.path().join(name)).unwrap();
    }
    run.train(None).unwrap();
    let written = ["safetensors", "toml", "md", "log.csv"].map(|suffix| run.file(suffix));
    let description = String::from_utf8(written[1].clone()).unwrap();
    let parts = parts(run.dir.path(), &["lite0", "residual"]);
    let model = Model::new("tiny", &description, &written[0], &parts).unwrap();
    let media = candor_features::Media::Image(picture(true, 99));
    assert!(model.detector.detect(&media).unwrap().logit.is_finite());
    // Once from the kept features, once from nothing.
    run.train(None).unwrap();
    assert_eq!(["safetensors", "toml", "md", "log.csv"].map(|suffix| run.file(suffix)), written);
    fs::remove_dir_all(run.dir.path().join("run")).unwrap();
    run.train(None).unwrap();
    assert_eq!(["safetensors", "toml", "md", "log.csv"].map(|suffix| run.file(suffix)), written);
    run.job(Job::Folds(LeaveOut::Group, 2), None).unwrap();
    assert!(String::from_utf8(run.file("folds.md")).unwrap().contains("linear layer alone"));
}

/// A hum with a tremble; what is made has a second tone above it.
fn wav(made: bool, seed: u64) -> Vec<u8> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let (base, depth) = (rng.random_range(0.04..0.1_f32), rng.random_range(0.2..0.8_f32));
    let n = 24_000_u32;
    let mut bytes = b"RIFF".to_vec();
    bytes.extend((36 + 2 * n).to_le_bytes());
    bytes.extend(b"WAVEfmt ");
    bytes.extend(16_u32.to_le_bytes());
    bytes.extend([1, 0, 1, 0]);
    bytes.extend(16_000_u32.to_le_bytes());
    bytes.extend(32_000_u32.to_le_bytes());
    bytes.extend([2, 0, 16, 0]);
    bytes.extend(b"data");
    bytes.extend((2 * n).to_le_bytes());
    for i in 0..n {
        let t = i as f32;
        let mut v = (t * base).sin() * (1.0 - depth * (t * 5e-4).sin().abs());
        if made {
            v += 0.3 * (t * base * 9.0).sin();
        }
        bytes.extend((((v + rng.random_range(-0.02..0.02)) * 9_000.0) as i16).to_le_bytes());
    }
    bytes
}

#[test]
fn a_layer_on_features_of_spectrograms_is_trained_and_repeats_itself() {
    if std::process::Command::new("ffmpeg").arg("-version").output().is_err() {
        eprintln!("passed over: measuring recordings needs ffmpeg");
        return;
    }
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../weights");
    let run = || {
        let dir = tempfile::tempdir().unwrap();
        for name in ["lfcc.toml", "lfcc.safetensors"] {
            fs::copy(shipped.join("audio").join(name), dir.path().join(name)).unwrap();
        }
        fs::copy(shipped.join("image/lite0.safetensors"), dir.path().join("lite0.safetensors")).unwrap();
        let mut manifest = String::from("path,label,group,system,split,repo\n");
        for i in 0..20 {
            let (made, dev) = (i % 2 == 1, i % 4 < 2);
            fs::write(dir.path().join(format!("{i}.wav")), wav(made, i)).unwrap();
            let label = if made { "spoof" } else { "bonafide" };
            let _ = writeln!(
                manifest,
                "{i}.wav,{label},{label}{},Maker,{},here",
                i % 3,
                if dev { "dev" } else { "train" }
            );
        }
        let data = dir.path().join("manifest.csv");
        fs::write(&data, manifest).unwrap();
        let config = dir.path().join("tiny.train.toml");
        let text = "id = \"audio/tiny\"\nsummary = \"A layer for a test.\"\nlicence = \"MIT\"\nseed = 7\n[sampling]\n\
                    group_power = 0.5\nlabel_smoothing = 0.0\n[spectral]\nbackbone = \"lite0.safetensors\"\n\
                    cepstral = \"lfcc\"\nmaps = [1, 2]\ncopies = 2\nridge = 0.1\nsteps = 30\ncepstral_share = 0.3\n\
                    [spectral.laundering]\n";
        fs::write(&config, text).unwrap();
        train(&Run {
            job: Job::Train,
            config: &config,
            data: std::slice::from_ref(&data),
            run_dir: &dir.path().join("run"),
            init: None,
            teacher: None,
            stop: &AtomicBool::new(false),
            progress: &|_| {},
        })
        .unwrap();
        ["safetensors", "toml", "md"]
            .map(|suffix| fs::read(dir.path().join(format!("tiny.{suffix}"))).unwrap())
    };
    let [weights, description, card] = run();
    assert_eq!(run(), [weights.clone(), description.clone(), card.clone()]);
    let card = String::from_utf8(card).unwrap();
    assert!(
        card.contains("2 copies of each") && card.contains("EER within a collection, mean of 1"),
        "{card}"
    );
    let parts =
        [&parts(&shipped.join("image"), &["lite0"])[..], &parts(&shipped.join("audio"), &["lfcc"])].concat();
    let model = Model::new("tiny", &String::from_utf8(description).unwrap(), &weights, &parts).unwrap();
    let score = |made| {
        let media = candor_features::decode(&wav(made, 77), &Limits::default()).unwrap();
        model.detector.detect(&media).unwrap().logit
    };
    assert!(score(true) > score(false));
}

/// A text of four sentences of six clauses: people's and machines' are made of others.
fn words(made: bool, seed: u64) -> String {
    const PEOPLE: [&str; 5] = [
        "we walked home",
        "she laughed at it",
        "the rain came down",
        "I lost my keys",
        "he never wrote back",
    ];
    const MACHINE: [&str; 5] = [
        "it is important to note",
        "this plays a crucial role",
        "the results highlight that",
        "a wide range of factors",
        "in conclusion we must consider",
    ];
    const BOTH: [&str; 4] =
        ["near the old river", "in the small town", "after the long day", "with their friends"];
    let pool = if made { MACHINE } else { PEOPLE };
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = |n: usize| {
        state = state.wrapping_mul(0xD134_2543_DE82_EF95).wrapping_add(1);
        (state >> 33) as usize % n
    };
    let mut text = String::new();
    for _ in 0..4 {
        for _ in 0..6 {
            let _ = write!(text, "{} {} and ", pool[next(5)], BOTH[next(4)]);
        }
        text.push_str("so on. ");
    }
    text
}

/// Writes texts of [`words`], half of them for development, and trains `configs`, TOML after the name, one after the other in a folder.
fn train_on_words(dir: &Path, configs: &[(&str, &str)]) {
    let mut manifest = String::new();
    for i in 0..48 {
        let (made, dev) = (i % 2 == 1, i % 4 < 2);
        let (label, split) = (if made { "ai" } else { "human" }, if dev { "dev" } else { "train" });
        let _ = writeln!(
            manifest,
            "{{\"id\":\"{i}\",\"text\":\"{}\",\"label\":\"{label}\",\"lang\":\"en\",\"group\":\"{label}{}\",\"split\":\"{split}\"}}",
            words(made, i),
            i % 7
        );
    }
    let data = dir.join("manifest.jsonl");
    fs::write(&data, manifest).unwrap();
    for (name, text) in configs {
        let config = dir.join(format!("{name}.train.toml"));
        fs::write(&config, text).unwrap();
        train(&Run {
            job: Job::Train,
            config: &config,
            data: std::slice::from_ref(&data),
            run_dir: &dir.join(format!("run-{name}")),
            init: None,
            teacher: None,
            stop: &AtomicBool::new(false),
            progress: &|_| {},
        })
        .unwrap();
    }
}

const TINY_TEXT: &str = "id = \"text/tiny\"\nsummary = \"N-grams for a test.\"\nlicence = \"MIT\"\nseed = 7\n[schedule]\n\
                         steps = 30\nbatch = 8\nevaluate_every = 10\ncheckpoint_every = 10\n[sampling]\n\
                         group_power = 0.5\nlabel_smoothing = 0.0\n[optimizer]\nlearning_rate = 1e-2\nwarmup = 5\n\
                         weight_decay = 1e-3\nclip = 5.0\nema = 0.9\n[text]\nclean_probability = 0.5\n\
                         words = [60, 90]\ncut_probability = 0.5\ndropout = 0.1\n[text.network]\nbits = 10\n\
                         style = 82\nhidden = 4\nsurprisal = 12\n[text.features.ngrams]\nbits = 10\n\
                         [text.laundering]\nchance = 0.3\n";

const TINY_ENCODED: &str = "id = \"text/both\"\nsummary = \"An encoder for a test.\"\nlicence = \"MIT\"\nseed = 7\n\
                            [sampling]\ngroup_power = 0.5\nlabel_smoothing = 0.0\n[encoded]\nencoder = \"minilm\"\n\
                            ngrams = \"tiny\"\nlayers = [0, 1]\ncopies = 1\nridge = 0.1\nsteps = 50\n\
                            ngram_share = 0.5\nwords = [60, 90]\ncut_probability = 0.5\nclean_probability = 0.5\n\
                            [encoded.laundering]\nchance = 0.3\n";

#[test]
fn a_layer_on_an_encoder_is_added_for_english_and_names_the_files_that_it_needs() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("text");
    fs::create_dir(&folder).unwrap();
    let weights = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../weights/text/minilm.safetensors");
    fs::copy(weights, folder.join("minilm.safetensors")).unwrap();
    train_on_words(&folder, &[("tiny", TINY_TEXT), ("both", TINY_ENCODED)]);
    let files = ModelFiles::in_dir(dir.path()).unwrap();
    assert_eq!(files.iter().map(|f| f.id.as_str()).collect::<Vec<_>>(), ["text/both", "text/tiny"]);
    let [both, tiny] = [0, 1].map(|i| files[i].build().unwrap());
    let found = |model: &Model, text: &str| {
        let media = candor_features::decode(text.as_bytes(), &Limits::default()).unwrap();
        model.detector.detect(&media).unwrap()
    };
    let [person, machine] = [false, true].map(|made| found(&both, &words(made, 99)));
    let share = |found: &candor_models::Detection| {
        found.facts.iter().find(|f| f.name == "encoder_logit").map(|f| f.value)
    };
    assert!(share(&machine).unwrap() > share(&person).unwrap());
    let alone = found(&tiny, &words(true, 99)).logit;
    assert!((machine.logit - alone - share(&machine).unwrap()).abs() < 1e-6);
    let chinese = "我们在河边走了很久，天色渐渐暗下来，远处的山看不清楚了。".repeat(6);
    let found = [found(&both, &chinese), found(&tiny, &chinese)];
    assert_eq!((share(&found[0]), found[0].logit.to_bits()), (None, found[1].logit.to_bits()));

    // Another file in its place, and none.
    fs::write(folder.join("minilm.safetensors"), &*files[1].weights).unwrap();
    let error = ModelFiles::in_dir(dir.path()).unwrap()[0].build().err().unwrap().to_string();
    assert!(error.contains("minilm.safetensors has SHA-256"), "{error}");
    fs::remove_file(folder.join("minilm.safetensors")).unwrap();
    let error = ModelFiles::in_dir(dir.path()).unwrap()[0].build().err().unwrap().to_string();
    assert!(error.contains("needs minilm.safetensors"), "{error}");
}

#[test]
fn a_text_detector_learns_from_language_models_of_other_groups() {
    let run = || {
        let dir = tempfile::tempdir().unwrap();
        train_on_words(dir.path(), &[("tiny", TINY_TEXT)]);
        ["safetensors", "toml"].map(|suffix| fs::read(dir.path().join(format!("tiny.{suffix}"))).unwrap())
    };
    let [weights, description] = run();
    assert_eq!(run(), [weights.clone(), description.clone()]);
    let model = Model::new("tiny", &String::from_utf8(description).unwrap(), &weights, &[]).unwrap();
    let found = |made| {
        let media = candor_features::decode(words(made, 99).as_bytes(), &Limits::default()).unwrap();
        model.detector.detect(&media).unwrap()
    };
    let (person, machine) = (found(false), found(true));
    assert!(machine.logit > person.logit);
    let fact = |found: &candor_models::Detection, name: &str| {
        found.facts.iter().find(|f| f.name == name).map(|f| f.value).unwrap()
    };
    // Each text surprises the model of its own kind less.
    assert!(fact(&person, "surprisal_genuine") < fact(&person, "surprisal_machine"));
    assert!(fact(&machine, "surprisal_machine") < fact(&machine, "surprisal_genuine"));
}

#[test]
fn a_training_can_begin_with_given_weights() {
    let first = Training::new();
    first.train(None).unwrap();
    let weights = first.dir.path().join("tiny.safetensors");
    let second = Training::new();
    second.run(Job::Train, None, Some(&weights)).unwrap();
    assert_ne!(first.file("safetensors"), second.file("safetensors"));
    // The same start gives the same end, and another start does not continue the run.
    let third = Training::new();
    third.run(Job::Train, None, Some(&weights)).unwrap();
    assert_eq!(second.file("safetensors"), third.file("safetensors"));
    assert!(third.train(None).unwrap_err().to_string().contains("another configuration"));
    let error = third.run(Job::Train, None, Some(&first.data)).unwrap_err().to_string();
    assert!(error.contains("manifest.csv"), "{error}");
}

#[test]
fn a_training_ends_early_and_takes_the_best_look() {
    let config = CONFIG
        .replace("steps = 6", "steps = 40")
        .replace("evaluate_every = 3", "evaluate_every = 1\npatience = 3");
    let whole = Training::new();
    fs::write(whole.dir.path().join("tiny.train.toml"), &config).unwrap();
    whole.train(None).unwrap();
    let log = String::from_utf8(whole.file("log.csv")).unwrap();
    let looks: Vec<f64> =
        log.lines().skip(1).map(|l| l.split(',').nth(3).unwrap().parse().unwrap()).collect();
    let best = (0..looks.len()).rev().max_by(|&a, &b| looks[a].total_cmp(&looks[b])).unwrap();
    assert!(looks.len() < 40, "it did not end early: {log}");
    assert_eq!(looks.len(), best + 1 + 3, "{log}");

    // The same after a stop on the way.
    let stopped = Training::new();
    fs::write(stopped.dir.path().join("tiny.train.toml"), &config).unwrap();
    assert!(matches!(stopped.train(Some(2)).unwrap_err(), Error::Stopped(_)));
    stopped.train(None).unwrap();
    for suffix in ["safetensors", "log.csv"] {
        assert_eq!(whole.file(suffix), stopped.file(suffix), "{suffix}");
    }
}

#[test]
fn a_teacher_moves_the_targets_and_must_know_the_items() {
    let plain = Training::new();
    plain.train(None).unwrap();
    let with = |scores: String, share: f64| {
        let mut run = Training::new();
        let table = format!("[distillation]\nshare = {share}\ntemperature = 2.0\n[image]\n");
        fs::write(run.dir.path().join("tiny.train.toml"), CONFIG.replace("[image]\n", &table)).unwrap();
        let path = run.dir.path().join("scores.csv");
        fs::write(&path, scores).unwrap();
        run.teacher = Some(path);
        run
    };
    // A teacher that is sure of the opposite, and rows of another condition that must not count.
    let rows = |sign: i32| {
        (0..24).fold("path,condition,score\n".to_owned(), |all, i| {
            let score = sign * if i % 2 == 1 { 9 } else { -9 };
            all + &format!("{i}.jpg,jpeg-30,{}\n{i}.jpg,clean,{score}\n", -score)
        })
    };
    let opposite = with(rows(-1), 0.9);
    opposite.train(None).unwrap();
    assert_ne!(plain.file("safetensors"), opposite.file("safetensors"));
    // A teacher without a share changes nothing.
    let ignored = with(rows(-1), 0.0);
    ignored.train(None).unwrap();
    assert_eq!(plain.file("safetensors"), ignored.file("safetensors"));

    let stranger = with("path,score\nelsewhere.jpg,1\n".into(), 0.5);
    let error = stranger.train(None).unwrap_err().to_string();
    assert!(error.contains("scores.csv") && error.contains("no training item"), "{error}");
    let mut without = with(rows(1), 0.5);
    without.teacher = None;
    assert!(without.train(None).unwrap_err().to_string().contains("--teacher"));
    let folds = with(rows(1), 0.5).job(Job::Folds(LeaveOut::Group, 2), None).unwrap_err().to_string();
    assert!(folds.contains("cross-validated"), "{folds}");
    let mut plain = Training::new();
    plain.teacher = Some(plain.data.clone());
    assert!(plain.train(None).unwrap_err().to_string().contains("[distillation]"));
}

#[test]
fn published_networks_are_trained_by_the_same_law() {
    for name in ["ferretnet-s", "npr"] {
        let run = Training::new();
        let network = CONFIG.find("[image.network]").unwrap()..CONFIG.find("[image.laundering]").unwrap();
        let mut config = CONFIG.to_owned();
        config.replace_range(network, "");
        let config = config.replace("region = 96", &format!("region = 96\npublished = \"{name}\""));
        fs::write(run.dir.path().join("tiny.train.toml"), config.replace("steps = 6", "steps = 3")).unwrap();
        run.train(None).unwrap();
        let description = String::from_utf8(run.file("toml")).unwrap();
        assert!(description.contains("published-image") && description.contains(name), "{description}");
    }
}

#[test]
fn a_checkpoint_of_another_configuration_is_refused() {
    let run = Training::new();
    run.train(None).unwrap();
    fs::write(run.dir.path().join("tiny.train.toml"), CONFIG.replace("seed = 7", "seed = 8")).unwrap();
    let error = run.train(None).unwrap_err().to_string();
    assert!(error.contains("another configuration"), "{error}");
}

#[test]
fn mistakes_in_a_configuration_are_named() {
    let run = Training::new();
    for (from, to, expect) in [
        ("batch = 4", "batch = 3", "even"),
        ("seed = 7", "seed = 7\nsede = 8", "sede"),
        ("id = \"image/tiny\"", "id = \"audio/tiny\"", "image/<name>"),
        ("planes = 7", "planes = 3", "planes"),
    ] {
        fs::write(run.dir.path().join("tiny.train.toml"), CONFIG.replace(from, to)).unwrap();
        let error = run.train(None).unwrap_err().to_string();
        assert!(error.contains(expect) && error.contains("tiny.train.toml"), "{error}");
    }
}

#[test]
fn the_embedded_models_load_and_answer_the_same_twice() {
    let registry = Registry::embedded().unwrap();
    assert_eq!(registry.models().len(), 3);
    let media = candor_features::Media::Image(picture(false, 5));
    let model = registry.get(candor_features::MediaKind::Image).unwrap();
    let (a, b) = (model.detector.detect(&media).unwrap(), model.detector.detect(&media).unwrap());
    assert_eq!(a.logit.to_bits(), b.logit.to_bits());
    // Those are built when they are needed; here is why none of them fails then.
    for files in ModelFiles::embedded() {
        let built = Model::new(&files.name, &files.description, &files.weights, &files.parts).unwrap();
        let later = files.build().unwrap();
        assert_eq!((built.id, built.detector.kind()), (later.id, later.detector.kind()));
    }
}

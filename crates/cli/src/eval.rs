//! `candor eval`: measures the detectors on a labelled data set.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, IsTerminal, Seek, Write};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, bail};
use candor::{Media, MediaKind, Scanner};
use candor_eval::compare::{Higher, match_scores, read_scores};
use candor_eval::condition;
use candor_eval::data::{Item, detect_layout};
use candor_eval::judge::{Judgement, Row, judge};
use candor_eval::measure;
use candor_eval::report::data::{Counts, DataSet, Exhibit, ModelRef, Preview, ReportData};
use candor_eval::report::{html, markdown, terminal};
use candor_eval::splice::{Composite, composite, localisation};
use candor_features::audio::{Stft, WindowShape};
use candor_features::image::launder::{encode_jpeg, resize_to_longest};
use candor_features::{Pixels, Waveform};
use sha2::{Digest, Sha256};

use crate::args::EvalArgs;
use crate::exit::Exit;
use crate::model;
use crate::order::in_order;
use crate::progress::Progress;

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Mistakes of each kind that the report shows.
const EXHIBITS: usize = 6;
/// Most composites that are made.
const COMPOSITES: usize = 500;
/// Longest side of a picture in the report, in pixels.
const THUMBNAIL: usize = 320;
/// Characters of a text in the report.
const EXCERPT: usize = 400;

/// Runs the command.
pub(crate) fn run(args: &EvalArgs) -> anyhow::Result<Exit> {
    // As in a scan: items are what is shared out between the cores.
    // SAFETY: this is the only thread so far.
    unsafe { std::env::set_var("RAYON_NUM_THREADS", "1") };
    let registry = model::registry(args.weights.as_deref(), &args.model)?;
    let scanner = Scanner::builder().registry(registry).build()?;
    ctrlc::set_handler(|| {
        if INTERRUPTED.swap(true, Ordering::Relaxed) {
            std::process::exit(Exit::Interrupted as i32);
        }
    })?;
    let (layout, items) = collect(args)?;
    let fabricated = items.iter().filter(|i| i.label.is_fabricated()).count();
    if args.splice && [0, items.len()].contains(&fabricated) {
        bail!(
            "{}: --splice puts machine-made parts into genuine items, and there is one class alone",
            args.data.display()
        );
    }
    let kind = args.only.map(MediaKind::from).or_else(|| kind_of(&scanner, &items)).with_context(|| {
        format!("{}: no item could be read; `candor scan` says why for each", args.data.display())
    })?;
    let conditions = conditions(args, kind)?;
    let jobs = args.jobs.or_else(|| std::thread::available_parallelism().ok()).map_or(1, NonZeroUsize::get);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(jobs).build()?;

    fs::create_dir_all(&args.output)
        .with_context(|| format!("cannot create the folder {}", args.output.display()))?;
    let path = args.output.join("scores.csv");
    let mut scores =
        csv::Writer::from_path(&path).with_context(|| format!("cannot write {}", path.display()))?;
    scores.write_record([
        "path",
        "label",
        "group",
        "generator",
        "condition",
        "score",
        "llr",
        "p_value",
        "verdict",
        "reason",
    ])?;
    let (mut journal, known) = Journal::open(&args.output, &identity(args, &scanner, &items, &conditions))?;
    let progress = Progress::counted(items.len() as u64, args.quiet);
    let (mut rows, mut digests) = (Vec::new(), Vec::new());
    let mut take = |found: Judgement| {
        progress.advance();
        digests.push(found.sha256);
        for row in found.rows {
            write_row(&mut scores, &row)?;
            rows.push(row);
        }
        anyhow::Ok(())
    };
    let done = known.len();
    for found in known {
        take(found)?;
    }
    in_order(
        &pool,
        items.iter().skip(done),
        &INTERRUPTED,
        |item| judge(&scanner, item, &conditions),
        |found| {
            journal.add(&found)?;
            take(found)
        },
    )?;
    progress.finish();
    scores.flush()?;
    if INTERRUPTED.load(Ordering::Relaxed) {
        let note = format!(
            "interrupted after {} of {} items; the same command continues",
            digests.len(),
            items.len()
        );
        writeln!(io::stderr(), "candor: {note}")?;
        return Ok(Exit::Interrupted);
    }

    let composites = if args.splice { splice(args, &scanner, &pool, &items)? } else { Vec::new() };
    if INTERRUPTED.load(Ordering::Relaxed) {
        writeln!(io::stderr(), "candor: interrupted; the same command continues with the composites")?;
        return Ok(Exit::Interrupted);
    }
    let mut data = report(args, &scanner, layout, kind, &items, &rows, &digests)?;
    data.localisation = localisation(&composites, kind);
    let write = |name: &str, text: String| {
        let path = args.output.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    };
    write("metrics.json", serde_json::to_string_pretty(&data)? + "\n")?;
    write("metrics.md", markdown(&data))?;
    write("report.html", html(&data))?;
    journal.remove()?;
    let mut out = io::stdout().lock();
    write!(out, "{}", terminal(&data, out.is_terminal()))?;
    writeln!(out, "{}", args.output.join("report.html").display())?;
    Ok(Exit::Done)
}

/// The items that the arguments ask for, in the order of the data set, with the name of its layout.
fn collect(args: &EvalArgs) -> anyhow::Result<(&'static str, Vec<Item>)> {
    let layout = detect_layout(&args.data)?;
    let mut items = Vec::new();
    for item in layout.items(&args.data)? {
        let item = item?;
        if args.split.as_ref().is_none_or(|s| item.split.as_ref() == Some(s)) {
            items.push(item);
        }
    }
    if items.is_empty() {
        let split = args.split.as_ref().map(|s| format!(" of split \"{s}\"")).unwrap_or_default();
        bail!("{}: holds no item{split}", args.data.display());
    }
    if let Some(most) = args.sample {
        // A digest of the name draws the same items everywhere, whatever their order.
        items.sort_by_cached_key(|item| Sha256::digest(&item.name));
        items.truncate(most.get());
        items.sort_by(|a, b| a.name.cmp(&b.name));
    }
    Ok((layout.name(), items))
}

/// Composites of the collection's own items, in the order of their hosts.
fn splice(
    args: &EvalArgs,
    scanner: &Scanner,
    pool: &rayon::ThreadPool,
    items: &[Item],
) -> anyhow::Result<Vec<Composite>> {
    let (donors, mut hosts): (Vec<&Item>, Vec<&Item>) = items.iter().partition(|i| i.label.is_fabricated());
    let mut groups: BTreeMap<&str, Vec<&Item>> = BTreeMap::new();
    for host in &hosts {
        groups.entry(&host.group).or_default().push(host);
    }
    let digest = |item: &Item| -> [u8; 32] { Sha256::digest(&item.name).into() };
    hosts.sort_by_cached_key(|item| digest(item));
    hosts.truncate(COMPOSITES);
    hosts.sort_by(|a, b| a.name.cmp(&b.name));
    let progress = Progress::counted(hosts.len() as u64, args.quiet);
    let mut found = Vec::new();
    in_order(
        pool,
        hosts,
        &INTERRUPTED,
        |host| {
            let group = &groups[host.group.as_str()];
            let at = group.iter().position(|i| i.name == host.name).unwrap_or_default();
            let row: Vec<&Item> = group.iter().cycle().skip(at).take(group.len()).copied().collect();
            // Of the host's language, where the collection says it: a change of language would give the place away.
            let language = |item: &Item| item.columns.get("language").or(item.columns.get("lang")).cloned();
            let alike: Vec<&Item> =
                donors.iter().filter(|d| language(d) == language(host)).copied().collect();
            let donors = if alike.is_empty() { &donors } else { &alike };
            let drawn = digest(host).iter().fold(0_usize, |n, &b| (n * 256 + usize::from(b)) % donors.len());
            composite(scanner, &row, donors[drawn])
        },
        |composite| {
            progress.advance();
            found.extend(composite);
            anyhow::Ok(())
        },
    )?;
    progress.finish();
    Ok(found)
}

/// The conditions that the arguments ask for; items as they are always take part.
fn conditions(args: &EvalArgs, kind: MediaKind) -> anyhow::Result<Vec<String>> {
    let known = condition::names(kind);
    let all = args.perturb.iter().any(|p| p == "all");
    if let Some(wrong) = args.perturb.iter().find(|p| !all && !known.contains(p)) {
        bail!("--perturb: \"{wrong}\" is no condition of {kind}; there are {}", known.join(", "));
    }
    let asked = |name: &String| all || name == condition::CLEAN || args.perturb.contains(name);
    let matched = args.matched.then(|| condition::MATCHED.to_owned());
    Ok(known.into_iter().filter(asked).chain(matched).collect())
}

/// The kind of media of the first item that can be read.
fn kind_of(scanner: &Scanner, items: &[Item]) -> Option<MediaKind> {
    items.iter().take(100).find_map(|item| {
        let bytes = item.bytes().ok()?;
        candor_features::decode(&bytes, &scanner.options().limits).ok().map(|media| media.kind())
    })
}

fn write_row(scores: &mut csv::Writer<fs::File>, row: &Row) -> anyhow::Result<()> {
    let number = |x: Option<f64>| x.map(|x| x.to_string()).unwrap_or_default();
    scores.write_record([
        row.name.as_str(),
        if row.fabricated { "ai" } else { "real" },
        &row.group,
        &row.generator,
        &row.condition,
        &number(row.score),
        &number(row.llr),
        &number(row.p_value),
        row.verdict.as_str(),
        &row.reason,
    ])?;
    Ok(())
}

fn report(
    args: &EvalArgs,
    scanner: &Scanner,
    layout: &str,
    kind: MediaKind,
    items: &[Item],
    rows: &[Row],
    digests: &[String],
) -> anyhow::Result<ReportData> {
    let of = |name: &str| -> Vec<&Row> { rows.iter().filter(|r| r.condition == name).collect() };
    let clean = of(condition::CLEAN);
    let mut names: Vec<&str> = Vec::new();
    for row in rows {
        if !names.contains(&row.condition.as_str()) {
            names.push(&row.condition);
        }
    }
    let conditions: Vec<_> = names.iter().map(|name| measure::condition(name, &of(name), kind)).collect();
    let mut warnings = Vec::new();
    let failed: Vec<&&Row> = clean.iter().filter(|r| r.verdict == candor::Label::Error).collect();
    if let Some(first) = failed.first() {
        warnings.push(format!(
            "{} of {} items could not be judged and are left out, the first being {}: {}",
            failed.len(),
            clean.len(),
            first.name,
            first.reason
        ));
    }
    let mut others = Vec::new();
    for path in &args.scores {
        let found = match_scores(&read_scores(path, Higher::Ai)?, items);
        if !found.items_unmatched.is_empty() || !found.scores_unmatched.is_empty() {
            warnings.push(format!(
                "{}: {} items have no score, {} scores have no item",
                path.display(),
                found.items_unmatched.len(),
                found.scores_unmatched.len()
            ));
        }
        let name = path.file_stem().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        others.push((name, found.scored));
    }
    let systems = if others.is_empty() { Vec::new() } else { measure::systems(&clean, &others) };
    let leak = measure::leak(&clean, &of(condition::MATCHED), kind);
    if let Some(leak) = leak.as_ref().filter(|l| l.facts_auroc.value >= 0.95) {
        warnings.push(format!(
            "facts beside the content alone reach AUROC {:.3} on these data{}",
            leak.facts_auroc.value,
            if leak.matched.is_some() { "" } else { "; --matched makes the files alike first" }
        ));
    }
    let by_name: BTreeMap<&str, &Item> = items.iter().map(|i| (i.name.as_str(), i)).collect();
    let fabricated = items.iter().filter(|i| i.label.is_fabricated()).count() as u64;
    let groups: std::collections::BTreeSet<&str> = items.iter().map(|i| i.group.as_str()).collect();
    let models = scanner.registry().models().iter().filter(|m| m.detector.kind() == kind);
    Ok(ReportData {
        title: format!("{kind} detection on {}", args.data.file_name().unwrap_or_default().to_string_lossy()),
        subtitle: args.split.as_ref().map(|s| format!("Items of split {s}.")).unwrap_or_default(),
        command: command(args),
        version: env!("CARGO_PKG_VERSION").into(),
        media: kind.to_string(),
        models: models.map(|m| ModelRef { id: m.id.id.clone(), sha256: m.id.sha256.clone() }).collect(),
        data: DataSet {
            name: format!("{} ({layout})", args.data.display()),
            digest: digest(items, digests),
            counts: Counts { genuine: items.len() as u64 - fabricated, fabricated },
            groups: groups.len() as u64,
        },
        warnings,
        slices: measure::slices(&clean, |name| by_name.get(name).map(|item| &item.columns)),
        leak,
        robustness: measure::robustness(&conditions),
        localisation: None,
        misses: exhibits(scanner, items, &clean, true),
        false_alarms: exhibits(scanner, items, &clean, false),
        systems,
        conditions,
    })
}

/// The command that makes the report again; where the output goes and how many threads there are changes nothing.
fn command(args: &EvalArgs) -> String {
    let mut words = vec!["candor eval".to_owned(), args.data.display().to_string()];
    words.extend(args.split.as_ref().map(|s| format!("--split {s}")));
    words.extend(args.sample.map(|n| format!("--sample {n}")));
    words.extend((!args.perturb.is_empty()).then(|| format!("--perturb={}", args.perturb.join(","))));
    words.extend(args.matched.then(|| "--matched".to_owned()));
    words.extend(args.splice.then(|| "--splice".to_owned()));
    words.extend(args.scores.iter().map(|s| format!("--scores {}", s.display())));
    words.extend(args.weights.iter().map(|w| format!("--weights {}", w.display())));
    words.extend(args.model.iter().map(|id| format!("--model {id}")));
    words.join(" ")
}

/// SHA-256 over names, labels and content of the items.
fn digest(items: &[Item], contents: &[String]) -> String {
    let mut all = Vec::new();
    for (item, content) in items.iter().zip(contents) {
        all.extend_from_slice(item.name.as_bytes());
        all.extend([0, u8::from(item.label.is_fabricated())]);
        all.extend_from_slice(content.as_bytes());
    }
    candor_models::sha256(&all)
}

/// What a journal must have been written for, so that another run may continue it: everything that the rows depend on.
fn identity(args: &EvalArgs, scanner: &Scanner, items: &[Item], conditions: &[String]) -> String {
    let mut all = format!("{} {} {conditions:?}", env!("CARGO_PKG_VERSION"), args.data.display());
    for model in scanner.registry().models() {
        all.push_str(&model.id.sha256);
    }
    for item in items {
        all.push_str(&item.name);
        all.push('\0');
    }
    candor_models::sha256(all.as_bytes())
}

/// Judgements of a run that has not ended, a JSON line each, in the order of the items. The first line says what run it is.
struct Journal {
    path: PathBuf,
    file: fs::File,
}

impl Journal {
    /// Opens the journal of a folder, with what a stopped run of the same identity left in it. A torn last line is dropped.
    fn open(folder: &Path, identity: &str) -> anyhow::Result<(Self, Vec<Judgement>)> {
        let path = folder.join("journal.jsonl");
        let old = fs::read_to_string(&path).unwrap_or_default();
        let (mut known, mut good) = (Vec::new(), 0);
        let mut lines = old.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        if let Some(first) = lines.next().filter(|line| line.trim_end() == identity) {
            good = first.len();
            for line in lines {
                let Ok(found) = serde_json::from_str(line) else { break };
                known.push(found);
                good += line.len();
            }
        }
        let write = || -> io::Result<fs::File> {
            let mut file = fs::OpenOptions::new().create(true).truncate(false).write(true).open(&path)?;
            file.set_len(good as u64)?;
            file.seek(io::SeekFrom::End(0))?;
            if good == 0 {
                writeln!(file, "{identity}")?;
            }
            Ok(file)
        };
        let file = write().with_context(|| format!("cannot write {}", path.display()))?;
        Ok((Self { path, file }, known))
    }

    fn add(&mut self, found: &Judgement) -> anyhow::Result<()> {
        let line = serde_json::to_string(found)? + "\n";
        self.file.write_all(line.as_bytes()).with_context(|| format!("cannot write {}", self.path.display()))
    }

    fn remove(self) -> anyhow::Result<()> {
        fs::remove_file(&self.path).with_context(|| format!("cannot remove {}", self.path.display()))
    }
}

/// The machine-made items with the lowest scores, or the genuine ones with the highest.
fn exhibits(scanner: &Scanner, items: &[Item], rows: &[&Row], fabricated: bool) -> Vec<Exhibit> {
    let by_name: BTreeMap<&str, &Item> = items.iter().map(|i| (i.name.as_str(), i)).collect();
    let mut worst: Vec<(f64, &Row)> = rows
        .iter()
        .filter(|r| r.fabricated == fabricated)
        .filter_map(|r| Some((if fabricated { r.score? } else { -r.score? }, *r)))
        .collect();
    worst.sort_by(|a, b| a.0.total_cmp(&b.0));
    worst
        .into_iter()
        .take(EXHIBITS)
        .map(|(_, row)| Exhibit {
            name: row.name.clone(),
            label: row.verdict.to_string(),
            group: if row.generator.is_empty() { row.group.clone() } else { row.generator.clone() },
            score: row.score.unwrap_or(f64::NAN),
            llr: row.llr.unwrap_or(f64::NAN),
            p_value: row.p_value.unwrap_or(f64::NAN),
            preview: by_name.get(row.name.as_str()).map(|i| preview(scanner, i)).unwrap_or_default(),
        })
        .collect()
}

fn preview(scanner: &Scanner, item: &Item) -> Preview {
    let Ok(bytes) = item.bytes() else { return Preview::None };
    match candor_features::decode(&bytes, &scanner.options().limits) {
        Ok(Media::Image(pixels)) => {
            let small = resize_to_longest(&pixels, THUMBNAIL);
            encode_jpeg(&small, 80, false).map_or(Preview::None, Preview::Image)
        }
        Ok(Media::Text(text)) => Preview::Text(text.text.chars().take(EXCERPT).collect()),
        Ok(Media::Audio(wave)) => spectrogram(&wave)
            .and_then(|picture| encode_jpeg(&picture, 80, false).ok())
            .map_or(Preview::None, Preview::Spectrogram),
        Err(_) => Preview::None,
    }
}

/// Spectrogram of the beginning of a recording: 0 to 8 kHz upwards, 80 dB from black to white.
fn spectrogram(wave: &Waveform) -> Option<Pixels> {
    const SECONDS: usize = 8;
    const RANGE_DB: f32 = 80.0;
    let samples = wave.samples.get(..SECONDS * Waveform::RATE as usize).unwrap_or(&wave.samples);
    let hop = samples.len().div_ceil(THUMBNAIL).max(1);
    let power = Stft::new(256, 256, hop, WindowShape::Hann)?.power(samples);
    let (width, bins) = power.dim();
    let db = power.mapv(|p| 10.0 * p.max(1e-12).log10());
    let top = db.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let grey = |bin: usize, frame: usize| -> u8 {
        let level = db.get((frame, bin)).map_or(0.0, |v| (v - top + RANGE_DB) / RANGE_DB);
        (255.0 * level.clamp(0.0, 1.0)) as u8
    };
    let rgb = (0..bins).rev().flat_map(|bin| (0..width).flat_map(move |frame| [(bin, frame); 3]));
    Pixels::from_rgb(width, bins, rgb.map(|(bin, frame)| grey(bin, frame)).collect())
}

//! `candor report` and the report of a scan: verdicts as a page.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use candor::{Label, Note, Scan, Scanner, Verdict};
use candor_models::ModelFile;
use candor_report::{Item, Language, Report};

use crate::args::{ReportArgs, ReportLanguage};
use crate::batch::replace;
use crate::exit::Exit;
use crate::progress::Progress;
use crate::{model, scan};

/// Files that pictures, sound and text are kept of, the strongest findings first: a page of thousands would open nowhere.
const EXHIBITS: usize = 200;

/// Runs the command.
pub(crate) fn run(args: &ReportArgs) -> anyhow::Result<Exit> {
    // SAFETY: this is the only thread so far.
    unsafe { std::env::set_var("RAYON_NUM_THREADS", "1") };
    let verdicts = read(&args.verdicts)?;
    if verdicts.is_empty() {
        bail!("{} holds no verdicts", candor::path_text(&args.verdicts));
    }
    let scanner =
        Scanner::builder().registry(model::registry(args.weights.as_deref(), &args.model)?).build()?;
    scan::silence_workers();
    let pool = scan::pool(scan::threads(args.jobs))?;
    let progress = Progress::counted(verdicts.len() as u64, args.quiet);
    let mut gathered = Gathered::default();
    let never = std::sync::atomic::AtomicBool::new(false);
    let work = |verdict: Verdict| match find(&verdict, args.media.as_deref()) {
        Some(path) => shown(&scanner, verdict, &path),
        None => Item { verdict, exhibit: None },
    };
    let done: anyhow::Result<()> = crate::order::in_order(&pool, verdicts, &never, work, |item| {
        progress.advance();
        gathered.add(item);
        Ok(())
    });
    progress.finish();
    done?;
    gathered.write(&args.output, args.lang, args.weights.as_deref())?;
    Ok(Exit::Done)
}

/// The verdicts of JSON Lines or of a JSON array; of several for one path the last.
pub(crate) fn read(path: &Path) -> anyhow::Result<Vec<Verdict>> {
    let name = candor::path_text(path);
    let mut reader: Box<dyn BufRead> = if path.as_os_str() == "-" {
        Box::new(io::stdin().lock())
    } else {
        Box::new(BufReader::new(File::open(path).with_context(|| format!("cannot read {name}"))?))
    };
    let blank = |b: &u8| b.is_ascii_whitespace();
    let array = reader.fill_buf().with_context(|| format!("cannot read {name}"))?.iter().find(|b| !blank(b))
        == Some(&b'[');
    let wrong =
        || format!("{name} holds no verdicts; `candor scan --format jsonl` and `candor batch` write them");
    let mut all: Vec<Verdict> = Vec::new();
    if array {
        all = serde_json::from_reader(reader).with_context(wrong)?;
    } else {
        for (i, line) in reader.lines().enumerate() {
            let line = line.with_context(|| format!("cannot read {name}"))?;
            if !line.trim().is_empty() {
                let verdict =
                    serde_json::from_str(&line).with_context(|| format!("line {}: {}", i + 1, wrong()))?;
                all.push(verdict);
            }
        }
    }
    let mut last = std::collections::HashMap::new();
    for (i, verdict) in all.iter().enumerate() {
        last.insert(verdict.path.clone(), i);
    }
    let mut place = 0;
    all.retain(|verdict| {
        place += 1;
        last.get(&verdict.path) == Some(&(place - 1))
    });
    Ok(all)
}

/// The file of a verdict: under its path, or in the folder of media by path or by name.
fn find(verdict: &Verdict, media: Option<&Path>) -> Option<PathBuf> {
    let named = Path::new(&verdict.path);
    let relative: PathBuf =
        named.components().filter(|c| matches!(c, std::path::Component::Normal(_))).collect();
    let mut places = Vec::new();
    if let Some(media) = media {
        places.push(media.join(&relative));
        places.extend(named.file_name().map(|name| media.join(name)));
    } else {
        places.push(named.to_owned());
    }
    places.into_iter().find(|p| p.is_file())
}

/// What can be shown of a file, if it is still the one that the verdict is about.
fn shown(scanner: &Scanner, mut verdict: Verdict, path: &Path) -> Item {
    let Ok(bytes) = scanner.read(path) else { return Item { verdict, exhibit: None } };
    if verdict.sha256.as_deref().is_some_and(|d| d != candor_models::sha256(&bytes)) {
        verdict.warnings.push(Note::new(
            "file-changed",
            "the file that is there now is not the one that was judged: its content has another SHA-256",
        ));
        return Item { verdict, exhibit: None };
    }
    let scan = scanner.scan_bytes(&verdict.path, &bytes);
    let exhibit = exhibit(&scan);
    Item { verdict, exhibit }
}

/// What can be shown of a scan; `None` also when drawing it fails.
pub(crate) fn exhibit(scan: &Scan) -> Option<candor::Exhibit> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| candor::exhibit(scan))).unwrap_or_default()
}

/// Items that come one by one, with a limit on what is kept of them.
#[derive(Default)]
pub(crate) struct Gathered {
    items: Vec<Item>,
    exhibits: usize,
}

impl Gathered {
    pub(crate) fn add(&mut self, item: Item) {
        self.exhibits += usize::from(item.exhibit.is_some());
        self.items.push(item);
        if self.exhibits > EXHIBITS
            && let Some(weakest) = self.items.iter_mut().filter(|i| i.exhibit.is_some()).max_by(|a, b| {
                rank(&a.verdict)
                    .0
                    .cmp(&rank(&b.verdict).0)
                    .then(rank(&a.verdict).1.total_cmp(&rank(&b.verdict).1))
            })
        {
            weakest.exhibit = None;
            self.exhibits -= 1;
        }
    }

    /// Writes the page in one step.
    pub(crate) fn write(
        self,
        output: &Path,
        language: ReportLanguage,
        weights: Option<&Path>,
    ) -> anyhow::Result<()> {
        let report = Report { items: self.items, cards: cards(weights)?, language: language.into() };
        let page = report.html();
        replace(output, |file| Ok(io::Write::write_all(file, page.as_bytes())?))
    }
}

/// The strongest finding first.
fn rank(verdict: &Verdict) -> (Label, f64) {
    (verdict.label, -verdict.confidence.unwrap_or(0.0))
}

/// Descriptions of all models.
pub(crate) fn cards(weights: Option<&Path>) -> anyhow::Result<Vec<ModelFile>> {
    Ok(model::found(weights)?.iter().map(candor_models::ModelFiles::file).collect::<Result<_, _>>()?)
}

impl From<ReportLanguage> for Language {
    fn from(language: ReportLanguage) -> Self {
        match language {
            ReportLanguage::En => Self::English,
            ReportLanguage::Zh => Self::Chinese,
        }
    }
}

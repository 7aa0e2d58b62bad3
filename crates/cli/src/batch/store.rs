//! Where results go, and what survives a crash.
//!
//! Results are lines of JSON in one file; a journal beside it has a line for each input with the place where its result
//! ends. Results reach the disk before the journal names them, so whatever lies behind the last journalled place was not
//! promised to anybody: it is cut off when the batch is continued, and scanned again. That holds for a kill at any moment, for a
//! power cut and for a full disk.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use candor::{Label, Verdict};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::source::State;

/// Results and journal are made durable when this many results or this much time have gathered.
const COMMIT_RESULTS: usize = 256;
const COMMIT_TIME: Duration = Duration::from_secs(1);

/// A line of the journal.
#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    id: String,
    size: u64,
    modified: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
    label: Label,
    /// Length of the results once this one is in; as before when the input had not changed after all.
    end: u64,
}

/// A result as it is written: the verdict, and what the policy makes of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Line {
    #[serde(flatten)]
    pub(super) verdict: Verdict,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) action: Option<super::policy::Action>,
}

/// What is known of an input from before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    /// Nothing.
    New,
    /// It has its result.
    Same,
    /// It has one, but size or time are others now; the beginning of the digest that it had.
    Changed(Start),
}

/// The beginning of a SHA-256: what tells whether one input changed.
pub(super) type Start = [u8; 8];

/// What is remembered of an input. There may be many millions, so that every byte counts.
#[derive(Debug, Clone, Copy)]
struct Done {
    /// Size and time, mixed; the lowest bit says that it failed.
    state: u64,
    digest: Start,
}

impl Done {
    fn new(state: State, sha256: &str, failed: bool) -> Self {
        Self { state: Self::mixed(state) << 1 | u64::from(failed), digest: start(sha256) }
    }

    fn mixed(state: State) -> u64 {
        (state.size.rotate_left(40) ^ state.modified as u64) & (u64::MAX >> 1)
    }

    fn failed(self) -> bool {
        self.state & 1 == 1
    }

    fn is_in(self, state: State) -> bool {
        self.state >> 1 == Self::mixed(state)
    }
}

/// The results of a batch.
pub(super) struct Store {
    results: File,
    results_path: PathBuf,
    journal: File,
    /// Held for as long as the batch runs.
    _lock: File,
    end: u64,
    pending: Vec<u8>,
    pending_count: usize,
    committed: Instant,
    done: HashMap<[u8; 16], Done>,
    counts: BTreeMap<Label, u64>,
    retry_errors: bool,
    cache: Arc<Cache>,
}

impl Store {
    /// Opens or begins the results in `results_path` with their journal in the folder `state`. `settings` is whatever results
    /// depend on: a batch is only continued with the same.
    pub(super) fn open(
        results_path: &Path,
        state: &Path,
        settings: &str,
        fresh: bool,
        retry_errors: bool,
        cache: bool,
    ) -> anyhow::Result<Self> {
        let shown = |p: &Path| candor::path_text(p);
        fs::create_dir_all(state).with_context(|| format!("cannot create the folder {}", shown(state)))?;
        let open = |path: &Path| {
            OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(path)
                .with_context(|| format!("cannot write {}", shown(path)))
        };
        let lock = open(&state.join("lock"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                bail!("another batch is writing to {}; wait for it or name another output", shown(state))
            }
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("cannot lock {}", shown(state)));
            }
        }
        let (journal_path, settings_path) = (state.join("journal.jsonl"), state.join("settings.json"));
        if !fresh && results_path.exists() && !journal_path.exists() && fs::metadata(results_path)?.len() > 0
        {
            bail!(
                "{} exists and no batch is known to have written it; name another output, or --fresh to replace it",
                shown(results_path)
            );
        }
        let (results, mut journal) = (open(results_path)?, open(&journal_path)?);
        if fresh {
            // The journal first: it must never name results that are gone.
            journal.set_len(0)?;
            journal.sync_all()?;
            results.set_len(0)?;
        }
        match fs::read_to_string(&settings_path) {
            Ok(before) if before != settings && journal.metadata()?.len() > 0 => bail!(
                "the batch in {} was begun with other settings, models or another version; continue with those, name another \
                 output, or start over with --fresh",
                shown(state)
            ),
            _ => fs::write(&settings_path, settings)
                .with_context(|| format!("cannot write {}", shown(&settings_path)))?,
        }
        let mut store = Self {
            results,
            results_path: results_path.to_owned(),
            journal: journal.try_clone()?,
            _lock: lock,
            end: 0,
            pending: Vec::new(),
            pending_count: 0,
            committed: Instant::now(),
            done: HashMap::new(),
            counts: BTreeMap::new(),
            retry_errors,
            cache: Arc::new(Cache { slots: cache.then(Mutex::default), path: results_path.to_owned() }),
        };
        store.replay(&mut journal).with_context(|| format!("cannot read {}", shown(&journal_path)))?;
        Ok(store)
    }

    /// Takes up what was done before, and cuts off what was not finished.
    fn replay(&mut self, journal: &mut File) -> anyhow::Result<()> {
        let length = self.results.metadata()?.len();
        let mut reader = BufReader::new(&mut *journal);
        let (mut line, mut good) = (Vec::new(), 0_u64);
        loop {
            line.clear();
            let read = reader.read_until(b'\n', &mut line)?;
            if read == 0 || line.last() != Some(&b'\n') {
                break;
            }
            let Ok(entry) = serde_json::from_slice::<Entry>(&line) else { break };
            if entry.end > length || entry.end < self.end {
                break;
            }
            good += read as u64;
            let (start, state) = (self.end, State { size: entry.size, modified: entry.modified });
            self.end = entry.end;
            if entry.end > start {
                self.count(&entry, start);
            }
            self.remember(&entry.id, state, entry.sha256.as_deref(), entry.label);
        }
        journal.set_len(good)?;
        journal.seek(SeekFrom::Start(good))?;
        self.results.set_len(self.end)?;
        self.results.seek(SeekFrom::Start(self.end))?;
        Ok(())
    }

    fn count(&mut self, entry: &Entry, start: u64) {
        *self.counts.entry(entry.label).or_default() += 1;
        if entry.label != Label::Error
            && let Some(sha256) = &entry.sha256
        {
            self.cache.written(cache_key(sha256, &entry.id), start, entry.end - start);
        }
    }

    fn remember(&mut self, id: &str, state: State, sha256: Option<&str>, label: Label) {
        let done = Done::new(state, sha256.unwrap_or_default(), label == Label::Error);
        self.done.insert(id_key(id), done);
    }

    /// What is known of an input.
    pub(super) fn known(&self, id: &str, state: State) -> Known {
        match self.done.get(&id_key(id)) {
            None => Known::New,
            Some(done) if done.failed() && self.retry_errors => Known::New,
            Some(done) if done.is_in(state) => Known::Same,
            Some(done) => Known::Changed(done.digest),
        }
    }

    /// How many results there are of each label.
    pub(super) fn counts(&self) -> &BTreeMap<Label, u64> {
        &self.counts
    }

    /// Results by the digest of their input.
    pub(super) fn cache(&self) -> Arc<Cache> {
        Arc::clone(&self.cache)
    }

    /// Takes a result; it is durable after the next [`Store::commit`].
    pub(super) fn add(&mut self, id: &str, state: State, line: &Line) -> anyhow::Result<()> {
        let mut bytes = serde_json::to_vec(line)?;
        bytes.push(b'\n');
        self.results.write_all(&bytes).with_context(|| self.cannot_write())?;
        let start = self.end;
        self.end += bytes.len() as u64;
        let entry = Entry {
            id: id.to_owned(),
            size: state.size,
            modified: state.modified,
            sha256: line.verdict.sha256.clone(),
            label: line.verdict.label,
            end: self.end,
        };
        self.count(&entry, start);
        self.journal(&entry)
    }

    /// Takes note that an input has another time or size, but the same content as before. A failure stays one.
    pub(super) fn unchanged(&mut self, id: &str, state: State, sha256: &str) -> anyhow::Result<()> {
        let failed = self.done.get(&id_key(id)).is_some_and(|done| done.failed());
        let entry = Entry {
            id: id.to_owned(),
            size: state.size,
            modified: state.modified,
            sha256: Some(sha256.to_owned()),
            // Without a result of its own, only whether it failed is read from this.
            label: if failed { Label::Error } else { Label::NoSign },
            end: self.end,
        };
        self.journal(&entry)
    }

    fn journal(&mut self, entry: &Entry) -> anyhow::Result<()> {
        self.remember(
            &entry.id,
            State { size: entry.size, modified: entry.modified },
            entry.sha256.as_deref(),
            entry.label,
        );
        serde_json::to_writer(&mut self.pending, entry)?;
        self.pending.push(b'\n');
        self.pending_count += 1;
        if self.pending_count >= COMMIT_RESULTS || self.committed.elapsed() >= COMMIT_TIME {
            self.commit()?;
        }
        Ok(())
    }

    /// Makes everything durable.
    pub(super) fn commit(&mut self) -> anyhow::Result<()> {
        if !self.pending.is_empty() {
            self.results.sync_data().with_context(|| self.cannot_write())?;
            self.journal
                .write_all(&self.pending)
                .and_then(|()| self.journal.sync_data())
                .with_context(|| self.cannot_write())?;
            self.pending.clear();
            self.pending_count = 0;
        }
        self.committed = Instant::now();
        Ok(())
    }

    fn cannot_write(&self) -> String {
        format!(
            "cannot write {}; once there is room, the same command continues from the last result that was saved",
            candor::path_text(&self.results_path)
        )
    }
}

/// Results of contents that were scanned before, in the result file.
pub(super) struct Cache {
    /// `None` when nothing is to be reused.
    slots: Option<Mutex<HashMap<[u8; 16], Slot>>>,
    path: PathBuf,
}

#[derive(Clone)]
enum Slot {
    /// Somebody is at it.
    Scanning(Arc<OnceLock<Verdict>>),
    Written {
        start: u64,
        length: u32,
    },
}

impl Cache {
    /// The verdict for a content under a name: one from before, or that of `scan`. Two threads with the same content don't
    /// both scan it. Says whether it was reused.
    pub(super) fn verdict(&self, sha256: &str, id: &str, scan: impl FnOnce() -> Verdict) -> (Verdict, bool) {
        let Some(slots) = &self.slots else { return (scan(), false) };
        let key = cache_key(sha256, id);
        let slot = {
            let mut slots = slots.lock().unwrap_or_else(PoisonError::into_inner);
            slots.entry(key).or_insert_with(|| Slot::Scanning(Arc::default())).clone()
        };
        let found = match slot {
            Slot::Scanning(cell) => {
                let mut first = false;
                let verdict = cell.get_or_init(|| {
                    first = true;
                    scan()
                });
                if first {
                    return (verdict.clone(), false);
                }
                verdict.clone()
            }
            Slot::Written { start, length } => match self.read(start, length) {
                Some(verdict) => verdict,
                // A result file that was meddled with costs a scan, no more.
                None => return (scan(), false),
            },
        };
        (Verdict { path: id.to_owned(), elapsed_ms: 0.0, ..found }, true)
    }

    fn read(&self, start: u64, length: u32) -> Option<Verdict> {
        let mut file = File::open(&self.path).ok()?;
        file.seek(SeekFrom::Start(start)).ok()?;
        let mut bytes = vec![0; length as usize];
        file.read_exact(&mut bytes).ok()?;
        Some(serde_json::from_slice::<Line>(&bytes).ok()?.verdict)
    }

    fn written(&self, key: [u8; 16], start: u64, length: u64) {
        if let (Some(slots), Ok(length)) = (&self.slots, u32::try_from(length)) {
            let mut slots = slots.lock().unwrap_or_else(PoisonError::into_inner);
            slots.insert(key, Slot::Written { start, length });
        }
    }

    /// Forgets a content that has no result to reuse.
    pub(super) fn forget(&self, sha256: &str, id: &str) {
        if let Some(slots) = &self.slots {
            let mut slots = slots.lock().unwrap_or_else(PoisonError::into_inner);
            slots.remove(&cache_key(sha256, id));
        }
    }
}

fn id_key(id: &str) -> [u8; 16] {
    half(&Sha256::digest(id.as_bytes()))
}

/// A verdict depends on the content and, through the warning about misleading names, on the extension.
fn cache_key(sha256: &str, id: &str) -> [u8; 16] {
    let extension = Path::new(id).extension().unwrap_or_default().to_ascii_lowercase();
    let mut digest = Sha256::new();
    digest.update(sha256.as_bytes());
    digest.update(extension.as_encoded_bytes());
    half(&digest.finalize())
}

fn half(digest: &[u8]) -> [u8; 16] {
    digest.first_chunk::<16>().copied().unwrap_or_default()
}

/// The beginning of a hexadecimal SHA-256 as bytes; zeros for none.
pub(super) fn start(hex: &str) -> Start {
    hex.get(..16).and_then(|h| u64::from_str_radix(h, 16).ok()).unwrap_or_default().to_be_bytes()
}

/// Every line of the results, the last one for each path only: an input that changed has an older result before it.
pub(super) fn lines(path: &Path) -> anyhow::Result<impl Iterator<Item = anyhow::Result<Line>> + use<>> {
    #[derive(Deserialize)]
    struct Named {
        path: String,
    }
    let open = || File::open(path).with_context(|| format!("cannot read {}", candor::path_text(path)));
    let mut last = HashMap::new();
    for (i, line) in BufReader::new(open()?).lines().enumerate() {
        last.insert(id_key(&serde_json::from_str::<Named>(&line?)?.path), i);
    }
    let all = BufReader::new(open()?).lines().enumerate();
    Ok(all.filter_map(move |(i, line)| {
        let line = line.map_err(anyhow::Error::new).and_then(|l| Ok(serde_json::from_str::<Line>(&l)?));
        let newest = line.as_ref().map_or(true, |l| last.get(&id_key(&l.verdict.path)) == Some(&i));
        newest.then_some(line)
    }))
}

/// Writes a file in one step; a link stays one, and what is no file (a device, a pipe) is written to as it is.
pub(crate) fn replace(
    path: &Path,
    write: impl FnOnce(&mut File) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let path = target.as_path();
    if path.exists() && !path.is_file() {
        return File::create(path)
            .map_err(anyhow::Error::new)
            .and_then(|mut file| write(&mut file))
            .with_context(|| format!("cannot write {}", candor::path_text(path)));
    }
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".tmp");
    let temporary = path.with_file_name(name);
    let written = (|| {
        let mut file = File::create(&temporary)?;
        write(&mut file)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        io::Result::Ok(()).map_err(anyhow::Error::new)
    })();
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written.with_context(|| format!("cannot write {}", candor::path_text(path)))
}

//! What a batch works on: files, folders, patterns, lists and archives, one after the other and never all in memory.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use anyhow::Context;
use candor::ErrorCode;
use sha2::{Digest, Sha256};

use super::budget::{Budget, Permit};
use crate::remote::{Elsewhere, Listed, is_remote};
use crate::walk::{self, Input};

/// How deep archives in archives are opened.
const DEPTH: usize = 3;

/// One input.
pub(super) struct Item {
    /// What the result calls it: a path, or `archive!/entry`.
    pub(super) id: String,
    /// Its state when it was listed.
    pub(super) state: State,
    pub(super) content: Content,
    /// Holds its share of the memory that inputs may take.
    pub(super) permit: Option<Permit>,
}

/// Where the bytes are.
pub(super) enum Content {
    File(PathBuf),
    /// In an object store or on the web.
    Remote(String),
    Bytes(Vec<u8>),
    /// There are none, for this reason.
    Failed(ErrorCode, String),
}

/// What tells without reading whether a file may have changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct State {
    pub(super) size: u64,
    /// Nanoseconds since 1970.
    pub(super) modified: i64,
}

impl State {
    fn of(metadata: &fs::Metadata) -> Self {
        let modified = metadata.modified().ok().and_then(|t| t.duration_since(UNIX_EPOCH).ok());
        Self { size: metadata.len(), modified: modified.map_or(0, |d| d.as_nanos() as i64) }
    }
}

/// Which inputs are wanted.
#[derive(Debug, Clone, Default)]
pub(super) struct Wanted {
    /// Share of the inputs, drawn by a digest of their names.
    pub(super) share: Option<f64>,
    /// Oldest time of change, in nanoseconds since 1970.
    pub(super) since: Option<i64>,
    /// Whether archives are opened.
    pub(super) archives: bool,
    /// Largest entry that is taken out of an archive, in bytes.
    pub(super) max_bytes: u64,
}

impl Wanted {
    fn takes(&self, id: &str, state: State) -> bool {
        let drawn = self.share.is_none_or(|share| {
            let digest = Sha256::digest(id.as_bytes());
            let first = digest.first_chunk::<8>().map_or(0, |b| u64::from_be_bytes(*b));
            (first as f64) < share * 2_f64.powi(64)
        });
        drawn && self.since.is_none_or(|since| state.modified >= since)
    }
}

/// The places that inputs come from.
#[derive(Clone)]
pub(super) struct Sources {
    places: Vec<Place>,
    wanted: Wanted,
}

#[derive(Clone)]
enum Place {
    Path(PathBuf),
    Remote(String),
    Pattern(String),
    Stdin,
    Table(PathBuf, String),
}

impl Sources {
    /// From what the command line names. A name with `*`, `?` or `[` that is no file is a pattern.
    pub(super) fn new(
        named: &[PathBuf],
        list: Option<&Path>,
        column: &str,
        wanted: Wanted,
    ) -> anyhow::Result<Self> {
        let mut places = Vec::new();
        for path in named {
            let text = path.to_string_lossy();
            if text == "-" {
                places.push(Place::Stdin);
            } else if is_remote(&text) {
                places.push(Place::Remote(text.into_owned()));
            } else if text.contains(['*', '?', '[']) && !path.exists() {
                glob::Pattern::new(&text)
                    .with_context(|| format!("{} is no pattern", candor::path_text(path)))?;
                places.push(Place::Pattern(text.into_owned()));
            } else {
                places.push(Place::Path(path.clone()));
            }
        }
        if let Some(list) = list {
            places.push(Place::Table(list.to_owned(), column.to_owned()));
        }
        Ok(Self { places, wanted })
    }

    /// How many files there are, archives counted as one; `None` where that is not known beforehand.
    pub(super) fn count(&self) -> Option<u64> {
        if self.places.iter().any(|p| matches!(p, Place::Stdin | Place::Remote(_))) {
            return None;
        }
        let wanted = Wanted { archives: false, ..self.wanted.clone() };
        let files = self.places.iter().flat_map(|place| paths(place.clone()));
        Some(files.filter(|f| f.as_ref().is_ok_and(|f| listed(f, &wanted).is_some())).count() as u64)
    }

    /// All inputs in a fixed order; each holds a permit for its bytes while it lives.
    pub(super) fn items<'a>(&'a self, budget: &'a Budget) -> impl Iterator<Item = anyhow::Result<Item>> + 'a {
        let files = self.places.iter().flat_map(|place| paths(place.clone()));
        files.flat_map(move |file| -> Box<dyn Iterator<Item = anyhow::Result<Item>> + 'a> {
            let file = match file {
                Ok(file) => file,
                Err(error) => return Box::new(std::iter::once(Err(error))),
            };
            if let Found::Local(Input::File(path)) = &file
                && self.wanted.archives
                && let Some(kind) = Archive::of(path)
            {
                return Box::new(archive(path, kind, &self.wanted, budget).map(Ok));
            }
            Box::new(
                listed(&file, &self.wanted)
                    .map(|mut item| {
                        item.permit = Some(budget.take(item.state.size));
                        Ok(item)
                    })
                    .into_iter(),
            )
        })
    }
}

/// Something that was found.
enum Found {
    Local(Input),
    Remote(Listed),
}

/// What a job queue is filled with: an address, the size and the time of every file, archives unopened.
pub(crate) fn addresses(
    named: &[PathBuf],
    list: Option<&Path>,
    column: &str,
) -> anyhow::Result<impl Iterator<Item = anyhow::Result<(String, u64, i64)>>> {
    let sources = Sources::new(named, list, column, Wanted::default())?;
    let found = sources.places.into_iter().flat_map(paths);
    Ok(found.filter_map(|found| match found {
        Err(error) => Some(Err(error)),
        Ok(found) => {
            let item = listed(&found, &Wanted::default())?;
            let State { size, modified } = item.state;
            match item.content {
                Content::Remote(uri) => Some(Ok((uri, size, modified))),
                Content::File(path) => Some(file_address(&path).map(|uri| (uri, size, modified))),
                Content::Bytes(_) => None,
                Content::Failed(_, message) => Some(Err(anyhow::anyhow!("{}: {message}", item.id))),
            }
        }
    }))
}

/// `file://` and the whole path.
fn file_address(path: &Path) -> anyhow::Result<String> {
    let whole = std::path::absolute(path)?;
    let url = reqwest::Url::from_file_path(&whole);
    Ok(url.map_err(|()| anyhow::anyhow!("{} has no address", candor::path_text(&whole)))?.to_string())
}

/// The files of one place.
fn paths(place: Place) -> Box<dyn Iterator<Item = anyhow::Result<Found>>> {
    let lines = |read: Box<dyn BufRead>, name: String| {
        let path = |line: io::Result<Vec<u8>>| match line {
            Ok(line) => path_of(&line).map(|p| Ok(named(p))),
            Err(error) => Some(Err(anyhow::Error::new(error))),
        };
        let lines = read.split(b'\n').filter_map(path);
        lines.map(move |l| l.with_context(|| format!("cannot read {name}")))
    };
    match place {
        Place::Path(path) => Box::new(walk::inputs(vec![path]).map(|i| Ok(Found::Local(i)))),
        Place::Remote(uri) => match Elsewhere::get() {
            Ok(elsewhere) => Box::new(elsewhere.list(&uri).map(|l| l.map(Found::Remote))),
            Err(error) => Box::new(std::iter::once(Err(error))),
        },
        Place::Pattern(pattern) => match glob::glob(&pattern) {
            Ok(found) => Box::new(found.flat_map(|path| match path {
                Ok(path) => walk::inputs(vec![path]).map(|i| Ok(Found::Local(i))).collect::<Vec<_>>(),
                Err(error) => {
                    vec![Ok(Found::Local(Input::Hidden(error.path().to_owned(), error.error().kind())))]
                }
            })),
            Err(error) => Box::new(std::iter::once(Err(anyhow::Error::new(error)))),
        },
        Place::Stdin => Box::new(lines(Box::new(BufReader::new(io::stdin())), "standard input".to_owned())),
        Place::Table(path, column) => {
            let name = candor::path_text(&path);
            let table = ["csv", "parquet", "jsonl", "zst"];
            let extension =
                path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
            if table.contains(&extension.as_str()) {
                let folder = path.parent().map(Path::to_owned).unwrap_or_default();
                match candor_eval::data::column(&path, &column) {
                    Ok(cells) => Box::new(cells.map(move |cell| {
                        let cell = cell?;
                        Ok(if is_remote(&cell) {
                            named(PathBuf::from(cell))
                        } else {
                            Found::Local(Input::File(folder.join(cell)))
                        })
                    })),
                    Err(error) => Box::new(std::iter::once(Err(error.into()))),
                }
            } else {
                match File::open(&path) {
                    Ok(file) => Box::new(lines(Box::new(BufReader::new(file)), name)),
                    Err(error) => {
                        let error = anyhow::Error::new(error).context(format!("cannot read {name}"));
                        Box::new(std::iter::once(Err(error)))
                    }
                }
            }
        }
    }
}

/// What a list names: a path or an address.
fn named(path: PathBuf) -> Found {
    match path.to_str() {
        Some(uri) if is_remote(uri) => Found::Remote(Listed { uri: uri.to_owned(), size: 0, modified: 0 }),
        _ => Found::Local(Input::File(path)),
    }
}

/// A line of a list as a path; `None` for an empty line.
fn path_of(line: &[u8]) -> Option<PathBuf> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.is_empty() {
        return None;
    }
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStrExt;
        Some(PathBuf::from(std::ffi::OsStr::from_bytes(line)))
    }
    #[cfg(not(unix))]
    Some(PathBuf::from(String::from_utf8_lossy(line).into_owned()))
}

/// An item for a listed file; `None` when it is not wanted.
fn listed(found: &Found, wanted: &Wanted) -> Option<Item> {
    let input = match found {
        Found::Local(input) => input,
        Found::Remote(Listed { uri, size, modified }) => {
            let state = State { size: *size, modified: *modified };
            let content = Content::Remote(uri.clone());
            return wanted.takes(uri, state).then(|| Item { id: uri.clone(), state, content, permit: None });
        }
    };
    let (path, content, state) = match input {
        Input::File(path) => match fs::metadata(path) {
            Ok(metadata) => (path.as_path(), Content::File(path.clone()), State::of(&metadata)),
            Err(error) => (path.as_path(), failed(&error), State::default()),
        },
        Input::Hidden(path, kind) => (path.as_path(), failed(&(*kind).into()), State::default()),
        Input::Stdin => return None,
    };
    let id = candor::path_text(path);
    // What cannot be read is reported whatever its age.
    let wanted = match content {
        Content::Failed(..) => Wanted { since: None, ..wanted.clone() },
        _ => wanted.clone(),
    };
    wanted.takes(&id, state).then_some(Item { id, state, content, permit: None })
}

fn failed(error: &io::Error) -> Content {
    let code = match error.kind() {
        io::ErrorKind::NotFound => ErrorCode::NotFound,
        io::ErrorKind::PermissionDenied => ErrorCode::PermissionDenied,
        _ => ErrorCode::Read,
    };
    Content::Failed(code, format!("cannot list it: {error}"))
}

/// Archives that are opened, told by the end of their name: documents are archives too, and are no containers of files.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Archive {
    Zip,
    Tar,
    TarGz,
}

impl Archive {
    fn of(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_string_lossy().to_ascii_lowercase();
        let ends =
            [(".zip", Self::Zip), (".tar", Self::Tar), (".tar.gz", Self::TarGz), (".tgz", Self::TarGz)];
        ends.into_iter().find(|(end, _)| name.ends_with(end)).map(|(_, kind)| kind)
    }
}

/// The entries of an archive, read as they are asked for.
fn archive<'a>(
    path: &Path,
    kind: Archive,
    wanted: &'a Wanted,
    budget: &'a Budget,
) -> Box<dyn Iterator<Item = Item> + 'a> {
    let id = candor::path_text(path);
    let opened = File::open(path).and_then(|f| Ok((State::of(&f.metadata()?), f)));
    match opened {
        Ok((state, file)) => entries(id, kind, state, file, 1, wanted, budget),
        Err(error) => {
            let item = Item { id, state: State::default(), content: failed(&error), permit: None };
            Box::new(std::iter::once(item))
        }
    }
}

fn entries<'a>(
    id: String,
    kind: Archive,
    state: State,
    read: impl Read + io::Seek + 'a,
    depth: usize,
    wanted: &'a Wanted,
    budget: &'a Budget,
) -> Box<dyn Iterator<Item = Item> + 'a> {
    let read = BufReader::new(read);
    let walker: Box<dyn Entries + 'a> = match kind {
        Archive::Zip => match zip::ZipArchive::new(read) {
            Ok(zip) => Box::new(ZipEntries { zip, next: 0 }),
            Err(error) => return Box::new(std::iter::once(damaged(id, state, error))),
        },
        Archive::Tar => Box::new(TarEntries { tar: TarReader::new(Box::new(read)) }),
        Archive::TarGz => {
            Box::new(TarEntries { tar: TarReader::new(Box::new(flate2::read::MultiGzDecoder::new(read))) })
        }
    };
    let mut walker = Some(walker);
    let mut inner: VecDeque<Box<dyn Iterator<Item = Item> + 'a>> = VecDeque::new();
    Box::new(std::iter::from_fn(move || {
        loop {
            if let Some(nested) = inner.front_mut() {
                if let Some(item) = nested.next() {
                    return Some(item);
                }
                inner.pop_front();
                continue;
            }
            let entry = match walker.as_mut()?.next(wanted.max_bytes, budget) {
                None => return None,
                Some(Ok(entry)) => entry,
                Some(Err(error)) => {
                    // Nothing after a damaged place can be trusted.
                    walker = None;
                    return Some(damaged(id.clone(), state, error));
                }
            };
            let name = format!("{id}!/{}", entry.name);
            let entry_state = State { size: entry.size, modified: state.modified };
            let nested = Archive::of(Path::new(&entry.name));
            let content = match (nested, entry.content) {
                (Some(kind), Content::Bytes(bytes)) if depth < DEPTH => {
                    // It stays in memory while its entries are read, but outside the budget: they might otherwise wait for
                    // what it holds.
                    drop(entry.permit);
                    let bytes = io::Cursor::new(bytes);
                    inner.push_back(entries(name, kind, entry_state, bytes, depth + 1, wanted, budget));
                    continue;
                }
                (_, content) => content,
            };
            if wanted.takes(&name, entry_state) {
                return Some(Item { id: name, state: entry_state, content, permit: entry.permit });
            }
        }
    }))
}

fn damaged(id: String, state: State, error: impl std::fmt::Display) -> Item {
    let content = Content::Failed(ErrorCode::Decode, format!("the archive cannot be read further: {error}"));
    Item { id, state, content, permit: None }
}

struct Entry {
    name: String,
    size: u64,
    content: Content,
    permit: Option<Permit>,
}

trait Entries {
    /// The next file, `None` at the end.
    fn next(&mut self, max_bytes: u64, budget: &Budget) -> Option<io::Result<Entry>>;
}

/// Reads one entry; one that is too large, or longer than it says, becomes a failure of its own.
fn entry(name: String, size: u64, read: impl Read, max_bytes: u64, budget: &Budget) -> Entry {
    let too_large = || {
        Content::Failed(
            ErrorCode::TooLarge,
            format!("the entry is larger than the limit of {max_bytes} bytes"),
        )
    };
    if size > max_bytes {
        return Entry { name, size, content: too_large(), permit: None };
    }
    let permit = budget.take(size);
    let mut bytes = Vec::with_capacity(usize::try_from(size.min(1 << 24)).unwrap_or(0));
    // Compressed entries may hold more than they say.
    let content = match read.take(size.saturating_add(1)).read_to_end(&mut bytes) {
        Ok(read) if read as u64 > size => {
            Content::Failed(ErrorCode::Decode, "the entry is longer than the archive says".to_owned())
        }
        Ok(read) if (read as u64) < size => {
            Content::Failed(ErrorCode::Decode, "the archive ends within the entry".to_owned())
        }
        Ok(_) => Content::Bytes(bytes),
        Err(error) => Content::Failed(ErrorCode::Decode, format!("cannot read the entry: {error}")),
    };
    Entry { name, size, content, permit: Some(permit) }
}

struct ZipEntries<R> {
    zip: zip::ZipArchive<R>,
    next: usize,
}

impl<R: Read + io::Seek> Entries for ZipEntries<R> {
    fn next(&mut self, max_bytes: u64, budget: &Budget) -> Option<io::Result<Entry>> {
        while self.next < self.zip.len() {
            let index = self.next;
            self.next += 1;
            let known = match self.zip.name_for_index(index) {
                Some(Ok(name)) => name.into_owned(),
                _ => format!("entry {index}"),
            };
            match self.zip.by_index(index) {
                Ok(file) if file.is_dir() => {}
                Ok(file) => {
                    let size = file.size();
                    return Some(Ok(entry(known, size, file, max_bytes, budget)));
                }
                Err(error) => {
                    let content =
                        Content::Failed(ErrorCode::Unsupported, format!("cannot read the entry: {error}"));
                    return Some(Ok(Entry { name: known, size: 0, content, permit: None }));
                }
            }
        }
        None
    }
}

/// A tar file, read in one go: the library's own iterator borrows it, so headers are read one at a time here.
struct TarReader<'a> {
    read: Box<dyn Read + 'a>,
}

impl<'a> TarReader<'a> {
    fn new(read: Box<dyn Read + 'a>) -> Self {
        Self { read }
    }
}

struct TarEntries<'a> {
    tar: TarReader<'a>,
}

impl Entries for TarEntries<'_> {
    fn next(&mut self, max_bytes: u64, budget: &Budget) -> Option<io::Result<Entry>> {
        // An archive of one entry after the other: the library reads one header with its extensions and its content, and
        // what follows stays unread.
        loop {
            let mut one = tar::Archive::new(&mut self.tar.read);
            let mut all = match one.entries() {
                Ok(all) => all,
                Err(error) => return Some(Err(error)),
            };
            let mut file = match all.next()? {
                Ok(file) => file,
                Err(error) => return Some(Err(error)),
            };
            let size = file.size();
            // A sparse file takes less room than it is long.
            let sparse = file.header().entry_type().is_gnu_sparse();
            let stored = if sparse { file.header().entry_size().unwrap_or(size) } else { size };
            let name = String::from_utf8_lossy(&file.path_bytes()).into_owned();
            let found =
                file.header().entry_type().is_file().then(|| entry(name, size, &mut file, max_bytes, budget));
            // The rest of the entry and its padding.
            if let Err(error) = io::copy(&mut file, &mut io::sink()) {
                return Some(Err(error));
            }
            drop(file);
            let padding = (512 - stored % 512) % 512;
            if let Err(error) = io::copy(&mut (&mut self.tar.read).take(padding), &mut io::sink()) {
                return Some(Err(error));
            }
            if let Some(found) = found {
                return Some(Ok(found));
            }
        }
    }
}

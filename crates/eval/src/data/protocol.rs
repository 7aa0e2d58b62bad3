//! `ASVspoof` protocols: one trial a line, columns between blanks, no header.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
};

use walkdir::WalkDir;

use super::{Item, Items, Label, Layout};
use crate::{Error, Result};

/// Columns of the protocols by number of columns; `-` is a column without use.
const COLUMNS: [(Layout, &[&str]); 4] = [
    (Layout::AsvSpoof2019La, &["speaker", "trial", "-", "attack", "key"]),
    (
        Layout::AsvSpoof2021La,
        &["speaker", "trial", "codec", "transmission", "attack", "key", "trim", "subset"],
    ),
    (
        Layout::AsvSpoof5,
        &[
            "speaker",
            "trial",
            "gender",
            "codec",
            "codec_quality",
            "codec_seed",
            "attack_tag",
            "attack",
            "key",
            "-",
        ],
    ),
    (
        Layout::AsvSpoof2021Df,
        &[
            "speaker", "trial", "codec", "source", "attack", "key", "trim", "subset", "vocoder", "task",
            "team", "gender", "language",
        ],
    ),
];

/// One trial.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Trial {
    name: String,
    label: Label,
    /// The columns but `trial`, `key` and those without a value.
    columns: BTreeMap<String, String>,
}

/// Parses one line of a protocol; the reason when it is none.
pub(super) fn parse(layout: Layout, line: &str) -> std::result::Result<Trial, String> {
    let columns = COLUMNS.iter().find(|c| c.0 == layout).map_or(&[] as &[&str], |c| c.1);
    let cells: Vec<&str> = line.split_whitespace().collect();
    if cells.len() != columns.len() {
        return Err(format!(
            "{} columns, {} has {}: {}",
            cells.len(),
            layout.name(),
            columns.len(),
            columns.join(" ")
        ));
    }
    let mut found: BTreeMap<String, String> = columns
        .iter()
        .zip(cells)
        .filter(|c| *c.0 != "-")
        .map(|(c, v)| ((*c).to_owned(), v.to_owned()))
        .collect();
    let label = match found.remove("key").unwrap_or_default().as_str() {
        "bonafide" => Label::Genuine,
        "spoof" => Label::Fabricated,
        other => return Err(format!("key \"{other}\", expected bonafide or spoof")),
    };
    let name = found.remove("trial").unwrap_or_default();
    if name.contains(['/', '\\']) || name == ".." {
        return Err(format!("\"{name}\" is not the name of a trial"));
    }
    found.retain(|_, v| v != "-");
    Ok(Trial { name, label, columns: found })
}

/// The layout of a protocol by its first line.
pub(super) fn layout(path: &Path) -> Option<Layout> {
    let mut line = String::new();
    // A protocol's lines are short; a file without line ends is not read whole.
    BufReader::new(std::io::Read::take(File::open(path).ok()?, 1024)).read_line(&mut line).ok()?;
    COLUMNS.iter().map(|c| c.0).find(|&layout| parse(layout, &line).is_ok())
}

/// Protocols and folders of audio under a root.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) protocols: Vec<PathBuf>,
    audio: Vec<PathBuf>,
}

/// Looks for protocols by name and for folders of audio, without looking into the latter.
pub(super) fn find(root: &Path) -> Found {
    let mut found = Found::default();
    let mut walk = WalkDir::new(root).max_depth(5).follow_links(true).sort_by_file_name().into_iter();
    while let Some(entry) = walk.next() {
        let Ok(entry) = entry else { continue };
        let name = entry.file_name().to_string_lossy();
        if entry.file_type().is_dir() {
            if name.starts_with("flac") {
                found.audio.push(entry.into_path());
                walk.skip_current_dir();
            } else if super::folders::is_class(&name) {
                walk.skip_current_dir();
            }
        } else if is_protocol(&name) {
            found.protocols.push(entry.into_path());
        }
    }
    found
}

/// Folders of audio directly in a folder, or in one of the collection's own folders there.
fn beside(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> = entries.map(|e| e.path()).filter(|p| p.is_dir()).collect();
    folders.sort();
    let named = |p: &Path, start: &str| p.file_name().is_some_and(|n| n.to_string_lossy().starts_with(start));
    let of = |p: PathBuf| match p {
        p if named(&p, "flac") => vec![p],
        p if named(&p, "ASVspoof") => find(&p).audio,
        _ => Vec::new(),
    };
    folders.into_iter().flat_map(of).collect()
}

fn is_protocol(name: &str) -> bool {
    let text = Path::new(name).extension().is_some_and(|e| e == "txt");
    name == "trial_metadata.txt"
        || (name.starts_with("ASVspoof2019.LA.cm.") && text)
        || ["ASVspoof5.train.tsv", "ASVspoof5.dev.track_1.tsv", "ASVspoof5.eval.track_1.tsv"].contains(&name)
}

/// The items of a protocol file, or of all protocols under a folder.
pub(super) fn items(layout: Layout, path: &Path) -> Result<Items> {
    let found = if path.is_dir() {
        let mut found = find(path);
        found.protocols.retain(|p| self::layout(p) == Some(layout));
        found
    } else {
        // The audio is beside the protocol or beside a folder above it.
        let above = path.ancestors().skip(1).take(4);
        let audio = above.map(beside).find(|audio| !audio.is_empty()).unwrap_or_default();
        Found { protocols: vec![path.to_owned()], audio }
    };
    if found.audio.is_empty() {
        return Err(Error::file(
            path,
            format!("no folder of audio (flac…) found for {}; unpack it beside the protocol", layout.name()),
        ));
    }
    let Found { protocols, audio } = found;
    Ok(Box::new(protocols.into_iter().flat_map(move |protocol| read(layout, protocol, audio.clone()))))
}

/// The items of one protocol.
fn read(layout: Layout, protocol: PathBuf, audio: Vec<PathBuf>) -> Items {
    let file = match File::open(&protocol) {
        Ok(file) => file,
        Err(e) => return Box::new(std::iter::once(Err(Error::io(protocol, e)))),
    };
    let split = split(&protocol);
    let audio = Audio::of(&protocol, audio);
    let mut ended = false;
    let lines = BufReader::new(file).lines().enumerate().take_while(move |(_, line)| {
        // One error of the file is handed on, nothing after it.
        let before = ended;
        ended = line.is_err();
        !before
    });
    let item = move |(i, line): (usize, std::io::Result<String>)| {
        let line = match line {
            Ok(line) if line.trim().is_empty() => return None,
            Ok(line) => line,
            Err(e) => return Some(Err(Error::io(&protocol, e))),
        };
        let trial = match parse(layout, &line) {
            Ok(trial) => trial,
            Err(reason) => return Some(Err(Error::row(&protocol, i as u64 + 1, reason))),
        };
        let attack = trial.columns.get("attack").filter(|_| trial.label.is_fabricated()).cloned();
        let group = attack.clone().or_else(|| trial.columns.get("speaker").cloned()).unwrap_or_default();
        Some(Ok(Item {
            path: audio.path(&trial.name),
            label: trial.label,
            group,
            generator: attack,
            split: trial.columns.get("subset").cloned().or_else(|| split.clone()),
            text: None,
            name: trial.name,
            columns: trial.columns,
        }))
    };
    Box::new(lines.filter_map(item))
}

/// `train`, `dev` or `eval` by the name of the protocol.
fn split(protocol: &Path) -> Option<String> {
    let name = protocol.file_name()?.to_string_lossy().into_owned();
    name.split('.').find(|p| ["train", "dev", "eval"].contains(p)).map(str::to_owned)
}

/// Folders of audio that a protocol's files may be in.
struct Audio(Vec<PathBuf>);

impl Audio {
    /// The folders of the protocol's split come first: `ASVspoof2019_LA_train/flac`, `flac_T`.
    fn of(protocol: &Path, mut folders: Vec<PathBuf>) -> Self {
        let split = split(protocol).unwrap_or_default();
        let letter = split.chars().next().unwrap_or('?').to_ascii_uppercase();
        let fits = |p: &PathBuf| {
            let name = p.to_string_lossy();
            name.ends_with(&format!("_{split}/flac")) || name.contains(&format!("flac_{letter}"))
        };
        folders.sort_by_key(|p| !fits(p));
        if folders.first().is_some_and(fits) {
            folders.retain(fits);
        }
        Self(folders)
    }

    fn path(&self, trial: &str) -> PathBuf {
        let file = format!("{trial}.flac");
        let mut paths = self.0.iter().map(|folder| folder.join(&file));
        let first = paths.next().unwrap_or_default();
        if self.0.len() < 2 || first.is_file() {
            return first;
        }
        paths.find(|p| p.is_file()).unwrap_or(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_the_published_columns() {
        let trial = parse(Layout::AsvSpoof2019La, "LA_0039 LA_E_2834763 - A11 spoof").unwrap();
        assert_eq!((trial.name.as_str(), trial.label), ("LA_E_2834763", Label::Fabricated));
        assert_eq!(trial.columns["attack"], "A11");
        let trial =
            parse(Layout::AsvSpoof2021La, "LA_0009 LA_E_9332881 alaw ita_tx A07 spoof notrim eval").unwrap();
        assert_eq!((trial.columns["codec"].as_str(), trial.columns["subset"].as_str()), ("alaw", "eval"));
        let df = "LA_0043 DF_E_2000026 mp3m4a asvspoof A09 spoof notrim eval traditional_vocoder - - - -";
        assert_eq!(parse(Layout::AsvSpoof2021Df, df).unwrap().columns["vocoder"], "traditional_vocoder");
        let five = "T_4850 T_0000000000 F - - - AC3 A05 spoof -";
        let trial = parse(Layout::AsvSpoof5, five).unwrap();
        assert_eq!((trial.columns["attack"].as_str(), trial.columns.contains_key("codec")), ("A05", false));
        assert!(parse(Layout::AsvSpoof5, "a b").unwrap_err().contains("2 columns"));
        assert!(parse(Layout::AsvSpoof2019La, "a b - - maybe").unwrap_err().contains("maybe"));
        assert!(parse(Layout::AsvSpoof2019La, "a ../b - - spoof").is_err());
    }

    proptest! {
        #[test]
        fn no_line_panics(line in ".{0,200}", words in prop::collection::vec("[a-z-]{1,8}|spoof|bonafide", 0..14)) {
            for (layout, _) in COLUMNS {
                let _ = parse(layout, &line);
                let _ = parse(layout, &words.join(" "));
            }
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("trial_metadata.txt");
            std::fs::write(&path, &bytes).unwrap();
            let _ = layout(&path);
            prop_assert!(read(Layout::AsvSpoof5, path, vec![dir.path().to_owned()]).count() <= bytes.len() + 1);
        }
    }
}

//! Lists of labelled items.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
};

use rayon::prelude::*;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::Distillation;
use crate::{Error, Result, hex};

/// Where the bytes of an item are.
#[derive(Debug, Clone, PartialEq)]
pub enum Source {
    /// A file.
    File(PathBuf),
    /// A text in the manifest itself.
    Inline(String),
}

/// One labelled item.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// Where its bytes are.
    pub source: Source,
    /// Stable name: the path as the manifest has it, or the item's id.
    pub name: String,
    /// Whether it is machine-made.
    pub fabricated: bool,
    /// Source or generator, the unit of sampling and of the bootstrap.
    pub group: String,
    /// What it was published with, and what it is about: material of one collection shares speakers, cameras, processing
    /// and topics whatever its class. The group where the manifest has neither `repo` nor `domain`.
    pub collection: String,
    /// Generator, system or model that made it; empty for genuine items.
    pub generator: String,
    /// Whether it belongs to the development split.
    pub dev: bool,
    /// Language, if the manifest has it.
    pub language: String,
    /// Probability that a teacher gives for machine-made, with its share in the target.
    pub taught: Option<(f32, f32)>,
}

impl Item {
    /// What a network is to say: the label, moved away from 0 and 1 by `smoothing`, mixed with what a teacher says.
    pub fn target(&self, smoothing: f32) -> f32 {
        let label = if self.fabricated { 1.0 - smoothing } else { smoothing };
        self.taught.map_or(label, |(probability, share)| share * probability + (1.0 - share) * label)
    }

    /// The item's bytes.
    ///
    /// # Errors
    /// When the file can't be read.
    pub fn bytes(&self) -> Result<Vec<u8>> {
        match &self.source {
            Source::File(path) => std::fs::read(path).map_err(|e| Error::io(path, e)),
            Source::Inline(text) => Ok(text.clone().into_bytes()),
        }
    }
}

#[cfg(test)]
impl Item {
    /// An item without content, for tests of what is done with groups.
    pub(crate) fn example(
        fabricated: bool,
        group: &str,
        generator: &str,
        collection: &str,
        dev: bool,
    ) -> Self {
        Self {
            source: Source::Inline(String::new()),
            name: String::new(),
            fabricated,
            group: group.into(),
            collection: collection.into(),
            generator: generator.into(),
            dev,
            language: String::new(),
            taught: None,
        }
    }
}

#[derive(Debug, Deserialize)]
struct Row {
    #[serde(default)]
    id: String,
    #[serde(default)]
    path: String,
    text: Option<String>,
    label: String,
    #[serde(default)]
    group: String,
    #[serde(default)]
    repo: String,
    #[serde(default, alias = "system")]
    generator: Option<String>,
    #[serde(default)]
    domain: Option<String>,
    #[serde(default, alias = "lang")]
    language: Option<String>,
    #[serde(default)]
    attack: Option<String>,
    split: String,
}

/// Reads manifests: CSV with a header, or JSON Lines (`.jsonl`, `.jsonl.zst`).
///
/// Columns: `path` (relative to the manifest) or `text`; `label` (`real`, `bonafide`, `human` | `ai`, `fake`, `spoof`);
/// `group`; `repo` (what it was published with) and `domain` (what it is about); `generator` or `system`; `language` or `lang`; `split` (`train` | `dev`; other splits are left out). A text
/// without `group` is grouped by generator, or by domain when a human wrote it. Texts with an `attack` are left out.
///
/// # Errors
/// Names the file and the row.
pub fn read(paths: &[PathBuf], exclude: &[String]) -> Result<Vec<Item>> {
    let mut items = Vec::new();
    for path in paths {
        for (number, row) in rows(path)?.into_iter().enumerate() {
            let wrong = |what: String| Error::config(path, format!("row {}: {what}", number + 1));
            if row.attack.as_deref().is_some_and(|a| !a.is_empty() && a != "none") {
                continue;
            }
            let fabricated = match row.label.as_str() {
                "real" | "bonafide" | "human" => false,
                "ai" | "fake" | "spoof" => true,
                other => return Err(wrong(format!("unknown label \"{other}\""))),
            };
            let dev = match row.split.as_str() {
                "train" => false,
                "dev" => true,
                _ => continue,
            };
            let generator = if fabricated { row.generator.unwrap_or_default() } else { String::new() };
            let mut group = row.group;
            if group.is_empty() {
                group = if fabricated { generator.clone() } else { row.domain.clone().unwrap_or_default() };
            }
            if exclude.contains(&group) {
                continue;
            }
            let domain = row.domain.as_deref().unwrap_or_default();
            let collection = match (row.repo.as_str(), domain) {
                ("", "") => group.clone(),
                (repo, domain) => format!("{repo}/{domain}"),
            };
            let (source, name) = match row.text {
                Some(text) => (Source::Inline(text), row.id),
                None if row.path.is_empty() => return Err(wrong("neither path nor text".into())),
                None => {
                    let base = path.parent().unwrap_or(Path::new("."));
                    (Source::File(base.join(&row.path)), row.path)
                }
            };
            let language = row.language.unwrap_or_default();
            items.push(Item {
                source,
                name,
                fabricated,
                group,
                collection,
                generator,
                dev,
                language,
                taught: None,
            });
        }
    }
    // An order of its own, so that the order of rows and manifests changes nothing.
    items.sort_by(|a, b| a.name.cmp(&b.name));
    for (dev, fabricated) in [(false, false), (false, true), (true, false), (true, true)] {
        if !items.iter().any(|i| i.dev == dev && i.fabricated == fabricated) {
            let split = if dev { "dev" } else { "train" };
            let class = if fabricated { "machine-made" } else { "genuine" };
            let path = paths.first().cloned().unwrap_or_default();
            return Err(Error::config(path, format!("no {class} item in the {split} split")));
        }
    }
    Ok(items)
}

/// A row of a teacher's scores, such as `candor eval` writes.
#[derive(Debug, Deserialize)]
struct TaughtRow {
    #[serde(alias = "id")]
    path: String,
    score: Option<f64>,
    #[serde(default)]
    condition: String,
}

/// Gives the training items the scores of a teacher: a CSV file with the columns `path` (the item's name) and `score` (a
/// logit, positive for machine-made). Of a file with a column `condition`, the rows of `clean` count. Items without a
/// score keep their label alone; returns how many have one.
///
/// # Errors
/// Names the file and the row; also when no training item has a score.
pub fn teach(items: &mut [Item], path: &Path, how: &Distillation) -> Result<usize> {
    let file = std::fs::File::open(path).map_err(|e| Error::io(path, e))?;
    let mut scores = BTreeMap::new();
    for row in csv::Reader::from_reader(file).into_deserialize() {
        let row: TaughtRow = row.map_err(|e| Error::config(path, e.to_string()))?;
        if let Some(score) = row.score.filter(|_| row.condition.is_empty() || row.condition == "clean") {
            if !score.is_finite() {
                return Err(Error::config(path, format!("{}: score {score}", row.path)));
            }
            scores.insert(row.path, score);
        }
    }
    let mut found = 0;
    for item in items.iter_mut().filter(|i| !i.dev) {
        let Some(score) = scores.get(&item.name) else { continue };
        let probability = 1.0 / (1.0 + (-score / how.temperature).exp());
        item.taught = Some((probability as f32, how.share as f32));
        found += 1;
    }
    if found == 0 {
        return Err(Error::config(
            path,
            "no training item has a score here; names are those of the manifests",
        ));
    }
    Ok(found)
}

fn rows(path: &Path) -> Result<Vec<Row>> {
    let name = path.to_string_lossy();
    let file = std::fs::File::open(path).map_err(|e| Error::io(path, e))?;
    if name.ends_with(".jsonl.zst") {
        let decoder =
            ruzstd::decoding::StreamingDecoder::new(file).map_err(|e| Error::config(path, e.to_string()))?;
        json_lines(path, BufReader::new(decoder))
    } else if name.ends_with(".jsonl") {
        json_lines(path, BufReader::new(file))
    } else {
        let rows = csv::Reader::from_reader(file).into_deserialize().collect::<std::result::Result<_, _>>();
        rows.map_err(|e| Error::config(path, e.to_string()))
    }
}

fn json_lines(path: &Path, reader: impl BufRead) -> Result<Vec<Row>> {
    reader
        .lines()
        .enumerate()
        .filter(|(_, line)| line.as_ref().map_or(true, |l| !l.trim().is_empty()))
        .map(|(i, line)| {
            let line = line.map_err(|e| Error::io(path, e))?;
            serde_json::from_str(&line).map_err(|e| Error::config(path, format!("line {}: {e}", i + 1)))
        })
        .collect()
}

/// SHA-256 over names, labels, groups, splits and contents of all items.
pub fn digest(items: &[Item]) -> Result<String> {
    let parts: Vec<[u8; 32]> = items
        .par_iter()
        .map(|item| {
            let facts = format!("{}\0{}\0{}\0{}\0", item.name, item.fabricated, item.group, item.dev);
            Ok(Sha256::new()
                .chain_update(facts)
                .chain_update(Sha256::digest(item.bytes()?))
                .finalize()
                .into())
        })
        .collect::<Result<_>>()?;
    Ok(hex(&Sha256::digest(parts.concat())))
}

/// Items of each class and split, for the log and the card.
pub fn summary(items: &[Item]) -> BTreeMap<&'static str, [usize; 2]> {
    let mut out = BTreeMap::from([("dev", [0; 2]), ("train", [0; 2])]);
    for item in items {
        if let Some(counts) = out.get_mut(if item.dev { "dev" } else { "train" }) {
            counts[usize::from(item.fabricated)] += 1;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(name: &str, content: &str) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        std::fs::write(&path, content).unwrap();
        (dir, path)
    }

    const CSV: &str = "path,label,group,system,split,extra\nb.png,ai,g2,Gen,train,1\na.png,real,g1,human,train,2\n\
                       c.png,real,g1,human,dev,3\nd.png,spoof,g2,Gen,dev,4\ne.png,ai,g3,Gen,test,5\n";

    #[test]
    fn reads_csv_and_sorts() {
        let (dir, path) = write("m.csv", CSV);
        let items = read(&[path], &[]).unwrap();
        assert_eq!(
            items.iter().map(|i| i.name.as_str()).collect::<Vec<_>>(),
            ["a.png", "b.png", "c.png", "d.png"]
        );
        assert_eq!(items[1].generator, "Gen");
        assert_eq!((items[0].generator.as_str(), items[0].collection.as_str()), ("", "g1"));
        assert_eq!(items[0].source, Source::File(dir.path().join("a.png")));
        assert_eq!(summary(&items)["train"], [1, 1]);
    }

    #[test]
    fn reads_json_lines_and_skips_attacks() {
        let (_dir, path) = write(
            "m.jsonl",
            r#"{"id":"1","label":"human","text":"a","lang":"en","domain":"news","generator":null,"attack":null,"source":"s","split":"train"}
{"id":"2","label":"ai","text":"b","lang":"en","domain":"news","generator":"x","attack":"none","source":"s","split":"train"}
{"id":"3","label":"human","text":"c","lang":"zh","domain":"news","generator":null,"attack":null,"source":"s","split":"dev"}
{"id":"4","label":"ai","text":"d","lang":"en","domain":"news","generator":"x","attack":null,"source":"s","split":"dev"}
{"id":"5","label":"ai","text":"e","lang":"en","domain":"news","generator":"x","attack":"homoglyph","source":"s","split":"dev"}
"#,
        );
        let items = read(&[path], &[]).unwrap();
        assert_eq!(items.len(), 4);
        assert_eq!((items[0].group.as_str(), items[1].group.as_str()), ("news", "x"));
        assert_ne!(digest(&items).unwrap(), digest(&items[..3]).unwrap());
    }

    #[test]
    fn errors_name_the_place() {
        let (_dir, path) = write("m.csv", &CSV.replace("spoof", "perhaps"));
        let err = read(std::slice::from_ref(&path), &[]).unwrap_err().to_string();
        assert!(err.contains("row 4") && err.contains("perhaps") && err.contains("m.csv"), "{err}");
        let (_dir, path) = write("m.csv", &CSV.replace("dev", "test"));
        assert!(read(&[path], &[]).unwrap_err().to_string().contains("dev split"));
    }
}

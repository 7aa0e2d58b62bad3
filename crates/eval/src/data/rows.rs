//! From the rows of tables to items.

use std::{
    collections::{BTreeMap, HashSet},
    hash::{DefaultHasher, Hash, Hasher},
    path::{Path, PathBuf},
    sync::Arc,
};

use serde_json::Value;

use super::{
    Inline, Item, Items, Label, Layout,
    table::{self, Row},
};
use crate::{Error, Result};

/// The layout of a table by the columns of a row.
pub(super) fn layout(row: &Row) -> Option<Layout> {
    let has = |columns: &[&str]| columns.iter().all(|c| row.cells.contains_key(*c));
    if has(&["human_answers", "chatgpt_answers"]) {
        Some(Layout::Hc3)
    } else if has(&["human_text", "machine_text"]) {
        Some(Layout::M4)
    } else if has(&["adv_source_id", "model", "generation"]) {
        Some(Layout::Raid)
    } else if has(&["text", "model", "label", "genre"]) {
        Some(Layout::Pan)
    } else if has(&["text", "model", "label", "source"])
        && row.cells.get("label").is_some_and(Value::is_number)
    {
        Some(Layout::SemEval2024)
    } else if has(&["file", "speaker", "label"]) {
        Some(Layout::InTheWild)
    } else if has(&["label"]) && (has(&["path"]) || has(&["text"])) {
        Some(Layout::Manifest)
    } else {
        None
    }
}

/// The items of tables of one layout, one table after the other.
pub(super) fn items(layout: Layout, root: &Path, tables: Vec<PathBuf>) -> Items {
    let root = root.to_owned();
    // M4 repeats the human text in the file of each model.
    let mut seen = HashSet::new();
    let rows = tables.into_iter().flat_map(move |path| -> Box<dyn Iterator<Item = _> + Send> {
        let name = super::name_within(&root, &path);
        match table::rows(&path) {
            Ok(rows) => {
                let table = Arc::new(Table { layout, path, name });
                Box::new(rows.map(move |row| row.map(|row| (Arc::clone(&table), row))))
            }
            Err(e) => Box::new(std::iter::once(Err(e))),
        }
    });
    Box::new(rows.flat_map(move |row| match row.and_then(|(table, row)| table.items(&row, &mut seen)) {
        Ok(items) => items.into_iter().map(Ok).collect(),
        Err(e) => vec![Err(e)],
    }))
}

/// What the rows of one table have in common.
struct Table {
    layout: Layout,
    path: PathBuf,
    /// Path within the collection.
    name: String,
}

impl Table {
    fn items(&self, row: &Row, seen: &mut HashSet<u64>) -> Result<Vec<Item>> {
        match self.layout {
            Layout::Hc3 => Ok(self.hc3(row)),
            Layout::M4 => Ok(self.m4(row, seen)),
            Layout::Raid => Ok(vec![self.raid(row)?]),
            Layout::Pan if row.cells.contains_key("label") => Ok(vec![self.numbered(row, "genre")?]),
            Layout::Pan => Ok(vec![self.pan24(row)?]),
            Layout::SemEval2024 => Ok(vec![self.numbered(row, "source")?]),
            Layout::InTheWild => Ok(vec![self.in_the_wild(row)?]),
            _ => Ok(vec![self.manifest(row)?]),
        }
    }

    fn wrong(&self, row: &Row, reason: impl Into<String>) -> Error {
        Error::row(&self.path, row.line, reason)
    }

    fn need(&self, row: &Row, column: &str) -> Result<String> {
        row.text(column).ok_or_else(|| self.wrong(row, format!("column \"{column}\" is missing or empty")))
    }

    /// The base name of the table, without its ending.
    fn stem(&self) -> &str {
        let file = self.name.rsplit('/').next().unwrap_or(&self.name);
        file.split('.').next().unwrap_or(file)
    }

    /// A text of this table; machine-made ones are grouped by generator where no other group is given.
    fn inline(&self, row: &Row, name: String, text: String, label: Label, group: String) -> Item {
        Item {
            name,
            path: self.path.clone(),
            label,
            group,
            generator: None,
            split: None,
            text: Some(Inline { text, line: row.line }),
            columns: BTreeMap::new(),
        }
    }

    /// Name of a text without an id.
    fn numbered_name(&self, row: &Row) -> String {
        format!("{}#{}", self.name, row.line)
    }

    /// A question with human answers and machine-made ones.
    fn hc3(&self, row: &Row) -> Vec<Item> {
        let source = row.text("source").unwrap_or_else(|| self.stem().to_owned());
        let answers = [("human_answers", Label::Genuine), ("chatgpt_answers", Label::Fabricated)];
        let of = |(column, label): (&str, Label)| {
            let texts = strings(row.cells.get(column));
            let items = texts.into_iter().enumerate().map(|(i, text)| {
                let name = format!("{}/{column}/{i}", self.numbered_name(row));
                let mut item = self.inline(row, name, text, label, source.clone());
                item.generator = label.is_fabricated().then(|| "ChatGPT".to_owned());
                item.columns.insert("source".into(), source.clone());
                item
            });
            items.collect::<Vec<_>>()
        };
        answers.into_iter().flat_map(of).collect()
    }

    /// Prompt, human text, machine text, model, source.
    fn m4(&self, row: &Row, seen: &mut HashSet<u64>) -> Vec<Item> {
        let source = row.text("source").unwrap_or_else(|| self.stem().to_owned());
        let model = row.text("model").unwrap_or_else(|| self.stem().to_owned());
        let mut items = Vec::new();
        for (column, label) in [("human_text", Label::Genuine), ("machine_text", Label::Fabricated)] {
            for (i, text) in strings(row.cells.get(column)).into_iter().enumerate() {
                let mut hasher = DefaultHasher::new();
                text.hash(&mut hasher);
                if label == Label::Genuine && !seen.insert(hasher.finish()) {
                    continue;
                }
                let name = format!("{}/{column}/{i}", self.numbered_name(row));
                let group = if label.is_fabricated() { &model } else { &source };
                let mut item = self.inline(row, name, text, label, group.clone());
                item.generator = label.is_fabricated().then(|| model.clone());
                item.columns.insert("source".into(), source.clone());
                items.push(item);
            }
        }
        items
    }

    /// RAID: the article that a text derives from is the group, with all its generations and attacks.
    fn raid(&self, row: &Row) -> Result<Item> {
        let (id, model) = (self.need(row, "id")?, self.need(row, "model")?);
        let label = if model == "human" { Label::Genuine } else { Label::Fabricated };
        let text = row.text("generation").unwrap_or_default();
        let group = row.text("source_id").unwrap_or_else(|| id.clone());
        let mut item = self.inline(row, id, text, label, group);
        item.generator = label.is_fabricated().then_some(model);
        item.split = Some(self.stem().split('_').next().unwrap_or_default().to_owned());
        for column in ["decoding", "repetition_penalty", "attack", "domain"] {
            item.columns.extend(row.text(column).map(|v| (column.to_owned(), v)));
        }
        Ok(item)
    }

    /// Text, label 0 for human and above for machine, model, and a column that says where it is from.
    fn numbered(&self, row: &Row, source: &str) -> Result<Item> {
        let label = match self.need(row, "label")?.as_str() {
            "0" => Label::Genuine,
            n if n.parse::<u32>().is_ok() => Label::Fabricated,
            other => {
                return Err(self.wrong(row, format!("label \"{other}\", expected 0 (human) or 1 (machine)")));
            }
        };
        let name = row.text("id").unwrap_or_else(|| self.numbered_name(row));
        let text = self.need(row, "text")?;
        let (model, from) = (row.text("model"), row.text(source));
        let group = if label.is_fabricated() { model.clone() } else { from.clone() };
        let mut item = self.inline(row, name, text, label, group.unwrap_or_default());
        item.generator = model.filter(|_| label.is_fabricated());
        item.split = ["train", "dev", "val", "test"]
            .iter()
            .find(|s| self.stem().contains(*s))
            .map(|s| (*s).to_owned());
        item.columns.extend(from.map(|v| (source.to_owned(), v)));
        Ok(item)
    }

    /// PAN 2024: id and text; `human.jsonl` is genuine, `machines/<model>.jsonl` is not. The topic, which is the middle
    /// part of the id, is the group.
    fn pan24(&self, row: &Row) -> Result<Item> {
        let id = self.need(row, "id")?;
        let label = if self.stem() == "human" { Label::Genuine } else { Label::Fabricated };
        let parts: Vec<&str> = id.split('/').collect();
        let group = if let [_, topic, _] = parts.as_slice() { topic } else { self.stem() }.to_owned();
        let text = self.need(row, "text")?;
        // The same article has one id in all files of some releases.
        let mut item = self.inline(row, format!("{}/{id}", self.stem()), text, label, group);
        item.generator = label.is_fabricated().then(|| self.stem().to_owned());
        Ok(item)
    }

    /// A path relative to the table.
    fn file(&self, path: &str) -> PathBuf {
        self.path.parent().unwrap_or(Path::new("")).join(path)
    }

    fn in_the_wild(&self, row: &Row) -> Result<Item> {
        let (file, label) = (self.need(row, "file")?, self.label(row)?);
        let speaker = self.need(row, "speaker")?;
        Ok(Item {
            path: self.file(&file),
            name: file,
            label,
            group: speaker.clone(),
            generator: None,
            split: None,
            text: None,
            columns: BTreeMap::from([("speaker".to_owned(), speaker)]),
        })
    }

    fn label(&self, row: &Row) -> Result<Label> {
        let word = self.need(row, "label")?;
        Label::from_word(&word).ok_or_else(|| {
            let known = [&Label::GENUINE[..], &Label::FABRICATED[..]].concat().join(", ");
            self.wrong(row, format!("unknown label \"{word}\"; known are {known}"))
        })
    }

    /// The manifests that training reads; see `candor train --help`. Texts with an `attack` stay in, with a column.
    fn manifest(&self, row: &Row) -> Result<Item> {
        let label = self.label(row)?;
        let generator = row.text("generator").or_else(|| row.text("system"));
        let generator = generator.filter(|_| label.is_fabricated());
        let source = if label.is_fabricated() { generator.clone() } else { row.text("domain") };
        let group = row.text("group").or(source).unwrap_or_default();
        let mut item = match (row.text("text"), row.text("path")) {
            (Some(text), _) => {
                let name = row.text("id").unwrap_or_else(|| self.numbered_name(row));
                self.inline(row, name, text, label, group)
            }
            (None, Some(path)) => Item {
                path: self.file(&path),
                name: path,
                label,
                group,
                generator: None,
                split: None,
                text: None,
                columns: BTreeMap::new(),
            },
            (None, None) => return Err(self.wrong(row, "neither \"path\" nor \"text\"")),
        };
        item.generator = generator;
        item.split = row.text("split");
        let taken = ["path", "text", "label", "group", "generator", "system", "split", "id"];
        for (column, value) in row.cells.iter().filter(|(c, _)| !taken.contains(&c.as_str())) {
            item.columns.extend(table::text(value).map(|v| (column.clone(), v)));
        }
        Ok(item)
    }
}

/// A string or a list of them.
fn strings(value: Option<&Value>) -> Vec<String> {
    match value {
        Some(Value::Array(values)) => values.iter().filter_map(table::text).collect(),
        Some(value) => table::text(value).into_iter().collect(),
        None => Vec::new(),
    }
}

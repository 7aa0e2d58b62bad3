//! Labelled collections in their public layouts, read item by item: no file is opened before it is asked for, and of a
//! table one row is held at a time.
//!
//! ```no_run
//! # fn main() -> candor_eval::Result<()> {
//! use candor_eval::data::detect_layout;
//!
//! let path = "ASVspoof5".as_ref();
//! let layout = detect_layout(path)?;
//! println!("{} from {}, {}", layout.name(), layout.home(), layout.licence());
//! for item in layout.items(path)? {
//!     let item = item?;
//!     println!("{} {:?} {}", item.name, item.label, item.group);
//! }
//! # Ok(())
//! # }
//! ```

mod folders;
mod layout;
mod protocol;
mod rows;
mod table;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use candor_metrics::Scored;

use crate::{Error, Result};

pub use layout::{Layout, detect_layout};

/// The items of a collection, in an order that does not change from run to run. After an error in one row the next
/// rows follow.
pub type Items = Box<dyn Iterator<Item = Result<Item>> + Send>;

/// The cells of one column of a table (CSV, Parquet, JSON Lines, plain or under Zstandard), row by row; empty cells are left
/// out.
///
/// # Errors
/// When the file cannot be opened; a row that cannot be read, or lacks the column, is an error of its own.
pub fn column(path: &Path, name: &str) -> Result<impl Iterator<Item = Result<String>> + use<>> {
    let (file, name) = (path.to_owned(), name.to_owned());
    let cell = move |row: Result<table::Row>| {
        let row = match row {
            Ok(row) => row,
            Err(error) => return Some(Err(error)),
        };
        if !row.cells.contains_key(&name) {
            let mut known: Vec<&str> = row.cells.keys().map(String::as_str).collect();
            known.sort_unstable();
            let message = format!("no column \"{name}\"; there are {}", known.join(", "));
            return Some(Err(Error::row(&file, row.line, message)));
        }
        row.text(&name).map(Ok)
    };
    Ok(table::rows(path)?.filter_map(cell))
}

/// What an item is in truth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Label {
    /// Made by people: a photograph, a recording, a text.
    Genuine,
    /// Machine-made.
    Fabricated,
}

impl Label {
    /// Words that stand for genuine in manifests and as names of folders, in lower case.
    pub const GENUINE: [&str; 7] = ["real", "bonafide", "bona-fide", "human", "genuine", "nature", "0_real"];
    /// Words that stand for machine-made.
    pub const FABRICATED: [&str; 6] = ["ai", "fake", "spoof", "machine", "generated", "1_fake"];

    /// The label that a word stands for, in any case.
    pub fn from_word(word: &str) -> Option<Self> {
        let is = |known: &&str| known.eq_ignore_ascii_case(word);
        if Self::GENUINE.iter().any(is) {
            Some(Self::Genuine)
        } else {
            Self::FABRICATED.iter().any(is).then_some(Self::Fabricated)
        }
    }

    /// Whether it is [`Label::Fabricated`].
    pub fn is_fabricated(self) -> bool {
        self == Self::Fabricated
    }
}

/// A text that stands in a row of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inline {
    /// The text.
    pub text: String,
    /// The line of [`Item::path`] that the row begins on, from 1.
    pub line: u64,
}

/// One labelled item. It is judged whole: no layout here has items that are parts of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Its name: the path within the collection with `/` between folders, or the id of a text. Unique in a sound
    /// collection.
    pub name: String,
    /// The file, or the table that holds the text.
    pub path: PathBuf,
    /// What it is.
    pub label: Label,
    /// Source: items with something in common (speaker, attack, generator, article), the unit of the bootstrap.
    pub group: String,
    /// Generator, system or model that made it; `None` for genuine items and where it is not known.
    pub generator: Option<String>,
    /// Part of the collection, in the collection's own word; folders are called `train`, `dev` or `test`.
    pub split: Option<String>,
    /// The text, where a table holds it.
    pub text: Option<Inline>,
    /// Further columns of the collection, to slice by.
    pub columns: BTreeMap<String, String>,
}

impl Item {
    /// The bytes of the item.
    ///
    /// # Errors
    /// When the file can't be read.
    pub fn bytes(&self) -> Result<Vec<u8>> {
        match &self.text {
            Some(inline) => Ok(inline.text.clone().into_bytes()),
            None => std::fs::read(&self.path).map_err(|e| Error::io(&self.path, e)),
        }
    }

    /// The item with a score for the metrics; higher means more likely machine-made.
    pub fn scored(&self, score: f64) -> Scored {
        Scored {
            name: self.name.clone(),
            score,
            fabricated: self.label.is_fabricated(),
            group: self.group.clone(),
        }
    }
}

/// The path within a root, with `/` between folders.
fn name_within(root: &Path, path: &Path) -> String {
    let inner = path.strip_prefix(root).unwrap_or(path);
    let parts: Vec<_> = inner.iter().map(|p| p.to_string_lossy()).collect();
    parts.join("/")
}

//! Verdicts as one self-contained page: an overview, a table to sort and filter, and for every file what was found, how much
//! that weighs, what it does not show, and what it was found with.
//!
//! ```
//! use candor_report::{Item, Language, Report};
//!
//! let scanner = candor::Scanner::new()?;
//! let verdict = scanner.scan_bytes("<b>.txt", b"").verdict;
//! let report = Report { items: vec![Item { verdict, exhibit: None }], cards: Vec::new(), language: Language::English };
//! assert!(report.html().contains("&lt;b&gt;.txt"));
//! # Ok::<(), candor::Error>(())
//! ```

mod item;
mod page;
mod reasons;
mod scale;
mod words;

use candor::{Exhibit, Verdict};
use candor_models::ModelFile;

pub use page::{SCRIPT, STYLE};
pub use scale::{Support, posterior, support};
pub use words::Language;

/// One file of a report.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// What was found.
    pub verdict: Verdict,
    /// What can be shown of it; `None` where the file is not at hand.
    pub exhibit: Option<Exhibit>,
}

/// What a report is made of.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// The files, in the order of the page.
    pub items: Vec<Item>,
    /// Descriptions of the models, for their measured error rates.
    pub cards: Vec<ModelFile>,
    /// Language of the page. Reasons stay in the English that they were written in.
    pub language: Language,
}

impl Report {
    /// The page. It loads nothing, and no script runs in it but its own.
    pub fn html(&self) -> String {
        page::page(self).into_string()
    }

    /// The view of one item alone, for a page that has [`STYLE`] and [`SCRIPT`] already.
    pub fn fragment(&self) -> String {
        let words = self.language.words();
        self.items
            .iter()
            .enumerate()
            .map(|(i, item)| item::item(i, item, self, words).into_string())
            .collect()
    }
}

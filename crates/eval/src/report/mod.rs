//! The report of an evaluation: a self-contained page and a table for the terminal.
//!
//! Both are made from [`ReportData`] alone, and the same data gives the same bytes. Whatever comes from files is
//! escaped. The page asks nothing of the network and can be read without scripts.

pub mod data;
pub mod leaderboard;
mod markdown;
mod number;
mod page;
mod plot;
mod scale;
mod terminal;

pub use data::ReportData;
pub use markdown::markdown;
pub use page::html;
pub use terminal::terminal;

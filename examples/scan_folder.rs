//! Judges the images of a folder in parallel, at a prior of one in ten, and prints JSON Lines.
//!
//! ```text
//! cargo run -p candor --example scan_folder -- photos
//! ```

use std::path::PathBuf;

use candor::{MediaKind, ScanOptions, Scanner};
use rayon::prelude::*;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder: PathBuf = std::env::args_os().nth(1).ok_or("usage: scan_folder FOLDER")?.into();
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(&folder)? {
        let path = entry?.path();
        if path.is_file() {
            paths.push(path);
        }
    }
    paths.sort();

    let options = ScanOptions { prior: 0.1, only: Some(MediaKind::Image), ..ScanOptions::default() };
    let scanner = Scanner::builder().options(options).build()?;
    let verdicts: Vec<_> = paths.par_iter().map(|path| scanner.scan_path(path).verdict).collect();
    for verdict in verdicts.iter().filter(|v| !v.is_skipped()) {
        println!("{}", serde_json::to_string(verdict)?);
    }
    Ok(())
}

//! The layouts that are known, and how one is recognised.

use std::path::{Path, PathBuf};

use super::{Items, folders, protocol, rows, table};
use crate::{Error, Result};

/// A layout of a labelled collection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Layout {
    /// CSV or JSON Lines as `candor train` reads them.
    Manifest,
    /// Folders named after the classes, at any level.
    Folders,
    /// `GenImage` (Zhu et al. 2023).
    GenImage,
    /// `ForenSynths`, the data of `CNNDetection` (Wang et al. 2020).
    ForenSynths,
    /// `AIGCDetectBenchmark` (Zhong et al. 2023).
    AigcDetectBenchmark,
    /// Chameleon (Yan et al. 2025).
    Chameleon,
    /// `WildRF` (Cavia et al. 2024).
    WildRf,
    /// `ASVspoof` 2019, logical access (Todisco et al. 2019).
    AsvSpoof2019La,
    /// `ASVspoof` 2021, logical access (Yamagishi et al. 2021).
    AsvSpoof2021La,
    /// `ASVspoof` 2021, deepfake (Yamagishi et al. 2021).
    AsvSpoof2021Df,
    /// `ASVspoof` 5, track 1 (Wang et al. 2024).
    AsvSpoof5,
    /// In-the-Wild (Müller et al. 2022).
    InTheWild,
    /// `WaveFake` (Frank and Schönherr 2021).
    WaveFake,
    /// Fake-or-Real (Reimao and Tzerpos 2019).
    FakeOrReal,
    /// `HC3` (Guo et al. 2023).
    Hc3,
    /// RAID (Dugan et al. 2024).
    Raid,
    /// `M4` (Wang et al. 2024).
    M4,
    /// `SemEval` 2024 task 8, subtasks A and B.
    SemEval2024,
    /// Ghostbuster (Verma et al. 2024).
    Ghostbuster,
    /// PAN 2024 and 2025, Voight-Kampff (Bevendorff et al. 2024, 2025).
    Pan,
}

impl Layout {
    /// Every layout.
    pub const ALL: [Self; 20] = [
        Self::Manifest,
        Self::Folders,
        Self::GenImage,
        Self::ForenSynths,
        Self::AigcDetectBenchmark,
        Self::Chameleon,
        Self::WildRf,
        Self::AsvSpoof2019La,
        Self::AsvSpoof2021La,
        Self::AsvSpoof2021Df,
        Self::AsvSpoof5,
        Self::InTheWild,
        Self::WaveFake,
        Self::FakeOrReal,
        Self::Hc3,
        Self::Raid,
        Self::M4,
        Self::SemEval2024,
        Self::Ghostbuster,
        Self::Pan,
    ];

    /// Name, home, licence.
    fn facts(self) -> [&'static str; 3] {
        match self {
            Self::Manifest => ["manifest", "your own", "your own"],
            Self::Folders => ["folders by class", "your own", "your own"],
            Self::GenImage => ["GenImage", "https://github.com/GenImage-Dataset/GenImage", "CC BY-NC-SA 4.0"],
            Self::ForenSynths => {
                ["ForenSynths", "https://github.com/PeterWang512/CNNDetection", "CC BY-NC-SA 4.0"]
            }
            Self::AigcDetectBenchmark => {
                ["AIGCDetectBenchmark", "https://github.com/Ekko-zn/AIGCDetectBenchmark", "none stated"]
            }
            Self::Chameleon => {
                ["Chameleon", "https://github.com/shilinyan99/AIDE (on request)", "academic research only"]
            }
            Self::WildRf => [
                "WildRF",
                "https://github.com/barcavia/RealTime-DeepfakeDetection-in-the-RealWorld",
                "none stated",
            ],
            Self::AsvSpoof2019La => {
                ["ASVspoof 2019 LA", "https://datashare.ed.ac.uk/handle/10283/3336", "ODC-By 1.0"]
            }
            Self::AsvSpoof2021La => [
                "ASVspoof 2021 LA",
                "https://zenodo.org/records/4837263, keys from https://www.asvspoof.org/index2021.html",
                "ODC-By 1.0",
            ],
            Self::AsvSpoof2021Df => [
                "ASVspoof 2021 DF",
                "https://zenodo.org/records/4835108, keys from https://www.asvspoof.org/index2021.html",
                "ODC-By 1.0",
            ],
            Self::AsvSpoof5 => [
                "ASVspoof 5",
                "https://zenodo.org/records/14498691",
                "ODC-By 1.0, bona fide speech CC BY 4.0",
            ],
            Self::InTheWild => {
                ["In-the-Wild", "https://deepfake-total.com/in_the_wild", "see the download page"]
            }
            Self::WaveFake => ["WaveFake", "https://zenodo.org/records/5642694", "CC BY-SA 4.0"],
            Self::FakeOrReal => {
                ["Fake-or-Real", "https://bil.eecs.yorku.ca/datasets/", "see the download page"]
            }
            Self::Hc3 => [
                "HC3",
                "https://huggingface.co/datasets/Hello-SimpleAI/HC3",
                "CC BY-SA 4.0, stricter where a source is",
            ],
            Self::Raid => ["RAID", "https://github.com/liamdugan/raid", "MIT"],
            Self::M4 => ["M4", "https://github.com/mbzuai-nlp/M4", "see the repository"],
            Self::SemEval2024 => [
                "SemEval-2024 task 8",
                "https://github.com/mbzuai-nlp/SemEval2024-task8",
                "Apache-2.0 for the repository, none stated for the texts",
            ],
            Self::Ghostbuster => {
                ["Ghostbuster", "https://github.com/vivek3141/ghostbuster-data", "CC BY 3.0"]
            }
            Self::Pan => [
                "PAN Voight-Kampff",
                "https://zenodo.org/records/14962653 (on request)",
                "research only, copyrighted texts",
            ],
        }
    }

    /// What the collection is called.
    pub fn name(self) -> &'static str {
        let [name, ..] = self.facts();
        name
    }

    /// Where a user gets it.
    pub fn home(self) -> &'static str {
        let [_, home, _] = self.facts();
        home
    }

    /// Its licence as its home states it.
    pub fn licence(self) -> &'static str {
        let [.., licence] = self.facts();
        licence
    }

    /// The items at a path, which is the one that [`detect_layout`] was asked about.
    ///
    /// # Errors
    /// When the path can't be read, or misses a part that the layout needs. Errors of single rows come with the items.
    pub fn items(self, path: &Path) -> Result<Items> {
        match self {
            Self::AsvSpoof2019La | Self::AsvSpoof2021La | Self::AsvSpoof2021Df | Self::AsvSpoof5 => {
                protocol::items(self, path)
            }
            Self::Manifest
            | Self::InTheWild
            | Self::Hc3
            | Self::Raid
            | Self::M4
            | Self::SemEval2024
            | Self::Pan => {
                let tables = self.tables(path)?;
                // Names are relative to the folder that was asked about, or that the table is in.
                let root = if path.is_dir() { path } else { path.parent().unwrap_or(path) };
                Ok(rows::items(self, root, tables))
            }
            _ => Ok(folders::items(self, path)),
        }
    }

    /// The tables of this layout at a path, each text once: where a release has a table of everything beside its parts,
    /// that one alone.
    fn tables(self, path: &Path) -> Result<Vec<PathBuf>> {
        if path.is_file() {
            return Ok(vec![path.to_owned()]);
        }
        if self == Self::Pan && is_pan24(path) {
            let mut tables = folders::tables(&path.join("machines"))?;
            tables.insert(0, path.join("human.jsonl"));
            return Ok(tables);
        }
        let mut tables = folders::tables(path)?;
        tables.retain(|t| of_table(t).is_ok_and(|l| l == Some(self)));
        let is = |t: &Path, name: &str| t.file_name().is_some_and(|n| n == name);
        if self == Self::Hc3 && tables.iter().any(|t| is(t, "all.jsonl")) {
            tables.retain(|t| is(t, "all.jsonl"));
        }
        if self == Self::Raid {
            // train_none.csv is the part of train.csv without attacks.
            let whole = tables.clone();
            let name = |t: &Path| t.file_name().unwrap_or_default().to_string_lossy().replace("_none.", ".");
            tables.retain(|t| !whole.iter().any(|w| w != t && is(w, &name(t))));
        }
        Ok(tables)
    }
}

fn is_pan24(path: &Path) -> bool {
    path.join("human.jsonl").is_file() && path.join("machines").is_dir()
}

/// The layout of a table by its first row.
fn of_table(path: &Path) -> Result<Option<Layout>> {
    table::rows(path)?.next().transpose().map(|row| row.as_ref().and_then(rows::layout))
}

/// Recognises the layout of a file or folder by its own files: protocols, then tables, then names of folders.
///
/// # Errors
/// When nothing fits; the message lists what was looked for.
pub fn detect_layout(path: &Path) -> Result<Layout> {
    let kind = std::fs::metadata(path).map_err(|e| Error::io(path, e))?;
    if kind.is_file() {
        let found = if table::is_table(path) { of_table(path)? } else { protocol::layout(path) };
        return found.ok_or_else(|| Error::Layout {
            path: path.to_owned(),
            looked_for: "a table (.csv, .jsonl, .jsonl.zst) with the columns label and path or text of a manifest, or \
                         those of HC3, M4, SemEval-2024 task 8, PAN, RAID or In-the-Wild; a protocol of ASVspoof 2019 \
                         LA, 2021 LA, 2021 DF or 5"
                .into(),
        });
    }
    if let Some(layout) = protocol::find(path).protocols.iter().find_map(|p| protocol::layout(p)) {
        return Ok(layout);
    }
    if is_pan24(path) {
        return Ok(Layout::Pan);
    }
    for table in folders::tables(path)? {
        // A damaged table beside a collection does not hide it.
        if let Ok(Some(layout)) = of_table(&table) {
            return Ok(layout);
        }
    }
    folders::layout(path).ok_or_else(|| Error::Layout {
        path: path.to_owned(),
        looked_for: "protocols of ASVspoof (ASVspoof2019.LA.cm.*.txt, trial_metadata.txt, ASVspoof5.*.tsv); tables \
                     (.csv, .jsonl, .jsonl.zst) with the columns of a manifest, In-the-Wild, HC3, M4, SemEval-2024 \
                     task 8, PAN or RAID; human.jsonl and machines (PAN 2024); ljspeech_* (WaveFake); essay, reuter, \
                     wp (Ghostbuster); folders called real, bonafide, human, genuine, nature or 0_real and ai, fake, \
                     spoof, machine, generated or 1_fake"
            .into(),
    })
}

//! Collections whose folders say what the files are.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use walkdir::{DirEntry, WalkDir};

use super::{Item, Items, Label, Layout, name_within};
use crate::{Error, Result};

/// Endings of files that are items.
const MEDIA: [&str; 30] = [
    "jpg", "jpeg", "png", "webp", "gif", "tif", "tiff", "bmp", "wav", "flac", "mp3", "ogg", "oga", "opus",
    "m4a", "aac", "mp4", "aif", "aiff", "caf", "mka", "mkv", "webm", "weba", "txt", "md", "html", "htm",
    "jfif", "mpga",
];

/// Whether a folder of this name holds the items of one class.
pub(super) fn is_class(name: &str) -> bool {
    Label::from_word(name).is_some()
}

/// The class of a folder in a layout.
fn class(layout: Layout, name: &str) -> Option<Label> {
    match layout {
        Layout::Ghostbuster if name.starts_with("gpt") || name.starts_with("claude") => {
            Some(Label::Fabricated)
        }
        Layout::Ghostbuster => (name == "human").then_some(Label::Genuine),
        Layout::WaveFake if is_wavefake(name) => Some(Label::Fabricated),
        Layout::WaveFake => {
            let name = name.to_lowercase();
            (name.starts_with("ljspeech") || name.starts_with("jsut")).then_some(Label::Genuine)
        }
        _ => Label::from_word(name),
    }
}

/// Whether a folder is one of `WaveFake`'s, named after its corpus and vocoder.
fn is_wavefake(name: &str) -> bool {
    let corpus = ["ljspeech_", "jsut_", "common_voices_prompts_"].iter().any(|p| name.starts_with(p));
    corpus && !name.contains("real") && !name.starts_with("jsut_ver")
}

/// The part of a collection that a folder stands for.
fn split(name: &str) -> Option<&'static str> {
    match name.to_lowercase().as_str() {
        "train" | "training" => Some("train"),
        "val" | "valid" | "validation" | "dev" => Some("dev"),
        "test" | "testing" | "eval" => Some("test"),
        _ => None,
    }
}

/// Names of `ForenSynths`' test folders.
const FORENSYNTHS: [&str; 13] = [
    "progan",
    "stylegan",
    "biggan",
    "cyclegan",
    "stargan",
    "gaugan",
    "crn",
    "imle",
    "seeingdark",
    "san",
    "deepfake",
    "stylegan2",
    "whichfaceisreal",
];
/// Names that `AIGCDetectBenchmark` adds to those.
const DIFFUSION: [&str; 8] = [
    "adm",
    "glide",
    "midjourney",
    "stable_diffusion_v_1_4",
    "stable_diffusion_v_1_5",
    "vqdm",
    "wukong",
    "dalle2",
];

/// The layout of a folder by the folders in it.
pub(super) fn layout(root: &Path) -> Option<Layout> {
    let domains = ["essay", "reuter", "wp"];
    if domains.iter().filter(|d| root.join(d).join("human").is_dir()).count() > 1 {
        return Some(Layout::Ghostbuster);
    }
    let own = root.canonicalize().unwrap_or_else(|_| root.to_owned());
    let own = own.file_name().map(|n| n.to_string_lossy().to_lowercase()).unwrap_or_default();
    // Paths of the folders of a class, in lower case, below the name of the root.
    let mut found: Vec<Vec<String>> = Vec::new();
    let mut walk =
        WalkDir::new(root).min_depth(1).max_depth(6).follow_links(true).sort_by_file_name().into_iter();
    while let Some(entry) = walk.next() {
        let Ok(entry) = entry else { continue };
        if !entry.file_type().is_dir() {
            continue;
        }
        let name = entry.file_name().to_string_lossy();
        if is_wavefake(&name) {
            return Some(Layout::WaveFake);
        }
        if is_class(&name) {
            let inner = name_within(root, entry.path()).to_lowercase();
            found.push(std::iter::once(own.clone()).chain(inner.split('/').map(str::to_owned)).collect());
            walk.skip_current_dir();
        }
    }
    let last = |word: &str| found.iter().any(|p| p.last().is_some_and(|l| l == word));
    let any = |words: &[&str]| found.iter().flatten().any(|part| words.contains(&part.as_str()));
    let of_for =
        |part: &String| ["for-norm", "for-2sec", "for-orig", "for-rerec"].iter().any(|p| part.starts_with(p));
    Some(if last("ai") && last("nature") {
        Layout::GenImage
    } else if last("0_real") && last("1_fake") {
        if any(&["reddit", "twitter", "facebook"]) {
            Layout::WildRf
        } else if any(&["chameleon"]) {
            Layout::Chameleon
        } else if any(&DIFFUSION) {
            Layout::AigcDetectBenchmark
        } else if any(&FORENSYNTHS) {
            Layout::ForenSynths
        } else {
            Layout::Folders
        }
    } else if found.iter().flatten().any(of_for)
        || (any(&["training"]) && any(&["testing"]) && any(&["validation"]))
    {
        Layout::FakeOrReal
    } else if found.is_empty() {
        return None;
    } else {
        Layout::Folders
    })
}

/// The items of a folder.
pub(super) fn items(layout: Layout, root: &Path) -> Items {
    // Ghostbuster keeps what its authors computed beside the texts.
    let aside = move |e: &DirEntry| {
        let name = e.file_name().to_string_lossy();
        let hidden = name.starts_with('.') && e.depth() > 0;
        hidden
            || (layout == Layout::Ghostbuster
                && ["logprobs", "headlines", "prompts"].contains(&name.as_ref()))
    };
    let walk = WalkDir::new(root).follow_links(true).sort_by_file_name().into_iter();
    let walk = walk.filter_entry(move |e| !aside(e));
    let root = root.to_owned();
    Box::new(walk.filter_map(move |entry| match entry {
        Ok(entry) if entry.file_type().is_dir() => None,
        Ok(entry) => item(layout, &root, entry.into_path()).map(Ok),
        Err(e) => {
            let path = e.path().unwrap_or(&root).to_owned();
            Some(Err(walk_error(path, e)))
        }
    }))
}

fn walk_error(path: PathBuf, error: walkdir::Error) -> Error {
    let reason = error.to_string();
    match error.into_io_error() {
        Some(source) => Error::io(path, source),
        None => Error::file(path, reason),
    }
}

/// A file as an item; `None` when it is no media file or under no folder of a class.
fn item(layout: Layout, root: &Path, path: PathBuf) -> Option<Item> {
    let ending = path.extension()?.to_string_lossy().to_lowercase();
    if !MEDIA.contains(&ending.as_str()) {
        return None;
    }
    let name = name_within(root, &path);
    let mut folders: Vec<&str> = name.split('/').collect();
    folders.pop();
    // The innermost folder of a class decides.
    let place = folders.iter().rposition(|f| class(layout, f).is_some())?;
    let of_class = folders.remove(place);
    let label = class(layout, of_class)?;
    let split_word = folders.iter().rev().find_map(|f| split(f));
    folders.retain(|f| split(f).is_none());
    if layout == Layout::WaveFake {
        folders.clear();
    }
    let own = || root.file_name().map(|n| n.to_string_lossy().into_owned());
    let first = || folders.first().map(|f| (*f).to_owned()).or_else(own);
    let generator = match layout {
        Layout::GenImage | Layout::ForenSynths | Layout::AigcDetectBenchmark => first(),
        Layout::Ghostbuster | Layout::WaveFake => Some(of_class.to_owned()),
        _ => None,
    };
    let folder = folders.join("/");
    let group = match layout {
        // All genuine images are ImageNet's.
        Layout::GenImage if label == Label::Genuine => "ImageNet".to_owned(),
        Layout::GenImage => generator.clone().unwrap_or_default(),
        _ if folder.is_empty() => of_class.to_owned(),
        _ => folder.clone(),
    };
    let columns =
        if folder.is_empty() { BTreeMap::new() } else { BTreeMap::from([("folder".to_owned(), folder)]) };
    Some(Item {
        path,
        label,
        group,
        generator: generator.filter(|_| label.is_fabricated()),
        split: split_word.map(str::to_owned),
        text: None,
        columns,
        name,
    })
}

/// The tables of a folder, sorted by name.
pub(super) fn tables(root: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(root).map_err(|e| Error::io(root, e))?;
    let mut tables = Vec::new();
    for entry in entries {
        let path = entry.map_err(|e| Error::io(root, e))?.path();
        if super::table::is_table(&path) && path.is_file() {
            tables.push(path);
        }
    }
    tables.sort();
    Ok(tables)
}

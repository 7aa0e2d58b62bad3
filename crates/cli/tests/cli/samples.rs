//! The sample files through the built-in models.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::util;

fn samples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../datasets/samples")
}

fn scan(arguments: &[&str]) -> Vec<u8> {
    let mut command = util::candor(&samples());
    command.args(["scan", "--quiet", "."]).args(arguments).assert().success().get_output().stdout.clone()
}

#[test]
fn every_sample_is_judged_by_a_built_in_model() {
    let lines = scan(&["--format", "jsonl"]);
    let mut kinds = BTreeSet::new();
    for line in String::from_utf8(lines).unwrap().lines() {
        let verdict: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(verdict["error"].is_null(), "{line}");
        let model = verdict["models"][0]["id"].as_str().unwrap_or_default().to_owned();
        let kind = verdict["media"]["kind"].as_str().unwrap_or_default().to_owned();
        assert!(model.starts_with(&kind) && !kind.is_empty(), "{line}");
        assert!(verdict["reasons"].as_array().is_some_and(|r| !r.is_empty()), "{line}");
        kinds.insert(kind);
    }
    assert_eq!(kinds.len(), 3);
}

#[test]
fn the_number_of_jobs_changes_nothing() {
    let (one, two) =
        (scan(&["--format", "jsonl", "--jobs", "1"]), scan(&["--format", "jsonl", "--jobs", "2"]));
    assert_eq!(util::redact(&one), util::redact(&two));
    assert_eq!(util::redact(&one), util::redact(&scan(&["--format", "jsonl", "--jobs", "1"])));
}

#[test]
fn explanations_are_written_for_every_kind() {
    let folder = tempfile::tempdir().unwrap();
    scan(&["--explain", folder.path().to_str().unwrap()]);
    let mut endings = BTreeSet::new();
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let path = entry.unwrap().path();
        assert!(std::fs::metadata(&path).unwrap().len() > 500, "{path:?}");
        endings.insert(path.extension().unwrap_or_default().to_string_lossy().into_owned());
    }
    assert_eq!(endings, BTreeSet::from(["html", "png", "svg"].map(str::to_owned)));
}

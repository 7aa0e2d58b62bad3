//! `candor label`: what it writes, what it refuses, and that nothing else changes.

use std::fs;
use std::path::Path;

use predicates::prelude::*;
use predicates::str::contains;

use crate::util::candor;

const SAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../datasets/samples");

fn json(folder: &Path, args: &[&str]) -> Vec<serde_json::Value> {
    let done = candor(folder).args(args).output().unwrap();
    let text = String::from_utf8(done.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn decoded(path: &Path) -> candor_features::Media {
    candor_features::decode(&fs::read(path).unwrap(), &candor_features::Limits::default()).unwrap()
}

#[test]
fn a_label_is_read_back_and_the_content_stays() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["rocket.jpg", "ferry.mp3", "numbers.wav", "go-forward.flac"] {
        let path = dir.path().join(name);
        fs::copy(Path::new(SAMPLES).join(name), &path).unwrap();
        let before = decoded(&path);
        candor(dir.path())
            .args(["label", "--label", "1", "--producer", "A Service", "--produce-id", "7", name])
            .assert()
            .success()
            .stdout(contains("labelled 1").and(contains(name)));
        let found = &json(dir.path(), &["inspect", "-f", "json", name])[0]["statements"][0];
        assert_eq!((&found["id"], &found["says"]), (&"china-aigc".into(), &"ai".into()), "{found}");
        match (before, decoded(&path)) {
            (candor_features::Media::Image(a), candor_features::Media::Image(b)) => assert!(a.rgb == b.rgb),
            (candor_features::Media::Audio(a), candor_features::Media::Audio(b)) => {
                assert!(a.samples == b.samples, "{name}");
            }
            _ => panic!("{name} changed its kind"),
        }
        // Never two labels, and never another one unasked.
        let labelled = fs::read(&path).unwrap();
        candor(dir.path())
            .args(["label", "--label", "3", "--propagator", "Other", name])
            .assert()
            .success()
            .stdout(contains("left").and(contains("--replace")));
        assert!(fs::read(&path).unwrap() == labelled);
        candor(dir.path())
            .args(["label", "--label", "3", "--propagator", "Other", "--replace", name])
            .assert()
            .success();
        let found = json(dir.path(), &["inspect", "-f", "json", name]);
        assert_eq!(found[0]["statements"][0]["says"], "ai-suspected", "{found:?}");
    }
}

#[test]
fn verdicts_call_for_labels() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["tides.txt", "baltimore.txt"] {
        fs::copy(Path::new(SAMPLES).join(name), dir.path().join(name.replace(".txt", ".md"))).unwrap();
    }
    fs::copy(Path::new(SAMPLES).join("cat.jpg"), dir.path().join("cat.jpg")).unwrap();
    candor(dir.path())
        .args(["label", "--label", "1", "--producer", "A", "cat.jpg", "-o", "declared.jpg"])
        .assert()
        .success();
    let scanned = candor(dir.path()).args(["scan", "-q", "-f", "jsonl", "."]).output().unwrap().stdout;
    fs::write(dir.path().join("verdicts.jsonl"), &scanned).unwrap();
    let label = ["label", "--from", "verdicts.jsonl", "--propagator", "P", "-f", "json"];
    let before = fs::read(dir.path().join("tides.md")).unwrap();
    let dry = json(dir.path(), &[&label[..], &["--dry-run"]].concat());
    assert!(fs::read(dir.path().join("tides.md")).unwrap() == before);
    let done = json(dir.path(), &label);
    let of = |rows: &[serde_json::Value], name: &str| {
        rows.iter().find(|r| r["path"].as_str().unwrap().ends_with(name)).cloned().unwrap()
    };
    for rows in [&dry, &done] {
        assert_eq!(of(rows, "tides.md")["label"], 3, "{rows:?}");
        assert_eq!(of(rows, "baltimore.md")["outcome"], "left");
        assert!(of(rows, "declared.jpg")["reason"].as_str().unwrap().contains("already"));
    }
    assert_eq!(
        (&of(&dry, "tides.md")["written"], &of(&done, "tides.md")["written"]),
        (&false.into(), &true.into())
    );
    let marked = fs::read_to_string(dir.path().join("tides.md")).unwrap();
    assert!(
        marked.starts_with("---\n") && marked.ends_with(std::str::from_utf8(&before).unwrap()),
        "{marked}"
    );
    // The files are no longer those of the verdicts.
    let again = candor(dir.path()).args(label).assert().code(3);
    let text = String::from_utf8(again.get_output().stdout.clone()).unwrap();
    assert!(text.contains("changed after it was scanned"), "{text}");
}

#[test]
fn mistakes_change_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("cat.jpg");
    fs::copy(Path::new(SAMPLES).join("cat.jpg"), &path).unwrap();
    fs::write(dir.path().join("song.xyz"), [0, 1, 2, 3]).unwrap();
    let before = fs::read(&path).unwrap();
    for (args, code, words) in [
        (&["label", "cat.jpg", "--label", "1"][..], 2, "--producer"),
        (&["label", "cat.jpg", "--producer", "A"][..], 2, "--label"),
        (&["label", "cat.jpg", "--label", "4", "--producer", "A"][..], 2, "1..=3"),
        (&["label", "cat.jpg", "--label", "1", "--producer", "\u{4e2d}"][..], 1, "ASCII"),
        (&["label", "none.jpg", "--label", "1", "--producer", "A"][..], 3, "none.jpg"),
        (&["label", "song.xyz", "--label", "1", "--producer", "A"][..], 3, "cannot be labelled"),
        (&["label", "--from", "cat.jpg", "--producer", "A"][..], 1, "cat.jpg"),
    ] {
        let done = candor(dir.path()).args(args).assert().code(code);
        let out = done.get_output();
        let text = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
        assert!(text.contains(words), "{args:?}: {text}");
    }
    assert!(fs::read(&path).unwrap() == before);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "no file is left behind");
}

//! `candor model` on the embedded models and on damaged files.

use std::fs;
use std::path::Path;

use predicates::prelude::*;
use predicates::str::contains;

use crate::util::candor;

fn output(args: &[&str]) -> String {
    let done = candor(Path::new(".")).arg("model").args(args).assert().success();
    String::from_utf8(done.get_output().stdout.clone()).unwrap()
}

#[test]
fn every_embedded_model_is_listed_verified_and_shown() {
    let list = output(&["list", "--format", "json"]);
    let verified = output(&["verify"]);
    assert!(list.lines().count() >= 3, "{list}");
    assert_eq!(list.lines().count(), verified.lines().count());
    for line in list.lines() {
        let model: serde_json::Value = serde_json::from_str(line).unwrap();
        let (id, sha256) = (model["id"].as_str().unwrap(), model["sha256"].as_str().unwrap());
        assert!(verified.contains(&format!("ok      {sha256}  {id}")), "{verified}");
        let shown = output(&["show", id]);
        assert!(shown.starts_with(id) && shown.contains(sha256) && shown.contains("AUROC"), "{shown}");
    }
    candor(Path::new("."))
        .args(["model", "show", "image/none"])
        .assert()
        .failure()
        .stderr(contains("there is no model \"image/none\"").and(contains("text/ngram")));
}

#[test]
fn an_exported_model_is_the_same_model_and_damage_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().to_str().unwrap();
    let text = dir.path().join("tides.txt");
    fs::copy(concat!(env!("CARGO_MANIFEST_DIR"), "/../../datasets/samples/tides.txt"), &text).unwrap();
    let score = |weights: &[&str]| {
        let args = [&["scan", "-q", "-f", "jsonl", text.to_str().unwrap()], weights].concat();
        let done = candor(dir.path()).args(args).assert().success();
        let verdict: serde_json::Value = serde_json::from_slice(&done.get_output().stdout).unwrap();
        verdict["signals"][0]["score"].as_f64().unwrap()
    };
    for dtype in ["f16", "f32"] {
        // One of a file, and one that shares files with others.
        for id in ["text/ngram", "text/best"] {
            let _ = fs::remove_dir_all(dir.path().join("text"));
            output(&["export", id, "-o", folder, "--dtype", dtype]);
            output(&["verify", "--weights", folder]);
            let (own, exported) = (score(&["--model", id]), score(&["--weights", folder, "--model", id]));
            assert!((own - exported).abs() < 1e-12, "{id} {dtype}");
        }
    }
    fs::remove_dir_all(dir.path().join("text")).unwrap();
    output(&["export", "text/ngram", "-o", folder]);
    let weights = dir.path().join("text/ngram.safetensors");
    let mut bytes = fs::read(&weights).unwrap();
    let description = fs::read_to_string(dir.path().join("text/ngram.toml")).unwrap();
    assert!(description.contains(&candor_models::sha256(&bytes)));
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&weights, bytes).unwrap();
    candor(Path::new("."))
        .args(["model", "verify", "--weights", folder])
        .assert()
        .failure()
        .stdout(contains("FAILED").and(contains("SHA-256")));
}

#[test]
fn a_file_that_is_no_checkpoint_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out.safetensors");
    let legacy = [0x80, 2, 0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, b'.'];
    let bombs: [(&str, &[u8]); 4] = [
        ("empty.pth", b""),
        ("text.pth", b"not a checkpoint"),
        ("cut.pth", &legacy),
        ("noise.pth", &[&legacy[..], &[0x80, 2, b'}', b'q', 1, 0xff, b'.'][..]].concat()),
    ];
    for (name, bytes) in bombs {
        let file = dir.path().join(name);
        fs::write(&file, bytes).unwrap();
        candor(dir.path())
            .args(["model", "import", "efficientnet-lite0", name, "-o", out.to_str().unwrap()])
            .assert()
            .failure()
            .stderr(contains(name));
        assert!(!out.exists());
    }
}

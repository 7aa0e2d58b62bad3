//! `candor report`, `candor evidence` and `candor compare`.

use std::fs;
use std::path::{Path, PathBuf};

use rand::{RngExt, SeedableRng};
use serde_json::Value;

use crate::util::candor;

fn sample(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../datasets/samples").join(name)
}

/// A folder with a picture, a recording and a text, one of them with a hostile name.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (from, to) in [
        ("cat.jpg", "cat.jpg"),
        ("go-forward.flac", "voice.flac"),
        ("tides.txt", "<img src=x onerror=alert(1)>.txt"),
    ] {
        fs::copy(sample(from), folder.path().join(to)).unwrap();
    }
    folder
}

fn text(assert: &assert_cmd::assert::Assert) -> String {
    String::from_utf8(assert.get_output().stdout.clone()).unwrap()
}

#[test]
fn a_scan_and_its_verdicts_give_the_same_page() {
    let folder = folder();
    let root = folder.path();
    candor(root).args(["scan", "cat.jpg", "-q", "--report", "missing/folder.html"]).assert().code(1);
    // A device is written to and stays one.
    #[cfg(unix)]
    {
        candor(root).args(["scan", "cat.jpg", "-q", "--report", "/dev/null"]).assert().code(0);
        assert!(!Path::new("/dev/null").is_file());
    }
    // Beside the folder, so that the page is not among the files.
    let aside = tempfile::tempdir().unwrap();
    let page = aside.path().join("scan.html");
    let verdicts =
        candor(root).args(["scan", ".", "-f", "jsonl", "-q", "--report"]).arg(&page).assert().code(0);
    let first = fs::read_to_string(&page).unwrap();
    fs::write(root.join("v.jsonl"), verdicts.get_output().stdout.clone()).unwrap();
    candor(root).args(["report", "v.jsonl", "-o", "r.html", "-q"]).assert().code(0);
    assert_eq!(fs::read_to_string(root.join("r.html")).unwrap(), first);
    for part in ["data:image/jpeg", "data:image/png", "data:audio/wav", "data:image/svg+xml", "<mark class="]
    {
        assert!(first.contains(part), "{part}");
    }
    assert!(!first.contains("<img src=x"));

    // A file that changed is not shown as the one that was judged.
    fs::write(root.join("cat.jpg"), fs::read(sample("fish.jpg")).unwrap()).unwrap();
    candor(root).args(["report", "v.jsonl", "-o", "changed.html", "-q", "--lang", "zh"]).assert().code(0);
    let changed = fs::read_to_string(root.join("changed.html")).unwrap();
    assert!(changed.contains("is not the one that was judged") && changed.contains("似然比"));
    assert!(!changed.contains("data:image/jpeg"));
    // The reasons, too, are in its language.
    for (english, chinese) in [("network score", "网络得分"), ("times as likely", "得到这一得分的可能性")]
    {
        assert!(
            changed.contains(chinese) && !changed.contains(english) && first.contains(english),
            "{english}"
        );
    }

    fs::write(root.join("none.jsonl"), "{}\n").unwrap();
    let wrong = candor(root).args(["report", "none.jsonl", "-o", "x.html"]).assert().code(1);
    let message = String::from_utf8(wrong.get_output().stderr.clone()).unwrap();
    assert!(message.contains("line 1: none.jsonl holds no verdicts"), "{message}");
}

#[test]
fn a_bundle_shows_every_change_and_scans_to_the_same() {
    let folder = folder();
    let root = folder.path();
    candor(root).args(["keygen", "-o", "my.key"]).assert().code(0);
    candor(root).args(["keygen", "-o", "my.key"]).assert().code(1);
    candor(root).args(["keygen", "-o", "other.key"]).assert().code(0);
    candor(root)
        .args(["evidence", "cat.jpg", "voice.flac", "-o", "case.zip", "--key", "my.key"])
        .assert()
        .code(0);
    let verified = candor(root)
        .args(["evidence", "verify", "case.zip", "--key", "my.key.pub", "--rerun"])
        .assert()
        .code(0);
    let said = text(&verified);
    assert!(said.contains("ok ") && said.matches("same ").count() == 2, "{said}");
    let other =
        candor(root).args(["evidence", "verify", "case.zip", "--key", "other.key.pub"]).assert().code(4);
    assert!(text(&other).contains("not signed with the key"));

    let whole = fs::read(root.join("case.zip")).unwrap();
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
    for _ in 0..30 {
        let mut changed = whole.clone();
        let place = rng.random_range(0..changed.len());
        changed[place] ^= rng.random_range(1..=255_u8);
        fs::write(root.join("changed.zip"), changed).unwrap();
        let found = candor(root).args(["evidence", "verify", "changed.zip"]).assert().code(4);
        assert!(text(&found).contains("CHANGED"), "byte {place}");
    }

    candor(root).args(["evidence", "cat.jpg", "-o", "thin.zip", "--no-originals"]).assert().code(0);
    let thin = candor(root).args(["evidence", "verify", "thin.zip", "--rerun"]).assert().code(0);
    assert!(
        text(&thin).contains("signed   by nobody") && text(&thin).contains("left out"),
        "{}",
        text(&thin)
    );
    candor(root).args(["evidence", "missing.jpg", "-o", "x.zip"]).assert().code(1);
    assert!(!root.join("x.zip").exists());
}

#[test]
fn two_versions_of_a_file_are_compared() {
    let folder = folder();
    let root = folder.path();
    let picture = image::open(sample("cat.jpg")).unwrap();
    picture.crop_imm(80, 60, 300, 200).save(root.join("crop.png")).unwrap();
    let run = |a: &str, b: &str| -> Value {
        let out = candor(root).args(["compare", a, b, "-f", "json"]).assert().code(0);
        serde_json::from_str(&text(&out)).unwrap()
    };
    assert_eq!(run("cat.jpg", "cat.jpg")["identical"], true);
    let cropped = run("cat.jpg", "crop.png");
    assert_eq!(cropped["content"], "the same picture, cropped");
    assert!(cropped["differences"].to_string().contains("format: jpeg in A, png in B"));
    assert_eq!(run("cat.jpg", "voice.flac")["content"], "different kinds of media");

    // A label that was taken off.
    candor(root)
        .args(["label", "--label", "1", "--producer", "P", "cat.jpg", "-o", "labelled.jpg"])
        .assert()
        .code(0);
    let stripped = run("labelled.jpg", "cat.jpg");
    assert_eq!(stripped["likeness"], 1.0);
    assert!(stripped["differences"].to_string().contains("only A declares"), "{stripped}");
    candor(root).args(["compare", "cat.jpg", "missing.jpg"]).assert().code(1);
}

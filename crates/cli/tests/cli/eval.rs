//! `candor eval` on data sets made here.

use std::fs;
use std::path::Path;

use image::{ImageFormat, Rgb, RgbImage};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::util::candor;

/// The same kind of picture for both classes, soft shapes under more or less noise; only the format tells them apart.
fn planted(root: &Path) {
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    for (class, format, extension) in [("real", ImageFormat::Jpeg, "jpg"), ("ai", ImageFormat::Png, "png")] {
        let folder = root.join(class);
        fs::create_dir_all(&folder).unwrap();
        for i in 0..15 {
            let mut picture = RgbImage::new(160, 128);
            let (noise, fx, fy) = (rng.random_range(1..30), rng.random::<f32>(), rng.random::<f32>());
            for (x, y, pixel) in picture.enumerate_pixels_mut() {
                let shape = (fx * x as f32 * 0.2).sin() + (fy * y as f32 * 0.2).cos();
                let v = (128.0 + 30.0 * shape) as u8 + rng.random_range(0..noise);
                *pixel = Rgb([v, v / 2 + 60, 255 - v]);
            }
            picture.save_with_format(folder.join(format!("{i}.{extension}")), format).unwrap();
        }
    }
}

fn evaluate(data: &Path, output: &Path, jobs: &str) -> String {
    let output = output.to_str().unwrap();
    let command = ["eval", data.to_str().unwrap(), "--matched", "-q", "-j", jobs, "-o", output];
    let done = candor(Path::new(".")).args(command).assert().success();
    String::from_utf8(done.get_output().stdout.clone()).unwrap()
}

#[test]
fn a_planted_leak_is_reported_and_runs_repeat_themselves() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    planted(&data);
    let out = evaluate(&data, &dir.path().join("a"), "1");
    assert!(out.contains("AUROC"), "{out}");
    let metrics = fs::read_to_string(dir.path().join("a/metrics.json")).unwrap();
    let found: serde_json::Value = serde_json::from_str(&metrics).unwrap();
    assert!(found["leak"]["facts_auroc"]["value"].as_f64().unwrap() > 0.95, "{}", found["leak"]);
    // The content is alike, so files that are made alike tell nothing.
    let matched = &found["leak"]["matched"];
    assert!((matched["facts_auroc"]["value"].as_f64().unwrap() - 0.5).abs() < 0.2, "{matched}");
    assert_eq!(matched["counts"]["genuine"], 15);
    let warned =
        found["warnings"].as_array().unwrap().iter().any(|w| w.as_str().unwrap().contains("facts beside"));
    assert!(warned, "{}", found["warnings"]);
    let scores = fs::read_to_string(dir.path().join("a/scores.csv")).unwrap();
    assert_eq!(scores.lines().count(), 61);
    assert!(!dir.path().join("a/journal.jsonl").exists());
    assert!(fs::read_to_string(dir.path().join("a/report.html")).unwrap().contains("</html>"));

    evaluate(&data, &dir.path().join("b"), "2");
    for name in ["metrics.json", "metrics.md", "scores.csv", "report.html"] {
        let read = |run: &str| fs::read(dir.path().join(run).join(name)).unwrap();
        assert!(read("a") == read("b"), "{name}");
    }

    // The same items under the same model twice: one table with two lines.
    let board =
        candor(dir.path()).args(["leaderboard", "a", "b/metrics.json", "-f", "markdown"]).assert().success();
    let board = String::from_utf8(board.get_output().stdout.clone()).unwrap();
    assert_eq!(board.lines().filter(|l| l.contains("image/best")).count(), 2, "{board}");
    assert!(board.contains("| worst AUROC |"), "{board}");
    let error = candor(dir.path()).args(["leaderboard", "data"]).assert().failure();
    let error = String::from_utf8(error.get_output().stderr.clone()).unwrap();
    assert!(error.contains("metrics.json") && error.contains("candor eval"), "{error}");
}

#[test]
fn maps_are_measured_on_composites_of_the_same_items() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    planted(&data);
    for (output, jobs) in [("a", "1"), ("b", "2")] {
        let command = ["eval", "data", "--splice", "--sample", "12", "-q", "-j", jobs, "-o", output];
        let done = candor(dir.path()).args(command).assert().success();
        let out = String::from_utf8(done.get_output().stdout.clone()).unwrap();
        assert!(out.contains("Localisation on"), "{out}");
    }
    let read = |run: &str| fs::read_to_string(dir.path().join(run).join("metrics.json")).unwrap();
    assert_eq!(read("a"), read("b"));
    let found: serde_json::Value = serde_json::from_str(&read("a")).unwrap();
    let genuine = found["data"]["counts"]["genuine"].as_u64();
    assert_eq!(found["localisation"]["composites"].as_u64(), genuine);
    let auroc = found["localisation"]["metrics"][0]["estimate"]["value"].as_f64().unwrap();
    assert!((0.0..=1.0).contains(&auroc), "{auroc}");
    assert!(fs::read_to_string(dir.path().join("a/report.html")).unwrap().contains("id=\"localisation\""));

    // Nothing to put in.
    fs::remove_dir_all(data.join("ai")).unwrap();
    let error = candor(dir.path()).args(["eval", "data", "--splice", "-q", "-o", "c"]).assert().failure();
    let error = String::from_utf8(error.get_output().stderr.clone()).unwrap();
    assert!(error.contains("one class alone"), "{error}");
}

#[test]
fn a_stopped_run_is_continued_to_the_same_result() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    planted(&data);
    let (whole, stopped) = (dir.path().join("whole"), dir.path().join("stopped"));
    evaluate(&data, &whole, "2");
    let mut child = std::process::Command::new(assert_cmd::cargo::cargo_bin!("candor"))
        .args(["eval", data.to_str().unwrap(), "--matched", "-q", "-j", "1", "-o", stopped.to_str().unwrap()])
        .spawn()
        .unwrap();
    let journal = stopped.join("journal.jsonl");
    let lines = || fs::read_to_string(&journal).map_or(0, |j| j.lines().count());
    while lines() < 6 && child.try_wait().unwrap().is_none() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    // Not ended before it was killed, and torn in the middle of a line.
    let mut left = fs::read_to_string(&journal).unwrap();
    let kept = left.lines().count();
    assert!((6..31).contains(&kept), "{kept}");
    left.push_str("{\"sha256\":\"12");
    fs::write(&journal, left).unwrap();
    evaluate(&data, &stopped, "2");
    for name in ["metrics.json", "scores.csv", "report.html"] {
        assert!(fs::read(whole.join(name)).unwrap() == fs::read(stopped.join(name)).unwrap(), "{name}");
    }
    assert!(!journal.exists());
}

#[test]
fn another_systems_scores_stand_beside_ours() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    planted(&data);
    let other = dir.path().join("oracle.csv");
    let rows: Vec<String> =
        (0..15).map(|i| format!("real/{i}.jpg,0.{i:02}\nai/{i}.png,1.{i:02}\n")).collect();
    fs::write(&other, format!("path,score\n{}", rows.concat())).unwrap();
    let output = dir.path().join("out");
    candor(Path::new("."))
        .arg("eval")
        .arg(&data)
        .arg("--scores")
        .arg(&other)
        .arg("-o")
        .arg(&output)
        .assert()
        .success();
    let metrics = fs::read_to_string(output.join("metrics.json")).unwrap();
    let found: serde_json::Value = serde_json::from_str(&metrics).unwrap();
    assert_eq!(found["systems"][0]["name"], "oracle");
    assert_eq!(found["systems"][0]["metrics"][0]["estimate"]["value"], 1.0);
    assert_eq!(found["systems"][0]["difference"]["against"], "candor");
}

#[test]
fn a_folder_without_labels_is_refused_with_what_was_looked_for() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("a.txt"), "no label").unwrap();
    let done = candor(Path::new(".")).arg("eval").arg(dir.path()).assert().code(1);
    let error = String::from_utf8_lossy(&done.get_output().stderr).into_owned();
    assert!(error.contains("no known layout"), "{error}");
}

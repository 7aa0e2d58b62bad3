//! `candor label`: what it writes, what it refuses, and that nothing else changes.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

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

/// Whether a program can be run here.
fn installed(program: &str, version: &str) -> bool {
    Command::new(program)
        .arg(version)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|s| s.success())
}

/// A document of a word processor, its necessary parts only.
fn docx() -> Vec<u8> {
    use std::io::Write as _;
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, text) in [
        (
            "[Content_Types].xml",
            r#"<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"></Types>"#,
        ),
        (
            "_rels/.rels",
            r#"<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"></Relationships>"#,
        ),
        ("word/document.xml", "<w:document/>"),
    ] {
        zip.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(text.as_bytes()).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// Other people's readers find the label in every container that they know, and nothing to complain about.
#[test]
fn other_tools_read_the_label() {
    if !installed("exiftool", "-ver") || !installed("ffmpeg", "-version") || !installed("ffprobe", "-version")
    {
        eprintln!("passed over: exiftool and ffmpeg are needed");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let picture = image::open(Path::new(SAMPLES).join("rocket.jpg")).unwrap().thumbnail(200, 200);
    let mut names = Vec::new();
    for extension in ["jpg", "png", "webp", "gif", "tiff"] {
        names.push(format!("a.{extension}"));
        picture.save(dir.path().join(names.last().unwrap())).unwrap();
    }
    for extension in ["mp3", "wav", "flac", "ogg", "opus", "m4a", "mp4", "mov"] {
        names.push(format!("a.{extension}"));
        let mut ffmpeg = Command::new("ffmpeg");
        ffmpeg.args(["-v", "error", "-i"]).arg(Path::new(SAMPLES).join("numbers.wav"));
        if matches!(extension, "mp4" | "mov") {
            ffmpeg.args(["-f", "lavfi", "-i", "testsrc=d=1:s=64x64", "-c:v", "mpeg4"]);
        }
        assert!(
            ffmpeg.args(["-t", "1"]).arg(dir.path().join(names.last().unwrap())).status().unwrap().success()
        );
    }
    fs::write(dir.path().join("a.docx"), docx()).unwrap();
    names.push("a.docx".to_owned());
    let mut args = vec!["label", "--label", "1", "--producer", "A Service", "--produce-id", "no-7"];
    args.extend(names.iter().map(String::as_str));
    candor(dir.path()).args(args).assert().success();
    let of = |program: &str, args: &[&str], name: &str| {
        let done = Command::new(program).args(args).arg(dir.path().join(name)).output().unwrap();
        String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr)
    };
    for name in &names {
        // A RIFF chunk of its own is the place that the practice guide names; neither program shows such chunks.
        let by_exiftool = !matches!(name.as_str(), "a.wav" | "a.docx");
        let by_ffprobe =
            matches!(name.as_str(), "a.mp3" | "a.flac" | "a.ogg" | "a.opus" | "a.m4a" | "a.mp4" | "a.mov");
        let exiftool = of("exiftool", &["-a", "-G1", "-s"], name);
        assert!(!by_exiftool || exiftool.contains("no-7"), "{name}: {exiftool}");
        assert!(name == "a.docx" || !exiftool.contains("Warning"), "{name}: {exiftool}");
        let ffprobe = of("ffprobe", &["-v", "warning", "-show_entries", "format_tags:stream_tags"], name);
        assert!(!by_ffprobe || ffprobe.contains("no-7"), "{name}: {ffprobe}");
        let own = json(dir.path(), &["inspect", "-f", "json", name]);
        assert!(own[0].to_string().contains("no-7"), "{name}");
    }
}

/// Killed at any moment, the file is the old one or the new one.
#[test]
#[cfg(unix)]
fn a_killed_writer_leaves_a_whole_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("big.png");
    // Large enough that writing takes a while; noise does not shrink.
    let mut x = 1_u32;
    let noise = image::RgbImage::from_fn(1500, 1500, |_, _| {
        x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        image::Rgb([(x >> 8) as u8, (x >> 16) as u8, (x >> 24) as u8])
    });
    noise.save(&path).unwrap();
    let old = fs::read(&path).unwrap();
    let label = |dir: &Path| {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin!("candor"));
        command.current_dir(dir).args(["label", "--label", "1", "--producer", "A", "big.png"]);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command
    };
    let begin = std::time::Instant::now();
    assert!(label(dir.path()).status().unwrap().success());
    let whole = begin.elapsed();
    let new = fs::read(&path).unwrap();
    assert!(new != old);
    for round in 0..100_u32 {
        fs::write(&path, &old).unwrap();
        let mut child = label(dir.path()).spawn().unwrap();
        std::thread::sleep(whole * round / 100);
        let _ = child.kill();
        let _ = child.wait();
        let found = fs::read(&path).unwrap();
        assert!(found == old || found == new, "round {round}: {} bytes", found.len());
    }
}

#[test]
fn visible_marks_for_people() {
    let dir = tempfile::tempdir().unwrap();
    let names = ["rocket.jpg", "tides.txt", "numbers.wav", "ferry.mp3"];
    for name in names {
        fs::copy(Path::new(SAMPLES).join(name), dir.path().join(name)).unwrap();
    }
    let before = decoded(&dir.path().join("rocket.jpg"));
    let spoken = fs::read(dir.path().join("numbers.wav")).unwrap();
    candor(dir.path())
        .args(["label", "--label", "3", "--propagator", "P", "--visible"])
        .args(names)
        .assert()
        .success()
        .stdout(contains("labelled 3").count(4).and(contains("not marked for people").count(1)));
    let (candor_features::Media::Image(a), candor_features::Media::Image(b)) =
        (before, decoded(&dir.path().join("rocket.jpg")))
    else {
        panic!("no picture");
    };
    assert_eq!((a.width, a.height), (b.width, b.height));
    let far = |at: usize| a.rgb[at].abs_diff(b.rgb[at]) > 60;
    let row = a.width * 3;
    let (top, bottom) = (
        (0..a.height / 2 * row).filter(|&i| far(i)),
        (a.height * 3 / 4 * row..a.height * row).filter(|&i| far(i)),
    );
    assert!(top.count() == 0 && bottom.count() > 500);
    let text = fs::read_to_string(dir.path().join("tides.txt")).unwrap();
    assert!(text.starts_with("---\nAIGC:") && text.contains("---\n\n疑似AI生成\n\n"), "{text}");
    let marked = fs::read(dir.path().join("numbers.wav")).unwrap();
    // Tones before the samples, which are behind the header of 44 bytes.
    assert!(marked.len() > spoken.len() + 2 * 16_000);
    assert!(marked.windows(spoken.len() - 44).any(|part| part == &spoken[44..]));
    for name in names {
        assert_eq!(
            json(dir.path(), &["inspect", "-f", "json", name])[0]["statements"][0]["id"],
            "china-aigc"
        );
    }
}

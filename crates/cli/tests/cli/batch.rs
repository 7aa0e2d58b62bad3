//! `candor batch` and `candor watch`: one result for each input, whatever happens.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::util::{UNKNOWN, candor};

fn samples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../datasets/samples")
}

/// A folder `in` with so many different texts.
fn texts(count: usize) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let text = fs::read_to_string(samples().join("baltimore.txt")).unwrap();
    fs::create_dir(folder.path().join("in")).unwrap();
    for i in 0..count {
        fs::write(folder.path().join(format!("in/{i}.txt")), format!("Chapter {i}.\n{text}")).unwrap();
    }
    folder
}

fn batch(folder: &Path, args: &[&str]) -> assert_cmd::assert::Assert {
    candor(folder).arg("batch").args(args).assert()
}

fn stderr(assert: &assert_cmd::assert::Assert) -> String {
    String::from_utf8(assert.get_output().stderr.clone()).unwrap()
}

fn results(path: &Path) -> Vec<Value> {
    fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Results by path, without their times.
fn by_path(path: &Path) -> BTreeMap<String, Value> {
    let mut found = BTreeMap::new();
    for mut result in results(path) {
        result["elapsed_ms"] = 0.into();
        let path = result["path"].as_str().unwrap().to_owned();
        assert!(found.insert(path.clone(), result).is_none(), "{path} has two results");
    }
    found
}

fn start(folder: &Path, args: &[&str]) -> Child {
    Command::new(assert_cmd::cargo::cargo_bin!("candor"))
        .current_dir(folder)
        .args(args)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_mins(2);
    while !done() {
        assert!(Instant::now() < end, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[cfg(unix)]
fn signal(pid: u32, name: &str) {
    assert!(Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status().unwrap().success());
}

#[test]
fn what_is_done_is_not_done_again() {
    let folder = texts(5);
    let root = folder.path();
    batch(root, &["in", "-o", "out.jsonl"]).code(0);
    let first = by_path(&root.join("out.jsonl"));
    assert_eq!(first.len(), 5);

    let again = batch(root, &["in", "-o", "out.jsonl"]).code(0);
    assert!(stderr(&again).contains("0 in this run"), "{}", stderr(&again));
    assert!(stderr(&again).contains("5 had their result"));
    assert_eq!(by_path(&root.join("out.jsonl")), first);

    // One is new, one has other content, one only another time.
    fs::write(root.join("in/new.bin"), UNKNOWN).unwrap();
    fs::write(root.join("in/1.txt"), "Something else.").unwrap();
    let text = fs::read(root.join("in/2.txt")).unwrap();
    fs::write(root.join("in/2.txt"), text).unwrap();
    let third = batch(root, &["in", "-o", "out.jsonl"]).code(3);
    assert!(stderr(&third).contains("2 in this run"), "{}", stderr(&third));
    let lines = results(&root.join("out.jsonl"));
    let paths: Vec<&str> = lines.iter().map(|l| l["path"].as_str().unwrap()).collect();
    assert_eq!(paths, ["in/0.txt", "in/1.txt", "in/2.txt", "in/3.txt", "in/4.txt", "in/1.txt", "in/new.bin"]);
    assert_ne!(lines[1]["sha256"], lines[5]["sha256"]);
    assert_eq!(lines[6]["error"]["code"], "unknown-kind");

    // What failed is tried once more only when asked.
    fs::write(root.join("in/new.bin"), UNKNOWN).unwrap();
    // A failure stays one when only its time changes.
    let touched = batch(root, &["in", "-o", "out.jsonl"]).code(3);
    assert!(stderr(&touched).contains("0 in this run"), "{}", stderr(&touched));
    let retried = batch(root, &["in", "-o", "out.jsonl", "--retry-errors"]).code(3);
    assert!(stderr(&retried).contains("1 in this run"), "{}", stderr(&retried));
}

#[test]
fn every_form_of_output_has_every_result() {
    let folder = texts(3);
    let root = folder.path();
    for output in ["out.jsonl", "out.csv", "out.parquet", "out.sqlite"] {
        batch(root, &["in", "-o", output, "-q"]).code(0);
    }
    let csv = fs::read_to_string(root.join("out.csv")).unwrap();
    assert_eq!(csv.lines().count(), 4);
    // The other forms are read back by what reads them elsewhere: a table is a list of paths, too.
    let listed = batch(root, &["--list", "out.parquet", "-o", "from-parquet.jsonl"]).code(0);
    assert!(stderr(&listed).contains("3 files"), "{}", stderr(&listed));
    let count: i64 = rusqlite::Connection::open(root.join("out.sqlite"))
        .unwrap()
        .query_row("SELECT count(*) FROM results WHERE json_extract(verdict, '$.path') = path", [], |r| {
            r.get(0)
        })
        .unwrap();
    assert_eq!(count, 3);
}

#[test]
#[cfg(unix)]
fn kills_at_any_moment_lose_and_repeat_nothing() {
    let folder = texts(150);
    let root = folder.path();
    batch(root, &["in", "-o", "quiet.jsonl", "-q"]).code(0);
    for (i, wait) in [120_u64, 260, 310, 420, 500, 200].into_iter().enumerate() {
        let mut child = start(root, &["batch", "in", "-o", "out.jsonl", "-q"]);
        std::thread::sleep(Duration::from_millis(wait));
        child.kill().unwrap();
        child.wait().unwrap();
        // What a power cut leaves: half a line at the end of either file.
        let torn = if i % 2 == 0 { "out.jsonl" } else { "out.jsonl.state/journal.jsonl" };
        if root.join("out.jsonl.state/journal.jsonl").exists() {
            let mut file = fs::OpenOptions::new().append(true).open(root.join(torn)).unwrap();
            file.write_all(b"{\"schema_version\":\"1\",\"pa").unwrap();
        }
    }
    batch(root, &["in", "-o", "out.jsonl", "-q"]).code(0);
    assert_eq!(by_path(&root.join("out.jsonl")), by_path(&root.join("quiet.jsonl")));
}

#[test]
#[cfg(unix)]
fn an_interrupt_writes_what_was_finished() {
    let folder = texts(300);
    let root = folder.path();
    let mut child = start(root, &["batch", "in", "-o", "out.jsonl", "-q"]);
    wait_until("the first results", || fs::metadata(root.join("out.jsonl")).is_ok_and(|m| m.len() > 0));
    signal(child.id(), "INT");
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let journal = fs::read_to_string(root.join("out.jsonl.state/journal.jsonl")).unwrap();
    assert_eq!(journal.lines().count(), results(&root.join("out.jsonl")).len());
    batch(root, &["in", "-o", "out.jsonl", "-q"]).code(0);
    assert_eq!(by_path(&root.join("out.jsonl")).len(), 300);
}

#[test]
fn archives_are_opened_also_within_archives() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let text = fs::read(samples().join("baltimore.txt")).unwrap();
    let tar = |entries: &[(&str, &[u8])]| {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, bytes) in entries {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            builder.append_data(&mut header, name, *bytes).unwrap();
        }
        builder.into_inner().unwrap()
    };
    let long = format!("{}/deep.txt", "folder".repeat(30));
    let inner = tar(&[("inner.txt", &text), (&long, b"Short.")]);
    let mut zip = zip::ZipWriter::new(fs::File::create(root.join("all.zip")).unwrap());
    let options = zip::write::SimpleFileOptions::default();
    for (name, bytes) in [("a.txt", text.as_slice()), ("in.tar", &inner), ("b.bin", UNKNOWN)] {
        zip.start_file(name, options).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap();
    let mut gz = flate2::write::GzEncoder::new(
        fs::File::create(root.join("x.tar.gz")).unwrap(),
        flate2::Compression::fast(),
    );
    gz.write_all(&tar(&[("odd.txt", b"One."), ("even.txt", &text)])).unwrap();
    gz.finish().unwrap();
    // Cut within its second entry.
    let cut = tar(&[("whole.txt", &text), ("cut.txt", &text)]);
    fs::write(root.join("cut.tar"), &cut[..cut.len() - 2048 - text.len() / 2]).unwrap();
    fs::write(root.join("no.zip"), b"PK\x03\x04no").unwrap();

    batch(root, &["all.zip", "x.tar.gz", "cut.tar", "no.zip", "-o", "out.jsonl"]).code(3);
    let found = by_path(&root.join("out.jsonl"));
    let deep = format!("all.zip!/in.tar!/{long}");
    let names: Vec<&str> = found.keys().map(String::as_str).collect();
    let mut expected = vec![
        "all.zip!/a.txt",
        "all.zip!/in.tar!/inner.txt",
        &deep,
        "all.zip!/b.bin",
        "x.tar.gz!/odd.txt",
        "x.tar.gz!/even.txt",
        "cut.tar!/whole.txt",
        "cut.tar!/cut.txt",
        "no.zip",
    ];
    expected.sort_unstable();
    assert_eq!(names, expected);
    assert_eq!(found["all.zip!/in.tar!/inner.txt"]["label"], found["all.zip!/a.txt"]["label"]);
    assert_eq!(found["all.zip!/in.tar!/inner.txt"]["sha256"], found["all.zip!/a.txt"]["sha256"]);
    assert_eq!(found["cut.tar!/cut.txt"]["error"]["code"], "decode");
    assert_eq!(found["no.zip"]["error"]["code"], "decode");
    let again = batch(root, &["all.zip", "x.tar.gz", "cut.tar", "no.zip", "-o", "out.jsonl"]).code(3);
    assert!(stderr(&again).contains("0 in this run"), "{}", stderr(&again));
}

#[test]
fn an_entry_that_lies_about_its_length_is_cut_off() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default();
    zip.start_file("bomb.txt", options).unwrap();
    zip.write_all(&vec![b'a'; 5 << 20]).unwrap();
    let mut bytes = zip.finish().unwrap().into_inner();
    // Both headers say ten bytes.
    let five = (5_u32 << 20).to_le_bytes();
    let places: Vec<usize> =
        bytes.windows(4).enumerate().filter(|(_, w)| *w == five).map(|(i, _)| i).collect();
    assert!(!places.is_empty());
    for place in places {
        bytes[place..place + 4].copy_from_slice(&10_u32.to_le_bytes());
    }
    fs::write(root.join("bomb.zip"), bytes).unwrap();
    batch(root, &["bomb.zip", "-o", "out.jsonl"]).code(3);
    let found = by_path(&root.join("out.jsonl"));
    assert_eq!(found.len(), 1);
    assert_eq!(found["bomb.zip!/bomb.txt"]["label"], "error");
}

#[test]
fn inputs_come_from_lists_tables_and_patterns() {
    let folder = texts(4);
    let root = folder.path();
    let run = |args: &[&str], stdin: &str| {
        let output = root.join("out.jsonl");
        let _ = fs::remove_file(&output);
        let _ = fs::remove_dir_all(root.join("out.jsonl.state"));
        candor(root)
            .arg("batch")
            .args(args)
            .args(["-o", "out.jsonl", "-q"])
            .write_stdin(stdin)
            .assert()
            .code(0);
        by_path(&output).into_keys().collect::<Vec<_>>()
    };
    assert_eq!(run(&["-"], "in/0.txt\r\n\nin/3.txt"), ["in/0.txt", "in/3.txt"]);
    assert_eq!(run(&["in/[12].txt"], ""), ["in/1.txt", "in/2.txt"]);
    fs::write(root.join("in/table.csv"), "n,file\n1,2.txt\n2,\n3,0.txt\n").unwrap();
    assert_eq!(run(&["--list", "in/table.csv", "--column", "file"], ""), ["in/0.txt", "in/2.txt"]);
    fs::write(root.join("list"), "in/1.txt\n").unwrap();
    assert_eq!(run(&["--list", "list"], ""), ["in/1.txt"]);
    assert_eq!(run(&["in", "--max-files", "2"], ""), ["in/0.txt", "in/1.txt"]);
    assert_eq!(run(&["in/?.txt", "--since", "1h"], "").len(), 4);
    let none = batch(root, &["in", "-o", "new.jsonl", "--since", "2100-01-01"]).code(0);
    assert!(stderr(&none).contains("0 files"), "{}", stderr(&none));

    let wrong = batch(root, &["--list", "in/table.csv", "-o", "wrong.jsonl"]).code(1);
    assert!(stderr(&wrong).contains("no column \"path\"; there are file, n"), "{}", stderr(&wrong));
    let missing = batch(root, &["nowhere", "-o", "missing.jsonl", "-q"]).code(3);
    drop(missing);
    assert_eq!(by_path(&root.join("missing.jsonl"))["nowhere"]["error"]["code"], "not-found");
}

#[test]
fn identical_contents_are_scanned_once() {
    let folder = texts(1);
    let root = folder.path();
    for name in ["in/copy.txt", "in/copy.md", "in/other.jpg"] {
        fs::copy(root.join("in/0.txt"), root.join(name)).unwrap();
    }
    let once = batch(root, &["in", "-o", "out.jsonl"]).code(0);
    // The extension of the picture asks for a warning of its own, that of Markdown could.
    assert!(stderr(&once).contains("1 have the content of another"), "{}", stderr(&once));
    let found = by_path(&root.join("out.jsonl"));
    assert_eq!(found["in/0.txt"]["llr"], found["in/copy.txt"]["llr"]);
    assert_eq!(found["in/other.jpg"]["warnings"][0]["code"], "extension-mismatch");
    // Also in a later run, out of the result file.
    fs::copy(root.join("in/0.txt"), root.join("in/late.txt")).unwrap();
    let late = batch(root, &["in", "-o", "out.jsonl"]).code(0);
    assert!(stderr(&late).contains("1 have the content of another"), "{}", stderr(&late));
    let late = by_path(&root.join("out.jsonl"));
    assert_eq!(late["in/late.txt"]["llr"], late["in/0.txt"]["llr"]);
    batch(root, &["in", "-o", "all.jsonl", "--no-cache", "--no-isolate"]).code(0);
    assert_eq!(by_path(&root.join("all.jsonl")), late);
}

#[test]
#[cfg(target_os = "linux")]
fn a_scanner_that_hangs_or_dies_costs_one_file() {
    // Processes whose parent is this one.
    fn children(parent: u32) -> Vec<u32> {
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let Ok(pid) = entry.file_name().to_string_lossy().parse() else { continue };
            let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
            let after = stat.rsplit(')').next().unwrap_or_default();
            if after.split_whitespace().nth(1) == Some(&parent.to_string()) {
                found.push(pid);
            }
        }
        found
    }
    for (name, code) in [("STOP", "time-limit"), ("KILL", "crashed")] {
        let folder = texts(400);
        let root = folder.path();
        let options = ["--jobs", "1", "--time-limit", "1", "--retries", "0"];
        let mut child = start(root, &[&["batch", "in", "-o", "out.jsonl", "-q"], &options[..]].concat());
        wait_until("a result", || fs::metadata(root.join("out.jsonl")).is_ok_and(|m| m.len() > 0));
        let scanners = children(child.id());
        assert_eq!(scanners.len(), 1);
        signal(scanners[0], name);
        assert_eq!(child.wait().unwrap().code(), Some(3));
        let found = by_path(&root.join("out.jsonl"));
        let failed: Vec<&Value> = found.values().filter(|v| v["label"] == "error").collect();
        assert_eq!(found.len(), 400);
        assert_eq!(failed.len(), 1, "{failed:?}");
        assert_eq!(failed[0]["error"]["code"], code);
        assert!(failed[0]["sha256"].is_string());
    }
}

#[test]
fn a_policy_names_actions_and_orders_the_review() {
    let folder = texts(1);
    let root = folder.path();
    fs::write(root.join("in/b.bin"), UNKNOWN).unwrap();
    fs::write(
        root.join("policy.toml"),
        "[default]\nerror = \"block\"\n[text]\nno-sign = \"review\"\ninconclusive = \"review\"\n",
    )
    .unwrap();
    let run = batch(
        root,
        &[
            "in",
            "-o",
            "out.jsonl",
            "--policy",
            "policy.toml",
            "--review",
            "queue.csv",
            "--fail-on",
            "suspected",
        ],
    )
    .code(3);
    assert!(stderr(&run).contains("actions: 1 block, 1 review"), "{}", stderr(&run));
    let found = by_path(&root.join("out.jsonl"));
    assert_eq!(found["in/b.bin"]["action"], "block");
    assert_eq!(found["in/0.txt"]["action"], "review");
    let queue = fs::read_to_string(root.join("queue.csv")).unwrap();
    assert!(queue.lines().nth(1).unwrap().starts_with("1,1,in/0.txt,"), "{queue}");
    // Verdicts with an action are verdicts still.
    candor(root).args(["label", "--from", "out.jsonl", "--propagator", "P", "--dry-run"]).assert().code(0);

    fs::write(root.join("policy.toml"), "[default]\nsuspect = \"block\"\n").unwrap();
    let wrong = batch(root, &["in", "-o", "x.jsonl", "--policy", "policy.toml"]).code(1);
    assert!(stderr(&wrong).contains("policy.toml is no policy"), "{}", stderr(&wrong));
}

#[test]
fn results_of_others_are_not_touched() {
    let folder = texts(2);
    let root = folder.path();
    fs::write(root.join("mine.jsonl"), "precious\n").unwrap();
    let refused = batch(root, &["in", "-o", "mine.jsonl"]).code(1);
    assert!(stderr(&refused).contains("no batch is known to have written it"), "{}", stderr(&refused));
    assert_eq!(fs::read_to_string(root.join("mine.jsonl")).unwrap(), "precious\n");

    batch(root, &["in", "-o", "out.jsonl"]).code(0);
    let other = batch(root, &["in", "-o", "out.jsonl", "--threshold", "0.1"]).code(1);
    assert!(stderr(&other).contains("--fresh"), "{}", stderr(&other));
    batch(root, &["in", "-o", "out.jsonl", "--threshold", "0.1", "--fresh"]).code(0);
    assert_eq!(by_path(&root.join("out.jsonl")).len(), 2);
}

#[test]
#[cfg(unix)]
fn a_watched_folder_is_judged_as_it_fills() {
    let folder = texts(2);
    let root = folder.path();
    let args = ["watch", "in", "-o", "out.jsonl", "--interval", "0.1", "--settle", "0.1", "-q"];
    let mut child = start(root, &args);
    let count = || fs::read_to_string(root.join("out.jsonl")).map_or(0, |t| t.matches('\n').count());
    wait_until("the first files", || count() == 2);
    fs::write(root.join("in/later.txt"), "Written later.").unwrap();
    wait_until("the later file", || count() == 3);
    // A second batch must not write into the same results.
    let locked = batch(root, &["in", "-o", "out.jsonl"]).code(1);
    assert!(stderr(&locked).contains("another batch is writing"), "{}", stderr(&locked));
    signal(child.id(), "INT");
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(by_path(&root.join("out.jsonl")).len(), 3);
}

#[test]
fn thresholds_are_fitted_to_own_files() {
    let folder = texts(60);
    let root = folder.path();
    let few = candor(root).args(["calibrate", "in/1.txt", "-o", "w"]).assert().code(1);
    assert!(stderr(&few).contains("at least 50"), "{}", stderr(&few));
    let done = candor(root).args(["calibrate", "in", "-o", "w"]).assert().code(0);
    let text = String::from_utf8(done.get_output().stdout.clone()).unwrap();
    assert!(text.contains("text/ngram: 60 genuine files"), "{text}");
    assert!(text.contains("image/best: left as it is"), "{text}");
    candor(root).args(["model", "verify", "--weights", "w"]).assert().code(0);
    // All scores are alike, so that a file like them is as common as can be, and others keep their scores.
    batch(root, &["in/7.txt", "-o", "own.jsonl", "-q", "--weights", "w"]).code(0);
    batch(root, &["in/7.txt", "-o", "usual.jsonl", "-q"]).code(0);
    let (own, usual) = (by_path(&root.join("own.jsonl")), by_path(&root.join("usual.jsonl")));
    assert_eq!(own["in/7.txt"]["signals"][0]["score"], usual["in/7.txt"]["signals"][0]["score"]);
    assert_ne!(own["in/7.txt"]["p_value"], usual["in/7.txt"]["p_value"]);
}

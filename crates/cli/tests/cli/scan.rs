//! `candor scan` on files that cannot be judged, whatever models are built in.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use crate::util::{UNKNOWN, candor, redact, redact_csv, sample};
use predicates::prelude::*;

fn scan(folder: &Path, arguments: &[&str]) -> Vec<u8> {
    candor(folder).arg("scan").args(arguments).assert().code(3).get_output().stdout.clone()
}

#[test]
fn every_format_names_the_errors() {
    let folder = sample();
    let folder = folder.path();
    let all = |format: &str| scan(folder, &["--format", format, "a.txt", "b.bin", "missing", "sub"]);
    insta::assert_snapshot!("errors_text", redact(&all("text")));
    insta::assert_snapshot!("errors_json", redact(&all("json")));
    insta::assert_snapshot!("errors_jsonl", redact(&all("jsonl")));
    insta::assert_snapshot!("errors_csv", redact_csv(&all("csv")));
}

#[test]
fn the_summary_goes_to_standard_error_and_can_be_silenced() {
    let folder = sample();
    candor(folder.path()).args(["scan", "."]).assert().code(3).stderr("candor: 3 files: 3 error\n");
    candor(folder.path()).args(["scan", "-q", "."]).assert().code(3).stderr("");
}

#[test]
fn the_order_is_that_of_the_input_whatever_the_jobs() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    // Sizes that differ, so that files finish out of order.
    for i in 0..40_usize {
        let bytes = UNKNOWN.repeat(1 + (i * 7919 % 40) * 4000);
        fs::write(folder.path().join(format!("{i:02}")), bytes).expect("a file");
    }
    let run = |jobs: &str, format: &str| {
        redact(&scan(folder.path(), &["--jobs", jobs, "--format", format, "07", ".", "missing", "03"]))
    };
    for format in ["text", "json", "jsonl"] {
        assert_eq!(run("1", format), run("2", format));
        assert_eq!(run("1", format), run("8", format));
    }
    let text = run("2", "text");
    let names: Vec<&str> =
        text.lines().filter(|l| l.starts_with("error")).filter_map(|l| l.split_whitespace().last()).collect();
    assert_eq!(names.len(), 43);
    assert_eq!(names[..3], ["07", "./00", "./01"]);
    assert_eq!(names[41..], ["missing", "03"]);
}

#[test]
fn standard_input_is_a_file_named_dash() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    candor(folder.path())
        .args(["scan", "-f", "jsonl", "-"])
        .write_stdin(UNKNOWN)
        .assert()
        .code(3)
        .stdout(predicate::str::contains("\"path\":\"-\"").and(predicate::str::contains("\"bytes\":12")));
}

#[test]
fn other_kinds_are_skipped_and_counted() {
    let folder = sample();
    candor(folder.path())
        .args(["scan", "--only", "image", "b.bin", "sub"])
        .assert()
        .code(0)
        .stdout("")
        .stderr("candor: 0 files; 2 skipped (not image)\n");
    // An array stays an array.
    candor(folder.path())
        .args(["scan", "--only", "image", "-f", "json", "b.bin"])
        .assert()
        .code(0)
        .stdout("[]\n");
}

#[test]
fn an_empty_folder_is_no_error() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    candor(folder.path()).args(["scan", "."]).assert().code(0).stdout("").stderr("candor: 0 files\n");
}

#[test]
fn errors_alone_never_count_as_flagged() {
    let folder = sample();
    candor(folder.path()).args(["scan", "--fail-on", "inconclusive", "."]).assert().code(3);
}

#[test]
fn nothing_is_explained_about_unreadable_files() {
    let folder = sample();
    candor(folder.path()).args(["scan", "--explain", "out/deep", "."]).assert().code(3);
    assert_eq!(fs::read_dir(folder.path().join("out/deep")).expect("the folder").count(), 0);
    candor(folder.path())
        .args(["scan", "--explain", "a.txt", "b.bin"])
        .assert()
        .code(1)
        .stderr(predicate::str::starts_with("candor: cannot create the folder a.txt"));
}

#[test]
fn a_reader_that_goes_away_ends_the_run_quietly() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for i in 0..200 {
        fs::write(folder.path().join(format!("{i:03}")), UNKNOWN).expect("a file");
    }
    for format in ["text", "json", "jsonl", "csv"] {
        let mut child = std::process::Command::new(assert_cmd::cargo::cargo_bin!("candor"))
            .args(["scan", "--format", format, "."])
            .current_dir(folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the command starts");
        drop(child.stdout.take());
        let output = child.wait_with_output().expect("the command ends");
        assert_eq!(output.status.code(), Some(0), "{format}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{format}");
    }
}

#[cfg(unix)]
mod unix {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::process::Command;
    use std::time::Duration;

    use super::*;

    #[test]
    fn hostile_names_are_escaped() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for name in ["=cmd|' C'!A0", "a\nb", "c\u{1b}[31m", "d\u{202e}gpj", "e,\"f\""] {
            fs::write(folder.path().join(name), UNKNOWN).expect("a file");
        }
        fs::write(folder.path().join(OsStr::from_bytes(b"not\xffutf8")), UNKNOWN).expect("a file");
        let paths = ["=cmd|' C'!A0", "."];
        let all = |format: &str| scan(folder.path(), &[&["--format", format], &paths[..]].concat());
        insta::assert_snapshot!("hostile_text", redact(&all("text")));
        insta::assert_snapshot!("hostile_csv", redact_csv(&all("csv")));
        let jsonl = redact(&all("jsonl"));
        let names: Vec<String> = jsonl
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON")["path"].to_string())
            .collect();
        insta::assert_snapshot!("hostile_json_paths", names.join("\n"));
    }

    #[test]
    fn a_name_that_is_not_unicode_can_be_given() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let name = OsStr::from_bytes(b"caf\xe9");
        fs::write(folder.path().join(name), b"").expect("a file");
        candor(folder.path()).arg("scan").arg(name).assert().code(3).stdout(
            predicate::str::contains("caf\\xe9\n").and(predicate::str::contains("the file is empty")),
        );
    }

    #[test]
    fn what_is_no_file_is_not_read() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let pipe = folder.path().join("pipe");
        assert!(Command::new("mkfifo").arg(&pipe).status().expect("mkfifo runs").success());
        symlink("nowhere", folder.path().join("broken")).expect("a link");
        symlink(".", folder.path().join("loop")).expect("a link");
        let out = candor(folder.path())
            .args(["scan", "-f", "jsonl", ".", "/dev/null"])
            .timeout(Duration::from_mins(1))
            .assert()
            .code(3)
            .get_output()
            .stdout
            .clone();
        let codes: Vec<String> = redact(&out)
            .lines()
            .map(|line| {
                let verdict: serde_json::Value = serde_json::from_str(line).expect("JSON");
                format!("{} {}", verdict["path"], verdict["error"]["code"])
            })
            .collect();
        let expected =
            ["\"./broken\" \"not-found\"", "\"./pipe\" \"not-a-file\"", "\"/dev/null\" \"not-a-file\""];
        assert_eq!(codes, expected);
    }

    #[test]
    fn a_file_without_permission_is_an_error() {
        let folder = sample();
        let file = folder.path().join("b.bin");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o000)).expect("permissions");
        if fs::File::open(&file).is_ok() {
            // The superuser reads everything.
            return;
        }
        candor(folder.path())
            .args(["scan", "b.bin"])
            .assert()
            .code(3)
            .stdout(predicate::str::contains("permission to read it is denied"));
    }

    #[test]
    fn an_interrupt_writes_what_was_finished() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for i in 0..100 {
            fs::write(folder.path().join(format!("{i:02}")), UNKNOWN).expect("a file");
        }
        // Standard input stays open until the interrupt has arrived, which holds up the fourth result.
        let mut child = Command::new(assert_cmd::cargo::cargo_bin!("candor"))
            .args(["scan", "--jobs", "2", "-f", "json", "00", "01", "02", "-", "."])
            .current_dir(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the command starts");
        let stdin = child.stdin.take();
        std::thread::sleep(Duration::from_millis(1500));
        let kill = Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill runs");
        assert!(kill.success());
        std::thread::sleep(Duration::from_millis(500));
        drop(stdin);
        let output = child.wait_with_output().expect("the command ends");
        assert_eq!(output.status.code(), Some(130));
        let verdicts: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).expect("a whole array");
        // Three results, the held one, and at most as many more as are kept in flight behind it: not all hundred.
        assert!((4..=3 + 2 * 16).contains(&verdicts.len()), "{}", verdicts.len());
        assert!(String::from_utf8_lossy(&output.stderr).starts_with("candor: interrupted; "));
    }
}

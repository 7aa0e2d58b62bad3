//! What the tests of the command share.

use std::path::Path;

use assert_cmd::Command;

/// Bytes that are no image, no recording and no text, now and when more formats are read.
pub(crate) const UNKNOWN: &[u8] = b"\x00\x01\x02\x03\x80\x81\xc0\xc1\x00\x07\x1f\x7f";

/// The command, working in `folder`, without settings from the outside.
pub(crate) fn candor(folder: &Path) -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("candor"));
    command.current_dir(folder).env_remove("CANDOR_WEIGHTS").env_remove("NO_COLOR").env_remove("COLUMNS");
    command.env("CANDOR_TRUST_DIR", folder.join("none"));
    command
}

/// A folder with an empty file and two unknown ones.
pub(crate) fn sample() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join("b.bin"), UNKNOWN).expect("a file");
    std::fs::write(folder.path().join("a.txt"), b"").expect("a file");
    std::fs::create_dir(folder.path().join("sub")).expect("a folder");
    std::fs::write(folder.path().join("sub/c"), UNKNOWN).expect("a file");
    folder
}

/// Replaces what differs between runs and versions.
pub(crate) fn redact(text: &[u8]) -> String {
    let text = String::from_utf8(text.to_vec()).expect("output is UTF-8");
    let version = concat!("\"version\":\"", env!("CARGO_PKG_VERSION"), "\"");
    let redact = |line: &str| {
        let line = line.replace(version, "\"version\":\"[version]\"");
        match line.split_once("\"elapsed_ms\":") {
            Some((before, after)) => {
                let rest = after.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
                format!("{before}\"elapsed_ms\":0{rest}\n")
            }
            None => format!("{line}\n"),
        }
    };
    text.lines().map(redact).collect()
}

/// Replaces the last two columns of CSV, version and time.
pub(crate) fn redact_csv(text: &[u8]) -> String {
    let text = String::from_utf8(text.to_vec()).expect("output is UTF-8");
    let row = |line: &str| match line.rsplitn(3, ',').nth(2) {
        Some(rest) => format!("{rest},[version],[ms]\n"),
        None => format!("{line}\n"),
    };
    text.lines().map(row).collect()
}

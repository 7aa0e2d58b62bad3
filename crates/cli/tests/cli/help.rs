//! Help, version, schema and mistakes on the command line.

use std::path::Path;

use crate::util::candor;
use predicates::prelude::*;

fn stdout(arguments: &[&str]) -> String {
    let output = candor(Path::new(".")).args(arguments).assert().success().get_output().stdout.clone();
    String::from_utf8(output).expect("output is UTF-8")
}

fn mistake(arguments: &[&str]) -> String {
    let output =
        candor(Path::new(".")).args(arguments).assert().code(2).stdout("").get_output().stderr.clone();
    String::from_utf8(output).expect("output is UTF-8")
}

#[test]
fn help_teaches() {
    insta::assert_snapshot!("help", stdout(&["--help"]));
    insta::assert_snapshot!("help_short", stdout(&["-h"]));
    insta::assert_snapshot!("help_scan", stdout(&["scan", "--help"]));
    insta::assert_snapshot!("help_scan_short", stdout(&["scan", "-h"]));
}

#[test]
fn mistakes_teach() {
    insta::assert_snapshot!("no_command", mistake(&[]));
    insta::assert_snapshot!("no_path", mistake(&["scan"]));
    insta::assert_snapshot!("bad_probability", mistake(&["scan", "--prior", "1.5", "x"]));
    insta::assert_snapshot!("bad_format", mistake(&["scan", "--format", "xml", "x"]));
    for arguments in [
        ["scan", "--fpr", "0", "x"],
        ["scan", "--threshold", "nan", "x"],
        ["scan", "--jobs", "0", "x"],
        ["scan", "--only", "video", "x"],
        ["scan", "--fail-on", "no-sign", "x"],
        ["scan", "--no-such-flag", "x", "y"],
    ] {
        mistake(&arguments);
    }
}

#[test]
fn version_names_program_and_models() {
    let text = stdout(&["--version"]);
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some(concat!("candor ", env!("CARGO_PKG_VERSION"))));
    let model = predicate::str::is_match(
        "^(model (image|audio|text)/[a-z0-9._-]+ sha256:[0-9a-f]{64}|no models built in)$",
    )
    .expect("a valid pattern");
    assert!(lines.clone().count() > 0);
    assert!(lines.all(|line| model.eval(line)), "{text}");
}

#[test]
fn schema_prints_the_committed_schema() {
    let committed = include_str!("../../../candor/schema/verdict.schema.json");
    assert!(stdout(&["schema"]) == committed);
}

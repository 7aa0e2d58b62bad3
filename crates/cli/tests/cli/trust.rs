//! `candor trust` and what it makes of signed files.

use std::fs;
use std::io::Cursor;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use c2pa::{Builder, Context, EphemeralSigner, Signer as _};

use crate::util::candor;

fn out(command: &mut assert_cmd::Command) -> String {
    String::from_utf8(command.assert().success().get_output().stdout.clone()).unwrap()
}

#[test]
fn a_list_is_added_used_shown_and_removed() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let signer = EphemeralSigner::new("signer").unwrap();
    let root = STANDARD.encode(signer.certs().unwrap().pop().unwrap());
    let pem = format!("-----BEGIN CERTIFICATE-----\n{root}\n-----END CERTIFICATE-----\n");
    fs::write(dir.join("our root.pem"), pem).unwrap();
    let definition = r#"{"claim_generator_info": [{"name": "Test"}], "assertions": [{"label": "c2pa.actions", "data":
        {"actions": [{"action": "c2pa.created", "softwareAgent": {"name": "Painter"},
        "digitalSourceType": "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"}]}}]}"#;
    let mut builder = Builder::from_context(Context::new()).with_definition(definition).unwrap();
    let mut file = Cursor::new(Vec::new());
    let cat = include_bytes!("../../../../datasets/samples/cat.jpg");
    builder.sign(&signer, "image/jpeg", &mut Cursor::new(cat), &mut file).unwrap();
    fs::write(dir.join("made.jpg"), file.into_inner()).unwrap();

    let run = |arguments: &[&str]| out(candor(dir).args(arguments));
    assert!(run(&["trust", "status"]).contains("No trust list is installed"));
    assert!(run(&["inspect", "made.jpg"]).contains("signer not checked: no trust list installed"));
    // Signed by whom nobody knows: what the file states counts, but is no proof.
    let verdict = run(&["scan", "-f", "jsonl", "made.jpg"]);
    assert!(verdict.contains(r#""label":"ai-generated""#), "{verdict}");
    assert!(verdict.contains("anyone can sign"), "{verdict}");

    let once = run(&["inspect", "--trust-anchors", "our root.pem", "made.jpg"]);
    assert!(once.contains("  proof   "), "{once}");
    assert_eq!(run(&["trust", "add", "our root.pem"]), "added our root: 1 certificates\n");
    let listed = run(&["trust", "list"]);
    assert!(listed.starts_with("our root\n  ") && listed.contains("until 20"), "{listed}");
    assert!(run(&["trust", "status"]).contains("certificates  1"));
    assert!(run(&["inspect", "made.jpg"]).contains("  proof   "));
    let verdict = run(&["scan", "-f", "jsonl", "made.jpg"]);
    assert!(verdict.contains(r#""grade":"proof""#) && verdict.contains("its signature holds"), "{verdict}");

    assert_eq!(run(&["trust", "remove", "our root"]), "removed our root\n");
    let failed = candor(dir).args(["trust", "remove", "our root"]).assert().failure();
    let said = String::from_utf8(failed.get_output().stderr.clone()).unwrap();
    assert!(said.contains("candor trust list"), "{said}");
}

#[test]
fn what_is_no_list_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("notes.txt"), "no certificates here").unwrap();
    for arguments in [
        &["trust", "add", "notes.txt"][..],
        &["trust", "add", "absent.pem"],
        &["inspect", "--trust-anchors", "notes.txt", "notes.txt"],
        &["trust", "remove", "../notes"],
    ] {
        let failed = candor(folder.path()).args(arguments).assert().failure();
        let said = String::from_utf8(failed.get_output().stderr.clone()).unwrap();
        assert!(said.contains("notes") || said.contains("absent"), "{arguments:?}: {said}");
    }
}

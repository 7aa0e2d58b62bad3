//! One container, whose beginning is put before what the fuzzer makes: inspected, labelled, and read back. `CANDOR_CONTAINER` names it.
#![no_main]

use std::borrow::Cow;
use std::sync::OnceLock;

use candor_provenance::write::{Label, Options, label};
use candor_provenance::{Limits, Trust, inspect};
use libfuzzer_sys::fuzz_target;

/// Names of containers, and the bytes that files of each begin with.
const CONTAINERS: [(&str, &[u8]); 20] = [
    ("jpeg", b"\xff\xd8\xff"),
    ("png", b"\x89PNG\r\n\x1a\n"),
    ("webp", b"RIFF\x00\x01\0\0WEBP"),
    ("gif", b"GIF89a"),
    ("tiff", b"II*\0\x08\0\0\0"),
    ("mp4", b"\0\0\0\x10ftypisom\0\0\0\0"),
    ("heif", b"\0\0\0\x10ftypheic\0\0\0\0"),
    ("jxl", b"\0\0\0\x0cJXL \r\n\x87\n"),
    ("wav", b"RIFF\x00\x01\0\0WAVE"),
    ("avi", b"RIFF\x00\x01\0\0AVI "),
    ("aiff", b"FORM\0\0\x01\x00AIFF"),
    ("caf", b"caff\0\x01\0\0"),
    ("mp3", b"ID3\x04\0\0"),
    ("flac", b"fLaC"),
    ("ogg", b"OggS\0\x02"),
    ("matroska", b"\x1a\x45\xdf\xa3"),
    ("flv", b"FLV\x01"),
    ("pdf", b"%PDF-1.7\n"),
    ("zip", b"PK\x03\x04"),
    ("svg", b"<svg xmlns=\"http://www.w3.org/2000/svg\">"),
];

fn start() -> &'static [u8] {
    static START: OnceLock<&[u8]> = OnceLock::new();
    START.get_or_init(|| {
        let wanted = std::env::var("CANDOR_CONTAINER").unwrap_or_default();
        let found = CONTAINERS.iter().find(|(name, _)| *name == wanted);
        let names: Vec<&str> = CONTAINERS.iter().map(|(name, _)| *name).collect();
        let Some((_, start)) = found else {
            eprintln!("no such target; containers are {}", names.join(", "));
            std::process::exit(2);
        };
        start
    })
}

fn begin() {
    candor_fuzz::contained();
    start();
}

fuzz_target!(init: begin(), |bytes: &[u8]| {
    let file = if bytes.starts_with(start()) { Cow::from(bytes) } else { [start(), bytes].concat().into() };
    candor_fuzz::inspected(&file);
    let new = Label::generated("candor-fuzz", "1");
    if let Ok(done) = label(&file, &new, Options { replace: true }) {
        let report = inspect(&done.bytes, &Limits::default(), &Trust::default());
        assert!(report.statements.iter().any(|s| s.id == "china-aigc"), "the label cannot be read");
    }
});

//! `candor inspect` on files made here.

use std::fs;

use crate::util::candor;

/// A PNG of one pixel with a text chunk as generators write it.
fn png(key: &str, value: &str) -> Vec<u8> {
    let mut out = Vec::new();
    image::RgbImage::new(1, 1)
        .write_to(&mut std::io::Cursor::new(&mut out), image::ImageFormat::Png)
        .unwrap();
    let mut body = b"tEXt".to_vec();
    body.extend(key.bytes().chain([0]).chain(value.bytes()));
    let crc = body.iter().fold(!0_u32, |crc, &b| {
        (0..8).fold(crc ^ u32::from(b), |c, _| (c >> 1) ^ (0xedb8_8320 & (c & 1).wrapping_neg()))
    });
    let mut chunk = u32::try_from(body.len() - 4).unwrap().to_be_bytes().to_vec();
    chunk.extend(body);
    chunk.extend((!crc).to_be_bytes());
    // After the signature and the header.
    out.splice(33..33, chunk);
    out
}

#[test]
fn generation_parameters_are_shown_and_silence_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let parameters = "a lighthouse at dusk\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1, Size: 512x512, Model: v1-5";
    fs::write(dir.path().join("made.png"), png("parameters", parameters)).unwrap();
    fs::write(dir.path().join("plain.png"), png("Software", "a paint program")).unwrap();
    let done = candor(dir.path()).args(["inspect", "made.png", "plain.png"]).assert().success();
    let out = String::from_utf8(done.get_output().stdout.clone()).unwrap();
    let (made, plain) = out.split_once("plain.png").unwrap();
    assert!(made.contains("strong") && made.contains("Euler a"), "{out}");
    assert!(plain.contains("declares nothing"), "{out}");

    let done = candor(dir.path()).args(["inspect", "-f", "json", "made.png", "none.png"]).assert().code(3);
    let out = String::from_utf8(done.get_output().stdout.clone()).unwrap();
    let rows: Vec<serde_json::Value> = out.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(rows[0]["statements"][0]["says"], "ai");
    assert!(rows[1]["error"].is_string());
}

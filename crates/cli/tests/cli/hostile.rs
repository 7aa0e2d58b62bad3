//! Two hundred damaged and lying files through the program: each gets a line, none brings it down.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Most resident memory in bytes.
const MEMORY: u64 = 1 << 30;

fn sample(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../datasets/samples");
    fs::read(folder.join(name)).unwrap()
}

fn chunk(kind: [u8; 4], data: &[u8]) -> Vec<u8> {
    let mut crc = !0_u32;
    for &byte in kind.iter().chain(data) {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 };
        }
    }
    let length = u32::try_from(data.len()).unwrap().to_be_bytes();
    [&length[..], &kind, data, &(!crc).to_be_bytes()].concat()
}

/// A PNG header that claims `width` x `height` and holds next to nothing.
fn png(width: u32, height: u32) -> Vec<u8> {
    let mut header = [width.to_be_bytes(), height.to_be_bytes()].concat();
    header.extend([8, 2, 0, 0, 0]);
    [
        &b"\x89PNG\r\n\x1a\n"[..],
        &chunk(*b"IHDR", &header),
        &chunk(*b"IDAT", &[0x78, 0x9c, 3, 0]),
        &chunk(*b"IEND", &[]),
    ]
    .concat()
}

/// A bitmap that claims to be 10,000 pixels wide and high.
fn bmp() -> Vec<u8> {
    let mut out = b"BM".to_vec();
    out.extend([54_u32 + 300_000_000, 0, 54, 40, 10_000, 10_000].iter().flat_map(|v| v.to_le_bytes()));
    out.extend([1, 0, 24, 0]);
    out.extend([0; 24]);
    out
}

/// A WAV that claims ten hours and holds a tenth of a second.
fn ten_hours() -> Vec<u8> {
    let claim: u32 = 10 * 3600 * 16_000 * 2;
    let mut out = [&b"RIFF"[..], &(claim + 36).to_le_bytes(), b"WAVEfmt "].concat();
    out.extend(16_u32.to_le_bytes());
    out.extend([1_u16, 1].iter().flat_map(|v| v.to_le_bytes()));
    out.extend([16_000_u32, 32_000].iter().flat_map(|v| v.to_le_bytes()));
    out.extend([2_u16, 16].iter().flat_map(|v| v.to_le_bytes()));
    out.extend([&b"data"[..], &claim.to_le_bytes()].concat());
    out.extend((0..1600_u32).flat_map(|i| ((i * 37 % 2000) as i16 - 1000).to_le_bytes()));
    out
}

fn fill(folder: &Path) -> usize {
    let mut count = 0;
    let mut put = |name: String, bytes: &[u8]| {
        fs::write(folder.join(name), bytes).unwrap();
        count += 1;
    };
    put("empty.jpg".into(), &[]);
    put("hundred_megapixels.png".into(), &png(10_000, 10_000));
    put("four_gigapixels.png".into(), &png(65_535, 65_535));
    put("no_width.png".into(), &png(0, 7));
    put("wide.bmp".into(), &bmp());
    put("ten_hours.wav".into(), &ten_hours());
    put("zeros.bin".into(), &vec![0; 1 << 20]);
    put("bomb.txt".into(), "buy now ".repeat(2 << 20).as_bytes());
    put("one_line.txt".into(), "abcdefghij".repeat(1 << 19).as_bytes());
    put("nested.html".into(), format!("<html>{}", "<div>".repeat(100_000)).as_bytes());
    put("sound.jpg".into(), &sample("numbers.wav"));
    put("picture.mp3".into(), &sample("cat.jpg"));
    put("text.png".into(), &sample("tides.txt"));
    let originals =
        ["cat.jpg", "numbers.wav", "go-forward.flac", "ferry.mp3", "libraries-zh.txt", "made.png"];
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    for i in 0..187 {
        let name = originals[i % originals.len()];
        let mut bytes = if name == "made.png" { png(64, 64) } else { sample(name) };
        match i % 4 {
            0 => bytes.truncate(rng.random_range(1..bytes.len())),
            1 => {
                for _ in 0..rng.random_range(1..40) {
                    let at = rng.random_range(0..bytes.len());
                    bytes[at] ^= 1 << rng.random_range(0..8);
                }
            }
            // A header full of lies.
            2 => {
                for _ in 0..4 {
                    let at = rng.random_range(0..bytes.len().min(120) - 4);
                    bytes[at..at + 4].copy_from_slice(&[0xFF, 0xFF, 0xFF, rng.random()]);
                }
            }
            _ => {
                let at = rng.random_range(0..bytes.len());
                let more = bytes[..rng.random_range(0..bytes.len())].to_vec();
                bytes.splice(at..at, more);
            }
        }
        put(format!("{i:03}_{name}"), &bytes);
    }
    count
}

#[test]
fn two_hundred_hostile_files_get_a_line_each() {
    let dir = tempfile::tempdir().unwrap();
    let count = fill(dir.path());
    assert_eq!(count, 200);
    let out =
        dir.path().join("../").join(format!("{}.jsonl", dir.path().file_name().unwrap().to_string_lossy()));
    let mut child = Command::new(assert_cmd::cargo::cargo_bin!("candor"))
        .args(["scan", "--quiet", "--format", "jsonl"])
        .arg(dir.path())
        .stdout(fs::File::create(&out).unwrap())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut peak = 0;
    let status = loop {
        peak = peak.max(resident(child.id()));
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    let written = fs::read_to_string(&out).unwrap();
    fs::remove_file(&out).unwrap();
    assert_eq!(status.code(), Some(3), "some of the files cannot be judged");
    let mut lines = 0;
    for line in written.lines() {
        let verdict: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_ne!(verdict["error"]["code"], "internal", "{line}");
        assert!(verdict["label"] != "error" || verdict["error"]["message"].is_string(), "{line}");
        lines += 1;
    }
    assert_eq!(lines, count);
    assert!(peak < MEMORY, "{peak} bytes resident");
}

/// Greatest resident memory of a process so far, where the system tells it.
fn resident(id: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let peak = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    peak.and_then(|v| v.trim().trim_end_matches(" kB").parse::<u64>().ok()).map_or(0, |kb| kb << 10)
}

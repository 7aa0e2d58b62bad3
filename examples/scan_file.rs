//! Judges one file and prints the verdict with its reasons.
//!
//! ```text
//! cargo run -p candor --example scan_file -- photo.jpg
//! ```

use std::path::PathBuf;

use candor::Scanner;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path: PathBuf = std::env::args_os().nth(1).ok_or("usage: scan_file FILE")?.into();
    let scan = Scanner::new()?.scan_path(&path);
    let verdict = &scan.verdict;

    println!("{}: {}", verdict.path, verdict.label);
    if let Some(confidence) = verdict.confidence {
        println!("probability of machine-made: {confidence:.3} (prior {:.3})", verdict.prior);
    }
    for reason in &verdict.reasons {
        println!("{}: {}", reason.signal, reason.text);
    }
    if let Some(error) = &verdict.error {
        println!("{}", error.message);
    }
    // Where the score comes from, beside the program's working folder.
    if let Some(artifact) = candor::explain(&scan) {
        let name = artifact.file_name(verdict);
        std::fs::write(&name, artifact.bytes)?;
        println!("wrote {name}");
    }
    Ok(())
}

//! `candor evidence`: a bundle that shows later, and to others, what was found in which bytes with which program.
//!
//! A bundle is a ZIP file without compression and without times, so that the same content gives the same bytes: checking one
//! means making it again from its entries and comparing, and any byte that changed shows, also in the structure of the archive.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Cursor, Read, Write};
use std::path::Path;
use std::time::SystemTime;

use anyhow::{Context, bail, ensure};
use candor::{Scanner, Verdict};
use candor_models::hex;
use candor_report::{Item, Report};
use ed25519_compact::{KeyPair, PublicKey, Seed, Signature};
use serde::{Deserialize, Serialize};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use crate::args::{EvidenceArgs, EvidenceCommand, EvidenceMakeArgs, EvidenceVerifyArgs, KeygenArgs};
use crate::batch::replace;
use crate::escape::escape;
use crate::exit::Exit;
use crate::walk::{self, Input};
use crate::{model, report, scan, trust};

const FORM: &str = "candor-evidence-1";
const MANIFEST: &str = "manifest.json";
const DIGEST: &str = "manifest.sha256";
const SIGNATURE: &str = "signature.json";

/// Largest bundle that is checked, in bytes: it is held in memory.
const MAX_BUNDLE: u64 = 4 << 30;

/// What is in a bundle and what it was made with.
#[derive(Debug, Serialize, Deserialize)]
struct Manifest {
    form: String,
    /// When the bundle was made, by the clock of the machine.
    created: String,
    tool: Tool,
    system: System,
    options: Options,
    models: Vec<candor::ModelId>,
    /// SHA-256 of everything else in the bundle but the digest and the signature of this manifest.
    entries: BTreeMap<String, String>,
    /// For each verdict in its order, the entry with the file; null where it was left out.
    originals: Vec<Option<String>>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Tool {
    name: String,
    version: String,
    /// SHA-256 of the program.
    sha256: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct System {
    os: String,
    architecture: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Options {
    prior: f64,
    threshold: f64,
    declarations: bool,
    /// Digest of the trust list.
    #[serde(default)]
    trust: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Signed {
    algorithm: String,
    public_key: String,
    signature: String,
}

/// Runs the command.
pub(crate) fn run(args: &EvidenceArgs) -> anyhow::Result<Exit> {
    // SAFETY: this is the only thread so far.
    unsafe { std::env::set_var("RAYON_NUM_THREADS", "1") };
    match &args.command {
        Some(EvidenceCommand::Verify(args)) => verify(args),
        None => make(&args.make),
    }
}

/// Makes a key pair: `<file>` with the secret, `<file>.pub` with the public key.
pub(crate) fn keygen(args: &KeygenArgs) -> anyhow::Result<Exit> {
    let mut public = args.output.clone().into_os_string();
    public.push(".pub");
    ensure!(
        !args.output.exists() && !Path::new(&public).exists(),
        "{} exists; a key is never overwritten",
        candor::path_text(&args.output)
    );
    let pair = KeyPair::from_seed(Seed::new(rand::random()));
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let write = |mut file: File, bytes: &[u8]| -> io::Result<()> { writeln!(file, "{}", hex(bytes)) };
    options
        .open(&args.output)
        .and_then(|file| write(file, pair.sk.seed().as_ref()))
        .with_context(|| format!("cannot write {}", candor::path_text(&args.output)))?;
    File::create(&public)
        .and_then(|file| write(file, pair.pk.as_ref()))
        .with_context(|| format!("cannot write {}", candor::path_text(Path::new(&public))))?;
    writeln!(io::stdout(), "{}", hex(pair.pk.as_ref()))?;
    Ok(Exit::Done)
}

fn make(args: &EvidenceMakeArgs) -> anyhow::Result<Exit> {
    let (Some(output), false) = (&args.output, args.files.is_empty()) else {
        bail!("name the files and the bundle: candor evidence FILE... -o case.zip");
    };
    let key = args.key.as_deref().map(secret).transpose()?;
    let scanner = scan::scanner(&args.judge)?;
    scan::silence_workers();
    let pool = scan::pool(scan::threads(args.judge.jobs))?;
    let never = std::sync::atomic::AtomicBool::new(false);

    let mut entries: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let (mut items, mut originals, mut lines) = (Vec::new(), Vec::new(), Vec::new());
    let work = |input: Input| -> anyhow::Result<(Item, Option<candor::Artifact>, Vec<u8>)> {
        let path = match input {
            Input::File(path) | Input::Hidden(path, _) => path,
            Input::Stdin => bail!("a bundle is made of files, not of standard input"),
        };
        // What cannot be read cannot be evidence: better no bundle than one with a hole.
        let bytes = scanner
            .read(&path)
            .map_err(|failure| anyhow::anyhow!("{}: {}", candor::path_text(&path), failure.message))?;
        let scan = scanner.scan_bytes(&candor::path_text(&path), &bytes);
        let (exhibit, artifact) = (report::exhibit(&scan), candor::explain(&scan));
        Ok((Item { verdict: scan.verdict, exhibit }, artifact, bytes))
    };
    crate::order::in_order(&pool, walk::inputs(args.files.clone()), &never, work, |done| {
        let (item, artifact, bytes) = done?;
        let number = items.len() + 1;
        serde_json::to_writer(&mut lines, &item.verdict)?;
        lines.push(b'\n');
        let name = |suffix: &'static str, bytes: Vec<u8>| {
            let artifact = candor::Artifact { suffix, bytes };
            format!("{number:04}-{}", artifact.file_name(&item.verdict))
        };
        if let Some(artifact) = artifact {
            let entry = format!("maps/{}", name(artifact.suffix, Vec::new()));
            entries.insert(entry, artifact.bytes);
        }
        originals.push((!args.no_originals).then(|| {
            let entry = format!("originals/{}", name("original", Vec::new()));
            entries.insert(entry.clone(), bytes);
            entry
        }));
        items.push(item);
        anyhow::Ok(())
    })?;
    ensure!(!items.is_empty(), "there are no files in what was named");

    let used: Vec<candor::ModelId> = scanner.registry().models().iter().map(|m| m.id.clone()).collect();
    let cards: Vec<_> = report::cards(args.judge.weights.as_deref())?
        .into_iter()
        .filter(|card| used.iter().any(|id| id.id == card.id))
        .collect();
    for card in &cards {
        entries.insert(format!("models/{}.toml", card.id), card.to_toml()?.into_bytes());
    }
    let count = items.len();
    let page = Report { items, cards, language: args.lang.into() };
    entries.insert("report.html".to_owned(), page.html().into_bytes());
    entries.insert("verdicts.jsonl".to_owned(), lines);
    entries.insert("README.txt".to_owned(), README.as_bytes().to_vec());

    let program = std::env::current_exe().and_then(fs::read).context("cannot read this program")?;
    let manifest = Manifest {
        form: FORM.to_owned(),
        created: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
        tool: Tool {
            name: "candor".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            sha256: candor_models::sha256(&program),
        },
        system: System {
            os: std::env::consts::OS.to_owned(),
            architecture: std::env::consts::ARCH.to_owned(),
        },
        options: Options {
            prior: args.judge.prior,
            threshold: args.judge.threshold,
            declarations: !args.judge.no_declarations,
            trust: scanner.options().trust.digest().map(str::to_owned),
        },
        models: used,
        entries: entries.iter().map(|(name, bytes)| (name.clone(), candor_models::sha256(bytes))).collect(),
        originals,
    };
    let manifest = format!("{}\n", serde_json::to_string_pretty(&manifest)?).into_bytes();
    let digest = candor_models::sha256(&manifest);
    if let Some(pair) = key {
        let signed = Signed {
            algorithm: "Ed25519".to_owned(),
            public_key: hex(pair.pk.as_ref()),
            signature: hex(pair.sk.sign(&manifest, None).as_ref()),
        };
        entries.insert(SIGNATURE.to_owned(), serde_json::to_vec(&signed)?);
    }
    entries.insert(DIGEST.to_owned(), format!("{digest}  {MANIFEST}\n").into_bytes());
    entries.insert(MANIFEST.to_owned(), manifest);
    let bundle = pack(&entries)?;
    replace(output, |file| Ok(file.write_all(&bundle)?))?;
    let mut out = io::stdout().lock();
    writeln!(out, "{}: {count} files", candor::path_text(output))?;
    writeln!(out, "SHA-256 of the manifest, for a timestamp: {digest}")?;
    Ok(Exit::Done)
}

const README: &str = "\
This bundle says what Candor found in which files, and lets others check it.

report.html      the findings, for reading; opens in any browser and loads nothing
verdicts.jsonl   the findings, for programs: one JSON object for each file
originals/       the files themselves, unless they were left out; their SHA-256 stands in verdicts.jsonl
maps/            where each score comes from: heat maps, timelines, marked texts
models/          what the detectors are, what they were trained on and how often they err
manifest.json    program, models, options, and the SHA-256 of everything above
manifest.sha256  the SHA-256 of manifest.json
signature.json   the maker's Ed25519 signature over manifest.json, if there is one

Check it:             candor evidence verify case.zip
and scan once more:   candor evidence verify --rerun case.zip
and who signed it:    candor evidence verify --key maker.pub case.zip

Without a signature or a timestamp, whoever changes the bundle can make a new manifest, too. A timestamp over manifest.json after
RFC 3161 fixes when it existed; any authority takes its digest:
  openssl ts -query -sha256 -digest $(cut -c1-64 manifest.sha256) -cert -out request.tsq
";

/// A ZIP file of the entries: stored, sorted, without times.
fn pack(entries: &BTreeMap<String, Vec<u8>>) -> anyhow::Result<Vec<u8>> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in entries {
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Stored)
            .last_modified_time(zip::DateTime::default())
            .unix_permissions(0o644)
            .large_file(bytes.len() as u64 >= u64::from(u32::MAX));
        zip.start_file(name, options)?;
        zip.write_all(bytes)?;
    }
    Ok(zip.finish()?.into_inner())
}

fn unpack(bundle: &[u8]) -> anyhow::Result<BTreeMap<String, Vec<u8>>> {
    let mut zip = ZipArchive::new(Cursor::new(bundle)).context("it is no ZIP file")?;
    let mut entries = BTreeMap::new();
    for i in 0..zip.len() {
        let mut file = zip.by_index(i).context("it is damaged")?;
        ensure!(file.compression() == CompressionMethod::Stored, "it holds compressed entries");
        let name = file.name().context("it is damaged")?.into_owned();
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).with_context(|| format!("{name} is damaged"))?;
        ensure!(entries.insert(name.clone(), bytes).is_none(), "{name} is there twice");
    }
    Ok(entries)
}

fn verify(args: &EvidenceVerifyArgs) -> anyhow::Result<Exit> {
    let name = candor::path_text(&args.bundle);
    let length = fs::metadata(&args.bundle).with_context(|| format!("cannot read {name}"))?.len();
    ensure!(length <= MAX_BUNDLE, "{name} is larger than {MAX_BUNDLE} bytes");
    let bundle = fs::read(&args.bundle).with_context(|| format!("cannot read {name}"))?;
    let mut out = io::stdout().lock();
    let checked = check(&bundle, args.key.as_deref());
    let (entries, manifest, signer) = match checked {
        Ok(checked) => checked,
        Err(error) => {
            writeln!(out, "CHANGED  {}: {}", escape(&name), escape(&format!("{error:#}")))?;
            return Ok(Exit::Flagged);
        }
    };
    writeln!(out, "ok       {}: {} entries as they were made", escape(&name), manifest.entries.len())?;
    writeln!(
        out,
        "made     {} by candor {} (program {:.16}) on {}",
        escape(&manifest.created),
        escape(&manifest.tool.version),
        escape(&manifest.tool.sha256),
        escape(&manifest.system.os)
    )?;
    match (&signer, &args.key) {
        (None, _) => writeln!(out, "signed   by nobody: who made it cannot be told")?,
        (Some(key), None) => {
            writeln!(out, "signed   with {key}; whose key that is has to be known from elsewhere (--key)")?;
        }
        (Some(key), Some(_)) => writeln!(out, "signed   with {key}, the key that was given")?,
    }
    if !args.rerun {
        return Ok(Exit::Done);
    }
    rerun(args, &entries, &manifest, &mut out)
}

/// Checks everything that can be checked without scanning: entries, their digests, the signature and the form of the archive.
#[allow(clippy::type_complexity, reason = "three parts of one answer, used in one place")]
fn check(
    bundle: &[u8],
    key: Option<&Path>,
) -> anyhow::Result<(BTreeMap<String, Vec<u8>>, Manifest, Option<String>)> {
    let entries = unpack(bundle)?;
    let get = |name: &str| entries.get(name).with_context(|| format!("{name} is missing"));
    let bytes = get(MANIFEST)?;
    let digest = format!("{}  {MANIFEST}\n", candor_models::sha256(bytes)).into_bytes();
    ensure!(*get(DIGEST)? == digest, "{MANIFEST} is not the one that {DIGEST} names");
    let manifest: Manifest =
        serde_json::from_slice(bytes).with_context(|| format!("{MANIFEST} is damaged"))?;
    ensure!(manifest.form == FORM, "its form is \"{}\", not \"{FORM}\"", manifest.form);
    for (name, digest) in &manifest.entries {
        ensure!(candor_models::sha256(get(name)?) == *digest, "{name} was changed");
    }
    for name in entries.keys() {
        let own = [MANIFEST, DIGEST, SIGNATURE].contains(&name.as_str());
        ensure!(own || manifest.entries.contains_key(name), "{name} was added");
    }
    let signer = match entries.get(SIGNATURE) {
        None => None,
        Some(signature) => {
            let signed: Signed =
                serde_json::from_slice(signature).with_context(|| format!("{SIGNATURE} is damaged"))?;
            ensure!(signed.algorithm == "Ed25519", "it is signed with an unknown algorithm");
            ensure!(serde_json::to_vec(&signed)? == *signature, "{SIGNATURE} was changed");
            let public =
                PublicKey::from_slice(&bytes_of(&signed.public_key)?).ok().context("its key is damaged")?;
            let value = Signature::from_slice(&bytes_of(&signed.signature)?)
                .ok()
                .context("its signature is damaged")?;
            public.verify(bytes, &value).ok().context("its signature does not fit")?;
            Some(signed.public_key)
        }
    };
    if let Some(path) = key {
        let wanted = fs::read_to_string(path)
            .with_context(|| format!("cannot read the key {}", candor::path_text(path)))?;
        ensure!(
            signer.as_deref() == Some(wanted.trim()),
            "it is not signed with the key {}",
            candor::path_text(path)
        );
    }
    ensure!(pack(&entries)? == bundle, "the archive around its entries was changed");
    Ok((entries, manifest, signer))
}

/// Scans the originals once more and compares.
fn rerun(
    args: &EvidenceVerifyArgs,
    entries: &BTreeMap<String, Vec<u8>>,
    manifest: &Manifest,
    out: &mut impl Write,
) -> anyhow::Result<Exit> {
    let options = candor::ScanOptions {
        prior: manifest.options.prior,
        flag_p: manifest.options.threshold,
        declarations: manifest.options.declarations,
        trust: trust::load(&[])?,
        ..candor::ScanOptions::default()
    };
    let wanted: Vec<String> = manifest.models.iter().map(|m| m.id.clone()).collect();
    let registry = model::registry(args.weights.as_deref(), &wanted)?;
    let scanner = Scanner::builder().options(options).registry(registry).build()?;
    let now: Vec<candor::ModelId> = scanner.registry().models().iter().map(|m| m.id.clone()).collect();
    if now != manifest.models || manifest.tool.version != env!("CARGO_PKG_VERSION") {
        writeln!(out, "note     this is another version or has other weights, so that figures may differ")?;
    }
    if scanner.options().trust.digest() != manifest.options.trust.as_deref() {
        writeln!(out, "note     another trust list is installed, so that grades of signatures may differ")?;
    }
    scan::silence_workers();
    let lines = entries.get("verdicts.jsonl").context("verdicts.jsonl is missing")?;
    let mut different = 0;
    for (line, original) in lines.split(|&b| b == b'\n').zip(&manifest.originals) {
        let before: Verdict = serde_json::from_slice(line).context("verdicts.jsonl is damaged")?;
        let Some(bytes) = original.as_ref().and_then(|name| entries.get(name)) else {
            writeln!(out, "left out {}: the file is not in the bundle", escape(&before.path))?;
            continue;
        };
        let mut after = scanner.scan_bytes(&before.path, bytes).verdict;
        after.elapsed_ms = before.elapsed_ms;
        if after == before {
            writeln!(out, "same     {}: {}", escape(&before.path), before.label)?;
        } else {
            different += 1;
            writeln!(
                out,
                "DIFFERS  {}: {} then, {} now; evidence {} then, {} now",
                escape(&before.path),
                before.label,
                after.label,
                figure(before.llr),
                figure(after.llr)
            )?;
        }
    }
    Ok(if different == 0 { Exit::Done } else { Exit::Flagged })
}

fn figure(llr: Option<f64>) -> String {
    llr.map_or_else(|| "none".to_owned(), |l| format!("{l:+.3}"))
}

fn secret(path: &Path) -> anyhow::Result<KeyPair> {
    let name = candor::path_text(path);
    let text = fs::read_to_string(path).with_context(|| format!("cannot read the key {name}"))?;
    let seed = bytes_of(text.trim()).ok().and_then(|bytes| Seed::from_slice(&bytes).ok());
    Ok(KeyPair::from_seed(seed.with_context(|| format!("{name} is no key; candor keygen makes one"))?))
}

fn bytes_of(hex: &str) -> anyhow::Result<Vec<u8>> {
    ensure!(
        hex.is_ascii() && hex.len().is_multiple_of(2) && !hex.bytes().any(|b| b.is_ascii_uppercase()),
        "no hexadecimal number"
    );
    let byte = |pair: &[u8]| Ok(u8::from_str_radix(std::str::from_utf8(pair)?, 16)?);
    hex.as_bytes().chunks_exact(2).map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bundle(key: Option<&KeyPair>) -> Vec<u8> {
        let mut entries = BTreeMap::from([("verdicts.jsonl".to_owned(), b"{}\n".to_vec())]);
        let manifest = Manifest {
            form: FORM.to_owned(),
            created: "2026-01-01T00:00:00Z".to_owned(),
            tool: Tool { name: "candor".to_owned(), version: "0".to_owned(), sha256: "00".repeat(32) },
            system: System { os: "linux".to_owned(), architecture: "x86_64".to_owned() },
            options: Options { prior: 0.5, threshold: 0.02, declarations: true, trust: None },
            models: Vec::new(),
            entries: entries.iter().map(|(n, b)| (n.clone(), candor_models::sha256(b))).collect(),
            originals: vec![None],
        };
        let manifest = serde_json::to_vec(&manifest).unwrap();
        let digest = format!("{}  {MANIFEST}\n", candor_models::sha256(&manifest));
        if let Some(pair) = key {
            let signed = Signed {
                algorithm: "Ed25519".to_owned(),
                public_key: hex(pair.pk.as_ref()),
                signature: hex(pair.sk.sign(&manifest, None).as_ref()),
            };
            entries.insert(SIGNATURE.to_owned(), serde_json::to_vec(&signed).unwrap());
        }
        entries.insert(DIGEST.to_owned(), digest.into_bytes());
        entries.insert(MANIFEST.to_owned(), manifest);
        pack(&entries).unwrap()
    }

    #[test]
    fn every_changed_byte_shows() {
        let pair = KeyPair::from_seed(Seed::new([7; 32]));
        for key in [None, Some(&pair)] {
            let whole = bundle(key);
            assert!(check(&whole, None).is_ok());
            for place in 0..whole.len() {
                for bit in [0x01, 0x20, 0x80] {
                    let mut changed = whole.clone();
                    changed[place] ^= bit;
                    assert!(check(&changed, None).is_err(), "byte {place} of {}", whole.len());
                }
            }
            for cut in [0, 1, 22, whole.len() / 2, whole.len() - 1] {
                assert!(check(&whole[..cut], None).is_err());
            }
            let mut longer = whole.clone();
            longer.push(0);
            assert!(check(&longer, None).is_err());
        }
    }

    #[test]
    fn only_the_right_key_counts() {
        let folder = tempfile::tempdir().unwrap();
        let (mine, other) = (KeyPair::from_seed(Seed::new([1; 32])), KeyPair::from_seed(Seed::new([2; 32])));
        let key = folder.path().join("mine.pub");
        fs::write(&key, format!("{}\n", hex(mine.pk.as_ref()))).unwrap();
        assert!(check(&bundle(Some(&mine)), Some(&key)).is_ok());
        assert!(check(&bundle(Some(&other)), Some(&key)).is_err());
        assert!(check(&bundle(None), Some(&key)).is_err());
    }
}

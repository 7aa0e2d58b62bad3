//! `candor trust`: the certificates that Content Credentials are checked against, and where they are kept.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, anyhow, bail};
use candor::Trust;

use crate::args::{TrustArgs, TrustCommand};
use crate::batch::replace;
use crate::escape::escape;
use crate::exit::Exit;

/// Where the official lists are published.
const OFFICIAL: &str = "https://github.com/c2pa-org/conformance-public/tree/main/trust-list";

/// Largest list that is read, in bytes.
const MAX_LIST: u64 = 16 << 20;

/// Runs the command.
pub(crate) fn run(args: &TrustArgs) -> anyhow::Result<Exit> {
    let folder = folder()?;
    let mut out = io::stdout().lock();
    match &args.command {
        TrustCommand::Add { files, name } => {
            if name.is_some() && files.len() > 1 {
                bail!("--name names one list; add the files one by one");
            }
            for file in files {
                let name = match name {
                    Some(name) => name.clone(),
                    None => candor::path_text(Path::new(file.file_stem().unwrap_or_default())),
                };
                let (pem, trust) = read(file)?;
                let to = path_of(&folder, &name)?;
                fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
                replace(&to, |file| Ok(file.write_all(pem.as_bytes())?))?;
                writeln!(out, "added {}: {} certificates", escape(&name), trust.anchors().len())?;
            }
        }
        TrustCommand::Remove { names } => {
            for name in names {
                let path = path_of(&folder, name)?;
                fs::remove_file(&path).map_err(|e| match e.kind() {
                    io::ErrorKind::NotFound => {
                        anyhow!("no trust list is called {name:?}; `candor trust list` shows all")
                    }
                    _ => anyhow!("cannot remove {}: {e}", path.display()),
                })?;
                writeln!(out, "removed {}", escape(name))?;
            }
        }
        TrustCommand::List => {
            for path in lists(&folder)? {
                let (_, trust) = read(&path)?;
                writeln!(
                    out,
                    "{}",
                    escape(&candor::path_text(Path::new(path.file_stem().unwrap_or_default())))
                )?;
                for anchor in trust.anchors() {
                    let sha256 = anchor.sha256.get(..16).unwrap_or(&anchor.sha256);
                    writeln!(
                        out,
                        "  {sha256}  until {}  {}",
                        date(anchor.not_after),
                        escape(&anchor.subject)
                    )?;
                }
            }
        }
        TrustCommand::Status => {
            let trust = load(&[])?;
            writeln!(out, "folder        {}", escape(&candor::path_text(&folder)))?;
            writeln!(out, "lists         {}", lists(&folder)?.len())?;
            writeln!(out, "certificates  {}", trust.anchors().len())?;
            if let Some(digest) = trust.digest() {
                let now =
                    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
                let over = trust.anchors().iter().filter(|a| a.not_after < now as i64).count();
                writeln!(out, "out of date   {over}")?;
                writeln!(out, "digest        {digest}")?;
            } else {
                writeln!(out, "\nNo trust list is installed, so no signer is checked. {}", how())?;
            }
        }
    }
    Ok(Exit::Done)
}

/// How to get the official lists.
fn how() -> String {
    format!(
        "The official lists of C2PA are C2PA-TRUST-LIST.pem and C2PA-TSA-TRUST-LIST.pem in\n{OFFICIAL}\n(CC-BY-4.0). \
         Fetch both, then: candor trust add C2PA-TRUST-LIST.pem C2PA-TSA-TRUST-LIST.pem"
    )
}

/// What is installed, and these files beside it.
pub(crate) fn load(extra: &[PathBuf]) -> anyhow::Result<Trust> {
    let mut all = String::new();
    for path in lists(&folder()?)? {
        let (pem, _) = read(&path)
            .context("an installed trust list cannot be used; `candor trust remove` takes it out")?;
        all += &pem;
        all.push('\n');
    }
    for path in extra {
        all += &read(path)?.0;
        all.push('\n');
    }
    if all.is_empty() { Ok(Trust::default()) } else { Ok(Trust::from_pem(&all)?) }
}

/// Where the lists are kept.
fn folder() -> anyhow::Result<PathBuf> {
    if let Some(folder) = std::env::var_os("CANDOR_TRUST_DIR").filter(|f| !f.is_empty()) {
        return Ok(folder.into());
    }
    let config = dirs::config_dir()
        .ok_or_else(|| anyhow!("this user has no folder for settings; set CANDOR_TRUST_DIR"));
    Ok(config?.join("candor").join("trust"))
}

/// The installed lists, by name.
fn lists(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => bail!("cannot read {}: {e}", folder.display()),
    };
    let mut found: Vec<PathBuf> = entries.map(|e| Ok(e?.path())).collect::<io::Result<_>>()?;
    found.retain(|p| p.extension().is_some_and(|e| e == "pem"));
    found.sort();
    Ok(found)
}

fn read(path: &Path) -> anyhow::Result<(String, Trust)> {
    let name = || path.display().to_string();
    if fs::metadata(path).with_context(name)?.len() > MAX_LIST {
        bail!("{}: larger than 16 MiB, which no trust list is", name());
    }
    let pem = fs::read_to_string(path).with_context(name)?;
    let trust = Trust::from_pem(&pem).with_context(name)?;
    Ok((pem, trust))
}

fn path_of(folder: &Path, name: &str) -> anyhow::Result<PathBuf> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ' ');
    if name.is_empty() || name.starts_with('.') || !name.chars().all(plain) {
        bail!(
            "{name:?} is no name for a list: letters, digits, '-', '_', '.' and spaces; choose one with --name"
        );
    }
    Ok(folder.join(format!("{name}.pem")))
}

fn date(seconds: i64) -> String {
    let time = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds.max(0) as u64));
    let text = time.map(|t| humantime::format_rfc3339_seconds(t).to_string()).unwrap_or_default();
    text.get(..10).unwrap_or("?").to_owned()
}

//! `candor model`: the models themselves.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write};
use std::path::Path;

use anyhow::{Context, bail};
use candor_models::{FLAG_P, ModelFile, ModelFiles, Registry, import, net::convert_safetensors};
use serde_json::json;

use crate::args::{Dtype, InspectFormat, ModelArgs, ModelCommand, Network};
use crate::exit::Exit;

/// Runs the command.
pub(crate) fn run(args: &ModelArgs) -> anyhow::Result<Exit> {
    match &args.command {
        ModelCommand::List { weights, format } => list(&found(weights.as_deref())?, *format),
        ModelCommand::Verify { weights } => verify(&found(weights.as_deref())?),
        ModelCommand::Show { id, weights } => {
            let (_, file) = one(id, weights.as_deref())?;
            io::stdout().write_all(show(&file).as_bytes())?;
            Ok(Exit::Done)
        }
        ModelCommand::Export { id, output, dtype, weights } => {
            let (files, file) = one(id, weights.as_deref())?;
            export(&files, file, output, *dtype)
        }
        ModelCommand::Import { network, file, output } => {
            let checkpoint = import::read_checkpoint(file)?;
            let bytes = match network {
                Network::EfficientNetLite0 => import::efficientnet_lite0(&checkpoint)?,
            };
            write(output, &bytes)?;
            writeln!(io::stdout(), "{}", output.display())?;
            Ok(Exit::Done)
        }
    }
}

/// The detectors to run with: of each kind of media the preferred one, or the one whose id was given.
pub(crate) fn registry(weights: Option<&Path>, wanted: &[String]) -> anyhow::Result<Registry> {
    Ok(Registry::choose(&found(weights)?, wanted)?)
}

fn found(weights: Option<&Path>) -> anyhow::Result<Vec<ModelFiles>> {
    Ok(match weights {
        Some(folder) => ModelFiles::in_dir(folder)?,
        None => ModelFiles::embedded(),
    })
}

fn one(id: &str, weights: Option<&Path>) -> anyhow::Result<(ModelFiles, ModelFile)> {
    let all = found(weights)?;
    let known: Vec<String> = all.iter().map(|files| files.id.clone()).collect();
    match all.into_iter().find(|files| files.id == id) {
        Some(files) => files.file().map(|file| (files, file)).map_err(Into::into),
        None => bail!("there is no model \"{id}\"; there are {}", known.join(", ")),
    }
}

fn list(models: &[ModelFiles], format: InspectFormat) -> anyhow::Result<Exit> {
    let mut out = io::stdout().lock();
    for files in models {
        let file = files.file()?;
        let kib = files.weights.len().div_ceil(1024);
        match format {
            InspectFormat::Text => writeln!(
                out,
                "{:<16} {kib:>6} KiB  {}  {}",
                file.id,
                file.sha256.get(..16).unwrap_or(&file.sha256),
                file.licence
            )?,
            InspectFormat::Json => {
                let line = json!({
                    "id": file.id, "bytes": files.weights.len(), "sha256": file.sha256, "licence": file.licence,
                    "summary": file.summary, "data_digest": file.data_digest, "seed": file.seed,
                });
                writeln!(out, "{line}")?;
            }
        }
    }
    Ok(Exit::Done)
}

fn verify(models: &[ModelFiles]) -> anyhow::Result<Exit> {
    let mut failed = 0;
    let mut out = io::stdout().lock();
    for files in models {
        match files.build() {
            Ok(model) => writeln!(out, "ok      {}  {}", model.id.sha256, model.id.id)?,
            Err(error) => {
                failed += 1;
                writeln!(out, "FAILED  {}: {error}", files.name)?;
            }
        }
    }
    Ok(if failed == 0 { Exit::Done } else { Exit::Failed })
}

fn show(file: &ModelFile) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "{}\n\n{}\n", file.id, file.summary);
    for (name, value) in [
        ("licence", file.licence.as_str()),
        ("weights", &file.sha256),
        ("trained on", &file.data_digest),
        ("measured on", &file.measured_on),
    ] {
        let _ = writeln!(out, "{name:<12} {value}");
    }
    let _ = writeln!(out, "{:<12} {}", "seed", file.seed);
    let strata =
        std::iter::once(("all", &file.calibration)).chain(file.strata.iter().map(|(n, c)| (n.as_str(), c)));
    for (name, calibration) in strata {
        let threshold =
            calibration.threshold(FLAG_P).map_or("out of reach".to_owned(), |t| format!("{t:.3}"));
        let _ = writeln!(
            out,
            "{:<12} {name}: {} genuine and {} machine-made items, flagged from a score of {threshold}",
            "calibration",
            calibration.genuine_items(),
            calibration.fabricated
        );
    }
    let _ = writeln!(out, "\nMeasured on development items, with 95 % intervals:");
    for row in &file.figures.overall {
        let _ = writeln!(out, "  {:<18} {:<50} {}", row.slice, row.metric, row.estimate);
    }
    out
}

fn export(files: &ModelFiles, mut file: ModelFile, output: &Path, dtype: Dtype) -> anyhow::Result<Exit> {
    // Never a broken pair: what does not load is not passed on.
    files.build()?;
    let weights = match dtype {
        Dtype::F16 => files.weights.to_vec(),
        Dtype::F32 => convert_safetensors(&files.weights)?,
    };
    file.sha256 = candor_models::sha256(&weights);
    let stem = output.join(&file.id);
    write(&stem.with_extension("safetensors"), &weights)?;
    let description = stem.with_extension("toml");
    write(&description, file.to_toml()?.as_bytes())?;
    writeln!(io::stdout(), "{}", description.display())?;
    Ok(Exit::Done)
}

/// Writes beside the place and moves, so that no half file is left.
fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)
            .with_context(|| format!("cannot create the folder {}", folder.display()))?;
    }
    let temporary = path.with_extension("tmp");
    fs::write(&temporary, bytes)
        .and_then(|()| fs::rename(&temporary, path))
        .with_context(|| format!("cannot write {}", path.display()))
}

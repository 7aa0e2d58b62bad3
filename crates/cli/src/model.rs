//! `candor model`: the models themselves.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write};
use std::path::Path;

use anyhow::{Context, bail};
use candor_models::net::{AasistSize, LiteSize, PublishedImageNet, convert_safetensors};
use candor_models::{FLAG_P, Model, ModelFile, ModelFiles, Registry, WeightPart, import};
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
        ModelCommand::Import { network, file, output, licence } => {
            import_checkpoint(*network, file, output, licence.as_deref())
        }
    }
}

/// Writes the weights of a checkpoint and, for a detector, the configuration that measures it and a card.
fn import_checkpoint(
    network: Network,
    file: &Path,
    output: &Path,
    licence: Option<&str>,
) -> anyhow::Result<Exit> {
    let checkpoint = import::read_checkpoint(file)?;
    let picture = |which| import::image_net(which, &checkpoint);
    let (media, title, task, bytes) = match network {
        Network::EfficientNetLite0 => {
            ("", "", String::new(), import::efficientnet_lite(LiteSize::Lite0, &checkpoint)?)
        }
        Network::EfficientNetLite2 => {
            ("", "", String::new(), import::efficientnet_lite(LiteSize::Lite2, &checkpoint)?)
        }
        Network::MiniLm => {
            let beside = file.with_file_name("tokenizer.json");
            let tokenizer = fs::read(&beside).with_context(|| format!("cannot read {}", beside.display()))?;
            ("", "", String::new(), import::minilm(&checkpoint, &tokenizer)?)
        }
        Network::Clip => ("", "", String::new(), import::clip(&checkpoint)?),
        Network::WhisperBase => ("", "", String::new(), import::whisper(&checkpoint)?),
        Network::Perth => ("", "", String::new(), import::perth(&checkpoint)?),
        Network::Aasist => (
            "audio",
            "AASIST",
            "[imported]\nnetwork = \"aasist\"\n".into(),
            import::aasist(AasistSize::Aasist, &checkpoint)?,
        ),
        Network::AasistL => (
            "audio",
            "AASIST-L",
            "[imported]\nnetwork = \"aasist-l\"\n".into(),
            import::aasist(AasistSize::AasistL, &checkpoint)?,
        ),
        Network::FerretnetS => {
            ("image", "FerretNet-S", image_task("ferretnet-s"), picture(PublishedImageNet::FerretnetS)?)
        }
        Network::FerretnetB => {
            ("image", "FerretNet-B", image_task("ferretnet-b"), picture(PublishedImageNet::FerretnetB)?)
        }
        Network::Npr => ("image", "NPR", image_task("npr"), picture(PublishedImageNet::Npr)?),
    };
    if media.is_empty() {
        write(output, &bytes)?;
        writeln!(io::stdout(), "{}", output.display())?;
        return Ok(Exit::Done);
    }
    let Some(licence) = licence else {
        bail!("say under which licence the weights of {title} come: --licence MIT, for instance");
    };
    let name = output.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let source = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let source = format!(
        "{}, SHA-256 {}",
        file.file_name().unwrap_or_default().display(),
        candor_models::sha256(&source)
    );
    let config = output.with_file_name(format!("{name}.train.toml"));
    let summary = format!("{title} with its authors' weights, converted from {source}.");
    let quote = |text: &str| toml::Value::String(text.to_owned()).to_string();
    let text = format!(
        "id = {}\nsummary = {}\nlicence = {}\nseed = 1\n\n[sampling]\ngroup_power = 0.5\nlabel_smoothing = 0.0\n\n{task}",
        quote(&format!("{media}/{name}")),
        quote(&summary),
        quote(licence)
    );
    let card = format!(
        "# {media}/{name}\n\n{summary} Licence of the weights: {licence}. Not measured and not calibrated yet, so that it can't be \
         used; this does both:\n\n    candor train --calibrate-only --config {} --data MANIFEST\n",
        config.display()
    );
    write(output, &bytes)?;
    write(&config, text.as_bytes())?;
    write(&output.with_file_name(format!("{name}.md")), card.as_bytes())?;
    let mut out = io::stdout().lock();
    writeln!(out, "{}", output.display())?;
    writeln!(
        out,
        "calibrate it with: candor train --calibrate-only --config {} --data MANIFEST",
        config.display()
    )?;
    Ok(Exit::Done)
}

/// A published network for images can be trained, too: the sections that this needs.
fn image_task(name: &str) -> String {
    format!(
        "[schedule]\nsteps = 1500\nbatch = 16\nevaluate_every = 250\ncheckpoint_every = 250\n\n[optimizer]\nlearning_rate = 1e-3\n\
         warmup = 100\nweight_decay = 0.01\nclip = 2.0\nema = 0.995\n\n[image]\npublished = \"{name}\"\ncrop = 160\nregion = 512\n\n\
         [image.laundering]\n"
    )
}

/// The detectors to run with: of each kind of media the preferred one, or the one whose id was given.
pub(crate) fn registry(weights: Option<&Path>, wanted: &[String]) -> anyhow::Result<Registry> {
    Ok(Registry::choose(&found(weights)?, wanted)?)
}

/// The models of a folder, or the embedded ones.
pub(crate) fn found(weights: Option<&Path>) -> anyhow::Result<Vec<ModelFiles>> {
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
        let parts = files.parts.iter().map(|(_, bytes)| bytes.len()).sum::<usize>();
        let kib = (files.weights.len() + parts).div_ceil(1024);
        match format {
            InspectFormat::Text => writeln!(
                out,
                "{:<16} {kib:>6} KiB  {}  {}",
                file.id,
                file.sha256.get(..16).unwrap_or(&file.sha256),
                file.licence
            )?,
            InspectFormat::Json => {
                let part = |(name, bytes): &WeightPart| json!({ "name": name, "bytes": bytes.len(), "sha256": candor_models::sha256(bytes) });
                let line = json!({
                    "id": file.id, "bytes": files.weights.len(), "sha256": file.sha256, "licence": file.licence,
                    "summary": file.summary, "data_digest": file.data_digest, "seed": file.seed,
                    "parts": files.parts.iter().map(part).collect::<Vec<_>>(),
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
        match Model::new(&files.name, &files.description, &files.weights, &files.parts) {
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
    Model::new(&files.name, &files.description, &files.weights, &files.parts)?;
    let weights = match dtype {
        Dtype::F16 => files.weights.to_vec(),
        Dtype::F32 => convert_safetensors(&files.weights)?,
    };
    file.sha256 = candor_models::sha256(&weights);
    let stem = output.join(&file.id);
    write_weights(&stem, files, &weights)?;
    let description = stem.with_extension("toml");
    write(&description, file.to_toml()?.as_bytes())?;
    writeln!(io::stdout(), "{}", description.display())?;
    Ok(Exit::Done)
}

/// Writes the weight file of a model, `<stem>.safetensors`, and beside it those that it shares with others.
pub(crate) fn write_weights(stem: &Path, files: &ModelFiles, weights: &[u8]) -> anyhow::Result<()> {
    for (name, bytes) in &files.parts {
        let path = stem.with_file_name(format!("{name}.safetensors"));
        if fs::read(&path).is_ok_and(|there| there != **bytes) {
            bail!(
                "{} is another file than the one that {} needs: choose another folder",
                path.display(),
                files.id
            );
        }
        write(&path, bytes)?;
    }
    write(&stem.with_extension("safetensors"), weights)
}

/// Writes beside the place and moves, so that no half file is left.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)
            .with_context(|| format!("cannot create the folder {}", folder.display()))?;
    }
    let temporary = path.with_extension("tmp");
    fs::write(&temporary, bytes)
        .and_then(|()| fs::rename(&temporary, path))
        .with_context(|| format!("cannot write {}", path.display()))
}

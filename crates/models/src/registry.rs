//! The detectors that a program runs with: embedded in the binary, or read from a folder.

use std::{borrow::Cow, path::Path, sync::OnceLock};

use candor_features::{Media, MediaKind};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{Architecture, Calibrations, Detection, Detector, Error, ModelFile, Result, hex};

/// Identity of a model, as printed in every verdict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ModelId {
    /// `<media>/<name>`, for instance `image/residual`.
    pub id: String,
    /// SHA-256 of the weight file, hexadecimal.
    pub sha256: String,
}

/// A detector with its calibration.
pub struct Model {
    /// Which weights these are.
    pub id: ModelId,
    /// The network.
    pub detector: Box<dyn Detector>,
    /// From its logit to a likelihood ratio and a p-value.
    pub calibrations: Calibrations,
}

impl Model {
    /// A model from its description and its weight file.
    ///
    /// # Errors
    /// When the description is wrong, or the weights are not those that it describes.
    pub fn new(name: &str, description: &str, weights: &[u8]) -> Result<Self> {
        let file = ModelFile::from_toml(name, description)?;
        let id = ModelId { id: file.id, sha256: file.sha256 };
        let detector = build(&id, &file.architecture, weights)?;
        let calibrations = Calibrations { pooled: file.calibration, strata: file.strata };
        Ok(Self { id, detector, calibrations })
    }

    /// A model that is compiled in; its network is built when the first item of its kind comes, for which most calls are too short
    /// to need all of them.
    fn embedded(name: &str, description: &str, weights: &'static [u8]) -> Result<Self> {
        let file = ModelFile::from_toml(name, description)?;
        let id = ModelId { id: file.id, sha256: file.sha256 };
        let detector =
            Later { id: id.clone(), architecture: file.architecture, weights, built: OnceLock::new() };
        let calibrations = Calibrations { pooled: file.calibration, strata: file.strata };
        Ok(Self { id, detector: Box::new(detector), calibrations })
    }
}

/// The network of a weight file, if it is the one that was described.
fn build(id: &ModelId, architecture: &Architecture, weights: &[u8]) -> Result<Box<dyn Detector>> {
    let sha256 = hex(&Sha256::digest(weights));
    if sha256 != id.sha256 {
        let reason = format!("the weights have SHA-256 {sha256}, the description says {}", id.sha256);
        return Err(Error::model(&id.id, reason));
    }
    architecture.build(weights)
}

/// A detector that is built when it is first asked.
struct Later {
    id: ModelId,
    architecture: Architecture,
    weights: &'static [u8],
    built: OnceLock<std::result::Result<Box<dyn Detector>, String>>,
}

impl Detector for Later {
    fn kind(&self) -> MediaKind {
        self.architecture.kind()
    }

    fn detect(&self, media: &Media) -> Result<Detection> {
        let built = self
            .built
            .get_or_init(|| build(&self.id, &self.architecture, self.weights).map_err(|e| e.to_string()));
        match built {
            Ok(detector) => detector.detect(media),
            Err(reason) => Err(Error::model(&self.id.id, reason)),
        }
    }
}

/// The two files of a model.
#[derive(Debug, Clone)]
pub struct ModelFiles {
    /// `<media>/<name>`, by their place.
    pub id: String,
    /// Where they come from, for messages: the id of an embedded model, the path of a description.
    pub name: String,
    /// The description, TOML.
    pub description: Cow<'static, str>,
    /// The weights, safetensors.
    pub weights: Cow<'static, [u8]>,
}

impl ModelFiles {
    /// The models that were compiled into this program, the preferred one of each kind of media first.
    pub fn embedded() -> Vec<Self> {
        let own = |&(id, description, weights): &(&str, &'static str, &'static [u8])| Self {
            id: id.to_owned(),
            name: id.to_owned(),
            description: Cow::Borrowed(description),
            weights: Cow::Borrowed(weights),
        };
        EMBEDDED.iter().map(own).collect()
    }

    /// Every model of a folder laid out as `weights/`: `<media>/<name>.safetensors` beside `<name>.toml`, sorted by name.
    /// Weights without a description are parts of others.
    ///
    /// # Errors
    /// Names the file or folder that can't be read.
    pub fn in_dir(dir: &Path) -> Result<Vec<Self>> {
        let mut found = Vec::new();
        for media in ["image", "audio", "text"] {
            let folder = dir.join(media);
            let entries = match std::fs::read_dir(&folder) {
                Ok(entries) => entries,
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
                Err(e) => return Err(Error::io(folder, e)),
            };
            let mut descriptions: Vec<_> = entries
                .filter_map(|e| e.ok().map(|e| e.path()))
                .filter(|p| p.extension().is_some_and(|x| x == "safetensors"))
                .map(|p| p.with_extension("toml"))
                .filter(|p| p.exists())
                .collect();
            descriptions.sort();
            for path in descriptions {
                let weights = path.with_extension("safetensors");
                let bytes = std::fs::read(&weights).map_err(|e| Error::io(&weights, e))?;
                let text = std::fs::read_to_string(&path).map_err(|e| Error::io(&path, e))?;
                let stem = path.file_stem().unwrap_or_default().to_string_lossy();
                found.push(Self {
                    id: format!("{media}/{stem}"),
                    name: path.to_string_lossy().into_owned(),
                    description: Cow::Owned(text),
                    weights: Cow::Owned(bytes),
                });
            }
        }
        if found.is_empty() {
            return Err(Error::config(
                dir,
                "no <media>/<name>.safetensors beside a <name>.toml in this folder",
            ));
        }
        Ok(found)
    }

    /// The description, read.
    ///
    /// # Errors
    /// Names the key that is wrong.
    pub fn file(&self) -> Result<ModelFile> {
        ModelFile::from_toml(&self.name, &self.description)
    }

    /// The model, if the weights are those that the description names and fit its network; of a model that is compiled in, that is
    /// found out when it is first asked.
    ///
    /// # Errors
    /// Says what does not fit.
    pub fn build(&self) -> Result<Model> {
        match self.weights {
            Cow::Borrowed(weights) => Model::embedded(&self.name, &self.description, weights),
            Cow::Owned(ref weights) => Model::new(&self.name, &self.description, weights),
        }
    }
}

/// At most one model for each kind of media.
#[derive(Default)]
pub struct Registry {
    models: Vec<Model>,
}

/// Name, description and weights of every model that is compiled in, the preferred one of each kind first.
const EMBEDDED: [(&str, &str, &[u8]); 5] = [
    (
        "image/best",
        include_str!("../../../weights/image/best.toml"),
        include_bytes!("../../../weights/image/best.safetensors"),
    ),
    (
        "image/residual",
        include_str!("../../../weights/image/residual.toml"),
        include_bytes!("../../../weights/image/residual.safetensors"),
    ),
    (
        "audio/best",
        include_str!("../../../weights/audio/best.toml"),
        include_bytes!("../../../weights/audio/best.safetensors"),
    ),
    (
        "audio/lfcc",
        include_str!("../../../weights/audio/lfcc.toml"),
        include_bytes!("../../../weights/audio/lfcc.safetensors"),
    ),
    (
        "text/ngram",
        include_str!("../../../weights/text/ngram.toml"),
        include_bytes!("../../../weights/text/ngram.safetensors"),
    ),
];

impl Registry {
    /// The models that were compiled into this program.
    ///
    /// # Errors
    /// When an embedded file is damaged, which the tests rule out.
    pub fn embedded() -> Result<Self> {
        Self::choose(&ModelFiles::embedded(), &[])
    }

    /// The models of a folder laid out as `weights/`: `<media>/<name>.safetensors` beside `<name>.toml`. Of several
    /// models for one kind of media the first by name is taken.
    ///
    /// # Errors
    /// Names the file that is missing, damaged or does not fit its description.
    pub fn from_dir(dir: &Path) -> Result<Self> {
        Self::choose(&ModelFiles::in_dir(dir)?, &[])
    }

    /// One model for each kind of media: the one whose id is wanted, else the first. Only these are built.
    ///
    /// # Errors
    /// When there is no model of a wanted id, or one does not fit its description.
    pub fn choose(files: &[ModelFiles], wanted: &[String]) -> Result<Self> {
        if let Some(unknown) = wanted.iter().find(|id| files.iter().all(|f| f.id != **id)) {
            let known: Vec<&str> = files.iter().map(|f| f.id.as_str()).collect();
            return Err(Error::model(
                unknown,
                format!("there is no such model; there are {}", known.join(", ")),
            ));
        }
        let media = |files: &ModelFiles| files.id.split('/').next().map(str::to_owned);
        let mut chosen: Vec<&ModelFiles> = Vec::new();
        let (asked, others): (Vec<_>, Vec<_>) = files.iter().partition(|f| wanted.contains(&f.id));
        for candidate in asked.into_iter().chain(others) {
            if chosen.iter().all(|c| media(c) != media(candidate)) {
                chosen.push(candidate);
            }
        }
        let models = chosen.into_iter().map(ModelFiles::build).collect::<Result<_>>()?;
        Ok(Self::from_models(models))
    }

    /// These models, in the order image, audio, text; the first of each kind is used.
    pub fn from_models(mut models: Vec<Model>) -> Self {
        models.sort_by_key(|m| m.detector.kind());
        models.dedup_by_key(|m| m.detector.kind());
        Self { models }
    }

    /// The model for a kind of media.
    pub fn get(&self, kind: MediaKind) -> Option<&Model> {
        self.models.iter().find(|m| m.detector.kind() == kind)
    }

    /// All models in the order image, audio, text.
    pub fn models(&self) -> &[Model] {
        &self.models
    }
}

//! The detectors that a program runs with: embedded in the binary, or read from a folder.

use std::{borrow::Cow, path::Path, sync::OnceLock};

use candor_features::{Media, MediaKind};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    Architecture, Calibrations, Detection, Detector, Error, ModelFile, Result, hex, net::parts as part_names,
};

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
    /// A model from its description, its weight file and those that this one names.
    ///
    /// # Errors
    /// When the description is wrong, or the weights are not those that it describes.
    pub fn new(name: &str, description: &str, weights: &[u8], parts: &[WeightPart]) -> Result<Self> {
        let file = ModelFile::from_toml(name, description)?;
        let id = ModelId { id: file.id, sha256: file.sha256 };
        let detector = build(&id, &file.architecture, weights, parts)?;
        let calibrations = Calibrations { pooled: file.calibration, strata: file.strata };
        Ok(Self { id, detector, calibrations })
    }

    /// A model that is compiled in; its network is built when the first item of its kind comes, for which most calls are too short
    /// to need all of them.
    fn embedded(
        name: &str,
        description: &str,
        weights: &'static [u8],
        parts: Vec<WeightPart>,
    ) -> Result<Self> {
        let file = ModelFile::without_figures(name, description)?;
        let id = ModelId { id: file.id, sha256: file.sha256 };
        let architecture = file.architecture;
        let detector = Later { id: id.clone(), architecture, weights, parts, built: OnceLock::new() };
        let calibrations = Calibrations { pooled: file.calibration, strata: file.strata };
        Ok(Self { id, detector: Box::new(detector), calibrations })
    }
}

/// A weight file that a model shares with others: its name, without folder and ending, and its bytes.
pub type WeightPart = (String, Cow<'static, [u8]>);

/// The network of a weight file, if it is the one that was described and the files that it names are those that it was made with.
fn build(
    id: &ModelId,
    architecture: &Architecture,
    weights: &[u8],
    parts: &[WeightPart],
) -> Result<Box<dyn Detector>> {
    let sha256 = hex(&Sha256::digest(weights));
    if sha256 != id.sha256 {
        let reason = format!("the weights have SHA-256 {sha256}, the description says {}", id.sha256);
        return Err(Error::model(&id.id, reason));
    }
    for (name, expected) in part_names(weights)? {
        let sha256 = hex(&Sha256::digest(part(id, parts, &name)?));
        if sha256 != expected {
            let reason = format!("{name}.safetensors has SHA-256 {sha256}, it was made with {expected}");
            return Err(Error::model(&id.id, reason));
        }
    }
    build_unchecked(id, architecture, weights, parts)
}

/// The same without computing digests.
fn build_unchecked(
    id: &ModelId,
    architecture: &Architecture,
    weights: &[u8],
    parts: &[WeightPart],
) -> Result<Box<dyn Detector>> {
    let names = part_names(weights)?;
    let files = names.iter().map(|(name, _)| part(id, parts, name)).collect::<Result<Vec<_>>>()?;
    architecture.build(weights, &files)
}

fn part<'a>(id: &ModelId, parts: &'a [WeightPart], name: &str) -> Result<&'a [u8]> {
    match parts.iter().find(|(n, _)| n == name) {
        Some((_, bytes)) => Ok(bytes),
        None => Err(Error::model(&id.id, format!("needs {name}.safetensors beside its weights"))),
    }
}

/// A detector that is built when it is first asked.
struct Later {
    id: ModelId,
    architecture: Architecture,
    weights: &'static [u8],
    parts: Vec<WeightPart>,
    built: OnceLock<std::result::Result<Box<dyn Detector>, String>>,
}

impl Detector for Later {
    fn kind(&self) -> MediaKind {
        self.architecture.kind()
    }

    fn detect(&self, media: &Media) -> Result<Detection> {
        let built = self.built.get_or_init(|| {
            // A test computes the digests of what is compiled in; at each start that would cost more than a short text.
            build_unchecked(&self.id, &self.architecture, self.weights, &self.parts)
                .map_err(|e| e.to_string())
        });
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
    /// The weight files that the weights name, as far as they were found.
    pub parts: Vec<WeightPart>,
}

impl ModelFiles {
    /// The models that were compiled into this program, the preferred one of each kind of media first.
    pub fn embedded() -> Vec<Self> {
        let part = |&(name, bytes): &(&str, &'static [u8])| (name.to_owned(), Cow::Borrowed(bytes));
        let own = |embedded: &Embedded| Self {
            id: embedded.id.to_owned(),
            name: embedded.id.to_owned(),
            description: Cow::Borrowed(embedded.description),
            weights: Cow::Borrowed(embedded.weights),
            parts: embedded.parts.iter().map(part).collect(),
        };
        EMBEDDED.iter().map(own).collect()
    }

    /// Every model of a folder laid out as `weights/`: `<media>/<name>.safetensors` beside `<name>.toml`; first those whose names are also
    /// compiled in, in that order, then the others by name.
    /// Weights without a description are parts of others.
    ///
    /// # Errors
    /// Names the file or folder that can't be read.
    pub fn in_dir(dir: &Path) -> Result<Vec<Self>> {
        let mut found = Vec::new();
        for media in MEDIA {
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
                // What is wrong with the weights is said when the model is built.
                let mut parts = Vec::new();
                for (name, _) in part_names(&bytes).unwrap_or_default() {
                    // Pictures and recordings share a backbone.
                    let folders = [media].into_iter().chain(MEDIA);
                    let mut paths = folders.map(|m| dir.join(m).join(format!("{name}.safetensors")));
                    if let Some(bytes) = paths.find_map(|path| std::fs::read(path).ok()) {
                        parts.push((name, Cow::Owned(bytes)));
                    }
                }
                found.push(Self {
                    id: format!("{media}/{stem}"),
                    name: path.to_string_lossy().into_owned(),
                    description: Cow::Owned(text),
                    weights: Cow::Owned(bytes),
                    parts,
                });
            }
        }
        let preference = |id: &str| EMBEDDED.iter().position(|e| e.id == id).unwrap_or(EMBEDDED.len());
        found.sort_by_key(|files| preference(&files.id));
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

    /// The model, if the weights are those that the description names and fit its network; of a model that is compiled in, whose digests
    /// the tests compare, whether they fit is found out when it is first asked.
    ///
    /// # Errors
    /// Says what does not fit.
    pub fn build(&self) -> Result<Model> {
        match self.weights {
            Cow::Borrowed(weights) => {
                Model::embedded(&self.name, &self.description, weights, self.parts.clone())
            }
            Cow::Owned(ref weights) => Model::new(&self.name, &self.description, weights, &self.parts),
        }
    }
}

/// Folders of models.
const MEDIA: [&str; 3] = ["image", "audio", "text"];

/// At most one model for each kind of media.
#[derive(Default)]
pub struct Registry {
    models: Vec<Model>,
}

/// A model that is compiled in.
struct Embedded {
    id: &'static str,
    description: &'static str,
    weights: &'static [u8],
    parts: &'static [(&'static str, &'static [u8])],
}

/// The weight file of that name.
macro_rules! weights {
    ($name:literal) => {
        include_bytes!(concat!("../../../weights/", $name, ".safetensors"))
    };
}

/// A model with the weight files that it shares with others.
macro_rules! embedded {
    ($id:literal $(, $part:literal: $bytes:expr)*) => {
        Embedded {
            id: $id,
            description: include_str!(concat!("../../../weights/", $id, ".toml")),
            weights: weights!($id),
            parts: &[$(($part, $bytes)),*],
        }
    };
}

/// Every model that is compiled in, the preferred one of each kind first.
const EMBEDDED: [Embedded; 6] = [
    embedded!("image/best", "clip": weights!("image/clip"), "residual": weights!("image/residual")),
    embedded!("image/residual"),
    embedded!(
        "audio/best",
        "lite2": weights!("image/lite2"),
        "whisper": weights!("audio/whisper"),
        "lfcc": weights!("audio/lfcc")
    ),
    embedded!("audio/lfcc"),
    embedded!("text/ngram"),
    embedded!("text/best", "minilm": weights!("text/minilm"), "ngram": weights!("text/ngram")),
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
    /// models for one kind of media the first of [`ModelFiles::in_dir`] is taken.
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

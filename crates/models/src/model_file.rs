//! The description beside a weight file.

use std::collections::BTreeMap;

use candor_features::{MediaKind, audio::LfccConfig, text::TextConfig};
use serde::{Deserialize, Serialize};

use crate::{
    Calibration, Detector, Error, Result,
    audio::{AasistDetector, LfccDetector},
    encoder::EncodedDetector,
    image::ResidualDetector,
    net::{
        AasistSize, Backbone, LfccNetConfig, LiteSize, NgramNetConfig, Params, PublishedImageNet,
        ResidualNetConfig,
    },
    pretrained::{PretrainedDetector, Selection},
    spectral::{Hearing, SpectralDetector},
    text::{NgramDetector, Standard},
    train::Figures,
};

/// What a weight file is a network of, with everything that its input depends on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case", deny_unknown_fields)]
#[allow(private_interfaces, reason = "the variants are read from files, not built by users")]
pub enum Architecture {
    /// Images: residual micro-network.
    ResidualNet {
        /// Shape of the network.
        network: ResidualNetConfig,
    },
    /// Images: a published network, for comparison.
    PublishedImage {
        /// Which one.
        network: PublishedImageNet,
    },
    /// Images: a linear layer on features that were learned elsewhere, and the residual micro-network beside it. The weight file holds
    /// or names those of both.
    Pretrained {
        /// The network that made them.
        #[serde(default)]
        backbone: Backbone,
        /// Shape of the residual network.
        residual: ResidualNetConfig,
        /// Maps of the backbone that tiles are described by.
        tile_maps: Vec<usize>,
        /// The same for the whole picture.
        whole_maps: Vec<usize>,
    },
    /// Audio: cepstral network.
    LfccNet {
        /// Shape of the network.
        network: LfccNetConfig,
        /// Front end.
        lfcc: LfccConfig,
    },
    /// Audio: a linear layer on features that were learned elsewhere, and the cepstral network beside it. The weight file names those of
    /// all of them.
    Spectral {
        /// Size of the network that looks at spectrograms.
        #[serde(default)]
        backbone: LiteSize,
        /// Shape of the cepstral network.
        network: LfccNetConfig,
        /// Its front end.
        lfcc: LfccConfig,
        /// Maps of the backbone that windows are described by.
        maps: Vec<usize>,
        /// Layers of the encoder of speech that they are described by, too.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        layers: Vec<usize>,
    },
    /// Audio: a published network with its authors' weights, for comparison.
    Aasist {
        /// Which size of it.
        size: AasistSize,
    },
    /// Text: n-grams and style.
    NgramNet {
        /// Shape of the network.
        network: NgramNetConfig,
        /// N-grams and their hash.
        features: TextConfig,
        /// Mean and spread of the style features.
        standard: Standard,
    },
    /// Text: a linear layer on features that were learned elsewhere, and n-grams and style beside it. The weight file names two others, that
    /// of the encoder and that of the n-grams.
    Encoded {
        /// Shape of the n-grams' network.
        network: NgramNetConfig,
        /// N-grams and their hash.
        features: TextConfig,
        /// Mean and spread of the style features.
        standard: Standard,
        /// Layers of the encoder that windows are described by.
        layers: Vec<usize>,
    },
}

impl Architecture {
    /// What the detector reads.
    pub fn kind(&self) -> MediaKind {
        match self {
            Self::ResidualNet { .. } | Self::PublishedImage { .. } | Self::Pretrained { .. } => {
                MediaKind::Image
            }
            Self::LfccNet { .. } | Self::Spectral { .. } | Self::Aasist { .. } => MediaKind::Audio,
            Self::NgramNet { .. } | Self::Encoded { .. } => MediaKind::Text,
        }
    }

    /// Builds the detector around its weight file and those that this one names, in their order.
    ///
    /// # Errors
    /// When a file is missing or does not fit.
    pub fn build(&self, weights: &[u8], parts: &[&[u8]]) -> Result<Box<dyn Detector>> {
        let mut params = Params::blank();
        let files: Vec<&[u8]> = std::iter::once(weights).chain(parts.iter().copied()).collect();
        Ok(match self {
            Self::Encoded { network, features, standard, layers } => {
                let &[own, encoder, ngrams] = files.as_slice() else {
                    return Err(Error::model("text", "takes two weight files beside its own"));
                };
                let files = [own, encoder, ngrams];
                Box::new(EncodedDetector::load(network, *features, standard, layers, files)?)
            }
            Self::ResidualNet { network } => {
                if network.planes != crate::image::PLANES {
                    return Err(Error::model("image", format!("{} input planes", network.planes)));
                }
                let detector = ResidualDetector::new(&mut params, network)?;
                params.load_safetensors(weights)?;
                Box::new(detector)
            }
            Self::PublishedImage { network } => {
                let detector = ResidualDetector::published(&mut params, *network)?;
                params.load_safetensors(weights)?;
                Box::new(detector)
            }
            Self::Pretrained { backbone, residual, tile_maps, whole_maps } => {
                if residual.planes != crate::image::PLANES {
                    return Err(Error::model("image", format!("{} input planes", residual.planes)));
                }
                let selection =
                    Selection { backbone: *backbone, tiles: tile_maps.clone(), whole: whole_maps.clone() };
                let detector = PretrainedDetector::new(&mut params, residual, selection)?;
                params.load_files(&files)?;
                // So that each weight is let go once it is laid out: there would be two of all.
                drop(params);
                Box::new(detector.ready()?)
            }
            Self::LfccNet { network, lfcc } => {
                let detector = LfccDetector::new(&mut params, network, lfcc)?;
                params.load_safetensors(weights)?;
                Box::new(detector)
            }
            Self::Spectral { backbone, network, lfcc, maps, layers } => {
                let hearing = Hearing { size: *backbone, maps: maps.clone(), layers: layers.clone() };
                Box::new(SpectralDetector::load(network, lfcc, &hearing, &files)?)
            }
            Self::Aasist { size } => {
                let detector = AasistDetector::new(&mut params, *size)?;
                params.load_safetensors(weights)?;
                Box::new(detector)
            }
            Self::NgramNet { network, features, standard } => {
                let detector = NgramDetector::new(&mut params, network, *features, standard.clone())?;
                params.load_safetensors(weights)?;
                Box::new(detector.ready(weights)?)
            }
        })
    }
}

/// `<name>.toml` beside `<name>.safetensors`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelFile {
    /// `<media>/<name>`.
    pub id: String,
    /// What the model is, in a sentence or two.
    pub summary: String,
    /// SPDX expression.
    pub licence: String,
    /// Seed of the training.
    pub seed: u64,
    /// SHA-256 over the items of the training, development items included.
    pub data_digest: String,
    /// The same over the items of the measurements and the calibration; differs where these were made anew.
    pub measured_on: String,
    /// SHA-256 of the weight file.
    pub sha256: String,
    /// Network and input.
    pub architecture: Architecture,
    /// Likelihood ratio and p-value.
    pub calibration: Calibration,
    /// The same for the strata of items that are calibrated by themselves.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub strata: BTreeMap<String, Calibration>,
    /// What was measured on the development items.
    pub figures: Figures,
}

impl ModelFile {
    /// Reads a description.
    ///
    /// # Errors
    /// Names the key that is wrong.
    pub fn from_toml(name: &str, text: &str) -> Result<Self> {
        toml::from_str(text).map_err(|e| Error::model(name, e.to_string()))
    }

    /// Reads a description that [`Self::to_toml`] wrote, without its figures: they are half of it, and a scan has no use for them.
    pub(crate) fn without_figures(name: &str, text: &str) -> Result<Self> {
        match text.split_once("\n[[figures.") {
            Some((before, _)) => Self::from_toml(name, &format!("{before}\n[figures]\noverall = []\n")),
            None => Self::from_toml(name, text),
        }
    }

    /// Writes a description.
    pub fn to_toml(&self) -> Result<String> {
        toml::to_string(self).map_err(|e| Error::model(&self.id, e.to_string()))
    }
}

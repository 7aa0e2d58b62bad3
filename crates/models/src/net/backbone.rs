//! The networks for things whose maps describe pictures.

use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use super::{EfficientNetLite, LiteSize, Params, ResNet50};
use crate::Result;

/// A network that was trained to name things in photographs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Backbone {
    /// EfficientNet-Lite0: 3.4 million values, seven maps.
    #[default]
    Lite0,
    /// EfficientNet-Lite2: 4.8 million values, seven maps.
    Lite2,
    /// ResNet-50: 23.5 million values, four maps.
    ResNet50,
}

impl Backbone {
    /// Channels of its maps.
    pub fn channels(self) -> Vec<usize> {
        match self {
            Self::Lite0 => LiteSize::Lite0.channels().into(),
            Self::Lite2 => LiteSize::Lite2.channels().into(),
            Self::ResNet50 => ResNet50::CHANNELS.into(),
        }
    }

    /// Builds the network, making the variables that are missing.
    pub(crate) fn build(self, params: &mut Params) -> Result<Things> {
        Ok(match self {
            Self::Lite0 => Things::Lite(EfficientNetLite::new(params, LiteSize::Lite0)?),
            Self::Lite2 => Things::Lite(EfficientNetLite::new(params, LiteSize::Lite2)?),
            Self::ResNet50 => Things::ResNet(ResNet50::new(params)?),
        })
    }
}

/// A [`Backbone`], built.
pub(crate) enum Things {
    Lite(EfficientNetLite),
    ResNet(ResNet50),
}

impl Things {
    /// The maps of pictures `[n, 3, h, w]`, pixels as `(value - 127) / 128`.
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Vec<Tensor>> {
        match self {
            Self::Lite(net) => net.forward(x),
            Self::ResNet(net) => net.forward(x),
        }
    }
}

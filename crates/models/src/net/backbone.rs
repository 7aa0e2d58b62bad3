//! The networks whose maps describe pictures.

use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use super::{Clip, EfficientNetLite, LiteSize, Params};
use crate::Result;

/// A network that was trained on pictures of things.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Backbone {
    /// EfficientNet-Lite0: 3.4 million values, seven maps.
    #[default]
    Lite0,
    /// EfficientNet-Lite2: 4.8 million values, seven maps.
    Lite2,
    /// The image encoder of CLIP ViT-B/16 without its last block: 78 million values, eleven maps; views of 224 pixels.
    Clip,
}

impl Backbone {
    /// Channels of its maps.
    pub fn channels(self) -> Vec<usize> {
        match self {
            Self::Lite0 => LiteSize::Lite0.channels().into(),
            Self::Lite2 => LiteSize::Lite2.channels().into(),
            Self::Clip => Clip::CHANNELS.into(),
        }
    }

    /// Builds the network, making the variables that are missing; it has to be made [ready](Things::ready).
    pub(crate) fn build(self, params: &mut Params) -> Result<Things> {
        Ok(match self {
            Self::Lite0 => Things::Lite(EfficientNetLite::new(params, LiteSize::Lite0)?),
            Self::Lite2 => Things::Lite(EfficientNetLite::new(params, LiteSize::Lite2)?),
            Self::Clip => Things::Clip(Box::new(Clip::new(params)?)),
        })
    }
}

/// A [`Backbone`], built.
pub(crate) enum Things {
    Lite(EfficientNetLite),
    Clip(Box<Clip>),
}

impl Things {
    /// Lays the weights out; call it after the parameters were set.
    pub(crate) fn ready(self) -> Result<Self> {
        Ok(match self {
            Self::Clip(net) => Self::Clip(Box::new(net.ready()?)),
            Self::Lite(net) => Self::Lite(net),
        })
    }

    /// The maps of pictures `[n, 3, h, w]`, pixels as `(value - 127) / 128`.
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Vec<Tensor>> {
        match self {
            Self::Lite(net) => net.forward(x),
            Self::Clip(net) => net.forward(x),
        }
    }
}

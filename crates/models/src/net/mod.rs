//! The networks.

mod aasist;
mod audio;
mod backbone;
mod clip;
mod efficientnet;
mod encoder;
#[cfg(test)]
mod golden;
mod image;
mod layers;
mod nf4;
mod params;
mod published;
mod text;
mod transformer;
mod whisper;

pub use aasist::{Aasist, AasistSize};
pub use audio::{LfccNet, LfccNetConfig};
pub use backbone::Backbone;
pub(crate) use backbone::Things;
pub use clip::Clip;
pub use efficientnet::{EfficientNetLite, LiteSize};
pub(crate) use efficientnet::{FROZEN, FrozenLinear, WEIGHT_UNIT};
pub use encoder::Encoder;
pub(crate) use encoder::WIDTH;
pub use image::{ResidualNet, ResidualNetConfig};
pub use layers::Mode;
pub(crate) use params::Start;
pub(crate) use params::parts;
pub use params::{Params, convert_safetensors};
pub use published::PublishedImageNet;
pub(crate) use published::{PublishedNet, places};
pub use text::{NgramNet, NgramNetConfig};
pub use whisper::Whisper;

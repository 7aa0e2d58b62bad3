//! The networks.

mod audio;
mod efficientnet;
mod image;
mod layers;
mod params;
mod text;

pub use audio::{LfccNet, LfccNetConfig};
pub use efficientnet::EfficientNetLite0;
pub(crate) use efficientnet::{FROZEN, FrozenLinear, WEIGHT_UNIT};
pub use image::{ResidualNet, ResidualNetConfig};
pub use layers::Mode;
pub use params::{Params, convert_safetensors};
pub use text::{NgramNet, NgramNetConfig};

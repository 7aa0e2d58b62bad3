//! The networks.

mod audio;
mod image;
mod layers;
mod params;
mod text;

pub use audio::{LfccNet, LfccNetConfig};
pub use image::{ResidualNet, ResidualNetConfig};
pub use layers::Mode;
pub use params::Params;
pub use text::{NgramNet, NgramNetConfig};

//! Pictures: decoding, forensic features and the laundering that training and evaluation share.

pub mod blockgrid;
mod chroma;
pub mod colour;
mod decode;
pub mod jpeg;
pub mod launder;
pub mod noise;
pub mod npr;
pub mod planes;
mod resample;
pub mod residual;
pub mod spectrum;
pub mod stats;
pub mod wavelet;

pub use chroma::{CHROMA, chroma};
pub use decode::decode;
pub use planes::Planes;
pub use stats::{ImageStats, image_stats};

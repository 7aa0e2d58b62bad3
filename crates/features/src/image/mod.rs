//! Pictures: decoding, forensic features and the laundering that training and evaluation share.

mod decode;
pub mod jpeg;
pub mod launder;
pub mod npr;
pub mod planes;
pub mod residual;
pub mod wavelet;

pub use decode::decode;
pub use planes::Planes;

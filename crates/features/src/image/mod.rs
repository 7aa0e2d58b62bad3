//! Pictures: decoding, forensic features and the laundering that training and evaluation share.

mod decode;
pub mod jpeg;

pub use decode::decode;

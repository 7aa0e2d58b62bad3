//! candle networks, their kernels, training and calibration.

mod calibration;
mod detector;
mod error;
mod registry;

pub use calibration::{Calibration, FLAG_P, WEAK_P, posterior};
pub use detector::{Abstention, AbstentionCode, Detection, Detector, Fact, ScoreMap};
pub use error::{Error, Result};
pub use registry::{Model, ModelId, Registry};

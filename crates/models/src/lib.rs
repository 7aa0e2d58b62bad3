//! candle networks, their kernels, training and calibration.

mod audio;
mod calibration;
mod detector;
mod encoder;
mod error;
mod image;
pub mod import;
pub mod kernels;
mod logistic;
mod model_file;
pub mod net;
mod optimizer;
mod perth;
mod pretrained;
mod probe;
mod registry;
mod spectral;
mod surprisal;
mod text;
pub mod train;

pub use calibration::{Calibration, Calibrations, FLAG_P, Sample, WEAK_P, posterior};
pub use candor_metrics as metrics;
pub use detector::{Abstention, AbstentionCode, Detection, Detector, Fact, ScoreMap};
pub use error::{Error, Result};
pub use model_file::{Architecture, ModelFile};
pub use optimizer::OptimizerConfig;
pub use perth::Perth;
pub use probe::{Facts, Probe};
pub use registry::{Model, ModelFiles, ModelId, Registry, WeightPart};

/// SHA-256, lower-case hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest;
    hex(&sha2::Sha256::digest(bytes))
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut s, b| {
        let _ = write!(s, "{b:02x}");
        s
    })
}

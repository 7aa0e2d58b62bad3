//! Measuring and calibrating networks whose weights somebody else made.

use super::{Leak, Measured, Subject, audio, manifest::Item};
use crate::{Detector, Result, model_file::Architecture, net::AasistSize};

/// Recordings for a network that stays as it is.
pub(crate) struct Imported {
    size: AasistSize,
    seed: u64,
    items: Vec<Item>,
}

impl Imported {
    pub(crate) fn new(size: AasistSize, seed: u64, items: Vec<Item>) -> Self {
        Self { size, seed, items }
    }
}

impl Subject for Imported {
    fn items(&self) -> &[Item] {
        &self.items
    }

    fn architecture(&self) -> Architecture {
        Architecture::Aasist { size: self.size }
    }

    fn measure(&self, detector: &dyn Detector) -> Result<Vec<Measured>> {
        audio::measure(&self.items, self.seed, detector)
    }

    fn leaks(&self) -> Result<Vec<Leak>> {
        audio::leaks(&self.items, self.seed)
    }
}

//! How bits of a memory flip, as data that finished work is named by.

use anyhow::Result;
use qtaml::physics::{FlipProbability, FlipProfile};
use serde::Serialize;

/// Flip probabilities of every bit of a memory.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Flips {
    /// That of a stored 0.
    pub p01: f64,
    /// That of a stored 1.
    pub p10: f64,
}

impl From<f64> for Flips {
    /// Both values flip alike.
    fn from(p: f64) -> Self {
        Self { p01: p, p10: p }
    }
}

impl Flips {
    /// The larger of the two.
    pub fn most(self) -> f64 {
        self.p01.max(self.p10)
    }

    /// The same for a memory.
    ///
    /// # Errors
    ///
    /// What is no probability.
    pub fn profile(self) -> Result<FlipProfile> {
        Ok(FlipProbability::asymmetric(self.p01, self.p10)?.into())
    }
}

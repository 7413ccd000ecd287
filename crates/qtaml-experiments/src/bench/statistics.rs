//! Statistics that recalibration works with: of the read that is judged, of another one, or none.

use std::ops::Range;

use anyhow::Result;
use qtaml::compensation::allocation::Selection;
use qtaml::deploy::Output;
use qtaml::deploy::job::Fingerprint;
use qtaml::train::Images;
use rayon::prelude::*;
use serde::Serialize;

use super::{Bench, Stored};
use crate::stopwatch::Phase;

/// Where statistics come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Statistics {
    /// From the read that is judged.
    Fresh,
    /// From a read of the same weights under another fault pattern.
    Stale,
    /// Nothing is measured, and nothing repaired.
    None,
}

impl Statistics {
    /// All.
    pub const ALL: [Self; 3] = [Self::Fresh, Self::Stale, Self::None];

    /// In words.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Fresh => "fresh: measured after this read",
            Self::Stale => "stale: measured after another read",
            Self::None => "none: not recalibrated",
        }
    }
}

/// What recalibration keeps beside the weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct CalibrationImages {
    /// How many images.
    pub count: usize,
    /// Their bits, eight a pixel.
    pub bits: u64,
}

impl CalibrationImages {
    pub(super) fn new(images: &Images) -> Self {
        Self { count: images.len(), bits: 8 * images.pixels().len() as u64 }
    }
}

impl Bench<'_> {
    /// Accuracy on the images that judge under each of some fault patterns, with statistics from there. Stale ones
    /// are of a pattern beyond the last that is judged, another one for each.
    pub fn accuracies_with(
        &self,
        statistics: Statistics,
        stored: &Stored,
        selection: &Selection,
        patterns: Range<u32>,
    ) -> Result<Vec<f64>> {
        let Stored { scheme, flips, model, golden, .. } = stored;
        let selected = Fingerprint::of(selection)?;
        let key = ("statistics", &self.name, statistics, flips, scheme, selected, &patterns);
        let accuracies = || {
            let recalibrator = self.recalibrator(scheme.recalibration, golden)?;
            let runner = &*self.judges.runner;
            let read = |pattern| model.read(self.seed, pattern, selection);
            let outputs = |pattern| -> Result<Vec<Output>> {
                Ok(match statistics {
                    Statistics::Fresh => recalibrator.outputs(runner, read(pattern)?)?,
                    Statistics::Stale => {
                        let other = read(patterns.end + pattern)?;
                        let observed = recalibrator.observe(&other)?;
                        recalibrator.repaired(runner, read(pattern)?, &observed)?
                    }
                    Statistics::None => runner.outputs(read(pattern)?)?,
                })
            };
            let accuracy = |pattern| Ok(self.judges.accuracy.score(&outputs(pattern)?)?);
            patterns.clone().into_par_iter().map(accuracy).collect()
        };
        self.context.unit(&key, || self.context.stopwatch.time(Phase::Trials, accuracies))
    }
}

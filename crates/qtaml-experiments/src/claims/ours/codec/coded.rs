//! A network in one memory, under every storage spec.

use anyhow::Result;
use qtaml::compensation::Accounting;
use qtaml::deploy::Recalibration;
use qtaml::deploy::scheme::Scheme;

use crate::bench::code::LIBRARY;
use crate::bench::{Bench, Flips, Stored};

/// A network as quantized words, as words of codebooks, and as all of these beside block codes. To make
/// quantized words takes longest, and they are made once.
pub(super) struct Coded {
    pub(super) quantized: Stored,
    pub(super) codebook: Stored,
    pub(super) mixed: Stored,
}

impl Coded {
    /// Stores it by a scheme of each kind; the last two have the same scores.
    pub(super) fn new(bench: &Bench<'_>, schemes: [&Scheme; 3], flips: Flips) -> Result<Self> {
        let [quantized, codebook, mixed] = schemes;
        let quantized = bench.store(quantized, flips, Accounting::AllBits)?;
        let codebook = bench.store(codebook, flips, Accounting::AllBits)?;
        let blocks = mixed.block_coded(&*bench.calibration, &flips.profile()?, &LIBRARY)?;
        let model = codebook.model.clone().merge(blocks)?.merge(quantized.model.clone())?;
        let statistics = codebook.statistics.clone();
        let score = mixed.allocator.score();
        let problem = model.problem(score, &statistics, Accounting::AllBits)?;
        let mixed = bench.stored(mixed, model, statistics, problem, flips);
        Ok(Self { quantized, codebook, mixed })
    }

    /// The mixed storage with the logits brought back besides: two numbers a class more, and another forward
    /// pass after every read. Scores are those without it.
    pub(super) fn with_logits(&self, bench: &Bench<'_>) -> Result<Stored> {
        let Stored { scheme, model, statistics, flips, .. } = &self.mixed;
        let recalibration = match scheme.recalibration {
            Recalibration::BatchNorm => Recalibration::BatchNormAndLogits,
            _ => Recalibration::Logits,
        };
        let scheme = Scheme { recalibration, ..scheme.clone() };
        let problem = model.problem(scheme.allocator.score(), statistics, Accounting::AllBits)?;
        Ok(bench.stored(&scheme, model.clone(), statistics.clone(), problem, *flips))
    }
}

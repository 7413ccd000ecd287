//! A network in one memory, under every storage spec.

use anyhow::Result;
use qtaml::compensation::Accounting;
use qtaml::deploy::scheme::Scheme;
use qtaml::physics::FlipProbability;

use crate::bench::code::LIBRARY;
use crate::bench::{Bench, Stored};

/// A network as quantized words, as words of codebooks, and as all of these beside block codes. To make
/// quantized words takes longest, and they are made once.
pub(super) struct Coded {
    pub(super) quantized: Stored,
    pub(super) codebook: Stored,
    pub(super) mixed: Stored,
}

impl Coded {
    /// Stores it by a scheme of each kind; the last two have the same scores.
    pub(super) fn new(bench: &Bench<'_>, schemes: [&Scheme; 3], p: f64) -> Result<Self> {
        let [quantized, codebook, mixed] = schemes;
        let quantized = bench.store(quantized, p, Accounting::AllBits)?;
        let codebook = bench.store(codebook, p, Accounting::AllBits)?;
        let blocks = mixed.block_coded(
            &*bench.calibration,
            &FlipProbability::symmetric(p)?.into(),
            &LIBRARY,
        )?;
        let model = codebook.model.clone().merge(blocks)?.merge(quantized.model.clone())?;
        let statistics = codebook.statistics.clone();
        let score = mixed.allocator.score();
        let problem = model.problem(score, &statistics, Accounting::AllBits)?;
        let mixed = bench.stored(mixed, model, statistics, problem, p);
        Ok(Self { quantized, codebook, mixed })
    }
}

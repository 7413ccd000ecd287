//! A network in one memory, in every code.

use anyhow::Result;
use qtaml::physics::FlipProbability;
use qtaml::train::{Classifier, Cost};

use crate::claims::tac::bench::{Bench, Stored};
use crate::claims::tac::scheme::{Allocator, Scheme};

/// A network as numbers, as words, and as all of these beside sequences. To make numbers takes
/// longest, and they are made once.
pub(super) struct Coded<M> {
    pub(super) numbers: Stored<M>,
    pub(super) words: Stored<M>,
    pub(super) any: Stored<M>,
}

impl<M: Classifier> Coded<M> {
    /// Stores it by a scheme of each kind; the last two have the same scores.
    pub(super) fn new(bench: &Bench<'_, M>, schemes: [&Scheme; 3], p: f64) -> Result<Self> {
        let [numbers, words, any] = schemes;
        let numbers = bench.store(numbers, p, Cost::Everything)?;
        let words = bench.store(words, p, Cost::Everything)?;
        let (flips, model) = (FlipProbability::symmetric(p)?, &bench.model);
        let network = any.any_code(model, flips, words.network.clone(), numbers.network.clone())?;
        let statistics = words.statistics.clone();
        let units = match any.allocator {
            Allocator::Tac(score) => network.choices(score, &statistics, Cost::Everything)?,
            Allocator::Uniform => words.units.clone(),
        };
        let golden_scores = bench.golden_scores(any, &network);
        let any = Stored { scheme: any.clone(), network, golden_scores, statistics, units, p };
        Ok(Self { numbers, words, any })
    }
}

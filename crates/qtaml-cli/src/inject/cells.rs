//! Cells of the memory: what is the same tensor under several names lies in it once.

use std::collections::HashMap;

use anyhow::Result;
use qtaml::fault::FaultRecord;
use qtaml::files::{Checkpoint, TensorDescription};

/// The first name of each tensor that has another one.
#[derive(Debug, Default)]
pub(super) struct Cells(HashMap<String, String>);

impl Cells {
    /// Those of a model. What its aliases are is what their first names are.
    pub(super) fn of_model(
        model: &Checkpoint,
        described: &mut [TensorDescription],
    ) -> Result<Self> {
        let weights = (0..described.len()).filter(|&i| described[i].kind.is_weight());
        let pairs = model.aliases(weights)?;
        for &(alias, first) in &pairs {
            described[alias] = described[first].clone();
        }
        Ok(Self::of_pairs(model, pairs))
    }

    /// Those of a model whose faults are recorded: the same faults under both names.
    pub(super) fn of_record(model: &Checkpoint, record: &FaultRecord) -> Result<Self> {
        let recorded = record.tensors().filter_map(|(name, _)| model.position(name));
        let mut pairs = model.aliases(recorded)?;
        let faults = |i: usize| record.tensor(&model.tensors()[i].name).ok();
        pairs.retain(|&(alias, first)| faults(alias) == faults(first));
        Ok(Self::of_pairs(model, pairs))
    }

    fn of_pairs(model: &Checkpoint, pairs: Vec<(usize, usize)>) -> Self {
        let name = |i: usize| model.tensors()[i].name.clone();
        Self(pairs.into_iter().map(|(alias, first)| (name(alias), name(first))).collect())
    }

    /// The name by which the cells of a tensor meet their faults.
    pub(super) fn of<'a>(&'a self, name: &'a str) -> &'a str {
        self.first(name).unwrap_or(name)
    }

    /// The first name of a tensor that has another one.
    pub(super) fn first(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

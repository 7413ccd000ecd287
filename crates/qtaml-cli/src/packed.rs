//! Packed words in a tensor of bytes, the format of `qtaml codec encode`.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use qtaml::fault::WordFlips;
use qtaml::files::{Checkpoint, Dtype, ModelFile, TensorInfo};
use serde::{Deserialize, Serialize};

/// In the metadata of a stored file: the words of its tensors, as JSON.
pub(crate) const METADATA: &str = "qtaml.words";

/// Words of one width back to back, one for each weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Packed {
    pub(crate) bits: u32,
    pub(crate) weights: u64,
}

impl Packed {
    /// Bytes that they fill.
    fn bytes(self) -> u64 {
        self.weights.saturating_mul(self.bits.into()).div_ceil(8)
    }
}

/// What the metadata say of some tensors.
pub(crate) fn to_json(tensors: &BTreeMap<String, Packed>) -> Result<String> {
    Ok(serde_json::to_string(tensors)?)
}

/// The tensors of a model that hold words of `qtaml codec`. Each file speaks of its own tensors.
pub(crate) fn of_model(model: &Checkpoint) -> Result<BTreeMap<String, Packed>> {
    let mut all = BTreeMap::new();
    for shard in model.shards() {
        all.extend(of_file(shard)?);
    }
    Ok(all)
}

fn of_file(model: &ModelFile) -> Result<BTreeMap<String, Packed>> {
    let Some(text) = model.metadata().get(METADATA) else { return Ok(BTreeMap::new()) };
    let damaged = || format!("the metadata {METADATA:?} of the model are damaged");
    let all: BTreeMap<String, Packed> = serde_json::from_str(text).with_context(damaged)?;
    for (name, packed) in &all {
        let tensor = model.tensor(name).map_err(anyhow::Error::from);
        tensor.and_then(|tensor| check(tensor, *packed)).with_context(damaged)?;
    }
    Ok(all)
}

fn check(tensor: &TensorInfo, packed: Packed) -> Result<()> {
    let (name, Packed { bits, weights }) = (&tensor.name, packed);
    let most = WordFlips::MAX_WIDTH;
    ensure!(
        (1..=most).contains(&bits),
        "tensor {name:?}: words of {bits} bits, 1..={most} are allowed"
    );
    let (found, expected) = (tensor.bytes, packed.bytes());
    ensure!(
        tensor.dtype == Dtype::U8 && found == expected,
        "tensor {name:?} is {found} bytes of {}, and {weights} words of {bits} bits are {expected} of U8",
        tensor.dtype
    );
    Ok(())
}

//! Packed words in a tensor of bytes, the format of `qtaml codec encode`.

use std::collections::BTreeMap;

use anyhow::Result;
use qtaml::fault::WordFlips;
use qtaml::files::Checkpoint;

/// Words of one width back to back, one for each weight.
pub(crate) use qtaml::files::StoredWords as Packed;

const _: () = assert!(Packed::MOST_BITS == WordFlips::MAX_WIDTH, "all words can meet faults");

/// The tensors of a model that hold words of `qtaml codec`.
pub(crate) fn of_model(model: &Checkpoint) -> Result<BTreeMap<String, Packed>> {
    Ok(model.stored_words()?)
}

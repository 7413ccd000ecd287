//! The choice of the tensors that are injected into, and of their formats.

use std::collections::HashMap;

use anyhow::{Context, Result, bail, ensure};
use qtaml::fault::{FaultRecord, TensorFaults};
use qtaml::files::{Checkpoint, TensorInfo};
use qtaml::quant::{GroupLayout, Scaling};

use super::storage::{HowStored, Storage};
use crate::packed;

/// The storage of every tensor, in the order of the file; `None` for one that is copied.
pub(super) type Plan = Vec<Option<Storage>>;

/// What faults are drawn for: all weights, or those named, in the given format.
pub(super) fn of_weights(model: &Checkpoint, how: HowStored, only: &[String]) -> Result<Plan> {
    let packed = packed::of_model(model)?;
    let storage = |tensor: &TensorInfo| match packed.get(&tensor.name) {
        Some(&packed) if tensor.bytes > 0 => Some(Storage::Packed(packed)),
        _ => how.storage_of(tensor),
    };
    for name in only {
        let tensor = model.tensor(name)?;
        ensure!(tensor.bytes > 0, "tensor {name:?} of shape {:?} is empty", tensor.shape);
        ensure!(
            storage(tensor).is_some(),
            "tensor {name:?} ({} of rank {}) holds no weights: those are floats, I8, U8 and F8 of rank 2 \
             and more, and with --biases of any rank",
            tensor.dtype,
            tensor.rank()
        );
    }
    let wanted = |tensor: &&TensorInfo| only.is_empty() || only.contains(&tensor.name);
    let plan: Plan =
        model.tensors().iter().map(|t| Some(t).filter(wanted).and_then(storage)).collect();
    ensure!(
        plan.iter().any(Option::is_some),
        "there are no weights: none of the {} tensors is of rank 2 or more and of floats, I8, U8 or F8{}",
        plan.len(),
        empty(model)
    );
    Ok(plan)
}

/// The names of the tensors without a single number, if there are any.
fn empty(model: &Checkpoint) -> String {
    let empty = model.tensors().iter().filter(|tensor| tensor.bytes == 0);
    let names: Vec<_> = empty.map(|tensor| tensor.name.as_str()).collect();
    if names.is_empty() { String::new() } else { format!(", and not empty as {names:?}") }
}

/// What recorded faults are for, if the model has just such tensors.
pub(super) fn of_record(model: &Checkpoint, record: &FaultRecord) -> Result<Plan> {
    let mut recorded: HashMap<&str, &TensorFaults> = record.tensors().collect();
    let storage = |tensor: &TensorInfo| {
        let faults = recorded.remove(tensor.name.as_str());
        faults.map(|faults| of_recorded(tensor, faults)).transpose()
    };
    let plan = model.tensors().iter().map(storage).collect::<Result<Plan>>();
    let missing = |name: &&str| model.tensor(name).map(|_| ()).map_err(anyhow::Error::from);
    let missing = recorded.keys().min().map_or(Ok(()), missing);
    let plan = plan.and_then(|plan| missing.map(|()| plan));
    plan.context("the faults were recorded for other tensors")
}

fn of_recorded(tensor: &TensorInfo, faults: &TensorFaults) -> Result<Storage> {
    let (name, format) = (&tensor.name, faults.format());
    let Some(storage) = Storage::of_recorded(tensor, format, faults.scaling()) else {
        bail!("tensor {name:?} of type {} holds no such weights", tensor.dtype);
    };
    ensure!(storage.format() == format, "tensor {name:?} is no tensor of {format} words");
    let (words, recorded) = (storage.words_of(tensor), faults.words());
    ensure!(words == recorded, "tensor {name:?} has {words} words, and not {recorded}");
    if let Some(Scaling { axis, granularity, .. }) = storage.scaling() {
        GroupLayout::of(&tensor.shape, axis, granularity)?;
    }
    Ok(storage)
}

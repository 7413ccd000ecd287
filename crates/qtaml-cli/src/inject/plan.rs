//! The choice of the tensors that are injected into, and of their formats.

use std::collections::HashMap;

use anyhow::{Context, Result, anyhow, bail, ensure};
use qtaml::fault::{FaultRecord, TensorFaults};
use qtaml::files::{Checkpoint, TensorDescription, TensorInfo};
use qtaml::quant::{GroupLayout, Scaling};

use super::cells::Cells;
use super::metadata::Part;
use super::storage::{HowStored, Storage};
use crate::selection::Selection;

/// The storage of every tensor, in the order of the file; `None` for one that is copied.
pub(super) type Plan = Vec<Option<Storage>>;

/// What faults are drawn for, and in which cells.
#[derive(Debug)]
pub(super) struct Planned {
    pub(super) plan: Plan,
    pub(super) cells: Cells,
    /// Tensors whose axis of output channels was guessed.
    pub(super) axes_guessed: usize,
}

/// Those that are chosen and are weights, in the given format.
pub(super) fn of_weights(
    model: &Checkpoint,
    how: HowStored,
    selection: &Selection,
) -> Result<Planned> {
    let chosen = selection.choose(model.tensors().iter().map(|tensor| tensor.name.as_str()))?;
    let mut described = model.describe(how.layout)?;
    let cells = Cells::of_model(model, &mut described)?;
    let storage = |(tensor, described): (&TensorInfo, &TensorDescription)| {
        how.storage_of(tensor, described, selection.names(&tensor.name))
    };
    let (mut plan, mut refused) = (Plan::with_capacity(described.len()), Vec::new());
    for (tensor, is_chosen) in model.tensors().iter().zip(&described).zip(chosen) {
        let storage = if is_chosen { storage(tensor) } else { Ok(None) };
        plan.push(storage.unwrap_or_else(|why| {
            refused.push(why);
            None
        }));
    }
    let others = refused.len().saturating_sub(1);
    if let Some(why) = refused.into_iter().next() {
        return Err(match others {
            0 => why.into(),
            others => {
                anyhow!(why).context(format!("{} tensors cannot be injected into", others + 1))
            }
        });
    }
    ensure!(
        plan.iter().any(Option::is_some),
        "there are no weights: none of the {} tensors is one, and chosen{}; `qtaml inspect` says what they \
         are, and --only with the whole name of a tensor chooses what belongs to weights",
        plan.len(),
        empty(model)
    );
    let is_guessed = |(storage, described): &(&Option<Storage>, &TensorDescription)| {
        let axis = storage.as_ref().and_then(Storage::scaling).and_then(|scaling| scaling.axis);
        axis.is_some() && described.axis.axis.is_none()
    };
    let axes_guessed = plan.iter().zip(&described).filter(is_guessed).count();
    Ok(Planned { plan, cells, axes_guessed })
}

/// The names of the tensors without a single number, if there are any.
fn empty(model: &Checkpoint) -> String {
    let empty = model.tensors().iter().filter(|tensor| tensor.bytes == 0);
    let names: Vec<_> = empty.map(|tensor| tensor.name.as_str()).collect();
    if names.is_empty() { String::new() } else { format!(", and not empty as {names:?}") }
}

/// What recorded faults are for, if the model has just such tensors.
pub(super) fn of_record(model: &Checkpoint, record: &FaultRecord) -> Result<Planned> {
    let mut recorded: HashMap<&str, &TensorFaults> = record.tensors().collect();
    let storage = |tensor: &TensorInfo| {
        let faults = recorded.remove(tensor.name.as_str());
        faults.map(|faults| of_recorded(tensor, faults)).transpose()
    };
    let plan = model.tensors().iter().map(storage).collect::<Result<Plan>>();
    let missing = |name: &&str| model.tensor(name).map(|_| ()).map_err(anyhow::Error::from);
    let missing = recorded.keys().min().map_or(Ok(()), missing);
    let plan = plan.and_then(|plan| missing.map(|()| plan));
    let plan = plan.context("the faults were recorded for other tensors")?;
    for (name, what, faults) in record.beside() {
        check_beside(model, &plan, (name, what, faults))
            .context("the faults were recorded for other tensors")?;
    }
    Ok(Planned { plan, cells: Cells::of_record(model, record)?, axes_guessed: 0 })
}

/// Whether recorded faults beside a tensor are those of its scales, or of what is stored with these.
fn check_beside(
    model: &Checkpoint,
    plan: &Plan,
    (name, what, faults): (&str, &str, &TensorFaults),
) -> Result<()> {
    let stored = model.position(name).and_then(|i| Some((i, plan[i].as_ref()?)));
    let Some((i, &Storage::Codes(coded))) = stored else {
        bail!("there are faults of {what:?} of tensor {name:?}, whose words are no codes");
    };
    let parts = Part::of(coded);
    let Some(part) = parts.iter().find(|part| part.what == what) else {
        bail!("tensor {name:?} has no {what:?} beside its words");
    };
    let Scaling { axis, granularity, .. } = coded.scaling;
    let layout = GroupLayout::of(&model.tensors()[i].shape, axis, granularity)?;
    let (words, recorded) = (part.words(layout.groups()), faults.words());
    ensure!(
        words == recorded && part.format == faults.format(),
        "the {what} of tensor {name:?} has {words} words of {}, and not {recorded} of {}",
        part.format,
        faults.format()
    );
    Ok(())
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

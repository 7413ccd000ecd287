//! The layout of a stored folder, which follows from the tensors, the granularity and the plan.

use std::collections::{BTreeMap, HashSet};

use qtaml_compensation::storage::StoredLayout;
use qtaml_compensation::{Plan, PlanGroup};
use qtaml_fault::WordDigest;
use qtaml_quant::{Granularity, GroupLayout};

use super::{ManifestGroup, ManifestTensor, Part, Span, StoredFolderError};
use crate::{PlanError, WeightGroup, WeightTensor, groups_of};

/// The groups of a plan that no tensor has taken, by name.
pub(super) type Left<'a> = BTreeMap<&'a str, &'a PlanGroup>;

/// The tensors with their places, one after the other, and with the digests of nothing. Each has its
/// number in the model.
///
/// The tensors may come from a file: nothing is made of their shapes before the plan has as many groups.
pub(super) fn lay_out(
    tensors: &[(usize, WeightTensor)],
    granularity: Granularity,
    plan: &Plan,
) -> Result<Vec<ManifestTensor>, StoredFolderError> {
    let (mut places, mut left) = (Places::default(), left_of(plan));
    let place = |(index, tensor): &(usize, WeightTensor)| {
        places.next(*index, tensor, granularity, &mut left)
    };
    let laid_out = tensors.iter().map(place).collect::<Result<Vec<_>, _>>()?;
    nothing_left(left).map(|()| laid_out)
}

/// All groups of a plan.
pub(super) fn left_of(plan: &Plan) -> Left<'_> {
    plan.groups.iter().map(|group| (group.name.as_str(), group)).collect()
}

/// Refuses groups that belong to no tensor.
pub(super) fn nothing_left(mut left: Left<'_>) -> Result<(), StoredFolderError> {
    match left.pop_first() {
        Some((name, _)) => Err(PlanError::UnknownGroup(name.to_owned()).into()),
        None => Ok(()),
    }
}

/// The tensors that have a place so far.
#[derive(Debug, Default)]
pub(super) struct Places {
    names: HashSet<String>,
    /// Where the last of them ends, in either file.
    end: [u64; 2],
}

impl Places {
    /// The place of the next tensor, which takes its groups.
    pub(super) fn next(
        &mut self,
        index: usize,
        tensor: &WeightTensor,
        granularity: Granularity,
        left: &mut Left<'_>,
    ) -> Result<ManifestTensor, StoredFolderError> {
        let wrong =
            |problem: String| StoredFolderError::Tensor { tensor: tensor.name.clone(), problem };
        if !self.names.insert(tensor.name.clone()) {
            return Err(wrong("is stored twice".into()));
        }
        check_shape(tensor).map_err(wrong)?;
        let count = GroupLayout::new(tensor.channel_major(), granularity).groups();
        if count > left.len() {
            let left = left.len();
            return Err(wrong(format!("has {count} groups, and the plan has no more than {left}")));
        }
        let [words, check] = self.end;
        let groups = groups_of(index, tensor, granularity).into_iter();
        let groups = groups.map(|group| place(&group, left, &mut self.end));
        let groups = groups.collect::<Result<Vec<_>, _>>()?;
        let part = |offset: u64, end: u64| Part {
            offset,
            bytes: end.saturating_sub(offset),
            sha256: WordDigest::of(&[]),
        };
        let (words, check) = (part(words, self.end[0]), part(check, self.end[1]));
        Ok(ManifestTensor { index, tensor: tensor.clone(), words, check, groups })
    }
}

/// Refuses shapes that no tensor has.
fn check_shape(tensor: &WeightTensor) -> Result<(), String> {
    let shape = &tensor.shape;
    let weights = shape.iter().try_fold(1_usize, |weights, &axis| weights.checked_mul(axis));
    match (weights, tensor.output_axis) {
        (None | Some(0), _) => Err(format!("has shape {shape:?}: it needs weights to be stored")),
        (_, Some(axis)) if axis >= shape.len() => {
            Err(format!("of shape {shape:?} has no axis {axis} for its output channels"))
        }
        _ => Ok(()),
    }
}

/// Where a group lies: behind the ends of those before it, which move on.
fn place(
    group: &WeightGroup,
    left: &mut Left,
    end: &mut [u64; 2],
) -> Result<ManifestGroup, StoredFolderError> {
    let name = group.name.clone();
    let planned = left.remove(name.as_str()).ok_or(PlanError::MissingGroup(name.clone()))?;
    if planned.weights != group.len() {
        let (planned, stored) = (planned.weights, group.len());
        return Err(PlanError::Weights { group: name, planned, stored }.into());
    }
    let layout = StoredLayout::of(planned)?;
    let mut span = |file: usize, bytes: u64| {
        let offset = end[file];
        end[file] = offset.saturating_add(bytes);
        Span { offset, bytes }
    };
    let (words, check) = (span(0, layout.bytes()), span(1, layout.check_bytes()));
    let (start, end) = (group.range.start, group.range.end);
    Ok(ManifestGroup { name, start, end, layout, words, check })
}

//! Ends of ranges: what the outermost codes of a group of weights stand for.

use qtaml_fault::BitMask;
use qtaml_quant::ClipSearch;
use rayon::prelude::*;

use super::group::root_mean_square;
use super::{GroupWeights, QuantizedMemory, QuantizedSpec, ScalePolicy};
use crate::StorageError;
use crate::clipping::Around;

/// The ends that all groups of the tensor of a group share; none where each has its own.
pub(super) fn of_tensor(
    group: &GroupWeights,
    spec: &QuantizedSpec,
) -> Result<Option<(f32, f32)>, StorageError> {
    let ends = match spec.scale {
        ScalePolicy::PerGroup | ScalePolicy::MinMse => return Ok(None),
        ScalePolicy::PerTensor => group.ends_of_tensor(spec.range),
        ScalePolicy::ThreeSigma => clipped(group, spec, |all| Ok(sigmas(3.0, all, spec)))?,
        ScalePolicy::FourSigma => clipped(group, spec, |all| Ok(sigmas(4.0, all, spec)))?,
        ScalePolicy::MinRounding => clipped(group, spec, |all| least_rounding(all, spec))?,
    };
    Ok(Some(ends))
}

/// Ends that follow from all weights of a tensor. Of weights that are not finite quantizing names the first,
/// and of none that there are none.
fn clipped(
    group: &GroupWeights,
    spec: &QuantizedSpec,
    ends: impl Fn(&GroupWeights) -> Result<(f32, f32), StorageError>,
) -> Result<(f32, f32), StorageError> {
    let tensor = group.tensor();
    let is_regular = !tensor.is_empty() && tensor.iter().all(|weight| weight.is_finite());
    if is_regular {
        ends(&GroupWeights::all_of(tensor))
    } else {
        Ok(group.ends_of_tensor(spec.range))
    }
}

fn sigmas(count: f64, tensor: &GroupWeights, spec: &QuantizedSpec) -> (f32, f32) {
    ends_at(count * spread(tensor.weights(), spec), tensor, spec)
}

/// The ends that make rounding and clipping least: no memory is asked.
fn least_rounding(tensor: &GroupWeights, spec: &QuantizedSpec) -> Result<(f32, f32), StorageError> {
    let (weights, ends) = (tensor.weights(), tensor.ends(spec.range));
    let mut search = ClipSearch::new(spec.format, spec.range, ends, Around::of(weights).mean)?;
    search.add(weights);
    Ok(search.best())
}

/// For each set of protected bits, how far from its middle a tensor is best clipped, in units of its
/// spread: from 0 in root mean squares in a symmetric range, else from the mean in standard deviations.
pub(super) fn relative_distances(
    group: &GroupWeights,
    memory: &QuantizedMemory,
    spec: &QuantizedSpec,
    masks: &[BitMask],
) -> Result<Vec<f64>, StorageError> {
    let (spread, clipping) = (spread(group.tensor(), spec), group.clipping_of_tensor(spec.range)?);
    let distance = |mask: &BitMask| {
        let channel = memory.channel(*mask)?;
        let distance = clipping.best_distance(&channel, spec.decoder, spec.prior)?;
        Ok(if spread > 0.0 { distance / spread } else { 0.0 })
    };
    masks.par_iter().map(distance).collect()
}

pub(super) fn spread(weights: &[f32], spec: &QuantizedSpec) -> f64 {
    if spec.range.is_symmetric() {
        root_mean_square(weights)
    } else {
        Around::of(weights).deviation(weights)
    }
}

/// The ends of a group at such a distance.
pub(super) fn ends_at(distance: f64, group: &GroupWeights, spec: &QuantizedSpec) -> (f32, f32) {
    // Never so small that f32 has no such range.
    if spec.range.is_symmetric() {
        let largest = group.largest();
        let limit = (distance as f32).clamp(largest / 64.0, largest);
        return (-limit, limit);
    }
    let around = Around::of(group.weights());
    around.ends(distance.clamp(around.farthest / 64.0, around.farthest))
}

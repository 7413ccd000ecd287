//! Ends of ranges: what the outermost codes of a group of weights stand for.

use qtaml_fault::BitMask;
use qtaml_quant::ClipSearch;
use rayon::prelude::*;

use super::group::root_mean_square;
use super::{GroupWeights, QuantizedMemory, QuantizedSpec, ScalePolicy};
use crate::StorageError;
use crate::clipping::{Around, Clipping};

/// The ends that all groups of a tensor share; none where each has its own.
pub(super) fn of_tensor(
    tensor: &GroupWeights,
    spec: &QuantizedSpec,
) -> Result<Option<(f32, f32)>, StorageError> {
    // Of weights that are not finite quantizing names the first, and of none that there are none.
    let weights = tensor.weights();
    let is_finite = !weights.is_empty() && weights.iter().all(|weight| weight.is_finite());
    let sigmas = |count: f64| ends_at(count * spread(weights, spec), tensor, spec);
    Ok(match spec.scale {
        ScalePolicy::PerGroup | ScalePolicy::MinMse => None,
        ScalePolicy::ThreeSigma if is_finite => Some(sigmas(3.0)),
        ScalePolicy::FourSigma if is_finite => Some(sigmas(4.0)),
        ScalePolicy::MinRounding if is_finite => Some(least_rounding(tensor, spec)?),
        _ => Some(tensor.ends(spec.range)),
    })
}

/// The ends that make rounding and clipping least: no memory is asked.
fn least_rounding(tensor: &GroupWeights, spec: &QuantizedSpec) -> Result<(f32, f32), StorageError> {
    let weights = tensor.weights();
    let mean = weights.iter().map(|&w| f64::from(w)).sum::<f64>() / weights.len().max(1) as f64;
    let mut search = ClipSearch::new(spec.format, spec.range, tensor.ends(spec.range), mean)?;
    search.add(weights);
    Ok(search.best())
}

/// For each set of protected bits, how far from its middle a tensor is best clipped, in units of its
/// spread: from 0 in root mean squares in a symmetric range, else from the mean in standard deviations.
pub(super) fn relative_distances(
    tensor: &[f32],
    memory: &QuantizedMemory,
    spec: &QuantizedSpec,
    masks: &[BitMask],
) -> Result<Vec<f64>, StorageError> {
    let (spread, clipping) = (spread(tensor, spec), Clipping::of(tensor, spec.range)?);
    let distance = |mask: &BitMask| {
        let channel = memory.channel(*mask)?;
        let best = clipping.best(&channel, spec.decoder, spec.prior)?;
        Ok(if spread > 0.0 { best.distance / spread } else { 0.0 })
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

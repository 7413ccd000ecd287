//! The design of a codebook for every weight tensor of a model.

use anyhow::{Context, Result, ensure};
use qtaml::compensation::codebook::{
    Codec, DesignConfig, Sample, SampleCounts, TensorCode, WordChannel,
};
use qtaml::files::{Checkpoint, Float, TensorDescription, TensorInfo, TensorKind};
use rayon::prelude::*;

use super::pass::{AT_ONCE, not_a_weight};
use crate::progress::Progress;
use crate::selection::Selection;

/// The tensors that get a code: float weights that are chosen, and other floats of rank 2 and more whose
/// whole names are.
pub(super) fn weights<'a>(
    model: &'a Checkpoint,
    selection: &Selection,
) -> Result<Vec<(&'a TensorInfo, Float)>> {
    let tensors = model.tensors();
    let chosen = selection.choose(tensors.iter().map(|tensor| tensor.name.as_str()))?;
    let described = model.describe(None)?;
    let weight =
        |((tensor, described), is_chosen): ((&'a TensorInfo, &TensorDescription), bool)| {
            let is_named = selection.names(&tensor.name) && tensor.rank() >= 2 && tensor.bytes > 0;
            let is_weight = matches!(described.kind, TensorKind::Weights(_)) || is_named;
            Some((tensor, Float::of(tensor.dtype)?)).filter(|_| is_chosen && is_weight)
        };
    let weights: Vec<_> = tensors.iter().zip(&described).zip(chosen).filter_map(weight).collect();
    ensure!(
        !weights.is_empty(),
        "there are no weights: none of the {} tensors is one of F16, BF16, F32 or F64, and chosen; \
         `qtaml inspect` says what they are",
        tensors.len()
    );
    Ok(weights)
}

/// Designs the codes. As many samples as there are threads are in memory at a time.
pub(super) fn design(
    model: &Checkpoint,
    weights: &[(&TensorInfo, Float)],
    channel: &WordChannel,
) -> Result<Codec> {
    let progress =
        Progress::of_bytes("designing", 2 * weights.iter().map(|(t, _)| t.bytes).sum::<u64>());
    let mut codec = Codec::new();
    for group in weights.chunks(rayon::current_num_threads()) {
        let samples = group.iter().map(|&(tensor, float)| {
            let sample = sample(model, tensor, float, &progress);
            sample.with_context(|| format!("cannot design a code for tensor {:?}", tensor.name))
        });
        let samples: Vec<Sample> = samples.collect::<Result<_>>()?;
        let design = |((tensor, _), sample): (&(&TensorInfo, Float), &Sample)| {
            TensorCode::design(&tensor.shape, sample, channel, &DesignConfig::default())
        };
        let codes: Vec<_> = group.par_iter().zip(&samples).map(design).collect();
        for ((tensor, _), code) in group.iter().zip(codes) {
            codec.insert(&tensor.name, code?);
        }
    }
    Ok(codec)
}

/// The weights of a tensor, by two passes through the file.
fn sample(
    model: &Checkpoint,
    tensor: &TensorInfo,
    float: Float,
    progress: &Progress,
) -> Result<Sample> {
    let piece = AT_ONCE * float.bytes();
    let mut first = 0;
    let mut counts = SampleCounts::new();
    model.for_each_piece(tensor, piece, |bytes| {
        progress.inc(bytes.len() as u64);
        let added = counts.add(&float.decode(&bytes));
        added.map_err(|error| not_a_weight(error, |index| index, float, &bytes, first))?;
        first += (bytes.len() / float.bytes()) as u64;
        Ok::<_, anyhow::Error>(())
    })?;
    let mut bins = counts.into_bins();
    model.for_each_piece(tensor, piece, |bytes| {
        progress.inc(bytes.len() as u64);
        Ok::<_, anyhow::Error>(bins.add(&float.decode(&bytes))?)
    })?;
    Ok(bins.sample()?)
}

//! The design of a codebook for every weight tensor of a model.

use anyhow::{Context, Result, ensure};
use qtaml::compensation::codebook::{
    Codec, DesignConfig, Sample, SampleCounts, TensorCode, WordChannel,
};
use qtaml::files::{Float, ModelFile, TensorInfo, UnknownName};
use rayon::prelude::*;

use super::pass::{AT_ONCE, not_a_weight};
use crate::progress::Progress;

/// The tensors that get a code, by name or by nature: floats of rank 2 and more that are not skipped.
pub(super) fn weights<'a>(
    model: &'a ModelFile,
    skip: &[String],
) -> Result<Vec<(&'a TensorInfo, Float)>> {
    let tensors = model.tensors();
    for pattern in skip {
        let names = || tensors.iter().map(|tensor| tensor.name.as_str());
        let matched = names().any(|name| matches(pattern, name));
        let unknown = || UnknownName::new("tensor", pattern, names());
        ensure!(matched, "--skip matches no tensor: {}", unknown());
    }
    let is_skipped =
        |tensor: &TensorInfo| skip.iter().any(|pattern| matches(pattern, &tensor.name));
    let is_weight =
        |tensor: &&TensorInfo| tensor.rank() >= 2 && tensor.bytes > 0 && !is_skipped(tensor);
    let with_float = |tensor: &'a TensorInfo| Some((tensor, Float::of(tensor.dtype)?));
    let weights: Vec<_> = tensors.iter().filter(is_weight).filter_map(with_float).collect();
    ensure!(
        !weights.is_empty(),
        "there are no weights: none of the {} tensors is of rank 2 or more, of F16, BF16, F32 or \
         F64, and not skipped",
        tensors.len()
    );
    Ok(weights)
}

/// Whether `pattern`, in which `*` stands for any text, is all of `name`.
fn matches(pattern: &str, name: &str) -> bool {
    let Some((begin, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(name) = name.strip_prefix(begin) else { return false };
    name.char_indices().map(|(at, _)| at).chain([name.len()]).any(|at| matches(rest, &name[at..]))
}

/// Designs the codes. As many samples as there are threads are in memory at a time.
pub(super) fn design(
    model: &ModelFile,
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
    model: &ModelFile,
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

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_star_is_any_text_and_all_of_the_name_counts() {
        for (pattern, name, expected) in [
            ("fc.weight", "fc.weight", true),
            ("fc", "fc.weight", false),
            ("fc*", "fc.weight", true),
            ("*", "", true),
            ("*norm*", "layers.0.norm1.weight", true),
            ("*.weight", "fc.weight.old", false),
            ("a*b*b", "a\u{e4}bb", true),
            ("a*b*b", "ab", false),
            ("", "fc", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }
}

//! The design of a codebook for every weight tensor of a model.

use anyhow::{Context, Result};
use qtaml::compensation::WeightsError;
use qtaml::compensation::codebook::{
    Codec, DesignConfig, GroupScales, GroupSquares, Sample, SampleCounts, TensorCode, WordChannel,
};
use qtaml::files::Checkpoint;
use qtaml::quant::Granularity;
use rayon::prelude::*;

use super::choice::Chosen;
use super::pass::{AT_ONCE, not_a_weight};
use crate::progress::Progress;

/// Designs the codes. As many samples as there are threads are in memory at a time.
pub(super) fn design(
    model: &Checkpoint,
    weights: &[Chosen<'_>],
    channel: &WordChannel,
    granularity: Granularity,
) -> Result<Codec> {
    let passes = if granularity == Granularity::Tensor { 2 } else { 3 };
    let bytes: u64 = weights.iter().map(|chosen| chosen.tensor.bytes).sum();
    let progress = Progress::of_bytes("designing", passes * bytes);
    let reader = Reader { model, granularity, progress: &progress };
    let mut codec = Codec::new();
    for group in weights.chunks(rayon::current_num_threads()) {
        let measured = group.iter().map(|chosen| {
            let measured = reader.measure(*chosen);
            measured.with_context(|| {
                format!("cannot design a code for tensor {:?}", chosen.tensor.name)
            })
        });
        let measured: Vec<_> = measured.collect::<Result<_>>()?;
        let design = |(chosen, (sample, scales)): (&Chosen<'_>, (Sample, Option<GroupScales>))| {
            let (shape, config) = (&chosen.tensor.shape, DesignConfig::default());
            match scales {
                None => TensorCode::design(shape, &sample, channel, &config),
                Some(scales) => TensorCode::design_scaled(shape, scales, &sample, channel, &config),
            }
        };
        let codes: Vec<_> = group.par_iter().zip(measured).map(design).collect();
        for (chosen, code) in group.iter().zip(codes) {
            codec.insert(&chosen.tensor.name, code?);
        }
    }
    Ok(codec)
}

/// Who reads the weights, in pieces and more than once.
struct Reader<'a> {
    model: &'a Checkpoint,
    granularity: Granularity,
    progress: &'a Progress,
}

impl Reader<'_> {
    /// The weights of a tensor, in units of its scales if it has several.
    fn measure(&self, chosen: Chosen<'_>) -> Result<(Sample, Option<GroupScales>)> {
        let scales = self.scales(chosen)?;
        let mut counts = SampleCounts::new();
        self.each_piece(chosen, |weights| match &scales {
            None => counts.add(weights),
            Some(scales) => counts.add_scaled(weights, scales),
        })?;
        let mut bins = counts.into_bins();
        self.each_piece(chosen, |weights| match &scales {
            None => bins.add(weights),
            Some(scales) => bins.add_scaled(weights, scales),
        })?;
        Ok((bins.sample()?, scales))
    }

    fn scales(&self, chosen: Chosen<'_>) -> Result<Option<GroupScales>> {
        if self.granularity == Granularity::Tensor {
            return Ok(None);
        }
        let (shape, axis) = (&chosen.tensor.shape, Some(chosen.axis));
        let mut squares = GroupSquares::new(shape, axis, self.granularity)?;
        self.each_piece(chosen, |weights| squares.add(weights))?;
        Ok(squares.into_scales())
    }

    /// One pass through a tensor.
    fn each_piece(
        &self,
        Chosen { tensor, float, .. }: Chosen<'_>,
        mut add: impl FnMut(&[f32]) -> Result<(), WeightsError>,
    ) -> Result<()> {
        let mut first = 0;
        self.model.for_each_piece(tensor, AT_ONCE * float.bytes(), |bytes| {
            self.progress.inc(bytes.len() as u64);
            let added = add(&float.decode(&bytes));
            added.map_err(|error| not_a_weight(error, |index| index, float, &bytes, first))?;
            first += (bytes.len() / float.bytes()) as u64;
            Ok(())
        })
    }
}

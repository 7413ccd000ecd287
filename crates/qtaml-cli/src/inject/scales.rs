//! The scales of the tensors, found in passes of their own while the tensor before is written.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, SyncSender};
use std::thread;

use anyhow::{Result, ensure};
use qtaml::compensation::{CodeHistogram, DecodeTable, Prior};
use qtaml::files::{Checkpoint, Float, TensorInfo};
use qtaml::quant::{Clip, ClipSearch, Extent, Grid, GroupLayout, QuantError, Run, Scales};
use rayon::prelude::*;

use super::faults::Decoding;
use super::storage::{Coded, Storage};
use super::stored::{DecodedWeights, Stored, StoredCodes};
use super::stream::Pass;

/// Weights in a piece that is read.
const AT_ONCE: usize = 1 << 18;

/// Weights that are looked at together: few enough to stay near the processor. Sums are taken of so many,
/// and so do not depend on how models are written.
const CHUNK: usize = 1 << 14;

/// Numbers that the tables of a tensor may have: 256 MB.
const LARGEST_TABLES: usize = 1 << 26;

/// Does some work that asks for the way of each tensor with faults to its words in turn. The next one is
/// found meanwhile.
pub(super) fn ahead<T>(
    pass: &Pass<'_>,
    work: impl FnOnce(&mut dyn FnMut() -> Result<Stored>) -> Result<T>,
) -> Result<T> {
    // A handle of its own: the system reads ahead of either reader.
    let finder = &Finder { pass, model: pass.model.again()?, is_over: AtomicBool::new(false) };
    thread::scope(|scope| {
        let (sender, stored) = mpsc::sync_channel(0);
        scope.spawn(move || finder.find(&sender));
        let done = work(&mut || stored.recv()?);
        finder.is_over.store(true, Ordering::Relaxed);
        done
    })
}

/// How many times a tensor is read: once for what is written, and once for each of the others.
pub(super) fn passes(storage: Option<Storage>, decoding: Option<&Decoding>) -> u64 {
    let Some(Storage::Codes(coded)) = storage else { return 1 };
    let clip = u64::from(coded.scaling.clip == Clip::MinMse);
    2 + clip + u64::from(decoding.is_some_and(Decoding::needs_prior))
}

struct Finder<'a> {
    pass: &'a Pass<'a>,
    model: Checkpoint,
    /// Whether nobody wants a scale any more: the tensor that is being read may be a large one.
    is_over: AtomicBool,
}

impl Finder<'_> {
    fn find(&self, sender: &SyncSender<Result<Stored>>) {
        for (tensor, storage) in self.model.tensors().iter().zip(&self.pass.planned.plan) {
            let Some(storage) = *storage else { continue };
            // After an error nobody wants the rest.
            if sender.send(self.stored(tensor, storage)).is_err() {
                return;
            }
        }
    }

    fn stored(&self, tensor: &TensorInfo, storage: Storage) -> Result<Stored> {
        let Storage::Codes(coded) = storage else { return Ok(Stored::AsItIs) };
        let Coded { float, scaling, .. } = coded;
        let layout = GroupLayout::of(&tensor.shape, scaling.axis, scaling.granularity)?;
        let scales = Scales::new(layout, &self.grids(tensor, coded, layout)?)?;
        let cells = self.pass.planned.cells.of(&tensor.name);
        let read = self.pass.source.read_scales(cells, coded, &scales)?;
        let decoding = self.pass.source.decoding(storage)?;
        let decoded = decoding.map(|decoding| {
            self.decoded(tensor, &decoding, float, &scales, read.as_ref().unwrap_or(&scales))
        });
        let decoded = decoded.transpose()?;
        Ok(Stored::Codes(Box::new(StoredCodes { float, scales, read, decoded })))
    }

    /// The grid of each group.
    fn grids(&self, tensor: &TensorInfo, coded: Coded, layout: GroupLayout) -> Result<Vec<Grid>> {
        let Coded { float, format, scaling } = coded;
        let (extents, sums) = self.extents(tensor, float, layout, scaling.clip)?;
        let ends = extents.into_iter().map(Extent::ends).collect::<Result<Vec<_>, _>>()?;
        let ends = match scaling.clip {
            Clip::MinMse => self.clipped(tensor, coded, layout, &ends, &sums)?,
            _ => ends,
        };
        let grid = |(low, high)| Grid::spanning(format, scaling.range, low, high);
        Ok(ends.into_iter().map(grid).collect::<Result<Vec<_>, QuantError>>()?)
    }

    /// The extent of each group, and the sum of its weights where clipping asks it.
    fn extents(
        &self,
        tensor: &TensorInfo,
        float: Float,
        layout: GroupLayout,
        clip: Clip,
    ) -> Result<(Vec<Extent>, Vec<f64>)> {
        let mut extents = vec![Extent::default(); layout.groups()];
        let mut sums = vec![0.0; if clip == Clip::MinMse { layout.groups() } else { 0 }];
        self.for_each_piece(tensor, float, |first, bytes, weights| {
            for run in layout.runs(first..first + weights.len()) {
                let weights = &weights[run.within(first)];
                let mut extent = Extent::default();
                extent.add(weights);
                if !extent.is_finite() {
                    return Err(not_finite(float, bytes, weights, run.positions.start, first));
                }
                extents[run.group] = extents[run.group].and(extent);
                if let Some(sum) = sums.get_mut(run.group) {
                    *sum += weights.iter().map(|&weight| f64::from(weight)).sum::<f64>();
                }
            }
            Ok(())
        })?;
        Ok((extents, sums))
    }

    /// The ends of each group that make the error of quantization least. A search is held for the groups
    /// that are under way, one in each channel at most.
    fn clipped(
        &self,
        tensor: &TensorInfo,
        Coded { float, format, scaling }: Coded,
        layout: GroupLayout,
        ends: &[(f32, f32)],
        sums: &[f64],
    ) -> Result<Vec<(f32, f32)>> {
        let mut clipped = ends.to_vec();
        let mut under_way: Vec<Option<(usize, ClipSearch)>> = vec![None; layout.order().channels()];
        self.for_each_piece(tensor, float, |first, _, weights| {
            for run in layout.runs(first..first + weights.len()) {
                let Run { group, .. } = run;
                let slot = &mut under_way[layout.channel_of(group)];
                if slot.as_ref().is_none_or(|(open, _)| *open != group) {
                    let mean = sums[group] / layout.range(group).len() as f64;
                    let search = ClipSearch::new(format, scaling.range, ends[group], mean)?;
                    if let Some((done, search)) = slot.replace((group, search)) {
                        clipped[done] = search.best();
                    }
                }
                if let Some((_, search)) = slot {
                    search.add(&weights[run.within(first)]);
                }
            }
            Ok(())
        })?;
        for (group, search) in under_way.into_iter().flatten() {
            clipped[group] = search.best();
        }
        Ok(clipped)
    }

    /// What each word of each group is decoded to, where scales are read as `read`.
    fn decoded(
        &self,
        tensor: &TensorInfo,
        decoding: &Decoding,
        float: Float,
        scales: &Scales,
        read: &Scales,
    ) -> Result<DecodedWeights> {
        let (format, groups) = (scales.format(), scales.scales().len());
        let levels = format.bits().levels();
        ensure!(
            groups.saturating_mul(levels) <= LARGEST_TABLES,
            "{groups} groups take tables of {levels} weights each to decode, and {LARGEST_TABLES} \
             numbers fit: make groups larger, or use --decoder raw"
        );
        let counts = self.counts(tensor, decoding, float, scales)?;
        let table = |group: usize| -> Result<Vec<f32>> {
            let counts: Vec<u64> = match counts.chunks(levels).nth(group) {
                Some(counts) => counts.iter().map(|&count| count.into()).collect(),
                // Of a decoder that does not ask.
                None => vec![1; levels],
            };
            let (stored, prior) = (CodeHistogram::from_counts(format, &counts)?, Prior::default());
            let Decoding { decoder, channel } = decoding;
            let grid = scales.grid(group);
            let table = DecodeTable::of_group(*decoder, channel, prior, &stored, grid)?;
            Ok(table.weights_of_words(read.grid(group))[..levels].to_vec())
        };
        let tables = (0..groups).into_par_iter().map(table).collect::<Result<Vec<_>>>()?;
        Ok(DecodedWeights { levels, weights: tables.concat() })
    }

    /// How often each word of each group is stored; nothing if the decoder does not ask.
    fn counts(
        &self,
        tensor: &TensorInfo,
        decoding: &Decoding,
        float: Float,
        scales: &Scales,
    ) -> Result<Vec<u32>> {
        if !decoding.needs_prior() {
            return Ok(Vec::new());
        }
        let (layout, levels) = (scales.layout(), scales.format().bits().levels());
        let mut counts = vec![0_u32; layout.groups() * levels];
        let mut words = Vec::new();
        self.for_each_piece(tensor, float, |first, _, weights| {
            words.resize(weights.len(), 0);
            scales.quantize(first, weights, &mut words);
            for run in layout.runs(first..first + weights.len()) {
                let counts = &mut counts[run.group * levels..][..levels];
                for &word in &words[run.within(first)] {
                    // A group of more weights has the same shares in the end.
                    counts[usize::from(word)] = counts[usize::from(word)].saturating_add(1);
                }
            }
            Ok(())
        })?;
        Ok(counts)
    }

    /// Hands over the position of the first of some weights in a row, their bytes and themselves.
    fn for_each_piece(
        &self,
        tensor: &TensorInfo,
        float: Float,
        mut visit: impl FnMut(usize, &[u8], &[f32]) -> Result<()>,
    ) -> Result<()> {
        let mut first = 0;
        self.model.for_each_piece(tensor, AT_ONCE * float.bytes(), |bytes| {
            ensure!(!self.is_over.load(Ordering::Relaxed), "nobody wants this scale any more");
            self.pass.progress.inc(bytes.len() as u64);
            for bytes in bytes.chunks(CHUNK * float.bytes()) {
                let weights = float.decode(bytes);
                visit(first, bytes, &weights)?;
                first += weights.len();
            }
            Ok::<_, anyhow::Error>(())
        })
    }
}

/// The error about the first of some weights that is not finite; they begin at position `start`, and the
/// piece in `bytes` at position `first`. One that only F64 can hold is named as it lies in the file.
fn not_finite(
    float: Float,
    bytes: &[u8],
    weights: &[f32],
    start: usize,
    first: usize,
) -> anyhow::Error {
    let bad = weights.iter().position(|weight| !weight.is_finite()).unwrap_or(0);
    let (index, value) = (start + bad, weights[bad]);
    match float.beyond_f32(bytes, index, first as u64) {
        Some(error) => error.into(),
        None => QuantError::NotFinite { index, value }.into(),
    }
}

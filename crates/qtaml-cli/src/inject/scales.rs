//! The scales of the tensors, found in passes of their own while the tensor before is written.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, SyncSender};
use std::thread;

use anyhow::{Result, ensure};
use qtaml::compensation::{CodeHistogram, DecodeTable, Decoder, Prior};
use qtaml::files::{Checkpoint, Float, TensorInfo};
use qtaml::quant::{
    Clip, ClipSearch, Extent, Extents, Format, Grid, GroupLayout, QuantError, Run, Scales,
};
use rayon::prelude::*;

use super::faults::{Decoding, Source};
use super::storage::{Coded, Storage};
use super::stored::{DecodedWeights, Stored, StoredCodes};
use super::stream::Pass;

/// Weights in a piece that is read.
pub(super) const AT_ONCE: usize = 1 << 18;

/// Weights that are looked at together: few enough to stay near the processor. Sums are taken of so many,
/// and so do not depend on how models are written.
const CHUNK: usize = 1 << 14;

/// Numbers that the tables of a tensor may have: 256 MB.
const LARGEST_TABLES: usize = 1 << 26;

/// Bytes of a tensor that stay in memory until it is written; longer ones are read anew on each pass.
const KEPT: u64 = 1 << 25;

/// The way of a tensor to its words.
pub(super) struct Found {
    pub(super) stored: Stored,
    /// Its bytes, if they are still in memory: in pieces of [`AT_ONCE`] weights.
    pub(super) pieces: Option<Vec<Vec<u8>>>,
}

/// Does some work that asks for the way of each tensor with faults to its words in turn. The next one is
/// found meanwhile.
pub(super) fn ahead<T>(
    pass: &Pass<'_>,
    work: impl FnOnce(&mut dyn FnMut() -> Result<Found>) -> Result<T>,
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

/// How many times a tensor is looked at: once for what is written, and once for each of the others.
pub(super) fn passes(storage: Option<&Storage>, decoder: Decoder) -> u64 {
    let Some(&Storage::Codes(coded)) = storage else { return 1 };
    let clip = u64::from(coded.scaling.clip == Clip::MinMse);
    2 + clip + u64::from(decoder.needs_prior())
}

/// The decoding of each format that there is: the channel of a real code takes its time.
#[derive(Default)]
struct Decodings(HashMap<Format, Option<Decoding>>);

impl Decodings {
    fn of(&mut self, source: &Source, format: Format) -> Result<Option<&Decoding>> {
        let decoding = match self.0.entry(format) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => place.insert(source.decoding(format)?),
        };
        Ok(decoding.as_ref())
    }
}

struct Finder<'a> {
    pass: &'a Pass<'a>,
    model: Checkpoint,
    /// Whether nobody wants a scale any more: the tensor that is being read may be a large one.
    is_over: AtomicBool,
}

impl Finder<'_> {
    fn find(&self, sender: &SyncSender<Result<Found>>) {
        let mut decodings = Decodings::default();
        for (tensor, storage) in self.model.tensors().iter().zip(&self.pass.planned.plan) {
            let Some(storage) = storage else { continue };
            // After an error nobody wants the rest.
            if sender.send(self.found(tensor, storage, &mut decodings)).is_err() {
                return;
            }
        }
    }

    fn found(
        &self,
        tensor: &TensorInfo,
        storage: &Storage,
        decodings: &mut Decodings,
    ) -> Result<Found> {
        let &Storage::Codes(coded) = storage else {
            return Ok(Found { stored: Stored::AsItIs, pieces: None });
        };
        let decoding = decodings.of(self.pass.source, coded.format)?;
        let is_kept = tensor.bytes <= KEPT && self.pass.piece(storage)? == AT_ONCE;
        let kept = if is_kept { Kept::NotYet } else { Kept::Never };
        let mut weights = Weights { finder: self, tensor, coded, kept };
        let stored = Stored::Codes(Box::new(weights.codes(decoding)?));
        let pieces = if let Kept::All(pieces) = weights.kept { Some(pieces) } else { None };
        Ok(Found { stored, pieces })
    }
}

/// The weights of a tensor, which are looked at several times.
struct Weights<'a> {
    finder: &'a Finder<'a>,
    tensor: &'a TensorInfo,
    coded: Coded,
    kept: Kept,
}

/// Pieces of a tensor that stay in memory when they have been read.
enum Kept {
    Never,
    NotYet,
    All(Vec<Vec<u8>>),
}

impl Weights<'_> {
    fn codes(&mut self, decoding: Option<&Decoding>) -> Result<StoredCodes> {
        let Coded { float, scaling, .. } = self.coded;
        let layout = GroupLayout::of(&self.tensor.shape, scaling.axis, scaling.granularity)?;
        let scales = Scales::new(layout, &self.grids(layout)?)?;
        let Pass { planned, source, .. } = self.finder.pass;
        let cells = planned.cells.of(&self.tensor.name);
        let read = source.read_scales(cells, self.coded, &scales)?;
        let scales_read = read.as_ref().map_or(&scales, |read| &read.scales);
        let decoded = match decoding {
            Some(decoding) => Some(self.decoded(decoding, &scales, scales_read)?),
            None => None,
        };
        Ok(StoredCodes { float, scales, read, decoded })
    }

    /// The grid of each group.
    fn grids(&mut self, layout: GroupLayout) -> Result<Vec<Grid>> {
        let Coded { format, scaling, .. } = self.coded;
        let (extents, sums) = self.extents(layout)?;
        let ends = extents.ends()?;
        let ends = match scaling.clip {
            Clip::MinMse => self.clipped(layout, &ends, &sums)?,
            _ => ends,
        };
        let grid = |(low, high)| Grid::spanning(format, scaling.range, low, high);
        Ok(ends.into_iter().map(grid).collect::<Result<Vec<_>, QuantError>>()?)
    }

    /// The extents of all groups, and the sum of the weights of each where clipping asks it.
    fn extents(&mut self, layout: GroupLayout) -> Result<(Extents, Vec<f64>)> {
        let (float, is_clipped) = (self.coded.float, self.coded.scaling.clip == Clip::MinMse);
        let mut extents = Extents::new(layout);
        let mut sums = vec![0.0; if is_clipped { layout.groups() } else { 0 }];
        self.for_each_piece(|first, bytes, weights| {
            let mut extent = Extent::default();
            extent.add(weights);
            if !extent.is_finite() {
                return Err(not_finite(float, bytes, weights, first));
            }
            extents.add(first, weights);
            if is_clipped {
                for run in layout.runs(first..first + weights.len()) {
                    let weights = &weights[run.within(first)];
                    sums[run.group] += weights.iter().map(|&weight| f64::from(weight)).sum::<f64>();
                }
            }
            Ok(())
        })?;
        Ok((extents, sums))
    }

    /// The ends of each group that make the error of quantization least. A search is held for the groups
    /// that are under way, one in each channel at most.
    fn clipped(
        &mut self,
        layout: GroupLayout,
        ends: &[(f32, f32)],
        sums: &[f64],
    ) -> Result<Vec<(f32, f32)>> {
        let Coded { format, scaling, .. } = self.coded;
        let mut clipped = ends.to_vec();
        let mut under_way: Vec<Option<(usize, ClipSearch)>> = vec![None; layout.order().channels()];
        self.for_each_piece(|first, _, weights| {
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
        &mut self,
        decoding: &Decoding,
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
        let counts = self.counts(decoding, scales)?;
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
    fn counts(&mut self, decoding: &Decoding, scales: &Scales) -> Result<Vec<u32>> {
        if !decoding.needs_prior() {
            return Ok(Vec::new());
        }
        let (layout, levels) = (scales.layout(), scales.format().bits().levels());
        let mut counts = vec![0_u32; layout.groups() * levels];
        let mut words = Vec::new();
        self.for_each_piece(|first, _, weights| {
            words.resize(weights.len(), 0);
            scales.quantize(first, weights, &mut words);
            // A group of more weights has the same shares in the end.
            let mut count = |group: usize, word: u8| {
                let count = &mut counts[group * levels + usize::from(word)];
                *count = count.saturating_add(1);
            };
            let positions = first..first + weights.len();
            if let Some(stretches) = layout.across(positions.clone()) {
                for across in stretches {
                    let words = &words[across.within(first)];
                    across.groups().zip(words).for_each(|(group, &word)| count(group, word));
                }
                return Ok(());
            }
            for run in layout.runs(positions) {
                words[run.within(first)].iter().for_each(|&word| count(run.group, word));
            }
            Ok(())
        })?;
        Ok(counts)
    }

    /// Hands over the position of the first of some weights in a row, their bytes and themselves.
    fn for_each_piece(
        &mut self,
        mut visit: impl FnMut(usize, &[u8], &[f32]) -> Result<()>,
    ) -> Result<()> {
        let Self { finder, tensor, coded: Coded { float, .. }, kept } = self;
        let mut first = 0;
        let mut look = |bytes: &[u8]| {
            ensure!(!finder.is_over.load(Ordering::Relaxed), "nobody wants this scale any more");
            finder.pass.progress.inc(bytes.len() as u64);
            for bytes in bytes.chunks(CHUNK * float.bytes()) {
                let weights = float.decode(bytes);
                visit(first, bytes, &weights)?;
                first += weights.len();
            }
            Ok::<_, anyhow::Error>(())
        };
        if let Kept::All(pieces) = kept {
            return pieces.iter().try_for_each(|piece| look(piece));
        }
        let mut pieces = Vec::new();
        finder.model.for_each_piece(tensor, AT_ONCE * float.bytes(), |bytes| {
            look(&bytes)?;
            if matches!(kept, Kept::NotYet) {
                pieces.push(bytes);
            }
            Ok::<_, anyhow::Error>(())
        })?;
        if matches!(kept, Kept::NotYet) {
            *kept = Kept::All(pieces);
        }
        Ok(())
    }
}

/// The error about the first of some weights that is not finite; they and their bytes begin at position
/// `first`. One that only F64 can hold is named as it lies in the file.
fn not_finite(float: Float, bytes: &[u8], weights: &[f32], first: usize) -> anyhow::Error {
    let bad = weights.iter().position(|weight| !weight.is_finite()).unwrap_or(0);
    let (index, value) = (first + bad, weights[bad]);
    match float.beyond_f32(bytes, index, first as u64) {
        Some(error) => error.into(),
        None => QuantError::NotFinite { index, value }.into(),
    }
}

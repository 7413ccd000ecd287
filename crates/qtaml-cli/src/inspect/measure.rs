//! The pass through a tensor: once for its range and moments, once more for its rounding.

use anyhow::Result;
use qtaml::files::{Dtype, FileError, Float, Float8, Packing, TensorDescription, TensorKind};
use qtaml::quant::{ChannelMajor, Format, Granularity, GroupLayout};
use rayon::prelude::*;

use super::model::{Model, Tensor};
use super::moments::Moments;
use super::rounding::{Largest, Rounded};
use crate::progress::Progress;

/// Bytes that one thread treats at a time, few enough to stay in its cache.
const SLICE: usize = 1 << 18;

/// Bytes of a tensor that are kept in memory from one pass to the next; longer ones are read twice.
const KEPT: u64 = 1 << 26;

/// Bytes in memory at a time of those.
const PIECE: usize = 1 << 24;

/// How weights would be stored.
#[derive(Debug, Clone, Copy)]
pub(super) struct Storing {
    pub(super) format: Format,
    pub(super) granularity: Granularity,
}

/// What is measured of a tensor.
#[derive(Debug, Clone, Copy)]
pub(super) struct Measured {
    /// None of what are no numbers.
    pub(super) moments: Option<Moments>,
    /// Of float weights that are finite.
    pub(super) rounding: Option<Rounding>,
}

/// What would be stored of weights, and how far it would be off.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rounding {
    pub(super) rounded: Rounded,
    pub(super) scales: usize,
    /// Scales that round more than half of their weights to zero.
    pub(super) emptying: usize,
    /// Scales whose lowest code is beyond the type.
    pub(super) beyond: usize,
}

/// What the bytes of a tensor are as numbers.
enum Numbers {
    Float(Float),
    Float8(Float8),
    Signed,
    Unsigned,
    Codes(Packing),
}

impl Numbers {
    fn of(tensor: &Tensor, kind: &TensorKind) -> Option<Self> {
        if let TensorKind::Codes(codes) = kind
            && (codes.bits != 8 || codes.element_bits != 8)
        {
            return codes.packing(&tensor.shape).map(Self::Codes);
        }
        let dtype = tensor.elements_as?;
        let float = Float::of(dtype).map(Self::Float);
        float.or_else(|| Float8::of(dtype).map(Self::Float8)).or(match dtype {
            Dtype::I8 => Some(Self::Signed),
            Dtype::U8 => Some(Self::Unsigned),
            _ => None,
        })
    }

    /// The fewest bytes that hold whole numbers, and how many these are.
    fn block(&self) -> (usize, usize) {
        match self {
            Self::Float(float) => (float.bytes(), 1),
            Self::Float8(_) | Self::Signed | Self::Unsigned => (1, 1),
            Self::Codes(packing) => (packing.block_bytes(), packing.block_codes()),
        }
    }

    /// The number of numbers before a byte that begins a block.
    fn before(&self, byte: usize) -> usize {
        let (bytes, numbers) = self.block();
        byte / bytes * numbers
    }

    /// Whole blocks of about so many bytes.
    fn whole(&self, bytes: usize) -> usize {
        let (block, _) = self.block();
        (bytes / block).max(1) * block
    }

    /// The numbers in some bytes, the first of which is number `first` of the tensor.
    fn decode(&self, bytes: &[u8], first: usize) -> Vec<f32> {
        match self {
            Self::Float(float) => float.decode(bytes),
            Self::Float8(float) => float.decode(bytes),
            Self::Signed => bytes.iter().map(|&byte| f32::from(byte as i8)).collect(),
            Self::Unsigned => bytes.iter().map(|&byte| f32::from(byte)).collect(),
            Self::Codes(packing) => {
                packing.unpack(first as u64, bytes).into_iter().map(f32::from).collect()
            }
        }
    }

    /// Hands the numbers in some bytes, the first of which is number `first` of the tensor, to several
    /// threads, slice by slice, each with the place of its first number. What comes back is in their order.
    fn map<T: Send>(
        &self,
        bytes: &[u8],
        first: usize,
        visit: impl Fn(&[f32], usize) -> T + Sync,
    ) -> Vec<T> {
        let slice = self.whole(SLICE);
        let slices = bytes.par_chunks(slice).enumerate();
        let slices = slices.map(|(i, bytes)| (first + self.before(i * slice), bytes));
        slices.map(|(first, bytes)| visit(&self.decode(bytes, first), first)).collect()
    }
}

/// Measures a tensor.
pub(super) fn measure(
    model: &Model,
    tensor: &Tensor,
    described: &TensorDescription,
    storing: Storing,
    progress: &Progress,
) -> Result<Measured> {
    let Some(numbers) = Numbers::of(tensor, &described.kind).filter(|_| tensor.bytes > 0) else {
        progress.inc(passes(&described.kind) * tensor.bytes);
        return Ok(Measured { moments: None, rounding: None });
    };
    let kept = if tensor.bytes <= KEPT { Some(model.bytes_of(tensor)?) } else { None };
    let pass = Pass { model, tensor, numbers, kept, progress };
    let float = match (&pass.numbers, &described.kind) {
        (Numbers::Float(float), TensorKind::Weights(_)) => *float,
        _ => return Ok(Measured { moments: Some(pass.moments(None)?), rounding: None }),
    };
    let Storing { format, granularity } = storing;
    let order = ChannelMajor::new(&tensor.shape, Some(described.axis.or_first()));
    let largest = Largest::new(GroupLayout::new(order, granularity));
    let moments = pass.moments(Some(&largest))?;
    if moments.not_finite > 0 {
        progress.inc(tensor.bytes);
        return Ok(Measured { moments: Some(moments), rounding: None });
    }
    let scales = largest.into_rounding(format)?;
    let mut rounded = Rounded::default();
    pass.for_each_piece(|numbers, bytes, first| {
        let parts = numbers.map(bytes, first, |values, at| scales.round(values, at));
        rounded = parts.into_iter().fold(rounded, Rounded::and);
    })?;
    let beyond = scales.beyond(float.largest());
    let emptying = scales.emptying();
    let rounding = Some(Rounding { rounded, scales: scales.count(), emptying, beyond });
    Ok(Measured { moments: Some(moments), rounding })
}

/// How often the bytes of a tensor are looked at.
pub(super) const fn passes(kind: &TensorKind) -> u64 {
    if matches!(kind, TensorKind::Weights(_)) { 2 } else { 1 }
}

/// A tensor on its way through.
struct Pass<'a> {
    model: &'a Model,
    tensor: &'a Tensor,
    numbers: Numbers,
    kept: Option<Vec<u8>>,
    progress: &'a Progress,
}

impl Pass<'_> {
    /// Hands over pieces of the tensor with the place of their first number.
    fn for_each_piece(
        &self,
        mut visit: impl FnMut(&Numbers, &[u8], usize),
    ) -> Result<(), FileError> {
        let mut first = 0;
        let mut visit = |bytes: &[u8]| {
            visit(&self.numbers, bytes, first);
            first += self.numbers.before(bytes.len());
            self.progress.inc(bytes.len() as u64);
        };
        if let Some(bytes) = &self.kept {
            visit(bytes);
            return Ok(());
        }
        let most = self.numbers.whole(PIECE);
        self.model.for_each_piece(self.tensor, most, |bytes| {
            visit(&bytes);
            Ok(())
        })
    }

    fn moments(&self, largest: Option<&Largest>) -> Result<Moments, FileError> {
        let mut all = Moments::NONE;
        self.for_each_piece(|numbers, bytes, first| {
            let slices = numbers.map(bytes, first, |values, at| {
                let moments = Moments::of(values, at as u64);
                // Infinite ones have no scale, and the tensor none then.
                if let Some(largest) = largest.filter(|_| moments.not_finite == 0) {
                    largest.see(values, at);
                }
                moments
            });
            all = slices.into_iter().fold(all, Moments::and);
        })?;
        Ok(all)
    }
}

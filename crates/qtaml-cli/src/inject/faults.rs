//! The source of the faults: drawn from a fault model, or replayed from a record.

use std::collections::HashMap;
use std::fmt;
use std::iter::Peekable;

use anyhow::Result;
use qtaml::compensation::Decoder;
use qtaml::fault::{
    BitFlips, BitMask, Bursts, Ecc, EccError, EccRead, EccTally, FaultEffect, FaultError,
    FaultModel, FaultRecord, FaultStream, FlipCount, MemoryModel, ProtectionMap, QuantizedChannel,
    RecordError, Seed, WordDigester, WordFault, WordFlips,
};
use qtaml::files::Dtype;
use qtaml::physics::FlipProfile;
use qtaml::quant::{
    BitWidth, Code, CodeRange, Grid, Origin, Scales, Word, pack_words, unpack_words,
};

use super::storage::{Coded, Storage};
use crate::packed::Packed;

/// The source of all faults of a run.
#[derive(Debug)]
pub(super) enum Source {
    Drawn(FaultSpec, Draw),
    Replayed(FaultRecord, WhenOther),
}

/// What to do with recorded faults where other words are stored than they were drawn on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WhenOther {
    Refuse,
    ReplayAnyway,
}

/// How faults come.
#[derive(Debug)]
pub(super) enum FaultSpec {
    Flips(FlipProfile),
    Bursts {
        p: f64,
        length: u32,
    },
    Stuck {
        at_zero: f64,
        at_one: f64,
    },
    /// So many in all tensors together.
    Count {
        flips: u64,
        shares: HashMap<String, FlipCount>,
    },
}

/// What faults follow from, beside their model.
#[derive(Debug, Clone, Copy)]
pub(super) struct Draw {
    /// So many of the top bits of a word are protected.
    pub(super) protect: u32,
    /// What keeps them.
    pub(super) ecc: Ecc,
    /// Whether scales lie in the memory as well.
    pub(super) scales: bool,
    /// What is believed of the words of floats.
    pub(super) decoder: Decoder,
    pub(super) seed: Seed,
    pub(super) trial: u32,
}

/// How words are decoded that are not taken as they are.
pub(super) struct Decoding {
    pub(super) decoder: Decoder,
    pub(super) channel: QuantizedChannel,
}

impl Decoding {
    /// Whether the decoder asks how the weights are distributed.
    pub(super) fn needs_prior(&self) -> bool {
        self.decoder.needs_prior()
    }
}

/// The faults of one tensor, from its first word to its last.
pub(super) enum Faults<'a> {
    Drawn(Drawn),
    Replayed(Peekable<Box<dyn Iterator<Item = WordFault> + 'a>>),
}

/// Those that follow from a fault model: of any words, in any order.
pub(super) struct Drawn {
    model: Words,
    stream: FaultStream,
    /// So many of the top bits of a word are protected.
    protect: u32,
    ecc: Ecc,
    /// How the words lie in the bytes of their tensor, if not one in each.
    packed: Option<Packed>,
}

/// The model that draws the faults of words.
enum Words {
    Bytes(Box<dyn FaultModel>),
    /// Words that are wider than a byte, or of one bit.
    Wide(Box<WordFlips>),
}

/// The faults of some words in a row.
pub(super) enum Piece<'a> {
    Drawn(&'a Drawn),
    /// In the order of the words.
    Replayed(Vec<WordFault>),
}

impl Source {
    pub(super) fn seed(&self) -> Seed {
        match self {
            Self::Drawn(_, draw) => draw.seed,
            Self::Replayed(record, _) => record.seed(),
        }
    }

    pub(super) fn trial(&self) -> u32 {
        match self {
            Self::Drawn(_, draw) => draw.trial,
            Self::Replayed(record, _) => record.trial(),
        }
    }

    /// What is injected, in words.
    pub(super) fn model(&self) -> String {
        match self {
            Self::Drawn(spec, draw) => draw.describe(spec),
            Self::Replayed(record, _) => record.model().into(),
        }
    }

    /// What its faults do to a bit.
    pub(super) fn effect(&self) -> FaultEffect {
        match self {
            Self::Drawn(FaultSpec::Stuck { .. }, _) => FaultEffect::Stuck,
            Self::Drawn(..) | Self::Replayed(..) => FaultEffect::Flip,
        }
    }

    /// Whether the words of each tensor must be those that the faults were drawn on.
    pub(super) fn is_checked(&self) -> bool {
        matches!(self, Self::Replayed(_, WhenOther::Refuse))
    }

    /// Refuses faults that were drawn on other words than those of the tensor `name`.
    pub(super) fn check_words(&self, name: &str, words: WordDigester) -> Result<(), RecordError> {
        match self {
            Self::Replayed(record, WhenOther::Refuse) => {
                record.tensor(name)?.check_digest(name, words.finish())
            }
            Self::Replayed(..) | Self::Drawn(..) => Ok(()),
        }
    }

    /// Whether a real code keeps bits.
    pub(super) fn has_code(&self) -> bool {
        matches!(self, Self::Drawn(_, draw) if draw.ecc != Ecc::Ideal)
    }

    /// Words after which a tensor may be cut into pieces.
    pub(super) fn alignment(&self) -> Result<usize, EccError> {
        match self {
            Self::Drawn(_, draw) => draw.ecc.alignment(),
            Self::Replayed(..) => Ok(1),
        }
    }

    /// What is read of the scales of the tensor `name` and of what is stored beside them; `None` if they do
    /// not lie in the faulty memory.
    pub(super) fn read_scales(
        &self,
        name: &str,
        coded: Coded,
        scales: &Scales,
    ) -> Result<Option<Scales>> {
        let Self::Drawn(spec, draw) = self else { return Ok(None) };
        if !draw.scales {
            return Ok(None);
        }
        let faults = ScaleFaults { spec, name, stream: draw.stream(name) };
        let read = faults.floats("scale", scales.scales().to_vec())?;
        let origins = faults.origins(coded, scales)?;
        let grid = |(scale, origin)| Grid::as_read(coded.format, scale, origin);
        let grids: Vec<Grid> = read.into_iter().zip(origins).map(grid).collect();
        Ok(Some(Scales::new(scales.layout(), &grids)?))
    }

    /// How the words of a tensor are decoded; `None` if they are taken as they are.
    pub(super) fn decoding(&self, storage: Storage) -> Result<Option<Decoding>, FaultError> {
        match (self, storage) {
            (Self::Drawn(FaultSpec::Flips(flips), draw), Storage::Codes(coded))
                if draw.decoder != Decoder::Raw =>
            {
                let memory = MemoryModel::new(flips.clone()).with_ecc(draw.ecc);
                let channel = memory.channel(coded.format, draw.protection(storage)?)?;
                Ok(Some(Decoding { decoder: draw.decoder, channel }))
            }
            _ => Ok(None),
        }
    }

    /// The faults of the tensor `name`.
    pub(super) fn of(&self, name: &str, storage: Storage) -> Result<Faults<'_>> {
        match self {
            Self::Drawn(spec, draw) => {
                let packed = match storage {
                    Storage::Packed(packed) => Some(packed),
                    Storage::Codes(_) | Storage::Words(_) | Storage::Bytes(_) => None,
                };
                let model = spec.words(name, storage, *draw)?;
                let (stream, protect) = (draw.stream(name), draw.protected(storage));
                Ok(Faults::Drawn(Drawn { model, stream, protect, ecc: draw.ecc, packed }))
            }
            Self::Replayed(record, _) => {
                let faults: Box<dyn Iterator<Item = _>> = Box::new(record.tensor(name)?.faults());
                Ok(Faults::Replayed(faults.peekable()))
            }
        }
    }
}

/// What happens to the scales of a tensor.
struct ScaleFaults<'a> {
    spec: &'a FaultSpec,
    name: &'a str,
    stream: FaultStream,
}

impl ScaleFaults<'_> {
    /// Floats as they are read: byte `j` of float `i` is the word at position `4 i + j`.
    fn floats(&self, what: &str, values: Vec<f32>) -> Result<Vec<f32>> {
        let mut bytes: Vec<u8> = values.into_iter().flat_map(f32::to_le_bytes).collect();
        self.words(what, Storage::Bytes(Dtype::F32), &mut bytes)?;
        Ok(bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
    }

    /// Injects into the words that are called `what`.
    fn words(&self, what: &str, storage: Storage, words: &mut [u8]) -> Result<()> {
        let (model, stream) = (self.spec.model(self.name, storage)?, self.stream.substream(what));
        Ok(model.inject_slice(words, 0, &stream, ProtectionMap::NOTHING)?)
    }

    /// What is read of the origins: minima are floats, and zero points words of the weights' format.
    fn origins(&self, coded: Coded, scales: &Scales) -> Result<Vec<Origin>> {
        let format = coded.format;
        let known = |grid: Grid| match grid.origin() {
            Origin::Minimum(minimum) => (minimum, 0),
            Origin::ZeroPoint(code) => (0.0, format.word_of(code).0),
            _ => (0.0, 0),
        };
        let (minima, mut words): (Vec<f32>, Vec<u8>) = scales.grids().map(known).unzip();
        Ok(match scales.range() {
            CodeRange::MinMax => {
                self.floats("minimum", minima)?.into_iter().map(Origin::Minimum).collect()
            }
            CodeRange::ZeroPoint => {
                self.words("zero point", Storage::Codes(coded), &mut words)?;
                let code = |word: u8| Origin::ZeroPoint(Code(format.code_of(Word(word)).0));
                words.into_iter().map(code).collect()
            }
            _ => vec![Origin::Zero; minima.len()],
        })
    }
}

impl FaultSpec {
    /// Flips that have not been shared out yet.
    pub(super) fn of_count(flips: u64) -> Self {
        Self::Count { flips, shares: HashMap::new() }
    }

    /// Decides how many of a number of flips fall on each tensor and its check bits: tensors by name,
    /// storage and words.
    pub(super) fn share_out(
        &mut self,
        draw: Draw,
        tensors: &[(&str, Storage, u64)],
    ) -> Result<(), FaultError> {
        let Self::Count { flips, shares } = self else { return Ok(()) };
        let memory = |&(_, storage, words): &(&str, Storage, u64)| {
            let (kept, each) = (draw.protection(storage)?, draw.ecc.check_bits(words)?);
            FlipCount::with_check_bits(0, words, width(storage)?, kept, each)
        };
        let memories = tensors.iter().map(memory).collect::<Result<Vec<_>, _>>()?;
        let stored: Vec<u64> = memories.iter().map(FlipCount::stored_bits).collect();
        let counts = FlipCount::shares(*flips, &stored, &draw.stream(""))?;
        for ((&(name, ..), memory), count) in tensors.iter().zip(memories).zip(counts) {
            shares.insert(name.into(), memory.with_flips(count)?);
        }
        Ok(())
    }

    /// What is injected into the words of the tensor `name`.
    fn words(&self, name: &str, storage: Storage, draw: Draw) -> Result<Words> {
        match self {
            Self::Flips(flips) if width(storage).is_err() && draw.ecc == Ecc::Ideal => {
                let model = WordFlips::new(flips.clone(), storage.word_bits())?;
                Ok(Words::Wide(Box::new(model)))
            }
            _ => self.model(name, storage).map(Words::Bytes),
        }
    }

    /// What is injected into the tensor `name`, whose words are no wider than a byte.
    fn model(&self, name: &str, storage: Storage) -> Result<Box<dyn FaultModel>> {
        let bits = width(storage)?;
        Ok(match self {
            Self::Flips(flips) => Box::new(BitFlips::new(flips.clone(), bits)?),
            Self::Bursts { p, length } => Box::new(Bursts::new(*p, *length, bits)?),
            Self::Stuck { at_zero, at_one } => Box::new(BitFlips::stuck(*at_zero, *at_one, bits)?),
            Self::Count { shares, .. } => {
                let unknown = || RecordError::UnknownTensor {
                    name: name.into(),
                    known: shares.keys().cloned().collect(),
                };
                Box::new(shares.get(name).ok_or_else(unknown)?.clone())
            }
        })
    }
}

impl fmt::Display for FaultSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flips(flips) => flips.fmt(f),
            Self::Bursts { p, length } => write!(f, "bursts of {length} bits, p = {p:?}"),
            Self::Stuck { at_zero, at_one } => {
                write!(f, "cells stuck at 0 with p = {at_zero:?}, at 1 with p = {at_one:?}")
            }
            Self::Count { flips: 1, .. } => f.write_str("one flip"),
            Self::Count { flips, .. } => write!(f, "{flips} flips"),
        }
    }
}

impl Draw {
    fn stream(self, name: &str) -> FaultStream {
        FaultStream::new(self.seed, self.trial, name)
    }

    /// The top bits of a byte are not those of the number that it is a part of, and not protected.
    fn protected(self, storage: Storage) -> u32 {
        match storage {
            Storage::Codes(_) | Storage::Words(_) | Storage::Packed(_) => self.protect,
            Storage::Bytes(_) => 0,
        }
    }

    fn protection(self, storage: Storage) -> Result<BitMask, FaultError> {
        BitMask::top(self.protected(storage), width(storage)?)
    }

    /// What is injected, what is protected from it, and what is exposed to it beside words.
    fn describe(self, spec: &FaultSpec) -> String {
        let by = match self.ecc {
            Ecc::Ideal => String::new(),
            code => format!(" by {code}"),
        };
        let protected = match self.protect {
            0 => String::new(),
            1 => format!(", top bit protected{by}"),
            bits => format!(", top {bits} bits protected{by}"),
        };
        let scales = if self.scales { ", scales exposed" } else { "" };
        let decoded = match self.decoder {
            Decoder::Raw => String::new(),
            decoder => format!(", decoded by {decoder}"),
        };
        format!("{spec}{protected}{scales}{decoded}")
    }
}

/// The width of words that are no wider than a byte, and have more than one bit.
fn width(storage: Storage) -> Result<BitWidth, FaultError> {
    let bits = storage.word_bits();
    BitWidth::new(bits).map_err(|_| FaultError::FlipsOnly(bits))
}

impl Faults<'_> {
    /// The faults of the next words of the tensor, those before word `end`.
    pub(super) fn until(&mut self, end: u64) -> Piece<'_> {
        match self {
            Self::Drawn(drawn) => Piece::Drawn(drawn),
            Self::Replayed(faults) => {
                let next = std::iter::from_fn(|| faults.next_if(|fault| fault.index < end));
                Piece::Replayed(next.collect())
            }
        }
    }
}

impl Drawn {
    /// What is read of words that lie in a byte each.
    fn read(&self, words: &[u8], first: u64) -> Result<EccRead, FaultError> {
        let (stream, protect) = (&self.stream, self.protect);
        match &self.model {
            Words::Bytes(model) => {
                let protection = BitMask::top(protect, model.bits())?;
                self.ecc.read_slice(words, first, &**model, stream, protection)
            }
            Words::Wide(model) => {
                let mut wide: Vec<u16> = words.iter().map(|&word| word.into()).collect();
                model.inject_slice(&mut wide, first, stream, protect)?;
                let words = wide.into_iter().map(|word| word as u8).collect();
                Ok(EccRead::new(words, EccTally::default()))
            }
        }
    }

    /// What is read of the bytes of packed words, of which byte `first` begins a word: the faults of
    /// the same words one by one. The bits behind the last word are not stored.
    fn read_packed(&self, bytes: &[u8], first: u64, packed: Packed) -> Result<EccRead, FaultError> {
        let Packed { bits, weights } = packed;
        let first = first / u64::from(bits) * 8;
        let most = (8 * bytes.len() / bits as usize) as u64;
        let words = unpack_words(bytes, bits, weights.saturating_sub(first).min(most) as usize);
        let (words, tally) = match &self.model {
            Words::Bytes(_) => {
                let narrow: Vec<u8> = words.iter().map(|&word| word as u8).collect();
                let read = self.read(&narrow, first)?;
                (read.words.into_iter().map(u16::from).collect(), read.tally)
            }
            Words::Wide(model) => {
                let mut words = words;
                model.inject_slice(&mut words, first, &self.stream, self.protect)?;
                (words, EccTally::default())
            }
        };
        let mut read = pack_words(&words, bits);
        // Bits that fill up the last byte stay as they are.
        if let (Some(last), Some(stored)) = (read.last_mut(), bytes.last()) {
            let used = words.len() * bits as usize % 8;
            if used > 0 {
                *last |= stored >> used << used;
            }
        }
        Ok(EccRead::new(read, tally))
    }
}

impl Piece<'_> {
    /// What is read of some of its words, the first of which is word `first` of the tensor.
    pub(super) fn read(&self, words: &[u8], first: u64) -> Result<EccRead, FaultError> {
        match self {
            Self::Drawn(drawn @ Drawn { packed: None, .. }) => drawn.read(words, first),
            Self::Drawn(drawn @ Drawn { packed: Some(packed), .. }) => {
                drawn.read_packed(words, first, *packed)
            }
            Self::Replayed(faults) => {
                let end = first + words.len() as u64;
                let before = |index| faults.partition_point(|fault| fault.index < index);
                let mut read = words.to_vec();
                for fault in &faults[before(first)..before(end)] {
                    let word = &mut read[(fault.index - first) as usize];
                    *word = fault.applied_to(*word);
                }
                Ok(EccRead::new(read, EccTally::default()))
            }
        }
    }
}

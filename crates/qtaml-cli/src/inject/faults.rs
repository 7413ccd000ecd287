//! The source of the faults: drawn from a fault model, or replayed from a record.

use std::collections::HashMap;
use std::fmt;
use std::iter::Peekable;

use anyhow::Result;
use qtaml::compensation::Decoder;
use qtaml::fault::{
    BitFlips, BitMask, Bursts, Ecc, EccError, EccRead, EccTally, FaultEffect, FaultError,
    FaultModel, FaultRecord, FaultStream, FlipCount, MemoryModel, ProtectionMap, QuantizedChannel,
    RecordError, Seed, WordDigest, WordDigester, WordFault, WordFlips,
};
use qtaml::physics::FlipProfile;
use qtaml::quant::{BitWidth, Format, Scales};

use super::metadata::{Part, ReadMetadata};
use super::storage::{Coded, Packed, Storage};

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
    /// So many in all tensors together: in the words of each, and in what is stored beside them.
    Count {
        flips: u64,
        shares: HashMap<String, Shares>,
    },
}

/// The flips of one tensor.
#[derive(Debug)]
pub(super) struct Shares {
    words: FlipCount,
    /// By the names of their substreams.
    beside: Vec<(&'static str, FlipCount)>,
}

/// What a tensor is to the memory.
#[derive(Debug, Clone)]
pub(super) struct TensorMemory<'a> {
    /// The name by which its cells are known.
    pub(super) name: &'a str,
    pub(super) storage: &'a Storage,
    pub(super) words: u64,
    /// What lies in the memory beside its words, and how many words that is.
    pub(super) beside: Vec<(Part, u64)>,
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
    ) -> Result<Option<ReadMetadata>> {
        match self {
            Self::Drawn(spec, draw) if draw.scales => {
                let stream = draw.stream(name);
                let read = |part: Part, words: &mut [u8]| {
                    let model = spec.model_beside(name, part)?;
                    let stream = stream.substream(part.what);
                    Ok(model.inject_slice(words, 0, &stream, ProtectionMap::NOTHING)?)
                };
                ReadMetadata::new(coded, scales, read).map(Some)
            }
            Self::Drawn(..) => Ok(None),
            Self::Replayed(record, when_other) => {
                if record.beside_tensor(name, Part::SCALE.what).is_none() {
                    return Ok(None);
                }
                let read = |part: Part, words: &mut [u8]| {
                    replay(record, *when_other, name, part.what, words)
                };
                ReadMetadata::new(coded, scales, read).map(Some)
            }
        }
    }

    /// What is believed of words that are read.
    pub(super) fn decoder(&self) -> Decoder {
        match self {
            Self::Drawn(FaultSpec::Flips(_), draw) => draw.decoder,
            Self::Drawn(..) | Self::Replayed(..) => Decoder::Raw,
        }
    }

    /// How words of a format are decoded; `None` if they are taken as they are.
    pub(super) fn decoding(&self, format: Format) -> Result<Option<Decoding>, FaultError> {
        match self {
            Self::Drawn(FaultSpec::Flips(flips), draw) if draw.decoder != Decoder::Raw => {
                let memory = MemoryModel::new(flips.clone()).with_ecc(draw.ecc);
                let protection = BitMask::top(draw.protect, format.bits())?;
                let channel = memory.channel(format, protection)?;
                Ok(Some(Decoding { decoder: draw.decoder, channel }))
            }
            Self::Drawn(..) | Self::Replayed(..) => Ok(None),
        }
    }

    /// The faults of the tensor `name`.
    pub(super) fn of(&self, name: &str, storage: &Storage) -> Result<Faults<'_>> {
        match self {
            Self::Drawn(spec, draw) => {
                let packed = match storage {
                    Storage::Packed(packed) => Some(packed.clone()),
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

/// Does to words that are stored beside the tensor `name` what was done to them when it was recorded.
fn replay(
    record: &FaultRecord,
    when_other: WhenOther,
    name: &str,
    what: &str,
    words: &mut [u8],
) -> Result<()> {
    let Some(faults) = record.beside_tensor(name, what) else { return Ok(()) };
    let (recorded, given) = (faults.words(), words.len() as u64);
    if recorded != given {
        return Err(RecordError::Length { name: name.into(), recorded, given }.into());
    }
    if when_other == WhenOther::Refuse {
        faults.check_digest(name, WordDigest::of(words))?;
    }
    for fault in faults.faults() {
        let word = &mut words[fault.index as usize];
        *word = fault.applied_to(*word);
    }
    Ok(())
}

impl FaultSpec {
    /// Flips that have not been shared out yet.
    pub(super) fn of_count(flips: u64) -> Self {
        Self::Count { flips, shares: HashMap::new() }
    }

    /// Decides how many of a number of flips fall on each tensor and its check bits, and behind all tensors
    /// on what is stored beside each.
    pub(super) fn share_out(
        &mut self,
        draw: Draw,
        tensors: &[TensorMemory<'_>],
    ) -> Result<(), FaultError> {
        let Self::Count { flips, shares } = self else { return Ok(()) };
        let words = tensors.iter().map(|tensor| {
            let TensorMemory { storage, words, .. } = *tensor;
            let (kept, each) = (draw.protection(storage)?, draw.ecc.check_bits(words)?);
            FlipCount::with_check_bits(0, words, width(storage)?, kept, each)
        });
        let beside = tensors.iter().flat_map(|tensor| &tensor.beside);
        let beside = beside.map(|&(part, words)| FlipCount::new(0, words, part.format.bits()));
        let memories = words.chain(beside).collect::<Result<Vec<_>, _>>()?;
        let stored: Vec<u64> = memories.iter().map(FlipCount::stored_bits).collect();
        let counts = FlipCount::shares(*flips, &stored, &draw.stream(""))?;
        let counted = memories.iter().zip(counts).map(|(memory, flips)| memory.with_flips(flips));
        let mut counted = counted.collect::<Result<Vec<_>, _>>()?;
        let mut beside = counted.split_off(tensors.len()).into_iter();
        for (tensor, words) in tensors.iter().zip(counted) {
            let names = tensor.beside.iter().map(|(part, _)| part.what);
            let beside = names.zip(&mut beside).collect();
            shares.insert(tensor.name.into(), Shares { words, beside });
        }
        Ok(())
    }

    /// What is injected into the words of the tensor `name`.
    fn words(&self, name: &str, storage: &Storage, draw: Draw) -> Result<Words> {
        match self {
            Self::Flips(flips) if width(storage).is_err() && draw.ecc == Ecc::Ideal => {
                let model = WordFlips::new(flips.clone(), storage.word_bits())?;
                Ok(Words::Wide(Box::new(model)))
            }
            _ => {
                let share = |shares: &Shares| Some(shares.words.clone());
                self.model(name, width(storage)?, share).map(Words::Bytes)
            }
        }
    }

    /// What is injected into one part of what is stored beside the tensor `name`.
    fn model_beside(&self, name: &str, part: Part) -> Result<Box<dyn FaultModel>> {
        let share = |shares: &Shares| {
            let found = shares.beside.iter().find(|(what, _)| *what == part.what);
            found.map(|(_, share)| share.clone())
        };
        self.model(name, part.format.bits(), share)
    }

    /// What is injected into words of a width, of which `share` finds the part of a number of flips.
    fn model(
        &self,
        name: &str,
        bits: BitWidth,
        share: impl Fn(&Shares) -> Option<FlipCount>,
    ) -> Result<Box<dyn FaultModel>> {
        Ok(match self {
            Self::Flips(flips) => Box::new(BitFlips::new(flips.clone(), bits)?),
            Self::Bursts { p, length } => Box::new(Bursts::new(*p, *length, bits)?),
            Self::Stuck { at_zero, at_one } => Box::new(BitFlips::stuck(*at_zero, *at_one, bits)?),
            Self::Count { shares, .. } => {
                let unknown = || RecordError::UnknownTensor {
                    name: name.into(),
                    known: shares.keys().cloned().collect(),
                };
                Box::new(shares.get(name).and_then(share).ok_or_else(unknown)?)
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
    fn protected(self, storage: &Storage) -> u32 {
        match storage {
            Storage::Codes(_) | Storage::Words(_) | Storage::Packed(_) => self.protect,
            Storage::Bytes(_) => 0,
        }
    }

    fn protection(self, storage: &Storage) -> Result<BitMask, FaultError> {
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
fn width(storage: &Storage) -> Result<BitWidth, FaultError> {
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

    /// What is read of the bytes of packed words, of which byte `first` begins a block: the faults of the
    /// same words one by one. Bits of no word are not stored.
    fn read_packed(
        &self,
        bytes: &[u8],
        first: u64,
        packed: &Packed,
    ) -> Result<EccRead, FaultError> {
        let first = packed.words_before(first);
        let mut words = packed.unpack(first, bytes);
        let tally = match &self.model {
            Words::Bytes(_) => {
                let narrow: Vec<u8> = words.iter().map(|&word| word as u8).collect();
                let read = self.read(&narrow, first)?;
                words = read.words.into_iter().map(u16::from).collect();
                read.tally
            }
            Words::Wide(model) => {
                model.inject_slice(&mut words, first, &self.stream, self.protect)?;
                EccTally::default()
            }
        };
        let mut read = bytes.to_vec();
        packed.pack(&words, &mut read);
        Ok(EccRead::new(read, tally))
    }
}

impl Piece<'_> {
    /// What is read of some of its words, the first of which is word `first` of the tensor.
    pub(super) fn read(&self, words: &[u8], first: u64) -> Result<EccRead, FaultError> {
        match self {
            Self::Drawn(drawn @ Drawn { packed: None, .. }) => drawn.read(words, first),
            Self::Drawn(drawn @ Drawn { packed: Some(packed), .. }) => {
                drawn.read_packed(words, first, packed)
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

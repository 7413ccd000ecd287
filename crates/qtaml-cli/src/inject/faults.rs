//! Where the faults come from: drawn from a law, or replayed from a file.

use std::collections::HashMap;
use std::fmt;
use std::iter::Peekable;

use qtaml::fault::{
    BitFlips, BitMask, Bursts, Ecc, EccRead, EccTally, FaultError, FaultModel, FaultRecord,
    FaultStream, FlipCount, ProtectionMap, Seed, WordFault,
};
use qtaml::physics::FlipProfile;
use safetensors::Dtype;

use super::storage::Storage;

/// The source of all faults of a run.
#[derive(Debug)]
pub(super) enum Source {
    Drawn(Law, Draw),
    Replayed(FaultRecord),
}

/// How faults come.
#[derive(Debug)]
pub(super) enum Law {
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

/// What faults follow from, beside their law.
#[derive(Debug, Clone, Copy)]
pub(super) struct Draw {
    /// So many of the top bits of a word are protected.
    pub(super) protect: u32,
    /// What keeps them.
    pub(super) ecc: Ecc,
    /// Whether scales lie in the memory as well.
    pub(super) scales: bool,
    pub(super) seed: Seed,
    pub(super) trial: u32,
}

/// The faults of one tensor, from its first word to its last.
pub(super) enum Faults<'a> {
    Drawn(Drawn),
    Replayed(Peekable<Box<dyn Iterator<Item = WordFault> + 'a>>),
}

/// Those that follow from a law: of any words, in any order.
pub(super) struct Drawn {
    model: Box<dyn FaultModel>,
    stream: FaultStream,
    protection: BitMask,
    ecc: Ecc,
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
            Self::Replayed(record) => record.seed(),
        }
    }

    pub(super) fn trial(&self) -> u32 {
        match self {
            Self::Drawn(_, draw) => draw.trial,
            Self::Replayed(record) => record.trial(),
        }
    }

    /// What is injected, in words.
    pub(super) fn model(&self) -> String {
        match self {
            Self::Drawn(law, draw) => draw.describe(law),
            Self::Replayed(record) => record.model().into(),
        }
    }

    /// Whether a real code keeps bits.
    pub(super) fn has_code(&self) -> bool {
        matches!(self, Self::Drawn(_, draw) if draw.ecc != Ecc::Ideal)
    }

    /// Words after which a tensor may be cut into pieces.
    pub(super) fn alignment(&self) -> Result<usize, FaultError> {
        match self {
            Self::Drawn(_, draw) => draw.ecc.alignment(),
            Self::Replayed(_) => Ok(1),
        }
    }

    /// What is read of the scale of the tensor `name`; only codes have one that is stored.
    pub(super) fn read_scale(
        &self,
        name: &str,
        storage: Storage,
        scale: f32,
    ) -> Result<f32, FaultError> {
        match (self, storage) {
            (Self::Drawn(law, draw), Storage::Codes(..)) if draw.scales => {
                let mut bytes = scale.to_le_bytes();
                let model = law.model(name, Storage::Bytes(Dtype::F32))?;
                let stream = draw.stream(name).substream("scale");
                model.inject_slice(&mut bytes, 0, &stream, ProtectionMap::NOTHING);
                Ok(f32::from_le_bytes(bytes))
            }
            _ => Ok(scale),
        }
    }

    /// The faults of the tensor `name`.
    pub(super) fn of(&self, name: &str, storage: Storage) -> Result<Faults<'_>, FaultError> {
        match self {
            Self::Drawn(law, draw) => {
                let model = law.model(name, storage)?;
                let (stream, protection) = (draw.stream(name), draw.protection(storage)?);
                Ok(Faults::Drawn(Drawn { model, stream, protection, ecc: draw.ecc }))
            }
            Self::Replayed(record) => {
                let faults: Box<dyn Iterator<Item = _>> = Box::new(record.tensor(name)?.faults());
                Ok(Faults::Replayed(faults.peekable()))
            }
        }
    }
}

impl Law {
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
            FlipCount::with_check_bits(0, words, storage.format().bits(), kept, each)
        };
        let memories = tensors.iter().map(memory).collect::<Result<Vec<_>, _>>()?;
        let stored: Vec<u64> = memories.iter().map(FlipCount::stored_bits).collect();
        let counts = FlipCount::shares(*flips, &stored, &draw.stream(""))?;
        for ((&(name, ..), memory), count) in tensors.iter().zip(memories).zip(counts) {
            shares.insert(name.into(), memory.with_flips(count)?);
        }
        Ok(())
    }

    /// What is injected into the tensor `name`.
    fn model(&self, name: &str, storage: Storage) -> Result<Box<dyn FaultModel>, FaultError> {
        let bits = storage.format().bits();
        Ok(match self {
            Self::Flips(flips) => Box::new(BitFlips::new(flips.clone(), bits)?),
            Self::Bursts { p, length } => Box::new(Bursts::new(*p, *length, bits)?),
            Self::Stuck { at_zero, at_one } => Box::new(BitFlips::stuck(*at_zero, *at_one, bits)?),
            Self::Count { shares, .. } => {
                let unknown = || FaultError::UnknownTensor {
                    name: name.into(),
                    known: shares.keys().cloned().collect(),
                };
                Box::new(shares.get(name).ok_or_else(unknown)?.clone())
            }
        })
    }
}

impl fmt::Display for Law {
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
    fn protection(self, storage: Storage) -> Result<BitMask, FaultError> {
        match storage {
            Storage::Codes(..) | Storage::Integers(_) => {
                BitMask::top(self.protect, storage.format().bits())
            }
            Storage::Bytes(_) => Ok(BitMask::NONE),
        }
    }

    /// The law, what is protected from it, and what is exposed to it beside words.
    fn describe(self, law: &Law) -> String {
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
        format!("{law}{protected}{scales}")
    }
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

impl Piece<'_> {
    /// What is read of some of its words, the first of which is word `first` of the tensor.
    pub(super) fn read(&self, words: &[u8], first: u64) -> Result<EccRead, FaultError> {
        match self {
            Self::Drawn(Drawn { model, stream, protection, ecc }) => {
                ecc.read_slice(words, first, &**model, stream, *protection)
            }
            Self::Replayed(faults) => {
                let end = first + words.len() as u64;
                let before = |index| faults.partition_point(|fault| fault.index < index);
                let mut read = words.to_vec();
                for fault in &faults[before(first)..before(end)] {
                    read[(fault.index - first) as usize] ^= fault.mask;
                }
                Ok(EccRead { words: read, tally: EccTally::default() })
            }
        }
    }
}

//! Where the faults come from: drawn from a law, or replayed from a file.

use std::iter::Peekable;

use qtaml::fault::{
    BitFlips, FaultError, FaultRecord, FlipCount, Keeper, Protection, Seed, Site, TensorFaults,
    WordFault,
};
use qtaml::physics::FlipProfile;

use super::storage::Storage;

/// The source of all faults of a run.
#[derive(Debug)]
pub(super) enum Source {
    Drawn(FlipProfile, Draw),
    Replayed(FaultRecord),
}

/// How often faults come: a rate or a count, never both.
#[derive(Debug)]
pub(super) enum Law {
    Flips(FlipProfile),
    Count(u64),
}

/// What faults follow from, beside their law.
#[derive(Debug, Clone, Copy)]
pub(super) struct Draw {
    /// So many of the top bits of a word are protected.
    pub(super) protect: u32,
    /// What keeps them.
    pub(super) keeper: Keeper,
    pub(super) seed: Seed,
    pub(super) trial: u32,
}

/// The faults of one tensor, from its first word to its last.
pub(super) enum Faults<'a> {
    Drawn { model: Box<BitFlips>, site: Site, protection: Protection, keeper: Keeper },
    Replayed(Peekable<Box<dyn Iterator<Item = WordFault> + 'a>>),
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
            Self::Drawn(flips, draw) => draw.describe(&flips.to_string()),
            Self::Replayed(record) => record.model().into(),
        }
    }

    /// Words after which a tensor may be cut into pieces.
    pub(super) fn alignment(&self) -> Result<usize, FaultError> {
        match self {
            Self::Drawn(_, draw) => draw.keeper.alignment(),
            Self::Replayed(_) => Ok(1),
        }
    }

    /// The faults of the tensor `name`.
    pub(super) fn of(&self, name: &str, storage: Storage) -> Result<Faults<'_>, FaultError> {
        match self {
            Self::Drawn(flips, draw) => {
                let model = Box::new(BitFlips::new(flips.clone(), storage.format().bits())?);
                let (site, protection) = (draw.site(name), draw.protection(storage)?);
                Ok(Faults::Drawn { model, site, protection, keeper: draw.keeper })
            }
            Self::Replayed(record) => {
                let faults: Box<dyn Iterator<Item = _>> = Box::new(record.tensor(name)?.faults());
                Ok(Faults::Replayed(faults.peekable()))
            }
        }
    }
}

impl Draw {
    /// A number of faults for all tensors together, drawn at once: tensors by name, storage and
    /// words.
    pub(super) fn count(
        self,
        flips: u64,
        tensors: &[(&str, Storage, u64)],
    ) -> Result<FaultRecord, FaultError> {
        let stored = |(_, storage, words): &(&str, Storage, u64)| {
            words.saturating_mul(storage.format().bits().get().into())
        };
        let stored: Vec<u64> = tensors.iter().map(stored).collect();
        let shares = FlipCount::shares(flips, &stored, &self.site(""))?;
        let law = if flips == 1 { "one flip".into() } else { format!("{flips} flips") };
        let mut record = FaultRecord::new(self.seed, self.trial, &self.describe(&law));
        for (&(name, storage, words), share) in tensors.iter().zip(shares) {
            let kept = self.protection(storage)?.mask();
            let faults = FlipCount::new(share, words, storage.format().bits())?;
            let left = faults.faults(&self.site(name)).into_iter();
            let left = left.map(|fault| WordFault { mask: fault.mask & !kept, ..fault });
            record.insert(name, TensorFaults::of_faults(storage.format(), words, left)?)?;
        }
        Ok(record)
    }

    fn site(self, name: &str) -> Site {
        Site::new(self.seed, self.trial, name)
    }

    /// The top bits of a byte are not those of the number that it is a part of, and not protected.
    fn protection(self, storage: Storage) -> Result<Protection, FaultError> {
        match storage {
            Storage::Codes(..) | Storage::Integers(_) => {
                Protection::top(self.protect, storage.format().bits())
            }
            Storage::Bytes(_) => Ok(Protection::NONE),
        }
    }

    /// The law, and what is protected from it.
    fn describe(self, law: &str) -> String {
        let by = match self.keeper {
            Keeper::Ideal => String::new(),
            Keeper::Code(code) => format!(" by {code}"),
        };
        match self.protect {
            0 => law.into(),
            1 => format!("{law}, top bit protected{by}"),
            bits => format!("{law}, top {bits} bits protected{by}"),
        }
    }
}

impl Faults<'_> {
    /// Flips bits of the next words of the tensor, of which `first` is the first.
    pub(super) fn inject(&mut self, words: &mut Vec<u8>, first: u64) -> Result<(), FaultError> {
        match self {
            Self::Drawn { model, site, protection, keeper } => {
                *words = keeper.read_slice(words, first, model, site, *protection)?.words;
            }
            Self::Replayed(faults) => {
                let end = first + words.len() as u64;
                while let Some(fault) = faults.next_if(|fault| fault.index < end) {
                    words[(fault.index - first) as usize] ^= fault.mask;
                }
            }
        }
        Ok(())
    }
}

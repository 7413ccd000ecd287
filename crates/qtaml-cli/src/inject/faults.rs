//! Where the faults come from: drawn from a law, or replayed from a file.

use std::iter::Peekable;

use qtaml::fault::{
    BitFlips, FaultError, FaultModel, FaultRecord, FlipCount, Protection, Seed, Site, TensorFaults,
    WordFault,
};
use qtaml::physics::FlipProfile;
use rayon::prelude::*;

use super::storage::{SLICE, Storage};

/// The source of all faults of a run.
#[derive(Debug)]
pub(super) enum Source {
    Drawn(Draw),
    Replayed(FaultRecord),
}

/// What is drawn: a rate or a count, never both.
#[derive(Debug)]
pub(super) enum Law {
    Flips(FlipProfile),
    Count(u64),
}

/// Faults by a law, from a seed.
#[derive(Debug)]
pub(super) struct Draw {
    pub(super) law: Law,
    /// So many of the top bits of a word never flip.
    pub(super) protect: u32,
    pub(super) seed: Seed,
    pub(super) trial: u32,
}

/// The faults of one tensor, from its first word to its last.
pub(super) enum Faults<'a> {
    Drawn { injector: Box<Injector>, site: Site, protection: Protection },
    Replayed(Peekable<Box<dyn Iterator<Item = WordFault> + 'a>>),
}

impl Source {
    pub(super) fn seed(&self) -> Seed {
        match self {
            Self::Drawn(draw) => draw.seed,
            Self::Replayed(record) => record.seed(),
        }
    }

    pub(super) fn trial(&self) -> u32 {
        match self {
            Self::Drawn(draw) => draw.trial,
            Self::Replayed(record) => record.trial(),
        }
    }

    /// What is injected, in words.
    pub(super) fn model(&self) -> String {
        match self {
            Self::Drawn(Draw { flips, protect: 0, .. }) => flips.to_string(),
            Self::Drawn(Draw { flips, protect: 1, .. }) => format!("{flips}, top bit protected"),
            Self::Drawn(Draw { flips, protect, .. }) => {
                format!("{flips}, top {protect} bits protected")
            }
            Self::Replayed(record) => record.model().into(),
        }
    }

    /// The faults of the tensor `name`.
    pub(super) fn of(&self, name: &str, storage: Storage) -> Result<Faults<'_>, FaultError> {
        match self {
            Self::Drawn(draw) => draw.of(name, storage),
            Self::Replayed(record) => {
                let faults: Box<dyn Iterator<Item = _>> = Box::new(record.tensor(name)?.faults());
                Ok(Faults::Replayed(faults.peekable()))
            }
        }
    }
}

impl Draw {
    /// The top bits of a byte are not those of the number that it is a part of, and not protected.
    fn of(&self, name: &str, storage: Storage) -> Result<Faults<'_>, FaultError> {
        let width = storage.format().bits();
        let protection = match storage {
            Storage::Codes(..) | Storage::Integers(_) => Protection::top(self.protect, width)?,
            Storage::Bytes(_) => Protection::NONE,
        };
        let injector = Box::new(Injector::new(self.flips.clone(), width)?);
        Ok(Faults::Drawn { injector, site: Site::new(self.seed, self.trial, name), protection })
    }
}

impl Faults<'_> {
    /// Flips bits of the next words of the tensor, of which `first` is the first.
    pub(super) fn inject(&mut self, words: &mut [u8], first: u64) {
        match self {
            Self::Drawn { injector, site, protection } => {
                words.par_chunks_mut(SLICE).enumerate().for_each(|(i, slice)| {
                    injector.inject(slice, first + (i * SLICE) as u64, site, *protection);
                });
            }
            Self::Replayed(faults) => {
                let end = first + words.len() as u64;
                while let Some(fault) = faults.next_if(|fault| fault.index < end) {
                    words[(fault.index - first) as usize] ^= fault.mask;
                }
            }
        }
    }
}

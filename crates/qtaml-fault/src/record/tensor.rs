//! The faults of one tensor, as compact as in a file.

use qtaml_quant::{Format, Scaling};
use serde::{Deserialize, Serialize};

use super::leb128::{read_leb128, write_leb128};
use super::{WordDigest, WordDigester, rate};
use crate::RecordError;

/// What a recorded fault does to a bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum FaultEffect {
    /// The bit is read as its opposite.
    Flip,
    /// The bit is read as the value that its cell is stuck at, whatever it stores.
    Stuck,
}

/// The faults of one tensor, held as compactly as in a file: two bytes a faulty word, unless
/// faults are rare; three for stuck cells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorFaults {
    format: Format,
    scaling: Option<Scaling>,
    effect: FaultEffect,
    words: u64,
    digest: WordDigest,
    flipped_bits: u64,
    entries: Vec<u8>,
}

/// A word that is read otherwise than it was stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct WordFault {
    /// Position of the word in its tensor, row-major.
    pub index: u64,
    /// The bits that are read wrong, never none.
    pub mask: u8,
    /// What these bits are read as, with 0 in all others, if their cells are stuck.
    pub stuck_at: Option<u8>,
}

impl WordFault {
    /// These bits flip.
    pub const fn flip(index: u64, mask: u8) -> Self {
        Self { index, mask, stuck_at: None }
    }

    /// The cells of these bits are stuck at the values that `read` has in them.
    pub const fn stuck(index: u64, mask: u8, read: u8) -> Self {
        Self { index, mask, stuck_at: Some(read & mask) }
    }

    /// What is read where `word` is stored.
    pub const fn applied_to(self, word: u8) -> u8 {
        match self.stuck_at {
            None => word ^ self.mask,
            Some(values) => word & !self.mask | values,
        }
    }
}

/// Records the faults of a tensor, piece by piece.
///
/// ```
/// use qtaml_fault::{FaultEffect, TensorRecorder};
/// use qtaml_quant::BitWidth;
///
/// let mut recorder = TensorRecorder::new(BitWidth::INT4, FaultEffect::Flip);
/// recorder.append(&[1, 2, 3], &[1, 2, 7])?;
/// recorder.append(&[4], &[5])?;
/// assert_eq!(recorder.finish().flipped_bits(), 2);
/// # Ok::<(), qtaml_fault::RecordError>(())
/// ```
#[derive(Debug, Clone)]
pub struct TensorRecorder {
    format: Format,
    scaling: Option<Scaling>,
    digester: WordDigester,
    entries: Entries,
    words: u64,
}

impl TensorRecorder {
    /// A tensor of no words yet. A width alone stands for two's complement.
    pub fn new(format: impl Into<Format>, effect: FaultEffect) -> Self {
        let (format, digester) = (format.into(), WordDigester::default());
        Self { format, scaling: None, digester, entries: Entries::new(effect), words: 0 }
    }

    /// The same for words that weights are quantized to: how, so that they can be quantized alike.
    #[must_use]
    pub fn with_scaling(self, scaling: impl Into<Option<Scaling>>) -> Self {
        Self { scaling: scaling.into(), ..self }
    }

    /// Records what happened to the next words of the tensor: `stored` were `read`.
    ///
    /// # Errors
    /// [`RecordError::ReadLength`] unless both are of one length, [`RecordError::FlipOutside`] for a
    /// flipped bit above the width; then nothing is recorded.
    pub fn append(&mut self, stored: &[u8], read: &[u8]) -> Result<(), RecordError> {
        if stored.len() != read.len() {
            return Err(RecordError::ReadLength { stored: stored.len(), read: read.len() });
        }
        let width = self.format.bits();
        let words = || (self.words..).zip(stored.iter().zip(read));
        let outside = |(index, (stored, read)): (u64, (&u8, &u8))| {
            let mask = stored ^ read;
            (mask & !width.mask() != 0).then_some(RecordError::FlipOutside { index, mask, width })
        };
        if let Some(error) = words().find_map(outside) {
            return Err(error);
        }
        for (index, (stored, read)) in (self.words..).zip(stored.iter().zip(read)) {
            if stored != read {
                self.entries.push(index, stored ^ read, *read);
            }
        }
        self.digester.update(stored);
        self.words += stored.len() as u64;
        Ok(())
    }

    /// The faults of all words so far, and their digest.
    pub fn finish(self) -> TensorFaults {
        let Entries { effect, flipped_bits, bytes, .. } = self.entries;
        let (format, scaling, words) = (self.format, self.scaling, self.words);
        let digest = self.digester.finish();
        TensorFaults { format, scaling, effect, words, digest, flipped_bits, entries: bytes }
    }
}

impl TensorFaults {
    /// The faulty words, in rising order.
    pub fn faults(&self) -> impl Iterator<Item = WordFault> {
        let (mut entries, mut next) = (self.entries.as_slice(), 0);
        std::iter::from_fn(move || {
            let fault = read_fault(&mut entries, next, self.effect)?;
            next = fault.index + 1;
            Some(fault)
        })
    }

    /// Refuses other words than the faults were drawn on; `name` is that of the tensor.
    ///
    /// # Errors
    /// [`RecordError::OtherWords`].
    pub fn check_digest(&self, name: &str, given: WordDigest) -> Result<(), RecordError> {
        let recorded = self.digest;
        if given == recorded {
            return Ok(());
        }
        Err(RecordError::OtherWords { name: name.into(), recorded, given })
    }

    /// The number of words, faulty or not.
    pub fn words(&self) -> u64 {
        self.words
    }

    /// What the words mean.
    pub fn format(&self) -> Format {
        self.format
    }

    /// How the words follow from weights; `None` where they are stored as they are.
    pub fn scaling(&self) -> Option<Scaling> {
        self.scaling
    }

    /// What the faults do to a bit.
    pub fn effect(&self) -> FaultEffect {
        self.effect
    }

    /// The digest of the words that the faults were drawn on.
    pub fn digest(&self) -> WordDigest {
        self.digest
    }

    /// Bits that were read wrong.
    pub fn flipped_bits(&self) -> u64 {
        self.flipped_bits
    }

    /// Bits that were stored, protected ones included.
    pub fn stored_bits(&self) -> u64 {
        self.words.saturating_mul(self.format.bits().get().into())
    }

    /// Bits that were read wrong per *stored* bit, see [`FaultRecord::bit_error_rate`](super::FaultRecord::bit_error_rate).
    pub fn bit_error_rate(&self) -> f64 {
        rate(self.flipped_bits(), self.stored_bits())
    }

    /// As they lie in a file.
    pub(super) fn entries(&self) -> &[u8] {
        &self.entries
    }

    /// `None` for entries that no tensor of so many words in this format could have.
    pub(super) fn from_entries(
        (format, scaling): (Format, Option<Scaling>),
        effect: FaultEffect,
        words: u64,
        digest: WordDigest,
        entries: &[u8],
    ) -> Option<Self> {
        let (mut rest, mut next, mut flipped_bits) = (entries, 0, 0);
        while !rest.is_empty() {
            let WordFault { index, mask, stuck_at } = read_fault(&mut rest, next, effect)?;
            let values = stuck_at.unwrap_or(0);
            if index >= words
                || mask == 0
                || mask & !format.bits().mask() != 0
                || values & !mask != 0
            {
                return None;
            }
            next = index + 1;
            flipped_bits += u64::from(mask.count_ones());
        }
        Some(Self { format, scaling, effect, words, digest, flipped_bits, entries: entries.into() })
    }
}

/// Entries of a file, being written.
#[derive(Debug, Clone)]
struct Entries {
    effect: FaultEffect,
    bytes: Vec<u8>,
    flipped_bits: u64,
    /// The word behind the last faulty one.
    next: u64,
}

impl Entries {
    fn new(effect: FaultEffect) -> Self {
        Self { effect, bytes: Vec::new(), flipped_bits: 0, next: 0 }
    }

    /// A word of which the bits in `mask` are read as they are in `read`.
    fn push(&mut self, index: u64, mask: u8, read: u8) {
        write_leb128(&mut self.bytes, index - self.next);
        self.bytes.push(mask);
        if self.effect == FaultEffect::Stuck {
            self.bytes.push(read & mask);
        }
        self.flipped_bits += u64::from(mask.count_ones());
        self.next = index + 1;
    }
}

/// Takes one entry off the front; `next` is the word behind the faulty one before.
fn read_fault(entries: &mut &[u8], next: u64, effect: FaultEffect) -> Option<WordFault> {
    let index = next.checked_add(read_leb128(entries)?)?;
    let mut byte = || -> Option<u8> {
        let (&byte, rest) = entries.split_first()?;
        *entries = rest;
        Some(byte)
    };
    let mask = byte()?;
    let stuck_at = match effect {
        FaultEffect::Flip => None,
        FaultEffect::Stuck => Some(byte()?),
    };
    Some(WordFault { index, mask, stuck_at })
}

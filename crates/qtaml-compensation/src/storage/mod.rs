//! Weight storage: the trait, and a group of weights as it lies in memory.
//!
//! A *group* shares one scale and one decision: a tensor, a channel, a part of one. Which of the many
//! ways to store it was taken is hidden behind [`WeightStorage`], so that budgets and models need not
//! know: quantized words with protected bits ([`QuantizedStorage`]), with more of them where inputs have more
//! power ([`PerWeightStorage`]), words of a channel-optimised
//! codebook ([`CodebookStorage`](crate::codebook::CodebookStorage)), or blocks of weights that are
//! error corrected as a whole ([`BlockCodedStorage`](crate::blockcode::BlockCodedStorage)).
//! [`StorageSpec`] says in writing which of them a group may take, and [`StorageWriter`] carries it
//! out in one memory. What then lies there are [`StoredBytes`]; a [`StorageReader`] makes the storage of them
//! and of the plan, without the weights.

mod ends;
mod group;
mod per_weight;
mod quantized;
mod reader;
mod spec;
mod stored;
mod writer;

use std::fmt::Debug;
use std::sync::Arc;

use qtaml_fault::{BitFlips, BitMask, Ecc, FaultStream, ProtectionMap};

use crate::{PlannedStorage, StorageError};

pub use group::GroupWeights;
pub(crate) use group::InputPower;
pub use per_weight::PerWeightStorage;
pub use quantized::{QuantizedMemory, QuantizedStorage};
pub use reader::StorageReader;
pub use spec::{BitChoice, QuantizedSpec, ScalePolicy, StorageSpec};
pub use stored::{StoredBytes, StoredLayout};
pub(crate) use stored::{check_length, check_padding};
pub use writer::{Candidates, CodeLibrary, StorageWriter};

/// A group of weights as it lies in memory, with the table that reads it.
pub trait WeightStorage: Send + Sync + Debug {
    /// The number of weights.
    fn weights(&self) -> usize;

    /// Bits in the memory that leaks, check bits of a code included.
    fn stored_bits(&self) -> u64;

    /// How many of them are kept ideally, which is how the source counts protection; 0 where a code
    /// keeps bits, whose price is among the stored ones.
    fn protected_bits(&self) -> u64;

    /// How many of the stored bits are check bits of an error-correcting code.
    fn check_bits(&self) -> u64 {
        0
    }

    /// Bits that must be stored reliably beside them: scale, and what the decoder must know.
    fn metadata_bits(&self) -> u64;

    /// The mean square error per weight in squared units of the weights, from rounding, clipping
    /// and faults: exact, without sampling.
    fn mean_square_error(&self) -> f64;

    /// The weights without faults: those that the stored codes stand for, as if there were no
    /// decoder, which may shrink or shift also what was read right.
    fn golden(&self) -> Vec<f32>;

    /// The weights under the faults of one trial, decoded, where the group lies in a row: position
    /// `start` in the tensor of the stream is that of the first weight.
    ///
    /// # Errors
    /// [`EccError::Misaligned`](qtaml_fault::EccError::Misaligned) for a position at which this
    /// storage cannot start.
    fn read(&self, stream: &FaultStream, start: u64) -> Result<Vec<f32>, StorageError>;

    /// The storage as one byte for each weight, if that is what lies in the memory. Such weights may
    /// lie anywhere in their tensor: whoever knows where reads the bytes and has them decoded.
    fn as_words(&self) -> Option<&dyn WordStorage> {
        None
    }

    /// What may be read in a trial, by chances in place of faults where reading takes long, and else what is read:
    /// over many trials the same. A choice among storages can be made by it; what is said of one cannot.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    fn drawn(&self, stream: &FaultStream, start: u64) -> Result<Vec<f32>, StorageError> {
        self.read(stream, start)
    }

    /// The storage as quantized weights, if it is that.
    fn as_quantized(&self) -> Option<&QuantizedStorage> {
        None
    }

    /// Which of the ways to store weights it is.
    fn stored_as(&self) -> StoredAs;

    /// The same with all that a reader without the weights must be told.
    fn planned(&self) -> PlannedStorage;

    /// What lies in the memory. With [`planned`](Self::planned) it is all that a [`StorageReader`] needs to
    /// read the same weights under the same faults.
    ///
    /// # Errors
    /// [`StorageError::Fault`] for a code that cannot be built.
    fn stored(&self) -> Result<StoredBytes, StorageError>;
}

/// Weights that lie in memory as one word of at most eight bits each.
pub trait WordStorage: WeightStorage {
    /// The stored words, one byte each.
    fn words(&self) -> &[u8];

    /// The model that draws the faults of the words.
    fn model(&self) -> &BitFlips;

    /// The bits of each word that are protected.
    fn protection(&self) -> WordProtection;

    /// What keeps them.
    fn ecc(&self) -> Ecc;

    /// The model that draws what the code leaves wrong in the protected bits, in place of decoding it: each bit as often
    /// as its [residual](Ecc::residual) says, and independently of others. None without a code.
    ///
    /// # Errors
    /// [`StorageError::Fault`] for a code that cannot be built.
    fn left(&self) -> Result<Option<Arc<BitFlips>>, StorageError> {
        Ok(None)
    }

    /// The weights that these words are read as.
    ///
    /// # Errors
    /// [`StorageError::Fault`] if there are not as many words as weights.
    fn decode(&self, read: &[u8]) -> Result<Vec<f32>, StorageError>;
}

/// The protected bits of the words of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WordProtection {
    /// The same of all words.
    Alike(BitMask),
    /// Those of each word.
    Each(Vec<BitMask>),
}

impl<'a> From<&'a WordProtection> for ProtectionMap<'a> {
    fn from(protection: &'a WordProtection) -> Self {
        match protection {
            WordProtection::Alike(mask) => (*mask).into(),
            WordProtection::Each(masks) => masks.into(),
        }
    }
}

/// The way in which a group is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StoredAs {
    /// Quantized words of so many bits.
    Quantized {
        /// Bits of a word.
        bits: u32,
        /// The protected bits.
        mask: BitMask,
        /// What keeps them.
        ecc: Ecc,
    },
    /// Quantized words, each of which has as many top bits protected as its score asks for.
    PerWeight {
        /// Bits of a word.
        bits: u32,
        /// The protected bits of all words together.
        protected: u64,
    },
    /// Words of a channel-optimised codebook.
    Codebook {
        /// Bits of a word.
        width: u32,
        /// The number of its highest bits that never flip.
        protected: u32,
    },
    /// Blocks that are error corrected as a whole.
    BlockCoded {
        /// Stored bits of a weight.
        rate: u32,
    },
}

impl std::fmt::Display for StoredAs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Quantized { bits, mask, ecc: Ecc::Ideal } => {
                write!(f, "quantized, {bits} bits, {} protected", mask.count())
            }
            Self::Quantized { bits, mask, ecc } => {
                write!(f, "quantized, {bits} bits, {} kept by {ecc}", mask.count())
            }
            Self::PerWeight { bits, protected } => {
                write!(f, "quantized, {bits} bits, {protected} protected by weight")
            }
            Self::Codebook { width, protected: 0 } => write!(f, "codebook, {width} bits"),
            Self::Codebook { width, protected } => {
                write!(f, "codebook, {width} bits, {protected} protected")
            }
            Self::BlockCoded { rate } => write!(f, "block coded, {rate} bits a weight"),
        }
    }
}

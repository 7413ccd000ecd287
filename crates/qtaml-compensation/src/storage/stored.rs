//! The bytes of one group in its memory, and their layout.

use qtaml_quant::QuantError;
use serde::{Deserialize, Serialize};

use crate::blockcode::{block_count, bytes_of_blocks};
use crate::{PlanFileError, PlanGroup, PlannedStorage, RestoreError};

/// What lies in the memory of one group; scales, outliers and what the decoder knows are of the plan.
///
/// Words lie back to back, as in [`PackedWords`](qtaml_quant::PackedWords); blocks lie one after the other;
/// check bits are those of [`Ecc::encode`](qtaml_fault::Ecc::encode).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct StoredBytes {
    /// The words or the blocks.
    pub words: Vec<u8>,
    /// The check bits of an error-correcting code, if there are any.
    pub check: Vec<u8>,
}

impl StoredBytes {
    /// Words or blocks, and check bits.
    pub fn new(words: Vec<u8>, check: Vec<u8>) -> Self {
        Self { words, check }
    }
}

/// How a group lies in its memory, which follows from its plan.
///
/// ```
/// use qtaml_compensation::storage::StoredLayout;
///
/// let layout = StoredLayout::Words { width: 5, words: 100, check_bits: 12 };
/// assert_eq!((layout.bytes(), layout.check_bytes()), (63, 2));
/// // Of 100,000 bits, two blocks are made.
/// let layout = StoredLayout::Blocks { rate: 5, weights: 20_001, blocks: 2 };
/// assert_eq!(layout.bytes(), 10_000 * 5 / 8 + 10_001 * 5 / 8);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
pub enum StoredLayout {
    /// Words back to back.
    Words {
        /// Bits of a word.
        width: u32,
        /// The number of words, one for each weight.
        words: u64,
        /// Check bits of an error-correcting code.
        check_bits: u64,
    },
    /// Blocks of whole bytes, one after the other: block `i` of `m` holds the weights from number
    /// `floor(i n / m)` of `n` to before number `floor((i + 1) n / m)`, in `floor(k r / 8)` bytes for `k`
    /// weights of `r` bits.
    Blocks {
        /// Stored bits of a weight.
        rate: u32,
        /// The number of weights.
        weights: u64,
        /// The number of blocks.
        blocks: u64,
    },
}

impl StoredLayout {
    /// The layout of a planned group.
    ///
    /// # Errors
    /// [`PlanFileError::Bits`] for protected bits that its words lack, [`PlanFileError::Fault`] for a code
    /// that does not exist.
    pub fn of(group: &PlanGroup) -> Result<Self, PlanFileError> {
        let weights = group.weights as u64;
        Ok(match group.storage {
            PlannedStorage::Quantized { format, ecc, .. } => {
                let each = ecc.check_bits(weights).map_err(qtaml_fault::FaultError::from)?;
                let protected = group.mask()?.unwrap_or_default().count();
                let check_bits = each.saturating_mul(protected.into());
                Self::Words { width: format.bits().get(), words: weights, check_bits }
            }
            PlannedStorage::PerWeight { format, .. } => {
                Self::Words { width: format.bits().get(), words: weights, check_bits: 0 }
            }
            PlannedStorage::Codebook { width, .. } => {
                Self::Words { width, words: weights, check_bits: 0 }
            }
            PlannedStorage::BlockCoded { rate, .. } => {
                Self::Blocks { rate, weights, blocks: block_count(weights, rate) }
            }
        })
    }

    /// Bytes of words or blocks. A number that 64 bits cannot hold is the largest that they can.
    pub fn bytes(self) -> u64 {
        match self {
            Self::Words { width, words, .. } => bytes_of(u128::from(words) * u128::from(width)),
            Self::Blocks { rate, weights, .. } => bytes_of_blocks(weights, rate),
        }
    }

    /// Bytes of check bits.
    pub fn check_bytes(self) -> u64 {
        match self {
            Self::Words { check_bits, .. } => check_bits.div_ceil(8),
            Self::Blocks { .. } => 0,
        }
    }
}

/// Bytes that so many bits fill.
fn bytes_of(bits: u128) -> u64 {
    u64::try_from(bits.div_ceil(8)).unwrap_or(u64::MAX)
}

/// Refuses another number of bytes than so many weights take.
pub(crate) fn check_length(
    what: &'static str,
    weights: usize,
    expected: u64,
    given: &[u8],
) -> Result<(), RestoreError> {
    let given = given.len() as u64;
    if given == expected {
        return Ok(());
    }
    Err(RestoreError::Length { what, weights, expected, given })
}

/// Refuses bits behind the last of so many that are set.
pub(crate) fn check_padding(bytes: &[u8], bits: u64) -> Result<(), QuantError> {
    let used = (bits % 8) as u32;
    match bytes.last() {
        Some(&last) if used > 0 && last >> used != 0 => Err(QuantError::Padding { last, used }),
        _ => Ok(()),
    }
}

//! Protected bits: one set for all words, or one for each.

use std::ops::Range;

use qtaml_quant::BitWidth;

use crate::{BitMask, FaultError};

/// Which bits of which words are protected: per layer, or per word, and so per channel or group.
///
/// ```
/// use qtaml_fault::{BitFlips, FaultModel, ProtectionMap, BitMask, Seed, FaultStream};
/// use qtaml_physics::FlipProbability;
/// use qtaml_quant::BitWidth;
///
/// // Two channels of three words: the first keeps its top bit, the second everything.
/// let channels = [1, 8].map(|k| BitMask::top(k, BitWidth::INT8).unwrap());
/// let each = ProtectionMap::channels(&channels, 3);
///
/// let always = BitFlips::new(FlipProbability::asymmetric(1.0, 1.0)?, BitWidth::INT8)?;
/// let stream = FaultStream::new(Seed(42), 0, "conv1.weight");
/// let read = always.corrupted(&[0; 6], &stream, (&each).into())?;
/// assert_eq!(read, [0x7f, 0x7f, 0x7f, 0, 0, 0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum ProtectionMap<'a> {
    /// The same bits of every word.
    Alike(BitMask),
    /// Bits of their own for every word, in the order of the words.
    Each(&'a [BitMask]),
}

impl ProtectionMap<'_> {
    /// No bit of any word.
    pub const NOTHING: Self = Self::Alike(BitMask::NONE);

    /// The protection of every word, where each of `channels` covers `words` in a row.
    pub fn channels(channels: &[BitMask], words: usize) -> Vec<BitMask> {
        channels.iter().flat_map(|&channel| std::iter::repeat_n(channel, words)).collect()
    }

    /// What it says of a part of the words.
    pub(crate) fn slice(self, words: Range<usize>) -> Self {
        match self {
            Self::Alike(_) => self,
            Self::Each(each) => Self::Each(&each[words]),
        }
    }

    /// Refuses protection that does not fit so many words of such a width.
    pub(crate) fn check(self, words: usize, width: BitWidth) -> Result<(), FaultError> {
        let each = match self {
            Self::Alike(protection) => return protection.check_width(width),
            Self::Each(each) if each.len() == words => each,
            Self::Each(each) => {
                return Err(FaultError::ProtectedWords { given: each.len(), expected: words });
            }
        };
        let all = each.iter().fold(0, |all, protection| all | protection.mask());
        BitMask::of_bits(all, width).map(|_| ())
    }

    /// The protected bits of word `index`.
    #[inline]
    pub(crate) fn mask(self, index: usize) -> u8 {
        match self {
            Self::Alike(protection) => protection.mask(),
            Self::Each(each) => each[index].mask(),
        }
    }
}

impl From<BitMask> for ProtectionMap<'_> {
    fn from(protection: BitMask) -> Self {
        Self::Alike(protection)
    }
}

impl<'a> From<&'a Vec<BitMask>> for ProtectionMap<'a> {
    fn from(each: &'a Vec<BitMask>) -> Self {
        Self::Each(each)
    }
}

impl<'a> From<&'a [BitMask]> for ProtectionMap<'a> {
    fn from(each: &'a [BitMask]) -> Self {
        Self::Each(each)
    }
}

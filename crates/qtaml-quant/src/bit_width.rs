//! The width of a code.

use serde::{Deserialize, Serialize};

use crate::{QuantError, Word};

/// Number of bits `b` of a stored word, 2 to 8.
///
/// ```
/// use qtaml_quant::BitWidth;
///
/// let int4 = BitWidth::new(4)?;
/// assert_eq!((int4.levels(), int4.max_code(), int4.mask()), (16, 7, 0b1111));
/// # Ok::<(), qtaml_quant::QuantError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct BitWidth(u8);

impl BitWidth {
    /// Four bits.
    pub const INT4: Self = Self(4);
    /// Eight bits, one byte a weight.
    pub const INT8: Self = Self(8);

    /// A width of `bits` bits.
    ///
    /// # Errors
    /// [`QuantError::BitWidth`] outside 2..=8.
    pub fn new(bits: u32) -> Result<Self, QuantError> {
        match bits {
            2..=8 => Ok(Self(bits as u8)),
            _ => Err(QuantError::BitWidth(bits)),
        }
    }

    /// Every width there is, narrowest first.
    pub fn all() -> impl DoubleEndedIterator<Item = Self> {
        (2..=8).map(Self)
    }

    /// The number of bits `b`.
    pub const fn get(self) -> u32 {
        self.0 as u32
    }

    /// The number of different words, `2^b`.
    pub const fn levels(self) -> usize {
        1 << self.0
    }

    /// The largest code, `2^(b-1) - 1`: the code of the weight of largest magnitude.
    pub const fn max_code(self) -> i32 {
        (1 << (self.0 - 1)) - 1
    }

    /// The word with all `b` bits set.
    pub const fn mask(self) -> u8 {
        u8::MAX >> (8 - self.0)
    }

    /// All words, in the order of their bit patterns.
    pub fn words(self) -> impl Iterator<Item = Word> + Clone {
        (0..=self.mask()).map(Word)
    }
}

impl TryFrom<u32> for BitWidth {
    type Error = QuantError;

    fn try_from(bits: u32) -> Result<Self, QuantError> {
        Self::new(bits)
    }
}

impl From<BitWidth> for u32 {
    fn from(bits: BitWidth) -> Self {
        bits.get()
    }
}

impl std::fmt::Display for BitWidth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "INT{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_width_counts_its_words() {
        assert_eq!(BitWidth::all().count(), 7);
        for bits in BitWidth::all() {
            assert_eq!(bits.words().count(), bits.levels());
            assert_eq!(bits.levels(), 1 << bits.get());
            assert_eq!(usize::from(bits.mask()) + 1, bits.levels());
            assert_eq!(2 * (bits.max_code() + 1), bits.levels() as i32);
        }
    }

    #[test]
    fn other_widths_are_refused() {
        for bits in [0, 1, 9, 32] {
            assert_eq!(BitWidth::new(bits), Err(QuantError::BitWidth(bits)));
        }
    }
}

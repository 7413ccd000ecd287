//! The width of a code, and what its bits are worth.

use serde::{Deserialize, Serialize};

use crate::QuantError;

/// Number of bits `b` of a stored code, 2 to 8, read as two's complement.
///
/// Bit `i` has the value `2^i`, and the top bit, the sign, has `-2^(b-1)`
/// (docs/theory.md, section 2). A *code* is the integer `q` that the bits stand for; a *word* is the bit
/// pattern itself, in the low `b` bits of a byte.
///
/// ```
/// use qtaml_quant::BitWidth;
///
/// let int4 = BitWidth::new(4)?;
/// assert_eq!(int4.word_of(-3), 0b1101);
/// assert_eq!(int4.code_of(0b1101), -3);
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

    /// The value of each bit, least significant first. They sum to -1.
    pub fn bit_values(self) -> impl DoubleEndedIterator<Item = i32> {
        let sign = self.0 - 1;
        (0..self.0).map(move |i| if i == sign { -(1 << i) } else { 1 << i })
    }

    /// All words, in the order of their bit patterns.
    pub fn words(self) -> impl Iterator<Item = u8> {
        0..=self.mask()
    }

    /// The word that stores `code`. Bits that do not fit are cut off, as in a memory cell.
    pub const fn word_of(self, code: i32) -> u8 {
        code as u8 & self.mask()
    }

    /// The code that `word` stands for. Bits above the width are ignored.
    pub const fn code_of(self, word: u8) -> i32 {
        let unused = 8 - self.0;
        (((word << unused) as i8) >> unused) as i32
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

    fn every_width() -> impl Iterator<Item = BitWidth> {
        (2..=8).map(|bits| BitWidth::new(bits).unwrap())
    }

    #[test]
    fn a_code_is_the_sum_of_its_bit_values() {
        for bits in every_width() {
            for word in bits.words() {
                let sum: i32 = bits
                    .bit_values()
                    .enumerate()
                    .filter(|(i, _)| word >> i & 1 == 1)
                    .map(|(_, value)| value)
                    .sum();
                assert_eq!(bits.code_of(word), sum, "{bits} word {word:#b}");
            }
        }
    }

    #[test]
    fn words_and_codes_are_one_to_one() {
        for bits in every_width() {
            for code in -bits.max_code() - 1..=bits.max_code() {
                assert_eq!(bits.code_of(bits.word_of(code)), code);
            }
        }
    }

    #[test]
    fn bit_values_sum_to_minus_one() {
        assert!(every_width().all(|bits| bits.bit_values().sum::<i32>() == -1));
    }

    #[test]
    fn other_widths_are_refused() {
        for bits in [0, 1, 9, 32] {
            assert_eq!(BitWidth::new(bits), Err(QuantError::BitWidth(bits)));
        }
    }
}

//! A stored word and the code that it stands for, told apart by type.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The bit pattern that stores one weight, in the low bits of a byte.
///
/// Many words at once are slices of `u8`; where a single number could be a word or a [`Code`], it is one
/// of these types.
///
/// ```
/// use qtaml_quant::{Code, Format, Word};
///
/// let word = Format::INT8.word_of(Code(-2));
/// assert_eq!(word, Word(0b1111_1110));
/// assert!(word.bit(7) && !word.bit(0));
/// assert_eq!(Format::INT8.code_of(word.with_flipped(7)), Code(126));
/// ```
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Word(pub u8);

impl Word {
    /// What bit number `bit` stores, 0 being the least significant; zeros lie above bit 7.
    #[inline]
    pub const fn bit(self, bit: usize) -> bool {
        bit < 8 && self.0 >> bit & 1 == 1
    }

    /// The word with bit number `bit` flipped; the same word if there is no such bit.
    #[must_use]
    #[inline]
    pub const fn with_flipped(self, bit: usize) -> Self {
        if bit < 8 { Self(self.0 ^ 1 << bit) } else { self }
    }

    /// As an index of a table with one entry for each word.
    #[inline]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// The integer that a weight is rounded to: the weight in steps of its scale.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Code(pub i32);

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#04x}", self.0)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<Word> for u8 {
    fn from(word: Word) -> Self {
        word.0
    }
}

impl From<Word> for usize {
    fn from(word: Word) -> Self {
        word.index()
    }
}

impl From<Code> for i32 {
    fn from(code: Code) -> Self {
        code.0
    }
}

impl From<Code> for f64 {
    fn from(code: Code) -> Self {
        code.0.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_beyond_a_byte_are_zeros_that_do_not_flip() {
        let word = Word(0b1000_0001);
        assert_eq!((0..10).filter(|&bit| word.bit(bit)).collect::<Vec<_>>(), [0, 7]);
        assert_eq!(word.with_flipped(0), Word(0b1000_0000));
        assert_eq!(word.with_flipped(8), word);
    }

    #[test]
    fn they_are_printed_and_serialized_as_numbers() {
        assert_eq!((Word(0x0a).to_string(), Code(-7).to_string()), ("0x0a".into(), "-7".into()));
        assert_eq!(format!("{:>4}", Code(-7)), "  -7");
        assert_eq!(serde_json::to_string(&(Word(10), Code(-7))).unwrap(), "[10,-7]");
        assert_eq!(serde_json::from_str::<(Word, Code)>("[10,-7]").unwrap(), (Word(10), Code(-7)));
    }
}

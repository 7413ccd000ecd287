//! Packed words: back to back, without the spare bits of a byte.

use crate::{BitWidth, QuantError, Word};

/// Words of `b` bits stored back to back, as a memory of `n b` cells holds them.
///
/// Bit `j` of word `i` is bit `k = i b + j` of the store, which is bit `k mod 8` of byte
/// `floor(k / 8)`: least significant first, as Apache Parquet packs (Encodings.md of
/// its format specification, `RLE`). The bits that fill up the last byte are zero.
///
/// ```
/// use qtaml_quant::{BitWidth, PackedWords, Word};
///
/// let packed = PackedWords::pack(&[1, 2, 3], BitWidth::INT4)?;
/// assert_eq!(packed.bytes(), [0x21, 0x03]);
/// assert_eq!((packed.get(1), packed.get(3)), (Some(Word(2)), None));
/// assert_eq!(packed.unpack(), [1, 2, 3]);
/// # Ok::<(), qtaml_quant::QuantError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackedWords {
    bits: BitWidth,
    len: usize,
    bytes: Vec<u8>,
}

/// Eight words fill `b` bytes exactly, so that every group of eight begins a byte.
const GROUP: usize = 8;

impl PackedWords {
    /// Packs words that lie in the low `b` bits of a byte each.
    ///
    /// # Errors
    /// [`QuantError::Word`] for a word with bits above the width.
    pub fn pack(words: &[u8], bits: BitWidth) -> Result<Self, QuantError> {
        if let Some(index) = words.iter().position(|word| word & !bits.mask() != 0) {
            return Err(QuantError::Word { index, word: Word(words[index]), bits: bits.get() });
        }
        let group = |words: &[u8]| {
            let packed = words.iter().rev().fold(0, |all, &w| all << bits.get() | u64::from(w));
            packed.to_le_bytes().into_iter().take(byte_len(words.len(), bits))
        };
        let bytes = words.chunks(GROUP).flat_map(group).collect();
        Ok(Self { bits, len: words.len(), bytes })
    }

    /// Takes `len` words that were packed before.
    ///
    /// # Errors
    /// [`QuantError::PackedLength`] for too few or too many bytes, [`QuantError::Padding`] where
    /// the bits behind the last word are not zero.
    pub fn from_bytes(bytes: Vec<u8>, len: usize, bits: BitWidth) -> Result<Self, QuantError> {
        let expected = byte_len(len, bits);
        if bytes.len() != expected {
            let (bits, bytes) = (bits.get(), bytes.len());
            return Err(QuantError::PackedLength { words: len, bits, expected, bytes });
        }
        let used = len % GROUP * bits.get() as usize % 8;
        match bytes.last() {
            Some(&last) if used > 0 && last >> used != 0 => {
                Err(QuantError::Padding { last, used: used as u32 })
            }
            _ => Ok(Self { bits, len, bytes }),
        }
    }

    /// Every word in a byte of its own.
    pub fn unpack(&self) -> Vec<u8> {
        (0..self.len).map(|index| self.word(index)).collect()
    }

    /// Word number `index`, `None` behind the last one.
    pub fn get(&self, index: usize) -> Option<Word> {
        (index < self.len).then(|| Word(self.word(index)))
    }

    /// The number of words.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no words.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The width of a word.
    pub fn bits(&self) -> BitWidth {
        self.bits
    }

    /// The store itself.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// A word lies in one byte or in two.
    fn word(&self, index: usize) -> u8 {
        let bits = self.bits.get() as usize;
        // Not `index * bits`, which a 32-bit machine could not always hold.
        let within = index % GROUP * bits;
        let byte = index / GROUP * bits + within / 8;
        let next = self.bytes.get(byte + 1).copied().unwrap_or(0);
        (u16::from_le_bytes([self.bytes[byte], next]) >> (within % 8)) as u8 & self.bits.mask()
    }
}

/// Words of 1 to 16 bits back to back, bit by bit as in [`PackedWords`]. Bits above the width do not
/// count; bits that fill up the last byte are zero.
///
/// A store may be cut behind every eighth word: eight words of `width` bits fill `width` bytes.
///
/// ```
/// use qtaml_quant::{pack_words, unpack_words};
///
/// let bytes = pack_words(&[0x123, 0x456], 12);
/// assert_eq!(bytes, [0x23, 0x61, 0x45]);
/// assert_eq!(unpack_words(&bytes, 12, 2), [0x123, 0x456]);
/// ```
pub fn pack_words(words: &[u16], width: u32) -> Vec<u8> {
    let width = width.min(u16::BITS);
    let mask = ((1_u32 << width) - 1) as u16;
    let group = |words: &[u16]| {
        let packed =
            words.iter().rev().fold(0, |all: u128, &w| all << width | u128::from(w & mask));
        packed.to_le_bytes().into_iter().take((words.len() * width as usize).div_ceil(8))
    };
    words.chunks(GROUP).flat_map(group).collect()
}

/// The first `len` words of `width` bits that lie back to back in `bytes`; fewer if these end before.
pub fn unpack_words(bytes: &[u8], width: u32, len: usize) -> Vec<u16> {
    let width = width.min(u16::BITS) as usize;
    if width == 0 {
        return vec![0; len];
    }
    let mask = ((1_u32 << width) - 1) as u16;
    let words_of = |bytes: &[u8]| {
        let packed = bytes.iter().rev().fold(0, |all: u128, &byte| all << 8 | u128::from(byte));
        let words = 8 * bytes.len() / width;
        (0..words.min(GROUP)).map(move |word| (packed >> (word * width)) as u16 & mask)
    };
    bytes.chunks(width).flat_map(words_of).take(len).collect()
}

/// Bytes of `len` words; no more than `len`, so nothing overflows.
const fn byte_len(len: usize, bits: BitWidth) -> usize {
    let bits = bits.get() as usize;
    len / GROUP * bits + (len % GROUP * bits).div_ceil(8)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn width() -> impl Strategy<Value = BitWidth> {
        (2_u32..=8).prop_map(|bits| BitWidth::new(bits).unwrap())
    }

    fn words() -> impl Strategy<Value = (BitWidth, Vec<u8>)> {
        width().prop_flat_map(|bits| (Just(bits), prop::collection::vec(0..=bits.mask(), 0..50)))
    }

    /// The example of the Apache Parquet format: 0 to 7 in three bits each.
    #[test]
    fn words_lie_as_in_the_published_example() {
        let words: Vec<u8> = (0..8).collect();
        let packed = PackedWords::pack(&words, BitWidth::new(3).unwrap()).unwrap();
        assert_eq!(packed.bytes(), [0b1000_1000, 0b1100_0110, 0b1111_1010]);
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let int3 = BitWidth::new(3).unwrap();
        assert_eq!(
            PackedWords::pack(&[7, 8], int3),
            Err(QuantError::Word { index: 1, word: Word(8), bits: 3 })
        );
        let error = |bytes: &[u8], len| {
            PackedWords::from_bytes(bytes.to_vec(), len, int3).unwrap_err().to_string()
        };
        assert_eq!(error(&[0; 2], 6), "6 words of 3 bits fill 3 bytes, and 2 were given");
        assert!(error(&[], usize::MAX).starts_with(&format!("{} words", usize::MAX)));
        let message = "the last byte is 0b00000100, but only its low 2 bits belong to words: \
                       the others must be zero";
        assert_eq!(error(&[0, 0, 0b100], 6), message);
    }

    #[test]
    fn words_of_no_bits_or_too_many_are_harmless() {
        assert_eq!(unpack_words(&[], 0, 2), [0, 0]);
        assert!(pack_words(&[3], 0).is_empty());
        assert_eq!(unpack_words(&pack_words(&[3], 99), 99, 9), [3]);
        assert!(unpack_words(&[0xff], 12, 1).is_empty());
    }

    #[test]
    fn no_words_are_no_bytes() {
        let none = PackedWords::pack(&[], BitWidth::INT4).unwrap();
        assert!(none.is_empty() && none.bytes().is_empty() && none.get(0).is_none());
    }

    proptest! {
        /// Against the definition, bit by bit.
        #[test]
        fn each_bit_is_where_it_should_be((bits, words) in words()) {
            let packed = PackedWords::pack(&words, bits).unwrap();
            let b = bits.get() as usize;
            for k in 0..8 * packed.bytes().len() {
                let expected = words.get(k / b).map_or(0, |word| word >> (k % b) & 1);
                prop_assert_eq!(packed.bytes()[k / 8] >> (k % 8) & 1, expected);
            }
            prop_assert_eq!(packed.bytes().len(), (words.len() * b).div_ceil(8));
        }

        /// Any width against the definition, and those of a byte against the other packing.
        #[test]
        fn words_of_any_width_lie_back_to_back(
            width in 1_u32..=16, words in prop::collection::vec(any::<u16>(), 0..50),
        ) {
            let mask = ((1_u32 << width) - 1) as u16;
            let words: Vec<u16> = words.into_iter().map(|word| word & mask).collect();
            let bytes = pack_words(&words, width);
            prop_assert_eq!(bytes.len(), (words.len() * width as usize).div_ceil(8));
            for k in 0..8 * bytes.len() {
                let (word, bit) = (k / width as usize, k % width as usize);
                let expected = words.get(word).map_or(0, |word| word >> bit & 1);
                prop_assert_eq!(u16::from(bytes[k / 8] >> (k % 8) & 1), expected);
            }
            prop_assert_eq!(unpack_words(&bytes, width, words.len()), words.clone());
            if let Ok(bits) = BitWidth::new(width) {
                let narrow: Vec<u8> = words.iter().map(|&word| word as u8).collect();
                let packed = PackedWords::pack(&narrow, bits).unwrap();
                prop_assert_eq!(packed.bytes(), bytes);
            }
        }

        #[test]
        fn packing_loses_nothing((bits, words) in words()) {
            let packed = PackedWords::pack(&words, bits).unwrap();
            prop_assert_eq!(packed.unpack(), words.clone());
            for i in 0..=words.len() {
                prop_assert_eq!(packed.get(i), words.get(i).copied().map(Word));
            }
            let again = PackedWords::from_bytes(packed.bytes().to_vec(), words.len(), bits);
            prop_assert_eq!(again, Ok(packed));
        }

        /// Any bytes are refused or are what packing their words gives.
        #[test]
        fn hostile_bytes_are_refused_or_meant(
            bits in width(),
            bytes in prop::collection::vec(any::<u8>(), 0..20),
            len in prop_oneof![0_usize..60, any::<usize>()],
        ) {
            if let Ok(packed) = PackedWords::from_bytes(bytes.clone(), len, bits) {
                let again = PackedWords::pack(&packed.unpack(), bits).unwrap();
                prop_assert_eq!(again.bytes(), bytes);
            }
        }
    }
}

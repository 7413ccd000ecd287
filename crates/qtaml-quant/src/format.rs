//! The format of a word: its width and its encoding.

use serde::{Deserialize, Serialize};

use crate::{BitWidth, Code, Encoding, Word};

/// How a weight's code `q` is stored: in how many bits, and in which encoding.
///
/// A [`Code`] is the integer that a weight is rounded to; a [`Word`] is the bit pattern that stores it,
/// in the low `b` bits of a byte.
///
/// ```
/// use qtaml_quant::{BitWidth, Code, Encoding, Format, Word};
///
/// let bits = BitWidth::INT4;
/// let word = |encoding| Format::new(bits, encoding).word_of(Code(-3));
/// assert_eq!(word(Encoding::TwosComplement), Word(0b1101));
/// assert_eq!(word(Encoding::SignMagnitude), Word(0b1011));
/// assert_eq!(word(Encoding::OffsetBinary), Word(0b0101));
/// assert_eq!(word(Encoding::Gray), Word(0b0111));
///
/// // Where only the width is said, it is two's complement.
/// assert_eq!(Format::from(bits).code_of(Word(0b1101)), Code(-3));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Format {
    bits: BitWidth,
    encoding: Encoding,
}

/// One term of a code's expansion in products of signs, see [`Format::terms`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Term {
    /// The bits whose signs are multiplied.
    pub bits: u8,
    /// What the product is worth, in units of the code.
    pub weight: f64,
}

impl Format {
    /// INT8 in two's complement.
    pub const INT8: Self = Self::new(BitWidth::INT8, Encoding::TwosComplement);

    /// Words of the given width in the given encoding.
    pub const fn new(bits: BitWidth, encoding: Encoding) -> Self {
        Self { bits, encoding }
    }

    /// Every format there is: each width in each encoding.
    pub fn all() -> impl Iterator<Item = Self> {
        BitWidth::all().flat_map(|bits| Encoding::ALL.map(|encoding| Self::new(bits, encoding)))
    }

    /// The width of a word.
    pub const fn bits(self) -> BitWidth {
        self.bits
    }

    /// What the bits stand for.
    pub const fn encoding(self) -> Encoding {
        self.encoding
    }

    /// The smallest code that has a word.
    pub const fn min_code(self) -> i32 {
        match self.encoding {
            Encoding::SignMagnitude => -self.bits.max_code(),
            _ => -self.bits.max_code() - 1,
        }
    }

    /// The word that stores `code`; codes without one are stored as the nearest that has.
    pub fn word_of(self, code: Code) -> Word {
        let code = code.0.clamp(self.min_code(), self.bits.max_code());
        let rank = (code - (-self.bits.max_code() - 1)) as u8;
        Word(match self.encoding {
            Encoding::TwosComplement => code as u8 & self.bits.mask(),
            Encoding::SignMagnitude if code < 0 => self.sign() | code.unsigned_abs() as u8,
            Encoding::SignMagnitude => code as u8,
            Encoding::OffsetBinary => rank,
            Encoding::Gray => rank ^ (rank >> 1),
        })
    }

    /// The code that `word` stands for. Bits above the width are ignored.
    pub fn code_of(self, word: Word) -> Code {
        let word = word.0 & self.bits.mask();
        let lowest = -self.bits.max_code() - 1;
        Code(match self.encoding {
            Encoding::TwosComplement => i32::from(word ^ self.sign()) + lowest,
            Encoding::SignMagnitude => {
                let magnitude = i32::from(word & !self.sign());
                if word & self.sign() == 0 { magnitude } else { -magnitude }
            }
            Encoding::OffsetBinary => i32::from(word) + lowest,
            Encoding::Gray => i32::from(ungray(word)) + lowest,
        })
    }

    /// The code as a sum of products of signs: `q = Σ_S a_S Π_(i in S) s_i` with
    /// `s_i = (-1)^B_i`, its Walsh expansion.
    ///
    /// There are at most `b + 1` terms. Independent bits make the mean of a product the product
    /// of means, and so the error distribution of the channel follows from this sum (ours; docs/theory.md,
    /// section 2).
    ///
    /// # Formula
    /// - two's complement: `-1/2 + 2^(b-2) s_(b-1) - Σ_(i<b-1) 2^(i-1) s_i`;
    /// - offset binary: `-1/2 - Σ_i 2^(i-1) s_i`;
    /// - Gray: `-1/2 - Σ_i 2^(i-1) Π_(j>=i) s_j`;
    /// - sign-magnitude: `(2^(b-1) - 1)/2 s_(b-1) - Σ_(i<b-1) 2^(i-1) s_i s_(b-1)`.
    pub fn terms(self) -> impl Iterator<Item = Term> + Clone {
        let (sign, mask) = (self.sign(), self.bits.mask());
        let first = match self.encoding {
            Encoding::SignMagnitude => {
                Term { bits: sign, weight: f64::from(self.bits.max_code()) / 2.0 }
            }
            _ => Term { bits: 0, weight: -0.5 },
        };
        let others = (0..self.bits.get()).filter_map(move |i| {
            let (bit, half) = (1_u8 << i, f64::from(1_u32 << i) / 2.0);
            let top = bit == sign;
            match self.encoding {
                Encoding::TwosComplement if top => Some(Term { bits: bit, weight: half }),
                Encoding::TwosComplement | Encoding::OffsetBinary => {
                    Some(Term { bits: bit, weight: -half })
                }
                Encoding::SignMagnitude if top => None,
                Encoding::SignMagnitude => Some(Term { bits: bit | sign, weight: -half }),
                Encoding::Gray => Some(Term { bits: mask & !(bit - 1), weight: -half }),
            }
        });
        std::iter::once(first).chain(others)
    }

    /// The top bit alone.
    const fn sign(self) -> u8 {
        1 << (self.bits.get() - 1)
    }
}

impl From<BitWidth> for Format {
    fn from(bits: BitWidth) -> Self {
        Self::new(bits, Encoding::TwosComplement)
    }
}

impl std::fmt::Display for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.bits, self.encoding)
    }
}

/// The number whose reflected binary code is `word`: bit `i` is the parity of the bits from `i` up.
const fn ungray(word: u8) -> u8 {
    let word = word ^ (word >> 1);
    let word = word ^ (word >> 2);
    word ^ (word >> 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_codes_are_one_to_one() {
        for format in Format::all() {
            for code in format.min_code()..=format.bits().max_code() {
                let word = format.word_of(Code(code));
                assert_eq!(word.0 & !format.bits().mask(), 0, "{format} {code}");
                assert_eq!(format.code_of(word), Code(code), "{format}");
            }
        }
    }

    #[test]
    fn codes_are_what_their_definitions_say() {
        for format in Format::all() {
            let b = format.bits().get();
            for word in format.bits().words() {
                let bit = |i: u32| i32::from(word.bit(i as usize));
                let low: i32 = (0..b - 1).map(|i| bit(i) << i).sum();
                let expected = match format.encoding() {
                    Encoding::TwosComplement => low - (bit(b - 1) << (b - 1)),
                    Encoding::SignMagnitude => (1 - 2 * bit(b - 1)) * low,
                    Encoding::OffsetBinary => low + (bit(b - 1) << (b - 1)) - (1 << (b - 1)),
                    Encoding::Gray => continue,
                };
                assert_eq!(format.code_of(word), Code(expected), "{format} {word}");
            }
        }
    }

    /// The property that names the Gray code, and its published first words.
    #[test]
    fn neighbours_in_gray_code_differ_in_one_bit() {
        for bits in BitWidth::all() {
            let gray = Format::new(bits, Encoding::Gray);
            for code in gray.min_code()..bits.max_code() {
                let [word, next] = [code, code + 1].map(|code| gray.word_of(Code(code)).0);
                assert_eq!((word ^ next).count_ones(), 1);
            }
        }
        let int4 = Format::new(BitWidth::INT4, Encoding::Gray);
        let first: Vec<u8> = (-8..0).map(|code| int4.word_of(Code(code)).0).collect();
        assert_eq!(first, [0b0000, 0b0001, 0b0011, 0b0010, 0b0110, 0b0111, 0b0101, 0b0100]);
    }

    #[test]
    fn codes_without_a_word_are_stored_as_the_nearest() {
        let sign_magnitude = Format::new(BitWidth::INT8, Encoding::SignMagnitude);
        assert_eq!(sign_magnitude.code_of(sign_magnitude.word_of(Code(-128))), Code(-127));
        assert_eq!(sign_magnitude.code_of(Word(0b1000_0000)), Code(0), "the other zero");
        assert_eq!(Format::INT8.code_of(Format::INT8.word_of(Code(1000))), Code(127));
        assert_eq!(Format::INT8.code_of(Format::INT8.word_of(Code(i32::MIN))), Code(-128));
    }

    #[test]
    fn the_expansion_is_the_code() {
        for format in Format::all() {
            assert!(format.terms().count() <= format.bits().get() as usize + 1);
            for word in format.bits().words() {
                let sum: f64 =
                    format
                        .terms()
                        .map(|t| {
                            if (t.bits & word.0).count_ones() % 2 == 0 {
                                t.weight
                            } else {
                                -t.weight
                            }
                        })
                        .sum();
                assert_eq!(sum, f64::from(format.code_of(word)), "{format} {word}");
            }
        }
    }
}

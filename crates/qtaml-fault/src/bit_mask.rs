//! The set of protected bits of a word.

use qtaml_quant::BitWidth;
use serde::{Deserialize, Serialize};

use crate::FaultError;

/// A set of bits that never flip: *ideal* protection, free of the cost and the residual errors
/// of a real code.
///
/// Protecting the top bits never raises the variance of a code, and in two's complement and offset
/// binary no protection does. In Gray code and sign-magnitude it can, where a higher bit stays
/// exposed (docs/theory.md, section 2).
///
/// ```
/// use qtaml_fault::BitMask;
/// use qtaml_quant::BitWidth;
///
/// let two = BitMask::top(2, BitWidth::INT8)?;
/// assert_eq!(two.mask(), 0b1100_0000);
/// assert_eq!(two.count(), 2);
/// # Ok::<(), qtaml_fault::FaultError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BitMask {
    mask: u8,
}

impl BitMask {
    /// No bit is protected.
    pub const NONE: Self = Self { mask: 0 };

    /// The `k` most significant bits of a code of the given width.
    ///
    /// # Errors
    /// [`FaultError::TooManyBits`] if the code has fewer than `k` bits.
    pub fn top(k: u32, width: BitWidth) -> Result<Self, FaultError> {
        if k > width.get() {
            return Err(FaultError::TooManyBits { bits: k, width });
        }
        let exposed = u16::from(width.mask()) >> k;
        Ok(Self { mask: width.mask() & !(exposed as u8) })
    }

    /// The bits that are set in `mask`, for a code of the given width.
    ///
    /// # Errors
    /// [`FaultError::ProtectedBits`] if the code lacks one of them.
    pub fn of_bits(mask: u8, width: BitWidth) -> Result<Self, FaultError> {
        let protection = Self { mask };
        protection.check_width(width)?;
        Ok(protection)
    }

    /// Refuses bits outside the width.
    pub(crate) fn check_width(self, width: BitWidth) -> Result<(), FaultError> {
        match self.mask & !width.mask() {
            0 => Ok(()),
            _ => Err(FaultError::ProtectedBits { mask: self.mask, width }),
        }
    }

    /// The protected bits, set.
    pub const fn mask(self) -> u8 {
        self.mask
    }

    /// The number of protected bits.
    pub const fn count(self) -> u32 {
        self.mask.count_ones()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_top_bits_of_every_width() {
        for width in BitWidth::all() {
            for k in 0..=width.get() {
                let mask = BitMask::top(k, width).unwrap().mask();
                let by_hand = (0..width.get()).rev().take(k as usize).fold(0, |m, i| m | 1 << i);
                assert_eq!(mask, by_hand, "{width} k = {k}");
            }
        }
    }

    #[test]
    fn any_bits_of_the_code_and_no_others() {
        let protection = BitMask::of_bits(0b1010, BitWidth::INT4).unwrap();
        assert_eq!((protection.mask(), protection.count()), (0b1010, 2));
        let error = BitMask::of_bits(0b1_0000, BitWidth::INT4).unwrap_err().to_string();
        assert!(error.starts_with("protected bits 0b00010000 do not fit an INT4 code"), "{error}");
    }

    #[test]
    fn more_bits_than_there_are() {
        let error = BitMask::top(5, BitWidth::INT4).unwrap_err();
        assert_eq!(error.to_string(), "cannot protect 5 bits of an INT4 code: 0..=4 are allowed");
    }
}

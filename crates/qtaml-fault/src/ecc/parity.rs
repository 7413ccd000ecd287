//! The parity code: one check bit that notices an odd number of errors.

use super::{Code, Decoded, MAX_BITS, check_lengths, check_range};
use crate::EccError;

/// A single parity check: k data bits and their sum modulo 2.
///
/// It corrects nothing. Every odd number of errors is detected, every even number is not.
///
/// ```
/// use qtaml_fault::ecc::{Code, Decoded, Parity};
///
/// let code = Parity::new(3)?;
/// let (mut stored, mut data) = ([false; 4], [false; 3]);
/// code.encode(&[true, false, true], &mut stored)?;
/// assert_eq!(stored, [true, false, true, false]);
///
/// stored[1] = true;
/// assert_eq!(code.decode(&stored, &mut data)?, Decoded::Detected);
/// # Ok::<(), qtaml_fault::EccError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parity {
    data: usize,
}

impl Parity {
    /// A parity bit for `data` data bits.
    ///
    /// # Errors
    /// [`EccError::CodeParameter`] unless `data` is in `1..=4096`.
    pub fn new(data: usize) -> Result<Self, EccError> {
        Ok(Self { data: check_range("parity", "data bits", data, MAX_BITS)? })
    }
}

impl Code for Parity {
    fn data_bits(&self) -> usize {
        self.data
    }

    fn stored_bits(&self) -> usize {
        self.data + 1
    }

    fn encode(&self, data: &[bool], stored: &mut [bool]) -> Result<(), EccError> {
        check_lengths(self, data, stored)?;
        stored[..self.data].copy_from_slice(data);
        stored[self.data] = is_odd(data);
        Ok(())
    }

    fn decode(&self, stored: &[bool], data: &mut [bool]) -> Result<Decoded, EccError> {
        check_lengths(self, data, stored)?;
        data.copy_from_slice(&stored[..self.data]);
        Ok(if is_odd(stored) { Decoded::Detected } else { Decoded::Clean })
    }
}

/// The sum of the bits modulo 2.
pub(super) fn is_odd(bits: &[bool]) -> bool {
    bits.iter().fold(false, |sum, &bit| sum ^ bit)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::check;
    use super::*;

    proptest! {
        #[test]
        fn an_odd_number_of_errors_is_seen_and_an_even_one_is_not(
            data in prop::collection::vec(any::<bool>(), 1..80),
            flips in prop::collection::vec(any::<bool>(), 81),
        ) {
            let code = Parity::new(data.len()).unwrap();
            let at: Vec<usize> = (0..=data.len()).filter(|&i| flips[i]).collect();
            let (_, says) = check::read(&code, &data, &at);
            let expected = if at.len() % 2 == 1 { Decoded::Detected } else { Decoded::Clean };
            prop_assert_eq!(says, expected);
        }
    }

    #[test]
    fn widths_and_lengths_are_checked() {
        check::lengths_are_checked(&Parity::new(8).unwrap());
        let error = Parity::new(0).unwrap_err().to_string();
        assert_eq!(error, "no parity code with data bits = 0: 1..=4096 are allowed");
        assert!(Parity::new(usize::MAX).is_err());
    }
}

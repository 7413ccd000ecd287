//! Single-error correction, double-error detection: the code of server memories.

use super::parity::is_odd;
use super::{Code, Decoded, MAX_BITS, check_lengths, check_range};
use crate::FaultError;

/// The extended Hamming code (R. W. Hamming, Bell System Technical Journal 29, 147, 1950),
/// shortened to any number of data bits: (72, 64), (39, 32), (13, 8), (8, 4).
///
/// With r check bits, each of the others is checked by its own set of at least two of them: a
/// number from 1 to 2^r - 1 that is no power of two. One error then names its bit. A parity bit
/// over all tells one error from two. Three or more are taken for one, or detected, as it happens.
///
/// ```
/// use qtaml_fault::code::{Code, Decoded, SecDed};
///
/// let code = SecDed::new(64)?;
/// assert_eq!((code.stored_bits(), code.overhead()), (72, 0.125));
///
/// let (mut stored, mut data) = ([false; 72], [false; 64]);
/// code.encode(&[true; 64], &mut stored)?;
/// stored[17] = false;
/// assert_eq!(code.decode(&stored, &mut data)?, Decoded::Corrected(1));
/// assert_eq!(data, [true; 64]);
/// stored[71] = !stored[71];
/// assert_eq!(code.decode(&stored, &mut data)?, Decoded::Detected);
/// # Ok::<(), qtaml_fault::FaultError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecDed {
    /// Which check bits see each data bit.
    columns: Vec<u16>,
    check: usize,
}

impl SecDed {
    /// The code for `data` data bits with the fewest check bits.
    ///
    /// # Errors
    /// [`FaultError::CodeParameter`] unless `data` is in `1..=4096`.
    pub fn new(data: usize) -> Result<Self, FaultError> {
        check_range("SEC-DED", "data bits", data, MAX_BITS)?;
        let columns: Vec<u16> =
            (1_u16..).filter(|column| !column.is_power_of_two()).take(data).collect();
        let check = columns.last().map_or(0, |last| last.ilog2() as usize + 1);
        Ok(Self { columns, check })
    }

    /// The sum of the columns of all bits that are set.
    fn syndrome(&self, data: &[bool]) -> u16 {
        let column = |(&column, &bit)| if bit { column } else { 0 };
        self.columns.iter().zip(data).map(column).fold(0, |sum, column: u16| sum ^ column)
    }
}

impl Code for SecDed {
    fn data_bits(&self) -> usize {
        self.columns.len()
    }

    fn stored_bits(&self) -> usize {
        self.columns.len() + self.check + 1
    }

    fn encode(&self, data: &[bool], stored: &mut [bool]) -> Result<(), FaultError> {
        check_lengths(self, data, stored)?;
        let syndrome = self.syndrome(data);
        let (word, parity) = stored.split_at_mut(data.len() + self.check);
        word[..data.len()].copy_from_slice(data);
        for (j, bit) in word[data.len()..].iter_mut().enumerate() {
            *bit = syndrome >> j & 1 == 1;
        }
        parity[0] = is_odd(word);
        Ok(())
    }

    fn decode(&self, stored: &[bool], data: &mut [bool]) -> Result<Decoded, FaultError> {
        check_lengths(self, data, stored)?;
        let (read, rest) = stored.split_at(data.len());
        data.copy_from_slice(read);
        let checks = rest[..self.check].iter().rev();
        let syndrome = self.syndrome(read) ^ checks.fold(0, |sum, &bit| sum << 1 | u16::from(bit));
        Ok(match (is_odd(stored), syndrome) {
            (false, 0) => Decoded::Clean,
            (false, _) => Decoded::Detected,
            // The error is in a check bit, or in the parity bit.
            (true, 0) => Decoded::Corrected(1),
            (true, one) if one.is_power_of_two() => Decoded::Corrected(1),
            (true, column) => match self.columns.binary_search(&column) {
                Ok(at) => {
                    data[at] = !data[at];
                    Decoded::Corrected(1)
                }
                Err(_) => Decoded::Detected,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::check;
    use super::*;

    /// Hamming's bound: r check bits serve up to 2^r - r - 1 data bits, and one more detects.
    #[test]
    fn the_sizes_of_the_literature() {
        let sizes = [(1, 4), (4, 8), (8, 13), (11, 16), (16, 22), (26, 32), (32, 39), (57, 64)];
        for (data, stored) in sizes.into_iter().chain([(64, 72), (120, 128), (128, 137)]) {
            assert_eq!(SecDed::new(data).unwrap().stored_bits(), stored, "{data}");
        }
    }

    #[test]
    fn every_error_is_corrected_and_every_pair_detected() {
        for width in [1, 2, 4, 5, 8, 11, 12, 26, 64] {
            let code = SecDed::new(width).unwrap();
            let data = check::some_data(&code, width as u64);
            assert_eq!(check::read(&code, &data, &[]), (data.clone(), Decoded::Clean));
            for i in 0..code.stored_bits() {
                let (read, says) = check::read(&code, &data, &[i]);
                assert_eq!((read, says), (data.clone(), Decoded::Corrected(1)), "{width}: {i}");
                for j in 0..i {
                    let (_, says) = check::read(&code, &data, &[i, j]);
                    assert_eq!(says, Decoded::Detected, "{width}: {i}, {j}");
                }
            }
        }
    }

    proptest! {
        #[test]
        fn any_width_keeps_data_through_one_error(
            data in prop::collection::vec(any::<bool>(), 1..300),
            error in any::<prop::sample::Index>(),
        ) {
            let code = SecDed::new(data.len()).unwrap();
            let (read, says) = check::read(&code, &data, &[error.index(code.stored_bits())]);
            prop_assert_eq!((read, says), (data, Decoded::Corrected(1)));
        }
    }

    #[test]
    fn widths_and_lengths_are_checked() {
        check::lengths_are_checked(&SecDed::new(8).unwrap());
        assert!(SecDed::new(0).is_err() && SecDed::new(4097).is_err());
        assert_eq!(SecDed::new(4096).unwrap().stored_bits(), 4096 + 14);
    }
}

//! Error-correcting codes: the trait `Code`, and codes with their residual errors.
//!
//! [`BitMask`](crate::BitMask) is ideal: its bits never flip and cost nothing but their
//! number. A memory has to buy that with check bits, and never gets all of it. In this module a
//! *code* is an error-correcting code, not the integer that a weight is rounded to.
//!
//! | Code | Stores | Corrects | Detects |
//! | --- | --- | --- | --- |
//! | [`Parity`] | k data bits in k + 1 | nothing | every odd number of errors |
//! | [`SecDed`] | 64 data bits in 72, or any k | 1 error | 2 errors |
//! | [`Repetition`] | 1 data bit in n | (n - 1) / 2 errors | nothing beyond |
//! | [`Bch`] | k data bits in 2^m - 1, or fewer in fewer | t errors | most of what is beyond |
//! | [`Interleaved`] | d words of another code | a burst of d errors where that corrects 1 | |
//!
//! Three ways lead to what a code leaves behind, and they are tested against each other: counting
//! all error patterns ([`ErrorWeights`]), a formula ([`Repetition::after_majority`],
//! [`SecDed::flips_left`], [`Bch::flips_left`]), and simulation ([`simulate`]).
//! [`least_overhead`] is what no code can beat.
//!
//! ```
//! use qtaml_fault::ecc::{ErrorWeights, SecDed, Repetition, least_overhead};
//! use qtaml_physics::FlipProbability;
//!
//! // The code of server memories is made for rare errors ...
//! let ecc = ErrorWeights::of(&SecDed::new(64)?)?;
//! let rare = ecc.residual(FlipProbability::symmetric(1e-6)?)?;
//! assert!(rare.bit_flips < 1e-10);
//! // ... and useless where one bit in ten flips: its words hold seven errors each.
//! let p = FlipProbability::symmetric(0.1)?;
//! assert!(ecc.residual(p)?.bit_flips > 0.1);
//!
//! // Three copies help a little, at more than twice the price of the best code possible.
//! assert!((Repetition::new(3)?.after_majority(p).p01() - 0.028).abs() < 1e-12);
//! assert!((least_overhead(p, 0.0) - 0.883).abs() < 1e-3);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod bch;
mod capacity;
mod field;
mod hamming;
mod interleaved;
mod parity;
mod protect;
mod repetition;
mod residual;
mod simulate;
mod spec;

pub use bch::Bch;
pub use capacity::{binary_entropy, capacity, least_overhead};
pub use hamming::SecDed;
pub use interleaved::Interleaved;
pub use parity::Parity;
pub use protect::{Ecc, EccRead, EccTally};
pub use repetition::Repetition;
pub use residual::{ErrorWeights, Residual};
pub use simulate::{Tally, simulate};
pub use spec::EccCode;

use std::fmt::Debug;

use crate::EccError;

/// The most data bits, copies or words that a code is built for: far more than any memory has, and
/// few enough that a hostile number cannot fill it.
pub const MAX_BITS: usize = 4096;

/// A linear, systematic block code with its decoder: the stored bits are the data bits, then the
/// check bits.
pub trait Code: Debug + Send + Sync {
    /// Data bits per word.
    fn data_bits(&self) -> usize;

    /// Stored bits per word, data included.
    fn stored_bits(&self) -> usize;

    /// Writes what to store for `data`.
    ///
    /// # Errors
    /// [`EccError::CodeLength`] unless `data` and `stored` are as long as the code says.
    fn encode(&self, data: &[bool], stored: &mut [bool]) -> Result<(), EccError>;

    /// Writes what to believe was the data, where `stored` is read, and says how sure it is. Data
    /// that cannot be corrected are handed on as read.
    ///
    /// # Errors
    /// [`EccError::CodeLength`] unless `data` and `stored` are as long as the code says.
    fn decode(&self, stored: &[bool], data: &mut [bool]) -> Result<Decoded, EccError>;

    /// Extra stored bits per data bit.
    ///
    /// # Formula
    /// `n / k - 1` for k data bits stored in n.
    fn overhead(&self) -> f64 {
        self.stored_bits() as f64 / self.data_bits() as f64 - 1.0
    }
}

/// What a decoder says of a word. It may be wrong: with enough errors one word looks like another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Decoded {
    /// No error was seen.
    Clean,
    /// So many errors were seen and corrected.
    Corrected(usize),
    /// There are errors, and the data are as read.
    Detected,
}

/// Refuses slices that are not as long as the code says.
fn check_lengths(code: &dyn Code, data: &[bool], stored: &[bool]) -> Result<(), EccError> {
    let check = |what, given, expected| {
        if given == expected {
            return Ok(());
        }
        Err(EccError::CodeLength { what, given, expected })
    };
    check("data", data.len(), code.data_bits())?;
    check("stored", stored.len(), code.stored_bits())
}

/// Refuses a number outside `1..=max`.
fn check_range(
    code: &'static str,
    what: &'static str,
    value: usize,
    max: usize,
) -> Result<usize, EccError> {
    let allowed = 1..=max;
    if allowed.contains(&value) {
        return Ok(value);
    }
    Err(EccError::CodeParameter { code, what, value, min: 1, max })
}

/// What the tests of all codes share.
#[cfg(test)]
mod check {
    use super::*;

    /// The word that is stored for `data`.
    pub(super) fn encoded(code: &dyn Code, data: &[bool]) -> Vec<bool> {
        let mut stored = vec![false; code.stored_bits()];
        code.encode(data, &mut stored).unwrap();
        stored
    }

    /// The data read from `stored`, and what the decoder says of them.
    pub(super) fn decoded(code: &dyn Code, stored: &[bool]) -> (Vec<bool>, Decoded) {
        let mut data = vec![false; code.data_bits()];
        let says = code.decode(stored, &mut data).unwrap();
        (data, says)
    }

    /// Some data: different for every salt, about half ones.
    pub(super) fn some_data(code: &dyn Code, salt: u64) -> Vec<bool> {
        let mut rng = crate::Seed(salt).rng("data", 0);
        (0..code.data_bits()).map(|_| rand::RngExt::random(&mut rng)).collect()
    }

    /// What is read of `data` when the bits at `errors` flip.
    pub(super) fn read(code: &dyn Code, data: &[bool], errors: &[usize]) -> (Vec<bool>, Decoded) {
        let mut stored = encoded(code, data);
        for &at in errors {
            stored[at] = !stored[at];
        }
        decoded(code, &stored)
    }

    /// Wrong lengths are errors, and the message names both.
    pub(super) fn lengths_are_checked(code: &dyn Code) {
        let (k, n) = (code.data_bits(), code.stored_bits());
        let encode = |k, n| code.encode(&vec![false; k], &mut vec![false; n]).unwrap_err();
        let decode = |k, n| code.decode(&vec![false; n], &mut vec![false; k]).unwrap_err();
        let message =
            |what, given, expected| format!("{given} {what} bits given: the code has {expected}");
        assert_eq!(encode(k + 1, n).to_string(), message("data", k + 1, k));
        assert_eq!(encode(k, n - 1).to_string(), message("stored", n - 1, n));
        assert_eq!(decode(k, n + 1).to_string(), message("stored", n + 1, n));
        assert_eq!(decode(0, n).to_string(), message("data", 0, k));
    }
}

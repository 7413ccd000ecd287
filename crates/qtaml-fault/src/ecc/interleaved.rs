//! Interleaving: words of a code dealt out bit by bit, against errors that come in bursts.

use super::{Code, Decoded, MAX_BITS, check_lengths, check_range};
use crate::EccError;

/// Bit interleaving: of `depth` words of a code, first all first bits are stored, then all second
/// ones, and so on (Lin and Costello, "Error Control Coding", 2nd edition, 2004, chapter 20).
///
/// Neighbouring cells that fail together then belong to different words. Where cells fail
/// independently it changes nothing.
///
/// ```
/// use qtaml_fault::ecc::{Code, Decoded, Interleaved, SecDed};
///
/// let code = Interleaved::new(Box::new(SecDed::new(8)?), 4)?;
/// let (mut stored, mut data) = ([false; 52], [false; 32]);
/// code.encode(&[true; 32], &mut stored)?;
/// stored[20..24].fill(false);
/// assert_eq!(code.decode(&stored, &mut data)?, Decoded::Corrected(4));
/// assert_eq!(data, [true; 32]);
/// # Ok::<(), qtaml_fault::EccError>(())
/// ```
#[derive(Debug)]
pub struct Interleaved {
    code: Box<dyn Code>,
    depth: usize,
}

impl Interleaved {
    /// `depth` words of `code` as one.
    ///
    /// # Errors
    /// [`EccError::CodeParameter`] unless `depth` is in `1..=4096`.
    pub fn new(code: Box<dyn Code>, depth: usize) -> Result<Self, EccError> {
        Ok(Self { code, depth: check_range("interleaved", "words", depth, MAX_BITS)? })
    }

    /// The bits of word number `word`.
    fn deal(&self, bits: &[bool], word: usize) -> Vec<bool> {
        bits.iter().skip(word).step_by(self.depth).copied().collect()
    }

    /// Puts them back.
    fn collect(&self, from: &[bool], word: usize, bits: &mut [bool]) {
        let places = bits.iter_mut().skip(word).step_by(self.depth);
        places.zip(from).for_each(|(place, &bit)| *place = bit);
    }
}

impl Code for Interleaved {
    fn data_bits(&self) -> usize {
        self.depth * self.code.data_bits()
    }

    fn stored_bits(&self) -> usize {
        self.depth * self.code.stored_bits()
    }

    fn encode(&self, data: &[bool], stored: &mut [bool]) -> Result<(), EccError> {
        check_lengths(self, data, stored)?;
        let mut word_stored = vec![false; self.code.stored_bits()];
        for word in 0..self.depth {
            self.code.encode(&self.deal(data, word), &mut word_stored)?;
            self.collect(&word_stored, word, stored);
        }
        Ok(())
    }

    fn decode(&self, stored: &[bool], data: &mut [bool]) -> Result<Decoded, EccError> {
        check_lengths(self, data, stored)?;
        let mut word_data = vec![false; self.code.data_bits()];
        let mut all = Decoded::Clean;
        for word in 0..self.depth {
            let one = self.code.decode(&self.deal(stored, word), &mut word_data)?;
            self.collect(&word_data, word, data);
            all = both(all, one);
        }
        Ok(all)
    }
}

/// What is to say of two words together.
fn both(one: Decoded, other: Decoded) -> Decoded {
    match (one, other) {
        (Decoded::Detected, _) | (_, Decoded::Detected) => Decoded::Detected,
        (Decoded::Clean, says) | (says, Decoded::Clean) => says,
        (Decoded::Corrected(a), Decoded::Corrected(b)) => Decoded::Corrected(a + b),
    }
}

#[cfg(test)]
mod tests {
    use approx::assert_relative_eq;
    use proptest::prelude::*;
    use qtaml_physics::FlipProbability;

    use super::super::{Bch, ErrorWeights, Repetition, SecDed, check};
    use super::*;

    proptest! {
        /// A code for t errors in `depth` words outlives any burst of `t depth` bits.
        #[test]
        fn bursts_are_dealt_out(
            depth in 1_usize..20,
            start in any::<prop::sample::Index>(),
            salt in any::<u64>(),
        ) {
            let code = Interleaved::new(Box::new(Bch::new(5, 3).unwrap()), depth).unwrap();
            let data = check::some_data(&code, salt);
            let start = start.index(code.stored_bits() - 3 * depth + 1);
            let burst: Vec<usize> = (start..start + 3 * depth).collect();
            let (read, says) = check::read(&code, &data, &burst);
            prop_assert_eq!((read, says), (data, Decoded::Corrected(3 * depth)));
        }
    }

    #[test]
    fn it_is_systematic_and_one_bad_word_is_told() {
        let code = Interleaved::new(Box::new(SecDed::new(4).unwrap()), 3).unwrap();
        let data = check::some_data(&code, 1);
        assert_eq!(check::encoded(&code, &data)[..12], data);
        // Bits 0 and 3 belong to the same word.
        assert_eq!(check::read(&code, &data, &[0, 3]).1, Decoded::Detected);
        assert_eq!(check::read(&code, &data, &[0, 3, 4]).1, Decoded::Detected);
    }

    #[test]
    fn independent_flips_do_not_notice() {
        let p = FlipProbability::symmetric(0.1).unwrap();
        let left = |code: &dyn Code| ErrorWeights::of(code).unwrap().residual(p).unwrap().bit_flips;
        let dealt = Interleaved::new(Box::new(SecDed::new(4).unwrap()), 3).unwrap();
        assert_relative_eq!(left(&dealt), left(&SecDed::new(4).unwrap()), max_relative = 1e-12);
    }

    #[test]
    fn depths_and_lengths_are_checked() {
        let repetition = || Box::new(Repetition::new(3).unwrap());
        check::lengths_are_checked(&Interleaved::new(repetition(), 5).unwrap());
        assert!(Interleaved::new(repetition(), 0).is_err());
        let error = Interleaved::new(repetition(), 4097).unwrap_err().to_string();
        assert_eq!(error, "no interleaved code with words = 4097: 1..=4096 are allowed");
    }
}

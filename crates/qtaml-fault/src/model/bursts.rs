//! Bursts: neighbouring bits that are lost together, as by one particle.

use std::ops::Range;

use qtaml_quant::BitWidth;

use super::places;
use super::sparse::{Places, Purpose};
use crate::{FaultError, FaultModel, FaultStream, ProtectionMap};

/// Bursts of a fixed length that begin at each stored bit independently with the same probability.
///
/// Bits are neighbours in the order of the words, least significant first, and a burst crosses from
/// one word into the next; at the end of the tensor it is cut off. A bit that several bursts hit
/// is read wrong once.
#[derive(Debug, Clone, PartialEq)]
pub struct Bursts {
    bits: BitWidth,
    starts: Places,
    length: u32,
}

impl Bursts {
    /// Bursts of `length` bits that begin at a bit with probability `p`.
    ///
    /// A bit is then read wrong with probability `1 - (1 - p)^length`, the first `length - 1` bits of a
    /// tensor less often: no burst begins before it.
    ///
    /// # Errors
    /// [`FaultError::Probability`] unless `p` is in `0..=0.1`, beyond which bursts would be the
    /// rule; [`FaultError::BurstLength`] unless the length is in `1..=64`.
    pub fn new(p: f64, length: u32, bits: BitWidth) -> Result<Self, FaultError> {
        if !(0.0..=0.1).contains(&p) {
            return Err(FaultError::Probability(p));
        }
        if !(1..=64).contains(&length) {
            return Err(FaultError::BurstLength(length));
        }
        Ok(Self { bits, starts: Places::new(p, Purpose::Bursts), length })
    }
}

impl FaultModel for Bursts {
    fn bits(&self) -> BitWidth {
        self.bits
    }

    fn inject_slice(
        &self,
        words: &mut [u8],
        first: u64,
        stream: &FaultStream,
        protected: ProtectionMap<'_>,
    ) -> Result<(), FaultError> {
        protected.check(words.len(), self.bits)?;
        let width = u64::from(self.bits.get());
        let Range { start: from, end: to } = places(first, words.len(), self.bits)?;
        let reach = u64::from(self.length);
        // Up to here a burst has already flipped: bursts may overlap.
        let mut done = from;
        self.starts.visit(from.saturating_sub(reach - 1), to, stream, |start, _| {
            let end = start.saturating_add(reach).min(to);
            for place in start.max(done)..end {
                let (i, bit) = ((place / width - first) as usize, place % width);
                words[i] ^= 1 << bit & !protected.mask(i);
            }
            done = done.max(end);
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{BitMask, Seed};

    fn read(model: &Bursts, words: &[u8], trial: u32) -> Vec<u8> {
        model
            .corrupted(words, &FaultStream::new(Seed(1), trial, "weight"), ProtectionMap::NOTHING)
            .unwrap()
    }

    /// Position and value of every word count.
    fn checksum(words: &[u8]) -> u32 {
        (1..).zip(words).fold(0, |sum: u32, (i, &word)| sum.wrapping_add(i * u32::from(word)))
    }

    /// The stream is a promise: a published result must stay reproducible. The expected words come
    /// from a separate implementation in another language, with 60-digit logarithms.
    #[test]
    fn pinned_bursts() {
        let int8 = BitWidth::INT8;
        for (p, length, bits, expected) in [
            (0.003, 1, int8, 8_399_621),
            (0.003, 3, int8, 21_892_725),
            (0.05, 20, int8, 1_328_992_574),
            (0.01, 5, BitWidth::INT4, 7_069_325),
            (0.01, 5, BitWidth::new(3).unwrap(), 2_957_830),
        ] {
            let found = read(&Bursts::new(p, length, bits).unwrap(), &[0; 4096], 0);
            assert_eq!(checksum(&found), expected, "{p} {length}");
        }
    }

    /// The same beyond 2^33 words, with bursts that may reach in from before the slice.
    #[test]
    fn pinned_bursts_of_a_far_slice() {
        for (p, length, bits, expected) in [
            (0.003, 3, BitWidth::INT8, [1_136_991, 1_001_051]),
            (0.01, 5, BitWidth::INT4, [363_300, 371_578]),
        ] {
            let found = [1 << 33, (1 << 33) + 77].map(|first| {
                let (mut words, stream) = ([0; 1000], FaultStream::new(Seed(1), 0, "weight"));
                let model = Bursts::new(p, length, bits).unwrap();
                model.inject_slice(&mut words, first, &stream, ProtectionMap::NOTHING).unwrap();
                checksum(&words)
            });
            assert_eq!(found, expected, "{p} {length}");
        }
    }

    /// `1 - (1 - p)^length`, and no flip without a neighbour. Five standard errors, widened because
    /// the bits of a burst fall together: a false alarm once in a million seeds.
    #[test]
    fn bits_are_hit_as_often_as_bursts_cover_them() {
        let (p, length, words) = (1e-3, 3, 1 << 18);
        let read = read(&Bursts::new(p, length, BitWidth::INT8).unwrap(), &vec![0; words], 0);
        let flips: u32 = read.iter().map(|word| word.count_ones()).sum();
        let (n, rate) = (8.0 * words as f64, 1.0 - (1.0 - p).powi(length as i32));
        let error = (n * rate * f64::from(length)).sqrt();
        assert!((f64::from(flips) - n * rate).abs() < 5.0 * error, "{flips} of {}", n * rate);

        let bit = |i: usize| i / 8 < words && read[i / 8] >> (i % 8) & 1 == 1;
        let alone = |i: &usize| bit(*i) && !(bit(i + 1) || *i > 0 && bit(i - 1));
        assert_eq!((0..8 * words).filter(alone).count(), 0);
    }

    #[test]
    fn impossible_bursts_are_refused() {
        for p in [-0.1, 0.2, f64::NAN] {
            assert!(Bursts::new(p, 2, BitWidth::INT8).is_err(), "{p}");
        }
        for length in [0, 65] {
            let error = Bursts::new(0.01, length, BitWidth::INT8).unwrap_err().to_string();
            assert_eq!(error, format!("bursts of {length} bits are not supported: 1..=64 are"));
        }
    }

    proptest! {
        #[test]
        fn slices_agree_with_the_whole(
            bits in prop::sample::select(BitWidth::all().collect::<Vec<_>>()),
            words in prop::collection::vec(any::<u8>(), 1..2000),
            cut in any::<prop::sample::Index>(), length in 1_u32..=64, kept in any::<u8>(),
            exponent in -4.0..-1.0,
        ) {
            let words: Vec<u8> = words.iter().map(|word| word & bits.mask()).collect();
            let model = Bursts::new(10.0_f64.powf(exponent), length, bits).unwrap();
            let protection = BitMask::of_bits(kept & bits.mask(), bits).unwrap();
            let stream = FaultStream::new(Seed(2), 0, "weight");
            let whole = model.corrupted(&words, &stream, protection.into()).unwrap();
            let cut = cut.index(words.len());
            let (mut front, mut back) = (words[..cut].to_vec(), words[cut..].to_vec());
            model.inject_slice(&mut back, cut as u64, &stream, protection.into()).unwrap();
            model.inject_slice(&mut front, 0, &stream, protection.into()).unwrap();
            front.extend(back);
            prop_assert_eq!(&front, &whole);
            let exposed = bits.mask() & !protection.mask();
            prop_assert!(words.iter().zip(&whole).all(|(a, b)| (a ^ b) & !exposed == 0));
        }
    }
}

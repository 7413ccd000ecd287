//! An exact number of flips, for sweeps in which the count and not the rate is fixed.

use std::ops::Range;

use qtaml_quant::BitWidth;

use super::hypergeometric::hypergeometric;
use super::places;
use crate::fault_stream::below;
use crate::philox::LANES;
use crate::{BitMask, FaultError, FaultModel, FaultStream, ProtectionMap, WordFault};

/// Keep its random numbers apart from those of the other models, and those that divide flips among
/// tensors and among the halves of a tensor from those of the flips, whose lanes follow this one.
const SHARES_LANE: u32 = 4;
const HALVES_LANE: u32 = 5;
const LANE: u32 = 64;

/// So few flips are drawn one by one, and so few bits are not divided any further.
const FEW_FLIPS: u64 = LANES as u64;
const FEW_BITS: u64 = 64;

/// As many flips as asked for, at distinct stored bits of a tensor, all sets of bits being equally
/// likely.
///
/// The tensor is halved, and how many flips the first half has is drawn from the hypergeometric distribution;
/// so are both halves of it, until few flips or few bits are left. A slice draws the halves that it
/// meets and no others: it costs the flips in it and the way down to them, and no memory.
///
/// Protection takes away the flips that hit protected bits: what is fixed is the number of faults
/// that occur, not of those that are left.
///
/// Where a code keeps the protected bits, its check bits may be counted as well: they lie behind the
/// words, bit by bit, the least significant first.
///
/// ```
/// use qtaml_fault::{FlipCount, Ecc, BitMask, Seed, FaultStream};
/// use qtaml_quant::BitWidth;
///
/// let (ecc, top): (Ecc, _) = ("secded:64".parse()?, BitMask::top(1, BitWidth::INT8)?);
/// let model = FlipCount::with_check_bits(5, 6400, BitWidth::INT8, top, ecc.check_bits(6400)?)?;
/// let kept = ecc.read(&[0; 6400], &model, &FaultStream::new(Seed(42), 0, "fc.weight"), top)?;
/// let flips: u32 = kept.words.iter().map(|word| word.count_ones()).sum();
/// assert!(flips <= 5);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct FlipCount {
    flips: u64,
    words: u64,
    bits: BitWidth,
    /// Bits of a word that have check bits.
    kept: BitMask,
    /// Check bits for each of them.
    each: u64,
}

impl FlipCount {
    /// `flips` flips in a tensor of `words` words.
    ///
    /// # Errors
    /// [`FaultError::TooManyFlips`] if it has fewer bits.
    pub fn new(flips: u64, words: u64, bits: BitWidth) -> Result<Self, FaultError> {
        Self::with_check_bits(flips, words, bits, BitMask::NONE, 0)
    }

    /// `flips` flips in a tensor of `words` words and its check bits, `each` of them for each
    /// bit that is `kept` ([`Ecc::check_bits`](crate::Ecc::check_bits)).
    ///
    /// # Errors
    /// [`FaultError::TooManyFlips`] if they have fewer bits together, [`FaultError::ProtectedBits`]
    /// for kept bits that words of this width lack.
    pub fn with_check_bits(
        flips: u64,
        words: u64,
        bits: BitWidth,
        kept: BitMask,
        each: u64,
    ) -> Result<Self, FaultError> {
        kept.check_width(bits)?;
        let check = each.checked_mul(kept.count().into());
        let stored = words.checked_mul(bits.get().into()).zip(check);
        match stored.and_then(|(words, check)| words.checked_add(check)) {
            Some(stored) if flips <= stored => Ok(Self { flips, words, bits, kept, each }),
            stored => Err(FaultError::TooManyFlips { flips, stored: stored.unwrap_or(u64::MAX) }),
        }
    }

    /// The same memory with so many flips.
    ///
    /// # Errors
    /// [`FaultError::TooManyFlips`] if it has fewer bits.
    pub fn with_flips(&self, flips: u64) -> Result<Self, FaultError> {
        Self::with_check_bits(flips, self.words, self.bits, self.kept, self.each)
    }

    /// All bits that may flip: those of the words, and check bits.
    pub fn stored_bits(&self) -> u64 {
        self.words * u64::from(self.bits.get()) + self.each * u64::from(self.kept.count())
    }

    /// How `flips` flips fall on tensors that store so many bits each, all sets of bits of all of
    /// them being equally likely.
    ///
    /// ```
    /// use qtaml_fault::{FlipCount, Seed, FaultStream};
    ///
    /// let shares = FlipCount::shares(100, &[8000, 16_000], &FaultStream::new(Seed(42), 0, ""))?;
    /// assert_eq!(shares.iter().sum::<u64>(), 100);
    /// assert!(shares[0] < shares[1]);
    /// # Ok::<(), qtaml_fault::FaultError>(())
    /// ```
    ///
    /// # Errors
    /// [`FaultError::TooManyFlips`] if they have fewer bits.
    pub fn shares(
        flips: u64,
        stored_bits: &[u64],
        stream: &FaultStream,
    ) -> Result<Vec<u64>, FaultError> {
        let stored = stored_bits.iter().try_fold(0_u64, |sum, &bits| sum.checked_add(bits));
        let stored = stored.unwrap_or(u64::MAX);
        if flips > stored {
            return Err(FaultError::TooManyFlips { flips, stored });
        }
        let (mut all, mut left) = (stored, flips);
        let share = |(tensor, &bits): (u64, &u64)| {
            let bits = bits.min(all);
            let here = hypergeometric(all, bits, left, uniform(stream, tensor, SHARES_LANE));
            (all, left) = (all - bits, left - here);
            here
        };
        Ok((0..).zip(stored_bits).map(share).collect())
    }

    /// The words in which bits flip, in rising order.
    pub fn faults(&self, stream: &FaultStream) -> Vec<WordFault> {
        let width = u64::from(self.bits.get());
        let mut faults: Vec<WordFault> = Vec::new();
        self.visit(0..self.words * width, stream, |place| {
            let (index, mask) = (place / width, 1 << (place % width));
            match faults.last_mut() {
                Some(last) if last.index == index => last.mask |= mask,
                _ => faults.push(WordFault::flip(index, mask)),
            }
        });
        faults
    }

    /// Hands those of the `wanted` bits of the memory that flip to `found`, in rising order.
    fn visit(&self, wanted: Range<u64>, stream: &FaultStream, mut found: impl FnMut(u64)) {
        scatter(self.flips, 0..self.stored_bits(), &wanted, stream, &mut found);
    }
}

/// Hands over those of `flips` flips among the bits `all` that are `wanted`.
fn scatter(
    flips: u64,
    all: Range<u64>,
    wanted: &Range<u64>,
    stream: &FaultStream,
    found: &mut impl FnMut(u64),
) {
    if flips == 0 || all.end <= wanted.start || wanted.end <= all.start {
        return;
    }
    let bits = all.end - all.start;
    if flips <= FEW_FLIPS || bits <= FEW_BITS {
        let flipped = distinct(flips, all, stream);
        return flipped.into_iter().filter(|place| wanted.contains(place)).for_each(found);
    }
    let middle = all.start + bits / 2;
    let here = hypergeometric(bits, bits / 2, flips, uniform(stream, middle, HALVES_LANE));
    scatter(here, all.start..middle, wanted, stream, found);
    scatter(flips - here, middle..all.end, wanted, stream, found);
}

/// `count` different ones of `all`, sorted: Floyd's way to draw without replacement (J. Bentley and
/// B. Floyd, Communications of the ACM 30(9), 754, 1987). They are few enough to be looked through.
fn distinct(count: u64, all: Range<u64>, stream: &FaultStream) -> Vec<u64> {
    let mut chosen = Vec::with_capacity(count as usize);
    let digits = (LANE..).step_by(LANES).flat_map(|lane| stream.digits_of_lanes(all.start, lane));
    for (last, digits) in (all.end - count..all.end).zip(digits) {
        let place = all.start + below(last - all.start + 1, digits);
        chosen.push(if chosen.contains(&place) { last } else { place });
    }
    chosen.sort_unstable();
    chosen
}

/// A number in `0..1` of 53 digits.
fn uniform(stream: &FaultStream, index: u64, lane: u32) -> f64 {
    (stream.digits(index, lane) >> 75) as f64 / (1_u64 << 53) as f64
}

impl FaultModel for FlipCount {
    fn bits(&self) -> BitWidth {
        self.bits
    }

    fn words(&self) -> Option<u64> {
        Some(self.words)
    }

    /// Words of a slice beyond those that it was made for have no flips.
    fn inject_slice(
        &self,
        words: &mut [u8],
        first: u64,
        stream: &FaultStream,
        protected: ProtectionMap<'_>,
    ) -> Result<(), FaultError> {
        protected.check(words.len(), self.bits)?;
        let (width, slice) = (u64::from(self.bits.get()), places(first, words.len(), self.bits)?);
        let all = self.words * width;
        self.visit(slice.start.min(all)..slice.end.min(all), stream, |place| {
            let (i, bit) = ((place / width - first) as usize, place % width);
            words[i] ^= 1 << bit & !protected.mask(i);
        });
        Ok(())
    }

    /// They lie behind the words, at the same stream, and cost their flips: one thread is enough.
    fn inject_check_bits(
        &self,
        check: &mut [u8],
        first: u64,
        bit: u8,
        stream: &FaultStream,
    ) -> Result<(), FaultError> {
        let kept = self.kept.mask();
        let is_kept = bit < 8 && kept >> bit & 1 == 1;
        let end = first.checked_add(check.len() as u64);
        if !is_kept || end.is_none_or(|end| end > self.each) {
            return Err(FaultError::OneTensorOnly { words: self.words });
        }
        let before = u64::from((kept & ((1 << bit) - 1)).count_ones());
        let from = self.words * u64::from(self.bits.get()) + before * self.each + first;
        self.visit(from..from + check.len() as u64, stream, |place| {
            check[(place - from) as usize] ^= 1 << bit;
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Seed;

    fn stream(trial: u32) -> FaultStream {
        FaultStream::new(Seed(3), trial, "weight")
    }

    /// Position and value of every word count.
    fn checksum(words: &[u8]) -> u32 {
        (1..).zip(words).fold(0, |sum: u32, (i, &word)| sum.wrapping_add(i * u32::from(word)))
    }

    /// The stream is a promise; the expected words come from a separate implementation in another
    /// language.
    #[test]
    fn pinned_flips() {
        let model = FlipCount::new(4, 16, BitWidth::INT8).unwrap();
        let read = model.corrupted(&[0; 16], &stream(0), ProtectionMap::NOTHING).unwrap();
        assert_eq!(read, [0, 0, 128, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 1]);
    }

    /// The same for many flips, most of all bits, narrow words, and beyond 2^33 words.
    #[test]
    fn pinned_flips_of_many() {
        for (flips, words, bits, expected) in [
            (1000, 4096, BitWidth::INT8, 63_521_347),
            (1000, 4096, BitWidth::INT4, 7_525_844),
            (100, 16, BitWidth::INT8, 29_004),
        ] {
            let model = FlipCount::new(flips, words as u64, bits).unwrap();
            let read =
                model.corrupted(&vec![0; words], &stream(0), ProtectionMap::NOTHING).unwrap();
            assert_eq!(checksum(&read), expected, "{flips} of {words}");
        }
        let far = |flips| -> Vec<u64> {
            let model = FlipCount::new(flips, (1 << 33) + 16, BitWidth::INT8).unwrap();
            let place = |fault: &WordFault| 8 * fault.index + u64::from(fault.mask.ilog2());
            model.faults(&stream(0)).iter().map(place).collect()
        };
        let expected: [u64; 5] =
            [1_496_998_630, 13_021_840_050, 34_982_793_592, 60_438_045_616, 65_167_780_966];
        assert_eq!(far(5), expected);
        assert_eq!(far(100)[..3], [187_124_828, 569_894_818, 1_627_730_005]);
        assert_eq!(far(100).iter().sum::<u64>(), 3_669_639_852_783);
        let shares = FlipCount::shares(1000, &[3000, 1000, 6000], &stream(0)).unwrap();
        assert_eq!(shares, [330, 98, 572]);
    }

    /// The same for the check bits behind the words, with any bits kept; of the last row by Floyd's
    /// way alone.
    #[test]
    fn pinned_flips_of_check_bits() {
        for (flips, words, bits, kept, each, expected) in [
            (
                1000,
                4096,
                8,
                0b1110_0000,
                2048,
                [56_063_976, 1_633_728, 4_022_720, 9_145_472].as_slice(),
            ),
            (1000, 4096, 4, 0b1001, 700, &[6_910_986, 16_926, 150_568]),
            (12, 16, 8, 0b1_0010, 40, &[489, 88, 544]),
        ] {
            let bits = BitWidth::new(bits).unwrap();
            let top = BitMask::of_bits(kept, bits).unwrap();
            let model =
                FlipCount::with_check_bits(flips, words as u64, bits, top, each as u64).unwrap();
            let mut found = vec![checksum(
                &model.corrupted(&vec![0; words], &stream(0), ProtectionMap::NOTHING).unwrap(),
            )];
            for bit in (0..8).filter(|bit| kept >> bit & 1 == 1) {
                let mut check = vec![0; each];
                model.inject_check_bits(&mut check, 0, bit, &stream(0)).unwrap();
                found.push(checksum(&check));
            }
            assert_eq!(found, expected, "{flips} of {words}");
        }
    }

    /// Each bit equally often, in halves of 40 bits too: chi-square over 80 bits, a false alarm below
    /// 1e-6 beyond 160.
    #[test]
    fn all_bits_are_alike() {
        let (words, flips, trials) = (20, 35, 4000);
        let model = FlipCount::new(flips, words, BitWidth::INT4).unwrap();
        let mut counts = [0_u32; 80];
        for trial in 0..trials {
            for (i, word) in (0..)
                .zip(model.corrupted(&[0; 20], &stream(trial), ProtectionMap::NOTHING).unwrap())
            {
                (0..4).for_each(|bit| counts[4 * i + bit] += u32::from(word >> bit & 1));
            }
        }
        // A draw without replacement: the variance of a count is below the Poisson one.
        let mean = f64::from(trials) * flips as f64 / 80.0;
        let variance = mean * (1.0 - flips as f64 / 80.0);
        let chi_square: f64 =
            counts.iter().map(|&c| (f64::from(c) - mean).powi(2) / variance).sum();
        assert!(chi_square < 160.0, "{chi_square}");
    }

    /// Over many trials each tensor has its part of the bits in its part of the flips: five standard
    /// errors of the hypergeometric distribution.
    #[test]
    fn tensors_share_the_flips_by_size() {
        let (stored, flips, trials) = ([300, 100, 600], 50, 2000);
        let mut sums = [0; 3];
        for trial in 0..trials {
            let shares = FlipCount::shares(flips, &stored, &stream(trial)).unwrap();
            assert_eq!(shares.iter().sum::<u64>(), flips);
            sums.iter_mut().zip(shares).for_each(|(sum, share)| *sum += share);
        }
        for (sum, bits) in sums.into_iter().zip(stored) {
            let (n, share) = (f64::from(trials) * flips as f64, bits as f64 / 1000.0);
            let error = (n * share * (1.0 - share) * 950.0 / 999.0).sqrt();
            assert!((sum as f64 - n * share).abs() < 5.0 * error, "{sum} of {}", n * share);
        }
        assert!(FlipCount::shares(1001, &stored, &stream(0)).is_err());
        assert!(FlipCount::shares(1, &[u64::MAX, 1], &stream(0)).is_ok());
    }

    #[test]
    fn more_flips_than_bits_are_refused() {
        let error = FlipCount::new(65, 8, BitWidth::INT8).unwrap_err().to_string();
        assert_eq!(error, "65 flips do not fit into 64 stored bits");
        assert!(FlipCount::new(1, u64::MAX, BitWidth::INT8).is_err());
        assert!(FlipCount::new(0, 0, BitWidth::INT8).is_ok());
    }

    proptest! {
        #[test]
        fn exactly_so_many_bits_flip_in_any_cut(
            bits in prop::sample::select(BitWidth::all().collect::<Vec<_>>()),
            words in prop::collection::vec(any::<u8>(), 1..300),
            share in 0.0..=1.0, cut in any::<prop::sample::Index>(),
        ) {
            let words: Vec<u8> = words.iter().map(|word| word & bits.mask()).collect();
            let flips = (share * f64::from(bits.get()) * words.len() as f64) as u64;
            let model = FlipCount::new(flips, words.len() as u64, bits).unwrap();
            let whole = model.corrupted(&words, &stream(9), ProtectionMap::NOTHING).unwrap();
            let flipped = words.iter().zip(&whole).map(|(a, b)| (a ^ b).count_ones()).sum::<u32>();
            prop_assert_eq!(u64::from(flipped), flips);

            let cut = cut.index(words.len());
            let mut back = words[cut..].to_vec();
            model.inject_slice(&mut back, cut as u64, &stream(9), ProtectionMap::NOTHING).unwrap();
            prop_assert_eq!(&back, &whole[cut..]);

            let top = BitMask::top(1, bits).unwrap();
            let kept = model.corrupted(&words, &stream(9), top.into()).unwrap();
            prop_assert!(words.iter().zip(&kept).all(|(a, b)| (a ^ b) & top.mask() == 0));
        }
    }
}

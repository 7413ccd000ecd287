//! Independent flips and stuck cells.

use std::ops::Range;

use qtaml_physics::{FlipProbability, FlipProfile};
use qtaml_quant::BitWidth;

use super::dense::Dense;
use super::sparse::{Places, Purpose};
use super::{CHUNK, places};
use crate::channel::check_width;
use crate::{FaultError, FaultModel, FaultStream, ProtectionMap};

/// Below this probability of a bit, drawing the flips alone is cheaper than drawing a mask for
/// every word (measured: `cargo xtask bench fault`). It is part of the stream: moving it changes
/// the faults between the old and the new value.
const RARE: f64 = 1.0 / 256.0;

/// Flips each stored bit independently with its probability.
///
/// Where flips are frequent, the mask of each word is drawn from its exact distribution; where they
/// are rare, so are the draws. The first is exact to 2^-112, the second to about 1e-15 of each
/// probability down to 1e-24, and to 2^-128 below.
#[derive(Debug, Clone, PartialEq)]
pub struct BitFlips {
    bits: BitWidth,
    sampler: Sampler,
}

#[derive(Debug, Clone, PartialEq)]
enum Sampler {
    Dense(Dense),
    Sparse { candidates: Places, thinning: Thinning },
}

/// What becomes of a bit that rare flips pick out.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Thinning {
    /// It flips with such a probability, by stored value and bit.
    Flips([[f64; 8]; 2]),
    /// It is stuck at `usual`, or with probability `rarer` at the other value.
    Stuck { usual: bool, rarer: f64 },
}

impl Thinning {
    /// Whether bit number `bit` is read wrong where it stores `one`. `uniform` is drawn if need be.
    #[inline]
    fn is_wrong(&self, one: bool, bit: usize, uniform: impl Fn() -> f64) -> bool {
        let happens = |p: f64| p == 1.0 || p > 0.0 && uniform() < p;
        match self {
            Self::Flips(accept) => happens(accept[usize::from(one)][bit]),
            // The rarer value has the small numbers, of which a uniform one keeps all digits.
            &Self::Stuck { usual, rarer } => one != (usual ^ happens(rarer)),
        }
    }
}

impl BitFlips {
    /// Words of the given width whose bits flip as `flips` says; one probability stands for that
    /// of every bit.
    ///
    /// # Errors
    /// [`FaultError::ProfileWidth`] for flip probabilities of another number of bits.
    pub fn new(flips: impl Into<FlipProfile>, bits: BitWidth) -> Result<Self, FaultError> {
        let flips = flips.into();
        check_width(&flips, bits)?;
        let bits_flip = (0..bits.get() as usize).map(|i| flips.at(i));
        let largest = bits_flip.map(FlipProbability::larger).fold(0.0, f64::max);
        let sampler = if largest < RARE {
            let accept = |of: fn(FlipProbability) -> f64| {
                let share =
                    |i| if i < bits.get() as usize { of(flips.at(i)) / largest } else { 0.0 };
                std::array::from_fn(share)
            };
            let thinning =
                Thinning::Flips([accept(FlipProbability::p01), accept(FlipProbability::p10)]);
            Sampler::Sparse { candidates: Places::new(largest, Purpose::Flips), thinning }
        } else {
            Sampler::Dense(Dense::new(&flips, bits))
        };
        Ok(Self { bits, sampler })
    }

    /// Cells that are stuck at 0 with probability `at_zero` and at 1 with probability `at_one`, none at
    /// both: they are read wrong where the other value is stored. The same stream has the same stuck cells
    /// for all that is stored.
    ///
    /// # Errors
    /// [`FaultError::Probability`] unless both are in `0..=1` and so is their sum.
    pub fn stuck(at_zero: f64, at_one: f64, bits: BitWidth) -> Result<Self, FaultError> {
        let either = at_zero + at_one;
        if let Some(&p) = [at_zero, at_one, either].iter().find(|p| !(0.0..=1.0).contains(*p)) {
            return Err(FaultError::Probability(p));
        }
        let sampler = if either < RARE {
            let rarer = if either > 0.0 { at_zero.min(at_one) / either } else { 0.0 };
            let thinning = Thinning::Stuck { usual: at_one > at_zero, rarer };
            Sampler::Sparse { candidates: Places::new(either, Purpose::Flips), thinning }
        } else {
            Sampler::Dense(Dense::stuck(at_zero, at_one, bits))
        };
        Ok(Self { bits, sampler })
    }
}

impl FaultModel for BitFlips {
    fn bits(&self) -> BitWidth {
        self.bits
    }

    /// Where flips are rare, whole spans of them: a cut within one draws it from its start again.
    fn grain(&self) -> usize {
        match &self.sampler {
            Sampler::Dense(_) => CHUNK,
            Sampler::Sparse { candidates, .. } => {
                CHUNK.max((candidates.span() / u64::from(self.bits.get())) as usize)
            }
        }
    }

    fn inject_slice(
        &self,
        words: &mut [u8],
        first: u64,
        stream: &FaultStream,
        protected: ProtectionMap<'_>,
    ) -> Result<(), FaultError> {
        protected.check(words.len(), self.bits)?;
        let Range { start: from, end: to } = places(first, words.len(), self.bits)?;
        match (&self.sampler, protected) {
            (Sampler::Dense(dense), ProtectionMap::Alike(protection)) => {
                let exposed = !protection.mask();
                dense.inject(words, first, stream, |_| exposed);
            }
            (Sampler::Dense(dense), ProtectionMap::Each(each)) => {
                dense.inject(words, first, stream, |i| !each[i].mask());
            }
            (Sampler::Sparse { candidates, thinning }, _) => {
                let width = u64::from(self.bits.get());
                candidates.visit(from, to, stream, |place, draw| {
                    let (i, bit) = ((place / width - first) as usize, (place % width) as usize);
                    if thinning.is_wrong(words[i] >> bit & 1 == 1, bit, || draw.uniform(stream)) {
                        words[i] ^= 1 << bit & !protected.mask(i);
                    }
                });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use statrs::distribution::{ChiSquared, ContinuousCDF};

    use super::*;
    use crate::{BitMask, Seed};

    fn model(p01: f64, p10: f64) -> BitFlips {
        BitFlips::new(FlipProbability::asymmetric(p01, p10).unwrap(), BitWidth::INT8).unwrap()
    }

    fn stream(trial: u32) -> FaultStream {
        FaultStream::new(Seed(42), trial, "weight")
    }

    fn read(model: &BitFlips, words: &[u8], trial: u32) -> Vec<u8> {
        model.corrupted(words, &stream(trial), ProtectionMap::NOTHING).unwrap()
    }

    /// Position and value of every word count.
    fn checksum(words: &[u8]) -> u32 {
        (1..).zip(words).fold(0, |sum: u32, (i, &word)| sum.wrapping_add(i * u32::from(word)))
    }

    /// The stream is a promise: a published result must stay reproducible. The expected words come
    /// from a separate implementation in another language, with exact rational masks and
    /// 60-digit logarithms. Among 65,536 words some hundred are settled beyond the table.
    #[test]
    fn pinned_faults() {
        let frequent = model(0.1, 0.1);
        let first = [0, 32, 66, 1, 52, 33, 0, 0, 4, 8, 0, 1, 0, 0, 16, 1];
        assert_eq!(read(&frequent, &[0; 16], 0), first);
        assert_eq!(checksum(&read(&frequent, &vec![0; 65_536], 0)), 2_861_733_038);
        assert_eq!(checksum(&read(&model(0.02, 0.3), &[0x5a; 4096], 0)), 552_164_953);

        let rare = read(&model(0.003, 0.003), &[0; 4096], 0);
        let flips = (0..).zip(&rare).filter(|(_, word)| **word != 0);
        let first: Vec<(usize, u8)> = flips.map(|(i, &word)| (i, word)).take(4).collect();
        assert_eq!(first, [(11, 128), (35, 64), (50, 32), (89, 1)]);
        assert_eq!(checksum(&rare), 5_238_831);
        assert_eq!(checksum(&read(&model(0.001, 0.0035), &[0x5a; 4096], 0)), 755_385_559);
    }

    /// The same for flip probabilities of each bit, symmetric and not, with both samplers.
    #[test]
    fn pinned_faults_of_each_bit() {
        let profile = |step01: f64, step10: f64| {
            let flip =
                |i| FlipProbability::asymmetric(step01 * f64::from(i), step10 * f64::from(i));
            FlipProfile::per_bit((1..=8).map(|i| flip(i).unwrap()).collect()).unwrap()
        };
        for (step01, step10, expected) in [
            (0.02, 0.02, 869_044_424),
            (0.02, 0.01, 917_041_028),
            (4e-4, 4e-4, 755_850_678),
            (4e-4, 2e-4, 756_592_794),
        ] {
            let model = BitFlips::new(profile(step01, step10), BitWidth::INT8).unwrap();
            let found = checksum(&read(&model, &[0x5a; 4096], 0));
            assert_eq!(found, expected, "{step01} {step10}");
        }
    }

    /// The same for words of four bits, which lie closer in the row of bits that skipping sees.
    #[test]
    fn pinned_faults_of_narrow_words() {
        for (p01, p10, expected) in [
            (0.1, 0.1, 79_597_033),
            (0.02, 0.3, 59_814_904),
            (0.003, 0.003, 83_752_900),
            (0.001, 0.0035, 83_731_744),
        ] {
            let flip = FlipProbability::asymmetric(p01, p10).unwrap();
            let model = BitFlips::new(flip, BitWidth::INT4).unwrap();
            assert_eq!(checksum(&read(&model, &[0xa; 4096], 0)), expected, "{p01} {p10}");
        }
    }

    /// The same for words of three bits, of which no span of rare flips holds a whole number.
    #[test]
    fn pinned_faults_of_words_of_three_bits() {
        for (p01, p10, expected) in [
            (0.1, 0.1, 39_394_423),
            (0.02, 0.3, 29_827_135),
            (0.003, 0.003, 41_872_230),
            (0.001, 0.0035, 41_826_386),
        ] {
            let flip = FlipProbability::asymmetric(p01, p10).unwrap();
            let model = BitFlips::new(flip, BitWidth::new(3).unwrap()).unwrap();
            assert_eq!(checksum(&read(&model, &[0b101; 4096], 0)), expected, "{p01} {p10}");
        }
    }

    /// The same for cells that are stuck at both values, equally often and not, with both samplers.
    /// Of the third pair both tables are the same.
    #[test]
    fn pinned_stuck_cells() {
        for (at_zero, at_one, expected) in [
            (0.1, 0.1, [819_290_320, 39_685_203]),
            (0.3, 0.02, [551_116_793, 29_931_901]),
            (0.5, 0.25, [722_773_351, 25_009_804]),
            (0.001, 0.001, [756_134_687, 41_961_573]),
            (0.003, 0.0005, [754_342_292, 41_817_852]),
            (0.0005, 0.003, [759_783_232, 41_979_930]),
        ] {
            let found = [(8, 0x5a), (3, 0b101)].map(|(bits, word)| {
                let bits = BitWidth::new(bits).unwrap();
                let model = BitFlips::stuck(at_zero, at_one, bits).unwrap();
                checksum(&read(&model, &[word; 4096], 0))
            });
            assert_eq!(found, expected, "{at_zero} {at_one}");
        }
    }

    /// The same beyond 2^33 words, where 32 bits count neither words nor groups of bits, at the
    /// start of a group of words and within one.
    #[test]
    fn pinned_faults_of_a_far_slice() {
        for (p01, p10, expected) in [
            (0.1, 0.1, [48_765_725, 48_409_126]),
            (0.02, 0.3, [34_061_418, 34_184_952]),
            (0.003, 0.003, [45_167_977, 45_149_754]),
            (0.001, 0.0035, [45_012_233, 45_062_046]),
        ] {
            let found = [1 << 33, (1 << 33) + 77].map(|first| {
                let mut words = [0x5a; 1000];
                model(p01, p10)
                    .inject_slice(&mut words, first, &stream(0), ProtectionMap::NOTHING)
                    .unwrap();
                checksum(&words)
            });
            assert_eq!(found, expected, "{p01} {p10}");
        }
    }

    #[test]
    fn certain_and_impossible_flips() {
        let stored: Vec<u8> = (0..=255).collect();
        assert_eq!(read(&model(0.0, 0.0), &stored, 0), stored);
        let flipped: Vec<u8> = stored.iter().map(|w| !w).collect();
        assert_eq!(read(&model(1.0, 1.0), &stored, 0), flipped);
        assert_eq!(read(&model(1.0, 0.0), &stored, 0), [255; 256]);
        assert_eq!(read(&model(0.0, 1.0), &stored, 0), [0; 256]);
    }

    #[test]
    fn each_bit_has_its_own_law() {
        let certain = |bit| if bit % 2 == 0 { (1.0, 0.0) } else { (0.0, 1.0) };
        let flip = |bit| FlipProbability::asymmetric(certain(bit).0, certain(bit).1).unwrap();
        let flips = FlipProfile::per_bit((0..8).map(flip).collect()).unwrap();
        let model = BitFlips::new(flips, BitWidth::INT8).unwrap();
        let stored: Vec<u8> = (0..=255).collect();
        assert_eq!(read(&model, &stored, 0), [0b0101_0101; 256]);
        let three = FlipProfile::per_bit(vec![FlipProbability::NEVER; 3]).unwrap();
        assert!(BitFlips::new(three, BitWidth::INT8).is_err());
    }

    /// Shares of cells at 0 and at 1: none, few of them, many and all.
    const STUCK: [(f64, f64); 12] = [
        (0.0, 0.0),
        (0.0, 1e-3),
        (1e-3, 0.0),
        (1e-3, 1e-3),
        (2e-3, 5e-4),
        (5e-4, 3e-3),
        (0.0, 0.2),
        (0.2, 0.0),
        (0.1, 0.1),
        (0.5, 0.25),
        (0.9, 0.1),
        (1.0, 0.0),
    ];

    /// Those that are read as 0 where 1 is stored are stuck at 0, and so on: nothing else happens.
    #[test]
    fn stuck_cells_are_stuck_for_whatever_is_stored() {
        let words = 1 << 16;
        let mixed: Vec<u8> = (0..words).map(|i| (i * 97 % 251) as u8).collect();
        for ((at_zero, at_one), width) in STUCK.into_iter().zip((2..=8).cycle()) {
            let bits = BitWidth::new(width).unwrap();
            let model = BitFlips::stuck(at_zero, at_one, bits).unwrap();
            let ones = read(&model, &vec![bits.mask(); words], 3);
            let zeros = read(&model, &vec![0; words], 3);
            assert_eq!(at_zero > 0.0, ones.iter().any(|&word| word != bits.mask()));
            assert_eq!(at_one > 0.0, zeros.iter().any(|&word| word != 0));
            assert!(zeros.iter().zip(&ones).all(|(zero, one)| zero & !one == 0), "inverted");

            let stored: Vec<u8> = mixed.iter().map(|word| word & bits.mask()).collect();
            let found = read(&model, &stored, 3);
            for (i, word) in stored.iter().enumerate() {
                assert_eq!(found[i], (word | zeros[i]) & ones[i], "{at_zero} {at_one}");
            }
            assert_eq!(read(&model, &found, 3), found, "nothing changes any more");
        }
    }

    #[test]
    fn more_stuck_cells_than_cells_are_refused() {
        for (at_zero, at_one) in [(0.7, 0.7), (-0.1, 0.2), (0.2, f64::NAN), (1.1, -0.1)] {
            assert!(BitFlips::stuck(at_zero, at_one, BitWidth::INT8).is_err());
        }
    }

    /// Cells at 0, at 1 and sound ones, bit by bit. Chi-square; false alarm: 1e-7 each.
    #[test]
    fn cells_are_stuck_as_often_as_said() {
        let n = 1 << 20;
        for (at_zero, at_one) in STUCK.into_iter().filter(|(zero, one)| zero * one > 0.0) {
            let model = BitFlips::stuck(at_zero, at_one, BitWidth::INT8).unwrap();
            let (ones, zeros) = (read(&model, &vec![255; n], 4), read(&model, &vec![0; n], 4));
            let (mut statistic, mut freedom) = (0.0, 0.0);
            for bit in 0..8 {
                let count = |words: &[u8], value| {
                    words.iter().filter(|word| **word >> bit & 1 == value).count() as f64
                };
                let (at_0, at_1) = (count(&ones, 0), count(&zeros, 1));
                let sound = (n as f64 - at_0 - at_1, 1.0 - at_zero - at_one);
                let cells = [(at_0, at_zero), (at_1, at_one), sound];
                // Nothing is sound where the shares add up to 1, but for their rounding.
                let cells = cells.into_iter().filter(|(found, p)| *found > 0.0 || *p > 1e-12);
                for (found, p) in cells {
                    statistic += (found - n as f64 * p).powi(2) / (n as f64 * p);
                    freedom += 1.0;
                }
                freedom -= 1.0;
            }
            let tail = ChiSquared::new(freedom).unwrap().sf(statistic);
            assert!(tail > 1e-7, "{at_zero} {at_one}: chi-square {statistic}");
        }
    }

    /// All 256 masks at once: single bits, pairs and everything beyond, with both samplers. False
    /// alarm: 1e-7 each.
    #[test]
    fn the_bits_of_a_word_flip_independently() {
        let flips = [(0.1, 0.1), (0.5, 0.5), (0.05, 0.2), (0.003, 0.003), (0.001, 0.0035)];
        let stuck = [(0.1, 0.1), (0.05, 0.2), (0.001, 0.001), (0.001, 0.0025)];
        let flips = flips.map(|(p01, p10)| (p01, p10, model(p01, p10)));
        let stuck = stuck.map(|(at_one, at_zero)| {
            (at_one, at_zero, BitFlips::stuck(at_zero, at_one, BitWidth::INT8).unwrap())
        });
        for (trial, (p01, p10, model)) in (0..).zip(flips.into_iter().chain(stuck)) {
            let (n, stored) = (1 << 21, 0b1010_0110_u8);
            let mut counts = [0_u32; 256];
            for read in read(&model, &vec![stored; n], trial) {
                counts[usize::from(read ^ stored)] += 1;
            }
            let probability = |mask: usize| -> f64 {
                (0..8)
                    .map(|j| {
                        let p = if stored >> j & 1 == 1 { p10 } else { p01 };
                        if mask >> j & 1 == 1 { p } else { 1.0 - p }
                    })
                    .product()
            };
            // Rare masks are pooled so that each cell expects at least 20.
            let (mut statistic, mut cells) = (0.0, 0);
            let (mut rare_count, mut rare_expected) = (0.0, 0.0);
            for (mask, &count) in counts.iter().enumerate() {
                let expected = n as f64 * probability(mask);
                if expected < 20.0 {
                    rare_count += f64::from(count);
                    rare_expected += expected;
                } else {
                    statistic += (f64::from(count) - expected).powi(2) / expected;
                    cells += 1;
                }
            }
            if rare_expected > 0.0 {
                statistic += (rare_count - rare_expected).powi(2) / rare_expected;
                cells += 1;
            }
            let tail = ChiSquared::new(f64::from(cells - 1)).unwrap().sf(statistic);
            assert!(tail > 1e-7, "p01 {p01} p10 {p10}: chi-square {statistic} over {cells} cells");
        }
    }

    fn any_width() -> impl Strategy<Value = BitWidth> {
        prop::sample::select(BitWidth::all().collect::<Vec<_>>())
    }

    /// Log-uniform, so that both samplers are met.
    fn any_p() -> impl Strategy<Value = f64> {
        (-4.0..0.0).prop_map(|exponent| 10.0_f64.powf(exponent))
    }

    /// Every width, sampler and kind of flip probabilities.
    fn any_model() -> impl Strategy<Value = BitFlips> {
        (any_width(), any_p(), any_p(), 0..4).prop_map(|(bits, p, q, kind)| {
            let (p01, p10) = match kind {
                0 => return BitFlips::stuck(p / 2.0, q / 2.0, bits).unwrap(),
                1 => (p, p),
                2 => (p, q),
                // Both rare, which two wide draws seldom are.
                _ => (p * RARE, q * RARE),
            };
            BitFlips::new(FlipProbability::asymmetric(p01, p10).unwrap(), bits).unwrap()
        })
    }

    fn masked(words: &[u8], bits: BitWidth) -> Vec<u8> {
        words.iter().map(|word| word & bits.mask()).collect()
    }

    proptest! {
        #[test]
        fn slices_agree_with_the_whole(
            model in any_model(),
            words in prop::collection::vec(any::<u8>(), 1..2000),
            cut in any::<prop::sample::Index>(),
        ) {
            let words = masked(&words, model.bits());
            let whole = read(&model, &words, 1);
            let cut = cut.index(words.len());
            let (mut front, mut back) = (words[..cut].to_vec(), words[cut..].to_vec());
            model.inject_slice(&mut back, cut as u64, &stream(1), ProtectionMap::NOTHING).unwrap();
            model.inject_slice(&mut front, 0, &stream(1), ProtectionMap::NOTHING).unwrap();
            front.extend(back);
            prop_assert_eq!(front, whole);
        }

        #[test]
        fn protected_bits_never_change_and_others_as_before(
            model in any_model(),
            words in prop::collection::vec((any::<u8>(), any::<u8>()), 1..2000),
        ) {
            let (words, kept): (Vec<u8>, Vec<u8>) = words.into_iter().unzip();
            let (words, kept) = (masked(&words, model.bits()), masked(&kept, model.bits()));
            let of = |mask| BitMask::of_bits(mask, model.bits()).unwrap();
            let protections: Vec<BitMask> = kept.iter().map(|&mask| of(mask)).collect();
            let all = read(&model, &words, 2);
            let each = model.corrupted(&words, &stream(2), (&protections).into()).unwrap();
            let alike = model.corrupted(&words, &stream(2), protections[0].into()).unwrap();
            for i in 0..words.len() {
                for (read, kept) in [(each[i], kept[i]), (alike[i], kept[0])] {
                    prop_assert_eq!(read & kept, words[i] & kept);
                    prop_assert_eq!(read & !kept, all[i] & !kept);
                }
            }
        }

        #[test]
        fn symmetric_faults_twice_are_none(
            words in prop::collection::vec(any::<u8>(), 1..2000), p in any_p(), bits in any_width(),
        ) {
            let (words, p) = (masked(&words, bits), FlipProbability::asymmetric(p, p).unwrap());
            let model = BitFlips::new(p, bits).unwrap();
            prop_assert_eq!(read(&model, &read(&model, &words, 5), 5), words);
        }

        #[test]
        fn bits_above_the_width_stay_clear(
            words in prop::collection::vec(any::<u8>(), 1..1000), model in any_model(),
        ) {
            let words = masked(&words, model.bits());
            prop_assert!(read(&model, &words, 6).iter().all(|word| word & !model.bits().mask() == 0));
        }
    }
}

//! Drawing the faults.

use qtaml_physics::FlipProfile;
use qtaml_quant::BitWidth;

use crate::channel::{bits_of, check_width};
use crate::{FaultError, Protection, Site};

/// Flips each stored bit independently with its probability, exactly.
///
/// Bit `j` of weight `i` flips when a uniform number lies below its probability. The first 16
/// binary digits of all eight numbers come from one Philox block; only where they tie with the
/// digits of the probability, once in 65,536, are 112 more drawn. A probability is therefore
/// represented with 128 binary digits: every `f64` from 2^-75 (2.6e-23) to 1 is exact to its
/// last bit.
#[derive(Debug, Clone, PartialEq)]
pub struct Injector {
    /// Of a stored 0 and of a stored 1, for every bit.
    flip: [[Threshold; 8]; 2],
    bits: BitWidth,
}

impl Injector {
    /// An injector for words of the given width whose bits flip as `flips` says; one probability
    /// stands for that of every bit.
    ///
    /// # Errors
    /// [`FaultError::ProfileWidth`] for flip probabilities of another number of bits.
    pub fn new(flips: impl Into<FlipProfile>, bits: BitWidth) -> Result<Self, FaultError> {
        let flips = flips.into();
        check_width(&flips, bits)?;
        let mut flip = [[Threshold::NEVER; 8]; 2];
        for i in bits_of(bits.mask()) {
            let p = flips.at(i);
            (flip[0][i], flip[1][i]) = (Threshold::new(p.p01()), Threshold::new(p.p10()));
        }
        Ok(Self { flip, bits })
    }

    /// What is read where `words` are stored.
    ///
    /// With the same site, more protection only removes faults: patterns stay comparable between
    /// schemes.
    pub fn read(&self, words: &[u8], site: &Site, protection: Protection) -> Vec<u8> {
        let mut read = words.to_vec();
        self.inject(&mut read, 0, site, protection);
        read
    }

    /// Injects faults in place into `words`, a slice of a tensor that starts at weight `first`.
    ///
    /// Any cut of the tensor into slices gives the same faults.
    pub fn inject(&self, words: &mut [u8], first: u64, site: &Site, protection: Protection) {
        let exposed = self.bits.mask() & !protection.mask();
        for (index, word) in (first..).zip(words) {
            *word ^= self.flips(*word, index, site) & exposed;
        }
    }

    /// Which bits of `word`, stored as weight `index`, flip if none is protected.
    #[inline]
    fn flips(&self, word: u8, index: u64, site: &Site) -> u8 {
        let [zero, one] = &self.flip;
        let block = site.block(index, 0);
        let (mut below, mut ties) = ([0_u8; 2], 0_u8);
        for j in 0..8 {
            let digits = block[j / 2] >> (16 * (j % 2)) & 0xffff;
            below[0] |= u8::from(digits < zero[j].head) << j;
            below[1] |= u8::from(digits < one[j].head) << j;
            ties |= u8::from(digits == zero[j].head || digits == one[j].head) << j;
        }
        if ties & self.bits.mask() != 0 {
            self.settle_ties(ties, &mut below, index, site);
        }
        below[0] & !word | below[1] & word
    }

    #[cold]
    fn settle_ties(&self, ties: u8, below: &mut [u8; 2], index: u64, site: &Site) {
        let head_block = site.block(index, 0);
        for j in bits_of(ties) {
            let head = head_block[j / 2] >> (16 * (j % 2)) & 0xffff;
            let tail = tail_digits(site.block(index, 1 + j as u32));
            for (below, thresholds) in below.iter_mut().zip(&self.flip) {
                if head == thresholds[j].head && tail < thresholds[j].tail {
                    *below |= 1 << j;
                }
            }
        }
    }
}

/// A probability as 128 binary digits: the first 16 and the other 112.
///
/// Probability 1 is `head = 65536`, above every 16 digits.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Threshold {
    head: u32,
    tail: u128,
}

const TAIL_BITS: u32 = 112;

impl Threshold {
    const NEVER: Self = Self { head: 0, tail: 0 };

    fn new(p: f64) -> Self {
        if p >= 1.0 {
            return Self { head: 1 << 16, tail: 0 };
        }
        // Scaling by a power of two is exact, and so is the conversion from 2^-75 on.
        let digits = (p * 2.0_f64.powi(128)) as u128;
        Self { head: (digits >> TAIL_BITS) as u32, tail: digits & ((1 << TAIL_BITS) - 1) }
    }
}

fn tail_digits(block: [u32; 4]) -> u128 {
    let digits = block.iter().fold(0_u128, |digits, &word| digits << 32 | u128::from(word));
    digits >> (128 - TAIL_BITS)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use qtaml_physics::FlipProbability;
    use statrs::distribution::{ChiSquared, ContinuousCDF};

    use super::*;
    use crate::Seed;

    fn injector(p01: f64, p10: f64) -> Injector {
        Injector::new(FlipProbability::asymmetric(p01, p10).unwrap(), BitWidth::INT8).unwrap()
    }

    fn site(trial: u32) -> Site {
        Site::new(Seed(42), trial, "weight")
    }

    /// The stream is a promise: a published result must stay reproducible. The expected masks come
    /// from a separate implementation in exact rational arithmetic, written in another language.
    #[test]
    fn pinned_faults() {
        let read = injector(0.1, 0.1).read(&[0; 16], &site(0), Protection::NONE);
        assert_eq!(read, [4, 20, 4, 2, 8, 32, 34, 128, 0, 0, 32, 128, 0, 0, 0, 137]);
    }

    #[test]
    fn certain_and_impossible_flips() {
        let stored: Vec<u8> = (0..=255).collect();
        assert_eq!(injector(0.0, 0.0).read(&stored, &site(0), Protection::NONE), stored);
        let flipped: Vec<u8> = stored.iter().map(|w| !w).collect();
        assert_eq!(injector(1.0, 1.0).read(&stored, &site(0), Protection::NONE), flipped);
        assert_eq!(injector(1.0, 0.0).read(&stored, &site(0), Protection::NONE), [255; 256]);
        assert_eq!(injector(0.0, 1.0).read(&stored, &site(0), Protection::NONE), [0; 256]);
    }

    #[test]
    fn each_bit_has_its_own_law() {
        let certain = |bit| if bit % 2 == 0 { (1.0, 0.0) } else { (0.0, 1.0) };
        let law = |bit| FlipProbability::asymmetric(certain(bit).0, certain(bit).1).unwrap();
        let flips = FlipProfile::per_bit((0..8).map(law).collect()).unwrap();
        let injector = Injector::new(flips, BitWidth::INT8).unwrap();
        let stored: Vec<u8> = (0..=255).collect();
        assert_eq!(injector.read(&stored, &site(0), Protection::NONE), [0b0101_0101; 256]);
        let three = FlipProfile::per_bit(vec![FlipProbability::NEVER; 3]).unwrap();
        assert!(Injector::new(three, BitWidth::INT8).is_err());
    }

    #[test]
    fn a_threshold_is_the_probability_itself() {
        for p in [0.0, 1e-22, 1e-18, 1e-9, 0.1, 0.3, 0.5, 1.0 - f64::EPSILON / 2.0] {
            let Threshold { head, tail } = Threshold::new(p);
            let low = (tail & ((1 << 56) - 1)) as f64 * 2.0_f64.powi(-128);
            let high = (tail >> 56) as f64 * 2.0_f64.powi(-72);
            assert_eq!(f64::from(head) / 65536.0 + (high + low), p);
        }
    }

    /// Ties are where an error would hide: with a head of 0 every flip goes through one.
    #[test]
    fn ties_are_settled_with_the_right_probability() {
        let p = 0.7 / 65536.0;
        let n = 1 << 22;
        let stored = vec![0_u8; n];
        let flips: u32 = injector(p, p)
            .read(&stored, &site(3), Protection::NONE)
            .iter()
            .map(|w| w.count_ones())
            .sum();
        let (mean, sd) = (8.0 * n as f64 * p, (8.0 * n as f64 * p * (1.0 - p)).sqrt());
        // 5 standard deviations: a false alarm once in 1.7 million seeds.
        assert!((f64::from(flips) - mean).abs() < 5.0 * sd, "{flips} flips, expected {mean}");
    }

    /// All 256 masks at once: single bits, pairs and everything beyond. False alarm: 1e-7.
    #[test]
    fn the_bits_of_a_word_flip_independently() {
        for (case, (p01, p10)) in [(0.1, 0.1), (0.5, 0.5), (0.05, 0.2)].into_iter().enumerate() {
            let (n, stored) = (1 << 20, 0b1010_0110_u8);
            let mut counts = [0_u32; 256];
            let words = vec![stored; n];
            for read in injector(p01, p10).read(&words, &site(case as u32), Protection::NONE) {
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

    proptest! {
        #[test]
        fn slices_agree_with_the_whole(
            words in prop::collection::vec(any::<u8>(), 1..200),
            cut in any::<prop::sample::Index>(),
        ) {
            let injector = injector(0.2, 0.4);
            let whole = injector.read(&words, &site(1), Protection::NONE);
            let cut = cut.index(words.len());
            let (mut front, mut back) = (words[..cut].to_vec(), words[cut..].to_vec());
            injector.inject(&mut back, cut as u64, &site(1), Protection::NONE);
            injector.inject(&mut front, 0, &site(1), Protection::NONE);
            front.extend(back);
            prop_assert_eq!(front, whole);
        }

        #[test]
        fn protected_bits_never_change_and_others_as_before(
            words in prop::collection::vec(any::<u8>(), 1..100),
            k in 0_u32..=8,
        ) {
            let injector = injector(0.5, 0.3);
            let protection = Protection::top(k, BitWidth::INT8).unwrap();
            let kept = injector.read(&words, &site(2), protection);
            let all = injector.read(&words, &site(2), Protection::NONE);
            for ((&stored, kept), all) in words.iter().zip(kept).zip(all) {
                prop_assert_eq!(kept & protection.mask(), stored & protection.mask());
                prop_assert_eq!(kept & !protection.mask(), all & !protection.mask());
            }
        }

        #[test]
        fn symmetric_faults_twice_are_none(words in prop::collection::vec(any::<u8>(), 1..100)) {
            let injector = injector(0.3, 0.3);
            let once = injector.read(&words, &site(5), Protection::NONE);
            prop_assert_eq!(injector.read(&once, &site(5), Protection::NONE), words);
        }

        #[test]
        fn bits_above_the_width_stay_clear(
            words in prop::collection::vec(0_u8..16, 1..100),
        ) {
            let p = FlipProbability::symmetric(0.5).unwrap();
            let int4 = Injector::new(p, BitWidth::INT4).unwrap();
            prop_assert!(int4.read(&words, &site(6), Protection::NONE).iter().all(|w| *w < 16));
        }
    }
}

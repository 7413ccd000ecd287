//! Independent flips in words of 1 to 12 bits.

use qtaml_physics::{FlipProbability, FlipProfile};
use qtaml_quant::BitWidth;

use super::{BitFlips, FaultModel, places};
use crate::{BitMask, FaultError, FaultStream};

/// Bits of a word that lie in its low plane.
const LOW: u32 = 8;

/// [`BitFlips`] for words of any width from 1 to 12 bits, such as those of codebooks.
///
/// Bits 0 to 7 of a word meet the faults of [`BitFlips`] for words of so many bits, at the stream of
/// the tensor and the position of the word. Bits 8 and up are a word of their own, at the same
/// position of the substream `bits 8 and up`. [`BitFlips`] has no words of one bit: such a plane is
/// drawn as words of two bits, of which the upper one has the flip probability 0 and is not stored.
///
/// ```
/// use qtaml_fault::{BitFlips, FaultModel, FaultStream, ProtectionMap, Seed, WordFlips};
/// use qtaml_physics::FlipProbability;
/// use qtaml_quant::BitWidth;
///
/// let p = FlipProbability::symmetric(0.1)?;
/// let stream = FaultStream::new(Seed(42), 0, "fc.weight");
/// let read = WordFlips::new(p, 5)?.corrupted(&[0; 1000], &stream)?;
/// let bytes = BitFlips::new(p, BitWidth::new(5)?)?;
/// let bytes = bytes.corrupted(&[0; 1000], &stream, ProtectionMap::NOTHING)?;
/// assert!(read.into_iter().eq(bytes.into_iter().map(u16::from)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct WordFlips {
    width: u32,
    low: BitFlips,
    high: Option<BitFlips>,
}

impl WordFlips {
    /// The most bits of a word.
    pub const MAX_WIDTH: u32 = 12;

    /// Words of `width` bits that flip as `flips` says; one probability stands for that of every bit.
    ///
    /// # Errors
    /// [`FaultError::WordWidth`] outside 1..=12, [`FaultError::WordProfile`] for flip probabilities of
    /// another number of bits.
    pub fn new(flips: impl Into<FlipProfile>, width: u32) -> Result<Self, FaultError> {
        let flips = flips.into();
        if !(1..=Self::MAX_WIDTH).contains(&width) {
            return Err(FaultError::WordWidth(width));
        }
        match flips.bits() {
            Some(bits) if bits != width as usize => {
                return Err(FaultError::WordProfile { bits, width });
            }
            _ => {}
        }
        let plane = |bits: std::ops::Range<u32>| -> Result<BitFlips, FaultError> {
            let mut flips: Vec<_> = bits.map(|bit| flips.at(bit as usize)).collect();
            flips.resize(flips.len().max(2), FlipProbability::NEVER);
            // Two to eight of them, which both allow.
            let bits =
                BitWidth::new(flips.len() as u32).map_err(|_| FaultError::WordWidth(width))?;
            let flips = FlipProfile::per_bit(flips).map_err(|_| FaultError::WordWidth(width))?;
            BitFlips::new(flips, bits)
        };
        let low = plane(0..width.min(LOW))?;
        let high = if width > LOW { Some(plane(LOW..width)?) } else { None };
        Ok(Self { width, low, high })
    }

    /// The model of bits 0 to 7: of all bits, if words have no more than eight. One-bit words are the
    /// lower of its two bits.
    pub fn low(&self) -> &BitFlips {
        &self.low
    }

    /// The number of bits of a word.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Replaces `words`, a slice of a tensor that starts at word `first`, by what is read; the highest
    /// `protected` bits of each never flip. All threads take part where that pays.
    ///
    /// # Errors
    /// [`FaultError::WordBits`] for more protected bits than a word has,
    /// [`FaultError::Uncountable`] for a slice whose bits cannot be counted in 64 bits.
    pub fn inject_slice(
        &self,
        words: &mut [u16],
        first: u64,
        stream: &FaultStream,
        protected: u32,
    ) -> Result<(), FaultError> {
        let kept = self.kept(protected)?;
        places(first, words.len(), BitWidth::INT8)?;
        let mut plane: Vec<u8> = words.iter().map(|&word| word as u8).collect();
        inject_plane(&self.low, &mut plane, first, stream, kept as u8)?;
        let Some(high) = &self.high else {
            words.iter_mut().zip(plane).for_each(|(word, low)| *word = u16::from(low));
            return Ok(());
        };
        let mut upper: Vec<u8> = words.iter().map(|&word| (word >> LOW) as u8).collect();
        inject_plane(high, &mut upper, first, &stream.high_bits(), (kept >> LOW) as u8)?;
        for ((word, low), high) in words.iter_mut().zip(plane).zip(upper) {
            *word = u16::from_le_bytes([low, high]);
        }
        Ok(())
    }

    /// What is read where `words`, a whole tensor, are stored.
    ///
    /// # Errors
    /// As [`inject_slice`](Self::inject_slice).
    pub fn corrupted(&self, words: &[u16], stream: &FaultStream) -> Result<Vec<u16>, FaultError> {
        let mut read = words.to_vec();
        self.inject_slice(&mut read, 0, stream, 0)?;
        Ok(read)
    }

    /// The highest bits of a word.
    fn kept(&self, protected: u32) -> Result<u16, FaultError> {
        let width = self.width;
        if protected > width {
            return Err(FaultError::WordBits { protected, width });
        }
        let all = (1_u16 << width) - 1;
        Ok(all & !(all >> protected))
    }
}

/// Handing few words to other threads takes longer than their faults.
fn inject_plane(
    model: &BitFlips,
    plane: &mut [u8],
    first: u64,
    stream: &FaultStream,
    kept: u8,
) -> Result<(), FaultError> {
    let kept = BitMask::of_bits(kept, model.bits())?;
    if plane.len() <= model.grain() {
        model.inject_slice(plane, first, stream, kept.into())
    } else {
        model.par_inject_slice(plane, first, stream, kept.into())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{ProtectionMap, Seed};

    fn flip(p: f64) -> FlipProbability {
        FlipProbability::symmetric(p).unwrap()
    }

    fn stream() -> FaultStream {
        FaultStream::new(Seed(42), 3, "fc.weight")
    }

    #[test]
    fn words_of_up_to_eight_bits_meet_the_faults_of_bit_flips() {
        let words: Vec<u16> = (0..5000_u32).map(|i| (i * 97 % 251) as u16).collect();
        for p in [0.1, 1e-3] {
            for width in 2..=8 {
                let bits = BitWidth::new(width).unwrap();
                let stored: Vec<u8> = words.iter().map(|&w| w as u8 & bits.mask()).collect();
                let model = BitFlips::new(flip(p), bits).unwrap();
                let expected = model.corrupted(&stored, &stream(), ProtectionMap::NOTHING).unwrap();
                let words: Vec<u16> = stored.iter().map(|&word| word.into()).collect();
                let read = WordFlips::new(flip(p), width).unwrap().corrupted(&words, &stream());
                assert!(read.unwrap().into_iter().eq(expected.into_iter().map(u16::from)));
                assert_eq!(WordFlips::new(flip(p), width).unwrap().low(), &model);
            }
        }
    }

    /// The bits above the eighth have the stream of no tensor, whatever its name.
    #[test]
    fn high_bits_share_no_stream_with_a_tensor() {
        let read = WordFlips::new(flip(0.5), 12).unwrap();
        let read = read.corrupted(&[0; 500], &stream()).unwrap();
        let high: Vec<u8> = read.into_iter().map(|word| (word >> 8) as u8).collect();
        let four = BitFlips::new(flip(0.5), BitWidth::INT4).unwrap();
        let of = |stream: &FaultStream| {
            four.corrupted(&[0; 500], stream, ProtectionMap::NOTHING).unwrap()
        };
        assert_eq!(high, of(&stream().substream("bits 8 and up")));
        for name in ["fc.weight", "fc.weight/high", "fc.weightbits 8 and up", "bits 8 and up"] {
            assert_ne!(high, of(&FaultStream::new(Seed(42), 3, name)), "{name}");
        }
    }

    /// Each bit flips as often as its own probability says, to 5.5 standard deviations in 72 counts: a
    /// false alarm rate of 3e-6 over all seeds, and this one is fixed.
    #[test]
    fn every_bit_of_every_width_flips_with_its_own_probability() {
        let n = 20_000;
        for width in [1, 2, 8, 9, 10, 12] {
            let flips: Vec<_> = (1..=width).map(|bit| flip(0.03 * f64::from(bit))).collect();
            let model =
                WordFlips::new(FlipProfile::per_bit(flips.clone()).unwrap(), width).unwrap();
            let read = model.corrupted(&vec![0; n], &stream()).unwrap();
            assert!(read.iter().all(|&word| word < 1 << width));
            for (bit, p) in flips.iter().map(|p| p.p01()).enumerate() {
                let flips = read.iter().filter(|&&word| word >> bit & 1 == 1).count() as f64;
                let (mean, sd) = (n as f64 * p, (n as f64 * p * (1.0 - p)).sqrt());
                assert!((flips - mean).abs() < 5.5 * sd, "bit {bit} of {width}: {flips} flips");
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        for width in [0, 13, u32::MAX] {
            let error = WordFlips::new(flip(0.1), width).unwrap_err();
            assert_eq!(error, FaultError::WordWidth(width));
        }
        let two = FlipProfile::per_bit(vec![flip(0.1); 2]).unwrap();
        let error = WordFlips::new(two, 3).unwrap_err();
        assert_eq!(error, FaultError::WordProfile { bits: 2, width: 3 });
        let model = WordFlips::new(flip(0.1), 9).unwrap();
        let error = model.inject_slice(&mut [0], 0, &stream(), 10).unwrap_err();
        assert_eq!(error, FaultError::WordBits { protected: 10, width: 9 });
        assert!(model.inject_slice(&mut [0], u64::MAX, &stream(), 0).is_err());
    }

    proptest! {
        #[test]
        fn slices_agree_with_the_whole_and_protection_takes_flips_away(
            cut in 0..1000_usize, width in 1..=12_u32, protected in 0..=12_u32,
        ) {
            let protected = protected.min(width);
            let model = WordFlips::new(flip(0.1), width).unwrap();
            let words: Vec<u16> = (0..1000).map(|i| (i * 31) as u16 & ((1 << width) - 1)).collect();
            let whole = model.corrupted(&words, &stream()).unwrap();
            let (mut front, mut back) = (words[..cut].to_vec(), words[cut..].to_vec());
            model.inject_slice(&mut back, cut as u64, &stream(), protected).unwrap();
            model.inject_slice(&mut front, 0, &stream(), protected).unwrap();
            front.extend(back);
            let exposed = (1_u16 << (width - protected)) - 1;
            for ((stored, read), all) in words.iter().zip(front).zip(whole) {
                prop_assert_eq!(read, stored ^ (stored ^ all) & exposed);
            }
        }
    }
}

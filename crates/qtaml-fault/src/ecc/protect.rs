//! The ECC of protected bits: ideal, or a real code along the words.

use std::fmt;
use std::ops::Add;
use std::str::FromStr;

use qtaml_physics::FlipProbability;
use qtaml_quant::pack_words;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::ecc::{
    Bch, Code, Decoded, EccCode, ErrorWeights, Interleaved, Parity, Repetition, SecDed,
};
use crate::model::check_size;
use crate::{BitMask, EccError, FaultError, FaultModel, FaultStream, ProtectionMap};

/// How a memory keeps its protected bits.
///
/// A real code runs along the words: the same bit of as many words in a row as it has data bits
/// makes one code word, and its check bits are stored as well. So the bits of one weight lie in
/// different code words, and are wrong independently of each other.
///
/// | Name | Ecc |
/// | --- | --- |
/// | `ideal` | [`Ecc::Ideal`] |
/// | any of a [`EccCode`], such as `secded:64` | [`Ecc::Code`] |
/// | `interleaved:WORDS:CODE`, such as `interleaved:4:secded:64` | [`Ecc::Interleaved`] |
///
/// ```
/// use qtaml_fault::{BitFlips, Ecc, BitMask, Seed, FaultStream};
/// use qtaml_physics::FlipProbability;
/// use qtaml_quant::BitWidth;
///
/// let ecc: Ecc = "secded:64".parse()?;
/// let p = FlipProbability::symmetric(1e-3)?;
/// assert!(ecc.residual(p)?.p01() < 1e-4);
///
/// let model = BitFlips::new(p, BitWidth::INT8)?;
/// let top = BitMask::top(2, BitWidth::INT8)?;
/// let stream = FaultStream::new(Seed(42), 0, "fc.weight");
/// let kept = ecc.read(&[0; 64_000], &model, &stream, top)?;
/// assert_eq!(kept.tally.check_bits, 2 * 1000 * 8);
/// assert!(kept.tally.corrected > 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Ecc {
    /// Protected bits never flip, and cost nothing but their number: what the sources assume.
    #[default]
    Ideal,
    /// A real code keeps them as well as it can.
    Code(EccCode),
    /// The same with `words` code words dealt out bit by bit ([`Interleaved`]): neighbouring words of
    /// the memory that are hit by one burst belong to different code words. Where cells fail
    /// independently it changes nothing.
    Interleaved {
        /// Code words that are dealt out together.
        words: usize,
        /// Their code.
        code: EccCode,
    },
}

/// What is read of words whose protected bits a code keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct EccRead {
    /// The words after decoding.
    pub words: Vec<u8>,
    /// What the code cost, and how its code words fared: zeros for an ideal.
    pub tally: EccTally,
}

impl EccRead {
    /// Words as they are read, and what the code says of them.
    pub fn new(words: Vec<u8>, tally: EccTally) -> Self {
        Self { words, tally }
    }
}

/// What a code costs and how its code words fare, in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct EccTally {
    /// Check bits that were stored in addition to the words.
    pub check_bits: u64,
    /// Code words in which errors were corrected, rightly or not.
    pub corrected: u64,
    /// Code words with errors that were seen and could not be corrected.
    pub detected: u64,
    /// Code words whose data are wrong after decoding, without a sign of it: taken for another code
    /// word, or corrected into one.
    pub miscorrected: u64,
}

impl Add for EccTally {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            check_bits: self.check_bits + other.check_bits,
            corrected: self.corrected + other.corrected,
            detected: self.detected + other.detected,
            miscorrected: self.miscorrected + other.miscorrected,
        }
    }
}

impl Ecc {
    /// How often a protected bit is still read wrong where every stored bit, check bits included,
    /// flips as `flips` says: the mean over the data bits of a full code word.
    ///
    /// It is exact for parity, SEC-DED and repetition of any size, and for BCH codes of up to 127
    /// stored and 14 check bits. For longer BCH codes it takes every uncorrectable word for detected,
    /// which is right to a factor between 2/3 and 2 if the code is not shortened
    /// ([`Bch::flips_left`]). Interleaving changes nothing, because flips are independent. The last,
    /// partly filled code word of a tensor does better.
    ///
    /// # Errors
    /// As the constructor of the code, and [`EccError::Asymmetric`] if the two stored values do not
    /// flip alike and the code is neither a parity nor a repetition.
    pub fn residual(self, flips: FlipProbability) -> Result<FlipProbability, EccError> {
        let left = match self {
            Self::Ideal => return Ok(FlipProbability::NEVER),
            Self::Code(code) | Self::Interleaved { code, .. } => match code {
                // Data are handed on as they are read.
                EccCode::Parity { data } => return Parity::new(data).map(|_| flips),
                EccCode::Repetition { copies } => {
                    return Ok(Repetition::new(copies)?.after_majority(flips));
                }
                EccCode::SecDed { data } => SecDed::new(data)?.flips_left(flips)?,
                EccCode::Bch { m, t, data } => {
                    let code = Bch::new(m, t)?;
                    let code = data.map_or(Ok(code.clone()), |data| code.shortened(data))?;
                    match ErrorWeights::of(&code) {
                        Ok(weights) => weights.residual(flips)?.bit_flips,
                        Err(_) => code.flips_left(flips)?,
                    }
                }
            },
        };
        FlipProbability::asymmetric(left, left).map_err(|_| EccError::Residual(left))
    }

    /// The code, if there is one.
    fn code(self) -> Result<Option<Box<dyn Code>>, EccError> {
        Ok(match self {
            Self::Ideal => None,
            Self::Code(code) => Some(code.build()?),
            Self::Interleaved { words, code } => {
                Some(Box::new(Interleaved::new(code.build()?, words)?))
            }
        })
    }

    /// Check bits per protected bit.
    ///
    /// # Errors
    /// As the constructor of the code.
    pub fn overhead(self) -> Result<f64, EccError> {
        Ok(self.code()?.map_or(0.0, |code| code.overhead()))
    }

    /// Check bits that are stored for one protected bit of each of so many words. The last code word
    /// is filled up and has all its check bits.
    ///
    /// # Errors
    /// As the constructor of the code.
    pub fn check_bits(self, words: u64) -> Result<u64, EccError> {
        Ok(self.code()?.map_or(0, |code| {
            let check = code.stored_bits() - code.data_bits();
            words.div_ceil(code.data_bits() as u64).saturating_mul(check as u64)
        }))
    }

    /// The check bits that are stored with `words`, packed: those of the lowest protected bit first, and of
    /// each bit those of one code word after the other. The last code word of a bit is filled up with
    /// zeros that are not stored. Check bit number `k` is bit `k mod 8` of byte `floor(k / 8)`; bits that
    /// fill up the last byte are zero. Ideal protection has none.
    ///
    /// ```
    /// use qtaml_fault::{BitMask, Ecc};
    /// use qtaml_quant::BitWidth;
    ///
    /// let ecc: Ecc = "repetition:3".parse()?;
    /// let top = BitMask::top(1, BitWidth::INT8)?;
    /// // Two more copies of 1, 0 and 1.
    /// assert_eq!(ecc.encode(&[0x80, 0x7f, 0xff], top)?, [0b11_0011]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As the constructor of the code.
    pub fn encode(self, words: &[u8], protection: BitMask) -> Result<Vec<u8>, EccError> {
        let Some(code) = self.code()? else { return Ok(Vec::new()) };
        let mut bits: Vec<u16> = Vec::new();
        for bit in bits_of(protection) {
            let plane = BitPlane { code: &*code, bit };
            let check = plane.encode(words)?;
            bits.extend(check.iter().map(|&check| u16::from(plane.is_set(check))));
        }
        Ok(pack_words(&bits, 1))
    }

    /// Words after which slices may be cut: code words end there.
    ///
    /// # Errors
    /// As the constructor of the code.
    pub fn alignment(self) -> Result<usize, EccError> {
        Ok(self.code()?.map_or(1, |code| code.data_bits()))
    }

    /// What is read of `words`, a whole tensor, see [`read_slice`](Self::read_slice).
    ///
    /// # Errors
    /// [`FaultError::Words`] if the model is made for another number of words, and as
    /// [`read_slice`](Self::read_slice).
    pub fn read(
        self,
        words: &[u8],
        model: &dyn FaultModel,
        stream: &FaultStream,
        protection: BitMask,
    ) -> Result<EccRead, FaultError> {
        check_size(model.words(), words.len())?;
        self.read_slice(words, 0, model, stream, protection)
    }

    /// What is read of `words`, a slice of a tensor that starts at word `first`: all its bits and the
    /// check bits are damaged by the model, and the protected ones are decoded. The last code word
    /// of each bit is filled up with zeros that are not stored. Check bits are stored in the same
    /// bit of words of their own, and so with the same flip probabilities.
    ///
    /// # Errors
    /// [`FaultError::ProtectedBits`] for protected bits that the model's words lack,
    /// [`FaultError::OneTensorOnly`] for a real code and a model that leaves its check bits out,
    /// [`EccError::Misaligned`] unless `first` is a multiple of the
    /// [`alignment`](Self::alignment), and as the constructor of the code.
    pub fn read_slice(
        self,
        words: &[u8],
        first: u64,
        model: &dyn FaultModel,
        stream: &FaultStream,
        protection: BitMask,
    ) -> Result<EccRead, FaultError> {
        protection.check_width(model.bits())?;
        let mut read = words.to_vec();
        if self == Self::Ideal {
            model.par_inject_slice(&mut read, first, stream, protection.into())?;
            return Ok(EccRead::new(read, EccTally::default()));
        }
        model.par_inject_slice(&mut read, first, stream, ProtectionMap::NOTHING)?;
        let tally = self.correct(words, &mut read, first, model, stream, protection)?;
        Ok(EccRead::new(read, tally))
    }

    /// Corrects the protected bits of `read`, which is what became of the words `stored` without any
    /// protection: the check bits are damaged by the model, and the code decodes both. Ideal
    /// protection brings the stored bits back. `first` is the number of the first word among those
    /// whose check bits lie at `stream`.
    ///
    /// # Errors
    /// [`FaultError::Words`] if there are not as many words read as stored, and as
    /// [`read_slice`](Self::read_slice).
    pub fn correct(
        self,
        stored: &[u8],
        read: &mut [u8],
        first: u64,
        model: &dyn FaultModel,
        stream: &FaultStream,
        protection: BitMask,
    ) -> Result<EccTally, FaultError> {
        protection.check_width(model.bits())?;
        check_size(Some(stored.len() as u64), read.len())?;
        let mut tally = EccTally::default();
        let Some(code) = self.code()? else {
            let mask = protection.mask();
            let kept = read.iter_mut().zip(stored);
            kept.for_each(|(read, stored)| *read = *read & !mask | stored & mask);
            return Ok(tally);
        };
        check_start(&*code, first)?;
        for bit in bits_of(protection) {
            let plane = BitPlane { code: &*code, bit };
            let mut check = plane.encode(stored)?;
            let clean = check.clone();
            let from = first / code.data_bits() as u64 * plane.extra() as u64;
            model.inject_check_bits(&mut check, from, bit, stream)?;
            check.iter_mut().zip(clean).for_each(|(read, clean)| *read ^= clean);
            tally = tally + plane.decode(stored, read, &check)?;
        }
        Ok(tally)
    }
}

/// The protected bits, lowest first.
fn bits_of(protection: BitMask) -> impl Iterator<Item = u8> {
    (0..8).filter(move |bit| protection.mask() >> bit & 1 == 1)
}

/// Refuses a first word at which no code word begins.
fn check_start(code: &dyn Code, first: u64) -> Result<(), EccError> {
    let alignment = code.data_bits() as u64;
    let begins = first.is_multiple_of(alignment);
    if begins { Ok(()) } else { Err(EccError::Misaligned { first, alignment }) }
}

/// Words of which one thread encodes or decodes a bit at a time.
const BATCH: usize = 1 << 14;

/// One bit of many words, kept by a code.
struct BitPlane<'a> {
    code: &'a dyn Code,
    bit: u8,
}

impl BitPlane<'_> {
    /// Check bits of a code word.
    fn extra(&self) -> usize {
        self.code.stored_bits() - self.code.data_bits()
    }

    /// Code words that one thread treats at a time.
    fn batch(&self) -> usize {
        (BATCH / self.code.data_bits()).max(1)
    }

    /// The check bits of `words`, each in a word of its own; on all threads.
    fn encode(&self, words: &[u8]) -> Result<Vec<u8>, EccError> {
        let (data, extra, batch) = (self.code.data_bits(), self.extra(), self.batch());
        let mut check = vec![0; words.len().div_ceil(data) * extra];
        // A single copy has no check bits at all.
        let step = extra.max(1);
        let batches = check.par_chunks_mut(batch * step).zip(words.par_chunks(batch * data));
        batches.try_for_each(|(check, words)| match data {
            1 => self.encode_ones(words, check, step),
            _ => self.encode_batch(words, check, step),
        })?;
        Ok(check)
    }

    /// `step` check bits for each code word.
    fn encode_batch(&self, words: &[u8], check: &mut [u8], step: usize) -> Result<(), EccError> {
        let data = self.code.data_bits();
        let (mut bits, mut stored) = (vec![false; data], vec![false; self.code.stored_bits()]);
        for (check, words) in check.chunks_mut(step).zip(words.chunks(data)) {
            bits[words.len()..].fill(false);
            bits.iter_mut().zip(words).for_each(|(bit, word)| *bit = self.is_set(*word));
            self.code.encode(&bits, &mut stored)?;
            for (check, &bit) in check.iter_mut().zip(&stored[data..]) {
                *check = u8::from(bit) << self.bit;
            }
        }
        Ok(())
    }

    /// The same for code words of a single data bit: those of a zero are zeros, and all those of a one
    /// are alike.
    fn encode_ones(&self, words: &[u8], check: &mut [u8], step: usize) -> Result<(), EccError> {
        let mut of_one = vec![0; step];
        self.encode_batch(&[1 << self.bit], &mut of_one, step)?;
        for (check, word) in check.chunks_mut(step).zip(words) {
            check.iter_mut().zip(&of_one).for_each(|(check, one)| *check = word & one);
        }
        Ok(())
    }

    /// Decodes `read` where `stored` was stored and the check bits have these errors; on all threads.
    fn decode(
        &self,
        stored: &[u8],
        read: &mut [u8],
        check_errors: &[u8],
    ) -> Result<EccTally, EccError> {
        let (words, extra) = (self.batch() * self.code.data_bits(), self.extra());
        let batches = read.par_chunks_mut(words).zip(stored.par_chunks(words)).enumerate();
        let tally = batches.map(|(i, (read, stored))| {
            let check = &check_errors[i * self.batch() * extra..];
            self.decode_batch(stored, read, check)
        });
        let tally = tally.try_reduce(EccTally::default, |one, other| Ok(one + other))?;
        Ok(EccTally { check_bits: check_errors.len() as u64, ..tally })
    }

    /// What a decoder of a linear code corrects follows from the errors alone. So they are decoded in
    /// place of the words, which are skipped where there are none.
    fn decode_batch(
        &self,
        stored: &[u8],
        read: &mut [u8],
        check_errors: &[u8],
    ) -> Result<EccTally, EccError> {
        let (data, extra) = (self.code.data_bits(), self.extra());
        let (mut errors, mut left) = (vec![false; data + extra], vec![false; data]);
        let mut tally = EccTally::default();
        for (i, (read, stored)) in read.chunks_mut(data).zip(stored.chunks(data)).enumerate() {
            let check = &check_errors[i * extra..(i + 1) * extra];
            let flips =
                read.iter().zip(stored).fold(0, |any, (read, stored)| any | (read ^ stored));
            if !self.is_set(check.iter().fold(flips, |any, errors| any | errors)) {
                continue;
            }
            let flips = read.iter().zip(stored).map(|(read, stored)| read ^ stored);
            errors[read.len()..data].fill(false);
            errors.iter_mut().zip(flips).for_each(|(error, flips)| *error = self.is_set(flips));
            errors[data..].iter_mut().zip(check).for_each(|(e, flips)| *e = self.is_set(*flips));
            let says = self.code.decode(&errors, &mut left)?;
            let mask = 1 << self.bit;
            for ((read, stored), &left) in read.iter_mut().zip(stored).zip(&left) {
                *read = *read & !mask | (stored ^ u8::from(left) << self.bit) & mask;
            }
            tally.corrected += u64::from(matches!(says, Decoded::Corrected(_)));
            tally.detected += u64::from(says == Decoded::Detected);
            let wrong = left[..stored.len()].contains(&true);
            tally.miscorrected += u64::from(wrong && says != Decoded::Detected);
        }
        Ok(tally)
    }

    fn is_set(&self, word: u8) -> bool {
        word >> self.bit & 1 == 1
    }
}

impl fmt::Display for Ecc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ideal => f.write_str("ideal"),
            Self::Code(code) => code.fmt(f),
            Self::Interleaved { words, code } => write!(f, "interleaved:{words}:{code}"),
        }
    }
}

impl FromStr for Ecc {
    type Err = EccError;

    fn from_str(name: &str) -> Result<Self, EccError> {
        if name == "ideal" {
            return Ok(Self::Ideal);
        }
        let Some(dealt) = name.strip_prefix("interleaved:") else {
            return name.parse().map(Self::Code);
        };
        let read =
            dealt.split_once(':').and_then(|(words, code)| Some((words.parse().ok()?, code)));
        let (words, code) = read.ok_or_else(|| EccError::Interleaving { text: name.into() })?;
        let ecc = Self::Interleaved { words, code: code.parse()? };
        ecc.code().map(|_| ecc)
    }
}

qtaml_quant::text_in_files!(Ecc);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use qtaml_quant::BitWidth;

    use super::*;
    use crate::{BitFlips, Bursts, FlipCount, Seed};

    fn ecc(name: &str) -> Ecc {
        name.parse().unwrap()
    }

    fn flips(p: f64) -> BitFlips {
        BitFlips::new(FlipProbability::symmetric(p).unwrap(), BitWidth::INT8).unwrap()
    }

    fn stream(trial: u32) -> FaultStream {
        FaultStream::new(Seed(6), trial, "weight")
    }

    /// Words with every bit pattern, so that data bits are about half ones.
    fn words(n: u32) -> Vec<u8> {
        (0..n).map(|i| (i.wrapping_mul(0x9E37_79B9) >> 24) as u8).collect()
    }

    /// The stream of the check bits is a promise, for every kind of code. The expected check sums were
    /// taken when code words were still encoded and decoded one by one, as they are read.
    #[test]
    fn pinned_words() {
        let top = BitMask::top(3, BitWidth::INT8).unwrap();
        let uneven = FlipProbability::asymmetric(0.02, 0.05).unwrap();
        let models: [&dyn FaultModel; 2] = [
            &BitFlips::new(uneven, BitWidth::INT8).unwrap(),
            &Bursts::new(0.01, 5, BitWidth::INT8).unwrap(),
        ];
        for (name, expected) in [
            ("parity:7", [(2_784_545_221, 0, 479), (632_687_233, 0, 627)]),
            ("secded:64", [(2_876_416_267, 101, 122), (3_403_404_250, 89, 140)]),
            ("repetition:3", [(871_126_009, 1516, 0), (3_135_217_305, 2115, 0)]),
            ("repetition:5", [(2_433_602_063, 2432, 0), (2_560_292_367, 3413, 0)]),
            ("bch:5:2", [(2_772_703_124, 428, 36), (1_404_813_212, 484, 90)]),
            ("bch:7:5:40", [(4_258_148_441, 325, 19), (3_132_807_934, 291, 73)]),
            ("bch:10:50", [(541_507_925, 27, 0), (4_201_609_919, 17, 10)]),
            ("interleaved:4:secded:16", [(384_533_669, 101, 126), (1_822_083_172, 74, 161)]),
            ("interleaved:3:repetition:3", [(62_778_850, 1326, 0), (1_080_538_969, 1834, 0)]),
        ] {
            let ecc = ecc(name);
            let first = 5 * ecc.alignment().unwrap() as u64;
            let read = models.map(|model| {
                let kept = ecc.read_slice(&words(5000), first, model, &stream(3), top).unwrap();
                (crc32fast::hash(&kept.words), kept.tally.corrected, kept.tally.detected)
            });
            assert_eq!(read, expected, "{name}");
        }
    }

    /// By hand: two of three copies outvote the third, two errors are one too many for SEC-DED, and a
    /// parity sees no pair.
    #[test]
    fn a_wrong_word_without_a_sign_is_miscorrected() {
        let tally = |name, words: &[u8], check: &[u8]| {
            let code = ecc(name).code().unwrap().unwrap();
            let plane = BitPlane { code: &*code, bit: 0 };
            let mut read = words.to_vec();
            let tally = plane.decode(&vec![0; words.len()], &mut read, check).unwrap();
            (read, [tally.check_bits, tally.corrected, tally.detected, tally.miscorrected])
        };
        let lost = tally("repetition:3", &[0, 1, 0, 1], &[0, 0, 0, 0, 1, 1, 1, 0]);
        assert_eq!(lost, (vec![0, 0, 1, 1], [8, 3, 0, 2]));
        assert_eq!(tally("secded:4", &[1, 1, 0, 0], &[0; 4]), (vec![1, 1, 0, 0], [4, 0, 1, 0]));
        assert_eq!(tally("parity:4", &[1, 1, 0, 0], &[0]), (vec![1, 1, 0, 0], [1, 0, 0, 1]));
        assert_eq!(tally("repetition:1", &[1, 0], &[]), (vec![1, 0], [0, 0, 0, 1]));
    }

    /// Its flips are counted for the words, and would spare all check bits.
    #[test]
    fn a_code_takes_no_count_of_the_words_alone() {
        let (model, all) = (
            FlipCount::new(9, 100, BitWidth::INT8).unwrap(),
            BitMask::top(8, BitWidth::INT8).unwrap(),
        );
        let read = |name| ecc(name).read(&words(100), &model, &stream(0), all);
        let error = read("repetition:3").unwrap_err();
        assert_eq!(error, FaultError::OneTensorOnly { words: 100 });
        assert_eq!(read("ideal").unwrap().words, words(100));
        for name in ["repetition:3", "ideal"] {
            let error = ecc(name).read(&words(99), &model, &stream(0), all).unwrap_err();
            assert_eq!(error, FaultError::Words { given: 99, expected: 100 });
        }
    }

    /// Words and check bits of all planes together have as many flips as asked for, and slices meet
    /// the same.
    #[test]
    fn a_count_may_include_check_bits() {
        let (stored, top) = (words(200), BitMask::top(3, BitWidth::INT8).unwrap());
        for name in ["repetition:3", "secded:16", "bch:5:2", "interleaved:4:secded:16"] {
            let ecc = ecc(name);
            let each = ecc.check_bits(200).unwrap();
            let bits = 1600 + 3 * each;
            let count = |flips| FlipCount::with_check_bits(flips, 200, BitWidth::INT8, top, each);
            assert!(count(bits + 1).is_err());

            let model = count(bits / 3).unwrap();
            let whole = ecc.read(&stored, &model, &stream(1), top).unwrap();
            let cut = 3 * ecc.alignment().unwrap();
            let read =
                |words, first| ecc.read_slice(words, first, &model, &stream(1), top).unwrap();
            let (mut front, back) = (read(&stored[..cut], 0), read(&stored[cut..], cut as u64));
            front.words.extend(back.words);
            assert_eq!((front.words, front.tally + back.tally), (whole.words, whole.tally));

            let mut memory = vec![vec![0; 200]];
            model.par_inject_slice(&mut memory[0], 0, &stream(1), ProtectionMap::NOTHING).unwrap();
            for bit in 5..8 {
                let mut plane = vec![0; each as usize];
                model.inject_check_bits(&mut plane, 0, bit, &stream(1)).unwrap();
                assert!(plane.iter().all(|word| word & !(1 << bit) == 0), "{name}");
                memory.push(plane);
            }
            let flips =
                memory.iter().flatten().map(|word| u64::from(word.count_ones())).sum::<u64>();
            assert_eq!(flips, bits / 3, "{name}");
            assert!(memory.iter().all(|plane| plane.iter().any(|&word| word != 0)), "{name}");
            assert!(model.inject_check_bits(&mut [0], each, 5, &stream(1)).is_err());
            for (first, bit) in [(u64::MAX, 5), (0, 4), (0, 8), (0, 255)] {
                assert!(model.inject_check_bits(&mut [0], first, bit, &stream(1)).is_err());
            }
        }
    }

    #[test]
    fn names_lead_back() {
        for name in ["ideal", "secded:64", "bch:7:5", "interleaved:4:secded:64"] {
            assert_eq!(ecc(name).to_string(), name);
        }
        for (name, why) in [
            ("secded:0", "no SEC-DED code with data bits = 0"),
            ("interleaved:0:secded:8", "no interleaved code with words = 0: 1..=4096 are allowed"),
            (
                "interleaved:4",
                "\"interleaved:4\" is no interleaved code: interleaved:WORDS:CODE is",
            ),
            ("interleaved:secded:8", "such as interleaved:4:secded:64"),
            ("interleaved:2:interleaved:2:secded:8", "unknown code \"interleaved:2:secded:8\""),
        ] {
            let error = name.parse::<Ecc>().unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
        assert_eq!(Ecc::default(), Ecc::Ideal);
    }

    /// The rate of wrong protected bits against the residual: its standard error counts code words
    /// and not bits, because the bits of one code word are wrong together. Five of them.
    #[test]
    fn what_is_left_is_the_residual() {
        for (name, p) in [
            ("repetition:3", 0.1),
            ("secded:16", 0.01),
            ("secded:200", 0.003),
            ("bch:4:2", 0.05),
            ("interleaved:4:secded:16", 0.01),
        ] {
            let (stored, top) = (words(1 << 17), BitMask::top(2, BitWidth::INT8).unwrap());
            let kept = ecc(name).read(&stored, &flips(p), &stream(0), top).unwrap();
            let wrong = |(a, b): (&u8, &u8)| f64::from(((a ^ b) & top.mask()).count_ones());
            let wrong: f64 = stored.iter().zip(&kept.words).map(wrong).sum();
            let bits = 2.0 * stored.len() as f64;
            let theory = ecc(name).residual(FlipProbability::symmetric(p).unwrap()).unwrap();
            // A code word that fails has two or three wrong bits, seldom more.
            let error = (theory.p01() * 4.0 / bits).sqrt();
            assert!((wrong / bits - theory.p01()).abs() < 5.0 * error, "{name}: {}", wrong / bits);
            assert!(theory.p01() < p && kept.tally.corrected > 0, "{name}");
            let check = ecc(name).overhead().unwrap() * bits;
            assert!((kept.tally.check_bits as f64 / check - 1.0).abs() < 5e-3, "{name}");
        }
    }

    #[test]
    fn what_corrects_nothing_leaves_everything_and_interleaving_changes_no_residual() {
        let residual = |name: &str, p01, p10| {
            ecc(name).residual(FlipProbability::asymmetric(p01, p10).unwrap())
        };
        let uneven = FlipProbability::asymmetric(0.01, 0.2).unwrap();
        assert_eq!(residual("parity:4096", 0.01, 0.2), Ok(uneven));
        for name in ["secded:4096", "bch:10:3", "bch:4:2", "repetition:5"] {
            let dealt = residual(&format!("interleaved:7:{name}"), 1e-3, 1e-3).unwrap();
            assert_eq!(dealt, residual(name, 1e-3, 1e-3).unwrap());
        }
        assert!(residual("secded:200", 0.01, 0.2).is_err());
    }

    /// Bursts of twenty bits reach over three or four words, and so into the same code word more than
    /// once, unless four of them are dealt out.
    #[test]
    fn interleaving_keeps_bits_through_bursts() {
        let bursts = Bursts::new(1e-4, 20, BitWidth::INT8).unwrap();
        let (stored, all) = (words(1 << 17), BitMask::top(8, BitWidth::INT8).unwrap());
        let wrong = |name| {
            let kept = ecc(name).read(&stored, &bursts, &stream(5), all).unwrap();
            stored.iter().zip(&kept.words).map(|(a, b)| (a ^ b).count_ones()).sum::<u32>()
        };
        let (plain, dealt) = (wrong("secded:16"), wrong("interleaved:4:secded:16"));
        assert!(plain > 1000 && dealt < plain / 10, "{plain} {dealt}");
    }

    #[test]
    fn an_ideal_keeps_everything_and_costs_nothing() {
        let stored = words(1000);
        let top = BitMask::top(3, BitWidth::INT8).unwrap();
        let kept = Ecc::Ideal.read(&stored, &flips(0.3), &stream(1), top).unwrap();
        assert_eq!(kept.words, flips(0.3).corrupted(&stored, &stream(1), top.into()).unwrap());
        assert_eq!((kept.tally, Ecc::Ideal.overhead()), (EccTally::default(), Ok(0.0)));
        let p = FlipProbability::symmetric(0.3).unwrap();
        assert_eq!(Ecc::Ideal.residual(p), Ok(FlipProbability::NEVER));
    }

    /// Code word by code word with the code alone, bit by bit as the layout says.
    #[test]
    fn check_bits_lie_back_to_back() {
        for name in ["parity:5", "secded:8", "repetition:3", "bch:4:2", "interleaved:2:secded:8"] {
            let (ecc, stored) = (ecc(name), words(45));
            let mask = BitMask::of_bits(0b1001_0010, BitWidth::INT8).unwrap();
            let code = ecc.code().unwrap().unwrap();
            let mut expected = Vec::new();
            for bit in [1, 4, 7] {
                for words in stored.chunks(code.data_bits()) {
                    let mut data: Vec<bool> = words.iter().map(|w| w >> bit & 1 == 1).collect();
                    data.resize(code.data_bits(), false);
                    let mut all = vec![false; code.stored_bits()];
                    code.encode(&data, &mut all).unwrap();
                    expected.extend_from_slice(&all[code.data_bits()..]);
                }
            }
            let bytes = ecc.encode(&stored, mask).unwrap();
            assert_eq!(expected.len() as u64, 3 * ecc.check_bits(45).unwrap(), "{name}");
            expected.resize(8 * bytes.len(), false);
            let found = (0..8 * bytes.len()).map(|k| bytes[k / 8] >> (k % 8) & 1 == 1);
            assert_eq!(found.collect::<Vec<_>>(), expected, "{name}");
            assert!(ecc.encode(&stored, BitMask::NONE).unwrap().is_empty());
        }
        let all = BitMask::top(8, BitWidth::INT8).unwrap();
        assert!(Ecc::Ideal.encode(&words(45), all).unwrap().is_empty());
    }

    proptest! {
        #[test]
        fn unprotected_bits_are_those_of_the_memory(
            stored in prop::collection::vec(any::<u8>(), 1..500), mask: u8,
        ) {
            let protection = BitMask::of_bits(mask, BitWidth::INT8).unwrap();
            let raw = flips(0.1).corrupted(&stored, &stream(2), ProtectionMap::NOTHING).unwrap();
            let kept = ecc("secded:8").read(&stored, &flips(0.1), &stream(2), protection).unwrap();
            prop_assert!(raw.iter().zip(&kept.words).all(|(raw, kept)| (raw ^ kept) & !mask == 0));
        }

        #[test]
        fn aligned_slices_agree_with_the_whole(
            stored in prop::collection::vec(0_u8..16, 1..600), cut in 0_usize..10, k in 0_u32..=4,
        ) {
            let bits = BitWidth::INT4;
            let model = BitFlips::new(FlipProbability::symmetric(0.1).unwrap(), bits).unwrap();
            let (ecc, top) = (ecc("secded:8"), BitMask::top(k, bits).unwrap());
            let whole = ecc.read(&stored, &model, &stream(4), top).unwrap();
            let cut = (cut * ecc.alignment().unwrap()).min(stored.len());
            let mut front = ecc.read(&stored[..cut], &model, &stream(4), top).unwrap();
            let slice = ecc.read_slice(&stored[cut..], cut as u64, &model, &stream(4), top);
            if cut < stored.len() {
                let back = slice.unwrap();
                front.words.extend(back.words);
                front.tally = front.tally + back.tally;
            }
            prop_assert_eq!(front, whole);
            prop_assert!(ecc.read_slice(&stored, 7, &model, &stream(4), top).is_err());
        }

        #[test]
        fn few_errors_are_all_corrected(
            stored in prop::collection::vec(any::<u8>(), 1..500), trial in 0_u32..100,
        ) {
            let all = BitMask::top(8, BitWidth::INT8).unwrap();
            // More than five errors in 31 bits: one code word in 10^14.
            let rare = flips(1e-3);
            let ecc = ecc("bch:5:5");
            prop_assert_eq!(ecc.read(&stored, &rare, &stream(trial), all).unwrap().words, stored);
        }
    }
}

//! What keeps protected bits: an ideal, or a real code along the words.

use std::fmt;
use std::str::FromStr;

use qtaml_physics::FlipProbability;
use serde::{Deserialize, Serialize};

use crate::code::{
    Bch, Code, CodeSpec, Decoded, ErrorWeights, Interleaved, Parity, Repetition, SecDed,
};
use crate::{FaultError, FaultModel, Protected, Protection, Site};

/// How a memory keeps its protected bits.
///
/// A real code runs along the words: the same bit of as many words in a row as it has data bits
/// makes one code word, and its check bits are stored beside. So the bits of one weight lie in
/// different code words, and are wrong independently of each other.
///
/// | Name | Keeper |
/// | --- | --- |
/// | `ideal` | [`Keeper::Ideal`] |
/// | any of a [`CodeSpec`], such as `secded:64` | [`Keeper::Code`] |
/// | `interleaved:WORDS:CODE`, such as `interleaved:4:secded:64` | [`Keeper::Interleaved`] |
///
/// ```
/// use qtaml_fault::{BitFlips, Keeper, Protection, Seed, Site};
/// use qtaml_physics::FlipProbability;
/// use qtaml_quant::BitWidth;
///
/// let keeper: Keeper = "secded:64".parse()?;
/// let p = FlipProbability::symmetric(1e-3)?;
/// assert!(keeper.residual(p)?.p01() < 1e-4);
///
/// let model = BitFlips::new(p, BitWidth::INT8)?;
/// let top = Protection::top(2, BitWidth::INT8)?;
/// let site = Site::new(Seed(42), 0, "fc.weight");
/// let kept = keeper.read(&[0; 64_000], &model, &site, top)?;
/// assert_eq!(kept.check_bits, 2 * 1000 * 8);
/// assert!(kept.corrected > 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Keeper {
    /// Protected bits never flip, and cost nothing but their number: what the sources assume.
    #[default]
    Ideal,
    /// A real code keeps them as well as it can.
    Code(CodeSpec),
    /// The same with `words` code words dealt out bit by bit ([`Interleaved`]): neighbouring words of
    /// the memory that are hit by one burst belong to different code words. Where cells fail
    /// independently it changes nothing.
    Interleaved {
        /// Code words that are dealt out together.
        words: usize,
        /// Their code.
        code: CodeSpec,
    },
}

/// What is read of words whose protected bits a code keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// The words after decoding.
    pub words: Vec<u8>,
    /// Bits that were stored beside them.
    pub check_bits: u64,
    /// Code words in which errors were corrected, rightly or not.
    pub corrected: u64,
    /// Code words with errors that were seen and could not be corrected.
    pub detected: u64,
}

impl Keeper {
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
    /// As the constructor of the code, and [`FaultError::Asymmetric`] if the two stored values do not
    /// flip alike and the code is neither a parity nor a repetition.
    pub fn residual(self, flips: FlipProbability) -> Result<FlipProbability, FaultError> {
        let left = match self {
            Self::Ideal => return Ok(FlipProbability::NEVER),
            Self::Code(code) | Self::Interleaved { code, .. } => match code {
                // Data are handed on as they are read.
                CodeSpec::Parity { data } => return Parity::new(data).map(|_| flips),
                CodeSpec::Repetition { copies } => {
                    return Ok(Repetition::new(copies)?.after_majority(flips));
                }
                CodeSpec::SecDed { data } => SecDed::new(data)?.flips_left(flips)?,
                CodeSpec::Bch { m, t, data } => {
                    let code = Bch::new(m, t)?;
                    let code = data.map_or(Ok(code.clone()), |data| code.shortened(data))?;
                    match ErrorWeights::of(&code) {
                        Ok(weights) => weights.residual(flips)?.bit_flips,
                        Err(_) => code.flips_left(flips)?,
                    }
                }
            },
        };
        FlipProbability::asymmetric(left, left).map_err(|_| FaultError::Probability(left))
    }

    /// The code, if there is one.
    fn code(self) -> Result<Option<Box<dyn Code>>, FaultError> {
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
    pub fn overhead(self) -> Result<f64, FaultError> {
        Ok(self.code()?.map_or(0.0, |code| code.overhead()))
    }

    /// Check bits that are stored for one protected bit of each of so many words. The last code word
    /// is filled up and has all its check bits.
    ///
    /// # Errors
    /// As the constructor of the code.
    pub fn check_bits(self, words: u64) -> Result<u64, FaultError> {
        Ok(self.code()?.map_or(0, |code| {
            let check = code.stored_bits() - code.data_bits();
            words.div_ceil(code.data_bits() as u64).saturating_mul(check as u64)
        }))
    }

    /// Words after which slices may be cut: code words end there.
    ///
    /// # Errors
    /// As the constructor of the code.
    pub fn alignment(self) -> Result<usize, FaultError> {
        Ok(self.code()?.map_or(1, |code| code.data_bits()))
    }

    /// What is read of `words`, a whole tensor, see [`read_slice`](Self::read_slice).
    ///
    /// # Errors
    /// As the constructor of the code.
    pub fn read(
        self,
        words: &[u8],
        model: &dyn FaultModel,
        site: &Site,
        protection: Protection,
    ) -> Result<Kept, FaultError> {
        self.read_slice(words, 0, model, site, protection)
    }

    /// What is read of `words`, a slice of a tensor that starts at word `first`: all its bits and the
    /// check bits are damaged by the model, and the protected ones are decoded. The last code word
    /// of each bit is filled up with zeros that are not stored. Check bits are stored in the same
    /// bit of words of their own, and so under the same law. A model that counts its flips
    /// ([`FlipCount`](crate::FlipCount)) counts those of the words, and hits check bits beside.
    ///
    /// # Errors
    /// [`FaultError::ProtectedBits`] for protected bits that the model's words lack,
    /// [`FaultError::Misaligned`] unless `first` is a multiple of the
    /// [`alignment`](Self::alignment), and as the constructor of the code.
    pub fn read_slice(
        self,
        words: &[u8],
        first: u64,
        model: &dyn FaultModel,
        site: &Site,
        protection: Protection,
    ) -> Result<Kept, FaultError> {
        protection.check_width(model.bits())?;
        let mut kept = Kept { words: words.to_vec(), check_bits: 0, corrected: 0, detected: 0 };
        let Some(code) = self.code()? else {
            model.inject_from(&mut kept.words, first, site, protection.into());
            return Ok(kept);
        };
        let alignment = code.data_bits() as u64;
        if !first.is_multiple_of(alignment) {
            return Err(FaultError::Misaligned { first, alignment });
        }
        model.inject_from(&mut kept.words, first, site, Protected::NOTHING);
        for bit in (0..8).filter(|bit| protection.mask() >> bit & 1 == 1) {
            kept.decode_bit(&*code, words, first, bit, model, &site.check_bits(bit))?;
        }
        Ok(kept)
    }
}

impl Kept {
    /// Decodes one bit of all words, where `stored` were stored.
    fn decode_bit(
        &mut self,
        code: &dyn Code,
        stored: &[u8],
        first: u64,
        bit: u8,
        model: &dyn FaultModel,
        site: &Site,
    ) -> Result<(), FaultError> {
        let extra = code.stored_bits() - code.data_bits();
        let mut check = Vec::new();
        for words in stored.chunks(code.data_bits()) {
            check.extend(check_bits(code, words, bit)?);
        }
        let mut stored: Vec<u8> = check.iter().map(|&check| u8::from(check) << bit).collect();
        let from = first / code.data_bits() as u64 * extra as u64;
        model.inject_from(&mut stored, from, site, Protected::NOTHING);
        let check: Vec<bool> = stored.iter().map(|word| word >> bit & 1 == 1).collect();
        self.check_bits += check.len() as u64;
        for (words, check) in self.words.chunks_mut(code.data_bits()).zip(check.chunks(extra)) {
            match decode(code, words, check, bit)? {
                Decoded::Clean => {}
                Decoded::Corrected(_) => self.corrected += 1,
                Decoded::Detected => self.detected += 1,
            }
        }
        Ok(())
    }
}

/// The data bits of one code word: bit `bit` of each of `words`, and zeros beyond them.
fn data(code: &dyn Code, words: &[u8], bit: u8) -> Vec<bool> {
    let mut data: Vec<bool> = words.iter().map(|word| word >> bit & 1 == 1).collect();
    data.resize(code.data_bits(), false);
    data
}

fn check_bits(code: &dyn Code, words: &[u8], bit: u8) -> Result<Vec<bool>, FaultError> {
    let mut stored = vec![false; code.stored_bits()];
    code.encode(&data(code, words, bit), &mut stored)?;
    Ok(stored.split_off(code.data_bits()))
}

fn decode(
    code: &dyn Code,
    words: &mut [u8],
    check: &[bool],
    bit: u8,
) -> Result<Decoded, FaultError> {
    let mut read = data(code, words, bit);
    read.extend(check);
    let mut data = vec![false; code.data_bits()];
    let says = code.decode(&read, &mut data)?;
    for (word, value) in words.iter_mut().zip(data) {
        *word = *word & !(1 << bit) | u8::from(value) << bit;
    }
    Ok(says)
}

impl fmt::Display for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ideal => f.write_str("ideal"),
            Self::Code(code) => code.fmt(f),
            Self::Interleaved { words, code } => write!(f, "interleaved:{words}:{code}"),
        }
    }
}

impl FromStr for Keeper {
    type Err = FaultError;

    fn from_str(name: &str) -> Result<Self, FaultError> {
        if name == "ideal" {
            return Ok(Self::Ideal);
        }
        let Some(dealt) = name.strip_prefix("interleaved:") else {
            return name.parse().map(Self::Code);
        };
        let read =
            dealt.split_once(':').and_then(|(words, code)| Some((words.parse().ok()?, code)));
        let (words, code) = read.ok_or_else(|| FaultError::Interleaving { text: name.into() })?;
        let keeper = Self::Interleaved { words, code: code.parse()? };
        keeper.code().map(|_| keeper)
    }
}

impl TryFrom<String> for Keeper {
    type Error = FaultError;

    fn try_from(name: String) -> Result<Self, FaultError> {
        name.parse()
    }
}

impl From<Keeper> for String {
    fn from(keeper: Keeper) -> Self {
        keeper.to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use qtaml_quant::BitWidth;

    use super::*;
    use crate::{BitFlips, Bursts, Seed};

    fn keeper(name: &str) -> Keeper {
        name.parse().unwrap()
    }

    fn flips(p: f64) -> BitFlips {
        BitFlips::new(FlipProbability::symmetric(p).unwrap(), BitWidth::INT8).unwrap()
    }

    fn site(trial: u32) -> Site {
        Site::new(Seed(6), trial, "weight")
    }

    /// Words with every bit pattern, so that data bits are about half ones.
    fn words(n: u32) -> Vec<u8> {
        (0..n).map(|i| (i.wrapping_mul(0x9E37_79B9) >> 24) as u8).collect()
    }

    #[test]
    fn names_lead_back() {
        for name in ["ideal", "secded:64", "bch:7:5", "interleaved:4:secded:64"] {
            assert_eq!(keeper(name).to_string(), name);
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
            let error = name.parse::<Keeper>().unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
        assert_eq!(Keeper::default(), Keeper::Ideal);
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
            let (stored, top) = (words(1 << 17), Protection::top(2, BitWidth::INT8).unwrap());
            let kept = keeper(name).read(&stored, &flips(p), &site(0), top).unwrap();
            let wrong = |(a, b): (&u8, &u8)| f64::from(((a ^ b) & top.mask()).count_ones());
            let wrong: f64 = stored.iter().zip(&kept.words).map(wrong).sum();
            let bits = 2.0 * stored.len() as f64;
            let law = keeper(name).residual(FlipProbability::symmetric(p).unwrap()).unwrap();
            // A code word that fails has two or three wrong bits, seldom more.
            let error = (law.p01() * 4.0 / bits).sqrt();
            assert!((wrong / bits - law.p01()).abs() < 5.0 * error, "{name}: {}", wrong / bits);
            assert!(law.p01() < p && kept.corrected > 0, "{name}");
            let check = keeper(name).overhead().unwrap() * bits;
            assert!((kept.check_bits as f64 / check - 1.0).abs() < 5e-3, "{name}");
        }
    }

    #[test]
    fn what_corrects_nothing_leaves_everything_and_interleaving_changes_no_residual() {
        let residual = |name: &str, p01, p10| {
            keeper(name).residual(FlipProbability::asymmetric(p01, p10).unwrap())
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
        let (stored, all) = (words(1 << 17), Protection::top(8, BitWidth::INT8).unwrap());
        let wrong = |name| {
            let kept = keeper(name).read(&stored, &bursts, &site(5), all).unwrap();
            stored.iter().zip(&kept.words).map(|(a, b)| (a ^ b).count_ones()).sum::<u32>()
        };
        let (plain, dealt) = (wrong("secded:16"), wrong("interleaved:4:secded:16"));
        assert!(plain > 1000 && dealt < plain / 10, "{plain} {dealt}");
    }

    #[test]
    fn an_ideal_keeps_everything_and_costs_nothing() {
        let stored = words(1000);
        let top = Protection::top(3, BitWidth::INT8).unwrap();
        let kept = Keeper::Ideal.read(&stored, &flips(0.3), &site(1), top).unwrap();
        assert_eq!(kept.words, flips(0.3).read(&stored, &site(1), top.into()));
        assert_eq!((kept.check_bits, Keeper::Ideal.overhead()), (0, Ok(0.0)));
        let p = FlipProbability::symmetric(0.3).unwrap();
        assert_eq!(Keeper::Ideal.residual(p), Ok(FlipProbability::NEVER));
    }

    proptest! {
        #[test]
        fn unprotected_bits_are_those_of_the_memory(
            stored in prop::collection::vec(any::<u8>(), 1..500), mask: u8,
        ) {
            let protection = Protection::of_bits(mask, BitWidth::INT8).unwrap();
            let raw = flips(0.1).read(&stored, &site(2), Protected::NOTHING);
            let kept = keeper("secded:8").read(&stored, &flips(0.1), &site(2), protection).unwrap();
            prop_assert!(raw.iter().zip(&kept.words).all(|(raw, kept)| (raw ^ kept) & !mask == 0));
        }

        #[test]
        fn aligned_slices_agree_with_the_whole(
            stored in prop::collection::vec(0_u8..16, 1..600), cut in 0_usize..10, k in 0_u32..=4,
        ) {
            let bits = BitWidth::INT4;
            let model = BitFlips::new(FlipProbability::symmetric(0.1).unwrap(), bits).unwrap();
            let (keeper, top) = (keeper("secded:8"), Protection::top(k, bits).unwrap());
            let whole = keeper.read(&stored, &model, &site(4), top).unwrap();
            let cut = (cut * keeper.alignment().unwrap()).min(stored.len());
            let mut front = keeper.read(&stored[..cut], &model, &site(4), top).unwrap();
            let slice = keeper.read_slice(&stored[cut..], cut as u64, &model, &site(4), top);
            if cut < stored.len() {
                let back = slice.unwrap();
                front.words.extend(back.words);
                front.check_bits += back.check_bits;
            }
            prop_assert_eq!((front.words, front.check_bits), (whole.words, whole.check_bits));
            prop_assert!(keeper.read_slice(&stored, 7, &model, &site(4), top).is_err());
        }

        #[test]
        fn few_errors_are_all_corrected(
            stored in prop::collection::vec(any::<u8>(), 1..500), trial in 0_u32..100,
        ) {
            let all = Protection::top(8, BitWidth::INT8).unwrap();
            // More than five errors in 31 bits: one code word in 10^14.
            let rare = flips(1e-3);
            let keeper = keeper("bch:5:5");
            prop_assert_eq!(keeper.read(&stored, &rare, &site(trial), all).unwrap().words, stored);
        }
    }
}

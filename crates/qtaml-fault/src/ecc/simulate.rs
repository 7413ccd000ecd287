//! The simulation of a code: words are stored, hit by faults, and decoded.

use qtaml_physics::FlipProbability;
use qtaml_quant::BitWidth;
use rand::RngExt as _;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{Code, Decoded, Residual};
use crate::{BitFlips, FaultError, FaultModel, FaultStream, ProtectionMap, Seed};

/// Words that one task handles.
const CHUNK: u64 = 256;

/// How the words of a simulation fared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tally {
    /// Words in which no error was seen, rightly.
    pub clean: u64,
    /// Words that were corrected, rightly.
    pub corrected: u64,
    /// Words that are known to be wrong.
    pub detected: u64,
    /// Words whose data are wrong though the decoder said `Clean` or `Corrected`.
    pub miscorrected: u64,
    /// Data bits in a word.
    pub data_bits: u64,
    /// Data bits that are wrong after decoding.
    pub wrong: u64,
    /// The squares of their numbers, word by word, summed.
    pub wrong_squared: u64,
}

impl Tally {
    /// How many words were stored.
    pub fn words(&self) -> u64 {
        self.clean + self.corrected + self.detected + self.miscorrected
    }

    /// The shares that the counts stand for.
    pub fn residual(&self) -> Residual {
        let share = |count: u64| count as f64 / self.words() as f64;
        Residual {
            clean: share(self.clean),
            corrected: share(self.corrected),
            detected: share(self.detected),
            miscorrected: share(self.miscorrected),
            bit_flips: share(self.wrong) / self.data_bits as f64,
        }
    }

    /// The standard error of the residual flip probability: wrong bits come in wrong words, so it
    /// is the words that are independent.
    pub fn standard_error(&self) -> f64 {
        let n = self.words() as f64;
        let mean = self.wrong as f64 / n;
        let variance = (self.wrong_squared as f64 / n - mean * mean).max(0.0);
        (variance / n).sqrt() / self.data_bits as f64
    }

    fn add(&mut self, says: Decoded, wrong: u64) {
        *match (says, wrong) {
            (Decoded::Detected, _) => &mut self.detected,
            (Decoded::Clean, 0) => &mut self.clean,
            (Decoded::Corrected(_), 0) => &mut self.corrected,
            _ => &mut self.miscorrected,
        } += 1;
        self.wrong += wrong;
        self.wrong_squared += wrong * wrong;
    }

    fn merge(self, other: Self) -> Self {
        Self {
            clean: self.clean + other.clean,
            corrected: self.corrected + other.corrected,
            detected: self.detected + other.detected,
            miscorrected: self.miscorrected + other.miscorrected,
            wrong: self.wrong + other.wrong,
            wrong_squared: self.wrong_squared + other.wrong_squared,
            ..self
        }
    }
}

/// Stores `words` words of random data, check bits included, flips every stored bit independently,
/// and decodes.
///
/// Data and faults of each word follow from seed, name and the number of the word; threads cannot
/// change them. The faults are those of [`BitFlips`].
///
/// ```
/// use qtaml_fault::Seed;
/// use qtaml_fault::ecc::{Repetition, simulate};
/// use qtaml_physics::FlipProbability;
///
/// let flips = FlipProbability::asymmetric(0.05, 0.2)?;
/// let code = Repetition::new(3)?;
/// let tally = simulate(&code, flips, Seed(42), "example", 100_000)?;
/// let theory = code.after_majority(flips);
/// let expected = (theory.p01() + theory.p10()) / 2.0;
/// assert!((tally.residual().bit_flips - expected).abs() < 5.0 * tally.standard_error());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// None for a code that keeps to its own lengths.
pub fn simulate(
    code: &dyn Code,
    flips: FlipProbability,
    seed: Seed,
    name: &str,
    words: u64,
) -> Result<Tally, FaultError> {
    let trial = Trial {
        code,
        model: BitFlips::new(flips, BitWidth::INT8)?,
        seed,
        name,
        stream: FaultStream::new(seed, 0, name),
    };
    let none = Tally { data_bits: code.data_bits() as u64, ..Tally::default() };
    let chunk = |chunk: u64| trial.run(chunk * CHUNK..words.min((chunk + 1) * CHUNK), none);
    let chunks = (0..words.div_ceil(CHUNK)).into_par_iter().map(chunk);
    chunks.try_reduce(|| none, |left, right| Ok(left.merge(right)))
}

/// All that the fate of a word depends on, but its number.
struct Trial<'a> {
    code: &'a dyn Code,
    model: BitFlips,
    seed: Seed,
    name: &'a str,
    stream: FaultStream,
}

impl Trial<'_> {
    fn run(&self, words: std::ops::Range<u64>, none: Tally) -> Result<Tally, FaultError> {
        let (k, n) = (self.code.data_bits(), self.code.stored_bits());
        let (mut data, mut read, mut stored) = (vec![false; k], vec![false; k], vec![false; n]);
        let mut bytes = vec![0; n.div_ceil(8)];
        let mut tally = none;
        for word in words {
            self.draw(word, &mut data);
            self.code.encode(&data, &mut stored)?;
            self.damage(word, &mut stored, &mut bytes)?;
            let says = self.code.decode(&stored, &mut read)?;
            let wrong = data.iter().zip(&read).filter(|(data, read)| data != read).count();
            tally.add(says, wrong as u64);
        }
        Ok(tally)
    }

    /// Draws the data of a word, 32 bits at a time.
    fn draw(&self, word: u64, data: &mut [bool]) {
        let mut rng = self.seed.rng(self.name, word);
        for bits in data.chunks_mut(32) {
            let digits: u32 = rng.random();
            bits.iter_mut().enumerate().for_each(|(i, bit)| *bit = digits >> i & 1 == 1);
        }
    }

    /// Flips bits of a stored word: eight of them are one word of the fault model.
    fn damage(&self, word: u64, stored: &mut [bool], bytes: &mut [u8]) -> Result<(), FaultError> {
        for (byte, bits) in bytes.iter_mut().zip(stored.chunks(8)) {
            *byte = bits.iter().rev().fold(0, |byte, &bit| byte << 1 | u8::from(bit));
        }
        let first = word * bytes.len() as u64;
        self.model.inject_slice(bytes, first, &self.stream, ProtectionMap::NOTHING)?;
        for (at, bit) in stored.iter_mut().enumerate() {
            *bit = bytes[at / 8] >> (at % 8) & 1 == 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::repetition::more_than;
    use super::super::{Bch, ErrorWeights, Interleaved, Parity, Repetition, SecDed};
    use super::*;
    use crate::largest_z;

    /// The chance that a test is wrong though all is well.
    const FALSE_ALARM: f64 = 1e-7;

    /// Counts against their probabilities, in standard errors; only where they may be taken as normal.
    fn z(code: &dyn Code, p: f64, words: u64) -> Vec<f64> {
        let flips = FlipProbability::symmetric(p).unwrap();
        let theory = ErrorWeights::of(code).unwrap().residual(flips).unwrap();
        let tally = simulate(code, flips, Seed(11), "law", words).unwrap();
        assert_eq!(tally.words(), words);
        let n = words as f64;
        let seen = tally.residual();
        let shares = [
            (seen.clean, theory.clean),
            (seen.corrected, theory.corrected),
            (seen.detected, theory.detected),
            (seen.miscorrected, theory.miscorrected),
        ];
        let enough = |theory: f64| n * theory.min(1.0 - theory) >= 1000.0;
        let score = |&(seen, theory): &(f64, f64)| {
            if enough(theory) {
                (seen - theory) / (theory * (1.0 - theory) / n).sqrt()
            } else {
                0.0
            }
        };
        let bits = (seen.bit_flips - theory.bit_flips) / tally.standard_error();
        assert!(n * (theory.detected + theory.miscorrected) > 1000.0, "{code:?} {p}: too few");
        shares.iter().map(score).chain([bits]).collect()
    }

    #[test]
    fn the_simulation_obeys_the_exact_law() {
        let codes: [(Box<dyn Code>, &[f64]); 6] = [
            (Box::new(SecDed::new(64).unwrap()), &[3e-3, 0.01, 0.1]),
            (Box::new(SecDed::new(8).unwrap()), &[0.02, 0.2]),
            (Box::new(Parity::new(8).unwrap()), &[0.01, 0.5]),
            (Box::new(Repetition::new(5).unwrap()), &[0.1]),
            (Box::new(Bch::new(4, 2).unwrap()), &[0.05, 0.2]),
            (Box::new(Bch::new(6, 2).unwrap()), &[0.02]),
        ];
        let z: Vec<f64> = (codes.iter())
            .flat_map(|(code, flips)| flips.iter().flat_map(|&p| z(&**code, p, 1 << 17)))
            .collect();
        let largest = z.iter().fold(0.0_f64, |m, z| m.max(z.abs()));
        assert!(largest < largest_z(z.len(), FALSE_ALARM), "{largest} of {}", z.len());
    }

    /// Codes whose patterns are too many to count, dealt out or not.
    #[test]
    fn long_codes_leave_what_their_closed_form_says() {
        for (data, words, p) in [(256, 1, 2e-3), (256, 1, 0.05), (130, 3, 0.01)] {
            let code = SecDed::new(data).unwrap();
            let flips = FlipProbability::symmetric(p).unwrap();
            let theory = code.flips_left(flips).unwrap();
            let dealt = Interleaved::new(Box::new(code), words).unwrap();
            let tally = simulate(&dealt, flips, Seed(16), "long", 1 << 15).unwrap();
            let z = (tally.residual().bit_flips - theory) / tally.standard_error();
            assert!(z.abs() < largest_z(3, FALSE_ALARM), "{data} {p}: {z}");
        }
    }

    /// A long code nearly always notices what it cannot correct: the closed form is all there is.
    #[test]
    fn a_long_code_leaves_what_it_detects() {
        let code = Bch::new(7, 10).unwrap();
        let p = FlipProbability::symmetric(0.1).unwrap();
        let tally = simulate(&code, p, Seed(12), "long", 1 << 15).unwrap();
        assert!(tally.miscorrected < tally.detected / 1000);
        let z = (tally.residual().bit_flips - code.flips_left(p).unwrap()) / tally.standard_error();
        let failed = tally.detected + tally.miscorrected;
        let theory = more_than(code.errors(), code.stored_bits(), 0.1);
        let n = tally.words() as f64;
        let z_failed = (failed as f64 - n * theory) / (n * theory * (1.0 - theory)).sqrt();
        assert!(z.abs().max(z_failed.abs()) < largest_z(2, FALSE_ALARM), "{z} {z_failed}");
    }

    #[test]
    fn unequal_flips_of_an_interleaved_repetition() {
        let flips = FlipProbability::asymmetric(0.02, 0.2).unwrap();
        let code = Repetition::new(3).unwrap();
        let dealt = Interleaved::new(Box::new(code), 16).unwrap();
        let tally = simulate(&dealt, flips, Seed(13), "dealt", 1 << 15).unwrap();
        let theory = code.after_majority(flips);
        let expected = f64::midpoint(theory.p01(), theory.p10());
        let z = (tally.residual().bit_flips - expected) / tally.standard_error();
        assert!(z.abs() < largest_z(1, FALSE_ALARM), "{z}");
    }

    #[test]
    fn threads_and_chunks_change_nothing() {
        let code = SecDed::new(16).unwrap();
        let p = FlipProbability::symmetric(0.05).unwrap();
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| simulate(&code, p, Seed(14), "threads", 5000).unwrap())
        };
        assert_eq!(run(1), run(4));
        assert_ne!(run(1), simulate(&code, p, Seed(15), "threads", 5000).unwrap());
        assert_ne!(run(1), simulate(&code, p, Seed(14), "other", 5000).unwrap());
    }

    /// A published table must stay reproducible.
    #[test]
    fn a_pinned_tally() {
        let p = FlipProbability::symmetric(0.05).unwrap();
        let code = SecDed::new(8).unwrap();
        let tally = simulate(&code, p, Seed(42), "pinned", 1000).unwrap();
        let counts =
            (tally.clean, tally.corrected, tally.detected, tally.miscorrected, tally.wrong);
        assert_eq!(counts, (508, 336, 134, 22, 237));
    }

    #[test]
    fn certainty_is_certain() {
        let code = SecDed::new(64).unwrap();
        let tally = simulate(&code, FlipProbability::NEVER, Seed(0), "never", 300).unwrap();
        assert_eq!((tally.clean, tally.wrong, tally.standard_error()), (300, 0, 0.0));
    }
}

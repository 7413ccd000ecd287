//! The block codes of one memory.

use std::sync::{Arc, OnceLock};

use qtaml_fault::{BitFlips, FaultError, FaultModel, FaultStream, ProtectionMap, Seed};
use qtaml_physics::FlipProbability;
use qtaml_quant::BitWidth;
use rand::Rng;

use super::accumulate::{LANES, Lanes, NAT, RepeatAccumulate};
use crate::memo::Memo;

/// How surely one value of a bit is believed at most.
const SUREST: f64 = 30.0;
/// Stored bits on which the share of lost blocks is counted, and the bounds of the blocks.
const TRIED_BITS: usize = 1 << 20;
const TRIALS: std::ops::RangeInclusive<usize> = 16..=1000;

/// The codes of one memory for blocks of any length, each made when it is first asked for.
///
/// They follow from the flip probabilities of the memory and the length alone, so they are constants of the format
/// and no model needs to store them.
///
/// # Formula
/// With stored bits that are 0 or 1 equally often, one bit read tells `I` bits on average, with a
/// variance of `V`. A block of `N` bits holds `N (I - 0.06 (1 - I)^(1/4) - 5 √(V/N))` bits of data.
/// The last term is what a finite length costs (Y. Polyanskiy, H. V. Poor and S. Verdú, IEEE
/// Transactions on Information Theory 56, 2307, 2010). The two numbers are ours: round values at
/// which the decoder hardly ever fails.
#[derive(Debug)]
pub struct BlockCodes {
    flips: FlipProbability,
    /// The faults that happen.
    model: BitFlips,
    codes: Memo<usize, BlockCode>,
}

impl BlockCodes {
    /// The codes of a memory whose bits flip as `flips` says.
    ///
    /// # Errors
    /// As [`BitFlips::new`].
    pub fn new(flips: FlipProbability) -> Result<Self, FaultError> {
        let model = BitFlips::new(flips, BitWidth::INT8)?;
        Ok(Self { flips, model, codes: Memo::default() })
    }

    /// The same codes in another memory than they are made for: what a wrong guess costs, and what
    /// a safe one.
    ///
    /// # Errors
    /// As [`BitFlips::new`].
    pub fn in_memory(&self, flips: FlipProbability) -> Result<Self, FaultError> {
        let model = BitFlips::new(flips, BitWidth::INT8)?;
        Ok(Self { flips: self.flips, model, codes: Memo::default() })
    }

    /// The flip probability that the codes are made for.
    pub fn flips(&self) -> FlipProbability {
        self.flips
    }

    /// The code of blocks of so many stored bytes.
    pub(super) fn code(&self, bytes: usize) -> Arc<BlockCode> {
        self.codes.get_or_make(bytes, || BlockCode::new(bytes, self.flips))
    }

    /// What is read of stored bytes that begin at position `first`.
    pub(super) fn read(
        &self,
        stored: &[u8],
        stream: &FaultStream,
        first: u64,
    ) -> Result<Vec<u8>, FaultError> {
        let mut read = stored.to_vec();
        self.model.inject_slice(&mut read, first, stream, ProtectionMap::NOTHING)?;
        Ok(read)
    }

    /// The share of blocks that are lost: counted once in blocks of random data, always the same.
    pub(super) fn failures(&self, code: &BlockCode) -> f64 {
        *code.failures.get_or_init(|| {
            let trials =
                (TRIED_BITS / (8 * code.bytes).max(1)).clamp(*TRIALS.start(), *TRIALS.end());
            let data = |trial: usize| {
                let mut data = vec![0; code.data_bytes()];
                Seed(0).rng("data of a trial", trial as u64).fill_bytes(&mut data);
                data
            };
            let read = |trial: usize| {
                let stream = FaultStream::new(Seed(0), trial as u32, "block of a trial");
                let read = self.read(&code.encode(&data(trial)), &stream, 0);
                read.expect("the bits of a block at position 0 can be counted")
            };
            let lost = |first: usize| {
                let trials = first..trials.min(first + LANES);
                let read: Vec<Vec<u8>> = trials.clone().map(read).collect();
                let failed = |(read, trial): &(_, usize)| *read != Some(data(*trial));
                code.decode(&read).into_iter().zip(trials).filter(failed).count()
            };
            (0..trials).step_by(LANES).map(lost).sum::<usize>() as f64 / trials as f64
        })
    }
}

/// The code of blocks of one length.
#[derive(Debug)]
pub(super) struct BlockCode {
    bytes: usize,
    data_bytes: usize,
    /// Made when the first block is stored: most lengths are only asked what they hold.
    code: OnceLock<RepeatAccumulate>,
    /// How much likelier 0 is than 1 where a 0 or a 1 is read.
    beliefs: [i16; 2],
    failures: OnceLock<f64>,
}

impl BlockCode {
    fn new(bytes: usize, flips: FlipProbability) -> Self {
        let (information, variance) = information(flips);
        let margin = 0.06 * (1.0 - information).max(0.0).powf(0.25);
        let rate = information - margin - 5.0 * (variance / (8 * bytes) as f64).sqrt();
        let belief = |of_zero: f64, of_one: f64| {
            if of_zero == of_one {
                0
            } else {
                let nats = (of_zero / of_one).ln().clamp(-SUREST, SUREST);
                (f64::from(NAT) * nats).round() as i16
            }
        };
        Self {
            bytes,
            data_bytes: ((bytes as f64 * rate) as usize).min(bytes),
            code: OnceLock::new(),
            beliefs: [
                belief(1.0 - flips.p01(), flips.p10()),
                belief(flips.p01(), 1.0 - flips.p10()),
            ],
            failures: OnceLock::new(),
        }
    }

    fn code(&self) -> &RepeatAccumulate {
        self.code.get_or_init(|| {
            RepeatAccumulate::new(8 * self.data_bytes, 8 * (self.bytes - self.data_bytes))
        })
    }

    /// The length of a block.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The data that a block holds.
    pub(super) fn data_bytes(&self) -> usize {
        self.data_bytes
    }

    /// The block to store for these data.
    pub(super) fn encode(&self, data: &[u8]) -> Vec<u8> {
        to_bytes(&self.code().encode(to_bits(data).collect()))
    }

    /// The data of at most [`LANES`] blocks that are read, each unless it is lost. All take as long
    /// as one.
    pub(super) fn decode(&self, read: &[Vec<u8>]) -> Vec<Option<Vec<u8>>> {
        // Of lanes without a block nothing is known, and every check holds.
        let mut beliefs: Vec<Lanes> = vec![[0; LANES]; 8 * self.bytes];
        for (lane, read) in read.iter().enumerate() {
            for (beliefs, bit) in beliefs.iter_mut().zip(to_bits(read)) {
                beliefs[lane] = self.beliefs[usize::from(bit)];
            }
        }
        let data = self.code().decode(beliefs).into_iter().take(read.len());
        data.map(|data| data.map(|data| to_bytes(&data))).collect()
    }
}

fn to_bits(bytes: &[u8]) -> impl Iterator<Item = bool> {
    bytes.iter().flat_map(|byte| (0..8).map(move |bit| byte >> bit & 1 == 1))
}

fn to_bytes(bits: &[bool]) -> Vec<u8> {
    let byte = |bits: &[bool]| bits.iter().rev().fold(0, |byte, &bit| byte << 1 | u8::from(bit));
    bits.chunks(8).map(byte).collect()
}

/// Mean and variance of what a bit read tells of a bit stored, `log2 P(y | x) / P(y)`, where both
/// values are stored equally often.
fn information(flips: FlipProbability) -> (f64, f64) {
    let (p01, p10) = (flips.p01(), flips.p10());
    let likelihoods = [[1.0 - p01, p10], [p01, 1.0 - p10]];
    let outcomes = likelihoods.iter().flat_map(|of_read| {
        let read = 0.5 * (of_read[0] + of_read[1]);
        of_read.iter().filter(|&&p| p > 0.0).map(move |p| (0.5 * p, (p / read).log2()))
    });
    let mean: f64 = outcomes.clone().map(|(p, told)| p * told).sum();
    let variance = outcomes.map(|(p, told)| p * (told - mean).powi(2)).sum();
    (mean, variance)
}

#[cfg(test)]
mod tests {
    use approx::assert_relative_eq;
    use qtaml_fault::ecc::capacity;

    use super::*;

    fn flips(p01: f64, p10: f64) -> FlipProbability {
        FlipProbability::asymmetric(p01, p10).unwrap()
    }

    /// Symmetric: capacity, and `p (1 - p) log2((1 - p) / p)^2` (Polyanskiy, Poor and Verdú, 2010).
    #[test]
    fn information_is_that_of_equally_frequent_bits() {
        for p in [1e-6, 0.01, 0.1, 0.4] {
            let (mean, variance) = information(flips(p, p));
            assert_relative_eq!(mean, capacity(flips(p, p)), max_relative = 1e-9);
            let dispersion = p * (1.0 - p) * ((1.0 - p) / p).log2().powi(2);
            assert_relative_eq!(variance, dispersion, max_relative = 1e-9);
        }
        assert_eq!(information(flips(0.0, 0.0)), (1.0, 0.0));
        let (mean, variance) = information(flips(0.5, 0.5));
        assert_relative_eq!(mean + variance, 0.0);
        // The Z channel: H2(1/4) - H2(1/2) / 2 bits, by hand.
        assert_relative_eq!(
            information(flips(0.0, 0.5)).0,
            0.311_278_124_459_132_8,
            epsilon = 1e-12
        );
        let (mean, _) = information(flips(0.02, 0.3));
        assert!(mean < capacity(flips(0.02, 0.3)));
    }

    /// Every memory that there is has a code, and one that keeps what it holds where it should.
    #[test]
    fn any_memory_has_codes() {
        for (p01, p10) in
            [(0.0, 0.0), (1e-9, 1e-9), (0.5, 0.5), (0.0, 0.3), (0.05, 0.1), (1.0, 1.0)]
        {
            let codes = BlockCodes::new(flips(p01, p10)).unwrap();
            for bytes in [0, 1, 50, 1000] {
                let code = codes.code(bytes);
                let data: Vec<u8> = (0..code.data_bytes()).map(|i| (i * 97 % 256) as u8).collect();
                let stored = code.encode(&data);
                assert_eq!(stored.len(), bytes);
                let read = codes.read(&stored, &FaultStream::new(Seed(1), 0, "w"), 3).unwrap();
                let read = code.decode(&[read]);
                assert_eq!(read.len(), 1);
                if bytes == 1000 {
                    assert_eq!(read[0], Some(data), "{p01} {p10}");
                }
            }
        }
        let codes = BlockCodes::new(flips(0.0, 0.0)).unwrap();
        assert_eq!(codes.code(1000).data_bytes(), 1000);
        assert!(Arc::ptr_eq(&codes.code(10), &codes.code(10)));
    }

    /// Few checks for many bits: no place is worth a long search.
    #[test]
    fn long_blocks_of_a_good_memory_are_made_in_time_and_kept() {
        let codes = BlockCodes::new(flips(1e-4, 1e-4)).unwrap();
        let code = codes.code(1 << 13);
        assert!(code.data_bytes() > 8000);
        assert_eq!(codes.failures(&code), 0.0);
    }

    /// Codes of a thousand bits lose a block now and then; long ones must not.
    #[test]
    fn hardly_a_block_is_lost() {
        for (p, bytes, most) in [(0.1, 128, 0.01), (0.01, 128, 0.01), (0.1, 1024, 0.0)] {
            let codes = BlockCodes::new(flips(p, p)).unwrap();
            let lost = codes.failures(&codes.code(bytes));
            assert!(lost <= most, "{p} {bytes}: {lost}");
        }
    }
}

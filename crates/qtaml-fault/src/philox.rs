//! Philox4x32-10, a counter-based random stream.
//!
//! Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011. A block of
//! 128 random bits is a keyed bijection of its 128-bit counter, so any part of the stream is
//! there without the parts before it. That is what makes a fault independent of the order in
//! which faults are drawn.

use rand::{TryRng, rand_core::Infallible};

const MULTIPLIERS: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];
const ROUNDS: usize = 10;

/// The keyed bijection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Philox4x32 {
    key: [u32; 2],
}

impl Philox4x32 {
    /// The bijection of a 64-bit key.
    pub(crate) const fn new(key: [u32; 2]) -> Self {
        Self { key }
    }

    /// The 128 random bits of one counter.
    #[inline]
    pub(crate) fn block(self, counter: [u32; 4]) -> [u32; 4] {
        let (mut c, mut key) = (counter, self.key);
        for _ in 0..ROUNDS {
            let p0 = u64::from(MULTIPLIERS[0]) * u64::from(c[0]);
            let p1 = u64::from(MULTIPLIERS[1]) * u64::from(c[2]);
            c = [
                (p1 >> 32) as u32 ^ c[1] ^ key[0],
                p1 as u32,
                (p0 >> 32) as u32 ^ c[3] ^ key[1],
                p0 as u32,
            ];
            key = [key[0].wrapping_add(WEYL[0]), key[1].wrapping_add(WEYL[1])];
        }
        c
    }
}

/// Sixteen blocks, side by side so that the compiler can compute them in vector registers: word
/// `k` of block `l` is `[k][l]`.
pub(crate) type Blocks = [[u32; LANES]; 4];

/// Blocks that are computed side by side.
pub(crate) const LANES: usize = 16;

impl Philox4x32 {
    /// The blocks of the counters `[first + l, trial, lane]`, with `first + l` in the two low words.
    #[inline(always)]
    pub(crate) fn blocks(self, first: u64, trial: u32, lane: u32) -> Blocks {
        self.side_by_side(|l| {
            let index = first.wrapping_add(l);
            [index, index >> 32, trial.into(), lane.into()]
        })
    }

    /// The blocks of the counters `[index, trial, lane + l]`.
    #[inline]
    pub(crate) fn lanes(self, index: u64, trial: u32, lane: u32) -> Blocks {
        self.side_by_side(|l| [index, index >> 32, trial.into(), u64::from(lane) + l])
    }

    /// All rounds of one lane before the next one, so that a vector of lanes stays in registers.
    ///
    /// A word is the low half of 64 bits, as vectors have it that multiply 32 by 32 bits: what is
    /// above is never looked at, and a product need not be taken apart.
    #[inline(always)]
    fn side_by_side(self, counter: impl Fn(u64) -> [u64; 4]) -> Blocks {
        let mut blocks: Blocks = [[0; LANES]; 4];
        for l in 0..LANES {
            let (mut c, mut key) = (counter(l as u64), self.key);
            for _ in 0..ROUNDS {
                let p0 = u64::from(MULTIPLIERS[0]) * u64::from(c[0] as u32);
                let p1 = u64::from(MULTIPLIERS[1]) * u64::from(c[2] as u32);
                c = [
                    (p1 >> 32) ^ c[1] ^ u64::from(key[0]),
                    p1,
                    (p0 >> 32) ^ c[3] ^ u64::from(key[1]),
                    p0,
                ];
                key = [key[0].wrapping_add(WEYL[0]), key[1].wrapping_add(WEYL[1])];
            }
            for (block, word) in blocks.iter_mut().zip(c) {
                block[l] = word as u32;
            }
        }
        blocks
    }
}

/// The blocks of one key in order, as a generator for `rand` and its distributions:
/// [`Seed::rng`](crate::Seed::rng) makes it.
///
/// For initial weights, shuffles and noise: whatever wants a sequence. Faults do not: they ask
/// for the block of their own position.
#[derive(Debug, Clone)]
pub struct PhiloxRng {
    philox: Philox4x32,
    stream: [u32; 2],
    next_block: u64,
    block: [u32; 4],
    used: usize,
}

impl PhiloxRng {
    /// Stream `stream` of a key: 2^64 blocks that overlap with no other stream's.
    pub(crate) const fn new(philox: Philox4x32, stream: u64) -> Self {
        let stream = [stream as u32, (stream >> 32) as u32];
        Self { philox, stream, next_block: 0, block: [0; 4], used: 4 }
    }

    fn word(&mut self) -> u32 {
        if self.used == 4 {
            let index = self.next_block;
            let [low, high] = self.stream;
            self.block = self.philox.block([index as u32, (index >> 32) as u32, low, high]);
            self.next_block = index.wrapping_add(1);
            self.used = 0;
        }
        self.used += 1;
        self.block[self.used - 1]
    }
}

impl TryRng for PhiloxRng {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(self.word())
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let low = u64::from(self.word());
        Ok(low | u64::from(self.word()) << 32)
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        for chunk in bytes.chunks_mut(4) {
            chunk.copy_from_slice(&self.word().to_le_bytes()[..chunk.len()]);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use rand::Rng;

    use super::*;

    /// `philox4x32 10` of Random123's `tests/kat_vectors`.
    #[test]
    fn published_known_answers() {
        let all = u32::MAX;
        let cases = [
            ([0; 4], [0; 2], [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]),
            ([all; 4], [all; 2], [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]),
            (
                [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
                [0xa409_3822, 0x299f_31d0],
                [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1],
            ),
        ];
        for (counter, key, expected) in cases {
            assert_eq!(Philox4x32::new(key).block(counter), expected);
        }
    }

    /// Counters that carry into the next word, and lanes that wrap.
    #[test]
    fn blocks_side_by_side_are_those_one_by_one() {
        let philox = Philox4x32::new([0xdead_beef, 0x0123_4567]);
        let (index, trial, lane) = ((5 << 32) - 7, 3, u32::MAX - 4);
        let counter = |index: u64, lane| [index as u32, (index >> 32) as u32, trial, lane];
        let (blocks, lanes) = (philox.blocks(index, trial, lane), philox.lanes(index, trial, lane));
        for l in 0..LANES {
            let at = |blocks: Blocks| blocks.map(|words| words[l]);
            assert_eq!(at(blocks), philox.block(counter(index + l as u64, lane)));
            assert_eq!(at(lanes), philox.block(counter(index, lane.wrapping_add(l as u32))));
        }
    }

    #[test]
    fn the_generator_reads_the_blocks_in_order() {
        let philox = Philox4x32::new([7, 8]);
        let mut rng = PhiloxRng::new(philox, 1 << 32 | 5);
        let words: Vec<u32> = (0..8).map(|_| rng.next_u32()).collect();
        assert_eq!(words[..4], philox.block([0, 0, 5, 1]));
        assert_eq!(words[4..], philox.block([1, 0, 5, 1]));
    }

    #[test]
    fn bytes_and_words_are_the_same_stream() {
        let mut rng = PhiloxRng::new(Philox4x32::new([1, 2]), 0);
        let mut bytes = [0; 6];
        rng.clone().fill_bytes(&mut bytes);
        assert_eq!(bytes[..4], rng.next_u32().to_le_bytes());
        assert_eq!(bytes[4..], rng.next_u32().to_le_bytes()[..2]);
    }
}

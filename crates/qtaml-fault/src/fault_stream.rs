//! The address of faults: seed, trial and tensor as the key of a random stream.

use serde::{Deserialize, Serialize};

use crate::PhiloxRng;
use crate::philox::{Blocks, LANES, Philox4x32};

/// The one number from which everything random in an experiment follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seed(pub u64);

impl Seed {
    /// A generator of its own for each named purpose: `seed.rng("shuffle", epoch)`.
    pub fn rng(self, purpose: &str, index: u64) -> PhiloxRng {
        PhiloxRng::new(self.keyed("stream/", purpose), index)
    }

    /// The domain keeps a tensor and a purpose of the same name apart.
    fn keyed(self, domain: &str, name: &str) -> Philox4x32 {
        let key = mix(self.0 ^ mix(fnv1a(domain.bytes().chain(name.bytes()))));
        Philox4x32::new([key as u32, (key >> 32) as u32])
    }
}

/// A tensor in one trial of an experiment: with the position of a word, the address of its faults.
///
/// Every fault is a function of (seed, trial, tensor, position) and of the fault model, and of
/// nothing else: not of the machine, the number of threads, or the order of the work.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FaultStream {
    philox: Philox4x32,
    trial: u32,
}

impl FaultStream {
    /// The stream of `tensor` in trial number `trial` of `seed`.
    pub fn new(seed: Seed, trial: u32, tensor: &str) -> Self {
        Self { philox: seed.keyed("fault/", tensor), trial }
    }

    /// Which trial it is.
    pub fn trial(&self) -> u32 {
        self.trial
    }

    /// The same tensor in another trial.
    #[must_use]
    pub fn in_trial(&self, trial: u32) -> Self {
        Self { trial, ..self.clone() }
    }

    /// The stream of what is stored with this tensor, is no low byte of its words, and is called `what`, such
    /// as its scale. It has a key of its own, made of that of the tensor: no name of a tensor leads to it.
    ///
    /// ```
    /// use qtaml_fault::{Seed, FaultStream};
    ///
    /// let words = FaultStream::new(Seed(42), 0, "fc.weight");
    /// assert_ne!(words.substream("scale"), words);
    /// assert_ne!(words.substream("scale"), FaultStream::new(Seed(42), 0, "fc.weight scale"));
    /// ```
    #[must_use]
    pub fn substream(&self, what: &str) -> Self {
        Self { philox: self.philox.rekeyed(what), trial: self.trial }
    }

    /// A number that is at least 0 and below 1, each multiple of 2^-53 equally likely: for chances that are no faults of
    /// bits, in a [substream](Self::substream) of their own.
    ///
    /// ```
    /// use qtaml_fault::{FaultStream, Seed};
    ///
    /// let chances = FaultStream::new(Seed(42), 0, "fc.weight").substream("lost blocks");
    /// let mean = (0..1000).map(|block| chances.uniform(block)).sum::<f64>() / 1000.0;
    /// assert!((mean - 0.5).abs() < 0.05);
    /// ```
    pub fn uniform(&self, index: u64) -> f64 {
        let [high, low, ..] = self.block(index, 0);
        let bits = u64::from(high) << 32 | u64::from(low);
        (bits >> 11) as f64 * 0.5_f64.powi(53)
    }

    /// The stream of the check bits that are stored for one bit of this tensor's words.
    pub(crate) fn check_bits(&self, bit: u8) -> Self {
        self.substream(&format!("check bits {bit}"))
    }

    /// The stream of bits 8 and up of this tensor's words, where these are wider than a byte.
    pub(crate) fn high_bits(&self) -> Self {
        self.substream("bits 8 and up")
    }

    /// 128 random bits; the lane keeps apart what they are for.
    #[inline]
    pub(crate) fn block(&self, index: u64, lane: u32) -> [u32; 4] {
        self.philox.block([index as u32, (index >> 32) as u32, self.trial, lane])
    }

    /// The same as a number below 2^128, the first word being the most significant.
    #[inline]
    pub(crate) fn digits(&self, index: u64, lane: u32) -> u128 {
        self.block(index, lane).iter().fold(0, |digits, &word| digits << 32 | u128::from(word))
    }

    /// [`digits`](Self::digits) of 16 lanes in a row.
    #[inline]
    pub(crate) fn digits_of_lanes(&self, index: u64, lane: u32) -> [u128; LANES] {
        let words = self.philox.lanes(index, self.trial, lane);
        std::array::from_fn(|l| {
            words.iter().fold(0, |digits, words| digits << 32 | u128::from(words[l]))
        })
    }

    /// [`block`](Self::block) of 16 indices in a row.
    #[inline(always)]
    pub(crate) fn blocks(&self, first: u64, lane: u32) -> Blocks {
        self.philox.blocks(first, self.trial, lane)
    }
}

/// 128 random digits as a whole number below `n`, each equally likely to 2^-64.
pub(crate) fn below(n: u64, digits: u128) -> u64 {
    let (high, low) = (digits >> 64, digits & u128::from(u64::MAX));
    let n = u128::from(n);
    ((high * n + ((low * n) >> 64)) >> 64) as u64
}

impl Philox4x32 {
    /// The bijection of another key, made of this one and a name.
    fn rekeyed(self, name: &str) -> Self {
        // No sampler draws from lane 6.
        let [low, high, _, _] = self.block([0, 0, 0, 6]);
        let key = mix((u64::from(low) | u64::from(high) << 32) ^ fnv1a(name.bytes()));
        Self::new([key as u32, (key >> 32) as u32])
    }
}

/// FNV-1a, 64 bits: names are few and short, what matters is that it never changes.
fn fnv1a(name: impl Iterator<Item = u8>) -> u64 {
    name.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// The finaliser of `SplitMix64` (Steele, Lea, Flood, OOPSLA 2014): near seeds get far keys.
const fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// Reference values of the FNV authors and of the `SplitMix64` reference program.
    #[test]
    fn hashes_are_the_published_ones() {
        assert_eq!(fnv1a("".bytes()), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a("a".bytes()), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(mix(0), 0xe220_a839_7b1d_cdaf);
    }

    #[test]
    fn a_tensor_never_shares_the_stream_of_a_purpose() {
        let stream = FaultStream::new(Seed(1), 0, "shuffle").philox;
        assert_ne!(stream, Seed(1).keyed("stream/", "shuffle"));
    }

    #[test]
    fn every_part_of_the_address_counts() {
        let mut blocks = HashSet::new();
        for seed in [0, 1] {
            for trial in [0, 1] {
                for tensor in ["conv1.weight", "conv2.weight"] {
                    let stream = FaultStream::new(Seed(seed), trial, tensor);
                    for index in [0, 1, 1 << 32] {
                        for lane in [0, 1] {
                            blocks.insert(stream.block(index, lane));
                        }
                    }
                }
            }
        }
        assert_eq!(blocks.len(), 2 * 2 * 2 * 3 * 2);
    }
}

//! A linear code for blocks of thousands of bits, near the capacity of the memory.

use qtaml_fault::Seed;
use rand::RngExt;

/// Repetitions of a data bit: many for one bit in five, few for the others.
const REPETITIONS: [usize; 2] = [10, 4];
/// The share of the data bits that are repeated many times.
const MANY: f64 = 0.2;
/// Rounds of the decoder before it gives up.
const ROUNDS: usize = 60;
/// Draws before a short cycle is put up with.
const DRAWS: usize = 32;

/// An irregular repeat-accumulate code: a systematic low-density parity-check code whose parity
/// bits are a chain.
///
/// Source: H. Jin, A. Khandekar and R. J. `McEliece`, 2nd International Symposium on Turbo Codes, 1,
/// 2000. Degrees and graph are ours: found by trial, drawn once and for all.
///
/// # Formula
/// Parity bit `c` is `π_c = π_(c-1) + Σ_(i in check c) x_i` modulo 2.
#[derive(Debug)]
pub(super) struct RepeatAccumulate {
    data: usize,
    /// The bits of all checks in a row: data bits, then the chain's. Parity bits count on from the
    /// data bits.
    bits: Vec<u32>,
    /// Where the bits of each check end.
    ends: Vec<usize>,
}

impl RepeatAccumulate {
    /// The code of `data` and `parity` bits.
    pub(super) fn new(data: usize, parity: usize) -> Self {
        let checks = graph(data, parity);
        let (mut bits, mut ends) = (Vec::new(), Vec::new());
        for (check, members) in checks.iter().enumerate() {
            bits.extend(members);
            let chain = check.saturating_sub(1)..=check;
            bits.extend(chain.map(|parity| (data + parity) as u32));
            ends.push(bits.len());
        }
        Self { data, bits, ends }
    }

    /// The number of data bits.
    pub(super) fn data(&self) -> usize {
        self.data
    }

    /// Data bits with their parity bits behind them.
    pub(super) fn encode(&self, mut block: Vec<bool>) -> Vec<bool> {
        for check in self.checks() {
            let (_, known) = check.split_last().unwrap_or((&0, &[]));
            block.push(odd(known, |bit| block[bit]));
        }
        block
    }

    /// The data bits, from the logarithm of how much likelier 0 is than 1 for each stored bit, or
    /// nothing where no code word is found.
    ///
    /// Belief propagation, check by check: each takes what it said last time out of the beliefs of
    /// its bits and puts in what the others of them say now (D. E. Hocevar, IEEE Workshop on Signal
    /// Processing Systems, 107, 2004).
    pub(super) fn decode(&self, mut beliefs: Vec<f32>) -> Option<Vec<bool>> {
        let mut messages = vec![0.0; self.bits.len()];
        let mut after = Vec::new();
        for _ in 0..ROUNDS {
            if self.checks().all(|check| !odd(check, |bit| beliefs[bit] < 0.0)) {
                beliefs.truncate(self.data);
                return Some(beliefs.into_iter().map(|belief| belief < 0.0).collect());
            }
            let mut rest = messages.as_mut_slice();
            for check in self.checks() {
                let (messages, others) = rest.split_at_mut(check.len());
                rest = others;
                hear(check, messages, &mut beliefs, &mut after);
            }
        }
        None
    }

    fn checks(&self) -> impl Iterator<Item = &[u32]> {
        let mut from = 0;
        self.ends.iter().map(move |&to| &self.bits[std::mem::replace(&mut from, to)..to])
    }
}

/// Whether an odd number of these bits are 1.
fn odd(bits: &[u32], is_one: impl Fn(usize) -> bool) -> bool {
    bits.iter().fold(false, |odd, &bit| odd ^ is_one(bit as usize))
}

/// One check's turn. What the bits before one and those after it say is combined on a way back and
/// a way forth.
fn hear(check: &[u32], messages: &mut [f32], beliefs: &mut [f32], after: &mut Vec<f32>) {
    after.clear();
    let mut behind = f32::INFINITY;
    for (&bit, message) in check.iter().zip(&mut *messages).rev() {
        let belief = &mut beliefs[bit as usize];
        *belief -= *message;
        after.push(behind);
        behind = both(behind, *belief);
    }
    let mut before = f32::INFINITY;
    for ((&bit, message), &behind) in check.iter().zip(messages).zip(after.iter().rev()) {
        let belief = &mut beliefs[bit as usize];
        *message = both(before, behind);
        before = both(before, *belief);
        *belief += *message;
    }
}

/// How much likelier an even number of two bits is 1 than an odd one. Certainty of a 0 is infinite.
///
/// # Formula
/// `2 artanh(tanh(a/2) tanh(b/2)) = ± (min(|a|, |b|) + l(|a| + |b|) - l(||a| - |b||))` with
/// `l(t) = ln(1 + e^-t)`, which `max(0, ln 2 - t/4)` comes near enough.
fn both(a: f32, b: f32) -> f32 {
    let correction = |t: f32| (std::f32::consts::LN_2 - 0.25 * t).max(0.0);
    let (x, y) = (a.abs(), b.abs());
    let least = x.min(y) + correction(x + y) - correction(x.max(y) - x.min(y));
    least.max(0.0).copysign(if a.is_sign_negative() == b.is_sign_negative() { 1.0 } else { -1.0 })
}

/// The data bits of each check. All checks have as many, or one more; a bit meets each at most once
/// if there are enough of them, and hardly any two bits meet twice.
fn graph(data: usize, parity: usize) -> Vec<Vec<u32>> {
    let many = (MANY * data as f64) as usize;
    let repetitions = |bit: usize| REPETITIONS[usize::from(bit >= many)];
    let edges: usize = (0..data).map(repetitions).sum();
    if parity == 0 {
        return Vec::new();
    }
    // With few checks some bits meet twice wherever they are put, and to look for a better place
    // would take minutes.
    let pairs: usize = (0..data).map(|bit| repetitions(bit) * (repetitions(bit) - 1) / 2).sum();
    let may_meet_once = pairs <= parity * (parity - 1) / 2;
    let mut free: Vec<usize> = (0..edges).map(|edge| edge * parity / edges).collect();
    let mut checks = vec![Vec::new(); parity];
    let mut met: Vec<Vec<usize>> = vec![Vec::new(); data];
    let mut rng = Seed(0).rng("repeat-accumulate", (data + parity) as u64);
    // Those of few repetitions, which need it most, have the first choice.
    for bit in (0..data).rev() {
        for _ in 0..repetitions(bit) {
            let mut place = 0;
            for _ in 0..DRAWS {
                place = rng.random_range(0..free.len());
                let check = free[place];
                let meets = || may_meet_once && meets_twice(&met[bit], &checks[check], &met);
                if !is_near(&met[bit], check, parity) && !meets() {
                    break;
                }
            }
            let check = free.swap_remove(place);
            checks[check].push(bit as u32);
            met[bit].push(check);
        }
    }
    checks
}

/// Whether a bit in the checks `own` would be twice in a short stretch of the chain, where its flip
/// changes few parity bits.
fn is_near(own: &[usize], check: usize, parity: usize) -> bool {
    own.iter().any(|own| own.abs_diff(check) <= 1 + parity / 64)
}

/// Whether a bit in the checks `own` would meet another of a check's `members` twice.
fn meets_twice(own: &[usize], members: &[u32], met: &[Vec<usize>]) -> bool {
    members.iter().any(|bit| met[*bit as usize].iter().any(|other| own.contains(other)))
}

#[cfg(test)]
mod tests {
    use approx::assert_relative_eq;
    use proptest::prelude::*;

    use super::*;

    fn bits(n: usize, seed: u64) -> Vec<bool> {
        let mut rng = Seed(seed).rng("bits", 0);
        (0..n).map(|_| rng.random()).collect()
    }

    /// What a symmetric memory of flip probability `p` makes the decoder believe.
    fn beliefs(stored: &[bool], p: f64, seed: u64) -> Vec<f32> {
        let mut rng = Seed(seed).rng("flips", 0);
        let sure = ((1.0 - p) / p).ln() as f32;
        let belief = |&bit: &bool| if bit ^ rng.random_bool(p) { -sure } else { sure };
        stored.iter().map(belief).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn what_does_not_flip_is_read(data in 0..200_usize, parity in 0..200_usize, seed: u64) {
            let code = RepeatAccumulate::new(data, parity);
            let stored = code.encode(bits(data, seed));
            prop_assert_eq!(stored.len(), data + parity);
            let read = code.decode(beliefs(&stored, 1e-12, seed));
            prop_assert_eq!(read, Some(stored[..data].to_vec()));
        }

        /// The sum of two code words is one.
        #[test]
        fn the_code_is_linear(seeds: [u64; 2]) {
            let code = RepeatAccumulate::new(100, 80);
            let [a, b] = seeds.map(|seed| code.encode(bits(100, seed)));
            let sum: Vec<bool> = a.iter().zip(&b).map(|(a, b)| a ^ b).collect();
            prop_assert_eq!(code.encode(sum[..100].to_vec()), sum);
        }

        /// `tanh(c/2) = tanh(a/2) tanh(b/2)`, to what the straight lines are off.
        #[test]
        fn beliefs_are_combined_nearly_as_they_should(a in -20.0..20.0_f64, b in -20.0..20.0_f64) {
            let exact = 2.0 * ((a / 2.0).tanh() * (b / 2.0).tanh()).atanh();
            assert_relative_eq!(f64::from(both(a as f32, b as f32)), exact, epsilon = 0.2);
            prop_assert_eq!(both(a as f32, f32::INFINITY), a as f32);
        }
    }

    /// Every data bit is in as many checks as it is repeated, each once, and the checks are alike.
    #[test]
    fn the_graph_is_as_designed() {
        let checks = graph(2000, 2500);
        let mut met = vec![0; 2000];
        for check in &checks {
            let mut members = check.clone();
            members.sort_unstable();
            members.dedup();
            assert_eq!(members.len(), check.len());
            for &bit in &members {
                met[bit as usize] += 1;
            }
            assert!((4..=5).contains(&members.len()), "{}", members.len());
        }
        assert!(met[..400].iter().all(|&times| times == 10));
        assert!(met[400..].iter().all(|&times| times == 4));
    }

    /// Far beyond capacity.
    #[test]
    fn what_cannot_be_corrected_is_known_to_be_lost() {
        let code = RepeatAccumulate::new(1000, 1000);
        let stored = code.encode(bits(1000, 1));
        assert_eq!(code.decode(beliefs(&stored, 0.3, 1)), None);
    }

    /// Rate 0.4 at one flip in ten: 75 % of capacity.
    #[test]
    fn blocks_are_corrected_near_capacity() {
        let code = RepeatAccumulate::new(3200, 4800);
        for seed in 0..40 {
            let stored = code.encode(bits(3200, seed));
            let read = code.decode(beliefs(&stored, 0.1, seed));
            assert_eq!(read.as_deref(), Some(&stored[..3200]), "block {seed}");
        }
    }
}

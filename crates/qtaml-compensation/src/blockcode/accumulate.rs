//! An irregular repeat-accumulate code for blocks of thousands of bits, near capacity.

use multiversion::multiversion;
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

/// Blocks that are decoded side by side: all in the time of one.
pub(super) const LANES: usize = 16;
/// One number for each of these blocks.
pub(super) type Lanes = [i16; LANES];
/// A belief of 1: how much likelier 0 is than 1 is counted in parts of its logarithm.
pub(super) const NAT: i16 = 32;
/// What a check says at most. A bit hears ten of them, and the sum stays far from overflow.
const SUREST: i16 = 64 * NAT;
/// `ln 2`.
const LN_2: i16 = 22;

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

    /// Data bits with their parity bits behind them.
    pub(super) fn encode(&self, mut block: Vec<bool>) -> Vec<bool> {
        for check in self.checks() {
            let (_, known) = check.split_last().unwrap_or((&0, &[]));
            block.push(odd(known, |bit| block[bit]));
        }
        block
    }

    /// The data bits of some blocks, from how much likelier 0 is than 1 for each stored bit, in parts
    /// of [`NAT`] of the logarithm; nothing of a block for which no code word is found.
    ///
    /// Belief propagation, check by check: each takes what it said last time out of the beliefs of
    /// its bits and puts in what the others of them say now (D. E. Hocevar, IEEE Workshop on Signal
    /// Processing Systems, 107, 2004).
    pub(super) fn decode(&self, mut beliefs: Vec<Lanes>) -> [Option<Vec<bool>>; LANES] {
        let mut read = [const { None }; LANES];
        let mut messages = vec![[0; LANES]; self.bits.len()];
        for _ in 0..ROUNDS {
            self.take_what_holds(&beliefs, &mut read);
            if read.iter().all(Option::is_some) {
                break;
            }
            hear_all(self, &mut messages, &mut beliefs);
        }
        read
    }

    /// Reads the data bits of blocks in which all checks hold for the first time.
    fn take_what_holds(&self, beliefs: &[Lanes], read: &mut [Option<Vec<bool>>; LANES]) {
        let broken = broken(self, beliefs);
        for (lane, read) in read.iter_mut().enumerate() {
            if broken[lane] >= 0 && read.is_none() {
                let data = beliefs[..self.data].iter();
                *read = Some(data.map(|beliefs| beliefs[lane] < 0).collect());
            }
        }
    }

    #[inline(always)]
    fn checks(&self) -> impl Iterator<Item = &[u32]> {
        let mut from = 0;
        self.ends.iter().map(move |&to| &self.bits[std::mem::replace(&mut from, to)..to])
    }
}

/// Whether an odd number of these bits are 1.
fn odd(bits: &[u32], is_one: impl Fn(usize) -> bool) -> bool {
    bits.iter().fold(false, |odd, &bit| odd ^ is_one(bit as usize))
}

/// A negative number where some check does not hold.
#[multiversion(targets("x86_64+avx2"))]
fn broken(code: &RepeatAccumulate, beliefs: &[Lanes]) -> Lanes {
    // The sign tells the bit, so that of a sum tells whether it is odd.
    let mut broken = [0; LANES];
    for check in code.checks() {
        let mut sum = [0; LANES];
        for &bit in check {
            sum = map(&sum, &beliefs[bit as usize], |sum, belief| sum ^ belief);
        }
        broken = map(&broken, &sum, |broken, sum| broken | sum);
    }
    broken
}

/// The turn of every check, one after the other.
#[multiversion(targets("x86_64+avx2"))]
fn hear_all(code: &RepeatAccumulate, messages: &mut [Lanes], beliefs: &mut [Lanes]) {
    let (mut rest, mut behind) = (messages, Vec::new());
    for check in code.checks() {
        let (messages, others) = rest.split_at_mut(check.len());
        rest = others;
        hear(check, messages, beliefs, &mut behind);
    }
}

/// One check's turn. What the bits before one and those after it say is combined on a way back and
/// a way forth.
#[inline(always)]
fn hear(check: &[u32], messages: &mut [Lanes], beliefs: &mut [Lanes], behind: &mut Vec<Lanes>) {
    behind.clear();
    let mut after = [SUREST; LANES];
    for (&bit, message) in check.iter().zip(&*messages).rev() {
        let belief = &mut beliefs[bit as usize];
        *belief = map(belief, message, i16::saturating_sub);
        behind.push(after);
        after = map(&after, belief, both);
    }
    let mut before = [SUREST; LANES];
    for ((&bit, message), after) in check.iter().zip(messages).zip(behind.iter().rev()) {
        let belief = &mut beliefs[bit as usize];
        *message = map(&before, after, both);
        before = map(&before, belief, both);
        *belief = map(belief, message, i16::saturating_add);
    }
}

/// The same for every lane. A loop, because the compiler makes vector instructions of it.
#[inline(always)]
fn map(a: &Lanes, b: &Lanes, f: impl Fn(i16, i16) -> i16) -> Lanes {
    let mut lanes = [0; LANES];
    for lane in 0..LANES {
        lanes[lane] = f(a[lane], b[lane]);
    }
    lanes
}

/// How much likelier an even number of two bits is 1 than an odd one.
///
/// # Formula
/// `2 artanh(tanh(a/2) tanh(b/2)) = ± (min(|a|, |b|) + l(|a| + |b|) - l(||a| - |b||))` with
/// `l(t) = ln(1 + e^-t)`, which `max(0, ln 2 - t/4)` comes near enough.
#[inline(always)]
fn both(a: i16, b: i16) -> i16 {
    let correction = |t: i16| LN_2.saturating_sub(t >> 2).max(0);
    let (x, y) = (a.saturating_abs(), b.saturating_abs());
    let (least, most) = (x.min(y), x.max(y));
    let corrected = least
        .saturating_add(correction(x.saturating_add(y)))
        .saturating_sub(correction(most.saturating_sub(least)));
    // All ones where the signs differ: what is not, plus one, is the negative.
    let sign = (a ^ b) >> 15;
    (corrected.max(0) ^ sign).saturating_sub(sign)
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
    // The last bit that each bit met, of those that were put somewhere.
    let mut met = vec![None; data];
    let mut rng = Seed(0).rng("repeat-accumulate", (data + parity) as u64);
    // Those of few repetitions, which need it most, have the first choice.
    for bit in (0..data).rev() {
        let mut own = Vec::with_capacity(repetitions(bit));
        for _ in 0..repetitions(bit) {
            let mut place = 0;
            for _ in 0..DRAWS {
                place = rng.random_range(0..free.len());
                let check = free[place];
                let members: &[u32] = &checks[check];
                let meets = || members.iter().any(|&other| met[other as usize] == Some(bit));
                if !is_near(&own, check, parity) && (!may_meet_once || !meets()) {
                    break;
                }
            }
            let check = free.swap_remove(place);
            for &other in &checks[check] {
                met[other as usize] = Some(bit);
            }
            checks[check].push(bit as u32);
            own.push(check);
        }
    }
    checks
}

/// Whether a bit in the checks `own` would be twice in a short stretch of the chain, where its flip
/// changes few parity bits.
fn is_near(own: &[usize], check: usize, parity: usize) -> bool {
    own.iter().any(|own| own.abs_diff(check) <= 1 + parity / 64)
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

    /// What a symmetric memory of flip probability `p` makes the decoder believe, for each lane with
    /// other flips.
    fn beliefs(stored: &[bool], p: f64, seed: u64) -> Vec<Lanes> {
        let mut rng = Seed(seed).rng("flips", 0);
        let sure = (f64::from(NAT) * ((1.0 - p) / p).ln()) as i16;
        let mut belief = |bit: bool| if bit ^ rng.random_bool(p) { -sure } else { sure };
        stored.iter().map(|&bit| std::array::from_fn(|_| belief(bit))).collect()
    }

    /// The decoder of one block in real numbers, with the exact sum of two beliefs.
    fn reference(code: &RepeatAccumulate, mut beliefs: Vec<f64>) -> Option<Vec<bool>> {
        let mut messages: Vec<Vec<f64>> =
            code.checks().map(|check| vec![0.0; check.len()]).collect();
        for _ in 0..ROUNDS {
            if code.checks().all(|check| !odd(check, |bit| beliefs[bit] < 0.0)) {
                return Some(beliefs[..code.data].iter().map(|belief| *belief < 0.0).collect());
            }
            for (check, messages) in code.checks().zip(&mut messages) {
                let own = |at: usize, beliefs: &[f64]| beliefs[check[at] as usize];
                for (at, message) in messages.iter().enumerate() {
                    beliefs[check[at] as usize] -= message;
                }
                let half: Vec<f64> =
                    (0..check.len()).map(|at| (0.5 * own(at, &beliefs)).tanh()).collect();
                for (at, message) in messages.iter_mut().enumerate() {
                    let others = half.iter().enumerate().filter(|(other, _)| *other != at);
                    let product: f64 = others.map(|(_, half)| half).product();
                    *message = 2.0 * product.clamp(-1.0 + 1e-15, 1.0 - 1e-15).atanh();
                    beliefs[check[at] as usize] += *message;
                }
            }
        }
        None
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn what_does_not_flip_is_read(data in 0..200_usize, parity in 0..200_usize, seed: u64) {
            let code = RepeatAccumulate::new(data, parity);
            let stored = code.encode(bits(data, seed));
            prop_assert_eq!(stored.len(), data + parity);
            for read in code.decode(beliefs(&stored, 1e-12, seed)) {
                prop_assert_eq!(read.as_deref(), Some(&stored[..data]));
            }
        }

        /// The sum of two code words is one.
        #[test]
        fn the_code_is_linear(seeds: [u64; 2]) {
            let code = RepeatAccumulate::new(100, 80);
            let [a, b] = seeds.map(|seed| code.encode(bits(100, seed)));
            let sum: Vec<bool> = a.iter().zip(&b).map(|(a, b)| a ^ b).collect();
            prop_assert_eq!(code.encode(sum[..100].to_vec()), sum);
        }

        /// `tanh(c/2) = tanh(a/2) tanh(b/2)`, to what the straight lines and steps of `NAT` are off.
        #[test]
        fn beliefs_are_combined_nearly_as_they_should(a in -640..=640_i16, b in -640..=640_i16) {
            let nats = |belief: i16| f64::from(belief) / f64::from(NAT);
            let exact = 2.0 * ((nats(a) / 2.0).tanh() * (nats(b) / 2.0).tanh()).atanh();
            assert_relative_eq!(nats(both(a, b)), exact, epsilon = 0.23);
            prop_assert_eq!(both(a, SUREST), a);
            prop_assert_eq!(both(-a, b), -both(a, b));
        }
    }

    /// Sums of what ten checks say cannot overflow, and the surest memory is sure enough.
    #[test]
    fn nothing_that_is_heard_overflows() {
        for extreme in [i16::MIN, -i16::MAX, -SUREST, 0, SUREST, i16::MAX] {
            assert!(both(extreme, SUREST).abs() <= SUREST, "{extreme}");
        }
        let most = REPETITIONS[0] as i32 * i32::from(SUREST) + 30 * i32::from(NAT);
        assert!(most + i32::from(SUREST) < i32::from(i16::MAX));
    }

    /// Whole numbers and straight lines correct what real numbers do: every block, near capacity.
    #[test]
    fn the_decoder_is_as_good_as_one_in_real_numbers() {
        let code = RepeatAccumulate::new(800, 1200);
        let stored = code.encode(bits(800, 4));
        for (p, least) in [(0.08, LANES), (0.3, 0)] {
            let beliefs = beliefs(&stored, p, 4);
            let nats = |lane: usize| {
                beliefs.iter().map(|belief| f64::from(belief[lane]) / f64::from(NAT)).collect()
            };
            let expected: Vec<_> = (0..LANES).map(|lane| reference(&code, nats(lane))).collect();
            assert_eq!(code.decode(beliefs.clone()).to_vec(), expected, "{p}");
            assert_eq!(expected.iter().flatten().count(), least, "{p}");
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
        assert_eq!(code.decode(beliefs(&stored, 0.3, 1)), [const { None }; LANES]);
    }

    /// Rate 0.4 at one flip in ten: 75 % of capacity.
    #[test]
    fn blocks_are_corrected_near_capacity() {
        let code = RepeatAccumulate::new(3200, 4800);
        for seed in 0..8 {
            let stored = code.encode(bits(3200, seed));
            for read in code.decode(beliefs(&stored, 0.1, seed)) {
                assert_eq!(read.as_deref(), Some(&stored[..3200]), "block {seed}");
            }
        }
    }
}

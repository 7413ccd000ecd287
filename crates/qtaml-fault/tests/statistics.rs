//! The proof of the samplers: what they draw has the distribution that they promise, and it is the same
//! however the work is cut.
//!
//! Every check gives the probability of a result as extreme as the one seen, were the sampler
//! right. The seeds are fixed; over all seeds, [`FALSE_ALARM`] bounds the chance that any check of
//! this file fails though nothing is wrong. It is shared by at most [`CHECKS`] checks, whatever
//! they have in common (Bonferroni). The same bound finds out probabilities that are 2 % off.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use proptest::prelude::*;
use qtaml_fault::{
    BitFlips, BitMask, Bursts, ChannelSample, FaultError, FaultModel, FaultStream, FlipCount,
    ProtectionMap, QuantizedChannel, Seed, WordMoments, ZScore,
};
use qtaml_physics::{FlipProbability, FlipProfile};
use qtaml_quant::{BitWidth, Encoding, Format, Word};
use rayon::prelude::*;
use statrs::distribution::{ChiSquared, ContinuousCDF, Normal};
use statrs::function::gamma::ln_gamma;

/// The chance that anything here fails by chance alone.
const FALSE_ALARM: f64 = 1e-6;
/// The checks of the whole file, at most: `SHARE` for each of the six tests that judge samples, and
/// for the one that judges single bits to show that they are not what is wrong.
const CHECKS: usize = 7 * SHARE;
const SHARE: usize = 50_000;

/// By how much the tails of means and variances are taken to exceed normal ones. Seven standard
/// errors out it is a factor of 5 where they rest on 1,000 flips, the least here (Poisson against
/// normal tail; mpmath, 30 digits).
const SKEWNESS: f64 = 10.0;

/// Flip probabilities from either side of the change of sampler, and next to it.
const PROBABILITIES: [f64; 6] = [1e-6, 1e-3, 7e-3, 0.05, 0.1, 0.5];

/// Words that are compared with each other: neighbours, which share 32 random digits; words whose
/// digits come from neighbouring blocks, from the same block, and from other groups of blocks.
const LAGS: [usize; 4] = [1, 2, 32, 128];
/// The words in which each word finds the one that it is compared with.
const BLOCK: usize = 2 * LAGS[3];
/// Words drawn at once: few enough for the cache.
const SLICE: usize = 1 << 18;
/// Where tensors are read: where 32 bits cannot count their words.
const FAR: u64 = 1 << 33;

const STORED: u8 = 0b0110_1001;

// Verdicts

struct Check {
    of: String,
    p_value: f64,
}

/// The checks that a right sampler would hardly ever fail.
fn failed(checks: &[Check]) -> Vec<String> {
    assert!(checks.len() <= SHARE, "{} checks", checks.len());
    let bound = FALSE_ALARM / CHECKS as f64;
    let failed = |check: &&Check| check.p_value < bound || check.p_value.is_nan();
    checks.iter().filter(failed).map(|check| format!("{}: {:e}", check.of, check.p_value)).collect()
}

/// The probability that a count of independent events is at least as far out as `count`, on
/// either side: twice the exact binomial tail. Within two standard deviations it is taken as 1.
fn binomial(n: u64, p: f64, count: u64) -> f64 {
    let mean = n as f64 * p;
    if (count as f64) < mean {
        return binomial(n, 1.0 - p, n - count);
    }
    if count as f64 <= mean + 2.0 * (mean * (1.0 - p)).sqrt() {
        return 1.0;
    }
    let (n, mut k) = (n as f64, count as f64);
    let ways = ln_gamma(n + 1.0) - ln_gamma(k + 1.0) - ln_gamma(n - k + 1.0);
    let mut term = (ways + k * p.ln() + (n - k) * (-p).ln_1p()).exp();
    let mut tail = 0.0;
    // Beyond the mean the terms fall faster and faster.
    while term > 1e-9 * tail {
        tail += term;
        term *= (n - k) / (k + 1.0) * p / (1.0 - p);
        k += 1.0;
    }
    2.0 * tail
}

/// Pearson's chi-square of counts against probabilities that sum to 1. What is expected less than
/// a hundred times is counted together, and by its binomial tail.
fn chi_square(counts: &[u32], probability: impl Fn(usize) -> f64) -> [f64; 2] {
    dispersed(counts, 1.0, probability)
}

/// The same for counts whose variances and covariances are so many times those of independent ones.
fn dispersed(counts: &[u32], times: f64, probability: impl Fn(usize) -> f64) -> [f64; 2] {
    let n: u64 = counts.iter().copied().map(u64::from).sum();
    let (mut statistic, mut cells) = (0.0, 0);
    let (mut rare_count, mut rare) = (0, 0.0);
    for (cell, &count) in counts.iter().enumerate() {
        let p = probability(cell);
        let expected = n as f64 * p;
        if expected < 100.0 {
            rare_count += u64::from(count);
            rare += p;
        } else {
            statistic += (f64::from(count) - expected).powi(2) / (times * expected);
            cells += 1;
        }
    }
    // As many degrees of freedom as cells are one too many: the chance is overstated.
    [ChiSquared::new(f64::from(cells)).unwrap().sf(statistic), binomial(n, rare, rare_count)]
}

fn normal(score: &ZScore) -> f64 {
    SKEWNESS * 2.0 * Normal::standard().sf(score.z().abs())
}

// Samples

/// How often the sixteen bits of two words flipped in each of the 65,536 ways. No word is in two
/// pairs, so that the pairs are independent if the words are.
struct Pairs {
    /// How far the second word of a pair is from the first, which has the low bits.
    lag: usize,
    counts: Vec<u32>,
}

impl Pairs {
    fn new(lag: usize) -> Self {
        Self { lag, counts: vec![0; 1 << 16] }
    }

    fn add(&mut self, flips: &[u8; BLOCK]) {
        for pairs in flips.chunks_exact(2 * self.lag) {
            let (low, high) = pairs.split_at(self.lag);
            for (&low, &high) in low.iter().zip(high) {
                self.counts[usize::from(u16::from_le_bytes([low, high]))] += 1;
            }
        }
    }

    /// As [`add`](Self::add), for words that are read as they are stored.
    fn add_none(&mut self) {
        self.counts[0] += BLOCK as u32 / 2;
    }

    fn n(&self) -> u64 {
        self.counts.iter().copied().map(u64::from).sum()
    }

    /// How often two of the bits both flipped, and on the diagonal how often each did.
    fn both(&self) -> [[u64; 16]; 16] {
        let mut both = [[0; 16]; 16];
        for (flips, &count) in self.counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            for i in (0..16).filter(|i| flips >> i & 1 == 1) {
                for j in (0..=i).filter(|j| flips >> j & 1 == 1) {
                    both[i][j] += u64::from(count);
                }
            }
        }
        both
    }

    /// Each bit by itself and each two of them against the probability that they all flip, if the
    /// distribution states one.
    fn checks(&self, of: &str, law: impl Fn(usize, usize) -> Option<f64>) -> Vec<Check> {
        let (n, both) = (self.n(), self.both());
        let bits = (0..16).flat_map(|i| (0..=i).map(move |j| (i, j)));
        bits.filter_map(|(i, j)| {
            let p_value = binomial(n, law(i, j)?, both[i][j]);
            Some(Check { of: format!("{of}, lag {}, bits {j} and {i}", self.lag), p_value })
        })
        .collect()
    }
}

/// Stores the same word everywhere, and looks at what flips.
fn draw(model: &dyn FaultModel, stored: u8, words: u64, name: &str) -> [Pairs; 4] {
    let stream = FaultStream::new(Seed(42), 0, name);
    let mut pairs = LAGS.map(Pairs::new);
    let mut slice = vec![stored; SLICE];
    for first in (0..words).step_by(SLICE) {
        model.inject_slice(&mut slice, FAR + first, &stream, ProtectionMap::NOTHING).unwrap();
        for block in slice.as_chunks_mut::<BLOCK>().0 {
            if *block == [stored; BLOCK] {
                pairs.iter_mut().for_each(Pairs::add_none);
            } else {
                let flips = block.map(|read| read ^ stored);
                for pairs in &mut pairs {
                    pairs.add(&flips);
                }
                block.fill(stored);
            }
        }
    }
    pairs
}

/// Words to draw where bits flip with probability `p`: enough for a deviation of 2 % where that is
/// affordable, and for a thousand flips of each bit everywhere.
fn words(p: f64) -> u64 {
    ((262_144.0 / p) as u64).clamp(1 << 24, 1 << 31).next_multiple_of(SLICE as u64)
}

// Independent flips

/// Flip probabilities, what they are called, and how it comes about.
struct Law {
    name: String,
    bits: BitWidth,
    flips: FlipProfile,
    model: BitFlips,
}

impl Law {
    /// Every kind of flip probabilities of which the largest probability of a bit is `p`, and none is below half
    /// of it.
    fn all(p: f64, bits: BitWidth) -> [Self; 4] {
        let pair = |p01, p10| FlipProbability::asymmetric(p01, p10).unwrap();
        let each = |law: &dyn Fn(f64) -> FlipProbability| {
            let bit = |i| law(p * (1.0 - f64::from(i) / 16.0));
            FlipProfile::per_bit((0..bits.get()).map(bit).collect()).unwrap()
        };
        let law = |kind, flips| Self::of(&format!("{kind} {p}"), flips, bits);
        [
            law("symmetric", pair(p, p).into()),
            law("asymmetric", pair(p / 2.0, p).into()),
            law("per bit", each(&|q| pair(q, q))),
            law("per bit, asymmetric", each(&|q| pair(q, p * 1.5 - q))),
        ]
    }

    /// Bits that are read wrong more often than right, alike for both stored values and not.
    fn mostly_wrong(bits: BitWidth) -> [Self; 2] {
        [0.9, 0.7].map(|p01| {
            let flips = FlipProbability::asymmetric(p01, 0.9).unwrap();
            Self::of(&format!("{p01} and 0.9"), flips.into(), bits)
        })
    }

    /// Cells that are stuck at 0 with probability `p`, and at 1 with half of it.
    fn stuck(p: f64, bits: BitWidth) -> Self {
        let flips = FlipProbability::asymmetric(p / 2.0, p).unwrap();
        let model = BitFlips::stuck(p, p / 2.0, bits).unwrap();
        Self { model, ..Self::of(&format!("stuck {p}"), flips.into(), bits) }
    }

    fn of(kind: &str, flips: FlipProfile, bits: BitWidth) -> Self {
        let model = BitFlips::new(flips.clone(), bits).unwrap();
        Self { name: format!("{kind} {bits}"), bits, flips, model }
    }

    fn stored(&self) -> u8 {
        STORED & self.bits.mask()
    }

    /// The probability that a bit of a pair of words flips.
    fn flip(&self, bit: usize) -> f64 {
        let bit = bit % 8;
        if bit >= self.bits.get() as usize {
            return 0.0;
        }
        let law = self.flips.at(bit);
        if self.stored() >> bit & 1 == 1 { law.p10() } else { law.p01() }
    }

    fn draw(&self, p: f64) -> [Pairs; 4] {
        draw(&self.model, self.stored(), words(p), &self.name)
    }

    /// Single bits, two bits of a word, bits of two words, and all of them together.
    fn checks(&self, pairs: &Pairs) -> Vec<Check> {
        let flip: Vec<f64> = (0..16).map(|bit| self.flip(bit)).collect();
        let both = |i: usize, j: usize| Some(if i == j { flip[i] } else { flip[i] * flip[j] });
        let mut checks = pairs.checks(&self.name, both);
        let masks = chi_square(&pairs.counts, |mask| {
            let bit = |i: usize| if mask >> i & 1 == 1 { flip[i] } else { 1.0 - flip[i] };
            (0..16).map(bit).product()
        });
        let of = format!("{}, lag {}, all masks", self.name, pairs.lag);
        checks.extend(masks.map(|p_value| Check { of: of.clone(), p_value }));
        checks
    }

    /// What the flips make of a code in every encoding, against the error distribution of the channel.
    fn moments(&self, pairs: &Pairs) -> Vec<Check> {
        let of = |encoding| {
            let format = Format::new(self.bits, encoding);
            let channel = QuantizedChannel::new(self.flips.clone(), format, BitMask::NONE).unwrap();
            let moments = moments(format, Word(self.stored()), pairs);
            let sample = ChannelSample::from_moments(&channel, vec![moments]).unwrap();
            assert!(sample.is_large_enough(), "{}", self.name);
            let scores = sample.drifts().into_iter().chain(sample.variances());
            let of = format!("{}, code in {encoding}", self.name);
            scores.map(move |score| Check { of: of.clone(), p_value: normal(&score) })
        };
        Encoding::ALL.into_iter().flat_map(of).collect()
    }
}

fn moments(format: Format, stored: Word, pairs: &Pairs) -> WordMoments {
    let mut moments = WordMoments { stored, n: 0, sum: 0, sum_of_squares: 0, flips: vec![] };
    moments.flips = vec![0; format.bits().get() as usize];
    for (flips, &count) in (0..=u16::MAX).zip(&pairs.counts) {
        for flips in flips.to_le_bytes() {
            let [from, to] =
                [stored.0, stored.0 ^ flips].map(|word| i64::from(format.code_of(Word(word)).0));
            let error = to - from;
            moments.n += u64::from(count);
            moments.sum += i64::from(count) * error;
            moments.sum_of_squares += i64::from(count) * error * error;
            for (bit, total) in moments.flips.iter_mut().enumerate() {
                *total += u64::from(count) * u64::from(flips >> bit & 1);
            }
        }
    }
    moments
}

#[test]
fn bits_flip_independently_with_their_probability() {
    let widths = [BitWidth::INT8, BitWidth::INT4];
    let mut laws: Vec<(f64, Law)> = PROBABILITIES
        .iter()
        .flat_map(|&p| {
            widths.map(|bits| Law::all(p, bits)).into_iter().flatten().map(move |l| (p, l))
        })
        .collect();
    for bits in widths {
        // One p for each sampler, and one that leaves few cells sound.
        laws.extend([1e-3, 0.1, 0.5].map(|p| (p, Law::stuck(p, bits))));
        laws.extend(Law::mostly_wrong(bits).map(|law| (0.9, law)));
    }
    let checks: Vec<Check> = laws
        .par_iter()
        .flat_map_iter(|(p, law)| {
            let pairs = law.draw(*p);
            let each: Vec<Check> = pairs.iter().flat_map(|pairs| law.checks(pairs)).collect();
            each.into_iter().chain(law.moments(&pairs[0]))
        })
        .collect();
    assert_eq!(failed(&checks), Vec::<String>::new());
}

/// All words of all formats, as experiments sample them; rarer flips are looked at above.
#[test]
fn every_format_obeys_the_law_of_its_channel() {
    let mut checks = Vec::new();
    for format in Format::all() {
        for p in [0.05, 0.1, 0.5] {
            let flips = FlipProbability::asymmetric(p / 2.0, p).unwrap();
            let channel = QuantizedChannel::new(flips, format, BitMask::NONE).unwrap();
            let n = ChannelSample::reads_needed(&channel) as usize;
            let sample = ChannelSample::of_every_word(&channel, Seed(42), "formats", n).unwrap();
            let bits = sample.bits().into_iter().map(|bit| bit.score);
            let scores = sample.drifts().into_iter().chain(sample.variances()).chain(bits);
            checks.extend(scores.map(|score| Check {
                of: format!("{format} {p}: {score:?}"),
                p_value: normal(&score),
            }));
        }
    }
    assert_eq!(failed(&checks), Vec::<String>::new());
}

// Other models

/// A bit is hit by the bursts that begin at it or up to `length - 1` bits before.
#[test]
fn bursts_cover_bits_and_their_neighbours() {
    const LENGTH: i32 = 3;
    let mut checks = Vec::new();
    for bits in [BitWidth::INT8, BitWidth::INT4] {
        let width = bits.get() as i32;
        for p in [1e-6, 1e-3, 0.05, 0.1] {
            let name = format!("bursts {p} {bits}");
            let model = Bursts::new(p, LENGTH as u32, bits).unwrap();
            // Only neighbouring words: their bits make one row.
            let [pairs, ..] = draw(&model, STORED & bits.mask(), words(p), &name);
            let missed = |bits: i32| (f64::from(bits) * (-p).ln_1p()).exp();
            let hit = -(f64::from(LENGTH) * (-p).ln_1p()).exp_m1();
            checks.extend(pairs.checks(&name, |i, j| {
                let [i, j] = [i, j].map(|bit| bit as i32);
                if i % 8 >= width || j % 8 >= width {
                    return Some(0.0);
                }
                let gap = (i / 8 - j / 8) * width + i % 8 - j % 8;
                // Bits farther apart may share a burst with those of the next pair of words.
                let independent = gap <= 2 * width - LENGTH;
                // Both are missed if no burst begins in the union of both windows.
                let union = LENGTH + gap.min(LENGTH);
                independent.then(|| if gap == 0 { hit } else { 2.0 * hit - 1.0 + missed(union) })
            }));
        }
    }
    assert_eq!(failed(&checks), Vec::<String>::new());
}

/// The probabilities of 0, 1, 2, ... wrong bits among `bits` in a row, far from the begin of the
/// tensor: bit by bit, by how many more bits the last burst reaches.
fn wrong_bits(p: f64, length: usize, bits: usize) -> Vec<f64> {
    let mut law = vec![vec![0.0; bits + 1]; length];
    law[0][0] = (1.0 - p).powi(length as i32 - 1);
    (1..length).for_each(|more| law[more][0] = p * (1.0 - p).powi((length - 1 - more) as i32));
    for _ in 0..bits {
        let mut next = vec![vec![0.0; bits + 1]; length];
        for (more, counts) in law.iter().enumerate() {
            for (wrong, chance) in counts.iter().enumerate().take(bits) {
                next[length - 1][wrong + 1] += p * chance;
                let hit = usize::from(more > 0);
                next[more - hit][wrong + hit] += (1.0 - p) * chance;
            }
        }
        law = next;
    }
    (0..=bits).map(|wrong| law.iter().map(|counts| counts[wrong]).sum()).collect()
}

/// The whole distribution of the number of wrong bits in a stretch of words, mean and variance with it,
/// wherever in a group of 4096 words it lies; and the first bits of a tensor, which fewer bursts hit.
#[test]
fn stretches_lose_as_many_bits_to_bursts_as_they_should() {
    const LENGTH: usize = 3;
    // Of each window the last word is left out, so that no burst hits two of them.
    const WINDOW: usize = 32;
    let mut checks = Vec::new();
    for (bits, p) in [BitWidth::INT8, BitWidth::INT4, BitWidth::new(3).unwrap()]
        .into_iter()
        .flat_map(|bits| [1e-4, 1e-3, 0.05, 0.1].map(|p| (bits, p)))
    {
        let width = bits.get() as usize;
        let name = format!("stretches of bursts {p} {bits}");
        let model = Bursts::new(p, LENGTH as u32, bits).unwrap();
        let law = wrong_bits(p, LENGTH, (WINDOW - 1) * width);
        let mut counts = vec![vec![0; law.len()]; 16];
        let (stream, mut slice) = (FaultStream::new(Seed(42), 0, &name), vec![0; SLICE]);
        for first in (0..1 << 24).step_by(SLICE) {
            slice.fill(0);
            model.inject_slice(&mut slice, FAR + first, &stream, ProtectionMap::NOTHING).unwrap();
            for (i, window) in slice.chunks_exact(WINDOW).enumerate() {
                let wrong = window[..WINDOW - 1].iter().map(|word| word.count_ones() as usize);
                counts[i / 8 % 16][wrong.sum::<usize>()] += 1;
            }
        }
        let stretches = counts.iter().flat_map(|counts| chi_square(counts, |wrong| law[wrong]));
        checks.extend(stretches.map(|p_value| Check { of: name.clone(), p_value }));

        let trials = 1 << 18;
        let mut flips = vec![0; width];
        for trial in 0..trials {
            let mut word = [0];
            model
                .inject_slice(&mut word, 0, &stream.in_trial(trial), ProtectionMap::NOTHING)
                .unwrap();
            flips.iter_mut().enumerate().for_each(|(bit, n)| *n += u64::from(word[0] >> bit & 1));
        }
        checks.extend(flips.into_iter().enumerate().map(|(bit, count)| {
            let hit = 1.0 - (1.0 - p).powi(LENGTH.min(bit + 1) as i32);
            Check {
                of: format!("{name}, first word"),
                p_value: binomial(trials.into(), hit, count),
            }
        }));
    }
    assert_eq!(failed(&checks), Vec::<String>::new());
}

/// The probability that `here` of `flips` flips fall on `part` of `all` bits, without replacement.
fn hypergeometric(all: u64, part: u64, flips: u64, here: u64) -> f64 {
    // Flip by flip, those of the part first, in any of the orders.
    let falling = |n: u64, k: u64| (0..k).map(|i| (n.saturating_sub(i) as f64).ln()).sum::<f64>();
    let orders = falling(flips, here) - falling(here, here);
    (orders + falling(part, here) + falling(all - part, flips - here) - falling(all, flips)).exp()
}

/// The parts of a tensor of so many words whose flips are counted.
const PARTS: [fn(u64, u64, u64) -> bool; 4] = [
    |words, index, _| index < words / 2,
    |words, index, _| (words / 3..words - words / 4).contains(&index),
    |_, index, bit| index % 2 == 0 && bit > 2,
    |_, _, bit| bit == 7,
];

/// How many bits of a tensor of so many words belong to each part.
fn part_bits(words: u64) -> [u64; 4] {
    [8 * (words / 2), 8 * (words - words / 4 - words / 3), 5 * words.div_ceil(2), words]
}

/// Draws an exact number of flips in many trials, and counts every one of them: by bit and stretch of
/// the tensor, and how many of a trial fall on each part.
fn count_flips(words: u64, flips: u64, trials: u32, name: &str) -> (Vec<u32>, [Vec<u32>; 4]) {
    let model = FlipCount::new(flips, words, BitWidth::INT8).unwrap();
    let stretches = words.min(16);
    let mut cells = vec![0; 8 * stretches as usize];
    let mut fallen = [(); 4].map(|()| vec![0; flips as usize + 1]);
    for trial in 0..trials {
        let mut here = [0; 4];
        for fault in model.faults(&FaultStream::new(Seed(42), trial, name)) {
            let stretch = fault.index * stretches / words;
            for bit in (0..8).filter(|bit| fault.mask >> bit & 1 == 1) {
                cells[(8 * stretch + bit) as usize] += 1;
                for (count, part) in here.iter_mut().zip(PARTS) {
                    *count += usize::from(part(words, fault.index, bit));
                }
            }
        }
        fallen.iter_mut().zip(here).for_each(|(counts, here)| counts[here] += 1);
    }
    (cells, fallen)
}

/// The same number of bits flips in every trial, without replacement: where all of them are, and the
/// whole distribution of how many fall on a part, mean and variance with it.
#[test]
fn all_sets_of_so_many_bits_are_alike() {
    let few = [(125_000, 1, 1 << 22), (125, 1, 1 << 20), (5, 2, 1 << 18), (5, 4, 1 << 18)];
    // Halved at least once; of two words the set of all 16 bits is looked at below.
    let halved = [(250, 100, 1 << 18), (40, 9, 1 << 18), (2, 8, 1 << 21), (1 << 20, 100, 1 << 14)];
    // Where 32 bits cannot count the words.
    let far = [(3 * FAR, 40, 1 << 16)];
    let mut checks = Vec::new();
    for (words, flips, trials) in few.into_iter().chain(halved).chain(far) {
        let name = format!("{flips} flips in {words} words");
        let (cells, fallen) = count_flips(words, flips, trials, &name);
        let total: u64 = cells.iter().copied().map(u64::from).sum();
        assert_eq!(total, flips * u64::from(trials), "{name}");

        let (all, stretches) = (8 * words, words.min(16));
        let edge = |stretch: usize| (stretch as u64 * words).div_ceil(stretches);
        let share = |cell: usize| (edge(cell / 8 + 1) - edge(cell / 8)) as f64 / all as f64;
        let without_replacement = (all - flips) as f64 / (all - 1) as f64;
        let mut p_values = dispersed(&cells, without_replacement, share).to_vec();
        for (counts, part) in fallen.iter().zip(part_bits(words)) {
            p_values
                .extend(chi_square(counts, |here| hypergeometric(all, part, flips, here as u64)));
        }
        checks.extend(p_values.into_iter().map(|p_value| Check { of: name.clone(), p_value }));
    }
    assert_eq!(failed(&checks), Vec::<String>::new());
}

/// Two bits flip less often together than independent ones: the last two words of small tensors, read
/// as a slice.
#[test]
fn pairs_of_so_many_bits_are_alike() {
    let mut checks = Vec::new();
    for (words, flips, trials) in
        [(5, 2, 1 << 18), (5, 4, 1 << 18), (40, 9, 1 << 18), (2, 8, 1 << 21)]
    {
        let name = format!("{flips} flips in {words} words");
        let model = FlipCount::new(flips, words, BitWidth::INT8).unwrap();
        let mut pairs = Pairs::new(1);
        for trial in 0..trials {
            let (mut read, stream) = ([0; 2], FaultStream::new(Seed(42), trial, &name));
            model.inject_slice(&mut read, words - 2, &stream, ProtectionMap::NOTHING).unwrap();
            pairs.counts[usize::from(u16::from_le_bytes(read))] += 1;
        }
        let (k, stored) = (flips as f64, 8.0 * words as f64);
        let second = (k - 1.0) / (stored - 1.0);
        let both = |i, j| Some(k / stored * if i == j { 1.0 } else { second });
        checks.extend(pairs.checks(&name, both));
        if words == 2 {
            // 16 over 8 sets of half of all bits.
            let set = |set: usize| if set.count_ones() == 8 { 1.0 / 12_870.0 } else { 0.0 };
            let sets = chi_square(&pairs.counts, set);
            checks.extend(sets.map(|p_value| Check { of: name.clone(), p_value }));
        }
    }
    assert_eq!(failed(&checks), Vec::<String>::new());
}

// The proof can fail

/// Two per cent too many flips are seen wherever a hundred thousand can be drawn in a moment; of
/// the rarest ones it takes a fifth more.
#[test]
fn a_biased_law_is_found_out() {
    for (p, excess) in [(1e-6, 1.2), (1e-3, 1.02), (7e-3, 1.02), (0.05, 1.02), (0.5, 1.02)] {
        let [drawn, _, single, _] = Law::all(p * excess, BitWidth::INT8);
        let [claimed, _, single_claimed, _] = Law::all(p, BitWidth::INT8);
        for (drawn, claimed) in [(drawn, claimed), (single, single_claimed)] {
            let [pairs, ..] = drawn.draw(p);
            assert!(!failed(&claimed.checks(&pairs)).is_empty(), "{}", drawn.name);
            assert!(!failed(&claimed.moments(&pairs)).is_empty(), "{}", drawn.name);
        }
    }
}

/// Flips every bit with its probability, but every second word as the word before it.
struct Echo(BitFlips);

impl FaultModel for Echo {
    fn bits(&self) -> BitWidth {
        self.0.bits()
    }

    fn inject_slice(
        &self,
        words: &mut [u8],
        first: u64,
        stream: &FaultStream,
        protected: ProtectionMap<'_>,
    ) -> Result<(), FaultError> {
        let stored = words.to_vec();
        self.0.inject_slice(words, first, stream, protected)?;
        for (read, stored) in words.as_chunks_mut::<2>().0.iter_mut().zip(stored.as_chunks::<2>().0)
        {
            read[1] = read[0] ^ stored[0] ^ stored[1];
        }
        Ok(())
    }
}

/// Each bit flips as it should, but not by itself.
#[test]
fn bits_that_flip_together_are_found_out() {
    for p in [1e-3, 0.1] {
        let [law, ..] = Law::all(p, BitWidth::INT8);
        // A bit is hit by either of two bursts.
        let start = -((-p).ln_1p() / 2.0).exp_m1();
        let bursts = Bursts::new(start, 2, BitWidth::INT8).unwrap();
        let echo = Echo(law.model.clone());
        let models: [&dyn FaultModel; 2] = [&bursts, &echo];
        for model in models {
            let [pairs, ..] = draw(model, STORED, words(p), "together");
            let single = pairs.checks("single", |i, j| (i == j).then(|| law.flip(i)));
            assert_eq!(failed(&single), Vec::<String>::new());
            assert!(!failed(&law.checks(&pairs)).is_empty(), "{p}");
        }
    }
}

/// Reference values: mpmath, 30 digits.
#[test]
fn binomial_tails_are_exact() {
    let near = |found: f64, expected: f64| (found / expected - 1.0).abs() < 1e-4;
    assert!(near(binomial(10, 0.5, 9), 22.0 / 1024.0));
    assert!(near(binomial(10, 0.5, 1), 22.0 / 1024.0));
    assert!(near(binomial(1 << 30, 1e-6, 1300), 2.522_194_379_080e-11));
    assert!(near(binomial(1 << 22, 0.1, 423_000), 6.552_767_137_622e-9));
    assert!(near(binomial(1 << 22, 0.1, 416_000), 2.282_635_184_859e-8));
    assert_eq!(binomial(1000, 0.5, 510), 1.0);
    for (p, sure) in [(0.0, 0), (1.0, 1000)] {
        assert_eq!((binomial(1000, p, sure), binomial(1000, p, 500)), (1.0, 0.0));
    }
}

// The same faults, however they are drawn

/// One model of each kind and of each branch of its sampler, for a tensor of so many words.
fn models(words: u64, bits: BitWidth) -> Vec<Box<dyn FaultModel>> {
    let mut models: Vec<Box<dyn FaultModel>> = vec![
        Box::new(Bursts::new(0.003, 20, bits).unwrap()),
        Box::new(BitFlips::stuck(0.0, 0.1, bits).unwrap()),
        Box::new(BitFlips::stuck(1e-3, 0.0, bits).unwrap()),
        Box::new(BitFlips::stuck(0.1, 0.2, bits).unwrap()),
        Box::new(BitFlips::stuck(2e-3, 1e-3, bits).unwrap()),
        Box::new(FlipCount::new(words.min(1000), words, bits).unwrap()),
    ];
    for law in [0.3, 7e-3, 1e-4].into_iter().flat_map(|p| Law::all(p, bits)) {
        models.push(Box::new(law.model));
    }
    models
}

#[test]
fn any_number_of_threads_draws_the_same_faults() {
    // Several of the chunks that threads are handed, and a part of one.
    let stored: Vec<u8> = (0..(3_u32 << 18) + 977).map(|i| (i * 97 % 251) as u8).collect();
    let stream = FaultStream::new(Seed(42), 0, "threads");
    for (i, model) in models(stored.len() as u64, BitWidth::INT8).iter().enumerate() {
        let [one, more @ ..] = [1, 2, 3, 8].map(|threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| model.corrupted(&stored, &stream, ProtectionMap::NOTHING).unwrap())
        });
        assert_ne!(one, stored, "model {i}");
        assert!(more.iter().all(|read| *read == one), "model {i}");
    }
}

proptest! {
    // Tables for every model are made anew in each case.
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn slices_in_any_order_are_the_whole(
        words in prop::collection::vec((any::<u8>(), any::<u8>()), 1..3000),
        cuts in prop::collection::vec((any::<prop::sample::Index>(), any::<u32>()), 0..8),
        trial in any::<u32>(), bits in prop::sample::select(BitWidth::all().collect::<Vec<_>>()),
    ) {
        let kept = |mask| BitMask::of_bits(mask & bits.mask(), bits).unwrap();
        let (words, kept): (Vec<u8>, Vec<BitMask>) =
            words.into_iter().map(|(word, mask)| (word & bits.mask(), kept(mask))).unzip();
        let mut edges: Vec<usize> = cuts.iter().map(|(cut, _)| cut.index(words.len())).collect();
        edges.extend([0, words.len()]);
        edges.sort_unstable();
        let mut slices: Vec<(usize, usize)> = edges.windows(2).map(|w| (w[0], w[1])).collect();
        slices.sort_by_key(|&(from, _)| cuts.get(from % cuts.len().max(1)).map(|(_, key)| *key));

        let stream = FaultStream::new(Seed(42), trial, "slices");
        for model in models(words.len() as u64, bits) {
            for each in [true, false] {
                let protected = |from: usize, to: usize| {
                    if each { ProtectionMap::Each(&kept[from..to]) } else { kept[0].into() }
                };
                let whole = model.corrupted(&words, &stream, protected(0, words.len())).unwrap();
                let mut read = words.clone();
                for &(from, to) in &slices {
                    model.inject_slice(&mut read[from..to], from as u64, &stream, protected(from, to)).unwrap();
                }
                prop_assert_eq!(&read, &whole);
            }
        }
    }
}

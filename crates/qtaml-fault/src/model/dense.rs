//! The sampler of frequent flips: a mask for every word.

use multiversion::multiversion;
use qtaml_physics::FlipProfile;
use qtaml_quant::BitWidth;

use super::probability::Fraction;
use crate::FaultStream;
use crate::philox::{Blocks, LANES};

/// Words whose first digits come from the same sixteen blocks.
pub(crate) const GROUP: usize = 8 * LANES;

/// Binary digits that are looked up in the table.
const HEAD: u32 = 16;
/// Binary digits that settle what the table cannot.
const TAIL: u32 = Fraction::DIGITS - HEAD;

/// Where the digits come from: the first ones of a group, and more for a single word; both once
/// for stored zeros and once for stored ones.
const HEAD_LANES: [u32; 2] = [0, 2];
const TAIL_LANES: [u32; 2] = [1, 3];

/// All bits of a word at once: a mask of flips is looked up by 16 random binary digits.
///
/// Each mask owns as many of the 65,536 entries as its probability has multiples of 2^-16. What is
/// left over of all masks, at most 256 entries, is settled with 104 more digits. So the
/// distribution is exact to 2^-112, at the price of one table look-up.
///
/// Where a stored 0 and a stored 1 flip with different probabilities, both have a table and digits
/// of their own, and each bit takes its flip from the mask of the value that it stores.
///
/// So it does for stuck cells, where the mask of stored ones has those stuck at 0. That of stored
/// zeros tells which cells are stuck at 1 unless they are stuck at 0: no cell is both.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Dense {
    /// One table for both stored values, or one for 0 and one for 1.
    tables: Vec<MaskTable>,
    /// A bit in the masks of both stored values flips from 1 to 0 alone.
    stuck: bool,
}

impl Dense {
    pub(crate) fn new(flips: &FlipProfile, bits: BitWidth) -> Self {
        let table = |of: fn(&FlipProfile, usize) -> f64| {
            let flips: Vec<f64> = (0..bits.get() as usize).map(|i| of(flips, i)).collect();
            MaskTable::new(&flips)
        };
        let mut tables = vec![table(|flips, i| flips.at(i).p01())];
        if !flips.is_symmetric() {
            tables.push(table(|flips, i| flips.at(i).p10()));
        }
        Self { tables, stuck: false }
    }

    /// Cells that are stuck at 0 or at 1 with these probabilities, whose sum is at most 1.
    pub(crate) fn stuck(at_zero: f64, at_one: f64, bits: BitWidth) -> Self {
        // Among the cells that are not stuck at 0; if there are none, none of them is stuck at 1.
        let at_one = if at_zero < 1.0 { (at_one / (1.0 - at_zero)).min(1.0) } else { 0.0 };
        let table = |p| MaskTable::new(&vec![p; bits.get() as usize]);
        Self { tables: [at_one, at_zero].map(table).into(), stuck: true }
    }

    /// Flips bits of `words`, which start at word `first` of their tensor, where `exposed` has them
    /// set: in the same place of the tensor the same ones, however it is cut.
    pub(crate) fn inject(
        &self,
        words: &mut [u8],
        first: u64,
        stream: &FaultStream,
        exposed: impl Fn(usize) -> u8,
    ) {
        inject(self, words, first, stream, exposed);
    }

    /// Some words of a group: those from `offset` on.
    fn part(
        &self,
        words: &mut [u8],
        offset: usize,
        group: u64,
        stream: &FaultStream,
        exposed: &impl Fn(usize) -> u8,
    ) {
        let here = offset..offset + words.len();
        let mut whole = [0; GROUP];
        whole[here.clone()].copy_from_slice(words);
        let exposed = |i: usize| if here.contains(&i) { exposed(i - offset) } else { 0 };
        self.whole(&mut whole, group, stream, exposed);
        words.copy_from_slice(&whole[here.clone()]);
    }

    #[inline(always)]
    fn whole(
        &self,
        words: &mut [u8; GROUP],
        group: u64,
        stream: &FaultStream,
        exposed: impl Fn(usize) -> u8,
    ) {
        let mut zero = self.tables[0].draw(group, stream, 0);
        if let Some(ones) = self.tables.get(1) {
            let one = ones.draw(group, stream, 1);
            if self.stuck {
                zero.iter_mut().zip(one).for_each(|(zero, one)| *zero &= !one);
            }
            for i in 0..GROUP {
                words[i] ^= (zero[i] & !words[i] | one[i] & words[i]) & exposed(i);
            }
        } else {
            for i in 0..GROUP {
                words[i] ^= zero[i] & exposed(i);
            }
        }
    }
}

/// Compiled for each of these sets of vector instructions as well. Which one runs is decided where it
/// runs, and nothing but the time depends on it. What it calls must be inlined to be compiled alike.
#[multiversion(targets("x86_64+avx2+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2"))]
fn inject<F: Fn(usize) -> u8>(
    dense: &Dense,
    words: &mut [u8],
    first: u64,
    stream: &FaultStream,
    exposed: F,
) {
    let (mut group, offset) = (first / GROUP as u64, (first % GROUP as u64) as usize);
    let head = if offset == 0 { 0 } else { (GROUP - offset).min(words.len()) };
    let (head, rest) = words.split_at_mut(head);
    if !head.is_empty() {
        dense.part(head, offset, group, stream, &exposed);
        group += 1;
    }
    let done = head.len();
    let (groups, tail) = rest.as_chunks_mut::<GROUP>();
    for (words, (done, group)) in groups.iter_mut().zip((done..).step_by(GROUP).zip(group..)) {
        dense.whole(words, group, stream, |i| exposed(done + i));
    }
    let whole = groups.len();
    if !tail.is_empty() {
        let exposed = |i| exposed(done + whole * GROUP + i);
        dense.part(tail, 0, group + whole as u64, stream, &exposed);
    }
}

/// The distribution of the mask of flips of one word.
#[derive(Debug, Clone, PartialEq)]
struct MaskTable {
    /// The mask for each of the first digits; from `rare` on they do not decide.
    masks: Box<[u8; 1 << HEAD]>,
    rare: u32,
    /// For each mask the end of its share of what the table leaves over, in 2^-120.
    ends: Vec<u128>,
    /// For each of the first digits from `rare` on the first mask that may be meant.
    starts: Vec<u8>,
    /// No bit ever flips: there is nothing to draw.
    never: bool,
}

impl MaskTable {
    /// The table for bits that flip with these probabilities, least significant first.
    fn new(flips: &[f64]) -> Self {
        let mut shares = shares(flips);
        // Products are rounded down, by less than 2^-112 in all: no flip takes the rest.
        shares[0] += Fraction::ONE.units() - shares.iter().sum::<u128>();

        let mut masks = vec![0; 1 << HEAD];
        let (mut filled, mut left) = (0, 0);
        let mut ends = Vec::with_capacity(shares.len());
        for (mask, share) in shares.into_iter().enumerate() {
            let whole = (share >> TAIL) as usize;
            masks[filled..filled + whole].fill(mask as u8);
            filled += whole;
            left += share & ((1 << TAIL) - 1);
            ends.push(left);
        }
        let masks = masks.try_into().expect("it was made with this length");
        let start = |over| ends.partition_point(|&end| end <= over << TAIL) as u8;
        let starts = (0..left >> TAIL).map(start).collect();
        let never = flips.iter().all(|&p| p == 0.0);
        Self { masks, rare: filled as u32, ends, starts, never }
    }

    /// The masks of a group of words. `value` tells the streams of stored zeros and ones apart.
    #[inline(always)]
    fn draw(&self, group: u64, stream: &FaultStream, value: usize) -> [u8; GROUP] {
        let mut masks = [0; GROUP];
        if self.never {
            return masks;
        }
        let blocks = stream.blocks(group * LANES as u64, HEAD_LANES[value]);
        for (masks, words) in masks.as_chunks_mut::<{ 2 * LANES }>().0.iter_mut().zip(&blocks) {
            for (pair, digits) in masks.as_chunks_mut::<2>().0.iter_mut().zip(words) {
                *pair = [*digits & 0xffff, digits >> HEAD].map(|head| self.masks[head as usize]);
            }
        }
        if self.any_rare(blocks.as_flattened()) {
            self.settle(&blocks, &mut masks, group, stream, TAIL_LANES[value]);
        }
        masks
    }

    #[inline(always)]
    fn any_rare(&self, pairs: &[u32]) -> bool {
        // Without branches, all lanes at once.
        pairs.iter().fold(0, |all, &digits| all | self.marks(digits)) >> HEAD != 0
    }

    /// Has a digit above the first 16 where one of the two heads in `digits` does not decide.
    #[inline(always)]
    fn marks(&self, digits: u32) -> u32 {
        let short = (1 << HEAD) - self.rare;
        ((digits & 0xffff) + short) | ((digits >> HEAD) + short)
    }

    /// Draws the masks that 16 digits did not decide.
    #[cold]
    fn settle(
        &self,
        blocks: &Blocks,
        masks: &mut [u8; GROUP],
        group: u64,
        stream: &FaultStream,
        lane: u32,
    ) {
        // Nearly all pairs are decided: most of them are passed over sixteen at a time.
        let rows = blocks.iter().zip((0..).step_by(LANES)).filter(|(row, _)| self.any_rare(*row));
        for (pair, &digits) in rows.flat_map(|(row, first)| (first..).zip(row)) {
            for (i, head) in (2 * pair..).zip([digits & 0xffff, digits >> HEAD]) {
                if let Some(over) = head.checked_sub(self.rare) {
                    let tail = stream.digits(group * GROUP as u64 + i as u64, lane) >> (128 - TAIL);
                    masks[i] = self.left_over(over, tail);
                }
            }
        }
    }

    /// The mask of these first digits, counted from `rare` on, and of the ones behind them.
    fn left_over(&self, over: u32, tail: u128) -> u8 {
        let (point, start) = (u128::from(over) << TAIL | tail, self.starts[over as usize]);
        // Few masks share what a step of the first digits covers.
        let passed = self.ends[usize::from(start)..].iter().take_while(|&&end| end <= point);
        start + passed.count() as u8
    }
}

/// The probability of each mask, in 2^-120 and rounded down: bits flip or stay on their own.
fn shares(flips: &[f64]) -> Vec<u128> {
    let none = vec![Fraction::ONE];
    let masks = flips.iter().fold(none, |masks, &p| {
        let flip = Fraction::new(p);
        let with = |p: Fraction| masks.iter().map(move |mask| mask.both(p));
        with(flip.complement()).chain(with(flip)).collect()
    });
    masks.into_iter().map(Fraction::units).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flips(table: &MaskTable) -> Vec<u128> {
        let mut entries = vec![0_u128; table.ends.len()];
        table.masks[..table.rare as usize].iter().for_each(|&m| entries[usize::from(m)] += 1);
        let starts = std::iter::once(&0).chain(&table.ends);
        let left = table.ends.iter().zip(starts).map(|(end, start)| end - start);
        entries.into_iter().zip(left).map(|(whole, left)| (whole << TAIL) + left).collect()
    }

    /// What the table and its tail add up to is the product distribution: all masks together to the last of
    /// 120 digits, each of them to 1e-14 of itself, which is what `f64` can tell.
    #[test]
    fn every_mask_has_its_probability() {
        for p in [vec![0.1; 8], vec![0.5; 8], vec![1e-18, 0.3, 1.0, 0.0], vec![1.0; 2]] {
            let table = MaskTable::new(&p);
            let found = flips(&table);
            assert_eq!(found.iter().sum::<u128>(), Fraction::ONE.units(), "they sum to one");
            for (mask, units) in found.into_iter().enumerate() {
                let exact = |i: usize| if mask >> i & 1 == 1 { p[i] } else { 1.0 - p[i] };
                let exact: f64 = (0..p.len()).map(exact).product();
                let share = units as f64 * 2.0_f64.powi(-120);
                assert!((share - exact).abs() <= 1e-14 * exact + 1e-33, "{mask:#b} of {p:?}");
            }
            assert!((1 << HEAD) - table.rare <= table.ends.len() as u32);
        }
    }

    #[test]
    fn a_fair_coin_needs_no_tail() {
        assert_eq!(MaskTable::new(&[0.5; 8]).rare, 1 << HEAD);
    }
}

//! Outliers of a weight group: the few weights that are stored apart, exactly and protected.
//!
//! Codes for a standard shape hold weights up to some standard deviations, and the scale of a group follows
//! from all of its weights: one of 170 root mean squares would be read as three, and blur all others. It is
//! stored apart instead, as its number and its value, and the rest as if it were not there.
//!
//! # The price
//! Of `n` weights an outlier takes `c = 32 + ⌈log2 n⌉` bits beside the words, and all of them together 32
//! for their number; without any nothing is stored, and the sign of the group's scale, which is never
//! negative, tells so. At the same error every weight takes `log2 σ` bits, where `σ` is the root mean square
//! of what is left in the code (C. E. Shannon's bound falls by a factor of four with each bit). So the `k`
//! largest weights are taken out for which `n log2 σ_k + k c` is least: some 8 root mean squares are where
//! a single one pays. An escape level in the code would take a part of every word, for tensors without
//! outliers as well.

use serde::{Deserialize, Serialize};

use crate::WeightsError;
use crate::codebook::Sample;

/// A weight that is stored apart.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outlier {
    /// Its number in its group.
    pub index: usize,
    /// The weight itself.
    pub weight: f32,
}

/// The outliers of a group, by rising number.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Outliers {
    weights: usize,
    all: Vec<Outlier>,
}

/// What codes for a standard shape need of the weights of a group, whatever their width: they sort the weights, which
/// takes longer than to store them.
#[derive(Debug)]
pub(crate) struct Parted {
    /// The weights that are stored apart.
    pub(crate) outliers: Outliers,
    /// The distribution of the others.
    pub(crate) sample: Sample,
}

impl Parted {
    /// Refuses what is no weight.
    pub(crate) fn of(weights: &[f32]) -> Result<Self, WeightsError> {
        let sample = Sample::of(weights)?;
        let outliers = Outliers::of(weights);
        let rest = || Sample::of(&outliers.rest(weights));
        let sample = if outliers.is_empty() { sample } else { rest()? };
        Ok(Self { outliers, sample })
    }
}

/// At most one weight in so many is an outlier.
const RAREST: usize = 16;

impl Outliers {
    /// The weights, all of them finite, that are best stored apart.
    pub(crate) fn of(weights: &[f32]) -> Self {
        let count = count(weights);
        let mut all: Vec<Outlier> = largest(weights, count)
            .map(|index| Outlier { index, weight: weights[index] })
            .collect();
        all.sort_unstable_by_key(|outlier| outlier.index);
        Self { weights: weights.len(), all }
    }

    /// Those that a plan tells of so many weights, by rising number.
    pub(crate) fn told(weights: usize, all: &[Outlier]) -> Self {
        Self { weights, all: all.to_vec() }
    }

    /// What is stored in the code in place of `weights`: 0 for the outliers.
    pub(crate) fn without(&self, weights: &[f32]) -> Vec<f32> {
        let mut rest = weights.to_vec();
        self.all.iter().for_each(|outlier| rest[outlier.index] = 0.0);
        rest
    }

    /// The weights that are no outliers.
    pub(crate) fn rest(&self, weights: &[f32]) -> Vec<f32> {
        self.rest_of(weights.iter().copied()).collect()
    }

    /// What belongs to the weights that are no outliers, of what belongs to each weight in turn.
    pub(crate) fn rest_of<T>(&self, each: impl Iterator<Item = T>) -> impl Iterator<Item = T> {
        self.rest_from(0, each)
    }

    /// The same of the weights from number `first` on.
    pub(crate) fn rest_from<T>(
        &self,
        first: usize,
        each: impl Iterator<Item = T>,
    ) -> impl Iterator<Item = T> {
        let from = self.all.partition_point(|outlier| outlier.index < first);
        let mut outliers = self.all[from..].iter().map(|outlier| outlier.index).peekable();
        let rest = (first..).zip(each);
        let rest = rest.filter(move |(index, _)| outliers.next_if_eq(index).is_none());
        rest.map(|(_, item)| item)
    }

    /// Puts the outliers in their places among what is read.
    pub(crate) fn restore(&self, read: &mut [f32]) {
        self.all.iter().for_each(|outlier| read[outlier.index] = outlier.weight);
    }

    /// By rising number.
    pub(crate) fn all(&self) -> &[Outlier] {
        &self.all
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Bits that they take beside the words.
    pub(crate) fn metadata_bits(&self) -> u64 {
        if self.is_empty() { 0 } else { 32 + self.all.len() as u64 * bits_of_one(self.weights) }
    }
}

/// A value of 32 bits, and a number below that of the weights.
fn bits_of_one(weights: usize) -> u64 {
    32 + u64::from(weights.max(1).next_power_of_two().ilog2())
}

/// The numbers of the weights of largest magnitude, so many, in no order.
fn largest(weights: &[f32], count: usize) -> impl Iterator<Item = usize> {
    let mut order: Vec<usize> = (0..weights.len()).filter(|_| count > 0).collect();
    if count > 0 && count < order.len() {
        let by_magnitude =
            |a: &usize, b: &usize| weights[*b].abs().total_cmp(&weights[*a].abs()).then(a.cmp(b));
        order.select_nth_unstable_by(count - 1, by_magnitude);
        order.truncate(count);
    }
    order.into_iter()
}

/// How many of the largest weights are best stored apart.
fn count(weights: &[f32]) -> usize {
    let (n, most) = (weights.len(), weights.len() / RAREST);
    let square = |&w: &f32| f64::from(w).powi(2);
    let total: f64 = weights.iter().map(square).sum();
    let largest_square = weights.iter().map(square).fold(0.0, f64::max);
    // So many equal weights that dominate the others would be four root mean squares each.
    if most == 0 || largest_square * n as f64 <= RAREST as f64 * total {
        return 0;
    }
    let mut top: Vec<f64> = largest(weights, most).map(|index| square(&weights[index])).collect();
    top.sort_unstable_by(f64::total_cmp);
    // From the small end: what is left is never a difference of large numbers.
    let mut rest = rest_below(weights, &top);
    let bits = |apart: usize, rest: f64| {
        let price = if apart == 0 { 0 } else { 32 + apart as u64 * bits_of_one(n) };
        n as f64 / 2.0 * (rest / (n - apart) as f64).log2() + price as f64
    };
    let mut best = (bits(most, rest), most);
    for (square, apart) in top.into_iter().zip((0..most).rev()) {
        rest += square;
        let bits = bits(apart, rest);
        if bits <= best.0 {
            best = (bits, apart);
        }
    }
    best.1
}

/// The sum of squares of the weights that are not among those of the largest squares, which are given by
/// rising size.
fn rest_below(weights: &[f32], top: &[f64]) -> f64 {
    let squares = || weights.iter().map(|&w| f64::from(w).powi(2));
    let least = top.first().copied().unwrap_or(f64::INFINITY);
    let below: f64 = squares().filter(|&square| square < least).sum();
    let alike = squares().filter(|&square| square == least).count();
    let among = top.iter().take_while(|&&square| square == least).count();
    below + least * (alike - among) as f64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn numbers(weights: &[f32]) -> Vec<usize> {
        Outliers::of(weights).all().iter().map(|outlier| outlier.index).collect()
    }

    /// Weights in a bell.
    fn bell(n: u32) -> Vec<f32> {
        let uniform = |i: u32| f64::from(i) * 0.618_033_988_749_895 % 1.0;
        (0..n)
            .map(|i| ((0..4).map(|k| uniform(4 * i + k * k + 1)).sum::<f64>() - 2.0) as f32)
            .collect()
    }

    #[test]
    fn bells_have_none_and_cost_nothing() {
        let laplacian = |n: u32| -> Vec<f32> {
            let magnitude = |i| -((f64::from(i) + 0.5) / f64::from(n)).ln() as f32;
            (0..n).flat_map(|i| [magnitude(i), -magnitude(i)]).collect()
        };
        for weights in [bell(100), bell(10_000), laplacian(50), laplacian(20_000), vec![0.0; 99]] {
            let outliers = Outliers::of(&weights);
            assert!(outliers.is_empty() && outliers.metadata_bits() == 0, "{:?}", outliers.all());
            assert_eq!(
                (outliers.without(&weights), outliers.rest(&weights)),
                (weights.clone(), weights)
            );
        }
        assert!(Outliers::of(&[]).is_empty());
    }

    #[test]
    fn one_weight_far_off_is_stored_apart() {
        let mut weights = bell(2048);
        weights[77] = 170.0;
        let outliers = Outliers::of(&weights);
        assert_eq!(outliers.all(), [Outlier { index: 77, weight: 170.0 }]);
        assert_eq!(outliers.metadata_bits(), 32 + 32 + 11);
        let (rest, mut read) = (outliers.rest(&weights), outliers.without(&weights));
        assert_eq!((rest.len(), read[77]), (2047, 0.0));
        assert!(!rest.contains(&170.0));
        outliers.restore(&mut read);
        assert_eq!(read, weights);
        // Several at once, which hide each other from a look at one alone.
        (0..10).for_each(|i| weights[i * 200] = -100.0);
        assert_eq!(numbers(&weights), [0, 77, 200, 400, 600, 800, 1000, 1200, 1400, 1600, 1800]);
    }

    proptest! {
        /// The least of the objective, written out for every number of outliers.
        #[test]
        fn as_many_are_taken_as_pay(
            mut weights in prop::collection::vec(-1.0_f32..1.0, 32..300),
            far in prop::collection::vec((any::<prop::sample::Index>(), 1.0_f32..200.0), 0..6),
        ) {
            for (place, weight) in far {
                let place = place.index(weights.len());
                weights[place] = weight;
            }
            let n = weights.len();
            let mut squares: Vec<f64> = weights.iter().map(|&w| f64::from(w).powi(2)).collect();
            squares.sort_by(|a, b| b.total_cmp(a));
            let bits = |k: usize| {
                let rest: f64 = squares[k..].iter().sum();
                let price = if k == 0 { 0.0 } else { 32.0 + k as f64 * (32.0 + (n as f64).log2().ceil()) };
                n as f64 * (rest / (n - k) as f64).sqrt().log2() + price
            };
            let least = (0..=n / 16).map(bits).fold(f64::INFINITY, f64::min);
            let found = numbers(&weights).len();
            prop_assert!(bits(found) <= least + 1e-6, "{} {} {}", found, bits(found), least);
        }
    }
}

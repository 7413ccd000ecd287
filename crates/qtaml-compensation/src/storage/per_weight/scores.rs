//! Scores of single weights, and how many top bits of each are protected.

use qtaml_fault::{BitMask, FaultError};
use qtaml_quant::BitWidth;

/// What the score of each weight of a tensor follows from, in the order of its output channels.
///
/// # Formula
/// `score = scale² 2^(row + column)`, exact in `f64`: the scale and the exponent `row` are those of the
/// weight's output channel, the exponent `column` is that of its number there.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Scores {
    pub(super) channels: usize,
    /// One, or one for each channel.
    pub(super) scales: Vec<f32>,
    /// None, or one for each channel.
    pub(super) rows: Vec<i8>,
    /// None, or one for each number in a channel.
    pub(super) columns: Vec<i8>,
    /// The exponents of columns that there are.
    classes: Vec<i8>,
    /// Which of them a column has.
    class_of: Vec<u8>,
}

impl Scores {
    /// The scores of so many weights.
    pub(super) fn new(
        weights: usize,
        channels: usize,
        scales: Vec<f32>,
        (rows, columns): (Vec<i8>, Vec<i8>),
    ) -> Self {
        let exponent = |column: usize| columns.get(column).copied().unwrap_or(0);
        let length = weights / channels.max(1);
        let mut classes: Vec<i8> = (0..length).map(exponent).collect();
        let all = classes.clone();
        classes.sort_unstable();
        classes.dedup();
        // There are as many bytes as exponents.
        let class = |exponent: &i8| classes.partition_point(|class| class < exponent) as u8;
        let class_of = all.iter().map(class).collect();
        Self { channels, scales, rows, columns, classes, class_of }
    }

    pub(super) fn weights(&self) -> usize {
        self.channels * self.class_of.len()
    }

    /// The number of weights of a channel.
    pub(super) fn channel_len(&self) -> usize {
        self.class_of.len()
    }

    pub(super) fn scale(&self, channel: usize) -> f32 {
        self.scales.get(channel).or(self.scales.first()).copied().unwrap_or(0.0)
    }

    /// The scores of a channel's classes.
    pub(super) fn of_channel(&self, channel: usize) -> impl Iterator<Item = f64> {
        let scale = f64::from(self.scale(channel));
        let row = self.rows.get(channel).copied().unwrap_or(0);
        let score =
            move |&class: &i8| scale * scale * 2.0_f64.powi(i32::from(row) + i32::from(class));
        self.classes.iter().map(score)
    }

    /// The number of classes.
    pub(super) fn classes(&self) -> usize {
        self.classes.len()
    }

    /// The class of each weight of a channel.
    pub(super) fn class_of(&self) -> &[u8] {
        &self.class_of
    }

    /// How many top bits of each weight are protected: as many as there are thresholds that its score
    /// reaches.
    pub(super) fn protected(&self, thresholds: &[f64]) -> Vec<u8> {
        let mut protected = Vec::with_capacity(self.weights());
        for channel in 0..self.channels {
            let of_class: Vec<u8> =
                self.of_channel(channel).map(|score| reached(score, thresholds)).collect();
            protected.extend(self.class_of.iter().map(|&class| of_class[usize::from(class)]));
        }
        protected
    }
}

/// How many of the rising thresholds a score reaches.
pub(super) fn reached(score: f64, thresholds: &[f64]) -> u8 {
    thresholds.iter().take_while(|&&threshold| score >= threshold).count() as u8
}

/// The sets of no top bit to all of them.
pub(super) fn top_masks(width: BitWidth) -> Result<Vec<BitMask>, FaultError> {
    (0..=width.get()).map(|k| BitMask::top(k, width)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn scores_are_what_they_say() {
        let columns = vec![3, -2, 3];
        let scores = Scores::new(6, 2, vec![0.5, 2.0], (vec![0, -1], columns));
        assert_eq!((scores.weights(), scores.classes()), (6, 2));
        assert_eq!(scores.of_channel(0).collect::<Vec<_>>(), [0.25 / 4.0, 0.25 * 8.0]);
        assert_eq!(scores.of_channel(1).collect::<Vec<_>>(), [2.0 / 4.0, 2.0 * 8.0]);
        assert_eq!(scores.protected(&[0.5, 2.0, 2.5]), [2, 0, 2, 3, 1, 3]);
        assert_eq!(scores.protected(&[]), [0; 6]);
        let plain = Scores::new(6, 2, vec![0.5], (vec![], vec![]));
        assert_eq!(plain.protected(&[0.0, 0.25, 0.26]), [2; 6]);
    }

    proptest! {
        /// More score never means fewer bits, whatever the thresholds.
        #[test]
        fn bits_rise_with_the_score(
            mut thresholds in prop::collection::vec(0.0_f64..10.0, 0..9),
            scales in prop::collection::vec(0.0_f32..2.0, 4),
            rows in prop::collection::vec(-3_i8..3, 4), columns in prop::collection::vec(any::<i8>(), 5),
        ) {
            thresholds.sort_by(f64::total_cmp);
            let scores = Scores::new(20, 4, scales.clone(), (rows.clone(), columns.clone()));
            let protected = scores.protected(&thresholds);
            let score = |at: usize| {
                let exponent = f64::from(rows[at / 5]) + f64::from(columns[at % 5]);
                f64::from(scales[at / 5]).powi(2) * exponent.exp2()
            };
            for (at, &bits) in protected.iter().enumerate() {
                let expected = thresholds.iter().filter(|&&t| score(at) >= t).count();
                prop_assert_eq!(usize::from(bits), expected);
                for (other, &others) in protected.iter().enumerate() {
                    prop_assert!(score(other) < score(at) || others >= bits);
                }
            }
        }
    }
}

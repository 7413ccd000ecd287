//! The encoder of a codebook, and the two half steps of the design.

use super::envelope::lower_envelope;
use super::{Sample, WordChannel};

/// A partition of the line: `words[i]` for weights from `thresholds[i - 1]` to `thresholds[i]`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Encoder {
    pub(super) words: Vec<u16>,
    pub(super) thresholds: Vec<f64>,
}

impl Encoder {
    /// The encoder step: for every weight the word of least expected square error, by the envelope
    /// of `w^2 - 2 w E[g | x] + E[g^2 | x]` over all words `x`.
    pub(super) fn best(table: &[f64], channel: &WordChannel) -> Self {
        let (mean, square) = moments(table, channel);
        let (words, thresholds) = lower_envelope(&mean, &square);
        Self { words, thresholds }
    }

    /// The decoder step: for every word read the mean of the weights behind it. A word that is
    /// never read stands for the mean of all weights.
    pub(super) fn best_table(&self, sample: &Sample, channel: &WordChannel) -> Vec<f64> {
        let [mass, first] = self.read(sample, channel);
        let mean = sample.mean();
        let of_word = |(&mass, &first)| if mass > 0.0 { first / mass } else { mean };
        mass.iter().zip(&first).map(of_word).collect()
    }

    /// The expected square error of the stored sample: `Σ_x (q_x - 2 E[g | x] s_x + E[g^2 | x] m_x)`
    /// over mass `m`, first moment `s` and second moment `q` of what is stored as `x`.
    pub(super) fn mse(&self, table: &[f64], sample: &Sample, channel: &WordChannel) -> f64 {
        let (mean, square) = moments(table, channel);
        let of_cell = |(&word, [mass, first, second]): (&u16, [f64; 3])| {
            let word = usize::from(word);
            second - 2.0 * mean[word] * first + square[word] * mass
        };
        let total: f64 = self.words.iter().zip(sample.cells(&self.thresholds)).map(of_cell).sum();
        total.max(0.0)
    }

    /// Mass and first moment of the weights behind every word read.
    pub(super) fn read(&self, sample: &Sample, channel: &WordChannel) -> [Vec<f64>; 2] {
        let mut read = [vec![0.0; channel.words()], vec![0.0; channel.words()]];
        for (&word, [mass, first, _]) in self.words.iter().zip(sample.cells(&self.thresholds)) {
            read[0][usize::from(word)] += mass;
            read[1][usize::from(word)] += first;
        }
        for stored in &mut read {
            channel.carry(stored).expect("one value per word");
        }
        read
    }
}

/// `E[g | x]` and `E[g^2 | x]` for every word stored.
pub(super) fn moments(table: &[f64], channel: &WordChannel) -> (Vec<f64>, Vec<f64>) {
    let (mut mean, mut square) = (table.to_vec(), table.iter().map(|g| g * g).collect::<Vec<_>>());
    for values in [&mut mean, &mut square] {
        channel.expect(values).expect("a table has one value per word");
    }
    (mean, square)
}

#[cfg(test)]
mod tests {
    use approx::assert_relative_eq;
    use proptest::prelude::*;
    use qtaml_physics::FlipProbability;

    use super::*;

    proptest! {
        /// Neither step makes it worse, from anywhere, for any channel: the descent is monotone.
        #[test]
        fn each_half_step_descends(
            weights in prop::collection::vec(-2.0..2.0_f32, 1..60),
            p01 in 0.0..=1.0_f64,
            p10 in 0.0..=1.0_f64,
            table in prop::collection::vec(-2.0..2.0_f64, 8),
        ) {
            let sample = Sample::of(&weights).unwrap();
            let flips = FlipProbability::asymmetric(p01, p10).unwrap();
            let channel = WordChannel::new(flips, 3).unwrap();
            let (mut encoder, mut table) = (Encoder::best(&table, &channel), table);
            let mut last = encoder.mse(&table, &sample, &channel);
            for _ in 0..5 {
                table = encoder.best_table(&sample, &channel);
                let decoded = encoder.mse(&table, &sample, &channel);
                prop_assert!(decoded <= last + 1e-12, "decoder: {last} to {decoded}");
                encoder = Encoder::best(&table, &channel);
                last = encoder.mse(&table, &sample, &channel);
                prop_assert!(last <= decoded + 1e-12, "encoder: {decoded} to {last}");
            }
        }
    }

    /// Two weights in one perfect bit, and in one that flips with p: g(y) = ±(1 - 2p).
    #[test]
    fn one_bit_is_done_by_hand() {
        let sample = Sample::of(&[-1.0, 1.0]).unwrap();
        let encoder = Encoder { words: vec![0, 1], thresholds: vec![0.0] };
        for p in [0.0, 0.1, 0.5] {
            let channel = WordChannel::new(FlipProbability::symmetric(p).unwrap(), 1).unwrap();
            let table = encoder.best_table(&sample, &channel);
            assert_relative_eq!(table[1], 1.0 - 2.0 * p, epsilon = 1e-15);
            let expected = 1.0 - (1.0 - 2.0 * p).powi(2);
            let mse = encoder.mse(&table, &sample, &channel);
            assert_relative_eq!(mse, expected, epsilon = 1e-15);
        }
    }
}

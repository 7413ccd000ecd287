//! The report of `qtaml verify`: all scores, in the same rows in JSON, CSV and on the terminal.

use std::fmt;

use qtaml::fault::{BitZScore, ChannelSample, Ecc, QuantizedChannel, Seed, ZScore, largest_z};
use qtaml::physics::FlipProfile;
use qtaml::quant::Format;
use serde::Serialize;

use super::layers::Layer;

/// Everything that is printed or written.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) format: Format,
    pub(super) flips: FlipProfile,
    pub(super) protected_bits: Vec<u32>,
    /// What keeps them.
    pub(super) ecc: Ecc,
    pub(super) seed: Seed,
    /// Reads of each code.
    pub(super) trials: u64,
    /// The model file; none for synthetic layers.
    pub(super) weights: Option<String>,
    pub(super) codes: Vec<Row<StoredCode>>,
    pub(super) bits: Vec<Row<StoredBit>>,
    pub(super) layers: Vec<Row<LayerMean>>,
    #[serde(flatten)]
    pub(super) outcome: Outcome,
}

/// One score and what it is of.
#[derive(Debug, Serialize)]
pub(super) struct Row<T> {
    #[serde(flatten)]
    pub(super) of: T,
    #[serde(flatten)]
    pub(super) reading: Reading,
}

/// A closed form and what was sampled of it, in units of the code.
#[derive(Debug, Serialize)]
pub(super) struct Reading {
    pub(super) quantity: Quantity,
    pub(super) expected: f64,
    pub(super) sampled: f64,
    pub(super) standard_error: f64,
    pub(super) z: f64,
    /// Whether it rests on flips enough for the verdict to count it.
    pub(super) judged: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Quantity {
    MeanError,
    Variance,
    FlipProbability,
}

/// A stored code; sign-magnitude has two words for zero.
#[derive(Debug, Clone, Serialize)]
pub(super) struct StoredCode {
    pub(super) code: i32,
    pub(super) word: u8,
    pub(super) reads: u64,
}

/// A bit that stores one of its two values.
#[derive(Debug, Serialize)]
pub(super) struct StoredBit {
    pub(super) bit: usize,
    pub(super) stored: u8,
    /// What it adds to the variance of a code in the mean over all codes, by its closed form.
    pub(super) variance_expected: f64,
    /// The same from its sampled flips.
    pub(super) variance_sampled: f64,
    /// Share of the variance that the bit owns, whatever it stores.
    pub(super) share: f64,
}

/// A mean over all weights of a layer.
#[derive(Debug, Clone, Serialize)]
pub(super) struct LayerMean {
    pub(super) layer: String,
    pub(super) weights: usize,
    /// How often the layer was read.
    pub(super) passes: u32,
    /// What one step of the code is worth in the weights.
    pub(super) scale: f32,
    /// The reading times the scale, squared for a variance: in units of the weights.
    pub(super) weight_expected: f64,
    pub(super) weight_sampled: f64,
    pub(super) weight_standard_error: f64,
}

/// The verdict and what it rests on.
#[derive(Debug, Serialize)]
pub(super) struct Outcome {
    pub(super) verdict: Verdict,
    pub(super) largest_z: f64,
    /// What it is of.
    pub(super) worst: String,
    /// How many scores are judged.
    pub(super) scores: usize,
    pub(super) beyond_bound: usize,
    pub(super) bound: f64,
    pub(super) false_alarm: f64,
    /// Reads of each code that a verdict needs.
    pub(super) trials_needed: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verdict {
    Holds,
    Contradicted,
    NotJudged,
}

impl Reading {
    fn new(quantity: Quantity, score: ZScore, judged: bool) -> Self {
        let ZScore { theory: expected, measured: sampled, standard_error, .. } = score;
        Self { quantity, expected, sampled, standard_error, z: score.z(), judged }
    }
}

/// Mean error and variance of every word, in the order of the codes.
pub(super) fn code_rows(sample: &ChannelSample) -> Vec<Row<StoredCode>> {
    let (format, judged) = (sample.channel().format(), sample.is_large_enough());
    let scores = sample.drifts().into_iter().zip(sample.variances());
    let rows = sample.moments().iter().zip(scores).flat_map(|(m, (drift, variance))| {
        let of = StoredCode { code: format.code_of(m.stored).0, word: m.stored.0, reads: m.n };
        [(Quantity::MeanError, drift), (Quantity::Variance, variance)].map(|(quantity, score)| {
            Row { of: of.clone(), reading: Reading::new(quantity, score, judged) }
        })
    });
    let mut rows: Vec<_> = rows.collect();
    rows.sort_by_key(|row| (row.of.code, row.of.word));
    rows
}

/// The flips of every bit that is not kept ideally, the most significant first.
pub(super) fn bit_rows(sample: &ChannelSample) -> Vec<Row<StoredBit>> {
    let (scores, judged) = (sample.bits(), sample.is_large_enough());
    let of = |wanted: &dyn Fn(&BitZScore) -> bool| -> f64 {
        scores.iter().filter(|score| wanted(score)).map(BitZScore::variance).sum()
    };
    let all = of(&|_| true);
    let row = |score: &BitZScore| Row {
        of: StoredBit {
            bit: score.bit,
            stored: score.value.into(),
            variance_expected: score.variance(),
            variance_sampled: score.sampled_variance(),
            // Where nothing is random, no bit has a part in it.
            share: if all > 0.0 { of(&|other| other.bit == score.bit) / all } else { 0.0 },
        },
        reading: Reading::new(Quantity::FlipProbability, score.score, judged),
    };
    let mut rows: Vec<_> = scores.iter().map(row).collect();
    rows.sort_by_key(|row| std::cmp::Reverse(row.of.bit));
    rows
}

/// Mean error and variance of a layer.
pub(super) fn layer_rows(
    layer: &Layer,
    sample: &ChannelSample,
    passes: u32,
) -> [Row<LayerMean>; 2] {
    let (weights, scale) = (layer.stored.len(), layer.stored.scale());
    let step = f64::from(scale);
    [
        (Quantity::MeanError, sample.mean_drift(), step),
        (Quantity::Variance, sample.mean_variance(), step * step),
    ]
    .map(|(quantity, score, unit)| Row {
        of: LayerMean {
            layer: layer.name.clone(),
            weights,
            passes,
            scale,
            weight_expected: unit * score.theory,
            weight_sampled: unit * score.measured,
            weight_standard_error: unit * score.standard_error,
        },
        reading: Reading::new(quantity, score, sample.has_normal_means()),
    })
}

impl Outcome {
    /// The verdict on all scores at once.
    pub(super) fn new(
        channel: &QuantizedChannel,
        codes: &[Row<StoredCode>],
        bits: &[Row<StoredBit>],
        layers: &[Row<LayerMean>],
        false_alarm: f64,
    ) -> Self {
        let all: Vec<(String, &Reading)> = (codes.iter().map(Row::named))
            .chain(bits.iter().map(Row::named))
            .chain(layers.iter().map(Row::named))
            .collect();
        let is_judged = codes.iter().all(|row| row.reading.judged);
        let judged = || all.iter().filter(|(_, reading)| reading.judged || !is_judged);
        let by_size = |a: &&(_, &Reading), b: &&(_, &Reading)| a.1.z.abs().total_cmp(&b.1.z.abs());
        let worst = judged().max_by(by_size);
        let scores = judged().count();
        let bound = largest_z(scores, false_alarm);
        let beyond_bound = judged().filter(|(_, reading)| reading.z.abs() > bound).count();
        let verdict = match beyond_bound {
            _ if !is_judged => Verdict::NotJudged,
            0 => Verdict::Holds,
            _ => Verdict::Contradicted,
        };
        Self {
            verdict,
            largest_z: worst.map_or(0.0, |(_, reading)| reading.z.abs()),
            worst: worst.map_or_else(String::new, |(name, _)| name.clone()),
            scores,
            beyond_bound,
            bound,
            false_alarm,
            trials_needed: ChannelSample::reads_needed(channel),
        }
    }
}

impl<T: fmt::Display> Row<T> {
    fn named(&self) -> (String, &Reading) {
        (format!("{} of {}", self.reading.quantity, self.of), &self.reading)
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MeanError => "mean error",
            Self::Variance => "variance",
            Self::FlipProbability => "flip probability",
        })
    }
}

impl fmt::Display for StoredCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "code {}", self.code)
    }
}

impl fmt::Display for StoredBit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bit {} storing {}", self.bit, self.stored)
    }
}

impl fmt::Display for LayerMean {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "layer {}", self.layer)
    }
}

#[cfg(test)]
mod tests {
    use qtaml::fault::BitMask;
    use qtaml::physics::FlipProbability;
    use qtaml::quant::BitWidth;

    use super::*;

    fn channel(p: f64) -> QuantizedChannel {
        let flips = FlipProbability::symmetric(p).unwrap();
        QuantizedChannel::new(flips, BitWidth::INT4, BitMask::NONE).unwrap()
    }

    fn outcome(drawn: &QuantizedChannel, claimed: &QuantizedChannel, n: usize) -> Outcome {
        let sample = ChannelSample::of_every_word(drawn, Seed(1), "report", n).unwrap();
        let sample = ChannelSample::from_moments(claimed, sample.moments().to_vec()).unwrap();
        Outcome::new(claimed, &code_rows(&sample), &bit_rows(&sample), &[], 1e-6)
    }

    #[test]
    fn the_verdict_depends_on_what_was_sampled() {
        let holds = outcome(&channel(0.1), &channel(0.1), 20_000);
        assert_eq!((holds.verdict, holds.beyond_bound, holds.scores), (Verdict::Holds, 0, 40));
        let wrong = outcome(&channel(0.12), &channel(0.1), 20_000);
        assert_eq!(wrong.verdict, Verdict::Contradicted);
        assert!(wrong.beyond_bound > 0 && wrong.largest_z > wrong.bound, "{wrong:?}");
        let few = outcome(&channel(0.12), &channel(0.1), 9_999);
        assert_eq!((few.verdict, few.trials_needed), (Verdict::NotJudged, 10_000.0));
    }

    #[test]
    fn the_top_bit_owns_three_quarters() {
        let sample = ChannelSample::of_every_word(&channel(0.1), Seed(1), "share", 100).unwrap();
        let rows = bit_rows(&sample);
        assert_eq!((rows[0].of.bit, rows[0].of.stored), (3, 0));
        // 3 * 4^3 / (4^4 - 1)
        assert!((rows[0].of.share - 192.0 / 255.0).abs() < 1e-12);
    }

    #[test]
    fn a_layer_is_measured_in_codes_and_in_weights() {
        let stored =
            qtaml::quant::QuantizedTensor::quantize(&[1.4, -0.6], &[2], BitWidth::INT4).unwrap();
        let sample = ChannelSample::of_tensor(&channel(0.1), Seed(1), "w", &stored, 7).unwrap();
        let [mean, variance] = layer_rows(&Layer { name: "w".into(), stored }, &sample, 7);
        assert_eq!((mean.of.passes, mean.of.weights), (7, 2));
        // E[q'] - q = -2pq - p over codes 7 and -3, in steps of 0.2.
        assert!((mean.reading.expected - (-0.2 * 2.0 - 0.1)).abs() < 1e-12);
        assert!((mean.of.weight_expected - 0.2 * mean.reading.expected).abs() < 1e-8);
        assert!((variance.of.weight_expected - 0.04 * 0.09 * 85.0).abs() < 1e-6);
        assert!(!mean.reading.judged, "seven reads are no sample");
    }
}

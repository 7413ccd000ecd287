//! Priors of a Bayes decoder.

use qtaml_quant::{Code, Format};
use serde::{Deserialize, Serialize};
use statrs::function::gamma::{gamma_lr, ln_gamma};

use crate::{CodeHistogram, DecoderError};

/// How the distribution of the stored codes is known to the reader.
///
/// What it takes is information that must be kept reliably beside the weights, and it counts
/// ([`metadata_bits`](Self::metadata_bits)): the histogram of 54 weights would *be* the weights.
///
/// ```
/// use qtaml_compensation::Prior;
/// use qtaml_quant::Format;
///
/// assert_eq!(Prior::GeneralisedNormal.metadata_bits(Format::INT8), 64);
/// assert_eq!(Prior::Histogram.metadata_bits(Format::INT8), 8192);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Prior {
    /// A generalised normal distribution around zero, of two numbers. It suits weights in one heap; it does
    /// not suit a tensor of two values.
    ///
    /// # Formula
    /// Density `∝ exp(-|w/s|^β)`, the width `s` and the shape `β` in 1/4..=16 fitted to the first
    /// two absolute moments of the codes (S. G. Mallat, IEEE Trans. Pattern Anal. Mach. Intell. 11,
    /// 674, 1989), rounded to the codes as weights are. One weight's worth of it, the share
    /// `1 / (n + 1)` for `n` weights, is spread over all codes alike (ours): the largest weight is
    /// always there, however thin the tail, and no code that may be stored is impossible.
    #[default]
    GeneralisedNormal,
    /// The histogram itself.
    Histogram,
}

qtaml_quant::names!(Prior, "prior", {
    GeneralisedNormal: "generalised-normal",
    Histogram: "histogram",
});

impl Prior {
    /// What is believed of weights that are stored as `stored` says.
    pub fn apply(self, stored: &CodeHistogram) -> CodeHistogram {
        match self {
            Self::GeneralisedNormal => {
                GeneralisedNormal::fitted_to(stored).histogram(stored.format(), stored.weights())
            }
            Self::Histogram => stored.clone(),
        }
    }

    /// The same, in the numbers that a reader without the weights must be given.
    pub fn fitted_to(self, stored: &CodeHistogram) -> FittedPrior {
        match self {
            Self::GeneralisedNormal => {
                let GeneralisedNormal { width, shape } = GeneralisedNormal::fitted_to(stored);
                FittedPrior::GeneralisedNormal { width, shape }
            }
            Self::Histogram => FittedPrior::Histogram(stored.counts()),
        }
    }

    /// Bits that it takes beside the weights: 32 a number.
    pub fn metadata_bits(self, format: Format) -> u64 {
        match self {
            Self::GeneralisedNormal => 2 * 32,
            Self::Histogram => 32 * format.bits().levels() as u64,
        }
    }
}

/// What a [`Prior`] knows of one unit of weights: with channel and scale, all that it takes to read
/// them.
///
/// ```
/// use qtaml_compensation::{CodeHistogram, Prior};
/// use qtaml_quant::{BitWidth, QuantizedTensor};
///
/// let weights: Vec<f32> = (0..100).map(|i| (i as f32).sin().powi(3)).collect();
/// let stored = CodeHistogram::of(&QuantizedTensor::quantize(&weights, &[100], BitWidth::INT8)?);
/// for prior in Prior::ALL {
///     let told = prior.fitted_to(&stored).histogram(stored.format(), 100)?;
///     assert_eq!(told, prior.apply(&stored));
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum FittedPrior {
    /// A distribution of density `∝ exp(-|q / width|^shape)` over the codes `q`; width 0 is certainty of 0.
    GeneralisedNormal {
        /// The width, in units of the code.
        width: f64,
        /// The shape, in 1/4..=16: 2 is normal, 1 is that of Laplace.
        shape: f64,
    },
    /// How often each word is stored, in the order of their bit patterns.
    Histogram(Vec<u64>),
}

impl FittedPrior {
    /// What is believed of so many weights, stored as words of this format.
    ///
    /// # Errors
    /// [`DecoderError::FittedPrior`] for a width that is negative, NaN or infinite, or a shape
    /// beyond 1/4..=16, and as [`CodeHistogram::from_counts`].
    pub fn histogram(&self, format: Format, weights: usize) -> Result<CodeHistogram, DecoderError> {
        match *self {
            Self::GeneralisedNormal { width, shape } => {
                let [least, most] = GeneralisedNormal::SHAPES;
                if width >= 0.0 && width.is_finite() && (least..=most).contains(&shape) {
                    Ok(GeneralisedNormal { width, shape }.histogram(format, weights as f64))
                } else {
                    Err(DecoderError::FittedPrior { width, shape })
                }
            }
            Self::Histogram(ref counts) => CodeHistogram::from_counts(format, counts),
        }
    }
}

/// The distribution of density `∝ exp(-|w / width|^shape)`; width 0 is certainty of 0.
#[derive(Debug, Clone, Copy, PartialEq)]
struct GeneralisedNormal {
    width: f64,
    shape: f64,
}

impl GeneralisedNormal {
    /// From tails that hardly fall to a box; normal is 2, Laplace 1.
    const SHAPES: [f64; 2] = [0.25, 16.0];

    /// The one with the first two absolute moments of the codes. What is stored beside the weights
    /// are two numbers of 32 bits, and so it is them that it has.
    fn fitted_to(stored: &CodeHistogram) -> Self {
        let (magnitude, power) = (stored.expect(f64::abs), stored.mean_square());
        if power == 0.0 {
            return Self { width: 0.0, shape: 2.0 };
        }
        let shape = Self::shape_of(magnitude / power.sqrt());
        let width =
            (power.ln() / 2.0 + (ln_gamma(1.0 / shape) - ln_gamma(3.0 / shape)) / 2.0).exp();
        Self { width: f64::from(width as f32), shape: f64::from(shape as f32) }
    }

    /// `E|w| / sqrt(E[w²]) = Γ(2/β) / sqrt(Γ(1/β) Γ(3/β))`: it rises with the shape, up to that of
    /// a box, `√3 / 2`.
    fn ratio(shape: f64) -> f64 {
        let [one, two, three] = [1.0, 2.0, 3.0].map(|k: f64| ln_gamma(k / shape));
        (two - f64::midpoint(one, three)).exp()
    }

    /// Solved by bisection of the logarithm; the nearest end for ratios that no shape has.
    fn shape_of(ratio: f64) -> f64 {
        let [mut low, mut high] = Self::SHAPES.map(f64::ln);
        for _ in 0..32 {
            let middle = f64::midpoint(low, high);
            *(if Self::ratio(middle.exp()) < ratio { &mut low } else { &mut high }) = middle;
        }
        f64::midpoint(low, high).exp()
    }

    /// `P(|w| < x)`, the regularised lower incomplete gamma function at `(x / width)^shape`.
    fn within(self, x: f64) -> f64 {
        if self.width == 0.0 {
            return 1.0;
        }
        // Beyond e^-700 it is 1 to every digit; at 0 the library knows no value.
        let argument = (x / self.width).powf(self.shape).clamp(f64::MIN_POSITIVE, 700.0);
        gamma_lr(1.0 / self.shape, argument)
    }

    /// What it says of so many weights, one weight's worth of it spread over all codes alike.
    fn histogram(self, format: Format, weights: f64) -> CodeHistogram {
        let shares = self.shares(format, 1.0 / (weights + 1.0));
        CodeHistogram::of_shares(format, weights, shares)
    }

    /// The share of every word where weights are rounded to codes and clipped at the outermost one,
    /// and the share `floor` of them is spread over all codes.
    fn shares(self, format: Format, floor: f64) -> Vec<f64> {
        let max = format.bits().max_code();
        let mut shares = vec![0.0; format.bits().levels()];
        let even = floor / f64::from(2 * max + 1);
        let mut inner = 0.0;
        for magnitude in 0..=max {
            let last = magnitude == max;
            let outer = if last { 1.0 } else { self.within(f64::from(magnitude) + 0.5) };
            let mass = outer - inner;
            inner = outer;
            let signs = if magnitude == 0 { 1.0 } else { 2.0 };
            for code in [magnitude, -magnitude] {
                shares[usize::from(format.word_of(Code(code)))] =
                    even + (1.0 - floor) * mass / signs;
            }
        }
        shares
    }
}

#[cfg(test)]
mod tests {
    use approx::assert_relative_eq;
    use qtaml_fault::{BitMask, QuantizedChannel};
    use qtaml_physics::FlipProbability;
    use qtaml_quant::{BitWidth, QuantizedTensor};

    use super::*;
    use crate::{DecodeTable, Decoder, mean_square_error};

    /// Quantiles of a distribution whose magnitude has the given quantile function, both signs: a sample
    /// without chance.
    fn sample(quantile: impl Fn(f64) -> f64, n: u32) -> Vec<f32> {
        let magnitude = |i| quantile((f64::from(i) + 0.5) / f64::from(n)) as f32;
        (0..n).map(magnitude).flat_map(|w| [w, -w]).collect()
    }

    fn laplace(n: u32) -> Vec<f32> {
        sample(|u| -(1.0 - u).ln(), n)
    }

    fn normal(n: u32) -> Vec<f32> {
        sample(|u| std::f64::consts::SQRT_2 * statrs::function::erf::erf_inv(u), n)
    }

    fn histogram(weights: &[f32], format: impl Into<Format>) -> CodeHistogram {
        CodeHistogram::of(&QuantizedTensor::quantize(weights, &[weights.len()], format).unwrap())
    }

    #[test]
    fn names_lead_back_and_are_those_of_files() {
        for prior in Prior::ALL {
            assert_eq!(prior.name().parse(), Ok(prior));
            assert_eq!(serde_json::to_string(&prior).unwrap(), format!("\"{prior}\""));
        }
        let error = "gauss".parse::<Prior>().unwrap_err().to_string();
        assert!(error.contains("\"gauss\"") && error.contains("generalised-normal"), "{error}");
    }

    /// Laplace `1/√2`, normal `√(2/π)`, and 3/2 by mpmath, 30 digits.
    #[test]
    fn ratios_are_those_of_known_laws() {
        for (shape, ratio) in [
            (1.0, std::f64::consts::FRAC_1_SQRT_2),
            (2.0, std::f64::consts::FRAC_2_PI.sqrt()),
            (1.5, 0.767_384_899_140_244_6),
        ] {
            assert_relative_eq!(GeneralisedNormal::ratio(shape), ratio, max_relative = 1e-12);
            assert_relative_eq!(GeneralisedNormal::shape_of(ratio), shape, max_relative = 1e-7);
        }
    }

    /// The masses of a normal distribution against its quadrature, code by code.
    #[test]
    fn masses_are_integrals_of_the_density() {
        let (sigma, n) = (3.0_f64, 2000);
        let normal = GeneralisedNormal { width: sigma * std::f64::consts::SQRT_2, shape: 2.0 };
        let shares = normal.shares(BitWidth::INT8.into(), 0.0);
        let density =
            |x: f64| (-0.5 * (x / sigma).powi(2)).exp() / sigma / std::f64::consts::TAU.sqrt();
        for code in -20_i32..=20 {
            let x = |i: i32| f64::from(code) - 0.5 + (f64::from(i) + 0.5) / f64::from(n);
            let integral = (0..n).map(|i| density(x(i))).sum::<f64>() / f64::from(n);
            let share = shares[usize::from(code as u8)];
            assert_relative_eq!(share, integral, max_relative = 1e-5, epsilon = 1e-14);
        }
    }

    #[test]
    fn shares_sum_to_one_and_every_written_code_has_one() {
        let weights = [laplace(500), normal(500), vec![0.0; 3], vec![1.0], vec![-2.0, 2.0]];
        for weights in weights {
            for format in Format::all() {
                let prior = Prior::GeneralisedNormal.apply(&histogram(&weights, format));
                let sum: f64 = prior.shares().iter().sum();
                assert_relative_eq!(sum, 1.0, epsilon = 1e-12);
                assert_eq!(prior.iter().count() as i32, 2 * format.bits().max_code() + 1);
            }
        }
    }

    #[test]
    fn bells_are_recognised() {
        for (weights, shape) in [(laplace(20_000), 1.0), (normal(20_000), 2.0)] {
            let fitted = GeneralisedNormal::fitted_to(&histogram(&weights, BitWidth::INT8));
            assert!((fitted.shape / shape - 1.0).abs() < 0.03, "{fitted:?}");
        }
    }

    /// What two numbers cost against the whole histogram, and what they gain on raw, at p = 0.1.
    #[test]
    fn two_numbers_are_nearly_as_good_as_the_histogram() {
        let p = FlipProbability::symmetric(0.1).unwrap();
        for weights in [laplace(10_000), normal(10_000), laplace(27), normal(27)] {
            for format in Format::all().filter(|format| format.bits() >= BitWidth::INT4) {
                let stored = histogram(&weights, format);
                let channel = QuantizedChannel::new(p, format, BitMask::NONE).unwrap();
                let error = |decoder, prior: Prior| {
                    let table = DecodeTable::new(decoder, &channel, &prior.apply(&stored)).unwrap();
                    mean_square_error(&stored, &channel, &table).unwrap()
                };
                let fitted = error(Decoder::Bayes, Prior::GeneralisedNormal);
                let best = error(Decoder::Bayes, Prior::Histogram);
                let raw = error(Decoder::Raw, Prior::Histogram);
                // The histogram of 54 weights knows each of them: only a large one is a fair bound.
                if weights.len() > 1000 {
                    assert!(fitted <= 1.02 * best, "{format}: {fitted} {best}");
                }
                assert!(best <= fitted && fitted < raw, "{format}: {best} {fitted} {raw}");
            }
        }
    }
}

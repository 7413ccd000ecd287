//! Priors of a Bayes decoder.

use std::sync::LazyLock;

use qtaml_quant::{Code, CodeRange, Format};
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
    ///
    /// In a [range](CodeRange) that is not symmetric it lies around the mean code, a third number, and
    /// all codes may be stored.
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
    /// What is believed of weights that are stored as `stored` says, in a symmetric range.
    pub fn apply(self, stored: &CodeHistogram) -> CodeHistogram {
        self.apply_in(CodeRange::Symmetric, stored)
    }

    /// The same in any range.
    pub fn apply_in(self, range: CodeRange, stored: &CodeHistogram) -> CodeHistogram {
        match self {
            Self::GeneralisedNormal => GeneralisedNormal::fitted_to(range, stored)
                .histogram(stored.format(), stored.weights()),
            Self::Histogram => stored.clone(),
        }
    }

    /// What it knows of weights in a symmetric range, in the numbers that a reader without them must be
    /// given.
    pub fn fitted_to(self, stored: &CodeHistogram) -> FittedPrior {
        self.fitted_in(CodeRange::Symmetric, stored)
    }

    /// The same in any range.
    pub fn fitted_in(self, range: CodeRange, stored: &CodeHistogram) -> FittedPrior {
        match self {
            Self::GeneralisedNormal => {
                let GeneralisedNormal { location, width, shape } =
                    GeneralisedNormal::fitted_to(range, stored);
                FittedPrior::GeneralisedNormal { width, shape, location }
            }
            Self::Histogram => FittedPrior::Histogram(stored.counts()),
        }
    }

    /// Bits that it takes beside the weights in a symmetric range: 32 a number.
    pub fn metadata_bits(self, format: Format) -> u64 {
        self.metadata_bits_in(CodeRange::Symmetric, format)
    }

    /// The same in any range.
    pub fn metadata_bits_in(self, range: CodeRange, format: Format) -> u64 {
        match self {
            Self::GeneralisedNormal if range.is_symmetric() => 2 * 32,
            Self::GeneralisedNormal => 3 * 32,
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
    /// A distribution of density `∝ exp(-|(q - location) / width|^shape)` over the codes `q`; width 0 is certainty
    /// of the nearest one.
    GeneralisedNormal {
        /// The width, in units of the code.
        width: f64,
        /// The shape, in 1/4..=16: 2 is normal, 1 is that of Laplace.
        shape: f64,
        /// The middle of codes that are not those of a symmetric range, in which it is 0 and the lowest
        /// code of two's complement is never stored.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        location: Option<f64>,
    },
    /// How often each word is stored, in the order of their bit patterns.
    Histogram(Vec<u64>),
}

impl FittedPrior {
    /// Which prior it is of.
    pub const fn kind(&self) -> Prior {
        match self {
            Self::GeneralisedNormal { .. } => Prior::GeneralisedNormal,
            Self::Histogram(_) => Prior::Histogram,
        }
    }

    /// What is believed of so many weights, stored as words of this format.
    ///
    /// # Errors
    /// [`DecoderError::FittedPrior`] for a width that is negative, NaN or infinite, a shape
    /// beyond 1/4..=16, or a location that is NaN or infinite, and as [`CodeHistogram::from_counts`].
    pub fn histogram(&self, format: Format, weights: usize) -> Result<CodeHistogram, DecoderError> {
        match *self {
            Self::GeneralisedNormal { width, shape, location } => {
                let [least, most] = GeneralisedNormal::SHAPES;
                let is_place = location.is_none_or(f64::is_finite);
                let is_width = width >= 0.0 && width.is_finite();
                if is_width && is_place && (least..=most).contains(&shape) {
                    let normal = GeneralisedNormal { location, width, shape };
                    Ok(normal.histogram(format, weights as f64))
                } else {
                    Err(DecoderError::FittedPrior {
                        width,
                        shape,
                        location: location.unwrap_or(0.0),
                    })
                }
            }
            Self::Histogram(ref counts) => CodeHistogram::from_counts(format, counts),
        }
    }
}

/// The distribution of density `∝ exp(-|(w - location) / width|^shape)`; width 0 is certainty.
#[derive(Debug, Clone, Copy, PartialEq)]
struct GeneralisedNormal {
    /// `None` for 0 in a symmetric range.
    location: Option<f64>,
    width: f64,
    shape: f64,
}

/// Shapes between which the shape of a ratio is looked for.
const KNOTS: u32 = 64;
/// Beyond this argument the regularised incomplete gamma function is 1 to every digit, for `1 / shape` up to 4.
const SURE: f64 = 50.0;

impl GeneralisedNormal {
    /// From tails that hardly fall to a box; normal is 2, Laplace 1.
    const SHAPES: [f64; 2] = [0.25, 16.0];

    /// The distribution with the first two absolute moments of the codes, around their mean unless the range is
    /// symmetric. What is stored beside the weights are numbers of 32 bits, and so it is them that it
    /// has.
    fn fitted_to(range: CodeRange, stored: &CodeHistogram) -> Self {
        let location = (!range.is_symmetric()).then(|| f64::from(stored.mean() as f32));
        let center = location.unwrap_or(0.0);
        let magnitude = stored.expect(|code| (code - center).abs());
        let power = stored.expect(|code| (code - center).powi(2));
        if power == 0.0 {
            return Self { location, width: 0.0, shape: 2.0 };
        }
        let shape = Self::shape_of(magnitude / power.sqrt());
        let width =
            (power.ln() / 2.0 + (ln_gamma(1.0 / shape) - ln_gamma(3.0 / shape)) / 2.0).exp();
        Self { location, width: f64::from(width as f32), shape: f64::from(shape as f32) }
    }

    /// `E|w| / sqrt(E[w²]) = Γ(2/β) / sqrt(Γ(1/β) Γ(3/β))`: it rises with the shape, up to that of
    /// a box, `√3 / 2`.
    fn ratio(shape: f64) -> f64 {
        let [one, two, three] = [1.0, 2.0, 3.0].map(|k: f64| ln_gamma(k / shape));
        (two - f64::midpoint(one, three)).exp()
    }

    /// By false position (the Illinois rule) between two knots of a table; the nearest end for ratios that no shape has.
    fn shape_of(ratio: f64) -> f64 {
        static TABLE: LazyLock<Vec<(f64, f64)>> = LazyLock::new(|| {
            let [least, most] = GeneralisedNormal::SHAPES.map(f64::ln);
            let knot = |i: u32| least + (most - least) * f64::from(i) / f64::from(KNOTS);
            (0..=KNOTS).map(|i| (knot(i), GeneralisedNormal::ratio(knot(i).exp()))).collect()
        });
        let [least, most] = Self::SHAPES;
        let (low, high) = match TABLE.partition_point(|&(_, of_knot)| of_knot < ratio) {
            0 => return least,
            above if above == TABLE.len() => return most,
            above => (TABLE[above - 1], TABLE[above]),
        };
        let ((mut a, mut below), (mut b, mut beyond)) =
            ((low.0, low.1 - ratio), (high.0, high.1 - ratio));
        for _ in 0..32 {
            let middle = (a * beyond - b * below) / (beyond - below);
            let error = Self::ratio(middle.exp()) - ratio;
            if error.abs() < 1e-14 || b - a < 1e-12 {
                return middle.exp();
            }
            if error < 0.0 {
                (a, below, beyond) = (middle, error, beyond / 2.0);
            } else {
                (b, beyond, below) = (middle, error, below / 2.0);
            }
        }
        f64::midpoint(a, b).exp()
    }

    /// `P(|w - location| < x)`, the regularised lower incomplete gamma function at `(x / width)^shape`.
    fn within(self, x: f64) -> f64 {
        if self.width == 0.0 {
            return 1.0;
        }
        // At 0 the library knows no value.
        let argument = (x / self.width).powf(self.shape).max(f64::MIN_POSITIVE);
        if argument > SURE { 1.0 } else { gamma_lr(1.0 / self.shape, argument) }
    }

    /// What it says of so many weights, one weight's worth of it spread over all codes alike.
    fn histogram(self, format: Format, weights: f64) -> CodeHistogram {
        let shares = self.shares(format, 1.0 / (weights + 1.0));
        CodeHistogram::of_shares(format, weights, shares)
    }

    /// The share of every word where weights are rounded to codes and clipped at the outermost one,
    /// and the share `floor` of them is spread over all codes.
    fn shares(self, format: Format, floor: f64) -> Vec<f64> {
        match self.location {
            None => self.symmetric_shares(format, floor),
            Some(location) => self.shares_around(location, format, floor),
        }
    }

    /// The shares of all codes, the lowest of two's complement among them.
    fn shares_around(self, location: f64, format: Format, floor: f64) -> Vec<f64> {
        let (least, most) = (format.min_code(), format.bits().max_code());
        let mut shares = vec![0.0; format.bits().levels()];
        let even = floor / f64::from(most - least + 1);
        // Twice the mass on one side of the location, up to a distance from it.
        let half = |edge: f64| self.within((edge - location).abs());
        for code in least..=most {
            let (low, high) = (f64::from(code) - 0.5, f64::from(code) + 0.5);
            let below = if code == least { 1.0 } else { half(low) };
            let above = if code == most { 1.0 } else { half(high) };
            // The outermost codes have all that lies beyond them.
            let mass = match (code == least || low < location, code == most || high >= location) {
                (true, true) => below + above,
                (true, false) => below - above,
                (false, _) => above - below,
            };
            shares[usize::from(format.word_of(Code(code)))] = even + (1.0 - floor) * mass / 2.0;
        }
        shares
    }

    fn symmetric_shares(self, format: Format, floor: f64) -> Vec<f64> {
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
    use qtaml_quant::{BitWidth, Grid, QuantizedTensor};

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

    /// Every shape in f32, from its own ratio, and the ends beyond which there is none.
    #[test]
    fn a_shape_follows_from_its_ratio() {
        for i in 0..=1000 {
            let shape = 0.25 * 64.0_f64.powf(f64::from(i) / 1000.0);
            let found = GeneralisedNormal::shape_of(GeneralisedNormal::ratio(shape));
            assert!((found / shape - 1.0).abs() < 1e-9, "{shape} {found}");
        }
        assert_eq!([0.0, 0.99].map(GeneralisedNormal::shape_of), [0.25, 16.0]);
        // The tail that is left out is less than a digit of 1.
        for shape in [0.25, 1.0, 16.0] {
            assert_eq!(gamma_lr(1.0 / shape, SURE), 1.0, "{shape}");
        }
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
        let width = sigma * std::f64::consts::SQRT_2;
        let normal = GeneralisedNormal { location: None, width, shape: 2.0 };
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
            let stored = histogram(&weights, BitWidth::INT8);
            let fitted = GeneralisedNormal::fitted_to(CodeRange::Symmetric, &stored);
            assert!((fitted.shape / shape - 1.0).abs() < 0.03, "{fitted:?}");
        }
    }

    /// Around any location, also beside the codes, and with all codes: against the same quadrature.
    #[test]
    fn masses_around_a_location_are_integrals_of_the_density() {
        let (sigma, n) = (3.0_f64, 2000);
        let density =
            |x: f64| (-0.5 * (x / sigma).powi(2)).exp() / sigma / std::f64::consts::TAU.sqrt();
        for location in [-2.3, 0.0, 0.5, 7.0, -9.0] {
            for format in Format::all().filter(|format| format.bits() == BitWidth::INT4) {
                let width = sigma * std::f64::consts::SQRT_2;
                let normal = GeneralisedNormal { location: Some(location), width, shape: 2.0 };
                let shares = normal.shares(format, 0.0);
                assert_relative_eq!(shares.iter().sum::<f64>(), 1.0, epsilon = 1e-12);
                let (least, most) = (format.min_code(), format.bits().max_code());
                for code in least + 1..most {
                    let x = |i: i32| f64::from(code) - 0.5 + (f64::from(i) + 0.5) / f64::from(n);
                    let mass = (0..n).map(|i| density(x(i) - location)).sum::<f64>();
                    let share = shares[usize::from(format.word_of(Code(code)))];
                    let integral = mass / f64::from(n);
                    assert_relative_eq!(share, integral, max_relative = 1e-4, epsilon = 1e-12);
                }
            }
        }
        let certain = GeneralisedNormal { location: Some(3.0), width: 0.0, shape: 2.0 };
        let shares = certain.shares(BitWidth::INT4.into(), 0.0);
        assert_eq!(shares[3], 1.0);
    }

    /// Weights far from zero in a min-max range: a distribution around their mean is nearly as good as the histogram,
    /// and one number more.
    #[test]
    fn three_numbers_are_nearly_as_good_as_the_histogram_in_any_range() {
        let p = FlipProbability::symmetric(0.1).unwrap();
        for (weights, shift) in [(laplace(10_000), 3.0), (normal(10_000), -20.0)] {
            let weights: Vec<f32> = weights.into_iter().map(|w| w + shift).collect();
            let (low, high) =
                weights.iter().fold((f32::MAX, f32::MIN), |(l, h), &w| (l.min(w), h.max(w)));
            for format in Format::all().filter(|format| format.bits() >= BitWidth::INT4) {
                for range in [CodeRange::MinMax, CodeRange::ZeroPoint] {
                    let grid = Grid::spanning(format, range, low, high).unwrap();
                    let stored = QuantizedTensor::quantize_on(&weights, &[weights.len()], grid);
                    let stored = CodeHistogram::of(&stored.unwrap());
                    let channel = QuantizedChannel::new(p, format, BitMask::NONE).unwrap();
                    let error = |prior: Prior| {
                        let table =
                            DecodeTable::of_group(Decoder::Bayes, &channel, prior, &stored, grid);
                        mean_square_error(&stored, &channel, &table.unwrap()).unwrap()
                    };
                    let (fitted, best) = (error(Prior::GeneralisedNormal), error(Prior::Histogram));
                    // Of a zero-point range only some of the codes are used.
                    assert!(fitted <= 1.06 * best, "{format} {range}: {fitted} {best}");
                    for prior in Prior::ALL {
                        let told = prior.fitted_in(range, &stored).histogram(format, weights.len());
                        assert_eq!(told.unwrap(), prior.apply_in(range, &stored));
                    }
                }
            }
        }
        let numbers = |range| Prior::GeneralisedNormal.metadata_bits_in(range, Format::INT8);
        assert_eq!(CodeRange::ALL.map(numbers), [64, 96, 96]);
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

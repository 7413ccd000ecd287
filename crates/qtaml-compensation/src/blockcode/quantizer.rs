//! The uniform quantizer of block-coded weights, and how often each cell is expected.

use std::sync::{Arc, LazyLock};

use super::entropy::EntropyCode;
use crate::codebook::StandardShape;
use crate::memo::Memo;

/// Weights beyond so many standard deviations are clipped.
const REACH: f64 = 16.0;
/// Below this mass a cell has the value of its middle.
const LEAST_MASS: f64 = 1e-12;
/// Powers of two of sigma between which a step lies: from all weights in one cell down to 1/256 of it.
const OCTAVES: [f64; 2] = [-8.0, 5.0];

/// Cells of one shape and one step, for weights of variance 1.
#[derive(Debug)]
struct Cells {
    /// The mean weight of each.
    values: Vec<f64>,
    entropy: EntropyCode,
}

/// Those that were asked for: few steps of few shapes serve all groups of all models.
static CELLS: LazyLock<Memo<(StandardShape, Option<u16>), Cells>> = LazyLock::new(Memo::default);

/// A uniform quantizer and the entropy code of its cells, for weights of a known distribution.
///
/// At the same rate it is at most 1.53 dB, `10 lg(2 π e / 12)`, from the best quantizer of any
/// dimension once the step is small (H. Gish and J. N. Pierce, IEEE Transactions on Information
/// Theory 14, 676, 1968).
///
/// Means and masses of its cells are those of the nearest of [`STEPS`](Self::STEPS) steps between `2^-8` and `2^5`
/// standard deviations, evenly spaced in the logarithm: 0.22 % from one to the next.
#[derive(Debug, Clone)]
pub(super) struct Quantizer {
    step: f32,
    sigma: f32,
    cells: Arc<Cells>,
}

impl Cells {
    /// An infinite step leaves one value.
    fn new(shape: StandardShape, step: f64) -> Self {
        let half = (REACH / step).ceil().clamp(0.0, (EntropyCode::MOST_SYMBOLS / 2) as f64) as i32;
        let half = if step.is_finite() { half } else { 0 };
        let thresholds: Vec<f64> = (1 - half..=half).map(|i| (f64::from(i) - 0.5) * step).collect();
        let cells: Vec<[f64; 3]> = shape.sample().cells(&thresholds).collect();
        let value = |(i, &[mass, first, _]): (i32, &[f64; 3])| {
            let middle = if half == 0 { 0.0 } else { f64::from(i) * step };
            if mass > LEAST_MASS { first / mass } else { middle }
        };
        let values = (-half..=half).zip(&cells).map(value).collect();
        let masses: Vec<f64> = cells.iter().map(|[mass, ..]| mass.clamp(0.0, 1.0)).collect();
        Self { values, entropy: EntropyCode::new(&masses) }
    }
}

impl Quantizer {
    /// The steps that are told apart.
    pub(super) const STEPS: u16 = 1 << 12;

    /// For weights `sigma` times those of a shape of variance 1. An infinite step leaves one value.
    pub(super) fn new(shape: StandardShape, sigma: f32, step: f32) -> Self {
        let [least, most] = OCTAVES;
        let octave = (f64::from(step) / f64::from(sigma)).log2();
        let nearest = ((octave - least) / (most - least) * f64::from(Self::STEPS)).round();
        let number = nearest.is_finite().then(|| nearest.clamp(0.0, Self::STEPS.into()) as u16);
        Self { step, sigma, cells: Self::cells(shape, number) }
    }

    /// With a step by its number, the finest first.
    pub(super) fn with_step(shape: StandardShape, sigma: f32, number: u16) -> Self {
        let step = (f64::from(sigma) * Self::octave(number).exp2()) as f32;
        Self { step, sigma, cells: Self::cells(shape, Some(number)) }
    }

    fn octave(number: u16) -> f64 {
        let [least, most] = OCTAVES;
        least + (most - least) * f64::from(number) / f64::from(Self::STEPS)
    }

    fn cells(shape: StandardShape, number: Option<u16>) -> Arc<Cells> {
        let step = number.map_or(f64::INFINITY, |number| Self::octave(number).exp2());
        CELLS.get_or_make((shape, number), || Cells::new(shape, step))
    }

    pub(super) fn entropy(&self) -> &EntropyCode {
        &self.cells.entropy
    }

    /// Bytes that some weights take, to one or two.
    pub(super) fn about(&self, weights: &[f32]) -> usize {
        let mut counts = vec![0; self.cells.values.len()];
        for symbol in self.symbols(weights) {
            counts[usize::from(symbol)] += 1;
        }
        self.entropy().about(&counts)
    }

    /// The distance of two thresholds.
    pub(super) fn step(&self) -> f32 {
        self.step
    }

    /// The cell of each weight.
    pub(super) fn symbols(&self, weights: &[f32]) -> Vec<u16> {
        let half = (self.cells.values.len() / 2) as f32;
        let symbol = |weight: &f32| (weight / self.step).round().clamp(-half, half) + half;
        weights.iter().map(|weight| symbol(weight) as u16).collect()
    }

    /// The value of each cell.
    pub(super) fn values(&self, symbols: &[u16]) -> Vec<f32> {
        let (sigma, values) = (f64::from(self.sigma), &self.cells.values);
        symbols.iter().map(|&symbol| (sigma * values[usize::from(symbol)]) as f32).collect()
    }
}

#[cfg(test)]
mod tests {
    use approx::assert_relative_eq;

    use super::*;

    /// For a small step the error is that of a uniform distribution in each cell, and the rate is that of the
    /// density: `h - log2 Δ` with `h = log2(2 π e) / 2` for a normal distribution (textbook).
    #[test]
    fn small_steps_cost_what_theory_says() {
        let step = 0.1_f32;
        let quantizer = Quantizer::new(StandardShape::Gaussian, 1.0, step);
        // Quantiles of the normal distribution, by its own thresholds.
        let weights = normal(40_000);
        let symbols = quantizer.symbols(&weights);
        let error = |(w, v): (&f32, f32)| f64::from(w - v).powi(2);
        let total: f64 = weights.iter().zip(quantizer.values(&symbols)).map(error).sum();
        assert_relative_eq!(total / 40_000.0, 0.01 / 12.0, max_relative = 0.02);
        let bits = 8.0 * quantizer.entropy().encode(&symbols).len() as f64 / 40_000.0;
        let expected = 0.5 * (2.0 * std::f64::consts::PI * std::f64::consts::E).log2();
        assert_relative_eq!(bits, expected - f64::from(step).log2(), max_relative = 0.005);
    }

    #[test]
    fn an_infinite_step_is_the_mean_alone() {
        for sigma in [0.0, 1.0] {
            let quantizer = Quantizer::new(StandardShape::Laplacian, sigma, f32::INFINITY);
            let symbols = quantizer.symbols(&[-3.0, 0.0, 1e30]);
            assert!(quantizer.values(&symbols).iter().all(|value| value.abs() < 1e-9));
            assert!(quantizer.entropy().encode(&symbols).is_empty());
        }
    }

    #[test]
    fn far_weights_are_clipped() {
        let quantizer = Quantizer::new(StandardShape::Gaussian, 2.0, 1.0);
        let values = quantizer.values(&quantizer.symbols(&[1e30, -1e30]));
        assert_eq!(values[0], -values[1]);
        assert_relative_eq!(values[0], 32.0, max_relative = 0.002);
    }

    /// Step and standard deviation of a plan lead back to the cells that were stored, for all of both.
    #[test]
    fn a_step_is_found_again_by_its_size() {
        for sigma in [1e-30_f32, 0.031_7, 1.0, 77.7, 3e30] {
            for number in 0..=Quantizer::STEPS {
                let made = Quantizer::with_step(StandardShape::Gaussian, sigma, number);
                let again = Quantizer::new(StandardShape::Gaussian, sigma, made.step());
                assert!(Arc::ptr_eq(&made.cells, &again.cells), "{sigma} {number}");
            }
        }
    }

    /// Normal weights, by Box and Muller from a sequence without clumps.
    fn normal(n: u32) -> Vec<f32> {
        let uniform = |i: u32, by: f64| (f64::from(i) + 0.5) * by % 1.0;
        let weight = |i: u32| {
            let (u, v) = (uniform(i, 1.0 / f64::from(n)), uniform(i, 0.618_033_988_749_895));
            (-2.0 * u.ln()).sqrt() * (2.0 * std::f64::consts::PI * v).cos()
        };
        (0..n).map(|i| weight(i) as f32).collect()
    }
}

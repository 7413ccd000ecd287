//! The uniform quantizer of block-coded weights, and how often each cell is expected.

use super::entropy::EntropyCode;
use crate::codebook::Sample;

/// Weights beyond so many standard deviations are clipped.
const REACH: f64 = 16.0;
/// Below this mass a cell has the value of its middle.
const LEAST_MASS: f64 = 1e-12;

/// A uniform quantizer and the entropy code of its cells, for weights of a known distribution.
///
/// At the same rate it is at most 1.53 dB, `10 lg(2 π e / 12)`, from the best quantizer of any
/// dimension once the step is small (H. Gish and J. N. Pierce, IEEE Transactions on Information
/// Theory 14, 676, 1968).
#[derive(Debug, Clone)]
pub(super) struct Quantizer {
    step: f32,
    /// The mean weight of each cell.
    values: Vec<f32>,
    pub(super) entropy: EntropyCode,
}

impl Quantizer {
    /// For weights `sigma` times those of a sample of variance 1. An infinite step leaves one value.
    pub(super) fn new(sample: &Sample, sigma: f32, step: f32) -> Self {
        let unit = f64::from(step) / f64::from(sigma);
        let half = (REACH / unit).ceil().clamp(0.0, (EntropyCode::MOST_SYMBOLS / 2) as f64) as i32;
        let half = if unit.is_finite() { half } else { 0 };
        let thresholds: Vec<f64> = (1 - half..=half).map(|i| (f64::from(i) - 0.5) * unit).collect();
        let cells: Vec<[f64; 3]> = sample.cells(&thresholds).collect();
        let value = |(i, &[mass, first, _]): (i32, &[f64; 3])| {
            let middle = if half == 0 { 0.0 } else { f64::from(i) * unit };
            let unit = if mass > LEAST_MASS { first / mass } else { middle };
            (f64::from(sigma) * unit) as f32
        };
        let values = (-half..=half).zip(&cells).map(value).collect();
        let masses: Vec<f64> = cells.iter().map(|[mass, ..]| mass.clamp(0.0, 1.0)).collect();
        Self { step, values, entropy: EntropyCode::new(&masses) }
    }

    /// The distance of two thresholds.
    pub(super) fn step(&self) -> f32 {
        self.step
    }

    /// The cell of each weight.
    pub(super) fn symbols(&self, weights: &[f32]) -> Vec<u16> {
        let half = (self.values.len() / 2) as f32;
        let symbol = |weight: &f32| (weight / self.step).round().clamp(-half, half) + half;
        weights.iter().map(|weight| symbol(weight) as u16).collect()
    }

    /// The value of each cell.
    pub(super) fn values(&self, symbols: &[u16]) -> Vec<f32> {
        symbols.iter().map(|&symbol| self.values[usize::from(symbol)]).collect()
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
        let (sample, step) = (Sample::gaussian(), 0.1_f32);
        let quantizer = Quantizer::new(&sample, 1.0, step);
        // Quantiles of the normal distribution, by its own thresholds.
        let weights = normal(40_000);
        let symbols = quantizer.symbols(&weights);
        let error = |(w, v): (&f32, f32)| f64::from(w - v).powi(2);
        let total: f64 = weights.iter().zip(quantizer.values(&symbols)).map(error).sum();
        assert_relative_eq!(total / 40_000.0, 0.01 / 12.0, max_relative = 0.02);
        let bits = 8.0 * quantizer.entropy.encode(&symbols).len() as f64 / 40_000.0;
        let expected = 0.5 * (2.0 * std::f64::consts::PI * std::f64::consts::E).log2();
        assert_relative_eq!(bits, expected - f64::from(step).log2(), max_relative = 0.005);
    }

    #[test]
    fn an_infinite_step_is_the_mean_alone() {
        for sigma in [0.0, 1.0] {
            let quantizer = Quantizer::new(&Sample::laplacian(), sigma, f32::INFINITY);
            let symbols = quantizer.symbols(&[-3.0, 0.0, 1e30]);
            assert!(quantizer.values(&symbols).iter().all(|value| value.abs() < 1e-9));
            assert!(quantizer.entropy.encode(&symbols).is_empty());
        }
    }

    #[test]
    fn far_weights_are_clipped() {
        let quantizer = Quantizer::new(&Sample::gaussian(), 2.0, 1.0);
        let values = quantizer.values(&quantizer.symbols(&[1e30, -1e30]));
        assert_eq!(values, [32.0, -32.0]);
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

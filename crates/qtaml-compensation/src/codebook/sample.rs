//! The sample of weights that a codebook is designed for.

use std::f64::consts::{FRAC_1_SQRT_2, PI};

use statrs::function::erf::erfc;

use crate::WeightsError;

/// Each of two halves of the bins: so many for the mass, and so many for the range.
const HALF: usize = 1 << 13;

/// The distribution of weights, as rising bins of known mass, mean and mean square.
///
/// Up to 16,384 different values each have a bin of their own. Of more, neighbours share one, such
/// that no bin with more than one value spans more than 1/8192 of the weights or of their range.
/// The moments of a bin are exact, and it is stored in one word as a whole; so the mean square
/// error that a code is said to have on the sample can only be above that of storing every weight
/// on its own, by what is won in the bins that a threshold cuts.
///
/// ```
/// use qtaml_compensation::codebook::Sample;
///
/// let sample = Sample::of(&[3.0, -1.0, 1.0, 1.0])?;
/// assert_eq!((sample.mean(), sample.variance()), (1.0, 2.0));
/// # Ok::<(), qtaml_compensation::WeightsError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Mean of each bin, rising.
    means: Vec<f64>,
    /// Mass, first and second moment of all bins before this one; one more than there are bins.
    below: Vec<[f64; 3]>,
}

impl Sample {
    /// The distribution of some weights.
    ///
    /// # Errors
    /// [`WeightsError::None`], [`WeightsError::NotFinite`] for one that is NaN or
    /// infinite.
    pub fn of(weights: &[f32]) -> Result<Self, WeightsError> {
        check_finite(weights)?;
        let mut sorted = weights.to_vec();
        sorted.sort_unstable_by(f32::total_cmp);
        Self::of_sorted(sorted.into_iter().map(|weight| (f64::from(weight), 1.0)))
    }

    /// The distribution of values that occur with given masses, which need not sum to one.
    ///
    /// # Errors
    /// [`WeightsError::None`] without any mass, [`WeightsError::Mass`] for a value
    /// that is not finite, or a mass that is negative or not finite.
    pub fn histogram(masses: &[(f32, f64)]) -> Result<Self, WeightsError> {
        let bad = |(value, mass): &(f32, f64)| !value.is_finite() || !(0.0..=1e300).contains(mass);
        if let Some(index) = masses.iter().position(bad) {
            let (value, mass) = masses[index];
            return Err(WeightsError::Mass { index, value, mass });
        }
        let mut sorted: Vec<_> = masses.iter().copied().filter(|&(_, mass)| mass > 0.0).collect();
        sorted.sort_unstable_by(|(v, m), (w, n)| v.total_cmp(w).then(m.total_cmp(n)));
        // Of the largest mass, so that no sum overflows.
        let largest = sorted.iter().map(|&(_, mass)| mass).fold(0.0, f64::max);
        Self::of_sorted(sorted.into_iter().map(|(value, mass)| (f64::from(value), mass / largest)))
    }

    /// The normal distribution of mean 0 and variance 1.
    pub fn gaussian() -> Self {
        Self::symmetric(|x| {
            let density = (-0.5 * x * x).exp() / (2.0 * PI).sqrt();
            let tail = 0.5 * erfc(x * FRAC_1_SQRT_2);
            [tail, density, x * density + tail]
        })
    }

    /// The Laplace (two-sided exponential) distribution of mean 0 and variance 1.
    pub fn laplacian() -> Self {
        Self::symmetric(|x| {
            let (b, tail) = (FRAC_1_SQRT_2, 0.5 * (-x / FRAC_1_SQRT_2).exp());
            [tail, tail * (x + b), tail * (x * x + 2.0 * b * x + 2.0 * b * b)]
        })
    }

    /// The mean weight.
    pub fn mean(&self) -> f64 {
        let [mass, first, _] = self.total();
        first / mass
    }

    /// The variance of the weights: what an error is relative to.
    pub fn variance(&self) -> f64 {
        let mean = self.mean();
        let spread = |(bin, &of_bin): (usize, &f64)| {
            let [mass, _, second] = self.moments(bin, bin + 1);
            mass * (of_bin - mean).powi(2) + (second - mass * of_bin * of_bin).max(0.0)
        };
        self.means.iter().enumerate().map(spread).sum::<f64>()
    }

    /// The root mean square of the weights.
    pub(crate) fn rms(&self) -> f64 {
        let [mass, _, second] = self.total();
        (second / mass).sqrt()
    }

    /// Mass, first and second moment of each of the intervals that rising `thresholds` cut the
    /// line into. A value on a threshold lies above it.
    pub(crate) fn cells(&self, thresholds: &[f64]) -> impl Iterator<Item = [f64; 3]> {
        let mut from = 0;
        let ends = thresholds.iter().map(Some).chain([None]);
        ends.map(move |threshold| {
            let to = threshold.map_or(self.means.len(), |t| self.means.partition_point(|m| m < t));
            let moments = self.moments(from, to);
            from = to;
            moments
        })
    }

    /// Thresholds that cut the sample into so many parts of about equal mass.
    pub(super) fn quantiles(&self, parts: usize) -> Vec<f64> {
        let at = |part: usize| {
            let share = part as f64 / parts as f64;
            self.means[self.below[1..]
                .partition_point(|[mass, ..]| *mass < share)
                .min(self.means.len() - 1)]
        };
        (1..parts).map(at).collect()
    }

    /// Thresholds that cut the range of the sample, or four standard deviations to either side of
    /// its mean if that is less, into so many parts of equal width.
    pub(super) fn grid(&self, parts: usize) -> Vec<f64> {
        let reach = 4.0 * self.variance().sqrt();
        let from = self.means[0].max(self.mean() - reach);
        let to = self.means[self.means.len() - 1].min(self.mean() + reach);
        (1..parts).map(|part| from + (to - from) * part as f64 / parts as f64).collect()
    }

    fn total(&self) -> [f64; 3] {
        self.below[self.means.len()]
    }

    fn moments(&self, from: usize, to: usize) -> [f64; 3] {
        std::array::from_fn(|k| self.below[to][k] - self.below[from][k])
    }

    fn of_sorted(
        values: impl ExactSizeIterator<Item = (f64, f64)> + Clone,
    ) -> Result<Self, WeightsError> {
        let total: f64 = values.clone().map(|(_, mass)| mass).sum();
        let (Some((least, _)), Some((greatest, _))) =
            (values.clone().next(), values.clone().last())
        else {
            return Err(WeightsError::None);
        };
        let each = values.len() <= 2 * HALF;
        let step = (greatest - least) / HALF as f64;
        let mut below = 0.0;
        let mut last = None;
        let mut bins: Vec<[f64; 3]> = Vec::new();
        for (value, mass) in values {
            let mass = mass / total;
            let place = ((below * HALF as f64) as usize, ((value - least) / step) as usize);
            let key = if each { (value.to_bits(), 0) } else { (place.0 as u64, place.1) };
            let moments = [mass, mass * value, mass * value * value];
            match bins.last_mut() {
                Some(bin) if last == Some(key) => *bin = add(*bin, moments),
                _ => bins.push(moments),
            }
            last = Some(key);
            below += mass;
        }
        Ok(Self::of_bins(&bins))
    }

    /// A distribution symmetric about 0, from the moments of what lies above any point.
    ///
    /// The bins grow with the distance from 0 as a cube root of the density would have it, which
    /// is the point density of a fine quantizer (Panter and Dite, Proc. IRE 39, 44, 1951).
    fn symmetric(tail: impl Fn(f64) -> [f64; 3]) -> Self {
        let edge = |i: usize| -3.0 * FRAC_1_SQRT_2 * (-(i as f64) / HALF as f64).ln_1p();
        let above = |i: usize| if i == HALF { [0.0; 3] } else { tail(edge(i)) };
        let right: Vec<[f64; 3]> = (0..HALF)
            .map(|i| (above(i), above(i + 1)))
            .map(|(from, to)| std::array::from_fn(|k| from[k] - to[k]))
            .filter(|[mass, _, _]: &[f64; 3]| *mass > 0.0)
            .collect();
        let left = right.iter().rev().map(|[mass, first, second]| [*mass, -first, *second]);
        Self::of_bins(&left.chain(right.iter().copied()).collect::<Vec<_>>())
    }

    pub(super) fn of_bins(bins: &[[f64; 3]]) -> Self {
        let means = bins.iter().map(|[mass, first, _]| first / mass).collect();
        let mut sum = [0.0; 3];
        let sums = bins.iter().map(|&bin| {
            sum = add(sum, bin);
            sum
        });
        Self { means, below: [[0.0; 3]].into_iter().chain(sums).collect() }
    }
}

fn add(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
    std::array::from_fn(|k| a[k] + b[k])
}

pub(super) fn check_finite(weights: &[f32]) -> Result<(), WeightsError> {
    // Without a way out early, which the compiler would not vectorise.
    if weights.iter().fold(true, |all, weight| all & weight.is_finite()) {
        return Ok(());
    }
    let index = weights.iter().position(|weight| !weight.is_finite()).unwrap_or_default();
    Err(WeightsError::NotFinite { index, value: weights[index] })
}

#[cfg(test)]
mod tests {
    use approx::assert_relative_eq;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn shapes_have_mean_0_and_variance_1() {
        for sample in [Sample::gaussian(), Sample::laplacian()] {
            assert_relative_eq!(sample.mean(), 0.0, epsilon = 1e-14);
            assert_relative_eq!(sample.variance(), 1.0, epsilon = 1e-9);
            assert_relative_eq!(sample.total()[0], 1.0, epsilon = 1e-14);
            assert!(sample.means.is_sorted());
        }
    }

    /// Mass and first moment of the normal distribution from 1 to 2: `mpmath`, 30 digits.
    #[test]
    fn cells_have_the_moments_of_the_distribution() {
        let sample = Sample::gaussian();
        let [_, [mass, first, _], _] = sample.cells(&[1.0, 2.0]).collect::<Vec<_>>()[..] else {
            panic!("three cells");
        };
        assert_relative_eq!(mass, 0.135_905_121_983_277_8, epsilon = 1e-4);
        assert_relative_eq!(first, 0.187_979_758_004_989_1, epsilon = 1e-4);
    }

    #[test]
    fn a_histogram_is_the_sample_that_it_counts() {
        let sample = Sample::of(&[1.0, 3.0, 1.0, -2.0]).unwrap();
        let masses = [(3.0, 10.0), (1.0, 20.0), (-2.0, 10.0), (9.0, 0.0)];
        assert_eq!(Sample::histogram(&masses), Ok(sample));
    }

    #[test]
    fn what_is_no_sample_is_refused() {
        assert_eq!(Sample::of(&[]), Err(WeightsError::None));
        assert_eq!(Sample::histogram(&[(1.0, 0.0)]), Err(WeightsError::None));
        let error = Sample::of(&[1.0, f32::NEG_INFINITY]);
        let value = f32::NEG_INFINITY;
        assert_eq!(error, Err(WeightsError::NotFinite { index: 1, value }));
        assert!(Sample::of(&[f32::NAN]).is_err());
        for (value, mass) in [(f32::NAN, 1.0), (1.0, -1.0), (1.0, f64::NAN), (1.0, f64::INFINITY)] {
            let error = Sample::histogram(&[(0.0, 1.0), (value, mass)]).unwrap_err();
            assert!(matches!(error, WeightsError::Mass { index: 1, .. }), "{error}");
        }
    }

    /// Far more weights than bins, with an outlier, against sums over all of them.
    #[test]
    fn bins_keep_the_moments_and_stay_small() {
        let mut weights: Vec<f32> = (0..100_000).map(|i| (i as f32 * 0.37).sin().powi(3)).collect();
        weights.push(1000.0);
        let sample = Sample::of(&weights).unwrap();
        assert!(sample.means.len() <= 2 * HALF);
        let n = weights.len() as f64;
        let mean = weights.iter().copied().map(f64::from).sum::<f64>() / n;
        let variance = weights.iter().map(|&w| (f64::from(w) - mean).powi(2)).sum::<f64>() / n;
        assert_relative_eq!(sample.mean(), mean, max_relative = 1e-9);
        assert_relative_eq!(sample.variance(), variance, max_relative = 1e-9);
        let [.., below] = sample.below[..sample.means.len()] else { panic!("there are bins") };
        assert_relative_eq!(1.0 - below[0], 1.0 / n, max_relative = 1e-6);
    }

    proptest! {
        #[test]
        fn cells_are_sums_over_their_values(
            weights in prop::collection::vec(-1.0..1.0_f32, 1..100),
            mut thresholds in prop::collection::vec(-1.0..1.0_f64, 0..9),
        ) {
            thresholds.sort_by(f64::total_cmp);
            let sample = Sample::of(&weights).unwrap();
            let n = weights.len() as f64;
            let mut expected = vec![[0.0; 3]; thresholds.len() + 1];
            for w in weights.iter().copied().map(f64::from) {
                let cell = &mut expected[thresholds.partition_point(|&t| t <= w)];
                *cell = add(*cell, [1.0 / n, w / n, w * w / n]);
            }
            for (found, expected) in sample.cells(&thresholds).zip(expected) {
                for (found, expected) in found.into_iter().zip(expected) {
                    assert_relative_eq!(found, expected, epsilon = 1e-12);
                }
            }
        }

        #[test]
        fn quantiles_and_grids_rise(weights in prop::collection::vec(-1.0..1.0_f32, 1..100)) {
            let sample = Sample::of(&weights).unwrap();
            for thresholds in [sample.quantiles(16), sample.grid(16)] {
                prop_assert_eq!(thresholds.len(), 15);
                prop_assert!(thresholds.is_sorted());
            }
        }
    }
}

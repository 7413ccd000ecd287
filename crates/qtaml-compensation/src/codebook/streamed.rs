//! The sample of weights that are read in pieces.

use super::sample::check_finite;
use super::{GroupScales, Sample};
use crate::WeightsError;

/// Coarse bins: one for each upper half of a single precision number.
const COARSE: usize = 1 << 16;
/// Fine bins that are dealt out by mass, at most as many to a coarse one as it has numbers.
const FINE: f64 = (1 << 17) as f64;
const NUMBERS: u32 = 1 << 16;

/// The first of two passes over weights: which of them share sign, exponent and seven bits of the
/// fraction.
///
/// A file of any size becomes a [`Sample`] in 6 MiB. The bins are narrow where the weights are
/// many, relative to the weights and not to their range: outliers do not make them wider, and
/// weights that hardly differ are told apart as far as single precision can.
///
/// ```
/// use qtaml_compensation::codebook::{Sample, SampleCounts};
///
/// let pieces = [vec![3.0, -1.0], vec![1.0, 1.0]];
/// let mut counts = SampleCounts::new();
/// pieces.iter().try_for_each(|piece| counts.add(piece))?;
/// let mut bins = counts.into_bins();
/// pieces.iter().try_for_each(|piece| bins.add(piece))?;
/// assert_eq!(bins.sample()?, Sample::of(&pieces.concat())?);
/// # Ok::<(), qtaml_compensation::WeightsError>(())
/// ```
#[derive(Debug, Clone)]
pub struct SampleCounts {
    counts: Vec<u64>,
    weights: usize,
}

impl Default for SampleCounts {
    fn default() -> Self {
        Self { counts: vec![0; COARSE], weights: 0 }
    }
}

impl SampleCounts {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts the next weights.
    ///
    /// # Errors
    /// [`WeightsError::NotFinite`] for one that is NaN or infinite, with its number among all
    /// weights so far.
    pub fn add(&mut self, weights: &[f32]) -> Result<(), WeightsError> {
        check_next(weights, &mut self.weights)?;
        for &weight in weights {
            self.counts[place(weight).0] += 1;
        }
        Ok(())
    }

    /// Counts the next weights of a tensor in units of their scales.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    ///
    /// # Panics
    /// For more weights than the tensor of the scales has.
    pub fn add_scaled(
        &mut self,
        weights: &[f32],
        scales: &GroupScales,
    ) -> Result<(), WeightsError> {
        let first = self.weights;
        check_next(weights, &mut self.weights)?;
        let units = scales.in_units(first, weights);
        scales.each_run(first, weights.len(), |scale, within| {
            // Zeros of a group of zeros have no mass.
            if scale > 0.0 {
                units[within].iter().for_each(|&unit| self.counts[place(unit).0] += 1);
            }
        });
        Ok(())
    }

    /// Bins for the second pass.
    pub fn into_bins(self) -> SampleBins {
        let share = FINE / self.weights.max(1) as f64;
        let fine = |count: &u64| (1 + (*count as f64 * share) as u32).min(NUMBERS);
        let starts = self.counts.iter().scan(0, |next, count| {
            let start = *next;
            *next += fine(count);
            Some((start, fine(count)))
        });
        let starts: Vec<_> = starts.collect();
        let bins: u32 = starts.iter().map(|(_, bins)| bins).sum();
        SampleBins { starts, moments: vec![[0.0; 3]; bins as usize], weights: 0, mass: 0.0 }
    }
}

/// The second pass: the moments of all bins.
#[derive(Debug, Clone)]
pub struct SampleBins {
    /// Of each coarse bin the first fine one and their number.
    starts: Vec<(u32, u32)>,
    /// Mass, first and second moment of the weights in each fine bin.
    moments: Vec<[f64; 3]>,
    weights: usize,
    mass: f64,
}

impl SampleBins {
    /// Adds the next weights.
    ///
    /// # Errors
    /// As [`SampleCounts::add`].
    pub fn add(&mut self, weights: &[f32]) -> Result<(), WeightsError> {
        check_next(weights, &mut self.weights)?;
        self.count(weights, 1.0);
        Ok(())
    }

    /// Adds the next weights of a tensor in units of their scales, whose squares are their masses: so the
    /// mean square error over the sample is that of the weights, in units of their mean square scale.
    ///
    /// # Errors
    /// As [`SampleCounts::add`].
    ///
    /// # Panics
    /// For more weights than the tensor of the scales has.
    pub fn add_scaled(
        &mut self,
        weights: &[f32],
        scales: &GroupScales,
    ) -> Result<(), WeightsError> {
        let first = self.weights;
        check_next(weights, &mut self.weights)?;
        let units = scales.in_units(first, weights);
        scales.each_run(first, weights.len(), |scale, within| {
            if scale > 0.0 {
                self.count(&units[within], f64::from(scale).powi(2));
            }
        });
        Ok(())
    }

    fn count(&mut self, weights: &[f32], mass: f64) {
        for &weight in weights {
            let (coarse, within) = place(weight);
            let (start, bins) = self.starts[coarse];
            // Within a coarse bin the numbers are equally spaced.
            let bin = &mut self.moments[(start + ((within * bins) >> 16)) as usize];
            let weight = f64::from(weight);
            let moments = [mass, mass * weight, mass * weight * weight];
            bin.iter_mut().zip(moments).for_each(|(sum, moment)| *sum += moment);
        }
        self.mass += mass * weights.len() as f64;
    }

    /// The distribution of all weights that were added.
    ///
    /// # Errors
    /// [`WeightsError::None`] if there were none.
    pub fn sample(&self) -> Result<Sample, WeightsError> {
        let filled = self.moments.iter().filter(|[mass, ..]| *mass > 0.0);
        let bins: Vec<_> = filled.map(|bin| bin.map(|moment| moment / self.mass)).collect();
        if bins.is_empty() {
            return Err(WeightsError::None);
        }
        Ok(Sample::of_bins(&bins))
    }
}

/// The upper and the lower half of a number that rises with `weight`.
fn place(weight: f32) -> (usize, u32) {
    let bits = weight.to_bits();
    let rising = if weight.is_sign_negative() { !bits } else { bits | 1 << 31 };
    ((rising >> 16) as usize, rising & 0xffff)
}

/// Whether the next weights are finite, of which `before` came before.
pub(super) fn check_next(weights: &[f32], before: &mut usize) -> Result<(), WeightsError> {
    check_finite(weights).map_err(|error| match error {
        WeightsError::NotFinite { index, value } => {
            WeightsError::NotFinite { index: *before + index, value }
        }
        other => other,
    })?;
    *before += weights.len();
    Ok(())
}

#[cfg(test)]
mod tests {
    use approx::assert_relative_eq;
    use proptest::prelude::*;
    use qtaml_physics::FlipProbability;

    use super::*;
    use crate::codebook::{Codebook, DesignConfig, WordChannel};

    fn streamed(weights: &[f32], at_once: usize) -> Sample {
        let mut counts = SampleCounts::new();
        weights.chunks(at_once).try_for_each(|piece| counts.add(piece)).unwrap();
        let mut bins = counts.into_bins();
        weights.chunks(at_once).try_for_each(|piece| bins.add(piece)).unwrap();
        bins.sample().unwrap()
    }

    fn code(sample: &Sample, p: f64) -> Codebook {
        let channel = WordChannel::new(FlipProbability::symmetric(p).unwrap(), 6).unwrap();
        Codebook::design(sample, &channel, &DesignConfig::default())
    }

    /// A bell, tails without a variance, noise of a millionth on a constant, and one outlier: the
    /// code is as good as that of all weights at once, on these.
    #[test]
    fn a_code_from_a_stream_is_as_good_as_from_memory() {
        let uniform = |i: u32| (f64::from(i.wrapping_mul(2_654_435_761)) + 0.5) / 2_f64.powi(32);
        let cauchy = |i| (std::f64::consts::PI * (uniform(i) - 0.5)).tan() as f32;
        let bell = |i| (uniform(i) / (1.0 - uniform(i))).ln() as f32;
        let n = 100_000;
        let outlier = |i| if i == 5 { 1e6 } else { bell(i) };
        let kinds: [Vec<f32>; 4] = [
            (0..n).map(bell).collect(),
            (0..n).map(cauchy).collect(),
            (0..n).map(|i| 1.0 + 1e-6 * bell(i)).collect(),
            (0..n).map(outlier).collect(),
        ];
        for (kind, weights) in kinds.iter().enumerate() {
            let whole = Sample::of(weights).unwrap();
            for p in [0.0, 0.1] {
                let [expected, found] =
                    [&whole, &streamed(weights, 777)].map(|sample| code(sample, p));
                let mse = found.mse_on(&whole, found.channel()).unwrap();
                assert!(mse <= 1.02 * expected.mse(), "{kind}, p = {p}: {mse} {}", expected.mse());
            }
        }
    }

    proptest! {
        #[test]
        fn any_cut_has_the_moments_of_the_whole(
            weights in prop::collection::vec(
                prop::num::f32::NORMAL | prop::num::f32::SUBNORMAL | prop::num::f32::ZERO,
                1..300,
            ),
            at_once in 1_usize..50,
        ) {
            let (whole, cut) = (Sample::of(&weights).unwrap(), streamed(&weights, at_once));
            let scale = whole.rms();
            assert_relative_eq!(cut.mean(), whole.mean(), epsilon = 1e-12 * scale);
            assert_relative_eq!(cut.rms(), scale, max_relative = 1e-12);
            prop_assert_eq!(cut, streamed(&weights, 300));
        }

        #[test]
        fn places_rise_with_the_numbers(a in prop::num::f32::NORMAL, b in prop::num::f32::NORMAL) {
            prop_assert_eq!(place(a).cmp(&place(b)), a.total_cmp(&b));
        }
    }

    #[test]
    fn what_is_wrong_has_its_number() {
        let mut counts = SampleCounts::new();
        counts.add(&[0.0; 10]).unwrap();
        let error = counts.add(&[1.0, f32::INFINITY]);
        assert_eq!(error, Err(WeightsError::NotFinite { index: 11, value: f32::INFINITY }));
        let nothing = SampleCounts::new().into_bins().sample();
        assert_eq!(nothing, Err(WeightsError::None));
    }
}

//! The scales of a codec: one for each output channel or group of a tensor.
//!
//! All groups of a tensor share one code, in units of their scales: weights are divided by the scale of
//! their group before they are encoded, and values are multiplied by it when they are read. The scale is
//! the root mean square of the group. So a channel of small weights is read as well, relative to itself, as
//! a channel of large ones, and the table of the code is not spent on telling channels apart.

use qtaml_quant::{Granularity, GroupLayout};

use super::streamed::check_next;
use crate::{CodebookError, WeightsError};

/// The scales of the groups of a tensor, and which weights share one.
///
/// ```
/// use qtaml_compensation::codebook::GroupSquares;
/// use qtaml_quant::Granularity;
///
/// // Two output channels, the second ten times as large.
/// let mut squares = GroupSquares::new(&[2, 2], Some(0), Granularity::Channel)?;
/// squares.add(&[0.3, -0.4, 3.0, -4.0])?;
/// let scales = squares.into_scales().ok_or("there are two groups")?;
/// assert_eq!(scales.scales(), [0.125_f32.sqrt(), 12.5_f32.sqrt()]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct GroupScales {
    granularity: Granularity,
    axis: Option<usize>,
    layout: GroupLayout,
    scales: Vec<f32>,
    /// The mean over all weights of the square of their scale.
    mean_square: f64,
}

impl GroupScales {
    /// Bits of a scale: a single precision number, as everywhere in this crate.
    pub const BITS_EACH: u64 = 32;

    /// Scales that were stored, in the order of the groups, each at least 0 and finite.
    pub(super) fn new(
        layout: GroupLayout,
        (granularity, axis): (Granularity, Option<usize>),
        scales: Vec<f32>,
    ) -> Self {
        let square = |(group, &scale): (usize, &f32)| {
            layout.range(group).len() as f64 * f64::from(scale).powi(2)
        };
        let total: f64 = scales.iter().enumerate().map(square).sum();
        let mean_square = total / layout.weights().max(1) as f64;
        Self { granularity, axis, layout, scales, mean_square }
    }

    /// Which weights share a scale.
    pub fn granularity(&self) -> Granularity {
        self.granularity
    }

    /// The axis of output channels that the groups follow.
    pub fn axis(&self) -> Option<usize> {
        self.axis
    }

    /// The scale of each group, in the order of the [`GroupLayout`].
    pub fn scales(&self) -> &[f32] {
        &self.scales
    }

    /// The mean over all weights of the square of their scale: an error in units of the scales times it
    /// is one in weights, if the squares of the scales were its masses.
    pub(super) fn mean_square(&self) -> f64 {
        self.mean_square
    }

    pub(super) fn weights(&self) -> usize {
        self.layout.weights()
    }

    /// Weights from the row-major position `first` on, in units of their scales. What is not 0 in a group
    /// of zeros has no such unit, and is 0 too.
    pub(super) fn in_units(&self, first: usize, weights: &[f32]) -> Vec<f32> {
        let mut units = vec![0.0; weights.len()];
        self.each_run(first, weights.len(), |scale, within| {
            if scale > 0.0 {
                for (unit, weight) in units[within.clone()].iter_mut().zip(&weights[within]) {
                    *unit = (weight / scale).clamp(f32::MIN, f32::MAX);
                }
            }
        });
        units
    }

    /// Values in units of the scales from the position `first` on, as weights.
    pub(super) fn restore(&self, first: usize, values: &mut [f32]) {
        self.each_run(first, values.len(), |scale, within| {
            for value in &mut values[within] {
                *value = (*value * scale).clamp(f32::MIN, f32::MAX);
            }
        });
    }

    /// Calls `visit` with the scale of each run of weights, and with its place behind `first`.
    pub(super) fn each_run(
        &self,
        first: usize,
        weights: usize,
        mut visit: impl FnMut(f32, std::ops::Range<usize>),
    ) {
        for run in self.layout.runs(first..first + weights) {
            visit(self.scales[run.group], run.within(first));
        }
    }
}

/// The first of three passes over the weights of a tensor in groups: the sum of squares of each group.
///
/// The two others are those of [`SampleCounts::add_scaled`](super::SampleCounts::add_scaled).
#[derive(Debug, Clone)]
pub struct GroupSquares {
    granularity: Granularity,
    axis: Option<usize>,
    layout: GroupLayout,
    squares: Vec<f64>,
    weights: usize,
}

impl GroupSquares {
    /// For a tensor of `shape` with its output channels along `axis`.
    ///
    /// # Errors
    /// [`CodebookError::Quant`] as [`GroupLayout::of`].
    pub fn new(
        shape: &[usize],
        axis: Option<usize>,
        granularity: Granularity,
    ) -> Result<Self, CodebookError> {
        let layout = GroupLayout::of(shape, axis, granularity)?;
        Ok(Self { granularity, axis, layout, squares: vec![0.0; layout.groups()], weights: 0 })
    }

    /// Adds the next weights, in row-major order.
    ///
    /// # Errors
    /// [`WeightsError::NotFinite`] for one that is NaN or infinite, with its number among all weights so
    /// far.
    ///
    /// # Panics
    /// For more weights than the tensor has.
    pub fn add(&mut self, weights: &[f32]) -> Result<(), WeightsError> {
        let first = self.weights;
        check_next(weights, &mut self.weights)?;
        for run in self.layout.runs(first..self.weights) {
            let squares = weights[run.within(first)].iter().map(|&w| f64::from(w).powi(2));
            self.squares[run.group] += squares.sum::<f64>();
        }
        Ok(())
    }

    /// The root mean square of each group; `None` where there is but one group, or no weight but 0: such a
    /// tensor needs no scales beside its code.
    pub fn into_scales(self) -> Option<GroupScales> {
        let Self { granularity, axis, layout, squares, .. } = self;
        if squares.len() < 2 || squares.iter().all(|&square| square == 0.0) {
            return None;
        }
        let rms = |(group, &square): (usize, &f64)| {
            let rms = (square / layout.range(group).len() as f64).sqrt();
            // A group with a weight in it has a scale that is one.
            if square > 0.0 { (rms as f32).max(f32::from_bits(1)) } else { 0.0 }
        };
        let scales = squares.iter().enumerate().map(rms).collect();
        Some(GroupScales::new(layout, (granularity, axis), scales))
    }
}

#[cfg(test)]
mod tests {
    use approx::assert_relative_eq;
    use proptest::prelude::*;

    use super::*;

    fn scales_of(
        weights: &[f32],
        shape: &[usize],
        axis: Option<usize>,
        granularity: Granularity,
        at_once: usize,
    ) -> Option<GroupScales> {
        let mut squares = GroupSquares::new(shape, axis, granularity).unwrap();
        weights.chunks(at_once).try_for_each(|piece| squares.add(piece)).unwrap();
        squares.into_scales()
    }

    #[test]
    fn what_needs_no_scales_has_none() {
        let of = |weights: &[f32], shape: &[usize], granularity| {
            scales_of(weights, shape, Some(0), granularity, 99)
        };
        assert_eq!(of(&[1.0; 6], &[2, 3], Granularity::Tensor), None);
        assert_eq!(of(&[1.0; 6], &[1, 6], Granularity::Channel), None);
        assert_eq!(of(&[0.0; 6], &[2, 3], Granularity::Channel), None);
        let half = of(&[0.0, 0.0, 3.0, -3.0], &[2, 2], Granularity::Channel).unwrap();
        assert_eq!((half.scales(), half.mean_square()), (&[0.0, 3.0][..], 4.5));
        assert!(GroupSquares::new(&[2, 0], Some(0), Granularity::Channel).is_err());
        let mut squares = GroupSquares::new(&[2, 2], Some(0), Granularity::Channel).unwrap();
        squares.add(&[1.0, 2.0]).unwrap();
        let error = squares.add(&[f32::NAN]).unwrap_err().to_string();
        assert!(error.starts_with("weight 2 is NaN"), "{error}");
    }

    #[test]
    fn the_smallest_and_the_largest_weights_come_back() {
        let tiny = f32::from_bits(1);
        let weights = [f32::MAX, -f32::MAX, tiny, 0.0];
        let scales = scales_of(&weights, &[2, 2], Some(0), Granularity::Channel, 9).unwrap();
        let mut units = scales.in_units(0, &weights);
        assert!(units.iter().all(|unit| unit.abs() <= 2.0), "{units:?}");
        scales.restore(0, &mut units);
        assert_eq!(units, weights);
        // What is a weight where there was none has no unit.
        let none = scales_of(&[0.0, 1.0], &[2, 1], Some(0), Granularity::Channel, 9).unwrap();
        assert_eq!(none.in_units(0, &[5.0, 0.5]), [0.0, 0.5]);
    }

    proptest! {
        /// Groups by the indices of each weight, whatever the pieces.
        #[test]
        fn scales_are_root_mean_squares_of_groups(
            weights in prop::collection::vec(-10.0_f32..10.0, 24),
            axis in 0_usize..3,
            group in prop::option::of(1_usize..5),
            at_once in 1_usize..30,
        ) {
            let shape = [2, 3, 4];
            let granularity = group.map_or(Granularity::Channel, Granularity::Group);
            let scales = scales_of(&weights, &shape, Some(axis), granularity, at_once).unwrap();
            let stride: usize = shape[axis + 1..].iter().product();
            for (at, &weight) in weights.iter().enumerate() {
                let channel = |at: usize| at / stride % shape[axis];
                // Number in its channel, and from it the group.
                let number = |at: usize| (0..at).filter(|&b| channel(b) == channel(at)).count();
                let of = |at: usize| (channel(at), number(at) / group.unwrap_or(24));
                let same: Vec<f64> =
                    (0..24).filter(|&b| of(b) == of(at)).map(|b| f64::from(weights[b])).collect();
                let rms = (same.iter().map(|w| w * w).sum::<f64>() / same.len() as f64).sqrt();
                let unit = scales.in_units(at, &[weight])[0];
                assert_relative_eq!(f64::from(unit) * rms, f64::from(weight), epsilon = 1e-5);
            }
            let mean = weights.iter().map(|&w| f64::from(w).powi(2)).sum::<f64>() / 24.0;
            assert_relative_eq!(scales.mean_square(), mean, max_relative = 1e-6);
        }
    }
}

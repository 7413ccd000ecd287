//! A weight group before it is stored: its weights, their codes and scale.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use qtaml_quant::{CodeRange, Format, Grid, Origin, QuantError, QuantizedTensor};

use crate::clipping::{Clipping, SortedSums, ends_of};
use crate::memo::Memo;
use crate::{DecoderError, StorageError};

/// The weights of one group, shared by all candidates that may store them.
///
/// Weights are held once for a whole tensor, and codes once for each format and scale, however many
/// candidates protect them.
///
/// ```
/// use std::sync::Arc;
///
/// use qtaml_compensation::storage::GroupWeights;
///
/// let tensor: Arc<[f32]> = vec![0.5, -1.0, 0.25, 2.0].into();
/// let channel = GroupWeights::part(&tensor, 2..4)?;
/// assert_eq!(channel.weights(), [0.25, 2.0]);
/// assert_eq!((channel.largest(), channel.largest_of_tensor()), (2.0, 2.0));
/// # Ok::<(), qtaml_compensation::StorageError>(())
/// ```
#[derive(Debug, Clone)]
pub struct GroupWeights {
    tensor: Arc<[f32]>,
    range: Range<usize>,
    largest_of_tensor: f32,
    ends_of_tensor: (f32, f32),
    /// All weights of the tensor, sorted when they are first asked for.
    sorted: Arc<OnceLock<Arc<SortedSums>>>,
    codes: Arc<Memo<Key, QuantizedTensor>>,
    channels: usize,
    power: InputPower,
}

/// What is known of the inputs that weights are multiplied with.
#[derive(Debug, Clone, Default)]
pub(crate) enum InputPower {
    #[default]
    Unknown,
    /// The mean square of each weight's input, or as many times as much for all.
    Values(Arc<[f32]>),
    /// The exponents of powers of two, of each output channel and of each number in one; those of a plan.
    Exponents { rows: Vec<i8>, columns: Vec<i8> },
}

/// Format and range, and the bits of the ends.
type Key = (Format, CodeRange, [u32; 2]);

impl GroupWeights {
    /// A group that is the whole tensor.
    pub fn whole(weights: &[f32]) -> Self {
        Self::all_of(&weights.into())
    }

    /// The same, of weights that are shared already.
    pub(crate) fn all_of(tensor: &Arc<[f32]>) -> Self {
        Self {
            tensor: tensor.clone(),
            range: 0..tensor.len(),
            largest_of_tensor: largest(tensor),
            ends_of_tensor: ends_of(tensor),
            sorted: Arc::default(),
            codes: Arc::default(),
            channels: 1,
            power: InputPower::Unknown,
        }
    }

    /// A part of a tensor. Its groups must lie in rows in `tensor`, whatever order that is.
    ///
    /// # Errors
    /// [`StorageError::Part`] if the tensor has no such range.
    pub fn part(tensor: &Arc<[f32]>, range: Range<usize>) -> Result<Self, StorageError> {
        Self::all_of(tensor).with_range(range)
    }

    /// Several parts of a tensor.
    ///
    /// # Errors
    /// [`StorageError::Part`] if the tensor lacks one of the ranges.
    pub fn parts(
        tensor: &Arc<[f32]>,
        ranges: impl IntoIterator<Item = Range<usize>>,
    ) -> Result<Vec<Self>, StorageError> {
        let whole = Self::all_of(tensor);
        ranges.into_iter().map(|range| whole.with_range(range)).collect()
    }

    /// The same as the weights of so many output channels, one channel after the other.
    ///
    /// # Errors
    /// [`StorageError::Channels`] if the weights are not a multiple of them.
    pub fn in_channels(self, channels: usize) -> Result<Self, StorageError> {
        let weights = self.weights().len();
        if channels == 0 || !weights.is_multiple_of(channels) {
            return Err(StorageError::Channels { channels, weights });
        }
        Ok(Self { channels, ..self })
    }

    /// The same with the mean square of what each weight is multiplied with, in the order of the weights:
    /// what [`StorageSpec::PerWeight`](super::StorageSpec::PerWeight) protects them by. Only ratios count.
    ///
    /// # Errors
    /// [`StorageError::Powers`] unless there is one for each weight.
    pub fn with_input_power(self, power: Vec<f32>) -> Result<Self, StorageError> {
        let (powers, weights) = (power.len(), self.weights().len());
        if powers != weights {
            return Err(StorageError::Powers { powers, weights });
        }
        Ok(Self { power: InputPower::Values(power.into()), ..self })
    }

    /// The same with input powers as a plan knows them, which other inputs do not change: the exponents of
    /// powers of two, `rows` for each output channel and `columns` for each number in one. Either may be
    /// empty: all alike.
    ///
    /// # Errors
    /// [`StorageError::Powers`] for another number of them.
    pub fn with_power_exponents(self, rows: &[i8], columns: &[i8]) -> Result<Self, StorageError> {
        let length = self.weights().len() / self.channels;
        for (given, expected) in [(rows.len(), self.channels), (columns.len(), length)] {
            if given != 0 && given != expected {
                return Err(StorageError::Powers { powers: given, weights: expected });
            }
        }
        let power = InputPower::Exponents { rows: rows.to_vec(), columns: columns.to_vec() };
        Ok(Self { power, ..self })
    }

    /// The number of output channels; 1 if nobody said so.
    pub fn channels(&self) -> usize {
        self.channels
    }

    pub(crate) fn input_power(&self) -> &InputPower {
        &self.power
    }

    /// Another part of the same tensor, with codes of its own.
    fn with_range(&self, range: Range<usize>) -> Result<Self, StorageError> {
        let (Range { start, end }, weights) = (range.clone(), self.tensor.len());
        if start > end || end > weights {
            return Err(StorageError::Part { start, end, weights });
        }
        // Of how many channels a part is, and of which power, is not known.
        let (codes, power) = (Arc::default(), InputPower::Unknown);
        Ok(Self { range, codes, channels: 1, power, ..self.clone() })
    }

    /// The weights.
    pub fn weights(&self) -> &[f32] {
        &self.tensor[self.range.clone()]
    }

    /// All weights of the tensor.
    pub fn tensor(&self) -> &Arc<[f32]> {
        &self.tensor
    }

    /// All weights of the tensor, to be clipped.
    pub(crate) fn clipping_of_tensor(
        &self,
        range: CodeRange,
    ) -> Result<Clipping<'_>, DecoderError> {
        let sorted = || self.sorted.get_or_init(|| Arc::new(SortedSums::of(&self.tensor))).clone();
        Clipping::of_sorted(&self.tensor, range, sorted)
    }

    /// The largest magnitude of the weights.
    pub fn largest(&self) -> f32 {
        largest(self.weights())
    }

    /// The largest magnitude in the tensor.
    pub fn largest_of_tensor(&self) -> f32 {
        self.largest_of_tensor
    }

    /// The ends of a range that clips none of the weights, in a symmetric one as far below 0 as above it.
    pub fn ends(&self, range: CodeRange) -> (f32, f32) {
        let largest = self.largest();
        if range.is_symmetric() { (-largest, largest) } else { ends_of(self.weights()) }
    }

    /// The same for all weights of the tensor.
    pub fn ends_of_tensor(&self, range: CodeRange) -> (f32, f32) {
        let largest = self.largest_of_tensor;
        if range.is_symmetric() { (-largest, largest) } else { self.ends_of_tensor }
    }

    /// The root of the mean square of the weights; 0 without weights.
    pub fn root_mean_square(&self) -> f64 {
        root_mean_square(self.weights())
    }

    /// The codes of the weights between two ends, of which a symmetric range asks the upper one; made
    /// anew.
    ///
    /// # Errors
    /// As [`QuantizedTensor::quantize_within`] and [`QuantizedTensor::quantize_on`].
    pub(crate) fn quantize(
        &self,
        format: Format,
        range: CodeRange,
        (low, high): (f32, f32),
    ) -> Result<QuantizedTensor, QuantError> {
        let weights = self.weights();
        let shape = [weights.len()];
        if range.is_symmetric() {
            return QuantizedTensor::quantize_within(weights, &shape, format, high);
        }
        let grid = Grid::spanning(format, range, low, high);
        // Of what is not finite the weight is named, and not the end that follows from it.
        let anything = Grid::as_read(format, 0.0, Origin::Zero);
        let stored =
            QuantizedTensor::quantize_on(weights, &shape, grid.clone().unwrap_or(anything))?;
        grid.map(|_| stored)
    }

    /// The same, made once and kept for all who ask.
    ///
    /// # Errors
    /// As [`quantize`](Self::quantize).
    pub(crate) fn codes(
        &self,
        format: Format,
        range: CodeRange,
        ends: (f32, f32),
    ) -> Result<Arc<QuantizedTensor>, QuantError> {
        let key = (format, range, [ends.0, ends.1].map(f32::to_bits));
        self.codes.get_or_try(key, || self.quantize(format, range, ends))
    }
}

fn largest(weights: &[f32]) -> f32 {
    weights.iter().fold(0.0_f32, |max, w| max.max(w.abs()))
}

/// The root of the mean square; 0 without weights.
pub(crate) fn root_mean_square(weights: &[f32]) -> f64 {
    let sum: f64 = weights.iter().map(|w| f64::from(*w).powi(2)).sum();
    (sum / weights.len().max(1) as f64).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_one_format_and_limit_exist_once() {
        let group = GroupWeights::whole(&[0.5, -1.0, 0.25]);
        let symmetric = |limit: f32| (Format::INT8, CodeRange::Symmetric, (-limit, limit));
        let of = |group: &GroupWeights, (format, range, ends)| group.codes(format, range, ends);
        let codes = |limit| of(&group, symmetric(limit)).unwrap();
        assert!(Arc::ptr_eq(&codes(1.0), &of(&group.clone(), symmetric(1.0)).unwrap()));
        assert!(!Arc::ptr_eq(&codes(1.0), &codes(0.5)));
        let min_max = of(&group, (Format::INT8, CodeRange::MinMax, (-1.0, 1.0))).unwrap();
        assert!(!Arc::ptr_eq(&codes(1.0), &min_max));
        let (format, range, ends) = symmetric(0.5);
        assert_eq!(*codes(0.5), group.quantize(format, range, ends).unwrap());
        assert!(of(&group, symmetric(-1.0)).is_err());
    }

    #[test]
    fn a_part_knows_its_tensor() {
        let tensor: Arc<[f32]> = vec![3.0, -4.0, 0.0, 1.0].into();
        for part in [
            GroupWeights::part(&tensor, 2..4).unwrap(),
            GroupWeights::parts(&tensor, [0..2, 2..4]).unwrap().remove(1),
        ] {
            assert_eq!(
                (part.weights(), part.largest(), part.largest_of_tensor()),
                (&tensor[2..], 1.0, 4.0)
            );
            assert_eq!(part.ends(CodeRange::MinMax), (0.0, 1.0));
            assert_eq!(part.ends_of_tensor(CodeRange::MinMax), (-4.0, 3.0));
            assert_eq!(part.ends_of_tensor(CodeRange::Symmetric), (-4.0, 4.0));
        }
        assert!(
            (GroupWeights::part(&tensor, 0..2).unwrap().root_mean_square() - 12.5_f64.sqrt()).abs()
                < 1e-12
        );
        assert_eq!(GroupWeights::part(&tensor, 1..1).unwrap().root_mean_square(), 0.0);
    }
}

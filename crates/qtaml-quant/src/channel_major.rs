//! The channel-major order: weights of one output channel in a row.

use std::ops::Range;

/// The order of a tensor's weights in which those of one output channel are consecutive.
///
/// Positions of faults do not depend on it: they are row-major.
///
/// ```
/// use qtaml_quant::ChannelMajor;
///
/// // Two inputs, three outputs along axis 1.
/// let order = ChannelMajor::new(&[2, 3], Some(1));
/// assert_eq!(order.gather(&[1, 2, 3, 4, 5, 6]), [1, 4, 2, 5, 3, 6]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChannelMajor {
    outer: usize,
    channels: usize,
    inner: usize,
}

impl ChannelMajor {
    /// The order for a tensor of `shape` whose output channels run along `axis`; row-major order
    /// without one.
    pub fn new(shape: &[usize], axis: Option<usize>) -> Self {
        match axis.filter(|&axis| axis < shape.len()) {
            None => Self { outer: 1, channels: 1, inner: shape.iter().product() },
            Some(axis) => Self {
                outer: shape[..axis].iter().product(),
                channels: shape[axis],
                inner: shape[axis + 1..].iter().product(),
            },
        }
    }

    /// The number of weights.
    pub fn len(self) -> usize {
        self.outer * self.channels * self.inner
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The number of channels.
    pub fn channels(self) -> usize {
        self.channels
    }

    /// The weights of one channel.
    pub fn channel_len(self) -> usize {
        self.outer * self.inner
    }

    /// The weights of one channel that lie in a row, row-major.
    pub fn inner(self) -> usize {
        self.inner
    }

    /// The channel of the weight at a row-major position, and its number there.
    pub fn place_of(self, position: usize) -> (usize, usize) {
        let Self { channels, inner, .. } = self;
        if self.is_empty() {
            return (0, 0);
        }
        let (row, within) = (position / inner, position % inner);
        (row % channels, row / channels * inner + within)
    }

    /// Whether it is row-major order.
    pub fn is_row_major(self) -> bool {
        self.outer == 1 || self.channels == 1
    }

    /// The row-major positions of a range of weights in channel-major order.
    pub fn positions(self, range: Range<usize>) -> impl Iterator<Item = usize> {
        let Self { channels, inner, .. } = self;
        range.map(move |at| {
            let (channel, rest) = (at / self.channel_len(), at % self.channel_len());
            ((rest / inner) * channels + channel) * inner + rest % inner
        })
    }

    /// Row-major values in channel-major order.
    ///
    /// # Panics
    /// If there are not [`len`](Self::len) values.
    pub fn gather<T: Copy>(self, row_major: &[T]) -> Vec<T> {
        self.gather_range(0..self.len(), row_major)
    }

    /// The values of a range of channel-major order, from row-major ones.
    ///
    /// # Panics
    /// If there are not [`len`](Self::len) values, or the range has other places.
    pub fn gather_range<T: Copy>(self, range: Range<usize>, row_major: &[T]) -> Vec<T> {
        assert_eq!(row_major.len(), self.len(), "one value for each weight");
        if self.is_row_major() {
            return row_major[range].to_vec();
        }
        self.positions(range).map(|position| row_major[position]).collect()
    }

    /// Writes one value to the row-major places of a range of channel-major order.
    ///
    /// # Panics
    /// If `row_major` lacks a place of the range.
    pub fn fill<T: Copy>(self, range: Range<usize>, value: T, row_major: &mut [T]) {
        if self.is_row_major() {
            row_major[range].fill(value);
            return;
        }
        self.positions(range).for_each(|position| row_major[position] = value);
    }

    /// Writes the values of a range of channel-major order to their row-major places.
    ///
    /// # Panics
    /// If there are not as many values as the range has, or a place that `row_major` lacks.
    pub fn scatter<T: Copy>(self, range: Range<usize>, values: &[T], row_major: &mut [T]) {
        assert_eq!(range.len(), values.len(), "one value for each weight");
        if self.is_row_major() {
            row_major[range].copy_from_slice(values);
            return;
        }
        self.positions(range)
            .zip(values)
            .for_each(|(position, &value)| row_major[position] = value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against indices written out: `[in, out, h, w]` of a transposed convolution.
    #[test]
    fn channels_of_any_axis_are_gathered() {
        let shape = [2, 3, 2, 1];
        let row_major: Vec<usize> = (0..12).collect();
        for axis in 0..4 {
            let mut expected = Vec::new();
            for channel in 0..shape[axis] {
                for i in 0..12 {
                    let index = [i / 6, i / 2 % 3, i % 2, 0];
                    if index[axis] == channel {
                        expected.push(i);
                    }
                }
            }
            let order = ChannelMajor::new(&shape, Some(axis));
            assert_eq!(order.gather(&row_major), expected, "axis {axis}");
            let mut back = vec![0; 12];
            order.scatter(0..5, &expected[..5], &mut back);
            order.scatter(5..12, &expected[5..], &mut back);
            assert_eq!(back, row_major, "axis {axis}");
            assert_eq!(order.gather_range(5..9, &row_major), expected[5..9], "axis {axis}");
            let mut filled = vec![0; 12];
            order.fill(2..7, 1, &mut filled);
            let marked: Vec<usize> = (0..12).filter(|&i| filled[i] == 1).collect();
            let mut places = expected[2..7].to_vec();
            places.sort_unstable();
            assert_eq!(marked, places, "axis {axis}");
        }
    }
}

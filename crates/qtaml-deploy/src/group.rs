//! The granularity of weight groups: tensor, output channel or group, in canonical order.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{UnknownName, WeightTensor};

/// How finely the weights of a model are told apart.
///
/// ```
/// use qtaml_deploy::Granularity;
///
/// assert_eq!("group:32".parse(), Ok(Granularity::Group(32)));
/// assert_eq!(Granularity::Channel.to_string(), "channel");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[non_exhaustive]
pub enum Granularity {
    /// A whole tensor, usually a layer.
    #[default]
    Tensor,
    /// The weights of one output channel; a tensor without an output axis is one channel.
    Channel,
    /// So many weights in a row within an output channel; the last group of a channel may be smaller.
    Group(usize),
}

impl fmt::Display for Granularity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tensor => f.write_str("tensor"),
            Self::Channel => f.write_str("channel"),
            Self::Group(weights) => write!(f, "group:{weights}"),
        }
    }
}

impl FromStr for Granularity {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        let group = || name.strip_prefix("group:")?.parse().ok().filter(|&weights| weights > 0);
        let known = ["tensor", "channel", "group:N with N of at least 1"];
        match name {
            "tensor" => Ok(Self::Tensor),
            "channel" => Ok(Self::Channel),
            _ => {
                group().map(Self::Group).ok_or_else(|| UnknownName::new("granularity", name, known))
            }
        }
    }
}

impl TryFrom<String> for Granularity {
    type Error = UnknownName;

    fn try_from(name: String) -> Result<Self, UnknownName> {
        name.parse()
    }
}

impl From<Granularity> for String {
    fn from(granularity: Granularity) -> Self {
        granularity.to_string()
    }
}

/// The order of a tensor's weights in which those of one output channel are consecutive.
///
/// Positions of faults do not depend on it: they are row-major.
///
/// ```
/// use qtaml_deploy::ChannelMajor;
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

/// A part of one weight tensor that is quantized with one scale, protected alike and scored as a
/// whole.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct WeightGroup {
    /// The tensor's name, and which part of it where there are several: `conv1.weight[3]`.
    pub name: String,
    /// The number of the tensor in the runner's list.
    pub tensor: usize,
    /// Its number among the groups of the tensor.
    pub part: usize,
    /// Its weights, in [`ChannelMajor`] order.
    pub range: Range<usize>,
}

impl WeightGroup {
    /// The number of weights.
    pub fn len(&self) -> usize {
        self.range.len()
    }

    /// Whether it has none; groups of a tensor never are empty.
    pub fn is_empty(&self) -> bool {
        self.range.is_empty()
    }
}

/// The groups of a tensor, which is number `index` in its list; none if it has no weights.
pub fn groups_of(
    index: usize,
    tensor: &WeightTensor,
    granularity: Granularity,
) -> Vec<WeightGroup> {
    let order = tensor.channel_major();
    let (count, channel) = (order.len(), order.channel_len());
    let size = match granularity {
        Granularity::Tensor => count,
        Granularity::Channel => channel,
        Granularity::Group(size) => size.clamp(1, channel.max(1)),
    };
    let bounds = match granularity {
        Granularity::Tensor => count,
        Granularity::Channel | Granularity::Group(_) => channel,
    };
    let starts = (0..count).step_by(bounds.max(1)).flat_map(|channel| {
        let end = channel + bounds;
        (channel..end).step_by(size.max(1)).map(move |start| start..(start + size).min(end))
    });
    let ranges: Vec<Range<usize>> = starts.collect();
    let whole = ranges.len() == 1;
    let named = |(part, range)| WeightGroup {
        name: if whole { tensor.name.clone() } else { format!("{}[{part}]", tensor.name) },
        tensor: index,
        part,
        range,
    };
    ranges.into_iter().enumerate().map(named).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Role;

    fn tensor(shape: &[usize], axis: usize) -> WeightTensor {
        WeightTensor::new("w", shape, Role::Linear).with_output_axis(axis)
    }

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

    #[test]
    fn groups_cover_every_weight_once_and_stay_in_their_channel() {
        for (shape, axis) in [(vec![4, 6], 0), (vec![4, 6], 1), (vec![2, 3, 5], 1)] {
            let tensor = tensor(&shape, axis);
            let names = [Granularity::Tensor, Granularity::Channel, Granularity::Group(4)];
            for granularity in names {
                let groups = groups_of(7, &tensor, granularity);
                let mut next = 0;
                for (part, group) in groups.iter().enumerate() {
                    assert_eq!((group.range.start, group.tensor, group.part), (next, 7, part));
                    next = group.range.end;
                    let channel = tensor.channel_major().channel_len();
                    let crosses = group.range.start / channel != (group.range.end - 1) / channel;
                    assert!(granularity == Granularity::Tensor || !crosses, "{group:?}");
                }
                assert_eq!(next, tensor.len(), "{granularity}");
            }
        }
        assert_eq!(groups_of(0, &tensor(&[2, 3], 1), Granularity::Tensor)[0].name, "w");
        assert_eq!(groups_of(0, &tensor(&[2, 3], 1), Granularity::Channel)[2].name, "w[2]");
        assert_eq!(groups_of(0, &tensor(&[6], 0), Granularity::Channel).len(), 6);
        for granularity in [Granularity::Tensor, Granularity::Channel, Granularity::Group(3)] {
            assert_eq!(groups_of(0, &tensor(&[4, 0], 1), granularity), []);
            assert_eq!(groups_of(0, &tensor(&[0, 4], 1), granularity), []);
        }
    }

    #[test]
    fn names_lead_back() {
        for granularity in [Granularity::Tensor, Granularity::Channel, Granularity::Group(9)] {
            assert_eq!(granularity.to_string().parse(), Ok(granularity));
            let json = serde_json::to_string(&granularity).unwrap();
            assert_eq!(serde_json::from_str::<Granularity>(&json).unwrap(), granularity);
        }
        for bad in ["group:0", "group:", "row", ""] {
            let error = bad.parse::<Granularity>().unwrap_err();
            assert_eq!((error.what, error.name.as_str()), ("granularity", bad));
        }
    }
}

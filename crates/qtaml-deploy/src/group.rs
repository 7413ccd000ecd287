//! The weight groups of a tensor, in canonical order.

use std::ops::Range;

use qtaml_quant::{Granularity, GroupLayout};

use crate::WeightTensor;

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
    /// Its weights, in [`ChannelMajor`](qtaml_quant::ChannelMajor) order.
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
    let layout = GroupLayout::new(tensor.channel_major(), granularity);
    let ranges: Vec<Range<usize>> = (0..layout.groups()).map(|group| layout.range(group)).collect();
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
}

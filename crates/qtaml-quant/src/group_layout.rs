//! The layout of the groups of a tensor that share a scale.

use std::borrow::Cow;
use std::ops::Range;

use crate::{ChannelMajor, Granularity, QuantError};

/// Which weights of a tensor share a scale, and which number that scale has.
///
/// Groups are ranges of the [channel-major order](ChannelMajor), numbered in that order: all groups of
/// the first output channel, then those of the next. The last group of a channel may be smaller. Words
/// and faults stay where they are, in row-major order.
///
/// ```
/// use qtaml_quant::{Granularity, GroupLayout};
///
/// // Four inputs, two outputs along axis 1, groups of three: three and one weight in each channel.
/// let layout = GroupLayout::of(&[4, 2], Some(1), Granularity::Group(3))?;
/// assert_eq!(layout.groups(), 4);
/// let groups: Vec<usize> = (0..8).map(|position| layout.group_of(position)).collect();
/// assert_eq!(groups, [0, 2, 0, 2, 0, 2, 1, 3]);
/// # Ok::<(), qtaml_quant::QuantError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupLayout {
    order: ChannelMajor,
    /// Weights of a group; the last one of a channel may have fewer.
    size: usize,
    /// Groups of a channel.
    in_channel: usize,
}

/// Weights in a row, row-major, that share a scale.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Run {
    /// The number of their group.
    pub group: usize,
    /// Their positions.
    pub positions: Range<usize>,
}

/// Weights in a row, row-major, each of the output channel behind that of the one before: what the runs of
/// a tensor are whose output channels run along its last axis, each of them a single weight.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Across {
    /// The number of the group of the first one.
    pub group: usize,
    /// From the group of each to that of the next.
    pub step: usize,
    /// Their positions.
    pub positions: Range<usize>,
}

impl Across {
    /// The groups of its weights, one after the other.
    #[inline]
    pub fn groups(&self) -> impl Iterator<Item = usize> + use<> {
        (self.group..).step_by(self.step).take(self.positions.len())
    }

    /// Where its weights lie in a piece of the tensor that begins at position `first`.
    ///
    /// # Panics
    /// If it begins before the piece.
    #[inline]
    pub fn within(&self, first: usize) -> Range<usize> {
        self.positions.start - first..self.positions.end - first
    }

    /// One value of each of its groups, in the order of its weights.
    pub(crate) fn gather<'a, T: Copy>(&self, of_groups: &'a [T]) -> Cow<'a, [T]> {
        match self.step {
            1 => Cow::Borrowed(&of_groups[self.group..self.group + self.positions.len()]),
            _ => self.groups().map(|group| of_groups[group]).collect(),
        }
    }
}

impl Run {
    /// Where its weights lie in a piece of the tensor that begins at position `first`.
    ///
    /// # Panics
    /// If the run begins before the piece.
    #[inline]
    pub fn within(&self, first: usize) -> Range<usize> {
        self.positions.start - first..self.positions.end - first
    }
}

impl GroupLayout {
    /// The groups of a tensor of `shape` whose output channels run along `axis`; without one it is one
    /// channel.
    ///
    /// # Errors
    /// [`QuantError::Axis`] for an axis that the shape lacks, [`QuantError::Empty`] for a shape without
    /// weights.
    pub fn of(
        shape: &[usize],
        axis: Option<usize>,
        granularity: Granularity,
    ) -> Result<Self, QuantError> {
        if let Some(axis) = axis.filter(|&axis| axis >= shape.len()) {
            return Err(QuantError::Axis { shape: shape.to_vec(), axis });
        }
        if shape.contains(&0) {
            return Err(QuantError::Empty { shape: shape.to_vec() });
        }
        Ok(Self::new(ChannelMajor::new(shape, axis), granularity))
    }

    /// The groups of a tensor in this order; none if it has no weights.
    pub fn new(order: ChannelMajor, granularity: Granularity) -> Self {
        let order = match granularity {
            Granularity::Channel | Granularity::Group(_) if order.channels() != 1 => order,
            // All of it is one channel, or one range of any order.
            _ => ChannelMajor::new(&[order.len()], None),
        };
        let channel = order.channel_len();
        let size = match granularity {
            Granularity::Tensor | Granularity::Channel => channel,
            Granularity::Group(weights) => weights.min(channel),
        };
        let size = size.max(1);
        Self { order, size, in_channel: channel.div_ceil(size) }
    }

    /// The order whose ranges are the groups.
    pub fn order(&self) -> ChannelMajor {
        self.order
    }

    /// The number of groups.
    pub fn groups(&self) -> usize {
        if self.order.is_empty() { 0 } else { self.order.channels() * self.in_channel }
    }

    /// The number of weights.
    pub fn weights(&self) -> usize {
        self.order.len()
    }

    /// The weights of a group, in channel-major order.
    pub fn range(&self, group: usize) -> Range<usize> {
        let (channel, within) = (group / self.in_channel, group % self.in_channel);
        let (start, end) = (within * self.size, (within + 1) * self.size);
        let first = channel * self.order.channel_len();
        first + start..first + end.min(self.order.channel_len())
    }

    /// The number of the output channel of a group.
    pub fn channel_of(&self, group: usize) -> usize {
        group / self.in_channel
    }

    /// The group of the weight at a row-major position.
    pub fn group_of(&self, position: usize) -> usize {
        let (channel, within) = self.order.place_of(position);
        channel * self.in_channel + within / self.size
    }

    /// The runs of weights of one group in a range of row-major positions, in order: each as long as
    /// possible.
    ///
    /// # Panics
    /// If the tensor has no such range.
    pub fn runs(&self, positions: Range<usize>) -> impl Iterator<Item = Run> + use<> {
        assert!(positions.end <= self.weights(), "{positions:?} of {}", self.weights());
        Runs {
            layout: *self,
            next: positions.start,
            end: positions.end,
            place: self.place(&positions),
        }
    }

    /// The same range in stretches of weights of which each is of another channel, if that is how they lie:
    /// a run of a single weight takes longer to find than the weight takes.
    ///
    /// # Panics
    /// If the tensor has no such range.
    pub fn across(&self, positions: Range<usize>) -> Option<impl Iterator<Item = Across> + use<>> {
        assert!(positions.end <= self.weights(), "{positions:?} of {}", self.weights());
        let (channels, step, size) = (self.order.channels(), self.in_channel, self.size);
        let mut next = positions.start;
        let stretch = move || {
            let (row, channel) = (next / channels, next % channels);
            let end = positions.end.min((row + 1) * channels);
            let stretch = Across { group: channel * step + row / size, step, positions: next..end };
            next = end;
            (!stretch.positions.is_empty()).then_some(stretch)
        };
        (self.order.inner() == 1 && channels > 1).then(|| std::iter::from_fn(stretch))
    }

    /// Where the first of some positions lies; there may be none.
    fn place(&self, positions: &Range<usize>) -> Place {
        let (order, size) = (self.order, self.size);
        let at = if positions.is_empty() { 0 } else { positions.start };
        let ((channel, within), inner) = (order.place_of(at), order.inner());
        let (in_row, row_start) = (within % inner, within - within % inner);
        Place {
            channel,
            group: within / size,
            group_left: size - within % size,
            row_left: inner - in_row,
            row_start,
            first_group: row_start / size,
            first_left: size - row_start % size,
        }
    }
}

/// The runs of a range of positions.
struct Runs {
    layout: GroupLayout,
    next: usize,
    end: usize,
    place: Place,
}

/// Where the next run begins, moved along: a division for each run would take longer than its weights.
struct Place {
    channel: usize,
    /// The group within the channel, and how many of its weights are left.
    group: usize,
    group_left: usize,
    /// Weights left of the channel's row.
    row_left: usize,
    /// The first weight of the row within its channel, and the group that it is in.
    row_start: usize,
    first_group: usize,
    first_left: usize,
}

impl Iterator for Runs {
    type Item = Run;

    #[inline]
    fn next(&mut self) -> Option<Run> {
        if self.next >= self.end {
            return None;
        }
        let (layout, place) = (&self.layout, &mut self.place);
        let length = place.row_left.min(place.group_left).min(self.end - self.next);
        let group = place.channel * layout.in_channel + place.group;
        let run = Run { group, positions: self.next..self.next + length };
        self.next += length;
        place.row_left -= length;
        place.group_left -= length;
        if place.row_left == 0 {
            place.next_row(layout);
        } else if place.group_left == 0 {
            (place.group, place.group_left) = (place.group + 1, layout.size);
        }
        Some(run)
    }
}

impl Place {
    /// The same row of the next channel, or the next row of the first one.
    #[inline]
    fn next_row(&mut self, layout: &GroupLayout) {
        let (order, size) = (layout.order, layout.size);
        self.channel += 1;
        if self.channel == order.channels() {
            self.channel = 0;
            self.row_start += order.inner();
            (self.first_group, self.first_left) =
                (self.row_start / size, size - self.row_start % size);
        }
        self.row_left = order.inner();
        (self.group, self.group_left) = (self.first_group, self.first_left);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn granularity() -> impl Strategy<Value = Granularity> {
        prop_oneof![
            Just(Granularity::Tensor),
            Just(Granularity::Channel),
            (1_usize..9).prop_map(Granularity::Group),
        ]
    }

    #[test]
    fn what_has_no_groups_is_named() {
        let of = |shape: &[usize], axis| GroupLayout::of(shape, axis, Granularity::Channel);
        let error = of(&[2, 3], Some(2)).unwrap_err().to_string();
        assert_eq!(error, "the tensor of shape [2, 3] has no axis 2");
        assert_eq!(of(&[2, 0], Some(0)), Err(QuantError::Empty { shape: vec![2, 0] }));
        assert_eq!(of(&[], None).unwrap().groups(), 1);
        let empty = GroupLayout::new(ChannelMajor::new(&[0, 4], Some(1)), Granularity::Channel);
        assert_eq!((empty.groups(), empty.runs(0..0).count()), (0, 0));
    }

    proptest! {
        /// Groups against the indices of each weight, and runs against the group of each position.
        #[test]
        fn runs_are_of_the_groups_of_their_positions(
            shape in prop::collection::vec(1_usize..6, 1..4),
            axis in prop::option::of(0_usize..3),
            granularity in granularity(),
            ends in prop::array::uniform2(any::<prop::sample::Index>()),
        ) {
            let axis = axis.filter(|&axis| axis < shape.len());
            let layout = GroupLayout::of(&shape, axis, granularity).unwrap();
            let count: usize = shape.iter().product();
            let order = layout.order();
            let mut groups = vec![usize::MAX; count];
            for group in 0..layout.groups() {
                prop_assert!(!layout.range(group).is_empty());
                order.positions(layout.range(group)).for_each(|position| groups[position] = group);
            }
            for (position, &group) in groups.iter().enumerate() {
                prop_assert_eq!(layout.group_of(position), group);
                if let (Some(axis), false) = (axis, granularity == Granularity::Tensor) {
                    let stride: usize = shape[axis + 1..].iter().product();
                    prop_assert_eq!(layout.channel_of(group), position / stride % shape[axis]);
                }
            }
            let [a, b] = ends.map(|end| end.index(count + 1));
            let mut next = a.min(b);
            for run in layout.runs(a.min(b)..a.max(b)) {
                prop_assert_eq!(run.positions.start, next);
                prop_assert!(!run.positions.is_empty());
                prop_assert!(groups[run.positions.clone()].iter().all(|&group| group == run.group));
                next = run.positions.end;
            }
            prop_assert_eq!(next, a.max(b));
            let is_across = order.inner() == 1 && order.channels() > 1;
            let across = layout.across(a.min(b)..a.max(b));
            prop_assert_eq!(across.is_some(), is_across);
            next = a.min(b);
            for stretch in across.into_iter().flatten() {
                prop_assert_eq!(stretch.positions.start, next);
                prop_assert!(!stretch.positions.is_empty());
                prop_assert!(stretch.groups().eq(groups[stretch.positions.clone()].iter().copied()));
                let gathered = stretch.gather(&(0..layout.groups()).collect::<Vec<_>>()).into_owned();
                prop_assert!(stretch.groups().eq(gathered));
                next = stretch.positions.end;
            }
            prop_assert!(!is_across || next == a.max(b));
        }
    }
}

//! The extents of all groups of a tensor, whose weights may come in pieces.

use crate::{Extent, GroupLayout, QuantError};

/// The smallest and the largest weight of each group that shares a scale.
///
/// ```
/// use qtaml_quant::{Extents, Granularity, GroupLayout};
///
/// // Two output channels along axis 1.
/// let mut extents = Extents::new(GroupLayout::of(&[2, 2], Some(1), Granularity::Channel)?);
/// extents.add(0, &[0.5, -2.0, 1.0]);
/// extents.add(3, &[7.0]);
/// assert_eq!(extents.ends()?, [(0.5, 1.0), (-2.0, 7.0)]);
/// # Ok::<(), qtaml_quant::QuantError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extents {
    layout: GroupLayout,
    extents: Vec<Extent>,
}

impl Extents {
    /// Those of no weights yet.
    pub fn new(layout: GroupLayout) -> Self {
        Self { layout, extents: vec![Extent::default(); layout.groups()] }
    }

    /// Takes the weights into account that begin at a row-major position.
    ///
    /// # Panics
    /// If the tensor does not have so many.
    pub fn add(&mut self, first: usize, weights: &[f32]) {
        let positions = first..first + weights.len();
        if let Some(stretches) = self.layout.across(positions.clone()) {
            for across in stretches {
                let weights = &weights[across.within(first)];
                let extents = self.extents[across.group..].iter_mut().step_by(across.step);
                extents.zip(weights).for_each(|(extent, &weight)| extent.add_one(weight));
            }
            return;
        }
        for run in self.layout.runs(positions) {
            self.extents[run.group].add(&weights[run.within(first)]);
        }
    }

    /// The smallest and the largest weight of each group, in their order.
    ///
    /// # Errors
    /// As [`Extent::ends`].
    pub fn ends(&self) -> Result<Vec<(f32, f32)>, QuantError> {
        self.extents.iter().map(|extent| extent.ends()).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Granularity;

    proptest! {
        /// Against the weights of each group, gathered.
        #[test]
        fn extents_are_those_of_the_weights_of_each_group(
            weights in prop::collection::vec(-9.0_f32..9.0, 120),
            (shape, axis) in prop::sample::select(vec![
                ([2, 60, 1], 1), ([10, 4, 3], 1), ([5, 8, 3], 2), ([4, 5, 6], 0),
            ]),
            granularity in prop::sample::select(vec![
                Granularity::Tensor, Granularity::Channel, Granularity::Group(7),
            ]),
            cut in 0_usize..=120,
        ) {
            let layout = GroupLayout::of(&shape, Some(axis), granularity).unwrap();
            let mut extents = Extents::new(layout);
            extents.add(0, &weights[..cut]);
            extents.add(cut, &weights[cut..]);
            for (group, (low, high)) in extents.ends().unwrap().into_iter().enumerate() {
                let own = layout.order().gather_range(layout.range(group), &weights);
                prop_assert_eq!(low, own.iter().copied().min_by(f32::total_cmp).unwrap());
                prop_assert_eq!(high, own.iter().copied().max_by(f32::total_cmp).unwrap());
            }
        }
    }

    #[test]
    fn a_weight_that_is_no_number_has_no_end() {
        let mut extents =
            Extents::new(GroupLayout::of(&[2, 2], Some(1), Granularity::Channel).unwrap());
        extents.add(0, &[1.0, f32::NAN, 1.0, 2.0]);
        assert!(matches!(extents.ends(), Err(QuantError::Limit(_))));
    }
}

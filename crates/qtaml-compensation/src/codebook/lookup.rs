//! In which cell a weight lies, without a search.

/// A uniform grid over the thresholds. A cell of it knows how many thresholds lie below it; those
/// inside it, few if any, are compared one by one.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Lookup {
    /// Rising; behind them as many infinities as may be compared in vain.
    thresholds: Vec<f32>,
    /// Thresholds below each cell of the grid.
    below: Vec<u16>,
    from: f32,
    cells_per_unit: f32,
    /// The most thresholds within a cell.
    crowd: usize,
}

impl Lookup {
    /// For rising thresholds. A weight on a threshold lies above it.
    pub(super) fn new(mut thresholds: Vec<f32>) -> Self {
        let cells = (8 * thresholds.len()).next_power_of_two();
        let from = thresholds.first().copied().unwrap_or(0.0);
        let to = thresholds.last().copied().unwrap_or(0.0);
        let cells_per_unit = cells as f32 / (to - from);
        let mut lookup =
            Self { thresholds: Vec::new(), below: vec![0; cells], from, cells_per_unit, crowd: 0 };
        let mut within = vec![0; cells];
        thresholds.iter().for_each(|&threshold| within[lookup.place(threshold)] += 1);
        let mut below = 0;
        for (cell, within) in lookup.below.iter_mut().zip(&within) {
            *cell = below;
            below += within;
        }
        lookup.crowd = within.into_iter().max().map_or(0, usize::from);
        thresholds.resize(thresholds.len() + lookup.crowd, f32::INFINITY);
        Self { thresholds, ..lookup }
    }

    /// The thresholds.
    pub(super) fn thresholds(&self) -> &[f32] {
        &self.thresholds[..self.thresholds.len() - self.crowd]
    }

    /// The number of thresholds at or below each weight. All must be finite.
    pub(super) fn cells(&self, weights: &[f32]) -> impl ExactSizeIterator<Item = usize> {
        weights.iter().map(|&weight| {
            let mut cell = usize::from(self.below[self.place(weight)]);
            for _ in 0..self.crowd {
                cell += usize::from(self.thresholds[cell] <= weight);
            }
            cell
        })
    }

    /// The cell of the grid. That it never falls with `weight`, however it is rounded and whatever
    /// overflows, is all that is asked of it.
    fn place(&self, weight: f32) -> usize {
        // The cast takes what is negative or NaN to 0.
        let place = ((weight - self.from) * self.cells_per_unit) as u32;
        (place as usize).min(self.below.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(mut thresholds: Vec<f32>, weights: &[f32]) {
        thresholds.sort_by(f32::total_cmp);
        let lookup = Lookup::new(thresholds.clone());
        assert_eq!(lookup.thresholds(), thresholds);
        let all: Vec<f32> = weights.iter().chain(&thresholds).copied().collect();
        let expected = all.iter().map(|w| thresholds.partition_point(|t| t <= w));
        assert!(lookup.cells(&all).eq(expected), "{thresholds:?}");
    }

    proptest! {
        #[test]
        fn it_finds_what_a_search_finds(
            thresholds in prop::collection::vec(-1.0..1.0_f32, 0..300),
            weights in prop::collection::vec(-2.0..2.0_f32, 100),
        ) {
            check(thresholds, &weights);
        }

        #[test]
        fn of_any_size(
            thresholds in prop::collection::vec(prop::num::f32::NORMAL | prop::num::f32::ZERO, 0..9),
            weights in prop::collection::vec(prop::num::f32::NORMAL | prop::num::f32::ZERO, 20),
        ) {
            check(thresholds, &weights);
        }
    }

    #[test]
    fn it_survives_extremes() {
        let all = [f32::MIN, -1e-45, 0.0, 1e-45, f32::MAX];
        check(vec![], &all);
        check(vec![0.0; 5], &all);
        check(all.to_vec(), &all);
        check(vec![1e-45, 2e-45], &all);
    }
}

//! The look-up of the cell of a weight, without a search.

/// As many cells as a first level cache holds.
const MOST_CELLS: usize = 1 << 13;

/// A uniform grid over the thresholds. A cell of it knows how many thresholds lie below it; those
/// inside it, hardly ever more than one, are compared with the weight.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Lookup {
    /// Rising; behind them as many infinities as may be compared in vain.
    thresholds: Vec<f32>,
    /// Thresholds below each cell of the grid.
    below: Vec<u16>,
    from: f32,
    cells_per_unit: f32,
    /// The most thresholds within a cell, and at least one.
    crowd: usize,
}

impl Lookup {
    /// For rising thresholds. A weight on a threshold lies above it.
    pub(super) fn new(thresholds: Vec<f32>) -> Self {
        let mut cells = (4 * thresholds.len()).next_power_of_two();
        let mut lookup = Self::with_cells(&thresholds, cells);
        while lookup.crowd > 1 && cells < MOST_CELLS {
            cells *= 2;
            lookup = Self::with_cells(&thresholds, cells);
        }
        lookup.thresholds = thresholds;
        lookup.thresholds.resize(lookup.thresholds.len() + lookup.crowd, f32::INFINITY);
        lookup
    }

    fn with_cells(thresholds: &[f32], cells: usize) -> Self {
        let from = thresholds.first().copied().unwrap_or(0.0);
        let to = thresholds.last().copied().unwrap_or(0.0);
        let (below, cells_per_unit) = (vec![0; cells], cells as f32 / (to - from));
        let mut lookup = Self { thresholds: Vec::new(), below, from, cells_per_unit, crowd: 1 };
        let mut within = vec![0; cells];
        for &threshold in thresholds {
            within[lookup.place(threshold)] += 1;
        }
        let mut below = 0;
        for (cell, within) in lookup.below.iter_mut().zip(within) {
            *cell = below;
            below += within;
            lookup.crowd = lookup.crowd.max(usize::from(within));
        }
        lookup
    }

    /// The thresholds.
    pub(super) fn thresholds(&self) -> &[f32] {
        &self.thresholds[..self.thresholds.len() - self.crowd]
    }

    /// The number of thresholds at or below each weight. All must be finite.
    pub(super) fn cells(&self, weights: &[f32]) -> impl ExactSizeIterator<Item = usize> {
        weights.iter().map(|&weight| {
            let mut cell = usize::from(self.below[self.place(weight)]);
            cell += usize::from(self.thresholds[cell] <= weight);
            for _ in 1..self.crowd {
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

//! One pass over the examples: order, batches and shifts.

use qtaml_fault::Seed;
use rand::RngExt;
use rand::seq::SliceRandom;

/// The order of the examples in an epoch, and how far each is moved. Both are drawn at its start, so
/// that a run which goes on in the middle of it meets the same.
pub(super) struct Pass {
    order: Vec<usize>,
    moves: Vec<[f32; 2]>,
}

impl Pass {
    /// `count` examples in random order, each moved by up to `shift` pixels along both axes.
    pub(super) fn draw(count: usize, shift: f32, seed: Seed, epoch: u64) -> Self {
        let mut order: Vec<usize> = (0..count).collect();
        order.shuffle(&mut seed.rng("shuffle", epoch));
        let mut shifts = seed.rng("shift", epoch);
        let mut axis = || shifts.random_range(-shift..=shift);
        let moves = (0..count).map(|_| [axis(), axis()]).collect();
        Self { order, moves }
    }

    /// Positions and moves of the batches of `size` examples; the last takes what is left.
    pub(super) fn batches(&self, size: usize) -> impl Iterator<Item = (&[usize], &[[f32; 2]])> {
        self.order.chunks(size).zip(self.moves.chunks(size))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Dataset;

    #[test]
    fn an_epoch_sees_every_image_once_and_each_in_its_own_order() {
        let images = Dataset::digits().unwrap().train;
        let seen = |epoch| {
            let pass = Pass::draw(images.len(), 0.0, Seed(1), epoch);
            let batches: Vec<&[usize]> = pass.batches(100).map(|(order, _)| order).collect();
            assert!(batches.iter().rev().skip(1).all(|batch| batch.len() == 100));
            images.select(&batches.concat()).unwrap().labels().to_vec()
        };
        let sorted = |mut labels: Vec<usize>| {
            labels.sort_unstable();
            labels
        };
        assert_ne!(seen(0), seen(1));
        assert_eq!(sorted(seen(0)), sorted(images.labels().to_vec()));
        assert_eq!(sorted(seen(1)), sorted(seen(0)));
    }

    #[test]
    fn moves_are_uniform_within_their_bounds() {
        let Pass { moves, .. } = Pass::draw(1000, 1.5, Seed(1), 0);
        for axis in 0..2 {
            assert!(moves.iter().all(|m| m[axis].abs() <= 1.5));
            // The mean of 1,000 draws has a standard error of 0.027, their variance one of 0.021.
            let mean = moves.iter().map(|m| m[axis]).sum::<f32>() / 1e3;
            assert!(mean.abs() < 5.0 * 0.027, "{mean}");
            let variance = moves.iter().map(|m| m[axis].powi(2)).sum::<f32>() / 1e3;
            assert!((variance - 0.75).abs() < 5.0 * 0.021, "{variance}");
        }
        assert_eq!(Pass::draw(3, 0.0, Seed(1), 0).moves, [[0.0; 2]; 3]);
    }
}

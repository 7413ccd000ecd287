//! Labelled images and their fixed splits.

mod digits;
mod fashion_mnist;

use burn::tensor::{Device, Int, Tensor, TensorData};
use qtaml_fault::Seed;
use rand::seq::SliceRandom;
use rand::{Rng, RngExt};

/// Grey images of one size with their labels.
///
/// # Shapes
/// `pixels` is `[n, height, width]`, row-major, from 0 (background) to 1.
#[derive(Debug, Clone, PartialEq)]
pub struct Images {
    pixels: Vec<f32>,
    labels: Vec<u8>,
    size: [usize; 2],
    classes: usize,
}

impl Images {
    /// The number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The labels, each below [`classes`](Self::classes).
    pub fn labels(&self) -> &[u8] {
        &self.labels
    }

    /// The number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Height and width in pixels.
    pub fn size(&self) -> [usize; 2] {
        self.size
    }

    /// The images with the given positions, in that order.
    ///
    /// # Panics
    /// If a position is not below [`len`](Self::len).
    #[must_use]
    pub fn select(&self, positions: &[usize]) -> Self {
        let area = self.size[0] * self.size[1];
        let pixels = positions.iter().flat_map(|&i| &self.pixels[i * area..(i + 1) * area]);
        Self {
            pixels: pixels.copied().collect(),
            labels: positions.iter().map(|&i| self.labels[i]).collect(),
            ..*self
        }
    }

    /// Each image moved by up to `most` pixels down or up and right or left, both at random, with
    /// pixels between those of the image interpolated; what comes in from outside is background.
    pub(crate) fn shifted(mut self, most: f32, rng: &mut impl Rng) -> Self {
        if most == 0.0 {
            return self;
        }
        let [height, width] = self.size;
        for image in self.pixels.chunks_mut(height * width) {
            let [down, right] = [0; 2].map(|_| rng.random_range(-most..=most));
            // Bilinear interpolation is linear interpolation along the columns, then the rows.
            let columns: Vec<f32> = (0..height * width)
                .map(|at| between(at / width, down, height, |row| image[row * width + at % width]))
                .collect();
            for (at, pixel) in image.iter_mut().enumerate() {
                let row = at / width * width;
                *pixel = between(at % width, right, width, |column| columns[row + column]);
            }
        }
        self
    }

    /// The images as a batch.
    ///
    /// # Shapes
    /// `[n, 1, height, width]`
    pub fn tensor(&self, device: &Device) -> Tensor<4> {
        let shape = [self.len(), 1, self.size[0], self.size[1]];
        Tensor::from_data(TensorData::new(self.pixels.clone(), shape), device)
    }

    /// The labels as a tensor.
    ///
    /// # Shapes
    /// `[n]`
    pub fn label_tensor(&self, device: &Device) -> Tensor<1, Int> {
        let labels: Vec<i32> = self.labels.iter().map(|&label| i32::from(label)).collect();
        Tensor::from_data(TensorData::new(labels, [self.len()]), device)
    }
}

/// The value at `to` of a line of `length` values that is moved by `shift`.
fn between(to: usize, shift: f32, length: usize, line: impl Fn(usize) -> f32) -> f32 {
    let from = to as f32 - shift;
    let (below, weight) = (from.floor(), from - from.floor());
    let value = |at: f32| if at >= 0.0 && at < length as f32 { line(at as usize) } else { 0.0 };
    (1.0 - weight) * value(below) + weight * value(below + 1.0)
}

/// A data set, split once and for all. Splits are ours: fixed permutations, independent of any
/// experiment's seed.
#[derive(Debug, Clone, PartialEq)]
pub struct Dataset {
    /// What networks learn from.
    pub train: Images,
    /// What label-free methods look at.
    pub calibration: Images,
    /// What accuracy is measured on.
    pub test: Images,
}

/// The positions `0..count` in the fixed order of the named split.
fn fixed_order(split: &str, count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    order.shuffle(&mut Seed(0).rng(split, 0));
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_interpolated_and_background_comes_in() {
        let line = [1.0, 2.0, 4.0];
        let moved = |shift| [0, 1, 2].map(|to| between(to, shift, 3, |at| line[at]));
        assert_eq!(moved(0.0), line);
        assert_eq!(moved(1.0), [0.0, 1.0, 2.0]);
        assert_eq!(moved(-0.25), [1.25, 2.5, 3.0]);
        assert_eq!(moved(0.5), [0.5, 1.5, 3.0]);
        assert_eq!(moved(-7.0), [0.0; 3]);
    }

    #[test]
    fn a_dot_is_moved_within_its_bounds_and_every_way() {
        let mut pixels = vec![0.0; 25];
        pixels[12] = 1.0;
        let images = Images { pixels, labels: vec![0], size: [5, 5], classes: 1 };
        let mut rng = Seed(1).rng("test", 0);
        // The centre of mass says how far the dot has moved.
        let centre = |images: &Images| {
            let sum = |f: fn(usize) -> usize| -> f32 {
                images.pixels.iter().enumerate().map(|(at, p)| p * f(at) as f32).sum()
            };
            [sum(|at| at / 5) - 2.0, sum(|at| at % 5) - 2.0]
        };
        let moves: Vec<[f32; 2]> =
            (0..1000).map(|_| centre(&images.clone().shifted(1.5, &mut rng))).collect();
        for axis in 0..2 {
            assert!(moves.iter().all(|m| m[axis].abs() < 1.5 + 1e-5));
            // The mean of 1,000 draws has a standard error of 0.027, their variance one of 0.021.
            let mean = moves.iter().map(|m| m[axis]).sum::<f32>() / 1e3;
            assert!(mean.abs() < 5.0 * 0.027, "{mean}");
            let variance = moves.iter().map(|m| m[axis].powi(2)).sum::<f32>() / 1e3;
            assert!((variance - 0.75).abs() < 5.0 * 0.021, "{variance}");
        }
        assert_eq!(images.clone().shifted(0.0, &mut rng), images);
    }
}

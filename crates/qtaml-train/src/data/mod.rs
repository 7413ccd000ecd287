//! Labelled images and their fixed splits.

mod digits;
mod fashion_mnist;

use burn::tensor::{Device, Int, Tensor, TensorData};
use qtaml_fault::Seed;
use rand::seq::SliceRandom;

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

    /// Each image moved by so many pixels down and right, with pixels between those of the image
    /// interpolated; what comes in from outside is background.
    pub(crate) fn moved(mut self, moves: &[[f32; 2]]) -> Self {
        let [height, width] = self.size;
        for (image, &[down, right]) in self.pixels.chunks_mut(height * width).zip(moves) {
            if [down, right] == [0.0; 2] {
                continue;
            }
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
    fn a_dot_is_moved_down_and_right() {
        let mut pixels = vec![0.0; 25];
        pixels[12] = 1.0;
        let images = Images { pixels, labels: vec![0], size: [5, 5], classes: 1 };
        // The centre of mass says how far the dot has moved.
        let centre = |images: &Images| {
            let sum = |f: fn(usize) -> usize| -> f32 {
                images.pixels.iter().enumerate().map(|(at, p)| p * f(at) as f32).sum()
            };
            [sum(|at| at / 5) - 2.0, sum(|at| at % 5) - 2.0]
        };
        for by in [[0.0, 0.0], [1.0, 0.0], [0.0, -2.0], [-1.5, 0.25]] {
            let [down, right] = centre(&images.clone().moved(&[by]));
            assert!((down - by[0]).abs() < 1e-6 && (right - by[1]).abs() < 1e-6, "{by:?}");
        }
        assert_eq!(images.clone().moved(&[[0.0; 2]]), images);
    }
}

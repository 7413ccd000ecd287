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

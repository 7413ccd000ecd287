//! Labelled images and their fixed splits.

mod digits;
mod fashion_mnist;

use burn::tensor::{Device, Int, Tensor, TensorData};
use qtaml_fault::Seed;
use rand::seq::SliceRandom;

use crate::TrainError;

/// Images of one size with their labels.
///
/// # Shapes
/// `pixels` is `[n, channels, height, width]`, row-major, of the built-in data from 0 (background) to 1.
///
/// ```
/// use qtaml_train::Images;
///
/// // Two images of one white and one black pixel, in one channel.
/// let images = Images::new(vec![1.0, 0.0, 0.0, 1.0], [1, 1, 2], vec![0, 1], 2)?;
/// assert_eq!((images.len(), images.classes(), images.shape()), (2, 2, [1, 1, 2]));
/// # Ok::<(), qtaml_train::TrainError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Images {
    pixels: Vec<f32>,
    labels: Vec<usize>,
    shape: [usize; 3],
    classes: usize,
}

impl Images {
    /// Images of `[channels, height, width]` each, and for each a label below `classes`.
    ///
    /// # Errors
    /// [`TrainError::Data`] for a size of zero, another number of pixels than the labels ask for, a pixel
    /// that is not finite, or a label that is no class.
    pub fn new(
        pixels: Vec<f32>,
        shape: [usize; 3],
        labels: Vec<usize>,
        classes: usize,
    ) -> Result<Self, TrainError> {
        let refuse = |problem| Err(TrainError::Data { name: "of images".into(), problem });
        if shape.contains(&0) {
            return refuse(format!("images of the shape {shape:?} have no pixels"));
        }
        let needed = shape.iter().try_fold(labels.len(), |n, axis| n.checked_mul(*axis));
        if needed != Some(pixels.len()) {
            let (found, images) = (pixels.len(), labels.len());
            return refuse(format!("{found} pixels for {images} labels of images {shape:?}"));
        }
        if let Some(at) = pixels.iter().position(|pixel| !pixel.is_finite()) {
            return refuse(format!("pixel {at} is {}", pixels[at]));
        }
        // Tensors of labels are of 32 bits.
        let classes_allowed = classes.min(i32::MAX as usize);
        if let Some(at) = labels.iter().position(|label| *label >= classes_allowed) {
            let label = labels[at];
            return refuse(format!("label {label} of image {at} is not below {classes_allowed}"));
        }
        Ok(Self { pixels, labels, shape, classes })
    }

    /// The number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The labels, each below [`classes`](Self::classes).
    pub fn labels(&self) -> &[usize] {
        &self.labels
    }

    /// The pixels, row-major.
    pub fn pixels(&self) -> &[f32] {
        &self.pixels
    }

    /// The number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Channels, height and width of an image.
    pub fn shape(&self) -> [usize; 3] {
        self.shape
    }

    /// Height and width in pixels.
    pub fn size(&self) -> [usize; 2] {
        [self.shape[1], self.shape[2]]
    }

    /// The images with the given positions, in that order.
    ///
    /// # Errors
    /// [`TrainError::Data`] for a position that is not below [`len`](Self::len).
    pub fn select(&self, positions: &[usize]) -> Result<Self, TrainError> {
        match positions.iter().find(|&&position| position >= self.len()) {
            None => Ok(self.picked(positions)),
            Some(position) => Err(TrainError::Data {
                name: "of images".into(),
                problem: format!("there is no image {position} among {}", self.len()),
            }),
        }
    }

    /// [`select`](Self::select) of positions that are there.
    pub(crate) fn picked(&self, positions: &[usize]) -> Self {
        let area = self.shape.iter().product::<usize>();
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
        let [channels, height, width] = self.shape;
        let moves = moves.iter().flat_map(|by| std::iter::repeat_n(by, channels));
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
    /// `[n, channels, height, width]`
    pub fn tensor(&self, device: &Device) -> Tensor<4> {
        let [channels, height, width] = self.shape;
        let shape = [self.len(), channels, height, width];
        Tensor::from_data(TensorData::new(self.pixels.clone(), shape), device)
    }

    /// The labels as a tensor.
    ///
    /// # Shapes
    /// `[n]`
    pub fn label_tensor(&self, device: &Device) -> Tensor<1, Int> {
        let labels: Vec<i32> = self.labels.iter().map(|&label| label as i32).collect();
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
        let images = Images::new(pixels, [1, 5, 5], vec![0], 1).unwrap();
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

    #[test]
    fn every_channel_is_moved_with_its_image() {
        let pixels = vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0];
        let images = Images::new(pixels, [2, 1, 2], vec![0, 1], 2).unwrap();
        let moved = images.moved(&[[0.0, 1.0], [0.0, 0.0]]);
        assert_eq!(moved.pixels(), [0.0, 1.0, 0.0, 3.0, 5.0, 6.0, 7.0, 8.0]);
        let second = moved.select(&[1]).unwrap();
        assert_eq!((second.pixels(), second.labels()), (&[5.0, 6.0, 7.0, 8.0][..], &[1][..]));
    }

    #[test]
    fn images_that_do_not_fit_are_refused() {
        let message = |pixels: &[f32], shape, labels: &[usize]| {
            Images::new(pixels.to_vec(), shape, labels.to_vec(), 3).unwrap_err().to_string()
        };
        let start = "data set of images: ";
        for (found, problem) in [
            (message(&[], [1, 0, 2], &[]), "images of the shape [1, 0, 2] have no pixels"),
            (message(&[0.0; 5], [1, 1, 2], &[0, 1]), "5 pixels for 2 labels of images [1, 1, 2]"),
            (message(&[0.0, f32::NAN], [1, 1, 2], &[0]), "pixel 1 is NaN"),
            (message(&[0.0; 4], [2, 1, 1], &[0, 3]), "label 3 of image 1 is not below 3"),
            (message(&[], [usize::MAX, 2, 2], &[0]), "0 pixels for 1 labels"),
        ] {
            assert!(found.starts_with(&format!("{start}{problem}")), "{found}");
        }
    }
}

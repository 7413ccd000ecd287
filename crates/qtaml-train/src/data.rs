//! Labelled images, and the digits that come with the crate.

use std::io::Read;

use burn::tensor::{Device, Int, Tensor, TensorData};
use flate2::read::GzDecoder;
use qtaml_fault::Seed;
use rand::seq::SliceRandom;

use crate::TrainError;

const NAME: &str = "digits";
const SIDE: usize = 8;
const BRIGHTEST: f32 = 16.0;
const CLASSES: usize = 10;
/// The whole file is smaller; anything larger is not this data set.
const MOST_BYTES: u64 = 1 << 20;

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

/// The 1,797 handwritten digits of the embedded data set, split once and for all.
///
/// Optical Recognition of Handwritten Digits, E. Alpaydin and C. Kaynak, UCI Machine Learning
/// Repository, CC BY 4.0. The split is ours: a fixed permutation, then 1,097 images to train on,
/// 200 to calibrate with (their labels are never read) and 500 to test on.
#[derive(Debug, Clone, PartialEq)]
pub struct Digits {
    /// What networks learn from.
    pub train: Images,
    /// What label-free methods look at.
    pub calibration: Images,
    /// What accuracy is measured on.
    pub test: Images,
}

impl Digits {
    /// The data set that is compiled into the crate.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn embedded() -> Result<Self, TrainError> {
        Self::read(&include_bytes!("../data/digits.csv.gz")[..])
    }

    /// The same data set from a gzipped CSV file: 64 pixels from 0 to 16 and a label a line.
    ///
    /// # Errors
    /// [`TrainError::Data`] naming the line for a truncated or damaged file, or one with other
    /// content.
    pub fn read(gzipped: impl Read) -> Result<Self, TrainError> {
        let mut text = String::new();
        GzDecoder::new(gzipped)
            .take(MOST_BYTES)
            .read_to_string(&mut text)
            .map_err(|e| problem(format!("cannot be unpacked: {e}")))?;
        let all = parse(&text)?;

        let mut order: Vec<usize> = (0..all.len()).collect();
        order.shuffle(&mut Seed(0).rng("digits.split", 0));
        let (test, rest) = order.split_at(500);
        let (calibration, train) = rest.split_at(200);
        Ok(Self {
            train: all.select(train),
            calibration: all.select(calibration),
            test: all.select(test),
        })
    }
}

fn parse(text: &str) -> Result<Images, TrainError> {
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    for (number, line) in (1..).zip(text.lines()) {
        let fields: Vec<u8> = line
            .split(',')
            .map(|field| field.trim().parse())
            .collect::<Result<_, _>>()
            .map_err(|e| problem(format!("line {number}: {e}")))?;
        let [image @ .., label] = &fields[..] else {
            return Err(problem(format!("line {number} is empty")));
        };
        if image.len() != SIDE * SIDE {
            let found = image.len();
            return Err(problem(format!("line {number} has {found} pixels, not 64")));
        }
        if let Some(value) = image.iter().find(|&&value| f32::from(value) > BRIGHTEST) {
            return Err(problem(format!("line {number}: pixel {value} is not in 0..=16")));
        }
        if usize::from(*label) >= CLASSES {
            return Err(problem(format!("line {number}: label {label} is not in 0..=9")));
        }
        pixels.extend(image.iter().map(|&value| f32::from(value) / BRIGHTEST));
        labels.push(*label);
    }
    if labels.len() != 1797 {
        return Err(problem(format!("holds {} images, not 1797", labels.len())));
    }
    Ok(Images { pixels, labels, size: [SIDE, SIDE], classes: CLASSES })
}

fn problem(problem: String) -> TrainError {
    TrainError::Data { name: NAME.into(), problem }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GZIPPED: &[u8] = include_bytes!("../data/digits.csv.gz");

    #[test]
    fn the_embedded_digits_are_whole_and_disjoint() {
        let digits = Digits::embedded().unwrap();
        let parts = [&digits.train, &digits.calibration, &digits.test];
        assert_eq!(parts.map(Images::len), [1097, 200, 500]);
        // Class counts as published with the data set.
        let mut counts = [0; 10];
        for part in parts {
            for &label in part.labels() {
                counts[usize::from(label)] += 1;
            }
        }
        assert_eq!(counts, [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]);
    }

    #[test]
    fn a_truncated_file_is_refused() {
        for length in [0, 10, GZIPPED.len() / 2, GZIPPED.len() - 1] {
            let error = Digits::read(&GZIPPED[..length]).unwrap_err().to_string();
            assert!(error.starts_with("data set digits: cannot be unpacked"), "{error}");
        }
    }

    #[test]
    fn damaged_lines_are_named() {
        let zeros = "0,".repeat(64);
        for (text, message) in [
            ("1,2,3\n".to_owned(), "line 1 has 2 pixels, not 64"),
            (format!("{zeros}1\n{zeros}x\n"), "line 2: invalid digit"),
            (format!("{zeros}17\n"), "line 1: label 17 is not in 0..=9"),
            (format!("99,{}1\n", &zeros[2..]), "line 1: pixel 99 is not in 0..=16"),
            (format!("{zeros}1\n"), "holds 1 images, not 1797"),
        ] {
            let error = parse(&text).unwrap_err().to_string();
            assert!(error.contains(message), "{error} does not say {message:?}");
        }
    }
}

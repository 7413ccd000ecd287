//! The 1,797 handwritten digits that come with the crate.

use std::io::Read;

use flate2::read::GzDecoder;

use super::{Dataset, Images, fixed_order};
use crate::TrainError;

const NAME: &str = "digits";
const SIDE: usize = 8;
const BRIGHTEST: f32 = 16.0;
const CLASSES: usize = 10;
/// The whole file is smaller; anything larger is not this data set.
const MOST_BYTES: u64 = 1 << 20;

impl Dataset {
    /// The 8x8 digits that are compiled into the crate: 1,097 to train on, 200 to calibrate with
    /// (their labels are never read) and 500 to test on.
    ///
    /// Optical Recognition of Handwritten Dataset, E. Alpaydin and C. Kaynak, UCI Machine Learning
    /// Repository, CC BY 4.0.
    ///
    /// # Errors
    /// As [`read_digits`](Self::read_digits).
    pub fn digits() -> Result<Self, TrainError> {
        Self::read_digits(&include_bytes!("../../data/digits.csv.gz")[..])
    }

    /// The same data set from a gzipped CSV file: 64 pixels from 0 to 16 and a label a line.
    ///
    /// # Errors
    /// [`TrainError::Data`] naming the line for a truncated or damaged file, or one with other
    /// content.
    pub fn read_digits(gzipped: impl Read) -> Result<Self, TrainError> {
        let mut text = String::new();
        GzDecoder::new(gzipped)
            .take(MOST_BYTES)
            .read_to_string(&mut text)
            .map_err(|e| problem(format!("cannot be unpacked: {e}")))?;
        let all = parse(&text)?;

        let order = fixed_order("digits.split", all.len());
        let (test, rest) = order.split_at(500);
        let (calibration, train) = rest.split_at(200);
        Ok(Self {
            train: all.picked(train),
            calibration: all.picked(calibration),
            test: all.picked(test),
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
        labels.push(usize::from(*label));
    }
    if labels.len() != 1797 {
        return Err(problem(format!("holds {} images, not 1797", labels.len())));
    }
    Images::new(pixels, [1, SIDE, SIDE], labels, CLASSES)
}

fn problem(problem: String) -> TrainError {
    TrainError::Data { name: NAME.into(), problem }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GZIPPED: &[u8] = include_bytes!("../../data/digits.csv.gz");

    #[test]
    fn the_embedded_digits_are_whole() {
        let digits = Dataset::digits().unwrap();
        let parts = [&digits.train, &digits.calibration, &digits.test];
        assert_eq!(parts.map(Images::len), [1097, 200, 500]);
        // Class counts as published with the data set.
        let mut counts = [0; 10];
        for part in parts {
            for &label in part.labels() {
                counts[label] += 1;
            }
        }
        assert_eq!(counts, [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]);
        assert_eq!(digits.test.labels()[..8], [5, 2, 9, 6, 8, 7, 7, 6], "the split is fixed");
    }

    #[test]
    fn a_truncated_file_is_refused() {
        for length in [0, 10, GZIPPED.len() / 2, GZIPPED.len() - 1] {
            let error = Dataset::read_digits(&GZIPPED[..length]).unwrap_err().to_string();
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

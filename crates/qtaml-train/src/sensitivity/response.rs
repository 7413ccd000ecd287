//! What faults as large as they really are do to the output.

use crate::{Classifier, Evaluation, TrainError};

/// How a network's scores answer to faults, without labels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NoiseResponse {
    /// `E ||f' - f||^2`: squared change of all scores of an image, averaged over images and patterns.
    pub distortion: f64,
    /// The standard error of that over patterns.
    pub standard_error: f64,
    /// The share of images whose highest score is another one.
    pub disagreement: f64,
}

/// Measures the response of `golden` to `patterns` networks that `read` makes of it, on the images
/// of `evaluation`. Their labels are not looked at.
///
/// The law of small errors adds up what each layer does; at one flip in ten bits rectifiers and
/// norm layers bend it. With faults in one unit alone this is that unit's true sensitivity.
///
/// # Errors
/// [`TrainError::Range`] for fewer than two patterns, and what `read` fails with.
pub fn noise_response<M: Classifier>(
    golden: &M,
    evaluation: &Evaluation,
    patterns: u32,
    read: impl Fn(u32) -> Result<M, TrainError>,
) -> Result<NoiseResponse, TrainError> {
    super::at_least_two("the number of fault patterns", patterns as usize)?;
    let clean = evaluation.logits(golden);
    let chosen = evaluation.predictions(golden);
    let mut draws = Vec::new();
    let mut others = 0;
    for pattern in 0..patterns {
        let faulty = evaluation.logits(&read(pattern)?);
        let square = |(a, b): (&f32, &f32)| f64::from(a - b).powi(2);
        let change: f64 = clean.iter().zip(&faulty).map(square).sum();
        draws.push(change / evaluation.len() as f64);
        let faulty = evaluation.highest_of(&faulty);
        others += chosen.iter().zip(&faulty).filter(|(a, b)| a != b).count();
    }
    let norm = super::summarise(String::new(), &draws);
    let compared = evaluation.len() * patterns as usize;
    Ok(NoiseResponse {
        distortion: norm.squared,
        standard_error: norm.standard_error,
        disagreement: others as f64 / compared as f64,
    })
}

#[cfg(test)]
#[cfg(feature = "flex")]
mod tests {
    use burn::tensor::Device;
    use qtaml_fault::Seed;

    use super::*;
    use crate::{Dataset, LeNetConfig, initialise};

    #[test]
    fn the_same_network_does_not_respond_and_another_one_does() {
        let device = Device::flex();
        let images = Dataset::digits().unwrap().calibration.select(&[0, 1, 2, 3]);
        let evaluation = Evaluation::new(&images, &device).unwrap();
        let fresh = |seed| initialise(LeNetConfig::digits().init(&device), Seed(seed));
        let golden = fresh(1).unwrap();
        let same = noise_response(&golden, &evaluation, 2, |_| Ok(golden.clone())).unwrap();
        let nothing = NoiseResponse { distortion: 0.0, standard_error: 0.0, disagreement: 0.0 };
        assert_eq!(same, nothing);
        let other = noise_response(&golden, &evaluation, 2, |p| fresh(2 + u64::from(p))).unwrap();
        assert!(other.distortion > 0.0 && other.standard_error > 0.0);
        assert!(other.disagreement > 0.0 && other.disagreement <= 1.0);
        assert!(noise_response(&golden, &evaluation, 1, |_| fresh(1)).is_err());
    }
}

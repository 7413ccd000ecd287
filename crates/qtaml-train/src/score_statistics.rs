//! What a network's scores are like over images, and making them like that again under faults.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};

use crate::{Classifier, Evaluation, TrainError};

/// Mean and standard deviation of the scores of each class, over images.
#[derive(Debug, Clone, PartialEq)]
pub struct ScoreStatistics {
    moments: Vec<Moments>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Moments {
    mean: f64,
    deviation: f64,
}

impl Moments {
    fn of(scores: impl Iterator<Item = f64> + Clone, count: f64) -> Self {
        let mean = scores.clone().sum::<f64>() / count;
        let variance = scores.map(|score| (score - mean).powi(2)).sum::<f64>() / count;
        Self { mean, deviation: variance.sqrt() }
    }

    /// The factor and the offset that make scores like these have the moments of `golden`.
    ///
    /// Scores that do not vary can only be moved, and those that are no numbers are left alone.
    fn towards(self, golden: Self) -> (f64, f64) {
        let factor = golden.deviation / self.deviation;
        let factor = if factor.is_finite() { factor } else { 1.0 };
        let offset = golden.mean - factor * self.mean;
        if offset.is_finite() { (factor, offset) } else { (1.0, 0.0) }
    }
}

impl ScoreStatistics {
    /// Measures them. Labels are not read.
    pub fn of(model: &impl Classifier, images: &Evaluation) -> Self {
        let (scores, count) = (images.logits(model), images.len());
        let classes = scores.len() / count;
        let of_class = |class: usize| scores.iter().skip(class).step_by(classes);
        let moments = |class| Moments::of(of_class(class).map(|s| f64::from(*s)), count as f64);
        Self { moments: (0..classes).map(moments).collect() }
    }

    /// The number of classes.
    pub fn classes(&self) -> usize {
        self.moments.len()
    }
}

/// A network whose scores are multiplied and moved, class by class.
///
/// One multiplication and one addition for each class, which the biases and output scales of a last
/// linear layer can take over.
#[derive(Module, Debug)]
pub struct Rescored<M: Module> {
    network: M,
    factor: Param<Tensor<1>>,
    offset: Param<Tensor<1>>,
}

impl<M: Classifier> Classifier for Rescored<M> {
    fn logits(&self, images: Tensor<4>) -> Tensor<2> {
        let scores = self.network.logits(images);
        scores * self.factor.val().unsqueeze() + self.offset.val().unsqueeze()
    }
}

/// The network with its scores brought back, class by class, to the mean and deviation that they had
/// without faults: a repair without labels for a network whose weights are read with faults.
///
/// Faults prefer classes: over many images one gets higher scores than it should, or more extreme
/// ones, and takes images from the others. `golden` was measured once, on the network without
/// faults; measuring again costs one forward pass over `images`, which must be those of `golden` or
/// like them, and has to be done again when other bits have flipped. What [`reestimate_batch_norm`](crate::reestimate_batch_norm)
/// does inside a network this does at its end, so any network has use for it. (ours; in the manner of
/// the bias correction of M. Nagel et al., "Data-Free Quantization Through Weight Equalization and
/// Bias Correction", ICCV 2019.)
///
/// # Errors
/// [`TrainError::Data`] if `golden` is of another number of classes.
pub fn reestimate_scores<M: Classifier>(
    model: M,
    golden: &ScoreStatistics,
    images: &Evaluation,
) -> Result<Rescored<M>, TrainError> {
    let faulty = ScoreStatistics::of(&model, images);
    if golden.classes() != faulty.classes() {
        let problem = format!(
            "they are of {} classes, the network has {}",
            golden.classes(),
            faulty.classes()
        );
        return Err(TrainError::Data { name: "score statistics".into(), problem });
    }
    let pairs = faulty.moments.iter().zip(&golden.moments);
    let (factor, offset): (Vec<f64>, Vec<f64>) =
        pairs.map(|(faulty, golden)| faulty.towards(*golden)).unzip();
    let device = images.device();
    Ok(Rescored { network: model, factor: row(&factor, &device), offset: row(&offset, &device) })
}

fn row(values: &[f64], device: &Device) -> Param<Tensor<1>> {
    let values: Vec<f32> = values.iter().map(|v| *v as f32).collect();
    Param::from_tensor(Tensor::from_floats(values.as_slice(), device))
}

#[cfg(test)]
#[cfg(feature = "flex")]
mod tests {
    use std::collections::BTreeMap;

    use qtaml_fault::Seed;

    use super::*;
    use crate::{Dataset, LeNet, LeNetConfig, initialise, parameters, replace_parameters};

    fn images() -> Evaluation {
        Evaluation::new(&Dataset::digits().unwrap().calibration, &Device::flex()).unwrap()
    }

    fn lenet(seed: u64) -> LeNet {
        initialise(LeNetConfig::digits().init(&Device::flex()), Seed(seed)).unwrap()
    }

    /// The network with the parameters of its last layer changed: by class, weights or biases.
    fn changed(model: &LeNet, change: impl Fn(&str, usize, f32) -> f32) -> LeNet {
        let last = parameters(model).into_iter().filter(|p| p.name.starts_with("fc3"));
        let changed: BTreeMap<String, Vec<f32>> = last
            .map(|p| {
                // Weights are `[from, classes]`, biases `[classes]`.
                let values = p.values.iter().enumerate();
                let values = values.map(|(i, value)| change(&p.name, i % 10, *value)).collect();
                (p.name, values)
            })
            .collect();
        replace_parameters(model.clone(), changed).unwrap()
    }

    #[test]
    fn scores_have_the_golden_moments_again() {
        let images = images();
        let golden = ScoreStatistics::of(&lenet(1), &images);
        let repaired = reestimate_scores(lenet(2), &golden, &images).unwrap();
        let again = ScoreStatistics::of(&repaired, &images);
        assert_eq!(again.classes(), 10);
        for (a, b) in again.moments.iter().zip(&golden.moments) {
            assert!(
                (a.mean - b.mean).abs() < 1e-5 && (a.deviation / b.deviation - 1.0).abs() < 1e-4
            );
        }
    }

    /// Shifts and positive factors of a class are undone, but for rounding.
    #[test]
    fn what_moves_or_scales_a_class_is_undone() {
        let (images, model) = (images(), lenet(1));
        let golden = ScoreStatistics::of(&model, &images);
        let faulty = changed(&model, |name, class, value| match name {
            "fc3.weight" => value * (1.0 + class as f32),
            _ => value * (1.0 + class as f32) - 3.0 * class as f32,
        });
        assert_ne!(images.predictions(&faulty), images.predictions(&model));
        let repaired = reestimate_scores(faulty, &golden, &images).unwrap();
        for (a, b) in images.logits(&repaired).iter().zip(images.logits(&model)) {
            assert!((a - b).abs() < 1e-4, "{a} {b}");
        }
    }

    #[test]
    fn a_class_without_variance_is_moved_and_one_without_numbers_left_alone() {
        let (images, model) = (images(), lenet(1));
        let golden = ScoreStatistics::of(&model, &images);
        let faulty = changed(&model, |name, class, value| match (name, class) {
            ("fc3.weight", 0) => 0.0,
            ("fc3.bias", 1) => f32::INFINITY,
            _ => value,
        });
        let repaired = reestimate_scores(faulty, &golden, &images).unwrap();
        let scores = images.logits(&repaired);
        for row in scores.chunks(10) {
            assert!((f64::from(row[0]) - golden.moments[0].mean).abs() < 1e-5);
            assert!(row[1] == f32::INFINITY && row[2..].iter().all(|score| score.is_finite()));
        }
    }

    #[test]
    fn scores_that_never_varied_vary_no_more() {
        let golden = Moments { mean: 3.0, deviation: 0.0 };
        assert_eq!(Moments { mean: 1.0, deviation: 2.0 }.towards(golden), (0.0, 3.0));
        assert_eq!(Moments { mean: 1.0, deviation: 0.0 }.towards(golden), (1.0, 2.0));
    }

    #[test]
    fn statistics_of_another_number_of_classes_are_refused() {
        let few = LeNetConfig { classes: 3, ..LeNetConfig::digits() }.init(&Device::flex());
        let golden = ScoreStatistics::of(&few, &images());
        let error = reestimate_scores(lenet(1), &golden, &images()).unwrap_err().to_string();
        assert_eq!(error, "data set score statistics: they are of 3 classes, the network has 10");
    }
}

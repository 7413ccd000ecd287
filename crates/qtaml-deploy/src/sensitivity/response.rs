//! Measured sensitivity: the change of the outputs under real faults in one group.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{GroupSensitivity, at_least_two, check_groups, mean, samples, values_of};
use crate::evaluation::matched;
use crate::highest::disagreement;
use crate::{
    DeployError, Output, Recalibration, Recalibrator, Runner, SensitivityError, Values,
    WeightGroup, check_values,
};

/// How the outputs of a model answer to faults, without labels.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct NoiseResponse {
    /// `E ||f' - f||²`: squared change of all outputs of a sample, averaged over samples and fault
    /// patterns.
    pub distortion: f64,
    /// The standard error of that over fault patterns.
    pub standard_error: f64,
    /// The share of rows whose highest value is elsewhere; none for outputs of a single class.
    pub disagreement: Option<f64>,
}

/// Measures how far the outputs that `faulty` gives for fault patterns number 0, 1, … lie from those of
/// the golden model. Patterns are tried side by side.
///
/// First-order norms add up what each layer does; at one flip in ten bits rectifiers and normalization
/// layers bend that. With faults in one group alone this is the true sensitivity to them.
/// Where outputs are repaired before they are used, `golden` must be repaired as well: what repairs do
/// without any fault is no response to faults.
///
/// # Errors
/// [`BudgetError::TooFew`] for fewer than two patterns, [`EvaluationError::NoOutputs`] or
/// [`EvaluationError::EmptyOutput`] without outputs or samples, [`EvaluationError::UnknownOutput`] or
/// [`EvaluationError::OutputShape`] for outputs unlike the golden ones, and what `faulty` fails with.
///
/// [`BudgetError::TooFew`]: crate::BudgetError::TooFew
/// [`EvaluationError::NoOutputs`]: crate::EvaluationError::NoOutputs
/// [`EvaluationError::EmptyOutput`]: crate::EvaluationError::EmptyOutput
/// [`EvaluationError::UnknownOutput`]: crate::EvaluationError::UnknownOutput
/// [`EvaluationError::OutputShape`]: crate::EvaluationError::OutputShape
pub fn noise_response<E: From<DeployError> + Send>(
    golden: &[Output],
    patterns: u32,
    faulty: impl Fn(u32) -> Result<Vec<Output>, E> + Sync,
) -> Result<NoiseResponse, E> {
    at_least_two("the number of fault patterns", patterns)?;
    samples(golden)?;
    let respond = |pattern| -> Result<(f64, Option<f64>), E> {
        let faulty = faulty(pattern)?;
        let change = squared_change(golden, &faulty)?;
        let faulty = matched(golden, &faulty).map_err(DeployError::from)?;
        let faulty: Vec<Output> = faulty.into_iter().cloned().collect();
        Ok((change, disagreement(golden, &faulty)))
    };
    let draws: Vec<(f64, Option<f64>)> =
        (0..patterns).into_par_iter().map(respond).collect::<Result<_, E>>()?;
    let (changes, others): (Vec<f64>, Vec<Option<f64>>) = draws.into_iter().unzip();
    let (distortion, standard_error) = mean(&changes);
    let others: Option<Vec<f64>> = others.into_iter().collect();
    let disagreement = others.map(|others| others.iter().sum::<f64>() / f64::from(patterns));
    Ok(NoiseResponse { distortion, standard_error, disagreement })
}

/// The squared change of all outputs of a sample, averaged over samples.
pub(super) fn squared_change(golden: &[Output], faulty: &[Output]) -> Result<f64, DeployError> {
    let pairs = golden.iter().zip(matched(golden, faulty)?);
    let pairs = pairs.flat_map(|(golden, faulty)| golden.values.iter().zip(&faulty.values));
    // The difference in single precision, as it is in the model.
    let change: f64 = pairs.map(|(a, b)| f64::from(a - b).powi(2)).sum();
    Ok(change / samples(golden)? as f64)
}

/// Measures, for one group after the other, the squared change of the outputs per squared error of a
/// weight: what takes the place of `||J||_F²` for faults as large as they really are.
///
/// `read(group, pattern)` are the values of all stored tensors, where that group alone has faults, and
/// the golden values of the recalibrator are the same without any. Outputs are repaired on both
/// sides.
///
/// # Formula
/// `Σ c_i / Σ e_i` over fault patterns, where `c_i` is the squared change of all outputs of a sample and
/// `e_i = ||W' - W||² / n` the mean squared error of the group's `n` weights. For faults so small
/// that the model is linear, and independent of each other, its expectation is `||J||_F²`. The
/// standard error is that of a ratio of means, `sqrt(Σ (c_i - r e_i)² / (N - 1) / N) / mean(e)` for `N`
/// patterns (W. G. Cochran, Sampling Techniques, 1977, section 6.3).
///
/// # Errors
/// As [`noise_response`], [`SensitivityError::ForeignGroup`] for a group that is not of the runner's tensors,
/// [`SensitivityError::NotRead`] if `read` leaves out the tensor of a group, [`SensitivityError::NoFaults`] if no
/// pattern changes a weight of a group, what repairs fail with, and what `read` fails with.
pub fn measured_norms<E: From<DeployError> + Send>(
    runner: &dyn Runner,
    recalibrator: &Recalibrator<'_>,
    groups: &[WeightGroup],
    patterns: u32,
    read: impl Fn(&WeightGroup, u32) -> Result<Values, E> + Sync,
) -> Result<Vec<GroupSensitivity>, E> {
    at_least_two("the number of fault patterns", patterns)?;
    check_groups(runner, groups)?;
    check_values(runner.tensors(), recalibrator.golden()).map_err(DeployError::from)?;
    let golden = recalibrator.without_faults(runner)?;
    samples(&golden)?;
    // A repair sees the whole model; without one, what lies before the changed tensor stays as it is.
    let base = match recalibrator.kind() {
        Recalibration::None => {
            Some(runner.around(recalibrator.golden()).map_err(DeployError::from)?)
        }
        _ => None,
    };
    let run = |group: &WeightGroup, read| match &base {
        Some(base) => Ok(base.outputs(group.tensor, read)?),
        None => recalibrator.outputs(runner, read),
    };
    let measure = |group: &WeightGroup, pattern| -> Result<(f64, f64), E> {
        let read = read(group, pattern)?;
        check_values(runner.tensors(), &read).map_err(DeployError::from)?;
        let error = square_error(runner, group, recalibrator.golden(), &read)?;
        let faulty = run(group, read)?;
        Ok((squared_change(&golden, &faulty)?, error))
    };
    let norm = |group: &WeightGroup| -> Result<GroupSensitivity, E> {
        let draws = (0..patterns).into_par_iter().map(|pattern| measure(group, pattern));
        let draws: Vec<(f64, f64)> = draws.collect::<Result<_, E>>()?;
        let ratio = Ratio::of(&draws).ok_or_else(|| {
            let group = group.name.clone();
            E::from(SensitivityError::NoFaults { group, patterns }.into())
        })?;
        let Ratio { value, standard_error } = ratio;
        Ok(GroupSensitivity { name: group.name.clone(), squared: value, standard_error })
    };
    groups.iter().map(norm).collect()
}

/// The mean squared error of a group's weights.
fn square_error(
    runner: &dyn Runner,
    group: &WeightGroup,
    golden: &Values,
    read: &Values,
) -> Result<f64, DeployError> {
    let tensor = &runner.tensors()[group.tensor];
    let missing = || SensitivityError::NotRead { tensor: tensor.name.clone() };
    let golden = values_of(tensor, golden).ok_or_else(missing)?;
    let read = values_of(tensor, read).ok_or_else(missing)?;
    let positions = tensor.channel_major().positions(group.range.clone());
    let squares = positions.map(|at| (f64::from(read[at]) - f64::from(golden[at])).powi(2));
    Ok(squares.sum::<f64>() / group.len() as f64)
}

/// A ratio of two means over pairs.
struct Ratio {
    value: f64,
    standard_error: f64,
}

impl Ratio {
    /// None where all second ones are zero.
    fn of(pairs: &[(f64, f64)]) -> Option<Self> {
        let n = pairs.len() as f64;
        let (above, below) = pairs.iter().fold((0.0, 0.0), |(a, b), (c, e)| (a + c, b + e));
        if below == 0.0 {
            return None;
        }
        let value = above / below;
        let left: f64 = pairs.iter().map(|(c, e)| (c - value * e).powi(2)).sum();
        let standard_error = (left / (n - 1.0) / n).sqrt() / (below / n);
        Some(Self { value, standard_error })
    }
}

#[cfg(test)]
mod tests {
    use qtaml_fault::Seed;
    use rand::RngExt as _;

    use super::super::testing::{exact, groups};
    use super::*;
    use crate::EvaluationError;
    use crate::Granularity;
    use crate::testing::Perceptron;

    fn output(values: &[f32]) -> Vec<Output> {
        vec![Output::new("y", [2, 2], values.to_vec()).unwrap()]
    }

    #[test]
    fn the_same_model_does_not_respond_and_another_one_does() {
        let golden = output(&[0.0, 1.0, 2.0, 0.0]);
        let same = noise_response(&golden, 2, |_| Ok::<_, DeployError>(golden.clone())).unwrap();
        let nothing =
            NoiseResponse { distortion: 0.0, standard_error: 0.0, disagreement: Some(0.0) };
        assert_eq!(same, nothing);
        // Squared changes of a sample: 8 / 2 and 32 / 2, in the mean 10; their deviation is 12 / sqrt 2.
        let other = |pattern: u32| {
            let by = 2.0 * (pattern + 1) as f32;
            Ok::<_, DeployError>(output(&[0.0 + by, 1.0, 2.0, 0.0 + by]))
        };
        let found = noise_response(&golden, 2, other).unwrap();
        assert_eq!((found.distortion, found.standard_error), (10.0, 6.0));
        // The first sample changes its class in both patterns, the second in one.
        assert_eq!(found.disagreement, Some(0.75));
    }

    #[test]
    fn what_cannot_be_compared_is_refused() {
        let golden = output(&[0.0; 4]);
        let error = |patterns, faulty: Vec<Output>| {
            let faulty = |_| Ok::<_, DeployError>(faulty.clone());
            noise_response(&golden, patterns, faulty).unwrap_err()
        };
        assert_eq!(
            error(1, golden.clone()).to_string(),
            "the number of fault patterns is 1: at least 2 are needed"
        );
        assert!(matches!(error(2, vec![]), DeployError::Evaluation(EvaluationError::NoOutputs)));
        let other = vec![Output::new("y", [4, 1], vec![0.0; 4]).unwrap()];
        assert!(matches!(
            error(2, other),
            DeployError::Evaluation(EvaluationError::OutputShape { .. })
        ));
        let other = vec![Output::new("z", [2, 2], vec![0.0; 4]).unwrap()];
        assert!(matches!(
            error(2, other),
            DeployError::Evaluation(EvaluationError::UnknownOutput { .. })
        ));
    }

    /// Golden values and values where one group is moved by normal-sized noise of this deviation.
    fn noisy(model: &Perceptron, group: &WeightGroup, pattern: u32, deviation: f32) -> Values {
        let mut values = model.all_values();
        let tensor = &model.tensors()[group.tensor];
        let mut rng = Seed(4).rng(&group.name, pattern.into());
        let moved = values.get_mut(&tensor.name).unwrap();
        for at in tensor.channel_major().positions(group.range.clone()) {
            moved[at] += deviation * rng.random_range(-1.7..1.7_f32);
        }
        values
    }

    /// Against the Jacobian itself.
    #[test]
    fn small_faults_give_the_norm_of_the_jacobian() {
        let model = Perceptron::new(1, 5, 3);
        let golden = model.all_values();
        let recalibrator = Recalibrator::new(Recalibration::None, &model, &golden).unwrap();
        for granularity in [Granularity::Tensor, Granularity::Channel] {
            let groups = groups(&model, granularity);
            let read = |group: &WeightGroup, pattern| {
                Ok::<_, DeployError>(noisy(&model, group, pattern, 1e-3))
            };
            let found = measured_norms(&model, &recalibrator, &groups, 400, read).unwrap();
            for (found, exact) in found.iter().zip(exact(&model, &groups)) {
                // A hundredth for the bias of a ratio and for rounding.
                let allowed = 5.0 * found.standard_error + 1e-2 * exact;
                assert!((found.squared - exact).abs() < allowed, "{found:?} {exact}");
                assert!(found.standard_error < 0.2 * exact, "{found:?} {exact}");
            }
        }
    }

    /// What saturates responds less to large faults than to small ones: by a factor that no derivative
    /// knows of.
    #[test]
    fn large_faults_saturate() {
        let model = Perceptron::new(1, 5, 3);
        let golden = model.all_values();
        let recalibrator = Recalibrator::new(Recalibration::None, &model, &golden).unwrap();
        let first = &groups(&model, Granularity::Tensor)[..1];
        let read = |group: &WeightGroup, pattern| {
            Ok::<_, DeployError>(noisy(&model, group, pattern, 100.0))
        };
        let found = measured_norms(&model, &recalibrator, first, 50, read).unwrap();
        assert!(found[0].squared < 0.1 * exact(&model, first)[0], "{found:?}");
    }

    #[test]
    fn without_any_fault_nothing_is_measured() {
        let model = Perceptron::new(1, 5, 3);
        let golden = model.all_values();
        let recalibrator = Recalibrator::new(Recalibration::None, &model, &golden).unwrap();
        let groups = groups(&model, Granularity::Tensor);
        let error = |read: fn(&Values) -> Values| {
            let read = |_: &WeightGroup, _| Ok::<_, DeployError>(read(&golden));
            measured_norms(&model, &recalibrator, &groups, 2, read).unwrap_err().to_string()
        };
        assert_eq!(
            error(Values::clone),
            "no fault pattern of 2 changes a weight of group \"fc1.weight\""
        );
        assert_eq!(error(|_| Values::new()), "tensor \"fc1.weight\" was not read");
    }

    /// Cochran's estimator against the spread of many ratios.
    #[test]
    fn a_ratio_has_its_standard_error() {
        let mut rng = Seed(1).rng("ratio", 0);
        let ratios: Vec<Ratio> = (0..2000)
            .map(|_| {
                let pairs: Vec<(f64, f64)> = (0..50)
                    .map(|_| {
                        let e = rng.random_range(0.5..1.5);
                        (3.0 * e + rng.random_range(-1.0..1.0), e)
                    })
                    .collect();
                Ratio::of(&pairs).unwrap()
            })
            .collect();
        let values: Vec<f64> = ratios.iter().map(|r| r.value).collect();
        let (mean, of_mean) = mean(&values);
        assert!((mean - 3.0).abs() < 5.0 * of_mean, "{mean}");
        let spread = of_mean * (values.len() as f64).sqrt();
        let told = ratios.iter().map(|r| r.standard_error).sum::<f64>() / values.len() as f64;
        assert!((told / spread - 1.0).abs() < 0.1, "{told} {spread}");
        assert!(Ratio::of(&[(1.0, 0.0), (2.0, 0.0)]).is_none());
    }
}

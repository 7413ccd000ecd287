//! Jacobian norms by random projections of the gradient.

use qtaml_fault::Seed;

use super::{GroupSensitivity, at_least_two, check_groups, samples, signs, values_of};
use crate::{DeployError, Output, Runner, SensitivityError, Values, WeightGroup, check_values};

/// Estimates `||J_g||_F²` for every group of weights, `J_g = d(outputs)/d(W_g)`.
///
/// # Formula
/// Hutchinson's estimator (docs/theory.md, section 2): for random signs `v`, `E ||J^T v||² = ||J||_F²`.
/// With independent signs on every value of every sample, one backward pass gives `Σ_samples J^T v`,
/// whose squared norm has the expectation `Σ_samples ||J||_F²`: the cross terms vanish. This is
/// averaged over `projections` passes and divided by the number of samples. Finer groups cost
/// nothing more, but each is known less well.
///
/// The signs of projection number `i` are those of `seed.rng("jacobian.signs", i)`, for one output after
/// the other.
///
/// # Errors
/// [`SensitivityError::NoGradients`] if the runner does not differentiate, [`BudgetError::TooFew`] for fewer
/// than two projections, [`SensitivityError::ForeignGroup`] for a group that is not of its tensors,
/// [`EvaluationError::NoOutputs`] or [`EvaluationError::EmptyOutput`] without outputs or samples, and
/// [`DeployError::Runner`] if the model cannot be run.
///
/// [`BudgetError::TooFew`]: crate::BudgetError::TooFew
/// [`EvaluationError::NoOutputs`]: crate::EvaluationError::NoOutputs
/// [`EvaluationError::EmptyOutput`]: crate::EvaluationError::EmptyOutput
pub fn gradient_norms(
    runner: &dyn Runner,
    groups: &[WeightGroup],
    projections: u32,
    seed: Seed,
) -> Result<Vec<GroupSensitivity>, DeployError> {
    at_least_two("the number of projections", projections)?;
    check_groups(runner, groups)?;
    let outputs = runner.outputs(Values::new())?;
    let samples = samples(&outputs)? as f64;
    let mut draws = vec![Vec::with_capacity(projections as usize); groups.len()];
    for projection in 0..projections {
        let mut rng = seed.rng("jacobian.signs", projection.into());
        let towards = |output: &Output| {
            let signs = signs(output.values.len(), &mut rng);
            Output::new(output.name.clone(), output.shape.clone(), signs)
        };
        let directions = outputs.iter().map(towards).collect::<Result<Vec<_>, _>>()?;
        let gradients = runner.gradients(&directions)?.ok_or(SensitivityError::NoGradients)?;
        check_values(runner.tensors(), &gradients)?;
        for (draws, group) in draws.iter_mut().zip(groups) {
            draws.push(squared(runner, &gradients, group) / samples);
        }
    }
    let norm = |(group, draws): (&WeightGroup, Vec<f64>)| {
        GroupSensitivity::of_draws(group.name.clone(), &draws)
    };
    Ok(groups.iter().zip(draws).map(norm).collect())
}

/// The squared norm of a group's gradient. A weight that the outputs do not depend on has none.
fn squared(runner: &dyn Runner, gradients: &Values, group: &WeightGroup) -> f64 {
    let tensor = &runner.tensors()[group.tensor];
    let Some(gradient) = values_of(tensor, gradients) else { return 0.0 };
    let positions = tensor.channel_major().positions(group.range.clone());
    positions.map(|position| f64::from(gradient[position]).powi(2)).sum()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{exact, groups};
    use super::*;
    use crate::EvaluationError;
    use crate::Granularity;
    use crate::testing::Perceptron;

    /// Against the Jacobian itself, with one output or two.
    #[test]
    fn norms_are_those_of_the_jacobian() {
        for shows_hidden in [false, true] {
            let model = Perceptron { shows_hidden, ..Perceptron::new(1, 5, 3) };
            for granularity in [Granularity::Tensor, Granularity::Channel, Granularity::Group(2)] {
                let groups = groups(&model, granularity);
                let found = gradient_norms(&model, &groups, 400, Seed(2)).unwrap();
                for (found, exact) in found.iter().zip(exact(&model, &groups)) {
                    let allowed = 5.0 * found.standard_error + 1e-6 * exact;
                    assert!((found.squared - exact).abs() < allowed, "{found:?} {exact}");
                    assert!(found.standard_error < 0.2 * exact, "{found:?} {exact}");
                }
            }
        }
    }

    /// A single value has a single sign, which its square forgets.
    #[test]
    fn one_value_of_one_sample_is_known_without_an_error() {
        let model = Perceptron::new(3, 1, 1);
        let groups = groups(&model, Granularity::Channel);
        let found = gradient_norms(&model, &groups, 3, Seed(2)).unwrap();
        for (found, exact) in found.iter().zip(exact(&model, &groups)) {
            assert!((found.squared / exact - 1.0).abs() < 1e-6, "{found:?} {exact}");
            assert!(found.standard_error < 1e-12 * exact, "{found:?}");
        }
    }

    /// What decides the numbers: purpose, index and order of the signs, and the averages.
    #[test]
    fn the_signs_have_an_address() {
        let model = Perceptron::new(1, 4, 3);
        let groups = groups(&model, Granularity::Tensor);
        let found = gradient_norms(&model, &groups, 2, Seed(9)).unwrap();
        let by_hand = [0, 1].map(|projection| {
            use rand::RngExt as _;
            let mut rng = Seed(9).rng("jacobian.signs", projection);
            let signs = (0..12).map(|_| if rng.random::<bool>() { 1.0 } else { -1.0 }).collect();
            let direction = Output::new("logits", [4, 3], signs).unwrap();
            let gradients = model.gradients(&[direction]).unwrap().unwrap();
            gradients["fc2.weight"].iter().map(|g| f64::from(*g).powi(2)).sum::<f64>() / 4.0
        });
        let mean = f64::midpoint(by_hand[0], by_hand[1]);
        assert!((found[1].squared / mean - 1.0).abs() < 1e-12, "{found:?} {mean}");
    }

    #[test]
    fn channels_add_up_to_their_tensor() {
        let model = Perceptron::new(1, 4, 3);
        let norms =
            |granularity| gradient_norms(&model, &groups(&model, granularity), 3, Seed(1)).unwrap();
        let channels = norms(Granularity::Channel);
        for tensor in norms(Granularity::Tensor) {
            let of_it = channels.iter().filter(|norm| norm.name.starts_with(&tensor.name));
            let sum: f64 = of_it.map(|norm| norm.squared).sum();
            assert!((sum / tensor.squared - 1.0).abs() < 1e-9, "{} {sum}", tensor.name);
        }
    }

    #[test]
    fn too_little_to_estimate_from_is_refused() {
        let model = Perceptron::new(1, 4, 3);
        let groups = groups(&model, Granularity::Tensor);
        let error = |model: &Perceptron, projections| {
            gradient_norms(model, &groups, projections, Seed(1)).unwrap_err()
        };
        assert_eq!(
            error(&model, 1).to_string(),
            "the number of projections is 1: at least 2 are needed"
        );
        let empty = Perceptron::new(1, 0, 3);
        assert!(matches!(
            error(&empty, 2),
            DeployError::Evaluation(EvaluationError::EmptyOutput { .. })
        ));
        let blind = Perceptron { differentiates: false, ..model };
        assert!(matches!(
            error(&blind, 2),
            DeployError::Sensitivity(SensitivityError::NoGradients)
        ));
    }
}

//! Jacobian norms from forward passes alone.

use std::collections::BTreeSet;

use qtaml_fault::Seed;
use rayon::prelude::*;

use super::{GroupSensitivity, at_least_two, check_groups, samples, signs};
use crate::evaluation::matched;
use crate::{BaseRun, DeployError, Runner, RunnerError, Values, WeightGroup, WeightTensor};

/// How far weights are moved, as a share of the largest of their group.
const STEP: f32 = 1e-3;

/// Estimates `||J_g||_F²` as [`gradient_norms`](super::gradient_norms) does, for runners that do not
/// differentiate.
///
/// # Formula
/// For random signs `u` on the weights of one group, `E ||J u||_F² = ||J||_F²`, and `J u` is
/// `(f(W + ε u) - f(W - ε u)) / 2ε` to second order (docs/theory.md, section 2); `ε` is a thousandth
/// of the group's largest weight. Two forward passes for each group and draw, side by side.
///
/// The signs of draw number `i` are those of `seed.rng("perturbation.NAME", i)` with the name of the
/// group.
///
/// # Errors
/// As [`gradient_norms`](super::gradient_norms), but for gradients.
pub fn forward_norms(
    runner: &dyn Runner,
    groups: &[WeightGroup],
    draws: u32,
    seed: Seed,
) -> Result<Vec<GroupSensitivity>, DeployError> {
    at_least_two("the number of draws", draws)?;
    check_groups(runner, groups)?;
    let mut norms: Vec<Option<GroupSensitivity>> = vec![None; groups.len()];
    let base = runner.around(&Values::new())?;
    // One tensor after the other: its values are asked for once and kept no longer than needed.
    let tensors: BTreeSet<usize> = groups.iter().map(|group| group.tensor).collect();
    for tensor in tensors {
        let of_tensor: Vec<usize> =
            (0..groups.len()).filter(|&g| groups[g].tensor == tensor).collect();
        let weights = runner.values(tensor)?;
        let WeightTensor { name, shape, .. } = &runner.tensors()[tensor];
        if weights.len() != runner.tensors()[tensor].len() {
            let (name, shape, values) = (name.clone(), shape.clone(), weights.len());
            return Err(RunnerError::Length { name, shape, values }.into());
        }
        let moving = Moving { runner, base: &*base, weights, seed };
        let jobs: Vec<(usize, u32)> =
            of_tensor.iter().flat_map(|&g| (0..draws).map(move |draw| (g, draw))).collect();
        let drawn: Vec<f64> = jobs
            .into_par_iter()
            .map(|(g, draw)| moving.draw(&groups[g], draw))
            .collect::<Result<_, DeployError>>()?;
        for (&g, drawn) in of_tensor.iter().zip(drawn.chunks(draws as usize)) {
            norms[g] = Some(GroupSensitivity::of_draws(groups[g].name.clone(), drawn));
        }
    }
    Ok(norms.into_iter().flatten().collect())
}

/// A tensor whose groups are moved.
struct Moving<'a> {
    runner: &'a dyn Runner,
    base: &'a dyn BaseRun,
    weights: Vec<f32>,
    seed: Seed,
}

impl Moving<'_> {
    fn positions(&self, group: &WeightGroup) -> impl Iterator<Item = usize> {
        self.runner.tensors()[group.tensor].channel_major().positions(group.range.clone())
    }

    /// The squared slope of all outputs of a sample along one draw of signs.
    fn draw(&self, group: &WeightGroup, draw: u32) -> Result<f64, DeployError> {
        let largest = self.positions(group).map(|at| self.weights[at].abs()).fold(0.0, f32::max);
        let step = if largest > 0.0 { STEP * largest } else { STEP };
        let mut rng = self.seed.rng(&format!("perturbation.{}", group.name), draw.into());
        let signs = signs(group.len(), &mut rng);
        let moved = |by: f32| {
            let mut moved = self.weights.clone();
            self.positions(group).zip(&signs).for_each(|(at, sign)| moved[at] += by * sign);
            let name = self.runner.tensors()[group.tensor].name.clone();
            self.base.outputs(group.tensor, Values::from([(name, moved)]))
        };
        let (up, down) = (moved(step)?, moved(-step)?);
        let slope = |(up, down): (&f32, &f32)| f64::from((up - down) / (2.0 * step)).powi(2);
        let pairs = up.iter().zip(matched(&up, &down)?);
        let pairs = pairs.flat_map(|(up, down)| up.values.iter().zip(&down.values));
        Ok(pairs.map(slope).sum::<f64>() / samples(&up)? as f64)
    }
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
            let model = Perceptron::new(1, 5, 3);
            let model = Perceptron { shows_hidden, differentiates: false, ..model };
            for granularity in [Granularity::Tensor, Granularity::Channel] {
                let groups = groups(&model, granularity);
                let found = forward_norms(&model, &groups, 400, Seed(2)).unwrap();
                assert_eq!(found.len(), groups.len());
                for ((found, exact), group) in found.iter().zip(exact(&model, &groups)).zip(&groups)
                {
                    assert_eq!(found.name, group.name);
                    // A thousandth for the rounding of outputs of single precision.
                    let allowed = 5.0 * found.standard_error + 1e-3 * exact;
                    assert!((found.squared - exact).abs() < allowed, "{found:?} {exact}");
                    assert!(found.standard_error < 0.2 * exact, "{found:?} {exact}");
                }
            }
        }
    }

    /// The same numbers whatever stands beside a group.
    #[test]
    fn a_group_has_signs_of_its_own() {
        let model = Perceptron::new(1, 4, 3);
        let groups = groups(&model, Granularity::Channel);
        let all = forward_norms(&model, &groups, 2, Seed(1)).unwrap();
        let mut reversed = groups.clone();
        reversed.reverse();
        let mut again = forward_norms(&model, &reversed, 2, Seed(1)).unwrap();
        again.reverse();
        assert_eq!(all, again);
        let alone = forward_norms(&model, &groups[5..6], 2, Seed(1)).unwrap();
        assert_eq!(alone[0], all[5]);
    }

    /// What decides the numbers: purpose, index and order of the signs, the step, and the averages.
    #[test]
    fn the_signs_have_an_address() {
        let model = Perceptron::new(1, 4, 3);
        let groups = groups(&model, Granularity::Tensor);
        let found = forward_norms(&model, &groups[..1], 2, Seed(9)).unwrap();
        let weights = model.values(0).unwrap();
        let largest = weights.iter().fold(0.0_f32, |m, w| m.max(w.abs()));
        let by_hand = [0, 1].map(|draw| {
            use rand::RngExt as _;
            let mut rng = Seed(9).rng("perturbation.fc1.weight", draw);
            let mut direction = vec![0.0; 12];
            // Signs are drawn channel by channel; channels run along the second axis.
            for at in (0..4).flat_map(|channel| (0..3).map(move |i| 4 * i + channel)) {
                direction[at] = if rng.random::<bool>() { 1.0 } else { -1.0 };
            }
            let step = f64::from(1e-3 * largest);
            let moved = |by: f64| {
                let pairs = weights.iter().zip(&direction);
                model.exact(&[(0, pairs.map(|(w, d)| f64::from(*w) + by * d).collect())])
            };
            let slopes = moved(step).into_iter().zip(moved(-step));
            slopes.map(|(a, b)| ((a - b) / (2.0 * step)).powi(2)).sum::<f64>() / 4.0
        });
        let mean = f64::midpoint(by_hand[0], by_hand[1]);
        assert!((found[0].squared / mean - 1.0).abs() < 1e-3, "{found:?} {mean}");
    }

    #[test]
    fn too_little_to_estimate_from_is_refused() {
        let model = Perceptron::new(1, 4, 3);
        let groups = groups(&model, Granularity::Tensor);
        let error = forward_norms(&model, &groups, 1, Seed(1)).unwrap_err();
        assert_eq!(error.to_string(), "the number of draws is 1: at least 2 are needed");
        let short = Perceptron { values: vec![vec![0.0; 11]], ..Perceptron::new(1, 4, 3) };
        let error = forward_norms(&short, &groups[..1], 2, Seed(1)).unwrap_err();
        assert_eq!(error.to_string(), "11 values for tensor \"fc1.weight\" of shape [3, 4]");
        let empty = Perceptron::new(1, 0, 3);
        let error = forward_norms(&empty, &groups, 2, Seed(1)).unwrap_err();
        assert!(matches!(error, DeployError::Evaluation(EvaluationError::EmptyOutput { .. })));
    }
}

//! The response to noise: sensitivities from forward passes with a tenth of noise.

use qtaml_fault::Seed;
use rayon::prelude::*;

use super::response::squared_change;
use super::{GroupSensitivity, at_least_two, check_groups, samples, signs};
use crate::{DeployError, Runner, Values, WeightGroup};

/// The noise, as a share of the root mean square of the group's weights.
const SHARE: f64 = 0.1;

/// Measures how much the outputs change when all weights of one group move by a tenth of their root mean
/// square, each up or down at random.
///
/// [`forward_norms`](super::forward_norms) takes steps so small that the model is linear. Faults are no
/// such steps: a group whose noise rectifiers and normalization layers swallow matters less than its
/// slope says. This knows no memory and no code, so that one measurement serves all ways to store the
/// model, and it needs one forward pass for each group and draw.
///
/// # Formula
/// `squared = E ||f(W + ε u) - f(W)||² / ε²` for random signs `u` on the group and `ε = rms(W) / 10`: what
/// takes the place of `||J||_F²`. The signs of draw number `i` are those of
/// `seed.rng("noise.NAME", i)` with the name of the group.
///
/// # Errors
/// As [`forward_norms`](super::forward_norms).
pub fn noise_norms(
    runner: &dyn Runner,
    groups: &[WeightGroup],
    draws: u32,
    seed: Seed,
) -> Result<Vec<GroupSensitivity>, DeployError> {
    at_least_two("the number of draws", draws)?;
    check_groups(runner, groups)?;
    let golden = runner.outputs(Values::new())?;
    samples(&golden)?;
    let base = runner.around(&Values::new())?;
    let norm = |group: &WeightGroup| {
        let tensor = &runner.tensors()[group.tensor];
        let weights = runner.values(group.tensor)?;
        let positions = || tensor.channel_major().positions(group.range.clone());
        let power = positions().map(|at| f64::from(weights[at]).powi(2)).sum::<f64>();
        let rms = (power / group.len() as f64).sqrt();
        // Weights that all are zero have no size: any small step will do.
        let step = if rms > 0.0 { SHARE * rms } else { SHARE * SHARE };
        let draw = |draw: u32| {
            let mut rng = seed.rng(&format!("noise.{}", group.name), draw.into());
            let mut moved = weights.clone();
            for (at, sign) in positions().zip(signs(group.len(), &mut rng)) {
                moved[at] += step as f32 * sign;
            }
            let replaced = Values::from([(tensor.name.clone(), moved)]);
            let outputs = base.outputs(group.tensor, replaced)?;
            Ok(squared_change(&golden, &outputs)? / (step * step))
        };
        let drawn: Vec<f64> =
            (0..draws).into_par_iter().map(draw).collect::<Result<_, DeployError>>()?;
        Ok(GroupSensitivity::of_draws(group.name.clone(), &drawn))
    };
    groups.iter().map(norm).collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::groups;
    use super::*;
    use crate::Granularity;
    use crate::sensitivity::gradient_norms;
    use crate::testing::Perceptron;

    /// The last layer is linear in its weights: there a tenth of noise and a slope tell the same. The
    /// first is bent by a hyperbolic tangent, which swallows some of it.
    #[test]
    fn noise_tells_the_slope_where_the_model_is_linear() {
        let runner = Perceptron::new(3, 40, 3);
        let groups = groups(&runner, Granularity::Tensor);
        let noise = noise_norms(&runner, &groups, 200, Seed(1)).unwrap();
        let slope = gradient_norms(&runner, &groups, 2000, Seed(2)).unwrap();
        let ratio = |i: usize| noise[i].squared / slope[i].squared;
        let doubt = |i: usize| 4.0 * noise[i].standard_error / slope[i].squared + 0.1;
        assert!((ratio(1) - 1.0).abs() < doubt(1), "{} {}", ratio(1), doubt(1));
        assert!(ratio(0) < 1.0 + doubt(0) && ratio(0) > 0.5, "{}", ratio(0));
    }

    #[test]
    fn zeros_are_moved_as_well() {
        let mut runner = Perceptron::new(3, 10, 3);
        runner.values[0].fill(0.0);
        let groups = groups(&runner, Granularity::Tensor);
        let noise = noise_norms(&runner, &groups, 4, Seed(1)).unwrap();
        assert!(noise.iter().all(|group| group.squared.is_finite() && group.squared > 0.0));
        assert!(noise_norms(&runner, &groups, 1, Seed(1)).is_err());
    }
}

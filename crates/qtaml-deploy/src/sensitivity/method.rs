//! Methods that measure sensitivities.

use std::fmt;

use qtaml_fault::Seed;
use serde::{Deserialize, Serialize};

use super::{GroupSensitivity, forward_norms, gradient_norms, measured_norms, noise_norms};
use crate::{DeployError, Recalibrator, Runner, SensitivityError, Values, WeightGroup};

/// How sensitivities are found.
///
/// ```
/// use qtaml_deploy::sensitivity::Sensitivity;
///
/// assert_eq!("forward-only".parse(), Ok(Sensitivity::ForwardOnly));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Sensitivity {
    /// Random projections of the gradient: one backward pass a draw, for all groups at once.
    Gradients,
    /// Small random steps: two forward passes a draw and group.
    ForwardOnly,
    /// Random steps of a tenth of the weights: one forward pass a draw and group.
    Noise,
    /// The response to real faults in one group: one forward pass a draw and group.
    Measured,
}

qtaml_quant::names!(Sensitivity, "sensitivity", {
    Gradients: "gradients",
    ForwardOnly: "forward-only",
    Noise: "noise",
    Measured: "measured",
});

/// The sensitivities of all groups, and the method that found them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Sensitivities {
    /// The method.
    pub method: Sensitivity,
    /// One for each group, in the order of the groups.
    pub groups: Vec<GroupSensitivity>,
}

/// Faults that sensitivities are measured with.
#[derive(Clone, Copy)]
pub struct MeasuredWith<'a> {
    /// What repairs the outputs, and the values without faults.
    pub recalibrator: &'a Recalibrator<'a>,
    /// The values of all stored tensors with faults in one group alone, under a fault pattern.
    pub read: &'a (dyn Fn(&WeightGroup, u32) -> Result<Values, DeployError> + Sync),
}

impl fmt::Debug for MeasuredWith<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MeasuredWith")
            .field("recalibrator", self.recalibrator)
            .finish_non_exhaustive()
    }
}

/// The sensitivities of groups of weights by the method that is wanted, over so many draws. If none is
/// wanted, gradients are taken where the runner has them, else forward passes alone; the result says
/// which.
///
/// # Errors
/// As [`gradient_norms`], [`forward_norms`] and [`measured_norms`], and [`SensitivityError::NeedsFaults`] to
/// measure without faults.
pub fn sensitivities(
    method: Option<Sensitivity>,
    runner: &dyn Runner,
    groups: &[WeightGroup],
    draws: u32,
    seed: Seed,
    faults: Option<MeasuredWith<'_>>,
) -> Result<Sensitivities, DeployError> {
    let gradients = || gradient_norms(runner, groups, draws, seed);
    let forward = || forward_norms(runner, groups, draws, seed);
    let (method, groups) = match method {
        Some(Sensitivity::Gradients) => (Sensitivity::Gradients, gradients()?),
        Some(Sensitivity::ForwardOnly) => (Sensitivity::ForwardOnly, forward()?),
        Some(Sensitivity::Noise) => (Sensitivity::Noise, noise_norms(runner, groups, draws, seed)?),
        Some(Sensitivity::Measured) => {
            let MeasuredWith { recalibrator, read } =
                faults.ok_or(SensitivityError::NeedsFaults)?;
            let measured = measured_norms(runner, recalibrator, groups, draws, read)?;
            (Sensitivity::Measured, measured)
        }
        None => match gradients() {
            Err(DeployError::Sensitivity(SensitivityError::NoGradients)) => {
                (Sensitivity::ForwardOnly, forward()?)
            }
            found => (Sensitivity::Gradients, found?),
        },
    };
    Ok(Sensitivities { method, groups })
}

#[cfg(test)]
mod tests {
    use super::super::testing::groups;
    use super::*;
    use crate::testing::Perceptron;
    use crate::{Granularity, Recalibration};

    #[test]
    fn the_method_is_the_wanted_one_or_the_best_that_there_is() {
        let model = Perceptron::new(1, 4, 3);
        let blind = Perceptron { differentiates: false, ..Perceptron::new(1, 4, 3) };
        let groups = groups(&model, Granularity::Tensor);
        let found = |method, runner| sensitivities(method, runner, &groups, 2, Seed(1), None);
        let gradients = gradient_norms(&model, &groups, 2, Seed(1)).unwrap();
        let forward = forward_norms(&model, &groups, 2, Seed(1)).unwrap();
        for (method, runner, expected) in [
            (None, &model, (Sensitivity::Gradients, &gradients)),
            (None, &blind, (Sensitivity::ForwardOnly, &forward)),
            (Some(Sensitivity::Gradients), &model, (Sensitivity::Gradients, &gradients)),
            (Some(Sensitivity::ForwardOnly), &model, (Sensitivity::ForwardOnly, &forward)),
        ] {
            let found = found(method, runner).unwrap();
            assert_eq!((found.method, &found.groups), expected);
        }
        let refused = found(Some(Sensitivity::Gradients), &blind);
        assert!(matches!(refused, Err(DeployError::Sensitivity(SensitivityError::NoGradients))));
        let refused = found(Some(Sensitivity::Measured), &model);
        assert!(matches!(refused, Err(DeployError::Sensitivity(SensitivityError::NeedsFaults))));
    }

    #[test]
    fn faults_are_read_to_be_measured() {
        let model = Perceptron::new(1, 4, 3);
        let groups = groups(&model, Granularity::Tensor);
        let golden = model.all_values();
        let recalibrator = Recalibrator::new(Recalibration::None, &model, &golden).unwrap();
        let read = |group: &WeightGroup, pattern: u32| {
            let mut values = golden.clone();
            let name = &model.tensors()[group.tensor].name;
            values.get_mut(name).unwrap()[group.range.start] += 0.1 + pattern as f32;
            Ok(values)
        };
        let faults = MeasuredWith { recalibrator: &recalibrator, read: &read };
        let method = Some(Sensitivity::Measured);
        let found = sensitivities(method, &model, &groups, 2, Seed(1), Some(faults)).unwrap();
        let expected = measured_norms(&model, &recalibrator, &groups, 2, read).unwrap();
        assert_eq!((found.method, found.groups), (Sensitivity::Measured, expected));
    }

    #[test]
    fn names_lead_back() {
        for method in Sensitivity::ALL {
            assert_eq!(method.to_string().parse(), Ok(method));
            assert_eq!(serde_json::to_string(&method).unwrap(), format!("{:?}", method.name()));
        }
        assert!("backward".parse::<Sensitivity>().is_err());
    }
}

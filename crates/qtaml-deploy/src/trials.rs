//! Trials: a model read under fault patterns, repaired, run and judged.

use std::ops::Range;

use rayon::prelude::*;

use crate::{DeployError, Evaluation, Recalibrator, Runner, Values};

/// What every trial of a model has in common: the inputs, the repair and the metric.
///
/// ```
/// # use qtaml_deploy::{check_values, Output, Role, RunnerError, WeightTensor};
/// # struct Line { tensors: Vec<WeightTensor> }
/// # impl Runner for Line {
/// #     fn tensors(&self) -> &[WeightTensor] { &self.tensors }
/// #     fn values(&self, _: usize) -> Result<Vec<f32>, RunnerError> { Ok(vec![2.0]) }
/// #     fn outputs(&self, replaced: Values) -> Result<Vec<Output>, RunnerError> {
/// #         check_values(&self.tensors, &replaced)?;
/// #         let slope = replaced.get("slope").map_or(2.0, |values| values[0]);
/// #         Ok(vec![Output::new("y", [2, 1], vec![slope, 3.0 * slope])?])
/// #     }
/// # }
/// use qtaml_deploy::budget::{BudgetSteps, Patterns, Search, Target};
/// use qtaml_deploy::{DeployError, Evaluation, Metric, Recalibration, Recalibrator, Runner, Trials, Values};
///
/// # let line = Line { tensors: vec![WeightTensor::new("slope", [1, 1], Role::Linear)] };
/// // `line` is `y = 2 x`. A step of the budget halves what faults do to its slope.
/// let golden = Values::from([("slope".to_owned(), vec![2.0])]);
/// let read = |step: usize, pattern: u32| {
///     let error = (1 + pattern % 3) as f32 / (1 << step) as f32;
///     Ok::<_, DeployError>(Values::from([("slope".to_owned(), vec![2.0 + error])]))
/// };
/// let recalibrator = Recalibrator::new(Recalibration::None, &line, &golden)?;
/// let evaluation = Evaluation::new(recalibrator.without_faults(&line)?, Metric::RelativeError)?;
/// let trials = Trials::new(&line, &recalibrator, &evaluation);
///
/// let costs = (0..10).map(|step| 8 * step).collect();
/// let budgets = BudgetSteps::new(costs, |step, patterns| {
///     trials.scores(patterns, |pattern| read(step, pattern))
/// });
/// // Errors are a half to three halves of two to the minus step; the largest is 0.094 at step 4.
/// let target = Target::in_yield(0.1, 1.0)?.at_most();
/// assert_eq!(Search::new(&budgets, target, Patterns::to_compare(20)).smallest()?.step, 4);
/// # Ok::<(), DeployError>(())
/// ```
#[derive(Clone, Copy)]
pub struct Trials<'a> {
    runner: &'a dyn Runner,
    recalibrator: &'a Recalibrator<'a>,
    evaluation: &'a Evaluation,
}

impl std::fmt::Debug for Trials<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trials")
            .field("recalibrator", self.recalibrator)
            .field("evaluation", self.evaluation)
            .finish_non_exhaustive()
    }
}

impl<'a> Trials<'a> {
    /// Trials on the inputs of `runner`. The golden outputs of the evaluation are those of the same inputs.
    pub fn new(
        runner: &'a dyn Runner,
        recalibrator: &'a Recalibrator<'a>,
        evaluation: &'a Evaluation,
    ) -> Self {
        Self { runner, recalibrator, evaluation }
    }

    /// The score of a model whose stored tensors were read with these values.
    ///
    /// # Errors
    /// As [`Recalibrator::outputs`] and [`Evaluation::score`].
    pub fn score(&self, read: Values) -> Result<f64, DeployError> {
        Ok(self.evaluation.score(&self.recalibrator.outputs(self.runner, read)?)?)
    }

    /// The score under each of some fault patterns, side by side, in their order.
    ///
    /// # Errors
    /// As [`score`](Self::score), and what `read` fails with.
    pub fn scores<E: From<DeployError> + Send>(
        &self,
        patterns: Range<u32>,
        read: impl Fn(u32) -> Result<Values, E> + Sync,
    ) -> Result<Vec<f64>, E> {
        patterns.into_par_iter().map(|pattern| Ok(self.score(read(pattern)?)?)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SensitivityError;
    use crate::testing::Perceptron;
    use crate::{Metric, Recalibration};

    #[test]
    fn scores_are_those_of_repaired_outputs_in_the_order_of_patterns() {
        let (calibration, test) = (Perceptron::new(1, 20, 3), Perceptron::new(1, 30, 3));
        let golden = calibration.all_values();
        // Each pattern moves the bias of a class by more, which the repair undoes.
        let read = |pattern: u32| {
            let mut values = golden.clone();
            values.get_mut("fc2.bias").unwrap()[0] += pattern as f32;
            Ok::<_, DeployError>(values)
        };
        let clean = test.outputs(golden.clone()).unwrap();
        let evaluation = Evaluation::new(clean, Metric::RelativeError).unwrap();
        let scores = |kind| {
            let recalibrator = Recalibrator::new(kind, &calibration, &golden).unwrap();
            Trials::new(&test, &recalibrator, &evaluation).scores(0..20, read).unwrap()
        };
        let raw = scores(Recalibration::None);
        assert_eq!(raw[0], 0.0);
        assert!(raw.windows(2).all(|pair| pair[0] < pair[1]), "{raw:?}");
        assert!(scores(Recalibration::Logits).iter().all(|&error| error < 1e-5));
    }

    #[test]
    fn what_a_read_fails_with_is_handed_on() {
        let model = Perceptron::new(1, 5, 3);
        let golden = model.all_values();
        let recalibrator = Recalibrator::new(Recalibration::None, &model, &golden).unwrap();
        let evaluation =
            Evaluation::new(model.outputs(Values::new()).unwrap(), Metric::Agreement).unwrap();
        let trials = Trials::new(&model, &recalibrator, &evaluation);
        let read =
            |_| Err(DeployError::from(SensitivityError::NotRead { tensor: "fc1.weight".into() }));
        assert!(matches!(
            trials.scores(0..3, read),
            Err(DeployError::Sensitivity(SensitivityError::NotRead { .. }))
        ));
        let unknown = |_| Ok::<_, DeployError>(Values::from([("fc9".to_owned(), vec![])]));
        assert!(matches!(trials.scores(0..3, unknown), Err(DeployError::Runner(_))));
    }
}

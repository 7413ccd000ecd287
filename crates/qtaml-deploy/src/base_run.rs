//! Runs around one base: outputs where one tensor alone differs, by as little work as the runner can.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::{Output, Runner, RunnerError, Values};

/// Outputs of a model around a base, where a single tensor has other values at a time.
///
/// Sensitivities ask for thousands of them. A runner that keeps what the base computed has to run only
/// what lies behind the changed tensor. [`Runner::around`] makes one. Calls may run side by side; those
/// of one tensor should come together, as a runner may plan anew when another tensor is changed.
pub trait BaseRun: Send + Sync {
    /// The outputs where tensor number `index` has other values than in the base. `replaced` is what
    /// [`Runner::outputs`] would be given: the values of the base, apart from that tensor.
    ///
    /// The same bits as [`Runner::outputs`] gives.
    ///
    /// # Errors
    /// As [`Runner::outputs`].
    fn outputs(&self, index: usize, replaced: Values) -> Result<Vec<Output>, RunnerError>;

    /// How much was computed so far, in forward passes of the whole model, with that of the base if
    /// it was run.
    fn passes(&self) -> f64;
}

/// Runs of the whole model, for runners that keep nothing.
pub(crate) struct FullPasses<'a, R: ?Sized> {
    runner: &'a R,
    passes: AtomicU64,
}

impl<'a, R: Runner + ?Sized> FullPasses<'a, R> {
    pub(crate) fn new(runner: &'a R) -> Self {
        Self { runner, passes: AtomicU64::new(0) }
    }
}

impl<R: Runner + ?Sized> BaseRun for FullPasses<'_, R> {
    fn outputs(&self, _: usize, replaced: Values) -> Result<Vec<Output>, RunnerError> {
        self.passes.fetch_add(1, Ordering::Relaxed);
        self.runner.outputs(replaced)
    }

    fn passes(&self) -> f64 {
        self.passes.load(Ordering::Relaxed) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Perceptron;

    #[test]
    fn a_runner_that_keeps_nothing_runs_the_whole_model() {
        let model = Perceptron::new(1, 4, 3);
        let mut values = model.all_values();
        let around = model.around(&values).unwrap();
        assert_eq!(around.passes(), 0.0);
        values.get_mut("fc2.weight").unwrap()[0] += 1.0;
        let changed = around.outputs(4, values.clone()).unwrap();
        assert_eq!(changed, model.outputs(values).unwrap());
        assert_eq!(around.passes(), 1.0);
        let unknown = Values::from([("fc9".to_owned(), vec![])]);
        assert!(matches!(model.around(&unknown), Err(RunnerError::UnknownTensor { .. })));
    }
}

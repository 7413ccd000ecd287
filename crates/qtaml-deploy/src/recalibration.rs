//! Recalibration of batch norm and logits, from inputs without labels.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{DeployError, EvaluationError, Output, RecalibrationError, Runner, Values};

/// What is measured again after each read, on calibration inputs without labels.
///
/// It is no part of a plan for bits alone. Where it is used, a device must keep calibration inputs, and
/// run them after *every* read of the weights: other faults need other repairs, and stale ones lose
/// what they gained. [`needs`](Self::needs) says how much.
///
/// ```
/// use qtaml_deploy::Recalibration;
///
/// assert_eq!("batch-norm+logits".parse(), Ok(Recalibration::BatchNormAndLogits));
/// let needs = Recalibration::Logits.needs(10);
/// assert_eq!((needs.forward_passes, needs.metadata_bits), (1, 640));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Recalibration {
    /// Nothing.
    #[default]
    None,
    /// The mean and variance of every batch norm. Faults shift and widen what reaches each of them;
    /// measured again, its input is centred and of unit variance as the next layer expects. (ours;
    /// the method goes back to Y. Li et al., "Revisiting Batch Normalization For Practical Domain
    /// Adaptation", 2016.)
    BatchNorm,
    /// The mean and deviation of each class of the outputs: a factor and an offset for each bring them
    /// back to what they are without faults. Faults prefer classes: over many inputs one gets higher
    /// scores than it should, or more extreme ones, and takes inputs from the others. What batch norm
    /// does inside a model this does at its end, so any model has use for it. (ours; in the manner of
    /// the bias correction of M. Nagel et al., "Data-Free Quantization Through Weight Equalization and
    /// Bias Correction", ICCV 2019.)
    Logits,
    /// First the batch norms, then the logits of the model so repaired.
    BatchNormAndLogits,
}

/// What a recalibration needs at deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RecalibrationNeeds {
    /// Whether the device keeps calibration inputs, fault-free; their bits come on top.
    pub calibration_inputs: bool,
    /// Passes over the calibration inputs after each read of the weights.
    pub forward_passes: u32,
    /// Bits of what is known of the golden model and must be kept free of faults.
    pub metadata_bits: u64,
}

qtaml_quant::names!(Recalibration, "recalibration", {
    None: "none",
    BatchNorm: "batch-norm",
    Logits: "logits",
    BatchNormAndLogits: "batch-norm+logits",
});

impl Recalibration {
    /// Whether batch norms are measured again.
    pub const fn batch_norm(self) -> bool {
        matches!(self, Self::BatchNorm | Self::BatchNormAndLogits)
    }

    /// Whether logits are brought back.
    pub const fn logits(self) -> bool {
        matches!(self, Self::Logits | Self::BatchNormAndLogits)
    }

    /// What it needs at deployment, for a model with so many classes in all outputs: two 32-bit numbers
    /// for each if logits are brought back. Statistics of batch norms are measured from nothing.
    pub const fn needs(self, classes: usize) -> RecalibrationNeeds {
        let (batch_norm, logits) = (self.batch_norm(), self.logits());
        RecalibrationNeeds {
            calibration_inputs: batch_norm || logits,
            forward_passes: batch_norm as u32 + logits as u32,
            metadata_bits: if logits { 64 * classes as u64 } else { 0 },
        }
    }
}

/// Repairs what is read with faults: the one place where outputs of a model come from after a read,
/// whatever the recalibration, none included.
pub struct Recalibrator<'a> {
    kind: Recalibration,
    calibration: &'a dyn Runner,
    golden: &'a Values,
    /// The moments of each class of each output, without faults.
    moments: Vec<ClassMoments>,
}

impl fmt::Debug for Recalibrator<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recalibrator").field("kind", &self.kind).finish_non_exhaustive()
    }
}

impl<'a> Recalibrator<'a> {
    /// Measures on calibration inputs what the golden model is like. `golden` are the values of all
    /// stored tensors as they are read without faults.
    ///
    /// # Errors
    /// [`RecalibrationError::NoStatistics`] if batch norms are to be measured by a runner that cannot,
    /// [`RecalibrationError::NoNormalization`] if the model has none, [`EvaluationError::OutputAxes`] or
    /// [`EvaluationError::EmptyOutput`] for logits of an output without classes or samples, and
    /// [`DeployError::Runner`] if the model cannot be run.
    pub fn new(
        kind: Recalibration,
        calibration: &'a dyn Runner,
        golden: &'a Values,
    ) -> Result<Self, DeployError> {
        let mut recalibrator = Self { kind, calibration, golden, moments: Vec::new() };
        if kind.batch_norm() && recalibrator.statistics(golden)?.is_empty() {
            return Err(RecalibrationError::NoNormalization.into());
        }
        if kind.logits() {
            let outputs = calibration.outputs(golden.clone())?;
            recalibrator.moments =
                outputs.iter().map(ClassMoments::of).collect::<Result<_, EvaluationError>>()?;
        }
        Ok(recalibrator)
    }

    /// What is measured again.
    pub fn kind(&self) -> Recalibration {
        self.kind
    }

    /// The values of all stored tensors without faults.
    pub fn golden(&self) -> &Values {
        self.golden
    }

    /// What it needs at deployment.
    pub fn needs(&self) -> RecalibrationNeeds {
        self.kind.needs(self.moments.iter().map(|output| output.moments.len()).sum())
    }

    /// The outputs of a model on the inputs of `test` after its weights were read as `read` and repaired.
    ///
    /// # Errors
    /// As [`new`](Self::new), and [`EvaluationError::UnknownOutput`] or [`EvaluationError::OutputAxes`] if `test`
    /// has other outputs than the calibration runner.
    pub fn outputs(&self, test: &dyn Runner, read: Values) -> Result<Vec<Output>, DeployError> {
        let observed = self.observe(&read)?;
        self.repaired(test, read, &observed)
    }

    /// What the calibration inputs tell of a read: the statistics that repair it.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn observe(&self, read: &Values) -> Result<Observed, DeployError> {
        let statistics =
            if self.kind.batch_norm() { self.statistics(read)? } else { Values::new() };
        let mut moments = Vec::new();
        if self.kind.logits() {
            let mut read = read.clone();
            read.extend(statistics.clone());
            let outputs = self.calibration.outputs(read)?;
            let of_output =
                |golden: &ClassMoments| ClassMoments::of(named(&outputs, &golden.output)?);
            moments = self.moments.iter().map(of_output).collect::<Result<_, _>>()?;
        }
        Ok(Observed { statistics, moments })
    }

    /// The outputs on the inputs of `test` of a model whose weights were read as `read`, repaired by what was
    /// observed of this read or, out of date, of another one.
    ///
    /// # Errors
    /// As [`outputs`](Self::outputs).
    pub fn repaired(
        &self,
        test: &dyn Runner,
        mut read: Values,
        observed: &Observed,
    ) -> Result<Vec<Output>, DeployError> {
        read.extend(observed.statistics.clone());
        let mut outputs = test.outputs(read)?;
        for (golden, faulty) in self.moments.iter().zip(&observed.moments) {
            let output = outputs.iter_mut().find(|output| output.name == golden.output);
            let output = output.ok_or_else(|| self.unknown(&golden.output))?;
            faulty.towards(golden, output)?;
        }
        Ok(outputs)
    }

    /// The outputs of the golden model after the same repair: what it does without any fault. It should
    /// do nothing. Where it moves the golden model by itself, that is no effect of faults.
    ///
    /// # Errors
    /// As [`outputs`](Self::outputs).
    pub fn without_faults(&self, test: &dyn Runner) -> Result<Vec<Output>, DeployError> {
        self.outputs(test, self.golden.clone())
    }

    fn statistics(&self, values: &Values) -> Result<Values, DeployError> {
        Ok(self.calibration.statistics(values.clone())?.ok_or(RecalibrationError::NoStatistics)?)
    }

    fn unknown(&self, name: &str) -> EvaluationError {
        let known = self.moments.iter().map(|moments| moments.output.clone()).collect();
        EvaluationError::UnknownOutput { name: name.to_owned(), known }
    }
}

fn named<'a>(outputs: &'a [Output], name: &str) -> Result<&'a Output, EvaluationError> {
    outputs.iter().find(|output| output.name == name).ok_or_else(|| {
        EvaluationError::UnknownOutput {
            name: name.to_owned(),
            known: outputs.iter().map(|output| output.name.clone()).collect(),
        }
    })
}

/// What a [`Recalibrator`] saw of one read of the weights.
#[derive(Debug, Clone, PartialEq)]
pub struct Observed {
    /// Of the batch norms.
    statistics: Values,
    /// Of each class of each output whose logits are brought back.
    moments: Vec<ClassMoments>,
}

/// Mean and standard deviation of each class of an output, over its rows.
#[derive(Debug, Clone, PartialEq)]
struct ClassMoments {
    output: String,
    moments: Vec<Moments>,
}

impl ClassMoments {
    fn of(output: &Output) -> Result<Self, EvaluationError> {
        let (name, shape) = (output.name.clone(), output.shape.clone());
        if shape.len() < 2 {
            let what = "logit recalibration".to_owned();
            let needed = "samples along the first axis and classes along the last";
            return Err(EvaluationError::OutputAxes { output: name, shape, what, needed });
        }
        if output.values.is_empty() {
            return Err(EvaluationError::EmptyOutput { output: name, shape });
        }
        let (classes, rows) = (output.classes(), output.rows().len());
        let of_class = |class: usize| output.values.iter().skip(class).step_by(classes);
        let moments = |class| Moments::of(of_class(class).map(|v| f64::from(*v)), rows as f64);
        Ok(Self { output: name, moments: (0..classes).map(moments).collect() })
    }

    /// Multiplies and moves an output, class by class, so that moments like these become those of
    /// `golden`.
    fn towards(&self, golden: &Self, output: &mut Output) -> Result<(), EvaluationError> {
        let classes = golden.moments.len();
        if [self.moments.len(), output.classes()] != [classes; 2] {
            return Err(EvaluationError::OutputAxes {
                output: output.name.clone(),
                shape: output.shape.clone(),
                what: "logit recalibration".to_owned(),
                needed: "as many classes as the golden model has on calibration inputs",
            });
        }
        let pairs = self.moments.iter().zip(&golden.moments);
        let affine: Vec<(f32, f32)> = pairs
            .map(|(faulty, golden)| faulty.towards(*golden))
            .map(|(factor, offset)| (factor as f32, offset as f32))
            .collect();
        for row in output.values.chunks_exact_mut(classes) {
            for (value, (factor, offset)) in row.iter_mut().zip(&affine) {
                *value = *value * factor + offset;
            }
        }
        Ok(())
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Moments {
    mean: f64,
    deviation: f64,
}

impl Moments {
    fn of(values: impl Iterator<Item = f64> + Clone, count: f64) -> Self {
        let mean = values.clone().sum::<f64>() / count;
        let variance = values.map(|value| (value - mean).powi(2)).sum::<f64>() / count;
        Self { mean, deviation: variance.sqrt() }
    }

    /// The factor and the offset that make values like these have the moments of `golden`.
    ///
    /// Values that do not vary can only be moved, and those that are no numbers are left alone.
    fn towards(self, golden: Self) -> (f64, f64) {
        let factor = golden.deviation / self.deviation;
        let factor = if factor.is_finite() { factor } else { 1.0 };
        let offset = golden.mean - factor * self.mean;
        if offset.is_finite() { (factor, offset) } else { (1.0, 0.0) }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;
    use crate::testing::{HIDDEN, Perceptron};
    use crate::{Evaluation, Metric};

    const CLASSES: usize = 5;

    fn calibration() -> Perceptron {
        Perceptron::new(1, 40, CLASSES).on_inputs(7, 40)
    }

    fn test() -> Perceptron {
        Perceptron::new(1, 30, CLASSES).on_inputs(8, 30)
    }

    /// The golden values with some changed: by tensor, class or hidden unit, and value.
    fn changed(model: &Perceptron, change: impl Fn(&str, usize, f32) -> f32) -> Values {
        let mut values = model.all_values();
        for (name, values) in &mut values {
            for (i, value) in values.iter_mut().enumerate() {
                let channel = match name.as_str() {
                    "fc1.weight" => i % HIDDEN,
                    "fc2.weight" => i / HIDDEN,
                    _ => i,
                };
                *value = change(name, channel, *value);
            }
        }
        values
    }

    fn close(a: &[Output], b: &[Output]) -> bool {
        let pairs = a[0].values.iter().zip(&b[0].values);
        a[0].shape == b[0].shape && pairs.into_iter().all(|(a, b)| (a - b).abs() < 1e-4)
    }

    #[test]
    fn logits_have_the_golden_moments_again() {
        let calibration = calibration();
        let golden = calibration.all_values();
        let recalibrator = Recalibrator::new(Recalibration::Logits, &calibration, &golden).unwrap();
        let other = Perceptron::new(2, 1, CLASSES).all_values();
        let repaired = recalibrator.outputs(&calibration, other.clone()).unwrap();
        let again = ClassMoments::of(&repaired[0]).unwrap();
        assert_eq!(again.moments.len(), CLASSES);
        for (a, b) in again.moments.iter().zip(&recalibrator.moments[0].moments) {
            let deviation = (a.deviation / b.deviation - 1.0).abs();
            assert!((a.mean - b.mean).abs() < 1e-5 && deviation < 1e-4, "{a:?} {b:?}");
        }
        assert!(!close(&calibration.outputs(other).unwrap(), &repaired));
    }

    /// Shifts and positive factors of a class are undone on inputs that were not measured, but for
    /// rounding.
    #[test]
    fn what_moves_or_scales_a_class_is_undone() {
        let (calibration, test) = (calibration(), test());
        let golden = calibration.all_values();
        let faulty = changed(&calibration, |name, class, value| match name {
            "fc2.weight" => value * (1.0 + class as f32),
            "fc2.bias" => value * (1.0 + class as f32) - 3.0 * class as f32,
            _ => value,
        });
        let clean = test.outputs(golden.clone()).unwrap();
        let evaluation = Evaluation::new(clean.clone(), Metric::Agreement).unwrap();
        assert!(evaluation.score(&test.outputs(faulty.clone()).unwrap()).unwrap() < 0.9);
        let recalibrator = Recalibrator::new(Recalibration::Logits, &calibration, &golden).unwrap();
        assert!(close(&recalibrator.outputs(&test, faulty).unwrap(), &clean));
    }

    /// A shift before a batch norm, and a factor, are undone by the norm alone.
    #[test]
    fn what_moves_or_scales_the_input_of_a_norm_is_undone() {
        let (calibration, test) = (calibration(), test());
        // A golden model whose norm has measured its calibration inputs.
        let measured = calibration.statistics(calibration.all_values()).unwrap().unwrap();
        let golden: Values = calibration.all_values().into_iter().chain(measured).collect();
        let faulty: Values = golden
            .iter()
            .map(|(name, values)| {
                let change = |(i, v): (usize, &f32)| match name.as_str() {
                    "fc1.weight" => 2.0 * v,
                    "fc1.bias" => 2.0 * v + i as f32,
                    _ => *v,
                };
                (name.clone(), values.iter().enumerate().map(change).collect())
            })
            .collect();
        let clean = test.outputs(golden.clone()).unwrap();
        assert!(!close(&test.outputs(faulty.clone()).unwrap(), &clean));
        for kind in [Recalibration::BatchNorm, Recalibration::BatchNormAndLogits] {
            let recalibrator = Recalibrator::new(kind, &calibration, &golden).unwrap();
            assert!(close(&recalibrator.outputs(&test, faulty.clone()).unwrap(), &clean), "{kind}");
        }
    }

    /// Both together undo what neither does alone.
    #[test]
    fn batch_norm_and_logits_work_together() {
        let (calibration, test) = (calibration(), test());
        let measured = calibration.statistics(calibration.all_values()).unwrap().unwrap();
        let golden: Values = calibration.all_values().into_iter().chain(measured).collect();
        let mut faulty = golden.clone();
        faulty.get_mut("fc1.bias").unwrap().iter_mut().for_each(|v| *v += 1.0);
        faulty.get_mut("fc2.bias").unwrap()[0] += 2.0;
        let clean = test.outputs(golden.clone()).unwrap();
        for kind in Recalibration::ALL {
            let recalibrator = Recalibrator::new(kind, &calibration, &golden).unwrap();
            let repaired = recalibrator.outputs(&test, faulty.clone()).unwrap();
            assert_eq!(
                close(&repaired, &clean),
                kind == Recalibration::BatchNormAndLogits,
                "{kind}"
            );
        }
    }

    #[test]
    fn a_class_without_variance_is_moved_and_one_without_numbers_left_alone() {
        let calibration = calibration();
        let golden = calibration.all_values();
        let faulty = changed(&calibration, |name, class, value| match (name, class) {
            ("fc2.weight", 0) => 0.0,
            ("fc2.bias", 1) => f32::INFINITY,
            _ => value,
        });
        let recalibrator = Recalibrator::new(Recalibration::Logits, &calibration, &golden).unwrap();
        let repaired = recalibrator.outputs(&calibration, faulty).unwrap();
        let mean = recalibrator.moments[0].moments[0].mean;
        for row in repaired[0].rows() {
            assert!((f64::from(row[0]) - mean).abs() < 1e-5);
            assert!(row[1] == f32::INFINITY && row[2..].iter().all(|value| value.is_finite()));
        }
    }

    #[test]
    fn values_that_never_varied_vary_no_more() {
        let golden = Moments { mean: 3.0, deviation: 0.0 };
        assert_eq!(Moments { mean: 1.0, deviation: 2.0 }.towards(golden), (0.0, 3.0));
        assert_eq!(Moments { mean: 1.0, deviation: 0.0 }.towards(golden), (1.0, 2.0));
    }

    /// What repairs do without any fault can be seen: nothing, unless the norm never measured.
    #[test]
    fn without_faults_logits_stay_and_stale_norms_do_not() {
        let (calibration, test) = (calibration(), test());
        let golden = calibration.all_values();
        let clean = test.outputs(golden.clone()).unwrap();
        let repaired = |kind, golden: &Values| {
            Recalibrator::new(kind, &calibration, golden).unwrap().without_faults(&test).unwrap()
        };
        assert_eq!(repaired(Recalibration::None, &golden), clean);
        assert!(close(&repaired(Recalibration::Logits, &golden), &clean));
        assert!(!close(&repaired(Recalibration::BatchNorm, &golden), &clean));
        let measured = calibration.statistics(golden.clone()).unwrap().unwrap();
        let measured: Values = golden.into_iter().chain(measured).collect();
        let clean = test.outputs(measured.clone()).unwrap();
        assert!(close(&repaired(Recalibration::BatchNorm, &measured), &clean));
    }

    /// Statistics of one read repair this read and no other.
    #[test]
    fn what_was_observed_of_another_read_is_out_of_date() {
        let (calibration, test) = (calibration(), test());
        let golden = calibration.all_values();
        let scaled = |factor: f32| -> Values {
            let read = golden.iter().map(|(name, values)| {
                (name.clone(), values.iter().map(|value| factor * value).collect())
            });
            read.collect()
        };
        let [once, twice] = [1.5, 0.25].map(scaled);
        for kind in
            [Recalibration::BatchNorm, Recalibration::Logits, Recalibration::BatchNormAndLogits]
        {
            let recalibrator = Recalibrator::new(kind, &calibration, &golden).unwrap();
            let observed = recalibrator.observe(&once).unwrap();
            let fresh = recalibrator.repaired(&test, once.clone(), &observed).unwrap();
            assert_eq!(fresh, recalibrator.outputs(&test, once.clone()).unwrap(), "{kind}");
            let stale = recalibrator.repaired(&test, twice.clone(), &observed).unwrap();
            assert_ne!(stale, recalibrator.outputs(&test, twice.clone()).unwrap(), "{kind}");
        }
        let none = Recalibrator::new(Recalibration::None, &calibration, &golden).unwrap();
        let observed = none.observe(&once).unwrap();
        let read = none.repaired(&test, twice.clone(), &observed).unwrap();
        assert_eq!(read, test.outputs(twice).unwrap());
    }

    #[test]
    fn what_cannot_be_repaired_is_refused() {
        let blind = Perceptron { measures: false, ..calibration() };
        let golden = blind.all_values();
        let new = |kind, runner| Recalibrator::new(kind, runner, &golden).map(|_| ());
        assert!(matches!(
            new(Recalibration::BatchNorm, &blind),
            Err(DeployError::Recalibration(RecalibrationError::NoStatistics))
        ));
        assert!(new(Recalibration::Logits, &blind).is_ok());
        let empty = calibration().on_inputs(1, 0);
        let refused = new(Recalibration::Logits, &empty);
        assert!(matches!(
            refused,
            Err(DeployError::Evaluation(EvaluationError::EmptyOutput { .. }))
        ));
        let other = Perceptron::new(1, 4, 3);
        let runner = calibration();
        let recalibrator = Recalibrator::new(Recalibration::Logits, &runner, &golden).unwrap();
        let foreign = recalibrator.outputs(&other, other.all_values()).unwrap_err();
        assert!(matches!(foreign, DeployError::Runner(_)), "{foreign}");
        let few = Recalibrator::new(Recalibration::Logits, &runner, &golden).unwrap();
        let mut output = other.outputs(Values::new()).unwrap().remove(0);
        let error = few.moments[0].towards(&few.moments[0], &mut output).unwrap_err().to_string();
        assert!(
            error.starts_with("output \"logits\" has shape [4, 3]: logit recalibration needs"),
            "{error}"
        );
    }

    #[test]
    fn needs_say_what_a_device_keeps_and_runs() {
        let runner = Perceptron { shows_hidden: true, ..calibration() };
        let golden = runner.all_values();
        for (kind, inputs, passes, bits) in [
            (Recalibration::None, false, 0, 0),
            (Recalibration::BatchNorm, true, 1, 0),
            (Recalibration::Logits, true, 1, 64 * (CLASSES + HIDDEN) as u64),
            (Recalibration::BatchNormAndLogits, true, 2, 64 * (CLASSES + HIDDEN) as u64),
        ] {
            let needs = Recalibrator::new(kind, &runner, &golden).unwrap().needs();
            let found = (needs.calibration_inputs, needs.forward_passes, needs.metadata_bits);
            assert_eq!(found, (inputs, passes, bits), "{kind}");
        }
        let passes = runner.passes.load(Ordering::Relaxed);
        assert_eq!(passes, 2, "the golden model is run once for each repair of logits");
    }

    #[test]
    fn names_lead_back() {
        for kind in Recalibration::ALL {
            assert_eq!(kind.to_string().parse(), Ok(kind));
            assert_eq!(serde_json::to_string(&kind).unwrap(), format!("{:?}", kind.name()));
        }
        assert!("norms".parse::<Recalibration>().is_err());
    }
}

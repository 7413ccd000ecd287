//! A small model in plain Rust with exact gradients, for the tests of this crate.

use std::sync::atomic::{AtomicUsize, Ordering};

use qtaml_fault::Seed;
use rand::RngExt as _;

use crate::{Output, Role, Runner, RunnerError, Values, WeightTensor, check_values};

pub(crate) const INPUTS: usize = 3;
pub(crate) const HIDDEN: usize = 4;

/// `logits = w2 tanh(norm(x w1 + b1)) + b2` on fixed inputs, in `f64` inside.
///
/// The first weight is `[inputs, outputs]` and the second `[outputs, inputs]`, so that both output
/// axes occur.
pub(crate) struct Perceptron {
    pub(crate) tensors: Vec<WeightTensor>,
    pub(crate) values: Vec<Vec<f32>>,
    pub(crate) inputs: Vec<f64>,
    pub(crate) classes: usize,
    /// Whether it differentiates.
    pub(crate) differentiates: bool,
    /// Whether it can measure its normalization layer.
    pub(crate) measures: bool,
    /// Whether the hidden layer is an output, beside the logits.
    pub(crate) shows_hidden: bool,
    /// How often outputs were asked for.
    pub(crate) passes: AtomicUsize,
}

/// What one pass computes.
struct Pass {
    x: Vec<f64>,
    before_norm: Vec<f64>,
    slope: Vec<f64>,
    hidden: Vec<f64>,
    logits: Vec<f64>,
    second: Vec<f64>,
}

impl Perceptron {
    /// The model of `seed` on so many inputs.
    pub(crate) fn new(seed: u64, samples: usize, classes: usize) -> Self {
        let tensors = vec![
            WeightTensor::new("fc1.weight", [INPUTS, HIDDEN], Role::Linear).with_output_axis(1),
            WeightTensor::new("fc1.bias", [HIDDEN], Role::Bias),
            WeightTensor::new("norm.mean", [HIDDEN], Role::Statistics),
            WeightTensor::new("norm.variance", [HIDDEN], Role::Statistics),
            WeightTensor::new("fc2.weight", [classes, HIDDEN], Role::Linear).with_output_axis(0),
            WeightTensor::new("fc2.bias", [classes], Role::Bias),
        ];
        let mut rng = Seed(seed).rng("testing.weights", 0);
        let draw = |tensor: &WeightTensor| match tensor.name.as_str() {
            "norm.mean" => vec![0.0; HIDDEN],
            "norm.variance" => vec![1.0; HIDDEN],
            _ => (0..tensor.len()).map(|_| rng.random_range(-1.0..1.0)).collect(),
        };
        let values = tensors.iter().map(draw).collect();
        Self {
            tensors,
            values,
            inputs: Self::draw_inputs(0, samples),
            classes,
            differentiates: true,
            measures: true,
            shows_hidden: false,
            passes: AtomicUsize::new(0),
        }
    }

    /// The same model on other inputs.
    pub(crate) fn on_inputs(mut self, seed: u64, samples: usize) -> Self {
        self.inputs = Self::draw_inputs(seed, samples);
        self
    }

    fn draw_inputs(seed: u64, samples: usize) -> Vec<f64> {
        let mut rng = Seed(seed).rng("testing.inputs", 1);
        (0..samples * INPUTS).map(|_| rng.random_range(-1.0..1.0)).collect()
    }

    pub(crate) fn samples(&self) -> usize {
        self.inputs.len() / INPUTS
    }

    /// All tensors by name.
    pub(crate) fn all_values(&self) -> Values {
        let names = self.tensors.iter().map(|tensor| tensor.name.clone());
        names.zip(self.values.iter().cloned()).collect()
    }

    /// The outputs in double precision, those of all samples in a row, where some tensors have other values.
    pub(crate) fn exact(&self, replaced: &[(usize, Vec<f64>)]) -> Vec<f64> {
        let mut values: Vec<Vec<f64>> = self.values.iter().map(|v| to_f64(v)).collect();
        for (tensor, other) in replaced {
            values[*tensor].clone_from(other);
        }
        let pass = self.pass(&values);
        let mut outputs = pass.logits;
        if self.shows_hidden {
            outputs.extend(pass.hidden);
        }
        outputs
    }

    fn with(&self, replaced: &Values) -> Result<Vec<Vec<f64>>, RunnerError> {
        check_values(&self.tensors, replaced)?;
        let pairs = self.tensors.iter().zip(&self.values);
        Ok(pairs.map(|(t, own)| to_f64(replaced.get(&t.name).unwrap_or(own))).collect())
    }

    fn pass(&self, values: &[Vec<f64>]) -> Pass {
        let [w1, b1, mean, variance, w2, b2] = values else { unreachable!("six tensors") };
        let slope: Vec<f64> = variance.iter().map(|v| 1.0 / (v + 1e-5).sqrt()).collect();
        let (mut before_norm, mut hidden, mut logits) = (Vec::new(), Vec::new(), Vec::new());
        for x in self.inputs.chunks(INPUTS) {
            let z: Vec<f64> = (0..HIDDEN)
                .map(|h| b1[h] + (0..INPUTS).map(|i| x[i] * w1[i * HIDDEN + h]).sum::<f64>())
                .collect();
            let y: Vec<f64> = (0..HIDDEN).map(|h| ((z[h] - mean[h]) * slope[h]).tanh()).collect();
            logits.extend(
                (0..self.classes)
                    .map(|c| b2[c] + (0..HIDDEN).map(|h| w2[c * HIDDEN + h] * y[h]).sum::<f64>()),
            );
            before_norm.extend(z);
            hidden.extend(y);
        }
        Pass { x: self.inputs.clone(), before_norm, slope, hidden, logits, second: w2.clone() }
    }
}

fn to_f64(values: &[f32]) -> Vec<f64> {
    values.iter().map(|value| f64::from(*value)).collect()
}

fn to_f32(values: &[f64]) -> Vec<f32> {
    values.iter().map(|value| *value as f32).collect()
}

impl Runner for Perceptron {
    fn tensors(&self) -> &[WeightTensor] {
        &self.tensors
    }

    fn values(&self, index: usize) -> Result<Vec<f32>, RunnerError> {
        Ok(self.values[index].clone())
    }

    fn outputs(&self, replaced: Values) -> Result<Vec<Output>, RunnerError> {
        self.passes.fetch_add(1, Ordering::Relaxed);
        let pass = self.pass(&self.with(&replaced)?);
        let mut outputs =
            vec![Output::new("logits", [self.samples(), self.classes], to_f32(&pass.logits))?];
        if self.shows_hidden {
            let hidden = to_f32(&pass.hidden);
            outputs.push(Output::new("hidden", [self.samples(), HIDDEN], hidden)?);
        }
        Ok(outputs)
    }

    fn gradients(&self, directions: &[Output]) -> Result<Option<Values>, RunnerError> {
        if !self.differentiates {
            return Ok(None);
        }
        let pass = self.pass(&self.with(&Values::new())?);
        let towards: Vec<Vec<f64>> = directions.iter().map(|d| to_f64(&d.values)).collect();
        let mut w1 = vec![0.0; INPUTS * HIDDEN];
        let mut b1 = vec![0.0; HIDDEN];
        let mut w2 = vec![0.0; self.classes * HIDDEN];
        let mut b2 = vec![0.0; self.classes];
        for n in 0..self.samples() {
            let up = &towards[0][n * self.classes..(n + 1) * self.classes];
            let y = &pass.hidden[n * HIDDEN..(n + 1) * HIDDEN];
            for c in 0..self.classes {
                b2[c] += up[c];
                (0..HIDDEN).for_each(|h| w2[c * HIDDEN + h] += up[c] * y[h]);
            }
            for h in 0..HIDDEN {
                let back = (0..self.classes).map(|c| up[c] * pass.second[c * HIDDEN + h]);
                let shown = towards.get(1).map_or(0.0, |hidden| hidden[n * HIDDEN + h]);
                let z = (back.sum::<f64>() + shown) * (1.0 - y[h] * y[h]) * pass.slope[h];
                b1[h] += z;
                (0..INPUTS).for_each(|i| w1[i * HIDDEN + h] += pass.x[n * INPUTS + i] * z);
            }
        }
        let named = [("fc1.weight", w1), ("fc1.bias", b1), ("fc2.weight", w2), ("fc2.bias", b2)];
        Ok(Some(named.into_iter().map(|(name, g)| (name.to_owned(), to_f32(&g))).collect()))
    }

    fn statistics(&self, replaced: Values) -> Result<Option<Values>, RunnerError> {
        if !self.measures {
            return Ok(None);
        }
        let pass = self.pass(&self.with(&replaced)?);
        let of = |h: usize| pass.before_norm.iter().skip(h).step_by(HIDDEN);
        let count = self.samples() as f64;
        let mean: Vec<f64> = (0..HIDDEN).map(|h| of(h).sum::<f64>() / count).collect();
        let variance: Vec<f64> = (0..HIDDEN)
            .map(|h| of(h).map(|z| (z - mean[h]).powi(2)).sum::<f64>() / count)
            .collect();
        let named = [("norm.mean", mean), ("norm.variance", variance)];
        Ok(Some(named.into_iter().map(|(name, v)| (name.to_owned(), to_f32(&v))).collect()))
    }
}

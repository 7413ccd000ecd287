//! Ensembles: thousands of small linear regressions, trained side by side.
//!
//! T0-QAT (J. Pascher, 2025) trains one linear layer on one synthetic task and reports one number per
//! method. To know what such a number is worth takes many seeds, so here all of them share a
//! batch axis: gradients do not cross it and Adam works element by element, so each task is
//! trained exactly as it would be alone.

use burn::module::{Module, Param};
use burn::optim::{AdamConfig, GradientsParams};
use burn::tensor::{Device, Tensor, TensorData};
use qtaml_fault::{PhiloxRng, Seed};
use qtaml_quant::{BitWidth, QuantizedTensor};
use rand::RngExt;
use rand_distr::{Distribution, StandardNormal};

use crate::TrainError;
use crate::parameters::to_host;

/// Regression tasks `y = X w* + b* + noise` with everything standard normal, one per seed index.
///
/// # Shapes
/// `inputs` is `[tasks, samples, features]`, `targets` is `[tasks, samples, 1]`. With a one appended
/// to every input, `moments` are the mean products of inputs with inputs and with targets,
/// `[tasks, features + 1, features + 1]` and `[tasks, features + 1, 1]`: all that a gradient of the
/// mean square error depends on.
#[derive(Debug, Clone)]
pub struct RegressionTasks {
    inputs: Tensor<3>,
    targets: Tensor<3>,
    moments: [Tensor<3>; 2],
    seed: Seed,
    first: u64,
}

impl RegressionTasks {
    /// Draws tasks `first .. first + tasks`; each depends on `seed` and its own number only. True
    /// weights and bias have the standard deviation `truth`, the noise on targets `target_noise`.
    pub fn draw(
        seed: Seed,
        first: u64,
        [tasks, samples, features]: [usize; 3],
        [truth, target_noise]: [f32; 2],
        device: &Device,
    ) -> Self {
        let scale = truth;
        let (mut inputs, mut targets) = (Vec::new(), Vec::new());
        for task in first..first + tasks as u64 {
            let mut rng = seed.rng("regression.task", task);
            let truth = normals(&mut rng, features + 1);
            let truth: Vec<f32> = truth.iter().map(|w| scale * w).collect();
            for _ in 0..samples {
                let x = normals(&mut rng, features);
                let noise: f32 = StandardNormal.sample(&mut rng);
                let mean: f32 = x.iter().zip(&truth).map(|(x, w)| x * w).sum();
                targets.push(mean + truth[features] + target_noise * noise);
                inputs.extend(x);
            }
        }
        let inputs = TensorData::new(inputs, [tasks, samples, features]);
        let inputs = Tensor::<3>::from_data(inputs, device);
        let targets = TensorData::new(targets, [tasks, samples, 1]);
        let targets = Tensor::from_data(targets, device);
        let ones = Tensor::ones([tasks, samples, 1], device);
        let extended = Tensor::cat(vec![inputs.clone(), ones], 2);
        let with = |other: Tensor<3>| extended.clone().transpose().matmul(other) / samples as f64;
        let moments = [with(extended.clone()), with(targets.clone())];
        Self { inputs, targets, moments, seed, first }
    }

    /// The mean squared length of each task's inputs.
    pub fn input_power(&self) -> Vec<f64> {
        let power = self.inputs.clone().square().sum_dim(2).mean_dim(1);
        to_host(power).into_iter().map(f64::from).collect()
    }

    fn tasks(&self) -> usize {
        self.inputs.dims()[0]
    }

    fn streams(&self, purpose: &str) -> Vec<PhiloxRng> {
        (0..self.tasks() as u64).map(|task| self.seed.rng(purpose, self.first + task)).collect()
    }
}

/// One linear layer per task.
///
/// # Shapes
/// `weight` is `[tasks, features, 1]`, `bias` is `[tasks, 1, 1]`.
#[derive(Module, Debug)]
pub struct LinearEnsemble {
    weight: Param<Tensor<3>>,
    bias: Param<Tensor<3>>,
}

impl LinearEnsemble {
    /// Trains one layer per task: full batches, mean square error, Adam.
    ///
    /// Each step runs forward and backward through a copy of the layer with normal noise of
    /// standard deviation `noise` on its weights and bias, and updates the clean one; `noise = 0`
    /// is plain training. Initial weights are uniform in ±1/sqrt(features), the default of the
    /// framework that the source used.
    pub fn train(
        tasks: &RegressionTasks,
        epochs: usize,
        learning_rate: f64,
        noise: f32,
        device: &Device,
    ) -> Self {
        let device = device.clone().autodiff();
        let moments = tasks.moments.clone().map(Tensor::autodiff);
        let mut streams = tasks.streams("regression.training-noise");
        let mut model = Self::init(tasks, &device);
        // The ε of the framework that the source used; burn's default is 1e-5.
        let mut adam = AdamConfig::new().with_epsilon(1e-8).init();
        for _ in 0..epochs {
            let (weight_noise, bias_noise) = model.noise(noise, &mut streams, &device);
            let loss = model.loss_by_moments(&moments, weight_noise, bias_noise).sum();
            let gradients = GradientsParams::from_grads(loss.backward(), &model);
            model = adam.step(learning_rate, model, gradients);
        }
        model.valid()
    }

    /// The mean square error of each task with normal noise of standard deviation `noise` on
    /// weights and bias: the source's stand-in for reduced precision. The noise of a task is the
    /// same for every model, so that methods can be compared in pairs.
    pub fn losses(&self, tasks: &RegressionTasks, noise: f32, device: &Device) -> Vec<f64> {
        self.losses_under(tasks, [noise; 2], device)
    }

    /// The same with one standard deviation for the weights and another for the bias.
    pub fn losses_under(
        &self,
        tasks: &RegressionTasks,
        [weight, bias]: [f32; 2],
        device: &Device,
    ) -> Vec<f64> {
        let mut streams = tasks.streams("regression.evaluation-noise");
        let (weight_noise, bias_noise) = self.noise(1.0, &mut streams, device);
        let (weight_noise, bias_noise) = (weight_noise * weight, bias_noise * bias);
        let losses = self.losses_tensor(&tasks.inputs, &tasks.targets, weight_noise, bias_noise);
        to_host(losses).into_iter().map(f64::from).collect()
    }

    /// Each layer's weights and bias rounded to codes of so many bits, with one scale for the weights
    /// of a layer; the bias of one number keeps its sign and size.
    ///
    /// # Errors
    /// [`TrainError::Quant`] if a training went to infinity.
    pub fn quantized(&self, bits: BitWidth, device: &Device) -> Result<Self, TrainError> {
        let [tasks, features, _] = self.weight.dims();
        let weights = to_host(self.weight.val());
        let mut rounded = Vec::with_capacity(weights.len());
        for layer in weights.chunks(features) {
            let codes = QuantizedTensor::quantize(layer, &[features], bits)
                .map_err(|source| TrainError::Quant { name: "weight".into(), source })?;
            rounded.extend(codes.dequantize());
        }
        let weight = TensorData::new(rounded, [tasks, features, 1]);
        Ok(Self { weight: Param::from_data(weight, device), bias: self.bias.clone() })
    }

    /// A layer as it is before training: uniform in ±1/sqrt(features).
    pub fn init(tasks: &RegressionTasks, device: &Device) -> Self {
        let [count, _, features] = tasks.inputs.dims();
        let bound = 1.0 / (features as f32).sqrt();
        let (mut weight, mut bias) = (Vec::new(), Vec::new());
        for mut rng in tasks.streams("regression.initial") {
            weight.extend((0..features).map(|_| rng.random_range(-bound..bound)));
            bias.push(rng.random_range(-bound..bound));
        }
        let param = |values, shape| Param::from_data(TensorData::new(values, shape), device);
        Self { weight: param(weight, [count, features, 1]), bias: param(bias, [count, 1, 1]) }
    }

    fn noise(
        &self,
        sigma: f32,
        streams: &mut [PhiloxRng],
        device: &Device,
    ) -> (Tensor<3>, Tensor<3>) {
        let [tasks, features, _] = self.weight.dims();
        let (mut weight, mut bias) = (Vec::new(), Vec::new());
        for rng in streams {
            let mut draws = normals(rng, features + 1);
            bias.extend(draws.pop().map(|b| sigma * b));
            weight.extend(draws.into_iter().map(|w| sigma * w));
        }
        (
            Tensor::from_data(TensorData::new(weight, [tasks, features, 1]), device),
            Tensor::from_data(TensorData::new(bias, [tasks, 1, 1]), device),
        )
    }

    /// Mean square error per task but for the mean squared target, which no gradient feels: from
    /// moments a step costs the same for any number of samples.
    fn loss_by_moments(
        &self,
        [inputs, targets]: &[Tensor<3>; 2],
        weight_noise: Tensor<3>,
        bias_noise: Tensor<3>,
    ) -> Tensor<3> {
        let weight = self.weight.val() + weight_noise;
        let bias = self.bias.val() + bias_noise;
        let layer = Tensor::cat(vec![weight, bias], 1);
        let half = inputs.clone().matmul(layer.clone()) - targets.clone() * 2.0;
        layer.transpose().matmul(half)
    }

    /// Mean square error per task, `[tasks, 1, 1]`.
    fn losses_tensor(
        &self,
        inputs: &Tensor<3>,
        targets: &Tensor<3>,
        weight_noise: Tensor<3>,
        bias_noise: Tensor<3>,
    ) -> Tensor<3> {
        let weight = self.weight.val() + weight_noise;
        let bias = self.bias.val() + bias_noise;
        let error = inputs.clone().matmul(weight) + bias - targets.clone();
        error.square().mean_dim(1)
    }
}

fn normals(rng: &mut PhiloxRng, count: usize) -> Vec<f32> {
    StandardNormal.sample_iter(rng).take(count).collect()
}

#[cfg(test)]
#[cfg(feature = "flex")]
mod tests {
    use super::*;

    const SHAPE: [usize; 3] = [6, 200, 10];

    #[test]
    fn a_task_is_trained_as_it_would_be_alone() {
        let device = Device::flex();
        let together = RegressionTasks::draw(Seed(1), 0, SHAPE, [1.0, 0.1], &device);
        let alone = RegressionTasks::draw(Seed(1), 4, [1, 200, 10], [1.0, 0.1], &device);
        let losses = |tasks: &RegressionTasks| {
            let model = LinearEnsemble::train(tasks, 20, 0.01, 0.3, &device);
            model.losses(tasks, 0.5, &device)
        };
        let (together, alone) = (losses(&together)[4], losses(&alone)[0]);
        assert!((together - alone).abs() < 1e-5 * alone, "{together} and {alone}");
    }

    /// Moments and samples differ by the mean squared target, which does not depend on the layer.
    #[test]
    fn a_loss_by_moments_is_the_loss() {
        let device = Device::flex();
        let tasks = RegressionTasks::draw(Seed(4), 0, SHAPE, [1.0, 0.1], &device);
        let model = LinearEnsemble::init(&tasks, &device);
        let zeros = || (Tensor::zeros([6, 10, 1], &device), Tensor::zeros([6, 1, 1], &device));
        let (weight, bias) = zeros();
        let short = to_host(model.loss_by_moments(&tasks.moments, weight, bias));
        let power = to_host(tasks.targets.clone().square().mean_dim(1));
        for ((short, power), loss) in
            short.iter().zip(power).zip(model.losses(&tasks, 0.0, &device))
        {
            assert!(
                (f64::from(short + power) - loss).abs() < 1e-4 * loss,
                "{short} {power} {loss}"
            );
        }
    }

    #[test]
    fn rounding_to_few_bits_costs_more() {
        let device = Device::flex();
        let tasks = RegressionTasks::draw(Seed(2), 0, SHAPE, [1.0, 0.1], &device);
        let model = LinearEnsemble::train(&tasks, 500, 0.05, 0.0, &device);
        let loss = |model: &LinearEnsemble| model.losses(&tasks, 0.0, &device).iter().sum::<f64>();
        let rounded = |bits| loss(&model.quantized(bits, &device).unwrap());
        let [int2, int4, int8] = [2, 4, 8].map(|bits| rounded(BitWidth::new(bits).unwrap()));
        assert!(int2 > int4 && int4 > int8, "{int2} {int4} {int8}");
        assert!((int8 / loss(&model) - 1.0).abs() < 0.05, "{int8}");
    }

    #[test]
    fn plain_training_finds_the_noise_floor() {
        let device = Device::flex();
        let tasks = RegressionTasks::draw(Seed(2), 0, SHAPE, [1.0, 0.1], &device);
        let model = LinearEnsemble::train(&tasks, 500, 0.05, 0.0, &device);
        // The floor is the variance of the target noise, 0.01, a little less when fitted.
        for loss in model.losses(&tasks, 0.0, &device) {
            assert!((0.005..0.015).contains(&loss), "{loss}");
        }
    }

    /// For any weights at all, noise sigma costs sigma^2 (1 + E||x||^2) = 11 sigma^2 on average
    /// (docs/theory.md, section 7). Checked on an untrained layer; five standard errors.
    #[test]
    fn the_cost_of_evaluation_noise_does_not_depend_on_training() {
        let device = Device::flex();
        let tasks = RegressionTasks::draw(Seed(3), 0, [2000, 50, 10], [1.0, 0.1], &device);
        let model = LinearEnsemble::init(&tasks, &device);
        let (clean, noisy) =
            (model.losses(&tasks, 0.0, &device), model.losses(&tasks, 0.5, &device));
        let drops: Vec<f64> = noisy.iter().zip(clean).map(|(n, c)| n - c).collect();
        let n = drops.len() as f64;
        let mean = drops.iter().sum::<f64>() / n;
        let sd = (drops.iter().map(|d| (d - mean).powi(2)).sum::<f64>() / (n - 1.0)).sqrt();
        let error = 5.0 * sd / n.sqrt();
        assert!((mean - 11.0 * 0.25).abs() < error, "{mean} ± {error}, expected 2.75");
    }
}

//! A training loop whose every step follows from a seed.

use burn::nn::loss::CrossEntropyLossConfig;
use burn::optim::{AdamConfig, GradientsParams};
use burn::tensor::Device;
use qtaml_fault::Seed;
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

use crate::{Classifier, Images, TrainError, initialise};

/// How to train.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainingConfig {
    /// Passes over the data.
    pub epochs: usize,
    /// Images per step.
    pub batch_size: usize,
    /// Step size of Adam at the start; it falls to zero along half a cosine.
    pub learning_rate: f64,
    /// Epochs in which the step size rises to that of the cosine: attention needs a gentle start.
    pub warmup: usize,
    /// Each image is moved by up to so many pixels, at random in every epoch.
    pub shift: f32,
    /// The share of the label that goes to all classes alike: it keeps networks from being too sure
    /// (C. Szegedy et al., CVPR 2016, pp. 2818-2826).
    pub smoothing: f32,
}

impl TrainingConfig {
    /// 30 epochs of batches of 64 with Adam at 0.002, and nothing else.
    pub const fn new() -> Self {
        Self {
            epochs: 30,
            batch_size: 64,
            learning_rate: 2e-3,
            warmup: 0,
            shift: 0.0,
            smoothing: 0.0,
        }
    }

    /// Adam's step size in an epoch: a straight rise, times half a cosine.
    fn rate(&self, epoch: usize) -> f64 {
        let progress = epoch as f64 / self.epochs as f64;
        let rise = ((epoch + 1) as f64 / (self.warmup + 1) as f64).min(1.0);
        rise * self.learning_rate * 0.5 * (1.0 + (std::f64::consts::PI * progress).cos())
    }

    fn check(&self) -> Result<(), TrainError> {
        let range = |what, value, allowed| Err(TrainError::Range { what, value, allowed });
        if self.batch_size == 0 {
            return range("batch size", 0.0, "it must be at least 1");
        }
        if !(self.learning_rate.is_finite() && self.learning_rate > 0.0) {
            return range("learning rate", self.learning_rate, "it must be finite and positive");
        }
        if !(self.shift.is_finite() && self.shift >= 0.0) {
            return range("shift", self.shift.into(), "it must be finite and at least 0");
        }
        if !(0.0..1.0).contains(&self.smoothing) {
            return range("label smoothing", self.smoothing.into(), "it must be in 0..1");
        }
        Ok(())
    }
}

impl Default for TrainingConfig {
    fn default() -> Self {
        Self::new()
    }
}

/// What is known when an epoch ends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Epoch {
    /// Its number, from 0.
    pub index: usize,
    /// The number of epochs in all.
    pub of: usize,
    /// The loss of its last batch, in nats.
    pub loss: f32,
}

/// Trains `model` from fresh weights with cross-entropy and Adam.
///
/// Initial weights, the order of the images and their shifts come from `seed` on the host: on the same device
/// the result repeats, on another it differs only by rounding. `on_epoch` hears of each epoch.
///
/// # Errors
/// [`TrainError::Range`] for a configuration that makes no sense, [`TrainError::Data`] without
/// images, [`TrainError::Diverged`] when the loss is no longer finite.
pub fn train<M: Classifier>(
    model: M,
    images: &Images,
    config: &TrainingConfig,
    seed: Seed,
    device: &Device,
    mut on_epoch: impl FnMut(Epoch),
) -> Result<M, TrainError> {
    config.check()?;
    if images.is_empty() {
        return Err(TrainError::Data { name: "training".into(), problem: "has no images".into() });
    }
    let device = device.clone().autodiff();
    let mut model = initialise(model, seed)?.train();
    let mut adam = AdamConfig::new().init();
    let smoothing = (config.smoothing > 0.0).then_some(config.smoothing);
    let cross_entropy = CrossEntropyLossConfig::new().with_smoothing(smoothing).init(&device);

    for epoch in 0..config.epochs {
        let mut order: Vec<usize> = (0..images.len()).collect();
        order.shuffle(&mut seed.rng("shuffle", epoch as u64));
        let mut shifts = seed.rng("shift", epoch as u64);
        let rate = config.rate(epoch);
        let mut last = f32::NAN;
        for batch in order.chunks(config.batch_size) {
            let batch = images.select(batch).shifted(config.shift, &mut shifts);
            let logits = model.logits(batch.tensor(&device));
            let loss = cross_entropy.forward(logits, batch.label_tensor(&device));
            let gradients = GradientsParams::from_grads(loss.backward(), &model);
            last = loss.into_scalar::<f32>();
            model = adam.step(rate, model, gradients);
        }
        if !last.is_finite() {
            return Err(TrainError::Diverged { epoch, loss: last });
        }
        tracing::debug!(epoch, loss = last, "epoch done");
        on_epoch(Epoch { index: epoch, of: config.epochs, loss: last });
    }
    Ok(model.valid())
}

#[cfg(test)]
#[cfg(feature = "flex")]
mod tests {
    use super::*;
    use crate::{Dataset, Evaluation, LeNetConfig, parameters};

    fn short() -> TrainingConfig {
        TrainingConfig { epochs: 2, ..TrainingConfig::new() }
    }

    #[test]
    fn the_same_seed_trains_the_same_network_and_it_learns() {
        let device = Device::flex();
        let digits = Dataset::digits().unwrap();
        let run = || {
            let model = LeNetConfig::digits().init(&device);
            train(model, &digits.train, &short(), Seed(3), &device, |_| ()).unwrap()
        };
        let (first, second) = (run(), run());
        assert_eq!(parameters(&first), parameters(&second));
        let accuracy = Evaluation::new(&digits.test, &device).unwrap().accuracy(&first);
        assert!(accuracy > 0.5, "two epochs reach {accuracy}, chance is 0.1");
    }

    #[test]
    fn the_step_size_rises_then_falls() {
        let config = TrainingConfig { epochs: 4, learning_rate: 8.0, ..TrainingConfig::new() };
        let rates = |config: TrainingConfig| [0, 1, 2, 3].map(|epoch| config.rate(epoch));
        let half = 0.5_f64.sqrt();
        let cosine = [8.0, 4.0 * (1.0 + half), 4.0, 4.0 * (1.0 - half)];
        let close = |a: [f64; 4], b: [f64; 4]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-12);
        assert!(close(rates(config), cosine));
        let rise = [1.0 / 3.0, 2.0 / 3.0, 1.0, 1.0];
        let expected = [0, 1, 2, 3].map(|epoch| rise[epoch] * cosine[epoch]);
        assert!(close(rates(TrainingConfig { warmup: 2, ..config }), expected));
    }

    #[test]
    fn nonsense_is_refused() {
        let device = Device::flex();
        let digits = Dataset::digits().unwrap();
        let attempt = |config: TrainingConfig, images: &crate::Images| {
            let model = LeNetConfig::digits().init(&device);
            let result = train(model, images, &config, Seed(3), &device, |_| ());
            result.unwrap_err().to_string()
        };
        let rate = TrainingConfig { learning_rate: f64::NAN, ..short() };
        let message = "learning rate is NaN: it must be finite and positive";
        assert_eq!(attempt(rate, &digits.train), message);
        let batch = TrainingConfig { batch_size: 0, ..short() };
        assert_eq!(attempt(batch, &digits.train), "batch size is 0: it must be at least 1");
        let shift = TrainingConfig { shift: -1.0, ..short() };
        let message = "shift is -1: it must be finite and at least 0";
        assert_eq!(attempt(shift, &digits.train), message);
        let smoothing = TrainingConfig { smoothing: 1.0, ..short() };
        let message = "label smoothing is 1: it must be in 0..1";
        assert_eq!(attempt(smoothing, &digits.train), message);
        let none = digits.train.select(&[]);
        assert_eq!(attempt(short(), &none), "data set training: has no images");
        let wild = TrainingConfig { learning_rate: 1e30, ..short() };
        assert!(attempt(wild, &digits.train).starts_with("training diverged in epoch"));
    }
}

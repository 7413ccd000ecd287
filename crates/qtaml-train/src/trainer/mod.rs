//! The training loop: schedules, validation, early stopping, and runs that survive a kill.
//!
//! [`train`] is the short way to a plain network; the rest is for those who want more of it.
//!
//! ```no_run
//! use std::path::Path;
//!
//! use qtaml_fault::Seed;
//! use qtaml_physics::FlipProbability;
//! use qtaml_quant::BitWidth;
//! use qtaml_train::qat::{BitErrors, QatMethod};
//! use qtaml_train::trainer::{Trainer, TrainerConfig};
//! use qtaml_train::{Dataset, LeNetConfig, device};
//!
//! let (device, digits) = (device::open("flex")?, Dataset::digits()?);
//! let errors = BitErrors::new(BitWidth::INT8, FlipProbability::symmetric(0.01)?);
//! let trainer = Trainer::new(TrainerConfig::new(), QatMethod::BitErrors(errors))
//!     .with_checkpoints(Path::new("runs/lenet"), 100);
//! let model = LeNetConfig::digits().init(&device);
//! // Killed and started again, it goes on from the last checkpoint to the same weights.
//! let fitted = trainer.fit(model, &digits.train, None, Seed(42), &device, |progress| {
//!     println!("{} of {}: {:.3} nats", progress.step, progress.of, progress.loss);
//! })?;
//! println!("{} tensors of codes", fitted.layers.len());
//! # Ok::<(), qtaml_train::TrainError>(())
//! ```

mod config;
mod diverged;
mod pass;
mod schedule;
mod snapshot;

use std::path::{Path, PathBuf};

use burn::optim::GradientsParams;
use burn::tensor::Device;
use qtaml_fault::Seed;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub use config::TrainerConfig;
pub use schedule::Schedule;

use crate::parameters::to_host;
use crate::qat::QuantizedLayer;
use crate::qat::{self, Converted, QatMethod};
use crate::{Classifier, Evaluation, Images, TrainError, initialise, parameters};
use config::best_epoch;
use diverged::first_not_finite;
use pass::Pass;
use snapshot::{Snapshot, SnapshotFile, sha256};

/// What is known after a step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Steps done.
    pub step: u64,
    /// Steps of the whole run, if it does not stop early.
    pub of: u64,
    /// The loss of the step's batch, before the step, in nats.
    pub loss: f32,
    /// The learning rate of the step.
    pub learning_rate: f64,
    /// Accuracy on the validation images, after the last step of an epoch.
    pub accuracy: Option<f64>,
}

/// A trained network, as it is deployed.
#[derive(Debug, Clone)]
pub struct Fitted<M> {
    /// The network with plain weights: those that its codes stand for, if the method quantizes.
    pub model: M,
    /// Its codes, if the method quantizes, as [`Converted::layers`].
    pub layers: Vec<QuantizedLayer>,
    /// The last step of each epoch.
    pub history: Vec<Progress>,
}

/// Trains `model` from fresh weights, and keeps nothing on disk: [`Trainer::fit`] without a method and
/// without validation.
///
/// # Errors
/// As [`Trainer::fit`].
pub fn train<M: Classifier>(
    model: M,
    images: &Images,
    config: &TrainerConfig,
    seed: Seed,
    device: &Device,
    on_step: impl FnMut(&Progress),
) -> Result<M, TrainError> {
    let trainer = Trainer::new(*config, QatMethod::None);
    Ok(trainer.fit(model, images, None, seed, device, on_step)?.model)
}

/// Trains classifiers with cross-entropy and Adam.
#[derive(Debug, Clone)]
pub struct Trainer {
    config: TrainerConfig,
    method: QatMethod,
    checkpoints: Option<(PathBuf, u64)>,
}

impl Trainer {
    /// A trainer that keeps nothing on disk.
    pub const fn new(config: TrainerConfig, method: QatMethod) -> Self {
        Self { config, method, checkpoints: None }
    }

    /// The same trainer with a checkpoint in `folder` after every `steps` steps and at the end. A run
    /// that finds one there goes on from it; a folder is for one run.
    #[must_use]
    pub fn with_checkpoints(self, folder: &Path, steps: u64) -> Self {
        Self { checkpoints: Some((folder.to_owned(), steps)), ..self }
    }

    /// Trains `model` from fresh weights.
    ///
    /// Initial weights, order and shifts of the images, noise and faults come from `seed` on the host: on the
    /// same device the result repeats, interrupted or not; on another it differs only by rounding.
    /// `on_step` hears of each step, after its checkpoint, if there is one, is written.
    ///
    /// # Errors
    /// [`TrainError::Range`] for a configuration or method that makes no sense, [`TrainError::Data`]
    /// without images, [`TrainError::NotFinite`] when the loss or a weight is no longer finite,
    /// [`TrainError::OtherRun`] for a checkpoint of another run, [`TrainError::File`] and
    /// [`TrainError::Checkpoint`] for one that cannot be written, read or used.
    pub fn fit<M: Classifier>(
        &self,
        model: M,
        images: &Images,
        validation: Option<&Images>,
        seed: Seed,
        device: &Device,
        mut on_step: impl FnMut(&Progress),
    ) -> Result<Fitted<M>, TrainError> {
        self.check(images, validation)?;
        let evaluation = validation.map(|v| Evaluation::new(v, device)).transpose()?;
        let model = initialise(model, seed)?;
        let file = self.checkpoints.as_ref().map(|(folder, _)| {
            SnapshotFile::new(folder, self.description(&model, images, validation, seed, device))
        });
        let net = qat::prepare(model, self.method, seed)?;
        let optimizer = self.config.optimizer();
        let mut run = Snapshot { step: 0, history: Vec::new(), net, optimizer, best: None };
        if let Some(file) = &file {
            run = file.load(run)?;
        }

        let TrainerConfig { epochs, batch_size, shift, .. } = self.config;
        let per_epoch = images.len().div_ceil(batch_size) as u64;
        let device = device.clone().autodiff();
        for epoch in run.step / per_epoch..epochs {
            if self.config.is_over(&run.history) {
                break;
            }
            let pass = Pass::draw(images.len(), shift, seed, epoch);
            let done = (run.step % per_epoch) as usize;
            for batch in pass.batches(images, batch_size).skip(done) {
                let mut progress;
                (run, progress) = self.advance(run, &batch, per_epoch, &device)?;
                if run.step.is_multiple_of(per_epoch) {
                    progress.accuracy =
                        evaluation.as_ref().map(|e| e.accuracy(&run.net.model.valid()));
                    self.end_epoch(&mut run, progress);
                }
                if let Some(file) = &file
                    && self.is_due(&run, progress.of)
                {
                    file.save(&run)?;
                }
                on_step(&progress);
            }
        }
        if let Some(best) = run.best {
            run.net.model = best;
        }
        let Converted { model, layers } = qat::convert(&run.net)?;
        Ok(Fitted { model, layers, history: run.history })
    }

    /// One step on one batch.
    fn advance<M: Classifier>(
        &self,
        mut run: Snapshot<M>,
        batch: &Images,
        per_epoch: u64,
        device: &Device,
    ) -> Result<(Snapshot<M>, Progress), TrainError> {
        let (step, of) = (run.step, self.config.steps(per_epoch));
        let learning_rate = self.config.rate(step, per_epoch);
        run.net.at_step(step);
        let model = run.net.model;
        let logits = model.logits(batch.tensor(device));
        let loss = self.config.loss(device).forward(logits, batch.label_tensor(device));
        let gradients = GradientsParams::from_grads(loss.backward(), &model);
        let loss = loss.into_scalar::<f32>();
        let diverged = |first| TrainError::NotFinite { step, learning_rate, loss, first };
        if !loss.is_finite() {
            let first = first_not_finite(&model, &gradients);
            return Err(diverged(first.unwrap_or_else(|| "scores of the network".into())));
        }
        run.net.model = run.optimizer.step(learning_rate, model, gradients);
        run.step += 1;
        // The weights of all other steps show in the loss of the next.
        if run.step == of
            && let Some(first) = first_not_finite(&run.net.model, &GradientsParams::new())
        {
            return Err(diverged(first));
        }
        let progress = Progress { step: run.step, of, loss, learning_rate, accuracy: None };
        Ok((run, progress))
    }

    fn end_epoch<M: Classifier>(&self, run: &mut Snapshot<M>, progress: Progress) {
        tracing::debug!(step = progress.step, loss = progress.loss, "epoch done");
        run.history.push(progress);
        let is_best = best_epoch(&run.history) == Some(run.history.len() - 1);
        if self.config.patience.is_some() && is_best {
            run.best = Some(run.net.model.valid());
        }
    }

    fn is_due<M>(&self, run: &Snapshot<M>, of: u64) -> bool {
        let every = self.checkpoints.as_ref().map_or(1, |(_, every)| *every);
        run.step.is_multiple_of(every) || run.step == of || self.config.is_over(&run.history)
    }

    fn check(&self, images: &Images, validation: Option<&Images>) -> Result<(), TrainError> {
        self.config.check()?;
        if matches!(self.checkpoints, Some((_, 0))) {
            let (what, allowed) = ("checkpoint interval", "it must be at least 1");
            return Err(TrainError::Range { what, value: 0.0, allowed });
        }
        let data = |name: &str, problem: &str| {
            Err(TrainError::Data { name: name.into(), problem: problem.into() })
        };
        if images.is_empty() {
            return data("training", "has no images");
        }
        if self.config.patience.is_some() && validation.is_none() {
            return data("validation", "is missing: early stopping measures accuracy on it");
        }
        Ok(())
    }

    /// All that the weights follow from, on a given device.
    fn description<M: Classifier>(
        &self,
        model: &M,
        images: &Images,
        validation: Option<&Images>,
        seed: Seed,
        device: &Device,
    ) -> Value {
        let digest = |images: &Images| {
            let pixels = to_host(images.tensor(device));
            let bytes: Vec<u8> = pixels.iter().flat_map(|p| p.to_le_bytes()).collect();
            sha256([&bytes[..], images.labels()])
        };
        let shapes = parameters(model).into_iter().map(|p| (p.name, json!(p.shape)));
        json!({
            "config": self.config,
            "method": self.method,
            "seed": seed,
            "network": Value::Object(shapes.collect()),
            "training images": digest(images),
            "validation images": validation.map(digest),
        })
    }
}

#[cfg(test)]
#[cfg(feature = "flex")]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use burn::module::Module;
    use burn::nn::conv::{Conv2d, Conv2dConfig};
    use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig};
    use burn::tensor::Tensor;
    use burn::tensor::activation::relu;
    use qtaml_physics::FlipProbability;
    use qtaml_quant::BitWidth;

    use super::*;
    use crate::qat::{BitErrors, FakeQuant, Lsq};
    use crate::{Dataset, LeNetConfig};

    /// A network with everything that has state: weights, biases, running statistics.
    #[derive(Module, Debug)]
    struct Small {
        conv: Conv2d,
        norm: BatchNorm,
        fc: Linear,
    }

    impl Classifier for Small {
        fn logits(&self, images: Tensor<4>) -> Tensor<2> {
            let x = relu(self.norm.forward(self.conv.forward(images)));
            self.fc.forward(x.flatten::<2>(1, 3))
        }
    }

    fn small() -> Small {
        let device = Device::flex();
        Small {
            conv: Conv2dConfig::new([1, 4], [3, 3]).with_stride([2, 2]).init(&device),
            norm: BatchNormConfig::new(4).init(&device),
            fc: LinearConfig::new(36, 10).init(&device),
        }
    }

    /// 200 images to train on and 100 to validate on: four steps an epoch.
    fn data() -> [Images; 2] {
        let all = Dataset::digits().unwrap().train;
        [0..200, 200..300].map(|range| all.select(&range.collect::<Vec<_>>()))
    }

    fn short() -> TrainerConfig {
        TrainerConfig { epochs: 2, batch_size: 60, ..TrainerConfig::new() }
    }

    fn fit(trainer: &Trainer, on_step: impl FnMut(&Progress)) -> Result<Fitted<Small>, TrainError> {
        let [images, validation] = data();
        trainer.fit(small(), &images, Some(&validation), Seed(6), &Device::flex(), on_step)
    }

    /// Everything of a network, to the last bit, running statistics included.
    fn bits(fitted: &Fitted<Small>) -> Vec<u32> {
        let state = [fitted.model.norm.running_mean.value(), fitted.model.norm.running_var.value()];
        let values = parameters(&fitted.model).into_iter().flat_map(|p| p.values);
        values.chain(state.into_iter().flat_map(to_host)).map(f32::to_bits).collect()
    }

    fn methods() -> [QatMethod; 4] {
        let flips = FlipProbability::symmetric(5e-3).unwrap();
        [
            QatMethod::None,
            QatMethod::FakeQuant(FakeQuant { per_channel: true, ..FakeQuant::new(BitWidth::INT4) }),
            QatMethod::Lsq(Lsq::new(BitWidth::INT4)),
            QatMethod::BitErrors(BitErrors {
                ramp_steps: 5,
                ..BitErrors::new(BitWidth::INT8, flips)
            }),
        ]
    }

    #[test]
    fn a_killed_run_resumes_to_the_same_bits() {
        let config = TrainerConfig {
            warmup_epochs: 1,
            weight_decay: 1e-3,
            shift: 0.5,
            smoothing: 0.1,
            patience: Some(2),
            ..short()
        };
        for method in methods() {
            let straight = fit(&Trainer::new(config, method), |_| ()).unwrap();
            for killed_at in [1, 3, 4, 7, 8] {
                let folder = tempfile::tempdir().unwrap();
                let trainer = Trainer::new(config, method).with_checkpoints(folder.path(), 2);
                let kill = |progress: &Progress| assert_ne!(progress.step, killed_at, "killed");
                assert!(catch_unwind(AssertUnwindSafe(|| fit(&trainer, kill))).is_err());
                let mut steps = Vec::new();
                let resumed = fit(&trainer, |progress| steps.push(progress.step)).unwrap();
                assert_eq!(steps, (killed_at - killed_at % 2 + 1..=8).collect::<Vec<_>>());
                assert_eq!(bits(&resumed), bits(&straight), "{method} killed at {killed_at}");
                assert_eq!(resumed.history, straight.history);
                assert_eq!(resumed.layers, straight.layers);
            }
        }
    }

    #[test]
    fn progress_is_told_and_the_network_learns() {
        let digits = Dataset::digits().unwrap();
        let device = Device::flex();
        let method = QatMethod::FakeQuant(FakeQuant::new(BitWidth::INT4));
        let trainer = Trainer::new(TrainerConfig { epochs: 2, ..TrainerConfig::new() }, method);
        let model = LeNetConfig::digits().init(&device);
        let mut all = Vec::new();
        let on_step = |progress: &Progress| all.push(*progress);
        let fitted = trainer
            .fit(model, &digits.train, Some(&digits.test), Seed(3), &device, on_step)
            .unwrap();
        let per_epoch = digits.train.len().div_ceil(64);
        assert_eq!(all.len(), 2 * per_epoch);
        let measured = all.iter().filter(|p| p.accuracy.is_some()).copied().collect::<Vec<_>>();
        assert_eq!(measured, fitted.history);
        assert_eq!((all[0].step, all[0].of, all[0].learning_rate), (1, 2 * per_epoch as u64, 2e-3));
        let accuracy = Evaluation::new(&digits.test, &device).unwrap().accuracy(&fitted.model);
        assert_eq!(Some(accuracy), fitted.history[1].accuracy);
        assert!(accuracy > 0.5, "two epochs reach {accuracy}, chance is 0.1");
    }

    #[test]
    fn early_stopping_hands_back_the_best_epoch() {
        // So wild a rate that accuracy soon gets worse.
        let config = TrainerConfig {
            epochs: 60,
            learning_rate: 0.1,
            schedule: Schedule::Constant,
            patience: Some(3),
            ..short()
        };
        let fitted = fit(&Trainer::new(config, QatMethod::None), |_| ()).unwrap();
        let best = best_epoch(&fitted.history).unwrap();
        assert_eq!(fitted.history.len(), best + 1 + 3, "{:?}", fitted.history);
        let accuracy =
            Evaluation::new(&data()[1], &Device::flex()).unwrap().accuracy(&fitted.model);
        assert_eq!(Some(accuracy), fitted.history[best].accuracy);
    }

    #[test]
    fn another_run_is_refused_field_by_field() {
        let folder = tempfile::tempdir().unwrap();
        let trainer =
            |config, method| Trainer::new(config, method).with_checkpoints(folder.path(), 100);
        fit(&trainer(short(), QatMethod::None), |_| ()).unwrap();
        let before = std::fs::read(folder.path().join("run.safetensors")).unwrap();
        let other = TrainerConfig { epochs: 3, ..short() };
        let lsq = QatMethod::Lsq(Lsq::new(BitWidth::INT4));
        let TrainError::OtherRun { differences, .. } =
            fit(&trainer(other, lsq), |_| ()).unwrap_err()
        else {
            panic!("another error")
        };
        assert_eq!(differences[0], "config.epochs is 2 there and 3 here");
        assert!(
            differences[1].starts_with("method is \"none\" there and {\"lsq\""),
            "{differences:?}"
        );
        assert_eq!(differences.len(), 2);

        let [images, validation] = data();
        let device = Device::flex();
        let result = trainer(short(), QatMethod::None).fit(
            small(),
            &validation,
            Some(&images),
            Seed(7),
            &device,
            |_| (),
        );
        let message = result.unwrap_err().to_string();
        for field in ["seed is 6 there and 7 here", "training images", "validation images"] {
            assert!(message.contains(field), "{message}");
        }
        assert_eq!(std::fs::read(folder.path().join("run.safetensors")).unwrap(), before);
    }

    #[test]
    fn damaged_checkpoints_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let trainer = Trainer::new(short(), QatMethod::None).with_checkpoints(folder.path(), 100);
        fit(&trainer, |_| ()).unwrap();
        let path = folder.path().join("run.safetensors");
        let whole = std::fs::read(&path).unwrap();
        let refused = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            let error = fit(&trainer, |_| ()).unwrap_err();
            assert!(matches!(error, TrainError::Checkpoint { .. }), "{error}");
        };
        for eighth in 0..8 {
            refused(&whole[..whole.len() * eighth / 8]);
        }
        let mut flipped = whole.clone();
        flipped[whole.len() - 100] ^= 1;
        refused(&flipped);
    }

    #[test]
    fn a_run_that_diverges_says_where() {
        // More than an f32 holds: the first update leaves nothing finite.
        let config = TrainerConfig { learning_rate: 1e39, schedule: Schedule::Constant, ..short() };
        let error = fit(&Trainer::new(config, QatMethod::None), |_| ()).unwrap_err().to_string();
        assert!(error.starts_with("training diverged at step 1 (learning rate 1"), "{error}");
        let end = "the loss is NaN, and not finite first are the weights of \"conv.weight\"";
        assert!(error.ends_with(end), "{error}");
    }

    #[test]
    fn nonsense_is_refused() {
        let [images, _] = data();
        let attempt = |trainer: Trainer, images: &Images| {
            let result = trainer.fit(small(), images, None, Seed(1), &Device::flex(), |_| ());
            result.unwrap_err().to_string()
        };
        let patient = TrainerConfig { patience: Some(1), ..short() };
        assert_eq!(
            attempt(Trainer::new(patient, QatMethod::None), &images),
            "data set validation: is missing: early stopping measures accuracy on it"
        );
        let plain = Trainer::new(short(), QatMethod::None);
        assert_eq!(attempt(plain.clone(), &images.select(&[])), "data set training: has no images");
        assert_eq!(
            attempt(plain.with_checkpoints(Path::new("never"), 0), &images),
            "checkpoint interval is 0: it must be at least 1"
        );
    }
}

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
mod objective;
mod pass;
mod schedule;
mod snapshot;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::Device;
use qtaml_fault::Seed;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub use config::TrainerConfig;
pub use objective::{LabelledImages, Objective, TrainingData};
pub use schedule::Schedule;

use crate::parameters::state;
use crate::qat::QuantizedLayer;
use crate::qat::{self, Converted, QatMethod};
use crate::{AccuracyTest, Classifier, Images, TensorRule, TrainError, initialise, parameters};
use config::best_epoch;
use diverged::first_not_finite;
use pass::Pass;
use snapshot::{Snapshot, SnapshotFile, sha256};

/// What is known after a step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Progress {
    /// Steps done.
    pub step: u64,
    /// Steps of the whole run, if it does not stop early.
    pub of: u64,
    /// The loss of the step's batch, before the step; of classifiers in nats.
    pub loss: f32,
    /// The learning rate of the step.
    pub learning_rate: f64,
    /// After the last step of an epoch, how good the network is: accuracy on the validation images, or the
    /// [metric of one's own](Objective::with_metric).
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

/// Trains networks with Adam: classifiers with cross-entropy, any others with a loss of one's own.
#[derive(Debug, Clone)]
pub struct Trainer {
    config: TrainerConfig,
    method: QatMethod,
    rules: Vec<TensorRule>,
    fresh: bool,
    checkpoints: Option<(PathBuf, u64)>,
    stop: Option<&'static AtomicBool>,
}

impl Trainer {
    /// A trainer that keeps nothing on disk.
    pub const fn new(config: TrainerConfig, method: QatMethod) -> Self {
        Self { config, method, rules: Vec::new(), fresh: true, checkpoints: None, stop: None }
    }

    /// The same trainer where rules say what tensors of own layers are to the method.
    #[must_use]
    pub fn with_rules(self, rules: &[TensorRule]) -> Self {
        Self { rules: rules.to_vec(), ..self }
    }

    /// The same trainer starting from the weights that a network has, instead of fresh ones.
    #[must_use]
    pub fn from_given_weights(self) -> Self {
        Self { fresh: false, ..self }
    }

    /// The same trainer with a checkpoint in `folder` after every `steps` steps and at the end. A run
    /// that finds one there goes on from it; a folder is for one run.
    #[must_use]
    pub fn with_checkpoints(self, folder: &Path, steps: u64) -> Self {
        Self { checkpoints: Some((folder.to_owned(), steps)), ..self }
    }

    /// The same trainer that ends a run with [`TrainError::Stopped`] after the step in which `stop` is
    /// set: by a signal handler, say. With checkpoints it writes one first, so that no step is lost.
    #[must_use]
    pub fn stopped_by(self, stop: &'static AtomicBool) -> Self {
        Self { stop: Some(stop), ..self }
    }

    /// Trains a classifier with cross-entropy, from fresh weights unless
    /// [said otherwise](Self::from_given_weights).
    ///
    /// Initial weights, order and shifts of the images, noise and faults come from `seed` on the host: on the
    /// same device the result repeats, interrupted or not; on another it differs only by rounding.
    /// `on_step` hears of each step, after its checkpoint, if there is one, is written.
    ///
    /// # Errors
    /// [`TrainError::Range`] for a configuration or method that makes no sense, [`TrainError::Data`]
    /// without images, [`TrainError::NotFinite`] when the loss or a weight is no longer finite,
    /// [`TrainError::OtherRun`] for a checkpoint of another run, [`TrainError::File`] and
    /// [`TrainError::Checkpoint`] for one that cannot be written, read or used,
    /// [`TrainError::Weights`] for a network that cannot be prepared, [`TrainError::Stopped`] after
    /// [`stopped_by`](Self::stopped_by).
    pub fn fit<M: Classifier>(
        &self,
        model: M,
        images: &Images,
        validation: Option<&Images>,
        seed: Seed,
        device: &Device,
        on_step: impl FnMut(&Progress),
    ) -> Result<Fitted<M>, TrainError> {
        self.config.check()?;
        let cross_entropy = self.config.loss(&device.clone().autodiff());
        let mut objective = Objective::new(|model: &M, batch: &LabelledImages| {
            cross_entropy.forward(model.logits(batch.images.clone()), batch.labels.clone())
        });
        if let Some(validation) = validation {
            let evaluation = AccuracyTest::new(validation, device)?;
            objective = objective.with_metric(move |model| evaluation.accuracy(model));
        }
        let validation = validation.and_then(TrainingData::digest);
        self.run(model, images, (&objective, validation), seed, device, on_step)
    }

    /// As [`fit`](Self::fit), for any network, data and loss. The metric of the objective, if it has
    /// one, is what early stopping looks at.
    ///
    /// # Errors
    /// As [`fit`](Self::fit), and [`TrainError::Range`] for label smoothing, which a loss of one's own
    /// does by itself, and for a loss that is not one number; [`TrainError::Data`] for shifts of what is
    /// no image; [`TrainError::NoGradient`] for a loss that no parameter has a part in.
    pub fn fit_with<M: Module, D: TrainingData>(
        &self,
        model: M,
        data: &D,
        objective: &Objective<'_, M, D::Batch>,
        seed: Seed,
        device: &Device,
        on_step: impl FnMut(&Progress),
    ) -> Result<Fitted<M>, TrainError> {
        self.config.check()?;
        if self.config.smoothing != 0.0 {
            let (what, value) = ("label smoothing", self.config.smoothing.into());
            let allowed = "with a loss of one's own it must be 0";
            return Err(TrainError::Range { what, value, allowed });
        }
        self.run(model, data, (objective, None), seed, device, on_step)
    }

    fn run<M: Module, D: TrainingData>(
        &self,
        model: M,
        data: &D,
        (objective, validation): (&Objective<'_, M, D::Batch>, Option<String>),
        seed: Seed,
        device: &Device,
        mut on_step: impl FnMut(&Progress),
    ) -> Result<Fitted<M>, TrainError> {
        self.check(data, objective)?;
        let model = if self.fresh { initialise(model, seed)? } else { model };
        let file = self.checkpoints.as_ref().map(|(folder, _)| {
            SnapshotFile::new(folder, self.description(&model, data, validation.as_deref(), seed))
        });
        let net = qat::prepare_with_rules(model, self.method, &self.rules, seed)?;
        let optimizer = self.config.optimizer();
        let mut run = Snapshot { step: 0, history: Vec::new(), net, optimizer, best: None };
        if let Some(file) = &file {
            run = file.load(run)?;
            run.net.tie();
        }

        let TrainerConfig { epochs, batch_size, shift, .. } = self.config;
        let per_epoch = data.len().div_ceil(batch_size) as u64;
        let device = device.clone().autodiff();
        for epoch in run.step / per_epoch..epochs {
            if self.config.is_over(&run.history) {
                break;
            }
            let pass = Pass::draw(data.len(), shift, seed, epoch);
            let done = (run.step % per_epoch) as usize;
            for (positions, moves) in pass.batches(batch_size).skip(done) {
                let batch = if shift == 0.0 {
                    data.batch(positions, &device)
                } else {
                    data.shifted(positions, moves, &device).ok_or_else(|| {
                        let problem = "cannot be shifted: they are no images".into();
                        TrainError::Data { name: "training".into(), problem }
                    })?
                };
                let mut progress;
                (run, progress) = self.advance(run, &batch, objective, per_epoch)?;
                if run.step.is_multiple_of(per_epoch) {
                    let metric = objective.metric.as_ref();
                    progress.accuracy = metric.map(|metric| metric(&run.net.model.valid()));
                    self.end_epoch(&mut run, progress);
                }
                let is_stopped = run.step < progress.of
                    && self.stop.is_some_and(|stop| stop.load(Ordering::Relaxed));
                if let Some(file) = &file
                    && (is_stopped || self.is_due(&run, progress.of))
                {
                    file.save(&run)?;
                }
                on_step(&progress);
                if is_stopped {
                    return Err(TrainError::Stopped { step: run.step, of: progress.of });
                }
            }
        }
        if let Some(best) = run.best {
            run.net.model = best;
        }
        let Converted { model, layers } = qat::convert(&run.net)?;
        Ok(Fitted { model, layers, history: run.history })
    }

    /// One step on one batch.
    fn advance<M: Module, B>(
        &self,
        mut run: Snapshot<M>,
        batch: &B,
        objective: &Objective<'_, M, B>,
        per_epoch: u64,
    ) -> Result<(Snapshot<M>, Progress), TrainError> {
        let (step, of) = (run.step, self.config.steps(per_epoch));
        let learning_rate = self.config.rate(step, per_epoch);
        run.net.at_step(step);
        let model = run.net.model;
        let loss = (objective.loss)(&model, batch);
        let [numbers] = loss.dims();
        if numbers != 1 {
            let allowed = "a batch has one loss: the mean or the sum of those of its examples";
            let (what, value) = ("the number of losses", numbers as f64);
            return Err(TrainError::Range { what, value, allowed });
        }
        if !loss.is_tracked() {
            return Err(TrainError::NoGradient);
        }
        let gradients = GradientsParams::from_grads(loss.backward(), &model);
        let loss = loss.into_scalar::<f32>();
        let diverged = |first| TrainError::NotFinite { step, learning_rate, loss, first };
        if !loss.is_finite() {
            let first = first_not_finite(&model, &gradients);
            return Err(diverged(first.unwrap_or_else(|| "scores of the network".into())));
        }
        if gradients.is_empty() {
            return Err(TrainError::NoGradient);
        }
        run.net.model = run.optimizer.step(learning_rate, model, gradients);
        run.net.tie();
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

    fn end_epoch<M: Module>(&self, run: &mut Snapshot<M>, progress: Progress) {
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

    fn check<M, D: TrainingData>(
        &self,
        data: &D,
        objective: &Objective<'_, M, D::Batch>,
    ) -> Result<(), TrainError> {
        if matches!(self.checkpoints, Some((_, 0))) {
            let (what, allowed) = ("checkpoint interval", "it must be at least 1");
            return Err(TrainError::Range { what, value: 0.0, allowed });
        }
        let refuse = |name: &str, problem: &str| {
            Err(TrainError::Data { name: name.into(), problem: problem.into() })
        };
        if data.is_empty() {
            return refuse("training", "has no examples");
        }
        if self.config.patience.is_some() && objective.metric.is_none() {
            return refuse("validation", "is missing: early stopping needs a metric to look at");
        }
        Ok(())
    }

    /// All that the weights follow from, on a given device.
    fn description<M: Module>(
        &self,
        model: &M,
        data: &impl TrainingData,
        validation: Option<&str>,
        seed: Seed,
    ) -> Value {
        let shapes = parameters(model).into_iter().map(|p| (p.name, json!(p.shape)));
        let mut description = json!({
            "config": self.config,
            "method": self.method,
            "seed": seed,
            "network": Value::Object(shapes.collect()),
            "training data": { "examples": data.len(), "digest": data.digest() },
            "validation data": validation,
        });
        if !self.rules.is_empty() {
            description["rules"] = json!(format!("{:?}", self.rules));
        }
        if !self.fresh {
            let values = state(model).into_iter().flat_map(|p| p.values);
            let bytes: Vec<u8> = values.flat_map(f32::to_le_bytes).collect();
            description["first weights"] = json!(sha256([&bytes[..]]));
        }
        description
    }
}

#[cfg(test)]
#[cfg(feature = "flex")]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use burn::module::Param;
    use burn::nn::conv::{Conv2d, Conv2dConfig};
    use burn::nn::loss::CrossEntropyLossConfig;
    use burn::nn::{BatchNorm, BatchNormConfig, Embedding, EmbeddingConfig, Linear, LinearConfig};
    use burn::tensor::activation::relu;
    use burn::tensor::{Int, Tensor, TensorData};
    use qtaml_physics::FlipProbability;
    use qtaml_quant::BitWidth;

    use super::*;
    use crate::parameters::to_host;
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
        [0..200, 200..300].map(|range| all.select(&range.collect::<Vec<_>>()).unwrap())
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
    fn a_stopped_run_loses_no_step() {
        static STOP: AtomicBool = AtomicBool::new(false);
        let folder = tempfile::tempdir().unwrap();
        let plain = Trainer::new(short(), QatMethod::None);
        let straight = fit(&plain, |_| ()).unwrap();
        // The next checkpoint would be due long after the end.
        let trainer = plain.with_checkpoints(folder.path(), 100).stopped_by(&STOP);
        let mut first = Vec::new();
        let stopped = fit(&trainer, |progress| {
            first.push(progress.step);
            STOP.store(progress.step == 3, Ordering::Relaxed);
        });
        // The flag is looked at after the next step.
        assert!(matches!(stopped, Err(TrainError::Stopped { step: 4, of: 8 })), "{stopped:?}");
        STOP.store(false, Ordering::Relaxed);
        let mut second = Vec::new();
        let resumed = fit(&trainer, |progress| second.push(progress.step)).unwrap();
        assert_eq!((first, second), (vec![1, 2, 3, 4], vec![5, 6, 7, 8]));
        assert_eq!(bits(&resumed), bits(&straight));
        // A run that has just ended has nothing to stop.
        STOP.store(true, Ordering::Relaxed);
        assert!(fit(&trainer, |_| ()).is_ok());
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
        let accuracy = AccuracyTest::new(&digits.test, &device).unwrap().accuracy(&fitted.model);
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
            AccuracyTest::new(&data()[1], &Device::flex()).unwrap().accuracy(&fitted.model);
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
        for field in ["seed is 6 there and 7 here", "training data", "validation data"] {
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
            "data set validation: is missing: early stopping needs a metric to look at"
        );
        let plain = Trainer::new(short(), QatMethod::None);
        assert_eq!(
            attempt(plain.clone(), &images.select(&[]).unwrap()),
            "data set training: has no examples"
        );
        assert_eq!(
            attempt(plain.with_checkpoints(Path::new("never"), 0), &images),
            "checkpoint interval is 0: it must be at least 1"
        );
    }

    /// Points of a plane, and two numbers for each.
    struct Plane(Vec<[f32; 4]>);

    impl TrainingData for Plane {
        type Batch = [Tensor<2>; 2];

        fn len(&self) -> usize {
            self.0.len()
        }

        fn batch(&self, positions: &[usize], device: &Device) -> Self::Batch {
            [0, 2].map(|start| {
                let row = |&at: &usize| [self.0[at][start], self.0[at][start + 1]];
                let values: Vec<f32> = positions.iter().flat_map(row).collect();
                Tensor::from_data(TensorData::new(values, [positions.len(), 2]), device)
            })
        }
    }

    fn plane() -> Plane {
        let point = |i: usize| {
            let [x, y] = [0.37, 0.61].map(|f| (i as f32 * f).sin());
            [x, y, x - 2.0 * y + 0.5, 3.0 * y]
        };
        Plane((0..90).map(point).collect())
    }

    fn square_error(model: &Linear, [inputs, targets]: &[Tensor<2>; 2]) -> Tensor<1> {
        (model.forward(inputs.clone()) - targets.clone()).square().mean()
    }

    /// The mean square error of a network that is deployed, by which training stops.
    fn error_of(model: &Linear) -> f64 {
        let all: Vec<usize> = (0..90).collect();
        let loss = square_error(model, &plane().batch(&all, &Device::flex()));
        f64::from(to_host(loss)[0])
    }

    fn plain(epochs: u64) -> TrainerConfig {
        TrainerConfig { epochs, batch_size: 32, learning_rate: 0.05, ..TrainerConfig::new() }
    }

    fn regress(
        trainer: &Trainer,
        on_step: impl FnMut(&Progress),
    ) -> Result<Fitted<Linear>, TrainError> {
        let objective = Objective::new(square_error).with_metric(|model| -error_of(model));
        let model = LinearConfig::new(2, 2).init(&Device::flex());
        trainer.fit_with(model, &plane(), &objective, Seed(3), &Device::flex(), on_step)
    }

    #[test]
    fn a_regression_on_data_of_ones_own_is_trained_and_resumed() {
        for method in [QatMethod::None, QatMethod::Lsq(Lsq::new(BitWidth::INT8))] {
            let config = TrainerConfig { patience: Some(120), ..plain(120) };
            let straight = regress(&Trainer::new(config, method), |_| ()).unwrap();
            let error = error_of(&straight.model);
            assert!(error < 2e-2, "{method}: {error}");
            let best = straight.history.iter().filter_map(|epoch| epoch.accuracy);
            assert_eq!(best.fold(f64::MIN, f64::max), -error);

            let folder = tempfile::tempdir().unwrap();
            let trainer = Trainer::new(config, method).with_checkpoints(folder.path(), 7);
            let kill = |progress: &Progress| assert_ne!(progress.step, 50, "killed");
            assert!(catch_unwind(AssertUnwindSafe(|| regress(&trainer, kill))).is_err());
            let resumed = regress(&trainer, |_| ()).unwrap();
            assert_eq!(parameters(&resumed.model), parameters(&straight.model));
            assert_eq!((resumed.history, resumed.layers), (straight.history, straight.layers));
        }
    }

    #[test]
    fn training_can_go_on_from_given_weights() {
        let values: Vec<f32> = vec![1.0, 0.0, -2.0, 3.0];
        let model = LinearConfig::new(2, 2).init(&Device::flex());
        let new = [("weight".into(), values.clone()), ("bias".into(), vec![0.5, 0.0])];
        let model = crate::replace_parameters(model, new.into()).unwrap();
        let objective = Objective::new(square_error);
        let fit = |trainer: Trainer| {
            let fitted = trainer
                .fit_with(model.clone(), &plane(), &objective, Seed(3), &Device::flex(), |_| ())
                .unwrap();
            error_of(&fitted.model)
        };
        let trainer = Trainer::new(plain(1), QatMethod::None);
        assert!(fit(trainer.clone()) > 0.1, "one epoch is not enough");
        assert!(fit(trainer.from_given_weights()) < 1e-6, "the best weights stay");
    }

    #[test]
    fn what_a_loss_of_ones_own_cannot_do_is_said() {
        let message = |config: TrainerConfig, objective: Objective<'_, Linear, [Tensor<2>; 2]>| {
            let trainer = Trainer::new(config, QatMethod::None);
            let model = LinearConfig::new(2, 2).init(&Device::flex());
            let device = Device::flex();
            let fitted = trainer.fit_with(model, &plane(), &objective, Seed(3), &device, |_| ());
            fitted.unwrap_err().to_string()
        };
        let new = || Objective::new(square_error);
        assert_eq!(
            message(TrainerConfig { smoothing: 0.1, ..plain(1) }, new()),
            "label smoothing is 0.10000000149011612: with a loss of one's own it must be 0"
        );
        assert_eq!(
            message(TrainerConfig { shift: 1.0, ..plain(1) }, new()),
            "data set training: cannot be shifted: they are no images"
        );
        assert_eq!(
            message(TrainerConfig { patience: Some(1), ..plain(1) }, new()),
            "data set validation: is missing: early stopping needs a metric to look at"
        );
        let two = Objective::new(|model: &Linear, [x, _]: &[Tensor<2>; 2]| {
            model.forward(x.clone()).mean_dim(0).reshape([2])
        });
        assert!(message(plain(1), two).starts_with("the number of losses is 2"));
        for still in [true, false] {
            let nothing = Objective::new(move |_: &Linear, [x, _]: &[Tensor<2>; 2]| {
                let x = x.clone().mean();
                if still { x.without_autodiff() } else { x }
            });
            assert!(message(plain(1), nothing).starts_with("the loss has no gradient"));
        }
    }

    /// Sequences in which each token follows from the one before, and a head that reads the table of
    /// the embedding.
    #[derive(Module, Debug)]
    struct Language {
        embedding: Embedding,
        hidden: Linear,
        head: Param<Tensor<2>>,
    }

    impl Language {
        fn logits(&self, tokens: Tensor<2, Int>) -> Tensor<2> {
            let x = self.hidden.forward(self.embedding.forward(tokens)).tanh();
            let x = x.matmul(self.head.val().transpose().unsqueeze());
            x.flatten::<2>(0, 1)
        }
    }

    struct Cycle;

    impl TrainingData for Cycle {
        type Batch = [Tensor<2, Int>; 2];

        fn len(&self) -> usize {
            40
        }

        fn batch(&self, positions: &[usize], device: &Device) -> Self::Batch {
            [0, 1].map(|ahead| {
                let token = |at: usize| (at * 3 + ahead * 3) as i32 % 7;
                let rows = positions.iter().flat_map(|&at| (at..at + 4).map(token));
                let tokens: Vec<i32> = rows.collect();
                Tensor::from_data(TensorData::new(tokens, [positions.len(), 4]), device)
            })
        }
    }

    #[test]
    fn a_token_model_stays_tied_in_training() {
        let device = Device::flex();
        let loss = CrossEntropyLossConfig::new().init(&device.clone().autodiff());
        let objective = Objective::new(|model: &Language, [now, next]: &[Tensor<2, Int>; 2]| {
            loss.forward(model.logits(now.clone()), next.clone().flatten(0, 1))
        })
        .with_metric(|model| {
            let [now, next] = Cycle.batch(&(0..7).collect::<Vec<_>>(), &Device::flex());
            let said = model.logits(now).argmax(1).flatten::<1>(0, 1);
            let right = said.equal(next.flatten(0, 1)).int().sum().into_scalar::<i64>();
            right as f64 / 28.0
        });
        for method in methods() {
            let embedding: Embedding = EmbeddingConfig::new(7, 8).init(&device);
            let head = embedding.weight.clone();
            let model = Language { embedding, hidden: LinearConfig::new(8, 8).init(&device), head };
            let trainer = Trainer::new(plain(40), method);
            let fitted =
                trainer.fit_with(model, &Cycle, &objective, Seed(3), &device, |_| ()).unwrap();
            let Language { embedding, head, .. } = &fitted.model;
            assert_eq!(to_host(embedding.weight.val()), to_host(head.val()), "{method}");
            let accuracy = fitted.history.last().unwrap().accuracy.unwrap();
            assert!(accuracy > 0.9, "{method}: {accuracy}, chance is 0.14");
            assert!(!fitted.layers.iter().any(|layer| layer.name.starts_with("head")));
        }
    }
}

//! What every experiment works with.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, Result};
use qtaml::fault::Seed;
use qtaml::train::qat::QatMethod;
use qtaml::train::{Checkpoint, Classifier, Device, Images, Trainer, TrainerConfig, fingerprint};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::journal::Journal;
use crate::progress::Progress;
use crate::stopwatch::{Phase, Stopwatch};

/// Steps of a training between two checkpoints: seconds to a minute of work.
const CHECKPOINT_STEPS: u64 = 200;

/// Ctrl-C was pressed.
#[derive(Debug)]
pub struct Interrupted;

impl std::fmt::Display for Interrupted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("interrupted")
    }
}

impl std::error::Error for Interrupted {}

/// Seed, device, size and memory of a run.
pub struct Context {
    /// The seed of everything random.
    pub seed: Seed,
    /// Where networks run.
    pub device: Device,
    /// The device's name.
    pub device_name: String,
    /// Whether only to check that everything runs.
    pub smoke: bool,
    /// Finished units of work.
    pub journal: Journal,
    /// How far it is.
    pub progress: Progress,
    /// Where the time goes.
    pub stopwatch: Stopwatch,
    /// Where trained weights are kept.
    pub weights: PathBuf,
    /// Which build of the runner this is: weights of another one are not reused.
    pub build: String,
    /// The folder of Fashion-MNIST, in the full profile.
    pub fashion_mnist: Option<PathBuf>,
    /// Set by Ctrl-C.
    pub interrupted: &'static AtomicBool,
}

impl Context {
    /// A number that is smaller when only checking that everything runs.
    pub fn size(&self, quick: usize, smoke: usize) -> usize {
        if self.smoke { smoke } else { quick }
    }

    /// The result of one unit of work: the kept one when resuming, else computed and kept.
    ///
    /// # Errors
    ///
    /// [`Interrupted`] after Ctrl-C, what the work fails with, or a journal that cannot be written.
    pub fn unit<T: Serialize + DeserializeOwned>(
        &self,
        key: &str,
        compute: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        self.journal.get_or_compute(key, || {
            self.check_interrupted()?;
            compute()
        })
    }

    fn check_interrupted(&self) -> Result<()> {
        if self.interrupted.load(Ordering::Relaxed) {
            return Err(Interrupted.into());
        }
        Ok(())
    }

    /// The trained network `name`: kept weights if there are any, else trained now and kept.
    ///
    /// # Errors
    ///
    /// A training that fails, or weights that cannot be read or written.
    pub fn trained<M: Classifier>(
        &self,
        name: &str,
        model: M,
        images: &Images,
        config: &TrainerConfig,
    ) -> Result<M> {
        self.trained_with(QatMethod::None, name, model, images, config)
    }

    /// The same for a network trained with a method, as it is deployed: a quantizing method leaves
    /// the weights that its codes stand for.
    ///
    /// A training that was cut off goes on from its last checkpoint.
    ///
    /// # Errors
    ///
    /// As [`trained`](Self::trained).
    pub fn trained_with<M: Classifier>(
        &self,
        method: QatMethod,
        name: &str,
        model: M,
        images: &Images,
        config: &TrainerConfig,
    ) -> Result<M> {
        // A smoke run only asks whether training works.
        let epochs = if self.smoke { 1 } else { config.epochs };
        let config = TrainerConfig { epochs, ..*config };
        let weights = self.checkpoint(method, name, &config);
        if let Some(kept) = weights.load(model.clone())? {
            return Ok(kept);
        }
        let unfinished = weights.path().with_extension("unfinished");
        let trainer = Trainer::new(config, method).with_checkpoints(&unfinished, CHECKPOINT_STEPS);
        let steps = epochs * images.len().div_ceil(config.batch_size) as u64;
        let task = self.progress.task(&format!("{name} training"), steps);
        let mut done = 0;
        let fit = || {
            trainer.fit(model, images, None, self.seed, &self.device, |progress| {
                // The first step that is heard of is the first one, or that after a checkpoint.
                if done == 0 {
                    done = progress.step - 1;
                    task.skip(done);
                }
                task.tick(progress.step - done);
                done = progress.step;
            })
        };
        let fitted = self.stopwatch.time(Phase::Training, fit);
        let fitted = fitted.with_context(|| format!("training {name}"))?;
        // Kept first: Ctrl-C must not lose a training that is done.
        weights.save(&fitted.model)?;
        fs::remove_dir_all(&unfinished)
            .with_context(|| format!("cannot remove {}", unfinished.display()))?;
        self.check_interrupted()?;
        Ok(fitted.model)
    }

    /// Where the weights are kept that follow from all this.
    fn checkpoint(&self, method: QatMethod, name: &str, config: &TrainerConfig) -> Checkpoint {
        let Self { seed, device_name, fashion_mnist, build, .. } = self;
        let key = (name, method, config, seed, device_name, fashion_mnist, build);
        Checkpoint::new(&self.weights, name, &fingerprint(&key))
    }
}

#[cfg(test)]
#[cfg(feature = "flex")]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::path::Path;
    use std::sync::atomic::AtomicUsize;

    use burn::module::Module;
    use burn::nn::{Linear, LinearConfig};
    use burn::tensor::Tensor;
    use qtaml::train::qat::Gaussian;
    use qtaml::train::{Dataset, parameters};

    use super::*;
    use crate::progress::Kind;

    static PASSES_LEFT: AtomicUsize = AtomicUsize::new(usize::MAX);

    /// Dies when it has no more forward passes left.
    #[derive(Module, Debug)]
    struct Mortal {
        fc: Linear,
    }

    impl Classifier for Mortal {
        fn logits(&self, images: Tensor<4>) -> Tensor<2> {
            assert_ne!(PASSES_LEFT.fetch_sub(1, Ordering::Relaxed), 0, "killed");
            self.fc.forward(images.flatten(1, 3))
        }
    }

    fn context(out: &Path) -> Context {
        static CTRL_C: AtomicBool = AtomicBool::new(false);
        Context {
            seed: Seed(5),
            device: Device::flex(),
            device_name: "flex".into(),
            smoke: false,
            journal: Journal::open(&out.join("journal.jsonl"), "test", false).unwrap().0,
            progress: Progress::new(Kind::Hidden),
            stopwatch: Stopwatch::default(),
            weights: out.join("weights"),
            build: "test".into(),
            fashion_mnist: None,
            interrupted: &CTRL_C,
        }
    }

    /// One training of 300 steps in `out`, and the forward passes that it took.
    fn trained(method: QatMethod, out: &Path) -> (Vec<f32>, usize) {
        let images = Dataset::digits().unwrap().train.select(&(0..60).collect::<Vec<_>>());
        let config = TrainerConfig { epochs: 5, batch_size: 1, shift: 0.5, ..TrainerConfig::new() };
        let model = Mortal { fc: LinearConfig::new(64, 10).init(&Device::flex()) };
        let before = PASSES_LEFT.load(Ordering::Relaxed);
        let model = context(out).trained_with(method, "mortal", model, &images, &config).unwrap();
        let passes = before - PASSES_LEFT.load(Ordering::Relaxed);
        (parameters(&model).into_iter().flat_map(|p| p.values).collect(), passes)
    }

    #[test]
    fn a_killed_training_goes_on_in_the_middle_and_is_kept() {
        let [straight, killed] = [0; 2].map(|_| tempfile::tempdir().unwrap());
        let noise = QatMethod::Gaussian(Gaussian { sigma_relative: 0.1 });
        let (weights, passes) = trained(noise, straight.path());
        assert_eq!(passes, 300);

        PASSES_LEFT.store(250, Ordering::Relaxed);
        assert!(catch_unwind(AssertUnwindSafe(|| trained(noise, killed.path()))).is_err());
        PASSES_LEFT.store(1000, Ordering::Relaxed);
        assert_eq!(trained(noise, killed.path()), (weights.clone(), 100));
        assert_eq!(trained(noise, killed.path()), (weights.clone(), 0));
        let kept = fs::read_dir(killed.path().join("weights")).unwrap();
        assert_eq!(kept.count(), 1, "the checkpoint of the training is gone");

        let (plain, passes) = trained(QatMethod::None, killed.path());
        assert_eq!(passes, 300);
        assert_ne!(plain, weights, "another method is another network");
    }
}

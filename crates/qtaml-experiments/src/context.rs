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
        let fitted = trainer
            .fit(model, images, None, self.seed, &self.device, |progress| {
                task.tick(progress.step - done);
                done = progress.step;
            })
            .with_context(|| format!("training {name}"))?;
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

//! What every experiment works with.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, Result};
use qtaml::fault::Seed;
use qtaml::train::{Checkpoint, Classifier, Device, Images, TrainingConfig, fingerprint, train};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::journal::Journal;
use crate::progress::Progress;

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
        config: &TrainingConfig,
    ) -> Result<M> {
        // A smoke run only asks whether training works.
        let config = &TrainingConfig { epochs: self.size(config.epochs, 1), ..*config };
        let key = (name, config, self.seed, &self.device_name, &self.fashion_mnist, &self.build);
        let checkpoint = Checkpoint::new(&self.weights, name, &fingerprint(&key));
        if let Some(kept) = checkpoint.load(model.clone())? {
            return Ok(kept);
        }
        let task = self.progress.task(&format!("{name} training"), config.epochs as u64);
        let model = train(model, images, config, self.seed, &self.device, |_| task.tick(1))
            .with_context(|| format!("training {name}"))?;
        // Kept first: Ctrl-C must not lose a training that is done.
        checkpoint.save(&model)?;
        self.check_interrupted()?;
        Ok(model)
    }
}

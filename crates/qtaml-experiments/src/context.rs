//! The context of an experiment: seed, device, size, jobs, progress and stopwatch.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, Result, ensure};
use qtaml::deploy::job::{Fingerprint, JobStore, Origin, Recipe, Shard};
use qtaml::fault::Seed;
use qtaml::train::qat::QatMethod;
use qtaml::train::{Checkpoint, Classifier, Device, Images, TrainError, Trainer, TrainerConfig};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::progress::Progress;
use crate::published::{Found, Published};
use crate::stats::Look;
use crate::stopwatch::{Phase, Stopwatch};

/// Steps of a training between two checkpoints: seconds to a minute of work.
const CHECKPOINT_STEPS: u64 = 200;

/// A signal asked the run to stop: Ctrl-C, or that of a batch system.
#[derive(Debug)]
pub struct Interrupted;

impl std::fmt::Display for Interrupted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("interrupted")
    }
}

impl std::error::Error for Interrupted {}

/// Whether a run failed because it was asked to stop.
pub fn is_interruption(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.is::<Interrupted>()
            || matches!(cause.downcast_ref(), Some(TrainError::Stopped { .. }))
    })
}

/// What all results of a run follow from, apart from the code.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Run {
    /// `smoke`, `quick` or `full`.
    pub profile: &'static str,
    /// The device's name.
    pub device: String,
    /// The seed of everything random.
    pub seed: Seed,
    /// The folder of the images, if they are not embedded.
    pub data: Option<PathBuf>,
}

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
    /// Whether trainings are added until claims on networks of a kind are decided.
    pub decides: bool,
    /// What the recipe of every unit begins with.
    pub run: Run,
    /// Finished units of work.
    pub jobs: JobStore,
    /// Trainings of published runs.
    pub published: Published,
    /// Which part of the experiments this process does.
    pub shard: Shard,
    /// How far it is.
    pub progress: Progress,
    /// Where the time goes.
    pub stopwatch: Stopwatch,
    /// Where trained weights are kept.
    pub weights: PathBuf,
    /// The folder of Fashion-MNIST, in the full profile.
    pub fashion_mnist: Option<PathBuf>,
    /// Set by a signal.
    pub interrupted: &'static AtomicBool,
}

impl Context {
    /// Whether the run is as large as it gets: on many images and seeds.
    pub const fn is_full(&self) -> bool {
        self.fashion_mnist.is_some()
    }

    /// Trainings of a network behind a claim on networks of its kind, where no more are added.
    pub fn trainings(&self) -> usize {
        if self.is_full() { 10 } else { self.size(3, 2) }
    }

    /// The looks at a claim on networks of a kind: one after so many trainings, or as many as decide it.
    pub fn looks(&self, quick: usize) -> Vec<Look> {
        let only = || vec![Look::only(self.size(quick, 2))];
        if self.decides && !self.smoke { Look::all() } else { only() }
    }

    /// A number that is smaller when only checking that everything runs.
    pub fn size(&self, quick: usize, smoke: usize) -> usize {
        if self.smoke { smoke } else { quick }
    }

    /// The result of one unit of work: the kept one, or else computed and kept.
    ///
    /// The key is everything that the unit follows from, apart from code and run: a tag and parameters.
    /// It is data, and no text for people: other words in a report must not make other work.
    ///
    /// # Errors
    ///
    /// [`Interrupted`] after a signal, what the work fails with, a file that cannot be written, or a published result
    /// that does not come out again.
    pub fn unit<T: Serialize + DeserializeOwned>(
        &self,
        key: &impl Serialize,
        compute: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        let recipe = self.recipe(key)?;
        let published = self.published.find(&recipe);
        if let Found::Taken(result) = published {
            self.progress.unit_kept();
            let read = serde_json::from_value(result.clone());
            return read.with_context(|| format!("the published result of {}", recipe.text()));
        }
        let done = self.jobs.get_or_compute(&recipe, || {
            self.check_interrupted()?;
            self.progress.unit_begun();
            compute()
        })?;
        if let Found::ToCheck(result) = published {
            let found = serde_json::to_value(&done.value)?;
            ensure!(
                found == *result,
                "a published training comes out otherwise now, {found} in place of {result}: do without --add-to. It \
                 was {}",
                recipe.text()
            );
        }
        match &done.origin {
            Origin::Kept => self.progress.unit_kept(),
            Origin::Replaced(error) => self.progress.say(&format!("{error}: computed anew")),
            _ => {}
        }
        Ok(done.value)
    }

    fn recipe(&self, unit: &impl Serialize) -> Result<Recipe> {
        #[derive(Serialize)]
        struct Unit<'a, K> {
            run: &'a Run,
            unit: &'a K,
        }
        Ok(Recipe::new(&Unit { run: &self.run, unit })?)
    }

    /// How many finished units of this run there are, of how many files; damaged ones are named.
    ///
    /// # Errors
    ///
    /// A folder that cannot be read.
    pub fn finished(&self) -> Result<[usize; 2]> {
        let run = Recipe::new(&self.run)?;
        let files = self.jobs.list()?;
        let mut ours = 0;
        for file in &files {
            match file {
                Ok(file) => {
                    let same_build = file.build.content == self.jobs.build().content;
                    ours += usize::from(same_build && file.recipe["run"] == *run.description());
                }
                Err(error) => self.progress.say(&format!("{error}: not used")),
            }
        }
        Ok([ours, files.len()])
    }

    fn check_interrupted(&self) -> Result<()> {
        if self.interrupted.load(Ordering::Relaxed) {
            return Err(Interrupted.into());
        }
        Ok(())
    }

    /// The network `name`, trained with a method, as it is deployed: a quantizing method leaves the weights
    /// that its codes stand for. Kept weights if there are any, else trained now and kept.
    ///
    /// A training that was cut off goes on from its last checkpoint.
    ///
    /// # Errors
    ///
    /// A training that fails, or weights that cannot be read or written.
    pub fn trained_with<M: Classifier>(
        &self,
        method: QatMethod,
        name: &str,
        model: M,
        images: &Images,
        config: &TrainerConfig,
        seed: Seed,
    ) -> Result<M> {
        // A smoke run only asks whether training works.
        let epochs = if self.smoke { 1 } else { config.epochs };
        let config = TrainerConfig { epochs, ..*config };
        let weights = self.checkpoint(method, name, &config, seed)?;
        if let Some(kept) = weights.load(model.clone())? {
            return Ok(kept);
        }
        let unfinished = self.unfinished(weights.path());
        let trainer = Trainer::new(config, method)
            .with_checkpoints(&unfinished, CHECKPOINT_STEPS)
            .stopped_by(self.interrupted);
        let steps = epochs * images.len().div_ceil(config.batch_size) as u64;
        let task = self.progress.task(&format!("{name} training"), steps);
        let mut done = 0;
        let fit = || {
            trainer.fit(model, images, None, seed, &self.device, |progress| {
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
        // Kept first: a signal must not lose a training that is done.
        weights.save(&fitted.model)?;
        fs::remove_dir_all(&unfinished)
            .with_context(|| format!("cannot remove {}", unfinished.display()))?;
        self.check_interrupted()?;
        Ok(fitted.model)
    }

    /// Where the weights are kept that follow from all this.
    fn checkpoint(
        &self,
        method: QatMethod,
        name: &str,
        config: &TrainerConfig,
        seed: Seed,
    ) -> Result<Checkpoint> {
        let key = (name, method, config, seed, &self.run, &self.jobs.build().content);
        let fingerprint = Fingerprint::of(&key)?;
        Ok(Checkpoint::new(&self.weights, name, &fingerprint.to_string()))
    }

    /// The folder of a training under way. Each shard has its own: two that share a folder may train
    /// the same network at once.
    fn unfinished(&self, weights: &Path) -> PathBuf {
        if self.shard == Shard::ALL {
            return weights.with_extension("unfinished");
        }
        weights.with_extension(format!(
            "{}-of-{}.unfinished",
            self.shard.index(),
            self.shard.count()
        ))
    }
}

#[cfg(test)]
#[cfg(feature = "flex")]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::atomic::AtomicUsize;

    use burn::module::Module;
    use burn::nn::{Linear, LinearConfig};
    use burn::tensor::Tensor;
    use qtaml::deploy::job::Build;
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
            decides: false,
            run: Run { profile: "test", device: "flex".into(), seed: Seed(5), data: None },
            jobs: JobStore::open(&out.join("jobs"), Build::new("", "test")).unwrap(),
            published: Published::default(),
            shard: Shard::ALL,
            progress: Progress::new(Kind::Hidden),
            stopwatch: Stopwatch::default(),
            weights: out.join("weights"),
            fashion_mnist: None,
            interrupted: &CTRL_C,
        }
    }

    /// One training of 300 steps in `out`, and the forward passes that it took.
    fn trained(method: QatMethod, out: &Path) -> (Vec<f32>, usize) {
        let images = Dataset::digits().unwrap().train.select(&(0..60).collect::<Vec<_>>()).unwrap();
        let config = TrainerConfig { epochs: 5, batch_size: 1, shift: 0.5, ..TrainerConfig::new() };
        let model = Mortal { fc: LinearConfig::new(64, 10).init(&Device::flex()) };
        let before = PASSES_LEFT.load(Ordering::Relaxed);
        let model =
            context(out).trained_with(method, "mortal", model, &images, &config, Seed(5)).unwrap();
        let passes = before - PASSES_LEFT.load(Ordering::Relaxed);
        (parameters(&model).into_iter().flat_map(|p| p.values).collect(), passes)
    }

    #[test]
    fn a_unit_is_computed_once_and_its_key_is_data() {
        let folder = tempfile::tempdir().unwrap();
        let context = context(folder.path());
        let unit = |key: (&str, f64)| context.unit(&key, || Ok(key.1 * 2.0)).unwrap();
        assert_eq!((unit(("a", 0.5)), unit(("a", 0.5)), unit(("b", 0.5))), (1.0, 1.0, 1.0));
        assert_eq!(context.finished().unwrap(), [2, 2]);
        let other = Context { run: Run { profile: "full", ..context.run.clone() }, ..context };
        assert_eq!(other.finished().unwrap(), [0, 2]);
        let failed = other.unit::<f64>(&"c", || anyhow::bail!("no"));
        assert_eq!(failed.unwrap_err().to_string(), "no");
        let error = other.unit(&"c", || Ok(f64::NAN)).unwrap_err();
        assert!(format!("{error:#}").contains("must be finite"), "{error:#}");
        assert_eq!(other.finished().unwrap(), [0, 2]);
    }

    #[test]
    fn interruptions_are_told_from_failures_through_all_context() {
        let stopped = anyhow::Error::from(TrainError::Stopped { step: 1, of: 2 });
        assert!(is_interruption(&stopped.context("training").context("claim")));
        assert!(is_interruption(&anyhow::Error::from(Interrupted).context("claim")));
        assert!(!is_interruption(&anyhow::anyhow!("interrupted")));
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

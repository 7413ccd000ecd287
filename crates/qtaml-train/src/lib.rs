//! Training and running of networks under bit faults, on burn.
//!
//! Everything to the left of this crate is arithmetic on words and codes. Here it meets networks:
//! data to train on, a model, a reproducible training loop, the weights of any burn module as
//! stored words, the sensitivity of its output to each layer, and its accuracy under faults.
//!
//! # A walk
//!
//! ```no_run
//! use qtaml_compensation::storage::QuantizedSpec;
//! use qtaml_compensation::{Accounting, Budget, Decoder, Score};
//! use qtaml_deploy::sensitivity::gradient_norms;
//! use qtaml_deploy::{Granularity, Runner, StoredModel, Storing};
//! use qtaml_fault::{MemoryModel, Seed};
//! use qtaml_physics::FlipProbability;
//! use qtaml_train::{BurnRunner, Dataset, AccuracyTest, LeNetConfig};
//! use qtaml_train::{TrainerConfig, device, train};
//!
//! // Train a small network on the embedded digits, on any device this build knows.
//! let device = device::open("flex")?;
//! let digits = Dataset::digits()?;
//! let model = LeNetConfig::digits().init(&device);
//! let model = train(model, &digits.train, &TrainerConfig::new(), Seed(42), &device, |_| ())?;
//!
//! // Store it as INT8 codes, in a memory whose bits flip with probability 0.1, and read it through
//! // a table that knows this.
//! let calibration = BurnRunner::classifier(&model, &digits.calibration, &device)?;
//! let memory = MemoryModel::new(FlipProbability::symmetric(0.1)?);
//! let spec = QuantizedSpec { decoder: Decoder::BayesGain, ..QuantizedSpec::default() };
//! let stored = StoredModel::store(
//!     &calibration, Granularity::Tensor, &[Storing::new(memory, spec)],
//! )?;
//!
//! // How much do the outputs change with an error in each layer? No labels are read.
//! let groups = stored.weight_groups();
//! let norms = gradient_norms(&calibration, &groups, 16, Seed(42))?;
//!
//! // Protect a tenth of all bits, where it counts, and look at what is read in trial 0.
//! let (statistics, tenth) = (stored.statistics(&norms)?, Budget::Share(0.1));
//! let plan = stored.plan(Score::Wkb, &statistics, Accounting::ProtectedBits, tenth)?;
//! let read = stored.read(Seed(42), 0, &stored.selection_of(&plan)?)?;
//! let test = AccuracyTest::new(&digits.test, &device)?;
//! let golden = calibration.replaced(stored.golden())?;
//! println!("{:.3} of {:.3}", test.accuracy(&calibration.replaced(read)?), test.accuracy(&golden));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Randomness
//!
//! Initial weights, shuffles, noise and faults come from seeded streams on the host, never from
//! the backend's generator: every backend trains from the same start on the same batches, and
//! meets the same faults.
#![deny(missing_docs)]

mod burn_runner;
mod checkpoint;
mod data;
pub mod device;
mod ensemble;
mod error;

mod accuracy_test;
mod initial;
mod networks;
mod norm_statistics;
mod parameters;
pub mod qat;
mod safetensors;
pub mod trainer;
mod weights;
mod whole_file;

pub use accuracy_test::{AccuracyTest, Classifier};
pub use burn::tensor::Device;
pub use burn_runner::{BurnRunner, ModelInput, ModelOutputs, OutputsError};
pub use checkpoint::{Checkpoint, fingerprint};
pub use data::{Dataset, Images};
pub use ensemble::{LinearEnsemble, RegressionTasks};
pub use error::TrainError;
pub use initial::initialise;
pub use networks::{
    LeNet, LeNetConfig, Mlp, MlpConfig, MobileNet, MobileNetConfig, ResNet, ResNetConfig,
    Transformer, TransformerConfig, Vgg, VggConfig,
};
pub use parameters::{Parameter, parameters, replace_parameters};
pub use safetensors::{load_safetensors, save_safetensors};
pub use trainer::{Trainer, TrainerConfig, train};
pub use weights::{ModuleWeights, TensorRule, WeightsError};

//! Networks under bit faults, on [burn].
//!
//! Everything to the left of this crate is arithmetic on words and codes. Here it meets networks:
//! data to train on, a model, a reproducible training loop, the weights of any burn module as
//! stored words, the sensitivity of its output to each layer, and its accuracy under faults.
//!
//! # A walk
//!
//! ```no_run
//! use qtaml_compensation::{Budget, Decoder, Score};
//! use qtaml_fault::Seed;
//! use qtaml_physics::FlipProbability;
//! use qtaml_train::{Cost, Dataset, Evaluation, Granularity, LeNetConfig, Memory, StoredNetwork};
//! use qtaml_train::{TrainerConfig, device, sensitivity, train};
//!
//! // Train a small network on the embedded digits, on any device this build knows.
//! let device = device::open("flex")?;
//! let digits = Dataset::digits()?;
//! let model = LeNetConfig::digits().init(&device);
//! let model = train(model, &digits.train, &TrainerConfig::new(), Seed(42), &device, |_| ())?;
//!
//! // Store it as INT8 codes, in a memory whose bits flip with probability 0.1, and read it through
//! // a table that knows this.
//! let memory = Memory { decoder: Decoder::Bayes, ..Memory::new(FlipProbability::symmetric(0.1)?) };
//! let network = StoredNetwork::store(&model, &memory)?;
//!
//! // How much does the output feel an error in each layer? No labels are read.
//! let norms = sensitivity::jacobian_norms(
//!     &model, Granularity::Tensor, &digits.calibration, 16, Seed(42), &device,
//! )?;
//!
//! // Protect a tenth of all bits, where it counts, and look at what is read in trial 0.
//! let (statistics, tenth) = (network.statistics(&norms)?, Budget::Share(0.1));
//! let plan = network.plan(Score::Wkb, &statistics, Cost::Protected, tenth)?;
//! let read = network.read(Seed(42), 0, &network.chosen(&plan)?)?;
//! let test = Evaluation::new(&digits.test, &device)?;
//! println!("{:.3} of {:.3}", test.accuracy(&read), test.accuracy(network.golden()));
//! # Ok::<(), qtaml_train::TrainError>(())
//! ```
//!
//! # Randomness
//!
//! Initial weights, shuffles, noise and faults come from seeded streams on the host, never from
//! the backend's generator: every backend trains from the same start on the same batches, and
//! meets the same faults.
#![deny(missing_docs)]

mod checkpoint;
mod data;
pub mod device;
mod ensemble;
mod error;
mod evaluation;
mod initial;
mod networks;
mod norm_statistics;
mod parameters;
mod planned;
pub mod qat;
mod safetensors;
mod score_statistics;
pub mod sensitivity;
mod stored;
pub mod trainer;
mod units;
mod whole_file;

pub use burn::tensor::Device;
pub use checkpoint::{Checkpoint, fingerprint};
pub use data::{Dataset, Images};
pub use ensemble::{LinearEnsemble, RegressionTasks};
pub use error::TrainError;
pub use evaluation::{Classifier, Evaluation};
pub use initial::initialise;
pub use networks::{
    LeNet, LeNetConfig, MobileNet, MobileNetConfig, ResNet, ResNetConfig, Transformer,
    TransformerConfig, Vgg, VggConfig,
};
pub use norm_statistics::reestimate_batch_norm;
pub use parameters::{Parameter, parameters, replace_parameters};
pub use planned::PlanError;
pub use safetensors::{load_safetensors, save_safetensors};
pub use score_statistics::{Rescored, ScoreStatistics, reestimate_scores};
pub use stored::{Cost, Memory, Range, StoredNetwork, StoredUnit, UnitWeights};
pub use trainer::{Trainer, TrainerConfig, train};
pub use units::{Granularity, Unit, units};

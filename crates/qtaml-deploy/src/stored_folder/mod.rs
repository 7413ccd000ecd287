//! Stored folders: what a plan burns into a memory, as three files that give the weights back.
//!
//! | file | content |
//! | --- | --- |
//! | `manifest.json` | a [`Manifest`]: the plan, the tensors, and where each group lies, with digests |
//! | `words.bin` | the words and blocks of all groups, one group after the other |
//! | `check.bin` | the check bits of error-correcting codes, in the same order |
//!
//! docs/stored-folder.md describes them for other programs. [`StoredModel::write_folder`] writes a folder, and
//! [`RestoredModel::open`] reads it; both work on streams as well ([`StoredModel::write_stored`],
//! [`RestoredModel::restore`]). Models that do not fit into memory are written and read tensor by tensor: a
//! [`StoredFolderWriter`] and a [`StoredFolder`].
//!
//! ```
//! use qtaml_compensation::storage::{CodeLibrary, QuantizedSpec};
//! use qtaml_compensation::{Accounting, Budget, Score};
//! use qtaml_deploy::stored_folder::RestoredModel;
//! use qtaml_deploy::{Granularity, Role, StoredModel, Storing, WeightTensor};
//! use qtaml_fault::{MemoryModel, Seed};
//! use qtaml_physics::FlipProbability;
//!
//! let tensors = [WeightTensor::new("fc", [4, 8], Role::Linear).with_output_axis(0)];
//! let values = |_| Ok((0..32).map(|i| (i as f32 * 0.7).sin()).collect());
//! let memory = MemoryModel::new(FlipProbability::symmetric(0.1)?);
//! let storing = Storing::new(memory, QuantizedSpec::default());
//! let model = StoredModel::store_tensors(&tensors, values, Granularity::Channel, &[storing])?;
//! let statistics = model.magnitudes();
//! let (score, count) = (Score::MagnitudeMax, Accounting::ProtectedBits);
//! let plan = model.plan(score, &statistics, count, Budget::Share(0.25))?;
//!
//! let folder = tempfile::tempdir()?;
//! let library = CodeLibrary::default();
//! model.write_folder(&plan, folder.path(), &library)?;
//! // Somewhere else, without the weights:
//! let restored = RestoredModel::open(folder.path(), &library)?;
//! let read = model.read(Seed(42), 0, &model.selection_of(&plan)?)?;
//! assert_eq!(restored.read(Seed(42), 0)?, read);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`StoredModel::write_folder`]: crate::StoredModel::write_folder
//! [`StoredModel::write_stored`]: crate::StoredModel::write_stored

mod by_tensor;
mod codebooks;
mod error;
mod folder;
mod layout;
mod manifest;
mod restore;
mod write;
mod writer;

pub use by_tensor::StoredFolder;
pub use codebooks::CodebookTable;
pub use error::StoredFolderError;
pub use manifest::{Manifest, ManifestGroup, ManifestTensor, Part, Span};
pub use restore::RestoredModel;
pub use writer::StoredFolderWriter;

/// The manifest's file.
pub const MANIFEST: &str = "manifest.json";
/// The file of words and blocks.
pub const WORDS: &str = "words.bin";
/// The file of check bits.
pub const CHECK: &str = "check.bin";

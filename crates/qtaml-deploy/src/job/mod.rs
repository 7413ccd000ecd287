//! Jobs: work with a recipe, done once and kept as one file.
//!
//! A [`Recipe`] is everything that a result follows from, as data: method, model, flip probability,
//! seeds. Its [`Fingerprint`] names the file of the result in a [`JobStore`]. So a sweep can be killed
//! at any time and go on, and be cut into [`Shard`]s whose stores [merge](JobStore::merge_from) into one.
//!
//! A job must be deterministic. Then it does no harm if two processes do the same job at once: both
//! write the same file, each whole.
//!
//! ```
//! use qtaml_deploy::job::{Build, JobError, JobStore, Origin, Recipe, run_local};
//!
//! let folder = tempfile::tempdir()?;
//! let store = JobStore::open(folder.path(), Build::new("1.0", "hash of the sources"))?;
//! let recipes: Vec<Recipe> =
//!     [0.01, 0.1].iter().map(|p| Recipe::new(&("mean error", p, 0..100))).collect::<Result<_, _>>()?;
//! let mean = |recipe: &Recipe| -> Result<f64, JobError> {
//!     Ok(recipe.description()[1].as_f64().unwrap_or(0.0) * 128.0)
//! };
//! let done = run_local(&store, &recipes, mean)?;
//! assert!(matches!(done[1].origin, Origin::Computed));
//! // A second run finds both.
//! let again = run_local(&store, &recipes, mean)?;
//! assert!(matches!(again[1].origin, Origin::Kept));
//! assert_eq!(again[1].value, 12.8);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod canonical;
mod error;
mod fingerprint;
mod recipe;
mod run;
mod shard;
mod store;

pub use error::{CanonicalError, JobError};
pub use fingerprint::{Fingerprint, FingerprintError};
pub use recipe::Recipe;
pub use run::run_local;
pub use shard::{Shard, ShardError};
pub use store::{Build, Done, JobFile, JobStore, Merged, Origin};

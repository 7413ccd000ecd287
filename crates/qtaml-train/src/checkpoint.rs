//! Checkpoints of trained weights.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use burn::module::Module;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::{TrainError, load_safetensors, save_safetensors};

/// A safetensors file with one trained network, named by what its weights follow from.
///
/// Training is a function of its configuration, seed, device and the version of this crate; the
/// [`fingerprint`] of those names the file, so that it can be reused without asking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    path: PathBuf,
}

impl Checkpoint {
    /// The checkpoint `name-fingerprint.safetensors` in `folder`.
    pub fn new(folder: &Path, name: &str, fingerprint: &str) -> Self {
        Self { path: folder.join(format!("{name}-{fingerprint}.safetensors")) }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The module with what was kept, or `None` if there is no such file.
    ///
    /// # Errors
    /// As [`load_safetensors`].
    pub fn load<M: Module>(&self, module: M) -> Result<Option<M>, TrainError> {
        match load_safetensors(module, &self.path) {
            Ok(module) => Ok(Some(module)),
            Err(TrainError::File { source, .. }) if source.kind() == ErrorKind::NotFound => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Keeps `module`. The file appears whole or not at all.
    ///
    /// # Errors
    /// As [`save_safetensors`].
    pub fn save<M: Module>(&self, module: &M) -> Result<(), TrainError> {
        save_safetensors(module, &self.path)
    }
}

/// 16 hexadecimal digits of the SHA-256 of a value's JSON form.
pub fn fingerprint(value: &impl Serialize) -> String {
    // Our own configurations always have a JSON form; a value that has none gets the empty one's.
    let json = serde_json::to_vec(value).unwrap_or_default();
    let digest = Sha256::digest(json);
    let head = digest.iter().take(8).fold(0_u64, |head, byte| head << 8 | u64::from(*byte));
    format!("{head:016x}")
}

#[cfg(test)]
#[cfg(feature = "flex")]
mod tests {
    use burn::nn::{Linear, LinearConfig};
    use burn::tensor::Device;
    use qtaml_fault::Seed;

    use super::*;
    use crate::{initialise, parameters};

    fn linear(d_input: usize) -> Linear {
        initialise(LinearConfig::new(d_input, 3).init(&Device::flex()), Seed(1)).unwrap()
    }

    #[test]
    fn what_is_saved_is_loaded() {
        let folder = tempfile::tempdir().unwrap();
        let checkpoint = Checkpoint::new(folder.path(), "linear", &fingerprint(&(1, "x")));
        assert!(checkpoint.load(linear(2)).unwrap().is_none());
        checkpoint.save(&linear(2)).unwrap();
        let fresh = LinearConfig::new(2, 3).init(&Device::flex());
        let loaded = checkpoint.load(fresh).unwrap().unwrap();
        assert_eq!(parameters(&loaded), parameters(&linear(2)));
    }

    #[test]
    fn files_that_do_not_fit_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let checkpoint = Checkpoint::new(folder.path(), "linear", "0");
        checkpoint.save(&linear(2)).unwrap();
        let error = checkpoint.load(linear(5)).unwrap_err().to_string();
        assert!(error.contains("\"weight\" has the shape [2, 3], not [5, 3]"), "{error}");

        let whole = std::fs::read(checkpoint.path()).unwrap();
        for length in 0..whole.len() {
            std::fs::write(checkpoint.path(), &whole[..length]).unwrap();
            let error = checkpoint.load(linear(2)).unwrap_err();
            assert!(matches!(error, TrainError::Checkpoint { .. }), "{length}: {error}");
        }
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("file"), "").unwrap();
        let checkpoint = Checkpoint::new(&folder.path().join("file/sub"), "linear", "0");
        let error = checkpoint.save(&linear(2)).unwrap_err().to_string();
        assert!(error.starts_with("cannot write ") && error.contains("linear-0"), "{error}");
    }

    #[test]
    fn fingerprints_tell_configurations_apart() {
        assert_eq!(fingerprint(&("lenet", 42)), fingerprint(&("lenet", 42)));
        assert_ne!(fingerprint(&("lenet", 42)), fingerprint(&("lenet", 43)));
        assert_eq!(fingerprint(&0).len(), 16);
    }
}

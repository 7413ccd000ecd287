//! Trained weights that are kept between runs.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use burn::module::Module;
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::{Parameter, TrainError, parameters, replace_parameters};

/// A safetensors file with the parameters of one network, named by what they follow from.
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

    /// The module with the kept parameters, or `None` if there is no such file.
    ///
    /// # Errors
    /// [`TrainError::File`] if it cannot be read, [`TrainError::Checkpoint`] if it is damaged or
    /// belongs to another network.
    pub fn load<M: Module>(&self, module: M) -> Result<Option<M>, TrainError> {
        let bytes = match std::fs::read(&self.path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(self.file_error("read", e)),
        };
        let values = decode(&bytes).map_err(|problem| self.unusable(problem))?;
        let expected: Vec<String> = parameters(&module).into_iter().map(|p| p.name).collect();
        if let Some(missing) = expected.iter().find(|name| !values.contains_key(*name)) {
            return Err(self.unusable(format!("it lacks parameter {missing:?}")));
        }
        match replace_parameters(module, values) {
            Ok(module) => Ok(Some(module)),
            Err(misfit) => Err(self.unusable(misfit.to_string())),
        }
    }

    /// Keeps the parameters of `module`. The file appears whole or not at all.
    ///
    /// # Errors
    /// [`TrainError::File`] if it cannot be written.
    pub fn save<M: Module>(&self, module: &M) -> Result<(), TrainError> {
        let bytes = encode(&parameters(module)).map_err(|problem| self.unusable(problem))?;
        write_whole(&self.path, &bytes)
    }

    fn file_error(&self, action: &'static str, source: std::io::Error) -> TrainError {
        TrainError::File { action, path: self.path.clone(), source }
    }

    fn unusable(&self, problem: String) -> TrainError {
        TrainError::Checkpoint { path: self.path.clone(), problem }
    }
}

/// Writes a file that appears whole or not at all: what was there before stays until then.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), TrainError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let write = || -> std::io::Result<()> {
        std::fs::create_dir_all(folder)?;
        let mut file = readable_by_others().tempfile_in(folder)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        Ok(())
    };
    write().map_err(|source| TrainError::File { action: "write", path: path.to_owned(), source })
}

/// Temporary files are private by default; this one is to be read as the umask allows.
fn readable_by_others() -> tempfile::Builder<'static, 'static> {
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    builder
}

/// 16 hexadecimal digits of the SHA-256 of a value's JSON form.
pub fn fingerprint(value: &impl Serialize) -> String {
    // Our own configurations always have a JSON form; a value that has none gets the empty one's.
    let json = serde_json::to_vec(value).unwrap_or_default();
    let digest = Sha256::digest(json);
    let head = digest.iter().take(8).fold(0_u64, |head, byte| head << 8 | u64::from(*byte));
    format!("{head:016x}")
}

fn encode(parameters: &[Parameter]) -> Result<Vec<u8>, String> {
    let bytes: Vec<Vec<u8>> = parameters
        .iter()
        .map(|p| p.values.iter().flat_map(|v| v.to_le_bytes()).collect())
        .collect();
    let views = parameters.iter().zip(&bytes).map(|(p, bytes)| {
        let view = TensorView::new(Dtype::F32, p.shape.clone(), bytes);
        Ok((p.name.clone(), view.map_err(|e| e.to_string())?))
    });
    let views: Vec<_> = views.collect::<Result<_, String>>()?;
    safetensors::serialize(views, None).map_err(|e| e.to_string())
}

fn decode(bytes: &[u8]) -> Result<BTreeMap<String, Vec<f32>>, String> {
    let file = SafeTensors::deserialize(bytes).map_err(|e| e.to_string())?;
    file.tensors()
        .into_iter()
        .map(|(name, view)| {
            if view.dtype() != Dtype::F32 {
                return Err(format!("{name:?} is {:?}, not F32", view.dtype()));
            }
            let (words, _) = view.data().as_chunks::<4>();
            Ok((name, words.iter().map(|w| f32::from_le_bytes(*w)).collect()))
        })
        .collect()
}

#[cfg(test)]
#[cfg(feature = "flex")]
mod tests {
    use burn::nn::{Linear, LinearConfig};
    use burn::tensor::Device;
    use qtaml_fault::Seed;

    use super::*;
    use crate::initialise;

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
        assert!(error.contains("6 values for parameter \"weight\" of shape [5, 3]"), "{error}");

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

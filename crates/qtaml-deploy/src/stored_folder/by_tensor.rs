//! Stored folders that are read tensor by tensor: no more than one of them is in memory.

use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::path::Path;

use qtaml_compensation::storage::{CodeLibrary, StorageReader};

use super::folder::{manifest_in, open};
use super::restore::{Groups, check_manifest, restored, take};
use super::{CHECK, Manifest, ManifestTensor, Part, StoredFolderError, WORDS};
use crate::StoredModel;

/// A stored folder whose tensors are restored when they are asked for.
///
/// Under every seed and trial each reads the same values as the model that it was written from.
///
/// ```
/// use qtaml_compensation::storage::{CodeLibrary, QuantizedSpec};
/// use qtaml_compensation::{Accounting, Budget, Score};
/// use qtaml_deploy::stored_folder::StoredFolder;
/// use qtaml_deploy::{Granularity, Role, StoredModel, Storing, WeightTensor};
/// use qtaml_fault::{MemoryModel, Seed};
/// use qtaml_physics::FlipProbability;
///
/// let tensors = [WeightTensor::new("fc", [4, 8], Role::Linear).with_output_axis(0)];
/// let values = |_| Ok((0..32).map(|i| (i as f32 * 0.7).sin()).collect());
/// let memory = MemoryModel::new(FlipProbability::symmetric(0.1)?);
/// let storing = Storing::new(memory, QuantizedSpec::default());
/// let model = StoredModel::store_tensors(&tensors, values, Granularity::Channel, &[storing])?;
/// let (score, count) = (Score::MagnitudeMax, Accounting::ProtectedBits);
/// let plan = model.plan(score, &model.magnitudes(), count, Budget::Share(0.25))?;
/// let (folder, library) = (tempfile::tempdir()?, CodeLibrary::default());
/// model.write_folder(&plan, folder.path(), &library)?;
///
/// let stored = StoredFolder::open(folder.path(), &library)?;
/// let first = stored.tensor(0)?;
/// let read = model.read(Seed(42), 0, &model.selection_of(&plan)?)?;
/// assert_eq!(first.read(Seed(42), 0, &first.uniform(0))?, read);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct StoredFolder {
    manifest: Manifest,
    groups: Groups,
    reader: StorageReader,
    words: File,
    check: File,
}

impl StoredFolder {
    /// Opens the folder, whose manifest is checked and whose files have the right lengths; what is in them is
    /// checked when it is read. `library` keeps the codes of the memory for others.
    ///
    /// # Errors
    /// As [`RestoredModel::open`](super::RestoredModel::open), but for what only shows in the bytes of tensors.
    pub fn open(folder: &Path, library: &CodeLibrary) -> Result<Self, StoredFolderError> {
        let manifest = manifest_in(folder)?;
        let (words, check) = (open(folder, WORDS)?, open(folder, CHECK)?);
        check_manifest(&manifest, library)?;
        check_length(&words, WORDS, &manifest.tensors, |tensor| &tensor.words)?;
        check_length(&check, CHECK, &manifest.tensors, |tensor| &tensor.check)?;
        let reader = StorageReader::new(manifest.plan.flips.clone(), library);
        Ok(Self { groups: Groups::of(&manifest.plan), manifest, reader, words, check })
    }

    /// What is in the folder.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The tensor of this number in the [manifest](Self::manifest), as a model of one tensor whose groups have
    /// one storage each.
    ///
    /// # Errors
    /// [`StoredFolderError::Altered`], [`StoredFolderError::Short`], [`StoredFolderError::Group`] and
    /// [`StoredFolderError::Stream`] as [`RestoredModel::restore`](super::RestoredModel::restore).
    ///
    /// # Panics
    /// For a number that the manifest does not have.
    pub fn tensor(&self, number: usize) -> Result<StoredModel, StoredFolderError> {
        let Manifest { plan, tensors, granularity, model, .. } = &self.manifest;
        let tensor = &tensors[number];
        let words = take_at(&self.words, &tensor.words, tensor, WORDS)?;
        let check = take_at(&self.check, &tensor.check, tensor, CHECK)?;
        let storages = restored(tensor, plan, &self.groups, &self.reader, [&words, &check])?;
        let tensors = [(tensor.index, tensor.tensor.clone())];
        Ok(StoredModel::restored(&tensors, *granularity, storages, model.sha256))
    }
}

/// The bytes of a part, wherever they lie.
fn take_at(
    mut file: &File,
    part: &Part,
    tensor: &ManifestTensor,
    name: &'static str,
) -> Result<Vec<u8>, StoredFolderError> {
    let failed = |source| StoredFolderError::Stream { action: "read", file: name, source };
    file.seek(SeekFrom::Start(part.offset)).map_err(failed)?;
    take(&mut file, part, tensor, name)
}

/// Refuses a file that does not end where its last tensor does.
fn check_length(
    file: &File,
    name: &'static str,
    tensors: &[ManifestTensor],
    part: impl Fn(&ManifestTensor) -> &Part,
) -> Result<(), StoredFolderError> {
    let failed = |source| StoredFolderError::Stream { action: "read", file: name, source };
    let length = file.metadata().map_err(failed)?.len();
    let end = |tensor: &ManifestTensor| part(tensor).offset.saturating_add(part(tensor).bytes);
    if let Some(tensor) = tensors.iter().find(|tensor| end(tensor) > length) {
        let (missing, tensor) = (end(tensor) - length, tensor.tensor.name.clone());
        return Err(StoredFolderError::Short { file: name, tensor, missing });
    }
    if tensors.last().map_or(0, end) < length {
        Err(StoredFolderError::Long { file: name })
    } else {
        Ok(())
    }
}

//! The writer of stored folders tensor by tensor: no more than one of them is in memory.

use std::io::Write;
use std::path::Path;

use qtaml_compensation::storage::CodeLibrary;
use qtaml_compensation::{Plan, PlannedModel};
use qtaml_files::WholeFile;
use qtaml_quant::Granularity;

use super::layout::{Places, left_of, nothing_left};
use super::restore::check_manifest;
use super::write::{bytes_of, put};
use super::{CHECK, MANIFEST, Manifest, ManifestTensor, StoredFolderError, WORDS, codebooks};
use crate::{StoredModel, StoredModelError};

/// A stored folder in the making. Its files get their names when it is finished, and a stored model that was
/// there is replaced; other files stay.
///
/// ```
/// use qtaml_compensation::storage::{CodeLibrary, QuantizedSpec};
/// use qtaml_compensation::{Accounting, Budget, PlannedModel, Score};
/// use qtaml_deploy::stored_folder::{StoredFolder, StoredFolderWriter};
/// use qtaml_deploy::{Granularity, Role, StoredModel, Storing, WeightTensor};
/// use qtaml_fault::MemoryModel;
/// use qtaml_physics::FlipProbability;
///
/// let tensors = [WeightTensor::new("fc", [4, 8], Role::Linear).with_output_axis(0)];
/// let values = |_| Ok((0..32).map(|i| (i as f32 * 0.7).sin()).collect());
/// let memory = MemoryModel::new(FlipProbability::symmetric(0.1)?);
/// let storing = Storing::new(memory, QuantizedSpec::default());
/// let model = StoredModel::store_tensors(&tensors, values, Granularity::Channel, &[storing])?;
/// let (score, count) = (Score::MagnitudeMax, Accounting::ProtectedBits);
/// let plan = model.plan(score, &model.magnitudes(), count, Budget::Share(0.25))?;
///
/// let (folder, library) = (tempfile::tempdir()?, CodeLibrary::default());
/// let mut writer = StoredFolderWriter::create(folder.path(), Granularity::Channel)?;
/// writer.add(0, &model, &plan)?;
/// let written = writer.finish(PlannedModel::of(model.weights_sha256()), plan, &library)?;
/// assert_eq!(StoredFolder::open(folder.path(), &library)?.manifest(), &written);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct StoredFolderWriter {
    words: WholeFile,
    check: WholeFile,
    text: WholeFile,
    granularity: Granularity,
    places: Places,
    tensors: Vec<ManifestTensor>,
}

impl StoredFolderWriter {
    /// Begins a folder, which is created if need be, of tensors that are cut into groups like this.
    ///
    /// # Errors
    /// [`StoredFolderError::File`] if nothing can be written there.
    pub fn create(folder: &Path, granularity: Granularity) -> Result<Self, StoredFolderError> {
        let create = |file: &str| WholeFile::create(&folder.join(file));
        let (words, check, text) = (create(WORDS)?, create(CHECK)?, create(MANIFEST)?);
        let (places, tensors) = (Places::default(), Vec::new());
        Ok(Self { words, check, text, granularity, places, tensors })
    }

    /// Writes the next tensor, which is number `index` of its model, as a plan says. `stored` has this tensor
    /// alone, and the plan its groups alone.
    ///
    /// # Errors
    /// As [`StoredModel::write_stored`], and [`StoredFolderError::Tensor`] for a tensor that is there already
    /// or is not alone.
    pub fn add(
        &mut self,
        index: usize,
        stored: &StoredModel,
        plan: &Plan,
    ) -> Result<(), StoredFolderError> {
        let selection = stored.selection_of(plan)?;
        let storages = stored.selected(&selection).map_err(crate::DeployError::from)?;
        let mut left = left_of(plan);
        let tensor = match stored.tensors() {
            [only] => &only.tensor,
            [] => return Err(crate::DeployError::from(StoredModelError::NoWeights).into()),
            [_, second, ..] => {
                let (tensor, problem) = (second.tensor.name.clone(), "is one of several".into());
                return Err(StoredFolderError::Tensor { tensor, problem });
            }
        };
        let mut place = self.places.next(index, tensor, self.granularity, &mut left)?;
        nothing_left(left)?;
        let bytes = bytes_of(&place, &storages)?;
        put(&bytes.words, &mut place.words, &mut self.words, WORDS)?;
        put(&bytes.check, &mut place.check, &mut self.check, CHECK)?;
        self.tensors.push(place);
        Ok(())
    }

    /// Puts all files in place, the manifest last. The plan has the groups of all tensors, and `model` the
    /// digest of their weights.
    ///
    /// # Errors
    /// [`StoredFolderError::Plan`] for a plan of other groups or another model, and as
    /// [`StoredModel::write_folder`].
    pub fn finish(
        mut self,
        model: PlannedModel,
        plan: Plan,
        library: &CodeLibrary,
    ) -> Result<Manifest, StoredFolderError> {
        let codebooks = codebooks::tables(&plan, library)?;
        let manifest = Manifest::new(model, self.granularity, plan, codebooks, self.tensors)?;
        check_manifest(&manifest, library)?;
        let failed = |source| StoredFolderError::Stream { action: "write", file: MANIFEST, source };
        self.text.write_all(manifest.to_json().as_bytes()).map_err(failed)?;
        WholeFile::finish_all(vec![self.words, self.check, self.text])?;
        Ok(manifest)
    }
}

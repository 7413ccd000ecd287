//! The writer of stored folders: what a plan burns into a memory.

use std::io::Write;

use qtaml_compensation::storage::{CodeLibrary, StoredBytes, WeightStorage};
use qtaml_compensation::{Plan, PlannedModel};
use qtaml_fault::WordDigest;
use rayon::prelude::*;

use super::layout::lay_out;
use super::{CHECK, Manifest, ManifestTensor, Part, StoredFolderError, WORDS, codebooks};
use crate::StoredModel;

impl StoredModel {
    /// Writes the words and the check bits of a plan, and returns their manifest. `library` has the codes
    /// that the model was stored with, or makes them anew.
    ///
    /// # Errors
    /// [`StoredFolderError::Deploy`] for a plan that this model cannot carry out, as
    /// [`selection_of`](Self::selection_of), and [`StoredFolderError::Stream`] if nothing more can be
    /// written.
    pub fn write_stored(
        &self,
        plan: &Plan,
        words: &mut dyn Write,
        check: &mut dyn Write,
        library: &CodeLibrary,
    ) -> Result<Manifest, StoredFolderError> {
        let selection = self.selection_of(plan)?;
        let storages = self.selected(&selection).map_err(crate::DeployError::from)?;
        let number = |first: usize| self.groups()[first].group.tensor;
        let tensors = self.tensors().iter();
        let tensors: Vec<_> =
            tensors.map(|stored| (number(stored.groups.start), stored.tensor.clone())).collect();
        let mut places = lay_out(&tensors, self.granularity(), plan)?;
        for (place, stored) in places.iter_mut().zip(self.tensors()) {
            let bytes = bytes_of(place, &storages[stored.groups.clone()])?;
            put(&bytes.words, &mut place.words, words, WORDS)?;
            put(&bytes.check, &mut place.check, check, CHECK)?;
        }
        let name = plan.model.as_ref().and_then(|model| model.name.clone());
        let model = PlannedModel { name, sha256: self.weights_sha256() };
        let codebooks = codebooks::tables(plan, library)?;
        Manifest::new(model, self.granularity(), plan.clone(), codebooks, places)
    }
}

/// The bytes of all groups of a tensor.
pub(super) fn bytes_of(
    place: &ManifestTensor,
    storages: &[&dyn WeightStorage],
) -> Result<StoredBytes, StoredFolderError> {
    let stored: Vec<StoredBytes> =
        storages.par_iter().map(|storage| storage.stored()).collect::<Result<_, _>>()?;
    let lengths = |bytes: &StoredBytes| [bytes.words.len() as u64, bytes.check.len() as u64];
    let fits = place.groups.iter().zip(&stored);
    if let Some((group, _)) = fits
        .into_iter()
        .find(|(group, bytes)| [group.words.bytes, group.check.bytes] != lengths(bytes))
    {
        let problem = format!("has group {:?} of another length than planned", group.name);
        return Err(StoredFolderError::Tensor { tensor: place.tensor.name.clone(), problem });
    }
    let [mut words, mut check] = [Vec::new(), Vec::new()];
    for bytes in stored {
        words.extend(bytes.words);
        check.extend(bytes.check);
    }
    Ok(StoredBytes::new(words, check))
}

/// Writes the bytes of a part, and their digest into it.
pub(super) fn put(
    bytes: &[u8],
    part: &mut Part,
    to: &mut dyn Write,
    file: &'static str,
) -> Result<(), StoredFolderError> {
    part.sha256 = WordDigest::of(bytes);
    let failed = |source| StoredFolderError::Stream { action: "write", file, source };
    to.write_all(bytes).map_err(failed)
}

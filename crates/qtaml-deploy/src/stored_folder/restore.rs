//! Models restored from a stored folder, without their weights.

use std::collections::HashMap;
use std::io::Read;
use std::sync::Arc;

use qtaml_compensation::storage::{CodeLibrary, StorageReader, StoredBytes, WeightStorage};
use qtaml_compensation::{Plan, PlanGroup};
use qtaml_fault::{Seed, WordDigest};
use rayon::prelude::*;

use super::layout::lay_out;
use super::{
    CHECK, Manifest, ManifestGroup, ManifestTensor, Part, Span, StoredFolderError, WORDS, codebooks,
};
use crate::planned::check_model;
use crate::{DeployError, PlanError, StoredModel, Values};

/// A model as it lies in a memory, restored without its weights.
///
/// Under every seed and trial it reads the same values as the model that it was written from.
#[derive(Debug, Clone)]
pub struct RestoredModel {
    manifest: Manifest,
    model: StoredModel,
}

impl RestoredModel {
    /// Restores a model from its manifest, its words and its check bits, which are read to their ends.
    /// `library` keeps the codes of the memory for others.
    ///
    /// # Errors
    /// [`StoredFolderError::Plan`] for a plan of other weights or groups, [`StoredFolderError::Tensor`] for a
    /// tensor that lies elsewhere than it must, [`StoredFolderError::Codebook`] for a code that this program does
    /// not make, [`StoredFolderError::Altered`], [`StoredFolderError::Short`] and
    /// [`StoredFolderError::Long`] for other bytes than were written, [`StoredFolderError::Group`] for
    /// bytes that nothing is stored as, and [`StoredFolderError::Stream`] if they cannot be read.
    pub fn restore(
        manifest: Manifest,
        words: &mut dyn Read,
        check: &mut dyn Read,
        library: &CodeLibrary,
    ) -> Result<Self, StoredFolderError> {
        check_manifest(&manifest, library)?;
        let plan = &manifest.plan;
        let reader = StorageReader::new(plan.flips.clone(), library);
        let (groups, mut storages) = (Groups::of(plan), Vec::new());
        for tensor in &manifest.tensors {
            let words = take(words, &tensor.words, tensor, WORDS)?;
            let check = take(check, &tensor.check, tensor, CHECK)?;
            storages.extend(restored(tensor, plan, &groups, &reader, [&words, &check])?);
        }
        expect_end(words, WORDS)?;
        expect_end(check, CHECK)?;
        let tensors: Vec<_> =
            manifest.tensors.iter().map(|place| (place.index, place.tensor.clone())).collect();
        let (granularity, digest) = (manifest.granularity, manifest.model.sha256);
        let model = StoredModel::restored(&tensors, granularity, storages, digest);
        Ok(Self { manifest, model })
    }

    /// What is in the folder.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The plan that it was written by.
    pub fn plan(&self) -> &Plan {
        &self.manifest.plan
    }

    /// All groups, each with the one storage that it has. Magnitudes are those of the weights without
    /// faults.
    pub fn model(&self) -> &StoredModel {
        &self.model
    }

    /// The weights as they are read in one trial of `seed`.
    ///
    /// # Errors
    /// As [`StoredModel::read`].
    pub fn read(&self, seed: Seed, trial: u32) -> Result<Values, DeployError> {
        self.model.read(seed, trial, &self.model.uniform(0))
    }

    /// The weights without faults.
    pub fn golden(&self) -> Values {
        self.model.golden()
    }

    /// Refuses a model whose weights are not those that were stored: [`Manifest::check_weights`].
    ///
    /// # Errors
    /// [`PlanError::OtherModel`].
    pub fn check_weights(&self, sha256: WordDigest) -> Result<(), PlanError> {
        self.manifest.check_weights(sha256)
    }
}

/// Refuses a manifest that contradicts itself.
pub(super) fn check_manifest(
    manifest: &Manifest,
    library: &CodeLibrary,
) -> Result<(), StoredFolderError> {
    manifest.plan.check()?;
    check_model(&manifest.plan, manifest.model.sha256)?;
    check_places(manifest)?;
    codebooks::check(&manifest.codebooks, &manifest.plan, library)
}

/// Refuses a manifest whose tensors lie elsewhere than their shapes and the plan say.
fn check_places(manifest: &Manifest) -> Result<(), StoredFolderError> {
    let tensors: Vec<_> =
        manifest.tensors.iter().map(|place| (place.index, place.tensor.clone())).collect();
    let expected = lay_out(&tensors, manifest.granularity, &manifest.plan)?;
    let mut least = 0;
    for (mut expected, found) in expected.into_iter().zip(&manifest.tensors) {
        let wrong = |problem: String| StoredFolderError::Tensor {
            tensor: found.tensor.name.clone(),
            problem,
        };
        // Digests are compared with the bytes.
        (expected.words.sha256, expected.check.sha256) = (found.words.sha256, found.check.sha256);
        if expected != *found {
            return Err(wrong("lies elsewhere than its shape and the plan say".into()));
        }
        if found.index < least {
            return Err(wrong(format!("has number {}, and is not in its place", found.index)));
        }
        least = found.index.saturating_add(1);
    }
    Ok(())
}

/// Where the groups of a plan are, by name.
#[derive(Debug)]
pub(super) struct Groups(HashMap<String, usize>);

impl Groups {
    pub(super) fn of(plan: &Plan) -> Self {
        let groups = plan.groups.iter().enumerate();
        Self(groups.map(|(at, group)| (group.name.clone(), at)).collect())
    }

    fn get<'a>(&self, plan: &'a Plan, name: &str) -> Result<&'a PlanGroup, PlanError> {
        let group = self.0.get(name).and_then(|&at| plan.groups.get(at));
        group.ok_or_else(|| PlanError::MissingGroup(name.to_owned()))
    }
}

/// The storages of a tensor's groups, from its words and its check bits.
pub(super) fn restored(
    tensor: &ManifestTensor,
    plan: &Plan,
    groups: &Groups,
    reader: &StorageReader,
    [words, check]: [&[u8]; 2],
) -> Result<Vec<Arc<dyn WeightStorage>>, StoredFolderError> {
    let restore = |group: &ManifestGroup| {
        let words = bytes_at(words, group.words, &tensor.words);
        let stored = StoredBytes::new(words, bytes_at(check, group.check, &tensor.check));
        let storage = reader.restore(groups.get(plan, &group.name)?, &stored);
        storage.map_err(|source| StoredFolderError::Group { name: group.name.clone(), source })
    };
    tensor.groups.par_iter().map(restore).collect()
}

/// Bytes of a part. Those that it lacks are missing in what is returned.
fn bytes_at(part: &[u8], span: Span, place: &Part) -> Vec<u8> {
    let start = span.offset.saturating_sub(place.offset) as usize;
    let bytes = part.get(start..).unwrap_or_default();
    bytes[..bytes.len().min(span.bytes as usize)].to_vec()
}

/// The bytes of a part, with no more memory than there are.
pub(super) fn take(
    from: &mut dyn Read,
    part: &Part,
    tensor: &ManifestTensor,
    file: &'static str,
) -> Result<Vec<u8>, StoredFolderError> {
    let name = &tensor.tensor.name;
    let mut bytes = Vec::new();
    let failed = |source| StoredFolderError::Stream { action: "read", file, source };
    from.take(part.bytes).read_to_end(&mut bytes).map_err(failed)?;
    let missing = part.bytes - bytes.len() as u64;
    if missing > 0 {
        return Err(StoredFolderError::Short { file, tensor: name.clone(), missing });
    }
    let found = WordDigest::of(&bytes);
    if found == part.sha256 {
        return Ok(bytes);
    }
    let (part, expected) = (format!("tensor {name:?} in {file}"), part.sha256.to_string());
    Err(StoredFolderError::Altered { part, expected, found: found.to_string() })
}

/// Refuses bytes behind the last tensor.
fn expect_end(from: &mut dyn Read, file: &'static str) -> Result<(), StoredFolderError> {
    let mut rest = Vec::new();
    let failed = |source| StoredFolderError::Stream { action: "read", file, source };
    from.take(1).read_to_end(&mut rest).map_err(failed)?;
    if rest.is_empty() { Ok(()) } else { Err(StoredFolderError::Long { file }) }
}

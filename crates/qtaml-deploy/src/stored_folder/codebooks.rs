//! The tables of the codebooks of a plan: constants of the memory, written down for other programs.

use std::collections::BTreeSet;

use qtaml_compensation::codebook::StandardShape;
use qtaml_compensation::storage::CodeLibrary;
use qtaml_compensation::{Plan, PlannedStorage, StorageError};
use qtaml_fault::MemoryModel;
use serde::{Deserialize, Serialize};

use super::StoredFolderError;

/// What the words of a codebook are read as, for weights of variance 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct CodebookTable {
    /// The shape that it is designed for.
    pub shape: StandardShape,
    /// The bits of a word.
    pub width: u32,
    /// How many of the highest never flip.
    pub protected: u32,
    /// The value of each word, in the order of the words. All are `f32`.
    pub table: Vec<f64>,
}

/// The tables of all codebooks that a plan uses, each once, in the order of shape, width and protected bits.
pub(super) fn tables(
    plan: &Plan,
    library: &CodeLibrary,
) -> Result<Vec<CodebookTable>, StoredFolderError> {
    let key = |storage: &PlannedStorage| match *storage {
        PlannedStorage::Codebook { shape, width, protected, .. } => Some((shape, width, protected)),
        _ => None,
    };
    let keys: BTreeSet<_> = plan.groups.iter().filter_map(|group| key(&group.storage)).collect();
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let codes = library.codebooks(&MemoryModel::new(plan.flips.clone()))?;
    let table = |(shape, width, protected)| {
        let table = codes.table(shape, width, protected).map_err(StorageError::from)?;
        let table = table.into_iter().map(f64::from).collect();
        Ok(CodebookTable { shape, width, protected, table })
    };
    keys.into_iter().map(table).collect()
}

/// Refuses other tables than those of the plan, as this program makes them: its words would be read as
/// other weights.
pub(super) fn check(
    found: &[CodebookTable],
    plan: &Plan,
    library: &CodeLibrary,
) -> Result<(), StoredFolderError> {
    let expected = tables(plan, library)?;
    let wrong = |codebook: &CodebookTable, problem| {
        let &CodebookTable { shape, width, protected, .. } = codebook;
        StoredFolderError::Codebook { shape, width, protected, problem }
    };
    let key = |codebook: &CodebookTable| (codebook.shape, codebook.width, codebook.protected);
    for (at, expected) in expected.iter().enumerate() {
        match found.get(at) {
            Some(found) if found == expected => {}
            Some(found) if key(found) == key(expected) => {
                return Err(wrong(found, "is not the one that this program makes for the memory"));
            }
            _ => return Err(wrong(expected, "is missing, or not in its place")),
        }
    }
    match found.get(expected.len()) {
        Some(more) => Err(wrong(more, "is used by no group")),
        None => Ok(()),
    }
}

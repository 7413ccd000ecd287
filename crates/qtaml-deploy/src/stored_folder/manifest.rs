//! The manifest of a stored folder: the plan, the tensors, and where each group lies.

use qtaml_compensation::storage::StoredLayout;
use qtaml_compensation::{Plan, PlanFileError, PlannedModel};
use qtaml_fault::WordDigest;
use qtaml_quant::Granularity;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{CodebookTable, StoredFolderError};
use crate::job::Fingerprint;
use crate::{PlanError, WeightTensor};

/// What is in a stored folder: docs/stored-folder.md, field by field.
///
/// It is kept as JSON, and holds its own digest: the [`Fingerprint`] of the object without its member
/// `sha256`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Manifest {
    /// [`Manifest::FORMAT`].
    pub format: String,
    /// [`Manifest::SCHEMA`].
    pub schema: u64,
    /// The program that wrote it, for people.
    pub producer: String,
    /// The model whose weights were stored.
    pub model: PlannedModel,
    /// How tensors are cut into groups.
    pub granularity: Granularity,
    /// How each group is stored.
    pub plan: Plan,
    /// The fingerprint of the plan.
    pub plan_sha256: Fingerprint,
    /// The tables of the codebooks of the plan.
    pub codebooks: Vec<CodebookTable>,
    /// The tensors, in the order of their bytes.
    pub tensors: Vec<ManifestTensor>,
    /// The fingerprint of all other members.
    pub sha256: Fingerprint,
}

/// A tensor, and where its groups lie.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct ManifestTensor {
    /// Its number among the tensors of the model, of which not all are stored.
    pub index: usize,
    /// Name, shape, type, role, output axis and aliases.
    pub tensor: WeightTensor,
    /// Its bytes in `words.bin`.
    pub words: Part,
    /// Its bytes in `check.bin`.
    pub check: Part,
    /// Its groups, in the order of its channels.
    pub groups: Vec<ManifestGroup>,
}

/// A group, and where it lies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct ManifestGroup {
    /// Its name, as in the plan.
    pub name: String,
    /// The number of its first weight in the order of the tensor's channels.
    pub start: usize,
    /// The number of the weight after its last.
    pub end: usize,
    /// How its bytes are laid out.
    pub layout: StoredLayout,
    /// Its bytes in `words.bin`.
    pub words: Span,
    /// Its bytes in `check.bin`.
    pub check: Span,
}

/// Bytes of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Span {
    /// The first of them.
    pub offset: u64,
    /// How many there are.
    pub bytes: u64,
}

/// Bytes of a file, and their digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Part {
    /// The first of them.
    pub offset: u64,
    /// How many there are.
    pub bytes: u64,
    /// Their SHA-256.
    pub sha256: WordDigest,
}

impl Manifest {
    /// What kind of file it is.
    pub const FORMAT: &str = "qtaml-stored-model";
    /// The version of the format that is written and read.
    pub const SCHEMA: u64 = 1;

    /// The manifest of these tensors, with its digests.
    pub(super) fn new(
        model: PlannedModel,
        granularity: Granularity,
        plan: Plan,
        codebooks: Vec<CodebookTable>,
        tensors: Vec<ManifestTensor>,
    ) -> Result<Self, StoredFolderError> {
        let plan_sha256 = fingerprint(&text(&plan)?)?;
        let mut manifest = Self {
            format: Self::FORMAT.into(),
            schema: Self::SCHEMA,
            producer: concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION")).into(),
            model,
            granularity,
            plan,
            plan_sha256,
            codebooks,
            tensors,
            sha256: plan_sha256,
        };
        let mut value = value(&text(&manifest)?)?;
        remove(&mut value, "sha256");
        manifest.sha256 = digest(&value)?;
        Ok(manifest)
    }

    /// Refuses a model whose weights are not those that were stored, as told by their
    /// [digest](qtaml_compensation::WeightsDigester).
    ///
    /// # Errors
    /// [`PlanError::OtherModel`].
    pub fn check_weights(&self, sha256: WordDigest) -> Result<(), PlanError> {
        if self.model.sha256 == sha256 {
            return Ok(());
        }
        Err(PlanError::OtherModel { planned: self.model.clone(), found: sha256 })
    }

    /// The manifest as JSON, for people to read as well.
    pub fn to_json(&self) -> String {
        // Maps with keys that are no strings are all that could fail here, and there are none.
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    /// The manifest in a JSON text, if nothing in it has changed since it was written.
    ///
    /// # Errors
    /// [`StoredFolderError::Format`] and [`StoredFolderError::Schema`] for something else or another
    /// version, [`StoredFolderError::Altered`] for one that has another digest than it says,
    /// [`StoredFolderError::PlanFile`] for a plan of another version, [`StoredFolderError::Text`] if
    /// the text is no JSON, or fields are missing, unknown or of another kind.
    pub fn from_json(text: &str) -> Result<Self, StoredFolderError> {
        #[derive(Deserialize)]
        struct Version {
            format: String,
            schema: u64,
        }
        let Version { format, schema } = serde_json::from_str(text).map_err(wrong_text)?;
        if format != Self::FORMAT {
            return Err(StoredFolderError::Format(format));
        }
        if schema != Self::SCHEMA {
            return Err(StoredFolderError::Schema(schema));
        }
        let mut value = value(text)?;
        check_digest("the manifest", remove(&mut value, "sha256"), &value)?;
        let plan = value.get("plan").unwrap_or(&Value::Null);
        check_digest("the plan", value.get("plan_sha256").cloned(), plan)?;
        // Plans of another version may have other fields.
        match plan.get("schema").and_then(Value::as_u64) {
            Some(schema) if schema != Plan::SCHEMA => Err(PlanFileError::Schema(schema).into()),
            _ => serde_json::from_str(text).map_err(wrong_text),
        }
    }
}

fn wrong_text(error: serde_json::Error) -> StoredFolderError {
    StoredFolderError::Text(error.into())
}

fn text(content: &impl Serialize) -> Result<String, StoredFolderError> {
    serde_json::to_string(content).map_err(wrong_text)
}

/// The content of a text. What is not yet a text has no digest: `f32` numbers become other ones on the
/// direct way.
fn value(text: &str) -> Result<Value, StoredFolderError> {
    serde_json::from_str(text).map_err(wrong_text)
}

fn fingerprint(text: &str) -> Result<Fingerprint, StoredFolderError> {
    digest(&value(text)?)
}

fn digest(value: &Value) -> Result<Fingerprint, StoredFolderError> {
    // Values that come from a text have a canonical form.
    Fingerprint::of(value).map_err(|error| wrong_text(serde::ser::Error::custom(error)))
}

fn remove(value: &mut Value, member: &str) -> Option<Value> {
    value.as_object_mut().and_then(|members| members.remove(member))
}

/// Refuses content of another digest than is written.
fn check_digest(
    part: &str,
    expected: Option<Value>,
    found: &Value,
) -> Result<(), StoredFolderError> {
    let found = digest(found)?.to_string();
    let expected = match expected {
        Some(Value::String(expected)) => expected,
        _ => "none".to_owned(),
    };
    if expected == found {
        return Ok(());
    }
    Err(StoredFolderError::Altered { part: part.into(), expected, found })
}

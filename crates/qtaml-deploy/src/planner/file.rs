//! The plan of a model as a file: the plan, the scheme that carries it out, and the model it is for.

use qtaml_compensation::Plan;
use qtaml_compensation::allocation::Selection;
use qtaml_compensation::storage::CodeLibrary;
use serde::{Deserialize, Serialize};

use crate::scheme::Scheme;
use crate::{DeployError, Runner, StoredModel};

/// A plan for one model, with all that is needed to carry it out on the model's weights.
///
/// The plan alone is enough for a reader of what was stored. To store a model one has to choose codes
/// again, as the scheme says: it is deterministic, and [`store`](Self::store) checks that it arrives at
/// the plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelPlan {
    /// The version of this file.
    pub schema: u64,
    /// The SHA-256 of the model file that it was made for, in hexadecimal digits.
    pub model: String,
    /// How weights are stored.
    pub scheme: Scheme,
    /// What is done in each group.
    pub plan: Plan,
}

/// Why a file is no plan of a model.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelPlanError {
    /// No JSON, or not that of a plan.
    #[error("this is no plan of a model, as `qtaml plan` writes it")]
    Text(#[source] serde_json::Error),
    /// A file of another version.
    #[error("the plan has schema {0}: {version} is read", version = ModelPlan::SCHEMA)]
    Schema(u64),
    /// A plan for another model.
    #[error("the plan is for a model with SHA-256 {planned}, this one has {found}")]
    OtherModel {
        /// The model that it is for.
        planned: String,
        /// The one at hand.
        found: String,
    },
}

impl ModelPlan {
    /// The version that is written and read.
    pub const SCHEMA: u64 = 1;

    /// A plan for the model with this digest.
    pub fn new(model: impl Into<String>, scheme: Scheme, plan: Plan) -> Self {
        Self { schema: Self::SCHEMA, model: model.into(), scheme, plan }
    }

    /// The plan in a JSON text.
    ///
    /// # Errors
    /// [`ModelPlanError::Text`] and [`ModelPlanError::Schema`].
    pub fn from_json(text: &str) -> Result<Self, ModelPlanError> {
        #[derive(Deserialize)]
        struct Version {
            schema: u64,
        }
        let Version { schema } = serde_json::from_str(text).map_err(ModelPlanError::Text)?;
        if schema != Self::SCHEMA {
            return Err(ModelPlanError::Schema(schema));
        }
        serde_json::from_str(text).map_err(ModelPlanError::Text)
    }

    /// The plan as JSON.
    pub fn to_json(&self) -> String {
        // Maps with keys that are no strings are all that could fail here, and there are none.
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    /// Refuses another model than the one that it was made for.
    ///
    /// # Errors
    /// [`ModelPlanError::OtherModel`].
    pub fn check_model(&self, digest: &str) -> Result<(), ModelPlanError> {
        if self.model == digest {
            return Ok(());
        }
        let (planned, found) = (self.model.clone(), digest.to_owned());
        Err(ModelPlanError::OtherModel { planned, found })
    }

    /// The model of a runner stored as planned: all candidates, and which of them the plan takes.
    ///
    /// # Errors
    /// As [`Scheme::store_planned`] and [`StoredModel::selection_of`].
    pub fn store(
        &self,
        runner: &dyn Runner,
        library: &CodeLibrary,
    ) -> Result<(StoredModel, Selection), DeployError> {
        let model = self.scheme.store_planned(runner, &self.plan, library)?;
        let selection = model.selection_of(&self.plan)?;
        Ok((model, selection))
    }
}

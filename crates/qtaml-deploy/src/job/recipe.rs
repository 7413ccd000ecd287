//! Recipes: everything that a result follows from, as data.

use serde::Serialize;
use serde_json::Value;

use super::canonical::{canonical_text, strict_value};
use super::{CanonicalError, Fingerprint, JobError};

/// A description of work in canonical form, with its fingerprint.
///
/// Anything that serializes describes work: a configuration, or a tuple of a tag and parameters.
/// Words for people, such as labels and titles, do not belong in it: they change without the work.
#[derive(Debug, Clone, PartialEq)]
pub struct Recipe {
    description: Value,
    text: String,
}

impl Recipe {
    /// The recipe with this description.
    ///
    /// # Errors
    /// [`JobError::Recipe`] for a description without canonical form.
    pub fn new(description: &(impl Serialize + ?Sized)) -> Result<Self, JobError> {
        let of = || -> Result<Self, CanonicalError> {
            let description = strict_value(description)?;
            let text = canonical_text(&description)?;
            Ok(Self { description, text })
        };
        of().map_err(JobError::Recipe)
    }

    /// The description as JSON.
    pub fn description(&self) -> &Value {
        &self.description
    }

    /// The description as canonical text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The fingerprint of the description alone. Files are named by that of recipe and build together.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of_text(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recipe_is_its_canonical_text() {
        let recipe = Recipe::new(&serde_json::json!({"p": 0.1, "net": "lenet"})).unwrap();
        assert_eq!(recipe.text(), r#"{"net":"lenet","p":0.1}"#);
        assert_eq!(recipe.description()["p"], 0.1);
        assert_eq!(recipe.fingerprint(), Fingerprint::of(recipe.description()).unwrap());
    }

    #[test]
    fn what_cannot_be_written_down_is_refused() {
        let error = Recipe::new(&("p", f64::NAN)).unwrap_err();
        assert_eq!(error.to_string(), "the recipe cannot be written down");
    }
}

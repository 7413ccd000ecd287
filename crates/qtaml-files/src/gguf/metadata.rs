//! The metadata of a GGUF file.

use std::collections::BTreeMap;

use super::GgufError;

/// A value of the metadata.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum GgufValue {
    /// An integer of any size and sign.
    Integer(i128),
    /// A number of single or double precision.
    Float(f64),
    /// A truth value.
    Bool(bool),
    /// A text.
    Text(String),
    /// Texts, as those of a vocabulary.
    Texts(Vec<String>),
    /// Numbers; truth values are 0 and 1.
    Numbers(Vec<f64>),
}

impl GgufValue {
    /// What it is, in words.
    fn kind(&self) -> &'static str {
        match self {
            Self::Integer(_) => "an integer",
            Self::Float(_) => "a number with a fraction",
            Self::Bool(_) => "a truth value",
            Self::Text(_) => "a text",
            Self::Texts(_) => "a list of texts",
            Self::Numbers(_) => "a list of numbers",
        }
    }
}

/// Names and values that a file says of its model.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct GgufMetadata(BTreeMap<String, GgufValue>);

impl GgufMetadata {
    /// Takes in a value.
    pub(super) fn insert(&mut self, key: String, value: GgufValue) -> Result<(), GgufError> {
        if self.0.contains_key(&key) {
            return Err(GgufError::Twice { what: "metadata", name: key });
        }
        self.0.insert(key, value);
        Ok(())
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&GgufValue> {
        self.0.get(key)
    }

    /// All keys with their values, sorted.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &GgufValue)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// A text.
    ///
    /// # Errors
    /// [`GgufError::Metadata`] if there is none of that key.
    pub fn text(&self, key: &str) -> Result<&str, GgufError> {
        match self.get(key) {
            Some(GgufValue::Text(text)) => Ok(text),
            other => Err(wrong(key, other, "a text")),
        }
    }

    /// A number of things.
    ///
    /// # Errors
    /// [`GgufError::Metadata`] if there is none of that key.
    pub fn count(&self, key: &str) -> Result<usize, GgufError> {
        let fits = |value: &GgufValue| match value {
            GgufValue::Integer(count) => usize::try_from(*count).ok(),
            _ => None,
        };
        self.get(key).and_then(fits).ok_or_else(|| wrong(key, self.get(key), "a count"))
    }

    /// A number.
    ///
    /// # Errors
    /// [`GgufError::Metadata`] if there is none of that key, or one that is not finite.
    pub fn number(&self, key: &str) -> Result<f64, GgufError> {
        match self.get(key) {
            Some(GgufValue::Float(number)) if number.is_finite() => Ok(*number),
            Some(GgufValue::Integer(number)) => Ok(*number as f64),
            other => Err(wrong(key, other, "a finite number")),
        }
    }

    /// Texts.
    ///
    /// # Errors
    /// [`GgufError::Metadata`] if there are none of that key.
    pub fn texts(&self, key: &str) -> Result<&[String], GgufError> {
        match self.get(key) {
            Some(GgufValue::Texts(texts)) => Ok(texts),
            other => Err(wrong(key, other, "a list of texts")),
        }
    }

    /// Numbers.
    ///
    /// # Errors
    /// [`GgufError::Metadata`] if there are none of that key.
    pub fn numbers(&self, key: &str) -> Result<&[f64], GgufError> {
        match self.get(key) {
            Some(GgufValue::Numbers(numbers)) => Ok(numbers),
            other => Err(wrong(key, other, "a list of numbers")),
        }
    }
}

fn wrong(key: &str, found: Option<&GgufValue>, expected: &'static str) -> GgufError {
    let found = match found {
        None => "missing".to_owned(),
        Some(GgufValue::Integer(number)) => format!("the integer {number}"),
        Some(GgufValue::Float(number)) => format!("the number {number:?}"),
        Some(value) => value.kind().to_owned(),
    };
    GgufError::Metadata { key: key.into(), found, expected }
}

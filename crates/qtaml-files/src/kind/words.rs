//! Words of `qtaml codec encode`: how many of which width a tensor of bytes holds.

use std::collections::BTreeMap;

use safetensors::Dtype;
use serde::{Deserialize, Serialize};

use crate::{Checkpoint, FileError, ModelFile, TensorInfo, UnknownName};

/// Words of one width back to back in a tensor of U8, one for each weight: bit `j` of word `i` is bit
/// `i R + j` of the tensor, the least significant first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredWords {
    /// The bits of a word.
    pub bits: u32,
    /// The number of words.
    pub weights: u64,
}

/// Why the words of a file are not known, though its metadata speak of some.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WordsError {
    /// Metadata that are no JSON of this form.
    #[error("they are no JSON of the bits and weights of each tensor")]
    Json(#[source] serde_json::Error),
    /// A tensor that the file has not.
    #[error(transparent)]
    Unknown(#[from] UnknownName),
    /// Words of a width that there is not.
    #[error("tensor {tensor:?}: words of {bits} bits, 1..={} are allowed", StoredWords::MOST_BITS)]
    Width {
        /// The tensor.
        tensor: String,
        /// The bits of a word.
        bits: u32,
    },
    /// Words that do not fill their tensor.
    #[error(
        "tensor {tensor:?} is {bytes} bytes of {dtype}, and {} words of {} bits are {} of U8",
        words.weights, words.bits, words.bytes()
    )]
    Length {
        /// The tensor.
        tensor: String,
        /// Its type.
        dtype: Dtype,
        /// Its length.
        bytes: u64,
        /// What it is said to hold.
        words: StoredWords,
    },
}

impl StoredWords {
    /// In the metadata of a file of words: those of each tensor, as JSON.
    pub const METADATA: &str = "qtaml.words";

    /// The most bits of a word.
    pub const MOST_BITS: u32 = 12;

    /// Bytes that they fill.
    pub fn bytes(self) -> u64 {
        self.weights.saturating_mul(self.bits.into()).div_ceil(8)
    }

    /// What the metadata say of some tensors.
    ///
    /// # Errors
    /// [`serde_json::Error`] never, for names that are text.
    pub fn to_json(tensors: &BTreeMap<String, Self>) -> Result<String, serde_json::Error> {
        serde_json::to_string(tensors)
    }

    /// What some metadata say, whatever the file is.
    pub(super) fn of_metadata(
        metadata: &BTreeMap<String, String>,
    ) -> Result<BTreeMap<String, Self>, WordsError> {
        let text = metadata.get(Self::METADATA);
        text.map_or(Ok(BTreeMap::new()), |text| {
            serde_json::from_str(text).map_err(WordsError::Json)
        })
    }

    /// Whether a tensor can hold them.
    pub(super) fn check(self, tensor: &TensorInfo) -> Result<(), WordsError> {
        let (name, dtype, bytes) = (|| tensor.name.clone(), tensor.dtype, tensor.bytes);
        if !(1..=Self::MOST_BITS).contains(&self.bits) {
            return Err(WordsError::Width { tensor: name(), bits: self.bits });
        }
        if dtype != Dtype::U8 || bytes != self.bytes() {
            return Err(WordsError::Length { tensor: name(), dtype, bytes, words: self });
        }
        Ok(())
    }
}

impl ModelFile {
    /// The words of its tensors, by their names: none unless `qtaml codec encode` wrote the file.
    ///
    /// # Errors
    /// [`FileError::Words`] for metadata that speak of words and do not fit the tensors.
    pub fn stored_words(&self) -> Result<BTreeMap<String, StoredWords>, FileError> {
        let read = || -> Result<_, WordsError> {
            let all = StoredWords::of_metadata(self.metadata())?;
            all.iter().try_for_each(|(name, words)| words.check(self.tensor(name)?))?;
            Ok(all)
        };
        read().map_err(|source| FileError::Words { path: self.path().into(), source })
    }
}

impl Checkpoint {
    /// As [`ModelFile::stored_words`]: each file speaks of its own tensors.
    ///
    /// # Errors
    /// As [`ModelFile::stored_words`].
    pub fn stored_words(&self) -> Result<BTreeMap<String, StoredWords>, FileError> {
        let mut all = BTreeMap::new();
        for file in self.shards() {
            all.extend(file.stored_words()?);
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error;

    use super::*;
    use crate::changes::Changes;
    use crate::{TensorLayout, header};

    fn model(json: &str) -> tempfile::NamedTempFile {
        let metadata = [(StoredWords::METADATA.to_owned(), json.to_owned())].into();
        let layout = |name, dtype| TensorLayout { name, dtype, shape: &[1, 10], bytes: 10 };
        let mut bytes =
            header(&metadata, [layout("w", Dtype::U8), layout("x", Dtype::I8)]).unwrap();
        bytes.extend([0; 20]);
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        file
    }

    /// A file of words is read and described alike, or refused by both, with what is wrong.
    #[test]
    fn damaged_words_are_an_error_wherever_they_are_read() {
        let fits = [("w".to_owned(), StoredWords { bits: 5, weights: 16 })].into();
        let file = model(&StoredWords::to_json(&fits).unwrap());
        let checkpoint = Checkpoint::open(file.path()).unwrap();
        assert_eq!(checkpoint.stored_words().unwrap(), fits);
        assert!(checkpoint.describe(None).unwrap()[0].kind.is_weight());
        for (json, named) in [
            (
                r#"{"w": {"bits": 5, "weights": 17}}"#,
                "is 10 bytes of U8, and 17 words of 5 bits are 11",
            ),
            (r#"{"w": {"bits": 5, "weights": 1}}"#, "1 words of 5 bits are 1 of U8"),
            (r#"{"w": {"bits": 13, "weights": 1}}"#, "words of 13 bits, 1..=12 are allowed"),
            (r#"{"w": {"bits": 0, "weights": 1}}"#, "words of 0 bits"),
            (r#"{"w": {"bits": 5, "weights": 18446744073709551615}}"#, "is 10 bytes"),
            (r#"{"x": {"bits": 5, "weights": 16}}"#, "is 10 bytes of I8"),
            (r#"{"v": {"bits": 5, "weights": 16}}"#, "there is no tensor \"v\""),
            (r#"{"w": {"bits": 5}}"#, "no JSON of the bits"),
            (r#"{"w": {"bits": 5, "weights": 16, "more": 1}}"#, "no JSON of the bits"),
            ("{", "no JSON of the bits"),
            ("", "no JSON of the bits"),
        ] {
            let file = model(json);
            let checkpoint = Checkpoint::open(file.path()).unwrap();
            let errors = [checkpoint.stored_words().err(), checkpoint.describe(None).err()];
            for error in errors {
                let error = error.unwrap();
                assert!(error.to_string().contains("\"qtaml.words\""), "{error}");
                let source = error.source().unwrap().to_string();
                assert!(source.contains(named), "{json}: {source}");
            }
        }
    }

    #[test]
    fn changed_words_fit_their_tensor_or_are_refused() {
        let json = br#"{"w": {"bits": 5, "weights": 16}}"#;
        let mut random = Changes::new(7);
        for _ in 0..2000 {
            let json = String::from_utf8_lossy(&random.change(json)).into_owned();
            let file = model(&json);
            let Ok(checkpoint) = Checkpoint::open(file.path()) else { continue };
            for (name, words) in checkpoint.stored_words().unwrap_or_default() {
                let bytes = checkpoint.tensor(&name).unwrap().bytes;
                assert!(words.bytes() == bytes && (1..=12).contains(&words.bits), "{json}");
            }
        }
    }
}

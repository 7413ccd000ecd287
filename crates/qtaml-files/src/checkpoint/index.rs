//! The index of a checkpoint in several files: which tensor lies in which of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Component, Path};

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};

use crate::CheckpointError;

/// The member of the index that maps tensors to files.
pub(crate) const INDEX_MEMBER: &str = "weight_map";

/// The longest index that is read: as long as the longest header of a single file.
pub(super) const LONGEST_INDEX: u64 = 100_000_000;

/// The file of each tensor, by their names.
#[derive(Debug, PartialEq)]
pub(super) struct ShardIndex {
    /// The files that hold the tensors.
    files: BTreeMap<String, String>,
}

impl ShardIndex {
    /// Reads an index, whose files must all be neighbours of it.
    ///
    /// # Errors
    /// [`CheckpointError::Json`], [`CheckpointError::TwiceInIndex`], [`CheckpointError::NoShards`] and
    /// [`CheckpointError::ShardName`].
    pub(super) fn of_json(json: &[u8]) -> Result<Self, CheckpointError> {
        let Members { weight_map } = serde_json::from_slice(json).map_err(CheckpointError::Json)?;
        let mut files = BTreeMap::new();
        for (tensor, file) in weight_map {
            if !is_plain(&file) {
                return Err(CheckpointError::ShardName { tensor, file });
            }
            if files.insert(tensor.clone(), file).is_some() {
                return Err(CheckpointError::TwiceInIndex { tensor });
            }
        }
        if files.is_empty() {
            return Err(CheckpointError::NoShards);
        }
        Ok(Self { files })
    }

    /// The files, each once, in the order of their names.
    pub(super) fn shards(&self) -> BTreeSet<&str> {
        self.files.values().map(String::as_str).collect()
    }

    /// The file of a tensor.
    pub(super) fn shard_of(&self, tensor: &str) -> Option<&str> {
        self.files.get(tensor).map(String::as_str)
    }

    /// Tensors with their files.
    pub(super) fn tensors(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files.iter().map(|(tensor, file)| (tensor.as_str(), file.as_str()))
    }
}

/// The index with another total size of its tensors in bytes; `None` if it says that already, or nothing of
/// it.
pub(super) fn with_total_size(json: &[u8], bytes: u64) -> Result<Option<Vec<u8>>, CheckpointError> {
    let mut index: serde_json::Value =
        serde_json::from_slice(json).map_err(CheckpointError::Json)?;
    let said = index.get_mut("metadata").and_then(|metadata| metadata.get_mut("total_size"));
    let Some(said) = said.filter(|said| **said != bytes) else { return Ok(None) };
    *said = bytes.into();
    serde_json::to_vec_pretty(&index).map(Some).map_err(CheckpointError::Json)
}

/// Whether a file is a neighbour: a name and nothing else, which leads to no other folder on any
/// system.
fn is_plain(file: &str) -> bool {
    let mut parts = Path::new(file).components();
    let is_name = matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None));
    is_name && !file.contains(['/', '\\', ':', '\0'])
}

/// What is read of the JSON object.
#[derive(Deserialize)]
struct Members {
    #[serde(deserialize_with = "pairs")]
    weight_map: Vec<(String, String)>,
}

/// All members of an object, with names that occur more than once.
fn pairs<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<(String, String)>, D::Error> {
    struct Pairs;
    impl<'de> Visitor<'de> for Pairs {
        type Value = Vec<(String, String)>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object of file names")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut pairs = Vec::new();
            while let Some(pair) = map.next_entry()? {
                pairs.push(pair);
            }
            Ok(pairs)
        }
    }
    deserializer.deserialize_map(Pairs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::changes::Changes;

    #[test]
    fn an_index_lists_its_shards() {
        let json = br#"{"metadata": {"total_size": 8}, "weight_map": {
            "b": "m-2.safetensors", "a": "m-1.safetensors", "c": "m-1.safetensors"}}"#;
        let index = ShardIndex::of_json(json).unwrap();
        assert_eq!(Vec::from_iter(index.shards()), ["m-1.safetensors", "m-2.safetensors"]);
        assert_eq!(index.shard_of("b"), Some("m-2.safetensors"));
        assert_eq!(index.shard_of("d"), None);
        assert_eq!(index.tensors().count(), 3);
    }

    #[test]
    fn a_hostile_index_is_refused_by_what_is_wrong_with_it() {
        for file in [
            "../m.safetensors",
            "/etc/passwd",
            "a/m.safetensors",
            "..",
            ".",
            "",
            "..\\\\m.safetensors",
            "C:m.safetensors",
            "m\\u0000.safetensors",
            "./m.safetensors",
            "m.safetensors/",
        ] {
            let json = format!(r#"{{"weight_map": {{"a": "{file}"}}}}"#);
            let error = ShardIndex::of_json(json.as_bytes()).unwrap_err();
            assert!(matches!(error, CheckpointError::ShardName { .. }), "{file}: {error:?}");
        }
        let error = |json: &str| ShardIndex::of_json(json.as_bytes()).unwrap_err();
        let twice = error(r#"{"weight_map": {"a": "b", "a": "c"}}"#);
        assert!(matches!(twice, CheckpointError::TwiceInIndex { tensor } if tensor == "a"));
        assert!(matches!(error(r#"{"weight_map": {}}"#), CheckpointError::NoShards));
        for json in ["", "{}", "[]", r#"{"weight_map": []}"#, r#"{"weight_map": {"a": 1}}"#] {
            assert!(matches!(error(json), CheckpointError::Json(_)), "{json}");
        }
        let deep = format!(r#"{{"metadata": {}1{}}}"#, "[".repeat(5000), "]".repeat(5000));
        assert!(matches!(error(&deep), CheckpointError::Json(_)));
    }

    #[test]
    fn the_total_size_is_that_of_the_tensors() {
        let json = br#"{"metadata": {"total_size": 8, "by": "me"}, "weight_map": {"a": "m"}}"#;
        assert_eq!(with_total_size(json, 8).unwrap(), None);
        let other = with_total_size(json, 99).unwrap().unwrap();
        let other: serde_json::Value = serde_json::from_slice(&other).unwrap();
        let expected = serde_json::json!({
            "metadata": {"total_size": 99, "by": "me"}, "weight_map": {"a": "m"}
        });
        assert_eq!(other, expected);
        for json in [&br#"{"weight_map": {"a": "m"}}"#[..], br#"{"metadata": 3}"#, b"[]"] {
            assert_eq!(with_total_size(json, 1).unwrap(), None);
        }
    }

    #[test]
    fn changed_indices_lead_to_no_other_folder() {
        let json = br#"{"metadata": {"total_size": 8}, "weight_map": {"b": "m-2.safetensors", "a":
            "m-1.safetensors", "../c": "..m.safetensors"}}"#;
        let mut random = Changes::new(2);
        let (mut accepted, mut refused) = (0, 0);
        for _ in 0..20_000 {
            match ShardIndex::of_json(&random.change(json)) {
                Ok(index) => {
                    accepted += 1;
                    for shard in index.shards() {
                        let path = Path::new("/folder").join(shard);
                        assert_eq!(path.parent(), Some(Path::new("/folder")), "{shard}");
                    }
                }
                Err(_) => refused += 1,
            }
        }
        assert!(accepted > 1000 && refused > 1000, "{accepted} {refused}");
    }
}

//! Errors of checkpoints in several files.

use std::io;

use crate::FileFormat;

/// What is wrong with a folder or an index that is to lead to a model.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// A folder without safetensors files.
    #[error("there is no safetensors file in it{}", told(found.as_ref()))]
    NoModel {
        /// A file that may be meant, and what it is.
        found: Option<(String, FileFormat)>,
    },
    /// A folder with several indices.
    #[error("there are several indices in it, {}: name the one that is meant", listed(indices))]
    SeveralIndices {
        /// Their names.
        indices: Vec<String>,
    },
    /// An index that is too long to be one.
    #[error("it has {bytes} bytes, and an index has at most {most}")]
    TooLong {
        /// Its length.
        bytes: u64,
        /// The longest allowed one.
        most: u64,
    },
    /// An index that is no JSON of file names.
    #[error("it is no index of shards")]
    Json(#[source] serde_json::Error),
    /// An index of nothing.
    #[error("it is an index without a single tensor")]
    NoShards,
    /// A file name that leads to another folder.
    #[error("it has tensor {tensor:?} in {file:?}, which is no name of a file beside it")]
    ShardName {
        /// The tensor.
        tensor: String,
        /// Where it is to be.
        file: String,
    },
    /// A tensor that an index names more than once.
    #[error("it names tensor {tensor:?} twice")]
    TwiceInIndex {
        /// The tensor.
        tensor: String,
    },
    /// Files that are not there.
    #[error("{} of its {of} files are missing: {}", missing.len(), listed(missing))]
    MissingShards {
        /// Their names.
        missing: Vec<String>,
        /// How many there should be.
        of: usize,
    },
    /// A tensor that an index has in a file that does not hold it.
    #[error("tensor {tensor:?} is not in {file} as its index says{}", elsewhere(other.as_deref()))]
    NotInShard {
        /// The tensor.
        tensor: String,
        /// The file that is to hold it.
        file: String,
        /// The one that does.
        other: Option<String>,
    },
    /// A tensor that an index does not name.
    #[error("tensor {tensor:?} of {file} is not in its index")]
    NotInIndex {
        /// The tensor.
        tensor: String,
        /// Its file.
        file: String,
    },
    /// A tensor in two files.
    #[error(
        "tensor {tensor:?} is in {file} and in {other}: name the file or the index that is meant"
    )]
    TwiceInShards {
        /// The tensor.
        tensor: String,
        /// A file.
        file: String,
        /// The other one.
        other: String,
    },
    /// What the system says.
    #[error("it cannot be read")]
    Io(#[source] io::Error),
}

/// Names that are listed at most.
const LISTED: usize = 10;

fn listed(names: &[String]) -> String {
    let first: Vec<&str> = names.iter().take(LISTED).map(String::as_str).collect();
    let more = match names.len().saturating_sub(LISTED) {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    first.join(", ") + &more
}

fn told(found: Option<&(String, FileFormat)>) -> String {
    let Some((name, format)) = found else { return String::new() };
    format!("; {name} is {format}: {}", format.advice())
}

fn elsewhere(other: Option<&str>) -> String {
    other.map_or_else(String::new, |other| format!(", but in {other}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_names_are_counted() {
        let missing: Vec<String> = (0..163).map(|i| format!("m-{i}.safetensors")).collect();
        let text = CheckpointError::MissingShards { missing, of: 163 }.to_string();
        assert!(text.ends_with("m-9.safetensors, and 153 more"), "{text}");
        let text = CheckpointError::NoModel { found: Some(("a.gguf".into(), FileFormat::Gguf)) };
        assert!(text.to_string().contains("; a.gguf is a GGUF model"), "{text}");
    }
}

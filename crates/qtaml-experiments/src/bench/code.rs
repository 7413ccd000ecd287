//! The codes that all networks share, and the kinds of storages in words.

use std::sync::LazyLock;

use qtaml::compensation::storage::{CodeLibrary, StoredAs};

/// Codes follow from the memory alone and take seconds to design, so all networks share them.
pub static LIBRARY: LazyLock<CodeLibrary> = LazyLock::new(CodeLibrary::default);

/// What kind of storage it is, in words.
pub const fn kind(stored: StoredAs) -> &'static str {
    match stored {
        StoredAs::Quantized { .. } => "quantized",
        StoredAs::Codebook { .. } => "codebook",
        _ => "block coded",
    }
}

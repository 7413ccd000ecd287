//! Files that appear whole or not at all, with the errors of this crate.

use std::path::Path;

use crate::TrainError;

/// Writes a file, and its folder if that is missing. What was there before stays until all of the
/// new one is on disk.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), TrainError> {
    let written = qtaml_files::write(path, bytes);
    written.map_err(|error| TrainError::File {
        action: "write",
        path: path.into(),
        source: error.into_io(),
    })
}

//! The identity of a file: whether a path still leads to the same bytes.

use std::fs;
use std::time::SystemTime;

/// What tells whether a path still leads to the same file, and that to the same bytes, as far as
/// the system knows.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Identity {
    length: u64,
    modified: Option<SystemTime>,
    /// The device, and the number of the file on it.
    #[cfg(unix)]
    number: [u64; 2],
}

impl Identity {
    pub(crate) fn of(file: &fs::Metadata) -> Self {
        #[cfg(unix)]
        use std::os::unix::fs::MetadataExt;
        Self {
            length: file.len(),
            modified: file.modified().ok(),
            #[cfg(unix)]
            number: [file.dev(), file.ino()],
        }
    }

    /// The length of the file.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }
}

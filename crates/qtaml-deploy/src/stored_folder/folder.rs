//! Stored folders on the disk: all three files are there, or none is taken for a stored model.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::path::Path;

use qtaml_compensation::Plan;
use qtaml_compensation::storage::CodeLibrary;
use qtaml_files::{Action, FileError, WholeFile, open_regular};

use super::{CHECK, MANIFEST, Manifest, RestoredModel, StoredFolderError, WORDS};
use crate::StoredModel;

/// A manifest has no more bytes than this.
const MOST_BYTES: u64 = 1 << 30;

impl StoredModel {
    /// Writes a stored folder, and creates it if need be. Other files in it stay; a stored model that was
    /// there is replaced. A folder that was left half replaced is refused by whoever opens it, since the
    /// manifest comes last.
    ///
    /// # Errors
    /// As [`write_stored`](Self::write_stored), and [`StoredFolderError::File`] for files that cannot be
    /// written.
    pub fn write_folder(
        &self,
        plan: &Plan,
        folder: &Path,
        library: &CodeLibrary,
    ) -> Result<Manifest, StoredFolderError> {
        let create = |file: &str| WholeFile::create(&folder.join(file));
        let (mut words, mut check) = (create(WORDS)?, create(CHECK)?);
        let mut text = create(MANIFEST)?;
        let manifest = self.write_stored(plan, &mut words, &mut check, library)?;
        let failed = |source| StoredFolderError::Stream { action: "write", file: MANIFEST, source };
        text.write_all(manifest.to_json().as_bytes()).map_err(failed)?;
        WholeFile::finish_all(vec![words, check, text])?;
        Ok(manifest)
    }
}

impl RestoredModel {
    /// Restores the model in a stored folder.
    ///
    /// # Errors
    /// [`StoredFolderError::Missing`] for a folder without one of its files,
    /// [`StoredFolderError::File`] for one that cannot be read, and as [`Manifest::from_json`] and
    /// [`restore`](Self::restore).
    pub fn open(folder: &Path, library: &CodeLibrary) -> Result<Self, StoredFolderError> {
        let manifest = manifest_in(folder)?;
        let (mut words, mut check) = (open(folder, WORDS)?, open(folder, CHECK)?);
        Self::restore(manifest, &mut words, &mut check, library)
    }
}

/// The manifest of a folder.
pub(super) fn manifest_in(folder: &Path) -> Result<Manifest, StoredFolderError> {
    let mut text = String::new();
    let mut manifest = open(folder, MANIFEST)?.take(MOST_BYTES);
    let failed = |source| StoredFolderError::Stream { action: "read", file: MANIFEST, source };
    manifest.read_to_string(&mut text).map_err(failed)?;
    Manifest::from_json(&text)
}

pub(super) fn open(folder: &Path, file: &'static str) -> Result<File, StoredFolderError> {
    match open_regular(&folder.join(file)) {
        Err(FileError::Io { action: Action::Read, source, .. })
            if source.kind() == ErrorKind::NotFound =>
        {
            Err(StoredFolderError::Missing { folder: folder.into(), file })
        }
        opened => Ok(opened?),
    }
}

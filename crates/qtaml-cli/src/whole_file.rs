//! Files that are there whole or not at all.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use miette::{IntoDiagnostic, Result, WrapErr};
use tempfile::Builder;

/// Writes `folder/name`, creates the folder if need be, and returns the path.
///
/// A neighbour is written and renamed: a reader sees the old file or the new one, never half of it.
pub(crate) fn write(folder: &Path, name: &str, bytes: &[u8]) -> Result<PathBuf> {
    let path = folder.join(name);
    let write = || -> io::Result<()> {
        fs::create_dir_all(folder)?;
        let mut builder = Builder::new();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            // Temporary files are private by default; these are to be read, as the umask allows.
            builder.permissions(fs::Permissions::from_mode(0o666));
        }
        let mut file = builder.tempfile_in(folder)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(&path)?;
        Ok(())
    };
    write().into_diagnostic().wrap_err_with(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_and_no_other_one_is_left() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("new/folder");
        write(&folder, "a.csv", b"a longer first version").unwrap();
        let path = write(&folder, "a.csv", b"second").unwrap();
        assert_eq!(fs::read(path).unwrap(), b"second");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
    }

    #[test]
    fn a_failure_names_the_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = write(file.path(), "a.csv", b"").unwrap_err();
        assert!(error.to_string().ends_with("a.csv"), "{error}");
    }
}

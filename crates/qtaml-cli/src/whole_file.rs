//! Files that are there whole or not at all.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use miette::{IntoDiagnostic, Result, WrapErr};
use tempfile::{Builder, NamedTempFile};

/// Writes `folder/name`, creates the folder if need be, and returns the path.
pub(crate) fn write(folder: &Path, name: &str, bytes: &[u8]) -> Result<PathBuf> {
    let path = folder.join(name);
    write_with(&path, |file| file.write_all(bytes).into_diagnostic())?;
    Ok(path)
}

/// Writes a file piece by piece with `fill`, whose errors leave nothing behind.
///
/// A neighbour is written and renamed: a reader sees the old file or the new one, never half of it.
pub(crate) fn write_with<T>(
    path: &Path,
    fill: impl FnOnce(&mut WholeFile) -> Result<T>,
) -> Result<T> {
    let cannot_write = || format!("cannot write {}", path.display());
    let neighbour = neighbour(path).into_diagnostic().wrap_err_with(cannot_write)?;
    let mut file = WholeFile { path, neighbour };
    let filled = fill(&mut file)?;
    let persist = || -> io::Result<()> {
        file.neighbour.as_file().sync_all()?;
        file.neighbour.persist(path)?;
        Ok(())
    };
    persist().into_diagnostic().wrap_err_with(cannot_write)?;
    Ok(filled)
}

/// A file in the making; it is gone when dropped, and its errors name the file to be.
#[derive(Debug)]
pub(crate) struct WholeFile<'a> {
    path: &'a Path,
    neighbour: NamedTempFile,
}

impl Write for WholeFile<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.neighbour.as_file_mut().write(bytes).map_err(|error| {
            let message = format!("cannot write {}: {error}", self.path.display());
            io::Error::new(error.kind(), message)
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        self.neighbour.as_file_mut().flush()
    }
}

/// A new file in the folder of `path`, which is created if need be.
fn neighbour(path: &Path) -> io::Result<NamedTempFile> {
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    fs::create_dir_all(folder)?;
    let mut builder = Builder::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // Temporary files are private by default; these are to be read, as the umask allows.
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    builder.tempfile_in(folder)
}

#[cfg(test)]
mod tests {
    use miette::bail;

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
    fn a_file_that_cannot_be_finished_never_was() {
        let root = tempfile::tempdir().unwrap();
        let fill = |file: &mut WholeFile| -> Result<()> {
            file.write_all(b"half").into_diagnostic()?;
            bail!("the other half is missing")
        };
        let error = write_with(&root.path().join("a.bin"), fill).unwrap_err();
        assert_eq!(error.to_string(), "the other half is missing");
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_failure_names_the_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = write(file.path(), "a.csv", b"").unwrap_err();
        assert!(error.to_string().ends_with("a.csv"), "{error}");
    }
}

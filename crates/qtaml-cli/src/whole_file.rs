//! Files that are there whole or not at all.

use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::panic::resume_unwind;
use std::path::{Path, PathBuf, absolute};
use std::sync::mpsc::{self, SyncSender};
use std::thread::{self, JoinHandle};

use miette::{IntoDiagnostic, Result, WrapErr};
use tempfile::{Builder, NamedTempFile, PersistError};

/// Bytes after which what is written is sent to the disk.
const AT_A_TIME: u64 = 1 << 25;

/// Writes `folder/name`, creates the folder if need be, and returns the path.
pub(crate) fn write(folder: &Path, name: &str, bytes: &[u8]) -> Result<PathBuf> {
    let path = folder.join(name);
    let mut file = WholeFile::create(&path)?;
    file.write_all(bytes).into_diagnostic()?;
    file.finish()?;
    Ok(path)
}

/// A file in the making; it is gone when dropped, and its errors name the file to be.
///
/// A neighbour is written and renamed: a reader sees the old file or the new one, never half of it.
#[derive(Debug)]
pub(crate) struct WholeFile {
    path: PathBuf,
    /// Where a link leads, as the link itself is to stay.
    target: PathBuf,
    /// Those of the file that is replaced.
    permissions: Option<Permissions>,
    neighbour: NamedTempFile,
    /// Bytes that have not been sent to the disk.
    waiting: u64,
    /// There once it has something to do.
    flusher: Option<Flusher>,
}

/// Sends a file to the disk while more of it is made: else the disk would wait for its end, and the
/// end for the disk.
#[derive(Debug)]
struct Flusher {
    ask: SyncSender<()>,
    thread: JoinHandle<io::Result<()>>,
}

impl Flusher {
    fn new(file: File) -> Self {
        let (ask, asked) = mpsc::sync_channel(1);
        let thread = thread::spawn(move || asked.into_iter().try_for_each(|()| file.sync_data()));
        Self { ask, thread }
    }

    /// One more request than the one at work is enough, and after an error there is nothing to do.
    fn ask(&self) {
        _ = self.ask.try_send(());
    }

    /// The first error, of which a later sync need not tell again.
    fn end(self) -> io::Result<()> {
        drop(self.ask);
        self.thread.join().unwrap_or_else(|panic| resume_unwind(panic))
    }
}

impl WholeFile {
    /// Begins a file, whose folder is created if need be.
    pub(crate) fn create(path: &Path) -> Result<Self> {
        let begin = || -> io::Result<Self> {
            let target = canonical(path)?;
            let permissions = replaceable(&target)?;
            let neighbour = neighbour(&target)?;
            Ok(Self {
                path: path.into(),
                target,
                permissions,
                neighbour,
                waiting: 0,
                flusher: None,
            })
        };
        begin().into_diagnostic().wrap_err_with(|| format!("cannot write {}", path.display()))
    }

    /// Puts the file in place.
    pub(crate) fn finish(mut self) -> Result<()> {
        self.complete()?;
        self.place()
    }

    /// Puts two files in place, this one first. Both are on the disk before either is, so that a
    /// failure leaves the files as they were, unless it comes between the two: then the other one
    /// stays beside its place, and the error says where.
    pub(crate) fn finish_with(mut self, mut other: Self) -> Result<()> {
        self.complete()?;
        other.complete()?;
        let new = self.path.clone();
        self.place()?;
        other.place_or_keep().wrap_err_with(|| format!("{} is new, but not all is", new.display()))
    }

    /// Everything that can fail without a trace.
    fn complete(&mut self) -> Result<()> {
        let flusher = self.flusher.take();
        let complete = || -> io::Result<()> {
            flusher.map_or(Ok(()), Flusher::end)?;
            let file = self.neighbour.as_file();
            if let Some(permissions) = &self.permissions {
                file.set_permissions(permissions.clone())?;
            }
            file.sync_all()?;
            // A device or the like that came in the meantime.
            replaceable(&self.target).map(drop)
        };
        complete().into_diagnostic().wrap_err_with(|| self.cannot_write())
    }

    fn place(self) -> Result<()> {
        let cannot_write = self.cannot_write();
        let placed = self.neighbour.persist(&self.target);
        placed.map(drop).into_diagnostic().wrap_err(cannot_write)
    }

    /// The same, but a file that cannot be put in place is not lost.
    fn place_or_keep(self) -> Result<()> {
        let cannot_write = self.cannot_write();
        let Err(PersistError { error, file }) = self.neighbour.persist(&self.target) else {
            return Ok(());
        };
        let kept = match file.keep() {
            Ok((_, path)) => format!("{cannot_write}: it is at {} instead", path.display()),
            Err(_) => cannot_write,
        };
        Err(error).into_diagnostic().wrap_err(kept)
    }

    fn cannot_write(&self) -> String {
        format!("cannot write {}", self.path.display())
    }
}

impl Write for WholeFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Self { neighbour, waiting, flusher, .. } = self;
        let mut write = || {
            let written = neighbour.write(bytes)?;
            *waiting += written as u64;
            if *waiting >= AT_A_TIME {
                if flusher.is_none() {
                    *flusher = Some(Flusher::new(neighbour.as_file().try_clone()?));
                }
                flusher.iter().for_each(Flusher::ask);
                *waiting = 0;
            }
            Ok(written)
        };
        write().map_err(|error: io::Error| {
            let message = format!("cannot write {}: {error}", self.path.display());
            io::Error::new(error.kind(), message)
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        self.neighbour.as_file_mut().flush()
    }
}

/// Opens a file to be read to its end: a device may have none, and a pipe would wait for a writer.
pub(crate) fn open_regular(path: &Path) -> io::Result<File> {
    if fs::metadata(path)?.is_file() {
        File::open(path)
    } else {
        Err(io::Error::other("it is no regular file"))
    }
}

/// Whether two paths lead to one file, which need not exist.
pub(crate) fn is_same(a: &Path, b: &Path) -> Result<bool> {
    let found = |path: &Path| {
        canonical(path).into_diagnostic().wrap_err_with(|| format!("no way to {}", path.display()))
    };
    Ok(found(a)? == found(b)?)
}

/// The path without links, dots and what else gives a file two names; it need not exist.
fn canonical(path: &Path) -> io::Result<PathBuf> {
    let path = absolute(path)?;
    match path.canonicalize() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        found => return found,
    }
    let Some(folder) = path.parent() else { return Ok(path) };
    if let Ok(link) = path.read_link() {
        return canonical(&folder.join(link));
    }
    let mut found = canonical(folder)?;
    match path.file_name() {
        Some(name) => found.push(name),
        // It ends in two dots.
        None => _ = found.pop(),
    }
    Ok(found)
}

/// The permissions of what is at `target`, if anything is; only regular files are replaced.
fn replaceable(target: &Path) -> io::Result<Option<Permissions>> {
    match fs::metadata(target) {
        Ok(found) if found.is_file() => Ok(Some(found.permissions())),
        Ok(_) => Err(io::Error::other("there is something that is no regular file")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// A new file in the folder of `target`, which is created if need be.
fn neighbour(target: &Path) -> io::Result<NamedTempFile> {
    let folder = target.parent().unwrap_or(target);
    fs::create_dir_all(folder)?;
    let mut builder = Builder::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // Temporary files are private by default; these are to be read, as the umask allows.
        builder.permissions(Permissions::from_mode(0o666));
    }
    builder.tempfile_in(folder)
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
    fn a_file_that_is_not_finished_never_was() {
        let root = tempfile::tempdir().unwrap();
        let mut file = WholeFile::create(&root.path().join("a.bin")).unwrap();
        file.write_all(b"half").unwrap();
        drop(file);
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_failure_names_the_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = write(file.path(), "a.csv", b"").unwrap_err();
        assert!(error.to_string().ends_with("a.csv"), "{error}");
    }

    /// Two files in the making, and what is at their places.
    fn pair(root: &Path) -> ([PathBuf; 2], [WholeFile; 2]) {
        let paths = ["a", "b"].map(|name| root.join(name));
        let files = paths.each_ref().map(|path| {
            let mut file = WholeFile::create(path).unwrap();
            file.write_all(b"new").unwrap();
            file
        });
        (paths, files)
    }

    #[test]
    fn folders_are_not_replaced_and_then_no_file_of_two_is() {
        for occupied in [0, 1] {
            let root = tempfile::tempdir().unwrap();
            fs::write(root.path().join("b"), "old").unwrap();
            let (paths, [file, other]) = pair(root.path());
            if occupied == 1 {
                fs::remove_file(&paths[1]).unwrap();
            }
            fs::create_dir(&paths[occupied]).unwrap();
            let error = file.finish_with(other).unwrap_err();
            assert!(format!("{error:?}").contains("no regular file"), "{error:?}");
            assert!(paths[occupied].is_dir() && WholeFile::create(&paths[occupied]).is_err());
            let left: Vec<_> = fs::read_dir(root.path()).unwrap().collect();
            assert_eq!(left.len(), 2 - occupied);
            if occupied == 0 {
                assert_eq!(fs::read(&paths[1]).unwrap(), b"old");
            }
        }
    }

    /// What comes between the two renames.
    #[test]
    fn the_second_of_two_files_is_never_lost() {
        let root = tempfile::tempdir().unwrap();
        let (paths, [file, other]) = pair(root.path());
        file.finish().unwrap();
        fs::create_dir(&paths[1]).unwrap();
        let error = other.place_or_keep().unwrap_err().to_string();
        let mut entries = fs::read_dir(root.path()).unwrap().map(|entry| entry.unwrap().path());
        let kept = entries.find(|path| !paths.contains(path)).unwrap();
        assert_eq!(fs::read(&kept).unwrap(), b"new");
        assert!(error.contains("it is at") && error.contains(kept.to_str().unwrap()), "{error}");
    }

    #[test]
    fn two_files_are_put_in_place() {
        let root = tempfile::tempdir().unwrap();
        let (paths, [file, other]) = pair(root.path());
        file.finish_with(other).unwrap();
        assert!(paths.iter().all(|path| fs::read(path).unwrap() == b"new"));
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 2);
    }

    #[test]
    fn names_of_one_file_are_one_path() {
        let root = tempfile::tempdir().unwrap();
        let of = |name: &str| canonical(&root.path().join(name)).unwrap();
        assert_eq!(of("new/../new/./a"), of("new/a"));
        assert_ne!(of("new/a"), of("a"));
        fs::create_dir(root.path().join("new")).unwrap();
        assert_eq!(of("new/../new/./a"), of("new/a"));
    }

    #[cfg(unix)]
    #[test]
    fn links_and_modes_stay() {
        use std::os::unix::fs::{PermissionsExt, symlink};

        let root = tempfile::tempdir().unwrap();
        let path = |name| root.path().join(name);
        symlink("b", path("a")).unwrap();
        for text in ["new", "newer"] {
            write(root.path(), "a", text.as_bytes()).unwrap();
            assert!(path("a").is_symlink() && !path("b").is_symlink());
            assert_eq!(fs::read_to_string(path("b")).unwrap(), text);
        }
        for mode in [0o600, 0o777] {
            fs::set_permissions(path("b"), Permissions::from_mode(mode)).unwrap();
            write(root.path(), "a", b"newest").unwrap();
            assert_eq!(fs::metadata(path("b")).unwrap().permissions().mode() & 0o777, mode);
        }
        symlink("c", path("c")).unwrap();
        assert!(write(root.path(), "c", b"").is_err(), "a link to itself");
        assert!(write(Path::new("/dev"), "null", b"").is_err());
    }
}

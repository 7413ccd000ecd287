//! Files that are there whole or not at all.

use std::fs::{self, File, FileType, Permissions};
use std::io::{self, Read, Write};
use std::panic::resume_unwind;
use std::path::{Path, PathBuf, absolute};
use std::sync::mpsc::{self, SyncSender};
use std::thread::{self, JoinHandle};

use tempfile::{NamedTempFile, PersistError};

use crate::temporaries::{Entry, Temporary, uninterrupted};
use crate::{Action, FileError};

/// Bytes after which what is written is sent to the disk.
const AT_A_TIME: u64 = 1 << 25;

/// Writes a file whole or not at all, and creates its folder if need be.
///
/// # Errors
/// As [`WholeFile`].
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let mut file = WholeFile::create(path)?;
    file.write_all(bytes).map_err(FileError::of_write)?;
    file.finish()
}

/// A file in the making; it is gone when dropped, and its errors name the file to be.
///
/// A neighbour is written and renamed: a reader sees the old file or the new one, never half of it.
/// The errors of its `Write` implementation carry a [`FileError`].
#[derive(Debug)]
pub struct WholeFile {
    path: PathBuf,
    /// Where a link leads, as the link itself is to stay.
    target: PathBuf,
    /// Those of the file that is replaced.
    permissions: Option<Permissions>,
    neighbour: Temporary,
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
    ///
    /// # Errors
    /// [`FileError::NotRegular`] if there is a folder, a device, a pipe or a stream of this process,
    /// [`FileError::Io`] if no file can be created there.
    pub fn create(path: &Path) -> Result<Self, FileError> {
        replaceable(path, path)?;
        let target = canonical(path).map_err(|source| cannot_write(path, source))?;
        let permissions = replaceable(path, &target)?;
        let neighbour = neighbour(&target).map_err(|source| cannot_write(path, source))?;
        Ok(Self { path: path.into(), target, permissions, neighbour, waiting: 0, flusher: None })
    }

    /// Puts the file in place.
    ///
    /// # Errors
    /// [`FileError::Io`], and [`FileError::NotRegular`] if something else has come to its place.
    pub fn finish(mut self) -> Result<(), FileError> {
        self.complete()?;
        self.place()
    }

    /// Puts two files in place, this one first: see [`finish_all`](Self::finish_all).
    ///
    /// # Errors
    /// As [`finish_all`](Self::finish_all).
    pub fn finish_with(self, other: Self) -> Result<(), FileError> {
        Self::finish_all(vec![self, other])
    }

    /// Puts files in place that belong together, in this order. All are on the disk before any is, so
    /// that a failure leaves the files as they were, unless it comes between two of them: then the
    /// others stay beside their places, and the error says where. An interruption does not come between.
    ///
    /// # Errors
    /// As [`finish`](Self::finish), and [`FileError::Separated`].
    pub fn finish_all(mut files: Vec<Self>) -> Result<(), FileError> {
        files.iter_mut().try_for_each(Self::complete)?;
        let (waiting, entries): (Vec<_>, Vec<_>) =
            files.into_iter().map(Self::into_waiting).unzip();
        let result = uninterrupted(|| place_all(waiting));
        drop(entries);
        result
    }

    fn into_waiting(self) -> (Waiting, Entry) {
        let (file, entry) = self.neighbour.into_parts();
        (Waiting { path: self.path, target: self.target, file }, entry)
    }

    /// Everything that can fail without a trace.
    fn complete(&mut self) -> Result<(), FileError> {
        let flusher = self.flusher.take();
        let complete = || -> io::Result<()> {
            flusher.map_or(Ok(()), Flusher::end)?;
            let file = self.neighbour.file();
            if let Some(permissions) = &self.permissions {
                file.set_permissions(permissions.clone())?;
            }
            file.sync_all()
        };
        complete().map_err(|source| cannot_write(&self.path, source))?;
        // A device or the like that came in the meantime.
        replaceable(&self.path, &self.target).map(drop)
    }

    fn place(self) -> Result<(), FileError> {
        let (file, entry) = self.neighbour.into_parts();
        let placed = uninterrupted(|| file.persist(&self.target).map(drop));
        // What could not be placed is removed before it is forgotten.
        let placed = placed.map_err(|PersistError { error, .. }| cannot_write(&self.path, error));
        drop(entry);
        placed
    }
}

/// A file on the disk that has not got its name yet.
#[derive(Debug)]
struct Waiting {
    path: PathBuf,
    target: PathBuf,
    file: NamedTempFile,
}

/// Puts the files in place. If one cannot be, neither it nor those behind it are lost, unless none is
/// in place yet.
fn place_all(waiting: Vec<Waiting>) -> Result<(), FileError> {
    let mut placed = Vec::new();
    let mut waiting = waiting.into_iter();
    while let Some(Waiting { path, target, file }) = waiting.next() {
        let Err(PersistError { error: source, file }) = file.persist(&target) else {
            placed.push(path);
            continue;
        };
        if placed.is_empty() {
            return Err(cannot_write(&path, source));
        }
        let unplaced = std::iter::once((path, file));
        let unplaced = unplaced.chain(waiting.map(|waiting| (waiting.path, waiting.file)));
        let kept = unplaced.filter_map(|(path, file)| Some((path, file.keep().ok()?.1)));
        return Err(FileError::Separated { placed, left: kept.collect(), source });
    }
    Ok(())
}

fn cannot_write(path: &Path, source: io::Error) -> FileError {
    FileError::Io { action: Action::Write, path: path.into(), source }
}

impl Write for WholeFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Self { neighbour, waiting, flusher, .. } = self;
        let mut write = || {
            let written = neighbour.file_mut().write(bytes)?;
            *waiting += written as u64;
            if *waiting >= AT_A_TIME {
                if flusher.is_none() {
                    *flusher = Some(Flusher::new(neighbour.file().try_clone()?));
                }
                flusher.iter().for_each(Flusher::ask);
                *waiting = 0;
            }
            Ok(written)
        };
        write().map_err(|error: io::Error| match error.kind() {
            // Whoever writes tries again.
            io::ErrorKind::Interrupted => error,
            kind => io::Error::new(kind, cannot_write(&self.path, error)),
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        self.neighbour.file_mut().flush()
    }
}

/// Opens a file to be read to its end: a device may have none, and a pipe would wait for a writer.
///
/// # Errors
/// [`FileError::NotRegular`], and [`FileError::Io`] if it cannot be opened.
pub fn open_regular(path: &Path) -> Result<File, FileError> {
    let cannot_read = |source| FileError::Io { action: Action::Read, path: path.into(), source };
    let found = fs::metadata(path).map_err(cannot_read)?.file_type();
    if !found.is_file() {
        let found = describe(found);
        return Err(FileError::NotRegular { action: Action::Read, path: path.into(), found });
    }
    File::open(path).map_err(cannot_read)
}

/// All bytes of a regular file.
///
/// # Errors
/// As [`open_regular`].
pub fn read(path: &Path) -> Result<Vec<u8>, FileError> {
    let mut bytes = Vec::new();
    match open_regular(path)?.read_to_end(&mut bytes) {
        Ok(_) => Ok(bytes),
        Err(source) => Err(FileError::Io { action: Action::Read, path: path.into(), source }),
    }
}

/// Whether two paths lead to one file, which need not exist.
///
/// # Errors
/// [`FileError::Io`] if a path leads nowhere.
pub fn is_same(a: &Path, b: &Path) -> Result<bool, FileError> {
    Ok(found(a)? == found(b)?)
}

/// The one path of a file, which need not exist.
pub(crate) fn found(path: &Path) -> Result<PathBuf, FileError> {
    let error = |source| FileError::Io { action: Action::Find, path: path.into(), source };
    canonical(path).map_err(error)
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
fn replaceable(path: &Path, target: &Path) -> Result<Option<Permissions>, FileError> {
    let refused = |found| FileError::NotRegular { action: Action::Write, path: path.into(), found };
    if is_stream(target) {
        return Err(refused("a stream of this process or a device"));
    }
    match fs::metadata(target) {
        Ok(found) if found.is_file() => Ok(Some(found.permissions())),
        Ok(found) => Err(refused(describe(found.file_type()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(cannot_write(path, error)),
    }
}

/// Whether a path such as `/dev/stdout` is one of the open streams of a process. Where a shell has
/// sent them to a regular file, that file would be replaced under the stream.
fn is_stream(path: &Path) -> bool {
    let folder = path.parent().and_then(|folder| folder.canonicalize().ok());
    folder.is_some_and(|folder| {
        cfg!(unix) && (folder == Path::new("/dev") || folder.starts_with("/proc"))
    })
}

/// What is no regular file.
fn describe(found: FileType) -> &'static str {
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        if found.is_fifo() {
            return "a pipe";
        }
        if found.is_socket() {
            return "a socket";
        }
        if found.is_char_device() || found.is_block_device() {
            return "a device";
        }
    }
    if found.is_dir() { "a folder" } else { "something else" }
}

/// A new file in the folder of `target`, which is created if need be.
fn neighbour(target: &Path) -> io::Result<Temporary> {
    let folder = target.parent().unwrap_or(target);
    fs::create_dir_all(folder)?;
    Temporary::new_in(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_and_no_other_one_is_left() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("new/folder");
        let path = folder.join("a.csv");
        write(&path, b"a longer first version").unwrap();
        write(&path, b"second").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"second");
        assert_eq!(read(&path).unwrap(), b"second");
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
        let error = write(&file.path().join("a.csv"), b"").unwrap_err();
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
            assert!(matches!(error, FileError::NotRegular { found: "a folder", .. }), "{error:?}");
            assert!(paths[occupied].is_dir() && WholeFile::create(&paths[occupied]).is_err());
            let left: Vec<_> = fs::read_dir(root.path()).unwrap().collect();
            assert_eq!(left.len(), 2 - occupied);
            if occupied == 0 {
                assert_eq!(fs::read(&paths[1]).unwrap(), b"old");
            }
        }
    }

    /// What comes between two renames.
    #[test]
    fn files_behind_one_that_cannot_be_placed_are_never_lost() {
        let root = tempfile::tempdir().unwrap();
        let paths = ["a", "b", "c"].map(|name| root.path().join(name));
        let files = paths.each_ref().map(|path| {
            let mut file = WholeFile::create(path).unwrap();
            file.write_all(b"new").unwrap();
            file
        });
        let (waiting, _entries): (Vec<_>, Vec<_>) =
            files.into_iter().map(WholeFile::into_waiting).unzip();
        fs::create_dir(&paths[1]).unwrap();
        let error = place_all(waiting).unwrap_err();
        let text = error.to_string();
        let FileError::Separated { placed, left, .. } = error else { panic!("{error}") };
        assert_eq!(placed, paths[..1]);
        let targets: Vec<_> = left.iter().map(|(target, _)| target.clone()).collect();
        assert_eq!(targets, paths[1..]);
        assert!(left.iter().all(|(_, kept)| fs::read(kept).unwrap() == b"new"));
        assert!(text.contains("b and 1 more: it is at"), "{text}");
        assert_eq!(fs::read(&paths[0]).unwrap(), b"new");
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
            write(&path("a"), text.as_bytes()).unwrap();
            assert!(path("a").is_symlink() && !path("b").is_symlink());
            assert_eq!(fs::read_to_string(path("b")).unwrap(), text);
        }
        for mode in [0o600, 0o777] {
            fs::set_permissions(path("b"), Permissions::from_mode(mode)).unwrap();
            write(&path("a"), b"newest").unwrap();
            assert_eq!(fs::metadata(path("b")).unwrap().permissions().mode() & 0o777, mode);
        }
        symlink("c", path("c")).unwrap();
        assert!(write(&path("c"), b"").is_err(), "a link to itself");
    }

    #[cfg(unix)]
    #[test]
    fn devices_pipes_and_streams_are_refused_for_what_they_are() {
        let root = tempfile::tempdir().unwrap();
        let pipe = root.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        for (path, named) in [
            (Path::new("/dev/null"), "a device"),
            (Path::new("/dev/stdout"), "a stream"),
            (Path::new("/dev/fd/2"), "a stream"),
            (Path::new("/proc/self/fd/1"), "a stream"),
            (root.path(), "a folder"),
            (&pipe, "a pipe"),
        ] {
            let error = write(path, b"").unwrap_err().to_string();
            let begin = format!("cannot write {}: it is ", path.display());
            assert!(error.starts_with(&begin) && error.contains(named), "{error}");
        }
        let error = read(&pipe).unwrap_err().to_string();
        assert!(error.ends_with("it is a pipe, and no regular file"), "{error}");
    }
}

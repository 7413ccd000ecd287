//! Temporary files that are removed when the process is interrupted.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tempfile::{Builder, NamedTempFile};

/// How the names of all temporary files begin.
const PREFIX: &str = ".unfinished-";

/// The paths of all temporary files of this process.
static LIVE: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

fn live() -> MutexGuard<'static, BTreeSet<PathBuf>> {
    // A set of paths is good whatever panicked.
    LIVE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Removes the temporary files of all files in the making: what a handler of Ctrl-C or SIGTERM
/// calls before it ends the process.
///
/// No file is created, put in place or removed by this crate until the returned value is dropped:
/// whoever exits with it in hand leaves nothing behind. A file that was in the making cannot be
/// finished any more; its `finish` is an error.
pub fn remove_temporaries() -> CreationBlocked {
    let live = live();
    for path in &*live {
        // Nobody is left to be told of a file that cannot be removed.
        _ = fs::remove_file(path);
    }
    CreationBlocked { _live: live }
}

/// Whether a file is named as one in the making, as a process leaves it that is killed.
///
/// ```
/// use std::path::Path;
///
/// assert!(qtaml_files::is_temporary(Path::new("jobs/.unfinished-a1B2c3")));
/// assert!(!qtaml_files::is_temporary(Path::new(".unfinished-jobs/a.json")));
/// ```
pub fn is_temporary(path: &Path) -> bool {
    path.file_name().and_then(OsStr::to_str).is_some_and(|name| name.starts_with(PREFIX))
}

/// While it exists, this crate creates no file, puts none in place and removes none.
#[must_use = "files can be created again when this is dropped"]
#[derive(Debug)]
pub struct CreationBlocked {
    _live: MutexGuard<'static, BTreeSet<PathBuf>>,
}

/// A temporary file that is known to [`remove_temporaries`]; it is gone when dropped.
#[derive(Debug)]
pub(crate) struct Temporary {
    // Dropped in this order: the file is removed before it is forgotten.
    file: NamedTempFile,
    entry: Entry,
}

/// A path among the known ones.
#[derive(Debug)]
pub(crate) struct Entry(PathBuf);

impl Drop for Entry {
    fn drop(&mut self) {
        live().remove(&self.0);
    }
}

impl Temporary {
    /// A new file in `folder`.
    pub(crate) fn new_in(folder: &Path) -> io::Result<Self> {
        let mut builder = Builder::new();
        builder.prefix(PREFIX);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            // Temporary files are private by default; these are to be read, as the umask allows.
            builder.permissions(fs::Permissions::from_mode(0o666));
        }
        // Locked, so that no interruption comes between the file and its entry.
        let mut live = live();
        let file = builder.tempfile_in(folder)?;
        live.insert(file.path().to_owned());
        drop(live);
        let entry = Entry(file.path().to_owned());
        Ok(Self { file, entry })
    }

    pub(crate) fn file(&self) -> &File {
        self.file.as_file()
    }

    pub(crate) fn file_mut(&mut self) -> &mut File {
        self.file.as_file_mut()
    }

    /// The file, and the entry that is to be dropped once the file has its final name.
    pub(crate) fn into_parts(self) -> (NamedTempFile, Entry) {
        (self.file, self.entry)
    }
}

/// Does some work that no interruption may cut in two. No entry may be dropped in it.
pub(crate) fn uninterrupted<T>(work: impl FnOnce() -> T) -> T {
    let _live = live();
    work()
}

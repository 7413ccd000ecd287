//! A model in the making, in as many files as the one that it is made of.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::index::with_total_size;
use super::{Checkpoint, name_of};
use crate::{FileError, ModelFile, WholeFile};

/// The files of a model in the making; all are there when it is finished, and none before.
///
/// What is written are the bytes of all files one after the other, each as long as was said. The
/// errors of its `Write` implementation carry a [`FileError`].
#[derive(Debug)]
pub struct CheckpointWriter {
    path: PathBuf,
    /// The files, and how many bytes each still needs.
    files: Vec<(WholeFile, u64)>,
    /// The one that is written.
    at: usize,
    expected: u64,
    written: u64,
    index: Option<WholeFile>,
}

impl Checkpoint {
    /// Begins a model of files of the same names and lengths: at `out`, or in the folder `out` if this
    /// model was opened as a folder or an index. The index is copied, and says the size of the tensors.
    ///
    /// # Errors
    /// As [`WholeFile::create`], and [`FileError::NoFolder`] for a file where a folder is needed.
    pub fn create(&self, out: &Path) -> Result<CheckpointWriter, FileError> {
        let lengths: Vec<u64> = self.shards.iter().map(ModelFile::length).collect();
        self.create_with(out, &lengths, self.tensors.iter().map(|tensor| tensor.bytes).sum())
    }

    /// The same with other lengths of its files, and so many bytes of all tensors together.
    ///
    /// # Panics
    /// If there is not one length for each file.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub fn create_with(
        &self,
        out: &Path,
        lengths: &[u64],
        tensor_bytes: u64,
    ) -> Result<CheckpointWriter, FileError> {
        assert_eq!(lengths.len(), self.shards.len(), "one length for each file");
        let expected = lengths.iter().sum();
        if !self.is_single {
            folder_or_nothing(out)?;
        }
        let paths = self.paths_at(out);
        let files =
            paths.iter().zip(lengths).map(|(path, &left)| Ok((WholeFile::create(path)?, left)));
        let files = files.collect::<Result<_, FileError>>()?;
        let index = self.index.as_ref().map(|(name, bytes)| {
            let wrong = |source| FileError::Checkpoint { path: self.path.clone(), source };
            let other = with_total_size(bytes, tensor_bytes).map_err(wrong)?;
            let mut file = WholeFile::create(&out.join(name))?;
            file.write_all(other.as_ref().unwrap_or(bytes)).map_err(FileError::of_write)?;
            Ok::<_, FileError>(file)
        });
        let (path, index) = (out.into(), index.transpose()?);
        Ok(CheckpointWriter { path, files, at: 0, expected, written: 0, index })
    }
}

impl Checkpoint {
    /// All files that [`create`](Self::create) makes at `out`, the index last.
    pub fn paths_at(&self, out: &Path) -> Vec<PathBuf> {
        if self.is_single {
            return vec![out.into()];
        }
        let shards = self.shards.iter().map(|shard| name_of(shard.path()));
        let index = self.index.iter().map(|(name, _)| name.clone());
        shards.chain(index).map(|name| out.join(name)).collect()
    }

    /// All files that it was read from, the index last.
    pub fn paths(&self) -> Vec<PathBuf> {
        if self.is_single {
            return vec![self.path.clone()];
        }
        let folder = self.shards.first().and_then(|shard| shard.path().parent());
        self.paths_at(folder.unwrap_or(Path::new("")))
    }
}

/// Refuses a path where something else is than a folder.
fn folder_or_nothing(path: &Path) -> Result<(), FileError> {
    match std::fs::metadata(path) {
        Ok(found) if !found.is_dir() => Err(FileError::NoFolder { path: path.into() }),
        _ => Ok(()),
    }
}

impl CheckpointWriter {
    /// Puts all files in place, the index last, as [`WholeFile::finish_all`] does.
    ///
    /// # Errors
    /// As [`WholeFile::finish_all`], and [`FileError::Length`] if bytes are missing.
    pub fn finish(self) -> Result<(), FileError> {
        WholeFile::finish_all(self.into_files()?)
    }

    /// Puts all files in place, and another one that belongs to them.
    ///
    /// # Errors
    /// As [`finish`](Self::finish).
    pub fn finish_with(self, other: WholeFile) -> Result<(), FileError> {
        let mut files = self.into_files()?;
        files.push(other);
        WholeFile::finish_all(files)
    }

    fn into_files(self) -> Result<Vec<WholeFile>, FileError> {
        let Self { path, files, expected, written, index, .. } = self;
        if written != expected {
            return Err(FileError::Length { path, expected, written });
        }
        Ok(files.into_iter().map(|(file, _)| file).chain(index).collect())
    }
}

impl Write for CheckpointWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.is_empty() {
            return Ok(0);
        }
        while self.files.get(self.at).is_some_and(|(_, left)| *left == 0) {
            self.at += 1;
        }
        let (expected, asked) = (self.expected, self.written + bytes.len() as u64);
        let Some((file, left)) = self.files.get_mut(self.at) else {
            let path = self.path.clone();
            return Err(io::Error::other(FileError::Length { path, expected, written: asked }));
        };
        let count =
            file.write(&bytes[..bytes.len().min(usize::try_from(*left).unwrap_or(usize::MAX))])?;
        *left -= count as u64;
        self.written += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.files.iter_mut().try_for_each(|(file, _)| file.flush())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::checkpoint::tests::{file, folder, two_shards};

    fn bytes_of(model: &Checkpoint) -> Vec<u8> {
        let of = |shard: &ModelFile| fs::read(shard.path()).unwrap();
        model.shards().iter().flat_map(of).collect()
    }

    #[test]
    fn a_model_is_written_back_as_its_shards() {
        let (source, out) = (two_shards(), tempfile::tempdir().unwrap());
        let model = Checkpoint::open(source.path()).unwrap();
        let out = out.path().join("new/folder");
        for at_once in [1, 7, 1000] {
            let mut writer = model.create(&out).unwrap();
            bytes_of(&model).chunks(at_once).for_each(|chunk| writer.write_all(chunk).unwrap());
            writer.finish().unwrap();
            for entry in fs::read_dir(source.path()).unwrap() {
                let name = entry.unwrap().file_name();
                let read = |folder: &Path| fs::read(folder.join(&name)).unwrap();
                assert!(read(source.path()) == read(&out), "{name:?}");
            }
            assert_eq!(fs::read_dir(&out).unwrap().count(), 3);
            assert_eq!(Checkpoint::open(&out).unwrap().tensors(), model.tensors());
        }
    }

    #[test]
    fn too_few_bytes_and_too_many_leave_the_old_files() {
        let (source, out) = (two_shards(), tempfile::tempdir().unwrap());
        let model = Checkpoint::open(source.path()).unwrap();
        let all = bytes_of(&model);
        let mut writer = model.create(out.path()).unwrap();
        writer.write_all(&all[1..]).unwrap();
        let error = writer.finish().unwrap_err();
        assert!(matches!(error, FileError::Length { .. }), "{error}");
        let mut writer = model.create(out.path()).unwrap();
        writer.write_all(&all).unwrap();
        let error = FileError::of_write(writer.write_all(b"x").unwrap_err());
        let FileError::Length { expected, written, .. } = error else { panic!("{error}") };
        assert_eq!((expected, written), (all.len() as u64, all.len() as u64 + 1));
        drop(writer);
        assert_eq!(fs::read_dir(out.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_file_is_written_as_a_file_and_shards_need_a_folder() {
        let source = folder(&[("a.safetensors", file(&[("a", b"a")]))]);
        let single = Checkpoint::open(&source.path().join("a.safetensors")).unwrap();
        let out = source.path().join("b.safetensors");
        let mut writer = single.create(&out).unwrap();
        writer.write_all(&bytes_of(&single)).unwrap();
        let mut other = WholeFile::create(&source.path().join("notes")).unwrap();
        other.write_all(b"more").unwrap();
        writer.finish_with(other).unwrap();
        assert_eq!(fs::read(&out).unwrap(), bytes_of(&single));
        assert_eq!(fs::read(source.path().join("notes")).unwrap(), b"more");

        let of_folder = Checkpoint::open(two_shards().path()).unwrap();
        let error = of_folder.create(&out).unwrap_err().to_string();
        assert!(error.contains("a folder is needed"), "{error}");
        assert_eq!(fs::read(&out).unwrap(), bytes_of(&single));
    }
}

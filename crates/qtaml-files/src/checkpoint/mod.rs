//! Models in one file or in several, as one list of tensors.

mod error;
pub(crate) mod index;
mod write;

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

pub use self::error::CheckpointError;
use self::index::{LONGEST_INDEX, ShardIndex};
pub use self::write::CheckpointWriter;
use crate::names::NameIndex;
use crate::{Action, FileError, FileFormat, ModelFile, TensorInfo, UnknownName, open_regular};

/// The end of the name of an index.
const INDEX_END: &str = ".safetensors.index.json";

/// A model in one safetensors file, or in several: a folder of such files, or the index of its shards.
/// Nothing of it is in memory but the headers, which agree with each other and with the index.
///
/// The order of [`tensors`](Self::tensors) is that of the bytes: file by file in the order of their
/// names, each from its beginning to its end. [`by_name`](Self::by_name) is the same order for every
/// way to cut a model into files.
#[derive(Debug)]
pub struct Checkpoint {
    path: PathBuf,
    shards: Vec<ModelFile>,
    tensors: Vec<TensorInfo>,
    by_name: NameIndex,
    metadata: BTreeMap<String, String>,
    /// The index, if there is one: its name and its bytes.
    index: Option<(String, Vec<u8>)>,
    /// Whether it was opened as a file of its own.
    is_single: bool,
}

/// Which files are a model.
struct Parts {
    shards: Vec<PathBuf>,
    index: Option<(PathBuf, Vec<u8>, ShardIndex)>,
}

impl Checkpoint {
    /// Opens a safetensors file, the index of several, or a folder: its index where there is one, else
    /// all its safetensors files together.
    ///
    /// # Errors
    /// As [`ModelFile::open`] for each file, and [`FileError::Checkpoint`] for what is wrong with them
    /// together.
    pub fn open(path: &Path) -> Result<Self, FileError> {
        let is_folder = fs::metadata(path).is_ok_and(|found| found.is_dir());
        if is_folder {
            return Self::of_parts(path, of_folder(path)?, false);
        }
        let format = FileFormat::of_reader(open_regular(path)?);
        let io = |source| FileError::Io { action: Action::Read, path: path.into(), source };
        match format.map_err(io)? {
            FileFormat::ShardIndex => Self::of_parts(path, of_index(path)?, false),
            _ => Self::of_parts(path, Parts { shards: vec![path.into()], index: None }, true),
        }
    }

    fn of_parts(path: &Path, parts: Parts, is_single: bool) -> Result<Self, FileError> {
        let Parts { shards, index } = parts;
        let shards = shards.iter().map(|path| ModelFile::open(path));
        let shards = shards.collect::<Result<Vec<_>, _>>()?;
        let wrong = |source| FileError::Checkpoint { path: path.into(), source };
        one_place_each(&shards).map_err(wrong)?;
        if let Some((_, _, index)) = &index {
            agree(index, &shards).map_err(wrong)?;
        }
        let tensors: Vec<TensorInfo> = shards.iter().enumerate().flat_map(numbered).collect();
        let by_name = NameIndex::new(&tensors);
        // The first file has the last word.
        let metadata = shards.iter().rev().flat_map(|shard| shard.metadata().clone()).collect();
        let index = index.map(|(path, bytes, _)| (name_of(&path), bytes));
        Ok(Self { path: path.into(), shards, tensors, by_name, metadata, index, is_single })
    }

    /// The same model through other handles: each is read from one place at a time.
    ///
    /// # Errors
    /// As [`ModelFile::again`].
    pub fn again(&self) -> Result<Self, FileError> {
        let shards = self.shards.iter().map(ModelFile::again).collect::<Result<_, _>>()?;
        Ok(Self {
            path: self.path.clone(),
            shards,
            tensors: self.tensors.clone(),
            by_name: NameIndex::new(&self.tensors),
            metadata: self.metadata.clone(),
            index: self.index.clone(),
            is_single: self.is_single,
        })
    }

    /// What was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The files, in the order of their tensors.
    pub fn shards(&self) -> &[ModelFile] {
        &self.shards
    }

    /// Whether it was opened as a file: what is made of it is a file as well, else a folder.
    pub fn is_single(&self) -> bool {
        self.is_single
    }

    /// All tensors, file by file in the order in which they lie there.
    pub fn tensors(&self) -> &[TensorInfo] {
        &self.tensors
    }

    /// The tensors of the file of this number: with its header they are all of it.
    pub fn tensors_of(&self, shard: usize) -> &[TensorInfo] {
        let before = |shard| self.tensors.partition_point(|tensor| tensor.shard < shard);
        &self.tensors[before(shard)..before(shard + 1)]
    }

    /// The numbers of all tensors in the order of their names, which does not depend on how they are
    /// spread over files.
    pub fn by_name(&self) -> &[usize] {
        self.by_name.order()
    }

    /// The tensor of this name.
    ///
    /// # Errors
    /// [`UnknownName`] if there is none.
    pub fn tensor(&self, name: &str) -> Result<&TensorInfo, UnknownName> {
        self.by_name.find(&self.tensors, name)
    }

    /// The number of the tensor of this name.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.by_name.position(&self.tensors, name)
    }

    /// What the headers say beside the tensors; where several say something else, the first one.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    /// The length of all files together.
    pub fn length(&self) -> u64 {
        self.shards.iter().map(ModelFile::length).sum()
    }

    /// As [`ModelFile::for_each_piece`].
    ///
    /// # Errors
    /// As [`ModelFile::for_each_piece`].
    pub fn for_each_piece<E: From<FileError>>(
        &self,
        tensor: &TensorInfo,
        most: usize,
        visit: impl FnMut(Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.shards[tensor.shard].for_each_piece(tensor, most, visit)
    }

    /// All bytes of a tensor.
    ///
    /// # Errors
    /// [`FileError::Tensor`] if they cannot be read.
    pub fn bytes_of(&self, tensor: &TensorInfo) -> Result<Vec<u8>, FileError> {
        self.shards[tensor.shard].bytes_of(tensor)
    }

    /// At most so many bytes of a tensor from a place on.
    pub(crate) fn read(
        &self,
        tensor: &TensorInfo,
        from: u64,
        most: usize,
    ) -> Result<Vec<u8>, FileError> {
        self.shards[tensor.shard].read(tensor, from, most)
    }
}

/// The tensors of a file with its number.
fn numbered((shard, file): (usize, &ModelFile)) -> impl Iterator<Item = TensorInfo> {
    file.tensors().iter().map(move |tensor| TensorInfo { shard, ..tensor.clone() })
}

fn name_of(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// The files of a folder.
fn of_folder(folder: &Path) -> Result<Parts, FileError> {
    let wrong = |source| FileError::Checkpoint { path: folder.into(), source };
    let entries = || -> std::io::Result<Vec<PathBuf>> {
        fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect()
    };
    let mut entries = entries().map_err(|source| wrong(CheckpointError::Io(source)))?;
    entries.sort();
    // What is hidden is half of a file that another program writes, or notes of a file manager.
    entries.retain(|path| !name_of(path).starts_with('.'));
    let indices: Vec<&PathBuf> =
        entries.iter().filter(|path| name_of(path).ends_with(INDEX_END)).collect();
    match *indices.as_slice() {
        [] => {}
        [index] => return of_index(index),
        _ => {
            let indices = indices.iter().map(|path| name_of(path)).collect();
            return Err(wrong(CheckpointError::SeveralIndices { indices }));
        }
    }
    let is_model = |path: &&PathBuf| path.extension() == Some(OsStr::new("safetensors"));
    let shards: Vec<PathBuf> = entries.iter().filter(is_model).cloned().collect();
    if shards.is_empty() {
        return Err(wrong(CheckpointError::NoModel { found: likely(&entries) }));
    }
    Ok(Parts { shards, index: None })
}

/// The first file that is a model of another kind.
fn likely(entries: &[PathBuf]) -> Option<(String, FileFormat)> {
    use FileFormat as F;
    let texts = [F::Html, F::Json, F::Text, F::Empty, F::CutOff, F::Unknown, F::Qtaml];
    let format = |path: &PathBuf| {
        let format = FileFormat::of_reader(open_regular(path).ok()?).ok()?;
        Some((name_of(path), format)).filter(|_| !texts.contains(&format))
    };
    entries.iter().find_map(format)
}

/// The files of an index.
fn of_index(path: &Path) -> Result<Parts, FileError> {
    let wrong = |source| FileError::Checkpoint { path: path.into(), source };
    let bytes = read_index(path)?;
    let index = ShardIndex::of_json(&bytes).map_err(wrong)?;
    let folder = path.parent().unwrap_or_else(|| Path::new(""));
    let names = index.shards();
    let missing = names.iter().filter(|name| !folder.join(name).exists());
    let missing: Vec<String> = missing.map(|&name| name.to_owned()).collect();
    if !missing.is_empty() {
        return Err(wrong(CheckpointError::MissingShards { missing, of: names.len() }));
    }
    let shards = names.iter().map(|name| folder.join(name)).collect();
    Ok(Parts { shards, index: Some((path.into(), bytes, index)) })
}

fn read_index(path: &Path) -> Result<Vec<u8>, FileError> {
    let wrong = |source| FileError::Checkpoint { path: path.into(), source };
    let file = open_regular(path)?;
    let mut bytes = Vec::new();
    // One byte more than allowed tells a longer one; it is not read to its end.
    let read = (&file).take(LONGEST_INDEX + 1).read_to_end(&mut bytes);
    read.map_err(|source| wrong(CheckpointError::Io(source)))?;
    if bytes.len() as u64 > LONGEST_INDEX {
        let bytes = file.metadata().map_or(bytes.len() as u64, |found| found.len());
        return Err(wrong(CheckpointError::TooLong { bytes, most: LONGEST_INDEX }));
    }
    Ok(bytes)
}

/// Refuses a tensor in two files.
fn one_place_each(shards: &[ModelFile]) -> Result<(), CheckpointError> {
    let mut places: HashMap<&str, &ModelFile> = HashMap::new();
    for shard in shards {
        for tensor in shard.tensors() {
            if let Some(other) = places.insert(&tensor.name, shard) {
                return Err(CheckpointError::TwiceInShards {
                    tensor: tensor.name.clone(),
                    file: name_of(other.path()),
                    other: name_of(shard.path()),
                });
            }
        }
    }
    Ok(())
}

/// Whether each tensor is where an index has it, and no other one is there.
fn agree(index: &ShardIndex, shards: &[ModelFile]) -> Result<(), CheckpointError> {
    let tensors = |shard: &ModelFile| -> Vec<(String, String)> {
        let file = name_of(shard.path());
        shard.tensors().iter().map(|tensor| (tensor.name.clone(), file.clone())).collect()
    };
    let found: HashMap<String, String> = shards.iter().flat_map(tensors).collect();
    for (tensor, file) in index.tensors() {
        let other = found.get(tensor);
        if other.is_none_or(|other| other != file) {
            let (tensor, file, other) = (tensor.to_owned(), file.to_owned(), other.cloned());
            return Err(CheckpointError::NotInShard { tensor, file, other });
        }
    }
    let stray = found.iter().filter(|(tensor, _)| index.shard_of(tensor).is_none()).min();
    stray.map_or(Ok(()), |(tensor, file)| {
        Err(CheckpointError::NotInIndex { tensor: tensor.clone(), file: file.clone() })
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use std::error::Error;

    use safetensors::Dtype;

    use super::*;
    use crate::{TensorLayout, header};

    /// A safetensors file of tensors of bytes.
    pub(crate) fn file(tensors: &[(&str, &[u8])]) -> Vec<u8> {
        let shapes: Vec<[usize; 1]> = tensors.iter().map(|(_, bytes)| [bytes.len()]).collect();
        let layout = tensors.iter().zip(&shapes).map(|((name, bytes), shape)| TensorLayout {
            name,
            dtype: Dtype::U8,
            shape,
            bytes: bytes.len() as u64,
        });
        let mut file = header(&BTreeMap::new(), layout).unwrap();
        for (_, bytes) in tensors {
            file.extend(*bytes);
        }
        file
    }

    /// A folder of files.
    pub(crate) fn folder(files: &[(&str, Vec<u8>)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, bytes) in files {
            fs::write(folder.path().join(name), bytes).unwrap();
        }
        folder
    }

    const INDEX: &str = "model.safetensors.index.json";

    /// The index of tensors.
    pub(crate) fn index(tensors: &[(&str, &str)]) -> Vec<u8> {
        let map: BTreeMap<_, _> = tensors.iter().copied().collect();
        serde_json::to_vec(&serde_json::json!({"metadata": {}, "weight_map": map})).unwrap()
    }

    pub(crate) fn two_shards() -> tempfile::TempDir {
        folder(&[
            ("m-1.safetensors", file(&[("z", b"zz"), ("b", b"bbb")])),
            ("m-2.safetensors", file(&[("a", b"a")])),
            (
                INDEX,
                index(&[
                    ("a", "m-2.safetensors"),
                    ("b", "m-1.safetensors"),
                    ("z", "m-1.safetensors"),
                ]),
            ),
        ])
    }

    fn words(error: &FileError) -> String {
        let causes = std::iter::successors(error.source(), |&cause| cause.source());
        causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
    }

    #[test]
    fn shards_are_one_model_in_one_order() {
        let folder = two_shards();
        for path in [folder.path().to_owned(), folder.path().join(INDEX)] {
            let model = Checkpoint::open(&path).unwrap();
            let names: Vec<_> =
                model.tensors().iter().map(|t| (t.name.as_str(), t.shard)).collect();
            assert_eq!(names, [("z", 0), ("b", 0), ("a", 1)]);
            assert_eq!(model.by_name(), [2, 1, 0]);
            let counts = [0, 1, 2].map(|shard| model.tensors_of(shard).len());
            assert_eq!(counts, [2, 1, 0]);
            assert_eq!(model.position("b"), Some(1));
            for model in [model.again().unwrap(), model] {
                let bytes = |name| model.bytes_of(model.tensor(name).unwrap()).unwrap();
                assert_eq!([bytes("a"), bytes("b"), bytes("z")], [&b"a"[..], b"bbb", b"zz"]);
                assert!(!model.is_single() && model.tensor("c").is_err());
            }
        }
        fs::remove_file(folder.path().join(INDEX)).unwrap();
        assert_eq!(Checkpoint::open(folder.path()).unwrap().tensors().len(), 3);
        let one = folder.path().join("m-1.safetensors");
        let one = Checkpoint::open(&one).unwrap();
        assert!(one.is_single() && one.tensors().len() == 2 && one.shards().len() == 1);
    }

    /// As models of Mistral come: the same weights once in shards, once in one file.
    #[test]
    fn a_file_beside_the_shards_of_an_index_is_not_theirs() {
        let folder = two_shards();
        fs::write(folder.path().join("consolidated.safetensors"), file(&[("a", b"a")])).unwrap();
        assert_eq!(Checkpoint::open(folder.path()).unwrap().tensors().len(), 3);
        fs::remove_file(folder.path().join(INDEX)).unwrap();
        let error = words(&Checkpoint::open(folder.path()).unwrap_err());
        let named = "tensor \"a\" is in consolidated.safetensors and in m-2.safetensors";
        assert!(error.contains(named), "{error}");
    }

    #[test]
    fn an_index_that_disagrees_is_refused_by_the_tensor() {
        let folder = two_shards();
        let of = |tensors: &[(&str, &str)]| {
            fs::write(folder.path().join(INDEX), index(tensors)).unwrap();
            words(&Checkpoint::open(folder.path()).unwrap_err())
        };
        let (one, two) = ("m-1.safetensors", "m-2.safetensors");
        for (tensors, named) in [
            (vec![("a", two), ("b", one)], "tensor \"z\" of m-1.safetensors is not in its index"),
            (
                vec![("a", one), ("b", two), ("z", one)],
                "tensor \"a\" is not in m-1.safetensors as its index says, but in m-2.safetensors",
            ),
            (
                vec![("a", two), ("b", one), ("c", two), ("z", one)],
                "tensor \"c\" is not in m-2.safetensors as its index says",
            ),
            (
                vec![("a", "m-3.safetensors"), ("b", "m-4.safetensors"), ("c", one)],
                "2 of its 3 files are missing: m-3.safetensors, m-4.safetensors",
            ),
            (vec![("a", "../m-2.safetensors")], "no name of a file beside it"),
            (vec![], "an index without a single tensor"),
        ] {
            let error = of(&tensors);
            assert!(error.contains(named) && error.contains("leads to no model"), "{error}");
        }
        fs::write(folder.path().join("other.safetensors.index.json"), index(&[])).unwrap();
        let error = of(&[]);
        assert!(error.contains("model.safetensors.index.json, other.safetensors"), "{error}");
    }

    #[test]
    fn an_index_of_other_files_and_an_empty_folder_say_so() {
        let zip = || b"PK\x03\x04".iter().copied().chain([0; 26]).chain(*b"a/data.pkl").collect();
        let torch = folder(&[
            ("pytorch_model.bin", zip()),
            ("pytorch_model.bin.index.json", index(&[("a", "pytorch_model.bin")])),
        ]);
        let error = words(&Checkpoint::open(torch.path()).unwrap_err());
        assert!(
            error.contains("no safetensors file in it; pytorch_model.bin is a PyTorch"),
            "{error}"
        );
        let index = torch.path().join("pytorch_model.bin.index.json");
        let error = words(&Checkpoint::open(&index).unwrap_err());
        assert!(
            error.contains("pytorch_model.bin is no safetensors file, but a PyTorch"),
            "{error}"
        );
        let nothing = folder(&[("readme.md", b"# A model".to_vec())]);
        let error = words(&Checkpoint::open(nothing.path()).unwrap_err());
        assert!(
            error.ends_with("leads to no model: there is no safetensors file in it"),
            "{error}"
        );
        let missing = nothing.path().join("missing");
        assert!(matches!(Checkpoint::open(&missing), Err(FileError::Io { .. })));
    }

    #[test]
    fn an_index_that_is_too_long_is_not_read() {
        let folder = two_shards();
        let path = folder.path().join(INDEX);
        let begin = format!("{{\"weight_map\": {}", " ".repeat(5000));
        fs::write(&path, begin).unwrap();
        let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
        file.set_len(LONGEST_INDEX + 2).unwrap();
        let error = words(&Checkpoint::open(&path).unwrap_err());
        assert!(error.contains("it has 100000002 bytes"), "{error}");
    }
}

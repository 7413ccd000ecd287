//! Safetensors files, read and written in pieces.

pub(crate) mod header;
mod parse;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use safetensors::Dtype;

use crate::ahead::read_ahead;
use crate::identity::Identity;
use crate::names::NameIndex;
use crate::piece::piece_at;
use crate::{FileError, FileFormat, HeaderError, UnknownName, open_regular};

/// The longest header that the reference implementation reads.
const LONGEST_HEADER: u64 = 100_000_000;

/// An open model file whose header has been read and makes sense.
#[derive(Debug)]
pub struct ModelFile {
    path: PathBuf,
    /// Read from one place at a time.
    file: Mutex<File>,
    identity: Identity,
    /// The length of the JSON and the JSON itself, as in the file.
    header: Vec<u8>,
    tensors: Vec<TensorInfo>,
    by_name: NameIndex,
    metadata: BTreeMap<String, String>,
}

/// Where a tensor lies in the file, and what it is.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct TensorInfo {
    /// Its name.
    pub name: String,
    /// The type of its elements.
    pub dtype: Dtype,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Its length in bytes.
    pub bytes: u64,
    pub(crate) begin: u64,
    /// The number of its file in a checkpoint.
    pub(crate) shard: usize,
}

impl TensorInfo {
    /// The number of its dimensions.
    pub fn rank(&self) -> usize {
        self.shape.len()
    }

    /// The number of its elements.
    pub fn elements(&self) -> u64 {
        // They were counted when the header was read.
        self.shape.iter().map(|&length| length as u64).product()
    }

    /// The number of its file among those of a [`Checkpoint`](crate::Checkpoint), 0 in a single one.
    pub fn shard(&self) -> usize {
        self.shard
    }
}

impl ModelFile {
    /// Opens a file and reads its header, and nothing else.
    ///
    /// # Errors
    /// [`FileError::Io`] and [`FileError::NotRegular`] if it cannot be read, [`FileError::Foreign`] if
    /// it is a file of another kind, [`FileError::Header`] if it is a damaged one.
    pub fn open(path: &Path) -> Result<Self, FileError> {
        let mut file = open_regular(path)?;
        let header_error = |source| FileError::Header { path: path.into(), source };
        let format = FileFormat::of_reader(&file).and_then(|format| {
            file.rewind()?;
            Ok(format)
        });
        let format = format.map_err(|source| header_error(HeaderError::Io(source)))?;
        if format != FileFormat::Safetensors {
            return Err(FileError::Foreign { path: path.into(), format });
        }
        let read = || {
            let identity = Identity::of(&file.metadata().map_err(HeaderError::Io)?);
            let header = read_header(&file, identity.length())?;
            let (tensors, metadata) = parse::content(&header, identity.length())?;
            Ok((identity, header, tensors, metadata))
        };
        let (identity, header, tensors, metadata) = read().map_err(header_error)?;
        let by_name = NameIndex::new(&tensors);
        Ok(Self {
            path: path.into(),
            file: Mutex::new(file),
            identity,
            header,
            tensors,
            by_name,
            metadata,
        })
    }

    /// The same file through another handle: each is read from one place at a time.
    ///
    /// # Errors
    /// As [`open`](Self::open), and [`FileError::Changed`] if the path leads to another file by now,
    /// of which the header says nothing: models that were trained alike have the same one.
    pub fn again(&self) -> Result<Self, FileError> {
        let again = Self::open(&self.path)?;
        let is_same = again.identity == self.identity && again.header == self.header;
        is_same.then_some(again).ok_or_else(|| FileError::Changed { path: self.path.clone() })
    }

    /// The tensor of this name.
    ///
    /// # Errors
    /// [`UnknownName`] if there is none.
    pub fn tensor(&self, name: &str) -> Result<&TensorInfo, UnknownName> {
        self.by_name.find(&self.tensors, name)
    }

    /// Its path, as it was given.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its length in bytes.
    pub fn length(&self) -> u64 {
        self.identity.length()
    }

    /// The header as it lies in the file: the tensors follow it without a gap.
    pub fn header(&self) -> &[u8] {
        &self.header
    }

    /// All tensors, in the order in which they lie in the file.
    pub fn tensors(&self) -> &[TensorInfo] {
        &self.tensors
    }

    /// What the header says beside the tensors.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    /// Hands over the bytes of a tensor, `most` at a time; the next ones are read meanwhile.
    ///
    /// # Errors
    /// [`FileError::Tensor`] if they cannot be read; else those of `visit`.
    pub fn for_each_piece<E: From<FileError>>(
        &self,
        tensor: &TensorInfo,
        most: usize,
        visit: impl FnMut(Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut from = (0..tensor.bytes).step_by(most);
        read_ahead(|send| from.all(|from| send(self.read(tensor, from, most))), visit)
    }

    /// All bytes of a tensor.
    ///
    /// # Errors
    /// [`FileError::Tensor`] if they cannot be read.
    pub fn bytes_of(&self, tensor: &TensorInfo) -> Result<Vec<u8>, FileError> {
        self.read(tensor, 0, usize::MAX)
    }

    /// The bytes of a tensor from `from` on, at most `most` of them.
    pub(crate) fn read(
        &self,
        tensor: &TensorInfo,
        from: u64,
        most: usize,
    ) -> Result<Vec<u8>, FileError> {
        let length = (tensor.bytes - from).min(most as u64);
        let (name, path) = (&tensor.name, &self.path);
        let error = |source| FileError::Tensor { tensor: name.clone(), path: path.clone(), source };
        piece_at(&self.file, tensor.begin + from, length).map_err(error)
    }
}

/// Eight bytes of length and so many bytes of JSON, of a file of `bytes` bytes.
fn read_header(mut file: &File, bytes: u64) -> Result<Vec<u8>, HeaderError> {
    if bytes < 8 {
        return Err(HeaderError::TooShort { bytes });
    }
    let mut size = [0; 8];
    file.read_exact(&mut size).map_err(HeaderError::Io)?;
    let json = u64::from_le_bytes(size);
    if json > bytes - 8 {
        return Err(HeaderError::LongerThanFile { header: json, bytes });
    }
    if json > LONGEST_HEADER {
        return Err(HeaderError::TooLong { header: json, most: LONGEST_HEADER });
    }
    let mut header = vec![0; 8 + json as usize];
    header[..8].copy_from_slice(&size);
    file.read_exact(&mut header[8..]).map_err(HeaderError::Io)?;
    Ok(header)
}

#[cfg(test)]
mod tests {
    use std::error::Error;
    use std::io::Write;

    use super::*;

    fn bytes_of(json: &str, data: &[u8]) -> Vec<u8> {
        let length = (json.len() as u64).to_le_bytes();
        [&length, json.as_bytes(), data].concat()
    }

    fn open(json: &str, data: &[u8]) -> Result<ModelFile, String> {
        open_bytes(&bytes_of(json, data))
    }

    fn open_bytes(bytes: &[u8]) -> Result<ModelFile, String> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        ModelFile::open(file.path()).map_err(|error| {
            let cause = error.source().and_then(Error::source);
            let texts = [Some(&error as &dyn Error), error.source(), cause];
            texts.into_iter().flatten().map(ToString::to_string).collect::<Vec<_>>().join(": ")
        })
    }

    const TWO: &str = r#"{"b":{"dtype":"F16","shape":[1,2],"data_offsets":[3,7]},
        "a":{"dtype":"I8","shape":[3],"data_offsets":[0,3]},"__metadata__":{"made":"by hand"}}"#;

    #[test]
    fn tensors_come_in_pieces_and_in_the_order_of_the_file() {
        let model = open(TWO, b"abcdefg").unwrap();
        let of: Vec<_> =
            model.tensors().iter().map(|t| (t.name.as_str(), t.dtype, t.rank())).collect();
        assert_eq!(of, [("a", Dtype::I8, 1), ("b", Dtype::F16, 2)]);
        assert_eq!(model.header()[8..], *TWO.as_bytes());
        assert_eq!(model.metadata()["made"], "by hand");
        let mut pieces = Vec::new();
        for tensor in model.tensors() {
            let visit = |piece| {
                pieces.push(String::from_utf8(piece).unwrap());
                Ok::<_, FileError>(())
            };
            model.for_each_piece(tensor, 2, visit).unwrap();
        }
        assert_eq!(pieces, ["ab", "c", "de", "fg"]);
    }

    /// By one of the same length and header.
    #[test]
    fn a_file_that_is_replaced_is_not_the_same_again() {
        let folder = tempfile::tempdir().unwrap();
        let [path, other] = ["model", "other"].map(|name| folder.path().join(name));
        std::fs::write(&path, bytes_of(TWO, b"abcdefg")).unwrap();
        let model = ModelFile::open(&path).unwrap();
        let again = model.again().unwrap();
        assert_eq!((again.header(), again.tensors()), (model.header(), model.tensors()));

        std::fs::write(&other, bytes_of(TWO, b"gfedcba")).unwrap();
        std::fs::rename(&other, &path).unwrap();
        let error = model.again().unwrap_err().to_string();
        assert_eq!(error, format!("{} has changed while it was read", path.display()));
    }

    #[test]
    fn hostile_lengths_are_refused_in_words() {
        let with_length = |length: u64, bytes: usize| {
            let mut file = length.to_le_bytes().to_vec();
            file.push(b'{');
            file.resize(bytes, b' ');
            file
        };
        for (error, named) in [
            (open_bytes(b"PK\x03\x04").unwrap_err(), "but a zip archive: unpack it first"),
            (open_bytes(&[0xff; 30]).unwrap_err(), "but something unknown"),
            (open_bytes(&[]).unwrap_err(), "but an empty file"),
            (open_bytes(&[9, 0, 0]).unwrap_err(), "but a file of less than nine bytes"),
            (open_bytes(&with_length(1 << 31, 99)).unwrap_err(), "its header has 2147483648 bytes"),
            (open("{", &[]).unwrap_err(), "EOF while parsing"),
            (open(TWO, b"abcdef").unwrap_err(), "it ends after 165 bytes of 166"),
            (open(TWO, b"abcdefgh").unwrap_err(), "1 bytes follow its last tensor"),
        ] {
            assert!(error.contains("is no safetensors file"), "{error}");
            assert!(error.contains(named), "{named}: {error}");
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), with_length(LONGEST_HEADER + 1, 9)).unwrap();
        file.as_file().set_len(LONGEST_HEADER + 100).unwrap();
        let error = ModelFile::open(file.path()).unwrap_err();
        let FileError::Header { source: HeaderError::TooLong { header, most }, .. } = error else {
            panic!("{error:?}")
        };
        assert_eq!((header, most), (100_000_001, 100_000_000));
    }

    #[test]
    fn a_hundred_thousand_tensors_are_listed_in_a_moment() {
        let count = 100_000_u64;
        let tensor = |i: u64| {
            let name = format!("model.layers.{i}.self_attn.q_proj.weight");
            format!(r#""{name}":{{"dtype":"U8","shape":[1],"data_offsets":[{i},{}]}}"#, i + 1)
        };
        let json = format!("{{{}}}", (0..count).map(tensor).collect::<Vec<_>>().join(","));
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes_of(&json, &vec![0; count as usize])).unwrap();
        let begin = std::time::Instant::now();
        let model = ModelFile::open(file.path()).unwrap();
        let names = (0..count).map(|i| format!("model.layers.{i}.self_attn.q_proj.weight"));
        assert!(names.into_iter().all(|name| model.tensor(&name).is_ok()));
        // A tenth of it, on a machine with nothing else to do.
        assert!(begin.elapsed().as_secs_f64() < 5.0, "{:?}", begin.elapsed());
        let error = model.tensor("model.layers.7.self_attn.q_proj.wieght").unwrap_err();
        assert_eq!((error.nearest.len(), error.more), (10, 99_990));
        assert_eq!(error.nearest[0], "model.layers.7.self_attn.q_proj.weight");
    }
}

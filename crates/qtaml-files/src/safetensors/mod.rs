//! Safetensors files, read and written in pieces.

pub(crate) mod header;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::SystemTime;

use safetensors::Dtype;
use safetensors::tensor::Metadata;

use crate::{FileError, HeaderError, UnknownName, open_regular};

/// The longest header that the reference implementation reads.
const LONGEST_HEADER: u64 = 100_000_000;

/// Pieces that are read before they are asked for.
const AHEAD: usize = 2;

/// An open model file whose header has been read and makes sense.
#[derive(Debug)]
pub struct ModelFile {
    path: PathBuf,
    file: File,
    identity: Identity,
    /// The length of the JSON and the JSON itself, as in the file.
    header: Vec<u8>,
    tensors: Vec<TensorInfo>,
    metadata: BTreeMap<String, String>,
}

/// What tells whether a path still leads to the same file, and that to the same bytes, as far as
/// the system knows.
#[derive(Debug, PartialEq)]
struct Identity {
    length: u64,
    modified: Option<SystemTime>,
    /// The device, and the number of the file on it.
    #[cfg(unix)]
    number: [u64; 2],
}

impl Identity {
    fn of(file: &fs::Metadata) -> Self {
        #[cfg(unix)]
        use std::os::unix::fs::MetadataExt;
        Self {
            length: file.len(),
            modified: file.modified().ok(),
            #[cfg(unix)]
            number: [file.dev(), file.ino()],
        }
    }
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
    begin: u64,
}

impl TensorInfo {
    /// The number of its dimensions.
    pub fn rank(&self) -> usize {
        self.shape.len()
    }
}

impl ModelFile {
    /// Opens a file and reads its header, and nothing else.
    ///
    /// # Errors
    /// [`FileError::Io`] and [`FileError::NotRegular`] if it cannot be read, [`FileError::Header`] if
    /// it is no safetensors file, or no whole one.
    pub fn open(path: &Path) -> Result<Self, FileError> {
        let file = open_regular(path)?;
        let header_error = |source| FileError::Header { path: path.into(), source };
        let read = || {
            let identity = Identity::of(&file.metadata().map_err(HeaderError::Io)?);
            let header = read_header(&file, identity.length)?;
            let (tensors, metadata) = tensors(&header, identity.length)?;
            Ok((identity, header, tensors, metadata))
        };
        let (identity, header, tensors, metadata) = read().map_err(header_error)?;
        Ok(Self { path: path.into(), file, identity, header, tensors, metadata })
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
        let names = || self.tensors.iter().map(|tensor| tensor.name.as_str());
        let found = self.tensors.iter().find(|tensor| tensor.name == name);
        found.ok_or_else(|| UnknownName::new("tensor", name, names()))
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
        mut visit: impl FnMut(Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        let (sender, pieces) = mpsc::sync_channel(AHEAD);
        let read_all = move || {
            for from in (0..tensor.bytes).step_by(most) {
                // After an error nobody wants the rest.
                if sender.send(self.read(tensor, from, most)).is_err() {
                    return;
                }
            }
        };
        thread::scope(|scope| {
            scope.spawn(read_all);
            pieces.into_iter().try_for_each(|piece| visit(piece?))
        })
    }

    /// All bytes of a tensor.
    ///
    /// # Errors
    /// [`FileError::Tensor`] if they cannot be read.
    pub fn bytes_of(&self, tensor: &TensorInfo) -> Result<Vec<u8>, FileError> {
        self.read(tensor, 0, usize::MAX)
    }

    /// The bytes of a tensor from `from` on, at most `most` of them.
    fn read(&self, tensor: &TensorInfo, from: u64, most: usize) -> Result<Vec<u8>, FileError> {
        let length = (tensor.bytes - from).min(most as u64);
        // Not filled with zeros first: that would take nearly as long as what is read from memory.
        let mut piece = Vec::with_capacity(length as usize);
        let mut read = || -> io::Result<()> {
            let mut file = &self.file;
            file.seek(SeekFrom::Start(tensor.begin + from))?;
            let found = file.take(length).read_to_end(&mut piece)? as u64;
            if found < length { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
        };
        let (name, path) = (&tensor.name, &self.path);
        let error = |source| FileError::Tensor { tensor: name.clone(), path: path.clone(), source };
        read().map_err(error)?;
        Ok(piece)
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

/// The tensors of a file, and what else its header says.
type Content = (Vec<TensorInfo>, BTreeMap<String, String>);

/// The content by its header, if its tensors fill a file of `bytes` bytes.
fn tensors(header: &[u8], bytes: u64) -> Result<Content, HeaderError> {
    // Names, shapes, types and offsets are checked against each other here.
    let metadata: Metadata = serde_json::from_slice(&header[8..]).map_err(HeaderError::Json)?;
    let begin = header.len() as u64;
    let expected = begin.checked_add(metadata.data_len() as u64).ok_or(HeaderError::Overflow)?;
    if bytes < expected {
        return Err(HeaderError::CutOff { bytes, expected });
    }
    if bytes > expected {
        return Err(HeaderError::Trailing { bytes: bytes - expected });
    }
    let tensor = |name: String| {
        let info = metadata.info(&name)?;
        let (from, to) = info.data_offsets;
        let (bytes, begin) = ((to - from) as u64, begin + from as u64);
        Some(TensorInfo { dtype: info.dtype, shape: info.shape.clone(), bytes, begin, name })
    };
    let tensors = metadata.offset_keys().into_iter().filter_map(tensor).collect();
    Ok((tensors, metadata.metadata().clone().into_iter().flatten().collect()))
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

    /// A tensor of 2^61 - 1 bytes is the largest whose bits can be counted.
    fn eight_of_the_largest() -> String {
        let size = (1_u64 << 61) - 1;
        let tensor = |i| {
            let (begin, end) = (i * size, (i + 1) * size);
            format!(r#""w{i}":{{"dtype":"U8","shape":[{size}],"data_offsets":[{begin},{end}]}}"#)
        };
        format!("{{{}}}", (0..8).map(tensor).collect::<Vec<_>>().join(","))
    }

    #[test]
    fn hostile_headers_are_refused_in_words() {
        let tensor = |dtype: &str, shape: &str, offsets: &str| {
            format!(r#"{{"w":{{"dtype":"{dtype}","shape":{shape},"data_offsets":{offsets}}}}}"#)
        };
        let of = |dtype, shape, offsets, data: &[u8]| {
            open(&tensor(dtype, shape, offsets), data).unwrap_err()
        };
        for (error, named) in [
            (open_bytes(b"PK\x03\x04").unwrap_err(), "it has 4 bytes"),
            (open_bytes(&[0xff; 30]).unwrap_err(), "18446744073709551615 bytes"),
            (open("{", &[]).unwrap_err(), "EOF while parsing"),
            (open("\u{0}\u{0}", &[]).unwrap_err(), "is no safetensors file"),
            (open(TWO, b"abcdef").unwrap_err(), "it ends after 165 bytes of 166"),
            (open(TWO, b"abcdefgh").unwrap_err(), "1 bytes follow its last tensor"),
            (of("F32", "[2]", "[0,4]", &[0; 4]), "is no safetensors file"),
            (of("F32", "[1]", "[4,8]", &[0; 8]), "is no safetensors file"),
            (of("F32", "[1]", "[4,0]", &[0; 4]), "is no safetensors file"),
            (of("F32", "[4611686018427387904,8]", "[0,0]", &[]), "is no safetensors file"),
            (of("F32", "[-1]", "[0,4]", &[0; 4]), "is no safetensors file"),
            (open(&eight_of_the_largest(), &[]).unwrap_err(), "more than 2^64 bytes"),
        ] {
            assert!(error.contains(named), "{named}: {error}");
        }
    }
}

//! A safetensors file that is never in memory as a whole.

pub(crate) mod behind;
pub(crate) mod float;
pub(crate) mod layout;
pub(crate) mod packed;
pub(crate) mod progress;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::SystemTime;

use miette::{IntoDiagnostic, Result, WrapErr, ensure, miette};
use safetensors::Dtype;
use safetensors::tensor::Metadata;

use crate::whole_file::open_regular;

/// The longest header that the reference implementation reads.
const LONGEST_HEADER: u64 = 100_000_000;

/// Pieces that are read before they are asked for.
const AHEAD: usize = 2;

/// An open model file whose header has been read and makes sense.
#[derive(Debug)]
pub(crate) struct Model {
    path: PathBuf,
    file: File,
    identity: Identity,
    /// The length of the JSON and the JSON itself, as in the file.
    header: Vec<u8>,
    tensors: Vec<Tensor>,
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
pub(crate) struct Tensor {
    pub(crate) name: String,
    pub(crate) dtype: Dtype,
    pub(crate) shape: Vec<usize>,
    /// Its length in bytes.
    pub(crate) bytes: u64,
    begin: u64,
}

impl Tensor {
    /// The number of its dimensions.
    pub(crate) fn rank(&self) -> usize {
        self.shape.len()
    }
}

impl Model {
    /// Opens a file and reads its header, and nothing else.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let open = || -> io::Result<(File, Identity)> {
            let file = open_regular(path)?;
            let identity = Identity::of(&file.metadata()?);
            Ok((file, identity))
        };
        let cannot_read = || format!("cannot read {}", path.display());
        let (file, identity) = open().into_diagnostic().wrap_err_with(cannot_read)?;
        let no_model = || format!("{} is no safetensors file", path.display());
        let header = read_header(&file, identity.length).wrap_err_with(no_model)?;
        let (tensors, metadata) = tensors(&header, identity.length).wrap_err_with(no_model)?;
        Ok(Self { path: path.into(), file, identity, header, tensors, metadata })
    }

    /// The same file through another handle: each is read from one place at a time.
    ///
    /// The path may lead to another file by now, of which the header says nothing: models that were
    /// trained alike have the same one.
    pub(crate) fn again(&self) -> Result<Self> {
        let again = Self::open(&self.path)?;
        let is_same = again.identity == self.identity && again.header == self.header;
        ensure!(is_same, "{} has changed while it was read", self.path.display());
        Ok(again)
    }

    /// The header as it lies in the file: the tensors follow it without a gap.
    pub(crate) fn header(&self) -> &[u8] {
        &self.header
    }

    /// All tensors, in the order in which they lie in the file.
    pub(crate) fn tensors(&self) -> &[Tensor] {
        &self.tensors
    }

    /// What the header says beside the tensors.
    pub(crate) fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    /// Hands over the bytes of a tensor, `most` at a time; the next ones are read meanwhile.
    pub(crate) fn for_each_piece(
        &self,
        tensor: &Tensor,
        most: usize,
        mut visit: impl FnMut(Vec<u8>) -> Result<()>,
    ) -> Result<()> {
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
    pub(crate) fn bytes_of(&self, tensor: &Tensor) -> Result<Vec<u8>> {
        self.read(tensor, 0, usize::MAX)
    }

    /// The bytes of a tensor from `from` on, at most `most` of them.
    fn read(&self, tensor: &Tensor, from: u64, most: usize) -> Result<Vec<u8>> {
        let length = (tensor.bytes - from).min(most as u64);
        // Not filled with zeros first: that would take nearly as long as what is read from memory.
        let mut piece = Vec::with_capacity(length as usize);
        let mut read = || -> io::Result<()> {
            let mut file = &self.file;
            file.seek(SeekFrom::Start(tensor.begin + from))?;
            let found = file.take(length).read_to_end(&mut piece)? as u64;
            if found < length { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
        };
        read().into_diagnostic().wrap_err_with(|| {
            format!("cannot read tensor {:?} of {}", tensor.name, self.path.display())
        })?;
        Ok(piece)
    }
}

/// Eight bytes of length and so many bytes of JSON, of a file of `length` bytes.
fn read_header(mut file: &File, length: u64) -> Result<Vec<u8>> {
    ensure!(length >= 8, "it has {length} bytes, and a header alone has more");
    let mut size = [0; 8];
    file.read_exact(&mut size).into_diagnostic()?;
    let json = u64::from_le_bytes(size);
    ensure!(json <= length - 8, "its header has {json} bytes, the whole file {length}");
    ensure!(json <= LONGEST_HEADER, "its header has {json} bytes, more than {LONGEST_HEADER}");
    let mut header = vec![0; 8 + json as usize];
    header[..8].copy_from_slice(&size);
    file.read_exact(&mut header[8..]).into_diagnostic()?;
    Ok(header)
}

/// The tensors that a header names, if they fill a file of `length` bytes, and what else it says.
fn tensors(header: &[u8], length: u64) -> Result<(Vec<Tensor>, BTreeMap<String, String>)> {
    // Names, shapes, types and offsets are checked against each other here.
    let metadata: Metadata = serde_json::from_slice(&header[8..]).into_diagnostic()?;
    let begin = header.len() as u64;
    let expected = begin.checked_add(metadata.data_len() as u64);
    let expected = expected.ok_or_else(|| miette!("its header speaks of more than 2^64 bytes"))?;
    ensure!(length >= expected, "it ends after {length} bytes of {expected}");
    ensure!(length == expected, "{} bytes follow its last tensor", length - expected);
    let tensor = |name: String| {
        let info = metadata.info(&name)?;
        let (from, to) = info.data_offsets;
        let (bytes, begin) = ((to - from) as u64, begin + from as u64);
        Some(Tensor { dtype: info.dtype, shape: info.shape.clone(), bytes, begin, name })
    };
    let tensors = metadata.offset_keys().into_iter().filter_map(tensor).collect();
    Ok((tensors, metadata.metadata().clone().into_iter().flatten().collect()))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn bytes_of(json: &str, data: &[u8]) -> Vec<u8> {
        let length = (json.len() as u64).to_le_bytes();
        [&length, json.as_bytes(), data].concat()
    }

    fn open(json: &str, data: &[u8]) -> Result<Model, String> {
        open_bytes(&bytes_of(json, data))
    }

    fn open_bytes(bytes: &[u8]) -> Result<Model, String> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        Model::open(file.path()).map_err(|error| format!("{error:?}"))
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
                Ok(())
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
        let model = Model::open(&path).unwrap();
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

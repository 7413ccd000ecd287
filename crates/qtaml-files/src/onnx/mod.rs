//! ONNX models: an index of their tensors, their values in pieces, and copies with other values.
//!
//! A model is a protocol buffer (`onnx.proto`), and may have values in other files beside it.
//! [`OnnxFile::open`] walks through its messages with seeks: nothing of it is in memory but names,
//! shapes and places. [`OnnxFile::copy_with`] writes a copy in which the values of some tensors are
//! replaced, and every other byte is as it was: no message is written anew, so nothing is lost that this
//! crate does not know.
//!
//! What a tensor is in its model, and which of its axes is that of output channels, follows from the
//! nodes that read it. Whoever knows them says so by the names of this index
//! ([`OnnxFile::describe`]).
//!
//! Not in the index: sparse initializers, the numbers and lists of `Constant` nodes that hold no tensor
//! (`value_floats` and the like), tensors of other attributes, and the graphs of training. A copy has
//! them as they were.

mod copy;
mod element_type;
mod error;
mod index;
mod listed;
mod tensor;
#[cfg(test)]
mod tests;
mod wire;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::path::{Path, PathBuf};

pub use self::copy::{NewValues, OnnxCopy};
pub use self::element_type::ElementType;
pub use self::error::OnnxError;
use self::index::Index;
pub use self::tensor::{Holder, Listed, OnnxTensor, Place};
use self::wire::Wire;
use crate::ahead::read_ahead;
use crate::identity::Identity;
use crate::names::NameIndex;
use crate::piece::piece;
use crate::{
    Action, FileError, FileFormat, TensorDescription, TensorKind, UnknownName, open_regular,
};

/// An ONNX model whose tensors are known by name, shape and place.
///
/// It holds no file open: values are read from the paths that it was opened from, unless something else
/// has come there ([`FileError::Changed`]).
#[derive(Debug)]
pub struct OnnxFile {
    path: PathBuf,
    identity: Identity,
    producer: Producer,
    tensors: Vec<OnnxTensor>,
    by_name: NameIndex,
    /// The other files, by their paths from its folder.
    others: BTreeMap<String, Other>,
}

/// Who wrote a model, and in which version of the format.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Producer {
    /// The program, such as `pytorch`.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The version of the format, `ir_version`.
    pub ir_version: u64,
    /// The version of each set of operators, by its domain; that of ONNX itself is the empty one.
    pub opsets: BTreeMap<String, u64>,
}

/// A file beside the model.
#[derive(Debug)]
struct Other {
    path: PathBuf,
    identity: Identity,
}

impl OnnxFile {
    /// Opens a model and walks through its messages.
    ///
    /// # Errors
    /// [`FileError::Io`] and [`FileError::NotRegular`] if it cannot be read, [`FileError::Onnx`] if it
    /// is no ONNX file, a damaged one, or one whose other files are missing or elsewhere.
    pub fn open(path: &Path) -> Result<Self, FileError> {
        let mut file = open_regular(path)?;
        let wrong = |source| FileError::Onnx { path: path.into(), source };
        let identity = identity_of(&file, path)?;
        let (index, others) = index::index(&mut file)
            .map_err(|error| of_other_format(&mut file, error))
            .and_then(|index| Ok((others(path, &index)?, index)))
            .map(|(others, index)| (index, others))
            .map_err(wrong)?;
        let Index { producer, tensors, .. } = index;
        let by_name = NameIndex::new(&tensors);
        Ok(Self { path: path.into(), identity, producer, tensors, by_name, others })
    }

    /// Its path, as it was given.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its other files, by their paths from its folder.
    pub fn other_files(&self) -> impl Iterator<Item = (&str, &Path)> {
        self.others.iter().map(|(location, other)| (location.as_str(), other.path.as_path()))
    }

    /// The length of all its files together.
    pub fn length(&self) -> u64 {
        let others = self.others.values().map(|other| other.identity.length());
        self.identity.length() + others.sum::<u64>()
    }

    /// Who wrote it.
    pub fn producer(&self) -> &Producer {
        &self.producer
    }

    /// All tensors, in the order of the file.
    pub fn tensors(&self) -> &[OnnxTensor] {
        &self.tensors
    }

    /// The tensor of this name.
    ///
    /// # Errors
    /// [`UnknownName`] if there is none.
    pub fn tensor(&self, name: &str) -> Result<&OnnxTensor, UnknownName> {
        self.by_name.find(&self.tensors, name)
    }

    /// What each tensor is, in the order of [`tensors`](Self::tensors), as `known` says by their names:
    /// that follows from the nodes that read it, of which this index knows nothing. What is not known is
    /// [`TensorKind::Unknown`], and [`TensorKind::Empty`] without elements.
    ///
    /// ```
    /// use qtaml_files::onnx::OnnxFile;
    /// use qtaml_files::{TensorDescription, TensorKind, WeightRole};
    ///
    /// # let path = std::path::Path::new("../../tests/onnx/mlp_gemm.onnx");
    /// let model = OnnxFile::open(path)?;
    /// let linear = TensorDescription::of_graph(TensorKind::Weights(WeightRole::Linear), Some(0));
    /// let found = model.describe(|name| (name == "fc1.weight").then(|| linear.clone()));
    /// assert_eq!(found[0], linear);
    /// assert_eq!(found[1].kind, TensorKind::Unknown);
    /// # Ok::<(), qtaml_files::FileError>(())
    /// ```
    pub fn describe(
        &self,
        known: impl Fn(&str) -> Option<TensorDescription>,
    ) -> Vec<TensorDescription> {
        let unknown = |tensor: &OnnxTensor| match tensor.elements() {
            0 => TensorDescription::of_graph(TensorKind::Empty, None),
            _ => TensorDescription::of_graph(TensorKind::Unknown, None),
        };
        let describe = |tensor: &OnnxTensor| known(&tensor.name).unwrap_or_else(|| unknown(tensor));
        self.tensors.iter().map(describe).collect()
    }

    /// Hands over the values of a tensor as raw bytes, `most` at a time or a value more; the next ones
    /// are read meanwhile.
    ///
    /// # Errors
    /// [`FileError::Tensor`] if they cannot be read, [`FileError::Changed`] if something else has come
    /// to the place of their file; else those of `visit`.
    pub fn for_each_piece<E: From<FileError>>(
        &self,
        tensor: &OnnxTensor,
        most: usize,
        visit: impl FnMut(Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        let most = most.max(1);
        let read = |send: &mut dyn FnMut(Result<Vec<u8>, FileError>) -> bool| {
            if let Err(error) = self.read(tensor, most, &mut |piece| send(Ok(piece))) {
                send(Err(error));
            }
        };
        read_ahead(read, visit)
    }

    /// The values of a tensor as raw bytes.
    ///
    /// # Errors
    /// As [`for_each_piece`](Self::for_each_piece).
    pub fn bytes_of(&self, tensor: &OnnxTensor) -> Result<Vec<u8>, FileError> {
        let mut bytes = Vec::new();
        self.read(tensor, usize::MAX, &mut |piece| {
            bytes = piece;
            true
        })?;
        Ok(bytes)
    }

    fn read(
        &self,
        tensor: &OnnxTensor,
        most: usize,
        send: &mut dyn FnMut(Vec<u8>) -> bool,
    ) -> Result<(), FileError> {
        let (place, bytes) = (self.path.clone(), tensor.bytes);
        let failed = |path: &Path, source| FileError::Tensor {
            tensor: tensor.name.clone(),
            path: path.into(),
            source,
        };
        match &tensor.place {
            Place::Nowhere => Ok(()),
            Place::Here { begin } => pieces(&mut self.reader()?, *begin, bytes, most, send)
                .map_err(|source| failed(&place, source)),
            Place::Elsewhere { location, begin } => {
                let other = self.others.get(location).ok_or(io::ErrorKind::NotFound);
                let other = other.map_err(|kind| failed(&place, kind.into()))?;
                pieces(&mut other.reader()?, *begin, bytes, most, send)
                    .map_err(|source| failed(&other.path, source))
            }
            Place::Listed(listed) => self
                .read_listed(tensor, listed, most, send)
                .map_err(|source| failed(&place, source)),
        }
    }

    /// Listed values are counted only as they are read.
    fn read_listed(
        &self,
        tensor: &OnnxTensor,
        listed: &Listed,
        most: usize,
        send: &mut dyn FnMut(Vec<u8>) -> bool,
    ) -> io::Result<()> {
        let mut wire = Wire::new(self.reader().map_err(FileError::into_io)?).map_err(into_io)?;
        let (mut found, mut is_wanted) = (0, true);
        let counted = |piece: Vec<u8>| {
            found += piece.len() as u64;
            is_wanted = found <= tensor.bytes && send(piece);
            is_wanted
        };
        listed.read(&mut wire, most, counted).map_err(into_io)?;
        // Whoever wants no more has an error of his own.
        if found == tensor.bytes || (!is_wanted && found < tensor.bytes) {
            return Ok(());
        }
        let (name, shape) = (tensor.name.clone(), tensor.shape.clone());
        let (dtype, field) = (tensor.dtype, listed.field());
        Err(io::Error::other(OnnxError::Count { tensor: name, dtype, shape, field }))
    }

    /// The file once more, if it is still the same.
    fn reader(&self) -> Result<File, FileError> {
        reader(&self.path, &self.identity)
    }
}

impl Other {
    fn reader(&self) -> Result<File, FileError> {
        reader(&self.path, &self.identity)
    }
}

fn reader(path: &Path, identity: &Identity) -> Result<File, FileError> {
    let file = open_regular(path)?;
    let is_same = identity_of(&file, path)? == *identity;
    is_same.then_some(file).ok_or_else(|| FileError::Changed { path: path.into() })
}

fn identity_of(file: &File, path: &Path) -> Result<Identity, FileError> {
    let found = file.metadata();
    found.map(|found| Identity::of(&found)).map_err(|source| FileError::Io {
        action: Action::Read,
        path: path.into(),
        source,
    })
}

/// Bytes of a file in pieces, as long as they are wanted.
fn pieces(
    file: &mut File,
    begin: u64,
    bytes: u64,
    most: usize,
    send: &mut dyn FnMut(Vec<u8>) -> bool,
) -> io::Result<()> {
    file.seek(SeekFrom::Start(begin))?;
    let mut left = bytes;
    while left > 0 {
        let length = left.min(most as u64);
        let piece = piece(file, length)?;
        left -= length;
        if !send(piece) {
            break;
        }
    }
    Ok(())
}

fn into_io(error: OnnxError) -> io::Error {
    match error {
        OnnxError::Io(source) => source,
        error => io::Error::other(error),
    }
}

/// The error of a file that cannot be walked through: what it is, if that is known.
fn of_other_format(file: &mut File, error: OnnxError) -> OnnxError {
    let format = file.rewind().and_then(|()| FileFormat::of_reader(file));
    match format {
        Ok(format) if !matches!(format, FileFormat::Onnx | FileFormat::Unknown) => {
            OnnxError::Foreign { format }
        }
        _ => error,
    }
}

/// The other files of a model, which reach as far as its tensors do.
fn others(path: &Path, index: &Index) -> Result<BTreeMap<String, Other>, OnnxError> {
    let folder = path.parent().unwrap_or_else(|| Path::new(""));
    let mut others = BTreeMap::new();
    let mut of = |location: &str, tensor: &str, end: Option<u64>| {
        if !others.contains_key(location) {
            others.insert(location.to_owned(), other(folder, location, tensor)?);
        }
        let bytes = others.get(location).map_or(0, |other: &Other| other.identity.length());
        let end = end.unwrap_or(u64::MAX);
        let (tensor, location) = (tensor.to_owned(), location.to_owned());
        let error = || OnnxError::ExternalCutOff { tensor, location, end, bytes };
        (end <= bytes).then_some(()).ok_or_else(error)
    };
    for tensor in &index.tensors {
        if let Place::Elsewhere { location, begin } = &tensor.place {
            of(location, &tensor.name, begin.checked_add(tensor.bytes))?;
        }
    }
    index.also.iter().try_for_each(|(location, tensor)| of(location, tensor, Some(0)))?;
    Ok(others)
}

fn other(folder: &Path, location: &str, tensor: &str) -> Result<Other, OnnxError> {
    let path = folder.join(location);
    let found = open_regular(&path).and_then(|file| identity_of(&file, &path));
    match found {
        Ok(identity) => Ok(Other { path, identity }),
        Err(error) => Err(OnnxError::ExternalFile {
            tensor: tensor.to_owned(),
            location: location.to_owned(),
            source: error.into_io(),
        }),
    }
}

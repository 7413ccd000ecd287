//! GGUF files, the models of llama.cpp, read.
//!
//! Format: `docs/gguf.md` of ggml, versions 2 and 3, little-endian.

mod element_type;
mod error;
mod metadata;
mod parse;

use std::fs::File;
use std::io::{BufReader, Seek};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

pub use self::element_type::GgufType;
pub use self::error::GgufError;
pub use self::metadata::{GgufMetadata, GgufValue};

use crate::names::NameIndex;
use crate::piece::piece_at;
use crate::{Action, FileError, FileFormat, UnknownName, open_regular};

/// An open GGUF file whose header has been read and makes sense. Tensors are read when they are asked for.
#[derive(Debug)]
pub struct GgufFile {
    path: PathBuf,
    /// Read from one place at a time.
    file: Mutex<File>,
    metadata: GgufMetadata,
    tensors: Vec<GgufTensor>,
    by_name: NameIndex,
}

/// Where a tensor lies in the file, and what it is.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct GgufTensor {
    /// Its name.
    pub name: String,
    /// Its shape, outermost dimension first.
    pub shape: Vec<usize>,
    /// How its values are written.
    pub kind: GgufType,
    /// Its length in bytes.
    pub bytes: u64,
    begin: u64,
}

impl GgufFile {
    /// Opens a file and reads its header, and nothing else.
    ///
    /// # Errors
    /// [`FileError::Io`] and [`FileError::NotRegular`] if it cannot be read, [`FileError::Gguf`] if it is a file of
    /// another kind or a damaged one.
    pub fn open(path: &Path) -> Result<Self, FileError> {
        let mut file = open_regular(path)?;
        let io = |source| FileError::Io { action: Action::Read, path: path.into(), source };
        let wrong = |source| FileError::Gguf { path: path.into(), source };
        let format = FileFormat::of_reader(&file).map_err(io)?;
        if format != FileFormat::Gguf {
            return Err(wrong(GgufError::Foreign { format }));
        }
        file.rewind().map_err(io)?;
        let bytes = file.metadata().map_err(io)?.len();
        let header = parse::header(BufReader::new(&file), bytes).map_err(wrong)?;
        let by_name = NameIndex::new(&header.tensors);
        let (path, file) = (path.into(), Mutex::new(file));
        Ok(Self { path, file, metadata: header.metadata, tensors: header.tensors, by_name })
    }

    /// Its path, as it was given.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the file says of its model.
    pub fn metadata(&self) -> &GgufMetadata {
        &self.metadata
    }

    /// All tensors, in the order of the header.
    pub fn tensors(&self) -> &[GgufTensor] {
        &self.tensors
    }

    /// The tensor of this name.
    ///
    /// # Errors
    /// [`UnknownName`] if there is none.
    pub fn tensor(&self, name: &str) -> Result<&GgufTensor, UnknownName> {
        self.by_name.find(&self.tensors, name)
    }

    /// The numbers that a tensor stands for, row-major.
    ///
    /// # Errors
    /// [`FileError::Tensor`] if it cannot be read.
    pub fn values(&self, tensor: &GgufTensor) -> Result<Vec<f32>, FileError> {
        let (name, path) = (&tensor.name, &self.path);
        let error = |source| FileError::Tensor { tensor: name.clone(), path: path.clone(), source };
        let bytes = piece_at(&self.file, tensor.begin, tensor.bytes).map_err(error)?;
        Ok(tensor.kind.values(&bytes))
    }
}

#[cfg(test)]
mod tests;

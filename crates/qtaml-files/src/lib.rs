//! Model files read and written in pieces, and files that are there whole or not at all.
//!
//! - [`Checkpoint`]: a model in one file or in several, as one list of tensors, and
//!   [`CheckpointWriter`] to write it back as such. [`Checkpoint::describe`] tells weights from what
//!   belongs to them and from buffers, [`Checkpoint::ties`] which names are the same cells.
//! - [`ModelFile`]: a safetensors file that is never in memory as a whole. Its header is checked
//!   before anything else is read; tensors come in pieces, the next ones read ahead.
//! - [`header`] and [`write_in_background`]: a new model file, written while its next piece is made.
//! - [`Float`] and [`Float8`]: the floating-point types of weights.
//! - [`WholeFile`] and [`write()`]: a file is the old one or the new one, never half of either, and
//!   [`remove_temporaries`] is what a handler of Ctrl-C calls. What a killed process leaves is told by
//!   its name ([`is_temporary`]).
//! - [`onnx::OnnxFile`]: an ONNX model, of which only the places of its tensors are in memory, and
//!   copies of it with other values.
//! - [`gguf::GgufFile`]: a GGUF model of llama.cpp, read: its metadata, and its tensors as the numbers that their
//!   blocks stand for.
//! - [`FileFormat`]: what another file is, by its first bytes, and what to do with it.
//! - [`read_numpy`]: arrays of `NumPy`, for the inputs of a model.
//! - [`NamePattern`]: patterns of tensor names.
//! - [`UnknownName`]: the error of a name that nothing has, with the nearest ones that exist.
//!
//! ```
//! use qtaml_files::{Dtype, Float, ModelFile, TensorLayout, header};
//!
//! # let folder = tempfile::tempdir()?;
//! let path = folder.path().join("model.safetensors");
//! let mut bytes = vec![0; 8];
//! Float::F32.encode(&[0.5, -2.0], &mut bytes);
//! let layout = TensorLayout { name: "w", dtype: Dtype::F32, shape: &[1, 2], bytes: 8 };
//! let header = header(&[].into(), [layout])?;
//! qtaml_files::write(&path, &[header, bytes].concat())?;
//!
//! let model = ModelFile::open(&path)?;
//! let weights = Float::F32.decode(&model.bytes_of(model.tensor("w")?)?);
//! assert_eq!(weights, [0.5, -2.0]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod ahead;
mod background;
#[cfg(test)]
mod changes;
mod checkpoint;
mod error;
mod float;
mod float8;
mod format;
pub mod gguf;
mod identity;
mod kind;
mod names;
mod numpy;
pub mod onnx;
mod pattern;
mod piece;
mod safetensors;
mod temporaries;
mod ties;
mod whole_file;

pub use ::safetensors::Dtype;

pub use self::background::{BackgroundWriter, write_in_background};
pub use self::checkpoint::{Checkpoint, CheckpointError, CheckpointWriter};
pub use self::error::{Action, FileError, HeaderError};
pub use self::float::{Float, WithinType};
pub use self::float8::Float8;
pub use self::format::FileFormat;
pub use self::kind::{
    AxisSource, BitOrder, BufferKind, CodeLayout, Codes, Layout, MetadataKind, OutputAxis, Packing,
    StoredWords, TensorDescription, TensorKind, WeightRole, WordsError,
};
pub use self::names::UnknownName;
pub use self::numpy::{NumpyArray, NumpyError, NumpyValues, read_numpy};
pub use self::pattern::NamePattern;
pub use self::safetensors::header::{TensorLayout, header};
pub use self::safetensors::{ModelFile, TensorInfo};
pub use self::temporaries::{CreationBlocked, is_temporary, remove_temporaries};
pub use self::whole_file::{WholeFile, is_same, open_regular, read, write};

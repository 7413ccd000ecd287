//! Kinds of files, told by their first bytes.

use std::fmt;
use std::io::{self, Read};
use std::path::Path;

use crate::checkpoint::index::INDEX_MEMBER;
use crate::{Action, FileError, open_regular};

/// Bytes of a file that are looked at: the mark of a tar file lies at 257.
const LOOKED_AT: u64 = 4096;

/// What a file is, as far as its first bytes tell. Its name says nothing.
///
/// ```
/// use qtaml_files::FileFormat;
///
/// assert_eq!(FileFormat::of(b"GGUF\x03\0\0\0"), FileFormat::Gguf);
/// assert_eq!(FileFormat::of(b"<!DOCTYPE html><html>"), FileFormat::Html);
/// assert!(FileFormat::Gguf.advice().contains("safetensors"));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FileFormat {
    /// Tensors as this crate reads them: eight bytes of length, then a JSON object
    /// (<https://huggingface.co/docs/safetensors/index#format>).
    Safetensors,
    /// The index of a checkpoint in several safetensors files.
    ShardIndex,
    /// A model of ONNX: a protocol buffer that begins with its version (`onnx.proto`, `ModelProto`).
    Onnx,
    /// A model of llama.cpp (`ggml/docs/gguf.md`: `GGUF`), or of its older formats.
    Gguf,
    /// What git holds in place of a large file (git-lfs `docs/spec.md`).
    LfsPointer,
    /// A file of `torch.save` since `PyTorch` 1.6: a zip archive with a pickle in it.
    PyTorch,
    /// A Python pickle: what `torch.save` wrote before, and joblib, scikit-learn and others do.
    Pickle,
    /// HDF5, what Keras wrote by default up to version 2 (`H5F_SIGNATURE`).
    Hdf5,
    /// A zip archive of Keras 3.
    Keras,
    /// One array of numpy (`numpy.lib.format`).
    Npy,
    /// A zip archive of numpy arrays.
    Npz,
    /// A model of TensorFlow Lite: a flat buffer with the identifier `TFL3`.
    TfLite,
    /// A saved model of TensorFlow, or another protocol buffer of it.
    SavedModel,
    /// A zip archive of something else.
    Zip,
    /// Compressed by gzip, or a tar archive that is.
    Gzip,
    /// A tar archive.
    Tar,
    /// Compressed by zstd, xz, bzip2 or 7-zip.
    Compressed,
    /// A web page, often that of an error or a login.
    Html,
    /// A JSON text that is no index of shards.
    Json,
    /// Any other text.
    Text,
    /// A file of this project that is no model: a codec, a codebook, a record of faults.
    Qtaml,
    /// No bytes at all.
    Empty,
    /// A safetensors file that was cut off within the length of its header.
    CutOff,
    /// None of these.
    Unknown,
}

/// Marks at the beginning of a file.
const MARKS: [(&[u8], FileFormat); 14] = [
    (b"GGUF", FileFormat::Gguf),
    // Of `ggml.h` before gguf, little-endian: ggml, ggmf, ggjt.
    (b"lmgg", FileFormat::Gguf),
    (b"fmgg", FileFormat::Gguf),
    (b"tjgg", FileFormat::Gguf),
    (b"version https://git-lfs.github.com/spec/", FileFormat::LfsPointer),
    (b"version https://hawser.github.com/spec/", FileFormat::LfsPointer),
    (b"\x89HDF\r\n\x1a\n", FileFormat::Hdf5),
    (b"\x93NUMPY", FileFormat::Npy),
    (b"\x1f\x8b", FileFormat::Gzip),
    (b"\x28\xb5\x2f\xfd", FileFormat::Compressed),
    (b"\xfd7zXZ\0", FileFormat::Compressed),
    (b"BZh", FileFormat::Compressed),
    (b"7z\xbc\xaf\x27\x1c", FileFormat::Compressed),
    (b"QTAML", FileFormat::Qtaml),
];

impl FileFormat {
    /// Every format there is.
    pub const ALL: [Self; 24] = [
        Self::Safetensors,
        Self::ShardIndex,
        Self::Onnx,
        Self::Gguf,
        Self::LfsPointer,
        Self::PyTorch,
        Self::Pickle,
        Self::Hdf5,
        Self::Keras,
        Self::Npy,
        Self::Npz,
        Self::TfLite,
        Self::SavedModel,
        Self::Zip,
        Self::Gzip,
        Self::Tar,
        Self::Compressed,
        Self::Html,
        Self::Json,
        Self::Text,
        Self::Qtaml,
        Self::Empty,
        Self::CutOff,
        Self::Unknown,
    ];

    /// The format of a file that begins with these bytes; some are told only by the first 4096.
    pub fn of(begin: &[u8]) -> Self {
        if begin.is_empty() {
            return Self::Empty;
        }
        if is_safetensors(begin) {
            return Self::Safetensors;
        }
        let text = begin.trim_ascii_start();
        if let Some((_, format)) = MARKS.iter().find(|(mark, _)| begin.starts_with(mark)) {
            return *format;
        }
        let is_tag =
            |tag: &[u8]| text.get(..tag.len()).is_some_and(|t| t.eq_ignore_ascii_case(tag));
        if is_tag(b"<!doctype html") || is_tag(b"<html") {
            return Self::Html;
        }
        if begin.starts_with(b"PK\x03\x04") || begin.starts_with(b"PK\x05\x06") {
            return of_zip(begin);
        }
        if begin.get(257..262) == Some(b"ustar") {
            return Self::Tar;
        }
        if begin.get(4..8) == Some(b"TFL3") {
            return Self::TfLite;
        }
        of_structure(begin, text)
    }

    /// The format of a file.
    ///
    /// # Errors
    /// [`FileError::Io`] and [`FileError::NotRegular`](crate::FileError::NotRegular) if it cannot be read.
    pub fn of_file(path: &Path) -> Result<Self, FileError> {
        let failed = |source| FileError::Io { action: Action::Read, path: path.into(), source };
        Self::of_reader(open_regular(path)?).map_err(failed)
    }

    /// The format of what is read from its beginning.
    pub(crate) fn of_reader(reader: impl Read) -> io::Result<Self> {
        let mut begin = Vec::new();
        reader.take(LOOKED_AT).read_to_end(&mut begin)?;
        Ok(Self::of(&begin))
    }

    /// What to do with such a file.
    pub const fn advice(self) -> &'static str {
        match self {
            Self::Safetensors => "it is read as it is",
            Self::ShardIndex => "it is read together with its shards",
            Self::Onnx => {
                "qtaml inspect, evaluate, plan, protect and recover take it as it is; inject and codec \
                 do not"
            }
            Self::Gguf => "take the safetensors files that it was made from",
            Self::LfsPointer => "fetch the file itself with `git lfs pull`",
            Self::PyTorch | Self::Pickle => {
                "convert it in Python with safetensors.torch.save_file(torch.load(FILE, \
                 map_location=\"cpu\", weights_only=True), \"model.safetensors\")"
            }
            Self::Hdf5 | Self::Keras => {
                "convert it in Python with safetensors.numpy.save_file, from the name and the \
                 numpy() of each of keras.models.load_model(FILE).weights"
            }
            Self::Npy | Self::Npz => {
                "convert it in Python with safetensors.numpy.save_file(dict(numpy.load(FILE)), \
                 \"model.safetensors\"); an array of its own needs a name there"
            }
            Self::TfLite | Self::SavedModel => {
                "take the model that it was exported from, and save its weights with \
                 safetensors.numpy.save_file"
            }
            Self::Zip | Self::Gzip | Self::Tar | Self::Compressed => {
                "unpack it first, and name the file or the folder in it"
            }
            Self::Html => "the download has failed: open the file, it says why",
            Self::Json | Self::Text => {
                "name the safetensors file, its folder, or the index of its shards"
            }
            Self::Qtaml => "name the model that it belongs to",
            Self::Empty | Self::CutOff => "copy or download it once more",
            Self::Unknown => {
                "a safetensors file, a folder of such files, or the index of shards is needed"
            }
        }
    }
}

impl fmt::Display for FileFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Safetensors => "a safetensors file",
            Self::ShardIndex => "an index of shards",
            Self::Onnx => "an ONNX model",
            Self::Gguf => "a GGUF model of llama.cpp",
            Self::LfsPointer => "a git-lfs pointer in place of the file itself",
            Self::PyTorch => "a PyTorch file",
            Self::Pickle => "a Python pickle, as torch.save wrote them before PyTorch 1.6",
            Self::Hdf5 => "an HDF5 file, as Keras writes them",
            Self::Keras => "a Keras model",
            Self::Npy => "a numpy array",
            Self::Npz => "an archive of numpy arrays",
            Self::TfLite => "a TensorFlow Lite model",
            Self::SavedModel => "a TensorFlow model",
            Self::Zip => "a zip archive",
            Self::Gzip => "compressed by gzip",
            Self::Tar => "a tar archive",
            Self::Compressed => "a compressed archive",
            Self::Html => "a web page",
            Self::Json => "a JSON text",
            Self::Text => "a text",
            Self::Qtaml => "a file of qtaml that holds no model",
            Self::Empty => "an empty file",
            Self::CutOff => "a file of less than nine bytes",
            Self::Unknown => "something unknown",
        })
    }
}

/// Eight bytes of a length that a header can have, and the brace that every header begins with. A
/// length beyond 4 GB is none, so that a text with a brace at its ninth place is not meant.
fn is_safetensors(begin: &[u8]) -> bool {
    matches!(begin, [_, _, _, _, 0, 0, 0, 0, b'{', ..])
}

/// What the names in an archive say; the first entries lie near its beginning.
fn of_zip(begin: &[u8]) -> FileFormat {
    let has = |name: &[u8]| begin.windows(name.len()).any(|window| window == name);
    let first = begin.get(30..).unwrap_or_default();
    let length = begin.get(26..28).map_or(0, |n| usize::from(u16::from_le_bytes([n[0], n[1]])));
    let first = &first[..length.min(first.len())];
    if has(b"data.pkl") || has(b"/byteorder") || has(b"/.format_version") {
        FileFormat::PyTorch
    } else if first.ends_with(b".npy") {
        FileFormat::Npz
    } else if matches!(first, b"metadata.json" | b"config.json" | b"model.weights.h5") {
        FileFormat::Keras
    } else {
        FileFormat::Zip
    }
}

/// What has no mark, but a structure: protocol buffers, pickles, texts.
fn of_structure(begin: &[u8], text: &[u8]) -> FileFormat {
    match begin {
        // Field 1, ir_version, a small number; then a field of ModelProto: strings 2, 3, 4 and 6,
        // messages 7 (graph) and 8 (opset_import), or the number 5.
        [0x08, 1..=32, 0x12, _, 0x0a, ..] => FileFormat::SavedModel,
        [0x08, 1..=32, 0x12 | 0x1a | 0x22 | 0x28 | 0x32 | 0x3a | 0x42, ..] => FileFormat::Onnx,
        // The opcode PROTO with a version, and one that opens a value or a frame.
        [0x80, 2..=5, b'}' | b']' | b'(' | b'c' | 0x8a | 0x95, ..] => FileFormat::Pickle,
        // Protocols 0 and 1 of `torch.save` are not written by anything of today.
        _ if text.starts_with(b"{") || text.starts_with(b"[") => of_json(begin),
        _ if is_text(begin) => FileFormat::Text,
        _ if begin.len() < 9 => FileFormat::CutOff,
        _ => FileFormat::Unknown,
    }
}

fn of_json(begin: &[u8]) -> FileFormat {
    let member = format!("\"{INDEX_MEMBER}\"");
    let is_index = begin.windows(member.len()).any(|window| window == member.as_bytes());
    match is_text(begin) {
        true if is_index => FileFormat::ShardIndex,
        true => FileFormat::Json,
        false => FileFormat::Unknown,
    }
}

/// UTF-8 without control characters, but for a character that is cut off at the end.
fn is_text(begin: &[u8]) -> bool {
    let text = match str::from_utf8(begin) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() => {
            str::from_utf8(&begin[..error.valid_up_to()]).unwrap_or_default()
        }
        Err(_) => return false,
    };
    !text.is_empty() && text.chars().all(|c| !c.is_control() || c.is_whitespace())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::changes::Changes;

    /// A zip archive of one stored entry, as far as its first header goes.
    fn zip(name: &str, content: &[u8]) -> Vec<u8> {
        let mut bytes = b"PK\x03\x04".to_vec();
        bytes.resize(26, 0);
        bytes.extend((name.len() as u16).to_le_bytes());
        bytes.extend([0, 0]);
        bytes.extend(name.as_bytes());
        bytes.extend(content);
        bytes
    }

    /// The first bytes of each, from files that the program of the comment wrote or its format says.
    #[test]
    fn every_format_is_told_by_its_first_bytes() {
        let mut tar = b"model.safetensors".to_vec();
        tar.resize(512, 0);
        tar[257..262].copy_from_slice(b"ustar");
        let of_archive: [(Vec<u8>, FileFormat); 6] = [
            (zip("archive/data.pkl", b"\x80\x02}"), FileFormat::PyTorch),
            (zip("model/byteorder", b"little"), FileFormat::PyTorch),
            (zip("weight.npy", b"\x93NUMPY"), FileFormat::Npz),
            (zip("metadata.json", b"{}"), FileFormat::Keras),
            (zip("readme.txt", b""), FileFormat::Zip),
            (tar, FileFormat::Tar),
        ];
        let others: [(&[u8], FileFormat); 32] = [
            (b"\x10\0\0\0\0\0\0\0{\"w\":", FileFormat::Safetensors),
            (b"{\"metadata\":{},\"weight_map\":{\"a\":", FileFormat::ShardIndex),
            (b"  \n{\n \"weight_map\" : {}}", FileFormat::ShardIndex),
            // torch.onnx.export, onnx.helper.make_model, tf2onnx.
            (b"\x08\x08\x12\x07pytorch\x1a\x052.1.0:", FileFormat::Onnx),
            (b"\x08\x0a:\xd7\x01\n\x12", FileFormat::Onnx),
            (b"\x08\x07\x12\x07tf2onnx", FileFormat::Onnx),
            (b"GGUF\x03\0\0\0", FileFormat::Gguf),
            (b"tjgg\x03\0\0\0", FileFormat::Gguf),
            (b"version https://git-lfs.github.com/spec/v1\noid sha256:", FileFormat::LfsPointer),
            (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", FileFormat::Pickle),
            (b"\x80\x04\x95\x10\0\0\0\0\0\0\0}", FileFormat::Pickle),
            (b"\x80\x02ccollections\nOrderedDict", FileFormat::Pickle),
            (b"\x89HDF\r\n\x1a\n\0\0", FileFormat::Hdf5),
            (b"\x93NUMPY\x01\0v\0{'descr'", FileFormat::Npy),
            (b"\x1c\0\0\0TFL3\0\0\x12\0", FileFormat::TfLite),
            (b"\x08\x01\x12\x9b\x0a", FileFormat::SavedModel),
            (b"\x1f\x8b\x08\0", FileFormat::Gzip),
            (b"\x28\xb5\x2f\xfd\x04", FileFormat::Compressed),
            (b"\xfd7zXZ\0\0\x04", FileFormat::Compressed),
            (b"BZh91AY&SY", FileFormat::Compressed),
            (b"7z\xbc\xaf\x27\x1c\0\x04", FileFormat::Compressed),
            (b"\n <!DOCTYPE html>", FileFormat::Html),
            (b"<HTML lang=en>", FileFormat::Html),
            (b"{\"error\": \"Repository not found\"}", FileFormat::Json),
            (b"[1, 2]", FileFormat::Json),
            (b"Access denied\n", FileFormat::Text),
            ("Gewicht: 3 \u{b5}g".as_bytes(), FileFormat::Text),
            (b"QTAMLCDC\x02\0\0\0", FileFormat::Qtaml),
            (b"", FileFormat::Empty),
            (b"\x10\0\0\0", FileFormat::CutOff),
            (&[0xff; 30], FileFormat::Unknown),
            (b"\x10\0\0\0\0\0\0\0\0\0\0", FileFormat::Unknown),
        ];
        let of_archive = of_archive.iter().map(|(begin, format)| (begin.as_slice(), *format));
        let mut seen: Vec<_> = Vec::new();
        for (begin, format) in of_archive.chain(others) {
            assert_eq!(FileFormat::of(begin), format, "{}", begin.escape_ascii());
            seen.push(format);
        }
        assert!(FileFormat::ALL.iter().all(|format| seen.contains(format)));
    }

    #[test]
    fn every_format_has_a_name_and_an_advice_of_its_own_kind() {
        for format in FileFormat::ALL {
            let (name, advice) = (format.to_string(), format.advice());
            assert!(!name.is_empty() && !name.ends_with('.'), "{name}");
            assert!(advice.len() > 10 && !advice.ends_with('.'), "{advice}");
        }
    }

    #[test]
    fn a_text_with_a_brace_at_the_place_of_a_header_is_no_safetensors_file() {
        assert_eq!(FileFormat::of(b"eight !!{\"a\": 1}"), FileFormat::Text);
    }

    #[test]
    fn any_bytes_have_a_format() {
        let mut random = Changes::new(3);
        let begins: [&[u8]; 6] = [
            &zip("archive/data.pkl", b""),
            b"\x10\0\0\0\0\0\0\0{\"w\":",
            b"\x08\x08\x12\x07pytorch",
            b"{\"weight_map\": {\"a\": \"b\"}}",
            b"\x80\x02}q",
            "\u{fc}\u{20ac}\u{10348}".as_bytes(),
        ];
        for _ in 0..5000 {
            for begin in begins {
                let bytes = random.change(begin);
                assert_eq!(FileFormat::of(&bytes) == FileFormat::Empty, bytes.is_empty());
            }
        }
    }
}

//! Arrays of `NumPy`: `.npy` files and `.npz` archives of them, read.
//!
//! Format: "NEP 1 — A Simple File Format for `NumPy` Arrays", versions 1 to 3. Numbers and truth values are
//! read; text, dates, objects and records are refused by their type.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use half::f16;

const MAGIC: &[u8; 6] = b"\x93NUMPY";
/// Longer than any header of numbers.
const LONGEST_HEADER: usize = 1 << 16;
/// Read at a time: a number in a header allocates nothing.
const AT_ONCE: usize = 1 << 20;

/// An array of numbers, row-major.
#[derive(Debug, Clone, PartialEq)]
pub struct NumpyArray {
    /// Its shape; that of a single number is empty.
    pub shape: Vec<usize>,
    /// Its values.
    pub values: NumpyValues,
}

/// The values of an array.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum NumpyValues {
    /// Floats of 16, 32 or 64 bits, as the nearest of 32.
    Float(Vec<f32>),
    /// Integers of 8 to 64 bits, with sign or without.
    Integer(Vec<i64>),
    /// Truth values.
    Bool(Vec<bool>),
}

/// Why an array cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NumpyError {
    /// The file cannot be read.
    #[error("the file cannot be read")]
    Io(#[from] io::Error),
    /// Neither an array nor an archive.
    #[error("this is no .npy or .npz file: it begins with neither \\x93NUMPY nor PK")]
    Format,
    /// An archive that cannot be read.
    #[error("the archive cannot be read")]
    Archive(#[from] zip::result::ZipError),
    /// An archive without arrays.
    #[error("the archive holds no .npy file")]
    Empty,
    /// An array of an archive that cannot be read.
    #[error("array {name:?}")]
    Member {
        /// Its name.
        name: String,
        /// Why.
        source: Box<NumpyError>,
    },
    /// A version of the format that nobody has written yet.
    #[error("version {0} of the .npy format is unknown: 1 to 3 are")]
    Version(u8),
    /// A header that is not what the format says.
    #[error("the header is damaged: {0}")]
    Header(String),
    /// Values that are no numbers.
    #[error("values of type {0} are no numbers that a model takes: floats, integers and bools are")]
    Type(String),
    /// More or less data than the shape needs.
    #[error("shape {shape:?} of {dtype} is {expected} bytes, and the file has {found}")]
    Length {
        /// The shape.
        shape: Vec<usize>,
        /// The type of the values.
        dtype: String,
        /// The bytes that they need.
        expected: u128,
        /// The bytes that are there, or one more than needed if there are more.
        found: u128,
    },
    /// An integer that has no place among signed ones of 64 bits.
    #[error("the integer {0} is beyond 64 bits with a sign")]
    Integer(u64),
}

/// Reads an array, which is then called `""`, or all arrays of an archive by name.
///
/// ```
/// use qtaml_files::{NumpyValues, read_numpy};
///
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("x.npy");
/// let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }\n";
/// let mut file = b"\x93NUMPY\x01\x00".to_vec();
/// file.extend((header.len() as u16).to_le_bytes());
/// file.extend(header.as_bytes());
/// file.extend([0.5_f32, -1.0].map(f32::to_le_bytes).concat());
/// std::fs::write(&path, file)?;
///
/// let arrays = read_numpy(&path)?;
/// assert_eq!(arrays[0].1.values, NumpyValues::Float(vec![0.5, -1.0]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`NumpyError`], which names the array of an archive.
pub fn read_numpy(path: &Path) -> Result<Vec<(String, NumpyArray)>, NumpyError> {
    let mut file = BufReader::new(File::open(path)?);
    let mut magic = [0; 6];
    let read = read_up_to(&mut file, &mut magic)?;
    if magic == *MAGIC {
        return Ok(vec![(String::new(), after_magic(file)?)]);
    }
    if !magic[..read].starts_with(b"PK") {
        return Err(NumpyError::Format);
    }
    archive(file)
}

fn archive(file: impl Read + io::Seek) -> Result<Vec<(String, NumpyArray)>, NumpyError> {
    let mut archive = zip::ZipArchive::new(file)?;
    let mut arrays = Vec::new();
    for index in 0..archive.len() {
        let entry = archive.by_index(index)?;
        let name = entry.name()?.into_owned();
        let Some(name) = name.strip_suffix(".npy").map(str::to_owned) else { continue };
        let array = array(entry);
        let member = |source| NumpyError::Member { name: name.clone(), source: Box::new(source) };
        arrays.push((name.clone(), array.map_err(member)?));
    }
    if arrays.is_empty() { Err(NumpyError::Empty) } else { Ok(arrays) }
}

fn array(mut file: impl Read) -> Result<NumpyArray, NumpyError> {
    let mut magic = [0; 6];
    read_up_to(&mut file, &mut magic)?;
    if magic == *MAGIC { after_magic(file) } else { Err(NumpyError::Format) }
}

fn after_magic(mut file: impl Read) -> Result<NumpyArray, NumpyError> {
    let header = Header::read(&mut file)?;
    let kind = Kind::of(&header.descr)?;
    let bytes = data(file, &header, kind)?;
    let values = kind.decode(&bytes)?;
    let shape = header.shape;
    let values = if header.fortran_order { values.row_major(&shape) } else { values };
    Ok(NumpyArray { shape, values })
}

/// Exactly the bytes of the values.
fn data(mut file: impl Read, header: &Header, kind: Kind) -> Result<Vec<u8>, NumpyError> {
    let size = header.shape.iter().try_fold(1_u128, |size, &dim| size.checked_mul(dim as u128));
    let expected = size.and_then(|size| size.checked_mul(kind.bytes as u128));
    let expected = expected.ok_or_else(|| NumpyError::Header("the shape is too large".into()))?;
    let mut bytes = Vec::new();
    let mut piece = vec![0; AT_ONCE];
    loop {
        // One byte more than needed tells that there are more.
        let left = (expected + 1).saturating_sub(bytes.len() as u128).min(AT_ONCE as u128);
        let read = read_up_to(&mut file, &mut piece[..left as usize])?;
        bytes.extend(&piece[..read]);
        if read == 0 || bytes.len() as u128 > expected {
            break;
        }
    }
    if bytes.len() as u128 == expected {
        return Ok(bytes);
    }
    let (shape, dtype, found) = (header.shape.clone(), header.descr.clone(), bytes.len() as u128);
    Err(NumpyError::Length { shape, dtype, expected, found })
}

/// Fills as much of a buffer as there is.
fn read_up_to(file: &mut impl Read, buffer: &mut [u8]) -> Result<usize, io::Error> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// What precedes the values.
#[derive(Debug, PartialEq)]
struct Header {
    descr: String,
    fortran_order: bool,
    shape: Vec<usize>,
}

impl Header {
    fn read(file: &mut impl Read) -> Result<Self, NumpyError> {
        let damaged = |what: &str| NumpyError::Header(what.to_owned());
        let ends = |_| damaged("the file ends within it");
        let mut version = [0; 2];
        file.read_exact(&mut version).map_err(ends)?;
        let mut length = [0; 4];
        match version[0] {
            1 => file.read_exact(&mut length[..2]).map_err(ends)?,
            2 | 3 => file.read_exact(&mut length).map_err(ends)?,
            other => return Err(NumpyError::Version(other)),
        }
        let length = u32::from_le_bytes(length) as usize;
        if length > LONGEST_HEADER {
            return Err(damaged(&format!("it is said to have {length} bytes")));
        }
        let mut text = vec![0; length];
        file.read_exact(&mut text).map_err(ends)?;
        let text = String::from_utf8(text).map_err(|_| damaged("it is no text"))?;
        Self::parse(&text)
    }

    /// The three entries of a dictionary of Python, in any order.
    fn parse(text: &str) -> Result<Self, NumpyError> {
        let damaged = |what: String| NumpyError::Header(what);
        let value = |key: &str| {
            let quoted = [format!("'{key}':"), format!("\"{key}\":")];
            let found = quoted.iter().find_map(|key| text.split_once(key.as_str()));
            let (_, value) = found.ok_or_else(|| damaged(format!("it has no {key:?}")))?;
            Ok::<_, NumpyError>(value.trim_start())
        };
        let descr = value("descr")?;
        let Some(quote) = descr.chars().next().filter(|c| matches!(c, '\'' | '"')) else {
            let until = descr.split(['}', '\n']).next().unwrap_or_default();
            return Err(NumpyError::Type(until.trim().to_owned()));
        };
        let descr = descr[1..].split_once(quote);
        let (descr, _) = descr.ok_or_else(|| damaged("the type does not end".into()))?;
        let order = value("fortran_order")?;
        let fortran_order = match (order.starts_with("True"), order.starts_with("False")) {
            (true, _) => true,
            (_, true) => false,
            _ => return Err(damaged("fortran_order is neither True nor False".into())),
        };
        let shape = value("shape")?.strip_prefix('(').and_then(|shape| shape.split_once(')'));
        let (shape, _) = shape.ok_or_else(|| damaged("the shape is no tuple".into()))?;
        let dims = shape.split(',').map(str::trim).filter(|dim| !dim.is_empty());
        let dims = dims.map(|dim| {
            let dim = dim.strip_suffix('L').unwrap_or(dim);
            dim.parse().map_err(|_| damaged(format!("{dim:?} is no dimension")))
        });
        let shape = dims.collect::<Result<_, _>>()?;
        Ok(Self { descr: descr.to_owned(), fortran_order, shape })
    }
}

/// A type of values.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Kind {
    /// `f`, `i`, `u` or `b`.
    letter: u8,
    bytes: usize,
    big_endian: bool,
}

impl Kind {
    fn of(descr: &str) -> Result<Self, NumpyError> {
        let unknown = || NumpyError::Type(descr.to_owned());
        let (order, rest) = match descr.as_bytes() {
            [order @ (b'<' | b'>' | b'|' | b'='), rest @ ..] => (*order, rest),
            rest => (b'<', rest),
        };
        let [letter, digits @ ..] = rest else { return Err(unknown()) };
        let bytes = match (letter, digits) {
            (b'?', b"") | (b'b' | b'i' | b'u', b"1") => 1,
            (b'f' | b'i' | b'u', b"2") => 2,
            (b'f' | b'i' | b'u', b"4") => 4,
            (b'f' | b'i' | b'u', b"8") => 8,
            _ => return Err(unknown()),
        };
        let letter = if *letter == b'?' { b'b' } else { *letter };
        Ok(Self { letter, bytes, big_endian: order == b'>' })
    }

    fn decode(self, bytes: &[u8]) -> Result<NumpyValues, NumpyError> {
        // Eight bytes, least significant first, whatever the width.
        let widened = bytes.chunks_exact(self.bytes).map(|chunk| {
            let mut word = [0; 8];
            word[..self.bytes].copy_from_slice(chunk);
            if self.big_endian {
                word[..self.bytes].reverse();
            }
            u64::from_le_bytes(word)
        });
        let unused = 64 - 8 * self.bytes as u32;
        Ok(match (self.letter, self.bytes) {
            (b'b', _) => NumpyValues::Bool(widened.map(|word| word != 0).collect()),
            (b'f', 2) => {
                let float = |word| f16::from_bits(word as u16).to_f32();
                NumpyValues::Float(widened.map(float).collect())
            }
            (b'f', 4) => {
                NumpyValues::Float(widened.map(|word| f32::from_bits(word as u32)).collect())
            }
            (b'f', _) => NumpyValues::Float(widened.map(|w| f64::from_bits(w) as f32).collect()),
            (b'u', _) => {
                let signed = |word| i64::try_from(word).map_err(|_| NumpyError::Integer(word));
                NumpyValues::Integer(widened.map(signed).collect::<Result<_, _>>()?)
            }
            _ => {
                let extended = |word: u64| (word << unused) as i64 >> unused;
                NumpyValues::Integer(widened.map(extended).collect())
            }
        })
    }
}

impl NumpyValues {
    /// The values of an array whose first axis varies fastest, in the order in which the last does.
    fn row_major(self, shape: &[usize]) -> Self {
        match self {
            Self::Float(values) => Self::Float(transposed(&values, shape)),
            Self::Integer(values) => Self::Integer(transposed(&values, shape)),
            Self::Bool(values) => Self::Bool(transposed(&values, shape)),
        }
    }
}

fn transposed<T: Copy>(values: &[T], shape: &[usize]) -> Vec<T> {
    let mut position = vec![0; shape.len()];
    let mut ordered = Vec::with_capacity(values.len());
    for _ in 0..values.len() {
        let at = position.iter().zip(shape).rev().fold(0, |at, (&i, &dim)| at * dim + i);
        ordered.push(values[at]);
        for (i, &dim) in position.iter_mut().zip(shape).rev() {
            *i += 1;
            if *i < dim {
                break;
            }
            *i = 0;
        }
    }
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(header: &str, data: &[u8]) -> Vec<u8> {
        let mut file = MAGIC.to_vec();
        file.extend([1, 0]);
        file.extend((header.len() as u16).to_le_bytes());
        file.extend(header.as_bytes());
        file.extend(data);
        file
    }

    fn of(descr: &str, shape: &str, data: &[u8]) -> Result<NumpyArray, NumpyError> {
        let header =
            format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n");
        array(file(&header, data).as_slice())
    }

    #[test]
    fn every_number_is_read_as_what_it_is() {
        let value = |descr, data: &[u8]| of(descr, "()", data).unwrap().values;
        assert_eq!(value("<f2", &[0x00, 0xb8]), NumpyValues::Float(vec![-0.5]));
        assert_eq!(value("<f4", &0.1_f32.to_le_bytes()), NumpyValues::Float(vec![0.1]));
        assert_eq!(value(">f8", &0.1_f64.to_be_bytes()), NumpyValues::Float(vec![0.1]));
        assert_eq!(value("|i1", &[0xff]), NumpyValues::Integer(vec![-1]));
        assert_eq!(value("|u1", &[0xff]), NumpyValues::Integer(vec![255]));
        assert_eq!(value("<i2", &[0xfe, 0xff]), NumpyValues::Integer(vec![-2]));
        assert_eq!(value(">u4", &[0, 0, 1, 0]), NumpyValues::Integer(vec![256]));
        assert_eq!(value("<i8", &(-7_i64).to_le_bytes()), NumpyValues::Integer(vec![-7]));
        assert_eq!(value("|b1", &[2]), NumpyValues::Bool(vec![true]));
        assert!(matches!(of("<u8", "()", &[0xff; 8]), Err(NumpyError::Integer(u64::MAX))));
    }

    #[test]
    fn columns_first_are_turned() {
        let header = "{\"shape\": (2, 3), \"fortran_order\": True, \"descr\": \"|u1\"}";
        let found = array(file(header, &[1, 4, 2, 5, 3, 6]).as_slice()).unwrap();
        assert_eq!(found.shape, [2, 3]);
        assert_eq!(found.values, NumpyValues::Integer(vec![1, 2, 3, 4, 5, 6]));
    }

    #[test]
    fn what_is_no_array_is_named() {
        let text = |found: Result<NumpyArray, NumpyError>| found.unwrap_err().to_string();
        assert!(text(of("<U3", "(1,)", &[0; 12])).starts_with("values of type <U3"));
        assert!(text(of("<f4", "(3,)", &[0; 8])).contains("is 12 bytes, and the file has 8"));
        assert!(text(of("<f4", "(1,)", &[0; 8])).contains("is 4 bytes, and the file has 5"));
        assert!(text(of("<f4", "(-1,)", &[])).contains("\"-1\" is no dimension"));
        assert!(text(of("<f4", "[1]", &[])).contains("no tuple"));
        let huge = "(18446744073709551615, 18446744073709551615, 9)";
        assert!(text(of("<f8", huge, &[])).contains("too large"));
        assert!(text(of("<f8", "(1000000000000,)", &[0; 9])).contains("and the file has 9"));
        let record = "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }";
        assert!(text(array(file(record, &[0; 4]).as_slice())).contains("[('a', '<f4')]"));
        assert!(matches!(array(&b"\x93NUMPY\x09\x00"[..]), Err(NumpyError::Version(9))));
        assert!(matches!(array(&b"PNG"[..]), Err(NumpyError::Format)));
    }

    #[test]
    fn no_mutation_panics() {
        use crate::changes::Changes;

        let header = "{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3), }\n";
        let whole = file(header, &[7; 24]);
        let mut changes = Changes::new(11);
        for _ in 0..5000 {
            _ = array(changes.change(&whole).as_slice());
        }
    }
}

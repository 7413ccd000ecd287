//! The header of a GGUF file, with nothing taken for granted.

use std::collections::HashSet;
use std::io::Read;

use super::{GgufError, GgufMetadata, GgufTensor, GgufType, GgufValue};

/// Magic, version, and two counts.
const LEAST: u64 = 24;
/// Of a key, its type and a value; of a tensor, name, dimensions, type and place.
const LEAST_ENTRY: u64 = 13;
const LEAST_TENSOR: u64 = 24;
/// As ggml has it.
const MOST_DIMENSIONS: u32 = 4;
const ALIGNMENT: &str = "general.alignment";
const DEFAULT_ALIGNMENT: u64 = 32;
const MOST_ALIGNMENT: u64 = 1 << 16;

/// What a header says.
pub(super) struct Header {
    pub(super) metadata: GgufMetadata,
    pub(super) tensors: Vec<GgufTensor>,
}

/// Reads a header of a file of so many bytes, and checks that all it speaks of lies within.
pub(super) fn header(file: impl Read, bytes: u64) -> Result<Header, GgufError> {
    let mut reader = Reader { file, bytes, read: 0 };
    if reader.array("the magic number")? != *b"GGUF" {
        return Err(GgufError::Older);
    }
    let version = u32::from_le_bytes(reader.array("the version")?);
    if !(2..=3).contains(&version) {
        return Err(GgufError::Version { version });
    }
    let tensors = reader.number("the number of tensors")?;
    let entries = reader.number("the number of metadata")?;
    reader.has_room("tensors", tensors, LEAST_TENSOR)?;
    reader.has_room("metadata", entries, LEAST_ENTRY)?;
    let mut metadata = GgufMetadata::default();
    for _ in 0..entries {
        let (key, value) = reader.entry()?;
        metadata.insert(key, value)?;
    }
    let found = (0..tensors).map(|_| reader.tensor()).collect::<Result<Vec<_>, _>>()?;
    let tensors = placed(found, alignment(&metadata)?, reader.read, bytes)?;
    Ok(Header { metadata, tensors })
}

fn alignment(metadata: &GgufMetadata) -> Result<u64, GgufError> {
    if metadata.get(ALIGNMENT).is_none() {
        return Ok(DEFAULT_ALIGNMENT);
    }
    let alignment = metadata.count(ALIGNMENT)? as u64;
    let fits = alignment.is_power_of_two() && alignment <= MOST_ALIGNMENT;
    fits.then_some(alignment).ok_or(GgufError::Alignment { alignment })
}

/// The tensors with their places in the file, which lie within it and not on each other.
fn placed(
    mut tensors: Vec<GgufTensor>,
    alignment: u64,
    header: u64,
    bytes: u64,
) -> Result<Vec<GgufTensor>, GgufError> {
    let first = header.next_multiple_of(alignment);
    let mut names = HashSet::new();
    for tensor in &tensors {
        let wrong = |problem| {
            let (tensor, begin, length) = (tensor.name.clone(), tensor.begin, tensor.bytes);
            Err(GgufError::Place { tensor, begin, length, problem })
        };
        if !names.insert(tensor.name.clone()) {
            return Err(GgufError::Twice { what: "tensors", name: tensor.name.clone() });
        }
        if tensor.begin % alignment != 0 {
            return wrong("that is no multiple of the alignment");
        }
        let end = first.checked_add(tensor.begin).and_then(|at| at.checked_add(tensor.bytes));
        if end.is_none_or(|end| end > bytes) {
            return wrong("the file ends before that");
        }
    }
    for tensor in &mut tensors {
        tensor.begin += first;
    }
    let mut order: Vec<&GgufTensor> = tensors.iter().filter(|tensor| tensor.bytes > 0).collect();
    order.sort_by_key(|tensor| tensor.begin);
    for pair in order.windows(2) {
        if pair[0].begin + pair[0].bytes > pair[1].begin {
            let GgufTensor { name, begin, bytes, .. } = pair[1];
            let (tensor, begin, length) = (name.clone(), begin - first, *bytes);
            let problem = "another tensor lies there as well";
            return Err(GgufError::Place { tensor, begin, length, problem });
        }
    }
    Ok(tensors)
}

struct Reader<R> {
    file: R,
    /// The length of the file, and what of it was read.
    bytes: u64,
    read: u64,
}

impl<R: Read> Reader<R> {
    fn has_room(&self, what: &'static str, count: u64, each: u64) -> Result<(), GgufError> {
        let left = self.bytes.saturating_sub(self.read.max(LEAST));
        let fits = count.checked_mul(each).is_some_and(|needed| needed <= left);
        fits.then_some(()).ok_or(GgufError::Count { what, count, bytes: self.bytes })
    }

    fn fill(&mut self, buffer: &mut [u8], part: &'static str) -> Result<(), GgufError> {
        self.file.read_exact(buffer).map_err(|error| match error.kind() {
            std::io::ErrorKind::UnexpectedEof => GgufError::Ends { bytes: self.bytes, part },
            _ => GgufError::Io(error),
        })?;
        self.read += buffer.len() as u64;
        Ok(())
    }

    fn array<const N: usize>(&mut self, part: &'static str) -> Result<[u8; N], GgufError> {
        let mut bytes = [0; N];
        self.fill(&mut bytes, part)?;
        Ok(bytes)
    }

    fn number(&mut self, part: &'static str) -> Result<u64, GgufError> {
        Ok(u64::from_le_bytes(self.array(part)?))
    }

    fn kind(&mut self, part: &'static str) -> Result<u32, GgufError> {
        Ok(u32::from_le_bytes(self.array(part)?))
    }

    fn text(&mut self, part: &'static str) -> Result<String, GgufError> {
        let length = self.number(part)?;
        self.has_room("bytes of text", length, 1)?;
        let mut bytes = vec![0; length as usize];
        self.fill(&mut bytes, part)?;
        String::from_utf8(bytes).map_err(|_| GgufError::Text { part })
    }

    fn entry(&mut self) -> Result<(String, GgufValue), GgufError> {
        let key = self.text("a key of the metadata")?;
        let value = match self.kind("the type of metadata")? {
            8 => GgufValue::Text(self.text("a text of the metadata")?),
            9 => self.list(&key)?,
            number => self.scalar(&key, number)?,
        };
        Ok((key, value))
    }

    fn scalar(&mut self, key: &str, number: u32) -> Result<GgufValue, GgufError> {
        let part = "a value of the metadata";
        let integer = |value: i128| GgufValue::Integer(value);
        Ok(match number {
            0 => integer(u8::from_le_bytes(self.array(part)?).into()),
            1 => integer(i8::from_le_bytes(self.array(part)?).into()),
            2 => integer(u16::from_le_bytes(self.array(part)?).into()),
            3 => integer(i16::from_le_bytes(self.array(part)?).into()),
            4 => integer(u32::from_le_bytes(self.array(part)?).into()),
            5 => integer(i32::from_le_bytes(self.array(part)?).into()),
            6 => GgufValue::Float(f32::from_le_bytes(self.array(part)?).into()),
            7 => GgufValue::Bool(self.array::<1>(part)?[0] != 0),
            10 => integer(self.number(part)?.into()),
            11 => integer(i64::from_le_bytes(self.array(part)?).into()),
            12 => GgufValue::Float(f64::from_le_bytes(self.array(part)?)),
            _ => return Err(GgufError::MetadataType { key: key.into(), number }),
        })
    }

    fn list(&mut self, key: &str) -> Result<GgufValue, GgufError> {
        let number = self.kind("the type of a list")?;
        let count = self.number("the length of a list")?;
        if number == 8 {
            self.has_room("texts", count, 8)?;
            let texts =
                (0..count).map(|_| self.text("a text of a list")).collect::<Result<_, _>>()?;
            return Ok(GgufValue::Texts(texts));
        }
        self.has_room("values", count, 1)?;
        let value = |value| match value {
            GgufValue::Integer(integer) => integer as f64,
            GgufValue::Float(float) => float,
            GgufValue::Bool(truth) => f64::from(u8::from(truth)),
            // What `scalar` does not return.
            _ => f64::NAN,
        };
        let values = (0..count).map(|_| self.scalar(key, number).map(value));
        Ok(GgufValue::Numbers(values.collect::<Result<_, _>>()?))
    }

    fn tensor(&mut self) -> Result<GgufTensor, GgufError> {
        let name = self.text("the name of a tensor")?;
        let dimensions = self.kind("the shape of a tensor")?;
        if dimensions > MOST_DIMENSIONS {
            let problem = "it has more than four dimensions";
            return Err(GgufError::Shape { tensor: name, shape: vec![dimensions.into()], problem });
        }
        // The innermost dimension comes first in the file.
        let shape: Result<Vec<u64>, _> =
            (0..dimensions).map(|_| self.number("the shape of a tensor")).collect();
        let shape: Vec<u64> = shape?.into_iter().rev().collect();
        let number = self.kind("the type of a tensor")?;
        let begin = self.number("the place of a tensor")?;
        let Some(kind) = GgufType::of(number) else {
            return Err(GgufError::Type { tensor: name, number });
        };
        match sizes(&shape, kind) {
            Ok((shape, bytes)) => Ok(GgufTensor { name, shape, kind, bytes, begin }),
            Err(problem) => Err(GgufError::Shape { tensor: name, shape, problem }),
        }
    }
}

/// The shape in numbers of this machine, and the bytes that it takes.
fn sizes(shape: &[u64], kind: GgufType) -> Result<(Vec<usize>, u64), &'static str> {
    let elements = shape.iter().try_fold(1_u64, |all, length| all.checked_mul(*length));
    let elements = elements.ok_or("it has more elements than can be counted")?;
    let row = shape.last().copied().unwrap_or(1);
    if row % kind.block() as u64 != 0 {
        return Err("the innermost dimension is no multiple of the values of a block");
    }
    let bytes = (elements / kind.block() as u64).checked_mul(kind.block_bytes() as u64);
    let bytes = bytes.ok_or("it has more bytes than can be counted")?;
    let shape = shape.iter().map(|&length| usize::try_from(length)).collect::<Result<_, _>>();
    Ok((shape.map_err(|_| "it has more elements than can be counted")?, bytes))
}

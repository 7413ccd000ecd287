//! Tensors of an ONNX file: what they are, and where their values lie.

use std::collections::BTreeMap;
use std::io::{Read, Seek};
use std::ops::Range;
use std::path::{Component, Path};

use super::element_type::List;
use super::wire::{Bytes, Field, Fields, Value, Wire, length_of};
use super::{ElementType, OnnxError};

/// The most dimensions of a tensor: numpy has as many.
const MOST_DIMENSIONS: usize = 64;

/// A tensor that an ONNX file stores.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct OnnxTensor {
    /// Its name: that of the value that nodes read. In a subgraph it begins with `VALUE.ATTRIBUTE/`,
    /// where `VALUE` is the first output of the node that holds the graph; in a function with
    /// `DOMAIN.NAME()/`.
    pub name: String,
    /// The type of its elements.
    pub dtype: ElementType,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Its length in bytes as raw bytes, whatever it is stored as; 0 for texts.
    pub bytes: u64,
    /// What stores it.
    pub holder: Holder,
    /// Where its values lie.
    pub place: Place,
}

/// What stores a tensor in a graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Holder {
    /// The list of initializers of a graph.
    Initializer,
    /// A node `Constant`.
    Constant,
}

/// Where the values of a tensor lie.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Place {
    /// In the file itself, little-endian and one after another, from this byte on.
    Here {
        /// The first byte.
        begin: u64,
    },
    /// In the file itself, one by one.
    Listed(Listed),
    /// In another file, little-endian and one after another.
    Elsewhere {
        /// The file, by its path from the folder of the model.
        location: String,
        /// The first byte.
        begin: u64,
    },
    /// A tensor without elements, or of texts.
    Nowhere,
}

/// Values one by one: numbers of variable length, or with a tag before each.
#[derive(Debug, Clone, PartialEq)]
pub struct Listed {
    pub(super) list: List,
    /// The message of the tensor.
    pub(super) message: Range<u64>,
    /// The bytes of all its fields of values.
    pub(super) replaced: u64,
    /// What is around the message and the message itself, the outermost first.
    pub(super) enclosing: Vec<Bytes>,
}

impl Listed {
    /// The name of the field that holds them.
    pub fn field(&self) -> &'static str {
        name_of(self.list.field)
    }
}

/// The fields of `TensorProto` that hold values.
pub(super) fn is_data(field: u64) -> bool {
    matches!(field, 4..=7 | 9..=11)
}

fn name_of(field: u64) -> &'static str {
    match field {
        4 => "float_data",
        5 => "int32_data",
        6 => "string_data",
        7 => "int64_data",
        10 => "double_data",
        11 => "uint64_data",
        _ => "raw_data",
    }
}

/// The message of a tensor as it lies in the file.
#[derive(Debug, Default)]
pub(super) struct Message {
    pub(super) name: String,
    dtype: u64,
    dims: Vec<i64>,
    data: BTreeMap<u64, Data>,
    is_elsewhere: bool,
    /// Entries of `external_data`.
    entries: BTreeMap<String, String>,
}

/// What a message says in one of its fields of values.
#[derive(Debug, Default)]
struct Data {
    /// The last place of packed values or raw bytes.
    content: Range<u64>,
    /// How many such places there are.
    pieces: usize,
    /// Their bytes together.
    packed: u64,
    /// Values with a tag before each.
    single: u64,
    /// All bytes of the field.
    whole: u64,
}

impl Data {
    fn add(&mut self, number: u64, field: &Field) {
        self.whole += length_of(&field.place);
        match &field.value {
            Value::Bytes(Bytes { content, .. }) if !content.is_empty() => {
                self.content = content.clone();
                self.pieces += 1;
                self.packed += length_of(content);
            }
            Value::Varint(_) if matches!(number, 5 | 7 | 11) => self.single += 1,
            Value::Fixed(place) => {
                self.single += u64::from((number, length_of(place)) == (4, 4));
                self.single += u64::from((number, length_of(place)) == (10, 8));
            }
            _ => {}
        }
    }

    /// Whether some number of values is as many as these.
    fn may_be(&self, values: u64, list: List) -> bool {
        if list.is_fixed {
            let single = self.single.checked_mul(list.bytes);
            return single.and_then(|bytes| bytes.checked_add(self.packed))
                == values.checked_mul(list.bytes);
        }
        // A varint has one to ten bytes.
        (self.single + self.packed.div_ceil(10)..=self.single + self.packed).contains(&values)
    }
}

impl Message {
    pub(super) fn read<R: Read + Seek>(
        wire: &mut Wire<R>,
        message: &Range<u64>,
    ) -> Result<Self, OnnxError> {
        let mut found = Self::default();
        let mut fields = Fields::of(message);
        while let Some(field) = fields.next(wire)? {
            match (field.number, &field.value) {
                (1, _) => found.add_dimensions(wire, &field, message.start)?,
                (2, Value::Varint(dtype)) => found.dtype = *dtype,
                (8, Value::Bytes(name)) => found.name = wire.text(&name.content)?,
                (13, Value::Bytes(entry)) => found.entry(wire, &entry.content)?,
                (14, Value::Varint(location)) => found.is_elsewhere = *location == 1,
                (number, _) if is_data(number) => {
                    found.data.entry(number).or_default().add(number, &field);
                }
                _ => {}
            }
        }
        Ok(found)
    }

    fn add_dimensions<R: Read + Seek>(
        &mut self,
        wire: &mut Wire<R>,
        field: &Field,
        at: u64,
    ) -> Result<(), OnnxError> {
        let mut push = |length: u64| {
            if self.dims.len() == MOST_DIMENSIONS {
                return Err(OnnxError::Rank { at, most: MOST_DIMENSIONS });
            }
            self.dims.push(length as i64);
            Ok(())
        };
        match &field.value {
            Value::Varint(length) => push(*length),
            Value::Bytes(Bytes { content, .. }) => {
                wire.go(content.start)?;
                while wire.at() < content.end {
                    push(wire.varint(content.end)?)?;
                }
                Ok(())
            }
            Value::Fixed(_) => Ok(()),
        }
    }

    /// A pair of key and value, of which three are known.
    fn entry<R: Read + Seek>(
        &mut self,
        wire: &mut Wire<R>,
        entry: &Range<u64>,
    ) -> Result<(), OnnxError> {
        let (mut key, mut value) = (String::new(), String::new());
        let mut fields = Fields::of(entry);
        while let Some(field) = fields.next(wire)? {
            match (field.number, &field.value) {
                (1, Value::Bytes(text)) => key = wire.text(&text.content)?,
                (2, Value::Bytes(text)) => value = wire.text(&text.content)?,
                _ => {}
            }
        }
        if ["location", "offset", "length"].contains(&key.as_str()) {
            self.entries.insert(key, value);
        }
        Ok(())
    }

    /// The tensor of this name, if it has as many values as its shape says.
    pub(super) fn into_tensor(
        self,
        name: String,
        holder: Holder,
        enclosing: &[Bytes],
    ) -> Result<OnnxTensor, OnnxError> {
        let Some(dtype) = ElementType::of(self.dtype) else {
            return Err(OnnxError::Dtype { tensor: name, dtype: self.dtype });
        };
        let shape: Option<Vec<usize>> =
            self.dims.iter().map(|&length| usize::try_from(length).ok()).collect();
        let elements = |shape: &Vec<usize>| {
            shape.iter().try_fold(1_u64, |count, &length| count.checked_mul(length as u64))
        };
        let bits = shape.as_ref().and_then(elements).and_then(|n| n.checked_mul(dtype.bits()));
        let (Some(shape), Some(bits)) = (shape, bits) else {
            return Err(OnnxError::Shape { tensor: name, shape: self.dims });
        };
        let (bytes, place) = (bits.div_ceil(8), Place::Nowhere);
        let mut tensor = OnnxTensor { name, dtype, shape, bytes, holder, place };
        tensor.place = self.place(&tensor, enclosing)?;
        Ok(tensor)
    }

    fn place(&self, tensor: &OnnxTensor, enclosing: &[Bytes]) -> Result<Place, OnnxError> {
        if tensor.dtype == ElementType::String {
            return Ok(Place::Nowhere);
        }
        if self.is_elsewhere {
            return self.elsewhere(tensor);
        }
        let mut data = self.data.iter().filter(|(_, data)| data.packed > 0 || data.single > 0);
        let name = || tensor.name.clone();
        match (data.next(), data.next()) {
            (None, _) if tensor.bytes == 0 => Ok(Place::Nowhere),
            (None, _) => Err(OnnxError::NoValues { tensor: name(), shape: tensor.shape.clone() }),
            (Some((&field, data)), None) => self.in_field(field, data, tensor, enclosing),
            (Some((&field, _)), Some((&other, _))) => {
                let (field, other) = (name_of(field), name_of(other));
                Err(OnnxError::TwoFields { tensor: name(), field, other })
            }
        }
    }

    /// The place of values in one field.
    fn in_field(
        &self,
        field: u64,
        data: &Data,
        tensor: &OnnxTensor,
        enclosing: &[Bytes],
    ) -> Result<Place, OnnxError> {
        let (name, dtype) = (tensor.name.clone(), tensor.dtype);
        let is_raw = field == 9;
        let list = dtype.list().filter(|list| list.field == field);
        if is_raw && data.pieces > 1 {
            let field = name_of(field);
            return Err(OnnxError::TwoFields { tensor: name, field, other: field });
        }
        if data.pieces == 1
            && data.single == 0
            && (is_raw || list.is_some_and(|list| list.is_fixed))
        {
            let place = Place::Here { begin: data.content.start };
            let is_full = data.packed == tensor.bytes;
            return is_full.then_some(place).ok_or_else(|| size_error(tensor, data.packed));
        }
        let Some((list, message)) = list.zip(enclosing.last()) else {
            return Err(OnnxError::WrongField { tensor: name, dtype, field: name_of(field) });
        };
        if !data.may_be(tensor.bytes / list.bytes, list) {
            let (shape, field) = (tensor.shape.clone(), name_of(field));
            return Err(OnnxError::Count { tensor: name, dtype, shape, field });
        }
        let replaced = self.data.values().map(|data| data.whole).sum();
        let (message, enclosing) = (message.content.clone(), enclosing.to_vec());
        Ok(Place::Listed(Listed { list, message, replaced, enclosing }))
    }

    /// The place of values in another file.
    fn elsewhere(&self, tensor: &OnnxTensor) -> Result<Place, OnnxError> {
        let number = |key: &'static str| {
            let Some(value) = self.entries.get(key) else { return Ok(None) };
            value.parse::<u64>().map(Some).map_err(|_| OnnxError::ExternalNumber {
                tensor: tensor.name.clone(),
                key,
                value: value.clone(),
            })
        };
        let begin = number("offset")?.unwrap_or(0);
        match number("length")? {
            Some(length) if length != tensor.bytes => Err(size_error(tensor, length)),
            _ => Ok(Place::Elsewhere { location: self.location(&tensor.name)?, begin }),
        }
    }

    /// The path of the other file, if it leads to the folder of the model or one below.
    pub(super) fn location(&self, tensor: &str) -> Result<String, OnnxError> {
        let location = self.entries.get("location").map_or("", String::as_str);
        let parts = Path::new(location).components().filter(|part| *part != Component::CurDir);
        let parts = parts.map(|part| match part {
            Component::Normal(name) => name.to_str(),
            _ => None,
        });
        let parts: Option<Vec<&str>> = parts.collect();
        // On Windows it would be a way out, and nobody names a file so.
        let parts = parts.filter(|parts| !parts.is_empty() && !location.contains(['\\', '\0']));
        parts.map(|parts| parts.join("/")).ok_or_else(|| OnnxError::Location {
            tensor: tensor.to_owned(),
            location: location.to_owned(),
        })
    }

    /// The bytes of its shape in memory.
    pub(super) fn shape_size(&self) -> usize {
        size_of_val(self.dims.as_slice())
    }

    /// Whether its values are in another file.
    pub(super) fn is_elsewhere(&self) -> bool {
        self.is_elsewhere
    }
}

fn size_error(tensor: &OnnxTensor, place: u64) -> OnnxError {
    OnnxError::Size {
        tensor: tensor.name.clone(),
        dtype: tensor.dtype,
        shape: tensor.shape.clone(),
        bytes: tensor.bytes,
        place,
    }
}

impl OnnxTensor {
    /// The number of its elements.
    pub fn elements(&self) -> u64 {
        // They were counted when the file was read.
        self.shape.iter().map(|&length| length as u64).product()
    }
}

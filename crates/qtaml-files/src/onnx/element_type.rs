//! The types of elements of ONNX tensors.

use std::fmt;

use safetensors::Dtype;

/// The type of the elements of a tensor: `TensorProto.DataType` of `onnx.proto`.
///
/// ```
/// use qtaml_files::onnx::ElementType;
///
/// assert_eq!(ElementType::of(10), Some(ElementType::Float16));
/// assert_eq!((ElementType::Float16.bits(), ElementType::Int4.bits()), (16, 4));
/// assert_eq!(ElementType::Bfloat16.to_string(), "BF16");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[expect(missing_docs, reason = "they are those of the format, under its names")]
pub enum ElementType {
    Float,
    Uint8,
    Int8,
    Uint16,
    Int16,
    Int32,
    Int64,
    /// Texts, which have no bits of their own.
    String,
    Bool,
    Float16,
    Double,
    Uint32,
    Uint64,
    Complex64,
    Complex128,
    Bfloat16,
    Float8E4m3fn,
    Float8E4m3fnuz,
    Float8E5m2,
    Float8E5m2fnuz,
    Uint4,
    Int4,
    Float4E2m1,
    Float8E8m0,
    Uint2,
    Int2,
    Float6E2m3,
    Float6E3m2,
}

use ElementType as E;

/// All types by their numbers, from 1 on: name, bits and the field of values one by one with the bytes
/// of one of them. Pairs of small integers share a value; there is no packing of such values of six bits.
const TYPES: [(ElementType, &str, u64, Option<List>); 28] = [
    (E::Float, "F32", 32, Some(List::FLOAT)),
    (E::Uint8, "U8", 8, Some(List::of_bytes(1))),
    (E::Int8, "I8", 8, Some(List::of_bytes(1))),
    (E::Uint16, "U16", 16, Some(List::of_bytes(2))),
    (E::Int16, "I16", 16, Some(List::of_bytes(2))),
    (E::Int32, "I32", 32, Some(List::of_bytes(4))),
    (E::Int64, "I64", 64, Some(List { field: 7, bytes: 8, is_fixed: false })),
    (E::String, "STRING", 0, None),
    (E::Bool, "BOOL", 8, Some(List::of_bytes(1))),
    (E::Float16, "F16", 16, Some(List::of_bytes(2))),
    (E::Double, "F64", 64, Some(List::DOUBLE)),
    (E::Uint32, "U32", 32, Some(List { field: 11, bytes: 4, is_fixed: false })),
    (E::Uint64, "U64", 64, Some(List { field: 11, bytes: 8, is_fixed: false })),
    (E::Complex64, "C64", 64, Some(List::FLOAT)),
    (E::Complex128, "C128", 128, Some(List::DOUBLE)),
    (E::Bfloat16, "BF16", 16, Some(List::of_bytes(2))),
    (E::Float8E4m3fn, "F8_E4M3", 8, Some(List::of_bytes(1))),
    (E::Float8E4m3fnuz, "F8_E4M3FNUZ", 8, Some(List::of_bytes(1))),
    (E::Float8E5m2, "F8_E5M2", 8, Some(List::of_bytes(1))),
    (E::Float8E5m2fnuz, "F8_E5M2FNUZ", 8, Some(List::of_bytes(1))),
    (E::Uint4, "U4", 4, Some(List::of_bytes(1))),
    (E::Int4, "I4", 4, Some(List::of_bytes(1))),
    (E::Float4E2m1, "F4", 4, Some(List::of_bytes(1))),
    (E::Float8E8m0, "F8_E8M0", 8, Some(List::of_bytes(1))),
    (E::Uint2, "U2", 2, Some(List::of_bytes(1))),
    (E::Int2, "I2", 2, Some(List::of_bytes(1))),
    (E::Float6E2m3, "F6_E2M3", 6, None),
    (E::Float6E3m2, "F6_E3M2", 6, None),
];

/// A field of `TensorProto` that holds values one by one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct List {
    /// Its number.
    pub(super) field: u64,
    /// The bytes of one of its values among raw bytes.
    pub(super) bytes: u64,
    /// Whether its values are as long in the list.
    pub(super) is_fixed: bool,
}

impl List {
    /// `float_data`; complex numbers are pairs.
    const FLOAT: Self = Self { field: 4, bytes: 4, is_fixed: true };
    /// `double_data`.
    const DOUBLE: Self = Self { field: 10, bytes: 8, is_fixed: true };

    /// `int32_data`.
    const fn of_bytes(bytes: u64) -> Self {
        Self { field: 5, bytes, is_fixed: false }
    }
}

impl ElementType {
    /// The type of this number in the format.
    pub fn of(number: u64) -> Option<Self> {
        let place = usize::try_from(number).ok()?.checked_sub(1)?;
        TYPES.get(place).map(|(found, ..)| *found)
    }

    /// Its bits: none for texts.
    pub const fn bits(self) -> u64 {
        TYPES[self as usize].2
    }

    /// Its name, as in safetensors files where they have it.
    pub const fn name(self) -> &'static str {
        TYPES[self as usize].1
    }

    pub(super) const fn list(self) -> Option<List> {
        TYPES[self as usize].3
    }

    /// The same type of safetensors files, if they have it.
    pub const fn dtype(self) -> Option<Dtype> {
        Some(match self {
            Self::Float => Dtype::F32,
            Self::Uint8 => Dtype::U8,
            Self::Int8 => Dtype::I8,
            Self::Uint16 => Dtype::U16,
            Self::Int16 => Dtype::I16,
            Self::Int32 => Dtype::I32,
            Self::Int64 => Dtype::I64,
            Self::Bool => Dtype::BOOL,
            Self::Float16 => Dtype::F16,
            Self::Double => Dtype::F64,
            Self::Uint32 => Dtype::U32,
            Self::Uint64 => Dtype::U64,
            Self::Complex64 => Dtype::C64,
            Self::Bfloat16 => Dtype::BF16,
            Self::Float8E4m3fn => Dtype::F8_E4M3,
            Self::Float8E4m3fnuz => Dtype::F8_E4M3FNUZ,
            Self::Float8E5m2 => Dtype::F8_E5M2,
            Self::Float8E5m2fnuz => Dtype::F8_E5M2FNUZ,
            Self::Float4E2m1 => Dtype::F4,
            Self::Float8E8m0 => Dtype::F8_E8M0,
            Self::Float6E2m3 => Dtype::F6_E2M3,
            Self::Float6E3m2 => Dtype::F6_E3M2,
            Self::String
            | Self::Complex128
            | Self::Uint4
            | Self::Int4
            | Self::Uint2
            | Self::Int2 => {
                return None;
            }
        })
    }
}

impl fmt::Display for ElementType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_the_order_of_the_numbers() {
        for (place, (dtype, name, bits, _)) in TYPES.into_iter().enumerate() {
            assert_eq!(dtype as usize, place);
            assert_eq!(ElementType::of(place as u64 + 1), Some(dtype));
            if let Some(same) = dtype.dtype() {
                assert_eq!((same.to_string().as_str(), same.bitsize() as u64), (name, bits));
            }
        }
        assert_eq!([0, 29, u64::MAX].map(ElementType::of), [None; 3]);
    }
}

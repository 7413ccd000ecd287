//! What a tensor is to the memory: codes, integers, bytes or packed words.

use std::fmt;

use qtaml::files::{Dtype, Float, TensorInfo};
use qtaml::quant::{Format, Scaling};

use crate::format_flags::TensorScaling;
use crate::packed::Packed;

/// What a tensor is to the memory.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Storage {
    /// Weights, stored as codes.
    Codes(Coded),
    /// Numbers of eight bits, each a word as it is.
    Words(Dtype),
    /// Numbers as they are, each of their bytes a word.
    Bytes(Dtype),
    /// Words of another width than a byte's, back to back: they are read and recorded as bytes, and
    /// meet faults as words.
    Packed(Packed),
}

/// How floats become codes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Coded {
    pub(super) float: Float,
    pub(super) format: Format,
    pub(super) scaling: Scaling,
}

/// How the weights of a model are stored.
#[derive(Debug, Clone, Copy)]
pub(super) struct HowStored {
    /// What the words of floats mean.
    pub(super) format: Format,
    /// Where their scales come from; `None` if they are not quantized.
    pub(super) scaling: Option<TensorScaling>,
    /// Whether tensors of rank 1 and 0 are stored in this memory too.
    pub(super) biases: bool,
}

impl HowStored {
    /// The storage of a tensor: matrices of floats are stored as codes, everything smaller, biases and
    /// norms, as it is. `None` for what holds no weights.
    pub(super) fn storage_of(&self, tensor: &TensorInfo) -> Option<Storage> {
        let is_matrix = tensor.rank() >= 2;
        if tensor.bytes == 0 || !is_matrix && !self.biases {
            return None;
        }
        match (Float::of(tensor.dtype), self.scaling) {
            (Some(float), Some(scaling)) if is_matrix => {
                let scaling = scaling.of_rank(tensor.rank());
                Some(Storage::Codes(Coded { float, format: self.format, scaling }))
            }
            _ => Storage::as_it_is(tensor),
        }
    }
}

impl Storage {
    /// The storage of a tensor that is not quantized; `None` for what holds no weights.
    pub(super) fn as_it_is(tensor: &TensorInfo) -> Option<Self> {
        match tensor.dtype {
            _ if tensor.bytes == 0 => None,
            dtype if Float::of(dtype).is_some() => Some(Self::Bytes(dtype)),
            dtype if has_byte_weights(dtype) && tensor.rank() >= 2 => Some(Self::Words(dtype)),
            dtype if has_byte_weights(dtype) => Some(Self::Bytes(dtype)),
            _ => None,
        }
    }

    /// The storage of a tensor whose words are known to follow from its weights in this way.
    pub(super) fn of_recorded(
        tensor: &TensorInfo,
        format: Format,
        scaling: Option<Scaling>,
    ) -> Option<Self> {
        match (Float::of(tensor.dtype), scaling) {
            _ if tensor.bytes == 0 => None,
            (Some(float), Some(scaling)) => Some(Self::Codes(Coded { float, format, scaling })),
            (None, Some(_)) => None,
            (_, None) => Self::as_it_is(tensor),
        }
    }

    /// What its words mean; what is stored as it is counts as INT8 in two's complement.
    pub(super) const fn format(self) -> Format {
        match self {
            Self::Codes(Coded { format, .. }) => format,
            Self::Words(_) | Self::Bytes(_) | Self::Packed(_) => Format::INT8,
        }
    }

    /// How its words follow from weights, if they do not lie there as they are.
    pub(super) const fn scaling(self) -> Option<Scaling> {
        match self {
            Self::Codes(Coded { scaling, .. }) => Some(scaling),
            Self::Words(_) | Self::Bytes(_) | Self::Packed(_) => None,
        }
    }

    /// The bits of a word that meets faults.
    pub(super) const fn word_bits(self) -> u32 {
        match self {
            Self::Packed(Packed { bits, .. }) => bits,
            Self::Codes(_) | Self::Words(_) | Self::Bytes(_) => self.format().bits().get(),
        }
    }

    /// The number of words of a tensor that meet faults.
    pub(super) const fn faulty_words_of(self, tensor: &TensorInfo) -> u64 {
        match self {
            Self::Packed(Packed { weights, .. }) => weights,
            Self::Codes(_) | Self::Words(_) | Self::Bytes(_) => self.words_of(tensor),
        }
    }

    /// Bytes of the file that one word stands for.
    pub(super) const fn bytes_per_word(self) -> usize {
        match self {
            Self::Codes(Coded { float, .. }) => float.bytes(),
            Self::Words(_) | Self::Bytes(_) | Self::Packed(_) => 1,
        }
    }

    /// The number of words of a tensor; of packed ones the number of their bytes.
    pub(super) const fn words_of(self, tensor: &TensorInfo) -> u64 {
        tensor.bytes / self.bytes_per_word() as u64
    }
}

/// Types of one byte whose numbers may be weights.
const fn has_byte_weights(dtype: Dtype) -> bool {
    matches!(
        dtype,
        Dtype::I8
            | Dtype::U8
            | Dtype::F8_E4M3
            | Dtype::F8_E5M2
            | Dtype::F8_E4M3FNUZ
            | Dtype::F8_E5M2FNUZ
    )
}

impl fmt::Display for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Codes(Coded { format, .. }) => format.fmt(f),
            Self::Words(dtype) => write!(f, "{dtype} as it is"),
            Self::Bytes(dtype) => write!(f, "bytes of {dtype}"),
            Self::Packed(Packed { bits, .. }) => write!(f, "packed words of {bits} bits"),
        }
    }
}

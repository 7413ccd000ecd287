//! The conversion of the elements of a tensor to stored words, and back.

use std::fmt;

use qtaml::files::{Dtype, Float, TensorInfo};
use qtaml::quant::{Format, QuantError, Rounding};

use crate::packed::Packed;

/// Words that one thread treats at a time, few enough to stay in its cache.
pub(super) const SLICE: usize = 1 << 16;

/// What a tensor is to the memory.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Storage {
    /// Weights, stored as codes with one scale for the tensor.
    Codes(Float, Format),
    /// Integers of eight bits, each a word as it is.
    Integers(Dtype),
    /// Numbers as they are, each of their bytes a word.
    Bytes(Dtype),
    /// Words of another width than a byte's, back to back: they are read and recorded as bytes, and
    /// meet faults as words.
    Packed(Packed),
}

impl Storage {
    /// The storage of a tensor whose weights are to have the given format: matrices are stored as
    /// codes, everything smaller, biases and norms, as it is. `None` for what holds no weights.
    pub(super) fn of(tensor: &TensorInfo, format: Format) -> Option<Self> {
        match (Float::of(tensor.dtype), tensor.dtype) {
            _ if tensor.bytes == 0 => None,
            (Some(float), _) if tensor.rank() >= 2 => Some(Self::Codes(float, format)),
            (None, Dtype::I8 | Dtype::U8) if tensor.rank() >= 2 => {
                Some(Self::Integers(tensor.dtype))
            }
            (Some(_), _) | (None, Dtype::I8 | Dtype::U8) => Some(Self::Bytes(tensor.dtype)),
            _ => None,
        }
    }

    /// What its words mean; what is stored as it is counts as INT8 in two's complement.
    pub(super) const fn format(self) -> Format {
        match self {
            Self::Codes(_, format) => format,
            Self::Integers(_) | Self::Bytes(_) | Self::Packed(_) => Format::INT8,
        }
    }

    /// The bits of a word that meets faults.
    pub(super) const fn word_bits(self) -> u32 {
        match self {
            Self::Packed(Packed { bits, .. }) => bits,
            Self::Codes(..) | Self::Integers(_) | Self::Bytes(_) => self.format().bits().get(),
        }
    }

    /// The number of words of a tensor that meet faults.
    pub(super) const fn faulty_words_of(self, tensor: &TensorInfo) -> u64 {
        match self {
            Self::Packed(Packed { weights, .. }) => weights,
            Self::Codes(..) | Self::Integers(_) | Self::Bytes(_) => self.words_of(tensor),
        }
    }

    /// Bytes of the file that one word stands for.
    pub(super) const fn bytes_per_word(self) -> usize {
        match self {
            Self::Codes(float, _) => float.bytes(),
            Self::Integers(_) | Self::Bytes(_) | Self::Packed(_) => 1,
        }
    }

    /// The number of words of a tensor; of packed ones the number of their bytes.
    pub(super) const fn words_of(self, tensor: &TensorInfo) -> u64 {
        tensor.bytes / self.bytes_per_word() as u64
    }

    /// The way there and back for codes of a scale, which may be read as another one.
    ///
    /// The lowest code can stand for a weight just beyond the largest number of a narrow type: of F16 weights
    /// of 65504 it is -66020. It is read as the number of the type that is nearest to it, and counted. Where
    /// the scale is read wrong, what becomes of the weights is a fault like others, infinities too.
    pub(super) fn at(self, scale: f32, read: f32) -> Result<Stored, QuantError> {
        let Self::Codes(float, format) = self else { return Ok(Stored::AsItIs) };
        let value = |word| read * format.code_of(word).0 as f32;
        let mut values: Vec<f32> = format.bits().words().map(value).collect();
        let is_beyond = |value: f32| value.abs() > float.largest();
        let is_right = read.to_bits() == scale.to_bits();
        let beyond: Vec<bool> = values.iter().map(|&value| is_right && is_beyond(value)).collect();
        for (value, _) in values.iter_mut().zip(&beyond).filter(|(_, beyond)| **beyond) {
            *value = value.clamp(-float.largest(), float.largest());
        }
        let beyond = if beyond.contains(&true) { beyond } else { Vec::new() };
        let mut elements = vec![0; values.len() * float.bytes()];
        float.encode(&values, &mut elements);
        let rounding = Box::new(Rounding::new(format, scale)?);
        Ok(Stored::Codes { float, rounding, elements, beyond })
    }
}

/// How the elements of a tensor whose scale is known become words, and back.
pub(super) enum Stored {
    Codes {
        float: Float,
        rounding: Box<Rounding>,
        /// The bytes of what each word is read as.
        elements: Vec<u8>,
        /// Which words stand for weights beyond the type; empty if none does.
        beyond: Vec<bool>,
    },
    AsItIs,
}

impl Stored {
    /// How many of `words` are read as the largest number of the type in place of a larger one.
    pub(super) fn clamped(&self, words: &[u8]) -> u64 {
        match self {
            Self::Codes { beyond, .. } if !beyond.is_empty() => {
                words.iter().filter(|word| beyond[usize::from(**word)]).count() as u64
            }
            Self::Codes { .. } | Self::AsItIs => 0,
        }
    }

    /// The words that store the elements in `bytes`.
    pub(super) fn words(&self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Self::Codes { float, rounding, .. } => rounding.words(&float.decode(bytes)),
            Self::AsItIs => bytes.to_vec(),
        }
    }

    /// Writes what `words` are read as over the elements in `bytes`.
    pub(super) fn load(&self, words: &[u8], bytes: &mut [u8]) {
        match self {
            Self::Codes { float, elements, .. } => match float.bytes() {
                2 => look_up::<2>(words, elements, bytes),
                4 => look_up::<4>(words, elements, bytes),
                _ => look_up::<8>(words, elements, bytes),
            },
            Self::AsItIs => bytes.copy_from_slice(words),
        }
    }
}

/// Writes the element of each word, of `N` bytes, over the one in `bytes`.
fn look_up<const N: usize>(words: &[u8], elements: &[u8], bytes: &mut [u8]) {
    let (elements, places) = (elements.as_chunks::<N>().0, bytes.as_chunks_mut::<N>().0);
    for (place, &word) in places.iter_mut().zip(words) {
        *place = elements[usize::from(word)];
    }
}

impl fmt::Display for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Codes(_, format) => format.fmt(f),
            Self::Integers(dtype) => write!(f, "{dtype} as it is"),
            Self::Bytes(dtype) => write!(f, "bytes of {dtype}"),
            Self::Packed(Packed { bits, .. }) => write!(f, "packed words of {bits} bits"),
        }
    }
}

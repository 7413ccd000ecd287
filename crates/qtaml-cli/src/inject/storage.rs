//! How the elements of a tensor become words of the memory that fails, and back.

use std::fmt;

use qtaml::quant::{Format, QuantError, QuantizedTensor};
use rayon::prelude::*;
use safetensors::Dtype;

use crate::model::Tensor;
use crate::model::float::Float;

/// Words that one thread treats at a time.
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
}

impl Storage {
    /// The storage of a tensor whose weights are to have the given format: matrices are stored as
    /// codes, everything smaller, biases and norms, as it is. `None` for what holds no weights.
    pub(super) fn of(tensor: &Tensor, format: Format) -> Option<Self> {
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
            Self::Integers(_) | Self::Bytes(_) => Format::INT8,
        }
    }

    /// Bytes of the file that one word stands for.
    pub(super) const fn bytes_per_word(self) -> usize {
        match self {
            Self::Codes(float, _) => float.bytes(),
            Self::Integers(_) | Self::Bytes(_) => 1,
        }
    }

    /// The number of words of a tensor.
    pub(super) const fn words_of(self, tensor: &Tensor) -> u64 {
        tensor.bytes / self.bytes_per_word() as u64
    }

    /// The words that store the elements in `bytes`, part of a tensor whose largest magnitude is
    /// `largest`.
    pub(super) fn store(self, bytes: &[u8], largest: f32) -> Result<Vec<u8>, QuantError> {
        let Self::Codes(float, format) = self else { return Ok(bytes.to_vec()) };
        let slices = bytes.par_chunks(SLICE * float.bytes()).map(|bytes| {
            // With the largest magnitude beside it, any part has the scale of the whole.
            let mut weights = float.decode(bytes);
            let count = weights.len();
            weights.push(largest);
            let stored = QuantizedTensor::quantize(&weights, &[count + 1], format)?;
            Ok(stored.words()[..count].to_vec())
        });
        Ok(slices.collect::<Result<Vec<_>, _>>()?.concat())
    }

    /// Writes what `words` are read as over the elements in `bytes`.
    pub(super) fn load(self, words: &[u8], scale: f32, bytes: &mut [u8]) -> Result<(), QuantError> {
        let Self::Codes(float, format) = self else {
            bytes.copy_from_slice(words);
            return Ok(());
        };
        let every: Vec<u8> = format.bits().words().collect();
        let count = every.len();
        let values = QuantizedTensor::from_words(every, &[count], format, scale)?.dequantize();
        let slices = bytes.par_chunks_mut(SLICE * float.bytes()).zip(words.par_chunks(SLICE));
        slices.for_each(|(bytes, words)| {
            let read: Vec<f32> = words.iter().map(|&word| values[usize::from(word)]).collect();
            float.encode(&read, bytes);
        });
        Ok(())
    }
}

impl fmt::Display for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Codes(_, format) => format.fmt(f),
            Self::Integers(dtype) => write!(f, "{dtype} as it is"),
            Self::Bytes(dtype) => write!(f, "bytes of {dtype}"),
        }
    }
}

/// The largest magnitude among the weights in `bytes`, the first of which is number `first`.
pub(super) fn largest(float: Float, bytes: &[u8], first: u64) -> Result<f32, QuantError> {
    let slices = bytes.par_chunks(SLICE * float.bytes()).enumerate().map(|(i, bytes)| {
        let first = first as usize + i * SLICE;
        let magnitude = |largest: f32, (i, value): (usize, f32)| {
            let (index, magnitude) = (first + i, value.abs());
            if value.is_finite() {
                Ok(largest.max(magnitude))
            } else {
                Err(QuantError::NotFinite { index, value })
            }
        };
        float.decode(bytes).into_iter().enumerate().try_fold(0.0, magnitude)
    });
    // Of several that are not finite the first is named, whichever thread is faster.
    slices.collect::<Vec<_>>().into_iter().try_fold(0.0, |largest, slice| Ok(slice?.max(largest)))
}

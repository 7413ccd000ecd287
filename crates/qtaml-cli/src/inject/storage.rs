//! What a tensor is to the memory: codes, integers, bytes or packed words.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use qtaml::fault::WordFlips;
use qtaml::files::{
    BitOrder, Codes, Dtype, Float, Float8, Layout, MetadataKind, Packing, StoredWords,
    TensorDescription, TensorInfo, TensorKind,
};
use qtaml::quant::{Format, Scaling};

use crate::format_flags::TensorScaling;

/// What a tensor is to the memory.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Storage {
    /// Weights, stored as codes.
    Codes(Coded),
    /// Numbers of eight bits, each a word as it is.
    Words(Dtype),
    /// Numbers as they are, each of their bytes a word.
    Bytes(Dtype),
    /// Words that are not one byte each: they are read and recorded as bytes, and meet faults as words.
    Packed(Packed),
}

/// How the words of a tensor lie in its bytes.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Packed(Arc<Packing>);

const _: () = assert!(StoredWords::MOST_BITS == WordFlips::MAX_WIDTH, "all words can meet faults");

impl Deref for Packed {
    type Target = Packing;

    fn deref(&self) -> &Packing {
        &self.0
    }
}

impl Packed {
    /// The number of words before a byte that begins a block.
    pub(super) fn words_before(&self, byte: u64) -> u64 {
        byte / self.block_bytes() as u64 * self.block_codes() as u64
    }
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
    /// How matrices are laid out, if that is said.
    pub(super) layout: Option<Layout>,
    /// Whether biases, norms and vectors are stored in this memory too.
    pub(super) biases: bool,
    /// Whether the scales and zero points of codes are.
    pub(super) scales: bool,
}

/// Why a tensor is not injected into, though nobody said that it should be left out.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotStored {
    #[error(
        "tensor {name:?} of {dtype} and shape {shape:?} is not understood: --skip '{name}' leaves it as it \
         is, and --as-stored --only '{name}' exposes its bytes"
    )]
    Unknown { name: String, dtype: Dtype, shape: Vec<usize> },
    #[error(
        "tensor {name:?} of {dtype} and shape {shape:?} holds codes of {bits} bits, and how is not known: \
         --skip '{name}' leaves it as it is, and --as-stored --only '{name}' exposes its bytes"
    )]
    Scattered { name: String, dtype: Dtype, shape: Vec<usize>, bits: u32 },
    #[error("tensor {name:?} of shape {shape:?} is empty")]
    Empty { name: String, shape: Vec<usize> },
    #[error("tensor {name:?} ({dtype} of rank {rank}) is no weight, but {kind}: {advice}")]
    NoWeights { name: String, dtype: Dtype, rank: usize, kind: &'static str, advice: &'static str },
}

impl HowStored {
    /// The storage of a tensor by what it is: float weights are stored as codes, words of a quantized
    /// checkpoint as they are, and what belongs to them only on demand. `None` for what is copied;
    /// `is_named` is whether somebody has asked for this very tensor.
    pub(super) fn storage_of(
        &self,
        tensor: &TensorInfo,
        described: &TensorDescription,
        is_named: bool,
    ) -> Result<Option<Storage>, NotStored> {
        use TensorKind as K;
        let as_stored = self.scaling.is_none();
        let anyway = (as_stored && is_named).then(|| Storage::as_it_is(tensor)).flatten();
        let of_scales =
            |what: &MetadataKind| matches!(what, MetadataKind::Scale | MetadataKind::ZeroPoint);
        match &described.kind {
            K::Weights(_) => Ok(self.coded(tensor, described).or(Storage::as_it_is(tensor))),
            K::Float8(_) => Ok(Storage::as_it_is(tensor)),
            K::Codes(codes) => match Storage::of_codes(tensor, codes).or(anyway) {
                None => Err(NotStored::scattered(tensor, codes)),
                found => Ok(found),
            },
            K::Metadata { what, .. } if is_named || self.scales && of_scales(what) => {
                Ok(Storage::bytes_of(tensor))
            }
            K::Bias | K::Norm | K::Vector if self.biases => Ok(Storage::bytes_of(tensor)),
            _ if anyway.is_some() => Ok(anyway),
            K::Unknown => Err(NotStored::unknown(tensor)),
            kind if is_named => Err(NotStored::no_weights(tensor, kind)),
            _ => Ok(None),
        }
    }

    /// Floats as codes, unless they are stored as they are.
    fn coded(&self, tensor: &TensorInfo, described: &TensorDescription) -> Option<Storage> {
        let scaling = self.scaling?.of_axis(described.axis.or_first());
        let float = Float::of(tensor.dtype)?;
        Some(Storage::Codes(Coded { float, format: self.format, scaling }))
    }
}

impl NotStored {
    fn unknown(tensor: &TensorInfo) -> Self {
        let TensorInfo { name, dtype, shape, .. } = tensor;
        Self::Unknown { name: name.clone(), dtype: *dtype, shape: shape.clone() }
    }

    fn scattered(tensor: &TensorInfo, codes: &Codes) -> Self {
        let TensorInfo { name, dtype, shape, .. } = tensor;
        let (name, shape) = (name.clone(), shape.clone());
        Self::Scattered { name, dtype: *dtype, shape, bits: codes.bits }
    }

    fn no_weights(tensor: &TensorInfo, kind: &TensorKind) -> Self {
        let (name, dtype, rank) = (tensor.name.clone(), tensor.dtype, tensor.rank());
        let advice = match kind {
            TensorKind::Empty => return Self::Empty { name, shape: tensor.shape.clone() },
            TensorKind::Bias | TensorKind::Norm | TensorKind::Vector => {
                "it is injected into with --biases"
            }
            _ => "--as-stored exposes its bytes",
        };
        Self::NoWeights { name, dtype, rank, kind: kind.name(), advice }
    }
}

impl Storage {
    /// The storage of a tensor that is not quantized; `None` for an empty one.
    pub(super) fn as_it_is(tensor: &TensorInfo) -> Option<Self> {
        match tensor.dtype {
            _ if tensor.bytes == 0 => None,
            dtype if has_byte_weights(dtype) && tensor.rank() >= 2 => Some(Self::Words(dtype)),
            dtype => Some(Self::Bytes(dtype)),
        }
    }

    /// That of a tensor whose bytes are no weights.
    fn bytes_of(tensor: &TensorInfo) -> Option<Self> {
        (tensor.bytes > 0).then_some(Self::Bytes(tensor.dtype))
    }

    /// The storage of the codes of a quantized checkpoint. Those that fill up elements are words too, and
    /// bits between codes are none. Codes without a gap are numbered in the order of their bytes, from the
    /// lowest bits on; `None` if it is not known where they lie.
    fn of_codes(tensor: &TensorInfo, codes: &Codes) -> Option<Self> {
        let Codes { bits, element_bits, order, .. } = *codes;
        let packing = codes.packing(&tensor.shape);
        let is_in_order = order != BitOrder::Stream && element_bits.is_multiple_of(bits);
        match packing {
            _ if bits == 8 => Some(Self::Words(tensor.dtype)),
            Some(packing) if is_in_order => {
                Some(Self::packed(StoredWords { bits, weights: packing.codes() }.packing()))
            }
            packing => packing.map(Self::packed),
        }
    }

    fn packed(packing: Packing) -> Self {
        Self::Packed(Packed(Arc::new(packing)))
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
    pub(super) const fn format(&self) -> Format {
        match self {
            Self::Codes(Coded { format, .. }) => *format,
            Self::Words(_) | Self::Bytes(_) | Self::Packed(_) => Format::INT8,
        }
    }

    /// How its words follow from weights, if they do not lie there as they are.
    pub(super) const fn scaling(&self) -> Option<Scaling> {
        match self {
            Self::Codes(Coded { scaling, .. }) => Some(*scaling),
            Self::Words(_) | Self::Bytes(_) | Self::Packed(_) => None,
        }
    }

    /// The bits of a word that meets faults.
    pub(super) fn word_bits(&self) -> u32 {
        match self {
            Self::Packed(packed) => packed.bits(),
            Self::Codes(_) | Self::Words(_) | Self::Bytes(_) => self.format().bits().get(),
        }
    }

    /// The number of words of a tensor that meet faults.
    pub(super) fn faulty_words_of(&self, tensor: &TensorInfo) -> u64 {
        match self {
            Self::Packed(packed) => packed.codes(),
            Self::Codes(_) | Self::Words(_) | Self::Bytes(_) => self.words_of(tensor),
        }
    }

    /// The fewest words behind which a tensor may be cut, if it may be cut behind every `alignment` words
    /// that meet faults: of packed ones so many bytes.
    pub(super) fn step_behind(&self, alignment: usize) -> usize {
        match self {
            Self::Packed(packed) => {
                let codes = packed.block_codes();
                let is_aligned = |blocks: &usize| (blocks * codes).is_multiple_of(alignment);
                (1..alignment).find(is_aligned).unwrap_or(alignment) * packed.block_bytes()
            }
            Self::Codes(_) | Self::Words(_) | Self::Bytes(_) => alignment,
        }
    }

    /// Bytes of the file that one word stands for.
    pub(super) const fn bytes_per_word(&self) -> usize {
        match self {
            Self::Codes(Coded { float, .. }) => float.bytes(),
            Self::Words(_) | Self::Bytes(_) | Self::Packed(_) => 1,
        }
    }

    /// The number of words of a tensor; of packed ones the number of their bytes.
    pub(super) const fn words_of(&self, tensor: &TensorInfo) -> u64 {
        tensor.bytes / self.bytes_per_word() as u64
    }
}

/// Types of one byte whose numbers may be weights.
fn has_byte_weights(dtype: Dtype) -> bool {
    let is_integer = matches!(dtype, Dtype::I8 | Dtype::U8);
    is_integer || Float8::of(dtype).is_some_and(Float8::is_weight)
}

impl fmt::Display for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Codes(Coded { format, .. }) => format.fmt(f),
            Self::Words(dtype) => write!(f, "{dtype} as it is"),
            Self::Bytes(dtype) => write!(f, "bytes of {dtype}"),
            Self::Packed(packed) => write!(f, "packed words of {} bits", packed.bits()),
        }
    }
}

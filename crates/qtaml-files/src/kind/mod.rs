//! Kinds of tensors: what is a weight, what belongs to one, and what is neither.

mod axis;
mod codes;
mod packing;
mod plain;
mod words;

use std::collections::BTreeMap;
use std::fmt;

pub use self::axis::{AxisSource, Layout, OutputAxis};
pub use self::codes::{BitOrder, CodeLayout, Codes, MetadataKind};
pub use self::packing::Packing;
pub use self::words::{StoredWords, WordsError};
use crate::names::NameIndex;
use crate::{Checkpoint, FileError, Float, TensorInfo};

/// What a tensor is in its model.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TensorKind {
    /// Floating-point weights.
    Weights(WeightRole),
    /// Weights in eight-bit floats, each a word as it is.
    Float8(WeightRole),
    /// Integer codes, or other words, of a quantized checkpoint.
    Codes(Codes),
    /// What such codes need to be read: scales, zero points and the like.
    Metadata {
        /// The tensor of codes.
        of: String,
        /// What it is to them.
        what: MetadataKind,
    },
    /// What is added to the outputs of a layer.
    Bias,
    /// Scale or shift of a normalization layer.
    Norm,
    /// Any other float parameter of one dimension, such as a class token.
    Vector,
    /// Measured or computed, not learned.
    Buffer(BufferKind),
    /// What a graph computes with, and no layer: shapes, factors, places.
    Constant,
    /// A tensor without elements.
    Empty,
    /// None of these, as far as name, type and shape tell.
    Unknown,
}

/// What weights are in their layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WeightRole {
    /// The matrix of a linear layer.
    Linear,
    /// The kernel of a convolution.
    Convolution,
    /// The kernel of a transposed convolution.
    TransposedConvolution,
    /// A table of embeddings: one row for each token or place.
    Embedding,
    /// Weights of rank two and more of another layer.
    Other,
}

/// What a buffer holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BufferKind {
    /// Which places see each other.
    Mask,
    /// Running mean or variance of a normalization layer, or the count of its batches.
    Statistics,
    /// Frequencies, sines and cosines of positions.
    Positions,
    /// Numbers of places, tokens or steps.
    Indices,
}

/// What a tensor is, and which of its axes is that of output channels.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TensorDescription {
    /// What it is.
    pub kind: TensorKind,
    /// The axis of output channels, of weights and codes.
    pub axis: OutputAxis,
}

impl TensorDescription {
    /// What the nodes of a graph say that read a tensor, as of an [ONNX model](crate::onnx::OnnxFile).
    pub const fn of_graph(kind: TensorKind, axis: Option<usize>) -> Self {
        let axis = match axis {
            Some(axis) => OutputAxis::new(axis, AxisSource::Graph),
            None => OutputAxis::NONE,
        };
        Self { kind, axis }
    }
}

impl TensorKind {
    /// Whether it is what a memory of weights holds.
    pub const fn is_weight(&self) -> bool {
        matches!(self, Self::Weights(_) | Self::Float8(_) | Self::Codes(_))
    }

    /// Its name, a word or two.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Weights(role) | Self::Float8(role) => role.name(),
            Self::Codes(_) => "codes",
            Self::Metadata { what, .. } => what.name(),
            Self::Bias => "bias",
            Self::Norm => "norm",
            Self::Vector => "vector",
            Self::Buffer(kind) => kind.name(),
            Self::Constant => "constant",
            Self::Empty => "empty",
            Self::Unknown => "unknown",
        }
    }
}

impl WeightRole {
    /// Its name, as on a command line and in files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Linear => "linear",
            Self::Convolution => "convolution",
            Self::TransposedConvolution => "transposed-convolution",
            Self::Embedding => "embedding",
            Self::Other => "other-weight",
        }
    }
}

impl BufferKind {
    /// Its name, as in files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mask => "mask",
            Self::Statistics => "statistics",
            Self::Positions => "positions",
            Self::Indices => "indices",
        }
    }
}

impl fmt::Display for TensorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Checkpoint {
    /// What each tensor is, in the order of [`tensors`](Self::tensors): from names, types and shapes
    /// together, never from one alone, and where codes are packed from a few bytes that tell their
    /// shape. A layout that is given wins over what the file says.
    ///
    /// # Errors
    /// [`FileError::Tensor`] if these bytes cannot be read, [`FileError::Words`] as
    /// [`stored_words`](Self::stored_words).
    pub fn describe(&self, layout: Option<Layout>) -> Result<Vec<TensorDescription>, FileError> {
        let read = |tensor: &TensorInfo| self.bytes_of(tensor);
        let model = Model::new(self.tensors(), self.metadata(), self.stored_words()?, &read);
        model.describe(layout)
    }
}

/// The tensors of a model as they are looked at.
struct Model<'a> {
    tensors: &'a [TensorInfo],
    by_name: NameIndex,
    metadata: &'a BTreeMap<String, String>,
    /// The words of files of `qtaml codec`.
    words: BTreeMap<String, StoredWords>,
    read: &'a dyn Fn(&TensorInfo) -> Result<Vec<u8>, FileError>,
}

impl<'a> Model<'a> {
    fn new(
        tensors: &'a [TensorInfo],
        metadata: &'a BTreeMap<String, String>,
        words: BTreeMap<String, StoredWords>,
        read: &'a dyn Fn(&TensorInfo) -> Result<Vec<u8>, FileError>,
    ) -> Self {
        Self { tensors, by_name: NameIndex::new(tensors), metadata, words, read }
    }

    /// The tensor whose name is these two together.
    fn get(&self, begin: &str, end: &str) -> Option<&'a TensorInfo> {
        self.position(begin, end).map(|i| &self.tensors[i])
    }

    fn position(&self, begin: &str, end: &str) -> Option<usize> {
        self.by_name.position(self.tensors, &format!("{begin}{end}"))
    }

    fn describe(&self, layout: Option<Layout>) -> Result<Vec<TensorDescription>, FileError> {
        let mut codes: Vec<Option<TensorKind>> = vec![None; self.tensors.len()];
        let mut metadata = codes.clone();
        for (i, tensor) in self.tensors.iter().enumerate() {
            let Some(group) = self.codes(tensor)? else { continue };
            codes[i] = Some(group.kind);
            for (position, what) in group.metadata {
                metadata[position] = Some(TensorKind::Metadata { of: tensor.name.clone(), what });
            }
        }
        // A zero point alone looks like codes without scales.
        let kinds = metadata.into_iter().zip(codes).map(|(metadata, codes)| metadata.or(codes));
        let kinds = self.tensors.iter().zip(kinds);
        let mut kinds: Vec<TensorKind> =
            kinds.map(|(tensor, kind)| kind.unwrap_or_else(|| self.plain(tensor))).collect();
        let layers = self.not_understood(&kinds);
        for (kind, tensor) in kinds.iter_mut().zip(self.tensors) {
            if matches!(kind, TensorKind::Weights(_)) && layers.contains(tensor.layer()) {
                *kind = TensorKind::Unknown;
            }
        }
        let axes = self.axes(&kinds, layout);
        Ok(kinds
            .into_iter()
            .zip(axes)
            .map(|(kind, axis)| TensorDescription { kind, axis })
            .collect())
    }
}

/// What tells of a tensor.
trait Traits {
    /// The name up to its last dot, with it: that of the layer.
    fn layer(&self) -> &str;
    /// The name behind its last dot.
    fn leaf(&self) -> &str;
    fn is_float(&self) -> bool;
    /// The number of dimensions that are longer than one.
    fn spread(&self) -> usize;
    /// Whether it looks like a mask: its last two dimensions are as long.
    fn is_square(&self) -> bool;
}

impl Traits for TensorInfo {
    fn layer(&self) -> &str {
        let end = self.name.rfind(['.', '/']).map_or(0, |dot| dot + 1);
        &self.name[..end]
    }

    fn leaf(&self) -> &str {
        &self.name[self.layer().len()..]
    }

    fn is_float(&self) -> bool {
        Float::of(self.dtype).is_some()
    }

    fn spread(&self) -> usize {
        self.shape.iter().filter(|&&length| length > 1).count()
    }

    fn is_square(&self) -> bool {
        matches!(self.shape.as_slice(), [.., a, b] if a == b && *a > 1)
    }
}

/// Models to test with.
#[cfg(test)]
mod tests {
    use safetensors::Dtype;

    use super::*;

    /// A tensor with content that is read, if any.
    pub(super) type Sample = (&'static str, Dtype, Vec<usize>, Vec<u8>);

    pub(super) fn describe_with(
        samples: &[Sample],
        metadata: &[(&str, &str)],
        layout: Option<Layout>,
    ) -> Vec<TensorDescription> {
        let info = |(i, (name, dtype, shape, _)): (usize, &Sample)| {
            let bits = shape.iter().product::<usize>() * dtype.bitsize();
            TensorInfo {
                name: (*name).into(),
                dtype: *dtype,
                shape: shape.clone(),
                bytes: (bits / 8) as u64,
                begin: 0,
                shard: i,
            }
        };
        let tensors: Vec<TensorInfo> = samples.iter().enumerate().map(info).collect();
        let metadata =
            metadata.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
        // The number of the file stands for that of the tensor.
        let read = |tensor: &TensorInfo| Ok(samples[tensor.shard].3.clone());
        let words = StoredWords::of_metadata(&metadata).unwrap();
        Model::new(&tensors, &metadata, words, &read).describe(layout).unwrap()
    }

    pub(super) fn kinds(samples: &[Sample]) -> Vec<TensorKind> {
        describe_with(samples, &[], None).into_iter().map(|tensor| tensor.kind).collect()
    }

    /// Names of all layouts in models of random shapes and types: no panic, and what needs codes is
    /// never without them.
    #[test]
    fn random_models_are_described() {
        use crate::changes::Changes;

        const LEAVES: [&str; 16] = [
            "l.qweight",
            "l.qzeros",
            "l.scales",
            "l.g_idx",
            "l.weight",
            "l.weight_scale",
            "l.weight_packed",
            "l.weight_shape",
            "l.weight.absmax",
            "l.weight.quant_map",
            "l.weight.quant_state.bitsandbytes__nf4",
            "l.SCB",
            "l_blocks",
            "l_scales",
            "l.bias",
            "l._weight_qdata",
        ];
        let dtypes = [Dtype::F32, Dtype::U8, Dtype::I8, Dtype::I32, Dtype::I64, Dtype::F8_E4M3];
        let lengths = [0, 1, 2, 8, 16, 64, 128];
        let mut random = Changes::new(4);
        let mut found = 0;
        for _ in 0..20_000 {
            let mut samples: Vec<Sample> = Vec::new();
            for leaf in LEAVES {
                if random.below(3) == 0 {
                    continue;
                }
                let dtype = dtypes[random.below(dtypes.len())];
                let shape = (0..random.below(4)).map(|_| lengths[random.below(7)]).collect();
                let content = (0..random.below(20)).map(|_| random.below(256) as u8).collect();
                samples.push((leaf, dtype, shape, content));
            }
            let kinds = kinds(&samples);
            for (at, kind) in kinds.iter().enumerate() {
                if let TensorKind::Metadata { of, .. } = kind {
                    let owner = samples.iter().position(|(name, ..)| name == of).unwrap();
                    assert!(kinds[owner].is_weight(), "{samples:?}: {kinds:?}");
                    found += 1;
                }
                if let TensorKind::Codes(codes) = kind {
                    assert!(codes.count > 0 && codes.bits > 0);
                    // What is taken out of its bytes goes back into them.
                    let (_, _, shape, _) = &samples[at];
                    let Some(packing) = codes.packing(shape) else { continue };
                    let mut bytes = vec![0xa5; packing.block_bytes()];
                    let codes = packing.unpack(0, &bytes);
                    packing.pack(&codes, &mut bytes);
                    assert_eq!(bytes, vec![0xa5; packing.block_bytes()]);
                }
            }
        }
        assert!(found > 100, "{found}");
    }
}

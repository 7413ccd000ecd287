//! The plan of a pass: each tensor is encoded, decoded or copied.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use anyhow::{Context, Result, anyhow, ensure};
use qtaml::compensation::codebook::{Codec, TensorCode};
use qtaml::files::{
    Checkpoint, Dtype, FileError, Float, ModelFile, StoredWords, TensorInfo, TensorLayout,
    UnknownName, header,
};

/// In the metadata of a stored file: which codec it was written with.
const CODEC: &str = "qtaml.codec";
/// Those that tell the words of a stored file.
const METADATA: [&str; 2] = [CODEC, StoredWords::METADATA];

/// The new model.
pub(super) struct Plan<'a> {
    pub(super) files: Vec<FilePlan<'a>>,
}

/// One of its files.
pub(super) struct FilePlan<'a> {
    metadata: BTreeMap<String, String>,
    /// In the order of the new file.
    pub(super) parts: Vec<Part<'a>>,
}

/// A tensor on its way.
pub(super) struct Part<'a> {
    pub(super) tensor: &'a TensorInfo,
    pub(super) work: Work<'a>,
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: u64,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Work<'a> {
    Copy,
    Encode(Float, &'a TensorCode),
    Decode(&'a TensorCode),
}

impl<'a> Plan<'a> {
    /// From weights to the words of a codec, whose file has the given check sum.
    pub(super) fn encode(model: &'a Checkpoint, codec: &'a Codec, sum: &str) -> Result<Self> {
        let metadata = |file: &ModelFile| {
            let mut metadata = file.metadata().clone();
            let before = METADATA.into_iter().find(|key| metadata.contains_key(*key));
            if let Some(key) = before {
                return Err(anyhow!("the model is encoded already: its metadata have {key:?}"));
            }
            metadata.insert(CODEC.into(), sum.into());
            // Each file speaks of its own tensors.
            let words = |tensor: &TensorInfo| {
                let code = codec.get(&tensor.name)?;
                let packed = StoredWords { bits: code.code().width(), weights: code.weights() };
                Some((tensor.name.clone(), packed))
            };
            let words = file.tensors().iter().filter_map(words).collect();
            metadata.insert(StoredWords::METADATA.into(), StoredWords::to_json(&words)?);
            Ok(metadata)
        };
        Self::new(model, codec, metadata, Part::encode)
    }

    /// From words back to weights.
    pub(super) fn decode(model: &'a Checkpoint, codec: &'a Codec, sum: &str) -> Result<Self> {
        let metadata = |file: &ModelFile| {
            let mut metadata = file.metadata().clone();
            let written = metadata.remove(CODEC);
            metadata.remove(StoredWords::METADATA);
            let written = written.ok_or_else(|| {
                anyhow!(
                    "it was not written by `qtaml codec encode`: its metadata have no {CODEC:?}"
                )
            })?;
            ensure!(written == sum, "it was encoded with another codec: {written}, and not {sum}");
            Ok(metadata)
        };
        Self::new(model, codec, metadata, Part::decode)
    }

    fn new(
        model: &'a Checkpoint,
        codec: &'a Codec,
        metadata: impl Fn(&ModelFile) -> Result<BTreeMap<String, String>>,
        part: fn(&'a TensorInfo, &'a TensorCode) -> Result<Part<'a>>,
    ) -> Result<Self> {
        let metadata = model.shards().iter().map(metadata).collect::<Result<Vec<_>>>()?;
        let missing = codec.tensors().find(|(name, _)| model.position(name).is_none());
        if let Some((name, _)) = missing {
            let names = model.tensors().iter().map(|tensor| tensor.name.as_str());
            let unknown = UnknownName::new("tensor", name, names);
            return Err(unknown).context("the codec is for another model");
        }
        let of = |tensor: &'a TensorInfo| match codec.get(&tensor.name) {
            Some(code) => part(tensor, code)
                .with_context(|| format!("the codec does not fit tensor {:?}", tensor.name)),
            None => Ok(Part::copy(tensor)),
        };
        let file = |(number, metadata)| {
            let parts = model.tensors_of(number).iter().map(of);
            let mut parts = parts.collect::<Result<Vec<_>>>()?;
            // Large elements first, so that each tensor lies where its type wants it.
            parts.sort_by_key(|part| Reverse(part.dtype));
            Ok(FilePlan { metadata, parts })
        };
        let files = metadata.into_iter().enumerate().map(file).collect::<Result<_>>()?;
        Ok(Self { files })
    }

    /// All tensors.
    pub(super) fn parts(&self) -> impl Iterator<Item = &Part<'a>> {
        self.files.iter().flat_map(|file| &file.parts)
    }

    /// Bytes of all tensors of the new files.
    pub(super) fn tensor_bytes(&self) -> u64 {
        self.parts().map(|part| part.bytes).sum()
    }

    /// The lengths of the new files.
    pub(super) fn lengths(&self) -> Result<Vec<u64>, FileError> {
        let length = |file: &FilePlan| {
            let tensors: u64 = file.parts.iter().map(|part| part.bytes).sum();
            Ok(file.header()?.len() as u64 + tensors)
        };
        self.files.iter().map(length).collect()
    }

    /// Bytes to be read.
    pub(super) fn work(&self) -> u64 {
        self.parts().map(|part| part.tensor.bytes).sum()
    }
}

impl FilePlan<'_> {
    /// The header of the new file.
    pub(super) fn header(&self) -> Result<Vec<u8>, FileError> {
        header(&self.metadata, self.parts.iter().map(Part::placed))
    }
}

impl<'a> Part<'a> {
    fn copy(tensor: &'a TensorInfo) -> Self {
        let (dtype, shape, bytes) = (tensor.dtype, tensor.shape.clone(), tensor.bytes);
        Self { tensor, work: Work::Copy, dtype, shape, bytes }
    }

    fn encode(tensor: &'a TensorInfo, code: &'a TensorCode) -> Result<Self> {
        let (dtype, found) = (tensor.dtype, &tensor.shape);
        let float = Float::of(dtype);
        let float =
            float.ok_or_else(|| anyhow!("it is of {dtype}: F16, BF16, F32 and F64 can be"))?;
        ensure!(found == code.shape(), "it has shape {found:?}, its code {:?}", code.shape());
        let (shape, bytes) = (stored_shape(code), code.stored_bytes());
        Ok(Self { tensor, work: Work::Encode(float, code), dtype: Dtype::U8, shape, bytes })
    }

    fn decode(tensor: &'a TensorInfo, code: &'a TensorCode) -> Result<Self> {
        let (found, expected) = ((tensor.dtype, &tensor.shape), (Dtype::U8, &stored_shape(code)));
        ensure!(found == expected, "it is {found:?}, and its words are {expected:?}");
        let (shape, bytes) = (code.shape().to_vec(), 4 * code.weights());
        Ok(Self { tensor, work: Work::Decode(code), dtype: Dtype::F32, shape, bytes })
    }

    fn placed(&self) -> TensorLayout<'_> {
        let &Self { tensor, dtype, ref shape, bytes, .. } = self;
        TensorLayout { name: &tensor.name, dtype, shape, bytes }
    }
}

/// Words of a byte have the shape of their tensor, others lie side by side. There are two
/// dimensions in any case, as `qtaml inject` takes a tensor of one for a bias.
fn stored_shape(code: &TensorCode) -> Vec<usize> {
    if code.code().width() == 8 {
        code.shape().to_vec()
    } else {
        vec![1, code.stored_bytes() as usize]
    }
}

//! Layouts of quantized checkpoints: which tensor holds codes, how, and what belongs to them.
//!
//! Each is recognised by names, types and shapes together: tensors that bear the names of a layout
//! and do not fit each other are none of it.

use safetensors::Dtype;
use serde::Deserialize;

use super::{Model, StoredWords, TensorKind, Traits, plain};
use crate::{FileError, Float, Float8, TensorInfo};

/// Codes of a quantized checkpoint, in one tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Codes {
    /// Whose layout it is.
    pub layout: CodeLayout,
    /// The bits of a code.
    pub bits: u32,
    /// The number of codes, without those that fill up elements.
    pub count: u64,
    /// The bits of an element of the tensor, as far as codes are packed in it.
    pub element_bits: u32,
    /// How codes lie in an element.
    pub order: BitOrder,
    /// The axis along which the codes of an element follow each other.
    pub packed_axis: usize,
    /// The axis of output channels, if the layout has one.
    pub output_axis: Option<usize>,
}

/// Whose layout codes have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CodeLayout {
    /// I8 or U8 with scales beside it: `weight` and `weight_scale` or the like.
    ///
    /// Source: `int_quantized.py` and `naive_quantized.py` of compressed-tensors, and others.
    Scaled,
    /// I8 or U8 without scales that are known.
    Bare,
    /// LLM.int8: `weight` in I8 and `SCB`, the largest magnitude of each row.
    ///
    /// Source: `Linear8bitLt._save_to_state_dict` in `nn/modules.py` of bitsandbytes.
    BitsAndBytes8,
    /// NF4 or FP4: `weight` in U8 of `[n, 1]`, the first code of a byte in its high half, and
    /// `weight.absmax`, `weight.quant_map`, `weight.quant_state.bitsandbytes__nf4`.
    ///
    /// Source: `quantize_4bit` in `backends/default/ops.py` of bitsandbytes (`q[::2] << 4 | q[1::2]`),
    /// and `QuantState.as_dict` in its `functional.py`.
    BitsAndBytes4,
    /// `weight_packed` in I32: rows of codes, offset binary, the first one in the lowest bits;
    /// `weight_scale`, `weight_shape`, and perhaps `weight_zero_point`, `weight_g_idx`. Up to version 0.17 an
    /// element holds as many codes as fit whole, from 0.18 on they follow each other across elements, which
    /// is another place for 3, 5, 6 and 7 bits.
    ///
    /// Source: `pack_to_int32` of compressed-tensors 0.9.0, 0.17.0, 0.18.0 and 0.20.1.
    CompressedTensors,
    /// NVFP4: `weight_packed` in U8, two E2M1 floats a byte, the first one in the low half;
    /// `weight_scale` in FP8 and `weight_global_scale`.
    ///
    /// Source: `pack_fp4_to_uint8` in `nvfp4_quantized.py` of compressed-tensors.
    NvFp4,
    /// MXFP4: `…_blocks` in U8 of `[…, 16]`, two E2M1 floats a byte, the first one in the low half;
    /// `…_scales` in U8, one power of two a block.
    ///
    /// Source: `convert_moe_packed_tensors` in `integrations/mxfp4.py` of transformers.
    MxFp4,
    /// `qweight` in I32: columns of codes, packed down the rows, the first one in the lowest bits; of
    /// three bits, 32 codes fill three elements. `qzeros`, `scales`, and perhaps `g_idx`.
    ///
    /// Source: `QuantLinear.pack` in `nn_modules/qlinear/qlinear_cuda.py` of `AutoGPTQ`.
    Gptq,
    /// `qweight` in I32: rows of codes of four bits, those of an element in the order 0 2 4 6 1 3 5 7
    /// from the lowest bits on. `qzeros` in the same order, and `scales`.
    ///
    /// Source: `WQLinear_GEMM.from_linear` in `modules/linear/gemm.py` of `AutoAWQ`.
    Awq,
    /// `_weight_qdata` in I8 and `_weight_scale`.
    ///
    /// Source: `flatten_tensor_state_dict` in `prototype/safetensors/safetensors_support.py` of torchao.
    TorchAo,
    /// `weight._data` in I8 and `weight._scale`.
    ///
    /// Source: `WeightQBytesTensor` in `tensor/weights/qbytes.py` of optimum-quanto.
    Quanto,
    /// Words of `qtaml codec encode`, back to back in U8; the metadata `qtaml.words` says how many.
    Qtaml,
}

/// How codes lie in an element of their tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BitOrder {
    /// One code is one element.
    Alone,
    /// From the lowest bits on, as many as fit whole.
    LowFirst,
    /// From the highest bits on.
    HighFirst,
    /// From the lowest bits on, in the order 0 2 4 6 1 3 5 7.
    EvenFirst,
    /// One after the other from the lowest bits on, also across elements.
    Stream,
}

/// What a tensor is to codes beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MetadataKind {
    /// What one step of a code is worth.
    Scale,
    /// The code of zero.
    ZeroPoint,
    /// The group of each input.
    GroupIndex,
    /// What the codes stand for, and the shape that they had.
    State,
}

impl CodeLayout {
    /// Every layout there is.
    pub const ALL: [Self; 12] = [
        Self::Scaled,
        Self::Bare,
        Self::BitsAndBytes8,
        Self::BitsAndBytes4,
        Self::CompressedTensors,
        Self::NvFp4,
        Self::MxFp4,
        Self::Gptq,
        Self::Awq,
        Self::TorchAo,
        Self::Quanto,
        Self::Qtaml,
    ];

    /// Its name, as in files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Scaled => "int8",
            Self::Bare => "int8-without-scales",
            Self::BitsAndBytes8 => "bitsandbytes-int8",
            Self::BitsAndBytes4 => "bitsandbytes-4bit",
            Self::CompressedTensors => "compressed-tensors",
            Self::NvFp4 => "nvfp4",
            Self::MxFp4 => "mxfp4",
            Self::Gptq => "gptq",
            Self::Awq => "awq",
            Self::TorchAo => "torchao",
            Self::Quanto => "quanto",
            Self::Qtaml => "qtaml-codec",
        }
    }
}

impl MetadataKind {
    /// Its name, as in files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Scale => "scale",
            Self::ZeroPoint => "zero-point",
            Self::GroupIndex => "group-index",
            Self::State => "state",
        }
    }
}

impl Codes {
    /// The lowest bit of each code of an element, in the order of the codes; none of a stream.
    ///
    /// ```
    /// # use qtaml_files::{BitOrder, CodeLayout, Codes};
    /// // Of AWQ the lowest four bits are code 0, the next four code 2.
    /// # let awq = Codes::of_order(CodeLayout::Awq, 4, 32, BitOrder::EvenFirst);
    /// assert_eq!(awq.shifts(), [0, 16, 4, 20, 8, 24, 12, 28]);
    /// ```
    pub fn shifts(&self) -> Vec<u32> {
        let places = self.element_bits / self.bits;
        let at = |place: u32| place * self.bits;
        match self.order {
            BitOrder::Alone | BitOrder::LowFirst => (0..places).map(at).collect(),
            BitOrder::HighFirst => (0..places).rev().map(at).collect(),
            BitOrder::EvenFirst => {
                (0..places).map(|code| at(code / 2 + code % 2 * (places / 2))).collect()
            }
            BitOrder::Stream => Vec::new(),
        }
    }

    /// So many codes of a byte each, as a graph dequantizes them with scales that it stores.
    pub const fn of_graph(count: u64, output_axis: Option<usize>) -> Self {
        let (layout, order) = (CodeLayout::Scaled, BitOrder::Alone);
        Self { layout, bits: 8, count, element_bits: 8, order, packed_axis: 0, output_axis }
    }

    /// Codes of a layout that is made up.
    #[doc(hidden)]
    pub fn of_order(layout: CodeLayout, bits: u32, element_bits: u32, order: BitOrder) -> Self {
        let (count, packed_axis, output_axis) = (0, 0, None);
        Self { layout, bits, count, element_bits, order, packed_axis, output_axis }
    }
}

/// Codes and what belongs to them, by number.
pub(super) struct Group {
    pub(super) kind: TensorKind,
    pub(super) metadata: Vec<(usize, MetadataKind)>,
}

/// Bytes of what bitsandbytes says of a tensor: a few numbers and names.
const LONGEST_STATE: u64 = 1 << 16;

/// What bitsandbytes says of a tensor of four bits.
#[derive(Deserialize)]
struct QuantState {
    shape: Vec<u64>,
}

use MetadataKind::{GroupIndex, Scale, State, ZeroPoint};

impl Model<'_> {
    /// The codes that a tensor holds, if it does.
    pub(super) fn codes(&self, tensor: &TensorInfo) -> Result<Option<Group>, FileError> {
        if tensor.elements() == 0 {
            return Ok(None);
        }
        let by_header = self
            .qtaml(tensor)
            .or_else(|| self.qweight(tensor))
            .or_else(|| self.bits_and_bytes_8(tensor))
            .or_else(|| self.fp4(tensor))
            .or_else(|| self.of_eight_bits(tensor));
        if by_header.is_some() {
            return Ok(by_header);
        }
        match self.bits_and_bytes_4(tensor)? {
            None => self.compressed_tensors(tensor),
            found => Ok(found),
        }
    }

    fn qtaml(&self, tensor: &TensorInfo) -> Option<Group> {
        let &StoredWords { bits, weights } = self.words.get(&tensor.name)?;
        let codes = Codes {
            count: weights,
            packed_axis: tensor.rank().saturating_sub(1),
            ..Codes::of_order(CodeLayout::Qtaml, bits, 8, BitOrder::Stream)
        };
        Some(Group { kind: TensorKind::Codes(codes), metadata: Vec::new() })
    }

    /// GPTQ packs down the rows, AWQ along them: the scales have one column for each output.
    fn qweight(&self, tensor: &TensorInfo) -> Option<Group> {
        if tensor.leaf() != "qweight" || tensor.dtype != Dtype::I32 {
            return None;
        }
        let layer = tensor.layer();
        let of = |leaf: &str| self.get(layer, leaf);
        let [rows, columns] = matrix(tensor)?;
        let [groups, outputs] = matrix(of("scales").filter(|scales| scales.is_float())?)?;
        let zeros = of("qzeros").filter(|zeros| zeros.dtype == Dtype::I32).and_then(matrix);
        let of_zeros = zeros.filter(|[rows, _]| *rows == groups).map(|[_, columns]| columns);
        let inputs = of("g_idx").filter(|index| index.rank() == 1).map(TensorInfo::elements);
        let (bits, codes) = if columns == outputs {
            // 32 codes fill as many elements as they have bits.
            let by_zeros = of_zeros.and_then(|columns| whole(32 * columns, outputs));
            let by_index = inputs.and_then(|inputs| whole(32 * rows, inputs));
            let bits = by_index.or(by_zeros).filter(|bits| [2, 3, 4, 8].contains(bits))?;
            let agrees = by_zeros.is_none_or(|other| other == bits) && rows % bits == 0;
            let order = if bits == 3 { BitOrder::Stream } else { BitOrder::LowFirst };
            let codes = Codes::of_order(CodeLayout::Gptq, bits as u32, 32, order);
            agrees.then_some((bits, Codes { packed_axis: 0, ..codes }))?
        } else {
            let fits = columns * 8 == outputs && of_zeros == Some(columns) && rows % groups == 0;
            let codes = Codes::of_order(CodeLayout::Awq, 4, 32, BitOrder::EvenFirst);
            (fits && inputs.is_none()).then_some((4, Codes { packed_axis: 1, ..codes }))?
        };
        let count = 32 * rows * columns / bits;
        let kind = TensorKind::Codes(Codes { count, output_axis: Some(1), ..codes });
        let leaves = [("scales", Scale), ("qzeros", ZeroPoint), ("g_idx", GroupIndex)];
        Some(Group { kind, metadata: self.beside(layer, &leaves) })
    }

    fn bits_and_bytes_8(&self, tensor: &TensorInfo) -> Option<Group> {
        if tensor.leaf() != "weight" || tensor.dtype != Dtype::I8 {
            return None;
        }
        let layer = tensor.layer();
        let [outputs, _] = matrix(tensor)?;
        let scales = self.get(layer, "SCB").filter(|scales| scales.is_float())?;
        let codes = eight_bits(CodeLayout::BitsAndBytes8, tensor, Some(0));
        let leaves = [("SCB", Scale), ("weight_format", State)];
        (scales.elements() == outputs)
            .then(|| Group { kind: codes, metadata: self.beside(layer, &leaves) })
    }

    fn bits_and_bytes_4(&self, tensor: &TensorInfo) -> Result<Option<Group>, FileError> {
        if tensor.dtype != Dtype::U8 || !matches!(tensor.shape.as_slice(), [_, 1]) {
            return Ok(None);
        }
        let name = tensor.name.as_str();
        let has = |end| self.get(name, end).is_some();
        let states = ["nf4", "fp4"].map(|kind| format!(".quant_state.bitsandbytes__{kind}"));
        let state = states.iter().find_map(|end| Some((end, self.get(name, end)?)));
        let state = state.filter(|(_, state)| state.bytes <= LONGEST_STATE);
        let (Some((end, state)), true) = (state, has(".absmax") && has(".quant_map")) else {
            return Ok(None);
        };
        let content = (self.read)(state)?;
        let shape = serde_json::from_slice(&content).ok().map(|QuantState { shape }| shape);
        let said = shape.and_then(|shape| shape.iter().try_fold(1_u64, |n, &d| n.checked_mul(d)));
        let Some(count) = said.filter(|count| count.div_ceil(2) == tensor.bytes) else {
            return Ok(None);
        };
        let codes = Codes::of_order(CodeLayout::BitsAndBytes4, 4, 8, BitOrder::HighFirst);
        let kind = TensorKind::Codes(Codes { count, ..codes });
        let leaves = [
            (".absmax", Scale),
            (".nested_absmax", Scale),
            (".quant_map", State),
            (".nested_quant_map", State),
            (end.as_str(), State),
        ];
        Ok(Some(Group { kind, metadata: self.beside(name, &leaves) }))
    }

    fn compressed_tensors(&self, tensor: &TensorInfo) -> Result<Option<Group>, FileError> {
        if tensor.leaf() != "weight_packed" || tensor.dtype != Dtype::I32 {
            return Ok(None);
        }
        let layer = tensor.layer();
        let scale = self.get(layer, "weight_scale").filter(|scale| scale.is_float());
        let shape = self.get(layer, "weight_shape").filter(|shape| shape.elements() == 2);
        let (Some([rows, columns]), Some(shape), Some(_)) = (matrix(tensor), shape, scale) else {
            return Ok(None);
        };
        let content = (self.read)(shape)?;
        let Some([outputs, inputs]) = numbers(shape.dtype, &content) else { return Ok(None) };
        let found = in_rows(inputs, columns).filter(|_| outputs == rows);
        let Some((bits, order)) = found else { return Ok(None) };
        let codes = Codes::of_order(CodeLayout::CompressedTensors, bits, 32, order);
        let kind = TensorKind::Codes(Codes {
            count: outputs * inputs,
            packed_axis: 1,
            output_axis: Some(0),
            ..codes
        });
        let leaves = [
            ("weight_scale", Scale),
            ("weight_zero_point", ZeroPoint),
            ("weight_g_idx", GroupIndex),
            ("weight_shape", State),
        ];
        Ok(Some(Group { kind, metadata: self.beside(layer, &leaves) }))
    }

    /// NVFP4 and MXFP4: two floats of four bits in a byte.
    fn fp4(&self, tensor: &TensorInfo) -> Option<Group> {
        if tensor.dtype != Dtype::U8 || tensor.rank() < 2 {
            return None;
        }
        let codes = |layout, output_axis| {
            let codes = Codes::of_order(layout, 4, 8, BitOrder::LowFirst);
            let packed_axis = tensor.rank() - 1;
            TensorKind::Codes(Codes {
                count: 2 * tensor.elements(),
                packed_axis,
                output_axis,
                ..codes
            })
        };
        let layer = tensor.layer();
        if tensor.leaf() == "weight_packed" {
            let scale = self.get(layer, "weight_scale").filter(|s| s.dtype == Dtype::F8_E4M3)?;
            let global = self.get(layer, "weight_global_scale")?;
            let fits = scale.elements() * 8 == tensor.elements() && global.is_float();
            let leaves = [("weight_scale", Scale), ("weight_global_scale", Scale)];
            let kind = codes(CodeLayout::NvFp4, Some(0));
            return fits.then(|| Group { kind, metadata: self.beside(layer, &leaves) });
        }
        let stem = tensor.name.strip_suffix("_blocks")?;
        let scales = self.get(stem, "_scales").filter(|scales| scales.dtype == Dtype::U8)?;
        let [blocks @ .., 16] = tensor.shape.as_slice() else { return None };
        let kind = codes(CodeLayout::MxFp4, None);
        (scales.shape == blocks)
            .then(|| Group { kind, metadata: self.beside(stem, &[("_scales", Scale)]) })
    }

    /// Integers and floats of eight bits, each an element, with scales beside them or without.
    fn of_eight_bits(&self, tensor: &TensorInfo) -> Option<Group> {
        let (layer, leaf, name) = (tensor.layer(), tensor.leaf(), tensor.name.as_str());
        let is_float = bits_of_float8(tensor.dtype);
        if tensor.rank() < 2 || !(is_float || matches!(tensor.dtype, Dtype::I8 | Dtype::U8)) {
            return None;
        }
        let stem =
            name.strip_suffix("_qdata").or_else(|| name.strip_suffix("._data")).unwrap_or(name);
        // Unsigned ones are two codes in a byte there.
        if stem != name && tensor.dtype == Dtype::U8 {
            return None;
        }
        let separator = if name.ends_with("._data") { "._" } else { "_" };
        let ends = ["scale", "scales", "scale_inv"].map(|end| format!("{separator}{end}"));
        let dotted = [".scale", ".scales"].map(str::to_owned);
        let with_name = ends.iter().chain(&dotted).map(|end| (stem, end.as_str()));
        let with_layer = ["scale", "scales", "scale_weight"].map(|end| (layer, end));
        let of_layer = with_layer.into_iter().filter(|_| leaf == "weight");
        let fits = |&(begin, end): &(&str, &str)| {
            self.get(begin, end).is_some_and(|scale| is_scale_of(scale, tensor))
        };
        let scale = with_name.chain(of_layer).find(fits);
        let output_axis =
            scale.and_then(|(begin, end)| channel_axis(self.get(begin, end)?, tensor));
        let layout = match scale {
            Some(_) if stem.len() + 6 == name.len() && name.ends_with("_qdata") => {
                CodeLayout::TorchAo
            }
            Some(_) if name.ends_with("._data") => CodeLayout::Quanto,
            Some(_) => CodeLayout::Scaled,
            // Signed bytes in two dimensions are nothing else; unsigned ones may be pictures.
            None if tensor.dtype == Dtype::I8 || leaf.ends_with("weight") => CodeLayout::Bare,
            None => return None,
        };
        let is_mask = tensor.is_square() && (leaf == "bias" || leaf.ends_with("mask"));
        let is_zeros = leaf.ends_with("zero_point") || leaf.ends_with("zeros");
        let is_column = tensor.dtype == Dtype::U8 && tensor.shape.last() == Some(&1);
        if scale.is_none() && (is_float || is_mask || is_zeros || is_column) {
            return None;
        }
        let kind = if is_float {
            TensorKind::Float8(plain::role(tensor))
        } else {
            eight_bits(layout, tensor, output_axis)
        };
        let metadata = scale.map_or_else(Vec::new, |(begin, end)| {
            let mut metadata = self.beside(begin, &[(end, Scale)]);
            for zeros in ["zero_point", "zeros", "shift"] {
                metadata.extend(self.beside(stem, &[(&format!("{separator}{zeros}"), ZeroPoint)]));
            }
            // Those of the inputs and outputs of the layer.
            let of_layer =
                [("input_scale", Scale), ("output_scale", Scale), ("weight_scale_2", Scale)];
            metadata.extend(self.beside(layer, &of_layer));
            metadata
        });
        Some(Group { kind, metadata })
    }

    /// The numbers of those tensors that exist among `begin` with the given ends.
    fn beside(&self, begin: &str, ends: &[(&str, MetadataKind)]) -> Vec<(usize, MetadataKind)> {
        let found = |&(end, what): &(&str, MetadataKind)| Some((self.position(begin, end)?, what));
        ends.iter().filter_map(found).collect()
    }
}

/// The width of codes that fill so many elements of 32 bits in a row, and how they lie there. Codes of 3, 5, 6
/// and 7 bits lie in one of two ways: where a short row fits several, nobody knows.
fn in_rows(codes: u64, elements: u64) -> Option<(u32, BitOrder)> {
    let whole = |bits: u32| codes.div_ceil(u64::from(32 / bits)) == elements;
    let dense =
        |bits: u32| codes.checked_mul(bits.into()).map(|n| n.div_ceil(32)) == Some(elements);
    // The usual widths first, whatever else a short row fits.
    if let Some(bits) = [4, 8, 2, 1].into_iter().find(|&bits| whole(bits)) {
        return Some((bits, BitOrder::LowFirst));
    }
    let across = [3, 5, 6, 7].into_iter().filter(|&bits| dense(bits));
    let across = across.map(|bits| (bits, BitOrder::Stream));
    // As many codes of seven bits as of eight fit whole.
    let alone = [3, 5, 6].into_iter().filter(|&bits| whole(bits));
    let mut found = across.chain(alone.map(|bits| (bits, BitOrder::LowFirst)));
    let first = found.next()?;
    found.next().is_none().then_some(first)
}

fn eight_bits(layout: CodeLayout, tensor: &TensorInfo, output_axis: Option<usize>) -> TensorKind {
    let (count, packed_axis) = (tensor.elements(), tensor.rank().saturating_sub(1));
    let codes = Codes::of_order(layout, 8, 8, BitOrder::Alone);
    TensorKind::Codes(Codes { count, packed_axis, output_axis, ..codes })
}

fn matrix(tensor: &TensorInfo) -> Option<[u64; 2]> {
    match *tensor.shape.as_slice() {
        [rows, columns] if rows > 0 && columns > 0 => Some([rows as u64, columns as u64]),
        _ => None,
    }
}

/// The quotient, if it is a whole number.
fn whole(a: u64, b: u64) -> Option<u64> {
    (b > 0 && a.is_multiple_of(b)).then(|| a / b)
}

/// Two integers of a type.
fn numbers(dtype: Dtype, bytes: &[u8]) -> Option<[u64; 2]> {
    let each = dtype.bitsize() / 8;
    let is_integer = matches!(dtype, Dtype::I64 | Dtype::U64 | Dtype::I32 | Dtype::U32);
    let number =
        |bytes: &[u8]| bytes.iter().rev().fold(0, |n: u64, &byte| n << 8 | u64::from(byte));
    // A negative length is a huge one, which fits nothing.
    let mut numbers = bytes.chunks_exact(each.max(1)).map(number);
    let two = [numbers.next()?, numbers.next()?];
    (is_integer && two.iter().all(|&n| n <= 1 << 40)).then_some(two)
}

fn bits_of_float8(dtype: Dtype) -> bool {
    Float8::of(dtype).is_some_and(Float8::is_weight)
}

/// Whether a tensor has one number for all codes, for each channel, or for each block of them.
fn is_scale_of(scale: &TensorInfo, codes: &TensorInfo) -> bool {
    let is_number = Float::of(scale.dtype).is_some() || scale.dtype == Dtype::F8_E8M0;
    let (scales, lengths) = (scale.shape.as_slice(), codes.shape.as_slice());
    let fits = match *scales {
        [n] if lengths.len() != 1 => {
            n == 1 || lengths.first() == Some(&n) || lengths.last() == Some(&n)
        }
        _ if scales.is_empty() => true,
        _ => {
            scales.len() == lengths.len()
                && scales.iter().zip(lengths).all(|(&scale, &length)| scale <= length)
                && scale.elements() < codes.elements()
        }
    };
    is_number && scale.elements() > 0 && fits
}

/// The axis along which there is one scale for each index, if there is one such axis alone.
fn channel_axis(scale: &TensorInfo, codes: &TensorInfo) -> Option<usize> {
    let n = scale.elements() as usize;
    let is_channel = |axis: &usize| codes.shape[*axis] == n && n > 1;
    let mut axes = match scale.rank() {
        0 | 1 => (0..codes.rank()).filter(is_channel).collect::<Vec<_>>().into_iter(),
        _ => (0..codes.rank())
            .filter(|&axis| scale.shape[axis] == n && n > 1)
            .collect::<Vec<_>>()
            .into_iter(),
    };
    let first = axes.next()?;
    axes.next().is_none().then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kind::tests::{Sample, describe_with, kinds};

    fn of(name: &'static str, dtype: Dtype, shape: &[usize]) -> Sample {
        (name, dtype, shape.to_vec(), Vec::new())
    }

    fn numbers_of(name: &'static str, numbers: [i64; 2]) -> Sample {
        (name, Dtype::I64, vec![2], numbers.iter().flat_map(|n| n.to_le_bytes()).collect())
    }

    /// The codes of the first tensor, and whether all others are metadata of it.
    fn codes(samples: &[Sample]) -> Option<Codes> {
        let mut kinds = kinds(samples).into_iter();
        let Some(TensorKind::Codes(codes)) = kinds.next() else { return None };
        let is_metadata = |kind: TensorKind| matches!(kind, TensorKind::Metadata { of, .. } if of == samples[0].0);
        let all = kinds.all(is_metadata);
        assert!(all, "{samples:?}");
        Some(codes)
    }

    /// The codes in a row of elements.
    fn unpack(codes: &Codes, bytes: &[u8]) -> Vec<u16> {
        let elements = 8 * bytes.len() / codes.element_bits as usize;
        codes.packing(&[1, elements]).unwrap().unpack(0, bytes)
    }

    fn sizes(codes: Option<Codes>) -> Option<(CodeLayout, u32, u64, Option<usize>)> {
        codes.map(|codes| (codes.layout, codes.bits, codes.count, codes.output_axis))
    }

    use Dtype::{BF16, F8_E4M3, F16, F32, I8, I32, U8};

    /// A layer of 128 inputs and 64 outputs in groups of 32, as `AutoGPTQ` stores it.
    fn gptq(bits: usize) -> Vec<Sample> {
        vec![
            of("l.qweight", I32, &[128 * bits / 32, 64]),
            of("l.qzeros", I32, &[4, 64 * bits / 32]),
            of("l.scales", F16, &[4, 64]),
            of("l.g_idx", I32, &[128]),
        ]
    }

    #[test]
    fn gptq_and_awq_are_told_by_the_side_that_is_packed() {
        for bits in [2, 3, 4, 8] {
            let expected = Some((CodeLayout::Gptq, bits as u32, 128 * 64, Some(1)));
            assert_eq!(sizes(codes(&gptq(bits))), expected);
            assert_eq!(sizes(codes(&gptq(bits)[..3])), expected, "without g_idx");
        }
        let awq = [
            of("l.qweight", I32, &[128, 8]),
            of("l.qzeros", I32, &[4, 8]),
            of("l.scales", F16, &[4, 64]),
        ];
        let found = codes(&awq).unwrap();
        assert_eq!(sizes(Some(found.clone())), Some((CodeLayout::Awq, 4, 128 * 64, Some(1))));
        assert_eq!((found.order, found.packed_axis), (BitOrder::EvenFirst, 1));

        // The names of either, and shapes of neither.
        for broken in [
            vec![of("l.qweight", I32, &[16, 63]), awq[1].clone(), awq[2].clone()],
            vec![of("l.qweight", F32, &[16, 64]), gptq(4)[1].clone(), gptq(4)[2].clone()],
            vec![gptq(4)[0].clone(), of("l.qzeros", I32, &[4, 9]), gptq(4)[2].clone()],
            vec![gptq(4)[0].clone(), gptq(8)[1].clone(), gptq(4)[2].clone(), gptq(4)[3].clone()],
            vec![gptq(4)[0].clone()],
        ] {
            let found = kinds(&broken);
            assert!(!found.iter().any(|k| matches!(k, TensorKind::Codes(_))), "{broken:?}");
        }
    }

    #[test]
    fn bitsandbytes_says_its_shape_in_a_tensor_of_json() {
        let state = br#"{"quant_type": "nf4", "blocksize": 64, "shape": [31, 33]}"#.to_vec();
        let mut four = vec![
            of("l.weight", U8, &[512, 1]),
            of("l.weight.absmax", U8, &[16]),
            of("l.weight.nested_absmax", F32, &[1]),
            of("l.weight.nested_quant_map", F32, &[256]),
            of("l.weight.quant_map", F32, &[16]),
            ("l.weight.quant_state.bitsandbytes__nf4", U8, vec![state.len()], state),
        ];
        let found = codes(&four).unwrap();
        assert_eq!(sizes(Some(found.clone())), Some((CodeLayout::BitsAndBytes4, 4, 31 * 33, None)));
        assert_eq!(found.shifts(), [4, 0]);
        assert_eq!(unpack(&found, &[0x12, 0xf0]), [1, 2, 15, 0]);
        // Another shape, and no shape.
        for content in [&br#"{"shape": [31, 34]}"#[..], b"{", b"", br#"{"shape": [-1]}"#] {
            four[5].3 = content.to_vec();
            assert!(codes_alone(&four).is_none(), "{}", content.escape_ascii());
        }
        let eight = [
            of("l.weight", I8, &[64, 32]),
            of("l.SCB", F32, &[64]),
            of("l.weight_format", U8, &[]),
        ];
        let expected = Some((CodeLayout::BitsAndBytes8, 8, 64 * 32, Some(0)));
        assert_eq!(sizes(codes(&eight)), expected);
    }

    /// The codes of the first tensor, whatever the others are.
    fn codes_alone(samples: &[Sample]) -> Option<Codes> {
        match kinds(samples).remove(0) {
            TensorKind::Codes(codes) => Some(codes),
            _ => None,
        }
    }

    #[test]
    fn compressed_tensors_say_how_long_their_rows_were() {
        let found = |columns, inputs| {
            codes_alone(&[
                of("l.weight_packed", I32, &[64, columns]),
                of("l.weight_scale", BF16, &[64, 4]),
                numbers_of("l.weight_shape", [64, inputs]),
            ])
        };
        for (bits, columns, order) in [
            (1, 32, BitOrder::LowFirst),
            (2, 64, BitOrder::LowFirst),
            (4, 128, BitOrder::LowFirst),
            (8, 256, BitOrder::LowFirst),
            (3, 103, BitOrder::LowFirst),
            (5, 171, BitOrder::LowFirst),
            (6, 205, BitOrder::LowFirst),
            (3, 96, BitOrder::Stream),
            (5, 160, BitOrder::Stream),
            (6, 192, BitOrder::Stream),
            (7, 224, BitOrder::Stream),
        ] {
            let codes = found(columns, 1024);
            assert_eq!(codes.as_ref().map(|codes| codes.order), Some(order), "{bits} {columns}");
            let expected = Some((CodeLayout::CompressedTensors, bits, 64 * 1024, Some(0)));
            assert_eq!(sizes(codes), expected);
        }
        // Ten elements hold a hundred codes of three bits either way.
        assert_eq!(sizes(found(10, 100)), None);
        assert_eq!(
            found(17, 100).map(|codes| (codes.bits, codes.order)),
            Some((5, BitOrder::LowFirst))
        );
        assert_eq!(
            found(16, 100).map(|codes| (codes.bits, codes.order)),
            Some((5, BitOrder::Stream))
        );
        for shape in [[64, 1000], [63, 100], [-1, 100], [64, i64::MAX]] {
            let samples = [
                of("l.weight_packed", I32, &[64, 13]),
                of("l.weight_scale", BF16, &[64, 4]),
                numbers_of("l.weight_shape", shape),
            ];
            assert!(codes_alone(&samples).is_none(), "{shape:?}");
        }
        let zero_points = [
            of("l.weight_packed", I32, &[64, 13]),
            of("l.weight_scale", BF16, &[64, 4]),
            numbers_of("l.weight_shape", [64, 100]),
            of("l.weight_zero_point", I32, &[8, 4]),
            of("l.weight_g_idx", I32, &[100]),
        ];
        assert!(codes(&zero_points).is_some());
    }

    #[test]
    fn floats_of_four_bits_are_two_in_a_byte() {
        let nv = codes(&[
            of("l.weight_packed", U8, &[64, 32]),
            of("l.weight_scale", F8_E4M3, &[64, 4]),
            of("l.weight_global_scale", F32, &[1]),
        ]);
        assert_eq!(unpack(nv.as_ref().unwrap(), &[0x21]), [1, 2]);
        assert_eq!(sizes(nv), Some((CodeLayout::NvFp4, 4, 64 * 64, Some(0))));
        let mx = codes(&[
            of("mlp.experts.down_proj_blocks", U8, &[8, 64, 4, 16]),
            of("mlp.experts.down_proj_scales", U8, &[8, 64, 4]),
        ]);
        assert_eq!(sizes(mx), Some((CodeLayout::MxFp4, 4, 8 * 64 * 4 * 32, None)));
        let broken = [of("a_blocks", U8, &[8, 64, 4, 16]), of("a_scales", U8, &[8, 64, 5])];
        assert!(codes_alone(&broken).is_none());
    }

    #[test]
    fn bytes_are_codes_where_scales_fit_them() {
        for (codes_name, scale_name, shape, layout) in [
            ("l.weight", "l.weight_scale", &[64, 1][..], CodeLayout::Scaled),
            ("l.weight", "l.weight_scale", &[64], CodeLayout::Scaled),
            ("l.weight", "l.weight_scale", &[], CodeLayout::Scaled),
            ("l.weight", "l.weight_scale", &[64, 4], CodeLayout::Scaled),
            ("l.weight", "l.weight.scale", &[1], CodeLayout::Scaled),
            ("l.weight", "l.scale", &[64, 1], CodeLayout::Scaled),
            ("l._weight_qdata", "l._weight_scale", &[64, 1], CodeLayout::TorchAo),
            ("l.weight._data", "l.weight._scale", &[64, 1], CodeLayout::Quanto),
        ] {
            let found = codes(&[of(codes_name, I8, &[64, 32]), of(scale_name, F32, shape)]);
            let axis = matches!(shape, [64] | [64, 1]).then_some(0);
            assert_eq!(sizes(found), Some((layout, 8, 2048, axis)), "{codes_name} {shape:?}");
        }
        let zeros = [
            of("l.weight", U8, &[64, 32]),
            of("l.weight_scale", F32, &[64, 1]),
            of("l.weight_zero_point", I8, &[64, 1]),
            of("l.input_scale", F32, &[1]),
        ];
        assert!(codes(&zeros).is_some());
        let alone = |name, dtype, shape: &[usize]| sizes(codes_alone(&[of(name, dtype, shape)]));
        assert_eq!(alone("l.weight", I8, &[4, 8]), Some((CodeLayout::Bare, 8, 32, None)));
        assert_eq!(alone("l.image", U8, &[4, 8]), None);
        assert_eq!(alone("l.weight", U8, &[32, 1]), None, "as bitsandbytes, without its state");
        assert_eq!(alone("l.bias", U8, &[1, 1, 8, 8]), None, "a mask");
    }

    /// Of `DeepSeek`, one scale for each block of 128 x 128.
    #[test]
    fn floats_of_eight_bits_keep_their_role_and_have_scales() {
        let found =
            kinds(&[of("l.weight", F8_E4M3, &[256, 384]), of("l.weight_scale_inv", F32, &[2, 3])]);
        assert!(matches!(found[0], TensorKind::Float8(_)), "{found:?}");
        let what = MetadataKind::Scale;
        assert_eq!(found[1], TensorKind::Metadata { of: "l.weight".into(), what });
    }

    #[test]
    fn words_of_a_codec_are_known_by_the_metadata() {
        let words = r#"{"l.weight": {"bits": 3, "weights": 10}}"#;
        let sample = of("l.weight", U8, &[1, 4]);
        let found =
            describe_with(&[sample], &[(StoredWords::METADATA, words)], None).remove(0).kind;
        let TensorKind::Codes(codes) = found else { panic!("{found:?}") };
        assert_eq!((codes.layout, codes.bits, codes.count), (CodeLayout::Qtaml, 3, 10));
        // 1, 2, 3, 4, 5 from the lowest bit on.
        let packed = 0b101_100_011_010_001_u16.to_le_bytes();
        assert_eq!(unpack(&codes, &packed), [1, 2, 3, 4, 5]);
    }

    /// Against the packing loops of the sources, in words.
    #[test]
    fn packed_codes_come_back_in_their_order() {
        let order = [0, 2, 4, 6, 1, 3, 5, 7];
        let codes: [u32; 8] = [3, 1, 4, 1, 5, 9, 2, 6];
        let awq = (0..8).fold(0, |word, i| word | codes[order[i]] << (4 * i));
        let found = Codes::of_order(CodeLayout::Awq, 4, 32, BitOrder::EvenFirst);
        assert_eq!(unpack(&found, &awq.to_le_bytes()), codes.map(|code| code as u16));
        let low = codes.iter().enumerate().fold(0, |word, (i, code)| word | code << (4 * i));
        let found = Codes::of_order(CodeLayout::Gptq, 4, 32, BitOrder::LowFirst);
        assert_eq!(unpack(&found, &low.to_le_bytes()), codes.map(|code| code as u16));
        // Ten codes of three bits, and two bits that belong to none.
        let ten: [u32; 10] = [1, 2, 3, 4, 5, 6, 7, 0, 1, 2];
        let word =
            ten.iter().enumerate().fold(0b11 << 30, |word, (i, code)| word | code << (3 * i));
        let found = Codes::of_order(CodeLayout::CompressedTensors, 3, 32, BitOrder::LowFirst);
        assert_eq!(unpack(&found, &u32::to_le_bytes(word)), ten.map(|code| code as u16));
    }
}

//! Tensors of models that are not quantized, and of the parts of others that are not.

use std::collections::HashSet;

use safetensors::Dtype;

use super::{BufferKind, Model, TensorKind, Traits, WeightRole};
use crate::{Float8, TensorInfo};

/// Leaves of masks, where the shape is one: `bias` is that of GPT-2.
const MASKS: [&str; 7] =
    ["bias", "mask", "attn_mask", "attention_mask", "causal_mask", "masked_bias", "tril"];

/// Leaves of what rotary and sinusoidal positions are computed to.
const POSITIONS: [&str; 10] = [
    "inv_freq",
    "original_inv_freq",
    "cos_cached",
    "sin_cached",
    "cos_cache",
    "sin_cache",
    "freqs_cis",
    "freqs",
    "pe",
    "rope_freqs",
];

/// Leaves of what only codes of a quantized checkpoint need; without codes beside it, it is not known
/// what it belongs to.
const OF_CODES: [&str; 17] = [
    "weight_scale",
    "weight_scale_inv",
    "weight_zero_point",
    "weight_shape",
    "weight_g_idx",
    "scales",
    "qzeros",
    "absmax",
    "quant_map",
    "SCB",
    "g_idx",
    "biases",
    "codebooks",
    "zeros",
    "_scale",
    "_shift",
    "_weight_scale",
];

impl Model<'_> {
    /// What a tensor is that belongs to no codes.
    pub(super) fn plain(&self, tensor: &TensorInfo) -> TensorKind {
        use TensorKind as K;
        let (leaf, layer) = (tensor.leaf(), tensor.layer());
        if tensor.elements() == 0 {
            return K::Empty;
        }
        if let Some(buffer) = buffer(tensor) {
            return K::Buffer(buffer);
        }
        let rank = tensor.rank();
        match tensor.dtype {
            dtype if rank >= 2 && Float8::of(dtype).is_some_and(Float8::is_weight) => {
                K::Float8(role(tensor))
            }
            _ if !tensor.is_float() => K::Unknown,
            _ if OF_CODES.contains(&leaf) && rank >= 2 => K::Unknown,
            _ if is_norm(leaf, layer, rank) || (rank <= 1 && self.has_statistics(layer)) => K::Norm,
            _ if is_bias(leaf) => K::Bias,
            // A matrix of one row or column is still one; a class token of [1, 1, 768] is not.
            _ if rank < 2 || (tensor.spread() < 2 && !is_matrix_leaf(leaf)) => K::Vector,
            _ => K::Weights(role(tensor)),
        }
    }

    /// Layers with a tensor that is neither understood nor of floats: what else is in them may be its
    /// scales.
    pub(super) fn not_understood(&self, kinds: &[TensorKind]) -> HashSet<&str> {
        let tensors = self.tensors.iter().zip(kinds).filter(|(tensor, kind)| {
            **kind == TensorKind::Unknown && !tensor.is_float() && tensor.rank() >= 2
        });
        tensors.map(|(tensor, _)| tensor.layer()).filter(|layer| !layer.is_empty()).collect()
    }

    /// Whether a layer measures its inputs, as batch norms of any name do.
    fn has_statistics(&self, layer: &str) -> bool {
        self.position(layer, "running_mean").is_some()
    }
}

/// What a buffer is: by its type if no parameter has such a one, else by its name and shape.
fn buffer(tensor: &TensorInfo) -> Option<BufferKind> {
    let (leaf, rank) = (tensor.leaf(), tensor.rank());
    let is_mask = MASKS.contains(&leaf) || leaf.ends_with("_mask");
    match tensor.dtype {
        Dtype::BOOL => Some(BufferKind::Mask),
        Dtype::I64 | Dtype::U64 if leaf == "num_batches_tracked" => Some(BufferKind::Statistics),
        // No code of a weight is as wide.
        Dtype::I64 | Dtype::U64 => Some(BufferKind::Indices),
        Dtype::I32 | Dtype::U32
            if rank <= 1 || leaf.ends_with("_ids") || leaf.ends_with("_index") =>
        {
            Some(BufferKind::Indices)
        }
        Dtype::U8 | Dtype::I8 if is_mask && tensor.is_square() => Some(BufferKind::Mask),
        _ if matches!(leaf, "running_mean" | "running_var") && rank == 1 => {
            Some(BufferKind::Statistics)
        }
        _ if tensor.is_float() && is_mask && tensor.is_square() && rank >= 3 => {
            Some(BufferKind::Mask)
        }
        _ if tensor.is_float() && leaf == "masked_bias" && rank == 0 => Some(BufferKind::Mask),
        _ if (tensor.is_float() || tensor.dtype == Dtype::C64) && is_positions(tensor) => {
            Some(BufferKind::Positions)
        }
        _ => None,
    }
}

/// Tables of positions have a dimension for their frequencies and none for inputs; a `pe` of rank 2 could
/// be a matrix that was learned.
fn is_positions(tensor: &TensorInfo) -> bool {
    let (leaf, rank) = (tensor.leaf(), tensor.rank());
    POSITIONS.contains(&leaf) && (leaf != "pe" || rank == 3)
}

/// The layer of a norm says so; its parameters have one dimension, or as many as broadcasting wants.
fn is_norm(leaf: &str, layer: &str, rank: usize) -> bool {
    let of_norm = matches!(leaf, "weight" | "bias" | "gamma" | "beta" | "scale" | "offset");
    let layer = layer.trim_end_matches(['.', '/']).to_ascii_lowercase();
    let module = layer.rsplit(['.', '/']).next().unwrap_or_default();
    let is_short = |short: &str| {
        let rest = module.strip_prefix(short);
        rest.is_some_and(|rest| rest.chars().all(|c| c.is_ascii_digit() || c == '_' || c == 'f'))
    };
    let is_named = module.contains("norm") || is_short("ln") || is_short("bn") || is_short("gn");
    rank <= 1 && ((of_norm && is_named) || matches!(leaf, "gamma" | "beta"))
}

fn is_bias(leaf: &str) -> bool {
    leaf == "bias" || leaf.ends_with("_bias") || leaf.starts_with("bias_")
}

/// Leaves of what is a matrix even where one side has a single element.
fn is_matrix_leaf(leaf: &str) -> bool {
    leaf == "kernel" || leaf == "weight" || leaf.ends_with("_weight") || leaf.starts_with("weight_")
}

/// What weights of rank two and more are; where neither name nor shape says, another weight.
pub(super) fn role(tensor: &TensorInfo) -> WeightRole {
    let name = tensor.name.to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| name.contains(word));
    let is_table = || {
        let table = has(&["embed", "wte.", "wpe.", "vocab"]) && !has(&["embed_out", "patch_embed"]);
        table && !has(&["proj", "dense", "linear", "conv", ".fc"])
    };
    let is_transposed = || has(&["transpose", "deconv", "convt", "upconv", "up_conv", ".ups."]);
    match *tensor.shape.as_slice() {
        [_, _] if is_table() => WeightRole::Embedding,
        [_, _] => WeightRole::Linear,
        // Kernels of convolutions are short; tables and stacked experts are not.
        [_, _, ref kernel @ ..] if kernel.iter().all(|&length| length <= 63) => {
            let is_long = kernel.len() == 1 && !has(&["conv"]) && kernel[0] > 15;
            match () {
                () if is_transposed() => WeightRole::TransposedConvolution,
                () if is_long || has(&["expert", "pos_embed", "token"]) => WeightRole::Other,
                () => WeightRole::Convolution,
            }
        }
        _ => WeightRole::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kind::tests::kinds;

    fn one(name: &'static str, dtype: Dtype, shape: &[usize]) -> TensorKind {
        kinds(&[(name, dtype, shape.to_vec(), Vec::new())]).remove(0)
    }

    /// Names, types and shapes as public checkpoints have them.
    #[test]
    fn weights_and_what_is_none_are_told_apart() {
        use BufferKind as B;
        use Dtype::{BOOL, F8_E4M3, F16, F32, I32, I64, U8};
        use TensorKind as K;
        use WeightRole as R;
        let w = K::Weights;
        for (name, dtype, shape, kind) in [
            ("encoder.layer.0.attention.self.query.weight", F32, &[384, 384][..], w(R::Linear)),
            ("classifier.weight", F16, &[1, 384], w(R::Linear)),
            ("fc.weight", F32, &[10, 1], w(R::Linear)),
            ("transformer.wte.weight", F32, &[50257, 768], w(R::Embedding)),
            ("embeddings.word_embeddings.weight", F32, &[30522, 384], w(R::Embedding)),
            ("model.embed_tokens.weight", Dtype::BF16, &[32000, 4096], w(R::Embedding)),
            ("vit.embeddings.patch_embeddings.projection.weight", F32, &[768, 3, 16, 16], {
                w(R::Convolution)
            }),
            ("layer1.0.conv1.weight", F32, &[64, 64, 3, 3], w(R::Convolution)),
            ("features.1.weight", F32, &[32, 1, 3, 3], w(R::Convolution)),
            ("conv.weight", F32, &[80, 1, 7], w(R::Convolution)),
            ("encoder.conv1.weight", F32, &[384, 80, 31], w(R::Convolution)),
            ("up.conv_transpose.weight", F32, &[2, 3, 2, 2], w(R::TransposedConvolution)),
            ("generator.ups.0.weight", F32, &[512, 256, 16], w(R::TransposedConvolution)),
            ("experts.gate_up_proj", F32, &[8, 64, 128], w(R::Other)),
            ("vit.embeddings.position_embeddings", F32, &[1, 197, 768], w(R::Other)),
            ("vit.embeddings.cls_token", F32, &[1, 1, 768], K::Vector),
            ("layer_scale", F32, &[768, 1, 1], K::Vector),
            ("logit_scale", F32, &[], K::Vector),
            ("fc.bias", F32, &[10], K::Bias),
            ("mlp.experts.down_proj_bias", F32, &[32, 2880], K::Bias),
            ("encoder.layer.0.output.LayerNorm.weight", F32, &[384], K::Norm),
            ("transformer.h.0.ln_1.bias", F32, &[768], K::Norm),
            ("bn1.weight", F32, &[64], K::Norm),
            ("norm.gamma", F32, &[64], K::Norm),
            ("linear.weight", F32, &[64], K::Vector),
            ("bn1.running_var", F32, &[64], K::Buffer(B::Statistics)),
            ("bn1.num_batches_tracked", I64, &[], K::Buffer(B::Statistics)),
            ("embeddings.position_ids", I64, &[1, 512], K::Buffer(B::Indices)),
            ("attn.relative_position_index", I64, &[49, 49], K::Buffer(B::Indices)),
            ("h.0.attn.bias", F32, &[1, 1, 1024, 1024], K::Buffer(B::Mask)),
            ("h.0.attn.bias", U8, &[1, 1, 64, 64], K::Buffer(B::Mask)),
            ("h.0.attn.bias", BOOL, &[1, 1, 64, 64], K::Buffer(B::Mask)),
            ("h.0.attn.masked_bias", F32, &[], K::Buffer(B::Mask)),
            ("layers.0.blocks.1.attn_mask", F32, &[64, 49, 49], K::Buffer(B::Mask)),
            ("rotary_emb.inv_freq", F32, &[64], K::Buffer(B::Positions)),
            ("rotary_emb.cos_cached", F32, &[1, 1, 2048, 128], K::Buffer(B::Positions)),
            ("pos_encoder.pe", F32, &[5000, 1, 200], K::Buffer(B::Positions)),
            ("pos_encoder.pe", F32, &[50, 200], w(R::Linear)),
            ("fc.weight", F8_E4M3, &[64, 64], K::Float8(R::Linear)),
            ("fc.weight", Dtype::I16, &[64, 64], K::Unknown),
            ("fc.weight", I32, &[64, 64], K::Unknown),
            ("fc.weight", Dtype::F4, &[64, 64], K::Unknown),
            ("fc.weight_scale", F32, &[64, 1], K::Unknown),
            ("fc.weight", F32, &[4, 0], K::Empty),
        ] {
            assert_eq!(one(name, dtype, shape), kind, "{name} {dtype} {shape:?}");
        }
    }

    /// As MLX, AQLM and torchao of four bits store them, none of which is known.
    #[test]
    fn floats_beside_what_is_not_understood_are_no_weights() {
        use Dtype::{BF16, F16, F32, I16, U8, U32};
        let of = |name, dtype, shape: &[usize]| (name, dtype, shape.to_vec(), Vec::new());
        for samples in [
            vec![
                of("l.weight", U32, &[64, 16]),
                of("l.scales", F16, &[64, 2]),
                of("l.biases", F16, &[64, 2]),
            ],
            vec![
                of("l.codes", I16, &[64, 16, 1]),
                of("l.codebooks", F16, &[1, 256, 1, 8]),
                of("l.scales", F16, &[64, 1, 1, 1]),
            ],
            vec![
                of("l._weight_qdata", U8, &[64, 32]),
                of("l._weight_scale", BF16, &[4, 32]),
                of("l._weight_zero", BF16, &[4, 32]),
            ],
        ] {
            let found = kinds(&samples);
            assert!(found.iter().all(|kind| !kind.is_weight()), "{samples:?}: {found:?}");
            assert_eq!(found[0], TensorKind::Unknown);
        }
        let beside = kinds(&[of("l.odd", I16, &[4, 4]), of("m.weight", F32, &[4, 4])]);
        assert_eq!(beside[1], TensorKind::Weights(WeightRole::Linear));
    }

    #[test]
    fn a_batch_norm_is_told_by_what_it_measures() {
        let f32 = |name, shape: &[usize]| (name, Dtype::F32, shape.to_vec(), Vec::new());
        let found =
            kinds(&[f32("1.weight", &[8]), f32("1.running_mean", &[8]), f32("1.bias", &[8])]);
        let expected =
            [TensorKind::Norm, TensorKind::Buffer(BufferKind::Statistics), TensorKind::Norm];
        assert_eq!(found, expected);
    }
}

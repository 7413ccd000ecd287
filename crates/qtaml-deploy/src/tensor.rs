//! Weight tensors of a model, as a runner names them.

use serde::{Deserialize, Serialize};

use crate::ChannelMajor;

/// One float tensor of a model: everything about it but its values.
///
/// Role, output axis, type and ties are stated by who knows the model. Nothing here is derived from
/// the rank or the name: a matrix `[2, 3]` may be a linear layer of three outputs (burn), of two
/// (`PyTorch`), or a table of two embeddings.
///
/// ```
/// use qtaml_deploy::{FloatType, Role, WeightTensor};
///
/// // A linear layer as burn keeps it, `[inputs, outputs]`.
/// let fc = WeightTensor::new("fc.weight", [64, 10], Role::Linear).with_output_axis(1);
/// assert_eq!((fc.len(), fc.channels()), (640, 10));
/// assert_eq!(fc.dtype, FloatType::F32);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct WeightTensor {
    /// Its name, such as `conv1.weight`: with seed, trial and position the address of its faults.
    pub name: String,
    /// Its shape; values are row-major.
    pub shape: Vec<usize>,
    /// The type that the model keeps it in.
    pub dtype: FloatType,
    /// What it is in the model.
    pub role: Role,
    /// The axis of output channels, if it has one: what per-channel scales run along.
    pub output_axis: Option<usize>,
    /// Other names of the same cells. A tied tensor is listed once, under its first name.
    pub aliases: Vec<String>,
}

impl WeightTensor {
    /// An untied tensor of `f32` without output channels.
    pub fn new(name: impl Into<String>, shape: impl Into<Vec<usize>>, role: Role) -> Self {
        Self {
            name: name.into(),
            shape: shape.into(),
            dtype: FloatType::F32,
            role,
            output_axis: None,
            aliases: Vec::new(),
        }
    }

    /// The same with output channels along an axis.
    #[must_use]
    pub fn with_output_axis(self, axis: usize) -> Self {
        Self { output_axis: Some(axis), ..self }
    }

    /// The same kept in another type.
    #[must_use]
    pub fn with_dtype(self, dtype: FloatType) -> Self {
        Self { dtype, ..self }
    }

    /// The same with one more name.
    #[must_use]
    pub fn with_alias(mut self, name: impl Into<String>) -> Self {
        self.aliases.push(name.into());
        self
    }

    /// The number of weights.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether it has no weights, as a layer without inputs.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number of output channels: 1 without an output axis.
    pub fn channels(&self) -> usize {
        self.output_axis.and_then(|axis| self.shape.get(axis)).copied().unwrap_or(1)
    }

    /// The order in which output channels are consecutive.
    pub fn channel_major(&self) -> ChannelMajor {
        ChannelMajor::new(&self.shape, self.output_axis)
    }
}

/// What a tensor is in its model.
///
/// ```
/// use qtaml_deploy::Role;
///
/// assert!(Role::Embedding.is_weight() && !Role::Bias.is_weight());
/// assert_eq!("transposed-convolution".parse(), Ok(Role::TransposedConvolution));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Role {
    /// The matrix of a linear layer, or of a gate of a recurrent one.
    Linear,
    /// The kernel of a convolution.
    Convolution,
    /// The kernel of a transposed convolution.
    TransposedConvolution,
    /// A table of embeddings: one row for each token.
    Embedding,
    /// A weight of a layer that the runner does not know, of rank two or more.
    OtherWeight,
    /// What is added to the outputs of a layer.
    Bias,
    /// Scale or shift of a normalization layer.
    Norm,
    /// Running mean or variance of a normalization layer: measured, not learned.
    Statistics,
    /// Any other float tensor of the model.
    Other,
}

qtaml_quant::names!(Role, "role", {
    Linear: "linear",
    Convolution: "convolution",
    TransposedConvolution: "transposed-convolution",
    Embedding: "embedding",
    OtherWeight: "other-weight",
    Bias: "bias",
    Norm: "norm",
    Statistics: "statistics",
    Other: "other",
});

impl Role {
    /// Whether such tensors are stored as codes unless another choice is made: those that take most of
    /// the memory.
    pub const fn is_weight(self) -> bool {
        matches!(
            self,
            Self::Linear
                | Self::Convolution
                | Self::TransposedConvolution
                | Self::Embedding
                | Self::OtherWeight
        )
    }
}

/// A type of float in which a model keeps weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum FloatType {
    /// IEEE 754 double precision.
    F64,
    /// IEEE 754 single precision.
    #[default]
    F32,
    /// IEEE 754 half precision.
    F16,
    /// The upper half of an `f32`.
    Bf16,
}

qtaml_quant::names!(FloatType, "float type", {
    F64: "f64",
    F32: "f32",
    F16: "f16",
    Bf16: "bf16",
});

impl FloatType {
    /// The bits of one number.
    pub const fn bits(self) -> u32 {
        match self {
            Self::F64 => 64,
            Self::F32 => 32,
            Self::F16 | Self::Bf16 => 16,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back() {
        for role in Role::ALL {
            assert_eq!(role.to_string().parse(), Ok(role));
            assert_eq!(serde_json::to_string(&role).unwrap(), format!("{:?}", role.name()));
        }
        for dtype in FloatType::ALL {
            assert_eq!(dtype.to_string().parse(), Ok(dtype));
            assert_eq!(serde_json::to_string(&dtype).unwrap(), format!("{:?}", dtype.name()));
        }
        let error = "matrix".parse::<Role>().unwrap_err().to_string();
        assert!(error.starts_with("role \"matrix\" is unknown: linear, convolution, "), "{error}");
    }

    #[test]
    fn a_tensor_without_an_axis_is_one_channel() {
        let table = WeightTensor::new("table", [5, 3], Role::Embedding);
        assert_eq!((table.channels(), table.len()), (1, 15));
        assert_eq!(table.clone().with_output_axis(0).channels(), 5);
        assert!(WeightTensor::new("none", [4, 0], Role::Linear).is_empty());
        assert_eq!(table.with_alias("head").aliases, ["head"]);
    }
}

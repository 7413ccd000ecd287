//! The operands of operators that are weights, with role, output axis and what they are multiplied with.

use qtaml_deploy::Role;
use rten_onnx::onnx::NodeProto;

use crate::OnnxError;
use crate::scope::{attribute, int, node_name, op};

/// The operators that have weights, for messages.
pub(crate) const WITH_WEIGHTS: &str = "Conv, ConvTranspose, MatMul, Gemm, Gather, LSTM, GRU and RNN, outside or inside of If and Loop";

/// An operand that is a weight if it is constant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Operand {
    /// Its number among the inputs of the node.
    pub(crate) index: usize,
    pub(crate) role: Role,
    /// The axis of output channels, counted as ONNX does: from the end if negative.
    pub(crate) output_axis: i64,
    pub(crate) input: Option<Input>,
}

/// What the weights of an operand are multiplied with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Input {
    /// The input of the node that has the activations.
    pub(crate) index: usize,
    pub(crate) kind: InputKind,
    /// The axis of the operand along which its input channels lie.
    pub(crate) weight_axis: i64,
}

/// How activations tell what a weight is multiplied with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum InputKind {
    /// They have their channels along this axis.
    Channels(i64),
    /// As channels along axis 1, in so many groups: each output channel sees those of its group.
    Groups(usize),
    /// They are the rows that are looked up.
    Rows,
}

/// The operands of a node that are weights if they are constant.
pub(crate) fn operands(node: &NodeProto) -> Vec<Operand> {
    let operand = |index, role, output_axis, input| Operand { index, role, output_axis, input };
    let channels = |index, axis, weight_axis| {
        Some(Input { index, kind: InputKind::Channels(axis), weight_axis })
    };
    let linear = |index, output_axis, input| operand(index, Role::Linear, output_axis, input);
    match op(node) {
        "Conv" => {
            let groups = usize::try_from(int(node, "group", 1)).unwrap_or(1).max(1);
            let input = Input { index: 0, kind: InputKind::Groups(groups), weight_axis: 1 };
            vec![operand(1, Role::Convolution, 0, Some(input))]
        }
        "ConvTranspose" => vec![operand(1, Role::TransposedConvolution, 1, channels(0, 1, 0))],
        "MatMul" => vec![linear(1, -1, channels(0, -1, -2)), linear(0, -2, channels(1, -2, -1))],
        "Gemm" => {
            let (a, b) = (int(node, "transA", 0) != 0, int(node, "transB", 0) != 0);
            // Of A the rows are outputs if it is the stored one, of B the columns; a transposition
            // swaps them.
            let (a_rows, a_columns) = if a { (1, 0) } else { (0, 1) };
            let (b_rows, b_columns) = if b { (1, 0) } else { (0, 1) };
            vec![
                linear(1, b_columns, channels(0, a_columns, b_rows)),
                linear(0, a_rows, channels(1, b_rows, a_columns)),
            ]
        }
        "Gather" => {
            let axis = int(node, "axis", 0);
            let input = Input { index: 1, kind: InputKind::Rows, weight_axis: axis };
            vec![operand(0, Role::Embedding, axis, Some(input))]
        }
        // The state that the second is multiplied with is no value of the graph.
        "LSTM" | "GRU" | "RNN" => vec![linear(1, 1, channels(0, -1, 2)), linear(2, 1, None)],
        _ => Vec::new(),
    }
}

/// What an operand is that is no weight.
pub(crate) fn other_role(node: &NodeProto, index: usize) -> Role {
    match (op(node), index) {
        ("Conv" | "ConvTranspose" | "Gemm", 2) | ("LSTM" | "GRU" | "RNN", 3) => Role::Bias,
        ("BatchNormalization", 3 | 4) => Role::Statistics,
        (
            "BatchNormalization"
            | "LayerNormalization"
            | "SimplifiedLayerNormalization"
            | "RMSNormalization"
            | "InstanceNormalization"
            | "GroupNormalization",
            1 | 2,
        )
        | ("SkipLayerNormalization" | "SkipSimplifiedLayerNormalization", 2 | 3) => Role::Norm,
        _ => Role::Other,
    }
}

/// Whether a node adds what it is given to another operand, as biases of layers are.
pub(crate) fn adds(node: &NodeProto) -> bool {
    op(node) == "Add"
}

/// Operators that compute with stored integers, or with weights in a form of their own.
const INTEGER: [&str; 12] = [
    "ConvInteger",
    "MatMulInteger",
    "MatMulIntegerToFloat",
    "MatMulInteger16",
    "DynamicQuantizeMatMul",
    "DynamicQuantizeLSTM",
    "QGemm",
    "QAttention",
    "QEmbedLayerNormalization",
    "MatMulNBits",
    "MatMulBnb4",
    "GatherBlockQuantized",
];

/// Operators whose outputs are not the same twice.
const RANDOM: [&str; 6] = [
    "RandomNormal",
    "RandomNormalLike",
    "RandomUniform",
    "RandomUniformLike",
    "Bernoulli",
    "Multinomial",
];

/// Refuses a node that cannot be run faithfully, by name.
pub(crate) fn check_supported(node: &NodeProto) -> Result<(), OnnxError> {
    let refuse = |reason: &str| {
        let (operator, node) = (op(node).to_owned(), node_name(node).to_owned());
        Err(OnnxError::Operator { operator, node, reason: reason.to_owned() })
    };
    let op = op(node);
    if INTEGER.contains(&op) || op.starts_with("QLinear") {
        return refuse(
            "it computes with stored integers; export the model in floats, or with \
             QuantizeLinear and DequantizeLinear nodes (QDQ)",
        );
    }
    if RANDOM.contains(&op) {
        return refuse("its outputs are random, so no two runs can be compared");
    }
    if op == "BatchNormalization" && int(node, "training_mode", 0) != 0 {
        return refuse("it is in training mode; export the model for inference");
    }
    let padding = attribute(node, "auto_pad").and_then(|padding| padding.s.as_deref());
    if padding == Some("SAME_LOWER") {
        return refuse("the runtime pads SAME_LOWER as SAME_UPPER; export explicit pads");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use rten_onnx::onnx::AttributeProto;

    use super::*;

    fn node(op: &str, ints: &[(&str, i64)]) -> NodeProto {
        let attribute = |&(name, i): &(&str, i64)| AttributeProto {
            name: Some(name.to_owned()),
            i: Some(i),
            ..AttributeProto::default()
        };
        NodeProto {
            op_type: Some(op.to_owned()),
            name: Some("layer".to_owned()),
            attribute: ints.iter().map(attribute).collect(),
            ..NodeProto::default()
        }
    }

    /// `Y = A' B'`, with `A'` of shape `[outputs, inputs]` or its transpose when `A` is stored.
    #[test]
    fn transpositions_of_gemm_swap_the_axes() {
        let axes = |a, b| {
            let operands = operands(&node("Gemm", &[("transA", a), ("transB", b)]));
            operands.map_axes()
        };
        assert_eq!(axes(0, 0), [(1, 1, 0), (0, 0, 1)]);
        assert_eq!(axes(0, 1), [(0, 1, 1), (0, 1, 1)]);
        assert_eq!(axes(1, 0), [(1, 0, 0), (1, 0, 0)]);
        assert_eq!(axes(1, 1), [(0, 0, 1), (1, 1, 0)]);
    }

    trait Axes {
        /// Output axis, axis of the activations, axis of input channels.
        fn map_axes(&self) -> Vec<(i64, i64, i64)>;
    }

    impl Axes for Vec<Operand> {
        fn map_axes(&self) -> Vec<(i64, i64, i64)> {
            let axes = |operand: &Operand| {
                let input = operand.input.unwrap();
                let InputKind::Channels(axis) = input.kind else { panic!("channels") };
                (operand.output_axis, axis, input.weight_axis)
            };
            self.iter().map(axes).collect()
        }
    }

    #[test]
    fn what_cannot_be_run_faithfully_is_named() {
        let error = |node: &NodeProto| check_supported(node).unwrap_err().to_string();
        let message = error(&node("QLinearConv", &[]));
        assert!(message.starts_with("operator QLinearConv of node \"layer\" is not supported"));
        assert!(error(&node("MatMulInteger", &[])).contains("QDQ"));
        assert!(error(&node("RandomNormal", &[])).contains("random"));
        assert!(error(&node("BatchNormalization", &[("training_mode", 1)])).contains("training"));
        assert!(check_supported(&node("BatchNormalization", &[])).is_ok());
    }
}

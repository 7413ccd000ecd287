"""Makes the ONNX models of this folder, and what is expected of each.

    python3 tests/onnx/make.py

Made with Python 3.11, numpy 2.4.6, onnx 1.23.2 and onnxruntime 1.32.0; other versions may differ in the
last bits of the outputs. Weights and inputs follow from one seed for each file.

For each model NAME:

- `NAME.onnx` is the model, some with external data beside it;
- `NAME.npz` holds its inputs and onnxruntime's outputs by the names of the values. It is a zip archive
  without compression and without zip64. Graph optimisations of onnxruntime are off, so that it computes
  what the file says;
- `expected.json` lists its weights by name: shape, role, output axis in the tensor's own shape (null where
  none can be told), other names of the same cells, and the batch norm that scales its output channels;
  or why it is refused;
- `tensors.json` lists all tensors that the file stores, in the order of the file, with the CRC-32 of their
  values as little-endian raw bytes.

A tensor of an attribute has the name of the first output of its node; the tensors of a subgraph have
`OUTPUT.ATTRIBUTE/` before their names, where OUTPUT is the first output of the node that holds the graph.
"""

import json
import zipfile
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

HERE = Path(__file__).parent
VERSIONS = {"numpy": "2.4.6", "onnx": "1.23.2", "onnxruntime": "1.32.0"}
F32, F16, I8, I64 = TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.INT8, TensorProto.INT64


class Model:
    """A model in the making, with what is expected of it."""

    def __init__(self, name, about, seed, opset=17, ir=8):
        self.name, self.about, self.opset, self.ir = name, about, opset, ir
        self.random = np.random.default_rng(seed)
        self.nodes, self.initializers, self.inputs, self.outputs = [], [], [], []
        self.feeds, self.weights, self.refused, self.batch = {}, [], None, "dynamic"
        self.external, self.list_initializers = {}, False

    def draw(self, *shape, scale=None):
        fan = max(1, int(np.prod(shape[1:])))
        return (self.random.standard_normal(shape) * (scale or fan**-0.5)).astype(np.float32)

    def node(self, op, inputs, outputs, name=None, **attributes):
        outputs = [outputs] if isinstance(outputs, str) else outputs
        node = helper.make_node(op, inputs, outputs, name or f"{op}_{len(self.nodes)}", **attributes)
        self.nodes.append(node)
        return outputs[0]

    def tensor(self, name, values):
        self.initializers.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def constant(self, name, tensor):
        """A Constant node; its tensor has no name, as exporters leave it."""
        return self.node("Constant", [], name, value=tensor)

    def weight(self, name, shape, role, axis, aliases=(), batch_norm=None, stored="f32"):
        self.weights.append(
            {
                "name": name,
                "shape": list(shape),
                "role": role,
                "axis": axis,
                "aliases": list(aliases),
                "batch_norm": batch_norm,
                "stored": stored,
            }
        )

    def drawn(self, name, shape, role, axis, **more):
        """An initializer of drawn weights that is expected as a weight."""
        self.weight(name, shape, role, axis, **more)
        return self.tensor(name, self.draw(*shape))

    def batch_norm(self, x, y, channels, name):
        r = self.random
        self.tensor(f"{name}.scale", r.uniform(0.5, 1.5, channels).astype(np.float32))
        self.tensor(f"{name}.bias", r.normal(0, 0.2, channels).astype(np.float32))
        self.tensor(f"{name}.mean", r.normal(0, 0.2, channels).astype(np.float32))
        self.tensor(f"{name}.var", r.uniform(0.5, 2, channels).astype(np.float32))
        parts = [f"{name}.{part}" for part in ("scale", "bias", "mean", "var")]
        return self.node("BatchNormalization", [x, *parts], y, name, epsilon=1e-5)

    def input(self, name, values, shape=None):
        """An input with its values; its first dimension is `batch` unless a shape is given."""
        values = np.asarray(values)
        shape = shape or ["batch", *values.shape[1:]]
        kind = helper.np_dtype_to_tensor_dtype(values.dtype)
        self.inputs.append(helper.make_tensor_value_info(name, kind, shape))
        self.feeds[name] = values
        return name

    def output(self, name, rank=2, kind=F32):
        self.outputs.append(helper.make_tensor_value_info(name, kind, [None] * rank))

    def build(self):
        listed = []
        if self.list_initializers:
            for t in self.initializers:
                listed.append(helper.make_tensor_value_info(t.name, t.data_type, list(t.dims)))
        graph = helper.make_graph(
            self.nodes, self.name, self.inputs + listed, self.outputs, self.initializers
        )
        opset = [helper.make_opsetid("", self.opset)]
        return helper.make_model(
            graph, producer_name="qtaml-fixtures", opset_imports=opset, ir_version=self.ir
        )


def subgraph(name, nodes, inputs, outputs, initializers=()):
    info = helper.make_tensor_value_info
    typed = lambda values: [info(n, k, s) for n, k, s in values]
    return helper.make_graph(nodes, name, typed(inputs), typed(outputs), list(initializers))


# --- the models -----------------------------------------------------------------------------------


def mlp_gemm():
    m = Model("mlp_gemm", "Gemm with transB=1, Relu, Gemm with transB=0; dynamic batch", 1)
    x = m.input("x", m.draw(6, 12, scale=1))
    m.drawn("fc1.weight", (16, 12), "linear", 0)
    m.tensor("fc1.bias", m.draw(16, scale=0.1))
    h = m.node("Gemm", [x, "fc1.weight", "fc1.bias"], "h", transB=1)
    h = m.node("Relu", [h], "r")
    m.drawn("fc2.weight", (16, 10), "linear", 1)
    m.tensor("fc2.bias", m.draw(10, scale=0.1))
    m.node("Gemm", [h, "fc2.weight", "fc2.bias"], "logits")
    m.output("logits")
    return m


def gemm_bn():
    m = Model("gemm_bn", "Gemm with alpha and batch norm behind it; Gemm of a stored left operand", 2)
    x = m.input("x", m.draw(5, 8, scale=1))
    m.drawn("fc1.weight", (12, 8), "linear", 0, batch_norm="bn1")
    h = m.node("Gemm", [x, "fc1.weight"], "h", transB=1, alpha=0.5)
    h = m.batch_norm(h, "n", 12, "bn1")
    h = m.node("Relu", [h], "r")
    h = m.node("Transpose", [h], "rt", perm=[1, 0])
    # [12, 6] transposed times [12, batch]: output channels are the columns of the stored tensor.
    m.drawn("left.weight", (12, 6), "linear", 1)
    h = m.node("Gemm", ["left.weight", h], "yt", transA=1)
    m.node("Transpose", [h], "y", perm=[1, 0])
    m.output("y")
    return m


def matmul_sides():
    m = Model("matmul_sides", "MatMul with a constant on the right, on the left, and batched; fixed batch 3", 3)
    m.batch = 3
    x = m.input("x", m.draw(3, 7, 8, scale=1), [3, 7, 8])
    m.drawn("right", (8, 10), "linear", 1)
    h = m.node("MatMul", [x, "right"], "h")
    m.drawn("left", (5, 7), "linear", 0)
    h = m.node("MatMul", ["left", h], "g")
    m.drawn("batched", (3, 10, 4), "linear", 2)
    m.node("MatMul", [h, "batched"], "y")
    m.output("y", 3)
    return m


def conv_bn():
    m = Model("conv_bn", "Conv, batch norm, Relu, depthwise Conv with bias and batch norm, a residual that forbids folding", 4)
    x = m.input("image", m.draw(4, 3, 10, 10, scale=1))
    m.drawn("conv1.weight", (8, 3, 3, 3), "convolution", 0, batch_norm="bn1")
    h = m.node("Conv", [x, "conv1.weight"], "c1", pads=[1, 1, 1, 1], kernel_shape=[3, 3])
    h = m.node("Relu", [m.batch_norm(h, "n1", 8, "bn1")], "r1")
    m.drawn("depthwise.weight", (8, 1, 3, 3), "convolution", 0, batch_norm="bn2")
    m.tensor("depthwise.bias", m.draw(8, scale=0.1))
    h = m.node("Conv", [h, "depthwise.weight", "depthwise.bias"], "c2", group=8, strides=[2, 2])
    h = m.node("Relu", [m.batch_norm(h, "n2", 8, "bn2")], "r2")
    m.drawn("conv3.weight", (8, 8, 1, 1), "convolution", 0)
    # Its output is read before the norm as well: the norm cannot be a factor of the weights.
    c = m.node("Conv", [h, "conv3.weight"], "c3")
    h = m.node("Add", [c, m.batch_norm(c, "n3", 8, "bn3")], "sum")
    h = m.node("Flatten", [m.node("GlobalAveragePool", [h], "pool")], "flat")
    m.drawn("fc.weight", (5, 8), "linear", 0)
    m.tensor("fc.bias", m.draw(5, scale=0.1))
    m.node("Gemm", [h, "fc.weight", "fc.bias"], "logits", transB=1)
    m.output("logits")
    return m


def conv_transpose():
    m = Model("conv_transpose", "ConvTranspose with batch norm, then one in two groups", 5)
    x = m.input("x", m.draw(2, 6, 5, 5, scale=1))
    m.drawn("up1.weight", (6, 4, 3, 3), "transposed-convolution", 1, batch_norm="bn1")
    h = m.node("ConvTranspose", [x, "up1.weight"], "u1", strides=[2, 2])
    h = m.node("Relu", [m.batch_norm(h, "n1", 4, "bn1")], "r1")
    m.drawn("up2.weight", (4, 3, 2, 2), "transposed-convolution", 1)
    m.tensor("up2.bias", m.draw(6, scale=0.1))
    m.node("ConvTranspose", [h, "up2.weight", "up2.bias"], "y", group=2)
    m.output("y", 4)
    return m


def conv1d():
    m = Model("conv1d", "Conv over one dimension, the second with weights from a two-dimensional tensor", 6)
    x = m.input("signal", m.draw(3, 2, 20, scale=1))
    m.drawn("conv1.weight", (6, 2, 5), "convolution", 0)
    m.tensor("conv1.bias", m.draw(6, scale=0.1))
    h = m.node("Conv", [x, "conv1.weight", "conv1.bias"], "c1", dilations=[2])
    h = m.node("Tanh", [h], "t")
    m.drawn("conv2.weight", (4, 6), "convolution", 0)
    m.tensor("axes", np.array([2], np.int64))
    w = m.node("Unsqueeze", ["conv2.weight", "axes"], "conv2.unsqueezed")
    m.node("Conv", [h, w], "y")
    m.output("y", 3)
    return m


def embedding_tied():
    m = Model("embedding_tied", "Gather from a table that is also the head, through Transpose; an Identity names it again", 7)
    x = m.input("tokens", m.random.integers(0, 24, (4, 5)))
    m.drawn("table", (24, 8), "embedding", 0, aliases=["head.weight"])
    h = m.node("Gather", ["table", x], "embedded", axis=0)
    m.drawn("dense", (8, 8), "linear", 1)
    h = m.node("Tanh", [m.node("MatMul", [h, "dense"], "d")], "t")
    w = m.node("Identity", ["table"], "head.weight")
    w = m.node("Transpose", [w], "head.transposed", perm=[1, 0])
    m.node("MatMul", [h, w], "logits")
    m.output("logits", 3)
    return m


def lstm():
    m = Model("lstm", "a bidirectional LSTM with biases, and a linear layer", 8)
    x = m.input("x", m.draw(3, 6, 4, scale=1))
    h = m.node("Transpose", [x], "time_first", perm=[1, 0, 2])
    m.drawn("lstm.W", (2, 20, 4), "linear", 1)
    m.drawn("lstm.R", (2, 20, 5), "linear", 1)
    m.tensor("lstm.B", m.draw(2, 40, scale=0.1))
    m.node("LSTM", [h, "lstm.W", "lstm.R", "lstm.B"], ["", "last"], hidden_size=5, direction="bidirectional")
    h = m.node("Transpose", ["last"], "batch_first", perm=[1, 0, 2])
    m.tensor("flat_shape", np.array([0, 10], np.int64))
    h = m.node("Reshape", [h, "flat_shape"], "flat")
    m.drawn("fc.weight", (3, 10), "linear", 0)
    m.node("Gemm", [h, "fc.weight"], "y", transB=1)
    m.output("y")
    return m


def gru():
    m = Model("gru", "a GRU as PyTorch exports it (linear_before_reset), without a bias", 9)
    x = m.input("x", m.draw(3, 6, 4, scale=1))
    h = m.node("Transpose", [x], "time_first", perm=[1, 0, 2])
    m.drawn("gru.W", (1, 18, 4), "linear", 1)
    m.drawn("gru.R", (1, 18, 6), "linear", 1)
    m.node("GRU", [h, "gru.W", "gru.R"], ["steps", ""], hidden_size=6, linear_before_reset=1)
    m.tensor("axes", np.array([1], np.int64))
    h = m.node("Squeeze", ["steps", "axes"], "squeezed")
    m.node("Transpose", [h], "y", perm=[1, 0, 2])
    m.output("y", 3)
    return m


def constants():
    m = Model("constants", "all weights in Constant nodes, some as float_data, as Paddle exports them", 10)
    x = m.input("x", m.draw(4, 9, scale=1))
    raw = lambda *shape: numpy_helper.from_array(m.draw(*shape))
    listed = lambda *shape: helper.make_tensor("", F32, shape, m.draw(*shape).ravel().tolist())
    m.weight("fc1.w", (9, 8), "linear", 1)
    h = m.node("MatMul", [x, m.constant("fc1.w", listed(9, 8))], "h")
    h = m.node("Add", [h, m.constant("fc1.b", listed(8))], "b")
    h = m.node("Relu", [h], "r")
    m.weight("fc2.w", (8, 6), "linear", 1)
    m.node("MatMul", [h, m.constant("fc2.w", raw(8, 6))], "y")
    m.output("y")
    return m


def lookthrough():
    m = Model("lookthrough", "weights through Reshape, Slice, Concat, Cast (f16), and a Reshape that hides the axis", 11)
    x = m.input("x", m.draw(4, 8, scale=1))
    ints = lambda name, values: m.tensor(name, np.array(values, np.int64))
    # [2, 4, 8] read as [8, 8]: the last axis stays.
    m.drawn("reshaped", (2, 4, 8), "linear", 2)
    w = m.node("Reshape", ["reshaped", ints("square", [8, 8])], "w1")
    h = m.node("Tanh", [m.node("MatMul", [x, w], "h1")], "t1")
    # Two of three pieces of one tensor, transposed: rows are output channels.
    m.drawn("packed", (24, 8), "linear", 0)
    for i, piece in enumerate(["q", "v"]):
        begin = ints(f"{piece}.begin", [16 * i])
        end = ints(f"{piece}.end", [16 * i + 8])
        w = m.node("Slice", ["packed", begin, end, ints(f"{piece}.axes", [0])], f"{piece}.rows")
        w = m.node("Transpose", [w], f"{piece}.w", perm=[1, 0])
        m.node("MatMul", [h, w], f"{piece}.y")
    h = m.node("Mul", ["q.y", "v.y"], "h2")
    m.drawn("part1", (8, 4), "linear", 1)
    m.drawn("part2", (8, 6), "linear", 1)
    w = m.node("Concat", ["part1", "part2"], "joined", axis=1)
    h = m.node("Tanh", [m.node("MatMul", [h, w], "h3")], "t3")
    # An f16 initializer as int32_data, which holds its bits as varints.
    half = m.draw(8, 10).astype(np.float16)
    m.initializers.append(helper.make_tensor("half", F16, half.shape, half.ravel().tolist()))
    m.weight("half", half.shape, "linear", 0, stored="f16")
    w = m.node("Cast", ["half"], "half.f32", to=F32)
    h = m.node("Tanh", [m.node("Gemm", [h, w], "h4", transB=1)], "t4")
    # Columns of [8, 8] lie in both axes of [4, 16].
    m.drawn("hidden_axis", (4, 16), "linear", None)
    w = m.node("Reshape", ["hidden_axis", "square"], "w5")
    m.node("MatMul", [h, w], "y")
    m.output("y")
    return m


def qdq():
    m = Model("qdq", "int8 weights by channel behind DequantizeLinear, quantized activations between", 12)
    x = m.input("image", m.draw(3, 2, 6, 6, scale=1))

    def quantized(name, shape, axis, listed):
        w = m.draw(*shape)
        others = tuple(i for i in range(w.ndim) if i != axis)
        scale = (np.abs(w).max(axis=others) / 127).astype(np.float32)
        along = [1] * w.ndim
        along[axis] = -1
        codes = np.clip(np.round(w / scale.reshape(along)), -127, 127).astype(np.int8)
        if listed:
            m.initializers.append(helper.make_tensor(name, I8, shape, codes.ravel().tolist()))
        else:
            m.tensor(name, codes)
        m.tensor(f"{name}.scale", scale)
        m.tensor(f"{name}.zero", np.zeros(len(scale), np.int8))
        parts = [name, f"{name}.scale", f"{name}.zero"]
        return m.node("DequantizeLinear", parts, f"{name}.f32", axis=axis)

    m.weight("conv.codes", (4, 2, 3, 3), "convolution", 0, stored="i8")
    h = m.node("Conv", [x, quantized("conv.codes", (4, 2, 3, 3), 0, listed=False)], "c")
    h = m.node("Relu", [h], "r")
    m.tensor("a.scale", np.float32(0.02))
    m.tensor("a.zero", np.uint8(0))
    h = m.node("QuantizeLinear", [h, "a.scale", "a.zero"], "a.codes")
    h = m.node("DequantizeLinear", [h, "a.scale", "a.zero"], "a.f32")
    h = m.node("Flatten", [h], "flat")
    m.weight("fc.codes", (5, 64), "linear", 0, stored="i8")
    w = quantized("fc.codes", (5, 64), 0, listed=True)
    m.node("Gemm", [h, w], "y", transB=1)
    m.output("y")
    return m


def branches():
    m = Model("if", "If nodes whose branches hold a weight, a Constant, and one captured from outside", 13)
    x = m.input("x", m.draw(4, 6, scale=1))
    m.drawn("outer", (6, 6), "linear", 1)
    m.tensor("low", np.float32(-1e9))
    top = m.node("ReduceMax", [x], "top", keepdims=0)
    yes = m.node("Greater", [top, "low"], "yes")
    no = m.node("Not", [yes], "no")

    def branch(kind, input, output, scope):
        shape = [(output, F32, [None, 6])]
        if kind == "own":
            m.weight(f"{scope}/own", (6, 6), "linear", 1)
            weight = numpy_helper.from_array(m.draw(6, 6), "own")
            nodes = [helper.make_node("MatMul", [input, "own"], [output], "inner")]
            return subgraph("own", nodes, [], shape, [weight])
        constant = numpy_helper.from_array(m.draw(6, 6))
        m.weight(f"{scope}/{output}.c", (6, 6), "linear", 0)
        nodes = [
            helper.make_node("MatMul", [input, "outer"], [f"{output}.h"], "inner"),
            helper.make_node("Constant", [], [f"{output}.c"], value=constant),
            helper.make_node("Gemm", [f"{output}.h", f"{output}.c"], [output], transB=1),
        ]
        return subgraph("captured", nodes, [], shape)

    for i, (condition, input) in enumerate([(yes, x), (no, "y0")]):
        y = f"y{i}"
        m.node(
            "If",
            [condition],
            y,
            then_branch=branch("own", input, f"{y}.then", f"{y}.then_branch"),
            else_branch=branch("captured", input, f"{y}.else", f"{y}.else_branch"),
        )
    m.output("y1")
    return m


def loop():
    m = Model("loop", "a Loop of three turns with a weight of its body and a captured one", 14)
    x = m.input("x", m.draw(4, 6, scale=1))
    m.drawn("outer", (6, 6), "linear", 1)
    m.tensor("turns", np.int64(3))
    m.tensor("go", np.bool_(True))
    m.weight("y.body/own", (6, 6), "linear", 1)
    nodes = [
        helper.make_node("MatMul", ["h", "own"], ["a"]),
        helper.make_node("MatMul", ["x", "outer"], ["b"]),
        helper.make_node("Add", ["a", "b"], ["c"]),
        helper.make_node("Tanh", ["c"], ["h_next"]),
        helper.make_node("Identity", ["cond"], ["cond_next"]),
    ]
    body = subgraph(
        "body",
        nodes,
        [("i", I64, []), ("cond", TensorProto.BOOL, []), ("h", F32, [None, 6])],
        [("cond_next", TensorProto.BOOL, []), ("h_next", F32, [None, 6])],
        [numpy_helper.from_array(m.draw(6, 6), "own")],
    )
    m.node("Loop", ["turns", "go", x], "y", body=body)
    m.output("y")
    return m


def external():
    m = Model("external", "weights in two external files, one of them without a length", 15)
    x = m.input("x", m.draw(4, 10, scale=1))
    m.drawn("fc1.weight", (12, 10), "linear", 0)
    m.tensor("fc1.bias", m.draw(12, scale=0.1))
    h = m.node("Gemm", [x, "fc1.weight", "fc1.bias"], "h1", transB=1)
    h = m.node("Relu", [h], "r1")
    m.drawn("fc2.weight", (12, 8), "linear", 1)
    h = m.node("Relu", [m.node("MatMul", [h, "fc2.weight"], "h2")], "r2")
    m.drawn("fc3.weight", (8, 4), "linear", 1)
    m.node("MatMul", [h, "fc3.weight"], "y")
    m.output("y")
    m.external = {
        "fc1.weight": ("external.data", 64, True),
        "fc2.weight": ("external.data", 1024, True),
        "fc3.weight": ("external.more.data", 0, False),
    }
    return m


def shared_axes():
    m = Model("shared_axes", "one initializer read along both axes, and two of equal bytes", 16)
    x = m.input("x", m.draw(4, 8, scale=1))
    # The first use decides the axis.
    m.drawn("shared", (8, 8), "linear", 1)
    h = m.node("Tanh", [m.node("MatMul", [x, "shared"], "h1")], "t1")
    h = m.node("Tanh", [m.node("Gemm", [h, "shared"], "h2", transB=1)], "t2")
    equal = m.draw(8, 8)
    m.weight("equal1", (8, 8), "linear", 1, aliases=["equal2"])
    h = m.node("MatMul", [h, m.tensor("equal1", equal)], "h3")
    m.node("MatMul", [h, m.tensor("equal2", equal)], "y")
    m.output("y")
    return m


def attention():
    m = Model("attention", "self-attention with two heads: products of activations are no weights", 17)
    x = m.input("x", m.draw(2, 5, 8, scale=1))
    heads = m.tensor("heads", np.array([0, 0, 2, 4], np.int64))
    for part in "qkv":
        m.drawn(f"{part}.weight", (8, 8), "linear", 1)
        h = m.node("MatMul", [x, f"{part}.weight"], f"{part}.y")
        m.tensor(f"{part}.bias", m.draw(8, scale=0.1))
        h = m.node("Reshape", [m.node("Add", [h, f"{part}.bias"], f"{part}.b"), heads], f"{part}.r")
        m.node("Transpose", [h], f"{part}.h", perm=[0, 2, 3, 1] if part == "k" else [0, 2, 1, 3])
    m.tensor("root", np.float32(0.5))
    h = m.node("Mul", [m.node("MatMul", ["q.h", "k.h"], "scores"), "root"], "scaled")
    h = m.node("MatMul", [m.node("Softmax", [h], "p", axis=-1), "v.h"], "mixed")
    h = m.node("Transpose", [h], "mixed.t", perm=[0, 2, 1, 3])
    m.tensor("joined", np.array([0, 0, 8], np.int64))
    h = m.node("Reshape", [h, "joined"], "mixed.r")
    m.drawn("out.weight", (8, 8), "linear", 1)
    h = m.node("Add", [m.node("MatMul", [h, "out.weight"], "o"), x], "residual")
    m.tensor("norm.scale", m.random.uniform(0.5, 1.5, 8).astype(np.float32))
    m.tensor("norm.bias", m.draw(8, scale=0.1))
    m.node("LayerNormalization", [h, "norm.scale", "norm.bias"], "y", axis=-1)
    m.output("y", 3)
    return m


def old_ir():
    m = Model("old_ir", "IR version 3, which lists initializers among the inputs", 18, opset=8, ir=3)
    m.list_initializers = True
    x = m.input("x", m.draw(2, 3, 6, 6, scale=1))
    m.drawn("conv.weight", (4, 3, 3, 3), "convolution", 0)
    h = m.node("Relu", [m.node("Conv", [x, "conv.weight"], "c")], "r")
    h = m.node("Flatten", [m.node("GlobalAveragePool", [h], "pool")], "flat")
    m.drawn("fc.weight", (4, 5), "linear", 1)
    m.node("MatMul", [h, "fc.weight"], "y")
    m.output("y")
    return m


def matmul_integer():
    m = Model("matmul_integer", "a dynamically quantized layer: MatMulInteger", 19)
    x = m.input("x", m.draw(4, 8, scale=1))
    m.node("DynamicQuantizeLinear", [x], ["codes", "scale", "zero"])
    m.tensor("w.codes", m.random.integers(-127, 128, (8, 6)).astype(np.int8))
    h = m.node("MatMulInteger", ["codes", "w.codes", "zero"], "sum", name="product")
    h = m.node("Cast", [h], "sum.f32", to=F32)
    m.tensor("w.scale", np.float32(0.01))
    scale = m.node("Mul", ["scale", "w.scale"], "both")
    m.node("Mul", [h, scale], "y")
    m.output("y")
    m.refused = {"reason": "operator", "operator": "MatMulInteger", "node": "product"}
    return m


def qlinear_conv():
    m = Model("qlinear_conv", "an int8 convolution: QLinearConv", 20)
    x = m.input("image", m.draw(2, 2, 5, 5, scale=1))
    for name, value in [("x", np.float32(0.03)), ("w", np.float32(0.01)), ("y", np.float32(0.05))]:
        m.tensor(f"{name}.scale", value)
        m.tensor(f"{name}.zero", np.int8(0))
    x = m.node("QuantizeLinear", [x, "x.scale", "x.zero"], "x.codes")
    m.tensor("w.codes", m.random.integers(-127, 128, (3, 2, 3, 3)).astype(np.int8))
    parts = [x, "x.scale", "x.zero", "w.codes", "w.scale", "w.zero", "y.scale", "y.zero"]
    h = m.node("QLinearConv", parts, "y.codes", name="product")
    m.node("DequantizeLinear", [h, "y.scale", "y.zero"], "y")
    m.output("y", 4)
    m.refused = {"reason": "operator", "operator": "QLinearConv", "node": "product"}
    return m


def no_weights():
    m = Model("no_weights", "two inputs and no weights", 21)
    a = m.input("a", m.draw(4, 6, scale=1))
    b = m.input("b", m.draw(4, 6, scale=1))
    m.node("Softmax", [m.node("Mul", [a, b], "product")], "y", axis=-1)
    m.output("y")
    m.refused = {"reason": "no weights"}
    return m


MODELS = [
    mlp_gemm, gemm_bn, matmul_sides, conv_bn, conv_transpose, conv1d, embedding_tied, lstm, gru, constants,
    lookthrough, qdq, branches, loop, external, shared_axes, attention, old_ir, matmul_integer,
    qlinear_conv, no_weights,
]  # fmt: skip


# --- files ----------------------------------------------------------------------------------------


def move_outside(model, places):
    """Values of these initializers in files beside the model: all else there is 0xaa."""
    files = {}
    for t in model.graph.initializer:
        if t.name not in places:
            continue
        location, offset, with_length = places[t.name]
        values = t.raw_data
        data = files.setdefault(location, bytearray())
        data.extend(b"\xaa" * (offset + len(values) - len(data)))
        data[offset : offset + len(values)] = values
        t.ClearField("raw_data")
        t.data_location = TensorProto.EXTERNAL
        entries = {"location": location, "offset": offset} if offset else {"location": location}
        if with_length:
            entries["length"] = len(values)
        for key, value in entries.items():
            entry = t.external_data.add()
            entry.key, entry.value = key, str(value)
    for location, data in files.items():
        (HERE / location).write_bytes(data)


def save_npz(path, arrays):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, values in arrays.items():
            buffer = BytesIO()
            np.save(buffer, np.asarray(values, order="C"))
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), buffer.getvalue())


def stored_tensors(graph, scope=""):
    """All tensors of a graph in the order of its file: nodes before initializers."""
    for node in graph.node:
        for a in node.attribute:
            if a.HasField("t"):
                yield scope + node.output[0], a.t
            if a.HasField("g"):
                yield from stored_tensors(a.g, f"{scope}{node.output[0]}.{a.name}/")
    for t in graph.initializer:
        yield scope + t.name, t


def described(name, t):
    """A stored tensor, its values by CRC-32 of what numpy reads."""
    values = numpy_helper.to_array(t, str(HERE))
    place = next((f for f in ("raw_data", "float_data", "int32_data") if len(getattr(t, f))), "external")
    return {
        "name": name,
        "dtype": TensorProto.DataType.Name(t.data_type),
        "dims": list(t.dims),
        "place": place,
        "crc32": zlib.crc32(np.ascontiguousarray(values).tobytes()),
    }


def outputs_of(path, feeds):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    names = [o.name for o in session.get_outputs()]
    return dict(zip(names, session.run(names, feeds)))


def main():
    for package, wanted in VERSIONS.items():
        found = __import__(package).__version__
        if found != wanted:
            print(f"{package} {found} instead of {wanted}: the files may differ in their last bits")
    for old in [f for end in ("onnx", "npz", "data") for f in HERE.glob(f"*.{end}")]:
        old.unlink()
    expected, tensors = {}, {}
    for make in MODELS:
        m = make()
        model = m.build()
        move_outside(model, m.external)
        path = HERE / f"{m.name}.onnx"
        path.write_bytes(model.SerializeToString(deterministic=True))
        onnx.checker.check_model(str(path), full_check=True)
        outputs = outputs_of(path, m.feeds)
        assert all(np.isfinite(o).all() and np.abs(o).max() > 1e-3 for o in outputs.values()), m.name
        save_npz(HERE / f"{m.name}.npz", m.feeds | outputs)
        expected[m.name] = {
            "about": m.about,
            "opset": m.opset,
            "batch": m.batch,
            "inputs": list(m.feeds),
            "outputs": list(outputs),
            "external": sorted({place[0] for place in m.external.values()}),
            "weights": [] if m.refused else m.weights,
            "refused": m.refused,
        }
        tensors[m.name] = [described(name, t) for name, t in stored_tensors(model.graph)]
    write = lambda name, value: (HERE / name).write_text(json.dumps(value, indent=1) + "\n")
    write("expected.json", {"made_with": VERSIONS, "models": expected})
    write("tensors.json", tensors)


if __name__ == "__main__":
    main()

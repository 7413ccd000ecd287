"""Trains the small network of the walk in docs/your-model.md, and writes it with inputs and labels.

    python3 examples/digits.py

Needs numpy and onnx. The digits are the 8x8 images of E. Alpaydin and C. Kaynak (UCI Machine Learning
Repository, 1998), which the workspace ships; every fifth one is left for testing. Everything random
follows from one seed, so that the files come out the same on the same versions: numpy 2.x, onnx 1.2x.
"""
import gzip
import pathlib

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

HERE = pathlib.Path(__file__).parent
STEPS, BATCH, RATE = 3000, 64, 2e-3
rng = np.random.default_rng(1)

table = np.loadtxt(gzip.open(HERE / "../crates/qtaml-train/data/digits.csv.gz", "rt"), delimiter=",")
images = (table[:, :64] / 16).astype(np.float32).reshape(-1, 1, 8, 8)
labels = table[:, 64].astype(np.int64)
is_test = np.arange(len(labels)) % 5 == 4
train_x, train_y = images[~is_test], labels[~is_test]


def patches(x):
    """[n, c, h, w] -> [n, h * w, c * 9]: what a 3x3 convolution with padding 1 sees."""
    n, c, h, w = x.shape
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
    return windows.transpose(0, 2, 3, 1, 4, 5).reshape(n, h * w, c * 9)


def he(*shape, fan_in):
    return (rng.normal(size=shape) * np.sqrt(2 / fan_in)).astype(np.float32)


weights = {
    "conv.weight": he(16, 9, fan_in=9),
    "conv.bias": np.zeros(16, np.float32),
    "fc1.weight": he(64, 256, fan_in=256),
    "fc1.bias": np.zeros(64, np.float32),
    "fc2.weight": he(10, 64, fan_in=64),
    "fc2.bias": np.zeros(10, np.float32),
}


def forward(x):
    p = patches(x)
    z = p @ weights["conv.weight"].T + weights["conv.bias"]
    a = np.maximum(z, 0)
    # 2x2 maxima, in the order [n, channel, row, column].
    grid = a.reshape(-1, 4, 2, 4, 2, 16).transpose(0, 5, 1, 3, 2, 4).reshape(-1, 16, 4, 4, 4)
    pooled = grid.max(-1).reshape(-1, 256)
    h = np.maximum(pooled @ weights["fc1.weight"].T + weights["fc1.bias"], 0)
    return p, a, grid, pooled, h, h @ weights["fc2.weight"].T + weights["fc2.bias"]


def gradients(x, y):
    p, a, grid, pooled, h, logits = forward(x)
    e = np.exp(logits - logits.max(1, keepdims=True))
    d = e / e.sum(1, keepdims=True)
    d[np.arange(len(y)), y] -= 1
    d /= len(y)
    g = {"fc2.weight": d.T @ h, "fc2.bias": d.sum(0)}
    d = (d @ weights["fc2.weight"]) * (h > 0)
    g |= {"fc1.weight": d.T @ pooled, "fc1.bias": d.sum(0)}
    d = (d @ weights["fc1.weight"]).reshape(-1, 16, 4, 4, 1)
    chosen = np.arange(4) == grid.argmax(-1, keepdims=True)
    d = (d * chosen).reshape(-1, 16, 4, 4, 2, 2).transpose(0, 2, 4, 3, 5, 1).reshape(a.shape) * (a > 0)
    return g | {"conv.weight": np.einsum("npo,npi->oi", d, p), "conv.bias": d.sum((0, 1))}


moments = {name: [np.zeros_like(w), np.zeros_like(w)] for name, w in weights.items()}
for step in range(1, STEPS + 1):
    batch = rng.integers(len(train_y), size=BATCH)
    for name, g in gradients(train_x[batch], train_y[batch]).items():
        first, second = moments[name]
        first += 0.1 * (g - first)
        second += 0.001 * (g * g - second)
        size = np.sqrt(second / (1 - 0.999**step)) + 1e-8
        rate = RATE * (1 - step / STEPS)
        weights[name] -= (rate * first / (1 - 0.9**step) / size).astype(np.float32)

accuracy = (forward(images[is_test])[-1].argmax(1) == labels[is_test]).mean()
print(f"accuracy on {is_test.sum()} test images: {100 * accuracy:.1f} %")

tensors = {"conv.weight": weights["conv.weight"].reshape(16, 1, 3, 3)}
tensors |= {name: w for name, w in weights.items() if name != "conv.weight"}
graph = helper.make_graph(
    [
        helper.make_node("Conv", ["image", "conv.weight", "conv.bias"], ["z"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["z"], ["a"]),
        helper.make_node("MaxPool", ["a"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("Gemm", ["f", "fc1.weight", "fc1.bias"], ["h0"], transB=1),
        helper.make_node("Relu", ["h0"], ["h"]),
        helper.make_node("Gemm", ["h", "fc2.weight", "fc2.bias"], ["logits"], transB=1),
    ],
    "digits",
    [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["samples", 1, 8, 8])],
    [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["samples", 10])],
    [numpy_helper.from_array(tensor.astype(np.float32), name) for name, tensor in tensors.items()],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
onnx.checker.check_model(model)
onnx.save(model, HERE / "digits.onnx")
np.savez_compressed(HERE / "digits.npz", image=images[is_test])
np.save(HERE / "digits.labels.npy", labels[is_test])

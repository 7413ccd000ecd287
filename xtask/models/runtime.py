"""Runs a model and what was recovered of it in onnxruntime, and compares their outputs.

    python3 runtime.py METRIC INPUTS.npz MODEL.onnx RECOVERED.onnx...

Prints the metric of each recovered model as JSON: the share of rows that have their highest value
(agreement), or whose nearest other row lies (nearest-neighbour), where the model has it. Needs numpy, onnx
and onnxruntime, and nothing of this project.
"""
import json
import sys

import numpy as np
import onnx
import onnxruntime

BATCH = 16


def outputs(path, inputs):
    """The first output, batch by batch."""
    onnx.checker.check_model(path)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    samples = len(next(iter(inputs.values())))
    parts = []
    for start in range(0, samples, BATCH):
        batch = {name: values[start : start + BATCH] for name, values in inputs.items()}
        parts.append(session.run(None, batch)[0])
    return np.concatenate(parts)


def nearest(rows):
    """The number of the nearest other row of each row."""
    rows = rows.reshape(len(rows), -1).astype(np.float64)
    rows = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-30)
    cosines = rows @ rows.T
    np.fill_diagonal(cosines, -2)
    return cosines.argmax(1)


METRICS = {"agreement": lambda out: out.argmax(-1), "nearest-neighbour": nearest}


def main():
    metric, data, golden, *recovered = sys.argv[1:]
    inputs = dict(np.load(data))
    chosen = METRICS[metric]
    expected = chosen(outputs(golden, inputs))
    print(json.dumps([float((chosen(outputs(path, inputs)) == expected).mean()) for path in recovered]))


if __name__ == "__main__":
    main()

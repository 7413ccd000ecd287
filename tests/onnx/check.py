"""Looks at copies of the ONNX models of this folder, which `qtaml-files` has written.

    QTAML_ONNX_COPIES=/tmp/copies cargo test -p qtaml-files copies_differ
    python3 tests/onnx/check.py /tmp/copies

The test reverses the order of the elements of every matrix in each copy. For each model:

- the copy passes `onnx.checker`;
- it is the model in which numpy reverses the same tensors, when both are parsed: nothing else differs
  but the field that holds values which were listed one by one;
- onnxruntime computes the same bits from both.

It needs the packages of `make.py`, and is no part of `cargo test`.
"""

import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from make import HERE, outputs_of


def stored(graph):
    """All tensors of a graph and of those within."""
    yield from graph.initializer
    for node in graph.node:
        for a in node.attribute:
            if a.HasField("t"):
                yield a.t
            if a.HasField("g"):
                yield from stored(a.g)


def inlined(path, reverse):
    """A model with all values as raw bytes within it, those of matrices in reverse order if wanted."""
    model = onnx.load(path, load_external_data=False)
    changed = 0
    for t in stored(model.graph):
        values = numpy_helper.to_array(t, str(path.parent))
        if reverse and values.ndim >= 2:
            values = values.ravel()[::-1].reshape(values.shape)
            changed += 1
        new = numpy_helper.from_array(np.array(values, order="C"), t.name)
        t.CopyFrom(new)
    return model, changed


def same(a, b):
    """Whether two lists of arrays are the same bits."""
    return len(a) == len(b) and all(x.tobytes() == y.tobytes() for x, y in zip(a, b))


def main(folder):
    count = 0
    for path in sorted(HERE.glob("*.onnx")):
        copy = folder / path.name
        onnx.checker.check_model(str(copy), full_check=True)
        expected, changed = inlined(path, reverse=True)
        found, _ = inlined(copy, reverse=False)
        assert found == expected, path.name
        if changed:
            assert found != inlined(path, reverse=False)[0], path.name
        arrays = np.load(path.with_suffix(".npz"))
        feeds = {i.name: arrays[i.name] for i in expected.graph.input if i.name in arrays}
        outputs = [outputs_of(model, feeds) for model in (str(copy), expected.SerializeToString())]
        assert same(*(list(o.values()) for o in outputs)), path.name
        count += 1
        print(f"{path.name}: {changed} tensors changed, nothing else")
    assert count > 0, "there are no models"


if __name__ == "__main__":
    main(Path(sys.argv[1]))

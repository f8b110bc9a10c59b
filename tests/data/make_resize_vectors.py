#!/usr/bin/env python3
"""Makes resize.npz, the vectors that the resampling is tested against: noise resized by Pillow itself.

    python make_resize_vectors.py        (needs Pillow 13.0.0 and numpy; writes beside itself)

Arrays: `<case>_in` (H, W, C, uint8), `<case>_bilinear` and `<case>_bicubic` (its resized forms).
"""
from pathlib import Path

import numpy as np
import PIL
from PIL import Image

# (width, height) before and after: up, down, both ways, uneven ratios (either pass order), single pixels
SIZES = [
    ((7, 5), (14, 10)), ((14, 10), (7, 5)), ((13, 9), (5, 20)), ((9, 13), (20, 5)),
    ((32, 24), (8, 8)), ((24, 32), (8, 8)), ((31, 17), (16, 16)), ((17, 31), (16, 16)),
    ((40, 30), (30, 10)), ((40, 30), (10, 30)), ((40, 30), (40, 10)), ((40, 30), (39, 41)),
    ((5, 40), (5, 7)), ((40, 5), (7, 5)), ((1, 1), (4, 3)), ((1, 20), (3, 5)),
    ((20, 1), (5, 3)), ((20, 20), (1, 1)), ((23, 19), (22, 18)), ((23, 19), (24, 20)),
    ((33, 33), (32, 11)), ((33, 33), (11, 32)), ((50, 12), (25, 5)), ((12, 50), (5, 25)),
    ((37, 29), (12, 9)), ((29, 37), (9, 12)), ((16, 16), (28, 28)), ((10, 30), (20, 29)),
    ((30, 10), (29, 20)), ((21, 34), (13, 8)), ((34, 21), (8, 13)), ((44, 3), (11, 2)),
]


def noise(rng, width, height, channels):
    """Uniform noise; every third picture only black and white, which drives the cubic filter past both ends."""
    a = rng.integers(0, 256, (height, width, channels), dtype=np.uint8)
    return np.where(a > 127, 255, 0).astype(np.uint8) if rng.integers(3) == 0 else a


def resized(a, size, resample):
    image = Image.fromarray(a if a.shape[2] == 3 else a[:, :, 0])
    out = np.asarray(image.resize(size, resample))
    return out if out.ndim == 3 else out[:, :, None]


def main():
    assert PIL.__version__ == "13.0.0", PIL.__version__
    rng = np.random.default_rng(13)
    arrays = {}
    for i, (before, after) in enumerate(SIZES):
        a = noise(rng, *before, channels=1 if i % 4 == 3 else 3)
        arrays[f"{i:02}_in"] = a
        arrays[f"{i:02}_bilinear"] = resized(a, after, Image.Resampling.BILINEAR)
        arrays[f"{i:02}_bicubic"] = resized(a, after, Image.Resampling.BICUBIC)
    np.savez_compressed(Path(__file__).with_name("resize.npz"), **arrays)


main()

"""The classifiers of QUANTIZE_DATA as Python sees them: `models.json`, images decoded and preprocessed with Pillow."""
import json
import os
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image

FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


def data_folder():
    """The folder that QUANTIZE_DATA names."""
    folder = os.environ.get("QUANTIZE_DATA")
    if not folder or not (Path(folder) / "models.json").is_file():
        sys.exit("QUANTIZE_DATA must name a folder with models.json, the models and the image sets")
    return Path(folder).resolve()


@dataclass(frozen=True, eq=False)
class Model:
    """A model, its image set and what its input must be."""
    name: str
    folder: Path
    entry: dict

    @property
    def path(self):
        return self.folder / self.entry["path"]

    @property
    def outputs_probabilities(self):
        """Does it end in a softmax?"""
        return self.entry.get("prob", False)

    @property
    def macs(self):
        """Multiply-accumulates of an image, for estimates of time."""
        return self.entry.get("macs", 2e7)

    def images(self, part, count=None):
        """The first `count` (or all) images of the list `calib` or `eval`."""
        listed = (self.folder / self.entry["set"] / f"{part}.txt").read_text().splitlines()[:count]
        rows = [line.split("\t") for line in listed]
        files = [self.folder / self.entry["set"] / path for path, _ in rows]
        return Images(files, np.array([int(label) for _, label in rows]), self.entry["preprocess"])


@dataclass(frozen=True, eq=False)
class Images:
    """Images with labels. They are decoded once, on first use, and normalized batch by batch."""
    files: list
    labels: np.ndarray
    preprocess: dict

    def __len__(self):
        return len(self.files)

    @cached_property
    def pixels(self):
        """uint8 [N, rows, columns, channels], cropped and resized."""
        return np.stack([self._decode(f) for f in self.files])

    def _decode(self, file):
        p, image = self.preprocess, Image.open(file).convert("RGB")
        if size := p["crop"]:
            left, top = (image.width - size) // 2, (image.height - size) // 2
            image = image.crop((left, top, left + size, top + size))
        if (size := p["resize"]) and image.size != (size, size):
            image = image.resize((size, size), FILTERS[p["interpolation"]])
        pixels = np.asarray(image)
        return pixels[..., ::-1] if p["order"] == "BGR" else pixels

    def batches(self, size):
        """float32 inputs of the model, `size` images at a time."""
        p = self.preprocess
        mean, std = np.array(p["mean"], np.float32), np.array(p["std"], np.float32)
        for i in range(0, len(self), size):
            x = (self.pixels[i:i + size].astype(np.float32) - mean) / std
            yield np.ascontiguousarray(x.transpose(0, 3, 1, 2) if p["layout"] == "NCHW" else x)


def models(names=None):
    """The models of `models.json`, in its order; all or those named."""
    folder = data_folder()
    table = json.loads((folder / "models.json").read_text())
    if unknown := set(names or []) - set(table):
        sys.exit(f"models.json has no {', '.join(sorted(unknown))}; it has {', '.join(table)}")
    return [Model(name, folder, entry) for name, entry in table.items() if not names or name in names]

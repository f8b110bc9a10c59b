#!/usr/bin/env python3
"""One calibration, two engines: what the GPU's engine and the CPU's say of every evaluation image, bit for bit.

    QUANTIZE_DATA=folder python3 tests/peers/devices_equal.py --out reports/gpu/equal

The cache is made on the GPU and used by both builds. Classifiers that compute in 8 bits from the first node to the last must
give equal outputs; those with float islands (ViT; MobileNetV1, which ends with a softmax) the same class for 99.9 % of the
images. Needs a GPU, its driver, NVRTC and numpy. The exit code is 1 where that does not hold.
"""
import argparse
import datetime
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np

from ours import PROGRAM, ROOT, Ours

# What must agree where floats lie between 8-bit nodes, in %.
SAME_CLASS = 99.9
FLOAT_ISLANDS = {"vit_tiny_eurosat", "mobilenet_v1_075"}


def build(ours, name, target, folder, args):
    """An engine's file."""
    sets = {"target": target, "calibration.method": args.method, "output.dir": folder}
    more = ["--build-budget", args.budget] if target == "cpu" else []
    ours.configured(name, sets, command=["build", *more])
    return next(Path(folder).glob("*.engine"))


def answers(ours, engine, images, out):
    """The first output for all images."""
    ours.run("run", engine, *images, "--out", out)
    with np.load(out) as arrays:
        return arrays[arrays.files[0]]


def evaluated(config, count):
    """The first `count` (or all) images that a configuration evaluates: those of a list, or of a folder of folders."""
    section = config.read_text().split("evaluation:")[1]
    kind, path = re.search(r"(list|folder):\s*(\S+)", section).groups()
    path = config.parent / os.path.expandvars(path)
    if kind == "folder":
        return sorted(path.glob("*/*"))[:count]
    lines = [line.split("\t")[0] for line in path.read_text().splitlines() if line]
    return [path.parent / line for line in lines[:count]]


def compare(ours, name, args):
    """A row of the table."""
    work = Path(args.work) / name
    images = evaluated(ROOT / "configs" / f"{name}.yaml", args.images)
    gpu = build(ours, name, "cuda", work / "cuda", args)
    (work / "cpu").mkdir(parents=True, exist_ok=True)
    shutil.copy(work / "cuda" / "calibration.cache", work / "cpu")
    cpu = build(ours, name, "cpu", work / "cpu", args)
    a = answers(ours, gpu, images, work / "cuda.npz")
    b = answers(ours, cpu, images, work / "cpu.npz")
    return {
        "model": name, "images": len(images), "numbers": int(a.size),
        "differ": int((a.view(np.uint32) != b.view(np.uint32)).sum()),
        "same_class": float((a.argmax(1) == b.argmax(1)).mean() * 100),
    }


def page(rows, gpu):
    """The table."""
    lines = ["# One calibration, two devices", "", f"{gpu}, {datetime.date.today()}. Made by `tests/peers/devices_equal.py`: "
             "the same calibration cache, an engine for the GPU and one for the CPU of the same machine.", "",
             "| model | images | numbers of the output | that differ in any bit | same class, % |", "|---|---:|---:|---:|---:|"]
    lines += [f"| {r['model']} | {r['images']:,} | {r['numbers']:,} | {r['differ']:,} | {r['same_class']:.2f} |" for r in rows]
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quantize", default=PROGRAM)
    parser.add_argument("--models", help="names in configs/, by commas; all whose model is there without it")
    parser.add_argument("--images", type=int, help="the first so many evaluation images")
    parser.add_argument("--method", default="percentile")
    parser.add_argument("--budget", default="2", help="seconds in which the CPU's kernels are timed; they are equal")
    parser.add_argument("--out", default="reports/gpu/equal", help="without extension; .md and .json are written")
    parser.add_argument("--work", default="/tmp/devices_equal")
    args = parser.parse_args()
    models = Path(os.environ.get("QUANTIZE_DATA", ".")) / "models"
    configured = (p.stem for p in sorted((ROOT / "configs").glob("*.yaml")))
    names = args.models.split(",") if args.models else [n for n in configured if (models / f"{n}.onnx").is_file()]
    gpu = subprocess.run(["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"],
                         capture_output=True, text=True, check=True).stdout.strip()
    ours, rows = Ours(args.quantize), []
    Path(args.out).parent.mkdir(parents=True, exist_ok=True)
    known = Path(args.out + ".json")
    if known.is_file():
        rows = [r for r in json.loads(known.read_text())["rows"] if r["model"] not in names]
    for name in names:
        rows.append(compare(ours, name, args))
        print(rows[-1], flush=True)
        known.write_text(json.dumps({"gpu": gpu, "rows": rows}, indent=1))
        Path(args.out + ".md").write_text(page(rows, gpu))
    right = lambda r: r["same_class"] >= SAME_CLASS if r["model"] in FLOAT_ISLANDS else r["differ"] == 0
    good = all(map(right, rows))
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()

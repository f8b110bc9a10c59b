#!/usr/bin/env python3
"""Calibrating ResNet-50 on a GPU beside the plain FP32 forward pass of as many images.

    QUANTIZE_DATA=folder python3 tests/peers/gpu_calibration.py --quantize target/release/quantize

The images are those of the calibration list, repeated, decoded beforehand: an array in memory. *Forward* is the median
time of a batch by `quantize bench` of the FP32 engine, from f32 images on the host to scores on the host, times the number
of batches: no image is read, resized or normalized in it. *Calibration* is what `quantize -v calibrate` says of itself, by
the wall: making ready (the graph that counts is recorded), the pass over the images, waiting for them, checkpoints, and
thresholds; `ratio` is that over *forward*, which is measured warm. The whole process, which also imports the model and
builds the FP32 engine, is beside it. Kernels are compiled and kept by a first run. Needs a GPU, its driver, NVRTC, numpy and
pillow.
"""
import argparse
import json
import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import numpy as np
from PIL import Image

MODEL, INPUT = "resnet50_eurosat", "image"
SPENT = re.compile(r"made ready in ([\d.]+) s, forward pass with statistics on the device ([\d.]+) s, "
                   r"waiting for images ([\d.]+) s, checkpoints ([\d.]+) s")
THRESHOLDS = re.compile(r"thresholds ([\d.]+) s")


def array(data, count, path):
    """So many images of the calibration list, repeated, as one array."""
    lines = (data / "eurosat/calib.txt").read_text().splitlines()
    names = [line.split("\t")[0] for line in lines if line]
    images = [np.asarray(Image.open(data / "eurosat" / name).convert("RGB")) for name in names[:min(count, 500)]]
    np.save(path, np.stack([images[i % len(images)] for i in range(count)]))


def run(*command):
    """Output and messages of a command, and its wall seconds."""
    start = time.monotonic()
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))}\n{done.stderr[-2000:]}")
    return done.stdout, done.stderr, time.monotonic() - start


def measure(args, batch, images):
    """The row of a batch size."""
    out = args.work / f"{MODEL}-{batch}"
    shutil.rmtree(out, ignore_errors=True)
    sets = {"target": "cuda", "output.dir": out, f"model.inputs.{INPUT}": json.dumps([batch, 3, 224, 224]),
            "calibration.batch": batch, "calibration.samples": args.images, "calibration.method": "entropy",
            "calibration.data": json.dumps({"array": str(images)})}
    pairs = [a for key, value in sets.items() for a in ("--set", f"{key}={value}")]
    config = ["--config", f"configs/{MODEL}.yaml", *pairs]
    run(args.quantize, "build", *config, "--set", "precision.default=float", "--set", "calibration.samples=64")
    bench, _, _ = run(args.quantize, "bench", next(out.glob("*.engine")), "--batch", batch, "--duration", 3, "--json")
    forward = json.loads(bench)["latency_ms"]["median"] / 1e3 * args.images / batch
    rows = []
    for _ in range(args.rounds):
        (out / "calibration.cache").unlink(missing_ok=True)
        _, said, wall = run(args.quantize, "-v", "calibrate", *config)
        ready, passes, waiting, writing = map(float, SPENT.search(said).groups())
        rows.append({"ready_s": ready, "pass_s": passes, "waiting_s": waiting, "checkpoints_s": writing,
                     "thresholds_s": float(THRESHOLDS.search(said).group(1)), "process_s": wall})
    parts = ("ready_s", "pass_s", "waiting_s", "checkpoints_s", "thresholds_s")
    spent = lambda row: sum(row[part] for part in parts)
    best = min(rows, key=spent)
    return {"batch": batch, "forward_s": forward, **best, "ratio": spent(best) / forward, "rounds": rows}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quantize", type=Path, default=Path("target/release/quantize"))
    parser.add_argument("--images", type=int, default=1024)
    parser.add_argument("--batches", default="16,64,128")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--work", type=Path, default=Path("/dev/shm/gpu_calibration"))
    args = parser.parse_args()
    args.quantize = args.quantize.resolve()
    args.work.mkdir(parents=True, exist_ok=True)
    images = args.work / "images.npy"
    array(Path(os.environ["QUANTIZE_DATA"]), args.images, images)
    for batch in map(int, args.batches.split(",")):
        print(json.dumps(measure(args, batch, images)), flush=True)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""A quick check of every model in `configs/` that QUANTIZE_DATA has: the whole chain, judged on 64 images.

    QUANTIZE_DATA=folder python tests/peers/models_slice.py [--quantize target/release/quantize]

FP32 must be right as often as it was under ONNX Runtime, give or take two images (decoders of JPEG differ), and INT8
must agree with FP32. Needs nothing but Python. For numbers that mean something there is accuracy.py.
"""
import argparse
import sys
import time
from pathlib import Path

from ours import PROGRAM, ROOT, Ours

IMAGES = 64
CALIBRATION = 50  # of the configurations' 100, to be done in minutes
DECODER = 2
# Of the first 64 evaluation images: how many FP32 gets right (ONNX Runtime, images decoded by Pillow), and the least
# number on which INT8 (`auto`) must give FP32's class. The bounds leave some images to chance: three where classes
# are few, six of a thousand classes, more for the two nets that are hard.
EXPECTED = {
    "resnet50_eurosat": (64, 61),
    "mobilenet_v2_eurosat": (64, 60),
    "vit_tiny_eurosat": (63, 60),
    "resnet_eurosat": (61, 60),
    "efficientnet_lite0": (47, 58),
    "efficientnet_lite1": (45, 58),
    "efficientnet_lite2": (44, 58),
    "mobilenet_v1_075": (44, 54),
    "mobilenet_v2_refit": (35, 48),
    "squeezenet1_1": (37, 58),
    "cifar_resnet56": (57, 59),
}


def check(name, ours, folder):
    """Runs a model; prints what came out. Is it as expected?"""
    right, agreeing = EXPECTED[name]
    start = time.monotonic()
    sets = {"evaluation.samples": IMAGES, "calibration.samples": CALIBRATION, "gate": "{}"}
    accuracy = ours.report(name, folder / name, sets)["accuracy"]

    def images(percent):
        return round(percent * IMAGES / 100)

    fp32, same = images(accuracy["reference"]["top1"]), images(accuracy["agreement_top1"])
    good = accuracy["n"] == IMAGES and abs(fp32 - right) <= DECODER and same >= agreeing
    print(f"{'ok  ' if good else 'FAIL'} {name}: FP32 right on {fp32} of {IMAGES} (expected {right} ± {DECODER}), "
          f"INT8 right on {images(accuracy['engine']['top1'])}, the same class on {same} (at least {agreeing}), "
          f"mean KL {accuracy['mean_kl']:.4f}; {time.monotonic() - start:.0f} s", flush=True)
    return good


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quantize", type=Path, default=PROGRAM, help="the program")
    parser.add_argument("--work", type=Path, default=ROOT / "target/models", help="folder of what the runs write")
    arguments = parser.parse_args()
    ours = Ours(arguments.quantize)
    bad = [name for name in EXPECTED if not check(name, ours, arguments.work.resolve())]
    print(f"{len(EXPECTED) - len(bad)} of {len(EXPECTED)} models as expected")
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()

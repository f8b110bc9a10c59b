#!/usr/bin/env python3
"""The demo model in INT8: ours by every method, beside ONNX Runtime's, on the same numbers.

    cargo build --release
    python tests/peers/demo_vs_onnxruntime.py [--quantize target/release/quantize] [--out reports/cpu/demo.md]

Images are decoded and normalized once, here, and both programs get the arrays: decoders of JPEG differ. Before the
table, three comparisons in FP32 must hold: equal logits from equal arrays, and equal logits from pictures (PNG) of
other sizes, resized by both filters.

ONNX Runtime: quantize_static, QDQ, S8S8, per-channel weights, after quant_pre_process; one thread.
"""
import argparse
import json
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import onnxruntime as ort
import onnxruntime_peer as peer
from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static
from PIL import Image
from scores import scores

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "calib_data/eurosat"
MODEL = DATA / "resnet_eurosat.onnx"
CONFIG = ROOT / "configs/resnet.yaml"
METHODS = ["minmax", "percentile", "entropy", "entropy-trt", "mse", "auto"]
MEAN = np.array([0.344, 0.380, 0.408], np.float32)
STD = np.array([0.203, 0.137, 0.115], np.float32)
# largest difference of logits (they span about 20) between two FP32 engines that add in different orders
TOLERANCE = 1e-3


def normalized(picture):
    """One image as the model takes it: float32 [3, 64, 64]."""
    x = np.asarray(picture.convert("RGB"), np.float32) / 255
    return ((x - MEAN) / STD).transpose(2, 0, 1)


def load(folder):
    """Images in the order of the classes, then by name: [N, 3, 64, 64], and their labels."""
    x, y = [], []
    for label, name in enumerate((DATA / "labels.txt").read_text().split()):
        for path in sorted((folder / name).glob("*.jpg")):
            x.append(normalized(Image.open(path)))
            y.append(label)
    return np.ascontiguousarray(np.stack(x)), np.array(y)


# ---- ONNX Runtime


def logits(path, x, batch=100):
    return peer.logits(path, (x[i:i + batch] for i in range(0, len(x), batch)), threads=1)


def latency(path, x):
    """Median milliseconds of one image on one thread."""
    s, times = peer.session(path, threads=1), []
    for i in range(300):
        start = time.perf_counter()
        s.run(None, {"image": x[i:i + 1]})
        times.append(time.perf_counter() - start)
    return 1e3 * statistics.median(times[50:])


def row(name, reference, out, y, ms):
    return {"name": name, **scores(reference, out, y), "ms": ms}


def onnxruntime_rows(folder, calib, x, y):
    reference = logits(MODEL, x)
    rows = [row("ONNX Runtime FP32", reference, reference, y, latency(MODEL, x))]
    folded, quantized = peer.folded(MODEL, folder), folder / "quantized.onnx"
    for name in ["MinMax", "Entropy", "Percentile"]:
        batches = (calib[i:i + 10] for i in range(0, len(calib), 10))
        quantize_static(str(folded), str(quantized), peer.Reader("image", batches), quant_format=QuantFormat.QDQ, per_channel=True,
                        activation_type=QuantType.QInt8, weight_type=QuantType.QInt8,
                        calibrate_method=getattr(CalibrationMethod, name))
        rows.append(row(f"ONNX Runtime S8S8 {name}", reference, logits(quantized, x), y, latency(quantized, x)))
    return rows


# ---- ours


class Ours:
    def __init__(self, program, folder):
        self.program, self.folder = str(program), folder

    def run(self, *arguments, good=(0,)):
        done = subprocess.run([self.program, *map(str, arguments)], capture_output=True, text=True, cwd=self.folder)
        if done.returncode not in good:
            sys.exit(f"quantize {' '.join(map(str, arguments))}: exit code {done.returncode}\n{done.stderr}")
        return done.stdout

    def engine(self, name, *sets):
        """An FP32 engine of the demo model."""
        sets = ("precision.default=float", f"output.dir={self.folder / name}", "calibration.samples=10", *sets)
        self.run("build", "--config", CONFIG, *(a for s in sets for a in ("--set", s)))
        return self.folder / name / "resnet.engine"

    def logits(self, engine, *inputs):
        out = self.folder / "logits.npz"
        self.run("run", engine, *inputs, "--out", out)
        with np.load(out) as arrays:
            return arrays[arrays.files[0]].reshape(-1, 10)

    def report(self, method, calib, x):
        """The report of the whole chain. A failed gate (3) is a result."""
        out = self.folder / method
        sets = (f"calibration.method={method}", f"calibration.data={{array: {calib}}}", f"output.dir={out}",
                f"evaluation.data={{array: {x}}}", "cpu.threads=1")
        self.run("--config", CONFIG, *(a for s in sets for a in ("--set", s)), good=(0, 3))
        return json.loads((out / "report.json").read_text())


def our_rows(ours, calib, x):
    reports = {method: ours.report(method, calib, x) for method in METHODS}
    first = reports[METHODS[0]]
    rows = [{"name": "quantize FP32", "top1": first["accuracy"]["reference"]["top1"], "agreement": 100.0, "kl": 0.0,
             "ms": first["latency_ms"]["reference"]["median"]}]
    for method, report in reports.items():
        a = report["accuracy"]
        rows.append({"name": f"quantize {method}", "top1": a["engine"]["top1"], "agreement": a["agreement_top1"],
                     "kl": a["mean_kl"], "ms": report["latency_ms"]["engine"]["median"]})
    return rows


# ---- what must be equal


def compare(what, mine, theirs):
    """Prints how far two sets of logits are apart; are they as equal as they must be?"""
    difference, same = float(np.abs(mine - theirs).max()), int((mine.argmax(1) == theirs.argmax(1)).sum())
    good = difference < TOLERANCE and same == len(theirs)
    print(f"{'ok  ' if good else 'FAIL'} {what}: largest difference of logits {difference:.2e}, "
          f"same class on {same} of {len(theirs)}", flush=True)
    return good


def picture(x, i):
    """Four demo images as one picture, cut to an odd size."""
    tiles = (x[[i, i + 1, i + 2, i + 3]].transpose(0, 2, 3, 1) * STD + MEAN) * 255
    tiles = np.rint(tiles).clip(0, 255).astype(np.uint8)
    whole = np.vstack([np.hstack(tiles[:2]), np.hstack(tiles[2:])])
    return Image.fromarray(whole[:128 - i % 37, :128 - i % 23])


def resized(image, filter):
    """Short side to 72, then the middle 64x64."""
    w, h = image.size
    size = (72, h * 72 // w) if w <= h else (w * 72 // h, 72)
    image = image.resize(size, filter)
    left, top = (image.size[0] - 64) // 2, (image.size[1] - 64) // 2
    return image.crop((left, top, left + 64, top + 64))


def fp32_checks(ours, x):
    x = np.ascontiguousarray(x[:: len(x) // 64][:64])
    np.save(ours.folder / "x.npy", x)
    good = compare("equal arrays, 64 images", ours.logits(ours.engine("fp32"), ours.folder / "x.npy"), logits(MODEL, x))
    pictures = [picture(x, i) for i in range(60)]
    files = [ours.folder / f"{i:02}.png" for i in range(60)]
    for image, path in zip(pictures, files):
        image.save(path)
    steps = "preprocess.steps=[{resize_short: 72}, {crop: 64}]"
    for name in ["bilinear", "bicubic"]:
        theirs = np.stack([normalized(resized(p, getattr(Image.Resampling, name.upper()))) for p in pictures])
        engine = ours.engine(name, steps, f"preprocess.interpolation={name}")
        good &= compare(f"pictures resized ({name}), 60 images", ours.logits(engine, *files), logits(MODEL, theirs))
    return good


def table(rows):
    lines = ["| engine | top-1, % | agreement, % | mean KL | latency, ms |", "|---|---:|---:|---:|---:|"]
    lines += [f"| {r['name']} | {r['top1']:.2f} | {r['agreement']:.2f} | {r['kl']:.5f} | {r['ms']:.3f} |" for r in rows]
    return "\n".join(lines) + "\n"


def page(ours, rows, n):
    doctor = json.loads(ours.run("doctor", "--json"))
    return (f"# The demo model, beside ONNX Runtime\n\n"
            f"`configs/resnet.yaml` by each method and ONNX Runtime {ort.__version__}'s `quantize_static` (QDQ, S8S8, "
            f"per-channel weights, BatchNormalization folded), calibrated on the same 240 images and judged on the same "
            f"{n:,} as equal arrays, each against its own FP32. Latency: one image, one thread, median, not "
            f"measured in turns. Processor: {doctor['processor']} (`cpu.isa` {doctor['cpu.isa_auto']}).\n\n"
            f"Made by `tests/peers/demo_vs_onnxruntime.py`.\n\n{table(rows)}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    parser.add_argument("--quantize", type=Path, default=target / "release/quantize")
    parser.add_argument("--out", type=Path, default=ROOT / "reports/cpu/demo.md")
    arguments = parser.parse_args()
    logging.getLogger().setLevel(logging.ERROR)
    (calib, calib_y), (x, y) = load(DATA / "calib"), load(DATA / "eval")
    with tempfile.TemporaryDirectory() as folder:
        ours = Ours(arguments.quantize.resolve(), Path(folder))
        good = fp32_checks(ours, x)
        np.savez(ours.folder / "calib.npz", images=calib, labels=calib_y)
        np.savez(ours.folder / "eval.npz", images=x, labels=y)
        theirs = onnxruntime_rows(ours.folder, calib, x, y)
        mine = our_rows(ours, ours.folder / "calib.npz", ours.folder / "eval.npz")
        same = abs(mine[0]["top1"] - theirs[0]["top1"]) < 1e-9
        print(f"{'ok  ' if same else 'FAIL'} FP32 top-1: {mine[0]['top1']:.2f} % and {theirs[0]['top1']:.2f} %")
        text = page(ours, mine + theirs, len(x))
    print(text)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(text)
    sys.exit(not (good and same))


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""INT8 and FP16 engines on a GPU beside PyTorch with cuDNN in FP16: images a second and latency.

    QUANTIZE_DATA=folder python3 tests/peers/gpu_speed.py --quantize target/release/quantize --out reports/gpu/speed

Every engine is built for its batch (tactics are tuned at it). Ours is measured with f32 images and with pixels (u8) on the
GPU, outputs left there (`bench --no-transfers`), and from pixels in pageable memory of the host to scores on the host
(`--in-flight 3`), beside what the slower of copying and computing allows. PyTorch runs the network of the same name with
random weights, channels last, in a CUDA graph, inputs on the GPU. Needs a GPU, its driver, NVRTC, and torch and torchvision
for the peer.
"""

import argparse
import datetime
import json
import os
import subprocess
import threading
import time
from pathlib import Path

MODELS = {
    "resnet50_eurosat": "resnet50",
    "mobilenet_v2_eurosat": "mobilenet_v2",
    "efficientnet_lite0": "efficientnet_lite0",
}


# What the configuration is changed to.
PRECISIONS = {
    "int8": [],
    "fp16": ["precision.default=float", "precision.fallback=fp16"],
    "mixed": ["precision.fallback=fp16"],
}


def ours(args, model, batch, precision, work):
    """Builds an engine for a batch and measures it."""
    config = Path("configs") / f"{model}.yaml"
    out = work / f"{model}-{batch}-{precision}"
    shape = json.dumps([batch, 3, 224, 224])
    name = next(line.split(":")[0].strip() for line in config.read_text().splitlines() if "[16, 3, 224, 224]" in line)
    command = [args.quantize, "build", "--config", config, "--set", "target=cuda", "--set", f"model.inputs.{name}={shape}"]
    command += ["--set", "calibration.method=minmax", "--set", f"calibration.samples={args.samples}"]
    command += ["--set", f"output.dir={out}"] + [part for key in PRECISIONS[precision] for part in ("--set", key)]
    start = time.time()
    built = subprocess.run(command, capture_output=True, text=True)
    cold = time.time() - start
    if built.returncode:
        raise SystemExit(f"{model}, batch {batch}: {built.stderr[-2000:]}")
    start = time.time()
    subprocess.run(command, capture_output=True, check=True)
    again = time.time() - start
    engine = next(out.glob("*.engine"))

    def bench(*more):
        line = [args.quantize, "bench", engine, "--batch", str(batch), "--duration", str(args.duration), "--json", *more]
        return json.loads(subprocess.run(line, capture_output=True, text=True, check=True).stdout)

    resident = bench("--no-transfers")
    with Memory() as memory:
        pixels = bench("--no-transfers", "--input", "u8")
    alone, host = bench("--input", "u8"), bench("--input", "u8", "--in-flight", "3")
    slower = max(alone[part]["median"] for part in ("h2d_ms", "compute_ms", "d2h_ms"))
    steps = bench("--profile")["profile"] if args.profile else []
    return {
        "model": model, "precision": precision, "batch": batch, "date": str(datetime.date.today()),
        "images_per_s": batch / resident["latency_ms"]["median"] * 1e3,
        "latency_ms": resident["latency_ms"]["median"], "spread_ms": [resident["latency_ms"][k] for k in ("min", "p95")],
        "pixels_per_s": batch / pixels["latency_ms"]["median"] * 1e3,
        "host_images_per_s": host["throughput_per_s"], "host_share": host["throughput_per_s"] * slower / 1e3 / batch,
        "memory_mb": memory.megabytes, "build_s": cold, "cached_build_s": again, "steps": steps,
    }


class Memory:
    """Megabytes of the GPU that are in use while it is open beyond those before, with all that the driver itself takes."""

    def used(self):
        query = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits"]
        return int(subprocess.run(query, capture_output=True, text=True, check=True).stdout.split()[0])

    def watch(self):
        while not self.over.wait(0.1):
            self.most = max(self.most, self.used())

    def __enter__(self):
        self.before = self.most = self.used()
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.watch)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()
        self.megabytes = self.most - self.before


def efficientnet_lite0():
    """EfficientNet-Lite0, which torchvision does not have: EfficientNet-B0 without squeeze-and-excitation, by ReLU6.

    Source: https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite
    """
    from torch import nn
    from torchvision.ops import Conv2dNormActivation

    def conv(inputs, outputs, kernel, stride=1, groups=1, act=nn.ReLU6):
        return Conv2dNormActivation(inputs, outputs, kernel, stride, groups=groups, activation_layer=act)

    class Block(nn.Module):
        def __init__(self, inputs, outputs, expansion, kernel, stride):
            super().__init__()
            inner = inputs * expansion
            widen = [conv(inputs, inner, 1)] if expansion > 1 else []
            self.layers = nn.Sequential(*widen, conv(inner, inner, kernel, stride, inner), conv(inner, outputs, 1, act=None))
            self.adds = stride == 1 and inputs == outputs

        def forward(self, x):
            return x + self.layers(x) if self.adds else self.layers(x)

    # expansion, kernel, stride, channels, blocks
    stages = [(1, 3, 1, 16, 1), (6, 3, 2, 24, 2), (6, 5, 2, 40, 2), (6, 3, 2, 80, 3), (6, 5, 1, 112, 3), (6, 5, 2, 192, 4),
              (6, 3, 1, 320, 1)]
    layers, channels = [conv(3, 32, 3, 2)], 32
    for expansion, kernel, stride, outputs, blocks in stages:
        for i in range(blocks):
            layers.append(Block(channels, outputs, expansion, kernel, stride if i == 0 else 1))
            channels = outputs
    return nn.Sequential(*layers, conv(320, 1280, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1280, 1000))


def torch_peer(name, batch, seconds):
    """Images a second and milliseconds of a batch in a CUDA graph, FP16, channels last."""
    import torch
    import torchvision

    torch.backends.cudnn.benchmark = True
    torch.cuda.reset_peak_memory_stats()
    made = efficientnet_lite0 if name == "efficientnet_lite0" else getattr(torchvision.models, name)
    net = made().eval().cuda().half().to(memory_format=torch.channels_last)
    x = torch.randn(batch, 3, 224, 224, device="cuda").half().to(memory_format=torch.channels_last)
    with torch.no_grad():
        side = torch.cuda.Stream()
        with torch.cuda.stream(side):
            for _ in range(3):
                net(x)
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            net(x)
        times, start = [], time.time()
        while time.time() - start < seconds or len(times) < 5:
            a, b = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            a.record()
            for _ in range(5):
                graph.replay()
            b.record()
            torch.cuda.synchronize()
            times.append(a.elapsed_time(b) / 5)
    ms = sorted(times)[len(times) // 2]
    reserved = torch.cuda.max_memory_reserved() >> 20
    del graph, net, x
    torch.cuda.empty_cache()
    return {"images_per_s": batch / ms * 1e3, "latency_ms": ms, "memory_mb": reserved}


def shown(value, digits=0):
    """A cell; a dash where nothing was measured."""
    return "–" if value is None else f"{value:,.{digits}f}"


def page(rows, gpu):
    """The table."""
    lines = ["# INT8 and FP16 on a GPU", "", f"{gpu}. Made by `tests/peers/gpu_speed.py`; medians. Rows that a run does not measure stay as they were. "
             "*Resident*: f32 NCHW images on the GPU to scores on the GPU; *pixels*: from u8 images there. *Host*: "
             "from u8 images in pageable memory to scores on the host, three batches in flight, and its share of the "
             "slower of copying and computing. *MB*: of the GPU's memory in use, ours with what the driver takes for itself, "
             "PyTorch's what it reserved.", "",
             "| model | precision | batch | date | resident, images/s | ms | min to p95 | pixels, images/s | host, images/s | share, % | "
             "MB | PyTorch FP16 graph, images/s | ms | MB | ratio | cold build, s | again, s |",
             "|---|---|---:|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|"]
    for r in rows:
        p = r.get("torch", {})
        ratio = r["images_per_s"] / p["images_per_s"] if p else None
        share = 100 * r["host_share"] if "host_share" in r else None
        spread = " to ".join(shown(t, 4) for t in r["spread_ms"]) if "spread_ms" in r else shown(None)
        cells = [shown(r["images_per_s"]), shown(r["latency_ms"], 4), spread,
                 shown(r.get("pixels_per_s")), shown(r["host_images_per_s"]),
                 shown(share), shown(r.get("memory_mb")), shown(p.get("images_per_s")), shown(p.get("latency_ms"), 3),
                 shown(p.get("memory_mb")), shown(ratio, 2), shown(r["build_s"], 1), shown(r["cached_build_s"], 1)]
        lines.append(f"| {r['model']} | {r['precision']} | {r['batch']} | {r['date']} | {' | '.join(cells)} |")
    notes = [f"- {r['model']}, {r['precision']}, batch {r['batch']}: {r['note']}" for r in rows if "note" in r]
    return "\n".join([*lines, "", *notes]).rstrip() + "\n"


def key(row):
    """What a row is of."""
    return row["model"], row["precision"], row["batch"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quantize", default="target/release/quantize")
    parser.add_argument("--out", default="reports/gpu/speed", help="without extension; .md and .json are written")
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--batches", default="256,1")
    parser.add_argument("--precisions", default="int8,fp16", help=", ".join(PRECISIONS))
    parser.add_argument("--samples", type=int, default=16, help="calibration images; speed does not depend on them")
    parser.add_argument("--duration", type=float, default=2.0)
    parser.add_argument("--note", help="a sentence on these rows, for the page")
    parser.add_argument("--profile", action="store_true", help="the time of every step, into the .json")
    parser.add_argument("--no-torch", action="store_true")
    parser.add_argument("--work", default="/tmp/gpu_speed")
    args = parser.parse_args()
    gpu = subprocess.run(["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"],
                         capture_output=True, text=True, check=True).stdout.strip()
    os.makedirs(os.path.dirname(args.out) or ".", exist_ok=True)
    kept = Path(args.out + ".json")
    known = json.loads(kept.read_text())["rows"] if kept.is_file() else []
    rows = {key(r): r for r in known}
    for model in args.models.split(","):
        for batch in map(int, args.batches.split(",")):
            peer = None
            if not args.no_torch:
                peer = torch_peer(MODELS[model], batch, args.duration)
            for precision in args.precisions.split(","):
                row = ours(args, model, batch, precision, Path(args.work)) | ({"torch": peer} if peer else {})
                row |= {"note": args.note} if args.note else {}
                rows[key(row)] = row
                print({k: v for k, v in row.items() if k != "steps"}, flush=True)
                kept.write_text(json.dumps({"gpu": gpu, "rows": list(rows.values())}, indent=1))
                Path(args.out + ".md").write_text(page(rows.values(), gpu))


if __name__ == "__main__":
    main()

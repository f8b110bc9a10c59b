#!/usr/bin/env python3
"""Speed of INT8 and FP32 on this CPU: ours, ONNX Runtime's, OpenVINO's.

    pip install -r tests/peers/requirements.txt -r tests/peers/requirements-openvino.txt
    cargo build --release
    QUANTIZE_DATA=folder python tests/peers/speed.py [--models a,b] [--rounds 5] [--seconds 1]

Every number is measured in a process of its own, pinned to as many cores as it has threads, all engines in turns; of the
rounds the best and the median are kept. Our engines are built for one thread. Models that were converted stay in the --work folder.
"""
import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

import pages
import speed_page
from ours import PROGRAM, ROOT, Ours
from zoo import models

MODELS = ["resnet50_eurosat", "mobilenet_v2_eurosat", "efficientnet_lite0", "squeezenet1_1"]
CELLS = [(threads, batch) for threads in (1, 2) for batch in (1, 16)]
LARGEST = max(batch for _, batch in CELLS)
CONVERTED_WITH = 16  # calibration images; the speed does not depend on them
PEER = Path(__file__).with_name("speed_peer.py")


# ---- processes


def cores(count):
    """`taskset` to so many cores, each of another physical core where there are enough."""
    usable, seen, first, rest = sorted(os.sched_getaffinity(0)), set(), [], []
    for core in usable:
        siblings = Path(f"/sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list")
        physical = siblings.read_text() if siblings.exists() else core
        (rest if physical in seen else first).append(core)
        seen.add(physical)
    chosen = ",".join(map(str, (first + rest)[:count]))
    return ["taskset", "-c", chosen] if shutil.which("taskset") else []


def peer(*arguments, prefix=()):
    """JSON of a peer's process."""
    done = subprocess.run([*prefix, sys.executable, PEER, *map(str, arguments)], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{PEER.name} {' '.join(map(str, arguments))}\n{done.stdout}{done.stderr}")
    return json.loads(done.stdout.strip().splitlines()[-1])


# ---- images a second


def our_engines(model, ours, folder, isa):
    """Our engines of the model, built where they are not there yet, for the largest batch measured."""
    kinds = {"ours INT8": {}, "ours FP32": {"precision.default": "float"}}
    if isa == "amx":
        kinds["ours INT8, VNNI"] = {"cpu.isa": "avx512-vnni"}
    engines = {}
    for label, sets in kinds.items():
        out = folder / f"{label} {ours.digest}".replace(",", "").replace(" ", "-")
        engine = out / f"{model.name}.engine"
        if not engine.exists():
            fixed = {"output.dir": out, "calibration.samples": CONVERTED_WITH, "calibration.method": "minmax",
                     "target": "cpu", "cpu.threads": 1}
            ours.configured(model.name, {**fixed, **sets}, command=["build"], prefix=cores(1))
        engines[label] = engine
    return engines


def engines(model, ours, work, isa):
    """Label and file of everything that is measured."""
    folder = work / model.name
    folder.mkdir(parents=True, exist_ok=True)
    peers = peer("convert", model.name, CONVERTED_WITH, folder)
    return {**our_engines(model, ours, folder, isa),
            "ORT INT8": peers["ort"], "ORT FP32": model.path,
            "OpenVINO INT8": peers["nncf"], "OpenVINO FP32": f"openvino:{model.path}"}


def bench(ours, engine, threads, batch, seconds):
    """One measurement, pinned."""
    if Path(str(engine)).suffix != ".engine":
        return peer("bench", engine, threads, batch, seconds, prefix=cores(threads))
    times = ours.run("bench", engine, "--threads", threads, "--batch", batch, "--duration", seconds,
                     "--warmup", seconds / 3, "--json", prefix=cores(threads))
    times = json.loads(times)
    return {"throughput_per_s": times["throughput_per_s"], "min_ms": times["latency_ms"]["min"],
            "median_ms": times["latency_ms"]["median"]}


def throughput(model, ours, arguments, isa):
    """All cells of a model: engine by threads and batch. `images_per_s` is the best round's."""
    print(f"{model.name}: converting", flush=True)
    found, rows = engines(model, ours, arguments.work, isa), []
    for threads, batch in CELLS:
        runs = {label: [] for label in found}
        for _ in range(arguments.rounds):
            for label, engine in found.items():  # in turns: a machine that slows down slows all
                runs[label].append(bench(ours, engine, threads, batch, arguments.seconds))
        for label, rounds in runs.items():
            rates = [r["throughput_per_s"] for r in rounds]
            rows.append({"model": model.name, "engine": label, "threads": threads, "batch": batch,
                         "images_per_s": max(rates), "median_images_per_s": statistics.median(rates),
                         "min_ms": min(r["min_ms"] for r in rounds),
                         "median_ms": statistics.median(r["median_ms"] for r in rounds)})
        line = ", ".join(f"{label} {max(r['throughput_per_s'] for r in rs):.1f}" for label, rs in runs.items())
        print(f"{model.name}, {threads} threads, batch {batch}: {line} images/s", flush=True)
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quantize", type=Path, default=PROGRAM, help="the program")
    parser.add_argument("--models", default=",".join(MODELS), help="names of models.json, with commas")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1, help="of a measurement")
    parser.add_argument("--work", type=Path, default=ROOT / "target/speed", help="folder of converted models")
    parser.add_argument("--join", type=Path, nargs="*", default=[], help=".json of runs for other models, same machine")
    parser.add_argument("--out", type=Path, default=ROOT / "reports/cpu/speed.md", help="the page; .json beside it")
    arguments = parser.parse_args()
    arguments.work = arguments.work.resolve()
    ours, named = Ours(arguments.quantize), [name for name in arguments.models.split(",") if name]
    joined = [json.loads(page.read_text()) for page in arguments.join]
    result = {**pages.facts(ours), "rounds": arguments.rounds, "seconds": arguments.seconds}
    rows = [row for name in named for row in throughput(*models([name]), ours, arguments, result["isa"])]
    if not named:  # a page of other runs alone, on their machine
        result = {**joined[0]}
    result["throughput"] = [row for page in joined for row in page["throughput"]] + rows
    result["ratios"] = speed_page.ratios(result)
    pages.write(arguments.out, result, speed_page.page(result))


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""What happens before an engine is fast: calibrating, building, starting; beside ONNX Runtime.

    pip install -r tests/peers/requirements.txt
    cargo build --release
    QUANTIZE_DATA=folder python tests/peers/chain.py [--rounds 5]

Every number is measured in a process of its own, on all cores, what is compared in turns; of the rounds the shortest is
kept. One model is calibrated and built, all of speed.py's are started.
"""
import argparse
import json
import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import chain_page
import pages
from ours import PROGRAM, ROOT, Ours, configured
from speed import CONVERTED_WITH, MODELS, our_engines, peer
from zoo import models

CALIBRATED_WITH = 128
SPENT = re.compile(r"forward pass ([\d.]+) s, statistics ([\d.]+) s, waiting for images ([\d.]+) s")


def watched(*command):
    """Wall seconds of a command, its processor seconds, its peak memory in MB, and what it said."""
    start = time.monotonic()
    process = subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    messages = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(map(str, command))}\n{messages}")
    return {"seconds": time.monotonic() - start, "cpu_seconds": usage.ru_utime + usage.ru_stime,
            "peak_mb": usage.ru_maxrss / 1024}, messages


def shortest(runs):
    return min(runs, key=lambda r: r["seconds"])


# ---- calibration


def calibration(model, ours, folder, rounds):
    """Calibration of ours beside its own FP32 pass: the same images, all cores. `auto` and ONNX Runtime's Entropy, which
    take minutes, once."""
    fp32 = our_engines(model, ours, folder, None)["ours FP32"]
    images = model.images("calib", CALIBRATED_WITH).files
    out = folder / "calibration"
    command = ["-v", "calibrate", *configured(model.name, {
        "output.dir": out, "calibration.samples": CALIBRATED_WITH, "calibration.method": "entropy"})]
    auto = [a.replace("entropy", "auto") if isinstance(a, str) else a for a in command]
    steps = {"our FP32 engine, the same images": [], "ours, entropy": [], "ours, entropy, statistics there": []}
    spent = []
    for _ in range(rounds):
        forward, _ = watched(ours.program, "--quiet", "run", fp32, *images, "--out", folder / "logits.npz")
        steps["our FP32 engine, the same images"].append(forward)
        shutil.rmtree(out, ignore_errors=True)
        row, messages = watched(ours.program, *command)
        steps["ours, entropy"].append(row)
        spent.append(dict(zip(("forward", "statistics", "waiting"), map(float, SPENT.search(messages).groups()))))
        steps["ours, entropy, statistics there"].append(watched(ours.program, *command)[0])
    found = {label: shortest(runs) for label, runs in steps.items()}
    found["ours, auto, statistics there"] = watched(ours.program, *auto)[0]
    found["ONNX Runtime, Entropy"] = peer("calibrate", model.name, CALIBRATED_WITH, folder)
    return {"steps": found, "spent": min(spent, key=lambda s: sum(s.values()))}


# ---- building


def building(model, ours, folder, rounds):
    """Builds after a calibration: without a timing cache, and with one."""
    out = folder / "build"
    sets = {"output.dir": out, "calibration.samples": CALIBRATED_WITH, "calibration.method": "entropy"}
    arguments = configured(model.name, sets)
    watched(ours.program, "--quiet", "calibrate", *arguments)
    runs = {"cold": [], "cached": []}
    for _ in range(rounds):
        (out / "timing.cache").unlink(missing_ok=True)
        for label, rows in runs.items():
            rows.append(watched(ours.program, "--quiet", "build", *arguments)[0])
    return {label: shortest(rows) for label, rows in runs.items()}


# ---- starting


def starting(found, ours, rounds):
    """Milliseconds from a file to the first result of one image, and to a session."""
    times = {label: [] for label in found}
    for _ in range(rounds):
        for label, engine in found.items():  # in turns: a machine that slows down slows all
            times[label].append(start(ours, engine))
    return {label: min(runs, key=lambda r: r["ms"]) for label, runs in times.items()}


def start(ours, engine):
    """One start, in a process of its own."""
    if Path(str(engine)).suffix != ".engine":
        return peer("start", engine)
    row = json.loads(ours.run("bench", engine, "--duration", 0, "--warmup", 0, "--json"))["start_ms"]
    return {"session_ms": row["load"] + row["session"], "ms": row["total"]}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quantize", type=Path, default=PROGRAM, help="the program")
    parser.add_argument("--models", default=",".join(MODELS), help="the models that are started")
    parser.add_argument("--chain", default="resnet50_eurosat", help="the model that is calibrated and built; `none`")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--work", type=Path, default=ROOT / "target/speed", help="folder of converted models")
    parser.add_argument("--out", type=Path, default=ROOT / "reports/cpu/chain.md", help="the page; .json beside it")
    arguments = parser.parse_args()
    arguments.work = arguments.work.resolve()
    ours = Ours(arguments.quantize)
    about = pages.facts(ours)
    result = {**about, "rounds": arguments.rounds, "images": CALIBRATED_WITH, "start": {}}
    for model in models(arguments.models.split(",")):
        folder = arguments.work / model.name
        folder.mkdir(parents=True, exist_ok=True)
        found = {**our_engines(model, ours, folder, None), "ORT FP32": model.path,
                 "ORT INT8": peer("convert_ort", model.name, CONVERTED_WITH, folder)["ort"]}
        result["start"][model.name] = starting(found, ours, arguments.rounds)
        print(model.name, result["start"][model.name], flush=True)
    if arguments.chain != "none":
        model, = models([arguments.chain])
        folder = arguments.work / model.name / "chain"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        result["model"] = model.name
        result["build"] = building(model, ours, folder, arguments.rounds)
        print(result["build"], flush=True)
        result["calibration"] = calibration(model, ours, folder, arguments.rounds)
    pages.write(arguments.out, result, chain_page.page(result))


if __name__ == "__main__":
    main()

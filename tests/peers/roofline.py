#!/usr/bin/env python3
"""How near each layer of our INT8 engine comes to what this CPU can multiply at most.

    cargo build --release
    QUANTIZE_DATA=folder python tests/peers/roofline.py [--model resnet50_eurosat] [--rounds 9]

One thread, one image. The peak is that of `quantize doctor --measure`: inner products alone, from the nearest cache. Peak
and layers are measured in turns; of the rounds the highest peak and each layer's shortest time are kept.
"""
import argparse
import json
from pathlib import Path

import pages
from ours import PROGRAM, ROOT, Ours
from speed import cores, our_engines
from zoo import models

# Percent of the peak, over the whole net: for an instruction set with a goal of its own, and for others.
GOALS, GOAL = {"amx": 40}, 60


def measure(ours, engine, rounds, seconds):
    """The peak in GOP/s, and each step in order with its shortest time."""
    peaks, steps = [], {}
    for _ in range(rounds):
        about = json.loads(ours.run("doctor", "--measure", "--json", prefix=cores(1)))
        isa = about["cpu.isa_auto"]
        peaks += [p["INT8_GOP/s"] for p in about["peaks_of_one_thread"] if p["name"] == isa]
        found = json.loads(ours.run("bench", engine, "--threads", 1, "--profile", "--duration", seconds, "--warmup",
                                    seconds / 3, "--json", prefix=cores(1)))
        for i, step in enumerate(found["profile"]):
            known = steps.setdefault(i, step)
            steps[i] = min(known, step, key=lambda s: s["time_us"])
    return max(peaks), list(steps.values())


def gop(step):
    """Billions of operations of a step, a multiplication and an addition counted as two."""
    return 2 * step["gmac_per_s"] * step["time_us"] * 1e-6


def shares(peak, steps):
    """Every step's share of the peak in percent; the whole net's; and that of its multiplying steps alone."""
    rows = [{**s, "gop": gop(s), "percent": 100 * gop(s) / (s["time_us"] * 1e-6) / peak} for s in steps]
    multiplying = [r for r in rows if r["gop"] > 0]
    total = sum(r["gop"] for r in rows)
    percent = lambda some: 100 * total / sum(r["time_us"] * 1e-6 for r in some) / peak
    return {"steps": rows, "net_percent": percent(rows), "multiplying_percent": percent(multiplying)}


def page(result):
    time = sum(s["time_us"] for s in result["steps"])
    rows = [[s["name"], s["op"], s["tactic"], f"{s['gop']:.3f}", f"{s['time_us']:.0f}", f"{100 * s['time_us'] / time:.1f}",
             f"{s['percent']:.0f}" if s["gop"] else ""] for s in result["steps"]]
    head = ["step", "operator", "tactic", "GOP", "µs", "% of the time", "% of the peak"]
    goal = GOALS.get(result["isa"], GOAL)
    reached = "is reached" if result["net_percent"] >= goal else "is not reached"
    return (f"# Share of the INT8 peak: {result['model']}\n\n{pages.in_words(result)}\n\n"
            f"One thread, one image: the shortest of {result['rounds']} rounds for each step, the highest of as many for "
            f"the peak, which is {result['peak_gops']:.0f} GOP/s (`quantize doctor --measure`: inner products alone, from "
            f"the nearest cache; a multiplication and an addition are two operations).\n\n"
            f"Made by `tests/peers/roofline.py --model {result['model']}`.\n\n"
            f"The whole net runs at **{result['net_percent']:.0f} %** of the peak, its multiplying steps alone at "
            f"{result['multiplying_percent']:.0f} %. The goal of {goal} % {reached}.\n\n"
            f"{pages.table(head, rows)}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quantize", type=Path, default=PROGRAM, help="the program")
    parser.add_argument("--model", default="resnet50_eurosat", help="a name of models.json")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=0.6, help="of a measurement")
    parser.add_argument("--work", type=Path, default=ROOT / "target/speed", help="folder of built engines")
    parser.add_argument("--out", type=Path, default=ROOT / "reports/cpu/roofline.md", help="the page; .json beside it")
    arguments = parser.parse_args()
    ours = Ours(arguments.quantize)
    model, = models([arguments.model])
    folder = arguments.work.resolve() / model.name
    folder.mkdir(parents=True, exist_ok=True)
    engine = our_engines(model, ours, folder, None)["ours INT8"]
    peak, steps = measure(ours, engine, arguments.rounds, arguments.seconds)
    result = {**pages.facts(ours), "model": model.name, "rounds": arguments.rounds, "peak_gops": peak,
              **shares(peak, steps)}
    pages.write(arguments.out, result, page(result))


if __name__ == "__main__":
    main()

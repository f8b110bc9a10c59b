#!/usr/bin/env python3
"""Accuracy of the classifiers of QUANTIZE_DATA in INT8: ours by every method, ONNX Runtime's, NNCF's.

    pip install -r tests/peers/requirements.txt -r tests/peers/requirements-openvino.txt
    cargo build --release
    QUANTIZE_DATA=folder python tests/peers/accuracy.py [--samples N] [--models a,b] [--peers none|ort|nncf|all] [--join]

All are calibrated on the same images, the first 100 of each calibration list, and judged on the first N (or all) of the
evaluation list, each against FP32 under its own decoder of JPEG: ours, or Pillow for the peers. Finished rows stay in the
--work folder, so that an interrupted run goes on where it was; rows of ours are done again when the program changed.
"""
import argparse
import json
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import accuracy_page
import numpy as np
import pages
from ours import PROGRAM, ROOT, Ours
from pages import versions
from scores import scores
from zoo import models

CALIBRATION = 100
BATCH = 16
METHODS = ["minmax", "percentile", "entropy", "mse", "auto", "auto s8"]
ORT_VARIANTS = [f"{types} {method}" for method in ("MinMax", "Percentile", "Entropy") for types in ("U8S8", "S8S8")]
NNCF_PRESETS = ["default", "mixed"]
# Instruction sets without an instruction that adds products of 8 bits in 32.
SATURATING = ["scalar", "avx2"]


@dataclass(frozen=True, eq=False)
class Row:
    """A row of the table, before it is measured."""
    model: object
    engine: str   # quantize, onnxruntime, nncf
    variant: str  # the method, with types where there is a choice
    samples: int  # 0: all

    @property
    def name(self):
        return f"{self.engine} {self.variant}"

    @property
    def work(self):
        """Its expected cost, in multiply-accumulates: images, and a fixed part."""
        part = len(self.model.images("eval", self.samples or None)) + 4 * CALIBRATION
        return part * (self.model.macs + 5e7) + 2e10


# ---- a row's numbers; the peers' run in a process of their own, which gives its memory back


def measure_ours(row, folder, ours):
    method, _, types = row.variant.partition(" ")
    sets = {"calibration.method": method, "calibration.samples": CALIBRATION, "gate": "{}"}
    if types:
        sets["precision.activations"] = types
    if row.samples:
        sets["evaluation.samples"] = row.samples
    # one folder for all methods: the cache in it holds the statistics
    report = ours.report(row.model.name, folder / f"ours{types}", sets)
    a = report["accuracy"]
    return {"n": a["n"], "top1": a["engine"]["top1"], "drop": a["drop_top1"], "drop_ci95": a["drop_ci95"],
            "agreement": a["agreement_top1"], "kl": a["mean_kl"], "fp32_top1": a["reference"]["top1"],
            "int8_macs": report["coverage"]["int8_macs"] if report.get("coverage") else None}


def reference(model, images, folder):
    """Logits of the FP32 model under ONNX Runtime, kept in a file."""
    import onnxruntime_peer
    file = folder / f"fp32-{len(images)}.npy"
    if not file.exists():
        with open(file.with_suffix(".part"), "wb") as part:
            np.save(part, onnxruntime_peer.logits(model.path, images.batches(BATCH)))
        file.with_suffix(".part").rename(file)
    return np.load(file)


def measure_peer(row, folder):
    images = row.model.images("eval", row.samples or None)
    calibration = row.model.images("calib", CALIBRATION)

    def batches():
        return calibration.batches(1)

    before = reference(row.model, images, folder)
    if row.engine == "onnxruntime":
        import onnxruntime_peer as peer
        types, method = row.variant.split()
        path = peer.quantize(row.model.path, folder, batches, method, types, folder / f"ranges_{method}.json")
    else:
        import openvino_peer as peer
        path = peer.quantize(row.model.path, folder, batches, row.variant)
    after = peer.logits(path, images.batches(BATCH))
    already = row.model.outputs_probabilities
    result = scores(before, after, images.labels, already)
    return {**result, "fp32_top1": scores(before, before, images.labels, already)["top1"]}


def measure(row, folder, ours):
    """The row's numbers, or why there are none."""
    if row.engine == "quantize":
        return measure_ours(row, folder, ours)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        try:
            return process.submit(measure_peer, row, folder).result()
        except BrokenProcessPool:
            return {"failed": "its process was killed (memory?)"}
        except Exception as e:  # a peer that cannot do a model is a result too
            return {"failed": f"{type(e).__name__}: {e}"[:300]}


# ---- the run


def plan(arguments):
    """All rows wanted, model by model."""
    variants = [("quantize", m) for m in arguments.methods if m]
    if arguments.peers in ("ort", "all"):
        variants += [("onnxruntime", v) for v in ORT_VARIANTS]
    if arguments.peers in ("nncf", "all"):
        variants += [("nncf", p) for p in NNCF_PRESETS]
    variants = [(e, v) for e, v in variants if arguments.variants is None or v in arguments.variants or e == "quantize"]
    return [Row(m, e, v, arguments.samples) for m in models(arguments.models) for e, v in variants]


def key(row, ours):
    """What a finished row depends on."""
    version = ours.digest if row.engine == "quantize" else versions()
    return json.dumps([len(row.model.images("eval", row.samples or None)), CALIBRATION, version])


def load(file, wanted):
    """A finished row, if it is of use."""
    if file.exists():
        kept = json.loads(file.read_text())
        if kept["key"] == wanted:
            return kept["row"]
    return None


def run(rows, arguments, ours):
    """Measures what is not in the work folder yet."""
    files = {r: arguments.work / r.model.name / f"{r.name.replace(' ', '_')}.row.json" for r in rows}
    results = {r: load(files[r], key(r, ours)) for r in rows}
    todo = [r for r in rows if results[r] is None]
    print(f"{len(rows)} rows, {len(rows) - len(todo)} of them in {arguments.work}", flush=True)
    total, done, start = sum(r.work for r in todo), 0, time.monotonic()
    for i, r in enumerate(todo):
        began = time.monotonic()
        files[r].parent.mkdir(parents=True, exist_ok=True)
        row = {"model": r.model.name, "engine": r.engine, "variant": r.variant, **measure(r, files[r].parent, ours)}
        row["seconds"] = round(time.monotonic() - began, 1)
        if "failed" not in row:
            files[r].write_text(json.dumps({"key": key(r, ours), "row": row}))
        results[r] = row
        done += r.work
        left = (time.monotonic() - start) * (total - done) / done
        print(f"[{i + 1}/{len(todo)}, {left / 60:.0f} min left] {r.model.name} {r.name}: "
              f"{accuracy_page.in_words(row)} ({row['seconds']} s)", flush=True)
    return [results[r] for r in rows]


def joined(earlier, rows):
    """The rows of an earlier run, but those of a model that is judged on other images now, with those of this one in their
    places."""
    rows = [r for r in rows if "failed" not in r]
    images = {r["model"]: r["n"] for r in rows}
    kept = [r for r in earlier["rows"] if images.get(r["model"], r["n"]) == r["n"]]
    order = [("quantize", m) for m in METHODS] + [("onnxruntime", v) for v in ORT_VARIANTS] + [("nncf", p) for p in NNCF_PRESETS]
    place = lambda r: (r["model"], r["engine"], r["variant"])
    every = {place(r): r for r in kept} | {place(r): r for r in rows}
    models = list(dict.fromkeys(r["model"] for r in [*kept, *rows]))
    rank = {row: i for i, row in enumerate(order)}
    return sorted(every.values(), key=lambda r: (models.index(r["model"]), rank.get((r["engine"], r["variant"]), len(rank))))


def names(text):
    return text.split(",")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quantize", type=Path, default=PROGRAM, help="the program")
    parser.add_argument("--samples", type=int, default=0, help="evaluation images a model (default: all)")
    parser.add_argument("--models", type=names, help="names of models.json, with commas (default: all)")
    parser.add_argument("--peers", choices=["none", "ort", "nncf", "all"], default="all")
    parser.add_argument("--methods", type=names, default=METHODS, help=f"of ours (default: {','.join(METHODS)}; '' for none)")
    parser.add_argument("--variants", type=names, help="of the peers (default: all)")
    parser.add_argument("--join", action="store_true", help="keep the rows of an earlier run that this one does not measure")
    parser.add_argument("--note", help="a sentence on this run's rows, for the page")
    parser.add_argument("--work", type=Path, default=ROOT / "target/accuracy", help="folder of what is finished")
    parser.add_argument("--out", type=Path, default=ROOT / "reports/cpu/accuracy.md", help="the page; .json beside it")
    arguments = parser.parse_args()
    if unknown := set(arguments.methods) - {*METHODS, ""}:
        sys.exit(f"no such method: {', '.join(sorted(unknown))}; there are {', '.join(METHODS)}")
    if unknown := set(arguments.variants or []) - {*ORT_VARIANTS, *NNCF_PRESETS}:
        sys.exit(f"no such variant: {', '.join(sorted(unknown))}; there are {', '.join(ORT_VARIANTS + NNCF_PRESETS)}")
    arguments.work = arguments.work.resolve()
    ours = Ours(arguments.quantize)
    about = {**pages.facts(ours), "calibration_images": CALIBRATION, "evaluation_images": arguments.samples or "all"}
    if about["isa"] in SATURATING and arguments.peers in ("ort", "all"):
        print(f"note: with {about['isa']} ONNX Runtime adds products of u8 and s8 in 16 bits, which saturate: its rows are worse "
              "here than on a CPU with VNNI, and none to compare with", file=sys.stderr)
    rows = run(plan(arguments), arguments, ours)
    known = arguments.out.with_suffix(".json")
    if arguments.join and known.is_file():
        earlier = json.loads(known.read_text())
        rows = joined(earlier, rows)
        about["notes"] = earlier.get("notes", [])
    if arguments.note:
        about["notes"] = [*about.get("notes", []), arguments.note]
    pages.write(arguments.out, {**about, "rows": rows}, accuracy_page.page(about, rows))


if __name__ == "__main__":
    main()

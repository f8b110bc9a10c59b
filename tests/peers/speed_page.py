"""The page of `speed.py`, and the ratios on it."""
from pages import in_words, table

PEERS = ["ORT", "OpenVINO"]


def cells(rows):
    """Engine to images a second, for each model, threads and batch."""
    found = {}
    for r in rows:
        found.setdefault((r["model"], r["threads"], r["batch"]), {})[r["engine"]] = r["images_per_s"]
    return found


def ratios(result):
    """How many times as fast ours is; of time and memory, ours over theirs."""
    speed = []
    for (model, threads, batch), found in cells(result["throughput"]).items():
        row = {"model": model, "threads": threads, "batch": batch}
        for ours in (e for e in found if e.startswith("ours")):
            kind = "FP32" if "FP32" in ours else "INT8"
            for peer in PEERS:
                row[f"{ours} / {peer} {kind}"] = found[ours] / found[f"{peer} {kind}"]
            row[f"{ours} / faster peer"] = found[ours] / max(found[f"{p} {kind}"] for p in PEERS)
        row["ours INT8 / ours FP32"] = found["ours INT8"] / found["ours FP32"]
        speed.append(row)
    return {"throughput": speed, **(chain_ratios(result["chain"]) if "chain" in result else {})}


def chain_ratios(chain):
    c, start = chain["calibration"], chain["start_ms"]
    entropy, forward, ort = c["ours, entropy"], c["our FP32 engine, the same images"], c["ONNX Runtime, Entropy"]
    return {
        "calibration": {"ours / own FP32 pass": entropy["seconds"] / forward["seconds"],
                        "ONNX Runtime / ours": ort["seconds"] / entropy["seconds"],
                        "memory, ONNX Runtime / ours": ort["peak_mb"] / entropy["peak_mb"]},
        "start": {f"ours INT8 / {label}": start["ours INT8"] / ms for label, ms in start.items()
                  if not label.startswith("ours")},
    }


def short(x):
    return f"{x:.0f}" if x >= 100 else f"{x:.1f}"


def throughput(result):
    """A table of each model: images a second, then ratios."""
    parts, found = [], cells(result["throughput"])
    for model in dict.fromkeys(m for m, _, _ in found):
        columns = [key for key in found if key[0] == model]
        head = [model] + [f"{t}×{b}" for _, t, b in columns]
        rows = [[engine, *(short(found[c][engine]) for c in columns)] for engine in found[columns[0]]]
        times = {(r["model"], r["threads"], r["batch"]): r for r in result["ratios"]["throughput"]}
        kept = [k for k in times[columns[0]] if k.endswith((" / faster peer", " / ours FP32"))]
        rows += [[f"*{k}*", *(f"{times[c][k]:.2f}" for c in columns)] for k in kept]
        parts.append(table(head, rows))
    return "\n".join(parts)


def chain(result):
    c, r = result["chain"], result["ratios"]
    rows = [[name, f"{v['seconds']:.1f}", f"{v['peak_mb']:,.0f}"] for name, v in c["calibration"].items()]
    rows += [[f"build, {name}", f"{v['seconds']:.1f}", f"{v['peak_mb']:,.0f}"] for name, v in c["build"].items()]
    said = ", ".join(f"{name} {value:.2f}" for name, value in r["calibration"].items())
    stages = ", ".join(f"{name} {s:.1f}" for name, s in c["stages"].items() if s)
    starts = [[name, short(ms), f"{c['start_ms']['ours INT8'] / ms:.2f}"] for name, ms in c["start_ms"].items()]
    return (f"## Calibrating and building {c['model']}\n\n{c['images']} images, wall time and peak memory of the whole "
            f"process (of ONNX Runtime: of `quantize_static` alone, the images decoded in Python). *Statistics there*: "
            f"the calibration cache holds them already.\n\n"
            f"{table(['step', 'seconds', 'peak MB'], rows)}\nRatios: {said}.\n\n"
            f"Seconds of a fresh chain's stages (method entropy, one evaluation image): {stages}.\n\n"
            f"## Start\n\nFrom nothing to the first result of one image, all cores. Ours: the whole process, its start "
            f"and the output's file included. Peers: session creation and the first run, without Python's start.\n\n"
            f"{table(['engine', 'ms', 'ours INT8 / this'], starts)}")


def page(result):
    """The whole page."""
    intro = (f"# Speed in INT8 and FP32, beside ONNX Runtime and OpenVINO\n\n{in_words(result)}\n\n"
             f"Images a second, threads × batch: the best of {result['rounds']} rounds of {result['seconds']:g} s, all "
             f"engines in turns, each in a process pinned to as many cores as threads. ORT INT8: `quantize_static`, QDQ, "
             f"U8S8, MinMax, per channel. OpenVINO INT8: NNCF's default; FP32: in FP32, where it would take BF16 by itself. "
             f"The .json beside this page has the medians, latencies and every ratio.\n\n"
             f"Made by `tests/peers/speed.py`.\n\n## Images a second\n")
    return "\n".join([intro, throughput(result), *([chain(result)] if "chain" in result else [])])

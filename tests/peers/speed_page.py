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
    """How many times as fast ours is."""
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
    return {"throughput": speed}


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


def page(result):
    """The whole page."""
    intro = (f"# Speed in INT8 and FP32, beside ONNX Runtime and OpenVINO\n\n{in_words(result)}\n\n"
             f"Images a second, threads × batch: the best of {result['rounds']} rounds of {result['seconds']:g} s, all "
             f"engines in turns, each in a process pinned to as many cores as threads. ORT INT8: `quantize_static`, QDQ, "
             f"U8S8, MinMax, per channel. OpenVINO INT8: NNCF's default; FP32: in FP32, where it would take BF16 by itself. "
             f"The .json beside this page has the medians, latencies and every ratio.\n\n"
             f"Made by `tests/peers/speed.py`.\n\n## Images a second\n")
    return "\n".join([intro, throughput(result)])

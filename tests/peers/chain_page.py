"""The page of `chain.py`, and the ratios on it."""
from pages import in_words, table


def short(x):
    return f"{x:.0f}" if x >= 100 else f"{x:.1f}"


def calibration(result):
    steps, spent = result["calibration"]["steps"], result["calibration"]["spent"]
    own, forward = steps["ours, entropy"], steps["our FP32 engine, the same images"]
    ort = steps["ONNX Runtime, Entropy"]
    rows = [[label, f"{s['seconds']:.1f}", f"{s['peak_mb']:,.0f}"] for label, s in steps.items()]
    counted = 100 * spent["statistics"] / (spent["forward"] + spent["statistics"])
    return (f"## Calibrating {result['model']}\n\n{result['images']} images, wall time and peak memory of the whole process "
            f"(of ONNX Runtime: of `quantize_static` alone, the images decoded in Python). *Statistics there*: the "
            f"calibration cache holds them already.\n\n{table(['step', 'seconds', 'peak MB'], rows)}\n"
            f"Entropy takes {own['seconds'] / forward['seconds']:.2f} times as long as our FP32 pass; ONNX Runtime takes "
            f"{ort['seconds'] / own['seconds']:.1f} times as long as ours, with {ort['peak_mb'] / own['peak_mb']:.1f} "
            f"times the memory. Of its passes over the images, statistics are {counted:.0f} % (forward "
            f"{spent['forward']:.2f} s, statistics {spent['statistics']:.2f} s, waiting for images "
            f"{spent['waiting']:.2f} s).\n")


def building(result):
    rows = [[label, f"{s['seconds']:.2f}", f"{s['cpu_seconds']:.2f}", f"{s['peak_mb']:,.0f}"]
            for label, s in result["build"].items()]
    return (f"## Building {result['model']}\n\nAfter the calibration, without a timing cache and with that of the same "
            f"build, wall time of the whole process.\n\n{table(['build', 'seconds', 'CPU seconds', 'peak MB'], rows)}")


def starting(result):
    parts = []
    for model, found in result["start"].items():
        rows = []
        for label, row in found.items():
            ours = found["ours FP32" if "FP32" in label else "ours INT8"]["ms"]
            ratio = "" if label.startswith("ours") else f"{ours / row['session_ms']:.2f}"
            rows.append([label, short(row["session_ms"]), short(row["ms"]), ratio])
        head = [model, "session ms", "first result ms", "our first result / its session"]
        parts.append(table(head, rows))
    return ("## Starting\n\nFrom the file on: to a session, and to the first result of one image. Ratios are of our first "
            "result, INT8 or FP32 alike, to the peer's session alone. Peers: without Python's start and imports.\n\n"
            + "\n".join(parts))


def page(result):
    """The whole page."""
    intro = (f"# Calibrating, building, starting\n\n{in_words(result)} The shortest of {result['rounds']} rounds.\n\n"
             f"Made by `tests/peers/chain.py`.\n")
    parts = [calibration(result), building(result)] if "model" in result else []
    return "\n".join([intro, *parts, starting(result)])

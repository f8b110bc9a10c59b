"""The page of `accuracy.py`."""
import pages
from pages import table

NAMES = {"quantize": "ours", "onnxruntime": "ORT", "nncf": "NNCF"}


def label(row):
    return f"{NAMES[row['engine']]} {row['variant']}"


def drop(row):
    """Points lost, with the interval."""
    low, high = row["drop_ci95"]
    return f"{row['drop']:+.2f} [{low:+.2f}, {high:+.2f}]"


def in_words(row):
    """A row for the log."""
    if "failed" in row:
        return f"failed: {row['failed']}"
    return f"top-1 {row['top1']:.2f} %, drop {drop(row)}, agreement {row['agreement']:.2f} %, KL {row['kl']:.5f}"


def best(rows, key, sign):
    """The row that is best by a number: largest for sign 1, least for sign -1."""
    return max(rows, key=lambda r: sign * r[key])


def place(lead):
    """Where `auto` is, by what it is better by."""
    return "ahead" if lead > 0 else "level" if lead == 0 else "behind"


def summary(groups):
    """`auto` beside the best peer of each model, chosen number by number."""
    lines = []
    for model, rows in groups.items():
        auto = next((r for r in rows if label(r) == "ours auto"), None)
        peers = [r for r in rows if r["engine"] != "quantize"]
        if auto is None or not peers:
            continue
        a, k = best(peers, "agreement", 1), best(peers, "kl", -1)
        verdict = f"{place(auto['agreement'] - a['agreement'])}, {place(k['kl'] - auto['kl'])}"
        lines.append([f"{model} ({auto['n']:,})", drop(auto), f"{auto['agreement']:.2f}",
                      f"{a['agreement']:.2f} ({label(a)})", f"{auto['kl']:.5f}", f"{k['kl']:.5f} ({label(k)})", verdict])
    head = ["model (images)", "auto: drop, points", "agreement, %", "best peer's", "mean KL", "best peer's", "agreement, KL"]
    return "## `auto` beside the best peer\n\n" + table(head, lines) if lines else ""


def types(groups):
    """u8 beside s8 activations."""
    lines = []
    for model, rows in groups.items():
        found = {label(r): r for r in rows}
        if u8_s8 := [found[n] for n in ("ours auto", "ours auto s8") if n in found]:
            if len(u8_s8) == 2:
                u8, s8 = u8_s8
                lines.append([model, drop(u8), drop(s8), f"{u8['agreement']:.2f}", f"{s8['agreement']:.2f}",
                              f"{u8['kl']:.5f}", f"{s8['kl']:.5f}"])
    head = ["model", "u8: drop, points", "s8", "u8: agreement, %", "s8", "u8: mean KL", "s8"]
    return "## u8 and s8 activations (`auto`)\n\n" + table(head, lines) if lines else ""


def detail(model, rows):
    """Every row of a model."""
    lines, seen = [], set()
    for r in rows:
        decoder = "ours" if r["engine"] == "quantize" else "Pillow"
        if decoder not in seen:
            seen.add(decoder)
            name = "ours FP32" if decoder == "ours" else "FP32 (ORT), images decoded by Pillow"
            lines.append([name, f"{r['fp32_top1']:.2f}", "", "", ""])
        lines.append([label(r), f"{r['top1']:.2f}", drop(r), f"{r['agreement']:.2f}", f"{r['kl']:.5f}"])
    head = ["engine", "top-1, %", "drop, points", "agreement, %", "mean KL"]
    return f"### {model} ({rows[0]['n']:,} images)\n\n" + table(head, lines)


def page(about, rows):
    """The whole page."""
    groups = {}
    for r in rows:
        if "failed" not in r:
            groups.setdefault(r["model"], []).append(r)
    failed = [f"- {r['model']}, {label(r)}: {r['failed']}" for r in rows if "failed" in r]
    count = about["evaluation_images"]
    intro = (
        f"# Accuracy in INT8, beside ONNX Runtime and NNCF\n\n{pages.in_words(about)}\n\n"
        f"All calibrated on the first {about['calibration_images']} images of each calibration list and judged on "
        f"{'all' if count == 'all' else f'the first {count:,}'} images of the evaluation list, as many as stand beside a model. *Drop* is FP32's top-1 "
        f"less INT8's, with its paired 95 % interval (negative: INT8 is better); *agreement* is the share of images that "
        f"get FP32's class; *mean KL* is that of the class probabilities. Each is compared with FP32 under its own decoder "
        f"of JPEG.\n\n"
        f"ORT: `quantize_static`, QDQ, weights per channel, after `quant_pre_process`; U8 activations have zero points, "
        f"S8 are symmetric. NNCF: `quantize` for OpenVINO; "
        f"`default` and `mixed` are its presets. Ours: `configs/`, u8 activations where a row does not say s8.\n\n"
        f"Made by `tests/peers/accuracy.py`.\n" + "".join(f"\n- {note}" for note in about.get("notes", [])) + "\n")
    parts = [intro, summary(groups), types(groups), "## Every row\n", *(detail(m, g) for m, g in groups.items())]
    if failed:
        parts.append("## Failed\n\n" + "\n".join(failed) + "\n")
    return "\n".join(p for p in parts if p)

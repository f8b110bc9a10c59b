"""What every page begins with (date, CPU, versions), tables, and how a page is written."""
import datetime
import json
import os
from importlib import metadata

PEERS = ["onnxruntime", "openvino", "nncf", "numpy", "pillow"]


def versions():
    """Versions of the peers that are installed."""
    found = {}
    for name in PEERS:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            pass
    return found


def facts(ours):
    """For the head of a page."""
    doctor = ours.doctor()
    return {
        "date": datetime.date.today().isoformat(),
        "processor": doctor["processor"],
        "isa": doctor["cpu.isa_auto"],
        "cores": len(os.sched_getaffinity(0)),
        "versions": {"quantize": doctor["quantize"], **versions()},
    }


def in_words(about):
    """The facts as a sentence."""
    used = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    return f"{about['date']}, {about['processor']} ({about['isa']}), {about['cores']} cores; {used}."


def write(out, result, text):
    """The page, its numbers as JSON beside it; the page is printed too."""
    out.parent.mkdir(parents=True, exist_ok=True)
    out.with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n")
    out.write_text(text)
    print(text)


def table(head, rows):
    """A Markdown table; every column but the first is numbers."""
    rule = "|---" + "|---:" * (len(head) - 1) + "|"
    return "\n".join(["| " + " | ".join(head) + " |", rule] + ["| " + " | ".join(r) + " |" for r in rows]) + "\n"

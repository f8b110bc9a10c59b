"""The program `quantize`, called as a user calls it."""
import hashlib
import json
import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release/quantize"
GATE_FAILED = 3


def configured(name, sets):
    """Arguments: `configs/NAME.yaml`, and keys set."""
    pairs = [a for key, value in sets.items() for a in ("--set", f"{key}={value}")]
    return ["--config", ROOT / f"configs/{name}.yaml", *pairs]


class Ours:
    """One build of the program."""

    def __init__(self, program):
        self.program = Path(program).resolve()

    @property
    def digest(self):
        """Tells builds of the program apart."""
        return hashlib.sha256(self.program.read_bytes()).hexdigest()[:16]

    def run(self, *arguments, good=(0,), prefix=()):
        """Its output; an exit code that is not good ends this script with the program's message."""
        done = subprocess.run([*prefix, self.program, "--quiet", *map(str, arguments)], capture_output=True, text=True)
        if done.returncode not in good:
            raise SystemExit(f"quantize {' '.join(map(str, arguments))}\n{done.stdout}{done.stderr}")
        return done.stdout

    def configured(self, name, sets, *, command=(), **options):
        """Runs a command (the whole chain without one) with `configs/NAME.yaml` and keys set."""
        return self.run(*command, *configured(name, sets), **options)

    def report(self, name, folder, sets):
        """report.json of the whole chain. A failed gate is a result."""
        sets = {"output.dir": folder, "output.html": "false", "output.markdown": "false", **sets}
        self.configured(name, sets, good=(0, GATE_FAILED))
        return json.loads((Path(folder) / "report.json").read_text())

    def doctor(self):
        """What the machine has."""
        return json.loads(self.run("doctor", "--json"))

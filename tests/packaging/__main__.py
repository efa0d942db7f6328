"""``python -m tests.packaging``: install the wheel where nothing of the repository is, and use it.

Builds wheel and sdist, makes a virtual environment, installs the wheel and what it depends on (from the package index,
or from where pip is told to look), and runs the commands of a new user in an empty folder. Prints what each took and
wrote. The exit code is 1 if a command fails, writes nothing, or differs from the tree. Minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from gatewright import __version__
from tests.packaging.build import ROOT, build

NETWORK = "dgnet-resnet20-0.4"

DENSE_CYCLES = json.loads((ROOT / "tests" / "end_to_end" / "golden_cycles.json").read_text())["dense on ultra96"][
    "cycles"
]


@dataclass(frozen=True)
class Step:
    """A call of ``gatewright``, the files that must be there behind it, and what it must have said."""

    call: str
    files: tuple[str, ...] = ()
    said: str = ""


STEPS = (
    Step("--version", said=__version__),
    Step("zoo", said=NETWORK),
    Step("demo --out demo", ("demo/report.html", "demo/report.json", "demo/image0.safetensors")),
    Step("simulate demo/dense.safetensors", said=f"{DENSE_CYCLES:,}"),
    Step(f"report {NETWORK} --images 4 --live --out report", ("report/report.html", "report/report.json")),
    Step(f"compile {NETWORK} --live -o live.safetensors", ("live.safetensors",)),
    Step(f"simulate live.safetensors --network {NETWORK} --images 0:4"),
    Step(f"run live.safetensors --network {NETWORK} --images 0:4 --backend simulator"),
    Step("disassemble live.safetensors -o live.s", ("live.s",)),
    Step(f"plan {NETWORK}"),
    Step("isa -o isa.md", ("isa.md",)),
    Step("isa --registers -o registers.md", ("registers.md",)),
    Step("rtl --arch 4x4 -o rtl", ("rtl/gatewright.v", "rtl/gatewright_registers.h", "rtl/manifest.json")),
    Step("hls --arch 4x4 -o hls", ("hls/machine.h", "hls/Makefile")),
    Step(f"board ultra96 --network {NETWORK} -o board", ("board/README.md",)),
)
"""What a new user calls."""

WITH_RTL = (Step(f"verify {NETWORK} --arch 4x4 --images 1"),)
"""The Verilated machine, which is built first."""


def main() -> int:
    """The whole try; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.packaging", description=__doc__.split("\n\n")[1])
    parser.add_argument("--rtl", action="store_true", help="verify an image on the RTL as well")
    parser.add_argument("--into", type=Path, help="an environment to keep; one is made and removed otherwise")
    parser.add_argument("--keep", type=Path, help="a folder for wheel and sdist, if all goes well")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        wheel, sdist = build(folder / "built")
        print(f"{wheel.name}: {wheel.stat().st_size:,} bytes; {sdist.name}: {sdist.stat().st_size:,} bytes", flush=True)
        environment = options.into or folder / "venv"
        if not (environment / "bin" / "python").exists():
            subprocess.run([sys.executable, "-m", "venv", environment], check=True)
        began = time.monotonic()
        pip = [environment / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "--force-reinstall", "--no-deps", wheel], check=True)
        subprocess.run([*pip, wheel], check=True)
        print(f"installed in {time.monotonic() - began:.0f} s", flush=True)
        wrong = faults_of(environment.resolve(), folder / "empty", STEPS + (WITH_RTL if options.rtl else ()))
        if options.keep is not None and not wrong:
            options.keep.mkdir(parents=True, exist_ok=True)
            for path in (wheel, sdist):
                shutil.copy(path, options.keep)
        return wrong


def faults_of(environment: Path, empty: Path, steps: tuple[Step, ...]) -> int:
    """Run the steps in the new folder ``empty``; prints a line for each, and returns 1 if anything is wrong."""
    empty.mkdir()
    settings = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    settings["PATH"] = f"{environment / 'bin'}{os.pathsep}{settings['PATH']}"

    def call(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(words, cwd=empty, env=settings, capture_output=True, text=True, check=False)

    where = Path(call("python", "-c", "import gatewright; print(gatewright.__file__)").stdout.strip())
    inside = where.resolve().is_relative_to(environment)
    print(f"gatewright is imported from {'the environment' if inside else where}", flush=True)
    wrong = int(not inside)
    for step in steps:
        began = time.monotonic()
        done = call("gatewright", *shlex.split(step.call))
        missing = [name for name in step.files if not (empty / name).is_file() or not (empty / name).stat().st_size]
        state = "fails" if done.returncode else f"lacks {', '.join(missing)}" if missing else "ok"
        if state == "ok" and step.said not in done.stdout:
            state = f"does not say {step.said}"
        print(f"{state:6} {time.monotonic() - began:6.1f} s  gatewright {step.call}", flush=True)
        if state != "ok":
            wrong += 1
            print(done.stdout[-1000:] + done.stderr[-1000:])
    for name in ("isa.md", "registers.md"):
        if not (empty / name).is_file() or (empty / name).read_bytes() != (ROOT / "docs" / name).read_bytes():
            wrong += 1
            print(f"wrong  {name} is not that of docs/")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())

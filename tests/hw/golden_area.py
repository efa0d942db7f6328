"""Golden area: what synthesis makes of the machine in fixed architectures.

``python -m tests.hw.golden_area`` synthesises all of them again and writes ``golden_area.json``; with names of presets
only those. The figures hold for the Yosys of pyproject.toml.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from gatewright.arch import PRESETS
from gatewright.hw.synth import synthesise, table
from gatewright.hw.top import Accelerator

PATH = Path(__file__).with_name("golden_area.json")
COMMAND = "python -m tests.hw.golden_area"
TESTED, ALL = "4x4", ("4x4", "ultra96")
"""The preset that the tests synthesise, and those in the file."""

Figures = dict[str, Any]


def measure(preset: str, folder: Path) -> Figures:
    """Resources of the whole and of each module, and the longest path in picoseconds."""
    report = synthesise(Accelerator(PRESETS[preset]), None, "gatewright", folder)
    print(table(report))
    return report.figures()


def read() -> dict[str, Figures]:
    """The golden figures by preset."""
    figures: dict[str, Figures] = json.loads(PATH.read_text())
    return figures


def difference(golden: Figures, measured: Figures) -> list[str]:
    """What has changed, a line each: the total, each module, the longest path."""
    lines = []
    for name in sorted(golden["modules"].keys() | measured["modules"].keys()):
        before, after = golden["modules"].get(name), measured["modules"].get(name)
        if before != after:
            lines.append(f"{name}: {before} -> {after}")
    for name in ("total", "longest_path_ps"):
        if golden[name] != measured[name]:
            lines.append(f"{name}: {golden[name]} -> {measured[name]}")
    return lines


def write(presets: list[str]) -> None:
    """Synthesise and replace the file's figures; prints what changed."""
    figures = read() if PATH.is_file() else {}
    for preset in presets:
        with tempfile.TemporaryDirectory() as folder:
            measured = measure(preset, Path(folder))
        if preset in figures:
            for line in difference(figures[preset], measured):
                print(f"{preset}: {line}")
        figures[preset] = measured
        PATH.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    write(sys.argv[1:] or list(ALL))

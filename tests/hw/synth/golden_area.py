"""Golden area: what synthesis makes of the machine in fixed architectures.

``python -m tests.hw.synth.golden_area`` synthesises all of them again and writes ``golden_area.json``
(minutes); with names of designs only those. The figures hold for the Yosys of pyproject.toml.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import Out

from gatewright.boards import load_board
from gatewright.contract.arch import PRESETS
from gatewright.hw.array.grid import Grid, packed_pairs
from gatewright.hw.memories.accumulators import Accumulators
from gatewright.hw.memories.patch_buffer import PatchBuffer
from gatewright.hw.memories.tables import Tables
from gatewright.hw.memories.weight_buffer import WeightBuffer
from gatewright.hw.synth import synthesise, table
from gatewright.hw.top import Accelerator

PATH = Path(__file__).with_name("golden_area.json")
COMMAND = "python -m tests.hw.synth.golden_area"
TESTED, ALL = "parts of 4x4", ("parts of 4x4", "4x4", "ultra96")
"""The design that the tests synthesise, and those in the file: whole machines, or their memories and their array."""

Figures = dict[str, Any]


class Parts(wiring.Component):
    """Components side by side, each with all its ports."""

    def __init__(self, parts: dict[str, wiring.Component]) -> None:
        self._parts = parts
        super().__init__({name: Out(part.signature) for name, part in parts.items()})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        for name, part in self._parts.items():
            m.submodules[name] = part
            wiring.connect(m, wiring.flipped(getattr(self, name)), part)
        return m


def design(name: str) -> wiring.Component:
    """A design by its name in ``ALL``."""
    arch = PRESETS[name.removeprefix("parts of ")]
    if not name.startswith("parts of "):
        return Accelerator(arch)
    return Parts(
        {
            "accumulators": Accumulators(arch),
            "grid": Grid(
                arch.rows,
                arch.columns,
                arch.load_vectors,
                packed_pairs(arch.rows, arch.columns, arch.array_multipliers),
            ),
            "patch_buffer": PatchBuffer(arch),
            "tables": Tables(arch),
            "weight_buffer": WeightBuffer(arch),
        }
    )


def measure(name: str, folder: Path) -> Figures:
    """Resources of the whole and of each module, and the longest path in picoseconds."""
    report = synthesise(design(name), None, "gatewright", folder, chip=load_board("ultra96").need_chip())
    print(table(report))
    return report.figures()


def read() -> dict[str, Figures]:
    """The golden figures by design."""
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


def write(names: list[str]) -> None:
    """Synthesise and replace the file's figures; prints what changed."""
    figures = read() if PATH.is_file() else {}
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            measured = measure(name, Path(folder))
        if name in figures:
            for line in difference(figures[name], measured):
                print(f"{name}: {line}")
        figures[name] = measured
        PATH.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    write(sys.argv[1:] or list(ALL))

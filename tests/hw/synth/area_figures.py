"""The syntheses that the area model of ``gatewright explore`` is fitted to.

``python -m tests.hw.synth.area_figures`` makes them all again and writes ``gatewright/explore/area/figures.json``
in hours; with names of machines or of kinds of parts only those, with ``golden`` those of
``golden_area.json`` alone. The figures hold for the Yosys of pyproject.toml.

A module that is the same in two machines, once constants and unused signals have passed the boundaries, is mapped once:
its text is what it is known by. The figures of the whole are those of ``gatewright synth`` but for look-up tables,
which differ by a percent or so (``4x4`` has 24,861 here and 25,084 there): their mapping depends on names and order.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

from amaranth.back import rtlil
from amaranth.lib import wiring

from gatewright.boards import Resources
from gatewright.contract.arch import ArchConfig
from gatewright.contract.isa import QUEUED_UNITS, Unit
from gatewright.hw.control.queue import InstructionQueue
from gatewright.hw.memories.accumulators import Accumulators
from gatewright.hw.memories.masks import Masks
from gatewright.hw.memories.parameters import Parameters
from gatewright.hw.memories.patch_buffer import PatchBuffer
from gatewright.hw.memories.tables import Tables
from gatewright.hw.memories.weight_buffer import WeightBuffer
from gatewright.hw.synth.cells import cost
from gatewright.hw.synth.library import library
from gatewright.hw.synth.script import LIBRARY, STATISTICS, TECHMAPS, Step, script, steps
from gatewright.hw.synth.yosys import read_output, run_yosys
from gatewright.hw.top import Accelerator
from tests.hw.synth import golden_area
from tests.hw.synth.golden_area import Parts

PATH = Path(__file__).parents[3] / "gatewright" / "explore" / "area" / "figures.json"
COMMAND = "python -m tests.hw.synth.area_figures"

Changes = dict[str, bool | int | str]
"""The parameters in which a machine differs from ``ultra96``; those of the DRAM begin with ``dram.``."""

Row = dict[str, Any]

GOLDEN = ("4x4", "ultra96")
"""Machines of ``golden_area.json``: taken from there."""

MACHINES: tuple[Changes, ...] = (
    {
        "name": "8x4",
        "rows": 8,
        "columns": 4,
        "load_vectors": 2,
        "depthwise": False,
        "table_entries": 128,
        "tables": 4,
        "queue_depth": 4,
        "scratchpad_kib": 64,
        "weight_kib": 64,
        "patch_kib": 32,
    },
    {"name": "8x8", "rows": 8, "columns": 8},
    {
        "name": "4x12",
        "rows": 4,
        "columns": 12,
        "patch_kib": 16,
        "weight_kib": 32,
        "scratchpad_kib": 128,
        "queue_depth": 2,
        "tables": 8,
        "parameter_entries": 1024,
        "instruction_entries": 256,
        "depthwise": False,
    },
    {
        "name": "16x8",
        "rows": 16,
        "columns": 8,
        "accumulator_depth": 256,
        "patch_kib": 32,
        "instruction_entries": 1024,
        "parameter_entries": 2048,
        "table_entries": 1024,
        "scratchpad_kib": 512,
    },
    {
        "name": "12x6",
        "rows": 12,
        "columns": 6,
        "weight_kib": 48,
        "patch_kib": 24,
        "accumulator_depth": 64,
        "scratchpad_kib": 96,
        "load_vectors": 1,
        "queue_depth": 16,
        "dram.outstanding": 8,
    },
    {
        "name": "8x16",
        "rows": 8,
        "columns": 16,
        "load_vectors": 4,
        "weight_kib": 96,
        "accumulator_depth": 1024,
        "depthwise": False,
    },
    {
        "name": "6x10",
        "rows": 6,
        "columns": 10,
        "weight_kib": 96,
        "patch_kib": 48,
        "accumulator_depth": 384,
        "scratchpad_kib": 192,
        "tables": 8,
        "table_entries": 256,
    },
    {"name": "12x20", "rows": 12, "columns": 20},
)

PARTS: dict[str, tuple[Callable[[ArchConfig], Any], list[Changes]]] = {
    "tables": (
        Tables,
        [{"tables": t, "table_entries": e} for t in (2, 4, 8, 16, 31) for e in (32, 128, 256, 512, 1024, 2048)],
    ),
    "parameters": (Parameters, [{"parameter_entries": e} for e in (128, 160, 256, 512, 1000, 1024, 2048, 4096)]),
    "accumulators": (
        Accumulators,
        [
            *({"columns": c, "accumulator_depth": d} for c in (4, 6, 8, 12, 16) for d in (16, 32, 64, 128, 512)),
            *({"columns": c, "accumulator_depth": d} for c in (10, 32) for d in (48, 256, 384, 1024)),
        ],
    ),
    "patch_buffer": (
        PatchBuffer,
        [{"rows": r, "patch_kib": k} for r in (4, 6, 8, 12, 16) for k in (1, 4, 8, 16, 24, 48, 64)],
    ),
    **{
        f"queue_{unit.name.lower()}": (
            lambda arch, unit=unit: InstructionQueue(unit, arch),  # type: ignore[misc]
            [{"queue_depth": d} for d in (2, 4, 8, 16, 32, 64)],
        )
        for unit in QUEUED_UNITS
        if unit != Unit.EPILOGUE  # in a machine fields that nobody reads are left out
    },
    "masks": (Masks, [{"columns": c} for c in (4, 6, 8, 10, 12, 14, 16, 20, 24, 28, 32)]),
    "weight_buffer": (
        WeightBuffer,
        [
            *({"rows": 4, "weight_kib": k} for k in (2, 4, 8, 16, 48, 256)),
            *({"rows": 6, "weight_kib": k} for k in (8, 16, 96)),
            *({"rows": 12, "weight_kib": k} for k in (8, 48, 96)),
            *({"rows": 16, "weight_kib": k} for k in (4, 8, 16, 32, 64, 96, 256)),
        ],
    ),
}
"""Kinds of modules that are synthesised alone, all machines' side by side."""


def machine(changes: Changes) -> ArchConfig:
    """The machine with these changes."""
    base = ArchConfig()
    of_dram: dict[str, Any] = {k.removeprefix("dram."): v for k, v in changes.items() if k.startswith("dram.")}
    own: dict[str, Any] = {key: value for key, value in changes.items() if not key.startswith("dram.")}
    return replace(base, **own, dram=replace(base.dram, **of_dram))


def synthesise(design: wiring.Component, folder: Path, known: dict[str, Resources]) -> dict[str, Resources]:
    """What each module one level below the top takes, and what is in the top itself (``top``).

    ``known`` has modules by their text, and gets those that are new.
    """
    top = "gatewright"
    text = rtlil.convert(design, name=top, ports=None, emit_src=False)
    kept = [name for name in re.findall(r"^module \\(\S+)", text, re.MULTILINE) if name.count(".") == 1]
    (folder / "design.il").write_text(text)
    (folder / LIBRARY).write_text(library())
    for techmap in TECHMAPS:
        (folder / techmap).write_text((resources.files("gatewright.hw.synth") / techmap).read_text())
    read, prepare, *others = steps("design.il", top, kept, 8)
    (folder / "first.ys").write_text(script([read, prepare, Step("write", ("write_rtlil prepared.il",))]))
    run_yosys(folder, "first.ys")
    texts = dict(_modules((folder / "prepared.il").read_text()))
    digests = {name: _digest(texts[f"\\{name}"]) for name in (*kept, top)}
    old = [f"blackbox \\{name}" for name in kept if digests[name] in known]
    again = Step("read", ("read_rtlil prepared.il", *old))
    (folder / "second.ys").write_text(script([again, *(step for step in others if step.name != "timing")]))
    run_yosys(folder, "second.ys")
    for name, entry in json.loads(read_output(folder / STATISTICS))["modules"].items():
        plain = name.removeprefix("\\")
        if plain in digests and digests[plain] not in known:
            cells = entry["num_cells_by_type"]
            known[digests[plain]] = cost({c: n for c, n in cells.items() if c.removeprefix("\\") not in digests})
    plain_names = {name: re.sub(r"\$\d+", "", name).removeprefix(f"{top}.") for name in digests}
    return {"top" if name == top else plain_names[name]: known[digest] for name, digest in digests.items()}


def _modules(text: str) -> Iterator[tuple[str, str]]:
    """The modules of an RTLIL text, with what stands in front of each."""
    for part in re.split(r"(?<=^end\n)", text, flags=re.MULTILINE):
        name = re.search(r"^module (\S+)", part, re.MULTILINE)
        if name:
            yield name[1], part


def _digest(text: str) -> str:
    """Of a module's text, without the numbers in names that Yosys has made."""
    names: dict[str, str] = {}
    text = re.sub(r"^attribute \\(src|hdlname|top).*\n", "", text, flags=re.MULTILINE)
    text = re.sub(r"\$\S*\d\S*", lambda match: names.setdefault(match[0], f"$n{len(names)}"), text)
    return hashlib.sha256(text.encode()).hexdigest()


def _row(changes: Changes, modules: dict[str, Resources]) -> Row:
    return {"arch": changes, "modules": {k: [r.lut, r.ff, r.bram36, r.dsp] for k, r in modules.items()}}


def _golden(name: str) -> Row:
    """A machine of ``golden_area.json``; what is in the top itself is what its modules leave of the whole."""
    measured = {k: Resources(**area) for k, area in golden_area.read()[name]["modules"].items()}
    whole = measured.pop("gatewright")
    inside = sum(measured.values(), Resources()) * -1 + whole
    modules = {key.removeprefix("gatewright."): area for key, area in measured.items()}
    changes: Changes = {"name": "4x4", "rows": 4, "columns": 4} if name == "4x4" else {}
    return _row(changes, {**modules, "top": inside})


def main(names: list[str]) -> None:
    """Make the figures of the named machines and kinds of parts, or all."""
    data: dict[str, Any] = {"command": COMMAND, "yosys": "0.70", "machines": [], "parts": []}
    if PATH.is_file() and names:
        data = json.loads(PATH.read_text())
    machines = {row["arch"].get("name", "ultra96"): row for row in data["machines"]}
    machines |= {name: _golden(name) for name in GOLDEN}
    known: dict[str, Resources] = {}
    for changes in MACHINES:
        name = str(changes["name"])
        if not names or name in names:
            with tempfile.TemporaryDirectory() as folder:
                machines[name] = _row(changes, synthesise(Accelerator(machine(changes)), Path(folder), known))
            print(name, machines[name]["modules"], flush=True)
    parts = [row for row in data["parts"] if names and not set(row["modules"]) & set(names)]
    for kind, (made, every) in PARTS.items():
        if not names or kind in names:
            side_by_side = Parts({f"part{n}": made(machine(changes)) for n, changes in enumerate(every)})
            with tempfile.TemporaryDirectory() as folder:
                areas = synthesise(side_by_side, Path(folder), {})
            parts += [_row(changes, {kind: areas[f"part{number}"]}) for number, changes in enumerate(every)]
    kinds = list(PARTS)
    parts.sort(key=lambda row: kinds.index(next(iter(row["modules"]))))
    write({**data, "machines": list(machines.values()), "parts": parts})


def write(data: dict[str, Any]) -> None:
    """The file, a line for each row."""
    lists = {k: "[\n" + ",\n".join(f"  {json.dumps(row)}" for row in data[k]) + "\n ]" for k in ("machines", "parts")}
    head = "".join(f" {json.dumps(key)}: {json.dumps(data[key])},\n" for key in ("command", "yosys"))
    PATH.write_text("{\n" + head + f' "machines": {lists["machines"]},\n "parts": {lists["parts"]}\n' + "}\n")


if __name__ == "__main__":
    main(sys.argv[1:])

"""What synthesis found: resources of the whole and of each module, the goals, the longest path."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from typing import Any

from gatewright.boards.board import Chip, Resources
from gatewright.contract.errors import GatewrightError
from gatewright.hw.synth.cells import cost
from gatewright.hw.synth.timing import MEANING, LongestPath

REPORT = "report.json"

COLUMNS = {"lut": "LUT", "lutram": "LUTRAM", "ff": "FF", "carry8": "CARRY8", "bram36": "BRAM36", "dsp": "DSP48E2"}
"""The resources and their headings."""


@dataclass(frozen=True)
class Goal:
    """A share of a resource that the design should stay below."""

    resource: str
    used: float
    limit: float

    @property
    def met(self) -> bool:
        return self.used <= self.limit


@dataclass(frozen=True)
class SynthesisReport:
    """The result of one synthesis."""

    name: str
    chip: Chip
    total: Resources
    modules: dict[str, Resources]
    """Per module that was kept, with everything below it; names as in the design, the top's is ``name``."""
    cells: dict[str, int]
    """Cells of the netlist by type."""
    longest_path: LongestPath | None
    seconds: dict[str, float]
    """Time of each step."""

    def goals(self) -> list[Goal]:
        """The goals, each with what is used."""
        return [
            Goal(resource, getattr(self.total, resource), share * getattr(self.chip.capacity, resource))
            for resource, share in self.chip.goals.items()
        ]

    def figures(self) -> dict[str, Any]:
        """The figures that depend on the design and the tool only: no times."""
        path = self.longest_path
        return {
            "total": asdict(self.total),
            "modules": {name: asdict(resources) for name, resources in self.modules.items()},
            "longest_path_ps": 0 if path is None else path.picoseconds,
        }

    def to_json(self) -> str:
        """Everything, as JSON."""
        path = self.longest_path
        return json.dumps(
            {
                "name": self.name,
                "device": self.chip.name,
                **self.figures(),
                "capacity": asdict(self.chip.capacity),
                "goals": [{**asdict(goal), "met": goal.met} for goal in self.goals()],
                "cells": self.cells,
                "longest_path": None if path is None else asdict(path),
                "longest_path_meaning": MEANING,
                "seconds": self.seconds,
            },
            indent=1,
        )


def module_resources(statistics: str, top: str) -> tuple[dict[str, Resources], dict[str, int]]:
    """Per module, with those below it, and the cells of the whole, from the output of ``stat -json``."""
    data = json.loads(statistics)
    by_module: dict[str, dict[str, int]] = {
        name.removeprefix("\\"): entry["num_cells_by_type"] for name, entry in data["modules"].items()
    }
    # Instances of kept modules are listed among the cells. Only the modules' own lists are used: the sums that stat
    # prints for the whole leave out a part of the cells that Yosys knows the function of.
    uses: dict[str, int] = {}
    own: dict[str, dict[str, int]] = {}
    total: dict[str, int] = {}
    for name, cells in by_module.items():
        own[name] = {}
        for cell, count in cells.items():
            if cell.removeprefix("\\") in by_module:
                uses[cell.removeprefix("\\")] = uses.get(cell.removeprefix("\\"), 0) + count
            else:
                own[name][cell] = count
                total[cell] = total.get(cell, 0) + count
    if uses != {name: 1 for name in by_module if name != top}:
        raise GatewrightError(f"{top}: a module is used more or less than once: {uses}")
    resources = {
        name: sum((cost(own[other]) for other in own if other == name or other.startswith(f"{name}.")), Resources())
        for name in sorted(own)
    }
    if top not in resources:
        raise GatewrightError(f"synthesis lost the module {top}")
    return _without_numbers(resources), dict(sorted(total.items()))


def _without_numbers(resources: dict[str, Resources]) -> dict[str, Resources]:
    """Names without the numbers that Amaranth adds to avoid clashes with ports; they change with unrelated edits."""
    plain = {name: re.sub(r"\$\d+", "", name) for name in resources}
    unique = len(set(plain.values())) == len(plain)
    return {plain[name] if unique else name: entry for name, entry in resources.items()}


def table(report: SynthesisReport) -> str:
    """The report for a terminal."""
    names = list(report.modules)
    labels = [_label(name, report.name) for name in names]
    width = max(len("share of the chip"), *(len(label) for label in labels))
    lines = [f"{report.name} on the {report.chip.name}", ""]
    lines.append(f"{'module':<{width}}" + "".join(f"{heading:>10}" for heading in COLUMNS.values()))
    for name, label in zip(names, labels, strict=True):
        lines.append(f"{label:<{width}}" + _row(report.modules[name]))
    lines.append(f"{report.chip.name:<{width}}" + _row(report.chip.capacity))
    shares = (getattr(report.total, name) / getattr(report.chip.capacity, name) for name in COLUMNS)
    lines.append(f"{'share of the chip':<{width}}" + "".join(f"{share:>10.1%}" for share in shares))
    lines.append("")
    for goal in report.goals():
        verdict = "met" if goal.met else "MISSED"
        share = report.chip.goals[goal.resource]
        lines.append(
            f"goal {COLUMNS[goal.resource]} at most {share:.0%} ({goal.limit:,.0f}): {goal.used:,g} used, {verdict}"
        )
    if report.longest_path is not None:
        path = report.longest_path
        lines += ["", f"longest path {path.picoseconds / 1000:.2f} ns: {path.cells()}"]
        if path.signals:
            lines.append(f"  through {', '.join(path.signals)}")
        lines.append(MEANING)
    lines += ["", "seconds: " + ", ".join(f"{step} {seconds:.0f}" for step, seconds in report.seconds.items())]
    return "\n".join(lines)


def _label(name: str, top: str) -> str:
    """A module's own name, indented below its parent's."""
    if name == top:
        return name
    levels = name.removeprefix(f"{top}.").split(".")
    return "  " * len(levels) + levels[-1]


def _row(resources: Resources) -> str:
    return "".join(f"{getattr(resources, name):>10,g}" for name in COLUMNS)

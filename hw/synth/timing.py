"""The longest combinational path, from what Yosys's static timing analysis prints."""

from __future__ import annotations

import re
from dataclasses import dataclass

from gatewright.contract.errors import GatewrightError

MEANING = (
    "The longest path adds up cell delays of an Artix-7 (those of UltraScale+ are not public) and no wire at all: it "
    "shows which path is the longest and whether a change made it longer, and it is not a clock period of this chip."
)
"""What the figure is and is not; printed with every report."""

_TOTAL = re.compile(r"^Latest arrival time in '.*' is (\d+):$", re.MULTILINE)
_CELL = re.compile(r"^ +(\d+) (\S+) \((\w+)\.(\S+)\)$")


@dataclass(frozen=True)
class PathPoint:
    """A cell on the longest path."""

    arrival_ps: int
    """When the path leaves the cell; at the end of the path: when it is complete, setup included."""
    cell: str
    """The cell's type."""
    pins: str
    """Where the path comes in and goes out."""


@dataclass(frozen=True)
class LongestPath:
    """The slowest path between two registers, from its start to its end."""

    picoseconds: int
    points: tuple[PathPoint, ...]
    signals: tuple[str, ...]
    """Signals on the path that have a name in the design, in its order."""

    def cells(self) -> str:
        """The types of the path's cells in order, runs of one type as a count."""
        runs: list[tuple[str, int]] = []
        for point in self.points:
            if runs and runs[-1][0] == point.cell:
                runs[-1] = (point.cell, runs[-1][1] + 1)
            else:
                runs.append((point.cell, 1))
        return " > ".join(name if count == 1 else f"{count} {name}" for name, count in runs)


def parse_timing(text: str) -> LongestPath | None:
    """The path in the output of ``sta``; None for a design without any."""
    total = _TOTAL.search(text)
    if total is None:
        if "No timing paths found" in text:
            return None
        raise GatewrightError("cannot read the output of Yosys's sta; install the Yosys of pyproject.toml")
    points, signals = [], []
    for line in text[total.end() :].split("Arrival histogram")[0].splitlines():
        if found := _CELL.match(line):
            arrival, _, cell, pins = found.groups()
            points.append(PathPoint(int(arrival), cell, pins))
        elif line.strip().startswith("\\"):
            signals.append(line.strip().lstrip("\\"))
    return LongestPath(int(total.group(1)), tuple(reversed(points)), tuple(reversed(signals)))

"""What the machine has counted in a start, and the file that ``gatewright compare`` reads."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .machine import Registers
from .registers import COUNTERS_FORMAT, UNITS


@dataclass(frozen=True)
class Counters:
    """Of one start. ``busy``: cycles with an instruction under way, by unit; ``completed``: instructions, by unit."""

    images: int
    cycles: int
    instructions: int
    busy: dict[str, int]
    completed: dict[str, int]

    @staticmethod
    def read(registers: Registers) -> Counters:
        """Those of the last start, or of the one that runs."""
        return Counters(
            registers["IMAGE"],
            registers["CYCLES"],
            registers["INSTRUCTIONS"],
            {unit: registers[f"BUSY_{unit}"] for unit in UNITS},
            {unit: registers[f"COMPLETED_{unit}"] for unit in UNITS},
        )


def total(starts: Sequence[Counters]) -> Counters:
    """Of several starts together."""
    return Counters(
        sum(one.images for one in starts),
        sum(one.cycles for one in starts),
        sum(one.instructions for one in starts),
        {unit: sum(one.busy[unit] for one in starts) for unit in UNITS},
        {unit: sum(one.completed[unit] for one in starts) for unit in UNITS},
    )


def table(starts: Sequence[Counters], clock_mhz: float) -> list[str]:
    """Lines for a reader: cycles, images a second at the clock, and how busy each unit was."""
    sums = total(starts)
    lines = [f"images       {sums.images:,} in {len(starts):,} starts"]
    if sums.cycles:
        rate = sums.images / (sums.cycles / (clock_mhz * 1e6))
        lines.append(f"cycles       {sums.cycles:,}, {rate:,.0f} images/s at {clock_mhz:g} MHz")
    lines.append(f"instructions {sums.instructions:,}")
    for unit in UNITS:
        share = 100 * sums.busy[unit] / sums.cycles if sums.cycles else 0.0
        lines.append(f"{unit:<12} {sums.busy[unit]:,} cycles busy ({share:.1f}%), {sums.completed[unit]:,} completed")
    return lines


def write_counters(
    path: Path,
    starts: Sequence[Counters],
    machine: dict[str, int],
    program: dict[str, str],
    clock_mhz: float,
    seconds: float,
) -> None:
    """Write what a run has counted; ``machine`` is what ``identify`` says, ``program`` its file and checksum."""
    data = {
        "format": COUNTERS_FORMAT,
        "program": program,
        "machine": machine,
        "clock_mhz": clock_mhz,
        "seconds": seconds,
        "starts": [vars(one) for one in starts],
    }
    path.write_text(json.dumps(data, indent=1) + "\n")

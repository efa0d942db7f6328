"""A machine's counters: as a board's driver writes them, and as the simulator expects them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from annotated_types import Ge, Gt, Len

from gatewright.contract.arch import DramConfig
from gatewright.contract.errors import GatewrightError
from gatewright.contract.formats import COUNTERS
from gatewright.contract.images import lay_out
from gatewright.contract.isa import Unit
from gatewright.contract.program import Program
from gatewright.contract.registers import UNIT_NAMES
from gatewright.contract.schema import Count, Total, format_of, load_json, parse
from gatewright.contract.trace import busy_cycles
from gatewright.sim.fast.machine import Schedules


@dataclass(frozen=True)
class Start:
    """The counters behind one start of the machine, of so many runs of the program.

    ``busy`` and ``completed`` are by unit: cycles, instructions.
    """

    images: Count
    cycles: Count
    instructions: Count
    busy: dict[str, Count]
    completed: dict[str, Count]

    def named(self) -> dict[str, int]:
        """Every counter by the name of its register."""
        return {
            "CYCLES": self.cycles,
            "INSTRUCTIONS": self.instructions,
            **{f"BUSY_{name}": self.busy[name] for name in UNIT_NAMES},
            **{f"COMPLETED_{name}": self.completed[name] for name in UNIT_NAMES},
        }


@dataclass(frozen=True)
class CounterFile:
    """What the driver writes: of which program, on which machine, and the counters of each start."""

    format: str
    program: dict[str, str]
    machine: dict[str, Total]
    """Registers that describe the machine, by name."""
    clock_mhz: Annotated[float, Gt(0)]
    seconds: Annotated[float, Ge(0)]
    starts: Annotated[list[Start], Len(1)]


def read_counters(path: Path) -> CounterFile:
    """Read a driver's file; a fault is a ``GatewrightError``."""
    if not path.is_file():
        raise GatewrightError(f"no counters at {path}")
    what, fix = f"counters {path}", COUNTERS.fix
    data = load_json(path.read_bytes(), what, fix)
    COUNTERS.check(format_of(data), what)
    found = parse(CounterFile, data, what, fix)
    for number, start in enumerate(found.starts):
        for what, counts in (("busy", start.busy), ("completed", start.completed)):
            if set(counts) != set(UNIT_NAMES):
                raise GatewrightError(
                    f"counters {path}: starts.{number}.{what} must name {', '.join(UNIT_NAMES)}; {fix}"
                )
    return found


def counters_of(images: int, records: npt.NDArray[np.void], cycles: int) -> Start:
    """The counters that a run with these trace records shows, exactly as the RTL counts."""
    units = {name: records[records["unit"] == Unit[name]] for name in UNIT_NAMES}
    busy = {name: busy_cycles(own["start"], own["done"]) for name, own in units.items()}
    return Start(images, cycles, len(records), busy, {name: len(own) for name, own in units.items()})


class Expected:
    """The simulator's side: a program's starts, computed once, and their counters with any DRAM."""

    def __init__(self, program: Program, images: list[int], inputs: npt.NDArray[np.int8] | None) -> None:
        """``images``: runs of the program in each start. ``inputs`` are those of all starts, in order.

        Without them the program runs on its own image.
        """
        if inputs is None and (program.live or max(images) > 1):
            raise GatewrightError("the counters are of images that the program does not hold: give --inputs")
        together = program.images
        if inputs is not None and len(inputs) != sum(images) * together:
            raise GatewrightError(f"--inputs has {len(inputs)} images, the counters are of {sum(images) * together}")
        samples: Iterator[Any] = iter(() if inputs is None else inputs)
        self._images = images
        self._runs: list[Schedules] = []
        for count in images:
            if inputs is None:
                self._runs.append(Schedules(program, program.image))
            else:
                self._runs.append(Schedules(program, *lay_out(program, list(islice(samples, count * together)))))

    def with_dram(self, dram: DramConfig) -> list[Start]:
        """The counters of each start, with this DRAM behind the machine."""
        return [counters_of(images, *run.with_dram(dram)) for images, run in zip(self._images, self._runs, strict=True)]

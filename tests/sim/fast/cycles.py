"""Small programs on the fast simulator, and the cycles of their instructions."""

from __future__ import annotations

from gatewright.contract.arch import ArchConfig
from gatewright.sim.fast.machine import simulate
from gatewright.sim.result import SimResult
from gatewright.verify.kit.programs import Image, Row, make_program

ARCH = ArchConfig()  # 16 x 16, 4 stationary vectors a cycle; DRAM 64 cycles, 3 beats in 4 cycles, gap 1


def run(rows: list[Row], arch: ArchConfig = ARCH, image: Image | None = None, **options: int) -> SimResult:
    return simulate(make_program(arch, rows, image, **options))


def times(result: SimResult, instruction: int) -> tuple[int, int, int, int]:
    """(dispatch, start, run, done)"""
    record = result.trace.records[instruction]
    return tuple(int(record[name]) for name in ("dispatch", "start", "run", "done"))  # type: ignore[return-value]

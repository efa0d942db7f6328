"""What a run moves between the chip and DRAM."""

from __future__ import annotations

from dataclasses import dataclass

from gatewright.contract.arch import BEAT_BYTES
from gatewright.contract.axi import burst_beats
from gatewright.contract.encodings import INSTRUCTION_BEATS
from gatewright.contract.isa import Unit
from gatewright.contract.program import Program
from gatewright.sim.result import SimResult


@dataclass(frozen=True)
class DramTraffic:
    """Bytes of one run, in whole beats: ``read`` by LOAD with the boot page, ``written`` by STORE."""

    read: int
    written: int


def dram_traffic(program: Program, result: SimResult) -> DramTraffic:
    """The bytes that a run has moved, counted from the work of its executed instructions."""
    units, moved = result.trace.records["unit"], result.work["bytes"]
    boot, _ = boot_read(program)
    return DramTraffic(boot + int(moved[units == Unit.LOAD].sum()), int(moved[units == Unit.STORE].sum()))


def boot_read(program: Program) -> tuple[int, int]:
    """Bytes of the first page and cycles of the data channel for them: one row, split where a burst may not cross.

    No instruction reads it, so it is not in the trace.
    """
    address, left, cycles = program.code_address, program.boot_count * INSTRUCTION_BEATS, 0
    while left:
        beats = burst_beats(address, left)
        cycles += program.arch.dram.burst_cycles(beats)
        address, left = address + beats * BEAT_BYTES, left - beats
    return address - program.code_address, cycles

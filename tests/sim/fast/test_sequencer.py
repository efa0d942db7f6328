"""The cycles of dispatch, waits, pages and early exits, worked out by hand from the machine's document."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from gatewright.contract.isa import Opcode, Unit
from gatewright.verify.kit.programs import Row, row
from tests.sim.fast.cycles import ARCH, run, times


def test_empty_program() -> None:
    """END: 5 to the address, 3 beats in 4 cycles after 64, 8 to arrive, 12 to fetch, 3 + 1 to leave, 1 to stop."""
    result = run([row(Opcode.END)])
    assert result.cycles == 5 + 64 + 4 + 8 + 12 + 3 + 1 + 1
    assert times(result, 0) == (97, 97, 97, 98)


def test_full_queue_stalls_dispatch() -> None:
    """With two places, instruction 2 of a unit is dispatched after instruction 0 has started."""
    arch = replace(ARCH, queue_depth=2)
    rows = [row(Opcode.INDEX, bits=160) for _ in range(4)] + [row(Opcode.GATHER, tile=1)]
    result = run(rows, arch)
    # Boot: 18 beats, 24 cycles: done 101, dispatch 113; each INDEX holds its unit for 22.
    assert [times(result, i)[0] for i in range(5)] == [113, 114, 121, 143, 144]
    assert [times(result, i)[1] for i in range(5)] == [120, 142, 164, 186, 151]


def test_waits_join() -> None:
    """Work begins with the latest of the waits; a count of 0 is no wait."""
    rows = [
        row(Opcode.INDEX, bits=160),
        row(Opcode.GATHER, tile=1),
        row(Opcode.STORE, [(Unit.INDEX, 1), (Unit.GATHER, 1), (Unit.LOAD, 0)], beats=1),
    ]
    result = run(rows)
    assert times(result, 1)[3] < times(result, 0)[3] == times(result, 2)[1] == times(result, 2)[2]


def test_next_and_exit() -> None:
    """NEXT runs 3 cycles after its turn, 12 before the next dispatch; an EXIT not taken costs 1; both honour waits."""
    rows = [
        row(Opcode.INDEX, bits=160),
        row(Opcode.EXIT, [(Unit.INDEX, 1)], count_table=3, most=10),
        row(Opcode.INDEX, bits=16),
        row(Opcode.NEXT, entry=4),
        row(Opcode.INDEX, bits=16),
    ]
    result = run(rows)
    exit_at = times(result, 0)[3]
    assert times(result, 1) == (exit_at, exit_at, exit_at, exit_at + 1)
    assert times(result, 2)[0] == exit_at + 1
    assert times(result, 3) == (exit_at + 5, exit_at + 5, exit_at + 5, exit_at + 6)
    assert times(result, 4)[0] == exit_at + 5 + 12
    assert times(result, 5)[0] == times(result, 4)[3]
    assert result.cycles == times(result, 4)[3] + 1
    units: npt.NDArray[np.int64] = result.trace.records["unit"]
    assert units.tolist() == [Unit.INDEX, Unit.SEQUENCER, Unit.INDEX, Unit.SEQUENCER, Unit.INDEX, Unit.SEQUENCER]


def test_counts_wrap_at_16_bits() -> None:
    """After 65 538 instructions of a unit, a wait on count 1 means the last but one."""
    many = 65_536
    arch = replace(ARCH, instruction_entries=2700)
    rows: list[Row] = [row(Opcode.INDEX) for _ in range(many + 2)]
    rows.append(row(Opcode.GATHER, [(Unit.INDEX, 1)], tile=1))
    result = run(rows, arch)
    units = result.trace.records["unit"]
    index = result.trace.records[units == Unit.INDEX]
    gather = result.trace.records[units == Unit.GATHER][0]
    assert gather["run"] == max(gather["dispatch"] + 7, index["done"][many])

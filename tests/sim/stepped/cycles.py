"""The cycles of small programs on the stepped simulator, and the machines that they run on."""

from __future__ import annotations

from gatewright.contract.arch import ArchConfig, DramConfig
from gatewright.contract.isa import Opcode, Space
from gatewright.sim.stepped import step_simulate
from gatewright.verify.kit.programs import Image, Row, make_program, row

FAST_DRAM = DramConfig(latency=10, beats=1, per_cycles=1, burst_gap=2, outstanding=2)
SLOW_DRAM = DramConfig(latency=5, beats=2, per_cycles=3, burst_gap=1, outstanding=16)


def arch_of(rows: int, columns: int, dram: DramConfig = FAST_DRAM, **changes: int) -> ArchConfig:
    return ArchConfig(name="test", rows=rows, columns=columns, dram=dram, **changes)  # type: ignore[arg-type]


def boot_cycles(instructions: int) -> int:
    """First dispatch with FAST_DRAM: LOAD_ISSUE 5, latency 10, a beat a cycle, LOAD_LATENCY 8, FETCH_LATENCY 12."""
    return 5 + 10 + 3 * instructions + 8 + 12


def times(arch: ArchConfig, rows: list[Row], image: Image | None = None) -> list[tuple[int, int, int, int]]:
    """(dispatch, start, run, done) of every instruction, relative to the first dispatch; END included."""
    program = make_program(arch, rows, image)
    result = step_simulate(program)
    if arch.dram == FAST_DRAM:
        assert result.trace.records["dispatch"][0] == boot_cycles(len(program.code))
    first = int(result.trace.records["dispatch"][0])
    assert result.cycles == result.trace.records["done"][-1]
    names = ("dispatch", "start", "run", "done")
    return [tuple(int(record[name]) - first for name in names) for record in result.trace.records]  # type: ignore[misc]


def scratch_load(beats: int, **fields: int) -> Row:
    return row(Opcode.LOAD, space=Space.SCRATCHPAD, **{"rows": 1, "row_beats": beats, **fields})

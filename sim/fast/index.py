"""INDEX: masks become tables."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gatewright.contract.arch import MASK_BITS, MASKS
from gatewright.contract.encodings import COORDINATE_BITS, MASK_GROUP_BITS, MASK_WORD_BITS
from gatewright.contract.isa import Opcode, column
from gatewright.contract.timing import INDEX_LATENCY
from gatewright.sim.fast import faults, work
from gatewright.sim.fast.context import Bursts, Schedule
from gatewright.sim.fast.kernels import kernel
from gatewright.sim.fast.sizes import ceil_div, set_fault
from gatewright.sim.fast.state import Geometry, State
from gatewright.sim.fast.touched import READ, TABLE_WRITE, WRITE, Places, Touched, touch, use_port

MASK = column(Opcode.INDEX, "mask")
BITS = column(Opcode.INDEX, "bits")
GRID_WIDTH = column(Opcode.INDEX, "grid_width")
TABLE = column(Opcode.INDEX, "table")
COMPLEMENT = column(Opcode.INDEX, "complement")
FIRST_BIT = column(Opcode.INDEX, "first_bit")


@kernel
def execute(
    geometry: Geometry, state: State, row: npt.NDArray[np.int64], done: npt.NDArray[np.int64], bursts: Bursts
) -> int:
    """Execute an INDEX. Returns 0 or a fault."""
    table, bits, grid = row[TABLE], row[BITS], row[GRID_WIDTH]
    if table >= geometry.tables:
        return set_fault(state, faults.TABLE_NUMBER, table, geometry.tables)
    if row[MASK] >= MASKS:
        return set_fault(state, faults.MASK_NUMBER, row[MASK], MASKS)
    first = row[MASK] * MASK_BITS
    if first + bits > MASKS * MASK_BITS:
        return set_fault(state, faults.MASK_RANGE, first + bits - 1, MASKS * MASK_BITS)
    wanted = row[COMPLEMENT] == 0
    count = 0
    cycles = 0
    for word in range(ceil_div(bits, MASK_WORD_BITS)):
        groups, last_group = 0, -1
        for bit in range(word * MASK_WORD_BITS, min((word + 1) * MASK_WORD_BITS, bits)):
            if bit < row[FIRST_BIT]:
                continue
            if state.masks[(first + bit) // MASK_BITS, (first + bit) % MASK_BITS] != wanted:
                continue
            if count == geometry.table_entries:
                return set_fault(state, faults.TABLE_FULL, count + 1, geometry.table_entries)
            entry = bit
            if grid > 0:
                if max(bit // grid, bit % grid) >> COORDINATE_BITS:
                    return set_fault(state, faults.INDEX_GRID, bit, COORDINATE_BITS)
                entry = bit // grid << COORDINATE_BITS | bit % grid
            state.tables[table, count] = entry
            count += 1
            if bit // MASK_GROUP_BITS != last_group:
                last_group = bit // MASK_GROUP_BITS
                groups += 1
        cycles += max(1, groups)
    state.counts[table] = count
    state.written[table] = True
    done[work.FILTERS] = count
    done[work.CYCLES] = cycles
    return 0


@kernel
def time(
    geometry: Geometry,
    row: npt.NDArray[np.int64],
    done: npt.NDArray[np.int64],
    schedule: Schedule,
    ready: int,
    waits: int,
) -> tuple[int, int, int, int]:
    """(start, run, free, done) of an INDEX."""
    start = max(ready, waits)
    end = start + done[work.CYCLES] + INDEX_LATENCY
    return start, start, end, end


@kernel
def accesses(
    geometry: Geometry,
    state: State,
    at: Places,
    row: npt.NDArray[np.int64],
    done: npt.NDArray[np.int64],
    touched: Touched,
) -> None:
    """What an INDEX used: see ``touched``."""
    first = at.mask + row[MASK] * (MASK_BITS // MASK_WORD_BITS)
    for word in range(ceil_div(row[BITS], MASK_WORD_BITS)):
        touch(touched, first + word, READ)
    touch(touched, at.table + row[TABLE], WRITE)
    use_port(touched, TABLE_WRITE)

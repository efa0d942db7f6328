"""Effective counts: what the tables leave of the sizes that an instruction names (section 3)."""

from __future__ import annotations

import numpy as np

from gatewright.contract.encodings import COORDINATE_BITS, COORDINATE_MASK
from gatewright.contract.isa import NO_TABLE, Only
from gatewright.sim.fast import faults
from gatewright.sim.fast.kernels import kernel
from gatewright.sim.fast.state import State

ONLY_ALL, ONLY_FEWER = int(Only.ALL), int(Only.FEWER)


@kernel
def set_fault(state: State, code: int, value: int, limit: int) -> int:
    """Leave the fault's numbers in the state and return its code."""
    state.fault[0] = value
    state.fault[1] = limit
    return code


@kernel
def ceil_div(dividend: int, divisor: int) -> int:
    """The quotient, rounded up."""
    return (dividend + divisor - 1) // divisor


@kernel
def table_count(state: State, table: int) -> int:
    """The count of a table, or a fault."""
    if table >= len(state.counts):
        return set_fault(state, faults.TABLE_NUMBER, table, len(state.counts))
    if not state.written[table]:
        return set_fault(state, faults.TABLE_UNWRITTEN, table, 0)
    return state.counts[table]


@kernel
def bounded(state: State, table: int, first: int, limit: int) -> int:
    """Entries from ``first`` on, ``limit`` at most; all of ``limit`` without a table. Or a fault."""
    if table == NO_TABLE:
        return limit
    count = table_count(state, table)
    if count < 0:
        return count
    return min(max(count - first, 0), limit)


@kernel
def listed_filters(state: State, table: int, first: int, limit: int, only: int) -> int:
    """Filters from ``first`` on, ``limit`` at most; none if ``only`` says so. Or a fault."""
    filters = bounded(state, table, first, limit)
    if (only == ONLY_ALL and 0 < filters < limit) or (only == ONLY_FEWER and filters == limit):
        return 0
    return filters


@kernel
def count_or(state: State, table: int, otherwise: int) -> int:
    """The count of a table, or ``otherwise`` without one. Or a fault."""
    if table == NO_TABLE:
        return otherwise
    return table_count(state, table)


@kernel
def chunk_tiles(state: State, tile: int, table: int, first: int, count: int) -> int:
    """Tiles of a chunk, or a fault."""
    if tile == 0:
        return set_fault(state, faults.TILE_ZERO, 0, 1)
    return bounded(state, table, first, count)


@kernel
def tile_at(state: State, table: int, position: int, grid_columns: int) -> tuple[int, int]:
    """(y, x) in tiles of the tile at a position of a table, or of the raster."""
    if table == NO_TABLE:
        return position // grid_columns, position % grid_columns
    entry = int(np.int64(state.tables[table, position]))
    return entry >> COORDINATE_BITS, entry & COORDINATE_MASK


@kernel
def filter_at(state: State, table: int, position: int) -> int:
    """The filter at a position of a table, or the position itself."""
    return position if table == NO_TABLE else int(np.int64(state.tables[table, position]))

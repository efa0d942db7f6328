"""LOAD: what it moves and what it costs."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gatewright.contract.arch import BEAT_BYTES, INSTRUCTION_BYTES, PARAMETER_BYTES
from gatewright.contract.encodings import (
    INSTRUCTION_BEATS,
    PARAMETER_OFFSETS,
    PARAMETERS_PER_BEAT,
    REGION_UNIT,
    TABLE_ENTRIES_PER_BEAT,
    TABLE_ENTRY_BYTES,
)
from gatewright.contract.isa import NO_TABLE, Opcode, Space, column
from gatewright.contract.timing import LOAD_ISSUE, LOAD_LATENCY
from gatewright.sim.fast import faults, work
from gatewright.sim.fast.channel import read_bursts
from gatewright.sim.fast.context import BURSTS_FULL, UNIT_LOAD, Bursts, Schedule
from gatewright.sim.fast.dram import burst_cycles, bursts_of, split_row
from gatewright.sim.fast.kernels import copy_bytes, kernel
from gatewright.sim.fast.scratchpad import check_bytes, copy_from_dram
from gatewright.sim.fast.sizes import bounded, ceil_div, set_fault
from gatewright.sim.fast.state import NOT_LOADED, Geometry, State

DRAM = column(Opcode.LOAD, "dram_address")
SPACE = column(Opcode.LOAD, "space")
ADDRESS = column(Opcode.LOAD, "address")
ROWS = column(Opcode.LOAD, "rows")
ROW_BEATS = column(Opcode.LOAD, "row_beats")
_ROW_STRIDE = column(Opcode.LOAD, "row_stride")
ROW_TABLE = column(Opcode.LOAD, "row_table")
VECTORS = column(Opcode.LOAD, "vectors")
TAPS = column(Opcode.LOAD, "taps")
COUNT = column(Opcode.LOAD, "count")
FIRST_ROW = column(Opcode.LOAD, "first_row")
RING = column(Opcode.LOAD, "ring")

SCRATCHPAD = int(Space.SCRATCHPAD)
WEIGHTS_BY_VECTOR = int(Space.WEIGHTS_BY_VECTOR)
WEIGHTS_BY_REDUCTION = int(Space.WEIGHTS_BY_REDUCTION)
PARAMETERS = int(Space.PARAMETERS)
TABLE = int(Space.TABLE)
INSTRUCTIONS = int(Space.INSTRUCTIONS)

BIAS, MULTIPLIER, SHIFT = (PARAMETER_OFFSETS[name] for name in ("bias", "multiplier", "shift"))


@kernel
def row_address(state: State, row: npt.NDArray[np.int64], position: int) -> int:
    """DRAM byte address of the row at a position of the transfer."""
    chosen = row[FIRST_ROW] + position
    if row[ROW_TABLE] != NO_TABLE:
        chosen = int(np.int64(state.tables[row[ROW_TABLE], chosen]))
    return row[DRAM] + chosen * row[_ROW_STRIDE]


@kernel
def _little16(data: npt.NDArray[np.uint8], address: int) -> int:
    """Two bytes as an unsigned number."""
    return int(np.int64(data[address]) | np.int64(data[address + 1]) << 8)


@kernel
def rows_read(state: State, row: npt.NDArray[np.int64]) -> int:
    """Rows that a LOAD reads, or a fault."""
    return bounded(state, row[ROW_TABLE], row[FIRST_ROW], row[ROWS])


@kernel
def _count_bursts(state: State, row: npt.NDArray[np.int64]) -> int:
    """Bursts of a LOAD, all of whose rows are checked to lie in DRAM; or a fault."""
    rows = rows_read(state, row)
    if rows < 0:
        return rows
    bursts = 0
    for position in range(rows):
        address = row_address(state, row, position)
        if address % BEAT_BYTES:
            return set_fault(state, faults.DRAM_ALIGNMENT, address, BEAT_BYTES)
        end = address + row[ROW_BEATS] * BEAT_BYTES
        if end > len(state.dram):
            return set_fault(state, faults.DRAM_RANGE, end - 1, len(state.dram))
        bursts += bursts_of(address, row[ROW_BEATS])
    return bursts


@kernel
def execute(
    geometry: Geometry,
    state: State,
    row: npt.NDArray[np.int64],
    done: npt.NDArray[np.int64],
    bursts: Bursts,
) -> int:
    """Execute a LOAD: move the data, list the bursts. Returns 0, a fault, or BURSTS_FULL."""
    count = _count_bursts(state, row)
    if count < 0:
        return count
    first_burst = bursts.listed[0]
    next_burst = first_burst
    if first_burst + count > len(bursts.lengths):
        return BURSTS_FULL
    rows = rows_read(state, row)
    beats = row[ROW_BEATS]
    for position in range(rows):
        next_burst = split_row(row_address(state, row, position), beats, bursts.lengths, next_burst)
    done[work.BURSTS] = count
    done[work.BYTES] = rows * beats * BEAT_BYTES
    for burst in range(first_burst, next_burst):
        done[work.CYCLES] += burst_cycles(geometry, bursts.lengths[burst])
    bursts.listed[0] = next_burst
    space = row[SPACE]
    if space == SCRATCHPAD:
        return _to_scratchpad(state, row, rows)
    if space == WEIGHTS_BY_VECTOR:
        return _to_weights_by_vector(geometry, state, row, rows)
    if space == WEIGHTS_BY_REDUCTION:
        return _to_weights_by_reduction(geometry, state, row, rows)
    if space == PARAMETERS:
        return _to_parameters(geometry, state, row, rows)
    if space == TABLE:
        return _to_table(geometry, state, row, rows)
    if space == INSTRUCTIONS:
        return _to_instructions(geometry, state, row, rows)
    return set_fault(state, faults.LOAD_SPACE, space, INSTRUCTIONS)


@kernel
def _to_scratchpad(state: State, row: npt.NDArray[np.int64], rows: int) -> int:
    beats = row[ROW_BEATS]
    status = check_bytes(state, row[ADDRESS], rows * beats * BEAT_BYTES)
    if status < 0:
        return status
    for position in range(rows):
        target = row[ADDRESS] + position * beats * BEAT_BYTES
        copy_from_dram(state, row_address(state, row, position), target, beats)
    return 0


@kernel
def _check_region(geometry: Geometry, state: State, row: npt.NDArray[np.int64], slices: int, vectors: int) -> int:
    """0 if the words of ``slices`` slices of ``vectors`` vectors exist in the region, else a fault."""
    if slices == 0 or vectors == 0:
        return 0
    if vectors > row[VECTORS]:
        return set_fault(state, faults.REGION_VECTORS, vectors - 1, row[VECTORS])
    last = row[ADDRESS] * REGION_UNIT + (slices - 1) * row[VECTORS] + vectors - 1
    if last >= geometry.weight_words:
        return set_fault(state, faults.WEIGHT_RANGE, last, geometry.weight_words)
    return 0


@kernel
def _to_weights_by_vector(geometry: Geometry, state: State, row: npt.NDArray[np.int64], rows: int) -> int:
    if ceil_div(row[COUNT], geometry.slices_per_beat) > row[ROW_BEATS]:
        needed = ceil_div(row[COUNT], geometry.slices_per_beat)
        return set_fault(state, faults.LOAD_SHORT, needed, row[ROW_BEATS])
    status = _check_region(geometry, state, row, row[COUNT], rows)
    if status < 0:
        return status
    base = row[ADDRESS] * REGION_UNIT
    target = state.weight.reshape(-1)
    for position in range(rows):
        address = row_address(state, row, position)
        for one_slice in range(row[COUNT]):
            beat = one_slice // geometry.slices_per_beat
            source = address + beat * BEAT_BYTES + one_slice % geometry.slices_per_beat * geometry.rows
            word = base + one_slice * row[VECTORS] + position
            copy_bytes(target, word * geometry.rows, state.dram, source, geometry.rows)
    return 0


@kernel
def _to_weights_by_reduction(geometry: Geometry, state: State, row: npt.NDArray[np.int64], rows: int) -> int:
    vectors, taps = row[VECTORS], row[TAPS]
    tap_beats = ceil_div(vectors, BEAT_BYTES)
    if row[ROW_BEATS] != taps * tap_beats:
        return set_fault(state, faults.LOAD_BEATS, row[ROW_BEATS], taps * tap_beats)
    status = _check_region(geometry, state, row, ceil_div(taps * rows, geometry.rows), vectors)
    if status < 0:
        return status
    base = row[ADDRESS] * REGION_UNIT
    for position in range(rows):
        address = row_address(state, row, position)
        for tap in range(taps):
            element = tap * rows + position
            word = base + element // geometry.rows * vectors
            lane = element % geometry.rows
            source = address + tap * tap_beats * BEAT_BYTES
            for vector in range(vectors):
                state.weight[word + vector, lane] = state.dram[source + vector]
    return 0


@kernel
def _to_parameters(geometry: Geometry, state: State, row: npt.NDArray[np.int64], rows: int) -> int:
    per_row = row[ROW_BEATS] * PARAMETERS_PER_BEAT
    if row[ADDRESS] + rows * per_row > geometry.parameter_entries:
        last = row[ADDRESS] + rows * per_row - 1
        return set_fault(state, faults.PARAMETER_RANGE, last, geometry.parameter_entries)
    for position in range(rows):
        for index in range(per_row):
            entry = row[ADDRESS] + position * per_row + index
            source = row_address(state, row, position) + index * PARAMETER_BYTES
            bias = np.int64(0)
            for byte in range(4):
                bias |= np.int64(state.dram[source + BIAS + byte]) << (8 * byte)
            state.bias[entry] = np.int32(bias)
            state.multiplier[entry] = _little16(state.dram, source + MULTIPLIER)
            state.shift[entry] = state.dram[source + SHIFT]
    return 0


@kernel
def _to_table(geometry: Geometry, state: State, row: npt.NDArray[np.int64], rows: int) -> int:
    table, count = row[ADDRESS], row[COUNT]
    if table >= geometry.tables:
        return set_fault(state, faults.TABLE_NUMBER, table, geometry.tables)
    if count > geometry.table_entries:
        return set_fault(state, faults.TABLE_FULL, count, geometry.table_entries)
    if ceil_div(count, TABLE_ENTRIES_PER_BEAT) > rows * row[ROW_BEATS]:
        return set_fault(state, faults.LOAD_SHORT, ceil_div(count, TABLE_ENTRIES_PER_BEAT), rows * row[ROW_BEATS])
    per_row = row[ROW_BEATS] * TABLE_ENTRIES_PER_BEAT
    for index in range(count):
        source = row_address(state, row, index // per_row) + index % per_row * TABLE_ENTRY_BYTES
        state.tables[table, index] = _little16(state.dram, source)
    state.counts[table] = count
    state.written[table] = True
    return 0


@kernel
def _to_instructions(geometry: Geometry, state: State, row: npt.NDArray[np.int64], rows: int) -> int:
    beats = rows * row[ROW_BEATS]
    if beats % INSTRUCTION_BEATS:
        return set_fault(state, faults.INSTRUCTION_SPLIT, beats, INSTRUCTION_BEATS)
    entries = beats // INSTRUCTION_BEATS
    if row[ADDRESS] + entries > geometry.instruction_entries:
        last = row[ADDRESS] + entries - 1
        return set_fault(state, faults.INSTRUCTION_RANGE, last, geometry.instruction_entries)
    target = state.instructions.reshape(-1)
    for position in range(rows):
        source = row_address(state, row, position)
        first = row[ADDRESS] * INSTRUCTION_BYTES + position * row[ROW_BEATS] * BEAT_BYTES
        copy_bytes(target, first, state.dram, source, row[ROW_BEATS] * BEAT_BYTES)
    state.loaded[row[ADDRESS] : row[ADDRESS] + entries] = NOT_LOADED
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
    """(start, run, free, done) of a LOAD: free when its last address is out."""
    start = max(ready, waits)
    previous_done = schedule.last_done[UNIT_LOAD]
    if done[work.BURSTS] == 0:
        end = max(start + LOAD_LATENCY, previous_done + 1)
        return start, start, end, end
    first = schedule.next_burst[0]
    last = first + done[work.BURSTS]
    issue, channel = start + LOAD_ISSUE, schedule.channel
    address, end = read_bursts(geometry, schedule.bursts, first, last, issue, channel, schedule.writes)
    schedule.next_burst[0] = last
    return start, start, address + 1, max(end + LOAD_LATENCY, previous_done + 1)

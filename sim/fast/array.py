"""MATMUL: products of pixels and filters, and the array's schedule of loads and streams."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gatewright.contract.encodings import REGION_UNIT
from gatewright.contract.isa import NO_TABLE, Opcode, Stationary, column
from gatewright.contract.timing import ACCUMULATOR_LATENCY, EMPTY_LATENCY, array_latency, array_order_depth
from gatewright.sim.fast import faults, work
from gatewright.sim.fast.context import ORDER, ORDER_NEXT, STANDING, STREAM_END, UNIT_ARRAY, Bursts, Schedule
from gatewright.sim.fast.kernels import copy_bytes, kernel
from gatewright.sim.fast.sizes import (
    ONLY_FEWER,
    ceil_div,
    chunk_tiles,
    count_or,
    filter_at,
    listed_filters,
    set_fault,
)
from gatewright.sim.fast.state import Geometry, State
from gatewright.sim.fast.touched import FIRST_BANK, READ, WRITE, Places, Touched, touch, touch_table, use_port

STATIONARY = column(Opcode.MATMUL, "stationary")
PATCH_BASE = column(Opcode.MATMUL, "patch_base")
PATCH_VECTORS = column(Opcode.MATMUL, "patch_vectors")
WEIGHT_BASE = column(Opcode.MATMUL, "weight_base")
WEIGHT_VECTORS = column(Opcode.MATMUL, "weight_vectors")
TAPS = column(Opcode.MATMUL, "taps")
CHANNELS = column(Opcode.MATMUL, "channels")
CHANNEL_TABLE = column(Opcode.MATMUL, "channel_table")
FIRST_SLICE = column(Opcode.MATMUL, "first_slice")
SLICE_COUNT = column(Opcode.MATMUL, "slice_count")
TILE = column(Opcode.MATMUL, "tile")
TILE_TABLE = column(Opcode.MATMUL, "tile_table")
FIRST_TILE = column(Opcode.MATMUL, "first_tile")
TILE_COUNT = column(Opcode.MATMUL, "tile_count")
FIRST_PIXEL = column(Opcode.MATMUL, "first_pixel")
PIXEL_COUNT = column(Opcode.MATMUL, "pixel_count")
FIRST_FILTER = column(Opcode.MATMUL, "first_filter")
FILTER_COUNT = column(Opcode.MATMUL, "filter_count")
FILTER_TABLE = column(Opcode.MATMUL, "filter_table")
ACCUMULATOR = column(Opcode.MATMUL, "accumulator")
BANK = column(Opcode.MATMUL, "bank")
ACCUMULATE = column(Opcode.MATMUL, "accumulate")
ONLY = column(Opcode.MATMUL, "only")
IN_ORDER = column(Opcode.MATMUL, "in_order")

FILTERS = int(Stationary.FILTERS)
_array_latency = kernel(array_latency)
_array_order_depth = kernel(array_order_depth)


@kernel
def execute(
    geometry: Geometry, state: State, row: npt.NDArray[np.int64], done: npt.NDArray[np.int64], bursts: Bursts
) -> int:
    """Execute a MATMUL. Returns 0 or a fault."""
    if row[ONLY] > ONLY_FEWER:
        return set_fault(state, faults.ONLY_VALUE, row[ONLY], ONLY_FEWER)
    if row[IN_ORDER] and row[FILTER_TABLE] == NO_TABLE:
        return set_fault(state, faults.ORDER_TABLE, row[FILTER_TABLE], NO_TABLE)
    tiles = chunk_tiles(state, row[TILE], row[TILE_TABLE], row[FIRST_TILE], row[TILE_COUNT])
    if tiles < 0:
        return tiles
    filters = listed_filters(state, row[FILTER_TABLE], row[FIRST_FILTER], row[FILTER_COUNT], row[ONLY])
    if filters < 0:
        return filters
    channels = count_or(state, row[CHANNEL_TABLE], row[CHANNELS])
    if channels < 0:
        return channels
    pixels = min(max(tiles * row[TILE] * row[TILE] - row[FIRST_PIXEL], 0), row[PIXEL_COUNT])
    reduction = row[TAPS] * channels
    slices = min(max(max(1, ceil_div(reduction, geometry.rows)) - row[FIRST_SLICE], 0), row[SLICE_COUNT])
    if pixels == 0 or filters == 0 or slices == 0:
        return 0
    covered = max(min(reduction, (row[FIRST_SLICE] + slices) * geometry.rows) - row[FIRST_SLICE] * geometry.rows, 0)
    done[work.PIXELS] = pixels
    done[work.FILTERS] = filters
    done[work.SLICES] = slices
    done[work.REDUCTION] = reduction
    done[work.MACS] = pixels * filters * covered
    _plan(geometry, row, done)
    status = _check(geometry, state, row, done)
    if status < 0:
        return status
    patches = np.zeros((pixels, slices * geometry.rows), np.int8)
    weights = np.zeros((filters, slices * geometry.rows), np.int8)
    if reduction > 0:
        _collect(geometry, state, row, patches, weights)
    _multiply(geometry, state, row, patches, weights)
    return 0


@kernel
def scattered(row: npt.NDArray[np.int64]) -> bool:
    """Whether a MATMUL's filters are vectors that a table picks, not one behind the other."""
    return row[FILTER_TABLE] != NO_TABLE and row[IN_ORDER] == 0


@kernel
def weight_vector(state: State, row: npt.NDArray[np.int64], position: int) -> int:
    """The vector of the filter at a position, counted from the first one."""
    if row[IN_ORDER]:
        return position
    return filter_at(state, row[FILTER_TABLE], row[FIRST_FILTER] + position)


@kernel
def _plan(geometry: Geometry, row: npt.NDArray[np.int64], done: npt.NDArray[np.int64]) -> None:
    """Blocks, and the cycles of loads and streams, of a MATMUL that has work."""
    if row[STATIONARY] == FILTERS:
        still, streamed = done[work.FILTERS], done[work.PIXELS]
    else:
        still, streamed = done[work.PIXELS], done[work.FILTERS]
    one_by_one = row[STATIONARY] == FILTERS and scattered(row)
    vectors_per_cycle = 1 if one_by_one else geometry.load_vectors
    blocks = ceil_div(still, geometry.columns)
    slices = done[work.SLICES]
    stream = max(streamed, ACCUMULATOR_LATENCY)
    last_load = ceil_div(still - (blocks - 1) * geometry.columns, vectors_per_cycle)
    full_load = ceil_div(geometry.columns, vectors_per_cycle)
    # Loads that are hidden behind a stream: all but the first.
    full_loads = (blocks - 1) * slices - 1 if blocks > 1 else 0
    last_loads = slices if blocks > 1 else slices - 1
    bound = full_loads * max(full_load - stream, 0) + last_loads * max(last_load - stream, 0)
    done[work.BLOCKS] = blocks
    done[work.PRELOAD] = full_load if blocks > 1 else last_load
    done[work.LOAD_BOUND] = bound
    done[work.CYCLES] = blocks * slices * stream + bound


@kernel
def _check(geometry: Geometry, state: State, row: npt.NDArray[np.int64], done: npt.NDArray[np.int64]) -> int:
    """0 if every word and entry that the MATMUL touches exists, else a fault."""
    streamed = done[work.PIXELS] if row[STATIONARY] == FILTERS else done[work.FILTERS]
    entries = row[ACCUMULATOR] + done[work.BLOCKS] * streamed
    if entries > geometry.accumulator_depth:
        return set_fault(state, faults.ACCUMULATOR_RANGE, entries - 1, geometry.accumulator_depth)
    if done[work.REDUCTION] == 0:
        return 0
    last_slice = done[work.SLICES] - 1
    last_pixel = row[FIRST_PIXEL] + done[work.PIXELS] - 1
    if last_pixel >= row[PATCH_VECTORS]:
        return set_fault(state, faults.PATCH_VECTORS, last_pixel + 1, row[PATCH_VECTORS])
    last = row[PATCH_BASE] * REGION_UNIT + last_slice * row[PATCH_VECTORS] + last_pixel
    if last >= geometry.patch_words:
        return set_fault(state, faults.PATCH_RANGE, last, geometry.patch_words)
    for position in range(done[work.FILTERS]):
        vector = weight_vector(state, row, position)
        if vector >= row[WEIGHT_VECTORS]:
            return set_fault(state, faults.WEIGHT_VECTORS, vector, row[WEIGHT_VECTORS])
        last = row[WEIGHT_BASE] * REGION_UNIT + last_slice * row[WEIGHT_VECTORS] + vector
        if last >= geometry.weight_words:
            return set_fault(state, faults.WEIGHT_RANGE, last, geometry.weight_words)
    return 0


@kernel
def _collect(
    geometry: Geometry,
    state: State,
    row: npt.NDArray[np.int64],
    patches: npt.NDArray[np.int8],
    weights: npt.NDArray[np.int8],
) -> None:
    """Copy the operands' words so that each vector is contiguous: that is what makes the product fast."""
    rows, length = geometry.rows, patches.shape[1]
    patch_target, patch_source = patches.reshape(-1), state.patch.reshape(-1)
    for pixel in range(len(patches)):
        word = row[PATCH_BASE] * REGION_UNIT + row[FIRST_PIXEL] + pixel
        for k in range(0, length, rows):
            copy_bytes(patch_target, pixel * length + k, patch_source, word * rows, rows)
            word += row[PATCH_VECTORS]
    weight_target, weight_source = weights.reshape(-1), state.weight.reshape(-1)
    for position in range(len(weights)):
        vector = weight_vector(state, row, position)
        word = row[WEIGHT_BASE] * REGION_UNIT + vector
        for k in range(0, length, rows):
            copy_bytes(weight_target, position * length + k, weight_source, word * rows, rows)
            word += row[WEIGHT_VECTORS]


@kernel
def _multiply(
    geometry: Geometry,
    state: State,
    row: npt.NDArray[np.int64],
    patches: npt.NDArray[np.int8],
    weights: npt.NDArray[np.int8],
) -> None:
    """Dot products of all pixels and filters into the accumulator entries, modulo 2**32."""
    bank = state.accumulators[row[BANK]]
    filters_stand = row[STATIONARY] == FILTERS
    still = weights if filters_stand else patches
    streamed = patches if filters_stand else weights
    for position in range(len(still)):
        entry = row[ACCUMULATOR] + position // geometry.columns * len(streamed)
        lane = position % geometry.columns
        for time in range(len(streamed)):
            total = np.int32(0)
            for k in range(still.shape[1]):
                total = np.int32(total + np.int32(still[position, k]) * np.int32(streamed[time, k]))
            if row[ACCUMULATE]:
                total = np.int32(total + bank[entry + time, lane])
            bank[entry + time, lane] = total


@kernel
def at_start(geometry: Geometry) -> npt.NDArray[np.int64]:
    """``Schedule.array`` before the first MATMUL."""
    state = np.zeros(ORDER + _array_order_depth(geometry.rows, geometry.columns), np.int64)
    state[STANDING] = -1
    return state


@kernel
def time(
    geometry: Geometry,
    row: npt.NDArray[np.int64],
    done: npt.NDArray[np.int64],
    schedule: Schedule,
    ready: int,
    waits: int,
) -> tuple[int, int, int, int]:
    """(start, run, free, done) of a MATMUL: free when its last stream begins, without work at once."""
    still, stream_end = row[STATIONARY], schedule.array[STREAM_END]
    place = ORDER + schedule.array[ORDER_NEXT]
    start = max(ready, waits, schedule.array[place])
    if done[work.BLOCKS] == 0:
        free, end = start + 1, start + EMPTY_LATENCY
    else:
        if schedule.array[STANDING] >= 0 and still != schedule.array[STANDING]:
            start = max(start, stream_end)
        streamed = done[work.PIXELS] if still == FILTERS else done[work.FILTERS]
        stream_end = max(start + done[work.PRELOAD], stream_end) + done[work.CYCLES]
        free = stream_end - max(streamed, ACCUMULATOR_LATENCY)
        end = stream_end + _array_latency(geometry.rows, geometry.columns)
        schedule.array[STANDING] = still
        schedule.array[STREAM_END] = stream_end
    end = max(end, schedule.last_done[UNIT_ARRAY] + 1)
    schedule.array[place] = end
    schedule.array[ORDER_NEXT] = (place - ORDER + 1) % (len(schedule.array) - ORDER)
    return start, start, free, end


@kernel
def accesses(
    geometry: Geometry,
    state: State,
    at: Places,
    row: npt.NDArray[np.int64],
    done: npt.NDArray[np.int64],
    touched: Touched,
) -> None:
    """What a MATMUL used: see ``touched``."""
    for table in (TILE_TABLE, FILTER_TABLE, CHANNEL_TABLE):
        touch_table(touched, at, row[table], READ)
    pixels, filters = done[work.PIXELS], done[work.FILTERS]
    if done[work.REDUCTION] > 0:
        for number in range(done[work.SLICES]):
            patch = row[PATCH_BASE] * REGION_UNIT + number * row[PATCH_VECTORS]
            for pixel in range(pixels):
                touch(touched, at.patch + patch + row[FIRST_PIXEL] + pixel, READ)
            weight = row[WEIGHT_BASE] * REGION_UNIT + number * row[WEIGHT_VECTORS]
            for position in range(filters):
                touch(touched, at.weight + weight + weight_vector(state, row, position), READ)
    streamed = pixels if row[STATIONARY] == FILTERS else filters
    first = row[BANK] * geometry.accumulator_depth + row[ACCUMULATOR]
    use = READ | WRITE if row[ACCUMULATE] else WRITE
    for number in range(done[work.BLOCKS] * streamed):
        touch(touched, at.accumulator + first + number, use)
    if done[work.BLOCKS] > 0:
        use_port(touched, FIRST_BANK << row[BANK])

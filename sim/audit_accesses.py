"""Which memory locations an executed instruction reads and writes, for the audit.

Every location of every memory has one number. Scratchpad, DRAM and masks are counted in words of 16
bytes (masks: 16 bits), the operand buffers in words, accumulators, parameters and instructions in
entries, tables whole.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from gatewright.arch import ACCUMULATOR_BANKS, BEAT_BYTES, MASK_BITS, MASKS
from gatewright.index_table import MASK_WORD_BITS
from gatewright.isa import NO_TABLE
from gatewright.sim import dma, dynamic_index, sequencer, systolic_array, vector_unit, work
from gatewright.sim.counts import ceil_div, count_or, filter_at, tile_at
from gatewright.sim.dma import REGION_UNIT
from gatewright.sim.kernels import entry, kernel, sources_fingerprint
from gatewright.sim.state import Geometry, State

READ, WRITE, EARLY_READ = 1, 2, 4
"""How a location is used; an early read may happen from ``start`` - DECODE_LATENCY on, before the waits."""


class Places(NamedTuple):
    """The number of the first location of each memory, and of all locations."""

    scratchpad: int
    patch: int
    weight: int
    accumulator: int
    parameter: int
    table: int
    mask: int
    instruction: int
    dram: int
    total: int


class Touched(NamedTuple):
    """Locations touched by one instruction: ``use`` of every location, and a list of those with any."""

    use: npt.NDArray[np.uint8]
    listed: npt.NDArray[np.int64]
    listed_count: npt.NDArray[np.int64]


def places(geometry: Geometry, state: State) -> Places:
    """Number all locations of the machine's memories."""
    sizes = (
        len(state.scratchpad) // BEAT_BYTES,
        geometry.patch_words,
        geometry.weight_words,
        ACCUMULATOR_BANKS * geometry.accumulator_depth,
        geometry.parameter_entries,
        geometry.tables,
        MASKS * MASK_BITS // MASK_WORD_BITS,
        geometry.instruction_entries,
        -(-len(state.dram) // BEAT_BYTES),
    )
    firsts = [sum(sizes[:memory]) for memory in range(len(sizes) + 1)]
    return Places(*firsts)


@kernel
def _touch(touched: Touched, location: int, use: int) -> None:
    if touched.use[location] == 0:
        touched.listed[touched.listed_count[0]] = location
        touched.listed_count[0] += 1
    touched.use[location] |= use


@kernel
def _touch_bytes(touched: Touched, first_place: int, address: int, count: int, use: int) -> None:
    """Touch the 16-byte words that hold ``count`` bytes from ``address`` on."""
    if count > 0:
        for word in range(address // BEAT_BYTES, (address + count - 1) // BEAT_BYTES + 1):
            _touch(touched, first_place + word, use)


@kernel
def _touch_table(touched: Touched, at: Places, table: int, use: int) -> None:
    if table != NO_TABLE:
        _touch(touched, at.table + table, use)


@kernel
def _load(geometry: Geometry, state: State, at: Places, row: npt.NDArray[np.int64], touched: Touched) -> None:
    _touch_table(touched, at, row[dma.ROW_TABLE], READ)
    rows = dma.rows_read(state, row)
    size = row[dma.ROW_BEATS] * BEAT_BYTES
    for position in range(rows):
        _touch_bytes(touched, at.dram, dma.row_address(state, row, position), size, READ)
    space, address = row[dma.SPACE], row[dma.ADDRESS]
    if space == dma.SCRATCHPAD:
        _touch_bytes(touched, at.scratchpad, address, rows * size, WRITE)
    elif space == dma.PARAMETERS:
        for index in range(rows * size // 8):
            _touch(touched, at.parameter + address + index, WRITE)
    elif space == dma.TABLE:
        _touch(touched, at.table + address, WRITE)
    elif space == dma.INSTRUCTIONS:
        for index in range(rows * size // state.instructions.shape[1]):
            _touch(touched, at.instruction + address + index, WRITE)
    else:
        by_vector = space == dma.WEIGHTS_BY_VECTOR
        slices = row[dma.COUNT] if by_vector else ceil_div(row[dma.TAPS] * rows, geometry.rows)
        vectors = rows if by_vector else row[dma.VECTORS]
        for one_slice in range(slices):
            word = address * REGION_UNIT + one_slice * row[dma.VECTORS]
            for vector in range(vectors):
                _touch(touched, at.weight + word + vector, WRITE)


@kernel
def _gather(
    geometry: Geometry,
    state: State,
    at: Places,
    row: npt.NDArray[np.int64],
    done: npt.NDArray[np.int64],
    touched: Touched,
) -> None:
    _touch_table(touched, at, row[dynamic_index.TILE_TABLE], READ)
    _touch_table(touched, at, row[dynamic_index.CHANNEL_TABLE], READ)
    tile = row[dynamic_index.TILE]
    channels = count_or(state, row[dynamic_index.CHANNEL_TABLE], row[dynamic_index.CHANNELS])
    if channels == 0:
        return
    grid_columns = max(1, ceil_div(row[dynamic_index.OUT_WIDTH], tile))
    base = row[dynamic_index.PATCH_BASE] * REGION_UNIT
    mask = at.mask + row[dynamic_index.SOURCE_MASK] * (MASK_BITS // MASK_WORD_BITS)
    for vector in range(done[work.PIXELS]):
        position = row[dynamic_index.FIRST_TILE] + vector // (tile * tile)
        tile_y, tile_x = tile_at(state, row[dynamic_index.TILE_TABLE], position, grid_columns)
        top = (tile_y * tile + vector // tile % tile) * row[dynamic_index.STRIDE] - row[dynamic_index.PADDING_Y]
        left = (tile_x * tile + vector % tile) * row[dynamic_index.STRIDE] - row[dynamic_index.PADDING_X]
        for y in range(max(top, 0), min(top + row[dynamic_index.KERNEL_HEIGHT], row[dynamic_index.HEIGHT])):
            for x in range(max(left, 0), min(left + row[dynamic_index.KERNEL_WIDTH], row[dynamic_index.WIDTH])):
                if row[dynamic_index.SOURCE_MASK] != NO_TABLE:
                    edge = row[dynamic_index.SOURCE_TILE]
                    bit = y // edge * row[dynamic_index.SOURCE_GRID] + x // edge
                    _touch(touched, mask + bit // MASK_WORD_BITS, READ)
                address = dynamic_index.pixel_address(state, row, channels, y, x)
                if address >= 0:
                    _touch_bytes(touched, at.scratchpad, address, channels, READ)
        for one_slice in range(done[work.SLICES]):
            _touch(touched, at.patch + base + one_slice * row[dynamic_index.PATCH_VECTORS] + vector, WRITE)


@kernel
def _matmul(
    geometry: Geometry,
    state: State,
    at: Places,
    row: npt.NDArray[np.int64],
    done: npt.NDArray[np.int64],
    touched: Touched,
) -> None:
    for table in (systolic_array.TILE_TABLE, systolic_array.FILTER_TABLE, systolic_array.CHANNEL_TABLE):
        _touch_table(touched, at, row[table], READ)
    pixels, filters = done[work.PIXELS], done[work.FILTERS]
    if done[work.REDUCTION] > 0:
        for index in range(done[work.SLICES]):
            one_slice = row[systolic_array.FIRST_SLICE] + index
            patch = row[systolic_array.PATCH_BASE] * REGION_UNIT + one_slice * row[systolic_array.PATCH_VECTORS]
            for pixel in range(pixels):
                _touch(touched, at.patch + patch + row[systolic_array.FIRST_PIXEL] + pixel, READ)
            weight = row[systolic_array.WEIGHT_BASE] * REGION_UNIT + one_slice * row[systolic_array.WEIGHT_VECTORS]
            for position in range(filters):
                position += row[systolic_array.FIRST_FILTER]
                _touch(touched, at.weight + weight + filter_at(state, row[systolic_array.FILTER_TABLE], position), READ)
    streamed = pixels if row[systolic_array.STATIONARY] == systolic_array.FILTERS else filters
    first = row[systolic_array.BANK] * geometry.accumulator_depth + row[systolic_array.ACCUMULATOR]
    use = READ | WRITE if row[systolic_array.ACCUMULATE] else WRITE
    for index in range(done[work.BLOCKS] * streamed):
        _touch(touched, at.accumulator + first + index, use)


@kernel
def _epilogue(
    geometry: Geometry,
    state: State,
    at: Places,
    row: npt.NDArray[np.int64],
    done: npt.NDArray[np.int64],
    touched: Touched,
) -> None:
    by_filters = row[vector_unit.STATIONARY] == vector_unit.FILTERS
    kind = row[vector_unit.KIND]
    # Sizes come from the tables before the waits are looked at; so do parameters, but for the transpose's.
    _touch_table(touched, at, row[vector_unit.TILE_TABLE], EARLY_READ)
    _touch_table(touched, at, row[vector_unit.FILTER_TABLE], EARLY_READ)
    early = EARLY_READ if by_filters or kind != vector_unit.STORE else READ
    pixels, filters = done[work.PIXELS], done[work.FILTERS]
    for position in range(filters):
        _touch(touched, at.parameter + vector_unit.parameter_entry(geometry, state, row, position), early)
    if row[vector_unit.POOL] and pixels > 0:
        _touch(touched, at.parameter + row[vector_unit.PARAMETERS] - 1, early)
    first = row[vector_unit.BANK] * geometry.accumulator_depth + row[vector_unit.ACCUMULATOR]
    for index in range(done[work.BLOCKS] * (pixels if by_filters else filters)):
        _touch(touched, at.accumulator + first + index, READ)
    destination, offset = row[vector_unit.DESTINATION], row[vector_unit.FIRST_FILTER]
    if kind == vector_unit.STORE:
        _epilogue_maps(state, at, row, done, touched)
    elif kind == vector_unit.REDUCE:
        _touch_bytes(touched, at.scratchpad, destination + offset, filters, WRITE)
    elif kind == vector_unit.REDUCE_RAW:
        _touch_bytes(touched, at.scratchpad, destination + 4 * offset, 4 * filters, WRITE)
    else:
        for bit in range(destination, destination + (filters if by_filters else pixels)):
            _touch(touched, at.mask + bit // MASK_WORD_BITS, WRITE)


@kernel
def _epilogue_maps(
    state: State, at: Places, row: npt.NDArray[np.int64], done: npt.NDArray[np.int64], touched: Touched
) -> None:
    """The output map's and the pooled map's words."""
    tile, offset = row[vector_unit.TILE], row[vector_unit.FIRST_FILTER]
    filters = done[work.FILTERS]
    stored = row[vector_unit.CHANNELS]
    if row[vector_unit.COMPACT]:
        stored = count_or(state, row[vector_unit.FILTER_TABLE], 0)
    grid_columns = max(1, ceil_div(row[vector_unit.OUT_WIDTH], tile))
    use = READ | WRITE if row[vector_unit.RESIDUAL] else WRITE
    for pixel in range(done[work.PIXELS]):
        position = row[vector_unit.FIRST_PIXEL] + pixel
        table_position = row[vector_unit.FIRST_TILE] + position // (tile * tile)
        tile_y, tile_x = tile_at(state, row[vector_unit.TILE_TABLE], table_position, grid_columns)
        y, x = tile_y * tile + position // tile % tile, tile_x * tile + position % tile
        if y < row[vector_unit.OUT_HEIGHT] and x < row[vector_unit.OUT_WIDTH]:
            address = row[vector_unit.DESTINATION] + (y * row[vector_unit.OUT_WIDTH] + x) * stored + offset
            _touch_bytes(touched, at.scratchpad, address, filters, use)
        if row[vector_unit.POOL]:
            cell = tile_y * row[vector_unit.GRID_WIDTH] + tile_x
            address = row[vector_unit.POOL_ADDRESS] + cell * row[vector_unit.CHANNELS] + offset
            _touch_bytes(touched, at.scratchpad, address, filters, WRITE)


def _accesses_kernel(fingerprint: str) -> Callable[..., None]:
    @entry
    def accesses(
        geometry: Geometry,
        state: State,
        at: Places,
        row: npt.NDArray[np.int64],
        done: npt.NDArray[np.int64],
        fetched_from: int,
        touched: Touched,
    ) -> None:
        """List what an instruction that was just executed touched; ``done`` is its work record."""
        assert fingerprint
        for index in range(touched.listed_count[0]):
            touched.use[touched.listed[index]] = 0
        touched.listed_count[0] = 0
        _touch(touched, at.instruction + fetched_from, READ)
        opcode = row[0]
        if opcode == sequencer.LOAD:
            _load(geometry, state, at, row, touched)
        elif opcode == sequencer.GATHER:
            _gather(geometry, state, at, row, done, touched)
        elif opcode == sequencer.MATMUL:
            _matmul(geometry, state, at, row, done, touched)
        elif opcode == sequencer.EPILOGUE:
            _epilogue(geometry, state, at, row, done, touched)
        elif opcode == sequencer.INDEX:
            first = at.mask + row[dynamic_index.MASK] * (MASK_BITS // MASK_WORD_BITS)
            for word in range(ceil_div(row[dynamic_index.BITS], MASK_WORD_BITS)):
                _touch(touched, first + word, READ)
            _touch(touched, at.table + row[dynamic_index.TABLE], WRITE)
        elif opcode == sequencer.STORE:
            size = row[dma.STORE_BEATS] * BEAT_BYTES
            _touch_bytes(touched, at.scratchpad, row[dma.STORE_ADDRESS], size, READ)
            _touch_bytes(touched, at.dram, row[dma.STORE_DRAM], size, WRITE)
        elif opcode == sequencer.EXIT:
            bit = row[sequencer.EXIT_MASK] * MASK_BITS + row[sequencer.EXIT_BIT]
            _touch(touched, at.mask + bit // MASK_WORD_BITS, READ)

    return accesses


accesses = _accesses_kernel(sources_fingerprint(audit=True))

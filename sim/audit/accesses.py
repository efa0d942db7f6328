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

from gatewright.contract.arch import ACCUMULATOR_BANKS, BEAT_BYTES, MASK_BITS, MASKS
from gatewright.contract.encodings import MASK_WORD_BITS, REGION_UNIT
from gatewright.contract.isa import NO_TABLE
from gatewright.sim.fast import array, epilogue, gather, index, load, sequencer, store, work
from gatewright.sim.fast.kernels import entry, kernel, sources_fingerprint
from gatewright.sim.fast.sizes import ceil_div, count_or, filter_at, tile_at
from gatewright.sim.fast.state import Geometry, State

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
    _touch_table(touched, at, row[load.ROW_TABLE], READ)
    rows = load.rows_read(state, row)
    size = row[load.ROW_BEATS] * BEAT_BYTES
    for position in range(rows):
        _touch_bytes(touched, at.dram, load.row_address(state, row, position), size, READ)
    space, address = row[load.SPACE], row[load.ADDRESS]
    if space == load.SCRATCHPAD:
        _touch_bytes(touched, at.scratchpad, address, rows * size, WRITE)
    elif space == load.PARAMETERS:
        for number in range(rows * size // 8):
            _touch(touched, at.parameter + address + number, WRITE)
    elif space == load.TABLE:
        _touch(touched, at.table + address, WRITE)
    elif space == load.INSTRUCTIONS:
        for number in range(rows * size // state.instructions.shape[1]):
            _touch(touched, at.instruction + address + number, WRITE)
    else:
        by_vector = space == load.WEIGHTS_BY_VECTOR
        slices = row[load.COUNT] if by_vector else ceil_div(row[load.TAPS] * rows, geometry.rows)
        vectors = rows if by_vector else row[load.VECTORS]
        for one_slice in range(slices):
            word = address * REGION_UNIT + one_slice * row[load.VECTORS]
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
    _touch_table(touched, at, row[gather.TILE_TABLE], READ)
    _touch_table(touched, at, row[gather.CHANNEL_TABLE], READ)
    tile = row[gather.TILE]
    channels = count_or(state, row[gather.CHANNEL_TABLE], row[gather.CHANNELS])
    if channels == 0:
        return
    grid_columns = max(1, ceil_div(row[gather.OUT_WIDTH], tile))
    base = row[gather.PATCH_BASE] * REGION_UNIT
    mask = at.mask + row[gather.SOURCE_MASK] * (MASK_BITS // MASK_WORD_BITS)
    for vector in range(done[work.PIXELS]):
        position = row[gather.FIRST_TILE] + vector // (tile * tile)
        tile_y, tile_x = tile_at(state, row[gather.TILE_TABLE], position, grid_columns)
        top = (tile_y * tile + vector // tile % tile) * row[gather.STRIDE] - row[gather.PADDING_Y]
        left = (tile_x * tile + vector % tile) * row[gather.STRIDE] - row[gather.PADDING_X]
        for y in range(max(top, 0), min(top + row[gather.KERNEL_HEIGHT], row[gather.HEIGHT])):
            for x in range(max(left, 0), min(left + row[gather.KERNEL_WIDTH], row[gather.WIDTH])):
                if row[gather.SOURCE_MASK] != NO_TABLE:
                    edge = row[gather.SOURCE_TILE]
                    bit = y // edge * row[gather.SOURCE_GRID] + x // edge
                    _touch(touched, mask + bit // MASK_WORD_BITS, READ)
                address = gather.pixel_address(state, row, channels, y, x)
                if address >= 0:
                    _touch_bytes(touched, at.scratchpad, address, channels, READ)
        for one_slice in range(done[work.SLICES]):
            _touch(touched, at.patch + base + one_slice * row[gather.PATCH_VECTORS] + vector, WRITE)


@kernel
def _matmul(
    geometry: Geometry,
    state: State,
    at: Places,
    row: npt.NDArray[np.int64],
    done: npt.NDArray[np.int64],
    touched: Touched,
) -> None:
    for table in (array.TILE_TABLE, array.FILTER_TABLE, array.CHANNEL_TABLE):
        _touch_table(touched, at, row[table], READ)
    pixels, filters = done[work.PIXELS], done[work.FILTERS]
    if done[work.REDUCTION] > 0:
        for number in range(done[work.SLICES]):
            one_slice = row[array.FIRST_SLICE] + number
            patch = row[array.PATCH_BASE] * REGION_UNIT + one_slice * row[array.PATCH_VECTORS]
            for pixel in range(pixels):
                _touch(touched, at.patch + patch + row[array.FIRST_PIXEL] + pixel, READ)
            weight = row[array.WEIGHT_BASE] * REGION_UNIT + one_slice * row[array.WEIGHT_VECTORS]
            for position in range(filters):
                position += row[array.FIRST_FILTER]
                _touch(touched, at.weight + weight + filter_at(state, row[array.FILTER_TABLE], position), READ)
    streamed = pixels if row[array.STATIONARY] == array.FILTERS else filters
    first = row[array.BANK] * geometry.accumulator_depth + row[array.ACCUMULATOR]
    use = READ | WRITE if row[array.ACCUMULATE] else WRITE
    for number in range(done[work.BLOCKS] * streamed):
        _touch(touched, at.accumulator + first + number, use)


@kernel
def _epilogue(
    geometry: Geometry,
    state: State,
    at: Places,
    row: npt.NDArray[np.int64],
    done: npt.NDArray[np.int64],
    touched: Touched,
) -> None:
    by_filters = row[epilogue.STATIONARY] == epilogue.FILTERS
    kind = row[epilogue.KIND]
    # Sizes come from the tables before the waits are looked at; so do parameters, but for the transpose's.
    _touch_table(touched, at, row[epilogue.TILE_TABLE], EARLY_READ)
    _touch_table(touched, at, row[epilogue.FILTER_TABLE], EARLY_READ)
    early = EARLY_READ if by_filters or kind != epilogue.STORE else READ
    pixels, filters = done[work.PIXELS], done[work.FILTERS]
    for position in range(filters):
        _touch(touched, at.parameter + epilogue.parameter_entry(geometry, state, row, position), early)
    if row[epilogue.POOL] and pixels > 0:
        _touch(touched, at.parameter + row[epilogue.PARAMETERS] - 1, early)
    first = row[epilogue.BANK] * geometry.accumulator_depth + row[epilogue.ACCUMULATOR]
    for number in range(done[work.BLOCKS] * (pixels if by_filters else filters)):
        _touch(touched, at.accumulator + first + number, READ)
    destination, offset = row[epilogue.DESTINATION], row[epilogue.FIRST_FILTER]
    if kind == epilogue.STORE:
        _epilogue_maps(state, at, row, done, touched)
    elif kind == epilogue.REDUCE:
        _touch_bytes(touched, at.scratchpad, destination + offset, filters, WRITE)
    elif kind == epilogue.REDUCE_RAW:
        _touch_bytes(touched, at.scratchpad, destination + 4 * offset, 4 * filters, WRITE)
    else:
        for bit in range(destination, destination + (filters if by_filters else pixels)):
            _touch(touched, at.mask + bit // MASK_WORD_BITS, WRITE)


@kernel
def _epilogue_maps(
    state: State, at: Places, row: npt.NDArray[np.int64], done: npt.NDArray[np.int64], touched: Touched
) -> None:
    """The output map's and the pooled map's words."""
    tile, offset = row[epilogue.TILE], row[epilogue.FIRST_FILTER]
    filters = done[work.FILTERS]
    stored = row[epilogue.CHANNELS]
    if row[epilogue.COMPACT]:
        stored = count_or(state, row[epilogue.FILTER_TABLE], 0)
    grid_columns = max(1, ceil_div(row[epilogue.OUT_WIDTH], tile))
    use = READ | WRITE if row[epilogue.RESIDUAL] else WRITE
    for pixel in range(done[work.PIXELS]):
        position = row[epilogue.FIRST_PIXEL] + pixel
        table_position = row[epilogue.FIRST_TILE] + position // (tile * tile)
        tile_y, tile_x = tile_at(state, row[epilogue.TILE_TABLE], table_position, grid_columns)
        y, x = tile_y * tile + position // tile % tile, tile_x * tile + position % tile
        if y < row[epilogue.OUT_HEIGHT] and x < row[epilogue.OUT_WIDTH]:
            address = row[epilogue.DESTINATION] + (y * row[epilogue.OUT_WIDTH] + x) * stored + offset
            _touch_bytes(touched, at.scratchpad, address, filters, use)
        if row[epilogue.POOL]:
            cell = tile_y * row[epilogue.GRID_WIDTH] + tile_x
            address = row[epilogue.POOL_ADDRESS] + cell * row[epilogue.CHANNELS] + offset
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
        for number in range(touched.listed_count[0]):
            touched.use[touched.listed[number]] = 0
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
            first = at.mask + row[index.MASK] * (MASK_BITS // MASK_WORD_BITS)
            for word in range(ceil_div(row[index.BITS], MASK_WORD_BITS)):
                _touch(touched, first + word, READ)
            _touch(touched, at.table + row[index.TABLE], WRITE)
        elif opcode == sequencer.STORE:
            size = row[store.BEATS] * BEAT_BYTES
            _touch_bytes(touched, at.scratchpad, row[store.ADDRESS], size, READ)
            _touch_bytes(touched, at.dram, row[store.DRAM], size, WRITE)
        elif opcode == sequencer.EXIT:
            bit = row[sequencer.EXIT_MASK] * MASK_BITS + row[sequencer.EXIT_BIT]
            _touch(touched, at.mask + bit // MASK_WORD_BITS, READ)

    return accesses


accesses = _accesses_kernel(sources_fingerprint(audit=True))

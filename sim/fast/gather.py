"""GATHER, the dynamic index module: maps become im2col vectors of the tiles that a table lists."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gatewright.contract.arch import MASK_BITS, MASK_COLUMNS, MASKS
from gatewright.contract.encodings import MASK_WORD_BITS, REGION_UNIT
from gatewright.contract.isa import NO_MASK, NO_TABLE, Opcode, column
from gatewright.contract.timing import GATHER_LATENCY, TILE_CYCLES
from gatewright.sim.fast import faults, work
from gatewright.sim.fast.context import Bursts, Schedule
from gatewright.sim.fast.kernels import copy_bytes, kernel
from gatewright.sim.fast.scratchpad import check_bytes, ring_address
from gatewright.sim.fast.sizes import bounded, ceil_div, chunk_tiles, count_or, set_fault, tile_at
from gatewright.sim.fast.state import Geometry, State
from gatewright.sim.fast.touched import READ, WRITE, Places, Touched, touch, touch_bytes, touch_table

SOURCE = column(Opcode.GATHER, "source")
HEIGHT = column(Opcode.GATHER, "height")
WIDTH = column(Opcode.GATHER, "width")
CHANNELS = column(Opcode.GATHER, "channels")
CHANNEL_TABLE = column(Opcode.GATHER, "channel_table")
KERNEL_HEIGHT = column(Opcode.GATHER, "kernel_height")
KERNEL_WIDTH = column(Opcode.GATHER, "kernel_width")
STRIDE = column(Opcode.GATHER, "stride")
PADDING_Y = column(Opcode.GATHER, "padding_y")
PADDING_X = column(Opcode.GATHER, "padding_x")
OUT_WIDTH = column(Opcode.GATHER, "out_width")
TILE = column(Opcode.GATHER, "tile")
TILE_TABLE = column(Opcode.GATHER, "tile_table")
FIRST_TILE = column(Opcode.GATHER, "first_tile")
TILE_COUNT = column(Opcode.GATHER, "tile_count")
PATCH_BASE = column(Opcode.GATHER, "patch_base")
PATCH_VECTORS = column(Opcode.GATHER, "patch_vectors")
SOURCE_MASK = column(Opcode.GATHER, "source_mask")
SOURCE_TILE = column(Opcode.GATHER, "source_tile")
SOURCE_GRID = column(Opcode.GATHER, "source_grid")
FIRST_SLICE = column(Opcode.GATHER, "first_slice")
SLICE_COUNT = column(Opcode.GATHER, "slice_count")
WRAP_ROW = column(Opcode.GATHER, "wrap_row")
WRAP_BYTES = column(Opcode.GATHER, "wrap_bytes")
PIXEL_CHANNELS = column(Opcode.GATHER, "pixel_channels")
DILATION = column(Opcode.GATHER, "dilation")
FILTER_TABLE = column(Opcode.GATHER, "filter_table")
FIRST_FILTER = column(Opcode.GATHER, "first_filter")


@kernel
def runs_of(row: npt.NDArray[np.int64], channels: int) -> tuple[int, int]:
    """How many runs of consecutive bytes the elements of a vector are, and the bytes of each."""
    if row[PIXEL_CHANNELS] != 0 or row[DILATION] > 1:
        return row[KERNEL_HEIGHT] * row[KERNEL_WIDTH], channels
    return row[KERNEL_HEIGHT], row[KERNEL_WIDTH] * channels


@kernel
def pixel_address(state: State, row: npt.NDArray[np.int64], channels: int, y: int, x: int) -> int:
    """Scratchpad address of an input pixel, or -1 where zeros are read."""
    if y < 0 or y >= row[HEIGHT] or x < 0 or x >= row[WIDTH]:
        return -1
    if row[SOURCE_MASK] != NO_MASK:
        bit = y // row[SOURCE_TILE] * row[SOURCE_GRID] + x // row[SOURCE_TILE]
        if not state.masks[row[SOURCE_MASK], bit]:
            return -1
    pitch = channels if row[PIXEL_CHANNELS] == 0 else row[PIXEL_CHANNELS]
    return ring_address(row[SOURCE] + (y * row[WIDTH] + x) * pitch, y, row[WRAP_ROW], row[WRAP_BYTES])


@kernel
def _check_mask(state: State, row: npt.NDArray[np.int64]) -> int:
    """0 if the mask bits of all tiles of the input map exist, else a fault."""
    if row[SOURCE_MASK] != NO_MASK:
        if min(row[SOURCE_TILE], row[SOURCE_GRID]) == 0:
            return set_fault(state, faults.SOURCE_TILE, 0, 1)
        last_y, last_x = max(row[HEIGHT] - 1, 0) // row[SOURCE_TILE], max(row[WIDTH] - 1, 0) // row[SOURCE_TILE]
        bit = last_y * row[SOURCE_GRID] + last_x
        if bit >= MASK_BITS:
            return set_fault(state, faults.MASK_RANGE, bit, MASK_BITS)
    return 0


@kernel
def execute(
    geometry: Geometry, state: State, row: npt.NDArray[np.int64], done: npt.NDArray[np.int64], bursts: Bursts
) -> int:
    """Execute a GATHER. Returns 0 or a fault."""
    tiles = chunk_tiles(state, row[TILE], row[TILE_TABLE], row[FIRST_TILE], row[TILE_COUNT])
    if tiles < 0:
        return tiles
    channels = count_or(state, row[CHANNEL_TABLE], row[CHANNELS])
    if channels < 0:
        return channels
    filters = bounded(state, row[FILTER_TABLE], row[FIRST_FILTER], 1)
    if filters < 0:
        return filters
    if row[SOURCE_MASK] != NO_MASK:
        if row[SOURCE_MASK] >= MASKS:
            return set_fault(state, faults.MASK_NUMBER, row[SOURCE_MASK], MASKS)
        if row[KERNEL_WIDTH] > MASK_COLUMNS:
            return set_fault(state, faults.MASKED_KERNEL, row[KERNEL_WIDTH], MASK_COLUMNS)
    tile = row[TILE]
    vectors = tiles * tile * tile * filters
    count, run = runs_of(row, channels)
    reduction = count * run
    low = row[FIRST_SLICE] * geometry.rows
    high = min(reduction, low + row[SLICE_COUNT] * geometry.rows)
    slices = max(ceil_div(high - low, geometry.rows), 0)
    done[work.TILES] = tiles
    done[work.PIXELS] = vectors
    done[work.REDUCTION] = reduction
    done[work.SLICES] = slices
    if vectors == 0 or slices == 0:
        return 0
    row_elements = row[KERNEL_WIDTH] * channels
    if run < row_elements and low % row_elements != 0:
        return set_fault(state, faults.APART_SLICE, row[FIRST_SLICE], row_elements)
    pieces = 0
    for number in range(low // run, ceil_div(high, run)):
        part = min(high, (number + 1) * run) - max(low, number * run)
        pieces += ceil_div(part, geometry.gather_bytes)
    least = 1 if row[TILE_TABLE] == NO_TABLE else TILE_CYCLES
    done[work.CYCLES] = tiles * max(tile * tile * pieces, least)
    if vectors > row[PATCH_VECTORS]:
        return set_fault(state, faults.PATCH_VECTORS, vectors, row[PATCH_VECTORS])
    base = row[PATCH_BASE] * REGION_UNIT
    last = base + (slices - 1) * row[PATCH_VECTORS] + vectors - 1
    if last >= geometry.patch_words:
        return set_fault(state, faults.PATCH_RANGE, last, geometry.patch_words)
    status = _check_mask(state, row)
    if status < 0:
        return status
    grid_columns = max(1, ceil_div(row[OUT_WIDTH], tile))
    line = np.zeros(ceil_div(reduction, geometry.rows) * geometry.rows, np.int8)
    patch = state.patch.reshape(-1)
    for vector in range(vectors):
        position = vector // (tile * tile)
        tile_y, tile_x = tile_at(state, row[TILE_TABLE], row[FIRST_TILE] + position, grid_columns)
        y = tile_y * tile + vector // tile % tile
        x = tile_x * tile + vector % tile
        top, left = y * row[STRIDE] - row[PADDING_Y], x * row[STRIDE] - row[PADDING_X]
        for number in range(low // run, ceil_div(high, run)):
            status = _read_run(state, row, channels, top, left, line, number)
            if status < 0:
                return status
        word = base + vector
        for k in range(low, low + slices * geometry.rows, geometry.rows):
            copy_bytes(patch, word * geometry.rows, line, k, geometry.rows)
            word += row[PATCH_VECTORS]
    return 0


@kernel
def _read_run(
    state: State,
    row: npt.NDArray[np.int64],
    channels: int,
    top: int,
    left: int,
    line: npt.NDArray[np.int8],
    number: int,
) -> int:
    """Fill a vector's elements of one run with the pixels that it covers; the kernel begins at (``top``, ``left``).

    Returns 0, or a fault if a pixel that is read lies outside of the scratchpad.
    """
    _, length = runs_of(row, channels)
    first, y, x = number * length, top + number, left
    apart = row[PIXEL_CHANNELS] != 0 or row[DILATION] > 1
    if apart:  # a run is a pixel
        step = max(1, row[DILATION])
        y, x = top + number // row[KERNEL_WIDTH] * step, left + number % row[KERNEL_WIDTH] * step
    inside = left >= 0 and left + row[KERNEL_WIDTH] <= row[WIDTH]
    if apart or (inside and row[SOURCE_MASK] == NO_MASK):
        address = pixel_address(state, row, channels, y, x)
        if address < 0:
            line[first : first + length] = 0
            return 0
        status = check_bytes(state, address, length)
        if status == 0:
            copy_bytes(line, first, state.scratchpad, address, length)
        return status
    for kernel_x in range(row[KERNEL_WIDTH]):
        address = pixel_address(state, row, channels, y, left + kernel_x)
        if address < 0:
            line[first : first + channels] = 0
        else:
            status = check_bytes(state, address, channels)
            if status < 0:
                return status
            copy_bytes(line, first, state.scratchpad, address, channels)
        first += channels
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
    """(start, run, free, done) of a GATHER."""
    start = max(ready, waits)
    end = start + done[work.CYCLES] + GATHER_LATENCY
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
    """What a GATHER used: see ``touched``."""
    touch_table(touched, at, row[TILE_TABLE], READ)
    touch_table(touched, at, row[CHANNEL_TABLE], READ)
    touch_table(touched, at, row[FILTER_TABLE], READ)
    tile = row[TILE]
    channels = count_or(state, row[CHANNEL_TABLE], row[CHANNELS])
    if done[work.SLICES] == 0 or done[work.PIXELS] == 0:
        return
    _, run = runs_of(row, channels)
    low = row[FIRST_SLICE] * geometry.rows
    high = min(done[work.REDUCTION], low + row[SLICE_COUNT] * geometry.rows)
    columns = row[KERNEL_WIDTH] if run == channels else 1
    step = max(1, row[DILATION])
    grid_columns = max(1, ceil_div(row[OUT_WIDTH], tile))
    base = row[PATCH_BASE] * REGION_UNIT
    mask = at.mask + row[SOURCE_MASK] * (MASK_BITS // MASK_WORD_BITS)
    for vector in range(done[work.PIXELS]):
        position = row[FIRST_TILE] + vector // (tile * tile)
        tile_y, tile_x = tile_at(state, row[TILE_TABLE], position, grid_columns)
        top = (tile_y * tile + vector // tile % tile) * row[STRIDE] - row[PADDING_Y]
        left = (tile_x * tile + vector % tile) * row[STRIDE] - row[PADDING_X]
        for number in range(low // run, ceil_div(high, run)):
            y, begin = top + number // columns * step, left + number % columns * step
            if y < 0 or y >= row[HEIGHT]:
                continue
            for x in range(max(begin, 0), min(begin + run // channels, row[WIDTH])):
                if row[SOURCE_MASK] != NO_MASK:
                    edge = row[SOURCE_TILE]
                    bit = y // edge * row[SOURCE_GRID] + x // edge
                    touch(touched, mask + bit // MASK_WORD_BITS, READ)
                address = pixel_address(state, row, channels, y, x)
                if address >= 0:
                    touch_bytes(touched, at.scratchpad, address, channels, READ)
        for one_slice in range(done[work.SLICES]):
            touch(touched, at.patch + base + one_slice * row[PATCH_VECTORS] + vector, WRITE)

"""EPILOGUE's kind DEPTHWISE: of windows of a map a weighted sum for each channel, finished as the kind STORE does.

Its pixels lie in tiles as those of STORE do, so that a table may pick them. A row of a tile is one walk along the
source, column by column: a column's pixels add to all windows that it is part of.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gatewright.contract.arithmetic import SHIFT_MAX
from gatewright.contract.encodings import (
    DEPTHWISE_ENTRIES,
    DEPTHWISE_PARTS,
    DEPTHWISE_ROWS,
    MOST_DEPTHWISE_STEP,
    MOST_DEPTHWISE_WINDOW,
)
from gatewright.contract.isa import EpilogueKind
from gatewright.contract.timing import DEPTHWISE_LEAD
from gatewright.sim.fast import epilogue, faults, work
from gatewright.sim.fast.arithmetic import requantise, saturate
from gatewright.sim.fast.kernels import kernel
from gatewright.sim.fast.scratchpad import check_bytes, ring_address
from gatewright.sim.fast.sizes import ceil_div, chunk_tiles, count_or, filter_at, listed_filters, set_fault, tile_at
from gatewright.sim.fast.state import Geometry, State
from gatewright.sim.fast.touched import (
    EARLY_READ,
    PORT_B,
    READ,
    WRITE,
    Places,
    Touched,
    touch,
    touch_bytes,
    touch_table,
    use_port,
)

DEPTHWISE = int(EpilogueKind.DEPTHWISE)
_ROW_ENTRY = np.array([entry for entry, _ in DEPTHWISE_ROWS])
_ROW_BYTE = np.array([byte for _, byte in DEPTHWISE_ROWS])
_LAST_PART = DEPTHWISE_PARTS - 1


@kernel
def _check(geometry: Geometry, state: State, row: npt.NDArray[np.int64]) -> int:
    """0 if the operands go together, else a fault."""
    if not geometry.depthwise:
        return set_fault(state, faults.EPILOGUE_KIND, row[epilogue.KIND], DEPTHWISE - 1)
    status = epilogue.check_kind(state, row, 0, 0)
    if status < 0:
        return status
    window = row[epilogue.WINDOW]
    if not 1 <= window <= MOST_DEPTHWISE_WINDOW:
        return set_fault(state, faults.WINDOW_EDGE, window, MOST_DEPTHWISE_WINDOW)
    if not 1 <= row[epilogue.STEP] <= MOST_DEPTHWISE_STEP:
        return set_fault(state, faults.DEPTHWISE_STEP, row[epilogue.STEP], MOST_DEPTHWISE_STEP)
    if row[epilogue.INSET] >= window:
        return set_fault(state, faults.WINDOW_INSET, row[epilogue.INSET], window)
    return 0


@kernel
def walk_cycles(row: npt.NDArray[np.int64], pixels: int) -> int:
    """Slots of a block of channels: of every piece of a tile's row its columns' pixels, and one for each result."""
    tile, step, window = row[epilogue.TILE], row[epilogue.STEP], row[epilogue.WINDOW]
    first = row[epilogue.FIRST_PIXEL] % tile
    slots, left = 0, pixels
    while left > 0:
        piece = min(left, tile - first)
        slots += ((piece - 1) * step + window) * window + piece
        left -= piece
        first = 0
    return slots


@kernel
def _size(geometry: Geometry, state: State, row: npt.NDArray[np.int64], done: npt.NDArray[np.int64]) -> int:
    """Sizes and cycles into the work record. Returns 0 or a fault."""
    tile = row[epilogue.TILE]
    tiles = chunk_tiles(state, tile, row[epilogue.TILE_TABLE], row[epilogue.FIRST_TILE], row[epilogue.TILE_COUNT])
    if tiles < 0:
        return tiles
    channels = listed_filters(
        state, row[epilogue.FILTER_TABLE], row[epilogue.FIRST_FILTER], row[epilogue.FILTER_COUNT], row[epilogue.ONLY]
    )
    if channels < 0:
        return channels
    status = _check(geometry, state, row)
    pixels = min(max(tiles * tile * tile - row[epilogue.FIRST_PIXEL], 0), row[epilogue.PIXEL_COUNT])
    if status < 0 or pixels == 0 or channels == 0:
        return status
    behind, stored = row[epilogue.FIRST_FILTER] + channels, _stored(state, row)
    if behind > stored:
        return set_fault(state, faults.CHANNEL_RANGE, behind, stored)
    for position in range(channels):
        entry = _entry(state, row, position) + _LAST_PART
        if entry >= geometry.parameter_entries:
            return set_fault(state, faults.PARAMETER_RANGE, entry, geometry.parameter_entries)
        if not 1 <= state.shift[entry] <= SHIFT_MAX:
            return set_fault(state, faults.PARAMETER_SHIFT, state.shift[entry], SHIFT_MAX)
    done[work.PIXELS] = pixels
    done[work.FILTERS] = channels
    done[work.BLOCKS] = ceil_div(channels, geometry.columns)
    done[work.PRELOAD] = DEPTHWISE_PARTS * min(channels, geometry.columns)
    parameters = DEPTHWISE_PARTS * channels - done[work.PRELOAD]
    done[work.CYCLES] = DEPTHWISE_LEAD + parameters + done[work.BLOCKS] * walk_cycles(row, pixels)
    return 0


@kernel
def _stored(state: State, row: npt.NDArray[np.int64]) -> int:
    """Channels that both maps store for a pixel."""
    if row[epilogue.COMPACT]:
        return count_or(state, row[epilogue.FILTER_TABLE], 0)
    return row[epilogue.CHANNELS]


@kernel
def _entry(state: State, row: npt.NDArray[np.int64], position: int) -> int:
    """The first parameter entry of the channel at a position of the instruction."""
    channel = filter_at(state, row[epilogue.FILTER_TABLE], row[epilogue.FIRST_FILTER] + position)
    return row[epilogue.PARAMETERS] + DEPTHWISE_ENTRIES * np.int64(channel)


@kernel
def _weight(state: State, entry: int, place: int) -> int:
    """Byte ``place`` of a parameter entry, as a weight."""
    word = np.int64(state.bias[entry]) if place < 4 else np.int64(state.multiplier[entry])
    byte = int(word >> (8 * (place % 4))) & 0xFF
    return byte - 256 if byte >= 128 else byte


@kernel
def _place(state: State, row: npt.NDArray[np.int64], pixel: int) -> tuple[int, int]:
    """(y, x) in the output map of a pixel of the instruction."""
    tile = row[epilogue.TILE]
    position = row[epilogue.FIRST_PIXEL] + pixel
    columns = max(1, ceil_div(row[epilogue.OUT_WIDTH], tile))
    at = row[epilogue.FIRST_TILE] + position // (tile * tile)
    tile_y, tile_x = tile_at(state, row[epilogue.TILE_TABLE], at, columns)
    return tile_y * tile + position // tile % tile, tile_x * tile + position % tile


@kernel
def _source_address(row: npt.NDArray[np.int64], y: int, x: int, stored: int) -> int:
    """Address of the first channel that is read of a pixel of the source, or -1 outside of it."""
    if y < 0 or y >= row[epilogue.SOURCE_HEIGHT] or x < 0 or x >= row[epilogue.SOURCE_WIDTH]:
        return -1
    place = (y * row[epilogue.SOURCE_WIDTH] + x) * stored + row[epilogue.FIRST_FILTER]
    return ring_address(row[epilogue.SOURCE] + place, y, row[epilogue.WRAP_ROW], row[epilogue.WRAP_BYTES])


@kernel
def _target_address(row: npt.NDArray[np.int64], y: int, x: int, stored: int) -> int:
    """Address of the first channel that is written of a pixel, or -1 outside of the output map."""
    if y >= row[epilogue.OUT_HEIGHT] or x >= row[epilogue.OUT_WIDTH]:
        return -1
    place = (y * row[epilogue.OUT_WIDTH] + x) * stored + row[epilogue.FIRST_FILTER]
    return ring_address(row[epilogue.DESTINATION] + place, 0, 0, 0)


@kernel
def _weights(state: State, row: npt.NDArray[np.int64], channels: int) -> npt.NDArray[np.int64]:
    """The channels' weights [window, window, channels]."""
    window = row[epilogue.WINDOW]
    weights = np.empty((window, window, channels), np.int64)
    for j in range(channels):
        entry = _entry(state, row, j)
        for dy in range(window):
            for dx in range(window):
                byte = _ROW_BYTE[dy] + MOST_DEPTHWISE_WINDOW - window + dx
                weights[dy, dx, j] = _weight(state, entry + _ROW_ENTRY[dy], byte)
    return weights


@kernel
def execute(geometry: Geometry, state: State, row: npt.NDArray[np.int64], done: npt.NDArray[np.int64]) -> int:
    """Execute a DEPTHWISE. Returns 0 or a fault."""
    status = _size(geometry, state, row, done)
    if status < 0 or done[work.PIXELS] == 0:
        return status
    channels, stored, window = done[work.FILTERS], _stored(state, row), row[epilogue.WINDOW]
    weights, sums = _weights(state, row, channels), np.empty(channels, np.int64)
    for pixel in range(done[work.PIXELS]):
        y, x = _place(state, row, pixel)
        sums[:] = 0
        top, left = y * row[epilogue.STEP] - row[epilogue.INSET], x * row[epilogue.STEP] - row[epilogue.INSET]
        for dy in range(window):
            for dx in range(window):
                address = _source_address(row, top + dy, left + dx, stored)
                if address < 0:
                    continue
                status = check_bytes(state, address, channels)
                if status < 0:
                    return status
                for j in range(channels):
                    sums[j] += weights[dy, dx, j] * state.scratchpad[address + j]
        target = _target_address(row, y, x, stored)
        if target < 0:
            continue
        status = check_bytes(state, target, channels)
        if status < 0:
            return status
        for j in range(channels):
            last = _entry(state, row, j) + _LAST_PART
            value = requantise(sums[j] + state.bias[last], state.multiplier[last], state.shift[last])
            state.scratchpad[target + j] = saturate(value, row[epilogue.RELU])
    return 0


@kernel
def accesses(
    state: State, at: Places, row: npt.NDArray[np.int64], done: npt.NDArray[np.int64], touched: Touched
) -> None:
    """What a DEPTHWISE used: see ``touched``."""
    touch_table(touched, at, row[epilogue.TILE_TABLE], EARLY_READ)
    touch_table(touched, at, row[epilogue.FILTER_TABLE], EARLY_READ)
    if done[work.BLOCKS] == 0:
        return
    use_port(touched, PORT_B)
    channels, stored, window = done[work.FILTERS], _stored(state, row), row[epilogue.WINDOW]
    for position in range(channels):
        for part in range(DEPTHWISE_PARTS):
            touch(touched, at.parameter + _entry(state, row, position) + part, EARLY_READ)
    for pixel in range(done[work.PIXELS]):
        y, x = _place(state, row, pixel)
        for dy in range(window):
            for dx in range(window):
                source_y = y * row[epilogue.STEP] - row[epilogue.INSET] + dy
                source_x = x * row[epilogue.STEP] - row[epilogue.INSET] + dx
                address = _source_address(row, source_y, source_x, stored)
                if address >= 0:
                    touch_bytes(touched, at.scratchpad, address, channels, READ)
        target = _target_address(row, y, x, stored)
        if target >= 0:
            touch_bytes(touched, at.scratchpad, target, channels, WRITE)

"""What EPILOGUE computes: requantised maps, pooled tiles, sums, and gate decisions."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gatewright.contract.arch import MASK_BITS
from gatewright.contract.arithmetic import SHIFT_MAX, gate_decision
from gatewright.contract.encodings import DIGIT_BITS, LOGIT_BYTES
from gatewright.sim.fast import epilogue, epilogue_depthwise, epilogue_taps, epilogue_windows, faults, work
from gatewright.sim.fast.arithmetic import requantise, saturate, wrap32
from gatewright.sim.fast.context import Bursts
from gatewright.sim.fast.epilogue import FILTERS, REDUCE, STORE, THRESHOLD
from gatewright.sim.fast.kernels import kernel
from gatewright.sim.fast.scratchpad import check_bytes
from gatewright.sim.fast.sizes import ceil_div, count_or, set_fault, tile_at
from gatewright.sim.fast.state import Geometry, State

_gate_decision = kernel(gate_decision)


@kernel
def execute(
    geometry: Geometry, state: State, row: npt.NDArray[np.int64], done: npt.NDArray[np.int64], bursts: Bursts
) -> int:
    """Execute an EPILOGUE. Returns 0 or a fault."""
    if row[epilogue.KIND] == epilogue_windows.TAPS:
        return epilogue_taps.execute(geometry, state, row, done)
    if row[epilogue.KIND] == epilogue_depthwise.DEPTHWISE:
        return epilogue_depthwise.execute(geometry, state, row, done)
    if row[epilogue.KIND] > THRESHOLD:
        return epilogue_windows.execute(geometry, state, row, done)
    status = epilogue.size(geometry, state, row, done)
    if status < 0 or done[work.PIXELS] == 0:
        return status
    filters = done[work.FILTERS]
    entries = np.empty(filters, np.int64)
    for position in range(filters):
        entries[position] = epilogue.parameter_entry(geometry, state, row, position)
        if entries[position] < 0:
            return entries[position]
    if row[epilogue.KIND] == STORE:
        return _store(geometry, state, row, done, entries)
    if row[epilogue.KIND] == THRESHOLD:
        return _threshold(geometry, state, row, done, entries)
    return _reduce(geometry, state, row, done, entries)


@kernel
def _store(
    geometry: Geometry,
    state: State,
    row: npt.NDArray[np.int64],
    done: npt.NDArray[np.int64],
    entries: npt.NDArray[np.int64],
) -> int:
    filters, pixels, tile = done[work.FILTERS], done[work.PIXELS], row[epilogue.TILE]
    first = row[epilogue.FIRST_FILTER]
    stored = row[epilogue.CHANNELS]
    if row[epilogue.COMPACT]:
        stored = count_or(state, row[epilogue.FILTER_TABLE], 0)
    if first + filters > stored:
        return set_fault(state, faults.CHANNEL_RANGE, first + filters, stored)
    sums = np.zeros((done[work.TILES], filters), np.int64)
    grid_columns = max(1, ceil_div(row[epilogue.OUT_WIDTH], tile))
    area = tile * tile
    for pixel in range(pixels):
        position = row[epilogue.FIRST_PIXEL] + pixel
        table_position = row[epilogue.FIRST_TILE] + position // area
        tile_y, tile_x = tile_at(state, row[epilogue.TILE_TABLE], table_position, grid_columns)
        y = tile_y * tile + position % area // tile
        x = tile_x * tile + position % tile
        if y >= row[epilogue.OUT_HEIGHT] or x >= row[epilogue.OUT_WIDTH]:
            continue
        target = epilogue.pixel_address(row, y, x, stored)
        status = check_bytes(state, target, filters)
        if status < 0:
            return status
        added = target
        if row[epilogue.RESIDUAL]:
            added = epilogue.residual_address(row, y, x, stored)
            status = check_bytes(state, added, filters)
            if status < 0:
                return status
        _store_pixel(geometry, state, row, done, entries, pixel, target, added)
        if row[epilogue.POOL]:
            for j in range(filters):
                sums[pixel // area, j] += state.scratchpad[target + j]
    return _store_pool(state, row, sums) if row[epilogue.POOL] else 0


@kernel
def _store_pixel(
    geometry: Geometry,
    state: State,
    row: npt.NDArray[np.int64],
    done: npt.NDArray[np.int64],
    entries: npt.NDArray[np.int64],
    pixel: int,
    target: int,
    added: int,
) -> None:
    """Write all filters of one pixel from scratchpad byte ``target`` on; the residual's bytes begin at ``added``."""
    bank = state.accumulators[row[epilogue.BANK]]
    by_filters = row[epilogue.STATIONARY] == FILTERS
    entry, lane = row[epilogue.ACCUMULATOR] + pixel, 0
    if not by_filters:
        entry = row[epilogue.ACCUMULATOR] + pixel // geometry.columns * done[work.FILTERS]
        lane = pixel % geometry.columns
    for j in range(len(entries)):
        parameter = entries[j]
        total = np.int64(bank[entry, lane]) + state.bias[parameter]
        value = requantise(total, state.multiplier[parameter], state.shift[parameter])
        if row[epilogue.RESIDUAL]:
            value += state.scratchpad[added + j]
        state.scratchpad[target + j] = saturate(value, row[epilogue.RELU])
        if by_filters:
            lane += 1
            if lane == geometry.columns:
                lane = 0
                entry += done[work.PIXELS]
        else:
            entry += 1


@kernel
def _store_pool(state: State, row: npt.NDArray[np.int64], sums: npt.NDArray[np.int64]) -> int:
    """Write the requantised sums [tiles, filters] into the pooled map."""
    tile = row[epilogue.TILE]
    channels, first = row[epilogue.CHANNELS], row[epilogue.FIRST_FILTER]
    filters = sums.shape[1]
    parameter = row[epilogue.PARAMETERS] - 1
    if first + filters > channels:
        return set_fault(state, faults.CHANNEL_RANGE, first + filters, channels)
    if not 1 <= state.shift[parameter] <= SHIFT_MAX:
        return set_fault(state, faults.PARAMETER_SHIFT, state.shift[parameter], SHIFT_MAX)
    grid_columns = max(1, ceil_div(row[epilogue.OUT_WIDTH], tile))
    first_tile = row[epilogue.FIRST_TILE] + row[epilogue.FIRST_PIXEL] // (tile * tile)
    for index in range(len(sums)):
        tile_y, tile_x = tile_at(state, row[epilogue.TILE_TABLE], first_tile + index, grid_columns)
        if tile_x >= row[epilogue.GRID_WIDTH]:
            return set_fault(state, faults.POOL_GRID, tile_x, row[epilogue.GRID_WIDTH])
        cell = np.int64(tile_y) * row[epilogue.GRID_WIDTH] + tile_x
        target = row[epilogue.POOL_ADDRESS] + cell * channels + first
        status = check_bytes(state, target, filters)
        if status < 0:
            return status
        for j in range(filters):
            average = requantise(sums[index, j], state.multiplier[parameter], state.shift[parameter])
            state.scratchpad[target + j] = saturate(average, 0)
    return 0


@kernel
def _reduce(
    geometry: Geometry,
    state: State,
    row: npt.NDArray[np.int64],
    done: npt.NDArray[np.int64],
    entries: npt.NDArray[np.int64],
) -> int:
    filters, pixels = done[work.FILTERS], done[work.PIXELS]
    raw = row[epilogue.KIND] != REDUCE
    width = LOGIT_BYTES if raw else 1
    target = row[epilogue.DESTINATION] + width * row[epilogue.FIRST_FILTER]
    status = check_bytes(state, target, width * filters)
    if status < 0:
        return status
    bank = state.accumulators[row[epilogue.BANK]]
    for j in range(filters):
        entry = row[epilogue.ACCUMULATOR] + j // geometry.columns * pixels
        total = 0
        for pixel in range(pixels):
            value = int(np.int64(bank[entry + pixel, j % geometry.columns]))
            total += value << DIGIT_BITS if row[epilogue.DIGITS] and pixel == 0 else value
        total = wrap32(total) + int(np.int64(state.bias[entries[j]]))
        if raw:
            for byte in range(LOGIT_BYTES):
                state.scratchpad[target + LOGIT_BYTES * j + byte] = np.int8(total >> (8 * byte))
        else:
            value = requantise(total, state.multiplier[entries[j]], state.shift[entries[j]])
            state.scratchpad[target + j] = saturate(value, row[epilogue.RELU])
    return 0


@kernel
def _threshold(
    geometry: Geometry,
    state: State,
    row: npt.NDArray[np.int64],
    done: npt.NDArray[np.int64],
    entries: npt.NDArray[np.int64],
) -> int:
    by_filters = row[epilogue.STATIONARY] == FILTERS
    bits = done[work.FILTERS] if by_filters else done[work.PIXELS]
    status = epilogue.check_mask_bits(state, row, bits)
    if status < 0:
        return status
    bank = state.accumulators[row[epilogue.BANK]]
    for position in range(bits):
        entry = row[epilogue.ACCUMULATOR] + position // geometry.columns
        parameter = entries[position] if by_filters else entries[0]
        total = np.int64(bank[entry, position % geometry.columns]) + state.bias[parameter]
        bit = row[epilogue.DESTINATION] + position
        state.masks[bit // MASK_BITS, bit % MASK_BITS] = _gate_decision(total)
    return 0

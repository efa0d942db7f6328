"""EPILOGUE's kind TAPS: windows of entries, of each a lane for its place in the window, become mask bits."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gatewright.contract.arch import MASK_BITS, MASKS
from gatewright.contract.arithmetic import gate_decision
from gatewright.contract.encodings import MASK_WORD_BITS
from gatewright.sim.fast import epilogue, faults, work
from gatewright.sim.fast.arithmetic import wrap32
from gatewright.sim.fast.epilogue_windows import check, corner, output_pixel
from gatewright.sim.fast.kernels import kernel
from gatewright.sim.fast.sizes import set_fault
from gatewright.sim.fast.state import Geometry, State
from gatewright.sim.fast.touched import EARLY_READ, FIRST_BANK, READ, WRITE, Places, Touched, touch, use_port

_gate_decision = kernel(gate_decision)


@kernel
def _size(geometry: Geometry, state: State, row: npt.NDArray[np.int64], done: npt.NDArray[np.int64]) -> int:
    """Sizes and cycles into the work record. Returns 0 or a fault."""
    pixels = min(max(row[epilogue.TILE_COUNT] - row[epilogue.FIRST_PIXEL], 0), row[epilogue.PIXEL_COUNT])
    if pixels == 0 or row[epilogue.FILTER_COUNT] == 0:
        return 0
    behind = row[epilogue.FIRST_FILTER] + row[epilogue.FILTER_COUNT]
    if behind > 1:
        return set_fault(state, faults.CHANNEL_RANGE, behind, 1)
    if row[epilogue.PARAMETERS] >= geometry.parameter_entries:
        return set_fault(state, faults.PARAMETER_RANGE, row[epilogue.PARAMETERS], geometry.parameter_entries)
    entries = row[epilogue.SOURCE] + row[epilogue.SOURCE_HEIGHT] * row[epilogue.SOURCE_WIDTH]
    if entries > geometry.accumulator_depth:
        return set_fault(state, faults.ACCUMULATOR_RANGE, entries - 1, geometry.accumulator_depth)
    done[work.PIXELS] = pixels
    done[work.FILTERS] = done[work.BLOCKS] = done[work.PRELOAD] = 1
    done[work.CYCLES] = pixels * (row[epilogue.WINDOW] ** 2 + 1)
    return 0


@kernel
def _entry(row: npt.NDArray[np.int64], y: int, x: int) -> int:
    """The entry of a place of the map, or -1 outside of it."""
    if y < 0 or y >= row[epilogue.SOURCE_HEIGHT] or x < 0 or x >= row[epilogue.SOURCE_WIDTH]:
        return -1
    return row[epilogue.SOURCE] + y * row[epilogue.SOURCE_WIDTH] + x


@kernel
def execute(geometry: Geometry, state: State, row: npt.NDArray[np.int64], done: npt.NDArray[np.int64]) -> int:
    """Execute a TAPS. Returns 0 or a fault."""
    status = check(geometry, state, row)
    if status < 0:
        return status
    status = _size(geometry, state, row, done)
    if status < 0:
        return status
    bank, window = state.accumulators[row[epilogue.BANK]], row[epilogue.WINDOW]
    for pixel in range(done[work.PIXELS]):
        y, x = output_pixel(row, pixel)
        top, left = corner(row, y, x)
        total = int(np.int64(state.bias[row[epilogue.PARAMETERS]]))
        for place in range(window * window):
            entry = _entry(row, top + place // window, left + place % window)
            if entry >= 0:
                total += int(np.int64(bank[entry, place]))
        if y < row[epilogue.OUT_HEIGHT] and x < row[epilogue.OUT_WIDTH]:
            bit = row[epilogue.DESTINATION] + y * row[epilogue.OUT_WIDTH] + x
            if bit >= MASKS * MASK_BITS:
                return set_fault(state, faults.MASK_RANGE, bit, MASKS * MASK_BITS)
            state.masks[bit // MASK_BITS, bit % MASK_BITS] = _gate_decision(wrap32(total))
    return 0


@kernel
def accesses(
    geometry: Geometry, at: Places, row: npt.NDArray[np.int64], done: npt.NDArray[np.int64], touched: Touched
) -> None:
    """What a TAPS used: see ``touched``."""
    if done[work.BLOCKS] == 0:
        return
    use_port(touched, FIRST_BANK << row[epilogue.BANK])
    touch(touched, at.parameter + row[epilogue.PARAMETERS], EARLY_READ)
    first, window = row[epilogue.BANK] * geometry.accumulator_depth, row[epilogue.WINDOW]
    for pixel in range(done[work.PIXELS]):
        y, x = output_pixel(row, pixel)
        top, left = corner(row, y, x)
        for place in range(window * window):
            entry = _entry(row, top + place // window, left + place % window)
            if entry >= 0:
                touch(touched, at.accumulator + first + entry, READ)
        if y < row[epilogue.OUT_HEIGHT] and x < row[epilogue.OUT_WIDTH]:
            bit = row[epilogue.DESTINATION] + y * row[epilogue.OUT_WIDTH] + x
            touch(touched, at.mask + bit // MASK_WORD_BITS, WRITE)

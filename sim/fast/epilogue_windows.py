"""EPILOGUE's kinds MAX, AVERAGE and DIGITS: windows of a map become one pixel each (two with DIGITS).

What the kind TAPS has in common with them is here, too: ``epilogue_taps`` is the rest of it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gatewright.contract.arch import MOST_COLUMNS
from gatewright.contract.arithmetic import INT8_MIN, SHIFT_MAX
from gatewright.contract.encodings import DIGIT_BITS, MOST_DIGITS_WINDOW, most_taps_window
from gatewright.contract.isa import NO_TABLE, EpilogueKind
from gatewright.sim.fast import epilogue, faults, work
from gatewright.sim.fast.arithmetic import requantise, saturate
from gatewright.sim.fast.kernels import kernel
from gatewright.sim.fast.scratchpad import check_bytes, ring_address
from gatewright.sim.fast.sizes import ceil_div, set_fault
from gatewright.sim.fast.state import Geometry, State
from gatewright.sim.fast.touched import PORT_B, READ, WRITE, Places, Touched, touch, touch_bytes, use_port

MAX, DIGITS, TAPS = int(EpilogueKind.MAX), int(EpilogueKind.DIGITS), int(EpilogueKind.TAPS)
LAST_KIND = int(max(EpilogueKind))
MOST_EDGE = 31
"""Of a window, but for DIGITS and TAPS: the field's."""

MOST_TAPS_WINDOW = np.array([most_taps_window(columns) for columns in range(MOST_COLUMNS + 1)])
"""Of kind TAPS, by the array's columns."""


@kernel
def check(geometry: Geometry, state: State, row: npt.NDArray[np.int64]) -> int:
    """0 if the operands go together, else a fault."""
    if row[epilogue.KIND] > LAST_KIND:
        return set_fault(state, faults.EPILOGUE_KIND, row[epilogue.KIND], LAST_KIND)
    if row[epilogue.TILE] != 1:
        return set_fault(state, faults.WINDOW_TILE, row[epilogue.TILE], 1)
    for table in (row[epilogue.TILE_TABLE], row[epilogue.FILTER_TABLE]):
        if table != NO_TABLE:
            return set_fault(state, faults.WINDOW_TABLE, table, NO_TABLE)
    if row[epilogue.ONLY] != 0:
        return set_fault(state, faults.WINDOW_ONLY, row[epilogue.ONLY], 0)
    status = epilogue.check_kind(state, row, 0, 0)
    if status < 0:
        return status
    digits, taps = row[epilogue.KIND] == DIGITS, row[epilogue.KIND] == TAPS
    most = MOST_DIGITS_WINDOW if digits else MOST_TAPS_WINDOW[geometry.columns] if taps else MOST_EDGE
    if not 1 <= row[epilogue.WINDOW] <= most:
        return set_fault(state, faults.WINDOW_EDGE, row[epilogue.WINDOW], most)
    if row[epilogue.STEP] == 0:
        return set_fault(state, faults.WINDOW_STEP, 0, 1)
    if row[epilogue.INSET] >= row[epilogue.WINDOW]:
        return set_fault(state, faults.WINDOW_INSET, row[epilogue.INSET], row[epilogue.WINDOW])
    if taps and row[epilogue.CHANNELS] != 1:
        return set_fault(state, faults.TAPS_CHANNELS, row[epilogue.CHANNELS], 1)
    if taps and row[epilogue.WRAP_ROW] != 0:
        return set_fault(state, faults.TAPS_RING, row[epilogue.WRAP_ROW], 0)
    if not digits and not taps and row[epilogue.PARAMETERS] == 0:
        return set_fault(state, faults.POOL_PARAMETER, 0, 1)
    return 0


@kernel
def _size(geometry: Geometry, state: State, row: npt.NDArray[np.int64], done: npt.NDArray[np.int64]) -> int:
    """Sizes and cycles into the work record. Returns 0 or a fault."""
    pixels = min(max(row[epilogue.TILE_COUNT] - row[epilogue.FIRST_PIXEL], 0), row[epilogue.PIXEL_COUNT])
    channels = row[epilogue.FILTER_COUNT]
    if pixels == 0 or channels == 0:
        return 0
    behind = row[epilogue.FIRST_FILTER] + channels
    if behind > row[epilogue.CHANNELS]:
        return set_fault(state, faults.CHANNEL_RANGE, behind, row[epilogue.CHANNELS])
    writes = 2
    if row[epilogue.KIND] != DIGITS:
        writes, entry = 1, row[epilogue.PARAMETERS] - 1
        if entry >= geometry.parameter_entries:
            return set_fault(state, faults.PARAMETER_RANGE, entry, geometry.parameter_entries)
        if not 1 <= state.shift[entry] <= SHIFT_MAX:
            return set_fault(state, faults.PARAMETER_SHIFT, state.shift[entry], SHIFT_MAX)
    done[work.PIXELS] = pixels
    done[work.FILTERS] = channels
    done[work.BLOCKS] = ceil_div(channels, geometry.columns)
    done[work.CYCLES] = done[work.BLOCKS] * pixels * (row[epilogue.WINDOW] ** 2 + writes)
    return 0


@kernel
def output_pixel(row: npt.NDArray[np.int64], pixel: int) -> tuple[int, int]:
    """(y, x) in the output map of a pixel of the instruction."""
    number = row[epilogue.FIRST_TILE] + row[epilogue.FIRST_PIXEL] + pixel
    width = max(1, row[epilogue.OUT_WIDTH])
    return number // width, number % width


@kernel
def corner(row: npt.NDArray[np.int64], y: int, x: int) -> tuple[int, int]:
    """(row, column) of the source at which an output pixel's window begins; they may lie outside of it."""
    return y * row[epilogue.STEP] - row[epilogue.INSET], x * row[epilogue.STEP] - row[epilogue.INSET]


@kernel
def _source_address(row: npt.NDArray[np.int64], y: int, x: int) -> int:
    """Address of the first channel that is read of a pixel of the source, or -1 outside of it."""
    if y < 0 or y >= row[epilogue.SOURCE_HEIGHT] or x < 0 or x >= row[epilogue.SOURCE_WIDTH]:
        return -1
    place = (y * row[epilogue.SOURCE_WIDTH] + x) * row[epilogue.CHANNELS] + row[epilogue.FIRST_FILTER]
    return ring_address(row[epilogue.SOURCE] + place, y, row[epilogue.WRAP_ROW], row[epilogue.WRAP_BYTES])


@kernel
def _target_address(row: npt.NDArray[np.int64], y: int, x: int, digit: int) -> int:
    """Address of the first channel that is written of an output pixel, or of one of its two digits; -1 outside."""
    if y >= row[epilogue.OUT_HEIGHT] or x >= row[epilogue.OUT_WIDTH]:
        return -1
    place = y * row[epilogue.OUT_WIDTH] + x
    if row[epilogue.KIND] == DIGITS:
        place = 2 * place + digit
    address = row[epilogue.DESTINATION] + place * row[epilogue.CHANNELS] + row[epilogue.FIRST_FILTER]
    return ring_address(address, 0, 0, 0)


@kernel
def execute(geometry: Geometry, state: State, row: npt.NDArray[np.int64], done: npt.NDArray[np.int64]) -> int:
    """Execute a MAX, AVERAGE or DIGITS. Returns 0 or a fault."""
    status = check(geometry, state, row)
    if status < 0:
        return status
    status = _size(geometry, state, row, done)
    if status < 0:
        return status
    values = np.empty(done[work.FILTERS], np.int64)
    for pixel in range(done[work.PIXELS]):
        y, x = output_pixel(row, pixel)
        status = _combine(state, row, y, x, values)
        if status < 0:
            return status
        status = _write(state, row, y, x, values)
        if status < 0:
            return status
    return 0


@kernel
def _combine(state: State, row: npt.NDArray[np.int64], y: int, x: int, values: npt.NDArray[np.int64]) -> int:
    """Each channel's maximum, or sum, over the window of an output pixel. Returns 0 or a fault.

    Places outside of the source count as the least value, or as 0: it is enough to leave them out.
    """
    largest = row[epilogue.KIND] == MAX
    values[:] = INT8_MIN if largest else 0
    top, left = corner(row, y, x)
    for source_y in range(top, top + row[epilogue.WINDOW]):
        for source_x in range(left, left + row[epilogue.WINDOW]):
            address = _source_address(row, source_y, source_x)
            if address < 0:
                continue
            status = check_bytes(state, address, len(values))
            if status < 0:
                return status
            if largest:
                for j in range(len(values)):
                    values[j] = max(values[j], np.int64(state.scratchpad[address + j]))
            else:
                for j in range(len(values)):
                    values[j] += state.scratchpad[address + j]
    return 0


@kernel
def _write(state: State, row: npt.NDArray[np.int64], y: int, x: int, values: npt.NDArray[np.int64]) -> int:
    """Write what a window came to. Returns 0 or a fault."""
    digits = row[epilogue.KIND] == DIGITS
    parameter = row[epilogue.PARAMETERS] - 1
    for digit in range(2 if digits else 1):
        address = _target_address(row, y, x, digit)
        if address < 0:
            continue
        status = check_bytes(state, address, len(values))
        if status < 0:
            return status
        for j in range(len(values)):
            if not digits:
                value = saturate(requantise(values[j], state.multiplier[parameter], state.shift[parameter]), 0)
            elif digit == 0:
                value = values[j] >> DIGIT_BITS
            else:
                value = values[j] & ((1 << DIGIT_BITS) - 1)
            state.scratchpad[address + j] = value
    return 0


@kernel
def accesses(at: Places, row: npt.NDArray[np.int64], done: npt.NDArray[np.int64], touched: Touched) -> None:
    """What a MAX, AVERAGE or DIGITS used: see ``touched``."""
    if done[work.BLOCKS] == 0:
        return
    use_port(touched, PORT_B)
    if row[epilogue.KIND] != DIGITS:
        touch(touched, at.parameter + row[epilogue.PARAMETERS] - 1, READ)
    channels, window = done[work.FILTERS], row[epilogue.WINDOW]
    for pixel in range(done[work.PIXELS]):
        y, x = output_pixel(row, pixel)
        top, left = corner(row, y, x)
        for source_y in range(top, top + window):
            for source_x in range(left, left + window):
                address = _source_address(row, source_y, source_x)
                if address >= 0:
                    touch_bytes(touched, at.scratchpad, address, channels, READ)
        for digit in range(2 if row[epilogue.KIND] == DIGITS else 1):
            address = _target_address(row, y, x, digit)
            if address >= 0:
                touch_bytes(touched, at.scratchpad, address, channels, WRITE)

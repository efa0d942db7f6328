"""What an EPILOGUE uses, for the audit."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gatewright.contract.encodings import LOGIT_BYTES, MASK_WORD_BITS
from gatewright.sim.fast import epilogue, epilogue_depthwise, epilogue_taps, epilogue_windows, work
from gatewright.sim.fast.kernels import kernel
from gatewright.sim.fast.sizes import ceil_div, count_or, tile_at
from gatewright.sim.fast.state import Geometry, State
from gatewright.sim.fast.touched import (
    EARLY_READ,
    FIRST_BANK,
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


@kernel
def accesses(
    geometry: Geometry,
    state: State,
    at: Places,
    row: npt.NDArray[np.int64],
    done: npt.NDArray[np.int64],
    touched: Touched,
) -> None:
    """What an EPILOGUE used: see ``touched``."""
    kind = row[epilogue.KIND]
    if kind == epilogue_windows.TAPS:
        epilogue_taps.accesses(geometry, at, row, done, touched)
        return
    if kind == epilogue_depthwise.DEPTHWISE:
        epilogue_depthwise.accesses(state, at, row, done, touched)
        return
    if kind > epilogue.THRESHOLD:
        epilogue_windows.accesses(at, row, done, touched)
        return
    by_filters = row[epilogue.STATIONARY] == epilogue.FILTERS
    # Sizes come from the tables before the waits are looked at; so do parameters, but for the transpose's.
    touch_table(touched, at, row[epilogue.TILE_TABLE], EARLY_READ)
    touch_table(touched, at, row[epilogue.FILTER_TABLE], EARLY_READ)
    early = EARLY_READ if by_filters or kind != epilogue.STORE else READ
    pixels, filters = done[work.PIXELS], done[work.FILTERS]
    for position in range(filters):
        touch(touched, at.parameter + epilogue.parameter_entry(geometry, state, row, position), early)
    if row[epilogue.POOL] and pixels > 0:
        touch(touched, at.parameter + row[epilogue.PARAMETERS] - 1, early)
    first = row[epilogue.BANK] * geometry.accumulator_depth + row[epilogue.ACCUMULATOR]
    for number in range(done[work.BLOCKS] * (pixels if by_filters else filters)):
        touch(touched, at.accumulator + first + number, READ)
    destination, offset = row[epilogue.DESTINATION], row[epilogue.FIRST_FILTER]
    if kind == epilogue.STORE:
        _touch_maps(state, at, row, done, touched)
    elif kind == epilogue.REDUCE:
        touch_bytes(touched, at.scratchpad, destination + offset, filters, WRITE)
    elif kind == epilogue.REDUCE_RAW:
        touch_bytes(touched, at.scratchpad, destination + LOGIT_BYTES * offset, LOGIT_BYTES * filters, WRITE)
    else:
        for bit in range(destination, destination + (filters if by_filters else pixels)):
            touch(touched, at.mask + bit // MASK_WORD_BITS, WRITE)
    if done[work.BLOCKS] > 0:
        use_port(touched, FIRST_BANK << row[epilogue.BANK])
        if kind != epilogue.THRESHOLD:
            use_port(touched, PORT_B)


@kernel
def _touch_maps(
    state: State, at: Places, row: npt.NDArray[np.int64], done: npt.NDArray[np.int64], touched: Touched
) -> None:
    """The output map's and the pooled map's words."""
    tile, offset = row[epilogue.TILE], row[epilogue.FIRST_FILTER]
    filters = done[work.FILTERS]
    stored = row[epilogue.CHANNELS]
    if row[epilogue.COMPACT]:
        stored = count_or(state, row[epilogue.FILTER_TABLE], 0)
    grid_columns = max(1, ceil_div(row[epilogue.OUT_WIDTH], tile))
    use = READ | WRITE if row[epilogue.RESIDUAL] and not row[epilogue.ELSEWHERE] else WRITE
    for pixel in range(done[work.PIXELS]):
        position = row[epilogue.FIRST_PIXEL] + pixel
        table_position = row[epilogue.FIRST_TILE] + position // (tile * tile)
        tile_y, tile_x = tile_at(state, row[epilogue.TILE_TABLE], table_position, grid_columns)
        y, x = tile_y * tile + position // tile % tile, tile_x * tile + position % tile
        if y < row[epilogue.OUT_HEIGHT] and x < row[epilogue.OUT_WIDTH]:
            address = epilogue.pixel_address(row, y, x, stored)
            touch_bytes(touched, at.scratchpad, address, filters, use)
            if row[epilogue.ELSEWHERE]:
                address = epilogue.residual_address(row, y, x, stored)
                touch_bytes(touched, at.scratchpad, address, filters, READ)
        if row[epilogue.POOL]:
            cell = tile_y * row[epilogue.GRID_WIDTH] + tile_x
            address = row[epilogue.POOL_ADDRESS] + cell * row[epilogue.CHANNELS] + offset
            touch_bytes(touched, at.scratchpad, address, filters, WRITE)

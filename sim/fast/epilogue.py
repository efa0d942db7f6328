"""EPILOGUE: its fields, effective sizes, checks and cycles; ``epilogue_values`` holds what it computes.

Kinds that read windows of a map instead of accumulators are in ``epilogue_windows``.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gatewright.contract.arch import MASK_BITS, MASKS, TRANSPOSED_FILTERS
from gatewright.contract.arithmetic import SHIFT_MAX
from gatewright.contract.encodings import SCRATCHPAD_SPACE
from gatewright.contract.isa import NO_TABLE, EpilogueKind, Opcode, Stationary, column
from gatewright.contract.timing import EPILOGUE_LATENCY, EPILOGUE_OVERLAP, EPILOGUE_SETUP
from gatewright.sim.fast import faults, work
from gatewright.sim.fast.context import Schedule
from gatewright.sim.fast.kernels import kernel
from gatewright.sim.fast.scratchpad import ring_address
from gatewright.sim.fast.sizes import ONLY_FEWER, ceil_div, chunk_tiles, filter_at, listed_filters, set_fault
from gatewright.sim.fast.state import Geometry, State

KIND = column(Opcode.EPILOGUE, "kind")
STATIONARY = column(Opcode.EPILOGUE, "stationary")
DESTINATION = column(Opcode.EPILOGUE, "destination")
OUT_HEIGHT = column(Opcode.EPILOGUE, "out_height")
OUT_WIDTH = column(Opcode.EPILOGUE, "out_width")
CHANNELS = column(Opcode.EPILOGUE, "channels")
COMPACT = column(Opcode.EPILOGUE, "compact")
TILE = column(Opcode.EPILOGUE, "tile")
TILE_TABLE = column(Opcode.EPILOGUE, "tile_table")
FIRST_TILE = column(Opcode.EPILOGUE, "first_tile")
TILE_COUNT = column(Opcode.EPILOGUE, "tile_count")
FIRST_PIXEL = column(Opcode.EPILOGUE, "first_pixel")
PIXEL_COUNT = column(Opcode.EPILOGUE, "pixel_count")
FIRST_FILTER = column(Opcode.EPILOGUE, "first_filter")
FILTER_COUNT = column(Opcode.EPILOGUE, "filter_count")
FILTER_TABLE = column(Opcode.EPILOGUE, "filter_table")
ONLY = column(Opcode.EPILOGUE, "only")
ACCUMULATOR = column(Opcode.EPILOGUE, "accumulator")
BANK = column(Opcode.EPILOGUE, "bank")
PARAMETERS = column(Opcode.EPILOGUE, "parameters")
RESIDUAL = column(Opcode.EPILOGUE, "residual")
RELU = column(Opcode.EPILOGUE, "relu")
POOL = column(Opcode.EPILOGUE, "pool")
POOL_ADDRESS = column(Opcode.EPILOGUE, "pool_address")
GRID_WIDTH = column(Opcode.EPILOGUE, "grid_width")
DIGITS = column(Opcode.EPILOGUE, "digits")
SOURCE = column(Opcode.EPILOGUE, "source")
SOURCE_HEIGHT = column(Opcode.EPILOGUE, "source_height")
SOURCE_WIDTH = column(Opcode.EPILOGUE, "source_width")
WINDOW = column(Opcode.EPILOGUE, "window")
STEP = column(Opcode.EPILOGUE, "step")
INSET = column(Opcode.EPILOGUE, "inset")
WRAP_ROW = column(Opcode.EPILOGUE, "wrap_row")
WRAP_BYTES = column(Opcode.EPILOGUE, "wrap_bytes")
ELSEWHERE = column(Opcode.EPILOGUE, "elsewhere")
UPSAMPLE = column(Opcode.EPILOGUE, "upsample")

STORE = int(EpilogueKind.STORE)
REDUCE = int(EpilogueKind.REDUCE)
REDUCE_RAW = int(EpilogueKind.REDUCE_RAW)
THRESHOLD = int(EpilogueKind.THRESHOLD)
FILTERS = int(Stationary.FILTERS)


@kernel
def size(geometry: Geometry, state: State, row: npt.NDArray[np.int64], done: npt.NDArray[np.int64]) -> int:
    """Effective sizes and cycles of an EPILOGUE into its work record. Returns 0 or a fault."""
    tiles = chunk_tiles(state, row[TILE], row[TILE_TABLE], row[FIRST_TILE], row[TILE_COUNT])
    if tiles < 0:
        return tiles
    filters = listed_filters(state, row[FILTER_TABLE], row[FIRST_FILTER], row[FILTER_COUNT], row[ONLY])
    if filters < 0:
        return filters
    pixels = min(max(tiles * row[TILE] * row[TILE] - row[FIRST_PIXEL], 0), row[PIXEL_COUNT])
    status = check_kind(state, row, pixels, filters)
    if status < 0 or pixels == 0 or filters == 0:
        return status
    by_filters = row[STATIONARY] == FILTERS
    still = filters if by_filters else pixels
    streamed = pixels if by_filters else filters
    blocks = ceil_div(still, geometry.columns)
    entries = row[ACCUMULATOR] + blocks * streamed
    if entries > geometry.accumulator_depth:
        return set_fault(state, faults.ACCUMULATOR_RANGE, entries - 1, geometry.accumulator_depth)
    done[work.PIXELS] = pixels
    done[work.FILTERS] = filters
    done[work.BLOCKS] = blocks
    if row[POOL]:
        done[work.TILES] = pixels // (row[TILE] * row[TILE])
    if by_filters:
        done[work.PRELOAD] = min(filters, geometry.columns)
        parameters = filters - done[work.PRELOAD]
        if row[KIND] == STORE:
            done[work.CYCLES] = parameters + blocks * (pixels * (1 + row[RESIDUAL]) + done[work.TILES])
        elif row[KIND] == THRESHOLD:
            done[work.CYCLES] = parameters + blocks
        else:
            done[work.CYCLES] = parameters + blocks * (pixels + 1)
    elif row[KIND] == STORE:
        done[work.CYCLES] = blocks * filters + ceil_div(filters, TRANSPOSED_FILTERS) * pixels
    else:
        done[work.PRELOAD] = 1
        done[work.CYCLES] = blocks
    return 0


@kernel
def check_kind(state: State, row: npt.NDArray[np.int64], pixels: int, filters: int) -> int:
    """0 if kind, stationary operand and options go together, else a fault."""
    kind, stationary = row[KIND], row[STATIONARY]
    if row[ONLY] > ONLY_FEWER:
        return set_fault(state, faults.ONLY_VALUE, row[ONLY], ONLY_FEWER)
    plain = kind == STORE and stationary == FILTERS
    if row[POOL]:
        area = row[TILE] * row[TILE]
        if not plain:
            return set_fault(state, faults.POOL_KIND, kind, stationary)
        if pixels % area or row[FIRST_PIXEL] % area:
            return set_fault(state, faults.POOL_PARTIAL, pixels, row[FIRST_PIXEL])
        if row[PARAMETERS] == 0:
            return set_fault(state, faults.POOL_PARAMETER, 0, 1)
    if row[RESIDUAL] and not plain:
        return set_fault(state, faults.RESIDUAL_KIND, kind, stationary)
    if row[ELSEWHERE] and not row[RESIDUAL]:
        return set_fault(state, faults.ELSEWHERE_RESIDUAL, 0, 1)
    if row[UPSAMPLE] and not row[ELSEWHERE]:
        return set_fault(state, faults.UPSAMPLE_ELSEWHERE, row[UPSAMPLE], 0)
    if row[COMPACT] and row[FILTER_TABLE] == NO_TABLE:
        return set_fault(state, faults.COMPACT_TABLE, row[FILTER_TABLE], NO_TABLE)
    sums = kind == REDUCE or kind == REDUCE_RAW
    if (sums or kind > THRESHOLD) and stationary != FILTERS:
        return set_fault(state, faults.FILTERS_STATIONARY, kind, stationary)
    if row[DIGITS]:
        if not sums:
            return set_fault(state, faults.DIGITS_KIND, kind, 0)
        if pixels != 2 and pixels * filters > 0:
            return set_fault(state, faults.DIGITS_PIXELS, pixels, 2)
    if kind == THRESHOLD:
        streamed = pixels if stationary == FILTERS else filters
        if streamed > 1:
            return set_fault(state, faults.THRESHOLD_SHAPE, streamed, stationary)
    return 0


@kernel
def pixel_address(row: npt.NDArray[np.int64], y: int, x: int, stored: int) -> int:
    """Address of the first channel that is written of an output pixel with ``stored`` channels."""
    address = row[DESTINATION] + (y * row[OUT_WIDTH] + x) * stored + row[FIRST_FILTER]
    return ring_address(address, y, row[WRAP_ROW], row[WRAP_BYTES])


@kernel
def residual_address(row: npt.NDArray[np.int64], y: int, x: int, stored: int) -> int:
    """Address of the first channel of what is added to an output pixel."""
    if not row[ELSEWHERE]:
        return pixel_address(row, y, x, stored)
    place = (y >> row[UPSAMPLE]) * row[SOURCE_WIDTH] + (x >> row[UPSAMPLE])
    return (row[SOURCE] + place * stored + row[FIRST_FILTER]) & (SCRATCHPAD_SPACE - 1)


@kernel
def parameter_entry(geometry: Geometry, state: State, row: npt.NDArray[np.int64], position: int) -> int:
    """The parameter entry of the filter at a position of this instruction, or a fault."""
    entry = row[PARAMETERS] + np.int64(filter_at(state, row[FILTER_TABLE], row[FIRST_FILTER] + position))
    if entry >= geometry.parameter_entries:
        return set_fault(state, faults.PARAMETER_RANGE, entry, geometry.parameter_entries)
    if (row[KIND] == STORE or row[KIND] == REDUCE) and not 1 <= state.shift[entry] <= SHIFT_MAX:
        return set_fault(state, faults.PARAMETER_SHIFT, state.shift[entry], SHIFT_MAX)
    return entry


@kernel
def check_mask_bits(state: State, row: npt.NDArray[np.int64], bits: int) -> int:
    """0 if a THRESHOLD's bits exist, else a fault."""
    if row[DESTINATION] + bits > MASKS * MASK_BITS:
        return set_fault(state, faults.MASK_RANGE, row[DESTINATION] + bits - 1, MASKS * MASK_BITS)
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
    """(start, run, free, done) of an EPILOGUE: it is taken before its waits are met, and reads its parameters."""
    before = max(done[work.PRELOAD], EPILOGUE_SETUP) if done[work.BLOCKS] > 0 else 0
    start = ready
    run = max(start + before, waits)
    end = run + done[work.CYCLES] + EPILOGUE_LATENCY
    overlap = 0 if row[KIND] == REDUCE_RAW and done[work.BLOCKS] > 0 else EPILOGUE_OVERLAP
    return start, run, end - overlap, end

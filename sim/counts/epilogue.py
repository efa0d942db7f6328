"""EPILOGUE: accumulators, parameters and maps, by its kinds."""

from __future__ import annotations

import numpy as np

from gatewright.contract.arch import BEAT_BYTES, TRANSPOSED_FILTERS
from gatewright.contract.encodings import DEPTHWISE_PARTS, LOGIT_BYTES, MASK_WORD_BITS, RAW_LANES
from gatewright.contract.isa import EpilogueKind, Stationary
from gatewright.sim.counts.ports import Counts, Executed, Numbers, words

WINDOWS = (EpilogueKind.MAX, EpilogueKind.AVERAGE, EpilogueKind.DIGITS)


def epilogue(one: Executed) -> Counts:
    """By kind and standing operand."""
    if not one.done["blocks"]:
        return {}
    kind, filters_stand = EpilogueKind(one["kind"]), one["stationary"] == Stationary.FILTERS
    if kind == EpilogueKind.STORE:
        return _store(one) if filters_stand else _transposed(one)
    if kind in (EpilogueKind.REDUCE, EpilogueKind.REDUCE_RAW):
        return _reduce(one, kind == EpilogueKind.REDUCE_RAW)
    if kind == EpilogueKind.THRESHOLD:
        return _threshold(one, filters_stand)
    if kind == EpilogueKind.TAPS:
        return _taps(one)
    return _depthwise(one) if kind == EpilogueKind.DEPTHWISE else _windows(one, kind)


def _looked_up(one: Executed, filters: int) -> int:
    """Entries of tables: of filters, and of the tiles that the pixels lie in."""
    found = filters if one.lists("filter_table") else 0
    if one.lists("tile_table"):
        area = one["tile"] ** 2
        found += (one["first_pixel"] + one.done["pixels"] - 1) // area - one["first_pixel"] // area + 1
    return found


def _stored(one: Executed) -> int:
    return int(one.state.counts[one["filter_table"]]) if one["compact"] else one["channels"]


def _places(one: Executed) -> tuple[Numbers, Numbers]:
    """(y, x) of the instruction's pixels that lie in the output map."""
    edge = one["tile"]
    position = one["first_pixel"] + np.arange(one.done["pixels"])
    tile_y, tile_x = one.tiles(position // edge**2)
    y, x = tile_y * edge + position // edge % edge, tile_x * edge + position % edge
    inside = (y < one["out_height"]) & (x < one["out_width"])
    return y[inside], x[inside]


def _addresses(one: Executed, y: Numbers, x: Numbers) -> Numbers:
    """Of the first channel that is written of output pixels."""
    address = one["destination"] + (y * one["out_width"] + x) * _stored(one) + one["first_filter"]
    return np.where(y >= one["wrap_row"], address - one["wrap_bytes"], address) if one["wrap_row"] else address


def _store(one: Executed) -> Counts:
    filters, pixels, columns = one.done["filters"], one.done["pixels"], one.arch.columns
    y, x = _places(one)
    own = _addresses(one, y, x)
    added = own
    if one["elsewhere"]:
        place = (y >> one["upsample"]) * one["source_width"] + (x >> one["upsample"])
        added = one["source"] + place * _stored(one) + one["first_filter"]
    written = read = 0
    averages = _averages(one) if one["pool"] else np.zeros(0, np.int64)
    for block, lanes in enumerate(one.blocks(filters)):
        written += int(words(own + block * columns, lanes, BEAT_BYTES).sum())
        written += int(words(averages + block * columns, lanes, BEAT_BYTES).sum())
        if one["residual"]:
            read += int(words(added + block * columns, lanes, BEAT_BYTES).sum())
    blocks = one.done["blocks"]
    return {
        "accumulators.read": blocks * pixels,
        "parameters.read": filters + blocks * len(averages),
        "scratchpad.write": written,
        "scratchpad.read": read,
        "tables.read": _looked_up(one, filters),
    }


def _averages(one: Executed) -> Numbers:
    """Addresses in the pooled map of the instruction's tiles."""
    area = one["tile"] ** 2
    tile_y, tile_x = one.tiles(one["first_pixel"] // area + np.arange(one.done["pixels"] // area))
    return one["pool_address"] + (tile_y * one["grid_width"] + tile_x) * one["channels"] + one["first_filter"]


def _transposed(one: Executed) -> Counts:
    """Pixels stand: of each block every filter's entry is collected, then every pixel's bytes are written."""
    filters, blocks = one.done["filters"], one.done["blocks"]
    own = _addresses(one, *_places(one))
    written = sum(
        int(words(own + begin, min(TRANSPOSED_FILTERS, filters - begin), BEAT_BYTES).sum())
        for begin in range(0, filters, TRANSPOSED_FILTERS)
    )
    return {
        "accumulators.read": blocks * filters,
        "parameters.read": blocks * filters,
        "scratchpad.write": written,
        "tables.read": _looked_up(one, filters),
    }


def _reduce(one: Executed, raw: bool) -> Counts:
    filters, columns = one.done["filters"], one.arch.columns
    written = 0
    for block, lanes in enumerate(one.blocks(filters)):
        at = one["first_filter"] + block * columns
        if raw:
            for begin in range(0, lanes, RAW_LANES):
                size = LOGIT_BYTES * min(RAW_LANES, lanes - begin)
                written += int(words(one["destination"] + LOGIT_BYTES * (at + begin), size, BEAT_BYTES))
        else:
            written += int(words(one["destination"] + at, lanes, BEAT_BYTES))
    return {
        "accumulators.read": one.done["blocks"] * one.done["pixels"],
        "parameters.read": filters,
        "scratchpad.write": written,
        "tables.read": filters if one.lists("filter_table") else 0,
    }


def _threshold(one: Executed, filters_stand: bool) -> Counts:
    parameters = one.done["filters"] if filters_stand else 1
    standing = one.done["filters"] if filters_stand else one.done["pixels"]
    bits = [
        int(words(one["destination"] + block * one.arch.columns, lanes, MASK_WORD_BITS))
        for block, lanes in enumerate(one.blocks(standing))
    ]
    return {
        "accumulators.read": len(bits),
        "parameters.read": parameters,
        "masks.write": sum(bits),
        "tables.read": parameters if one.lists("filter_table") else 0,
    }


def _outputs(one: Executed) -> tuple[Numbers, Numbers]:
    """(y, x) of the pixels that windows make; they may lie below the output map."""
    number = one["first_tile"] + one["first_pixel"] + np.arange(one.done["pixels"])
    return number // max(1, one["out_width"]), number % max(1, one["out_width"])


def _inside(one: Executed, y: Numbers, x: Numbers) -> tuple[Numbers, Numbers]:
    """(y, x) of all places of the windows of output pixels that lie in the source."""
    dy, dx = np.divmod(np.arange(one["window"] ** 2), one["window"])
    at_y = (y[:, None] * one["step"] - one["inset"] + dy).ravel()
    at_x = (x[:, None] * one["step"] - one["inset"] + dx).ravel()
    return _in_source(one, at_y, at_x)


def _in_source(one: Executed, y: Numbers, x: Numbers) -> tuple[Numbers, Numbers]:
    kept = (y >= 0) & (y < one["source_height"]) & (x >= 0) & (x < one["source_width"])
    return y[kept], x[kept]


def _source(one: Executed, y: Numbers, x: Numbers, stored: int) -> Numbers:
    address = one["source"] + (y * one["source_width"] + x) * stored + one["first_filter"]
    return np.where(y >= one["wrap_row"], address - one["wrap_bytes"], address) if one["wrap_row"] else address


def _windows(one: Executed, kind: EpilogueKind) -> Counts:
    y, x = _outputs(one)
    source = _source(one, *_inside(one, y, x), one["channels"])
    kept = (y < one["out_height"]) & (x < one["out_width"])
    place = y[kept] * one["out_width"] + x[kept]
    digits = kind == EpilogueKind.DIGITS
    if digits:
        place = np.concatenate([2 * place, 2 * place + 1])
    own = one["destination"] + place * one["channels"] + one["first_filter"]
    read = written = 0
    for block, lanes in enumerate(one.blocks(one.done["filters"])):
        read += int(words(source + block * one.arch.columns, lanes, BEAT_BYTES).sum())
        written += int(words(own + block * one.arch.columns, lanes, BEAT_BYTES).sum())
    return {
        "scratchpad.read": read,
        "scratchpad.write": written,
        "parameters.read": 0 if digits else one.done["blocks"] * one.done["pixels"],
    }


def _taps(one: Executed) -> Counts:
    y, x = _outputs(one)
    places, _ = _inside(one, y, x)
    return {
        "accumulators.read": len(places),
        "parameters.read": 1,
        "masks.write": int(np.count_nonzero((y < one["out_height"]) & (x < one["out_width"]))),
    }


def _depthwise(one: Executed) -> Counts:
    """Along each row of a tile the columns that the kernel passes, once for all windows of the row."""
    filters, stored, columns = one.done["filters"], _stored(one), one.arch.columns
    source = _source(one, *_walked(one), stored)
    y, x = _places(one)
    own = one["destination"] + (y * one["out_width"] + x) * stored + one["first_filter"]
    read = written = 0
    for block, lanes in enumerate(one.blocks(filters)):
        read += int(words(source + block * columns, lanes, BEAT_BYTES).sum())
        written += int(words(own + block * columns, lanes, BEAT_BYTES).sum())
    return {
        "scratchpad.read": read,
        "scratchpad.write": written,
        "parameters.read": DEPTHWISE_PARTS * filters,
        "tables.read": _looked_up(one, filters),
    }


def _walked(one: Executed) -> tuple[Numbers, Numbers]:
    """(y, x) of the source's pixels that are read, in the source."""
    edge, step, window = one["tile"], one["step"], one["window"]
    position = one["first_pixel"] + np.arange(one.done["pixels"])
    tile_y, tile_x = one.tiles(position // edge**2)
    column = position % edge
    begins = (column == 0) | (np.arange(len(position)) == 0)
    # Behind a piece's first pixel `step` columns are new, with a step wider than the window those between, too.
    dy, dx = np.divmod(np.arange(window * window), window)
    y = (tile_y * edge + position // edge % edge) * step - one["inset"]
    x = (tile_x * edge + column) * step - one["inset"]
    first_y, first_x = (y[begins, None] + dy).ravel(), (x[begins, None] + dx).ravel()
    more_y, more_x = np.divmod(np.arange(window * step), step)
    later_y = (y[~begins, None] + more_y).ravel()
    later_x = (x[~begins, None] + window - step + more_x).ravel()
    return _in_source(one, np.concatenate([first_y, later_y]), np.concatenate([first_x, later_x]))

"""GATHER: pieces of rows of pixels from the scratchpad to the patch buffer."""

from __future__ import annotations

import numpy as np

from gatewright.contract.arch import BEAT_BYTES
from gatewright.contract.isa import NO_MASK
from gatewright.sim.counts.ports import Counts, Executed, words


def gather(one: Executed) -> Counts:
    """Of every vector each piece of each run: where it begins decides how many words it lies in."""
    vectors, slices = one.done["pixels"], one.done["slices"]
    if not vectors or not slices:
        return {}
    rows, apart = one.arch.rows, bool(one["pixel_channels"]) or one["dilation"] > 1
    columns = 1 if apart else one["kernel_width"]
    channels = one.done["reduction"] // (one["kernel_height"] * one["kernel_width"])
    run = columns * channels
    low = one["first_slice"] * rows
    high = min(one.done["reduction"], low + slices * rows)
    pieces = [
        (number, begin, min(one.arch.gather_bytes, min(run, high - number * run) - begin))
        for number in range(one["kernel_height"] * one["kernel_width"] // columns)
        for begin in range(max(0, low - number * run), min(run, high - number * run), one.arch.gather_bytes)
    ]
    number, begin, count = np.array(pieces, np.int64).T
    first = number * run + begin
    behind = first + count
    behind[-1] = -(-behind[-1] // rows) * rows  # the last piece writes the zeros behind the vector's end
    written = (behind - 1) // rows - first // rows + 1

    edge, step = one["tile"], max(1, one["dilation"])
    vector = np.arange(vectors)
    tile_y, tile_x = one.tiles(vector // edge**2)
    top = (tile_y * edge + vector // edge % edge) * one["stride"] - one["padding_y"]
    left = (tile_x * edge + vector % edge) * one["stride"] - one["padding_x"]
    across = one["kernel_width"] // columns
    y = top[:, None] + number // across * step
    x = left[:, None] + number % across * step
    start = one["source"] + (y * one["width"] + x) * (one["pixel_channels"] or channels) + begin
    if one["wrap_row"]:
        start = np.where(y >= one["wrap_row"], start - one["wrap_bytes"], start)
    return {
        "scratchpad.read": int(words(start, count, BEAT_BYTES).sum()),
        "patch.write": vectors * int(written.sum()),
        "masks.read": vectors * len(pieces) if one["source_mask"] != NO_MASK else 0,
        "tables.read": one.done["tiles"] if one.lists("tile_table") else 0,
    }

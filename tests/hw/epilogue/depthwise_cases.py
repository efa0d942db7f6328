"""Random operands of EPILOGUE's kind DEPTHWISE: pieces of rows of every length, tables, maps that windows miss."""

from __future__ import annotations

from typing import Any

from gatewright.contract.arch import ArchConfig
from gatewright.contract.encodings import DEPTHWISE_ENTRIES, SCRATCHPAD_SPACE
from gatewright.contract.isa import NO_TABLE, EpilogueKind

MOST_CYCLES = 2000
"""Of an instruction, roughly."""

LISTED = 60
"""The channels that a table here may list."""


def depthwise_fields(
    draw: Any, arch: ArchConfig, rows: int, columns: int, tile: int, tables: tuple[int, int]
) -> dict[str, int]:
    """A legal instruction over a grid of tiles: its source is in the lower half of the scratchpad, its results above.

    ``tables``: that of tiles and that of channels.
    """
    pick, chance = draw.pick, draw.chance
    tile_table, channel_table = tables
    window, step = pick(1, 3), pick(1, 2)
    inset = pick(0, window - 1)
    listed, by_table = chance(0.5), chance(0.5)
    tiles = draw.shared.tables.count(tile_table) if listed else rows * columns
    first_tile = pick(0, tiles - 1) if chance(0.5) else 0
    tile_count = pick(1, tiles) if listed else tiles - first_tile
    tiles = min(tile_count, tiles - first_tile)
    filters = draw.shared.tables.count(channel_table) if by_table else pick(1, 2 * arch.columns + 1)
    first_filter = pick(0, filters - 1) if chance(0.3) else 0
    filters -= first_filter
    compact = int(by_table and chance(0.7))
    stored = draw.shared.tables.count(channel_table) if compact else first_filter + filters + pick(0, 5)
    blocks = -(-filters // arch.columns)
    most = min(1023, tiles * tile**2, max(1, MOST_CYCLES // (blocks * (2 * window + 1))))
    first_pixel = pick(0, min(1023, tiles * tile**2 - 1)) if chance(0.5) else 0
    out_height, out_width = max(0, rows * tile - pick(0, tile)), columns * tile - pick(0, tile - 1)
    half = arch.scratchpad_bytes // 2
    out_height = min(out_height, half // (out_width * stored) - 1)
    width = min(1023, max(0, out_width * step + window - inset - pick(0, inset + 2)) if chance(0.7) else pick(0, 40))
    height = max(0, out_height * step + window - inset - pick(0, inset + 2)) if chance(0.7) else pick(0, 40)
    height = min(height, 1023, half // max(1, width * stored) - 1)
    begin = pick(0, half - height * width * stored - 1)
    wrap_row = pick(1, height + 1) if chance(0.4) else 0
    above = wrap_row * width * stored
    return {
        "kind": EpilogueKind.DEPTHWISE,
        "window": window,
        "step": step,
        "inset": inset,
        "tile": tile,
        "tile_table": tile_table if listed else NO_TABLE,
        "first_tile": first_tile,
        "tile_count": tile_count,
        "first_pixel": first_pixel,
        "pixel_count": 0 if chance(0.05) else pick(1, most),
        "first_filter": first_filter,
        "filter_count": filters,
        "filter_table": channel_table if by_table else NO_TABLE,
        "compact": compact,
        "channels": pick(0, 2 * stored) if compact else stored,
        "out_height": out_height,
        "out_width": out_width,
        "source": begin % SCRATCHPAD_SPACE,
        "source_height": height,
        "source_width": width,
        "wrap_row": wrap_row,
        "wrap_bytes": pick(0, begin + above) if wrap_row else pick(0, half),
        "destination": pick(half, arch.scratchpad_bytes - max(1, out_height) * out_width * stored - 1),
        "parameters": pick(0, arch.parameter_entries - DEPTHWISE_ENTRIES * (LISTED + 3 * arch.columns)),
        "relu": pick(0, 1),
        # What follows says nothing.
        "bank": pick(0, 3),
        "accumulator": pick(0, arch.accumulator_depth - 1),
        "pool_address": pick(0, half),
        "grid_width": pick(0, 63),
    }

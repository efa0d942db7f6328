"""Random operands of EPILOGUE's kinds MAX, AVERAGE and DIGITS: small windows, large ones, and maps that they miss."""

from __future__ import annotations

from typing import Any

from gatewright.contract.arch import ArchConfig
from gatewright.contract.encodings import MOST_DIGITS_WINDOW, SCRATCHPAD_SPACE
from gatewright.contract.isa import EpilogueKind

MOST_CYCLES = 1500
"""Of an instruction, roughly."""


def window_fields(draw: Any, arch: ArchConfig) -> dict[str, int]:
    """A legal instruction: its source is in the lower half of the scratchpad, its destination in the upper one."""
    pick, chance = draw.pick, draw.chance
    kind = pick(EpilogueKind.MAX, EpilogueKind.DIGITS)
    largest = MOST_DIGITS_WINDOW if kind == EpilogueKind.DIGITS else 31
    window = (1, 1, 2, 3, pick(1, 8), pick(1, largest))[pick(0, 5)]
    step = (1, 2, window, pick(1, 31))[pick(0, 3)]
    inset = pick(0, min(window - 1, 15)) if chance(0.7) else 0
    out_width, out_rows = (pick(1, 8), pick(1, 6)) if chance(0.8) else (pick(1, 60), pick(1, 60))
    tiles = out_width * out_rows
    first_tile = pick(0, tiles - 1) if chance(0.5) else 0
    tile_count = pick(1, tiles - first_tile) if chance(0.3) else tiles - first_tile
    first_pixel = pick(0, min(tile_count - 1, 200)) if chance(0.5) else 0
    filters = (1, arch.columns, arch.columns + 1, pick(1, 3 * arch.columns))[pick(0, 3)]
    first_filter = pick(0, 5)
    channels = first_filter + filters + pick(0, 5)
    blocks = -(-filters // arch.columns)
    pixels = min(tile_count - first_pixel, max(1, MOST_CYCLES // (blocks * (window**2 + 2))))
    pixel_count = 0 if chance(0.05) else pick(1, pixels) if chance(0.3) else pixels
    height = max(0, (out_rows - 1) * step + window - inset - pick(0, inset + 2)) if chance(0.7) else pick(0, 40)
    width = max(0, (out_width - 1) * step + window - inset - pick(0, inset + 2)) if chance(0.7) else pick(0, 40)
    width = min(width, 1023)
    pitch, half = width * channels, arch.scratchpad_bytes // 2
    height = min(height, 1023, half // max(1, pitch) - 1)
    # Rows above the first one that is looked at may lie in front of byte 0.
    above = max(0, (first_tile + first_pixel) // out_width * step - inset) if chance(0.7) else 0
    above = min(above, height)
    begin = pick(0, half - (height - above) * pitch - 1)
    wrap_row = pick(1, height + 1) if chance(0.5) else 0
    return {
        "kind": kind,
        "window": window,
        "step": step,
        "inset": inset,
        "out_width": out_width,
        "out_height": max(0, out_rows - pick(0, 1)),
        "first_tile": first_tile,
        "tile_count": tile_count,
        "first_pixel": first_pixel,
        "pixel_count": pixel_count,
        "first_filter": first_filter,
        "filter_count": filters,
        "channels": channels,
        "source": (begin - above * pitch) % SCRATCHPAD_SPACE,
        "source_height": height,
        "source_width": width,
        "wrap_row": wrap_row,
        "wrap_bytes": pick(0, min(begin + max(0, wrap_row - above) * pitch, half)),
        "destination": pick(half, arch.scratchpad_bytes - 2 * tiles * channels - 1),
        "parameters": pick(int(kind != EpilogueKind.DIGITS), arch.parameter_entries - 1),
        # What follows says nothing.
        "relu": pick(0, 1),
        "bank": pick(0, 3),
        "accumulator": pick(0, arch.accumulator_depth - 1),
        "pool_address": pick(0, half),
        "grid_width": pick(0, 63),
    }

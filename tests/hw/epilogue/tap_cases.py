"""Random operands of EPILOGUE's kind TAPS: windows of every edge, maps that they miss, bits that are not written."""

from __future__ import annotations

from typing import Any

from gatewright.contract.arch import MASK_BITS, MASKS, ArchConfig
from gatewright.contract.encodings import most_taps_window
from gatewright.contract.isa import EpilogueKind

MOST_PIXELS = 60


def tap_fields(draw: Any, arch: ArchConfig) -> dict[str, int]:
    """A legal instruction over a map that lies in the accumulators' small banks."""
    pick, chance = draw.pick, draw.chance
    window = pick(1, most_taps_window(arch.columns))
    step = (1, 1, 2, window, pick(1, 31))[pick(0, 4)]
    inset = pick(0, window - 1) if chance(0.7) else 0
    out_width, out_rows = pick(1, 12), pick(1, 12)
    tiles = out_width * out_rows
    first_tile = pick(0, tiles - 1) if chance(0.4) else 0
    tile_count = pick(1, tiles - first_tile) if chance(0.3) else tiles - first_tile
    first_pixel = pick(0, tile_count - 1) if chance(0.4) else 0
    width = max(0, (out_width - 1) * step + window - inset - pick(0, inset + 2)) if chance(0.7) else pick(0, 20)
    width = min(width, arch.accumulator_depth)
    height = max(0, (out_rows - 1) * step + window - inset - pick(0, inset + 2)) if chance(0.7) else pick(0, 20)
    height = min(height, arch.accumulator_depth // max(1, width), 1023)
    return {
        "kind": EpilogueKind.TAPS,
        "window": window,
        "step": step,
        "inset": inset,
        "out_width": out_width,
        "out_height": max(0, out_rows - pick(0, 1)),
        "first_tile": first_tile,
        "tile_count": tile_count,
        "first_pixel": first_pixel,
        "pixel_count": 0 if chance(0.05) else pick(1, MOST_PIXELS),
        "filter_count": int(chance(0.95)),
        "channels": 1,
        "source": pick(0, arch.accumulator_depth - height * width),
        "source_height": height,
        "source_width": width,
        "bank": pick(2, 3),
        "destination": pick(0, MASKS * MASK_BITS - tiles),
        "parameters": pick(0, arch.parameter_entries - 1),
        # What follows says nothing.
        "relu": pick(0, 1),
        "accumulator": pick(0, arch.accumulator_depth - 1),
        "pool_address": pick(0, arch.scratchpad_bytes - 1),
        "grid_width": pick(0, 63),
        "wrap_bytes": pick(0, arch.scratchpad_bytes - 1),
    }

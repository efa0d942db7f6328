"""Operand fields as the formats of ``isa`` list them, and those that several formats share."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Field:
    """One unsigned operand field."""

    name: str
    bits: int
    doc: str


def parse_fields(text: str) -> tuple[Field, ...]:
    """Parse lines of ``name bits description``."""
    rows = [line.split(maxsplit=2) for line in text.splitlines() if line.strip()]
    return tuple(Field(name, int(bits), doc) for name, bits, doc in rows)


TILES = """
tile 5 edge of a tile in output pixels (1 for pixel by pixel)
tile_table 5 index table of tiles (entry: y << 8 | x, in tiles), or none for all tiles in raster order
first_tile 14 first table entry
tile_count 14 entries at most; fewer if the table ends
"""

PIXELS = """
tile 5 edge of a tile in output pixels; every tile holds tile*tile vectors
tile_table 5 index table that bounds the tiles, or none
first_tile 14 first table entry of the chunk
tile_count 14 tiles of the chunk at most; fewer if the table ends
first_pixel 10 first vector within the chunk
pixel_count 10 vectors at most; fewer if the chunk ends
first_filter 13 first filter
filter_count 13 filters at most; fewer if the filter table ends
filter_table 5 index table of filters (indirect, and bounding), or none
"""

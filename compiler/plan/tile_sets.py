"""Which tiles of a map a layer computes, and the rows that they lie in."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from gatewright.contract.encodings import COORDINATE_BITS
from gatewright.contract.isa import FORMATS, Opcode

MOST_TILES = min((1 << field.bits) - 1 for field in FORMATS[Opcode.GATHER].fields if field.name == "tile_count")
"""Tiles that an instruction can count, and so of a map that is computed or pooled without a table."""


@dataclass(frozen=True)
class TileSet:
    """Tiles of an output map, in table order; ``table`` is None for all tiles in raster order.

    ``rows`` are the tiles' first output rows [n].
    """

    tile: int
    table: int | None
    rows: npt.NDArray[np.int64]
    start: int = 0
    """The position of the first one in the table, or in the raster."""

    top: int = 0
    """The first row of every tile that is computed."""

    height: int | None = None
    """Rows of every tile that are computed, from ``top`` on, if not all are."""

    bottom: int | None = None
    """Of a list that only the machine knows: the row below the last tile. ``rows`` are then those of all tiles, and an
    entry lies at its row or below."""

    without: int | None = None
    """The table of a live program without whose entries there are none of these tiles; None: there are some."""

    gate_rows: tuple[int, int] | None = None
    """Of such a list rows [first, end) of its grid alone, which have a table of their own."""

    gate_bits: tuple[int, int] | None = None
    """Of such a list tiles [first, end) of the grid alone, if these are not whole rows of it."""

    column: bool = False
    """Whether the table counts the grid's tiles in one column."""

    made: bool = True
    """Whether that table is the one that is named, or it is still to be made."""

    def part(self, first: int, count: int) -> TileSet:
        """Tiles [first, first + count)."""
        return replace(self, rows=self.rows[first : first + count], start=self.start + first)

    def rows_of(self, first: int, end: int) -> TileSet:
        """Those that begin in rows [first, end)."""
        low, high = np.searchsorted(self.rows, (first, end))
        if self.bottom is not None and int(high - low) not in (0, len(self)):
            rows = first // self.tile, -(-end // self.tile)
            bottom = min(rows[1] * self.tile, self.bottom)
            return replace(self, rows=self.rows[low:high], bottom=bottom, gate_rows=rows, made=False)
        return replace(self, rows=self.rows[low:high], start=self.start + int(low))

    def cut_to(self, first: int, end: int) -> list[TileSet]:
        """What of the tiles lies in rows [first, end), a set for each row of tiles, the last one first."""
        cut = []
        for row in range(first // self.tile * self.tile, end, self.tile):
            tiles, top, bottom = self.rows_of(row, row + 1), max(first, row), min(end, row + self.tile)
            whole = bottom - top == self.tile
            if tiles.bottom is not None:
                tiles = replace(tiles, bottom=bottom)
            cut.append(tiles if whole else replace(tiles, top=top - row, height=bottom - top))
        return [tiles for tiles in cut[::-1] if len(tiles)]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def left_out(self) -> int | None:
        """The table without whose entries nothing of a map is computed, if no instruction names it."""
        return self.without if self.table is None else None

    @property
    def area(self) -> int:
        """Vectors per tile."""
        return self.tile * self.tile

    @property
    def pixels(self) -> int:
        """Vectors of a tile that are computed."""
        return self.area if self.height is None else self.height * self.tile

    @property
    def first_pixel(self) -> int:
        """The first vector of a tile that is computed."""
        return self.top * self.tile

    def span(self, first: int, count: int) -> tuple[int, int]:
        """The rows [begin, end) that tiles [first, first + count) compute; they may go beyond the map."""
        begin, end = self.listed_span(first, count)
        return begin, end if self.bottom is None else self.bottom

    def listed_span(self, first: int, count: int) -> tuple[int, int]:
        """As ``span``, were the tiles of ``rows`` those that are computed."""
        begin, last = int(self.rows[first]), int(self.rows[first + count - 1])
        return begin + self.top, last + self.top + (self.tile if self.height is None else self.height)


def computed_edge(height: int, width: int) -> int:
    """The edge of the tiles that a map without tiles of its own is computed in: 1 if an instruction counts so many."""
    tile = 1
    while -(-height // tile) * -(-width // tile) > MOST_TILES:
        tile *= 2
    return tile


def all_tiles(height: int, width: int, tile: int) -> TileSet:
    """Every tile of a map, raster order."""
    down, across = -(-height // tile), -(-width // tile)
    return TileSet(tile, None, np.repeat(np.arange(down) * tile, across))


def listed_tiles(entries: npt.NDArray[np.uint16], tile: int, table: int, bottom: int | None = None) -> TileSet:
    """The tiles of an index table; with ``bottom`` one that may hold fewer (see ``TileSet``)."""
    without = None if bottom is None else table
    return TileSet(tile, table, (entries.astype(np.int64) >> COORDINATE_BITS) * tile, bottom=bottom, without=without)


def runs_of_tiles(
    entries: npt.NDArray[np.uint16], tile: int, first: int, end: int, width: int, edge: int
) -> list[TileSet]:
    """What of some tiles lies in rows [first, end) of a map ``width`` pixels wide, as tiles of ``edge`` in runs.

    ``entries`` are those of an index table, in ascending order. ``edge`` divides ``tile``, the rows and the width.
    """
    places = entries.astype(np.int64)
    down, right = places >> COORDINATE_BITS, places & ((1 << COORDINATE_BITS) - 1)
    found = []
    for row in range(first, end, edge):
        columns = right[down == row // tile]
        breaks = np.flatnonzero(np.diff(columns) != 1) + 1
        for run in np.split(columns, breaks) if len(columns) else ():
            start = row // edge * (width // edge) + int(run[0]) * tile // edge
            found.append(TileSet(edge, None, np.full(len(run) * tile // edge, row), start))
    return found

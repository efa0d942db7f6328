"""A gate whose decision is known, or bounded, while a program is made: the tables that it has, and its tiles."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from gatewright.compiler.plan.tile_sets import TileSet, listed_tiles
from gatewright.contract.isa import NO_TABLE


@dataclass
class DecidedGate:
    """A gate whose mask and tables the program has built, and what they hold for this sample."""

    mask: int
    table: int
    entries: npt.NDArray[np.uint16]
    complement_table: int = NO_TABLE
    complement: npt.NDArray[np.uint16] = field(default_factory=lambda: np.zeros(0, np.uint16))
    grid: tuple[int, int] = (0, 0)
    """Of a spatial gate: rows and columns."""
    column_table: int = NO_TABLE
    """Of a spatial gate whose tiles lie in one column: the table of their numbers."""
    column_complement_table: int = NO_TABLE
    group_tables: dict[int, int] = field(default_factory=dict)
    """Of a channel gate: by the filters of a group, the table of the entries' numbers in their group."""
    live: bool = False
    """Whether the machine decides: the entries are then those of a gate that is on everywhere."""
    whole: bool = False
    """Whether it decides about whole maps: on, they are dense; off, nothing of them is computed."""

    def tile_in(self, height: int) -> int:
        """The edge of a tile in pixels of a map of so many rows."""
        return -(-height // self.grid[0])

    def tiles(self, height: int, complement: bool = False) -> TileSet:
        """The active tiles of a map of so many rows, or the inactive ones."""
        tile = self.tile_in(height)
        bottom = self.grid[0] * tile if self.live else None
        if complement:
            return listed_tiles(self.complement, tile, self.complement_table, bottom)
        return listed_tiles(self.entries, tile, self.table, bottom)

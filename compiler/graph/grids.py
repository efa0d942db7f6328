"""Grids over feature maps: the tiles of a spatial gate, and the bins that it averages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np
import numpy.typing as npt

from gatewright.compiler.graph.graph import TensorShape


def tile_edge(grid: tuple[int, int], height: int, width: int) -> int | None:
    """The edge of the square tiles of a ``grid`` (rows, columns) over a map; the last of a row may be cut.

    Pixel y is in row floor(y * rows / height) of the grid, as nearest upsampling has it. None where that makes tiles
    that are not square, or of several sizes before the last.
    """
    edge = ceil(height / grid[0])
    alike = all(
        [place * cells // size for place in range(size)] == [place // edge for place in range(size)]
        for cells, size in zip(grid, (height, width), strict=True)
    )
    return edge if alike else None


@dataclass(frozen=True)
class Tiling:
    """A grid over a map of ``height`` x ``width`` pixels, in tiles of ``edge`` of which the last may be cut."""

    edge: int
    height: int
    width: int

    def pixels(self, mask: npt.NDArray[np.bool_]) -> int:
        """Pixels in the active tiles of a mask [rows, columns]."""
        rows, columns = (np.minimum(self.edge, size - np.arange(0, size, self.edge)) for size in self._size)
        return int((mask * rows[:, None] * columns).sum())

    @property
    def _size(self) -> tuple[int, int]:
        return self.height, self.width


def tiling_of(grid: Sequence[int], shape: TensorShape) -> Tiling:
    """The tiling of a map by a grid that fits it; one tile is the whole map, of any shape."""
    whole = tuple(grid) == (1, 1)
    edge = max(shape.height, shape.width) if whole else tile_edge((grid[0], grid[1]), shape.height, shape.width)
    assert edge is not None
    return Tiling(edge, shape.height, shape.width)


@dataclass(frozen=True)
class Span:
    """Rows, or columns, [first, end) of a map."""

    first: int
    end: int

    @property
    def size(self) -> int:
        return self.end - self.first


def bins(cells: int, size: int) -> list[Span]:
    """The rows, or columns, that adaptive pooling averages for each of ``cells`` cells; they may overlap."""
    return [Span(cell * size // cells, -(-(cell + 1) * size // cells)) for cell in range(cells)]


def bins_overlap(grid: tuple[int, int], shape: TensorShape) -> bool:
    """Whether a grid does not divide a map, so that bins of adaptive pooling overlap and have several sizes."""
    return bool(shape.height % grid[0] or shape.width % grid[1])

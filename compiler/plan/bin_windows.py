"""Bins that overlap, as windows of the epilogue's averages."""

from __future__ import annotations

from dataclasses import dataclass

from gatewright.compiler.graph.graph import TensorShape
from gatewright.compiler.graph.grids import Span, bins
from gatewright.contract.isa import FORMATS, Opcode

_MOST = {field.name: (1 << field.bits) - 1 for field in FORMATS[Opcode.EPILOGUE].fields}


@dataclass(frozen=True)
class BinWindow:
    """One bin as the only window of an AVERAGE, which is square: what it has beyond the bin lies outside of the map.

    The map that is read begins ``offset`` pixels into the whole one and has ``height`` rows. The window is that of
    output pixel ``place`` of a map of ``out_width`` columns. ``area``: pixels of the bin.
    """

    offset: int
    height: int
    window: int
    step: int
    inset: int
    place: int
    out_width: int
    area: int


def bin_windows(grid: tuple[int, int], shape: TensorShape) -> list[BinWindow] | None:
    """The windows of all bins, row by row; None if some bin is none.

    Rows end where the map that is read ends. Columns of a bin that has fewer of them than rows are cut by the edge of
    the map, so such a bin must lie at one.
    """
    found = [
        _window(rows, columns, shape.width)
        for rows in bins(grid[0], shape.height)
        for columns in bins(grid[1], shape.width)
    ]
    windows = [window for window in found if window is not None]
    return windows if len(windows) == len(found) else None


def _window(rows: Span, columns: Span, width: int) -> BinWindow | None:
    edge, top = max(rows.size, columns.size), rows.first * width
    if columns.size == edge:
        offset, step, inset, place, out_width = top + columns.first, 1, 0, 0, 1
    elif columns.size == width:
        offset, step, inset, place, out_width = top, 1, 0, 0, 1
    elif columns.end == width:
        offset, step, inset, place, out_width = top, columns.first, 0, 1, 2
    elif columns.first == 0:
        offset, step, inset, place, out_width = top, edge - columns.end, edge - columns.end, 1, 1
    else:
        return None
    if edge > _MOST["window"] or step > _MOST["step"] or inset > _MOST["inset"]:
        return None
    return BinWindow(offset, rows.size, edge, step, inset, place, out_width, rows.size * columns.size)


def areas(grid: tuple[int, int], shape: TensorShape) -> list[int]:
    """The sizes of bins, in pixels, each once, in order."""
    heights, widths = (
        {span.size for span in bins(cells, size)} for cells, size in zip(grid, (shape.height, shape.width), strict=True)
    )
    return sorted({height * width for height in heights for width in widths})

"""Averages of a map whose tiles are cut, apart: tile by tile, behind the pass that makes the map."""

from __future__ import annotations

from collections.abc import Iterable

from gatewright.compiler.emit.context import Context
from gatewright.compiler.emit.placed_maps import OutputMap, SourceMap
from gatewright.compiler.emit.tile_traffic import Piece, load
from gatewright.compiler.emit.windows import windows
from gatewright.compiler.kinds.pooling import Pooling
from gatewright.compiler.plan.bands import Rows
from gatewright.compiler.plan.spills import DramRows
from gatewright.contract.arch import BEAT_BYTES
from gatewright.contract.isa import EpilogueKind


def average_apart(
    context: Context, pooling: Pooling, rows: DramRows | None, parameters: int, tiles: Iterable[tuple[int, int]]
) -> None:
    """The averages of some tiles (row and column of the grid).

    Where the map lies in DRAM each tile comes into the ring of the pass, ``rows``, which is through; None: it is on
    chip. ``parameters``: the entry behind the pooling's.
    """
    shape, edge = context.graph.shapes[pooling.source], pooling.tile
    size, across = edge * edge * shape.channels, shape.width // edge
    pooled = context.image.addresses[pooling.name]
    if rows is None:
        whole = SourceMap(context.image.addresses[pooling.source], shape.height, shape.width, shape.channels)
        grid = OutputMap(pooled, shape.height // edge, across, shape.channels, parameters)
        for down, right in tiles:
            windows(
                context,
                EpilogueKind.AVERAGE,
                whole,
                grid,
                Rows(down, down + 1),
                edge,
                edge,
                only=Rows(right, right + 1),
            )
        return
    slots = rows.ring * rows.pitch // size
    for number, (down, right) in enumerate(tiles):
        address = rows.address + number % slots * size
        dram = rows.dram + edge * (down * rows.pitch + right * shape.channels)
        load(context, Piece(dram, address, edge * shape.channels // BEAT_BYTES, edge, rows.pitch))
        source = SourceMap(address, edge, edge, shape.channels)
        output = OutputMap(pooled + (down * across + right) * shape.channels, 1, 1, shape.channels, parameters)
        windows(context, EpilogueKind.AVERAGE, source, output, Rows(0, 1), edge, edge)

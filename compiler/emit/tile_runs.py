"""Passes whose steps have a part of the rows of a gate's tiles: what is active is runs of smaller tiles.

The compiler knows what the gates decide, so the runs are tiles in raster order, and no instruction names a table. What
is averaged of such a pass's output is averaged behind it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from gatewright.compiler.emit.averages_apart import average_apart
from gatewright.compiler.emit.decided_gate import DecidedGate
from gatewright.compiler.emit.matrix import convolve
from gatewright.compiler.emit.streamed import convolve_streamed, convolve_together
from gatewright.compiler.kinds.convolution import QuantisedConv
from gatewright.compiler.kinds.pooling import Pooling
from gatewright.compiler.plan.bands import Rows
from gatewright.compiler.plan.spills import Pass
from gatewright.compiler.plan.tile_sets import TileSet, all_tiles, runs_of_tiles
from gatewright.contract.encodings import COORDINATE_BITS

if TYPE_CHECKING:
    from gatewright.compiler.emit.lower_convolutions import ConvolutionLowering

Work = tuple[int, QuantisedConv, list[TileSet], bool, Pooling | None]
"""A step, a layer, its tiles (in one set, or in several runs), whether they have the ReLU, and what is pooled along."""


def work_in_runs(convolutions: ConvolutionLowering, one: Pass) -> list[Work]:
    """What a pass computes, in order."""
    graph, image, work = convolutions.graph, convolutions.image, list[Work]()
    tiles = {layer.name: block.tile for block in image.blocks for layer in block.layers}
    for number, step in enumerate(one.steps):
        for layer, rows in step:
            shape, completer = graph.shapes[layer.output], image.completer(layer)
            gate = convolutions.context.gate(layer.output_tiles if completer is None else completer.output_tiles)
            every = all_tiles(shape.height, shape.width, 1).rows_of(rows.first, rows.end)
            if gate is None:
                found = [([every], layer.relu)]
            else:
                edge = tiles.get(layer.name, rows.end - rows.first)
                active = partial(_active, gate, every, rows, (shape.height, shape.width), edge)
                relu = layer.relu and completer is None  # else the sum has it
                found = [(active(complement=False), relu)]
                if completer is not None:
                    found.append((active(complement=True), completer.relu_of_skipped))
            if convolutions.filters_of(layer):
                work += [(number, layer, runs, relu, None) for runs, relu in found if runs]
    return work


def _active(
    gate: DecidedGate, every: TileSet, rows: Rows, size: tuple[int, int], edge: int, complement: bool
) -> list[TileSet]:
    """What a gate picks, or leaves out, of some rows of a map: of one that decides about the whole map all or none."""
    if gate.whole:
        return [every] if (len(gate.entries) > 0) != complement else []
    entries = gate.complement if complement else gate.entries
    return runs_of_tiles(entries, gate.tile_in(size[0]), rows.first, rows.end, size[1], edge)


def convolve_runs(
    convolutions: ConvolutionLowering, layer: QuantisedConv, runs: Sequence[TileSet], relu: bool, serial: int
) -> Iterator[None]:
    """The chunks of a convolution on several tile sets; filters that are streamed are read once."""
    context, loader = convolutions.context, convolutions.loader
    products = [convolutions.product(layer, tiles, relu, None) for tiles in runs]
    products = [replace(product, serial=serial).within_reach() for product in products]
    if any(convolutions.way(layer.name, p.source, p.tiles, p.kernel) is convolve_streamed for p in products):
        yield from convolve_together(context, loader, products)
        return
    for product in products:
        yield from convolve(context, loader, product)


def average_pass(convolutions: ConvolutionLowering, layers: Sequence[QuantisedConv]) -> None:
    """The averages of a pass's output: of its active tiles, where the others' stay."""
    image, last = convolutions.image, layers[-1]
    pooling, rows = image.poolings.get(last.output), image.rows_for(last.name, last.output)
    if pooling is None:
        return
    gate, grid = convolutions.context.gate(last.output_tiles), pooling.shape(convolutions.graph)
    tiles = [(down, right) for down in range(grid.height) for right in range(grid.width)]
    if gate is not None and all(layer.completed_by is None for layer in layers):  # what is inactive stays
        listed = [divmod(int(entry), 1 << COORDINATE_BITS) for entry in gate.entries]
        tiles = listed if not gate.whole else tiles if listed else []
    convolutions.context.out.layer = last.name
    average_apart(convolutions.context, pooling, rows, image.parameter_entry[last.name], tiles)

"""Blocks whose maps do not fit at once: their two convolutions go through the map band by band.

The first convolution runs ahead by the rows that the second needs, and the map between them is a ring of rows. Where
the block has a shortcut, its output slides over its input, whose rows are consumed as it is written.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from gatewright.compiler.graph.graph import QuantisedGraph
from gatewright.compiler.kinds.convolution import QuantisedConv
from gatewright.compiler.kinds.pooling import Pooling
from gatewright.compiler.kinds.spatial_gate import QuantisedSpatialGate

UNGATED_ROWS = 4
"""Rows of a band where no tiles say otherwise."""


@dataclass(frozen=True)
class Rows:
    """Rows [first, end) of a map."""

    first: int
    end: int


@dataclass(frozen=True)
class BandStep:
    """One band: rows of the first convolution's output, then rows of the second's (and of the shortcut's)."""

    middle: Rows
    output: Rows


@dataclass(frozen=True)
class BandedBlock:
    """Two convolutions that take turns; ``tile``: rows of output that belong together, ``shortcut``: its residual.

    ``tiled``: whether the first convolution is gated in tiles, so that its rows come by rows of those.
    ``halvings``: how often rows of tiles of the map between them may be halved, so that fewer of its rows are kept.
    ``slides``: the output of a block with a shortcut may overwrite rows of the input that are through: nobody reads the
    input behind the block, and its rows lie as far apart for every image.
    """

    first: QuantisedConv
    shortcut: QuantisedConv | None
    second: QuantisedConv
    tile: int
    tiled: bool
    halvings: int = 0
    slides: bool = False

    @property
    def middle(self) -> str:
        """The map between the convolutions."""
        return self.first.output

    @property
    def layers(self) -> tuple[QuantisedConv, ...]:
        """In the order of the graph."""
        between = () if self.shortcut is None else (self.shortcut,)
        return (self.first, *between, self.second)

    def steps(self, graph: QuantisedGraph, unit: int, ahead: int = 0) -> Iterator[BandStep]:
        """The bands, in order. The first convolution makes ``unit`` rows at a time, as far as the second needs them.

        With ``ahead`` it makes the rows of so many bands more: the second does not wait for what was just made. A first
        step without output is what the second needs at once, so that it is written before the rest.
        """
        height = graph.shapes[self.second.output].height
        done = self._made_for(graph, unit, Rows(0, min(self.tile, height))) if ahead else 0
        if done:
            yield BandStep(Rows(0, done), Rows(0, 0))
        for first in range(0, height, self.tile):
            end = min(first + self.tile, height)
            upto = max(done, self._made_for(graph, unit, Rows(first, end + ahead * self.tile)))
            yield BandStep(Rows(done, upto), Rows(first, end))
            done = upto

    def _made_for(self, graph: QuantisedGraph, unit: int, output: Rows) -> int:
        """Rows of the middle map that are made for rows of the output."""
        middle = graph.shapes[self.middle].height
        needed = min(needed_rows(self.second, output).end, middle)
        return min(-(-needed // unit) * unit, middle)

    @property
    def units(self) -> list[int]:
        """Rows of the first convolution that may come together: a row of tiles, its half, and so on."""
        whole = self.tile if self.tiled else 1
        return [whole >> number for number in range(self.halvings + 1) if whole % (1 << number) == 0]

    def turns(self, step: BandStep) -> list[tuple[QuantisedConv, Rows]]:
        """What a band consists of, in order."""
        shortcut = [] if self.shortcut is None else [(self.shortcut, step.output)]
        return [(self.first, step.middle), *shortcut, (self.second, step.output)]

    def kept_rows(self, graph: QuantisedGraph, unit: int, ahead: int = 0) -> int:
        """The most rows of the middle map that are alive at once: what is made, back to what is still read."""
        steps = self.steps(graph, unit, ahead)
        return max(step.middle.end - max(0, needed_rows(self.second, step.output).first) for step in steps)

    def halved(self, graph: QuantisedGraph, kept: int) -> BandedBlock:
        """The block with as many halvings as it takes for ``kept`` rows of the middle map to do, or with all."""
        block = self
        while block.kept_rows(graph, block.units[-1]) > kept and block.units[-1] % 2 == 0:
            block = replace(block, halvings=block.halvings + 1)
        return block

    def unit_and_ahead(self, graph: QuantisedGraph, kept: int) -> tuple[int, int]:
        """How to make the middle map if ``kept`` rows of it are kept: whole rows of tiles, a band ahead, if they do."""
        ways = [(self.units[0], 1), *((unit, 0) for unit in self.units)]
        return next((way for way in ways if self.kept_rows(graph, *way) <= kept), ways[-1])

    def lead(self, graph: QuantisedGraph) -> int:
        """Bytes by which the output must begin before the input so as never to reach rows that are still needed."""
        source, output = graph.shapes[self.first.source], graph.shapes[self.second.output]
        lead = 0
        for step in self.steps(graph, self.units[-1]):
            rows = needed_rows(self.first, Rows(step.middle.end, step.middle.end + 1)).first
            if self.shortcut is not None:
                rows = min(rows, needed_rows(self.shortcut, step.output).first)
            written = step.output.end * output.width * output.channels
            lead = max(lead, written - max(0, rows) * source.width * source.channels)
        return lead


def needed_rows(layer: QuantisedConv, output: Rows) -> Rows:
    """Rows of a convolution's source for rows of its output; they may lie outside the map."""
    first = output.first * layer.stride - layer.padding
    return Rows(first, (output.end - 1) * layer.stride - layer.padding + layer.reach[0])


def bandable_blocks(graph: QuantisedGraph) -> list[BandedBlock]:
    """The blocks that can be computed band by band, those whose maps take most bytes first."""
    convolutions = [layer for layer in graph.layers if isinstance(layer, QuantisedConv)]
    spatial = {layer.name for layer in graph.layers if isinstance(layer, QuantisedSpatialGate)}
    blocks: list[tuple[int, BandedBlock]] = []
    for second in convolutions:
        if second.in_place_of(graph) is None:
            continue
        first = next((conv for conv in convolutions if conv.output == second.source), None)
        if first is None or sum(second.source in layer.reads for layer in graph.layers) > 1:
            continue
        if first.beside or second.beside:
            continue
        shortcut = next((conv for conv in convolutions if conv.completed_by == second.name), None)
        compact = any(conv.output == first.source and conv.output_channels is not None for conv in convolutions)
        slides = shortcut is not None and not compact and not _read_behind(graph, first.source, second)
        maps = {first.source, first.output, second.output if shortcut else first.source}
        size = sum(graph.shapes[name].size for name in maps)
        tile = tile_rows(graph, second) or UNGATED_ROWS
        blocks.append((size, BandedBlock(first, shortcut, second, tile, first.output_tiles in spatial, slides=slides)))
    return [block for _, block in sorted(blocks, key=lambda pair: -pair[0])]


def _read_behind(graph: QuantisedGraph, tensor: str, layer: QuantisedConv) -> bool:
    """Whether a layer behind another one reads a tensor."""
    return any(tensor in other.reads for other in graph.layers[graph.layers.index(layer) + 1 :])


def tile_rows(graph: QuantisedGraph, layer: QuantisedConv) -> int | None:
    """Rows of a layer's output that belong together: a row of its gate's tiles, or of those it is pooled in.

    A shortcut's are those of the convolution that completes it.
    """
    if layer.completed_by is not None:
        completer = next(other for other in graph.layers if other.name == layer.completed_by)
        assert isinstance(completer, QuantisedConv)
        return tile_rows(graph, completer)
    for other in graph.layers:
        if isinstance(other, QuantisedSpatialGate) and other.name == layer.output_tiles:
            return other.tile_in(graph.shapes[layer.output])
        if isinstance(other, Pooling) and other.source == layer.output:
            return other.tile
    return None

"""Bottleneck blocks whose maps lie in DRAM tile by tile.

The 1x1 convolutions at both ends of such a block look at a pixel alone, so that how pixels lie is free: the maps of a
residual stream lie *tile by tile*, as maps of one tile's width in which tile n has rows n * tile and following. A tile
is then one run of bytes in DRAM, and only the tiles that are used come and go. An INDEX that counts in a grid of one
column makes the tables for them.

The map that the first convolution makes is whole if it can be, else its rows lie in DRAM: the second one has a border.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from gatewright.compiler.graph.graph import QuantisedGraph, TensorShape
from gatewright.compiler.kinds.average_gate import QuantisedAverageGate
from gatewright.compiler.kinds.convolution import QuantisedConv
from gatewright.compiler.kinds.max_pool import QuantisedMaxPool
from gatewright.compiler.kinds.pooling import Pooling
from gatewright.compiler.kinds.spatial_gate import QuantisedSpatialGate
from gatewright.compiler.plan.bands import tile_rows
from gatewright.contract.arch import BEAT_BYTES
from gatewright.contract.encodings import COORDINATE_BITS
from gatewright.contract.isa import FORMATS, Opcode

MOST_ROWS = min((1 << field.bits) - 1 for field in FORMATS[Opcode.GATHER].fields if field.name == "height")
"""Rows that a map may have, and so tiles below one another."""


@dataclass(frozen=True)
class TiledBlock:
    """Three convolutions, and the shortcut if there is one. ``grid``: tiles from top to bottom and across.

    ``joint``: the second convolution goes tile by tile with the third, and the map between them is never whole.
    """

    first: QuantisedConv
    middle: QuantisedConv
    shortcut: QuantisedConv | None
    last: QuantisedConv
    grid: tuple[int, int]
    joint: bool = False

    @property
    def tiles(self) -> int:
        """Tiles of each of the block's maps."""
        return self.grid[0] * self.grid[1]

    def tile_in(self, shape: TensorShape) -> int:
        """The edge of a tile in pixels of a map."""
        return shape.height // self.grid[0]

    def passes(self, off_chip: Collection[str]) -> Iterator[TiledPass]:
        """What of the block goes by tiles, or by rows, where some maps lie in DRAM."""
        if {self.first.source, self.first.output} & {*off_chip}:
            yield TiledPass(self, (self.first,))
        if self.first.output in off_chip:
            yield TiledPass(self, (self.middle,))
        layers = [self.middle] if self.joint else []
        if self.shortcut is not None and {self.shortcut.source, self.shortcut.output} & {*off_chip}:
            layers.append(self.shortcut)
        if self.joint or self.last.output in off_chip:
            layers.append(self.last)
        if layers:
            yield TiledPass(self, tuple(layers))


@dataclass(frozen=True)
class TiledPass:
    """Convolutions that go through their maps in turn, some tiles at a time."""

    block: TiledBlock
    layers: tuple[QuantisedConv, ...]

    @property
    def rings(self) -> str:
        """The name of the piece of scratchpad for the tiles and rows that are there."""
        return f"{self.layers[0].name}.rings"

    @property
    def by_rows(self) -> bool:
        """Whether the pass is the second convolution's, over rows of the first one's map."""
        return self.layers == (self.block.middle,) and not self.block.joint


def tiled_blocks(graph: QuantisedGraph) -> list[TiledBlock]:
    """The bottleneck blocks whose maps have tiles that fit one another; none is joint."""
    convolutions = {layer.output: layer for layer in graph.layers if isinstance(layer, QuantisedConv)}
    blocks = []
    for last in convolutions.values():
        middle = convolutions.get(last.source)
        first = convolutions.get(middle.source) if middle is not None else None
        if last.in_place_of(graph) is None or middle is None or first is None or first.residual or middle.residual:
            continue
        if any(conv.beside for conv in (first, middle, last)):
            continue
        shortcut = next((conv for conv in convolutions.values() if conv.completed_by == last.name), None)
        ends = [conv for conv in (first, shortcut, last) if conv is not None]
        if any(conv.weight.shape[1:3] != (1, 1) or conv.padding for conv in ends) or first.stride != 1:
            continue
        height, width = graph.shapes[last.output].height, graph.shapes[last.output].width
        tile = tile_rows(graph, last) or height // _last_edge(graph)
        if not tile or height % tile or width % tile:
            continue
        block = TiledBlock(first, middle, shortcut, last, (height // tile, width // tile))
        if _fits(block, graph):
            blocks.append(block)
    return blocks


def joined(block: TiledBlock, graph: QuantisedGraph, off_chip: Collection[str], most: int) -> TiledBlock:
    """The block, joint if the maps around its second convolution are whole and take more than ``most`` bytes."""
    size = sum(graph.shapes[conv.output].size for conv in (block.first, block.middle))
    return replace(block, joint=size > most and block.first.output not in off_chip and block.last.output in off_chip)


def _last_edge(graph: QuantisedGraph) -> int:
    """The height of the last map: so many tiles has every map that nothing divides otherwise."""
    return [graph.shapes[layer.output] for layer in graph.layers if isinstance(layer, QuantisedConv)][-1].height


def _fits(block: TiledBlock, graph: QuantisedGraph) -> bool:
    """Whether every map of a block has as many tiles, and the machine can count them."""
    maps = {block.first.source, block.first.output, block.middle.output, block.last.output}
    shapes = [graph.shapes[name] for name in maps]
    tiles = [(shape.height // block.grid[0], shape.width // block.grid[1]) for shape in shapes]
    even = all(
        (down * block.grid[0], across * block.grid[1]) == (shape.height, shape.width) and down == across
        for (down, across), shape in zip(tiles, shapes, strict=True)
    )
    gates = {name for conv in (block.first, block.middle, block.last) if (name := conv.output_tiles) is not None}
    # A gate of a whole block picks all tiles or none, whatever their grid.
    same = len(gates) <= 1 and all(
        isinstance(layer, QuantisedAverageGate)
        or (isinstance(layer, QuantisedSpatialGate) and layer.grid == block.grid)
        for layer in graph.layers
        if layer.name in gates
    )
    pooled = all(
        (layer.tile * block.grid[0], layer.tile * block.grid[1])
        == (graph.shapes[layer.source].height, graph.shapes[layer.source].width)
        for layer in graph.layers
        if isinstance(layer, Pooling) and layer.source in maps
    )
    most = max(down for down, _ in tiles) * block.tiles
    return even and same and pooled and most <= MOST_ROWS and block.tiles < 1 << COORDINATE_BITS


def off_chip_candidates(graph: QuantisedGraph, blocks: Sequence[TiledBlock]) -> list[tuple[str, ...]]:
    """Maps that share a place in DRAM if they lie there, the largest first: streams before what a block has inside."""
    firsts, shortcuts = {b.first.name for b in blocks}, {b.shortcut.name for b in blocks if b.shortcut is not None}
    lasts = {b.last.name for b in blocks}
    owner: dict[str, list[str]] = {}
    for layer in graph.layers:
        if isinstance(layer, QuantisedMaxPool):
            owner[layer.output] = [layer.output]
        elif isinstance(layer, QuantisedConv):
            before = layer.in_place_of(graph)
            chain = owner.get(before, []) if before is not None else []
            chain.append(layer.output)
            owner[layer.output] = chain

    def may(chain: Sequence[str]) -> bool:
        """Whether nobody else reads or writes any of the maps, and a tile is whole beats."""
        for layer in graph.layers:
            for tensor in {*layer.reads, *layer.writes} & {*chain}:
                if isinstance(layer, QuantisedConv):
                    reads = tensor == layer.source and layer.name in firsts | shortcuts
                    adds = tensor in {layer.output, layer.residual} and layer.name in lasts | shortcuts
                    if not (reads or adds):
                        return False
                elif not (
                    isinstance(layer, Pooling) or (isinstance(layer, QuantisedMaxPool) and tensor == layer.output)
                ):
                    return False
        readers = [b for b in blocks if {b.first.source, b.last.output} & {*chain}]
        shape = graph.shapes[chain[0]]
        edges = {b.tile_in(shape) for b in readers}
        return len(edges) == 1 and shape.channels % BEAT_BYTES == 0

    def inner(block: TiledBlock) -> bool:
        """Whether rows of the first convolution's map may lie in DRAM, with any number of channels."""
        shape = graph.shapes[block.first.output]
        return block.tile_in(shape) * shape.width % BEAT_BYTES == 0

    streams = [tuple(chain) for chain in {id(chain): chain for chain in owner.values()}.values() if may(chain)]
    inside = [(block.first.output,) for block in blocks if inner(block)]
    return sorted([*streams, *inside], key=lambda chain: -graph.shapes[chain[0]].size)

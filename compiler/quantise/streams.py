"""Which tensors must share a scale, and how finely each feature map is pooled for the gates.

The machine adds a residual in place, so every map of a residual stream has one scale; so have the parts of a
concatenation, each of which is put behind those before it; a max pool does not scale. It also leaves the pooled
averages of skipped tiles in place, so a stream's pooled maps have one scale and one tile as well.
"""

from __future__ import annotations

import math

from gatewright.compiler.graph.graph import FloatGraph, TensorShape
from gatewright.compiler.kinds.average_gate import AverageGate
from gatewright.compiler.kinds.bins import FloatBins
from gatewright.compiler.kinds.convolution import FloatConv
from gatewright.compiler.kinds.exit import Exit
from gatewright.compiler.kinds.max_pool import FloatMaxPool
from gatewright.compiler.kinds.spatial_gate import FloatSpatialGate
from gatewright.compiler.plan.tile_sets import MOST_TILES
from gatewright.contract.errors import GatewrightError

CHANNEL_TILES = (8, 4, 2, 1, 7, 6, 5, 3)
"""Tiles to pool over, in order of preference, where only channel gates look at maps that no spatial gate writes."""


def residual_streams(graph: FloatGraph) -> dict[str, str]:
    """For every tensor the first map of its residual stream (itself, where none is added); a max pool begins none."""
    first = {graph.input: graph.input}
    for layer in graph.layers:
        before = layer.continued if isinstance(layer, FloatConv) else None
        if isinstance(layer, FloatMaxPool):
            before = layer.source
        first |= {tensor: tensor if before is None else first[before] for tensor in layer.writes}
    return first


def pooling_tiles(graph: FloatGraph) -> dict[str, int]:
    """The tile edge, in pixels, of the pooled map of each feature map that gates, exits or levels of bins look at.

    A stream whose writers are spatially gated is pooled in their tiles. Otherwise it is pooled in
    the coarsest tiles that fit the bins of all spatial gates that look at it; without any, in the
    largest of ``CHANNEL_TILES`` that divides the map.
    """
    streams = residual_streams(graph)
    gates = {layer.name: layer for layer in graph.layers if isinstance(layer, FloatSpatialGate)}
    written: dict[str, set[int]] = {}
    bins: dict[str, dict[str, tuple[int, int]]] = {}
    looked_at: list[str] = []
    for layer in graph.layers:
        if isinstance(layer, FloatConv) and layer.output_tiles in gates:
            tile = gates[layer.output_tiles].tile_in(graph.shapes[layer.output])
            written.setdefault(streams[layer.output], set()).add(tile)
        if isinstance(layer, FloatSpatialGate):
            if layer.overlap:
                continue  # it averages the map itself
            shape = graph.shapes[layer.source]
            edges = shape.height // layer.grid[0], shape.width // layer.grid[1]
            bins.setdefault(streams[layer.source], {})[layer.name] = edges
        if isinstance(layer, FloatBins):
            shape = graph.shapes[layer.source]
            edges = shape.height // layer.grid[0], shape.width // layer.grid[1]
            bins.setdefault(streams[layer.source], {})[layer.name] = edges
        if isinstance(layer, FloatSpatialGate | AverageGate | FloatBins | Exit) and layer.source not in looked_at:
            looked_at.append(layer.source)
    tiles = {}
    for tensor in looked_at:
        if tensor == graph.input:
            raise GatewrightError(
                f"a gate, or adaptive pooling, looks at the network's input {tensor!r}; it must look at a "
                "convolution's output, which the machine pools as it writes it"
            )
        writer = next(layer for layer in graph.layers if tensor in layer.writes)
        if isinstance(writer, FloatBins):
            raise GatewrightError(
                f"a gate, or adaptive pooling, looks at {tensor}, which adaptive pooling made; it must look at a "
                "convolution's output, which the machine pools as it writes it: pool that one"
            )
        stream = streams[tensor]
        tiles[tensor] = _tile(tensor, graph.shapes[tensor], written.get(stream, set()), bins.get(stream, {}))
    return tiles


def _tile(tensor: str, shape: TensorShape, written: set[int], bins: dict[str, tuple[int, int]]) -> int:
    if len(written) > 1:
        raise GatewrightError(
            f"feature map {tensor}: its residual stream is written in tiles of {sorted(written)} pixels; all spatial "
            "gates of a stream need the same tile"
        )
    if written:
        (tile,) = written
    elif bins:
        tile = math.gcd(*(edge for pair in bins.values() for edge in pair))
    else:
        fitting = [t for t in CHANNEL_TILES if shape.height % t == 0 and shape.width % t == 0]
        tile = next((t for t in fitting if _tiles(shape, t) <= MOST_TILES), fitting[-1])
    for gate, (height, width) in bins.items():
        if height % tile or width % tile or height != width:
            raise GatewrightError(
                f"layer {gate} averages {height}x{width} pixels of {tensor}, which is written in tiles of {tile}; "
                "bins must be square and whole tiles"
            )
    if _tiles(shape, tile) > MOST_TILES:
        raise GatewrightError(
            f"feature map {tensor} of {shape.height}x{shape.width} pixels is pooled for its gates in tiles of {tile}: "
            f"{_tiles(shape, tile):,} tiles, where an instruction counts at most {MOST_TILES:,}; choose an image size "
            "that larger tiles divide, or gates with larger bins"
        )
    return tile


def _tiles(shape: TensorShape, tile: int) -> int:
    return math.ceil(shape.height / tile) * math.ceil(shape.width / tile)

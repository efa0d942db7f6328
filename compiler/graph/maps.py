"""Who writes a feature map, who reads it, and what is missing in it."""

from __future__ import annotations

from collections.abc import Iterator

from gatewright.compiler.graph.graph import Graph, Layer
from gatewright.compiler.kinds.convolution_form import Convolution
from gatewright.compiler.kinds.pooling import Pooling


def convolutions(graph: Graph) -> Iterator[Convolution]:
    """The graph's convolutions, in its order."""
    return (layer for layer in graph.layers if isinstance(layer, Convolution))


def writer_of(graph: Graph, tensor: str) -> Convolution | None:
    """The convolution whose output a map is; None for any other map."""
    return next((conv for conv in convolutions(graph) if conv.output == tensor), None)


def maps_read(graph: Graph, layer: Layer) -> tuple[str, ...]:
    """The feature maps that a layer reads, or whose averages it reads."""
    if isinstance(layer, Pooling):
        return ()  # it writes the averages along with its map; the gates are their readers
    pooled = {p.name: p.source for p in graph.layers if isinstance(p, Pooling)}
    return tuple(pooled.get(tensor, tensor) for tensor in layer.reads)


def holes_of(conv: Convolution) -> str | None:
    """The gate whose inactive tiles are missing in a convolution's output; a residual fills them."""
    return conv.output_tiles if conv.residual is None else None

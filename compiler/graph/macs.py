"""Multiply-accumulates as the paper's public code counts them, from a graph and its decisions."""

from __future__ import annotations

import numpy as np

from gatewright.compiler.emit.context import Decisions
from gatewright.compiler.graph.graph import (
    QuantisedChannelGate,
    QuantisedClassifier,
    QuantisedConv,
    QuantisedGraph,
    QuantisedSpatialGate,
)


def counted_macs(graph: QuantisedGraph, decisions: Decisions | None) -> int:
    """MACs of one sample; without decisions those of the dense network, whose gates do not exist.

    An active tile counts tile * tile pixels; a spatial gate counts 9 * channels per cell of its
    grid, a channel gate its two matrices; pooling additions are not counted.
    """
    tiles = {layer.name: layer.tile for layer in graph.layers if isinstance(layer, QuantisedSpatialGate)}
    total = 0
    for layer in graph.layers:
        if isinstance(layer, QuantisedConv):
            shape = graph.shapes[layer.output]
            filters, height, width, channels = layer.weight.shape
            pixels = shape.height * shape.width
            if decisions is not None:
                if layer.output_tiles:
                    pixels = int(np.count_nonzero(decisions[layer.output_tiles])) * tiles[layer.output_tiles] ** 2
                if layer.output_channels:
                    filters = int(np.count_nonzero(decisions[layer.output_channels]))
                if layer.input_channels:
                    channels = int(np.count_nonzero(decisions[layer.input_channels]))
            total += pixels * filters * height * width * channels
        elif isinstance(layer, QuantisedClassifier):
            total += layer.weight.size
        elif isinstance(layer, QuantisedSpatialGate) and decisions is not None:
            total += layer.grid[0] * layer.grid[1] * 9 * layer.weight.shape[-1]
        elif isinstance(layer, QuantisedChannelGate) and decisions is not None:
            total += layer.hidden_weight.size + layer.weight.size
    return total

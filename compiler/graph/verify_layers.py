"""The rules that look at one layer at a time: weights against shapes, numbers against the machine's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NoReturn

import numpy as np
import numpy.typing as npt

from gatewright.compiler.graph.graph import (
    FloatChannelGate,
    FloatClassifier,
    FloatConv,
    FloatGraph,
    FloatLayer,
    FloatSpatialGate,
    Pooling,
    QuantisedChannelGate,
    QuantisedClassifier,
    QuantisedConv,
    QuantisedGraph,
    QuantisedLayer,
    QuantisedSpatialGate,
    TensorShape,
)
from gatewright.contract.arithmetic import MULTIPLIER_BITS, SHIFT_MAX
from gatewright.contract.errors import GatewrightError

Layer = FloatLayer | QuantisedLayer
Graph = FloatGraph | QuantisedGraph
SpatialGate = FloatSpatialGate | QuantisedSpatialGate
ChannelGate = FloatChannelGate | QuantisedChannelGate
Integers = npt.NDArray[np.int64]


class BrokenGraph(AssertionError):
    """A stage of the compiler made a graph that means nothing: a fault of ours, not of the network."""


def broken(name: str, reason: str) -> NoReturn:
    """The rule that is broken only our own stages can break."""
    raise BrokenGraph(f"layer {name}: {reason}")


def refuse(name: str, reason: str) -> NoReturn:
    """The network is not one that the machine computes."""
    raise GatewrightError(f"layer {name}: {reason}")


def shape_of(graph: Graph, tensor: str) -> TensorShape:
    """The shape of a feature map, which the graph must know."""
    if tensor not in graph.shapes:
        broken(tensor, "the graph has no shape for this feature map")
    return graph.shapes[tensor]


def weights_fit_their_maps(graph: Graph) -> None:
    """Every layer's weights have the channels that it reads and make the shape that it writes."""
    for layer in graph.layers:
        if isinstance(layer, FloatConv | QuantisedConv):
            source, output = shape_of(graph, layer.source), shape_of(graph, layer.output)
            filters, height, width, channels = layer.weight.shape
            rows, columns = (
                (size + 2 * layer.padding - edge) // layer.stride + 1
                for size, edge in ((source.height, height), (source.width, width))
            )
            if channels != source.channels or output != TensorShape(filters, rows, columns):
                broken(layer.name, f"weights {list(layer.weight.shape)} do not make {output} of {source}")
        elif isinstance(layer, SpatialGate):
            if layer.weight.shape[0] != 1 or layer.weight.shape[3] != _looked_at(graph, layer).channels:
                broken(layer.name, f"weights {list(layer.weight.shape)} do not fit the map that it looks at")
        elif isinstance(layer, ChannelGate):
            hidden = len(layer.hidden_weight)
            if layer.hidden_weight.shape[1] != _looked_at(graph, layer).channels or layer.weight.shape[1] != hidden:
                broken(layer.name, "its two matrices do not fit each other and the map that it looks at")
        elif isinstance(layer, FloatClassifier | QuantisedClassifier):
            fits = layer.weight.shape[1] == shape_of(graph, layer.source).channels
            if not fits:
                broken(layer.name, f"weights {list(layer.weight.shape)} do not fit the map that it reads")


def grids_fit_their_pooled_maps(graph: QuantisedGraph) -> None:
    """A spatial gate's kernel, in pooled tiles, makes its grid."""
    poolings = {layer.name: layer for layer in graph.layers if isinstance(layer, Pooling)}
    for gate in graph.layers:
        if not isinstance(gate, QuantisedSpatialGate):
            continue
        shape, tile = _looked_at(graph, gate), poolings[gate.pooling].tile
        cells = tuple(
            (-(-size // tile) + 2 * gate.padding - edge) // gate.stride + 1
            for size, edge in zip((shape.height, shape.width), gate.weight.shape[1:3], strict=True)
        )
        if cells != gate.grid:
            broken(gate.name, f"its kernel makes {cells} cells of the pooled map, its grid has {gate.grid}")


def numbers_are_what_the_machine_has(graph: QuantisedGraph) -> None:
    """int8 weights, int32 biases, multipliers of 16 bits, shifts within the shifter; a set for each filter."""
    for layer in graph.layers:
        for weight, bias, scales in _numbers(layer):
            if weight.dtype != np.int8 or len(weight) != len(bias):
                broken(layer.name, "its weights are not int8 with one bias for each filter")
            if not _within(bias, -(1 << 31), (1 << 31) - 1):
                broken(layer.name, "its biases are not int32 values")
            if scales is not None and not (
                len(scales[0]) == len(scales[1]) == len(weight)
                and _within(scales[0], 0, (1 << MULTIPLIER_BITS) - 1)
                and _within(scales[1], 1, SHIFT_MAX)
            ):
                broken(layer.name, "its multipliers or shifts are not those of the machine, one for each filter")


def _numbers(
    layer: QuantisedLayer,
) -> Iterator[tuple[npt.NDArray[np.int8], Integers, tuple[Integers, Integers] | None]]:
    """A layer's weights, biases, and the multipliers and shifts where its sums are scaled."""
    if isinstance(layer, QuantisedConv):
        yield layer.weight, layer.requantisation.bias, (layer.requantisation.multiplier, layer.requantisation.shift)
    elif isinstance(layer, Pooling):
        factor = np.array([layer.multiplier]), np.array([layer.shift])
        yield np.ones((1, 1), np.int8), np.zeros(1, np.int64), factor
    elif isinstance(layer, QuantisedChannelGate):
        yield layer.hidden_weight, layer.hidden.bias, (layer.hidden.multiplier, layer.hidden.shift)
        yield layer.weight, layer.bias, None
    elif isinstance(layer, QuantisedSpatialGate):
        yield layer.weight, np.array([layer.bias]), None
    else:
        yield layer.weight, layer.bias, None


def _looked_at(graph: Graph, gate: SpatialGate | ChannelGate) -> TensorShape:
    """The shape of the map whose averages a gate sees."""
    if isinstance(gate, FloatSpatialGate | FloatChannelGate):
        return shape_of(graph, gate.source)
    for layer in graph.layers:
        if isinstance(layer, Pooling) and layer.name == gate.pooling:
            return shape_of(graph, layer.source)
    broken(gate.name, f"it looks at {gate.pooling}, which is no pooled map")


def _within(values: Integers, low: int, high: int) -> bool:
    return values.dtype == np.int64 and bool(((values >= low) & (values <= high)).all())

"""Ranges that a network brings along, in place of measured ones; and how far the machine keeps them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gatewright.compiler.graph.graph import FloatGraph
from gatewright.compiler.kinds.classifier import FloatClassifier
from gatewright.compiler.kinds.convolution import FloatConv
from gatewright.compiler.quantise.ranges import tensors_with_a_range
from gatewright.compiler.quantise.streams import residual_streams
from gatewright.compiler.quantise.zero_points import zero_points
from gatewright.contract.arithmetic import INT8_MAX


@dataclass(frozen=True)
class GivenRanges:
    """``ranges`` by tensor; ``missing`` tensors must be measured.

    Of the tensors that the network rounds itself, ``kept`` have its very integers on the machine. ``shared`` have the
    range of their residual stream or concatenation, which is larger, and ``coarser`` 127 steps in place of 255: the
    machine's 0 must be 0 where zeros are put round a map, or something is added to it.
    """

    ranges: dict[str, float]
    missing: tuple[str, ...]
    kept: tuple[str, ...]
    shared: tuple[str, ...]
    coarser: tuple[str, ...]


def given_ranges(graph: FloatGraph) -> GivenRanges:
    """The ranges of a network with fake quantisation: tensors of a stream have the largest one of them."""
    streams, zeros = residual_streams(graph), zero_points(graph)
    most = {streams[layer.output]: layer.most for layer in graph.layers if isinstance(layer, FloatConv) and layer.most}
    of_stream: dict[str, float] = {}
    for name, rounding in graph.rounding.items():
        stream = streams.get(name, name)
        of_stream[stream] = max(of_stream.get(stream, 0.0), rounding.range)
    of_stream = {stream: min(value, most.get(stream, value)) for stream, value in of_stream.items()}
    names = list(tensors_with_a_range(graph))
    ranges = {name: of_stream[streams.get(name, name)] for name in names if streams.get(name, name) in of_stream}
    shared = tuple(name for name, rounding in graph.rounding.items() if ranges[name] != rounding.range)
    coarser = tuple(name for name, rounding in graph.rounding.items() if zeros.of(name) != rounding.zero)
    kept = tuple(name for name in graph.rounding if name not in shared and name not in coarser)
    return GivenRanges(ranges, tuple(name for name in names if name not in ranges), kept, shared, coarser)


def weights_kept(graph: FloatGraph) -> tuple[int, int]:
    """How many layers with weights of a rounded network keep its integers, and how many there are."""
    layers = [
        layer for layer in graph.layers if isinstance(layer, FloatConv | FloatClassifier) and not _no_weights(layer)
    ]
    return sum(_keeps(layer) for layer in layers), len(layers)


def _no_weights(layer: FloatConv | FloatClassifier) -> bool:
    return isinstance(layer, FloatConv) and layer.averages


def _keeps(layer: FloatConv | FloatClassifier) -> bool:
    """Whether the compiler finds the rows' own scales: one for all in a classifier, none over several maps."""
    if layer.unit is None or (isinstance(layer, FloatConv) and layer.beside):
        return False
    if isinstance(layer, FloatClassifier) and not (layer.unit == layer.unit[0]).all():
        return False
    rows = layer.weight.reshape(len(layer.weight), -1)
    return bool((np.abs(rows).max(1) <= layer.unit * (INT8_MAX + 0.25)).all())

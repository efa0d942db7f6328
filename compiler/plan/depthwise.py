"""Depthwise convolutions that EPILOGUE computes: which they are, their parameters, and the tiles that suit them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gatewright.compiler.graph.graph import QuantisedGraph, Requantisation
from gatewright.compiler.kinds.convolution import QuantisedConv
from gatewright.compiler.kinds.pooling import Pooling
from gatewright.compiler.kinds.spatial_gate import QuantisedSpatialGate
from gatewright.compiler.plan.layout import parameter_bytes
from gatewright.contract.arch import PARAMETER_BYTES, ArchConfig
from gatewright.contract.encodings import (
    DEPTHWISE_ENTRIES,
    DEPTHWISE_PARTS,
    DEPTHWISE_ROWS,
    MOST_DEPTHWISE_STEP,
    MOST_DEPTHWISE_WINDOW,
)
from gatewright.contract.isa import FORMATS, Opcode

NORM_SHARE = 16
"""A batch norm by itself that needs more than one in so many parameter entries is multiplied on the array.

There its products are read and written while others are multiplied; in EPILOGUE nothing else is done meanwhile.
"""

MOST_EDGE = min((1 << field.bits) - 1 for field in FORMATS[Opcode.EPILOGUE].fields if field.name == "tile")
"""Of a tile."""


def in_epilogue(layer: QuantisedConv, graph: QuantisedGraph, arch: ArchConfig, live: bool = False) -> bool:
    """Whether EPILOGUE computes a layer.

    It does not if its output is averaged as it is written, or added to; nor if tiles are skipped, for what lies beside
    the others is not written: but in a ``live`` program, where the layer before writes zeros there.
    """
    height, width = layer.weight.shape[1:3]
    fits = height == width <= MOST_DEPTHWISE_WINDOW and layer.stride <= MOST_DEPTHWISE_STEP and layer.padding < height
    listed = layer.output_tiles is not None or layer.input_tiles is not None
    plain = (not listed or (live and zeros_before(layer, graph) is not None)) and layer.continued is None
    plain = plain and layer.dilation == 1
    averaged = any(isinstance(other, Pooling) and other.source == layer.output for other in graph.layers)
    if not layer.depthwise or not plain or averaged:
        return False
    if layer.windowed:
        return True
    many = layer.normalises and NORM_SHARE * DEPTHWISE_ENTRIES * len(layer.weight) > arch.parameter_entries
    return arch.depthwise and fits and not many


def zeros_before(layer: QuantisedConv, graph: QuantisedGraph) -> QuantisedConv | None:
    """The convolution that must write zeros over its inactive tiles, for a depthwise one that reads across their edges.

    None if there is none: if the one has other gates than the other, or a gate leaves out whole maps.
    """
    gates = {one.name for one in graph.layers if isinstance(one, QuantisedSpatialGate)}
    if not layer.depthwise or layer.output_tiles not in gates or layer.input_tiles != layer.output_tiles:
        return None
    before = (one for one in graph.layers if isinstance(one, QuantisedConv) and one.output == layer.source)
    return next((one for one in before if one.output_tiles == layer.output_tiles and one.continued is None), None)


def _gated(graph: QuantisedGraph, arch: ArchConfig) -> list[QuantisedConv]:
    """The depthwise convolutions under a gate that EPILOGUE computes in a live program."""
    grouped = (one for one in graph.layers if isinstance(one, QuantisedConv) and one.depthwise and one.gates)
    return [layer for layer in grouped if in_epilogue(layer, graph, arch, live=True)]


def zeroed_layers(graph: QuantisedGraph, arch: ArchConfig) -> dict[str, str]:
    """The convolutions of a live program that write zeros over their inactive tiles, and the gates of these."""
    pairs = ((zeros_before(layer, graph), layer.output_tiles) for layer in _gated(graph, arch))
    return {before.name: gate for before, gate in pairs if before is not None and gate is not None}


def maps_beside(graph: QuantisedGraph, arch: ArchConfig) -> set[str]:
    """What gated depthwise convolutions in EPILOGUE read and write in a live program."""
    return {name for layer in _gated(graph, arch) for name in (layer.source, layer.output)}


def entries_of(layer: QuantisedConv) -> int:
    """Parameter entries of a layer that EPILOGUE computes."""
    return 1 if layer.windowed else DEPTHWISE_ENTRIES * len(layer.weight)


def channel_parameters(layer: QuantisedConv) -> npt.NDArray[np.uint8]:
    """The parameter entries of its channels, in order [channels * DEPTHWISE_ENTRIES * PARAMETER_BYTES]."""
    channels, window = len(layer.weight), layer.weight.shape[1]
    if layer.windowed:
        scales = layer.requantisation
        return parameter_bytes(Requantisation(scales.bias[:1], scales.multiplier[:1], scales.shift[:1])).reshape(-1)
    entries = np.zeros((channels, DEPTHWISE_ENTRIES, PARAMETER_BYTES), np.uint8)
    kernel = layer.weight[..., 0].view(np.uint8)
    for row, (entry, begin) in enumerate(DEPTHWISE_ROWS[:window]):
        end = begin + MOST_DEPTHWISE_WINDOW
        entries[:, entry, end - window : end] = kernel[:, row]
    entries[:, DEPTHWISE_PARTS - 1] = parameter_bytes(layer.requantisation).reshape(channels, PARAMETER_BYTES)
    return entries.reshape(-1)


def row_cycles(layer: QuantisedConv, results: int) -> int:
    """Cycles of so many results of a row of a tile, for a block of channels."""
    window = layer.weight.shape[1]
    return ((results - 1) * layer.stride + window) * window + results


def suitable_edge(layer: QuantisedConv, height: int, width: int) -> int:
    """The edge of the tiles in which a map is computed in the fewest cycles; of the largest ones, if some are equal."""

    def cycles(edge: int) -> int:
        return -(-width // edge) * -(-height // edge) * edge * row_cycles(layer, edge)

    return min(range(1, min(MOST_EDGE, max(height, width)) + 1), key=lambda edge: (cycles(edge), -edge))

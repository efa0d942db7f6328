"""Depthwise convolutions that EPILOGUE computes: which they are, their parameters, and the tiles that suit them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gatewright.compiler.graph.graph import QuantisedGraph
from gatewright.compiler.kinds.convolution import QuantisedConv
from gatewright.compiler.kinds.pooling import Pooling
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

MOST_EDGE = min((1 << field.bits) - 1 for field in FORMATS[Opcode.EPILOGUE].fields if field.name == "tile")
"""Of a tile."""


def in_epilogue(layer: QuantisedConv, graph: QuantisedGraph, arch: ArchConfig) -> bool:
    """Whether EPILOGUE computes a layer.

    It does not if tiles are skipped: what lies beside the others is not written; nor if its output is averaged as it
    is written, or added to.
    """
    height, width = layer.weight.shape[1:3]
    fits = height == width <= MOST_DEPTHWISE_WINDOW and layer.stride <= MOST_DEPTHWISE_STEP and layer.padding < height
    plain = layer.output_tiles is None and layer.input_tiles is None and layer.residual is None
    averaged = any(isinstance(other, Pooling) and other.source == layer.output for other in graph.layers)
    return arch.depthwise and layer.depthwise and fits and plain and not averaged


def channel_parameters(layer: QuantisedConv) -> npt.NDArray[np.uint8]:
    """The parameter entries of its channels, in order [channels * DEPTHWISE_ENTRIES * PARAMETER_BYTES]."""
    channels, window = len(layer.weight), layer.weight.shape[1]
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

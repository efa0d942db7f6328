"""Multiply-accumulates as the paper's public code counts them, from a graph and its decisions."""

from __future__ import annotations

from gatewright.compiler.graph.graph import Decisions, QuantisedGraph
from gatewright.compiler.graph.leaving import taken_exit, until_exit
from gatewright.compiler.graph.serving import without_gates


def counted_macs(graph: QuantisedGraph, decisions: Decisions | None) -> int:
    """MACs of one sample; without decisions those of the dense network, whose gates do not exist.

    An active tile counts all its pixels; a spatial gate counts 9 * channels per cell of its
    grid, a gate on an average its matrices, a convolution that only a gate looks at what it multiplies; pooling
    additions are not counted. Of an image that leaves at an early exit nothing counts that lies behind it; an exit
    counts its matrix.
    """
    counted = without_gates(graph) if decisions is None else until_exit(graph, taken_exit(graph, decisions))
    return sum(layer.macs(graph, decisions) for layer in counted.layers)

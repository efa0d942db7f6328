"""Multiply-accumulates as the paper's public code counts them, from a graph and its decisions."""

from __future__ import annotations

from gatewright.compiler.graph.graph import Decisions, QuantisedGraph


def counted_macs(graph: QuantisedGraph, decisions: Decisions | None) -> int:
    """MACs of one sample; without decisions those of the dense network, whose gates do not exist.

    An active tile counts all its pixels; a spatial gate counts 9 * channels per cell of its
    grid, a channel gate its two matrices; pooling additions are not counted.
    """
    return sum(layer.macs(graph, decisions) for layer in graph.layers)

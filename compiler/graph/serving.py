"""Layers that only serve gates: without gates nobody needs them."""

from __future__ import annotations

from dataclasses import replace

from gatewright.compiler.graph.graph import QuantisedGraph, QuantisedLayer


def without_gates(graph: QuantisedGraph) -> QuantisedGraph:
    """The dense baseline: the same convolutions and classifier, nothing gated, nothing that only gates look at."""
    dense = (layer.without_gates() for layer in graph.layers)
    layers = _needed([layer for layer in dense if layer is not None])
    return replace(graph, layers=layers)


def serving_gates(graph: QuantisedGraph) -> set[str]:
    """The names of layers that the dense baseline does not have, gates and their averages included."""
    return {layer.name for layer in graph.layers} - {layer.name for layer in without_gates(graph).layers}


def _needed(layers: list[QuantisedLayer]) -> list[QuantisedLayer]:
    """The layers that give the network's results, and those that they need."""
    kept, read = list[QuantisedLayer](), set[str]()
    for layer in reversed(layers):
        if layer.gives is not None or read & set(layer.writes):
            kept.append(layer)
            read |= set(layer.reads)
    return kept[::-1]

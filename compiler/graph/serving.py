"""Layers that only serve gates: without gates nobody needs them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any

from gatewright.compiler.graph.graph import QuantisedGraph, QuantisedLayer


def without_gates(graph: QuantisedGraph) -> QuantisedGraph:
    """The dense baseline: the same convolutions and classifier, nothing gated, nothing that only gates look at."""
    dense = (layer.without_gates() for layer in graph.layers)
    layers = _needed([layer for layer in dense if layer is not None])
    return replace(graph, layers=layers)


def without_gate(graph: QuantisedGraph, names: Collection[str]) -> QuantisedGraph:
    """The network without these gates, and without what only they look at; all others stay."""
    layers = [_not_gated_by(layer, names) for layer in graph.layers if layer.name not in names]
    gates = {name for layer in layers for name in layer.gates}
    return replace(graph, layers=_needed(layers, gates))


_GATE_FIELDS = ("output_channels", "input_channels", "output_tiles", "input_tiles")


def _not_gated_by(layer: QuantisedLayer, names: Collection[str]) -> QuantisedLayer:
    changes: dict[str, Any] = {name: None for name in _GATE_FIELDS if getattr(layer, name, None) in names}
    if "output_tiles" in changes and getattr(layer, "bypass", False):
        changes["bypass"] = False
    return replace(layer, **changes) if changes else layer


def serving_gates(graph: QuantisedGraph) -> set[str]:
    """The names of layers that the dense baseline does not have, gates and their averages included."""
    return {layer.name for layer in graph.layers} - {layer.name for layer in without_gates(graph).layers}


def _needed(layers: list[QuantisedLayer], gates: Collection[str] = ()) -> list[QuantisedLayer]:
    """The layers that give the network's results, these gates, and the layers that they need."""
    kept, read = list[QuantisedLayer](), set[str]()
    for layer in reversed(layers):
        if layer.gives is not None or layer.name in gates or read & set(layer.writes):
            kept.append(layer)
            read |= set(layer.reads)
    return kept[::-1]

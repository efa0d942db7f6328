"""The order of layers: what a layer needs comes before it."""

from __future__ import annotations

from graphlib import TopologicalSorter

from gatewright.compiler.graph.graph import FloatLayer
from gatewright.compiler.kinds.average_gate import AverageGate
from gatewright.compiler.kinds.convolution import FloatConv


def ancestors(layers: dict[str, FloatLayer], name: str) -> set[str]:
    """The layers that one needs, directly or through others."""
    writers = _writers(layers)
    found, waiting = set[str](), [name]
    while waiting:
        new = _needs(layers[waiting.pop()], writers) - found
        found |= new
        waiting += new
    return found


def in_order(layers: dict[str, FloatLayer]) -> list[FloatLayer]:
    """The layers as they stand, but what one of them needs before it."""
    writers = _writers(layers)
    rank = {
        name: number
        for number, name in enumerate(
            TopologicalSorter({name: sorted(_needs(layer, writers)) for name, layer in layers.items()}).static_order()
        )
    }
    ordered: dict[str, FloatLayer] = {}
    for name in layers:
        missing = (ancestors(layers, name) | {name}) - ordered.keys()
        ordered |= {before: layers[before] for before in sorted(missing, key=rank.__getitem__)}
    return list(ordered.values())


def _writers(layers: dict[str, FloatLayer]) -> dict[str, str]:
    return {tensor: layer.name for layer in layers.values() for tensor in layer.writes}


def _needs(layer: FloatLayer, writers: dict[str, str]) -> set[str]:
    """The writers of what a layer reads, and its gates."""
    gates = set(layer.gates) if isinstance(layer, FloatConv | AverageGate) else set[str]()
    return {writers[tensor] for tensor in layer.reads if tensor in writers} | gates

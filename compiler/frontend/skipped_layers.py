"""What need not be computed where a gate leaves out a whole layer.

A gate multiplies the last convolution of what it decides about. Those before it that nobody else reads have no say
either while it is off: they become gated by it, and the gate with what it looks at is moved in front of them.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

from gatewright.compiler.frontend.order import ancestors, in_order
from gatewright.compiler.graph.graph import FloatGraph
from gatewright.compiler.kinds.average_gate import AverageGate
from gatewright.compiler.kinds.convolution import FloatConv


def with_layers_skipped(graph: FloatGraph) -> FloatGraph:
    """The same network with all gated by a gate of whole maps that is not needed while that one is off."""
    gates = [layer.name for layer in graph.layers if isinstance(layer, AverageGate) and layer.whole]
    if not gates:
        return graph
    layers = {layer.name: layer for layer in graph.layers}
    writers = {tensor: layer.name for layer in graph.layers for tensor in layer.writes}
    readers: dict[str, list[str]] = defaultdict(list)
    for layer in graph.layers:
        for tensor in layer.reads:
            readers[tensor].append(layer.name)
    for gate in gates:
        needed = ancestors(layers, gate)
        waiting = [la for la in layers.values() if isinstance(la, FloatConv) and la.output_tiles == gate]
        while waiting:
            before = layers.get(writers.get(waiting.pop().source, ""))
            if not isinstance(before, FloatConv) or before.name in needed or before.output_tiles or before.residual:
                continue
            behind = [layers[name] for name in readers[before.output]]
            only = [la for la in behind if isinstance(la, FloatConv) and la.output_tiles == gate]
            if len(only) < len(behind) or any(la.residual == before.output for la in only):
                continue
            layers[before.name] = before = replace(before, output_tiles=gate)
            layers |= {la.name: replace(la, input_tiles=gate) for la in only}
            waiting.append(before)
    return replace(graph, layers=in_order(layers))

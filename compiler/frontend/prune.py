"""Channel gates behind depthwise convolutions decide about the convolutions before them, too."""

from __future__ import annotations

from dataclasses import replace

from gatewright.compiler.graph.graph import FloatGraph
from gatewright.compiler.kinds.convolution import FloatConv


def mask_before_depthwise(graph: FloatGraph) -> None:
    """Let a gate that masks a depthwise convolution's output mask its input: nothing reads the other channels.

    The gate moves before the convolution that writes that input. One that looks at this convolution's output, or at
    anything behind it, stays, and the depthwise convolution is refused when the graph is checked.
    """
    for depthwise in [layer for layer in graph.layers if isinstance(layer, FloatConv)]:
        gate = next((layer for layer in graph.layers if layer.name == depthwise.output_channels), None)
        before = next((layer for layer in graph.layers if depthwise.source in layer.writes), None)
        if not depthwise.depthwise or gate is None or not isinstance(before, FloatConv):
            continue
        readers = [layer for layer in graph.layers if depthwise.source in layer.reads]
        place, moves = graph.layers.index(before), graph.layers.index(gate) > graph.layers.index(before)
        known = {graph.input, *(tensor for layer in graph.layers[:place] for tensor in layer.writes)}
        early = not set(gate.reads) - known
        if before.output_channels or before.residual or len(readers) > 1 or (moves and not early):
            continue
        graph.layers[graph.layers.index(depthwise)] = replace(depthwise, input_channels=gate.name)
        graph.layers[place] = replace(before, output_channels=gate.name)
        if moves:
            graph.layers.remove(gate)
            graph.layers.insert(place, gate)

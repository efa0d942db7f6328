"""Which residuals the machine can add in place, and which come from elsewhere."""

from __future__ import annotations

from dataclasses import replace

from gatewright.compiler.graph.graph import FloatGraph
from gatewright.compiler.kinds.convolution import FloatConv


def find_residuals_elsewhere(graph: FloatGraph) -> None:
    """Mark the convolutions whose residual others read afterwards, or whose residual is coarser than the sum.

    A residual of such a convolution is no shortcut that waits for its completion: it is a map of its own.
    """
    for number, conv in enumerate(graph.layers):
        if not isinstance(conv, FloatConv) or conv.residual is None:
            continue
        readers = [layer for layer in graph.layers if conv.residual in layer.reads]
        behind = any(layer in graph.layers[number + 1 :] for layer in readers)
        if conv.upsample or conv.residual == conv.source or behind:
            graph.layers[number] = replace(conv, elsewhere=True)
        if len(readers) > 1 and not conv.gates:
            for place, writer in enumerate(graph.layers):
                if isinstance(writer, FloatConv) and writer.completed_by == conv.name:
                    graph.layers[place] = replace(writer, completed_by=None)

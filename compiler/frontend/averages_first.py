"""Averages behind a 1x1 convolution come before it: both are linear, and the convolution then has fewer pixels."""

from __future__ import annotations

from dataclasses import replace

from gatewright.compiler.graph.graph import FloatGraph, FloatLayer
from gatewright.compiler.kinds.convolution import FloatConv


def averages_first(graph: FloatGraph) -> None:
    """Average the input of a 1x1 convolution whose output is averaged over windows, and read by nobody else.

    The convolution has no activation, so that the averages of its output are its output of averages. The names of its
    tensors stay: the averages get the name of what they are averages of.
    """
    for average in [layer for layer in graph.layers if isinstance(layer, FloatConv) and layer.averages]:
        conv = next((layer for layer in graph.layers if average.source in layer.writes), None)
        readers = [layer for layer in graph.layers if average.source in layer.reads]
        if not isinstance(conv, FloatConv) or len(readers) > 1 or not _commutes(conv):
            continue
        name = _unused(graph, f"{conv.source}.average_pool", average.name)
        shape = graph.shapes.pop(average.output)
        graph.shapes[name] = replace(shape, channels=graph.shapes[conv.source].channels)
        graph.shapes[conv.output] = shape
        channels, window = graph.shapes[conv.source].channels, average.kernel
        weight = average.weight[:1].repeat(channels, 0)
        first = replace(
            average,
            name=name,
            source=conv.source,
            output=name,
            groups=channels,
            weight=weight,
            bias=weight[:, 0, 0, 0] * 0,
        )
        assert first.kernel == window
        where = {conv.name: [first, replace(conv, source=name)], average.name: []}
        graph.layers[:] = [new for layer in graph.layers for new in where.get(layer.name, [layer])]
        for number, layer in enumerate(graph.layers):
            graph.layers[number] = _renamed(layer, average.output, conv.output)


def _commutes(conv: FloatConv) -> bool:
    """Whether it is linear in each pixel by itself."""
    alone = not (conv.relu or conv.continued or conv.gates or conv.completed_by)
    return alone and conv.groups == 1 and conv.kernel == (1, 1) and (conv.stride, conv.padding) == (1, 0)


def _unused(graph: FloatGraph, name: str, own: str) -> str:
    """The name, or with a number that no other layer has."""
    taken = {layer.name for layer in graph.layers if layer.name != own}
    return next(one for one in (name, *(f"{name}#{n}" for n in range(2, len(taken) + 3))) if one not in taken)


def _renamed(layer: FloatLayer, old: str, new: str) -> FloatLayer:
    """The layer with another name for a tensor that it reads."""
    changed = {field: new for field in ("source", "residual", "appended_to") if getattr(layer, field, None) == old}
    return replace(layer, **changed) if changed else layer

"""How far apart the pixels of maps lie: those of a concatenation's parts as far as the whole's.

The parts of a concatenation share one place, [y][x][channel of the whole], and each is written at its channels. A map
that becomes filters has pixels of whole beats. A map
that EPILOGUE makes of another one, by windows or by a depthwise kernel, has that one's pitch.
"""

from __future__ import annotations

from dataclasses import replace

from gatewright.compiler.graph.checks import refuse
from gatewright.compiler.graph.graph import QuantisedGraph
from gatewright.compiler.kinds.classifier import QuantisedClassifier
from gatewright.compiler.kinds.convolution import QuantisedConv
from gatewright.compiler.kinds.interpolation import QuantisedInterpolation
from gatewright.compiler.kinds.max_pool import QuantisedMaxPool
from gatewright.compiler.kinds.output import QuantisedOutput
from gatewright.compiler.kinds.pooling import Pooling
from gatewright.compiler.plan.depthwise import in_epilogue
from gatewright.contract.arch import BEAT_BYTES, ArchConfig

LOOK = "averages for gates are made as a convolution writes a map: let the gate look at a convolution of it"


def pitches(graph: QuantisedGraph, arch: ArchConfig) -> dict[str, int]:
    """Bytes from a pixel to the next, of the maps where they are not the map's channels."""
    first = {name: name for name in graph.shapes}

    def root(name: str) -> str:
        while first[name] != name:
            name = first[name]
        return name

    for layer in graph.layers:
        if isinstance(layer, QuantisedConv):
            together = [layer.output, layer.appended_to or layer.output]
            if layer.groups > 1 and in_epilogue(layer, graph, arch):
                together.append(layer.source)
        elif isinstance(layer, QuantisedMaxPool):
            together = [layer.output, layer.source]
        else:
            continue
        for name in together[1:]:
            first[root(name)] = root(together[0])
    widest: dict[str, int] = {}
    for name, shape in graph.shapes.items():
        widest[root(name)] = max(widest.get(root(name), 0), shape.channels)
    for layer in graph.layers:
        if isinstance(layer, QuantisedInterpolation):  # its filters are rows of whole beats
            name = root(layer.filters_from)
            widest[name] = -(-widest[name] // BEAT_BYTES) * BEAT_BYTES
    found = {name: widest[root(name)] for name, shape in graph.shapes.items() if widest[root(name)] != shape.channels}
    continued = {layer.output for layer in graph.layers if isinstance(layer, QuantisedConv) and layer.appended_to}
    for layer in graph.layers:
        if isinstance(layer, Pooling) and layer.source in {*continued, *found}:
            refuse(layer.name, f"a gate looks at {layer.source}, which is a concatenation or a part of one; {LOOK}")
        _check(layer, found)
    return found


def _check(layer: object, found: dict[str, int]) -> None:
    """What reads or writes maps whose pixels lie apart can do so."""
    if isinstance(layer, QuantisedConv) and {layer.source, layer.output} & found.keys():
        others = (layer.output_tiles, layer.input_tiles, layer.source in found and layer.input_channels)
        gate = next((name for name in (*others, layer.output in found and layer.output_channels) if name), None)
        if gate:
            refuse(
                layer.name,
                f"it reads or writes a part of a concatenation, of which gate {gate} decides; supported are gates of "
                "the channels between the convolutions of a dense layer",
            )
        if layer.residual is not None:
            refuse(
                layer.name,
                f"it adds to {layer.residual}, and its output is a part of a concatenation; put the output of a "
                "convolution that adds nothing there",
            )
    if isinstance(layer, QuantisedOutput) and layer.source in found:
        refuse(
            layer.name,
            f"the network returns {layer.source}, whose pixels do not lie side by side: it is a part of a "
            "concatenation, or upsampled bilinearly and of channels that are no whole beats; return a convolution of "
            "it",
        )
    if isinstance(layer, QuantisedClassifier) and layer.source in found:
        refuse(layer.name, f"it averages {layer.source}, which is a part of a concatenation; average the whole")


def laid(graph: QuantisedGraph, found: dict[str, int]) -> QuantisedGraph:
    """The graph with the shapes that maps have where they lie: with the pitch as channels."""
    shapes = {name: replace(shape, channels=found.get(name, shape.channels)) for name, shape in graph.shapes.items()}
    return replace(graph, shapes=shapes)

"""How a sample is laid out for the machine: plain, or with a kernel's rows together."""

from __future__ import annotations

from gatewright.compiler.graph.graph import QuantisedGraph
from gatewright.compiler.kinds.convolution import QuantisedConv
from gatewright.contract.arch import ArchConfig
from gatewright.contract.program_parts import InputLayout


def input_layout(graph: QuantisedGraph, arch: ArchConfig) -> InputLayout:
    """A kernel's rows together in each pixel, where that saves the first layer gather cycles."""
    shape = graph.shapes[graph.input]
    plain = InputLayout(shape.height, shape.width, shape.channels)
    readers = [layer for layer in graph.layers if graph.input in layer.reads]
    if len(readers) != 1 or not isinstance(readers[0], QuantisedConv):
        return plain
    layer = readers[0]
    _, height, width, channels = layer.weight.shape
    output = graph.shapes[layer.output]
    separate = height * -(-width * channels // arch.gather_bytes)
    together = -(-height * width * channels // arch.gather_bytes)
    if layer.stride != 1 or layer.dilation != 1 or output.height != shape.height or together >= separate:
        return plain
    return InputLayout(shape.height, shape.width, shape.channels, height, layer.padding)

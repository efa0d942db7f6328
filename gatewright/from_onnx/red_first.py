"""Images whose channels a file has from blue to red, as Caffe's are: the program takes them from red to blue.

The first convolution has its filters' channels turned; what is done to the image before it has its constants turned.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from gatewright.from_onnx.build import Builder
from gatewright.from_onnx.model import Node
from gatewright.from_onnx.orders import FIRST

ALIKE = ("Cast", "Identity", "Dropout", "Relu", "Clip", "Pad", "Transpose", "QuantizeLinear", "DequantizeLinear")
"""What treats all channels alike."""


def red_first(build: Builder, node: Node) -> Node:
    """The node with its constants from red to blue, where it reads the image from blue to red in the file.

    Raises
    ------
    GatewrightError
        It is an operation of which it is not known what it does to the order of channels.
    """
    turned = [name for name in node.reads if name in build.blue_first]
    if not turned:
        return node
    if node.op in ALIKE:
        build.blue_first.add(node.writes[0])
        return node
    name = turned[0]
    if node.op == "Conv" and node.reads[0] == name and node.attributes.get("group", 1) == 1:
        filters = node.reads[1]
        made = build.derived(filters, "from red to blue", np.flip(build.constant(node, 1, "its filters"), 1))
        if build.named(filters) in build.units:
            build.units[made] = build.units[build.named(filters)]
        return replace(node, reads=(name, made, *node.reads[2:]))
    other = 1 - node.reads.index(name)
    if node.op not in ("Add", "Sub", "Mul", "Div") or not build.is_known(node, other):
        build.fail(
            node,
            "it reads the image's channels from blue to red (--bgr), and may tell them apart; supported are sums and "
            "products with constants before the first convolution: give images in the file's order, without --bgr",
        )
    build.blue_first.add(node.writes[0])
    values = build.constant(node, other, "an operand")
    axis = build.orders.get(name, FIRST).index(1) - 4 + values.ndim
    if axis < 0 or values.shape[axis] == 1:
        return node
    reads = list(node.reads)
    reads[other] = build.derived(node.reads[other], "from red to blue", np.flip(values, axis))
    return replace(node, reads=tuple(reads))

"""What a node that reads a map in another order is told: axes, pads and constants in the network's order.

What is not here reads the map as it lies in the file (``as_it_lies``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from gatewright.from_onnx.as_it_lies import as_it_lies, reshaped
from gatewright.from_onnx.build import Builder, Handler
from gatewright.from_onnx.layers import convolution
from gatewright.from_onnx.model import Array, Node
from gatewright.from_onnx.orders import Order, in_order, of_file, of_network
from gatewright.from_onnx.shapes import how_sliced, target_shape
from gatewright.from_onnx.windows import how_padded

Rule = Callable[[Builder, Node, Order, Handler], bool]
"""Takes a node that reads maps of one order, by its handler; returns whether the result has that order, too."""


# Elementwise


def each_number(build: Builder, node: Node, order: Order, handler: Handler) -> bool:
    """What looks at each number by itself."""
    handler(build, node)
    return True


def _several(build: Builder, node: Node, order: Order, handler: Handler) -> bool:
    """Several operands, of which constants and smaller tensors are put in the network's order."""
    reads = list(node.reads)
    for place, name in enumerate(reads):
        if not name or name in build.orders:
            continue
        if build.is_known(node, place):
            values = build.constant(node, place, "an operand")
            if values.size > 1 and values.ndim <= 4:
                reads[place] = build.derived(name, f"by {order}", of_network(order, values))
            continue
        shape = list(build.value(node, place).shape)
        whole = [1] * (4 - len(shape)) + shape
        back = tuple(int(axis) for axis in np.argsort(order))
        if len(shape) > 4 or not in_order(back, whole):
            build.fail(
                node,
                f"its operands have their dimensions in different orders: {name} is {shape}, and another one has "
                f"them in the order {list(order)} of channels first; convert the file with channels first",
            )
        reads[place] = reshaped(build, node, name, of_file(back, whole))
    handler(build, replace(node, reads=tuple(reads)))
    return True


# What names dimensions


def _with(node: Node, handler: Handler, build: Builder, **attributes: Any) -> None:
    """Take the node by its first operand and attributes alone."""
    kept = {name: value for name, value in {**node.attributes, **attributes}.items() if value is not None}
    handler(build, replace(node, reads=node.reads[:1], attributes=kept))


def _less(build: Builder, node: Node, order: Order, gone: set[int]) -> None:
    """Without the dimensions ``gone`` (the file's) the others must be in the network's order."""
    left = [place for axis, place in enumerate(order) if axis not in gone]
    if left != sorted(left):
        build.fail(
            node,
            f"it takes dimensions {sorted(gone)} away from a map that the file has in the order {list(order)} of "
            "channels first, and what is left has another order; keep them (keepdims)",
        )


def _reduce(build: Builder, node: Node, order: Order, handler: Handler) -> bool:
    axes = build.integers(node, 1, "axes")
    if not axes:
        _with(node, handler, build, axes=None)
        return bool(node.attributes.get("keepdims", 1) or node.attributes.get("noop_with_empty_axes", 0))
    over = {axis % 4 for axis in axes}
    keep = bool(node.attributes.get("keepdims", 1))
    if not keep:
        _less(build, node, order, over)
    _with(node, handler, build, axes=sorted(order[axis] for axis in over))
    return keep


def _argmax(build: Builder, node: Node, order: Order, handler: Handler) -> bool:
    axis, keep = int(node.attributes.get("axis", 0)) % 4, bool(node.attributes.get("keepdims", 1))
    if not keep:
        _less(build, node, order, {axis})
    _with(node, handler, build, axis=order[axis])
    return keep


def _gather(build: Builder, node: Node, order: Order, handler: Handler) -> bool:
    axis = int(node.attributes.get("axis", 0)) % 4
    keep = build.constant(node, 1, "its indices").ndim > 0
    if not keep:
        _less(build, node, order, {axis})
    handler(build, replace(node, attributes={**node.attributes, "axis": order[axis]}))
    return keep


def _concat(build: Builder, node: Node, order: Order, handler: Handler) -> bool:
    turned = replace(node, attributes={**node.attributes, "axis": order[int(node.attributes["axis"]) % 4]})
    if not all(name in build.orders for name in node.reads):
        return _several(build, turned, order, handler)
    handler(build, turned)
    return True


def _slice(build: Builder, node: Node, order: Order, handler: Handler) -> bool:
    starts, ends, axes, steps = how_sliced(build, node, 4)
    _with(node, handler, build, starts=starts, ends=ends, axes=[order[axis] for axis in axes], steps=steps)
    return True


def _pad(build: Builder, node: Node, order: Order, handler: Handler) -> bool:
    _, pads, number = how_padded(build, node)
    turned = [pads[order.index(place) + half] for half in (0, 4) for place in range(4)]
    _with(node, handler, build, pads=turned, value=number)
    return True


def _resize(build: Builder, node: Node, order: Order, handler: Handler) -> bool:
    if "axes" in node.attributes:
        axes = [order[int(axis) % 4] for axis in node.attributes["axes"]]
        handler(build, replace(node, attributes={**node.attributes, "axes": axes}))
        return True
    reads = list(node.reads)
    for place in range(1, len(reads)):
        if build.has(node, place) and build.constant(node, place, "its sizes").size == 4:
            values = build.constant(node, place, "its sizes").reshape(-1)
            reads[place] = build.derived(reads[place], f"by {order}", values[np.argsort(order)])
    attributes = dict(node.attributes)
    if "scales" in attributes:
        attributes["scales"] = [float(each) for each in np.asarray(attributes["scales"])[np.argsort(order)]]
    handler(build, replace(node, reads=tuple(reads), attributes=attributes))
    return True


# Where a map becomes a vector, or is multiplied by a matrix


def _reshape(build: Builder, node: Node, order: Order, handler: Handler) -> bool:
    """A shape that the file's numbers take as they lie; a vector of them keeps in mind where each lies here."""
    shape = build.value(node, 0).shape
    old = of_file(order, shape)
    new = target_shape(build, node, old)
    if new == old:
        build.same(node)
        return True
    if not in_order(order, shape):
        if len(new) != 2 or new[0] != 1:
            handler(build, as_it_lies(build, node))  # refuses
        build.columns[node.writes[0]] = np.arange(new[1]).reshape(shape).transpose(order).reshape(-1)
    build.apply(node, lambda x: x.reshape(new))
    return False


def _matmul(build: Builder, node: Node, order: Order, handler: Handler) -> bool:
    """A map whose channels are last, times a matrix: a convolution of 1x1."""
    if order[3] != 1 or not build.is_known(node, 1) or build.constant(node, 1, "its matrix").ndim != 2:
        handler(build, as_it_lies(build, node))
        return False
    matrix = build.constant(node, 1, "its matrix")
    filters = np.ascontiguousarray(matrix.T)[:, :, None, None]
    convolution(build, with_matrix(build, replace(node, attributes={}), "as filters", filters, transposed=True))
    return True


def with_matrix(build: Builder, node: Node, how: str, array: Array, transposed: bool) -> Node:
    """The node with another array in the place of its matrix, whose scales are the matrix's."""
    name = node.reads[1]
    made = build.derived(name, how, array)
    unit = build.units.get(build.named(name))
    if unit is not None:
        build.units[made] = replace(unit, axis=1 - unit.axis % 2) if transposed else unit
    return replace(node, reads=(node.reads[0], made, *node.reads[2:]))


RULES: dict[str, Rule] = {
    **dict.fromkeys(
        ("Relu", "Clip", "Cast", "Identity", "Dropout", "Neg", "Not", "QuantizeLinear", "DequantizeLinear"), each_number
    ),
    **dict.fromkeys(
        ("Add", "Sub", "Mul", "Div", "Sum", "Where", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"),
        _several,
    ),
    **dict.fromkeys(("ReduceMean", "ReduceSum", "ReduceMax"), _reduce),
    **dict.fromkeys(("Reshape", "Flatten", "Squeeze", "Unsqueeze"), _reshape),
    **dict.fromkeys(("Resize", "Upsample"), _resize),
    "ArgMax": _argmax,
    "Gather": _gather,
    "Concat": _concat,
    "Slice": _slice,
    "Pad": _pad,
    "MatMul": _matmul,
}

SEVERAL = (_several, _concat)
"""Rules of operations that may read a map in another order at any place; the others read it first."""

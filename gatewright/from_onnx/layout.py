"""Channels first throughout: a Transpose of a map moves nothing, and what reads the map is told otherwise.

TensorFlow's maps have their channels last, and what is made of them has Transposes round its convolutions. Here all
maps have the channels first. ``Builder.orders`` says which of the file's names have their dimensions in another order;
a node that reads one gets axes, pads and constants in the network's. What has no such rule reads the map as it lies
in the file, which is the same only if dimensions of 1 alone move; else the file is refused.
"""

from __future__ import annotations

import numpy as np

from gatewright.from_onnx.as_it_lies import as_it_lies
from gatewright.from_onnx.build import Builder, Handler
from gatewright.from_onnx.model import Node
from gatewright.from_onnx.orders import FIRST, LAST, in_order
from gatewright.from_onnx.red_first import red_first
from gatewright.from_onnx.rules import RULES, SEVERAL, each_number, with_matrix


def follow(operation: str, handler: Handler) -> Handler:
    """A handler that is told of maps in another order, too."""
    rule = RULES.get(operation)

    def take(build: Builder, node: Node) -> None:
        node = red_first(build, node)
        orders = {build.orders[name] for name in node.reads if name in build.orders}
        if any(name in build.columns for name in node.reads):
            _vector(build, node, handler)
        elif operation == "Transpose" and not build.is_known(node, 0) and build.value(node, 0).dim() == 4:
            _transpose(build, node)
        elif rule is None or len(orders) > 1 or (rule not in SEVERAL and orders and node.reads[0] not in build.orders):
            handler(build, as_it_lies(build, node))
        elif not orders:
            handler(build, node)
        else:
            (order,) = orders
            if rule(build, node, order, handler):
                dimensions = build.live[build.named(node.writes[0])].dim()
                if dimensions != 4:
                    build.fail(node, f"it makes {dimensions} dimensions of a map; supported are maps, of four")
                build.orders[node.writes[0]] = order

    return take


def finish(build: Builder) -> None:
    """The file's results: channels first if they are last there, else as they lie in the file."""
    for name in build.model.outputs:
        writer = next((node for node in build.model.nodes if name in node.writes), None)
        if writer is None or (name not in build.orders and name not in build.columns):
            continue
        order = build.orders.get(name)
        if order == LAST and not in_order(order, build.live[build.named(name)].shape):
            build.note(f"output {name} has its channels last in the file; the program returns them first")
        else:
            reading = as_it_lies(build, Node("", writer.name, (name,), (name,), {}, writer.proto))
            build.alias[name] = reading.reads[0]
            build.orders.pop(name, None)


def _transpose(build: Builder, node: Node) -> None:
    """Transpose of a map: its dimensions have another order from here on."""
    before = build.orders.get(node.reads[0], FIRST)
    order = tuple(before[int(axis) % 4] for axis in node.attributes.get("perm", (3, 2, 1, 0)))
    if sorted(order) != list(FIRST):
        build.fail(node, f"it reorders four dimensions by {node.attributes['perm']}; each must be there once")
    build.same(node)
    if order != FIRST:
        build.orders[node.writes[0]] = order


def _vector(build: Builder, node: Node, handler: Handler) -> None:
    """What reads a map that was flattened channels last: a matrix has its rows where the numbers are here."""
    columns = build.columns.get(node.reads[0])
    if RULES.get(node.op) is each_number and columns is not None:
        handler(build, node)
        build.columns[node.writes[0]] = columns
    elif node.op in ("Gemm", "MatMul") and columns is not None and build.is_known(node, 1):
        matrix = build.constant(node, 1, "its matrix")
        axis = 1 if node.op == "Gemm" and node.attributes.get("transB", 0) else 0
        if matrix.ndim != 2 or matrix.shape[axis] != len(columns):
            build.fail(node, f"it multiplies a vector of {len(columns)} numbers by {list(matrix.shape)}; they must fit")
        rows = np.take(matrix, np.argsort(columns), axis)
        handler(build, with_matrix(build, node, "with its rows channels first", rows, transposed=False))
    else:
        handler(build, as_it_lies(build, node))  # refuses

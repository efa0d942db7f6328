"""Maps whose dimensions the file has in another order, where the network needs their numbers as they lie there."""

from __future__ import annotations

from dataclasses import replace

from gatewright.from_onnx.build import Builder
from gatewright.from_onnx.model import Node
from gatewright.from_onnx.network import Function
from gatewright.from_onnx.orders import in_order, of_file


def as_it_lies(build: Builder, node: Node) -> Node:
    """The node, reading maps in the file's order; it is refused where numbers would have to move."""
    reads = list(node.reads)
    for place, name in enumerate(reads):
        order = build.orders.get(name)
        if name in build.columns or (order and not in_order(order, build.live[build.named(name)].shape)):
            what = (
                "a map that was flattened channels last"
                if order is None
                else (f"a map whose dimensions the file has in the order {list(order)} of channels first")
            )
            build.fail(
                node,
                f"it reads {name}, {what}; maps are channels first here, and this operation cannot be told otherwise: "
                "convert the file with channels first (tf2onnx: --inputs-as-nchw), or end before the node: --output",
            )
        if order:
            reads[place] = reshaped(build, node, name, of_file(order, build.live[build.named(name)].shape))
    return replace(node, reads=tuple(reads))


def reshaped(build: Builder, node: Node, name: str, shape: list[int]) -> str:
    """A tensor in another shape, its numbers where they are: its name."""
    made = f"{name} as {'x'.join(map(str, shape))}"
    if made not in build.live:
        reading = Node("Reshape", "", (name,), (made,), {}, node.proto)
        build.append(reading, Function(lambda x: x.reshape(shape)), reads=(build.named(name),), path=made)
    return made

"""Nodes without weights or windows: activations, sums and products, comparisons, shapes, resizing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from gatewright.from_onnx.build import Builder
from gatewright.from_onnx.layers import by_channel
from gatewright.from_onnx.model import Array, Node
from gatewright.from_onnx.network import Function, constant
from gatewright.from_onnx.windows import NO_END


def relu(build: Builder, node: Node) -> None:
    """Relu."""
    build.apply(node, F.relu)
    build.positive.add(node.writes[0])


def clip(build: Builder, node: Node) -> None:
    """Clip: ReLU, or an activation with a largest value."""
    ends = build.number(node, 1, "min"), build.number(node, 2, "max")
    low, high = (None if end is None or abs(end) > NO_END else end for end in ends)
    if low is None and high is None:
        build.same(node)
    elif low == 0 and high is None:
        build.apply(node, F.relu)
    else:
        build.apply(node, lambda x: torch.clamp(x, low, high))
    if low is not None and low >= 0:
        build.positive.add(node.writes[0])


def binary(function: Callable[[Any, Any], Tensor]) -> Callable[[Builder, Node], None]:
    """Two operands, of which one may be a constant."""

    def take(build: Builder, node: Node) -> None:
        known = [build.is_known(node, place) for place in (0, 1)]
        if any(known) and node.op in ("Mul", "Div", "Add", "Sub") and by_channel(build, node):
            return
        if not any(known):
            build.apply(node, function, 0, 1)
            return
        live = known.index(False)
        build.append(node, _WithConstant(function, _operand(build, node, 1 - live), bool(live)), live)

    return take


class _WithConstant(Function):
    """A function of a tensor and a constant: a number, or an array that is a buffer."""

    value: Any

    def __init__(self, function: Callable[[Any, Any], Tensor], value: float | Array, first: bool) -> None:
        super().__init__(function)
        self.first = first
        if isinstance(value, np.ndarray):
            self.register_buffer("value", constant(value))
        else:
            self.value = value

    def forward(self, *operands: Tensor) -> Tensor:
        """Apply it; the constant is the first operand or the second."""
        (x,) = operands
        return self.function(self.value, x) if self.first else self.function(x, self.value)


def _operand(build: Builder, node: Node, place: int) -> float | Array:
    """A constant as a number, or as an array without the dimensions of 1 that say nothing."""
    values = build.constant(node, place, "an operand")
    if values.size == 1:
        return values.reshape(-1)[0].item()  # type: ignore[no-any-return]
    while values.ndim > 1 and values.shape[0] == 1:
        values = values[0]
    return values


def total(build: Builder, node: Node) -> None:
    """Sum of several tensors."""
    if any(build.is_known(node, place) for place in range(len(node.reads))):
        build.fail(node, "one of its operands is a constant; write the sum as Add")

    def add(*operands: Tensor) -> Tensor:
        result = operands[0]
        for operand in operands[1:]:
            result = result + operand
        return result

    build.apply(node, add, *range(len(node.reads)))


def concat(build: Builder, node: Node) -> None:
    """Concat of feature maps."""
    for place in range(len(node.reads)):
        build.value(node, place)
    axis = node.attributes["axis"]
    build.apply(node, lambda *parts: torch.cat(parts, axis), *range(len(node.reads)))


def choose(build: Builder, node: Node) -> None:
    """Where."""
    numbers = [_operand(build, node, place) if build.is_known(node, place) else None for place in (0, 1, 2)]
    if any(isinstance(each, np.ndarray) for each in numbers) or numbers[0] is not None:
        build.fail(
            node, "it chooses by, or among, constants; supported are a decision, and numbers or tensors of the image"
        )
    live = [place for place in (0, 1, 2) if numbers[place] is None]

    def pick(*operands: Tensor) -> Tensor:
        given = iter(operands)
        condition, one, other = (next(given) if each is None else each for each in numbers)
        return torch.where(condition, one, other)  # type: ignore[arg-type]

    build.apply(node, pick, *live)


_TYPES = {
    1: torch.float32,
    10: torch.float32,
    11: torch.float32,
    16: torch.float32,
    6: torch.int32,
    7: torch.int64,
    9: torch.bool,
}
"""What ONNX's numbers of types are here: whatever is real has 32 bits."""


def cast(build: Builder, node: Node) -> None:
    """Cast."""
    value, target = build.value(node, 0), _TYPES.get(node.attributes["to"])
    if target is None or (value.is_floating_point() and target in (torch.int32, torch.int64)):
        build.fail(node, "it casts to integers; the machine's maps are real numbers that the compiler quantises")
    if value.dtype == target:
        build.same(node)
    else:
        build.apply(node, lambda x: x.to(target))


def same(build: Builder, node: Node) -> None:
    """Identity, and Dropout in evaluation mode."""
    if node.op == "Dropout" and (
        any(name and build.readers.get(name) for name in node.writes[1:])
        or (build.has(node, 2) and bool(build.constant(node, 2, "training_mode")))
    ):
        build.fail(
            node, "it drops at random, or its mask is read; export the network in evaluation mode: network.eval()"
        )
    build.same(node)


# Reductions


def reduce(function: Callable[[Tensor, list[int], bool], Tensor]) -> Callable[[Builder, Node], None]:
    """ReduceMean and its like: over given dimensions."""

    def take(build: Builder, node: Node) -> None:
        value = build.value(node, 0)
        axes = build.integers(node, 1, "axes")
        axes = None if axes is not None and len(axes) == 0 else axes
        if axes is None and node.attributes.get("noop_with_empty_axes", 0):
            build.same(node)
            return
        over = [int(axis) % value.dim() for axis in (range(value.dim()) if axes is None else axes)]
        keep = bool(node.attributes.get("keepdims", 1))
        build.apply(node, lambda x: function(x, over, keep))

    return take


def argmax(build: Builder, node: Node) -> None:
    """ArgMax, the first of several."""
    if node.attributes.get("select_last_index", 0):
        build.fail(node, "it takes the last of several largest; supported is the first")
    axis, keep = node.attributes.get("axis", 0), bool(node.attributes.get("keepdims", 1))
    build.apply(node, lambda x: torch.argmax(x, axis, keep))

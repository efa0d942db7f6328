"""Nodes with weights: convolutions, batch norms, fully connected layers, and factors and offsets of channels."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gatewright.from_onnx.build import Builder
from gatewright.from_onnx.model import Array, Node
from gatewright.from_onnx.network import constant
from gatewright.from_onnx.windows import pads_of, pair


class _Weighted(nn.Module):
    """Filters and a bias, and the value of one unit of each filter where the file quantises them."""

    weight: Tensor
    bias: Tensor | None
    unit: Tensor | None
    zero: Tensor

    def __init__(self, weight: Array, bias: Array | None, unit: Array | None) -> None:
        super().__init__()
        self.register_buffer("weight", constant(weight))
        self.register_buffer("bias", None if bias is None else constant(bias))
        self.register_buffer("unit", None if unit is None else constant(unit))
        if unit is not None:
            self.register_buffer("zero", torch.zeros(len(unit), dtype=torch.int32))

    def filters(self) -> Tensor:
        """The weights, with their unit beside them in the program if they have one."""
        if self.unit is None:
            return self.weight
        return torch.fake_quantize_per_channel_affine(self.weight, self.unit, self.zero, 0, -128, 127)


class Convolution(_Weighted):
    """A 2-D convolution."""

    def __init__(self, weight: Array, bias: Array | None, unit: Array | None, geometry: tuple[Any, ...]) -> None:
        super().__init__(weight, bias, unit)
        self.geometry = geometry

    def forward(self, x: Tensor) -> Tensor:
        """Of a map."""
        return F.conv2d(x, self.filters(), self.bias, *self.geometry)


class FullyConnected(_Weighted):
    """A matrix [out, in] and a bias."""

    def forward(self, x: Tensor) -> Tensor:
        """Of a vector [1, in]."""
        return F.linear(x, self.filters(), self.bias)


class BatchNorm(nn.Module):
    """A batch norm by its running statistics."""

    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, weight: Array, bias: Array, mean: Array, variance: Array, epsilon: float) -> None:
        super().__init__()
        for name, array in (("weight", weight), ("bias", bias), ("running_mean", mean), ("running_var", variance)):
            self.register_buffer(name, constant(array))
        self.epsilon = epsilon

    def forward(self, x: Tensor) -> Tensor:
        """Of a map, or a vector."""
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.epsilon)


def convolution(build: Builder, node: Node) -> None:
    """Conv, of two dimensions."""
    weight = build.constant(node, 1, "its filters")
    if weight.ndim != 4:
        build.fail(
            node, f"it has filters {list(weight.shape)}; supported are 2-D convolutions, [out, in, rows, columns]"
        )
    source, more = build.without_pad(node, lambda pad: pad.filler == 0)
    size = build.live[source].shape[2:]
    stride, dilation = pair(build, node, "strides"), pair(build, node, "dilations")
    kernel = [int(edge) for edge in weight.shape[2:]]
    if weight.shape[1] * node.attributes.get("group", 1) != build.map_of(node).shape[1]:
        build.fail(node, f"its filters {list(weight.shape)} do not fit a map of {build.map_of(node).shape[1]} channels")
    padded = [int(edge) + sum(pads) for edge, pads in zip(size, zip(*more, strict=True), strict=True)]
    own = pads_of(build, node, padded, kernel, stride, dilation)
    before, behind = ([a + b for a, b in zip(*pair, strict=True)] for pair in zip(own, more, strict=True))
    unit = build.unit_of(node, 1, 0)
    bias = build.constant(node, 2, "its bias") if build.has(node, 2) else None
    if before != behind:
        weight, before = _grown(build, node, weight, before, behind, dilation)
    groups = node.attributes.get("group", 1)
    module = Convolution(weight, bias, unit, (stride, before, dilation, groups))
    build.append(node, module, reads=(source,), path=build.path_of(node, 1))


def _grown(
    build: Builder, node: Node, weight: Array, before: list[int], behind: list[int], dilation: list[int]
) -> tuple[Array, list[int]]:
    """Filters with zeros in front, where more is padded behind a map than before it, and the padding on all sides."""
    if min(b - a for a, b in zip(before, behind, strict=True)) < 0 or dilation != [1, 1]:
        build.fail(
            node,
            f"it pads {before} before and {behind} behind the map; the machine pads alike on all sides, or with zeros "
            "in the filters more behind",
        )
    rows, columns = (b - a for a, b in zip(before, behind, strict=True))
    build.note(
        f"{node.where} pads {rows} rows and {columns} columns more behind the map: its "
        "filters have as many zeros in front"
    )
    return np.pad(weight, ((0, 0), (0, 0), (rows, 0), (columns, 0))), behind


def batch_norm(build: Builder, node: Node) -> None:
    """BatchNormalization, in evaluation mode."""
    if node.attributes.get("training_mode") or len([name for name in node.writes if name]) > 1:
        build.fail(node, "it is in training mode; export the network in evaluation mode: network.eval()")
    build.value(node, 0)
    parts = [
        build.constant(node, place, what)
        for place, what in enumerate(("its scale", "its bias", "its mean", "its variance"), 1)
    ]
    epsilon = float(node.attributes.get("epsilon", 1e-5))
    build.append(node, BatchNorm(parts[0], parts[1], parts[2], parts[3], epsilon), path=build.path_of(node, 1))


def gemm(build: Builder, node: Node) -> None:
    """Gemm: a fully connected layer."""
    if build.value(node, 0).dim() != 2 or node.attributes.get("transA", 0):
        build.fail(node, "its first operand must be a vector [1, in]; flatten the global average before it")
    weight = build.constant(node, 1, "its matrix")
    transposed = bool(node.attributes.get("transB", 0))
    matrix = (weight if transposed else weight.T) * np.float32(node.attributes.get("alpha", 1.0))
    unit = build.unit_of(node, 1, 0 if transposed else 1) if node.attributes.get("alpha", 1.0) == 1 else None
    bias = None
    if build.has(node, 2):
        given = build.constant(node, 2, "its bias") * np.float32(node.attributes.get("beta", 1.0))
        bias = _of_channels(build, node, given, len(matrix))
    build.append(node, FullyConnected(np.ascontiguousarray(matrix), bias, unit), path=build.path_of(node, 1))


def matmul(build: Builder, node: Node) -> None:
    """MatMul by a constant: a fully connected layer without a bias; a constant that is added becomes one."""
    if build.value(node, 0).dim() != 2:
        build.fail(node, f"it reads a tensor {list(build.value(node, 0).shape)}; supported are vectors [1, in]")
    weight = build.constant(node, 1, "its second operand")
    if weight.ndim != 2:
        build.fail(node, f"it multiplies by {list(weight.shape)}; supported is a matrix")
    module = FullyConnected(np.ascontiguousarray(weight.T), None, build.unit_of(node, 1, 1))
    build.append(node, module, path=build.path_of(node, 1))


def _of_channels(build: Builder, node: Node, values: Array, channels: int) -> Array:
    """One number for each channel, of a constant that has them, or one for all, along the channels' dimension."""
    if values.size not in (1, channels):
        build.fail(node, f"a constant {list(values.shape)} for {channels} channels; it must have one number for each")
    return np.broadcast_to(values.reshape(-1), (channels,)).astype(np.float32)


def by_channel(build: Builder, node: Node) -> bool:
    """Take a layer's output beside a constant of its channels (Mul, Div, Add, Sub) as a batch norm of the layer.

    False if it is none: the operand is no layer's output, but an image, a gate's logits or a mask.
    """
    live = 1 if build.is_known(node, 0) else 0
    name = build.named(node.reads[live])
    maker, values = build.makers.get(name), build.known[build.named(node.reads[1 - live])]
    if not isinstance(maker, _Weighted | BatchNorm) or values.dtype.kind != "f" or (node.op == "Div" and live):
        return False
    shape = build.live[name].shape
    along = (1,) * (len(shape) - values.ndim) + values.shape
    if len(along) > len(shape) or any(edge != 1 for place, edge in enumerate(along) if place != 1):
        build.fail(
            node, f"its constant {list(values.shape)} differs between pixels; one number for each channel is supported"
        )
    each = _of_channels(build, node, values, shape[1])
    ones, zeros = np.ones_like(each), np.zeros_like(each)
    factor, offset = {
        "Mul": (each, zeros),
        "Div": (1 / np.where(each == 0, np.nan, each), zeros),
        "Add": (ones, each),
        "Sub": (-ones, each) if live else (ones, -each),
    }[node.op]
    if not np.isfinite(factor).all():
        build.fail(node, "it divides by 0")
    alone = build.alone(node.reads[live])
    if isinstance(maker, _Weighted) and maker.bias is None and alone and (factor == 1).all():
        maker.bias = constant(offset)
        build.alias[node.writes[0]] = name
        return True
    build.append(node, BatchNorm(factor, offset, zeros, ones, 0.0), live)
    return True

"""Recognise convolutions, fully connected layers, and what may follow them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from torch import fx

from gatewright.compiler.frontend.logit_patterns import Array, Dense, DenseChain, GridLogits, Mask
from gatewright.compiler.frontend.patterns import (
    Constant,
    FeatureMap,
    OpenConv,
    Pooled,
    Together,
    Value,
    describe,
)
from gatewright.compiler.frontend.walk import Walk, shape_of
from gatewright.compiler.kinds.convolution_form import MOST_DILATION
from gatewright.compiler.kinds.max_pool import PADDINGS, STRIDE, WINDOWS, FloatMaxPool


def convolution(walk: Walk, node: fx.Node, args: dict[str, Any]) -> Value:
    """A convolution over a feature map, or a gate's over a pooled one."""
    weight = walk.constant(args["weight"])
    assert weight is not None
    bias = walk.constant(args["bias"])
    module = walk.values[args["weight"]].module  # type: ignore[union-attr]
    stride, dilation = _one(walk, "stride", args["stride"]), _one(walk, "dilation", args["dilation"])
    if dilation > MOST_DILATION:
        walk.fail(f"dilation = {dilation} is not supported, use 1 to {MOST_DILATION}")
    dilation = 1 if weight.shape[2:] == (1, 1) else dilation
    padding = _padding(walk, args["padding"], weight, dilation)
    offset = np.zeros(len(weight)) if bias is None else bias
    value = walk.value(args["input"])
    is_map = isinstance(value, Pooled) and (value.window is not None or value.level) and value.grid != (1, 1)
    if is_map and weight.shape[2:] == (1, 1):
        value = FeatureMap(walk.tensor(value))
    if isinstance(value, Pooled | DenseChain):
        if args["groups"] != 1:
            walk.fail(f"groups = {args['groups']} on {describe(value)}; a gate's layers must have groups=1")
        if dilation != 1:
            walk.fail(f"dilation = {dilation} on {describe(value)}; a gate's layers must have dilation=1")
        return _on_pooled(walk, value, module, weight, offset, stride, padding, _unit(walk, args["weight"]))
    source, *beside = value.tensors if isinstance(value, Together) else (walk.tensor(value),)
    name = walk.unique(module)
    walk.graph.shapes[name] = shape_of(node)
    geometry = {"stride": stride, "padding": padding, "groups": args["groups"], "dilation": dilation}
    filters, unit = weight.transpose(0, 2, 3, 1).copy(), _unit(walk, args["weight"])
    return OpenConv(name, source, filters, offset, **geometry, beside=tuple(beside), unit=unit)


def _unit(walk: Walk, weight: object) -> Array | None:
    """What one unit of each filter of a weight is, if the network says so."""
    value = walk.value(weight)
    return value.unit if isinstance(value, Constant) else None


def _on_pooled(
    walk: Walk,
    value: Pooled | DenseChain,
    module: str,
    weight: Array,
    bias: Array,
    stride: int,
    padding: int,
    unit: Array | None,
) -> Value:
    """A convolution over a pooled map: 3x3 decides tiles, 1x1 on one bin is fully connected."""
    out_channels, _, height, width = weight.shape
    if (height, width, stride, padding) == (1, 1, 1, 0):
        return _dense(walk, value, module, weight[:, :, 0, 0], bias, unit)
    if isinstance(value, Pooled) and (height, width, stride, padding) == (3, 3, 1, 1):
        return GridLogits(value.source, value.grid, module, weight.transpose(0, 2, 3, 1).copy(), bias)
    walk.fail(
        f"a {height}x{width} convolution (stride {stride}, padding {padding}) to {out_channels} channels on "
        f"{describe(value)}; supported are 3x3 with padding 1 (a spatial gate) and 1x1 on a global average (a channel "
        "gate)"
    )


def _dense(
    walk: Walk, value: Pooled | DenseChain, module: str, weight: Array, bias: Array, unit: Array | None
) -> DenseChain:
    if isinstance(value, Pooled):
        if value.grid != (1, 1):
            walk.fail(f"a fully connected layer on {value.grid[0]}x{value.grid[1]} bins; pool to 1x1")
        value = DenseChain(value.source, ())
    return DenseChain(value.source, (*value.layers, Dense(module, weight, bias, unit=unit)))


def linear(walk: Walk, node: fx.Node, args: dict[str, Any]) -> Value:
    """A fully connected layer on a global average."""
    value, weight, bias = walk.value(args["input"]), walk.constant(args["weight"]), walk.constant(args["bias"])
    assert weight is not None
    if not isinstance(value, Pooled | DenseChain):
        walk.fail(f"it reads {describe(value)}; a linear layer must read a global average")
    module = walk.values[args["weight"]].module  # type: ignore[union-attr]
    offset = np.zeros(len(weight)) if bias is None else bias
    return _dense(walk, value, module, weight, offset, _unit(walk, args["weight"]))


def _one(walk: Walk, what: str, pair: Any) -> int:
    values = set(pair)
    if len(values) != 1:
        walk.fail(f"{what} = {list(pair)}; it must be the same for rows and columns")
    return int(values.pop())


def _padding(walk: Walk, padding: Any, weight: Array, dilation: int) -> int:
    if padding == "valid":
        return 0
    if padding == "same":
        if any((edge - 1) * dilation % 2 for edge in weight.shape[2:]):
            walk.fail("padding 'same' with an even kernel pads unevenly; use an odd kernel")
        padding = [(edge - 1) * dilation // 2 for edge in weight.shape[2:]]
    return _one(walk, "padding", padding)


def batch_norm(walk: Walk, node: fx.Node, args: dict[str, Any]) -> Value:
    """Batch norm, folded into the layer before it, or by itself."""
    value = walk.value(args["input"])
    if args.get("training"):
        walk.fail("batch norm uses the batch's own statistics; it needs running statistics in evaluation mode")
    mean, variance = walk.constant(args["running_mean"]), walk.constant(args["running_var"])
    if mean is None or variance is None:
        walk.fail("batch norm without running statistics cannot be folded into a convolution")
    if not (variance + args["eps"] > 0).all():
        walk.fail("a running variance is negative or not a number; check the checkpoint")
    weight, bias = walk.constant(args["weight"]), walk.constant(args["bias"])
    factor = (1.0 if weight is None else weight) / np.sqrt(variance + args["eps"])
    offset = (0.0 if bias is None else bias) - mean * factor
    if isinstance(value, OpenConv) and value.plain:
        walk.extend(value)
        return value.normalised(factor, offset)
    if isinstance(value, GridLogits) or (isinstance(value, DenseChain) and not value.layers[-1].relu):
        return value.normalised(factor, offset, walk.value(args["running_mean"]).module)  # type: ignore[union-attr]
    if isinstance(value, FeatureMap | OpenConv) or (isinstance(value, Pooled) and value.window is not None):
        return _norm_alone(walk, value, walk.values[args["running_mean"]].module, factor, offset)  # type: ignore[union-attr]
    walk.fail(f"batch norm after {describe(value)}; it is supported after a convolution, and of a feature map")


def _norm_alone(walk: Walk, value: Value, module: str, factor: Array, offset: Array) -> OpenConv:
    """A batch norm that no convolution can take in, before the one that reads it: a depthwise one of a pixel."""
    source, name = walk.tensor(value), walk.unique(module)
    walk.graph.shapes[name] = walk.graph.shapes[source]
    return OpenConv(name, source, factor[:, None, None, None].copy(), offset, 1, 0, groups=len(factor))


# What may follow


def relu(walk: Walk, node: fx.Node, args: dict[str, Any]) -> Value:
    """The activation of a convolution or of a fully connected layer."""
    value = walk.value(args["self"])
    if isinstance(value, DenseChain):
        return value.last(relu=True)
    if not isinstance(value, OpenConv):
        walk.fail(f"ReLU of {describe(value)}; it must follow a convolution, its batch norm or its residual")
    walk.extend(value)
    return replace(value, relu=True)


def clamp(walk: Walk, node: fx.Node, args: dict[str, Any]) -> Value:
    """ReLU6 and its like: the activation of a convolution, from 0 to a largest value."""
    value = walk.value(args["self"])
    names = next((pair for pair in (("min_val", "max_val"), ("min", "max")) if pair[0] in args), None)
    low, high = (0, 6) if names is None else (args[name] for name in names)
    if not isinstance(low, int | float) or low != 0 or not (isinstance(high, int | float) and high > 0):
        walk.fail(f"a clamp to {low} and {high}; supported is an activation from 0 to a largest value, as ReLU6")
    if not isinstance(value, OpenConv):
        walk.fail(f"an activation of {describe(value)}; it must follow a convolution or its batch norm")
    if value.residual is not None:
        walk.fail("an activation with a largest value after a residual; int8 saturates at the range of the stream")
    walk.extend(value)
    return replace(value, relu=True, most=float(high))


def max_pool(walk: Walk, node: fx.Node, args: dict[str, Any]) -> Value:
    """A max pool of a convolution's output."""
    window = _one(walk, "kernel_size", args["kernel_size"])
    stride = _one(walk, "stride", args["stride"] or args["kernel_size"])
    padding = _one(walk, "padding", args["padding"])
    if window not in WINDOWS or stride != STRIDE or padding not in PADDINGS:
        walk.fail(
            f"a max pool of {window}x{window} pixels with stride {stride} and padding {padding}; supported are windows "
            f"of {_either(WINDOWS)}, stride {STRIDE}, padding {_either(PADDINGS)}"
        )
    if set(args["dilation"]) != {1}:
        walk.fail(f"a max pool with dilation = {list(args['dilation'])} is not supported, use dilation=1")
    source = walk.tensor(walk.value(args["self"]))
    name = walk.unique(f"{source}.max_pool")
    walk.graph.layers.append(FloatMaxPool(name, source, name, window, padding, bool(args["ceil_mode"])))
    walk.graph.shapes[name] = shape_of(node)
    walk.order[name] = len(walk.order)
    return FeatureMap(name)


def _either(numbers: tuple[int, ...]) -> str:
    return " or ".join(map(str, numbers))


def same(walk: Walk, node: fx.Node, args: dict[str, Any]) -> Value:
    """Casts, copies and reshapes that change no number."""
    value = walk.value(args["self"] if "self" in args else args["input"])
    if args.get("train") or args.get("training"):
        walk.fail("dropout is active in evaluation mode")
    target = node.meta["val"]
    if not isinstance(value, Mask) and not target.dtype.is_floating_point:
        walk.fail(f"a cast of {describe(value)} to {target.dtype}; networks are captured in floating point")
    return value

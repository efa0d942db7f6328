"""Recognise what brings feature maps together: residuals, concatenations, and maps that are upsampled for either."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from torch import fx

from gatewright.compiler.frontend.logit_patterns import DenseChain
from gatewright.compiler.frontend.patterns import (
    FeatureMap,
    Interpolated,
    OpenConv,
    Together,
    Upsampled,
    Value,
    describe,
)
from gatewright.compiler.frontend.results import of_one_bin
from gatewright.compiler.frontend.walk import Walk, shape_of
from gatewright.compiler.graph.graph import TensorShape
from gatewright.contract.isa import FORMATS, Opcode

MOST_UPSAMPLE = (1 << next(field.bits for field in FORMATS[Opcode.EPILOGUE].fields if field.name == "upsample")) - 1
"""The largest power of two by which a map is upsampled."""


def add(walk: Walk, node: fx.Node, args: dict[str, Any]) -> Value:
    """A residual, added to a convolution's output."""
    if args.get("alpha", 1) != 1:
        walk.fail(f"a residual scaled by alpha = {args['alpha']} is not supported")
    operands = [walk.value(args["self"]), walk.value(args["other"])]
    if args["self"].meta["val"].shape != args["other"].meta["val"].shape:
        walk.fail("the two feature maps have different shapes; broadcasting is not supported")
    # The adding convolution is a masked one, else the one that reads the later map: the other is its residual.
    adders = [v for v in operands if isinstance(v, OpenConv) and _may_add(walk, v)]
    if not adders or operands[0] is operands[1]:
        walk.fail(
            f"it adds {describe(operands[0])} and {describe(operands[1])}; one of them must be a convolution "
            "without ReLU and without a channel gate, used nowhere else"
        )
    adder = max(adders, key=lambda v: (v.output_tiles is not None, walk.order[v.source]))
    other = operands[1] if adder is operands[0] else operands[0]
    shift = other.shift if isinstance(other, Upsampled) else 0
    residual = other.tensor if isinstance(other, Upsampled) else walk.tensor(other, adder.name)
    walk.extend(adder)
    return replace(adder, residual=residual, upsample=shift)


def _may_add(walk: Walk, value: OpenConv) -> bool:
    fresh = value not in walk.written and value not in walk.extended
    return fresh and not (value.relu or value.residual or value.output_channels)


def concatenate(walk: Walk, node: fx.Node, args: dict[str, Any]) -> Value:
    """Feature maps behind one another, channel by channel. What is put behind a map is made where it lies."""
    parts = [walk.value(part) for part in args["tensors"]]
    if args["dim"] % 4 != 1 or len(node.meta["val"].shape) != 4:
        walk.fail(f"a concatenation along dimension {args['dim']}; supported is that of channels (1) of feature maps")
    if len({part.meta["val"].shape[2:] for part in args["tensors"]}) > 1:
        walk.fail("feature maps of different sizes are concatenated")
    if any(isinstance(part, Interpolated) for part in parts):
        return Together(tuple(walk.tensor(part) for part in parts))
    flat = tuple(one for part in parts for one in walk.parts.get(part, (part,)))
    joined = flat[0]
    for count in range(2, len(flat) + 1):
        joined = walk.joined.get(flat[:count]) or _append(walk, node, joined, flat[count - 1])
        walk.joined[flat[:count]], walk.parts[joined] = joined, flat[:count]
    return joined


def _append(walk: Walk, node: fx.Node, first: Value, last: Value) -> Value:
    """A convolution's channels behind those of a map."""
    if not isinstance(last, OpenConv) or last in walk.written or last in walk.extended or last.in_use:
        walk.fail(
            f"it puts {describe(last)} behind {describe(first)}; what is put behind a map must be the output of a "
            "convolution (with its batch norm and activation) that nothing else reads, and that is neither gated nor "
            "added to anything"
        )
    source = walk.tensor(first)
    walk.extend(last)
    before, own = walk.graph.shapes[source], walk.graph.shapes[last.name]
    walk.graph.shapes[last.name] = replace(own, channels=before.channels + own.channels)
    value = replace(last, appended_to=source)
    walk.tensor(value)
    return value


def upsample(walk: Walk, node: fx.Node, value: FeatureMap | OpenConv) -> Value:
    """A coarse map that a sum of a pyramid adds: nearest upsampling by a power of two."""
    source, target = _value_shape(walk, value), shape_of(node)
    shift = next(
        (
            shift
            for shift in range(1, MOST_UPSAMPLE + 1)
            if (source.height << shift, source.width << shift) == (target.height, target.width)
        ),
        None,
    )
    if shift is None:
        factors = " or ".join(str(1 << shift) for shift in range(1, MOST_UPSAMPLE + 1))
        walk.fail(
            f"{source.height}x{source.width} pixels upsampled to {target.height}x{target.width}; a map may be "
            f"upsampled by {factors} in both directions, and must be added to a convolution's output"
        )
    return Upsampled(walk.tensor(value), shift)


def interpolate(walk: Walk, node: fx.Node, args: dict[str, Any]) -> Value:
    """Bilinear upsampling of a small map, such as a level of pyramid pooling."""
    value = walk.value(args["input"] if "input" in args else args["self"])
    if isinstance(value, DenseChain):
        value = FeatureMap(of_one_bin(walk, value))
    shape = shape_of(node)
    return Interpolated(walk.tensor(value), (shape.height, shape.width), bool(args["align_corners"]))


def _value_shape(walk: Walk, value: FeatureMap | OpenConv) -> TensorShape:
    """The shape of a map, written or not."""
    return walk.graph.shapes[value.tensor if isinstance(value, FeatureMap) else value.name]

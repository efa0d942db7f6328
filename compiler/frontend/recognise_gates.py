"""Recognise pooling, and gates by what they do: a decision that multiplies a feature map."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from torch import fx

from gatewright.compiler.frontend import recognise_joins
from gatewright.compiler.frontend.logit_patterns import (
    AnyOn,
    Choice,
    DenseChain,
    GridLogits,
    LargestLogit,
    Mask,
    Number,
)
from gatewright.compiler.frontend.patterns import Constant, FeatureMap, OpenConv, Pooled, Value, describe
from gatewright.compiler.frontend.walk import Walk
from gatewright.compiler.graph.grids import bins_overlap, tile_edge
from gatewright.compiler.kinds.channel_gate import FloatChannelGate
from gatewright.compiler.kinds.linear_gate import FloatLinearGate
from gatewright.compiler.kinds.spatial_gate import FloatSpatialGate


def multiply(walk: Walk, node: fx.Node, args: dict[str, Any]) -> Value:
    """A convolution's output times a gate's mask."""
    left, right = args["self"], args["other"]
    if isinstance(walk.value(left), Mask):
        left, right = right, left
    value, mask = walk.value(left), walk.value(right)
    if not isinstance(mask, Mask) or not isinstance(value, OpenConv):
        walk.fail(
            f"it multiplies {describe(value)} by {describe(mask)}; only a convolution's output times a gate's mask "
            "(0 or 1 from a comparison of logits) is supported"
        )
    if value.residual is not None:
        walk.fail("a mask after the residual; it must act on the convolution before the residual is added")
    kind, gate = gate_of(walk, mask, tuple(left.meta["val"].shape), tuple(right.meta["val"].shape))
    earlier = getattr(value, kind)
    if earlier not in (None, gate):
        walk.fail(f"{describe(value)} is masked by both {earlier} and {gate}; one of a kind is supported")
    walk.extend(value)
    return replace(value, **{kind: gate})  # type: ignore[arg-type]


def gate_of(walk: Walk, mask: Mask, shape: tuple[int, ...], mask_shape: tuple[int, ...]) -> tuple[str, str]:
    """What a mask decides about a convolution's output of a shape, as a field of ``OpenConv``; and its gate's name."""
    if isinstance(mask.logits, GridLogits):
        return "output_tiles", _spatial_gate(walk, mask, shape, mask_shape)
    if mask.logits.outputs == 1:
        return "output_tiles", _average_gate(walk, mask, mask.logits)
    if mask_shape != (1, shape[1], 1, 1):
        walk.fail(
            f"a mask of shape {list(mask_shape)} on a map of {shape[1]} channels; it must be [N, channels, 1, 1], "
            "or [N, 1, 1, 1]"
        )
    return "output_channels", _average_gate(walk, mask, mask.logits)


def _spatial_gate(walk: Walk, mask: Mask, shape: Any, mask_shape: Any) -> str:
    """The name of the spatial gate that makes a mask; it is written out if it was not yet."""
    logits = mask.logits
    assert isinstance(logits, GridLogits)
    (rows, columns), (height, width) = logits.grid, shape[2:]
    if tile_edge(logits.grid, height, width) is None or mask_shape[1] != 1:
        walk.fail(
            f"a mask of {rows}x{columns} tiles on a {height}x{width} map; tiles must be square, and only the last of a "
            "row or column may be cut"
        )
    key = logits, mask.strict
    if key not in walk.gates:
        name = walk.gates[key] = walk.unique(_gate_path(walk, logits.modules))
        overlap = bins_overlap(logits.grid, walk.graph.shapes[logits.source])
        weights = logits.weight, float(logits.bias[0])
        gate = FloatSpatialGate(name, logits.source, logits.grid, *weights, overlap=overlap, strict=mask.strict)
        walk.graph.layers.append(gate)
    return walk.gates[key]


def _average_gate(walk: Walk, mask: Mask, chain: DenseChain) -> str:
    """The name of the gate on a global average that makes a mask; it is written out if it was not yet."""
    if [layer.relu for layer in chain.layers] not in ([False], [True, False]):
        walk.fail(
            f"a gate with {len(chain.layers)} fully connected layers on a global average; supported are one, and two, "
            "the first with ReLU"
        )
    key = chain, mask.strict
    if key not in walk.gates:
        *hidden, last = chain.layers
        name = walk.gates[key] = walk.unique(_gate_path(walk, chain.modules))
        gate: FloatLinearGate | FloatChannelGate
        if hidden:
            matrices = hidden[0].weight, hidden[0].bias, last.weight, last.bias
            gate = FloatChannelGate(name, chain.source, *matrices, strict=mask.strict)
        else:
            gate = FloatLinearGate(name, chain.source, last.weight, last.bias, strict=mask.strict)
        masked = walk.masked.get(chain.source)
        if masked is not None:
            gate = replace(gate, input_channels=masked.output_channels, input_tiles=masked.output_tiles)
        walk.graph.layers.append(gate)
    return walk.gates[key]


def _gate_path(walk: Walk, modules: list[str]) -> str:
    """The outermost module that owns the gate's parameters and no others; without one, the gate's last layer."""
    below = {module: {p for p in walk.parameters if p.startswith(f"{module}.")} for module in modules}
    owned = set().union(*below.values())
    path, found = modules[-1], modules[-1]
    while path:
        if {p for p in walk.parameters if p.startswith(f"{path}.")} == owned:
            found = path
        path = path.rpartition(".")[0]
    return found


def reshape(walk: Walk, node: fx.Node, args: dict[str, Any]) -> Value:
    """Flattening of a global average, or of what is computed from it; a parameter in another shape."""
    value = walk.value(args["self"])
    shape = tuple(node.meta["val"].shape)
    if isinstance(value, Constant):
        return Constant(value.path, value.tensor.reshape(shape))
    if isinstance(value, AnyOn | LargestLogit | Number | Choice) and (np.prod(shape) == 1 or isinstance(value, Choice)):
        return value
    vector = isinstance(value, DenseChain) or (isinstance(value, Pooled) and value.grid == (1, 1))
    vector = vector or (isinstance(value, Mask) and isinstance(value.logits, DenseChain))
    single = np.prod(shape) == 1
    of = value.logits if isinstance(value, Mask) else value
    if isinstance(of, GridLogits) and [edge for edge in shape if edge > 1] == [edge for edge in of.grid if edge > 1]:
        return value
    if not vector or not (single or (len(shape) > 1 and shape[0] == 1 and np.prod(shape) == shape[1])):
        walk.fail(f"a reshape of {describe(value)} to {list(shape)}; only a global average may be flattened")
    return value


def upsample(walk: Walk, node: fx.Node, args: dict[str, Any]) -> Value:
    """A spatial gate's mask, repeated over the pixels of its tiles, or a map."""
    value = walk.value(args["input"] if "input" in args else args["self"])
    if isinstance(value, FeatureMap | OpenConv):
        return recognise_joins.upsample(walk, node, value)
    if not isinstance(value, Mask) or not isinstance(value.logits, GridLogits):
        walk.fail(f"nearest upsampling of {describe(value)}; only a spatial gate's mask may be upsampled")
    (rows, columns), (height, width) = value.logits.grid, node.meta["val"].shape[2:]
    if tile_edge(value.logits.grid, height, width) is None:
        walk.fail(f"a mask of {rows}x{columns} tiles upsampled to {height}x{width}: tiles would be uneven")
    return value


# Pooling


def mean(walk: Walk, node: fx.Node, args: dict[str, Any]) -> Value:
    """A global average."""
    if {axis % 4 for axis in args["dim"] or ()} != {2, 3} or len(args["self"].meta["val"].shape) != 4:
        walk.fail(f"a mean over dimensions {args['dim']}; supported is the mean over height and width (2, 3)")
    return _pool(walk, args["self"], (1, 1))


def adaptive_average(walk: Walk, node: fx.Node, args: dict[str, Any]) -> Value:
    """Average pooling to a given grid."""
    return _pool(walk, args["self"], tuple(node.meta["val"].shape[2:]), level=True)


def average_pool(walk: Walk, node: fx.Node, args: dict[str, Any]) -> Value:
    """Average pooling with a given kernel."""
    kernel = list(args["kernel_size"])
    size = list(args["self"].meta["val"].shape[2:])
    if list(args["stride"] or kernel) != kernel or any(args["padding"]) or args["divisor_override"] is not None:
        walk.fail("average pooling with overlapping, padded or rescaled windows; use stride = kernel, padding 0")
    kernel = kernel * 2 if len(kernel) == 1 else kernel
    if size[0] % kernel[0] or size[1] % kernel[1]:
        if not args["ceil_mode"] and kernel[0] == kernel[1]:
            return _cut_averages(walk, args["self"], kernel[0])
        walk.fail(f"average pooling of {size} by {kernel} leaves pixels out; the kernel must divide the map")
    return _pool(walk, args["self"], (size[0] // kernel[0], size[1] // kernel[1]))


def _cut_averages(walk: Walk, node: fx.Node, window: int) -> Value:
    """Averages over whole windows, which leave the last rows and columns out: a map, and nothing for a gate."""
    source = walk.tensor(walk.value(node))
    shape = walk.graph.shapes[source]
    bins = Pooled(source, (shape.height // window, shape.width // window), shape.channels, window)
    return FeatureMap(walk.tensor(bins))


def _pool(walk: Walk, node: fx.Node, grid: tuple[int, ...], level: bool = False) -> Value:
    value = walk.value(node)
    if isinstance(value, Pooled) and value.grid == grid:
        return value
    source = walk.tensor(value)
    shape = walk.graph.shapes[source]
    window = shape.height // grid[0]
    whole = (grid[0] * window, grid[1] * window) == (shape.height, shape.width)
    return Pooled(source, (grid[0], grid[1]), shape.channels, window if whole else None, level)

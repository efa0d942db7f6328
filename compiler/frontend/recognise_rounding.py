"""Recognise fake quantisation: maps and weights that the network itself rounds to int8, and the scales of both."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import fx

from gatewright.compiler.frontend.patterns import Constant, FeatureMap, Image, OpenConv, Value, describe
from gatewright.compiler.frontend.walk import Walk
from gatewright.compiler.graph.graph import FloatGraph, Rounding
from gatewright.compiler.kinds.convolution import FloatConv
from gatewright.compiler.kinds.max_pool import FloatMaxPool
from gatewright.contract.arithmetic import INT8_MAX, INT8_MIN


def of_tensor(walk: Walk, node: fx.Node, args: dict[str, Any]) -> Value:
    """A map that is rounded from here on, or weights with one scale for all."""
    value = walk.value(args["self"])
    scale, zero = (_number(walk, args[name]) for name in ("scale", "zero_point"))
    levels = args["quant_min"], args["quant_max"]
    if levels not in ((INT8_MIN, INT8_MAX), (-INT8_MAX, INT8_MAX), (0, INT8_MAX - INT8_MIN)):
        walk.fail(f"it rounds {describe(value)} to {levels[0]}..{levels[1]}; the machine has {INT8_MIN}..{INT8_MAX}")
    zero -= 0 if levels[0] else -INT8_MIN
    if not (np.isfinite(scale) and scale > 0):
        walk.fail(f"it rounds {describe(value)} with a scale of {scale:g}; a scale is positive")
    if isinstance(value, Constant):
        return _weights(walk, value, np.full(len(value.tensor), scale), zero != 0)
    if zero not in (0, INT8_MIN):
        walk.fail(
            f"it rounds {describe(value)} with a zero point of {zero:g} (in int8); 0 stands "
            "for 0 in the machine's maps, or "
            f"{INT8_MIN} where nothing is negative: quantise activations symmetrically"
        )
    if zero == INT8_MIN and isinstance(value, OpenConv) and not value.relu:  # tools leave a ReLU out before such a one
        walk.extend(value)
        value = replace(value, relu=True)
    walk.rounded[value] = Rounding(scale * (INT8_MAX - zero), int(zero))
    return value


def saturate(graph: FloatGraph) -> None:
    """Let maps that nothing is added to, or put behind, end where their integers do, as a ReLU6 does."""
    shared = {layer.continued for layer in graph.layers if isinstance(layer, FloatConv)}
    shared |= {layer.source for layer in graph.layers if isinstance(layer, FloatMaxPool)}
    for place, layer in enumerate(graph.layers):
        if not isinstance(layer, FloatConv) or not layer.relu or layer.continued is not None or layer.output in shared:
            continue
        rounding = graph.rounding.get(layer.output)
        if rounding is not None and layer.most is None:
            graph.layers[place] = replace(layer, most=rounding.range)


def of_channels(walk: Walk, node: fx.Node, args: dict[str, Any]) -> Value:
    """Weights with a scale for each filter."""
    value = walk.value(args["self"])
    scale, zero = walk.constant(args["scale"]), walk.value(args["zero_point"])
    if not isinstance(value, Constant) or scale is None or not isinstance(zero, Constant):
        walk.fail(f"it rounds {describe(value)} with a scale for each channel; the machine has one for each map")
    if args["axis"] != 0:
        walk.fail(f"it rounds weights along dimension {args['axis']}; the machine has a scale for each filter (0)")
    return _weights(walk, value, scale, bool(zero.tensor.any()))


def of_maps(walk: Walk) -> dict[str, Rounding]:
    """How the network rounds each map that was written; what no map has, such as an average, is not rounded."""
    found: dict[str, Rounding] = {}
    for value, rounding in walk.rounded.items():
        if isinstance(value, Image):
            found[walk.graph.input] = rounding
        elif isinstance(value, FeatureMap):
            found[value.tensor] = rounding
        elif value in walk.written:
            found[walk.written[value]] = rounding
    return found


def _weights(walk: Walk, value: Constant, scale: np.ndarray[Any, Any], shifted: bool) -> Constant:
    if shifted:
        walk.fail(f"it rounds {describe(value)} with zero points; the machine's weights are symmetric: 0 stands for 0")
    if not (np.isfinite(scale) & (scale > 0)).all():
        walk.fail(f"it rounds {describe(value)} with a scale that is not positive")
    along = torch.from_numpy(scale.reshape(-1, *(1,) * (value.tensor.dim() - 1)))
    rounded = (value.tensor.double() / along).round().clamp(INT8_MIN, INT8_MAX) * along
    return replace(value, tensor=rounded, unit=scale)


def _number(walk: Walk, argument: Any) -> float:
    """A number, or a tensor that holds one."""
    if not isinstance(argument, fx.Node):
        return float(argument)
    value = walk.value(argument)
    if not isinstance(value, Constant) or value.tensor.numel() != 1:
        walk.fail("its scale or zero point is no constant number")
    return float(value.tensor.item())

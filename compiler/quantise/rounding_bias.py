"""What rounding the weights adds to a layer's outputs on average, taken out of its bias.

A filter of few weights that reads maps of positive numbers, as behind a ReLU, does not see its rounding errors cancel:
they add up to much the same number for every pixel, and a network without gates' thresholds in between carries it to
the logits. The mean of it is known: sum over weights of (w - rounded w) * mean of what the weight multiplies
(Nagel et al. 2019, *Data-Free Quantization*, section 4.2; here with means that were measured).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from gatewright.compiler.graph.float_executor import run_float
from gatewright.compiler.graph.graph import FloatGraph
from gatewright.compiler.kinds.convolution import FloatConv
from gatewright.compiler.quantise.numbers import int8_weights
from gatewright.compiler.quantise.zero_points import ZeroPoints, zero_points
from gatewright.contract.errors import GatewrightError

Means = Mapping[str, Sequence[float]]
"""By map: the mean of each of its channels over images and pixels."""


def corrected_layers(graph: FloatGraph) -> list[FloatConv]:
    """The convolutions whose bias is corrected: those without gates that read one map.

    Of the pixels and channels that a gate chooses other means hold, of each gate's own choice.
    """
    return [layer for layer in graph.layers if isinstance(layer, FloatConv) and not (layer.gates or layer.beside)]


def mean_of_maps(graph: FloatGraph, images: npt.NDArray[np.float32]) -> dict[str, tuple[float, ...]]:
    """The channels' means of every map that a layer to correct reads, over normalised images [N, C, H, W]."""
    wanted = {layer.source for layer in corrected_layers(graph)}
    sums: dict[str, Tensor] = {}

    def see(name: str, values: Tensor) -> None:
        if name in wanted:
            sums[name] = sums.get(name, torch.zeros(())) + values.double().mean((2, 3)).sum(0)

    run_float(graph, images, see)
    return {name: tuple((total / len(images)).tolist()) for name, total in sums.items()}


def without_rounding_bias(graph: FloatGraph, means: Means, ranges: Mapping[str, float]) -> FloatGraph:
    """The graph with the biases that make its quantised layers right on average, beside the border of a padded map.

    Raises
    ------
    GatewrightError
        A mean is missing, or a map's means are not one for each channel.
    """
    zeros = zero_points(graph)
    corrected = {layer.name: _corrected(layer, graph, means, ranges, zeros) for layer in corrected_layers(graph)}
    return replace(graph, layers=[corrected.get(layer.name, layer) for layer in graph.layers])


def _corrected(
    layer: FloatConv, graph: FloatGraph, means: Means, ranges: Mapping[str, float], zeros: ZeroPoints
) -> FloatConv:
    found, channels = means.get(layer.source), graph.shapes[layer.source].channels
    if found is None or len(found) != channels:
        count = "no means" if found is None else f"{len(found)} means"
        raise GatewrightError(
            f"the calibration has {count} of tensor {layer.source}, which has {channels} channels; "
            "calibrate the same network again"
        )
    rows = layer.weight.reshape(len(layer.weight), -1)
    source, output = (ranges[tensor] / zeros.levels(tensor) for tensor in (layer.source, layer.output))
    rounded, scale = int8_weights(rows, (layer.bias + zeros.of(layer.output) * output) / source)
    lost = (rows - rounded * scale[:, None]).reshape(layer.weight.shape).sum((1, 2))  # [filters, channels of a group]
    groups = np.asarray(found, np.float64).reshape(layer.groups, 1, -1)
    return replace(layer, bias=layer.bias + (lost.reshape(layer.groups, -1, groups.shape[2]) * groups).sum(2).ravel())

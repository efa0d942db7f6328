"""From a ``FloatGraph`` and its ranges to the machine's integers."""

from __future__ import annotations

import math
from dataclasses import fields

import numpy as np
import numpy.typing as npt

from gatewright.compiler.graph.graph import (
    FloatChannelGate,
    FloatClassifier,
    FloatConv,
    FloatGraph,
    FloatLayer,
    FloatSpatialGate,
    Pooling,
    QuantisedChannelGate,
    QuantisedClassifier,
    QuantisedConv,
    QuantisedGraph,
    QuantisedSpatialGate,
    Requantisation,
    TensorShape,
)
from gatewright.compiler.quantise.streams import hidden_name, pooled_name, pooling_tiles
from gatewright.compiler.ranges import check_ranges
from gatewright.contract.arithmetic import INT8_MAX, INT8_MIN, quantise_scale
from gatewright.contract.errors import GatewrightError

ACCUMULATOR_MAX = (1 << 31) - 1

BIAS_MAX = 1 << 29
"""A channel whose weights are so small that its bias would exceed this gets a coarser weight scale."""

Array = npt.NDArray[np.float64]


def quantise(graph: FloatGraph, ranges: dict[str, float]) -> QuantisedGraph:
    """Turn a captured network into int8 weights and activations.

    Parameters
    ----------
    graph
        The network.
    ranges
        From ``calibrate``: the magnitude that becomes 127, by tensor.

    Raises
    ------
    GatewrightError
        A weight is not a finite real number; a range is missing, not positive, of no tensor, or differs
        along a residual; an accumulator could leave int32; a gate's bins do not fit the tiles of the map
        that it looks at.
    """
    for each in graph.layers:
        _check_weights(each)
    check_ranges(ranges, graph)
    tiles = pooling_tiles(graph)
    quantiser = _Quantiser(graph, ranges, tiles)
    for layer in graph.layers:
        match layer:
            case FloatConv():
                quantiser.convolution(layer)
                if layer.output in tiles:
                    quantiser.pooling(layer.output)
            case FloatSpatialGate():
                quantiser.spatial_gate(layer)
            case FloatChannelGate():
                quantiser.channel_gate(layer)
            case FloatClassifier():
                quantiser.classifier(layer)
    return quantiser.result


def quantise_input(images: npt.NDArray[np.float32], graph: QuantisedGraph) -> npt.NDArray[np.int8]:
    """Normalised images [N, C, H, W] as the machine's input [N, H, W, C]: divided by its scale, rounded, saturated."""
    shape = graph.shapes[graph.input]
    expected = (shape.channels, shape.height, shape.width)
    if images.dtype != np.float32 or images.ndim != 4 or images.shape[1:] != expected:
        raise GatewrightError(
            f"images are {images.dtype} {list(images.shape)}; this network takes normalised float32 "
            f"[N, {', '.join(map(str, expected))}]"
        )
    scaled = images.transpose(0, 2, 3, 1).astype(np.float64) / graph.input_scale
    return np.ascontiguousarray(np.clip(np.rint(scaled), INT8_MIN, INT8_MAX).astype(np.int8))


class _Quantiser:
    """The quantised layers so far, and the scales of the tensors between them."""

    def __init__(self, graph: FloatGraph, ranges: dict[str, float], tiles: dict[str, int]) -> None:
        self.ranges, self.tiles = ranges, tiles
        self.result = QuantisedGraph(graph.input, shapes=dict(graph.shapes))
        self._scale(graph.input)

    def convolution(self, conv: FloatConv) -> None:
        """Weights per output channel; the residual must already have the output's scale."""
        source, output = self.result.scales[conv.source], self._scale(conv.output)
        if conv.residual is not None and self.result.scales[conv.residual] != output:
            raise GatewrightError(
                f"convolution {conv.name}: the range of its residual {conv.residual} is "
                f"{self.ranges[conv.residual]:g}, that of its output {self.ranges[conv.output]:g}; the machine adds in "
                "place and needs one range along a residual stream"
            )
        weight, scale = _weights(conv.weight.reshape(len(conv.weight), -1), conv.bias / source)
        requantisation = self._requantisation(conv.name, weight, conv.bias / (scale * source), scale * source / output)
        self.result.layers.append(
            QuantisedConv(
                conv.name,
                conv.source,
                conv.output,
                weight.reshape(conv.weight.shape),
                requantisation,
                conv.stride,
                conv.padding,
                conv.relu,
                conv.residual,
                conv.output_channels,
                conv.input_channels,
                conv.output_tiles,
                conv.input_tiles,
            )
        )

    def pooling(self, tensor: str) -> None:
        """The pooled map of a feature map, for all gates that look at it."""
        name, tile, shape = pooled_name(tensor), self.tiles[tensor], self.result.shapes[tensor]
        scale = self.result.scales[tensor] / (tile * tile * self._scale(name))
        multiplier, shift = _multiplier(name, scale)
        self.result.shapes[name] = TensorShape(
            shape.channels, math.ceil(shape.height / tile), math.ceil(shape.width / tile)
        )
        self.result.layers.append(Pooling(name, tensor, tile, multiplier, shift))

    def spatial_gate(self, gate: FloatSpatialGate) -> None:
        """The kernel enlarged to the pooled map's tiles: each weight counts for the tiles of one bin."""
        name, tile = pooled_name(gate.source), self.tiles[gate.source]
        factor = self.result.shapes[gate.source].height // gate.grid[0] // tile
        weight, scale = _weights(gate.weight.reshape(1, -1), np.zeros(1))
        kernel = weight.reshape(gate.weight.shape).repeat(factor, axis=1).repeat(factor, axis=2)
        unit = float(scale[0]) * self.result.scales[name] / factor**2
        bias = self._bias(gate.name, kernel.reshape(1, -1), np.array([gate.bias / unit]))
        self.result.layers.append(
            QuantisedSpatialGate(gate.name, name, gate.grid, gate.tile, kernel, factor, factor, int(bias[0]))
        )

    def channel_gate(self, gate: FloatChannelGate) -> None:
        """The average over the pooled tiles goes into the hidden layer's scale; the logits need none."""
        pooled = pooled_name(gate.source)
        shape = self.result.shapes[pooled]
        tiles = shape.height * shape.width
        source, hidden = self.result.scales[pooled] / tiles, self._scale(hidden_name(gate.name))
        hidden_weight, hidden_scale = _weights(gate.hidden_weight, gate.hidden_bias / source)
        unit = hidden_scale * source
        name = hidden_name(gate.name)
        requantisation = self._requantisation(name, hidden_weight, gate.hidden_bias / unit, unit / hidden, tiles)
        weight, scale = _weights(gate.weight, gate.bias / hidden)
        bias = self._bias(gate.name, weight, gate.bias / (scale * hidden))
        self.result.layers.append(QuantisedChannelGate(gate.name, pooled, hidden_weight, requantisation, weight, bias))

    def classifier(self, layer: FloatClassifier) -> None:
        """One weight scale for all classes, so that the integer logits compare."""
        shape = self.result.shapes[layer.source]
        pixels = shape.height * shape.width
        weight, scale = _weights(layer.weight.reshape(1, -1), np.zeros(1))
        unit = float(scale[0]) * self.result.scales[layer.source] / pixels
        weight = weight.reshape(layer.weight.shape)
        bias = self._bias(layer.name, weight, layer.bias / unit, pixels)
        self.result.scales[layer.output] = unit
        self.result.layers.append(QuantisedClassifier(layer.name, layer.source, layer.output, weight, bias, unit))

    def _scale(self, tensor: str) -> float:
        """The value of one unit of a tensor, from its range."""
        self.result.scales[tensor] = self.ranges[tensor] / INT8_MAX
        return self.result.scales[tensor]

    def _requantisation(
        self, name: str, weight: npt.NDArray[np.int8], bias: Array, scale: Array, sums: int = 1
    ) -> Requantisation:
        pairs = [_multiplier(name, float(s)) for s in scale]
        multiplier, shift = np.array(pairs, np.int64).T.copy()
        return Requantisation(self._bias(name, weight, bias, sums), multiplier, shift)

    def _bias(self, name: str, weight: npt.NDArray[np.int8], bias: Array, sums: int = 1) -> npt.NDArray[np.int64]:
        """The bias in accumulator units; proves that no accumulator (``sums`` products of each row) leaves int32."""
        reduction = weight.shape[1] * sums
        largest = reduction * INT8_MAX * -INT8_MIN + float(np.abs(bias).max())
        if not largest + 1 <= ACCUMULATOR_MAX:
            raise GatewrightError(
                f"layer {name}: a sum of {reduction} products and its bias can reach {largest:.3g}, beyond the int32 "
                f"accumulator ({ACCUMULATOR_MAX}); use fewer input channels, or a smaller bias"
            )
        return np.rint(bias).astype(np.int64)


def _check_weights(layer: FloatLayer) -> None:
    """Every number of a layer must be a finite real one: a NaN would become some integer."""
    for name in (field.name for field in fields(layer)):
        value = getattr(layer, name)
        if isinstance(value, np.ndarray) and value.dtype.kind != "f":
            raise GatewrightError(
                f"layer {layer.name}: {name} is {value.dtype}; weights are real floating-point numbers"
            )
        if isinstance(value, np.ndarray | float) and not np.isfinite(value).all():
            raise GatewrightError(f"layer {layer.name}: {name} is not finite; check the checkpoint")


def _weights(weight: Array, bias: Array) -> tuple[npt.NDArray[np.int8], Array]:
    """int8 weights (-127 to 127) of each row, and the rows' scales [rows].

    A row's scale is also large enough for its bias (in units of weight scale 1) to stay below
    ``BIAS_MAX``: weights that are nothing beside their bias lose precision, not the bias.
    """
    scale = np.maximum(np.abs(weight).max(1) / INT8_MAX, np.abs(bias) / BIAS_MAX)
    scale = np.where(scale > 0, scale, 1.0)
    return np.rint(weight / scale[:, None]).astype(np.int8), scale


def _multiplier(name: str, scale: float) -> tuple[int, int]:
    try:
        return quantise_scale(scale)
    except GatewrightError as error:
        raise GatewrightError(f"layer {name}: {error}") from error

"""A quantised graph in plain Python integers, one image, one number at a time: an oracle."""

from __future__ import annotations

from typing import Any

import numpy as np

from gatewright.compiler.graph.graph import QuantisedGraph
from gatewright.compiler.kinds.average_gate import QuantisedAverageGate
from gatewright.compiler.kinds.bins import QuantisedBins
from gatewright.compiler.kinds.channel_gate import QuantisedChannelGate
from gatewright.compiler.kinds.classifier import QuantisedClassifier
from gatewright.compiler.kinds.convolution import QuantisedConv
from gatewright.compiler.kinds.interpolation import QuantisedConstant, QuantisedInterpolation
from gatewright.compiler.kinds.linear_gate import QuantisedLinearGate
from gatewright.compiler.kinds.max_pool import QuantisedMaxPool
from gatewright.compiler.kinds.pooling import Pooling
from gatewright.compiler.kinds.spatial_gate import QuantisedSpatialGate

Tensors = dict[str, np.ndarray]


def evaluate(graph: QuantisedGraph, image: np.ndarray) -> tuple[Tensors, Tensors, list[int]]:
    """Every tensor [h, w, c] (hidden layers [hidden]), every decision, and the logits of an image [h, w, c].

    A network that returns maps has no logits.
    """
    tensors: Tensors = {graph.input: image}
    totals: list[int] = []
    decisions: Tensors = {}
    grids = {layer.name: layer.grid for layer in graph.layers if isinstance(layer, QuantisedSpatialGate)}
    grids |= {layer.name: (1, 1) for layer in graph.layers if isinstance(layer, QuantisedAverageGate) and layer.whole}
    for layer in graph.layers:
        match layer:
            case QuantisedConstant():
                tensors[layer.output] = layer.values
            case QuantisedInterpolation():
                tensors[layer.output] = _interpolation(layer, tensors)
            case QuantisedBins():
                tiles = Pooling(layer.name, layer.source, layer.window, layer.multiplier, layer.shift)
                tensors[layer.output] = _pool(tiles, tensors[layer.source])
            case QuantisedConv():
                tensors[layer.output] = _conv(layer, tensors, decisions, grids)
            case QuantisedMaxPool():
                tensors[layer.output] = _max_pool(layer, tensors[layer.source])
            case Pooling():
                tensors[layer.name] = _pool(layer, tensors[layer.source])
            case QuantisedSpatialGate():
                source = tensors[layer.source]
                sums = [
                    [
                        _dot(layer.weight[0], source, y, x, layer.stride, layer.padding) + layer.bias
                        for x in range(layer.grid[1])
                    ]
                    for y in range(layer.grid[0])
                ]
                decisions[layer.name] = np.array(sums) >= 0
            case QuantisedChannelGate():
                cells = tensors[layer.source].reshape(-1, layer.hidden_weight.shape[1])
                hidden = []
                for j, row in enumerate(layer.hidden_weight):
                    total = sum(int(w) * int(x) for cell in cells for w, x in zip(row, cell, strict=True))
                    scale = layer.hidden
                    hidden.append(_clip(_scale(total + int(scale.bias[j]), scale.multiplier[j], scale.shift[j]), 0))
                tensors[f"{layer.name}.hidden"] = np.array(hidden)
                logits = [_inner(row, hidden) + int(b) for row, b in zip(layer.weight, layer.bias, strict=True)]
                decisions[layer.name] = _bits(layer, logits)
            case QuantisedLinearGate():
                cells = tensors[layer.source].reshape(-1, layer.weight.shape[1])
                logits = [
                    sum(_inner(row, cell) for cell in cells) + int(b)
                    for row, b in zip(layer.weight, layer.bias, strict=True)
                ]
                tensors[f"{layer.name}.sums"] = np.array([_clip(logit, -128) for logit in logits])
                decisions[layer.name] = _bits(layer, logits)
            case QuantisedClassifier():
                pixels = tensors[layer.source].reshape(-1, layer.weight.shape[1])
                totals = [
                    sum(_inner(row, pixel) for pixel in pixels) + int(b)
                    for row, b in zip(layer.weight, layer.bias, strict=True)
                ]
    return tensors, decisions, totals


def _bits(gate: QuantisedAverageGate, logits: list[int]) -> np.ndarray:
    bits = np.array(logits) >= 0
    return bits.reshape(1, 1) if gate.whole else bits


def _inner(row: Any, values: Any) -> int:
    return sum(int(w) * int(x) for w, x in zip(row, values, strict=True))


def _dot(kernel: np.ndarray, source: np.ndarray, y: int, x: int, stride: int, padding: int, dilation: int = 1) -> int:
    total = 0
    for i in range(kernel.shape[0]):
        for j in range(kernel.shape[1]):
            row, column = y * stride + i * dilation - padding, x * stride + j * dilation - padding
            if 0 <= row < source.shape[0] and 0 <= column < source.shape[1]:
                total += _inner(kernel[i, j], source[row, column])
    return total


def _scale(value: int, multiplier: Any, shift: Any) -> int:
    """value * multiplier / 2**shift, to the nearest integer, halves up; within int16."""
    divisor: int = 2 ** int(shift)
    nearest = (2 * value * int(multiplier) + divisor) // (2 * divisor)
    return max(-(2**15), min(2**15 - 1, nearest))


def _clip(value: int, low: int) -> int:
    return max(low, min(127, value))


def _conv(conv: QuantisedConv, tensors: Tensors, decisions: Tensors, grids: dict[str, tuple[int, int]]) -> np.ndarray:
    source, scale = np.concatenate([tensors[name] for name in conv.sources], 2), conv.requantisation
    reach = (conv.weight.shape[1] - 1) * conv.dilation + 1
    edge = (source.shape[0] + 2 * conv.padding - reach) // conv.stride + 1
    output = np.zeros((edge, edge, len(conv.weight)), np.int64)
    for y, x, channel in np.ndindex(output.shape):
        skipped = conv.output_channels is not None and not decisions[conv.output_channels][channel]
        if conv.output_tiles is not None:
            tile = edge // grids[conv.output_tiles][0]
            skipped = skipped or not decisions[conv.output_tiles][y // tile, x // tile]
        value = 0
        if not skipped:
            geometry = conv.stride, conv.padding, conv.dilation
            total = _dot(conv.weight[channel], source, y, x, *geometry) + int(scale.bias[channel])
            value = _scale(total, scale.multiplier[channel], scale.shift[channel])
        if conv.residual is not None:
            value += int(tensors[conv.residual][y, x, channel])
        output[y, x, channel] = _clip(value, 0 if conv.relu and not (skipped and conv.bypass) else -128)
    return output


def _interpolation(layer: QuantisedInterpolation, tensors: Tensors) -> np.ndarray:
    places, small = tensors[layer.source], tensors[layer.filters_from]
    pixels, scale = small.reshape(-1, small.shape[2]), layer.requantisation
    output = np.zeros((*places.shape[:2], small.shape[2]), np.int64)
    for y, x, channel in np.ndindex(output.shape):
        total = _inner(places[y, x], pixels[:, channel])
        output[y, x, channel] = _clip(_scale(total, scale.multiplier[channel], scale.shift[channel]), -128)
    return output


def _max_pool(pool: QuantisedMaxPool, source: np.ndarray) -> np.ndarray:
    height, width = (
        sum(
            at + pool.window <= edge + pool.padding or (pool.beyond and at < edge)
            for at in range(-pool.padding, edge + pool.padding, 2)
        )
        for edge in source.shape[:2]
    )
    output = np.zeros((height, width, source.shape[2]), np.int64)
    for y, x, channel in np.ndindex(output.shape):
        rows, columns = (range(max(0, 2 * at - pool.padding), 2 * at - pool.padding + pool.window) for at in (y, x))
        inside = [source[i, j, channel] for i in rows for j in columns if i < source.shape[0] and j < source.shape[1]]
        output[y, x, channel] = max(inside)
    return output


def _pool(pooling: Pooling, source: np.ndarray) -> np.ndarray:
    tile = pooling.tile
    output = np.zeros((-(-source.shape[0] // tile), -(-source.shape[1] // tile), source.shape[2]), np.int64)
    for y, x, channel in np.ndindex(output.shape):
        cells = source[y * tile : (y + 1) * tile, x * tile : (x + 1) * tile, channel]
        output[y, x, channel] = _clip(
            _scale(sum(int(v) for v in cells.ravel()), pooling.multiplier, pooling.shift), -128
        )
    return output

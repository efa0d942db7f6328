"""A CIFAR ResNet as a quantised graph with seeded random weights, made without torch.

Layers, names and geometry are those of the captured networks. Weights are random, scales are chosen so
that values use int8's range and gates decide both ways.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from gatewright.compiler.graph.graph import QuantisedGraph, Requantisation, TensorShape
from gatewright.compiler.kinds.channel_gate import QuantisedChannelGate
from gatewright.compiler.kinds.classifier import QuantisedClassifier
from gatewright.compiler.kinds.convolution import QuantisedConv
from gatewright.compiler.kinds.pooling import Pooling
from gatewright.compiler.kinds.spatial_gate import QuantisedSpatialGate

STAGES = ((16, 1, 4), (32, 2, 2), (64, 2, 2))
"""Channels, stride of the first block, tile edge in pixels."""


class _Builder:
    def __init__(self, size: int, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.graph = QuantisedGraph("input", [], {"input": TensorShape(3, size, size)}, {"input": 1.0})

    def int8(self, *shape: int) -> npt.NDArray[np.int8]:
        return self.rng.integers(-127, 128, shape).astype(np.int8)

    def requantisation(self, channels: int, terms: int) -> Requantisation:
        """Scale sums of ``terms`` products back to int8: a weight is worth 73 on average, its signs cancel."""
        growth = 30 * math.sqrt(terms)
        shift = 16 + math.ceil(math.log2(growth))
        multiplier = self.rng.integers(1 << 15, 1 << 16, channels)
        return Requantisation(
            self.rng.integers(-int(8 * growth), int(8 * growth), channels), multiplier, np.full(channels, shift)
        )

    def conv(self, name: str, source: str, filters: int, kernel: int, stride: int, **options: object) -> str:
        before = self.graph.shapes[source]
        size = before.height // stride
        weight = self.int8(filters, kernel, kernel, before.channels)
        scale = self.requantisation(filters, weight[0].size)
        settings: dict[str, object] = {"stride": stride, "padding": kernel // 2, "relu": True, **options}
        self.graph.layers.append(
            QuantisedConv(name, source, name, weight=weight, requantisation=scale, **settings)  # type: ignore[arg-type]
        )
        self.graph.shapes[name] = TensorShape(filters, size, size)
        self.graph.scales[name] = 1.0
        return name

    def pooling(self, source: str, tile: int) -> None:
        """The average: a division by tile * tile, which is a power of two."""
        shift = 15 + 2 * (tile.bit_length() - 1)
        self.graph.layers.append(Pooling(f"{source}.pooled", source, tile, 1 << 15, shift))

    def spatial_gate(self, name: str, source: str, pooled_tile: int, grid: int) -> None:
        """Each channel's taps sum to about 0, so that the logit tells cells apart and not images."""
        shape = self.graph.shapes[source]
        factor = shape.height // pooled_tile // grid
        taps = self.rng.integers(-100, 101, (1, 3, 3, shape.channels)).astype(np.float64)
        taps = np.clip(np.rint(taps - taps.mean((1, 2), keepdims=True)), -127, 127)
        weight = taps.astype(np.int8).repeat(factor, 1).repeat(factor, 2)
        bias = int(self.rng.integers(-500, 500))
        self.graph.layers.append(
            QuantisedSpatialGate(name, f"{source}.pooled", (grid, grid), weight, factor, factor, bias)
        )

    def channel_gate(self, name: str, source: str, pooled_tile: int, filters: int) -> None:
        shape = self.graph.shapes[source]
        hidden, cells = shape.channels // 4, (shape.height // pooled_tile) ** 2
        self.graph.layers.append(
            QuantisedChannelGate(
                name,
                f"{source}.pooled",
                self.int8(hidden, shape.channels),
                self.requantisation(hidden, shape.channels * cells**2),
                self.int8(filters, hidden),
                self.rng.integers(-3000, 3000, filters),
            )
        )


def resnet_graph(
    depth: int = 20, gated: bool = True, size: int = 32, seed: int = 0, channels_gated: bool = True, wider: int = 1
) -> QuantisedGraph:
    """A ResNet of 6n+2 layers for square images of ``size`` pixels, gated in every block or not at all.

    Its gates are dual, or spatial alone without ``channels_gated``. A block's first convolution has ``wider`` times
    the filters of its second.
    """
    builder = _Builder(size, seed)
    blocks = (depth - 2) // 6
    assert depth == 6 * blocks + 2 and size % 16 == 0
    source, pooled_tile = builder.conv("conv1", "input", STAGES[0][0], 3, 1), STAGES[0][2]
    if gated:
        builder.pooling(source, pooled_tile)
    for stage, (channels, first_stride, tile) in enumerate(STAGES, 1):
        for block in range(blocks):
            name, stride = f"layer{stage}.{block}", first_stride if block == 0 else 1
            grid = builder.graph.shapes[source].height // stride // tile
            first: dict[str, object] = {}
            second: dict[str, object] = {}
            if gated:
                if channels_gated:
                    builder.channel_gate(f"{name}.mask_c", source, pooled_tile, wider * channels)
                builder.spatial_gate(f"{name}.mask_s", source, pooled_tile, grid)
                tiles, filters = f"{name}.mask_s", f"{name}.mask_c" if channels_gated else None
                first = {"output_channels": filters, "output_tiles": tiles}
                second = {"input_channels": filters, "input_tiles": tiles, "output_tiles": tiles}
            middle = builder.conv(f"{name}.conv1", source, wider * channels, 3, stride, **first)
            residual = source
            if stride != 1:
                residual = builder.conv(
                    f"{name}.downsample.0", source, channels, 1, stride, relu=False, completed_by=f"{name}.conv2"
                )
            source = builder.conv(f"{name}.conv2", middle, channels, 3, 1, residual=residual, **second)
            pooled_tile = tile
            if gated and (stage, block) != (len(STAGES), blocks - 1):
                builder.pooling(source, tile)
    bias = builder.rng.integers(-5000, 5000, 10)
    builder.graph.layers.append(QuantisedClassifier("fc", source, "fc", builder.int8(10, STAGES[-1][0]), bias, 1.0))
    builder.graph.scales["fc"] = 1.0
    return builder.graph


def random_inputs(graph: QuantisedGraph, count: int, seed: int) -> npt.NDArray[np.int8]:
    """Quantised inputs [count, height, width, channels]: random blocks of 4 pixels with noise."""
    shape, rng = graph.shapes[graph.input], np.random.default_rng(seed)
    coarse = rng.integers(-100, 101, (count, -(-shape.height // 4), -(-shape.width // 4), shape.channels))
    blocks = coarse.repeat(4, 1).repeat(4, 2)[:, : shape.height, : shape.width]
    images: npt.NDArray[np.int8] = (blocks + rng.integers(-27, 28, blocks.shape)).astype(np.int8)
    return images


def bottleneck_graph(size: int, channels: int, middle: int, seed: int = 0) -> QuantisedGraph:
    """Two blocks of 1x1, 3x3 and 1x1 convolutions behind a first one, without gates, and a classifier."""
    builder = _Builder(size, seed)
    source = builder.conv("conv0", "input", channels, 3, 1)
    for block in range(2):
        first = builder.conv(f"{block}.conv1", source, middle, 1, 1)
        second = builder.conv(f"{block}.conv2", first, middle, 3, 1)
        source = builder.conv(f"{block}.conv3", second, channels, 1, 1, residual=source)
    source = builder.conv("last", source, middle, 1, 2)
    bias = builder.rng.integers(-5000, 5000, 10)
    builder.graph.layers.append(QuantisedClassifier("fc", source, "fc", builder.int8(10, middle), bias, 1.0))
    builder.graph.scales["fc"] = 1.0
    return builder.graph


def chain_graph(size: int, layers: tuple[tuple[int, int, int], ...], seed: int = 0) -> QuantisedGraph:
    """Convolutions in a row, without gates and residuals: (filters, kernel, stride) each, and a classifier."""
    builder, source = _Builder(size, seed), "input"
    for number, (filters, kernel, stride) in enumerate(layers):
        source = builder.conv(f"conv{number}", source, filters, kernel, stride)
    bias = builder.rng.integers(-5000, 5000, 10)
    head = QuantisedClassifier("fc", source, "fc", builder.int8(10, layers[-1][0]), bias, 1.0)
    builder.graph.layers.append(head)
    builder.graph.scales["fc"] = 1.0
    return builder.graph

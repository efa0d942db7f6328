"""A gate that decides per tile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from torch.nn import functional as F

from gatewright.compiler.graph.checks import broken, check_filters, shape_of
from gatewright.compiler.graph.exact import convolve
from gatewright.compiler.graph.graph import (
    Decisions,
    FloatLayer,
    Layer,
    QuantisedGraph,
    Requantisation,
    TensorShape,
)
from gatewright.compiler.kinds.gate import QuantisedGate, decided
from gatewright.compiler.kinds.pooling import pooled_name, pooling_named
from gatewright.compiler.plan.spatial_products import by_taps
from gatewright.compiler.quantise.numbers import int8_weights, integer_bias
from gatewright.contract.arithmetic import gate_decision

if TYPE_CHECKING:
    from gatewright.compiler.emit.lower import Lowering
    from gatewright.compiler.graph import float_executor, reference
    from gatewright.compiler.plan.network_image import NetworkImage
    from gatewright.compiler.quantise.quantise import Quantiser


@dataclass(frozen=True)
class SpatialGate(Layer):
    """What a spatial gate is in either graph.

    It looks at the map ``source`` (pooled, in integers) and decides for a ``grid`` (height, width) of
    tiles. Maps of several sizes may be gated: a tile has as many pixels as its map has for a cell of the grid.
    """

    source: str
    grid: tuple[int, int]

    @property
    def reads(self) -> tuple[str, ...]:
        return (self.source,)

    @property
    def writes(self) -> tuple[str, ...]:
        return ()

    def fits(self, shape: TensorShape) -> bool:
        """Whether the mask covers a map of this shape exactly."""
        tile = self.tile_in(shape)
        return tile > 0 and (self.grid[0] * tile, self.grid[1] * tile) == (shape.height, shape.width)

    def tile_in(self, shape: TensorShape) -> int:
        """The edge of a tile in pixels of a map of this shape, which the mask fits."""
        return shape.height // self.grid[0]

    def check_channels(self, weight: npt.NDArray[Any], shape: TensorShape) -> None:
        """One filter over the channels of the map that the gate looks at."""
        if weight.shape[0] != 1 or weight.shape[3] != shape.channels:
            broken(self.name, f"weights {list(weight.shape)} do not fit the map that it looks at")


@dataclass(frozen=True)
class FloatSpatialGate(SpatialGate, FloatLayer):
    """Average pooling of ``source`` to a grid, a 3x3 convolution to one channel, logit >= 0, or > 0 if ``strict``.

    ``weight`` is [1, 3, 3, channels].
    """

    weight: npt.NDArray[np.float64]
    bias: float
    strict: bool = field(default=False, kw_only=True)

    def check(self, graph: Any) -> None:
        self.check_channels(self.weight, shape_of(graph, self.source))

    def parameters(self) -> Sequence[npt.NDArray[np.float64]]:
        return self.weight.transpose(0, 3, 1, 2), np.atleast_1d(self.bias)

    def run(self, batch: float_executor.Batch) -> None:
        pooled = F.adaptive_avg_pool2d(batch.maps[self.source], self.grid)
        weight, bias = batch.parameters[self.name]
        batch.masks[self.name] = decided(F.conv2d(pooled, weight, bias, padding=1)[:, 0], self.strict)

    def quantise(self, quantiser: Quantiser) -> QuantisedSpatialGate:
        """The kernel enlarged to the pooled map's tiles: each weight counts for the tiles of one bin."""
        pooled, result = pooled_name(self.source), quantiser.result
        factor = result.shapes[self.source].height // self.grid[0] // quantiser.tiles[self.source]
        weight, scale = int8_weights(self.weight.reshape(1, -1), np.zeros(1))
        kernel = weight.reshape(self.weight.shape).repeat(factor, axis=1).repeat(factor, axis=2)
        unit = float(scale[0]) * result.scales[pooled] / factor**2
        bias = integer_bias(self.name, kernel.reshape(1, -1), np.array([self.bias / unit]))
        return QuantisedSpatialGate(self.name, pooled, self.grid, kernel, factor, factor, int(bias[0]) - self.strict)


@dataclass(frozen=True)
class QuantisedSpatialGate(SpatialGate, QuantisedGate):
    """A convolution over the pooled map ``source``, in tiles, to one logit per cell of the grid.

    ``weight`` is [1, k, k, channels] with ``stride`` and ``padding`` in pooled tiles: where the
    grid is coarser than the pooled map the kernel is enlarged, which is the same sum.
    """

    weight: npt.NDArray[np.int8]
    stride: int
    padding: int
    bias: int

    @property
    def decision_shape(self) -> tuple[int, ...]:
        return self.grid

    def check(self, graph: Any) -> None:
        shape = pooling_named(graph, self.source, self.name).shape(graph)
        self.check_channels(self.weight, shape)
        check_filters(self.name, self.weight, np.array([self.bias]))
        cells = tuple(
            (size + 2 * self.padding - edge) // self.stride + 1
            for size, edge in zip((shape.height, shape.width), self.weight.shape[1:3], strict=True)
        )
        if cells != self.grid:
            broken(self.name, f"its kernel makes {cells} cells of the pooled map, its grid has {self.grid}")

    def macs(self, graph: QuantisedGraph, decisions: Decisions | None) -> int:
        return 0 if decisions is None else self.grid[0] * self.grid[1] * 9 * self.weight.shape[-1]

    def run(self, batch: reference.Batch) -> None:
        sums = convolve(batch.maps[self.source], self.weight, self.stride, self.padding)
        batch.masks[self.name] = gate_decision(sums[:, 0] + self.bias)

    def sizes(self, graph: QuantisedGraph) -> dict[str, int]:
        return {}

    def lay_out(self, image: NetworkImage) -> None:
        image.add_parameters(self.name, Requantisation.bias_only(np.asarray([self.bias])))
        shape = pooling_named(image.graph, self.source, self.name).shape(image.graph)
        taps = self.weight.reshape(-1, 1, 1, shape.channels)
        image.add_by_vector(self.name, taps if by_taps(self, shape, image.arch) else self.weight)

    def advance(self, lowering: Lowering, rows: int, pixel_rows: int) -> None:
        lowering.gates.advance(self, rows)

"""A gate that decides per tile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from gatewright.compiler.graph.checks import broken, check_filters, check_requantisation, refuse, shape_of
from gatewright.compiler.graph.exact import convolve, scaled
from gatewright.compiler.graph.graph import (
    Decisions,
    FloatLayer,
    Layer,
    QuantisedGraph,
    Requantisation,
    TensorShape,
)
from gatewright.compiler.graph.grids import bins, tile_edge
from gatewright.compiler.kinds.gate import QuantisedGate, decided
from gatewright.compiler.kinds.pooling import pooled_name, pooling_named
from gatewright.compiler.plan.bin_windows import areas, bin_windows
from gatewright.compiler.plan.spatial_products import by_taps
from gatewright.compiler.quantise.numbers import int8_weights, integer_bias, multiplier_and_shift
from gatewright.contract.arithmetic import INT8_MAX, INT8_MIN, gate_decision

if TYPE_CHECKING:
    from gatewright.compiler.emit.lower import Lowering
    from gatewright.compiler.graph import float_executor, reference
    from gatewright.compiler.plan.network_image import NetworkImage
    from gatewright.compiler.quantise.quantise import Quantiser


@dataclass(frozen=True)
class SpatialGate(Layer):
    """What a spatial gate is in either graph.

    It looks at the map ``source`` (pooled, in integers) and decides for a ``grid`` (height, width) of
    tiles. Maps of several sizes may be gated: a tile has as many pixels as its map has for a cell of the grid, the last
    one perhaps fewer. Where the grid does not divide the map that it looks at, the bins that it averages are those of
    adaptive pooling and ``overlap``; it then looks at the map itself, and the averages are its own.
    """

    source: str
    grid: tuple[int, int]
    overlap: bool = field(default=False, kw_only=True)

    @property
    def bins_name(self) -> str:
        """The name of the averages of bins that overlap."""
        return f"{self.name}.bins"

    @property
    def reads(self) -> tuple[str, ...]:
        return (self.source,)

    @property
    def writes(self) -> tuple[str, ...]:
        return (self.bins_name,) if self.overlap else ()

    def fits(self, shape: TensorShape) -> bool:
        """Whether the mask covers a map of this shape by square tiles, of which the last may be cut."""
        return tile_edge(self.grid, shape.height, shape.width) is not None

    def tile_in(self, shape: TensorShape) -> int:
        """The edge of a tile in pixels of a map of this shape, which the mask fits."""
        return -(-shape.height // self.grid[0])

    def check_bins(self, graph: Any) -> None:
        """Bins that overlap are windows that the machine averages."""
        if not self.overlap:
            return
        shape = shape_of(graph, self.source)
        if bin_windows(self.grid, shape) is None:
            refuse(
                self.name,
                f"it averages {self.source} ({shape.height}x{shape.width}) over {self.grid[0]}x{self.grid[1]} bins; "
                "where bins overlap the machine averages square ones, and at the map's edges narrower ones; choose a "
                "grid that divides the map",
            )

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
        self.check_bins(graph)

    def parameters(self) -> Sequence[npt.NDArray[np.float64]]:
        return self.weight.transpose(0, 3, 1, 2), np.atleast_1d(self.bias)

    def run(self, batch: float_executor.Batch) -> None:
        pooled = F.adaptive_avg_pool2d(batch.maps[self.source], self.grid)
        if self.overlap:
            batch.observe(self.bins_name, pooled)
        weight, bias = batch.parameters[self.name]
        batch.masks[self.name] = decided(F.conv2d(pooled, weight, bias, padding=1)[:, 0], self.strict)

    def quantise(self, quantiser: Quantiser) -> QuantisedSpatialGate:
        """The kernel enlarged to the pooled map's tiles: each weight counts for the tiles of one bin."""
        if self.overlap:
            return self._quantise_overlapping(quantiser)
        pooled, result = pooled_name(self.source), quantiser.result
        factor = result.shapes[self.source].height // self.grid[0] // quantiser.tiles[self.source]
        weight, scale = int8_weights(self.weight.reshape(1, -1), np.zeros(1))
        kernel = weight.reshape(self.weight.shape).repeat(factor, axis=1).repeat(factor, axis=2)
        unit = float(scale[0]) * result.scales[pooled] / factor**2
        bias = integer_bias(self.name, kernel.reshape(1, -1), np.array([self.bias / unit]))
        return QuantisedSpatialGate(self.name, pooled, self.grid, kernel, factor, factor, int(bias[0]) - self.strict)

    def _quantise_overlapping(self, quantiser: Quantiser) -> QuantisedSpatialGate:
        """The averages are requantised by the size of their bin."""
        result, name = quantiser.result, self.bins_name
        shape, sizes = result.shapes[self.source], areas(self.grid, result.shapes[self.source])
        unit = quantiser.scale(name)
        pairs = [multiplier_and_shift(name, result.scales[self.source] / (size * unit)) for size in sizes]
        multiplier, shift = np.array(pairs, np.int64).T.copy()
        averages = Requantisation(np.zeros(len(sizes), np.int64), multiplier, shift)
        weight, scale = int8_weights(self.weight.reshape(1, -1), np.zeros(1))
        bias = integer_bias(self.name, weight, np.array([self.bias / (float(scale[0]) * unit)]))
        result.shapes[name] = TensorShape(shape.channels, *self.grid)
        kernel = weight.reshape(self.weight.shape)
        return QuantisedSpatialGate(
            self.name, self.source, self.grid, kernel, 1, 1, int(bias[0]), averages, overlap=True
        )


@dataclass(frozen=True)
class QuantisedSpatialGate(SpatialGate, QuantisedGate):
    """A convolution over the pooled map ``source``, in tiles, to one logit per cell of the grid.

    ``weight`` is [1, k, k, channels] with ``stride`` and ``padding`` in pooled tiles: where the
    grid is coarser than the pooled map the kernel is enlarged, which is the same sum.
    Where bins overlap, ``source`` is the feature map, and ``averages`` has the factor of a bin's sum for each size of
    bins, the smallest first.
    """

    weight: npt.NDArray[np.int8]
    stride: int
    padding: int
    bias: int
    averages: Requantisation | None = None

    @property
    def decision_shape(self) -> tuple[int, ...]:
        return self.grid

    def pooled_shape(self, graph: QuantisedGraph) -> TensorShape:
        """The shape of the averages that the kernel goes over."""
        if self.overlap:
            return TensorShape(shape_of(graph, self.source).channels, *self.grid)
        return pooling_named(graph, self.source, self.name).shape(graph)

    def check(self, graph: Any) -> None:
        shape = self.pooled_shape(graph)
        self.check_channels(self.weight, shape)
        self.check_bins(graph)
        if self.averages is not None:
            check_requantisation(self.name, np.ones((len(self.averages.bias), 1), np.int8), self.averages)
        if self.overlap != (self.averages is not None):
            broken(self.name, "it has factors for bins exactly if they overlap")
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
        if self.averages is not None:
            batch.write(self.bins_name, self._averages(batch.maps[self.source], self.averages))
        source = self.bins_name if self.overlap else self.source
        sums = convolve(batch.maps[source], self.weight, self.stride, self.padding)
        batch.masks[self.name] = gate_decision(sums[:, 0] + self.bias)

    def _averages(self, values: Tensor, factors: Requantisation) -> Tensor:
        """The int8 averages [B, C, rows, columns] of the bins of a map [B, C, H, W]."""
        shape = TensorShape(*values.shape[1:])
        place = {size: number for number, size in enumerate(areas(self.grid, shape))}
        cells = []
        for rows in bins(self.grid[0], shape.height):
            for columns in bins(self.grid[1], shape.width):
                total = values[:, :, rows.first : rows.end, columns.first : columns.end].sum((2, 3), dtype=torch.int64)
                factor = place[rows.size * columns.size]
                pair = (torch.tensor(int(numbers[factor])) for numbers in (factors.multiplier, factors.shift))
                cells.append(scaled(total, *pair).clamp_(INT8_MIN, INT8_MAX))
        return torch.stack(cells, 2).unflatten(2, self.grid)

    def sizes(self, graph: QuantisedGraph) -> dict[str, int]:
        return {self.bins_name: self.pooled_shape(graph).size} if self.overlap else {}

    def lay_out(self, image: NetworkImage) -> None:
        entries = Requantisation.bias_only(np.asarray([self.bias]))
        if self.averages is not None:
            pairs = zip(vars(entries).values(), vars(self.averages).values(), strict=True)
            entries = Requantisation(*(np.concatenate(pair) for pair in pairs))
        image.add_parameters(self.name, entries)
        shape = self.pooled_shape(image.graph)
        taps = self.weight.reshape(-1, 1, 1, shape.channels)
        image.bank_layout.by_vector(self.name, taps if by_taps(self, shape, image.arch) else self.weight)

    def advance(self, lowering: Lowering, rows: int, pixel_rows: int) -> None:
        if not self.overlap:
            lowering.gates.advance(self, rows)

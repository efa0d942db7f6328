"""Averages of a feature map over a grid of equal bins, as a map of its own: a level of pyramid pooling.

The machine averages a map's tiles as it writes them; a bin is the average of whole tiles' averages. That is the
definition in integers: both averages are rounded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn import functional as F

from gatewright.compiler.graph.checks import broken, check_requantisation, refuse, shape_of
from gatewright.compiler.graph.exact import scaled
from gatewright.compiler.graph.graph import (
    Graph,
    Layer,
    QuantisedGraph,
    QuantisedLayer,
    Requantisation,
    TensorShape,
)
from gatewright.compiler.kinds.pooling import pooled_name, pooling_named
from gatewright.compiler.kinds.without_weights import FloatWithoutWeights, QuantisedWithoutWeights
from gatewright.compiler.quantise.numbers import multiplier_and_shift
from gatewright.contract.arithmetic import INT8_MAX, INT8_MIN
from gatewright.contract.isa import FORMATS, Opcode

if TYPE_CHECKING:
    from gatewright.compiler.emit.lower import Lowering
    from gatewright.compiler.graph import float_executor, reference
    from gatewright.compiler.plan.network_image import NetworkImage
    from gatewright.compiler.quantise.quantise import Quantiser

MOST_WINDOW = (1 << next(field.bits for field in FORMATS[Opcode.EPILOGUE].fields if field.name == "window")) - 1
"""Tiles that a bin may have in each direction: the edge of a window of AVERAGE."""


@dataclass(frozen=True)
class Bins(Layer):
    """What the averages are in either graph: from ``source`` to ``output``, a pixel for each bin."""

    source: str
    output: str

    @property
    def reads(self) -> tuple[str, ...]:
        return (self.source,)

    @property
    def writes(self) -> tuple[str, ...]:
        return (self.output,)

    def check_bins(self, graph: Graph, shape: TensorShape) -> None:
        """All bins of a map of that shape are squares of one size."""
        bins = shape_of(graph, self.output)
        edges = shape.height / bins.height, shape.width / bins.width
        if edges[0] != edges[1] or edges[0] % 1:
            refuse(
                self.name,
                f"it averages {shape.height}x{shape.width} pixels in {bins.height}x{bins.width} bins; bins of a map "
                "that is read on must be squares of one size: choose a size of images whose maps the bins divide",
            )
        if bins.channels != shape.channels:
            broken(self.name, f"its output has {bins.channels} channels, what it averages {shape.channels}")


@dataclass(frozen=True)
class FloatBins(Bins, FloatWithoutWeights):
    """The averages in floating point; ``source`` is the map itself, ``grid`` rows and columns of bins."""

    grid: tuple[int, int]

    def check(self, graph: Any) -> None:
        self.check_bins(graph, shape_of(graph, self.source))

    def run(self, batch: float_executor.Batch) -> None:
        batch.write(self.output, F.adaptive_avg_pool2d(batch.maps[self.source], self.grid))

    def quantise(self, quantiser: Quantiser) -> QuantisedBins:
        """Averages of the averages of tiles, which the map's pooling makes."""
        result, pooled = quantiser.result, pooled_name(self.source)
        window = result.shapes[self.source].height // self.grid[0] // quantiser.tiles[self.source]
        scale = result.scales[pooled] / (window * window * quantiser.scale(self.output))
        return QuantisedBins(self.name, pooled, self.output, window, *multiplier_and_shift(self.name, scale))


@dataclass(frozen=True)
class QuantisedBins(Bins, QuantisedWithoutWeights):
    """requantise(sum over a bin's tiles) of the averages ``source``; a bin is ``window`` tiles in each direction."""

    window: int
    multiplier: int
    shift: int

    @property
    def factor(self) -> Requantisation:
        """The one entry of the epilogue's parameters."""
        return Requantisation(np.zeros(1, np.int64), np.array([self.multiplier]), np.array([self.shift]))

    def check(self, graph: Any) -> None:
        check_requantisation(self.name, np.ones((1, 1), np.int8), self.factor)
        tiles = pooling_named(graph, self.source, self.name).shape(graph)
        self.check_bins(graph, tiles)
        if not 1 <= self.window <= MOST_WINDOW:
            refuse(
                self.name,
                f"a bin is {self.window}x{self.window} tiles, of which the machine averages {MOST_WINDOW} in each "
                "direction; choose larger tiles for the map's gates, or smaller bins",
            )
        if shape_of(graph, self.output).height * self.window != tiles.height:
            broken(self.name, f"its bins of {self.window} tiles do not cover {tiles.height} rows of them")

    def run(self, batch: reference.Batch) -> None:
        tiles = batch.maps[self.source].unflatten(3, (-1, self.window)).unflatten(2, (-1, self.window))
        values = scaled(tiles.sum((3, 5), dtype=torch.int64), torch.tensor(self.multiplier), torch.tensor(self.shift))
        batch.write(self.output, values.clamp_(INT8_MIN, INT8_MAX))

    def sizes(self, graph: QuantisedGraph) -> dict[str, int]:
        return {self.output: graph.shapes[self.output].size}

    def lay_out(self, image: NetworkImage) -> None:
        image.add_average(self.name, self.factor)

    def lower(self, lowering: Lowering, group: Sequence[QuantisedLayer]) -> None:
        lowering.bins(self)

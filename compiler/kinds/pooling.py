"""Tile averages of a feature map, for the gates that look at it: written along with the map."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional as F

from gatewright.compiler.graph.checks import broken, check_requantisation
from gatewright.compiler.graph.exact import scaled
from gatewright.compiler.graph.graph import (
    Decisions,
    Graph,
    QuantisedGraph,
    QuantisedLayer,
    Requantisation,
    TensorShape,
)
from gatewright.compiler.kinds.convolution import QuantisedConv
from gatewright.compiler.quantise.numbers import multiplier_and_shift
from gatewright.contract.arithmetic import INT8_MAX, INT8_MIN
from gatewright.contract.program_parts import LayerKind

if TYPE_CHECKING:
    from gatewright.compiler.emit.lower import Lowering
    from gatewright.compiler.graph import reference
    from gatewright.compiler.plan.network_image import NetworkImage
    from gatewright.compiler.quantise.quantise import Quantiser


def pooled_name(tensor: str) -> str:
    """The name of a feature map's pooled map."""
    return f"{tensor}.pooled"


@dataclass(frozen=True)
class Pooling(QuantisedLayer):
    """A feature map's tile averages in int8: requantise(sum over a tile's pixels).

    One per feature map that gates look at. ``tile`` is the edge in pixels; the pooled map is
    [ceil(height/tile), ceil(width/tile), channels]. It has no layer in the float graph: a gate
    there reads the map itself.
    """

    source: str
    tile: int
    multiplier: int
    shift: int

    @property
    def reads(self) -> tuple[str, ...]:
        return (self.source,)

    @property
    def writes(self) -> tuple[str, ...]:
        return (self.name,)

    def check(self, graph: Graph) -> None:
        factor = Requantisation(np.zeros(1, np.int64), np.array([self.multiplier]), np.array([self.shift]))
        check_requantisation(self.name, np.ones((1, 1), np.int8), factor)

    def macs(self, graph: QuantisedGraph, decisions: Decisions | None) -> int:
        return 0

    def run(self, batch: reference.Batch) -> None:
        source, tile = batch.maps[self.source], self.tile
        height, width = source.shape[2:]
        padded = F.pad(source, (0, -width % tile, 0, -height % tile))
        sums = padded.unflatten(3, (-1, tile)).unflatten(2, (-1, tile)).sum((3, 5), dtype=torch.int64)
        values = scaled(sums, torch.tensor(self.multiplier), torch.tensor(self.shift))
        batch.write(self.name, values.clamp_(INT8_MIN, INT8_MAX))

    def shape(self, graph: QuantisedGraph) -> TensorShape:
        """Of the pooled map: a pixel for each tile."""
        return pooled_shape(graph.shapes[self.source], self.tile)

    def sizes(self, graph: QuantisedGraph) -> dict[str, int]:
        return {self.name: self.shape(graph).size}

    def in_place_of(self, graph: QuantisedGraph) -> str | None:
        """Inactive tiles keep their average in the pooled map of the residual."""
        before = self._residual(graph)
        for layer in graph.layers:
            if isinstance(layer, Pooling) and layer.source == before and layer.tile == self.tile:
                return layer.name
        return None

    def begun_with(self, graph: QuantisedGraph) -> tuple[str, ...]:
        """It is written along with its source, and by a shortcut for the source's inactive tiles."""
        writers = (la for la in graph.layers if isinstance(la, QuantisedConv) and la.output == self._residual(graph))
        shortcut = next((writer for writer in writers if writer.completed_by is not None), None)
        return (self.source,) if shortcut is None else (self.source, shortcut.output)

    def _residual(self, graph: QuantisedGraph) -> str | None:
        writers = (la for la in graph.layers if isinstance(la, QuantisedConv) and la.output == self.source)
        return next((writer.in_place_of(graph) for writer in writers), None)

    @property
    def banks(self) -> tuple[str, ...]:
        return ()

    def lay_out(self, image: NetworkImage) -> None:
        """Its factor lies before the parameters of the convolution that writes its source."""

    def without_gates(self) -> Pooling:
        """Itself: without gates it is left out where nothing else reads it."""
        return self

    @property
    def role(self) -> LayerKind:
        return "gate"

    def lower(self, lowering: Lowering, group: Sequence[QuantisedLayer]) -> None:
        """It is emitted by the convolution that writes its source."""


def pooled_shape(shape: TensorShape, tile: int) -> TensorShape:
    """The shape of a map's averages over tiles."""
    return TensorShape(shape.channels, -(-shape.height // tile), -(-shape.width // tile))


def quantised_pooling(tensor: str, tile: int, quantiser: Quantiser) -> Pooling:
    """The pooled map of a feature map, for all gates that look at it."""
    name, result = pooled_name(tensor), quantiser.result
    scale = result.scales[tensor] / (tile * tile * quantiser.scale(name))
    multiplier, shift = multiplier_and_shift(name, scale)
    result.shapes[name] = pooled_shape(result.shapes[tensor], tile)
    return Pooling(name, tensor, tile, multiplier, shift)


def pooling_named(graph: QuantisedGraph, name: str, reader: str) -> Pooling:
    """The pooling that a gate looks at."""
    for layer in graph.layers:
        if isinstance(layer, Pooling) and layer.name == name:
            return layer
    broken(reader, f"it looks at {name}, which is no pooled map")

"""A feature map that the network returns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gatewright.compiler.graph.checks import broken, shape_of
from gatewright.compiler.graph.graph import Layer, QuantisedGraph, QuantisedLayer
from gatewright.compiler.kinds.without_weights import FloatWithoutWeights, QuantisedWithoutWeights

if TYPE_CHECKING:
    from gatewright.compiler.emit.lower import Lowering
    from gatewright.compiler.graph import float_executor, reference
    from gatewright.compiler.plan.network_image import NetworkImage
    from gatewright.compiler.quantise.quantise import Quantiser


@dataclass(frozen=True)
class MapOutput(Layer):
    """The map ``source`` is one of the network's results: whoever plans maps sees a reader that needs all of it."""

    source: str

    @property
    def reads(self) -> tuple[str, ...]:
        return (self.source,)

    @property
    def writes(self) -> tuple[str, ...]:
        return ()

    @property
    def gives(self) -> str:
        return self.source

    def check(self, graph: Any) -> None:
        shape_of(graph, self.source)
        if self.source == graph.input:
            broken(self.name, "it gives the image")


@dataclass(frozen=True)
class FloatOutput(MapOutput, FloatWithoutWeights):
    """A map that the network returns, in floating point."""

    def run(self, batch: float_executor.Batch) -> None:
        batch.outputs[self.source] = batch.maps[self.source]

    def quantise(self, quantiser: Quantiser) -> QuantisedOutput:
        return QuantisedOutput(self.name, self.source)


@dataclass(frozen=True)
class QuantisedOutput(MapOutput, QuantisedWithoutWeights):
    """A map that the network returns: its int8 values go to DRAM as they are."""

    def run(self, batch: reference.Batch) -> None:
        batch.outputs[self.source] = batch.maps[self.source].permute(0, 2, 3, 1).contiguous()

    def sizes(self, graph: QuantisedGraph) -> dict[str, int]:
        return {}

    @property
    def banks(self) -> tuple[str, ...]:
        return ()

    def lay_out(self, image: NetworkImage) -> None:
        """Where it goes is laid out with all outputs."""

    def lower(self, lowering: Lowering, group: Sequence[QuantisedLayer]) -> None:
        lowering.give(self)

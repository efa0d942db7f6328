"""Where a program's maps lie when their layer is done: what a check, or a debugger, reads them from."""

from __future__ import annotations

from gatewright.compiler.emit.context import Context
from gatewright.compiler.graph.graph import TensorShape
from gatewright.compiler.kinds.classifier import QuantisedClassifier
from gatewright.compiler.kinds.convolution import QuantisedConv
from gatewright.compiler.kinds.exit import QuantisedExit
from gatewright.compiler.kinds.pooling import Pooling
from gatewright.contract.program_parts import Placement, PlacementKind


class Placements:
    """The records of one program in the making, each of the instruction that was emitted last."""

    def __init__(self, context: Context) -> None:
        self.context, self.image = context, context.image
        self.found: list[Placement] = []

    def logits(self, layer: QuantisedClassifier | QuantisedExit) -> None:
        """Record where a classifier's logits lie now."""
        address, row = self.image.addresses[layer.output], len(self.context.out.rows) - 1
        self.found.append(Placement(layer.output, "logits", address, 1, 1, len(layer.weight), row))

    def convolution(self, layer: QuantisedConv, pool: Pooling | None) -> None:
        """Record where a convolution's output, and its pooled map, lie when the layer is done."""
        kind: PlacementKind = "map" if layer.output_channels is None else "compact"
        tiles, gate = None if layer.residual is not None else layer.output_tiles, self.context.gate(layer.output_tiles)
        if tiles is not None and gate is not None and gate.whole:
            if not len(gate.entries):
                return  # nothing was written
            tiles = tiles if gate.live else None
        self._record(layer.output, kind, tiles, layer.output_channels)
        self.pooled(layer, pool)

    def pooled(self, layer: QuantisedConv, pool: Pooling | None) -> None:
        """Record where the pooled map of a convolution's output lies, which does not lie anywhere whole itself."""
        if pool is not None:
            kind: PlacementKind = "map" if layer.output_channels is None else "compact"
            tiles = None if layer.residual is not None else layer.output_tiles
            self._record(pool.name, kind, tiles, layer.output_channels, pool.shape(self.context.graph))

    def map(self, tensor: str, pool: Pooling | None = None) -> None:
        """Record where a whole map, and its pooled map, lie now."""
        self._record(tensor, "map")
        self.averages(pool)

    def averages(self, pool: Pooling | None) -> None:
        """Record where a pooled map lies now."""
        if pool is not None:
            self._record(pool.name, "map", shape=pool.shape(self.context.graph))

    def _record(
        self,
        tensor: str,
        kind: PlacementKind,
        tiles: str | None = None,
        channels: str | None = None,
        shape: TensorShape | None = None,
    ) -> None:
        of_pool = shape is not None
        shape, row = shape or self.context.graph.shapes[tensor], len(self.context.out.rows) - 1
        place = self.image.addresses[tensor], shape.height, shape.width, shape.channels, row
        pitch = self.image.pitches.get(tensor, 0)
        if self.context.live and kind == "compact" and (of_pool or tensor in self.image.spread):
            pitch = shape.channels
        self.found.append(Placement(tensor, kind, *place, tiles, channels, pitch))

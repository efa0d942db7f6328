"""A max pool: done in the epilogue of the convolution whose map it reads, which is never whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch.nn import functional as F

from gatewright.compiler.graph.checks import broken, refuse, shape_of
from gatewright.compiler.graph.graph import (
    Graph,
    Layer,
    QuantisedGraph,
    QuantisedLayer,
    TensorShape,
)
from gatewright.compiler.kinds.convolution_form import Convolution
from gatewright.compiler.kinds.without_weights import FloatWithoutWeights, QuantisedWithoutWeights
from gatewright.contract.arithmetic import INT8_MIN
from gatewright.contract.errors import GatewrightError

if TYPE_CHECKING:
    from gatewright.compiler.emit.lower import Lowering
    from gatewright.compiler.graph import float_executor, reference
    from gatewright.compiler.plan.network_image import NetworkImage
    from gatewright.compiler.quantise.quantise import Quantiser

WINDOWS = (2, 3)
"""Edges of a window."""

STRIDE = 2

PADDINGS = (0, 1)
"""Pixels around the map; one of them is never the maximum."""


@dataclass(frozen=True)
class MaxPool(Layer):
    """What a max pool is in either graph: from the map ``source`` of a convolution to ``output``.

    ``window`` is its edge, ``padding`` that on each side; the stride is ``STRIDE``. ``beyond``: a last window may reach
    beyond the padding (torch's ``ceil_mode``), as TensorFlow's do.
    """

    source: str
    output: str
    window: int
    padding: int
    beyond: bool = False

    @property
    def reads(self) -> tuple[str, ...]:
        return (self.source,)

    @property
    def writes(self) -> tuple[str, ...]:
        return (self.output,)

    def rides_on(self, graph: Graph) -> Convolution:
        """The convolution in whose epilogue it is done: it writes ``source`` for the pool alone."""
        writers = [layer for layer in graph.layers if self.source in layer.writes]
        if not writers or not isinstance(writers[0], Convolution):
            what = writers[0].name if writers else "the image"
            refuse(self.name, f"it pools {self.source}, of {what}; a max pool must follow a convolution (and its ReLU)")
        conv = writers[0]
        others = [layer.name for layer in graph.layers if self.source in layer.reads and layer.name != self.name]
        if others:
            refuse(
                self.name,
                f"it pools the output of convolution {conv.name}, which {others[0]} reads too; the pool must be its "
                "only reader",
            )
        if conv.depthwise:
            refuse(
                self.name,
                f"it pools the output of {conv.name}, a depthwise convolution, a batch norm by itself or an average; a "
                "max pool must follow a convolution on the array",
            )
        if conv.continued is not None or conv.gates:
            what = "residual" if conv.residual is not None else "a place behind"
            extra = conv.gates[0] if conv.gates else f"{what} {conv.continued}"
            refuse(
                self.name,
                f"it pools the output of convolution {conv.name}, which has {extra}; a max pool must follow a "
                "convolution without gates and without a residual, and not a concatenation",
            )
        return conv

    def windows(self, edge: int) -> int:
        """How many windows lie along an edge of the map; each has a pixel of it, or of the padding before it."""
        room = edge + 2 * self.padding - self.window
        if not self.beyond:
            return room // STRIDE + 1
        last = -(-room // STRIDE)
        return last + (last * STRIDE < edge + self.padding)

    def check(self, graph: Graph) -> None:
        if self.window not in WINDOWS or self.padding not in PADDINGS:
            broken(self.name, f"there is no max pool of {self.window} pixels with padding {self.padding}")
        source = shape_of(graph, self.source)
        rows, columns = self.windows(source.height), self.windows(source.width)
        if shape_of(graph, self.output) != TensorShape(source.channels, rows, columns):
            broken(self.name, f"its windows do not make {graph.shapes[self.output]} of {source}")
        self.rides_on(graph)


@dataclass(frozen=True)
class FloatMaxPool(MaxPool, FloatWithoutWeights):
    """The largest value of each window."""

    def run(self, batch: float_executor.Batch) -> None:
        source = batch.maps[self.source]
        batch.write(self.output, F.max_pool2d(source, self.window, STRIDE, self.padding, ceil_mode=self.beyond))

    def quantise(self, quantiser: Quantiser) -> QuantisedMaxPool:
        """The largest integer stands for the largest value, so that the scale stays and nothing is rounded."""
        ranges = quantiser.ranges
        if quantiser.scale(self.output) != quantiser.result.scales[self.source]:
            raise GatewrightError(
                f"max pool {self.name}: the range of its input {self.source} is {ranges[self.source]:g}, that of its "
                f"output {ranges[self.output]:g}; a maximum is not scaled, so they need one range"
            )
        return QuantisedMaxPool(self.name, self.source, self.output, self.window, self.padding, self.beyond)


@dataclass(frozen=True)
class QuantisedMaxPool(MaxPool, QuantisedWithoutWeights):
    """The largest int8 value of each window, in the scale of the map that it pools."""

    def check(self, graph: Graph) -> None:
        super().check(graph)
        if isinstance(graph, QuantisedGraph) and graph.scales[self.output] != graph.scales[self.source]:
            broken(self.name, f"its output has another scale than {self.source}")

    def run(self, batch: reference.Batch) -> None:
        # The least int8 value around the map wins nowhere: a window has at least one pixel of the map, and a pixel
        # of that value is as good.
        source = batch.maps[self.source]
        padded = F.pad(source, (self.padding, self.padding + STRIDE) * 2, value=INT8_MIN)
        height, width = ((self.windows(size) - 1) * STRIDE + 1 for size in source.shape[2:])
        across = padded[:, :, :, :width:STRIDE]
        for offset in range(1, self.window):
            across = across.maximum(padded[:, :, :, offset : offset + width : STRIDE])
        values = across[:, :, :height:STRIDE]
        for offset in range(1, self.window):
            values = values.maximum(across[:, :, offset : offset + height : STRIDE])
        batch.write(self.output, values)

    def sizes(self, graph: QuantisedGraph) -> dict[str, int]:
        return {self.output: graph.shapes[self.output].size}

    def begun_with(self, graph: QuantisedGraph) -> tuple[str, ...]:
        return (self.source,)

    @property
    def banks(self) -> tuple[str, ...]:
        return ()

    def lay_out(self, image: NetworkImage) -> None:
        """The identity's factor lies before the parameters of the convolution that it rides on."""

    def lower(self, lowering: Lowering, group: Sequence[QuantisedLayer]) -> None:
        """It is emitted by the convolution that writes its source."""

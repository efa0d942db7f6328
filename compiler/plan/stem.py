"""A convolution with a max pool behind it: its map is never whole, the pool takes each of its rows as it is made."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gatewright.compiler.graph.graph import QuantisedGraph, QuantisedLayer
from gatewright.compiler.kinds.convolution import QuantisedConv
from gatewright.compiler.kinds.max_pool import STRIDE, QuantisedMaxPool
from gatewright.compiler.kinds.pooling import Pooling
from gatewright.compiler.plan.bands import BandStep, Rows, needed_rows
from gatewright.compiler.plan.spills import rows_in_beats

IMAGE_AHEAD = 2
"""Bands whose rows of the image are brought before it is their turn: their LOAD shares the port with the epilogue."""

POOLED_ROWS = 1
"""Rows of the pool's output that are made together."""

LEAST_POOL_ROWS = 4
"""Rows of the pool's output that are there at least: some go to DRAM while the next are made."""

AVERAGED_TILES = 3
"""Rows of tiles of the pool's output that are there: one is averaged, the next is made, and one more goes to DRAM."""


@dataclass(frozen=True)
class PooledConvolution:
    """A convolution and the max pool that reads its map."""

    convolution: QuantisedConv
    pool: QuantisedMaxPool

    def layers(self, graph: QuantisedGraph) -> list[QuantisedLayer]:
        """What is emitted in turn: both, and the averages of the pool's output."""
        averages = [la for la in graph.layers if isinstance(la, Pooling) and la.source == self.pool.output]
        return [self.convolution, self.pool, *averages]

    @property
    def rings(self) -> str:
        """The name of the piece of scratchpad for the rows of the pool's output, where its map lies in DRAM."""
        return f"{self.pool.output}.rings"

    def pool_rows(self, graph: QuantisedGraph, apart: bool = False) -> int:
        """Rows of the pool's output that are there where its map lies in DRAM: those that go, and those averaged.

        The averages of a row of tiles are made one by one while the rows of the next are; ``apart``: behind all rows.
        """
        tile = max((la.tile for la in self.layers(graph) if isinstance(la, Pooling)), default=POOLED_ROWS)
        shape = graph.shapes[self.pool.output]
        unit = rows_in_beats(shape.width * shape.channels)
        averaged = -(-(tile * tile) // shape.width) if apart else AVERAGED_TILES * tile
        return -(-max(LEAST_POOL_ROWS, averaged) // unit) * unit

    def steps(self, graph: QuantisedGraph) -> Iterator[BandStep]:
        """Bands: the rows of the convolution's map that are made, then the rows that are pooled."""
        height, middle = graph.shapes[self.pool.output].height, graph.shapes[self.pool.source].height
        done = 0
        for first in range(0, height, POOLED_ROWS):
            output = Rows(first, min(first + POOLED_ROWS, height))
            needed = self.window_rows(output)
            upto = max(done, min(needed.end, middle))
            yield BandStep(Rows(done, upto), output)
            done = upto

    def window_rows(self, output: Rows) -> Rows:
        """Rows of the convolution's map under some rows of the pool's output; they may lie outside the map."""
        first = output.first * STRIDE - self.pool.padding
        return Rows(first, (output.end - 1) * STRIDE - self.pool.padding + self.pool.window)

    def kept_rows(self, graph: QuantisedGraph) -> int:
        """The most rows of the convolution's map that are alive at once."""
        return max(step.middle.end - max(0, self.window_rows(step.output).first) for step in self.steps(graph))

    def wanted_rows(self, graph: QuantisedGraph) -> int:
        """Those, and the rows of one more band, which are made meanwhile."""
        made = max(step.middle.end - step.middle.first for step in self.steps(graph))
        return min(graph.shapes[self.pool.source].height, self.kept_rows(graph) + made)

    def image_rows(self, graph: QuantisedGraph, unit: int) -> int:
        """Rows that a ring of the convolution's source must hold, ``IMAGE_AHEAD`` bands ahead, in whole units.

        ``unit`` rows come together: the first of them may be needed while the others are still ahead of their time, so
        that they must not take the place of rows that are alive.
        """
        steps = list(self.steps(graph))
        height = graph.shapes[self.convolution.source].height
        most = 0
        for number, step in enumerate(steps):
            first = max(0, needed_rows(self.convolution, step.middle).first)
            last = steps[min(number + IMAGE_AHEAD, len(steps) - 1)]
            most = max(most, min(height, needed_rows(self.convolution, last.middle).end) - first)
        return -(-(most + unit - 1) // unit) * unit


def pooled_convolutions(graph: QuantisedGraph) -> list[PooledConvolution]:
    """Every max pool with its convolution."""
    pools = [layer for layer in graph.layers if isinstance(layer, QuantisedMaxPool)]
    writers = {layer.output: layer for layer in graph.layers if isinstance(layer, QuantisedConv)}
    return [PooledConvolution(writers[pool.source], pool) for pool in pools]

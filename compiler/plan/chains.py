"""Convolutions around a grouped one that take turns by rows, so that of the maps between them only rows are kept.

Each makes the rows that the one behind it needs. What is added to in place is read before it is written: a row of the
chain's input is read as soon as the rows above it are, by a convolution that runs ahead.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from gatewright.compiler.graph.graph import QuantisedGraph
from gatewright.compiler.kinds.convolution import QuantisedConv
from gatewright.compiler.plan.bands import UNGATED_ROWS, Rows, needed_rows, tile_rows
from gatewright.compiler.plan.stem import IMAGE_AHEAD
from gatewright.compiler.plan.tiling import computed_edge

BANDS = (UNGATED_ROWS, UNGATED_ROWS // 2, 1)
"""Rows of a chain's output that are made together, the first that fits."""

Step = tuple[tuple[QuantisedConv, Rows], ...]


@dataclass(frozen=True, eq=False)
class Chain:
    """Convolutions, each but the first the only reader of what the one before it writes.

    ``rows`` of the last one's output are made together, or a row of its tiles. ``cut``: the first one may make some
    rows of its tiles, each tile by itself.
    """

    graph: QuantisedGraph
    layers: tuple[QuantisedConv, ...]
    rows: int
    cut: bool = False

    @property
    def names(self) -> set[str]:
        """The layers' names."""
        return {layer.name for layer in self.layers}

    @property
    def middles(self) -> tuple[str, ...]:
        """The maps of which only rows are kept."""
        return tuple(layer.output for layer in self.layers[:-1])

    @cached_property
    def _units(self) -> dict[str, int]:
        """By layer the rows of its output that are made together at least."""
        return {layer.name: self._unit_of(layer) for layer in self.layers}

    def _unit(self, layer: QuantisedConv) -> int:
        return self._units[layer.name]

    def _unit_of(self, layer: QuantisedConv) -> int:
        shape = self.graph.shapes[layer.output]
        if self.cut and layer is self.layers[0]:
            return computed_edge(shape.height, shape.width)
        return tile_rows(self.graph, layer) or computed_edge(shape.height, shape.width)

    @property
    def band(self) -> int:
        """Rows of the last layer's output that are made together."""
        unit = self._unit(self.layers[-1])
        return -(-self.rows // unit) * unit

    @cached_property
    def steps(self) -> tuple[Step, ...]:
        """What is made in turn: rows of each layer, in order; rows that are there already are not made again.

        The last layer makes whole rows of tiles. The others make those ``rows`` at a time, so that fewer are kept.
        """
        *_, before, last = self.layers
        height, shape = self.graph.shapes[last.output].height, self.graph.shapes[before.output]
        done = dict.fromkeys(self.middles, 0)
        steps = []
        for first in range(0, height, self.band):
            rows = Rows(first, min(first + self.band, height))
            begin, end = done[before.output], min(needed_rows(last, rows).end, shape.height)
            parts = [min(part + self.rows, end) for part in range(begin, end, self.rows)] or [end]
            for part in parts:
                made = self._made(len(self.layers) - 2, part, done)
                steps.append(tuple([*made, (last, rows)] if part == end else made))
        return tuple(step for step in steps if step)

    def _made(self, number: int, end: int, done: dict[str, int]) -> list[tuple[QuantisedConv, Rows]]:
        """The rows of a layer up to ``end`` that are not ``done``, behind what they need of those before it."""
        layer, unit = self.layers[number], self._unit(self.layers[number])
        height, first = self.graph.shapes[layer.output].height, done[layer.output]
        rows = Rows(first, min(-(-min(end, height) // unit) * unit, height))
        if rows.end <= first:
            return []
        made = self._made(number - 1, needed_rows(layer, rows).end, done) if number else []
        done[layer.output] = rows.end
        return [*made, (layer, rows)]

    @cached_property
    def kept_rows(self) -> dict[str, int]:
        """By map between the layers the most rows that are alive at once: what is made, back to what is still read."""
        kept = dict.fromkeys(self.middles, 0)
        done = dict.fromkeys(self.middles, 0)
        for step in self.steps:
            for layer, rows in step:
                if layer.output in done:
                    done[layer.output] = rows.end
                if layer.source in done:
                    first = max(0, needed_rows(layer, rows).first)
                    kept[layer.source] = max(kept[layer.source], done[layer.source] - first)
        return kept

    def image_rows(self, step: int) -> int:
        """Rows of the first layer's source that are needed up to a step."""
        first = self.layers[0]
        made = [rows for one in self.steps[: step + 1] for layer, rows in one if layer is first]
        return max(min(needed_rows(first, rows).end, self.graph.shapes[first.source].height) for rows in made)

    def image_ring(self, unit: int) -> int:
        """Rows that a ring of the first layer's source must hold, ``IMAGE_AHEAD`` steps ahead, in whole units."""
        first, most = self.layers[0], 0
        for number, step in enumerate(self.steps):
            last = self.image_rows(min(number + IMAGE_AHEAD, len(self.steps) - 1))
            for layer, rows in step:
                if layer is first:
                    most = max(most, last - max(0, needed_rows(first, rows).first))
        return -(-(most + unit - 1) // unit) * unit


def chains(graph: QuantisedGraph) -> list[Chain]:
    """A chain for each grouped convolution, with the one before it and the one behind, those of most bytes first."""
    found: list[Chain] = []
    convolutions = [layer for layer in graph.layers if isinstance(layer, QuantisedConv)]
    for grouped in (layer for layer in convolutions if layer.groups > 1):
        if grouped.normalises or grouped.averages:
            continue
        before = next(layer for layer in convolutions if layer.output == grouped.source)
        readers = [layer for layer in graph.layers if grouped.output in layer.reads]
        layers: tuple[QuantisedConv, ...] = (before, grouped)
        if len(readers) == 1 and isinstance(readers[0], QuantisedConv) and readers[0].residual != grouped.output:
            layers = (*layers, readers[0])
        chain = Chain(graph, layers, BANDS[0])
        if in_a_row(graph, layers) and not any(other.names & chain.names for other in found):
            found.append(chain)
    size = {chain: sum(graph.shapes[name].size for name in chain.middles) for chain in found}
    return sorted(found, key=lambda chain: -size[chain])


def chain_ways(graph: QuantisedGraph) -> Iterator[tuple[Chain, ...]]:
    """Chains that are computed by rows: few before many, wide bands before narrow, the first ones in one as a last."""
    alone = chains(graph)
    ways = [(rows, False) for rows in BANDS] + [(rows, True) for rows in BANDS]
    for rows, cut in ways:
        for count in range(1, len(alone) + 1):
            yield tuple(replace(chain, rows=rows, cut=cut) for chain in alone[:count])
    if not alone:
        return
    first, *rest = sorted(alone, key=lambda chain: graph.layers.index(chain.layers[0]))
    for second in rest:
        joined = _joined(graph, first, second)
        if joined is None:
            return
        first = joined
        others = [chain for chain in alone if not chain.names & first.names]
        for rows, cut in ways:
            for count in range(len(others) + 1):
                yield (replace(first, rows=rows), *(replace(chain, cut=cut) for chain in others[:count]))


def _joined(graph: QuantisedGraph, first: Chain, second: Chain) -> Chain | None:
    """Two chains as one, if the second begins with the map that the first ends in, and nobody else reads that."""
    between = first.layers[-1].output
    readers = [layer for layer in graph.layers if between in layer.reads]
    layers = (*first.layers, *second.layers)
    alone = [reader.name for reader in readers] == [second.layers[0].name] and first.layers[-1].residual is None
    return replace(first, layers=layers) if alone and in_a_row(graph, layers) else None


def in_a_row(graph: QuantisedGraph, layers: Sequence[QuantisedConv]) -> bool:
    """Whether what the layers need but one another's maps is there before the first of them."""
    place = graph.layers.index(layers[0])
    before = graph.layers[:place]
    known = {graph.input, *(tensor for layer in before for tensor in layer.writes)}
    known |= {layer.output for layer in layers}
    decided = {layer.name for layer in before}
    shortcuts = any(layer.completed_by is not None for layer in layers)
    return not shortcuts and all(set(layer.reads) <= known and set(layer.gates) <= decided for layer in layers)

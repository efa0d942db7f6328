"""Convolutions around a grouped one that take turns by rows, so that of the maps between them only rows are kept.

Each makes the rows that the one behind it needs. What is added to in place is read before it is written: a row of the
chain's input is read as soon as the rows above it are, by a convolution that runs ahead.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from gatewright.compiler.graph.graph import QuantisedGraph
from gatewright.compiler.kinds.convolution import QuantisedConv
from gatewright.compiler.plan.array_share import Share
from gatewright.compiler.plan.bands import UNGATED_ROWS, Rows, needed_rows, tile_rows
from gatewright.compiler.plan.depthwise import in_epilogue
from gatewright.compiler.plan.side_by_side import Order, Place, places, rounds
from gatewright.compiler.plan.stem import IMAGE_AHEAD
from gatewright.compiler.plan.tile_sets import computed_edge
from gatewright.contract.arch import ArchConfig

BANDS = (UNGATED_ROWS, UNGATED_ROWS // 2, 1)
"""Rows of a chain's output that are made together, the first that fits."""

MOST_ROWS = 16
"""Rows of a chain's output that are made together at most, where layers work side by side."""

Step = tuple[tuple[QuantisedConv, Rows], ...]


@dataclass(frozen=True, eq=False)
class Chain:
    """Convolutions, each but the first the only reader of what the one before it writes.

    ``rows`` of the last one's output are made together, or a row of its tiles. ``cut``: the first one may make some
    rows of its tiles, each tile by itself. ``order``: which layers work side by side; ``in_epilogue`` names those that
    EPILOGUE computes. ``share``: of these the channels on the array.
    """

    graph: QuantisedGraph
    layers: tuple[QuantisedConv, ...]
    rows: int
    cut: bool = False
    order: Order = Order.IN_TURN
    in_epilogue: frozenset[str] = frozenset()
    share: Share = field(default_factory=dict)

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
        """Rows of each layer's output that are made together at least."""
        units = {}
        for layer in self.layers:
            shape = self.graph.shapes[layer.output]
            alone = self.cut and layer is self.layers[0]
            units[layer.name] = (not alone and tile_rows(self.graph, layer)) or computed_edge(shape.height, shape.width)
        return units

    @cached_property
    def band(self) -> int:
        """Rows of the last layer's output that are made together."""
        unit = self._units[self.layers[-1].name]
        return -(-self.rows // unit) * unit

    def ways(self, arch: ArchConfig) -> list[Chain]:
        """The chain as it is, and with layers side by side by rows, if EPILOGUE computes all that have groups."""
        grouped = [layer for layer in self.layers if layer.groups > 1]
        if self.cut or not all(in_epilogue(layer, self.graph, arch) for layer in grouped):
            return [self]
        names, height = frozenset(layer.name for layer in grouped), self.graph.shapes[self.layers[-1].output].height
        most = min(MOST_ROWS, height // 2)
        return [replace(self, in_epilogue=names)] + [
            replace(self, rows=rows, order=order, in_epilogue=names)
            for rows in range(1, most + 1)
            for order in (Order.IN_PHASES, Order.SIDE_BY_SIDE)
        ]

    @cached_property
    def places(self) -> tuple[Place, ...]:
        """By layer how far it is behind the first one."""
        return places([layer.name in self.in_epilogue for layer in self.layers], self.order)

    @cached_property
    def steps(self) -> tuple[Step, ...]:
        """What is made one after the other, or, in another order, what is made side by side."""
        if self.order == Order.IN_TURN:
            return self._in_turn
        made = [{layer.name: (layer, rows) for layer, rows in step} for step in self._in_turn]
        names = [layer.name for layer in self.layers]
        phases = (
            tuple(made[turn][names[number]] for number, turn in phase if names[number] in made[turn])
            for phase in rounds(self.places, len(made))
        )
        return tuple(phase for phase in phases if phase)

    @cached_property
    def _in_turn(self) -> tuple[Step, ...]:
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
        layer, unit = self.layers[number], self._units[self.layers[number].name]
        height, first = self.graph.shapes[layer.output].height, done[layer.output]
        rows = Rows(first, min(-(-min(end, height) // unit) * unit, height))
        if rows.end <= first:
            return []
        made = self._made(number - 1, needed_rows(layer, rows).end, done) if number else []
        done[layer.output] = rows.end
        return [*made, (layer, rows)]

    @cached_property
    def kept_rows(self) -> dict[str, int]:
        """By map in a ring the most rows that are alive at once: what is made, back to what is still read.

        What is made side by side is made in any order: all of it is there while the first is read.
        """
        if self.order == Order.BY_CHANNELS:
            return {}
        kept = dict.fromkeys(self.middles, 0)
        done = dict.fromkeys(self.middles, 0)
        for step in self.steps:
            if self.order != Order.IN_TURN:
                done |= {layer.output: rows.end for layer, rows in step if layer.output in done}
            for layer, rows in step:
                if layer.output in done:
                    done[layer.output] = rows.end
                if layer.source in done:
                    first = max(0, needed_rows(layer, rows).first)
                    kept[layer.source] = max(kept[layer.source], done[layer.source] - first)
        return kept

    @property
    def image_ahead(self) -> int:
        """Steps of which the image's rows are brought before it is their turn."""
        return IMAGE_AHEAD * (1 + max(place.phase for place in self.places))

    def image_rows(self, step: int) -> int:
        """Rows of the first layer's source that are needed up to a step."""
        return self._image_rows[step]

    @cached_property
    def _image_rows(self) -> list[int]:
        """By step."""
        first, needed = self.layers[0], [0]
        for step in self.steps:
            ends = [needed_rows(first, rows).end for layer, rows in step if layer is first]
            needed.append(min(max([needed[-1], *ends]), self.graph.shapes[first.source].height))
        return needed[1:]

    def image_ring(self, unit: int) -> int:
        """Rows that a ring of the first layer's source must hold, ``image_ahead`` steps ahead, in whole units."""
        first, most = self.layers[0], 0
        for number, step in enumerate(self.steps):
            last = self.image_rows(min(number + self.image_ahead, len(self.steps) - 1))
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


def chain_ways(graph: QuantisedGraph, live: bool = False) -> Iterator[tuple[Chain, ...]]:
    """Chains that are computed by rows: few before many, wide bands before narrow, the first ones in one as a last.

    For a ``live`` program, whose cut tiles take instructions each whether they are active or not, tiles are first cut
    in as few chains as do.
    """
    alone = chains(graph)
    ways = [(rows, False) for rows in BANDS] + [(rows, True) for rows in BANDS]
    for rows, cut in ways:
        yield from (some for some in _first_ones(alone, rows, cut, live) if some)
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
            yield from ((replace(first, rows=rows), *some) for some in _first_ones(others, None, cut, live))


def _first_ones(chains: Sequence[Chain], rows: int | None, cut: bool, live: bool) -> Iterator[tuple[Chain, ...]]:
    """The first few of some chains, by ``rows`` if these are given; all of them cut their tiles, or first few."""
    wanted = [replace(chain, rows=chain.rows if rows is None else rows) for chain in chains]
    gated = [number for number, chain in enumerate(wanted) if any(layer.gates for layer in chain.layers)]
    for cuts in range(1, len(gated) if live and cut else 1):
        few = [replace(chain, cut=number in gated[:cuts]) for number, chain in enumerate(wanted)]
        yield from (tuple(few[:count]) for count in range(gated[cuts - 1] + 1, len(few) + 1))
    every = [replace(chain, cut=cut) for chain in wanted]
    yield from (tuple(every[:count]) for count in range(len(every) + 1))


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

"""How the maps of a network lie whose batch norms and averages are layers of their own, such as a DenseNet.

Its layers take turns by rows where maps do not fit: a batch norm, the convolutions behind it, up to the one that puts
its channels into the concatenation. What is left of that is one map, the widest of all; where it does not fit it lies
in DRAM, and each pass brings its rows, adds to them, and takes them back, in a ring of its own: what fits for one pass
alone is enough. First as few maps as do lie in DRAM; then each pass, one after the other, gets the steps that take it
the fewest cycles of all that find room.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from gatewright.compiler.graph.graph import QuantisedGraph
from gatewright.compiler.kinds.convolution import QuantisedConv
from gatewright.compiler.plan.allocate import RowRing, Spill
from gatewright.compiler.plan.chains import BANDS, Chain, in_a_row
from gatewright.compiler.plan.layout import slices_of
from gatewright.compiler.plan.pass_cycles import comes_again, pass_cycles
from gatewright.compiler.plan.spills import Pass, maps_of, ring_rows_of, use_of
from gatewright.compiler.plan.stem import PooledConvolution
from gatewright.contract.arch import ArchConfig

LONGEST = 3
"""Layers of a chain: a batch norm, and the two convolutions of a dense layer."""

STEPS = 16
"""Numbers of chains that are tried, about."""

STEP_ROWS = (1, 2, 3, 4, 7, 8, 14)
"""Rows of a chain's steps that are tried."""


@dataclass(frozen=True, eq=False)
class NormPass:
    """What is computed in turn: a chain, or a convolution that reads or writes a map in DRAM alone.

    ``ahead``: whether rows of maps in DRAM come while the step before theirs is computed.
    """

    graph: QuantisedGraph
    chain: Chain | None
    layers: tuple[QuantisedConv, ...]
    ahead: bool = False

    @cached_property
    def steps(self) -> Pass:
        """Its steps."""
        return Pass.of_layer(self.layers[0], self.graph) if self.chain is None else Pass(self.chain.steps)

    @property
    def maps(self) -> set[str]:
        """Those whose rows it reads or writes."""
        return {name for layer in self.layers for name in maps_of(layer)}

    def choices(self, in_dram: set[str]) -> list[NormPass]:
        """It, in every kind of steps that is tried."""
        ahead = (True, False) if self.maps & in_dram else (False,)
        if self.chain is None:
            return [replace(self, ahead=early) for early in ahead]
        height = self.graph.shapes[self.layers[-1].output].height
        chains = [replace(self.chain, rows=rows) for rows in STEP_ROWS if rows <= height]
        return [replace(self, chain=chain, ahead=early) for chain in chains for early in ahead]

    def ring(self, stream: tuple[str, ...]) -> RowRing | None:
        """The ring for the rows of a map in DRAM; None if it does not read or write any."""
        use = use_of(self.steps, stream, self.graph)
        if not self.maps & {*stream} or not (use.reads or use.writes):
            return None
        names = tuple(layer.name for layer in self.layers)
        rows = ring_rows_of([self.steps], self.graph, stream, int(self.ahead))
        return RowRing(f"{stream[0]} in {names[0]}", names, rows, int(self.ahead))

    def cycles(self, in_dram: set[str], arch: ArchConfig) -> float:
        """About the cycles that it takes."""
        turns = [layer.name for step in self.steps.steps for layer, _ in step]
        work = again = 0.0
        for layer in self.layers:
            shape = self.graph.shapes[layer.output]
            work += self._blocks(layer, arch) * slices_of(layer.weight[0].size, arch) * shape.height * shape.width
            again += layer.weight.size * turns.count(layer.name) if comes_again(layer, arch) else 0
        moved = sum(self.graph.shapes[name].size for name in self.maps & in_dram)
        return pass_cycles(work, again, moved, len(self.steps.steps), self.ahead, arch)

    def _blocks(self, layer: QuantisedConv, arch: ArchConfig) -> int:
        return 0 if layer.averages else -(-len(layer.weight) // arch.columns)


@dataclass(frozen=True)
class Way:
    """What is computed in turn, in order of execution, and the maps that lie in DRAM, those of a place together."""

    passes: tuple[NormPass, ...]
    streams: tuple[tuple[str, ...], ...] = ()

    @property
    def chains(self) -> tuple[Chain, ...]:
        """The convolutions that take turns."""
        return tuple(one.chain for one in self.passes if one.chain is not None)

    @property
    def in_dram(self) -> set[str]:
        """All maps that lie in DRAM."""
        return {name for stream in self.streams for name in stream}

    def spills(self, graph: QuantisedGraph, stems: Sequence[PooledConvolution]) -> list[Spill]:
        """Every ring."""
        found = []
        for stream in self.streams:
            rings = []
            for stem in stems:
                if stem.pool.output in stream:
                    names = tuple(layer.name for layer in stem.layers(graph))
                    rings.append(RowRing(f"{stream[0]} in {names[0]}", names, stem.pool_rows(graph)))
            rings += [ring for one in self.passes if (ring := one.ring(stream)) is not None]
            found.append(Spill(stream, tuple(rings)))
        return found


def has_norms(graph: QuantisedGraph) -> bool:
    """Whether a network has batch norms or averages that are layers of their own, or concatenations."""
    convolutions = [layer for layer in graph.layers if isinstance(layer, QuantisedConv)]
    return any(layer.normalises or layer.averages or layer.appended_to for layer in convolutions)


def norm_chains(graph: QuantisedGraph, averages_end: int) -> list[Chain]:
    """From each batch norm or average on the layers that alone read what the one before them writes; largest first.

    A chain ends behind averages of ``averages_end`` bytes at most: what reads them has all of them, and reads its
    filters once.
    """
    found: list[Chain] = []
    for layer in (one for one in graph.layers if isinstance(one, QuantisedConv)):
        if not (layer.normalises or layer.averages) or any(layer.name in chain.names for chain in found):
            continue
        layers = [layer]
        while len(layers) < LONGEST and layers[-1].continued is None:
            if layers[-1].averages and graph.shapes[layers[-1].output].size <= averages_end:
                break
            readers = [other for other in graph.layers if layers[-1].output in other.reads]
            (reader,) = readers if len(readers) == 1 else (None,)
            if not isinstance(reader, QuantisedConv) or reader.residual is not None or reader.completed_by is not None:
                break
            layers.append(reader)
        chain = Chain(graph, tuple(layers), BANDS[0])
        if len(layers) > 1 and in_a_row(graph, chain.layers):
            found.append(chain)
    size = {chain: sum(graph.shapes[name].size for name in chain.middles) for chain in found}
    return sorted(found, key=lambda chain: -size[chain])


def ways(graph: QuantisedGraph, stems: Sequence[PooledConvolution], arch: ArchConfig) -> Iterator[Way]:
    """Chains by rows and maps in DRAM: few before many, wide steps before narrow. No rows come ahead of their time.

    ``graph`` has the shapes that maps have where they lie. What is larger than the scratchpad lies in DRAM.
    """
    streams = _streams(graph, stems)
    kinds = [norm_chains(graph, averages_end) for averages_end in (arch.scratchpad_bytes // 2, 0)]
    kinds = kinds[:1] if [one.names for one in kinds[0]] == [one.names for one in kinds[1]] else kinds
    least = sum(graph.shapes[stream[0]].size > arch.scratchpad_bytes for stream in streams)
    yield Way(())
    for rows in BANDS:
        for alone in kinds if not least else ():
            for count in _some(len(alone))[1:]:
                yield _way(graph, [replace(chain, rows=rows) for chain in alone[:count]], ())
    for count in range(max(1, least), len(streams) + 1):
        for rows in BANDS:
            for alone in kinds:
                touching = [chain for chain in alone if _touches(chain, streams[:count])]
                others = [chain for chain in alone if chain not in touching]
                for most in _some(len(others)):
                    chosen = [replace(chain, rows=rows) for chain in [*touching, *others[:most]]]
                    yield _way(graph, chosen, tuple(streams[:count]))


def in_better_steps(way: Way, fits: Callable[[Way], bool], arch: ArchConfig) -> Way:
    """The way, each pass in the steps that take it the fewest cycles of those that find room."""
    for number, one in enumerate(way.passes):
        for choice in sorted(one.choices(way.in_dram), key=lambda which: which.cycles(way.in_dram, arch)):
            better = replace(way, passes=(*way.passes[:number], choice, *way.passes[number + 1 :]))
            if fits(better):
                way = better
                break
    return way


def _touches(chain: Chain, streams: Sequence[Sequence[str]]) -> bool:
    """Whether a chain reads or writes one of the streams."""
    return any({*la.reads, *la.writes} & {*stream} for la in chain.layers for stream in streams)


def _way(graph: QuantisedGraph, chains: Sequence[Chain], streams: tuple[tuple[str, ...], ...]) -> Way:
    """The chains, and every convolution that reads or writes one of the maps alone, in order of execution."""
    of = {layer.name: chain for chain in chains for layer in chain.layers}
    in_dram, found, seen = {name for stream in streams for name in stream}, list[NormPass](), set[str]()
    for layer in graph.layers:
        chain = of.get(layer.name)
        if not isinstance(layer, QuantisedConv) or layer.name in seen:
            continue
        if chain is not None:
            seen |= chain.names
            found.append(NormPass(graph, chain, chain.layers))
        elif {*layer.reads, *layer.writes} & in_dram:
            found.append(NormPass(graph, None, (layer,)))
    return Way(tuple(found), streams)


def _some(count: int) -> list[int]:
    """Numbers from 0 to ``count``, all or some."""
    return sorted({*range(0, count, max(1, count // STEPS)), count})


def _streams(graph: QuantisedGraph, stems: Sequence[PooledConvolution]) -> list[tuple[str, ...]]:
    """The maps that share a place, of concatenations and alone, that may lie in DRAM; those of most bytes first.

    Who reads and writes them are convolutions without gates, and at most the max pool that begins them.
    """
    owner: dict[str, list[str]] = {stem.pool.output: [stem.pool.output] for stem in stems}
    for layer in graph.layers:
        if isinstance(layer, QuantisedConv):
            stream = owner.get(layer.in_place or "", [])
            stream.append(layer.output)
            owner[layer.output] = stream
    middles = {stem.pool.source for stem in stems}

    def may(stream: list[str]) -> bool:
        users = [layer for layer in graph.layers if {*layer.reads, *layer.writes} & {*stream}]
        users = [layer for layer in users if layer not in [stem.pool for stem in stems]]
        plain = all(isinstance(la, QuantisedConv) and not la.gates and la.completed_by is None for la in users)
        return plain and len(stream) > 1 and not middles & {*stream}

    streams = {id(stream): tuple(stream) for stream in owner.values() if may(stream)}
    return sorted(streams.values(), key=lambda stream: -graph.shapes[stream[0]].size)


def ring_wishes(graph: QuantisedGraph, chains: Sequence[Chain]) -> dict[str, int]:
    """Bytes of the rings of the maps between the layers of chains."""
    kept = {name: rows for chain in chains for name, rows in chain.kept_rows.items()}
    return {name: rows * graph.shapes[name].width * graph.shapes[name].channels for name, rows in kept.items()}

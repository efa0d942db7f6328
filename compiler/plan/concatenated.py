"""How the maps of a network lie whose batch norms and averages are layers of their own, such as a DenseNet.

Its layers take turns by rows where maps do not fit: a batch norm, the convolutions behind it, up to the one that puts
its channels into the concatenation. What is left of that is one map, the widest of all; where it does not fit it lies
in DRAM, and each pass brings its rows, adds to them, and takes them back.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from gatewright.compiler.graph.graph import QuantisedGraph
from gatewright.compiler.kinds.convolution import QuantisedConv
from gatewright.compiler.plan.allocate import RowRing, Spill
from gatewright.compiler.plan.chains import BANDS, Chain, in_a_row
from gatewright.compiler.plan.filters import RESIDENT_SHARE
from gatewright.compiler.plan.spills import Pass, ring_rows_of, use_of
from gatewright.compiler.plan.stem import PooledConvolution
from gatewright.contract.arch import ArchConfig

LONGEST = 3
"""Layers of a chain: a batch norm, and the two convolutions of a dense layer."""

STEPS = 16
"""Numbers of chains that are tried, about."""

WIDER = (1, 2, 4, 7, 8, 14)
"""Rows of bands that are tried where there is room."""

Way = tuple[tuple[Chain, ...], list[Spill]]


def has_norms(graph: QuantisedGraph) -> bool:
    """Whether a network has batch norms or averages that are layers of their own, or concatenations."""
    convolutions = [layer for layer in graph.layers if isinstance(layer, QuantisedConv)]
    return any(layer.normalises or layer.averages or layer.appended_to for layer in convolutions)


def norm_chains(graph: QuantisedGraph) -> list[Chain]:
    """From each batch norm or average on the layers that alone read what the one before them writes; largest first."""
    found: list[Chain] = []
    for layer in (one for one in graph.layers if isinstance(one, QuantisedConv)):
        if not (layer.normalises or layer.averages) or any(layer.name in chain.names for chain in found):
            continue
        layers = [layer]
        while len(layers) < LONGEST and layers[-1].continued is None:
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
    """Chains by rows and maps in DRAM: few before many, wide bands before narrow. No rows come ahead of their time.

    ``graph`` has the shapes that maps have where they lie. What is larger than the scratchpad lies in DRAM.
    """
    alone, streams = norm_chains(graph), _streams(graph, stems)
    of = {rows: {chain: replace(chain, rows=rows) for chain in alone} for rows in BANDS}
    least = sum(graph.shapes[stream[0]].size > arch.scratchpad_bytes for stream in streams)
    yield (), []
    for rows in BANDS:
        for count in _some(len(alone))[1:] if not least else ():
            yield tuple(of[rows][chain] for chain in alone[:count]), []
    for count in range(max(1, least), len(streams) + 1):
        touching = [chain for chain in alone if _touches(chain, streams[:count])]
        others = [chain for chain in alone if chain not in touching]
        for rows in BANDS:
            for most in _some(len(others)):
                chosen = tuple(of[rows][chain] for chain in [*touching, *others[:most]])
                yield chosen, _spilled(graph, chosen, stems, streams[:count], [0] * count)


def wider(graph: QuantisedGraph, way: Way, stems: Sequence[PooledConvolution], arch: ArchConfig) -> Iterator[Way]:
    """A way with rows of one more map in DRAM brought ahead of their time; else with wider bands for one's chains.

    For the former bands may be narrower: of the chains between two maps, of the map's own, and of all; but not of those
    whose filters are streamed, and come again for each band.
    """
    chains, spills = way
    tensors, ahead = [spill.tensors for spill in spills], [spill.rings[0].ahead for spill in spills]
    stream_of = {chain: _stream_of(chain, tensors) for chain in chains}
    resident, of = RESIDENT_SHARE
    most = arch.weight_words * arch.rows * resident // of
    streamed = {chain for chain in chains if any(layer.weight.size > most for layer in chain.layers)}

    def changed(number: int, rows: dict[int | None, int], early: int) -> Way:
        wanted = {one: rows.get(stream_of[one], one.rows) for one in chains}
        chosen = tuple(
            one if rows == one.rows or (rows < one.rows and one in streamed) else replace(one, rows=rows)
            for one, rows in wanted.items()
        )
        return chosen, _spilled(graph, chosen, stems, tensors, [*ahead[:number], early, *ahead[number + 1 :]])

    for number, early in enumerate(ahead):
        narrower: list[tuple[int | None, ...]] = [(), (None,), (None, number), (None, *range(len(tensors)))]
        for which in narrower if not early else ():
            yield changed(number, dict.fromkeys(which, 1), 1)
    for number, early in enumerate(ahead):
        now = max((chain.rows for chain in chains if stream_of[chain] == number), default=BANDS[0])
        for more in WIDER:
            if more > now:
                yield changed(number, {number: more}, early)
    for chain in (one for one in chains if stream_of[one] is None):
        for more in WIDER:
            if more > chain.rows:
                chosen = tuple(replace(one, rows=more) if one is chain else one for one in chains)
                yield chosen, _spilled(graph, chosen, stems, tensors, ahead)


def _stream_of(chain: Chain, streams: Sequence[Sequence[str]]) -> int | None:
    """The number of the stream that a chain reads and adds to; None for one between two, or elsewhere."""
    ends = {chain.layers[0].source, chain.layers[-1].output}
    return next((number for number, stream in enumerate(streams) if ends <= {*stream}), None)


def _touches(chain: Chain, streams: Sequence[Sequence[str]]) -> bool:
    """Whether a chain reads or writes one of the streams."""
    return any({*la.reads, *la.writes} & {*stream} for la in chain.layers for stream in streams)


def _spilled(
    graph: QuantisedGraph,
    chains: Sequence[Chain],
    stems: Sequence[PooledConvolution],
    streams: Sequence[tuple[str, ...]],
    ahead: Sequence[int],
) -> list[Spill]:
    """The rings of streams in DRAM."""
    spills = []
    for stream, early in zip(streams, ahead, strict=True):
        found = passes(graph, chains, stream)
        pooled = [stem.pool_rows(graph) for stem in stems if stem.pool.output in stream]
        users = [la.name for la in graph.layers if {*stream} & {*la.reads, *la.writes}]
        users += [stem.convolution.name for stem in stems if stem.pool.output in stream]
        rings = []
        for name, alone in _apart(found, graph, stream, bool(pooled)):
            layers = {layer.name for step in alone.steps for layer, _ in step}
            own = tuple(user for user in users if user in layers)
            rings.append(RowRing(name, own, ring_rows_of([alone], graph, stream, early), early))
            users = [user for user in users if user not in own]
            found.remove(alone)
        rows = ring_rows_of(found, graph, stream, early, max(pooled, default=0))
        spills.append(Spill(stream, (RowRing(stream[0], tuple(users), rows, early), *rings)))
    return spills


def _apart(found: Sequence[Pass], graph: QuantisedGraph, stream: Sequence[str], pooled: bool) -> list[tuple[str, Pass]]:
    """The passes with a ring of their own, and its name: that which begins a map, and that which reads it alone.

    What lives with them is another map, which has little room beside the ring of all others. A max pool begins a map
    without a pass, and nothing is apart where nothing would be left.
    """
    uses = [(one, use_of(one, stream, graph)) for one in found]
    begins = [(f"{stream[0]}.begin", one) for one, use in uses if not use.reads]
    ends = [(f"{stream[0]}.end", one) for one, use in uses if not use.writes]
    begins, ends = (kind if len(kind) == 1 else [] for kind in (begins if not pooled else [], ends))
    return [*begins, *ends] if len(begins) + len(ends) < len(found) else []


def _some(count: int) -> list[int]:
    """Numbers from 0 to ``count``, all or some."""
    return sorted({*range(0, count, max(1, count // STEPS)), count})


def passes(graph: QuantisedGraph, chains: Sequence[Chain], tensors: Sequence[str]) -> list[Pass]:
    """Every pass that reads or writes one of the maps, but that of a max pool."""
    of = {layer.name: chain for chain in chains for layer in chain.layers}
    found, seen = [], set[str]()
    for layer in graph.layers:
        if not isinstance(layer, QuantisedConv) or layer.name in seen or not {*layer.reads, *layer.writes} & {*tensors}:
            continue
        chain = of.get(layer.name)
        seen |= {layer.name} if chain is None else chain.names
        found.append(Pass.of_layer(layer, graph) if chain is None else Pass(chain.steps))
    return found


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

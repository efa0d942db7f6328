"""Maps that lie in DRAM: their rows come into a ring of the scratchpad, and go back when they are written.

The maps of a residual stream share one place in DRAM, as they share one in the scratchpad: a row is brought once for
each pass over the map, is read by the pass's first convolution and added to by its last, and goes back.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import lcm

from gatewright.compiler.graph.graph import QuantisedGraph
from gatewright.compiler.kinds.convolution import QuantisedConv
from gatewright.compiler.kinds.interpolation import QuantisedInterpolation
from gatewright.compiler.kinds.max_pool import QuantisedMaxPool
from gatewright.compiler.kinds.output import QuantisedOutput
from gatewright.compiler.kinds.pooling import Pooling
from gatewright.compiler.plan.bands import UNGATED_ROWS, BandedBlock, Rows, needed_rows, tile_rows
from gatewright.contract.arch import BEAT_BYTES


@dataclass(frozen=True)
class DramRows:
    """A map in DRAM, ``size`` bytes from ``dram``, of whose rows a ``ring`` lies in the scratchpad from ``address``.

    A row has ``pitch`` bytes. Rows come and go in whole units, which are whole beats; the ring holds whole units. They
    come ``ahead`` (0 or 1) steps of a pass early. Row 0 lies at place ``shift`` of the ring, behind whole units.
    """

    dram: int
    size: int
    pitch: int
    ring: int
    address: int
    ahead: int = 0
    shift: int = 0

    @property
    def unit(self) -> int:
        """Rows that come together."""
        return rows_in_beats(self.pitch)

    @property
    def height(self) -> int:
        """Rows of the map."""
        return self.size // self.pitch

    def whole_units(self, rows: int) -> int:
        """As many rows, or a few more, that end a unit."""
        return -(-rows // self.unit) * self.unit

    def transfers(self, first: int, end: int, most: int | None = None) -> Iterator[tuple[int, int, int]]:
        """(DRAM address, scratchpad address, beats) of rows [first, end), each of at most ``most`` beats.

        ``first`` and ``end`` are whole units; what lies behind the map is left out.
        """
        while first < end:
            turn = (first + self.shift) // self.ring
            upto = min(end, (turn + 1) * self.ring - self.shift)
            low, high = first * self.pitch, min(upto * self.pitch, -(-self.size // BEAT_BYTES) * BEAT_BYTES)
            step = (high - low) // BEAT_BYTES if most is None else most
            for byte in range(low, high, step * BEAT_BYTES):
                address = self.address + byte + (self.shift - turn * self.ring) * self.pitch
                yield self.dram + byte, address, min(step, (high - byte) // BEAT_BYTES)
            first = upto

    def behind(self, before: DramRows) -> DramRows:
        """The ring of the next pass: its first rows lie behind the last of the pass ``before``, which wait to go."""
        place = before.address + (before.whole_units(before.height) + before.shift) % before.ring * before.pitch
        units = -(-(place - self.address) // (self.unit * self.pitch))
        return replace(self, shift=units * self.unit % self.ring)


def rows_in_beats(pitch: int) -> int:
    """The fewest rows of ``pitch`` bytes that are whole beats: so many come together, and a ring holds a multiple."""
    rows = 1
    while rows * pitch % BEAT_BYTES:
        rows *= 2
    return rows


@dataclass(frozen=True)
class Pass:
    """Convolutions that go through their maps in turn: in each step some rows of their outputs, in order."""

    steps: tuple[tuple[tuple[QuantisedConv, Rows], ...], ...]

    @staticmethod
    def of_block(block: BandedBlock, graph: QuantisedGraph) -> Pass:
        """The bands of a block, by whole rows of tiles."""
        return Pass(
            tuple(
                tuple((layer, rows) for layer, rows in block.turns(step) if rows.first < rows.end)
                for step in block.steps(graph, block.units[0])
            )
        )

    @staticmethod
    def of_layer(layer: QuantisedConv, graph: QuantisedGraph, rows: int | None = None) -> Pass:
        """A convolution alone, by so many ``rows``, or by those of the tiles that its output is gated or pooled in."""
        height = graph.shapes[layer.output].height
        step = rows or tile_rows(graph, layer) or max(1, UNGATED_ROWS // layer.stride)
        return Pass(tuple(((layer, Rows(row, min(row + step, height))),) for row in range(0, height, step)))

    @staticmethod
    def of_layers(layers: Sequence[QuantisedConv], graph: QuantisedGraph, rows: int | None = None) -> Pass:
        """Convolutions of one source that go along, as ``of_layer``: their outputs have the same rows."""
        steps = (Pass.of_layer(layer, graph, rows).steps for layer in layers)
        return Pass(tuple(tuple(turn for part in parts for turn in part) for parts in zip(*steps, strict=True)))


@dataclass(frozen=True)
class Use:
    """What a pass does with the rows of a stream, step by step.

    ``needed``: rows that must be there, 0 if it reads none; ``first``: the first row that is read or written from this
    step on; ``written``: rows that are complete behind the step, 0 if it writes none.
    """

    needed: tuple[int, ...]
    first: tuple[int, ...]
    written: tuple[int, ...]

    @property
    def reads(self) -> bool:
        return any(self.needed)

    @property
    def writes(self) -> bool:
        return any(self.written)

    def rows(self, unit: int, ahead: int) -> int:
        """Rows that a ring must hold, with the rows of so many steps brought ahead of their time (0 or 1)."""
        most = 0
        for step, first in enumerate(self.first):
            done = self._written(step - 1) // unit * unit
            low = min(first // unit * unit, done) if self.writes else first // unit * unit
            if self.reads:
                coming = self.needed[min(step + ahead, len(self.needed) - 1)]
                most = max(most, -(-coming // unit) * unit - low)
            if self.writes:
                stored = self._written(step - 1 - ahead) // unit * unit
                most = max(most, self.written[step] - min(low, stored if not self.reads else low))
        return -(-most // unit) * unit

    def _written(self, step: int) -> int:
        return self.written[step] if step >= 0 else 0


def use_of(one: Pass, tensors: Sequence[str], graph: QuantisedGraph) -> Use:
    """What a pass does with the maps of a stream. What it writes itself needs not be brought."""
    layers = {layer.name: layer for step in one.steps for layer, _ in step}.values()
    written = {layer.output for layer in layers if layer.output in tensors}
    names = {layer.name for layer in layers}
    last = {layer.name for layer in layers if layer.output in written and layer.completed_by not in names}
    needed, first, done = [], [], []
    coming = complete = 0
    for step in one.steps:
        low = []
        for layer, rows in step:
            source = needed_rows(layer, rows)
            for name in layer.sources:
                if name in tensors and name not in written:
                    coming = max(coming, min(source.end, graph.shapes[name].height))
                    low.append(max(0, source.first))
            if layer.elsewhere and layer.residual in tensors:
                coming = max(coming, -(-rows.end >> layer.upsample))
                low.append(rows.first >> layer.upsample)
            if layer.output in tensors:
                low.append(rows.first)
                if layer.in_place is not None and layer.in_place not in written:
                    coming = max(coming, rows.end)
                if layer.name in last:
                    complete = max(complete, rows.end)
        needed.append(coming)
        first.append(min(low) if low else -1)
        done.append(complete)
    for number in reversed(range(len(first) - 1)):  # a step without rows needs what the steps behind it need
        if first[number] < 0 or 0 <= first[number + 1] < first[number]:
            first[number] = first[number + 1]
    return Use(tuple(needed), tuple(max(row, 0) for row in first), tuple(done))


def streams(
    graph: QuantisedGraph, blocks: Sequence[BandedBlock], adds_alone: bool = False, gated: bool = False
) -> list[tuple[str, ...]]:
    """The maps of each residual stream that may lie in DRAM, those with the largest maps first.

    Who writes and reads them are convolutions: of ``blocks``, or alone, of which none is masked and, unless
    ``adds_alone``, none adds a residual; a max pool may begin them. Averages are written along. With ``gated`` a
    convolution alone may be, if the map has all its channels, and no tiles that are undefined.
    """
    pools = [layer.output for layer in graph.layers if isinstance(layer, QuantisedMaxPool)]
    owner = {name: [name] for name in pools}
    for layer in graph.layers:
        if isinstance(layer, QuantisedConv):
            before = layer.in_place_of(graph)
            chain = owner.setdefault(before, [before]) if before is not None else []
            chain.append(layer.output)
            owner[layer.output] = chain
    middles = {block.middle for block in blocks}
    written = {layer.output for layer in graph.layers if isinstance(layer, QuantisedConv | QuantisedMaxPool)}
    banded = {layer.name for block in blocks for layer in block.layers}
    filters = {layer.filters_from for layer in graph.layers if isinstance(layer, QuantisedInterpolation)}

    def may(chain: list[str]) -> bool:
        users = [layer for layer in graph.layers if {*layer.reads, *layer.writes} & set(chain)]
        grouped = {la.source for la in graph.layers if isinstance(la, QuantisedConv) and la.groups > 1}
        # What is returned must stay as it is; the image is written by no pass over rows; what becomes filters is whole.
        given = {layer.gives for layer in users} - {None}
        if given - {chain[-1]} or filters & set(chain):
            return False
        return (
            not (middles | grouped) & set(chain)
            and set(chain) <= written
            and all(
                isinstance(la, Pooling | QuantisedOutput)
                or (isinstance(la, QuantisedMaxPool) and la.output in chain)
                or (isinstance(la, QuantisedConv) and (la.name in banded or _alone(la, chain, adds_alone, gated)))
                for la in users
            )
        )

    chains = {id(chain): chain for chain in owner.values()}
    found = [tuple(chain) for chain in chains.values() if may(chain)]
    return sorted(found, key=lambda chain: -graph.shapes[chain[0]].size)


def _alone(layer: QuantisedConv, chain: Sequence[str], adds: bool, gated: bool) -> bool:
    """Whether a convolution reads or writes the whole maps of a chain alone; what ``adds`` in their place, too."""
    masked: object = layer.gates if layer.output in chain else layer.input_channels or layer.input_tiles
    if gated:
        written = layer.output in chain and (layer.output_channels or (layer.output_tiles and layer.residual is None))
        masked = written or (layer.source in chain and (layer.input_channels or layer.input_tiles))
    apart = (layer.residual is None or layer.elsewhere) and layer.completed_by is None
    return not masked and (adds or apart)


def going_along(layer: QuantisedConv, graph: QuantisedGraph) -> tuple[QuantisedConv, ...]:
    """A convolution and the shortcut that reads the same map, if it comes next and may go along with it by rows."""
    behind = graph.layers[graph.layers.index(layer) + 1 :]
    other = behind[0] if behind else None
    if not isinstance(other, QuantisedConv) or other.source != layer.source or other.completed_by is None:
        return (layer,)
    same = tile_rows(graph, other) == tile_rows(graph, layer)
    return (
        (layer, other) if same and graph.shapes[other.output].height == graph.shapes[layer.output].height else (layer,)
    )


def maps_of(layer: QuantisedConv) -> set[str]:
    """The maps whose rows a convolution reads or writes."""
    return {*layer.sources, layer.output} | (
        {layer.residual} if layer.elsewhere and layer.residual is not None else set()
    )


def ring_rows_of(
    found: Sequence[Pass], graph: QuantisedGraph, tensors: Sequence[str], ahead: int, least: int = 0
) -> int:
    """Rows that the ring of a stream must hold for some passes over it, ``least`` or more."""
    shape = graph.shapes[tensors[0]]
    unit = rows_in_beats(shape.width * shape.channels)
    rows = max(use_of(one, tensors, graph).rows(unit, ahead) for one in found)
    rows = max(rows, -(-least // unit) * unit)
    # An instruction's rows of a residual from elsewhere must not lie around the ring's end.
    steps = [
        (end.end - end.first) >> layer.upsample
        for one in found
        for step in one.steps
        for layer, end in step
        if layer.elsewhere and layer.residual in tensors
    ]
    whole = lcm(unit, *(max(1, step) for step in steps))
    return -(-rows // whole) * whole

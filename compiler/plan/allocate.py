"""Where things lie: feature maps in the scratchpad, operand regions in their rings."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import product

from gatewright.compiler.graph.graph import QuantisedGraph, QuantisedLayer
from gatewright.compiler.plan.bands import BandedBlock
from gatewright.compiler.plan.stem import PooledConvolution
from gatewright.contract.arch import BEAT_BYTES, ArchConfig
from gatewright.contract.errors import GatewrightError

REGION_GRANULE = 16
"""Words in which regions of an operand buffer begin and end; what is noted of their users is noted of as many."""

LONG_LIVED = 5
"""Buffers that live long of which every choice of sides is tried."""

SLACK_BYTES = 64
"""Around every map: the gather's four banks may read beyond a run; nothing of it is used."""


@dataclass
class _Buffer:
    """A piece of scratchpad that one or more tensors share, from its first writer to its last reader.

    ``behind``, with ``lead``: a buffer that begins so many bytes behind this one's begin, and may overlap it.
    ``flexible``: ``size`` is what it would like to have; it takes what is left, ``least`` at least.
    ``last_place``: it lies at the end if it can, so that what is below it is one gap. ``high``: as near the end as it can.
    """

    names: list[str]
    size: int
    first: int
    last: int
    address: int = -1
    behind: _Buffer | None = None
    lead: int = 0
    flexible: bool = False
    least: int = 0
    last_place: bool = False
    high: bool = False

    @property
    def span(self) -> int:
        """Bytes with the slack behind, whole beats."""
        return -(-(self.size + SLACK_BYTES) // BEAT_BYTES) * BEAT_BYTES


@dataclass(frozen=True)
class RingWish:
    """A map of which only rows are kept, in ``size`` bytes if there are so many, and in ``least`` at least."""

    tensor: str
    size: int
    least: int


@dataclass(frozen=True)
class Spill:
    """Maps that share a place in DRAM, and ``rows`` of a ring on chip; rows come ``ahead`` (0 or 1) steps early."""

    tensors: tuple[str, ...]
    rows: int
    ahead: int


@dataclass(frozen=True)
class RoomWish:
    """Room for the rings of some layers that take turns: as much as there is, ``size`` at most and ``least`` at least.

    """

    name: str
    layers: tuple[QuantisedLayer, ...]
    least: int
    size: int
    below: str | None = None


@dataclass(frozen=True)
class MapPlan:
    """Where the tensors lie: byte addresses; and of those of which only rows are kept, the bytes of their ring.

    ``rooms``: of the rings of layers that take turns the address and bytes; ``beside``: what lives with them, by name, in
    the order of addresses, and the bytes it takes.
    """

    addresses: dict[str, int]
    ring_bytes: dict[str, int]
    rooms: dict[str, tuple[int, int]] = field(default_factory=dict)
    beside: dict[str, list[tuple[tuple[str, ...], int, int]]] = field(default_factory=dict)


def _uses(graph: QuantisedGraph) -> dict[str, list[int]]:
    """Layer numbers at which each scratchpad tensor is written or read."""
    uses: dict[str, list[int]] = {graph.input: [-1]}
    for number, layer in enumerate(graph.layers):
        for name in (*layer.reads, *layer.writes):
            uses.setdefault(name, []).append(number)
    return uses


def allocate_scratchpad(
    graph: QuantisedGraph,
    arch: ArchConfig,
    input_size: int,
    blocks: Sequence[BandedBlock] = (),
    rings: Sequence[RingWish] = (),
    stems: Sequence[PooledConvolution] = (),
    spills: Sequence[Spill] = (),
    strict: bool = False,
    off_chip: Collection[str] = (),
    rooms: Sequence[RoomWish] = (),
) -> MapPlan:
    """Places of every tensor, pooled map and hidden vector; residual chains share one buffer.

    ``input_size`` is that of the input as it is laid out, in bytes. The middle maps of banded ``blocks`` are rings;
    where such a block has a shortcut its output may overlap its input. ``rings`` are other maps in rings,
    ``stems`` convolutions that are computed in turn with their max pool. ``spills`` lie in DRAM. ``strict``: the middle
    maps must have room for the rows that are kept if all channels are active; else an image may turn out not to fit.
    Maps ``off_chip`` have no place of their own, but ``rooms`` in which some of their rows or tiles lie.

    A pooled map shares the buffer of the pooled map of its source's residual: inactive tiles keep
    their average there.
    """
    uses, sizes = _uses(graph), {graph.input: input_size}
    for layer in graph.layers:
        sizes |= layer.sizes(graph)
    for block in blocks:
        _live_together(block.layers, graph, uses)
    for stem in stems:
        _live_together(stem.layers(graph), graph, uses)
    for room in rooms:
        _live_together(room.layers, graph, uses)
    owner: dict[str, _Buffer] = {}

    def share(name: str, other: str | None) -> None:
        first, last = min(uses[name]), max(uses[name])
        if other is not None and other in owner:
            buffer = owner[other]
            buffer.names.append(name)
            buffer.last = max(buffer.last, last)
            buffer.size = max(buffer.size, sizes[name])
        else:
            buffer = _Buffer([name], sizes[name], first, last)
        owner[name] = buffer

    share(graph.input, None)
    for layer in graph.layers:
        for tensor in layer.writes:
            if tensor not in off_chip:
                share(tensor, layer.in_place_of(graph))
    for layer in graph.layers:
        for tensor in layer.writes:
            if tensor not in owner:
                continue
            begun = [min(uses[other]) for other in layer.begun_with(graph)]
            owner[tensor].first = min(owner[tensor].first, *begun) if begun else owner[tensor].first
    for block in blocks:
        shape = graph.shapes[block.middle]
        middle = owner[block.middle]
        rows = min(shape.height, block.kept_rows(graph, block.units[0]) + block.tile)
        middle.size, middle.flexible = rows * shape.width * shape.channels, True
        spilled = {block.first.source, block.second.output} & {name for spill in spills for name in spill.tensors}
        if strict:
            unit = (block if spilled else block.halved(graph, 0)).units[-1]
            middle.least = min(shape.height, block.kept_rows(graph, unit)) * shape.width * shape.channels
        if block.shortcut is not None and not spilled:
            output = owner[block.second.output]
            output.behind, output.lead = owner[block.first.source], block.lead(graph) + SLACK_BYTES
    for number, layer in enumerate(graph.layers):
        for name, size in layer.scratch(graph, arch).items():
            if size:
                owner[name] = _Buffer([name], size, number, number)
    for spill in spills:
        shape = graph.shapes[spill.tensors[0]]
        owner[spill.tensors[0]].size = spill.rows * shape.width * shape.channels
    owner[graph.input].last_place = bool(spills)
    for wish in rings:
        ring = owner[wish.tensor]
        ring.size, ring.least, ring.flexible = wish.size, wish.least, True
    for room in rooms:
        numbers = [graph.layers.index(layer) for layer in room.layers]
        owner[room.name] = _Buffer([room.name], room.size, min(numbers), max(numbers), flexible=True, least=room.least)
    buffers = list({id(b): b for b in owner.values()}.values())
    if rooms:
        _place_around_rooms(buffers, rooms, arch)
    else:
        _place_all(buffers, arch)
    kept = [*(block.middle for block in blocks), *(wish.tensor for wish in rings)]
    sizes_kept = {name: owner[name].size for name in kept}
    return MapPlan(
        {name: buffer.address for name, buffer in owner.items()},
        sizes_kept,
        {room.name: (owner[room.name].address, owner[room.name].size) for room in rooms},
        {
            room.name: [
                (tuple(other.names), other.address, other.span)
                for other in _alive(owner[room.name], buffers)
                if other is not owner[room.name]
            ]
            for room in rooms
        },
    )


def _live_together(layers: Sequence[QuantisedLayer], graph: QuantisedGraph, uses: dict[str, list[int]]) -> None:
    """Layers that are emitted in turn: all their maps live from the first layer to the last."""
    numbers = [graph.layers.index(layer) for layer in layers]
    for layer in layers:
        for name in (*layer.reads, *layer.writes):
            uses[name] += [min(numbers), max(numbers)]


def _place_all(buffers: list[_Buffer], arch: ArchConfig) -> None:
    """First fit, in order of creation; what is flexible last, in the largest gap that is left."""
    placed: list[_Buffer] = []
    followers = {id(buffer.behind): buffer for buffer in buffers if buffer.behind is not None}
    for buffer in buffers:
        if buffer.high and not buffer.flexible:
            _place_high(buffer, placed, arch)
        elif not buffer.flexible and buffer.behind is None:
            chain = [buffer]
            while id(chain[-1]) in followers:
                chain.append(followers[id(chain[-1])])
            _place(chain, placed, arch)
    for buffer in buffers:
        if buffer.flexible:
            _place_flexible(buffer, placed, arch)


def _place_around_rooms(buffers: list[_Buffer], rooms: Sequence[RoomWish], arch: ArchConfig) -> None:
    """Compact maps lie below rooms, which have what is left of them; other buffers above, those that live long on the
    side that leaves most room. Raises ``DoesNotFitError`` if nothing fits."""
    below = {room.below for room in rooms}
    for buffer in buffers:
        buffer.high = not below & {*buffer.names}
    _place_all(buffers, arch)  # or does not fit
    long = [buffer for buffer in buffers if buffer.high and not buffer.flexible and len(buffer.names) > 1][:LONG_LIVED]
    others = [buffer for buffer in buffers if buffer not in long]
    best, found = -1, [(buffer.address, buffer.size, buffer.high) for buffer in buffers]
    for sides in product((True, False), repeat=len(long)):
        for buffer, high in zip(long, sides, strict=True):
            buffer.high = high
        for buffer in buffers:
            buffer.size = arch.scratchpad_bytes if buffer.names[0] in {room.name for room in rooms} else buffer.size
        try:
            _place_all([*long, *others], arch)
        except DoesNotFitError:
            continue
        score = sum(buffer.size for buffer in buffers if buffer.flexible)
        if score > best:
            best, found = score, [(buffer.address, buffer.size, buffer.high) for buffer in buffers]
    for buffer, (address, size, high) in zip(buffers, found, strict=True):
        buffer.address, buffer.size, buffer.high = address, size, high


def _alive(buffer: _Buffer, placed: list[_Buffer]) -> list[_Buffer]:
    """Buffers that live at the same time, by address."""
    alive = [b for b in placed if b.first <= buffer.last and buffer.first <= b.last]
    return sorted(alive, key=lambda b: b.address)


def _place(chain: list[_Buffer], placed: list[_Buffer], arch: ArchConfig) -> None:
    """First fit of a buffer and of those that follow it, among the buffers that live at the same time.

    A follower's place is that of the buffer before it less its lead. A buffer with followers lies at the end if it can:
    what is below it, the lead too, is one gap for the others. So does one with ``last_place``.
    """
    buffer, offsets = chain[0], [0]
    for follower in chain[1:]:
        offsets.append(offsets[-1] - -(-follower.lead // BEAT_BYTES) * BEAT_BYTES)
    address = SLACK_BYTES - offsets[-1]
    if (len(chain) > 1 or buffer.last_place) and not any(_alive(own, placed) for own in chain):
        address = max(address, (arch.scratchpad_bytes - buffer.span) // BEAT_BYTES * BEAT_BYTES)
    moved = True
    while moved:
        moved = False
        for own, offset in zip(chain, offsets, strict=True):
            for other in _alive(own, placed):
                low = address + offset
                if low < other.address + other.span and other.address < low + own.span:
                    address, moved = other.address + other.span - offset, True
    missing = max(address + offset + own.span for own, offset in zip(chain, offsets, strict=True))
    missing -= arch.scratchpad_bytes
    if missing > 0:
        raise _does_not_fit(buffer, buffer.size, missing, arch)
    for own, offset in zip(chain, offsets, strict=True):
        own.address = address + offset
        placed.append(own)


def _place_high(buffer: _Buffer, placed: list[_Buffer], arch: ArchConfig) -> None:
    """The last place that is free."""
    address = (arch.scratchpad_bytes - buffer.span) // BEAT_BYTES * BEAT_BYTES
    for other in reversed(_alive(buffer, placed)):
        if address < other.address + other.span and other.address < address + buffer.span:
            address = other.address - buffer.span
    if address < SLACK_BYTES:
        raise _does_not_fit(buffer, buffer.size, SLACK_BYTES - address, arch)
    buffer.address = address
    placed.append(buffer)


def _place_flexible(buffer: _Buffer, placed: list[_Buffer], arch: ArchConfig) -> None:
    """The largest gap, as far as it is wanted."""
    best, low = (0, 0), SLACK_BYTES
    ends = [(other.address, other.address + other.span) for other in _alive(buffer, placed)]
    for begin, end in [*ends, (arch.scratchpad_bytes, 0)]:
        best = max(best, (begin - low - SLACK_BYTES, low))
        low = max(low, end)
    size, buffer.address = best
    buffer.size = max(0, min(buffer.size, size // BEAT_BYTES * BEAT_BYTES))
    if buffer.size < buffer.least:
        raise _does_not_fit(buffer, buffer.least, buffer.least - buffer.size, arch)
    placed.append(buffer)


class DoesNotFitError(GatewrightError):
    """Maps that the scratchpad has no room for, and the bytes that are missing."""

    def __init__(self, text: str, missing: int = 0) -> None:
        super().__init__(text)
        self.missing = missing


def _does_not_fit(buffer: _Buffer, size: int, missing: int, arch: ArchConfig) -> DoesNotFitError:
    return DoesNotFitError(
        f"arch {arch.name}: the scratchpad of {arch.scratchpad_kib} KiB cannot hold tensor {buffer.names[0]} "
        f"({size} bytes) beside what lives with it: {missing} bytes are missing; raise scratchpad_kib",
        missing,
    )


@dataclass
class Ring:
    """Consecutive regions of an operand buffer, reused in order; live regions are never overlapped."""

    size: int
    what: str
    live: dict[str, tuple[int, int]] = field(default_factory=dict)
    _next: int = 0

    def take(self, name: str, words: int) -> int | None:
        """The base of a region of ``words`` words, or None while live regions are in the way."""
        words = -(-words // REGION_GRANULE) * REGION_GRANULE
        if words > self.size:
            raise GatewrightError(
                f"{name} needs {words} words of the {self.what}, which has {self.size}; use an arch with a larger one"
            )
        base = self.place(words, self.live)
        if base is not None:
            self.live[name] = (base, base + words)
            self._next = base + words
        return base

    def place(self, words: int, beside: Iterable[str]) -> int | None:
        """The base that ``take`` would choose if only the regions ``beside`` were live."""
        words = -(-words // REGION_GRANULE) * REGION_GRANULE
        taken = [self.live[name] for name in beside]
        for base in (self._next, 0, *sorted(end for _, end in taken)):
            high = base + words
            if high <= self.size and not any(low < high and base < end for low, end in taken):
                return base
        return None

    def leaves_room(self, group: int, words: int, beside: Iterable[str]) -> bool:
        """Whether ``take`` would find room for ``words`` where the ring holds as many regions of ``group`` words.

        As many as it held if it were empty but for the regions ``beside``, which stay.
        """
        base = self.place(words, self.live)
        if base is None:
            return False
        kept = sorted([(base, base + words), *(self.live[name] for name in beside)])
        gaps = zip([0, *(end for _, end in kept)], [*(begin for begin, _ in kept), self.size], strict=True)
        return sum((high - low) // group for low, high in gaps) >= self.size // group

    def release(self, name: str) -> None:
        """Nothing after this point in the program reads the region."""
        self.live.pop(name, None)

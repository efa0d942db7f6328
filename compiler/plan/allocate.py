"""Where feature maps lie in the scratchpad."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from gatewright.compiler.graph.graph import QuantisedGraph, QuantisedLayer, joined
from gatewright.compiler.kinds.spatial_gate import QuantisedSpatialGate
from gatewright.compiler.plan.averages import digits_name
from gatewright.compiler.plan.bands import BandedBlock
from gatewright.compiler.plan.placement import SLACK_BYTES, Buffer, alive, place_all, place_around_rooms
from gatewright.compiler.plan.rooms import Neighbour, RoomWish
from gatewright.compiler.plan.stem import PooledConvolution
from gatewright.compiler.plan.wake import wakes_of
from gatewright.contract.arch import ArchConfig


@dataclass(frozen=True)
class RingWish:
    """A map of which only rows are kept, in ``size`` bytes if there are so many, and in ``least`` at least."""

    tensor: str
    size: int
    least: int


@dataclass(frozen=True)
class RowRing:
    """``rows`` rows on chip of maps in DRAM, for some layers; they come ``ahead`` (0 or 1) steps of a pass early."""

    name: str
    layers: tuple[str, ...]
    rows: int
    ahead: int = 0


@dataclass(frozen=True)
class Spill:
    """Maps that share a place in DRAM, and their rings: layers that have one each need not fit at once."""

    tensors: tuple[str, ...]
    rings: tuple[RowRing, ...]


@dataclass(frozen=True)
class MapPlan:
    """Where the tensors lie: byte addresses; and of those of which only rows are kept, the bytes of their ring.

    ``rooms``: of the rings of layers that take turns the address and bytes; ``beside``: what lives with them, in the
    order of addresses.
    """

    addresses: dict[str, int]
    ring_bytes: dict[str, int]
    rooms: dict[str, tuple[int, int]] = field(default_factory=dict)
    beside: dict[str, list[Neighbour]] = field(default_factory=dict)


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
    fixed: Mapping[str, int] = MappingProxyType({}),
    together: Sequence[Sequence[QuantisedLayer]] = (),
    off_chip: Collection[str] = (),
    rooms: Sequence[RoomWish] = (),
    ends: Mapping[str, bool] = MappingProxyType({}),
) -> MapPlan:
    """Places of every tensor, pooled map and hidden vector; residual chains share one buffer.

    ``input_size`` is that of the input as it is laid out, in bytes. The middle maps of banded ``blocks`` are rings;
    where such a block has a shortcut its output may overlap its input. ``rings`` are other maps in rings,
    ``stems`` convolutions that are computed in turn with their max pool. ``spills`` lie in DRAM, and have no place of
    their own but those of their rings. ``strict``: the middle
    maps must have room for the rows that are kept if all channels are active; else an image may turn out not to fit.
    ``fixed``: rings of maps of which only rows are kept, in bytes; ``together``: layers that are computed in turn.
    Maps ``off_chip`` have no place of their own, but ``rooms`` in which some of their rows or tiles lie. Maps of
    ``ends`` are placed before all others, at the end of the scratchpad (true) or at its begin.

    A pooled map shares the buffer of the pooled map of its source's residual: inactive tiles keep
    their average there.
    """
    uses, sizes = _uses(graph), {graph.input: input_size}
    for layer in graph.layers:
        sizes |= layer.sizes(graph)
    sizes |= fixed
    gates = [group for group in joined(graph.layers) if any(_averages_bins(gate) for gate in group)]
    in_turn = [*(block.layers for block in blocks), *(stem.layers(graph) for stem in stems)]
    for layers in (*in_turn, *together, *gates, *(room.layers for room in rooms)):
        _live_together(layers, graph, uses)
    owner: dict[str, Buffer] = {}

    def share(name: str, other: str | None) -> None:
        first, last = min(uses[name]), max(uses[name])
        if other is not None and other in owner:
            buffer = owner[other]
            buffer.names.append(name)
            buffer.last = max(buffer.last, last)
            buffer.size = max(buffer.size, sizes[name])
        else:
            buffer = Buffer([name], sizes[name], first, last)
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
        if block.slides and not spilled:
            output = owner[block.second.output]
            output.behind, output.lead = owner[block.first.source], block.lead(graph) + SLACK_BYTES
    for number, layer in enumerate(graph.layers):
        for name, size in layer.scratch(graph, arch).items():
            if size:
                owner[name] = Buffer([name], size, number, number)
    for wake in wakes_of(graph, arch):
        owner[digits_name(wake.follower.name)].first = graph.layers.index(wake.convolution)
    for spill in spills:
        shape = graph.shapes[spill.tensors[0]]
        for ring in spill.rings:
            using = _in_turn_with(ring.layers, graph, [*in_turn, *together])
            size = ring.rows * shape.width * shape.channels
            owner[ring.name] = Buffer([ring.name], size, min(using), max(using))
        for name in {*spill.tensors} - {ring.name for ring in spill.rings}:
            del owner[name]
    owner[graph.input].last_place = bool(spills)
    for wish in rings:
        kept_rows = owner[wish.tensor]
        kept_rows.size, kept_rows.least, kept_rows.flexible = wish.size, wish.least, True
    for room in rooms:
        numbers = [graph.layers.index(layer) for layer in room.layers]
        owner[room.name] = Buffer([room.name], room.size, min(numbers), max(numbers), flexible=True, least=room.least)
    for name, high in ends.items():
        owner[name].high = high
    buffers = list({id(b): b for b in (*(owner[name] for name in ends), *owner.values())}.values())
    if rooms:
        place_around_rooms(buffers, {r.name for r in rooms}, {r.below for r in rooms if r.below is not None}, arch)
    else:
        place_all(buffers, arch)
    kept = [*(block.middle for block in blocks), *(wish.tensor for wish in rings), *fixed]
    sizes_kept = {name: owner[name].size for name in kept}
    return MapPlan(
        {name: buffer.address for name, buffer in owner.items()},
        sizes_kept,
        {room.name: (owner[room.name].address, owner[room.name].size) for room in rooms},
        {
            room.name: [
                (tuple(other.names), other.address, other.span)
                for other in alive(owner[room.name], buffers)
                if other is not owner[room.name]
            ]
            for room in rooms
        },
    )


def _in_turn_with(names: Sequence[str], graph: QuantisedGraph, groups: Sequence[Sequence[QuantisedLayer]]) -> set[int]:
    """The numbers of layers, and of all that are computed in turn with them."""
    number = {layer.name: count for count, layer in enumerate(graph.layers)}
    turns = (group for group in groups if any(layer.name in names for layer in group))
    return {number[name] for name in names} | {number[layer.name] for group in turns for layer in group}


def _averages_bins(layer: QuantisedLayer) -> bool:
    """Whether a layer is a gate that averages overlapping bins: others work between them and its product."""
    return isinstance(layer, QuantisedSpatialGate) and layer.overlap


def _live_together(layers: Sequence[QuantisedLayer], graph: QuantisedGraph, uses: dict[str, list[int]]) -> None:
    """Layers that are emitted in turn: all their maps live from the first layer to the last."""
    numbers = [graph.layers.index(layer) for layer in layers]
    for layer in layers:
        for name in (*layer.reads, *layer.writes):
            uses[name] += [min(numbers), max(numbers)]

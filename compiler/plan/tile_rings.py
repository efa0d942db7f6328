"""The rings of a pass over maps in DRAM: how many tiles and rows are there at once, and how many go together."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from gatewright.compiler.graph.graph import QuantisedGraph
from gatewright.compiler.plan.bands import Rows, needed_rows
from gatewright.compiler.plan.placement import SLACK_BYTES
from gatewright.compiler.plan.spills import rows_in_beats
from gatewright.compiler.plan.tile_steps import StepModel, Work, evenly
from gatewright.compiler.plan.tiled import TiledPass
from gatewright.contract.arch import BEAT_BYTES, ArchConfig

FILTER_RATE = 1.2
"""Of the cycles that bytes would take in long bursts, those that filters and tiles take."""

Channels = Callable[[str], int]
"""Channels of a pixel of a map, as they are stored."""


@dataclass(frozen=True)
class RingNeed:
    """What a pass keeps of a map: tiles of ``unit`` bytes, or rows of ``unit`` bytes, ``least`` of them at least.

    ``moved``: how often a byte of it crosses the bus.
    """

    tensor: str
    unit: int
    least: int
    by_rows: bool
    moved: int


@dataclass(frozen=True)
class PlacedRing:
    """A ring of ``units`` tiles or rows of a map, at an address."""

    address: int
    units: int


@dataclass(frozen=True)
class PassLayout:
    """The rings of a pass, by map, and its steps: ranges [first, end) of tiles in raster order."""

    rings: dict[str, PlacedRing]
    steps: tuple[tuple[int, int], ...]


def stream_ring(one: TiledPass) -> str:
    """The name of the ring of the residual stream that a pass writes: the shortcut's and the sum's are one."""
    return one.block.last.output


def ring_needs(one: TiledPass, graph: QuantisedGraph, off_chip: Collection[str], channels: Channels) -> list[RingNeed]:
    """The rings of a pass."""
    block, needs = one.block, dict[str, RingNeed]()

    def tiles(name: str, tensor: str, pixels: str, moved: int) -> None:
        """A ring of tiles as large as those of ``pixels``."""
        edge = block.tile_in(graph.shapes[pixels])
        before = needs[name].moved if name in needs else 0
        needs[name] = RingNeed(name, edge * edge * channels(tensor), 1, False, before + moved)

    def rows(tensor: str, least: int, moved: int) -> None:
        pitch = graph.shapes[tensor].width * channels(tensor)
        unit = rows_in_beats(pitch) if pitch else 1
        needs[tensor] = RingNeed(tensor, pitch, -(-least // unit) * unit, True, moved)

    for layer in one.layers:
        if one.by_rows:
            rows(layer.source, _span(one, graph, channels), 1)
        elif layer.source in off_chip:
            tiles(layer.source, layer.source, layer.output, 1)
        elif layer is block.last and block.joint:
            tiles(layer.source, layer.source, layer.output, 0)
        if layer is block.first and layer.output in off_chip:
            rows(layer.output, block.tile_in(graph.shapes[layer.output]), 1)
        elif layer.output in off_chip:
            tiles(stream_ring(one), layer.output, layer.output, 1)
    return list(needs.values())


def _span(one: TiledPass, graph: QuantisedGraph, channels: Channels) -> int:
    """Rows of the first convolution's map that a row of tiles of the second one's needs, in whole units."""
    (layer,) = one.layers
    height = graph.shapes[layer.source].height
    pitch = graph.shapes[layer.source].width * channels(layer.source)
    unit = rows_in_beats(pitch) if pitch else 1
    most = 0
    for rows in tile_row_ranges(one, graph):
        needed = needed_rows(layer, rows)
        first, end = max(0, needed.first) // unit * unit, min(needed.end, height)
        most = max(most, -(-end // unit) * unit - first)
    return most


def tile_row_ranges(one: TiledPass, graph: QuantisedGraph) -> list[Rows]:
    """The rows of each row of tiles of the pass's output."""
    edge = one.block.tile_in(graph.shapes[one.layers[-1].output])
    return [Rows(row * edge, (row + 1) * edge) for row in range(one.block.grid[0])]


def least_bytes(needs: list[RingNeed]) -> int:
    """The fewest bytes that the rings of a pass need."""
    return sum(-(-need.unit * need.least // BEAT_BYTES) * BEAT_BYTES + SLACK_BYTES for need in needs)


def lay_out(
    one: TiledPass,
    graph: QuantisedGraph,
    arch: ArchConfig,
    needs: list[RingNeed],
    address: int,
    room: int,
    work: list[Work],
    active: Sequence[int],
) -> PassLayout | None:
    """The rings in ``room`` bytes at an address, None if they do not fit. Of the tiles those are computed."""
    if least_bytes(needs) > room:
        return None
    tiles, grid = [need for need in needs if not need.by_rows], one.block.grid
    left = room - SLACK_BYTES * len(needs)
    units: dict[str, int] = {}
    for need in needs:
        if need.by_rows:
            most = graph.shapes[need.tensor].height if one.by_rows else 2 * need.least
            unit = rows_in_beats(need.unit) if need.unit else 1
            others = sum(other.unit * other.least for other in tiles)
            fits = (left - others) // need.unit // unit * unit if need.unit else most
            units[need.tensor] = max(need.least, min(-(-most // unit) * unit, fits))
            left -= units[need.tensor] * need.unit
    each = sum(need.unit for need in tiles)
    slots = min(one.block.tiles, left // each) if each else one.block.tiles
    units |= {need.tensor: slots for need in tiles}
    rings: dict[str, PlacedRing] = {}
    for need in needs:
        rings[need.tensor] = PlacedRing(address, units[need.tensor])
        address += -(-need.unit * units[need.tensor] // BEAT_BYTES) * BEAT_BYTES + SLACK_BYTES
    most = slots
    if one.block.joint and one.layers[0] is one.block.middle:
        most = max(1, slots // 2)
    edge = one.block.tile_in(graph.shapes[one.layers[-1].output])
    rate = FILTER_RATE * arch.dram.per_cycles / arch.dram.beats / BEAT_BYTES
    moved = sum(need.unit * need.moved for need in tiles) * rate
    model = StepModel(one.block.tiles, edge * edge, slots, most, moved, rate, arch.peak_macs, tuple(work))
    if one.by_rows or any(need.by_rows for need in needs):
        size = grid[1] if one.by_rows else model.size()
        steps = [
            (row * grid[1] + first, row * grid[1] + end)
            for row in range(grid[0])
            for first, end in evenly(grid[1], -(-grid[1] // size))
        ]
    else:
        steps = list(model.steps(active))
    return PassLayout(rings, tuple(steps))

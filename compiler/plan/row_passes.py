"""Maps in DRAM by rows: which, and in what steps the passes over them go.

Every pass over a map has a ring of its own, so that what fits for one pass alone is enough. A pass is a convolution
alone, a block in bands, or what a max pool ends. First every pass has the rings that need the least room, and as few
maps as do lie in DRAM; then each pass, one after the other, gets the steps that take it the fewest cycles of all that
find room: so many rows, which come while others are computed or not.

Where no way has room for whole rows of tiles, steps have fewer rows: of each row of tiles what is active is a few runs
of smaller tiles. The averages of such a map are made apart, behind the pass, tile by tile out of DRAM.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from math import inf

from gatewright.compiler.graph.graph import QuantisedGraph
from gatewright.compiler.kinds.convolution import QuantisedConv
from gatewright.compiler.plan.allocate import RowRing, Spill
from gatewright.compiler.plan.bands import BandedBlock, tile_rows
from gatewright.compiler.plan.pass_cycles import comes_again, dram_cycles, pass_cycles
from gatewright.compiler.plan.spills import Pass, going_along, maps_of, ring_rows_of, rows_in_beats, streams, use_of
from gatewright.compiler.plan.stem import PooledConvolution
from gatewright.compiler.plan.tile_sets import MOST_TILES
from gatewright.contract.arch import BEAT_BYTES, ArchConfig

STEP_ROWS = (1, 2, 4, 8)
"""Rows of a step that are tried where no tiles say otherwise."""

CUT_ROWS = (1, 2, 4, 8)
"""Rows of a step that are tried where they are a part of a tile's."""

SPARE_ROWS = (6, 4, 2, 0)
"""Rows more than a step needs that a ring has room for, where not all of the next step's come ahead of their time."""

GOOD_ENOUGH = 1.1
"""Of the array's cycles so many are no reason to look for another way."""

GAIN = 0.95
"""A way with more maps in DRAM takes at most so many of the cycles of one with fewer."""

MORE_TRIED = 3
"""Ways with more and more maps in DRAM that are tried without a gain."""


@dataclass(frozen=True, eq=False)
class RowPass:
    """A pass over maps in DRAM: a block in bands, or a convolution alone; in steps of ``rows``, None: of its tiles.

    ``ahead``: whether rows come while a step before theirs is computed. ``tile``: rows of its output that belong
    together, if a gate or averages say so; ``may_be_cut``: whether steps may have fewer.
    """

    graph: QuantisedGraph
    block: BandedBlock | None
    layers: tuple[QuantisedConv, ...]
    rows: int | None
    ahead: int = 0
    tile: int | None = None
    may_be_cut: bool = False
    spare: int = 0
    """Rows of the next step that come ahead, if not all do."""

    @staticmethod
    def over(graph: QuantisedGraph, block: BandedBlock | None, layers: tuple[QuantisedConv, ...], cut: bool) -> RowPass:
        """The pass with the least rings; ``cut``: with steps of a part of a tile's rows, where it has tiles."""
        tile, shape = tile_rows(graph, layers[-1]), graph.shapes[layers[-1].output]
        whole = tile is not None and tile < shape.height and not (shape.height % tile or shape.width % tile)
        whole = whole and not shape.channels % BEAT_BYTES and layers[-1].output_channels is None
        # A shortcut alone makes averages of what the sum leaves out.
        whole = whole and layers[-1].completed_by is None
        one = RowPass(graph, block, layers, STEP_ROWS[0] if tile is None else None, 0, tile, cut and whole)
        return one.in_steps(one.rows_tried[0], 0)

    @property
    def rows_tried(self) -> list[int | None]:
        """Rows of a step, the fewest first; None for those of its tiles."""
        if self.tile is None:
            return [*STEP_ROWS]
        size = max(
            self.graph.shapes[layer.output].height * self.graph.shapes[layer.output].width for layer in self.layers
        )
        cut = (rows for rows in CUT_ROWS if self.may_be_cut and rows < self.tile and self.tile % rows == 0)
        return [*(rows for rows in cut if size <= MOST_TILES * rows * rows), None]

    @property
    def apart(self) -> str | None:
        """The map whose averages are made apart, since its tiles are cut."""
        return self.layers[-1].output if self.tile is not None and self.rows is not None else None

    @cached_property
    def steps(self) -> Pass:
        """What is computed in turn."""
        if self.block is not None:
            return Pass.of_block(self.block, self.graph)
        return Pass.of_layers(self.layers, self.graph, self.rows)

    @cached_property
    def maps(self) -> set[str]:
        """Those whose rows it reads or writes."""
        return {name for layer in self.layers for name in maps_of(layer)}

    def in_steps(self, rows: int | None, ahead: int, spare: int = 0) -> RowPass:
        """With another number of rows."""
        edge = rows or self.tile
        block = None if self.block is None or edge is None else replace(self.block, tile=edge)
        layers = self.layers if block is None else block.layers
        return replace(self, block=block, layers=layers, rows=rows, ahead=ahead, spare=spare)

    def choices(self, spares: Sequence[int]) -> list[RowPass]:
        """It, in every kind of steps that is tried."""
        kinds = [(1, 0), *((0, spare) for spare in spares)]
        return [self.in_steps(rows, *kind) for rows in self.rows_tried for kind in kinds]

    def ring(self, stream: tuple[str, ...]) -> RowRing | None:
        """The ring for the rows of a stream; None if it does not read or write any."""
        if not self.maps & {*stream}:
            return None
        if stream[0] not in self._rings:
            use = use_of(self.steps, stream, self.graph)
            names = tuple(layer.name for layer in self.layers)
            # What is averaged apart comes tile by tile.
            least = -(-((self.tile or 0) ** 2) // self.graph.shapes[stream[0]].width) if self.apart in stream else 0
            rows = ring_rows_of([self.steps], self.graph, stream, self.ahead, least) if use.reads or use.writes else 0
            shape = self.graph.shapes[stream[0]]
            unit = rows_in_beats(shape.width * shape.channels)
            rows += -(-self.spare // unit) * unit if rows else 0
            self._rings[stream[0]] = RowRing(f"{stream[0]} in {names[0]}", names, rows, self.ahead)
        return self._rings[stream[0]]

    @cached_property
    def _rings(self) -> dict[str, RowRing]:
        return {}


@dataclass(frozen=True)
class Way:
    """Streams that lie in DRAM, the passes over them, and other blocks that are in bands."""

    tensors: tuple[tuple[str, ...], ...]
    passes: tuple[RowPass, ...]
    others: tuple[BandedBlock, ...]
    stems_apart: bool = False
    """Whether the averages behind max pools are made apart."""

    def apart(self, stems: Sequence[PooledConvolution]) -> set[str]:
        """The maps whose averages are made apart."""
        pools = {stem.pool.output for stem in stems if self.stems_apart}
        return pools & {*chain(*self.tensors)} | {one.apart for one in self.passes if one.apart is not None}

    @property
    def blocks(self) -> list[BandedBlock]:
        """All that are in bands."""
        return [*(one.block for one in self.passes if one.block is not None), *self.others]

    @property
    def step_rows(self) -> dict[str, int]:
        """By name of a convolution alone the rows of a step."""
        return {one.layers[0].name: one.rows for one in self.passes if one.block is None and one.rows is not None}

    def spills(self, graph: QuantisedGraph, stems: Sequence[PooledConvolution]) -> list[Spill]:
        """Every ring."""
        found = []
        for stream in self.tensors:
            rings = []
            for stem in stems:
                if stem.pool.output in stream:
                    names = tuple(layer.name for layer in stem.layers(graph))
                    rings.append(RowRing(f"{stream[0]} in {names[0]}", names, stem.pool_rows(graph, self.stems_apart)))
            rings += [ring for one in self.passes if (ring := one.ring(stream)) is not None]
            found.append(Spill(stream, tuple(rings)))
        return found


@dataclass
class RowPasses:
    """Chooses the maps of a network that lie in DRAM, and the passes over them."""

    graph: QuantisedGraph
    blocks: Sequence[BandedBlock]
    stems: Sequence[PooledConvolution]
    arch: ArchConfig
    adds_alone: bool = False
    """Whether a convolution alone may add to the rows of a map."""
    gated: bool = False
    """Whether gates may pick tiles of what it writes, and the other map's channels."""

    def choose(self, fits: Callable[[Way], bool], cut: bool) -> Way | None:
        """The way that takes the fewest cycles of those with few maps in DRAM, and few blocks in bands.

        ``fits`` says whether everything finds room; None if no way does. ``cut``: where tiles may be cut. More maps in
        DRAM than need be leave room for longer steps: they are tried where steps are short, while they gain.
        """
        candidates, known = streams(self.graph, self.blocks, self.adds_alone, self.gated), dict[str, RowPass]()
        least = sum(self.graph.shapes[stream[0]].size > self.arch.scratchpad_bytes for stream in candidates)
        best: Way | None = None
        fewest, tried = inf, 0
        for count in range(max(1, least), len(candidates) + 1):
            way = self._narrow(tuple(candidates[:count]), known, cut)
            if not fits(way):
                continue
            fewer = (replace(way, others=way.others[:most]) for most in range(len(way.others)))
            way = self._widened(next(filter(fits, fewer), way), fits)
            cycles = self._total(way)
            tried += 1
            if cycles < GAIN * fewest:
                best, fewest, tried = way, cycles, 0
            if fewest < GOOD_ENOUGH * self._work() or tried == MORE_TRIED:
                break
        return best

    def _work(self) -> float:
        """The array's cycles for the network."""
        return sum(layer.macs(self.graph, None) for layer in self.graph.layers) / self.arch.peak_macs

    def _total(self, way: Way) -> float:
        """About the cycles of the network, where passes over maps in DRAM wait for rows and filters."""
        spilled = {name for stream in way.tensors for name in stream}
        inside = {layer.name for one in way.passes for layer in one.layers}
        others = sum(layer.macs(self.graph, None) for layer in self.graph.layers if layer.name not in inside)
        return others / self.arch.peak_macs + sum(self._cycles(one, spilled) for one in way.passes)

    def _narrow(self, tensors: tuple[tuple[str, ...], ...], known: dict[str, RowPass], cut: bool) -> Way:
        """The way with the smallest rings; ``known``: passes by name of their first layer."""
        spilled = {name for stream in tensors for name in stream}
        of = {layer.name: block for block in self.blocks for layer in block.layers}
        passes, seen = list[RowPass](), set[str]()
        for layer in self.graph.layers:
            if not isinstance(layer, QuantisedConv) or layer.name in seen:
                continue
            block = of.get(layer.name)
            alone = going_along(layer, self.graph) if self.gated else (layer,)
            layers = alone if block is None else block.layers
            if not any(maps_of(one) & spilled for one in layers):
                continue
            seen |= {one.name for one in layers}
            if layers[0].name not in known:
                known[layers[0].name] = RowPass.over(self.graph, block, layers, cut)
            passes.append(known[layers[0].name])
        return Way(tensors, tuple(passes), tuple(b for b in self.blocks if b.first.name not in seen), cut)

    def _widened(self, way: Way, fits: Callable[[Way], bool]) -> Way:
        """The way, each pass in the steps that take it the fewest cycles of those that find room."""
        spilled = {name for stream in way.tensors for name in stream}
        if way.stems_apart and fits(replace(way, stems_apart=False)):
            way = replace(way, stems_apart=False)
        for number, one in enumerate(way.passes):
            spares = SPARE_ROWS if self.gated else (0,)
            for choice in sorted(
                one.choices(spares), key=lambda which: (self._cycles(which, spilled), which.rows or 0)
            ):
                better = replace(way, passes=(*way.passes[:number], choice, *way.passes[number + 1 :]))
                same = (choice.rows, choice.ahead, choice.spare) == (one.rows, one.ahead, one.spare)
                if same or fits(better):
                    way = better
                    break
        return way

    def _cycles(self, one: RowPass, spilled: set[str]) -> float:
        """About the cycles of a pass: the array's, or those of what comes from DRAM if these are more."""
        steps = len(one.steps.steps)
        work = sum(layer.macs(self.graph, None) for layer in one.layers) / self.arch.peak_macs
        filters = sum(layer.weight.size for layer in one.layers if comes_again(layer, self.arch)) * steps
        moved = sum(self.graph.shapes[name].size for name in one.maps & spilled)
        if one.apart is not None:
            work += dram_cycles(2 * self.graph.shapes[one.apart].size, self.arch)
        heights = [self.graph.shapes[name].height for name in one.maps & spilled]
        early = min(1.0, one.spare * steps / max(heights, default=1))
        return pass_cycles(work, filters, moved, steps, bool(one.ahead), self.arch, early)

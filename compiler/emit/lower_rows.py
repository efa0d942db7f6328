"""Convolutions in turn, each on some rows of its map; maps in DRAM come and go beside."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from gatewright.compiler.emit.array_share import convolve_share
from gatewright.compiler.emit.row_traffic import RowTraffic
from gatewright.compiler.emit.side_by_side import interleave, side_by_side
from gatewright.compiler.emit.tile_runs import Work, average_pass, convolve_runs, work_in_runs
from gatewright.compiler.kinds.convolution import QuantisedConv
from gatewright.compiler.plan.bands import Rows
from gatewright.compiler.plan.spills import Pass
from gatewright.compiler.plan.tile_sets import TileSet, all_tiles, computed_edge

if TYPE_CHECKING:
    from gatewright.compiler.emit.lower_convolutions import ConvolutionLowering


class RowsLowering:
    """Emits one pass over some layers. With ``unit`` not 0 rows of tiles of the first one may be cut.

    ``behind``: a pass of which the first rows may come while this one ends.
    """

    def __init__(
        self,
        convolutions: ConvolutionLowering,
        layers: Sequence[QuantisedConv],
        one: Pass,
        unit: int = 0,
        behind: Pass | None = None,
    ) -> None:
        self.convolutions, self.layers, self.one, self.unit = convolutions, layers, one, unit
        self.context, self.image, self.graph = convolutions.context, convolutions.image, convolutions.graph
        self.loader = convolutions.loader
        self._apart = layers[-1].output in self.image.apart
        """Whether what is averaged of the last map is averaged behind it."""
        self._behind = None if self._apart else behind  # averages behind a pass take its ring
        self._row_tables = convolutions.lowering.gates.row_tables

    def run(self, beside: bool = False) -> None:
        """Every step of the pass.

        ``beside``: what a step makes is made side by side, the array's layers in turn and EPILOGUE's.
        """
        layers, one = self.layers, self.one
        for layer in layers:
            self.convolutions.count_macs(layer)
        work = work_in_runs(self.convolutions, one) if self._apart else self._work()
        order = [layer.name for _, layer, *_ in work]
        serials = [order[:place].count(name) for place, name in enumerate(order)]
        if len(layers) > 1 or self.image.banks[layers[0].name].streamed:
            self.loader.schedule(layers, list(zip(order, serials, strict=True)))
        if work:  # else what the maps hold stays where it is
            traffic = RowTraffic(self.context, one, self._behind)
            for number in range(len(one.steps)):
                self.context.out.layer = layers[0].name
                self._bring_image(number)
                traffic.step(number)
                self.loader.begun(layers)
                self._step([one for one in zip(work, serials, strict=True) if one[0][0] == number], beside)
            traffic.finish()
            if self._apart:
                average_pass(self.convolutions, layers)
        self.loader.begun(layers)
        for layer in layers:
            self.convolutions.place(layer)

    def _step(self, work: list[tuple[Work, int]], beside: bool) -> None:
        """What a step computes; with each product how often its layer's filters have come before."""
        both: tuple[list[tuple[str, Iterator[None]]], ...] = [], []
        for (_, layer, runs, relu, pool), serial in work:
            runs = [self._row_tables.resolved(tiles) for tiles in runs]
            even, (tiles, *others) = self.context.arch.accumulator_depth if beside else None, runs
            chunks = self.convolutions.tiles(layer, tiles, relu, pool, serial, even, fine=beside)
            if others or self._apart:
                chunks = convolve_runs(self.convolutions, layer, runs, relu, serial)
            if beside:
                both[self.image.in_epilogue(layer)].append((layer.name, chunks))
                both[0].extend(self._share(layer, tiles))
                continue
            self.context.out.layer = layer.name
            interleave([chunks])
        side_by_side(self.context, *both)

    def _work(self) -> list[Work]:
        """What a pass computes, in order."""
        sets = {layer.name: self.convolutions.tile_sets(layer, by_rows=True) for layer in self.layers}
        return [
            (number, layer, [tiles], relu, pool)
            for number, step in enumerate(self.one.steps)
            for layer, rows in step
            for whole, relu, pool in sets[layer.name]
            for within in self._tiles_in(whole, rows, self._may_cut(layer, whole.tile))
            for tiles in self.convolutions.for_filters(layer, within)
            if self.convolutions.filters_of(layer)
        ]

    def _share(self, layer: QuantisedConv, tiles: TileSet) -> list[tuple[str, Iterator[None]]]:
        """What the array computes of a depthwise convolution: some channels of the rows that a row of tiles has."""
        share, shape = self.image.share.get(layer.name, 0), self.graph.shapes[layer.output]
        if not share:
            return []
        first, end = tiles.span(0, 1)
        every = all_tiles(shape.height, shape.width, computed_edge(shape.height, shape.width))
        part = len(layer.weight) - share, share
        product = self.convolutions.product(layer, every.rows_of(first, end), layer.relu, None, part)
        return [(layer.name, convolve_share(self.context, self.loader, product, layer))]

    def _may_cut(self, layer: QuantisedConv, tile: int) -> bool:
        """Whether rows of a layer's tiles may be computed alone."""
        listed = self.context.live and layer.output_tiles is not None
        alone = self.image.in_epilogue(layer) and not layer.windowed and not listed
        return alone or (layer is self.layers[0] and 0 < self.unit < tile)

    def _bring_image(self, step: int) -> None:
        """Of an image in a ring the rows that a chain that begins with it needs in a step and in the next ones."""
        layer, loader = self.layers[0], self.convolutions.lowering.image_loader
        chain = next((chain for chain in self.image.chains if layer in chain.layers), None)
        if layer.source == self.graph.input and chain is not None and loader.ring is not None:
            for following in range(step, min(step + 1 + chain.image_ahead, len(chain.steps))):
                loader.rows(chain.image_rows(following))

    @staticmethod
    def _tiles_in(tiles: TileSet, rows: Rows, cut: bool) -> list[TileSet]:
        """What is computed of some rows, whose edges may cut tiles.

        The last tiles first: what is gathered for those above reads what the band before has just written.
        """
        if cut:
            return tiles.cut_to(rows.first, rows.end)
        within = tiles.rows_of(rows.first, rows.end)
        return [within] if len(within) else []

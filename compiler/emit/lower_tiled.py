"""Convolutions over maps in DRAM, tile by tile: see ``plan.tiled``.

Where a map's pixels lie tile by tile it is, to the machine, a map as wide as a tile and as high as all tiles below one
another, and the table that picks its tiles holds their numbers in one column. A GATHER may read such a map while the
EPILOGUE behind it writes an ordinary one, or the other way round: both tables hold the same tiles in the same order.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from gatewright.compiler.emit.clear import clear
from gatewright.compiler.emit.matrix import Product
from gatewright.compiler.emit.streamed import convolve_streamed, convolve_together
from gatewright.compiler.emit.taps_product import passes
from gatewright.compiler.emit.tile_pass import TilePass
from gatewright.compiler.emit.tile_products import TileProducts
from gatewright.compiler.emit.tile_streams import streams_of
from gatewright.compiler.emit.tile_traffic import TileTraffic
from gatewright.compiler.kinds.convolution import QuantisedConv
from gatewright.compiler.plan.layout import slices_of
from gatewright.compiler.plan.placement import SLACK_BYTES
from gatewright.compiler.plan.tiled import TiledPass

if TYPE_CHECKING:
    from gatewright.compiler.emit.lower_convolutions import ConvolutionLowering


class TiledLowering:
    """Emits one pass."""

    def __init__(self, convolutions: ConvolutionLowering, one: TiledPass) -> None:
        self.convolutions, self.one, self.block = convolutions, one, one.block
        self.context, self.image, self.graph = convolutions.context, convolutions.image, convolutions.graph
        self.tiles = TilePass(convolutions, one)
        self.layout, self.products = self.tiles.layout, TileProducts(self.tiles)
        self._ahead = 0
        """Steps that the second convolution runs ahead of the third, so that this one does not wait for its results."""
        if len(one.layers) > 1 and one.layers[0] is self.block.middle:
            ring = self.layout.rings[self.block.middle.output]
            both = [end - first for (first, _), (_, end) in zip(self.layout.steps, self.layout.steps[1:], strict=False)]
            self._ahead = int(all(tiles <= ring.units for tiles in both))
        self._scheduled = False
        self._work = [
            (step, layer, products)
            for step in range(len(self.layout.steps))
            for layer in one.layers
            for of in self._steps_of(layer, step)
            if convolutions.filters_of(layer)
            for products in self._by_filters(layer, self.products.in_step(layer, of))
        ]
        self._ends = bool(self._work) and self._work[-1][:2] == (len(self.layout.steps) - 1, self.block.last)
        """Whether the last product of all completes the map, channel by channel."""
        if self._ends:
            *_, products = self._work[-1]
            products[-1] = replace(products[-1], followed=convolutions.behind(self.block.last))
        order = [layer.name for _, layer, _ in self._work]
        self._serials = [order[:place].count(name) for place, name in enumerate(order)]
        idle = [
            sum(self.products.idle(layer, products) for of, layer, products in self._work if of == step)
            for step in range(len(self.layout.steps))
        ]
        follows = {convolutions.follows(layer) for layer in one.layers}
        after = follows.pop() if len(follows) == 1 else None
        self.traffic = TileTraffic(self.context, *streams_of(self.tiles), idle, after)

    def _by_filters(self, layer: QuantisedConv, products: list[Product]) -> Iterator[list[Product]]:
        """Products that go through the filters together."""
        if self.image.banks[layer.name].by_taps:
            for product in products:
                for part in passes(product.tiles, product.filters, self.context.arch):
                    reads = None if product.reads is None else product.reads.part(*part)
                    yield [replace(product, tiles=product.tiles.part(*part), reads=reads)]
        elif any(product.tiles.left_out is not None for product in products):
            yield from ([product] for product in products)  # whichever is left out, the other one is not
        elif products:
            yield products

    def begin_beside_middle(self) -> None:
        """Bring the first step's tiles and filters while the second convolution is still at work, whole."""
        source, layer = self.block.first.output, self.block.middle
        shape, address = self.graph.shapes[source], self.image.addresses[source]
        busy = address, address + shape.height * shape.width * self.tiles.channels(source) + SLACK_BYTES
        arch = self.context.arch
        slices = slices_of(layer.weight.shape[1] * layer.weight.shape[2] * self.tiles.channels(source), arch)
        blocks = -(-self.convolutions.filters_of(layer) // arch.columns)
        pixels = len(self.tiles.active(self.block.last)) * self.tiles.edge(layer) ** 2
        self.traffic.begin_beside(busy, pixels * blocks * (slices - 1) // 2)
        self._schedule()

    def run(self) -> None:
        """Every step: what it needs comes, its convolutions, what is complete goes."""
        for layer in self.one.layers:
            self.convolutions.count_macs(layer)
            ring = self.layout.rings.get(layer.output)
            if layer.output in self.image.read_whole and ring is not None:
                self.context.out.layer = layer.name
                shape = self.graph.shapes[layer.output]
                clear(self.context, ring.address, ring.units * shape.width * shape.channels)
        if self._work:  # else what the maps hold stays where it is
            self._run_steps()
        self.convolutions.loader.begun(self.one.layers)
        self._schedule()
        for layer in self.one.layers:
            self.convolutions.place(layer)

    def _run_steps(self) -> None:
        for step in range(len(self.layout.steps)):
            self.context.out.layer = self.one.layers[0].name
            self.traffic.step(step, self.one.layers[-1].name)
            self.convolutions.loader.begun(self.one.layers)
            self._schedule()
            for (of, layer, products), serial in zip(self._work, self._serials, strict=True):
                if of == step:
                    self.context.out.layer = layer.name
                    for _ in self._emit(products, serial):
                        pass
            self.products.average(step)
        self.traffic.finish(self.one.layers[-1].name)

    def _schedule(self) -> None:
        """Tell, once, the order in which filters are used, which may come from now on."""
        if not self._scheduled and (len(self.one.layers) > 1 or self.image.banks[self.one.layers[0].name].streamed):
            order = [layer.name for _, layer, _ in self._work]
            uses = list(zip(order, self._serials, strict=True))
            self.convolutions.loader.schedule(self.one.layers, uses, self._ends)
        self._scheduled = True

    def _steps_of(self, layer: QuantisedConv, step: int) -> list[int]:
        """The steps whose tiles of a layer are emitted in a step."""
        if not self._ahead or layer is not self.block.middle:
            return [step]
        steps = [step + 1] if step else [0, 1]
        return [of for of in steps if of < len(self.layout.steps)]

    def _emit(self, products: list[Product], serial: int) -> Iterator[None]:
        """Products by the same filters: those that are streamed are read once."""
        products = [self._resolved(product) for product in products]
        ways = {self.convolutions.way(p.name, p.source, p.tiles, p.kernel) for p in products}
        if convolve_streamed in ways:
            ordered = [replace(product, serial=serial) for product in products]
            chunks = convolve_together(self.context, self.convolutions.loader, ordered)
            yield from self.convolutions.left_out_without(products[0].tiles.left_out, chunks)
            return
        for product in products:
            (way,) = ways
            chunks = way(self.context, self.convolutions.loader, replace(product, serial=serial))
            yield from self.convolutions.left_out_without(product.tiles.left_out, chunks)

    def _resolved(self, product: Product) -> Product:
        """The product with the tables of its step."""
        tables = self.convolutions.lowering.gates.row_tables
        reads = None if product.reads is None else tables.resolved(product.reads)
        return replace(product, tiles=tables.resolved(product.tiles), reads=reads)

"""Convolutions: whole, or the two of a block in turn, band by band."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from gatewright.compiler.emit.clear import clear
from gatewright.compiler.emit.convolution_products import ConvolutionProducts
from gatewright.compiler.emit.depthwise import average, convolve_depthwise
from gatewright.compiler.emit.grouped import convolve_grouped
from gatewright.compiler.emit.lower_channel_blocks import ChannelBlocks
from gatewright.compiler.emit.lower_head import HeadLowering
from gatewright.compiler.emit.lower_rows import RowsLowering
from gatewright.compiler.emit.lower_stem import lower_stem
from gatewright.compiler.emit.lower_tiled import TiledLowering
from gatewright.compiler.emit.matrix import Product
from gatewright.compiler.emit.side_by_side import interleave
from gatewright.compiler.emit.streamed import convolve_streamed
from gatewright.compiler.emit.taps_product import passes
from gatewright.compiler.emit.zeros import zeros_behind_first
from gatewright.compiler.kinds.convolution import QuantisedConv
from gatewright.compiler.kinds.pooling import Pooling
from gatewright.compiler.plan.bands import BandedBlock
from gatewright.compiler.plan.planes import plane_widths
from gatewright.compiler.plan.side_by_side import Order
from gatewright.compiler.plan.spills import Pass, going_along, maps_of
from gatewright.compiler.plan.tile_sets import TileSet
from gatewright.compiler.plan.tiling import PIECE_UNIT, even_chunks
from gatewright.contract.errors import GatewrightError

if TYPE_CHECKING:
    from gatewright.compiler.emit.lower import Lowering

AMONG_PIXELS = 48
"""Pixels in a chunk of a shortcut, in whole blocks of the array. Its chunks come among another convolution's: the
EPILOGUE of fewer takes longer than their product, and more keep the accumulator banks from the other one."""

AMONG_LIVE = 128
"""The same in a live program: its lists of active and of inactive tiles are both as long as they may be."""

_FINISHED = object()


class ConvolutionLowering(ConvolutionProducts):
    """Emits convolutions into a program in the making."""

    def __init__(self, lowering: Lowering) -> None:
        super().__init__(lowering)
        self._pools = {pooled.convolution.name: pooled for pooled in self.image.pooled}
        self._begun: dict[str, TiledLowering] = {}

    def emit(self, layers: Sequence[QuantisedConv]) -> None:
        """Convolutions of one source: chunk by chunk in turn, or one after the other where filters are streamed."""
        self._clear_before(layers)
        if layers[0].name in self._pools:
            lower_stem(self, self._pools[layers[0].name])
            return
        chain = self._chains.get(layers[0].name)
        if chain is not None:
            if chain.layers[0] in layers:
                RowsLowering(self, chain.layers, Pass(chain.steps), int(chain.cut)).run(chain.order != Order.IN_TURN)
            return
        if self.image.head is not None and self.image.head.convolution in layers:
            HeadLowering(self, self.image.head).run()
            return
        beside = self.image.by_channels.get(layers[0].name)
        if beside is not None:
            if beside.layers[0] in layers:
                ChannelBlocks(self, beside).run()
            return
        if any(layer.name in self.image.passes for layer in layers):
            for layer in layers:
                self._tiled(layer)
            return
        self._begin_behind(layers[0])
        block = self._blocks.get(layers[0].name)
        if block is not None:
            if block.first in layers:
                self._in_bands(block)
            return
        if any(layer.name in self.image.by_rows for layer in layers):
            first = going_along(layers[0], self.graph) if self.image.live else (layers[0],)
            for along in [first, *((layer,) for layer in layers[len(first) :])]:
                RowsLowering(self, along, self._pass_of(along), behind=self._pass_behind(along)).run()
            return
        for layer in layers:
            if layer.name in self.image.used_twice:
                sets = self._passes_over_filters(layer)
                self.loader.schedule([layer], [(layer.name, serial) for serial in range(len(sets))])
        among = max(1, (AMONG_LIVE if self.context.live else AMONG_PIXELS) // self.arch.columns) * self.arch.columns
        skips = self.context.live and len(layers) == 1
        chunks = [self._whole(layer, None if layer is layers[0] else among, skips) for layer in layers]
        if any(bank.streamed for layer in layers for bank in self.loader.banks_of(layer)):
            for one in chunks:
                interleave([one])
        else:
            interleave(chunks)

    def _pass_of(self, layers: Sequence[QuantisedConv]) -> Pass:
        """The pass by rows of convolutions that go along."""
        return Pass.of_layers(layers, self.graph, self.image.step_rows.get(layers[0].name))

    def _pass_behind(self, layers: Sequence[QuantisedConv]) -> Pass | None:
        """In a live program the next pass over the same maps in DRAM, if what comes between leaves their ring alone."""
        tensors = maps_of(layers[-1]) & self.image.spills.keys()
        if not self.image.live or not tensors:
            return None
        rings = self.image.spills[min(tensors)].rings
        here = next(n for n, ring in enumerate(rings) if layers[-1].name in ring.layers)
        names = rings[here + 1].layers if here + 1 < len(rings) else ()
        behind = [layer for layer in self.graph.layers if layer.name in names]
        if not behind or not isinstance(behind[0], QuantisedConv) or behind[0].name not in self.image.by_rows:
            return None
        begin, end = (self.graph.layers.index(layer) for layer in (layers[-1], behind[0]))
        ring = self.image.rows_for(layers[-1].name, min(tensors))
        assert ring is not None
        for between in self.graph.layers[begin + 1 : end]:
            sizes = between.sizes(self.image.laid) | between.scratch(self.image.laid, self.arch)
            for name, size in sizes.items():
                address = self.image.addresses.get(name, ring.address + ring.ring * ring.pitch)
                if address < ring.address + ring.ring * ring.pitch and ring.address < address + size:
                    return None
        return self._pass_of(going_along(behind[0], self.graph))

    def _clear_before(self, layers: Sequence[QuantisedConv]) -> None:
        """Clear what layers write that is read as if all channels were there; a ring is cleared with its pass."""
        for layer in layers:
            if layer.output in self.image.read_whole and layer.output not in self.image.off_chip:
                shape = self.graph.shapes[layer.output]
                self.context.out.layer = layer.name
                clear(self.context, self.image.addresses[layer.output], shape.size)

    def _tiled(self, layer: QuantisedConv) -> None:
        """A pass over maps in DRAM, when its first layer comes; or what is in none."""
        one = self.image.passes.get(layer.name)
        if one is None:
            interleave([self._whole(layer, None)])
        elif layer is one.layers[0]:
            (self._begun.pop(one.rings, None) or TiledLowering(self, one)).run()

    def _begin_behind(self, layer: QuantisedConv) -> None:
        """While a block's second convolution works, whole, what the pass behind it needs first is brought."""
        one = next((one for one in self.image.passes.values() if one.block.middle is layer), None)
        behind = None if one is None else self.image.passes.get((one.block.shortcut or one.block.last).name)
        if behind is not None and one is not None and one.block.first.output not in self.image.off_chip:
            self._begun[behind.rings] = TiledLowering(self, behind)
            self._begun[behind.rings].begin_beside_middle()

    def _whole(self, layer: QuantisedConv, even: int | None, skips: bool = False) -> Iterator[None]:
        """A convolution: dense, on the active tiles, or (a shortcut) finishing the inactive tiles too."""
        self.count_macs(layer)
        for serial, (tiles, relu, pool) in enumerate(self._passes_over_filters(layer)):
            yield from self.tiles(layer, tiles, relu, pool, serial, even, skips=skips, shrinks=True)
        self.place(layer)

    def _passes_over_filters(self, layer: QuantisedConv) -> list[tuple[TileSet, bool, Pooling | None]]:
        """``tile_sets``, cut so that the filters come once for each."""
        sets = self.tile_sets(layer)
        return [(part, relu, pool) for tiles, relu, pool in sets for part in self.for_filters(layer, tiles)]

    def for_filters(self, layer: QuantisedConv, tiles: TileSet) -> list[TileSet]:
        """The tiles in chunks, if filters come again for each; else together."""
        bank = self.image.banks[layer.name]
        if bank.by_taps:
            return [tiles.part(*one) for one in passes(tiles, bank.filters, self.arch)]
        if not bank.returns:
            return [tiles]
        pixels = self.arch.accumulator_depth // -(-bank.group // self.arch.columns)
        return [tiles.part(*chunk) for chunk in even_chunks(tiles, self.arch, PIECE_UNIT, pixels)]

    def _in_bands(self, block: BandedBlock) -> None:
        """A block's convolutions in turn, each on the rows of a band."""
        if {name for layer in block.layers for name in (layer.source, layer.output)} & self.image.spilled.keys():
            RowsLowering(self, block.layers, Pass.of_block(block, self.graph)).run()
            return
        shape, stored = self.graph.shapes[block.middle], self.filters_of(block.first)
        kept = self.ring(block.middle, shape.width * stored) or shape.height
        unit, ahead = block.unit_and_ahead(self.graph, kept)
        steps = tuple(tuple(block.turns(step)) for step in block.steps(self.graph, unit, ahead))
        RowsLowering(self, block.layers, Pass(steps), unit if unit < block.units[0] else 0).run()

    def count_macs(self, layer: QuantisedConv) -> None:
        """Note how many of the products that the array makes for a layer are the network's."""
        self.context.macs[layer.name] = layer.macs(self.graph, self.context.decisions)

    def tiles(
        self,
        layer: QuantisedConv,
        tiles: TileSet,
        relu: bool,
        pool: Pooling | None,
        serial: int = 0,
        even: int | None = None,
        part: tuple[int, int] | None = None,
        fine: bool = False,
        skips: bool = False,
        shrinks: bool = False,
    ) -> Iterator[None]:
        """The chunks of a convolution on some tiles; ``part``: of the filters so many from one on, not all.

        ``skips``: a live program leaves them out if none of these tiles are there, as it must if no table picks them.
        """
        if pool is not None and pool.tile != tiles.tile:
            raise GatewrightError(
                f"layer {layer.name}: its output is pooled in tiles of {pool.tile}, computed in tiles of {tiles.tile}"
            )
        first_filter, filters = part or (0, self.filters_of(layer))
        if not filters or not len(tiles):
            return
        product = self.product(layer, tiles, relu, pool, (first_filter, filters))
        product = replace(product, serial=serial, even=even, fine=fine, shrinks=shrinks).within_reach()
        skips = skips and not self.image.banks[layer.name].by_taps  # what is loaded in between would end each range
        table = tiles.without if skips else product.tiles.left_out
        yield from self.left_out_without(table, self._chunks(layer, product))

    def _chunks(self, layer: QuantisedConv, product: Product) -> Iterator[None]:
        if self.image.in_epilogue(layer):
            product = replace(product, filters=product.filters - self.image.share.get(layer.name, 0))
            way = average if layer.windowed else convolve_depthwise
            yield from way(self.context, self.loader, product)
            return
        yield from self._with_zeros(layer, product, self._multiplied(layer, product))

    def _with_zeros(self, layer: QuantisedConv, product: Product, chunks: Iterator[None]) -> Iterator[None]:
        """Chunks of a convolution, and zeros where a depthwise one reads beside them."""
        gate = self.context.gate(self.image.zeroed.get(layer.name))
        if gate is None:
            return chunks
        others = replace(product.tiles, table=gate.complement_table, made=product.tiles.gate_rows is None)
        others = self.lowering.gates.row_tables.resolved(others)
        return zeros_behind_first(chunks, self.context, product.output, others)

    def _multiplied(self, layer: QuantisedConv, product: Product) -> Iterator[None]:
        """Chunks of a convolution on the array."""
        if layer.groups > 1:
            yield from convolve_grouped(self.context, self.loader, product, plane_widths(layer, self.arch))
            return
        way = convolve_streamed
        if not layer.beside:
            way = self.way(layer.name, product.source, product.tiles, product.kernel)
        yield from way(self.context, self.loader, product)

    def left_out_without(self, table: int | None, chunks: Iterator[None]) -> Iterator[None]:
        """Chunks that are left out if a table has no entries; what comes between them is not."""
        while True:
            with self.context.out.left_out_without(table):
                left = next(chunks, _FINISHED) is None
            if not left:
                return
            yield

    def place(self, layer: QuantisedConv) -> None:
        """Record where the layer's output lies when the layer is done; a shortcut's is not yet complete."""
        completer = self.image.completer(layer)
        added = completer is not None and (
            completer.output_tiles or layer.name in self._blocks or layer.name in self.image.passes
        )
        if added or layer.output in self.image.ring_bytes or layer.output in self.image.planes:
            return
        if layer.output in self.image.spilled:
            self.lowering.placements.averages(self.image.poolings.get(layer.output))
            return
        if layer.output in self.image.off_chip or layer.output not in self.image.addresses:
            self.lowering.placements.pooled(layer, self.image.poolings.get(layer.output))
            return
        self.lowering.placements.convolution(layer, self.image.poolings.get(layer.output))

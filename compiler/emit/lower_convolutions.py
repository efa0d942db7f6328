"""Convolutions: whole, or the two of a block in turn, band by band."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from gatewright.compiler.emit.array_share import convolve_share
from gatewright.compiler.emit.context import Context, DecidedGate, Kernel, OutputMap, ResidualMap, SourceMap
from gatewright.compiler.emit.depthwise import average, convolve_depthwise
from gatewright.compiler.emit.filter_loader import FilterLoader
from gatewright.compiler.emit.grouped import convolve_grouped
from gatewright.compiler.emit.lower_channel_blocks import ChannelBlocks
from gatewright.compiler.emit.lower_head import HeadLowering
from gatewright.compiler.emit.lower_stem import lower_stem
from gatewright.compiler.emit.lower_tiled import TiledLowering
from gatewright.compiler.emit.matrix import Product, convolve
from gatewright.compiler.emit.row_traffic import RowTraffic
from gatewright.compiler.emit.side_by_side import side_by_side
from gatewright.compiler.emit.streamed import convolve_streamed
from gatewright.compiler.emit.tile_runs import Work, average_pass, convolve_runs, work_in_runs
from gatewright.compiler.kinds.convolution import QuantisedConv
from gatewright.compiler.kinds.pooling import Pooling
from gatewright.compiler.plan.bands import BandedBlock, Rows
from gatewright.compiler.plan.depthwise import in_epilogue, suitable_edge, windowed
from gatewright.compiler.plan.layout import padded_vectors, slices_of
from gatewright.compiler.plan.planes import Plane, in_slices, plane_widths, planes
from gatewright.compiler.plan.side_by_side import Order
from gatewright.compiler.plan.spills import Pass
from gatewright.compiler.plan.tiling import TileSet, all_tiles, computed_edge
from gatewright.contract.errors import GatewrightError

if TYPE_CHECKING:
    from gatewright.compiler.emit.lower import Lowering

AMONG_PIXELS = 48
"""Pixels in a chunk of a shortcut, in whole blocks of the array. Its chunks come among another convolution's: the
EPILOGUE of fewer takes longer than their product, and more keep the accumulator banks from the other one."""

_FINISHED = object()


class ConvolutionLowering:
    """Emits convolutions into a program in the making."""

    def __init__(self, lowering: Lowering) -> None:
        self.lowering = lowering
        self.context: Context = lowering.context
        self.loader: FilterLoader = lowering.loader
        self.image, self.graph, self.arch = lowering.image, lowering.graph, lowering.arch
        self._pools = {pooled.convolution.name: pooled for pooled in self.image.pooled}
        self._begun: dict[str, TiledLowering] = {}
        self._blocks = {layer.name: block for block in self.image.blocks for layer in block.layers}
        self._chains = {layer.name: chain for chain in self.image.chains for layer in chain.layers}

    def emit(self, layers: Sequence[QuantisedConv]) -> None:
        """Convolutions of one source: chunk by chunk in turn, or one after the other where filters are streamed."""
        if layers[0].name in self._pools:
            lower_stem(self, self._pools[layers[0].name])
            return
        chain = self._chains.get(layers[0].name)
        if chain is not None:
            if chain.layers[0] in layers:
                self._by_rows(chain.layers, Pass(chain.steps), int(chain.cut), chain.order != Order.IN_TURN)
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
            for layer in layers:
                self._by_rows([layer], Pass.of_layer(layer, self.graph, self.image.step_rows.get(layer.name)), 0)
            return
        for layer in layers:
            if layer.name in self.image.used_twice:
                sets = self.tile_sets(layer)
                self.loader.schedule([layer], [(layer.name, serial) for serial in range(len(sets))])
        among = max(1, AMONG_PIXELS // self.arch.columns) * self.arch.columns
        chunks = [self._whole(layer, None if layer is layers[0] else among) for layer in layers]
        if any(bank.streamed for layer in layers for bank in self.loader.banks_of(layer)):
            for one in chunks:
                _interleave([one])
        else:
            _interleave(chunks)

    def _tiled(self, layer: QuantisedConv) -> None:
        """A pass over maps in DRAM, when its first layer comes; or what is in none."""
        one = self.image.passes.get(layer.name)
        if one is None:
            _interleave([self._whole(layer, None)])
        elif layer is one.layers[0]:
            (self._begun.pop(one.rings, None) or TiledLowering(self, one)).run()

    def _begin_behind(self, layer: QuantisedConv) -> None:
        """While a block's second convolution works, whole, what the pass behind it needs first is brought."""
        one = next((one for one in self.image.passes.values() if one.block.middle is layer), None)
        behind = None if one is None else self.image.passes.get((one.block.shortcut or one.block.last).name)
        if behind is not None and one is not None and one.block.first.output not in self.image.off_chip:
            self._begun[behind.rings] = TiledLowering(self, behind)
            self._begun[behind.rings].begin_beside_middle()

    def _whole(self, layer: QuantisedConv, even: int | None) -> Iterator[None]:
        """A convolution: dense, on the active tiles, or (a shortcut) finishing the inactive tiles too."""
        self.count_macs(layer)
        for serial, (tiles, relu, pool) in enumerate(self.tile_sets(layer)):
            yield from self.tiles(layer, tiles, relu, pool, serial, even)
        self.place(layer)

    def tile_sets(self, layer: QuantisedConv, by_rows: bool = False) -> list[tuple[TileSet, bool, Pooling | None]]:
        """The tiles that a layer computes, each set with whether it has the ReLU and is pooled along; none is empty.

        ``by_rows``: single rows must be tiles, if no gate and no pooling says otherwise.
        """
        return [chosen for chosen in self._all_tile_sets(layer, by_rows) if len(chosen[0])]

    def _all_tile_sets(self, layer: QuantisedConv, by_rows: bool) -> list[tuple[TileSet, bool, Pooling | None]]:
        gate, completer = self.context.gate(layer.output_tiles), self.image.completer(layer)
        finishes = self.context.gate(completer.output_tiles) if completer else None
        if completer is not None and finishes is not None:
            after = self.image.pooling_of(layer)
            inactive = self._chosen(layer, finishes, after, by_rows, complement=True)
            return [(self._chosen(layer, finishes, None, by_rows), False, None), (inactive, completer.relu, after)]
        pool = self.image.poolings.get(layer.output)
        return [(self._chosen(layer, gate, pool, by_rows), layer.relu, pool)]

    def _chosen(
        self,
        layer: QuantisedConv,
        gate: DecidedGate | None,
        pool: Pooling | None,
        by_rows: bool,
        complement: bool = False,
    ) -> TileSet:
        """A map's active tiles, or its inactive ones; where no gate says which, all or none, in tiles of the pool."""
        shape = self.graph.shapes[layer.output]
        if gate is not None and not gate.whole:
            return gate.tiles(shape.height, complement)
        single = 1 if by_rows else computed_edge(shape.height, shape.width)
        tile = pool.tile if pool else single
        if in_epilogue(layer, self.graph, self.arch):
            tile = 1 if windowed(layer) else suitable_edge(layer, shape.height, shape.width)
        every = all_tiles(shape.height, shape.width, tile)
        return every if gate is None or (len(gate.entries) > 0) != complement else every.rows_of(0, 0)

    def _in_bands(self, block: BandedBlock) -> None:
        """A block's convolutions in turn, each on the rows of a band."""
        if {name for layer in block.layers for name in (layer.source, layer.output)} & self.image.spilled.keys():
            self._by_rows(block.layers, Pass.of_block(block, self.graph), 0)
            return
        shape, stored = self.graph.shapes[block.middle], self.filters_of(block.first)
        kept = self.ring(block.middle, shape.width * stored) or shape.height
        unit, ahead = block.unit_and_ahead(self.graph, kept)
        steps = tuple(tuple(block.turns(step)) for step in block.steps(self.graph, unit, ahead))
        self._by_rows(block.layers, Pass(steps), unit if unit < block.units[0] else 0)

    def _by_rows(self, layers: Sequence[QuantisedConv], one: Pass, unit: int, beside: bool = False) -> None:
        """Convolutions in turn, each on some rows; maps in DRAM come and go beside.

        With ``unit`` not 0 rows of tiles of the first convolution may be cut. ``beside``: what a step makes is made
        side by side, the array's layers in turn and EPILOGUE's.
        """
        for layer in layers:
            self.count_macs(layer)
        apart = layers[-1].output in self.image.apart
        work = work_in_runs(self, one) if apart else self._work(layers, one, unit)
        order = [layer.name for _, layer, *_ in work]
        serials = [order[:place].count(name) for place, name in enumerate(order)]
        if len(layers) > 1 or self.image.banks[layers[0].name].streamed:
            self.loader.schedule(layers, list(zip(order, serials, strict=True)))
        if work:  # else what the maps hold stays where it is
            traffic = RowTraffic(self.context, one)
            for number in range(len(one.steps)):
                self.context.out.layer = layers[0].name
                self._bring_image(layers[0], number)
                traffic.step(number)
                both: tuple[list[tuple[str, Iterator[None]]], ...] = [], []
                for (of, layer, runs, relu, pool), serial in zip(work, serials, strict=True):
                    if of == number:
                        even, (tiles, *others) = self.arch.accumulator_depth if beside else None, runs
                        chunks = self.tiles(layer, tiles, relu, pool, serial, even, fine=beside)
                        if others or apart:
                            chunks = convolve_runs(self, layer, runs, relu, serial)
                        if beside:
                            both[in_epilogue(layer, self.graph, self.arch)].append((layer.name, chunks))
                            both[0].extend(self._share(layer, tiles))
                            continue
                        self.context.out.layer = layer.name
                        _interleave([chunks])
                side_by_side(self.context, *both)
            traffic.finish()
            if apart:
                average_pass(self, layers)
        for layer in layers:
            self.place(layer)

    def _work(self, layers: Sequence[QuantisedConv], one: Pass, unit: int) -> list[Work]:
        """What a pass computes, in order."""
        sets = {layer.name: self.tile_sets(layer, by_rows=True) for layer in layers}
        return [
            (number, layer, [tiles], relu, pool)
            for number, step in enumerate(one.steps)
            for layer, rows in step
            for whole, relu, pool in sets[layer.name]
            for tiles in self._tiles_in(whole, rows, self._may_cut(layer, layers, unit, whole.tile))
            if self.filters_of(layer)
        ]

    def _share(self, layer: QuantisedConv, tiles: TileSet) -> list[tuple[str, Iterator[None]]]:
        """What the array computes of a depthwise convolution: some channels of the rows that a row of tiles has."""
        share, shape = self.image.share.get(layer.name, 0), self.graph.shapes[layer.output]
        if not share:
            return []
        first, end = tiles.span(0, 1)
        every = all_tiles(shape.height, shape.width, computed_edge(shape.height, shape.width))
        part = len(layer.weight) - share, share
        product = self.product(layer, every.rows_of(first, end), layer.relu, None, part)
        return [(layer.name, convolve_share(self.context, self.loader, product, layer))]

    def _may_cut(self, layer: QuantisedConv, layers: Sequence[QuantisedConv], unit: int, tile: int) -> bool:
        """Whether rows of a layer's tiles may be computed alone."""
        alone = in_epilogue(layer, self.graph, self.arch) and not windowed(layer)
        return alone or (layer is layers[0] and 0 < unit < tile)

    def _bring_image(self, layer: QuantisedConv, step: int) -> None:
        """Of an image in a ring the rows that a chain that begins with it needs in a step and in the next ones."""
        loader, chain = self.lowering.image_loader, self._chains.get(layer.name)
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

    def count_macs(self, layer: QuantisedConv) -> None:
        """Note how many of the products that the array makes for a layer are the network's."""
        self.context.macs[layer.name] = layer.macs(self.graph, self.context.decisions)

    def filters_of(self, layer: QuantisedConv) -> int:
        """Filters of a layer that are stored of its output."""
        gate = self._stored_channels(layer.output, layer.output_channels)
        return len(layer.weight) if gate is None else len(gate.entries)

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
    ) -> Iterator[None]:
        """The chunks of a convolution on some tiles; ``part``: of the filters so many from one on, not all."""
        if pool is not None and pool.tile != tiles.tile:
            raise GatewrightError(
                f"layer {layer.name}: its output is pooled in tiles of {pool.tile}, computed in tiles of {tiles.tile}"
            )
        first_filter, filters = part or (0, self.filters_of(layer))
        if not filters or not len(tiles):
            return
        product = self.product(layer, tiles, relu, pool, (first_filter, filters))
        product = replace(product, serial=serial, even=even, fine=fine).within_reach()
        if in_epilogue(layer, self.graph, self.arch):
            product = replace(product, filters=product.filters - self.image.share.get(layer.name, 0))
            way = average if windowed(layer) else convolve_depthwise
            yield from way(self.context, self.loader, product)
            return
        if layer.groups > 1:
            yield from convolve_grouped(self.context, self.loader, product, plane_widths(layer, self.arch))
            return
        way = self.way(layer.name, product.source, tiles, product.kernel)
        yield from way(self.context, self.loader, product)

    def product(
        self,
        layer: QuantisedConv,
        tiles: TileSet,
        relu: bool,
        pool: Pooling | None,
        part: tuple[int, int] | None = None,
    ) -> Product:
        """A convolution on some tiles; ``part``: of the filters so many from one on, not all."""
        first_filter, filters = part or (0, self.filters_of(layer))
        source, kernel = self._source(layer)
        readers, output = self.readers(layer, pool, tiles.tile), self._output(layer, relu, pool)
        return Product(layer.name, source, output, tiles, filters, kernel, readers, first_filter=first_filter)

    def _source(self, layer: QuantisedConv) -> tuple[SourceMap, Kernel]:
        shape, gate = self.graph.shapes[layer.source], self._stored_channels(layer.source, layer.input_channels)
        rows = self.image.input_layout.rows if layer.source == self.graph.input else 1
        channels = rows * shape.channels if gate is None else len(gate.entries)
        whole, pitch = self.context.gate(layer.output_tiles), self.image.pitches.get(layer.source, 0)
        slices = self._slices(layer)
        address, ring = self._place_of(layer, layer.source, shape.width * (pitch or channels))
        source = SourceMap(
            address,
            shape.height,
            shape.width,
            channels,
            gate,
            ring=ring,
            planes=self._planes(layer.source) or slices,
            pitch=pitch or (channels if slices else 0),
            follows=whole.table if whole is not None and whole.whole else None,
        ).masked(self.context.gate(layer.input_tiles))
        height, width = layer.weight.shape[1:3]
        if rows > 1:
            return source, Kernel(1, width, 1, 0, layer.padding)
        return source, Kernel(height, width, layer.stride, layer.padding, layer.padding)

    def _output(self, layer: QuantisedConv, relu: bool, pool: Pooling | None) -> OutputMap:
        shape, gate = self.graph.shapes[layer.output], self._stored_channels(layer.output, layer.output_channels)
        filters, pitch = len(layer.weight), self.image.pitches.get(layer.output, 0)
        row = shape.width * (pitch or (shape.channels if layer.appended_to else self.filters_of(layer)))
        address, ring = self._place_of(layer, layer.output, row)
        return OutputMap(
            address,
            shape.height,
            shape.width,
            filters,
            self.image.parameter_entry[layer.name],
            gate,
            layer.residual is not None,
            relu,
            pool,
            0 if pool is None else self.image.addresses[pool.name],
            ring,
            planes=self._planes(layer.output),
            pitch=pitch or (shape.channels if layer.appended_to else 0),
            offset=shape.channels - filters,
            residual_map=self._residual_map(layer),
        )

    def _residual_map(self, layer: QuantisedConv) -> ResidualMap | None:
        """Where a layer's residual is; None where the sum takes its place, or there is none."""
        if layer.residual is None or not layer.elsewhere:
            return None
        shape = self.graph.shapes[layer.residual]
        address, ring = self._place_of(layer, layer.residual, shape.width * shape.channels)
        return ResidualMap(address, shape.width, shape.channels, layer.upsample, ring)

    def _slices(self, layer: QuantisedConv) -> tuple[Plane, ...]:
        """The slices of an ordinary map that a batch norm on the array reads one by one; empty for any other layer."""
        if not in_slices(layer) or in_epilogue(layer, self.graph, self.arch):
            return ()
        return planes(len(layer.weight), plane_widths(layer, self.arch).channels)

    def _planes(self, tensor: str) -> tuple[Plane, ...]:
        """How a map lies that a grouped convolution reads; empty for any other."""
        if tensor not in self.image.planes:
            return ()
        return planes(self.graph.shapes[tensor].channels, self.image.planes[tensor])

    def _stored_channels(self, tensor: str, gate: str | None) -> DecidedGate | None:
        """The gate whose active channels alone are stored of a map. A map in planes has all, what is masked too."""
        return None if tensor in self.image.planes else self.context.gate(gate)

    def _place_of(self, layer: QuantisedConv, tensor: str, pitch: int) -> tuple[int, int | None]:
        """Where a map lies that a layer reads or writes: its address, and the rows of its ring, None if it is whole."""
        rows = self.image.rows_for(layer.name, tensor)
        if rows is not None:
            return rows.address, rows.ring
        return self.image.addresses[tensor], self.ring(tensor, pitch)

    def ring(self, tensor: str, pitch: int) -> int | None:
        """Rows of a map's ring; None if the map is whole."""
        rows = self.image.ring_rows(tensor, pitch) if pitch else None
        if rows is None:
            return None
        needed = min(self.graph.shapes[tensor].height, self.image.kept_rows(tensor))
        if rows < needed:
            raise GatewrightError(
                f"arch {self.arch.name}: {needed} rows of tensor {tensor} must be kept, {needed * pitch} bytes; beside "
                f"what lives with it the scratchpad of {self.arch.scratchpad_kib} KiB has room for "
                f"{self.image.ring_bytes[tensor]}: {needed * pitch - self.image.ring_bytes[tensor]} are missing; "
                "raise scratchpad_kib"
            )
        return rows

    def way(self, name: str, source: SourceMap, tiles: TileSet, kernel: Kernel) -> Callable[..., Iterator[None]]:
        """Whole reductions chunk by chunk if filters are resident and patches fit, else pieces."""
        words = slices_of(kernel.taps * source.channels, self.arch) * padded_vectors(tiles.area)
        whole = 4 * words <= self.context.patches.size and not self.image.banks[name].streamed
        return convolve if whole else convolve_streamed

    def readers(self, layer: QuantisedConv, pool: Pooling | None, tile: int) -> Callable[[int], None]:
        """What may begin while the layer is still being written: gates on its pooled map, the classifier's gather."""
        pooled = pool.name if pool is not None and pool.source == layer.output else None
        in_turn = self._blocks.get(layer.name) or self._chains.get(layer.name)
        readers = [
            reader
            for reader in self.graph.layers
            if {layer.output, pooled} & set(reader.reads) and (in_turn is None or reader not in in_turn.layers)
        ]

        def written(rows: int) -> None:
            for reader in readers:
                reader.advance(self.lowering, rows, rows * tile)

        return written

    def place(self, layer: QuantisedConv) -> None:
        """Record where the layer's output lies when the layer is done; a shortcut's is not yet complete."""
        completer = self.image.completer(layer)
        added = completer is not None and (
            completer.output_tiles or layer.name in self._blocks or layer.name in self.image.passes
        )
        if added or layer.output in self.image.ring_bytes or layer.output in self.image.planes:
            return
        if layer.output in self.image.spilled:
            self.lowering.place_averages(self.image.poolings.get(layer.output))
            return
        if layer.output in self.image.off_chip or layer.output not in self.image.addresses:
            self.lowering.place_pooled(layer, self.image.poolings.get(layer.output))
            return
        self.lowering.place(layer, self.image.poolings.get(layer.output))


def _interleave(chunks: list[Iterator[None]]) -> None:
    """Emit several layers' chunks in turn: where one keeps the array busy the other keeps the epilogue busy."""
    while chunks:
        chunks = [layer for layer in chunks if next(layer, _FINISHED) is None]

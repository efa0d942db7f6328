"""What a convolution computes, reads and writes: its tiles, its maps, and who may begin while it is written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from gatewright.compiler.emit.context import Context
from gatewright.compiler.emit.decided_gate import DecidedGate
from gatewright.compiler.emit.filter_loader import FilterLoader
from gatewright.compiler.emit.matrix import Product, convolve
from gatewright.compiler.emit.placed_maps import Kernel, OutputMap, ResidualMap, SourceMap, SourcePart
from gatewright.compiler.emit.streamed import convolve_streamed
from gatewright.compiler.emit.taps_product import convolve_by_taps
from gatewright.compiler.kinds.convolution import QuantisedConv
from gatewright.compiler.kinds.pooling import Pooling
from gatewright.compiler.plan.depthwise import suitable_edge
from gatewright.compiler.plan.layout import padded_vectors, slices_of
from gatewright.compiler.plan.planes import Plane, in_slices, plane_widths, planes
from gatewright.compiler.plan.row_rings import kept_rows, ring_rows
from gatewright.compiler.plan.several_sources import part_slices
from gatewright.compiler.plan.tile_sets import TileSet, all_tiles, computed_edge
from gatewright.contract.errors import GatewrightError

if TYPE_CHECKING:
    from gatewright.compiler.emit.lower import Lowering


class ConvolutionProducts:
    """Makes products of convolutions, for those who emit them."""

    def __init__(self, lowering: Lowering) -> None:
        self.lowering = lowering
        self.context: Context = lowering.context
        self.loader: FilterLoader = lowering.loader
        self.image, self.graph, self.arch = lowering.image, lowering.graph, lowering.arch
        self._blocks = {layer.name: block for block in self.image.blocks for layer in block.layers}
        self._chains = {layer.name: chain for chain in self.image.chains for layer in chain.layers}

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
            return [
                (self._chosen(layer, finishes, None, by_rows), False, None),
                (inactive, completer.relu_of_skipped, after),
            ]
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
        if self.image.in_epilogue(layer):
            tile = 1 if layer.windowed else suitable_edge(layer, shape.height, shape.width)
        every = all_tiles(shape.height, shape.width, tile)
        if gate is not None and gate.live:
            return replace(every, without=gate.complement_table if complement else gate.table)
        return every if gate is None or (len(gate.entries) > 0) != complement else every.rows_of(0, 0)

    def filters_of(self, layer: QuantisedConv) -> int:
        """Filters of a layer that are stored of its output."""
        gate = self._stored_channels(layer.output, layer.output_channels)
        return len(layer.weight) if gate is None else len(gate.entries)

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
        behind = self.behind(layer)
        product = Product(
            layer.name, source, output, tiles, filters, kernel, readers, behind, first_filter=first_filter
        )
        return self._of_several(layer, product) if layer.beside else product

    def _of_several(self, layer: QuantisedConv, product: Product) -> Product:
        """The product of a convolution that reads several maps, of which none is masked."""
        parts = []
        for name, slices in zip(layer.sources, part_slices(layer, self.graph, self.arch), strict=True):
            shape, pitch = self.graph.shapes[name], self.image.pitches.get(name, 0)
            address, ring, shift = self._place_of(layer, name, shape.width * (pitch or shape.channels))
            source = SourceMap(address, shape.height, shape.width, shape.channels, ring=ring, pitch=pitch, origin=shift)
            parts.append(SourcePart(source, slices))
        elements = (parts[-1].slices.first + parts[-1].slices.count) * self.arch.rows
        whole = replace(product.source, channels=-(-elements // product.kernel.taps))
        return replace(product, source=whole, parts=tuple(parts))

    def _source(self, layer: QuantisedConv) -> tuple[SourceMap, Kernel]:
        shape, gate = self.graph.shapes[layer.source], self._stored_channels(layer.source, layer.input_channels)
        rows = self.image.input_layout.rows if layer.source == self.graph.input else 1
        channels = rows * shape.channels if gate is None else len(gate.entries)
        pitch, slices = self.pitch(layer.source), self._slices(layer)
        address, ring, shift = self._place_of(layer, layer.source, shape.width * (pitch or channels))
        source = SourceMap(
            address,
            shape.height,
            shape.width,
            channels,
            gate,
            ring=ring,
            origin=shift,
            planes=self._planes(layer.source) or slices,
            pitch=pitch or (channels if slices else 0),
            follows=self.follows(layer),
            moving=self.moves(layer.source, gate, layer.input_tiles),
            at_once=self._by_lists_of_steps(self._writer(layer.source)) != self._by_lists_of_steps(layer.name),
        ).masked(self.context.gate(layer.input_tiles))
        height, width = layer.weight.shape[1:3]
        if rows > 1:
            return source, Kernel(1, width, 1, 0, layer.padding)
        return source, Kernel(height, width, layer.stride, layer.padding, layer.padding, layer.dilation)

    def _output(self, layer: QuantisedConv, relu: bool, pool: Pooling | None) -> OutputMap:
        shape, gate = self.graph.shapes[layer.output], self._stored_channels(layer.output, layer.output_channels)
        filters, pitch = len(layer.weight), self.pitch(layer.output)
        row = shape.width * (pitch or (shape.channels if layer.appended_to else self.filters_of(layer)))
        address, ring, shift = self._place_of(layer, layer.output, row)
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
            origin=shift,
            planes=self._planes(layer.output),
            pitch=pitch or (shape.channels if layer.appended_to else 0),
            offset=shape.channels - filters,
            residual_map=self._residual_map(layer),
            moving=self.moves(layer.output, gate, layer.output_tiles if layer.residual is None else None),
        )

    def pitch(self, tensor: str) -> int:
        """Bytes from a pixel of a map to the next, if these are not its channels as they are stored; else 0."""
        return self.graph.shapes[tensor].channels if tensor in self.image.spread else self.image.pitches.get(tensor, 0)

    def moves(self, tensor: str, channels: DecidedGate | None, tiles: str | None) -> bool:
        """Whether only the machine knows where a map's pixels lie of which gates pick channels and tiles."""
        if not self.context.live or tensor in self.image.ring_bytes:
            return False
        if tensor in self.image.spread:  # of these pixels only which tile's they are is not known
            return tensor in self.image.beside_depthwise and self._lists_tiles(tiles)
        return channels is not None or self._lists_tiles(tiles)

    def follows(self, layer: QuantisedConv) -> int | None:
        """The table of the gate of whole maps without whose decision nothing is read for a layer; None without one."""
        gate = self.context.gate(layer.output_tiles)
        return gate.table if gate is not None and gate.whole and not gate.live else None

    def _by_lists_of_steps(self, layer: str) -> bool:
        """Whether the tables that pick a layer's tiles are of some rows or tiles each."""
        return layer in self.image.by_rows or layer in self.image.passes

    def _writer(self, tensor: str) -> str:
        """The first layer that writes a tensor; nothing for the image."""
        return next((layer.name for layer in self.graph.layers if tensor in layer.writes), "")

    def _lists_tiles(self, name: str | None) -> bool:
        """Whether a gate of that name picks tiles of a map, and not all of it or nothing."""
        gate = self.context.gate(name)
        return gate is not None and not gate.whole

    def _residual_map(self, layer: QuantisedConv) -> ResidualMap | None:
        """Where a layer's residual is; None where the sum takes its place, or there is none."""
        if layer.residual is None or not layer.elsewhere:
            return None
        shape = self.graph.shapes[layer.residual]
        address, ring, shift = self._place_of(layer, layer.residual, shape.width * shape.channels)
        return ResidualMap(address, shape.width, shape.channels, layer.upsample, ring, shift)

    def _slices(self, layer: QuantisedConv) -> tuple[Plane, ...]:
        """The slices of an ordinary map that a batch norm on the array reads one by one; empty for any other layer."""
        if not in_slices(layer) or self.image.in_epilogue(layer):
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

    def _place_of(self, layer: QuantisedConv, tensor: str, pitch: int) -> tuple[int, int | None, int]:
        """Where a map lies that a layer reads or writes: its address, the rows of its ring, None if it is whole, and
        the place of row 0 in it."""
        rows = self.image.rows_for(layer.name, tensor)
        if rows is not None:
            return rows.address, rows.ring, rows.shift
        return self.image.addresses[tensor], self.ring(tensor, pitch), 0

    def ring(self, tensor: str, pitch: int) -> int | None:
        """Rows of a map's ring; None if the map is whole."""
        rows = ring_rows(self.image, tensor, pitch) if pitch else None
        if rows is None:
            return None
        needed = min(self.graph.shapes[tensor].height, kept_rows(self.image, tensor))
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
        if self.image.banks[name].by_taps:
            return convolve_by_taps
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

        return self._running(written)

    def behind(self, layer: QuantisedConv) -> Callable[[int], None]:
        """What is multiplied in the wake of a layer."""
        return self._running(self.lowering.wakes.behind(layer))

    def _running(self, emit: Callable[[int], None]) -> Callable[[int], None]:
        """A function whose instructions are not left out, whatever they come among."""

        def run(done: int) -> None:
            with self.context.out.left_out_without(None):
                emit(done)

        return run

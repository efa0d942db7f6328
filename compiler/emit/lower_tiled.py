"""Convolutions over maps in DRAM, tile by tile: see ``plan.tiled``.

Where a map's pixels lie tile by tile it is, to the machine, a map as wide as a tile and as high as all tiles below one
another, and the table that picks its tiles holds their numbers in one column. A GATHER may read such a map while the
EPILOGUE behind it writes an ordinary one, or the other way round: both tables hold the same tiles in the same order.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from gatewright.compiler.emit.context import DecidedGate, Kernel, OutputMap, SourceMap
from gatewright.compiler.emit.matrix import Product
from gatewright.compiler.emit.streamed import convolve_streamed, convolve_together
from gatewright.compiler.emit.tile_streams import streams_of
from gatewright.compiler.emit.tile_traffic import TileTraffic
from gatewright.compiler.emit.windows import windows
from gatewright.compiler.kinds.convolution import QuantisedConv
from gatewright.compiler.kinds.pooling import Pooling
from gatewright.compiler.plan.averages_apart import apart, may_be_apart
from gatewright.compiler.plan.bands import Rows
from gatewright.compiler.plan.layout import slices_of
from gatewright.compiler.plan.placement import SLACK_BYTES
from gatewright.compiler.plan.rooms import room_of
from gatewright.compiler.plan.tile_rings import PassLayout, lay_out, least_bytes, ring_needs, stream_ring
from gatewright.compiler.plan.tile_steps import Work
from gatewright.compiler.plan.tiled import TiledPass
from gatewright.compiler.plan.tiling import TileSet
from gatewright.contract.encodings import COORDINATE_BITS
from gatewright.contract.errors import GatewrightError
from gatewright.contract.isa import EpilogueKind

if TYPE_CHECKING:
    from gatewright.compiler.emit.lower_convolutions import ConvolutionLowering

EVEN_PIXELS = 64
"""Pixels of a chunk of a step, if a tile does not have more."""

Numbers = npt.NDArray[np.int64]


def _nobody(rows: int) -> None:
    """Nobody is told that rows are complete."""


@dataclass(frozen=True)
class _Set:
    """Tiles of a layer's output: their numbers in raster order, and the tables of their places in the grid and in one
    column; whether they get the ReLU, and what is pooled along."""

    numbers: Numbers
    table: int | None
    column_table: int | None
    relu: bool
    pool: Pooling | None


class TiledLowering:
    """Emits one pass."""

    def __init__(self, convolutions: ConvolutionLowering, one: TiledPass) -> None:
        self.convolutions, self.one, self.block = convolutions, one, one.block
        self.context, self.image, self.graph = convolutions.context, convolutions.image, convolutions.graph
        self.sets = {layer.name: self._sets_of(layer) for layer in one.layers}
        self.layout = self._lay_out()
        self._averaged = 0
        self._apart = self._averages_apart()
        """Whether the averages of the first convolution's tiles come behind the rows that they are of."""
        self._ahead = 0
        """Steps that the second convolution runs ahead of the third, so that this one does not wait for its results."""
        if len(one.layers) > 1 and one.layers[0] is self.block.middle:
            ring = self.layout.rings[self.block.middle.output]
            both = [end - first for (first, _), (_, end) in zip(self.layout.steps, self.layout.steps[1:], strict=False)]
            self._ahead = int(all(tiles <= ring.units for tiles in both))
        self._scheduled, self._ends = False, False
        """Whether the last product of all completes the map, channel by channel."""
        self._work = [
            (step, layer, products)
            for step in range(len(self.layout.steps))
            for layer in one.layers
            for of in self._steps_of(layer, step)
            if convolutions.filters_of(layer) and (products := self._products(layer, of))
        ]
        if self._work and self._work[-1][:2] == (len(self.layout.steps) - 1, self.block.last):
            self._ends = True
            *_, products = self._work[-1]
            products[-1] = replace(products[-1], followed=convolutions.lowering.wakes.behind(self.block.last))
        order = [layer.name for _, layer, _ in self._work]
        self._serials = [order[:place].count(name) for place, name in enumerate(order)]
        idle = [
            sum(self._idle(layer, products) for of, layer, products in self._work if of == step)
            for step in range(len(self.layout.steps))
        ]
        self.traffic = TileTraffic(self.context, *streams_of(self), idle)

    def begin_beside_middle(self) -> None:
        """Bring the first step's tiles and filters while the second convolution is still at work, whole."""
        source, layer = self.block.first.output, self.block.middle
        shape, address = self.graph.shapes[source], self.image.addresses[source]
        busy = address, address + shape.height * shape.width * self.channels(source) + SLACK_BYTES
        arch = self.context.arch
        slices = slices_of(layer.weight.shape[1] * layer.weight.shape[2] * self.channels(source), arch)
        blocks = -(-self.convolutions.filters_of(layer) // arch.columns)
        pixels = len(self.active(self.block.last)) * self.edge(layer) ** 2
        self.traffic.begin_beside(busy, pixels * blocks * (slices - 1) // 2)
        self._schedule()

    def run(self) -> None:
        """Every step: what it needs comes, its convolutions, what is complete goes."""
        for layer in self.one.layers:
            self.convolutions.count_macs(layer)
        for step in range(len(self.layout.steps)):
            self.context.out.layer = self.one.layers[0].name
            self.traffic.step(step, self.one.layers[-1].name)
            self._schedule()
            for (of, layer, products), serial in zip(self._work, self._serials, strict=True):
                if of == step:
                    self.context.out.layer = layer.name
                    for _ in self._emit(products, serial):
                        pass
            self._average(self.layout.steps[step][1] // self.block.grid[1])
        self.traffic.finish(self.one.layers[-1].name)
        for layer in self.one.layers:
            self.convolutions.place(layer)

    def _schedule(self) -> None:
        """Tell, once, the order in which filters are used, which may come from now on."""
        if not self._scheduled and (len(self.one.layers) > 1 or self.image.banks[self.one.layers[0].name].streamed):
            order = [layer.name for _, layer, _ in self._work]
            uses = list(zip(order, self._serials, strict=True))
            self.convolutions.loader.schedule(self.one.layers, uses, self._ends)
        self._scheduled = True

    def _averages_apart(self) -> bool:
        layer = self.block.first
        pool = self.image.poolings.get(layer.output)
        if self.one.layers != (layer,) or pool is None or layer.output in self.layout.rings:
            return False
        if not may_be_apart(layer, pool, self.graph):
            return False
        pixels, filters = len(self.active(layer)) * self.edge(layer) ** 2, self.convolutions.filters_of(layer)
        sizes = pixels, self.channels(layer.source), filters, self.block.tiles, self.edge(layer)
        return apart(*sizes, self.context.arch)

    def _average(self, rows: int) -> None:
        """The averages of rows of tiles that are complete now, if they are apart."""
        if not self._apart or rows <= self._averaged:
            return
        layer, shape = self.block.first, self.graph.shapes[self.block.first.output]
        pool, channels = self.image.poolings[layer.output], self.convolutions.filters_of(layer)
        source = SourceMap(self.image.addresses[layer.output], shape.height, shape.width, channels)
        entry, place = self.image.parameter_entry[layer.name], self.image.addresses[pool.name]
        output = OutputMap(place, *self.block.grid, channels, entry)
        self.context.out.layer = layer.name
        windows(self.context, EpilogueKind.AVERAGE, source, output, Rows(self._averaged, rows), pool.tile, pool.tile)
        self._averaged = rows

    def _steps_of(self, layer: QuantisedConv, step: int) -> list[int]:
        """The steps whose tiles of a layer are emitted in a step."""
        if not self._ahead or layer is not self.block.middle:
            return [step]
        steps = [step + 1] if step else [0, 1]
        return [of for of in steps if of < len(self.layout.steps)]

    def _sets_of(self, layer: QuantisedConv) -> list[_Set]:
        """The sets of tiles that a layer computes; a shortcut finishes those that are inactive."""
        gate, completer = self.context.gate(layer.output_tiles), self.image.completer(layer)
        finishes = None if completer is None else self.context.gate(completer.output_tiles)
        if completer is not None and finishes is not None:
            return [
                self._listed(finishes, False, False, None),
                self._listed(finishes, True, completer.relu, self.image.pooling_of(layer)),
            ]
        pool = self.image.poolings.get(layer.output)
        if gate is not None:
            return [self._listed(gate, False, layer.relu, pool)]
        return [_Set(np.arange(self.block.tiles), None, None, layer.relu, pool)]

    def _listed(self, gate: DecidedGate, complement: bool, relu: bool, pool: Pooling | None) -> _Set:
        entries = (gate.complement if complement else gate.entries).astype(np.int64)
        numbers = (entries >> COORDINATE_BITS) * gate.grid[1] + (entries & ((1 << COORDINATE_BITS) - 1))
        if complement:
            return _Set(numbers, gate.complement_table, gate.column_complement_table, relu, pool)
        return _Set(numbers, gate.table, gate.column_table, relu, pool)

    def channels(self, tensor: str) -> int:
        """Channels of a map as they are stored."""
        writer = next((la for la in self.graph.layers if tensor in la.writes), None)
        if isinstance(writer, Pooling):
            return self.channels(writer.source)
        if isinstance(writer, QuantisedConv):
            return self.convolutions.filters_of(writer)
        return self.graph.shapes[tensor].channels

    def _lay_out(self) -> PassLayout:
        """The rings, as large as this sample's maps leave room for."""
        one, arch = self.one, self.context.arch
        needs = ring_needs(one, self.graph, self.image.off_chip, self.channels)
        maps, size = self.image.maps, arch.scratchpad_bytes
        address, room = room_of(maps.rooms[one.rings], maps.beside[one.rings], self.graph.shapes, self.channels, size)
        work = [
            Work(self._macs(layer), self._filter_bytes(layer), len(self.active(layer)), self._behind_bytes(layer))
            for layer in one.layers
        ]
        active = sorted({number for layer in one.layers for number in self.active(layer)})
        layout = lay_out(one, self.graph, arch, needs, address, room, work, active)
        if layout is None:
            raise GatewrightError(
                f"arch {arch.name}: beside what lives with it the scratchpad of {arch.scratchpad_kib} KiB has {room} "
                f"bytes for tiles of {one.layers[0].name}'s maps, which need {least_bytes(needs)}; raise scratchpad_kib"
            )
        return layout

    def _macs(self, layer: QuantisedConv) -> int:
        pixels = len(self.active(layer)) * self.edge(layer) ** 2
        taps = layer.weight.shape[1] * layer.weight.shape[2]
        return pixels * self.convolutions.filters_of(layer) * taps * self.channels(layer.source)

    def _filter_bytes(self, layer: QuantisedConv) -> int:
        """Bytes of a layer's filters that are read."""
        bank = self.image.banks[layer.name]
        gate = self.context.gate(bank.gate)
        size = layer.weight.size if bank.streamed else 0
        return size if gate is None else size * len(gate.entries) // bank.rows

    def _behind_bytes(self, layer: QuantisedConv) -> int:
        """Bytes of the filters of what is multiplied in the wake of a layer."""
        wake = self.image.wakes.get(layer.name)
        return 0 if wake is None else self.image.banks[wake.bank].filters * self.image.banks[wake.bank].reduction

    def _in_tiles(self, tensor: str) -> str | None:
        """The ring in which a map lies tile by tile; None for any other."""
        stream = {self.block.last.output, None if self.block.shortcut is None else self.block.shortcut.output}
        ring = stream_ring(self.one) if tensor in stream and tensor in self.image.off_chip else tensor
        return ring if ring in self.layout.rings and not self._in_rows(tensor) else None

    def _in_rows(self, tensor: str) -> bool:
        return tensor == self.block.first.output and tensor in self.layout.rings

    def _products(self, layer: QuantisedConv, step: int) -> list[Product]:
        """A layer's products of a step's tiles."""
        first, end = self.layout.steps[step]
        found = []
        for chosen in self.sets[layer.name]:
            low, high = np.searchsorted(chosen.numbers, (first, end)).tolist()
            if high > low:
                found.append(self._product(layer, chosen, low, high))
        return found

    def _product(self, layer: QuantisedConv, chosen: _Set, low: int, high: int) -> Product:
        source, reads_tiles, kernel = self._source(layer, chosen, low, high)
        output, tiles = self._output(layer, chosen, low, high)
        readers = self.convolutions.readers(layer, chosen.pool, self.edge(layer)) if not self._apart else _nobody
        column = self._in_tiles(layer.output) is not None

        def written(rows: int) -> None:
            """Tile rows of the grid, of which those of one column are as many as there are tiles."""
            readers(rows // self.block.grid[1] if column else rows)

        filters = self.convolutions.filters_of(layer)
        width = self.edge(layer) if self._in_tiles(layer.source) else self.graph.shapes[layer.output].width
        return Product(
            layer.name,
            source,
            output,
            tiles,
            filters,
            kernel,
            written,
            even=EVEN_PIXELS,
            reads=reads_tiles,
            reads_width=width,
        )

    def edge(self, layer: QuantisedConv) -> int:
        """The edge of a tile of a layer's output."""
        return self.block.tile_in(self.graph.shapes[layer.output])

    def _tiles(self, layer: QuantisedConv, chosen: _Set, low: int, high: int, column: bool) -> TileSet:
        edge, numbers = self.edge(layer), chosen.numbers[low:high]
        start = int(numbers[0]) if chosen.table is None else low
        if column:
            return TileSet(edge, chosen.column_table, numbers * edge, start)
        return TileSet(edge, chosen.table, numbers // self.block.grid[1] * edge, start)

    def _source(self, layer: QuantisedConv, chosen: _Set, low: int, high: int) -> tuple[SourceMap, TileSet, Kernel]:
        """The map that a layer reads. Of one that comes by tiles a stride has left out what is not read."""
        shape, gate = self.graph.shapes[layer.source], self.context.gate(layer.input_channels)
        channels, name = self.channels(layer.source), self._in_tiles(layer.source)
        if name is not None:
            ring, edge = self.layout.rings[name], self.edge(layer)
            rows = self.block.tiles * edge
            source = SourceMap(ring.address, rows, edge, channels, gate, None, min(rows, ring.units * edge))
            return source, self._tiles(layer, chosen, low, high, True), Kernel()
        height, width = layer.weight.shape[1:3]
        kernel = Kernel(height, width, layer.stride, layer.padding, layer.padding)
        mask = self.context.gate(layer.input_tiles)
        if self._in_rows(layer.source):
            ring = self.layout.rings[layer.source]
            address, kept = ring.address, min(ring.units, shape.height)
            source = SourceMap(address, shape.height, shape.width, channels, gate, mask, kept)
        else:
            address = self.image.addresses[layer.source]
            source = SourceMap(address, shape.height, shape.width, channels, gate, mask)
        return source, self._tiles(layer, chosen, low, high, False), kernel

    def _output(self, layer: QuantisedConv, chosen: _Set, low: int, high: int) -> tuple[OutputMap, TileSet]:
        shape, name = self.graph.shapes[layer.output], self._in_tiles(layer.output)
        column, edge = name is not None, self.edge(layer)
        if name is not None:
            ring, rows = self.layout.rings[name], self.block.tiles * edge
            place: tuple[int, int, int, int | None] = ring.address, rows, edge, min(rows, ring.units * edge)
        elif self._in_rows(layer.output):
            ring = self.layout.rings[layer.output]
            place = ring.address, shape.height, shape.width, min(shape.height, ring.units)
        else:
            place = self.image.addresses[layer.output], shape.height, shape.width, None
        address, height, width, kept = place
        output = OutputMap(
            address,
            height,
            width,
            shape.channels,
            self.image.parameter_entry[layer.name],
            self.context.gate(layer.output_channels),
            layer.residual is not None,
            chosen.relu,
            None if self._apart else chosen.pool,
            0 if chosen.pool is None else self.image.addresses[chosen.pool.name],
            kept,
        )
        return output, self._tiles(layer, chosen, low, high, column)

    def _emit(self, products: list[Product], serial: int) -> Iterator[None]:
        """Products by the same filters: those that are streamed are read once."""
        ways = {self.convolutions.way(p.name, p.source, p.tiles, p.kernel) for p in products}
        if convolve_streamed in ways:
            ordered = [replace(product, serial=serial) for product in products]
            yield from convolve_together(self.context, self.convolutions.loader, ordered)
            return
        for product in products:
            (way,) = ways
            yield from way(self.context, self.convolutions.loader, product)

    def _idle(self, layer: QuantisedConv, products: list[Product]) -> int:
        """About the array's cycles for products less those of the epilogue on the port."""
        arch = self.context.arch
        blocks = -(-self.convolutions.filters_of(layer) // arch.columns)
        return sum(
            len(p.tiles)
            * p.tiles.pixels
            * blocks
            * (slices_of(p.kernel.taps * p.source.channels, arch) - 1 - p.output.residual)
            for p in products
        )

    def active(self, layer: QuantisedConv) -> list[int]:
        """The tiles that a layer computes."""
        sets = self.sets[layer.name] if layer.name in self.sets else self._sets_of(layer)
        return sorted({int(n) for chosen in sets for n in chosen.numbers})

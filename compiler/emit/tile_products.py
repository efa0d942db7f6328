"""The products of a pass over maps in DRAM: which pixels a layer reads and writes in a step, and where."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from gatewright.compiler.emit.matrix import Product
from gatewright.compiler.emit.placed_maps import Kernel, OutputMap, SourceMap
from gatewright.compiler.emit.tile_pass import TileChoice, TilePass
from gatewright.compiler.emit.windows import windows
from gatewright.compiler.kinds.convolution import QuantisedConv
from gatewright.compiler.plan.averages_apart import apart, may_be_apart
from gatewright.compiler.plan.bands import Rows
from gatewright.compiler.plan.layout import slices_of
from gatewright.compiler.plan.tile_rings import stream_ring
from gatewright.compiler.plan.tile_sets import TileSet
from gatewright.contract.isa import EpilogueKind

EVEN_PIXELS = 64
"""Pixels of a chunk of a step, if a tile does not have more."""


def _nobody(rows: int) -> None:
    """Nobody is told that rows are complete."""


class TileProducts:
    """Makes them, and the averages of tiles that do not ride along."""

    def __init__(self, of: TilePass) -> None:
        self.of, self.convolutions, self.block = of, of.convolutions, of.block
        self.context, self.image, self.graph = of.context, of.image, of.graph
        self._apart = self._averages_apart()
        """Whether the averages of the first convolution's tiles come behind the rows that they are of."""

    def in_step(self, layer: QuantisedConv, step: int) -> list[Product]:
        """A layer's products of a step's tiles."""
        first, end = self.of.layout.steps[step]
        found = []
        for chosen in self.of.sets[layer.name]:
            low, high = np.searchsorted(chosen.numbers, (first, end)).tolist()
            if high > low:
                found.append(self._product(layer, chosen, low, high))
        return found

    def _product(self, layer: QuantisedConv, chosen: TileChoice, low: int, high: int) -> Product:
        source, reads_tiles, kernel = self._source(layer, chosen, low, high)
        output, tiles = self._output(layer, chosen, low, high)
        readers = self.convolutions.readers(layer, chosen.pool, self.of.edge(layer)) if not self._apart else _nobody
        column = self._in_tiles(layer.output) is not None

        def written(rows: int) -> None:
            """Tile rows of the grid, of which those of one column are as many as there are tiles."""
            readers(rows // self.block.grid[1] if column else rows)

        filters = self.convolutions.filters_of(layer)
        width = self.of.edge(layer) if self._in_tiles(layer.source) else self.graph.shapes[layer.output].width
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

    def _tiles(self, layer: QuantisedConv, chosen: TileChoice, low: int, high: int, column: bool) -> TileSet:
        edge, numbers = self.of.edge(layer), chosen.numbers[low:high]
        if chosen.live:
            return self._of_step(chosen, edge, low, high, column)
        start = int(numbers[0]) if chosen.table is None else low
        table, across = (chosen.column_table, 1) if column else (chosen.table, self.block.grid[1])
        return TileSet(edge, table, numbers // across * edge, start, without=chosen.without)

    def _of_step(self, chosen: TileChoice, edge: int, first: int, end: int, column: bool) -> TileSet:
        """Of tiles [first, end) those that the machine finds on, by a table that is made when the step begins."""
        across = 1 if column else self.block.grid[1]
        numbers = chosen.numbers[first:end]
        bottom = ((end - 1) // across + 1) * edge
        rows = first // across, (end - 1) // across + 1
        tiles = TileSet(edge, chosen.table, numbers // across * edge, bottom=bottom, without=chosen.table)
        return replace(tiles, gate_rows=rows, gate_bits=(first, end), column=column, made=False)

    def _source(
        self, layer: QuantisedConv, chosen: TileChoice, low: int, high: int
    ) -> tuple[SourceMap, TileSet, Kernel]:
        """The map that a layer reads. Of one that comes by tiles a stride has left out what is not read."""
        shape, gate = self.graph.shapes[layer.source], self.context.gate(layer.input_channels)
        channels, name = self.of.channels(layer.source), self._in_tiles(layer.source)
        follows = self.convolutions.follows(layer)
        if name is not None:
            ring, edge = self.of.layout.rings[name], self.of.edge(layer)
            rows = self.block.tiles * edge
            kept, pitch = min(rows, ring.units * edge), self.convolutions.pitch(layer.source)
            source = SourceMap(ring.address, rows, edge, channels, gate, None, kept, pitch=pitch, follows=follows)
            return source, self._tiles(layer, chosen, low, high, True), Kernel()
        height, width = layer.weight.shape[1:3]
        kernel = Kernel(height, width, layer.stride, layer.padding, layer.padding, layer.dilation)
        mask = self.context.gate(layer.input_tiles)
        if self._in_rows(layer.source):
            ring = self.of.layout.rings[layer.source]
            address, kept = ring.address, min(ring.units, shape.height)
            source = SourceMap(address, shape.height, shape.width, channels, gate, ring=kept)
        else:
            address = self.image.addresses[layer.source]
            moves = self.convolutions.moves(layer.source, gate, layer.input_tiles)
            source = SourceMap(address, shape.height, shape.width, channels, gate, moving=moves)
        source = replace(source.masked(mask), pitch=self.convolutions.pitch(layer.source), follows=follows)
        return source, self._tiles(layer, chosen, low, high, False), kernel

    def _output(self, layer: QuantisedConv, chosen: TileChoice, low: int, high: int) -> tuple[OutputMap, TileSet]:
        shape, name = self.graph.shapes[layer.output], self._in_tiles(layer.output)
        column, edge = name is not None, self.of.edge(layer)
        if name is not None:
            ring, rows = self.of.layout.rings[name], self.block.tiles * edge
            place: tuple[int, int, int, int | None] = ring.address, rows, edge, min(rows, ring.units * edge)
        elif self._in_rows(layer.output):
            ring = self.of.layout.rings[layer.output]
            place = ring.address, shape.height, shape.width, min(shape.height, ring.units)
        else:
            place = self.image.addresses[layer.output], shape.height, shape.width, None
        address, height, width, kept = place
        gate = self.context.gate(layer.output_channels)
        whole = name is None and not self._in_rows(layer.output) and layer.residual is None
        output = OutputMap(
            address,
            height,
            width,
            shape.channels,
            self.image.parameter_entry[layer.name],
            gate,
            layer.residual is not None,
            chosen.relu,
            None if self._apart else chosen.pool,
            0 if chosen.pool is None else self.image.addresses[chosen.pool.name],
            kept,
            pitch=self.convolutions.pitch(layer.output),
            moving=whole and self.convolutions.moves(layer.output, gate, layer.output_tiles),
        )
        return output, self._tiles(layer, chosen, low, high, column)

    def _in_tiles(self, tensor: str) -> str | None:
        """The ring in which a map lies tile by tile; None for any other."""
        stream = {self.block.last.output, None if self.block.shortcut is None else self.block.shortcut.output}
        ring = stream_ring(self.of.one) if tensor in stream and tensor in self.image.off_chip else tensor
        return ring if ring in self.of.layout.rings and not self._in_rows(tensor) else None

    def _in_rows(self, tensor: str) -> bool:
        return tensor == self.block.first.output and tensor in self.of.layout.rings

    def idle(self, layer: QuantisedConv, products: list[Product]) -> int:
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

    def _averages_apart(self) -> bool:
        layer = self.block.first
        pool = self.image.poolings.get(layer.output)
        if self.of.one.layers != (layer,) or pool is None or layer.output in self.of.layout.rings or self.context.live:
            return False
        if not may_be_apart(layer, pool, self.graph):
            return False
        pixels, filters = len(self.of.active(layer)) * self.of.edge(layer) ** 2, self.convolutions.filters_of(layer)
        sizes = pixels, self.of.channels(layer.source), filters, len(self.of.active(layer)), self.of.edge(layer)
        return apart(*sizes, self.context.arch)

    def average(self, step: int) -> None:
        """The averages of the tiles that a step has computed, if they are apart: those side by side at once."""
        if not self._apart:
            return
        begin, behind = self.of.layout.steps[step]
        runs: list[list[int]] = []
        for tile in self.of.active(self.block.first):
            if begin <= tile < behind:
                if runs and runs[-1][1] == tile:
                    runs[-1][1] = tile + 1
                else:
                    runs.append([tile, tile + 1])
        layer, shape = self.block.first, self.graph.shapes[self.block.first.output]
        pool, channels = self.image.poolings[layer.output], self.convolutions.filters_of(layer)
        source = SourceMap(self.image.addresses[layer.output], shape.height, shape.width, channels)
        entry, place = self.image.parameter_entry[layer.name], self.image.addresses[pool.name]
        output = OutputMap(place, *self.block.grid, channels, entry)
        self.context.out.layer = layer.name
        for first, end in runs:
            top = first // output.width
            rows, only = Rows(top, -(-end // output.width)), Rows(first - top * output.width, end - top * output.width)
            windows(self.context, EpilogueKind.AVERAGE, source, output, rows, pool.tile, pool.tile, only=only)

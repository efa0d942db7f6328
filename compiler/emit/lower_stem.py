"""A convolution and the max pool behind it, row by row, and the averages of the pool's output among them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from gatewright.compiler.emit.averages_apart import average_apart
from gatewright.compiler.emit.placed_maps import OutputMap, SourceMap
from gatewright.compiler.emit.row_traffic import PIECE_BEATS
from gatewright.compiler.emit.tile_traffic import Piece, store
from gatewright.compiler.emit.windows import windows
from gatewright.compiler.graph.graph import TensorShape
from gatewright.compiler.kinds.convolution import QuantisedConv
from gatewright.compiler.kinds.max_pool import STRIDE
from gatewright.compiler.kinds.pooling import Pooling
from gatewright.compiler.plan.bands import Rows, needed_rows
from gatewright.compiler.plan.network_image import NetworkImage
from gatewright.compiler.plan.rooms import DramMap
from gatewright.compiler.plan.spills import DramRows, rows_in_beats
from gatewright.compiler.plan.stem import IMAGE_AHEAD, PooledConvolution
from gatewright.compiler.plan.tile_sets import all_tiles
from gatewright.contract.isa import EpilogueKind

if TYPE_CHECKING:
    from gatewright.compiler.emit.lower import Lowering
    from gatewright.compiler.emit.lower_convolutions import ConvolutionLowering


def lower_stem(convolutions: ConvolutionLowering, stem: PooledConvolution) -> None:
    """Emit both layers: a band of the convolution, then the row of the pool that it completes."""
    lowering, layer, pool = convolutions.lowering, stem.convolution, stem.pool
    image, graph, context = lowering.image, lowering.graph, lowering.context
    convolutions.count_macs(layer)
    shape = graph.shapes[layer.output]
    pitch = image.pitches.get(layer.output, 0)
    ring = convolutions.ring(layer.output, shape.width * (pitch or shape.channels))
    place = image.addresses[layer.output], shape.height, shape.width, shape.channels
    middle = SourceMap(*place, ring=ring, pitch=pitch)
    output = _output(image, pool.output, graph.shapes[pool.output], image.parameter_entry[layer.name])
    away = image.off_chip.get(pool.output)
    if away is not None:
        output = replace(output, address=image.addresses[stem.rings], ring=stem.pool_rows(graph))
    spilled = image.rows_for(layer.name, pool.output)
    if spilled is not None:
        away, output = DramMap(spilled.dram, spilled.size), replace(output, address=spilled.address, ring=spilled.ring)
    gone = 0
    pooling = image.poolings.get(pool.output)
    apart = pooling is not None and pool.output in image.apart
    averages = None if pooling is None or apart else _Averages(lowering, pooling, output)
    steps, tiles = list(stem.steps(graph)), all_tiles(shape.height, shape.width, 1)
    for number, step in enumerate(steps):
        context.out.layer = layer.name
        if lowering.image_loader.ring is not None:
            for following in steps[number : number + 1 + IMAGE_AHEAD]:
                lowering.image_loader.rows(needed_rows(layer, following.middle).end)
        rows = tiles.rows_of(step.middle.first, step.middle.end)
        ends = step is steps[-1]
        for part in _parts(convolutions, layer, ends):
            for _ in convolutions.tiles(layer, rows, layer.relu, None, even=lowering.arch.accumulator_depth, part=part):
                if averages is not None:
                    averages.make_one(step.output.first)
            geometry = pool.window, STRIDE, pool.padding
            windows(context, EpilogueKind.MAX, middle, output, step.output, *geometry, part=part)
            if averages is not None and ends:
                averages.make_rest(part)
        if away is not None:
            gone = _take(convolutions, output, away, gone, step.output.end)
    if pooling is not None and spilled is not None and apart:
        grid = pooling.shape(graph)
        every = [(down, across) for down in range(grid.height) for across in range(grid.width)]
        average_apart(context, pooling, spilled, image.parameter_entry[pooling.name], every)
    if layer.output not in image.ring_bytes and steps[-1].middle.end == shape.height:
        lowering.placements.convolution(layer, None)
    if away is None:
        lowering.placements.map(pool.output, pooling)
    else:
        lowering.placements.averages(pooling)


def _take(convolutions: ConvolutionLowering, pooled: OutputMap, away: DramMap, first: int, end: int) -> int:
    """Bring rows of the pool's output to DRAM, from ``first`` to before ``end``; as far as they are whole beats."""
    pitch = pooled.width * pooled.stored
    unit = rows_in_beats(pitch)
    if end < pooled.height:
        end = end // unit * unit
    rows = DramRows(away.dram, away.size, pitch, pooled.ring or pooled.height, pooled.address)
    for dram, address, beats in rows.transfers(first, rows.whole_units(end), PIECE_BEATS):
        store(convolutions.context, Piece(dram, address, beats))
    return end


def _parts(convolutions: ConvolutionLowering, layer: QuantisedConv, ends: bool) -> list[tuple[int, int] | None]:
    """The last rows' filters block by block, so that little waits behind the last product; None: all at once."""
    filters, step = len(layer.weight), convolutions.arch.columns
    if not ends or convolutions.image.banks[layer.name].streamed:
        return [None]
    return [(first, min(step, filters - first)) for first in range(0, filters, step)]


class _Averages:
    """The tile averages of a max pool's output, one at a time among the convolution's writes: none waits long."""

    def __init__(self, lowering: Lowering, pooling: Pooling, source: OutputMap) -> None:
        image = lowering.image
        self.lowering, self.pooling, self.shape = lowering, pooling, pooling.shape(lowering.graph)
        self.source = SourceMap(
            source.address, source.height, source.width, source.channels, ring=source.ring, pitch=source.pitch
        )
        self.output = _output(image, pooling.name, self.shape, image.parameter_entry[pooling.name])
        self._made = 0
        self._completed = 0, 0
        """Rows of averages that nobody was told of, and the pool's rows when they were completed."""

    def make_one(self, rows: int) -> bool:
        """The next average, if the pool's first ``rows`` rows complete it; whether they do.

        With a row of averages complete, what may begin with it begins, a band later: then nothing waits for it.
        """
        self._advance(rows)
        row, column = divmod(self._made, self.shape.width)
        tile, context = self.pooling.tile, self.lowering.context
        if row == self.shape.height or rows < min((row + 1) * tile, self.source.height):
            return False
        layer, place = context.out.layer, Rows(row, row + 1)
        windows(
            context, EpilogueKind.AVERAGE, self.source, self.output, place, tile, tile, only=Rows(column, column + 1)
        )
        self._made += 1
        if column + 1 == self.shape.width and row + 1 < self.shape.height:
            self._completed = row + 1, rows
        context.out.layer = layer
        return True

    def _advance(self, rows: int) -> None:
        """What reads the averages, if some were completed in a band before the one that made the pool's ``rows``."""
        completed, band = self._completed
        if completed and rows > band:
            self._completed = 0, 0
            layer = self.lowering.context.out.layer
            for reader in self.lowering.graph.layers:
                if self.pooling.name in reader.reads:
                    reader.advance(self.lowering, completed, completed * self.pooling.tile)
            self.lowering.context.out.layer = layer

    def make_rest(self, part: tuple[int, int] | None) -> None:
        """Some channels of the averages that the last rows of the pool complete; all of those before are made."""
        while self.make_one(self.source.height - 1):
            pass
        first, column = divmod(self._made, self.shape.width)
        assert column == 0, f"{self.pooling.name}: {column} averages of row {first} are made"
        context, tile, rows = self.lowering.context, self.pooling.tile, Rows(first, self.shape.height)
        windows(context, EpilogueKind.AVERAGE, self.source, self.output, rows, tile, tile, part=part)


def _output(image: NetworkImage, tensor: str, shape: TensorShape, parameters: int) -> OutputMap:
    """A map that windows are written to."""
    pitch = image.pitches.get(tensor, 0)
    place = image.addresses.get(tensor, 0), shape.height, shape.width, shape.channels
    return OutputMap(*place, parameters, pitch=pitch)

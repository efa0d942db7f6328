"""A depthwise convolution that EPILOGUE computes: tile by tile, from a map in the scratchpad into another one."""

from __future__ import annotations

from collections.abc import Iterator

from gatewright.compiler.emit.context import ADDRESS_SPACE, Context
from gatewright.compiler.emit.emit import PORT_B, Access, reads, writes
from gatewright.compiler.emit.filter_loader import FilterLoader
from gatewright.compiler.emit.matrix import Product
from gatewright.compiler.emit.windows import windows
from gatewright.compiler.plan.bands import Rows
from gatewright.contract.encodings import DEPTHWISE_ENTRIES
from gatewright.contract.isa import EpilogueKind, Opcode


def average(context: Context, loader: FilterLoader, product: Product) -> Iterator[None]:
    """An average over windows, of rows of a map: an instruction for the rows that lie together in the output's ring."""
    tiles, output, kernel = product.tiles, product.output, product.kernel
    loader.weights(product.name)  # no filters, but the parameter
    first, last = tiles.span(0, len(tiles))
    while first < last:
        turn = output.height if output.ring is None else output.ring
        end = min(last, (first // turn + 1) * turn)
        geometry = kernel.height, kernel.stride, kernel.padding_y
        windows(context, EpilogueKind.AVERAGE, product.source, output, Rows(first, end), *geometry)
        first = end
    yield


def convolve_depthwise(context: Context, loader: FilterLoader, product: Product) -> Iterator[None]:
    """A convolution over a tile set without a table, as ``matrix.convolve``: an instruction for each part of a tile.

    A part ends where the ring of the output does, whose rows lie apart there.
    """
    tiles, output = product.tiles, product.output
    loader.weights(product.name)  # no filters, but the parameters
    for number in range(len(tiles)):
        first, end = tiles.span(number, 1)
        end = min(end, output.height)
        while first < end:
            turn = output.height if output.ring is None else output.ring
            behind = min(end, (first // turn + 1) * turn)
            _emit(context, product, number, first, behind)
            first = behind
        yield


def _emit(context: Context, product: Product, number: int, first: int, end: int) -> None:
    """Rows [first, end) of the output, in one of the tiles."""
    source, output, kernel, tiles = product.source, product.output, product.kernel, product.tiles
    top = first * kernel.stride - kernel.padding_y
    bottom = (end - 1) * kernel.stride - kernel.padding_y + kernel.height
    read = source.rows(max(0, top), max(0, min(source.height, bottom)))
    written = output.rows(first, end)
    assert not written.wrap
    entries = DEPTHWISE_ENTRIES * output.channels
    fields: dict[str, int] = dict(read.wrap)
    if output.channel_gate is not None:
        fields |= {"compact": 1, "filter_table": output.channel_gate.table}
    context.out.emit(
        Opcode.EPILOGUE,
        [
            *(reads("scratchpad", *place) for place in read.ranges),
            *(writes("scratchpad", *place) for place in written.ranges),
            PORT_B,
            Access("parameter", output.parameters, output.parameters + entries, early=True),
            *(Access("table", table, table + 1, early=True) for name, table in fields.items() if "table" in name),
        ],
        kind=EpilogueKind.DEPTHWISE,
        destination=written.address % ADDRESS_SPACE,
        out_height=output.height,
        out_width=output.width,
        channels=output.pitch or output.channels,
        tile=tiles.tile,
        first_tile=tiles.start + number,
        tile_count=1,
        first_pixel=(first - int(tiles.rows[number])) * tiles.tile,
        pixel_count=(end - first) * tiles.tile,
        filter_count=product.filters,
        parameters=output.parameters,
        relu=int(output.relu),
        source=read.address,
        source_height=source.height,
        source_width=source.width,
        window=kernel.height,
        step=kernel.stride,
        inset=kernel.padding_y,
        **fields,
    )

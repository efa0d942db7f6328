"""A depthwise convolution that EPILOGUE computes: tile by tile, from a map in the scratchpad into another one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from gatewright.compiler.emit.access import PORT_B, Access, reads, writes
from gatewright.compiler.emit.context import Context
from gatewright.compiler.emit.filter_loader import FilterLoader
from gatewright.compiler.emit.matrix import Product
from gatewright.compiler.emit.placed_maps import ADDRESS_SPACE, PlacedRows
from gatewright.compiler.emit.windows import windows
from gatewright.compiler.plan.bands import Rows
from gatewright.contract.encodings import DEPTHWISE_ENTRIES
from gatewright.contract.errors import GatewrightError
from gatewright.contract.isa import EpilogueKind, Opcode

LISTED_PIXELS = 128
"""Pixels of listed tiles in an instruction: its parameters take few cycles beside them, and who reads waits for few."""

BLOCKS = 2
"""Blocks of channels in an instruction that comes among others' results: these wait for it."""


def average(context: Context, loader: FilterLoader, product: Product) -> Iterator[None]:
    """An average over windows, of rows of a map: an instruction for the rows that lie together in the output's ring."""
    tiles, output, kernel = product.tiles, product.output, product.kernel
    loader.weights(product.name)  # no filters, but the parameter
    first, last = tiles.span(0, len(tiles))
    while first < last:
        turn = output.origin + output.height if output.ring is None else output.ring
        end = min(last, ((first + output.origin) // turn + 1) * turn - output.origin)
        geometry = kernel.height, kernel.stride, kernel.padding_y
        windows(context, EpilogueKind.AVERAGE, product.source, output, Rows(first, end), *geometry)
        first = end
    yield


def convolve_depthwise(context: Context, loader: FilterLoader, product: Product) -> Iterator[None]:
    """A convolution over a tile set, as ``matrix.convolve``: an instruction for each part of a tile.

    A part ends where the ring of the output does, whose rows lie apart there. Of listed tiles several are in one.
    """
    loader.weights(product.name)  # no filters, but the parameters
    if product.tiles.table is not None:
        for first, count in _chunks(product):
            rows = product.tiles.span(first, count)
            _emit(context, product, (first, count), rows, (0, product.filters))
            yield
        return
    step = BLOCKS * context.arch.columns if product.fine else product.filters
    for number in range(len(product.tiles)):
        for rows in _rows(product, number):
            for channel in range(0, product.filters, step):
                _emit(context, product, (number, 1), rows, (channel, min(step, product.filters - channel)))
                if product.fine:
                    yield
        yield


def convolve_channels(context: Context, product: Product, first: int, count: int, parameters: int | None) -> None:
    """Some channels of a convolution without a gate; ``parameters``: their first entry, if not all are there."""
    if parameters is not None:
        shift = parameters - DEPTHWISE_ENTRIES * first
        product = replace(product, output=replace(product.output, parameters=shift, first_channel=first))
    for number in range(len(product.tiles)):
        for rows in _rows(product, number):
            _emit(context, product, (number, 1), rows, (first, count))


def _rows(product: Product, number: int) -> Iterator[tuple[int, int]]:
    """Rows [first, end) of the output that one instruction makes of a tile."""
    output = product.output
    first, end = product.tiles.span(number, 1)
    end = min(end, output.height)
    while first < end:
        turn = output.origin + output.height if output.ring is None else output.ring
        behind = min(end, ((first + output.origin) // turn + 1) * turn - output.origin)
        yield first, behind
        first = behind


def _chunks(product: Product) -> list[tuple[int, int]]:
    """Listed tiles (first, count) of an instruction."""
    tiles = product.tiles
    most = max(1, LISTED_PIXELS // tiles.pixels)
    return [(first, min(most, len(tiles) - first)) for first in range(0, len(tiles), most)]


def _written(product: Product, first: int, count: int, rows: tuple[int, int]) -> PlacedRows:
    """Where an instruction writes; of a map that moves as ``matrix.store`` says."""
    tiles, output = product.tiles, product.output
    begin, end = tiles.listed_span(first, count) if output.moving and tiles.gate_rows is None else rows
    placed = output.rows(begin, min(output.height, end))
    if output.moving and not first and not tiles.rows[0]:
        placed = replace(placed, ranges=output.rows(0, output.height).ranges)
    return placed


def _emit(
    context: Context, product: Product, part: tuple[int, int], rows: tuple[int, int], filters: tuple[int, int]
) -> None:
    """Rows [first, end) of the output in some tiles (first, count); ``filters``: the first and how many."""
    (number, together), (first, end), (first_filter, count) = part, rows, filters
    source, output, kernel, tiles = product.source, product.output, product.kernel, product.tiles
    top = first * kernel.stride - kernel.padding_y
    bottom = (end - 1) * kernel.stride - kernel.padding_y + kernel.height
    read = source.rows(max(0, top), max(0, min(source.height, bottom)))
    written = _written(product, number, together, rows)
    if written.wrap:
        raise GatewrightError(
            f"arch {context.arch.name}: rows {first} to {end} of what {product.name} writes lie around the end of a "
            f"ring of {output.ring}; a depthwise convolution writes them side by side: raise scratchpad_kib"
        )
    entries = output.parameters, output.parameters + DEPTHWISE_ENTRIES * output.channels
    if output.channel_gate is None:
        low = output.parameters + DEPTHWISE_ENTRIES * first_filter
        entries = low, low + DEPTHWISE_ENTRIES * count
    # Parameters of these channels alone count from 0, and so do the channels then.
    shift = output.first_channel or 0
    fields: dict[str, int] = dict(read.wrap)
    if output.channel_gate is not None:
        fields |= {"compact": int(not output.pitch), "filter_table": output.channel_gate.table}
    if tiles.table is not None:
        fields["tile_table"] = tiles.table
    context.out.emit(
        Opcode.EPILOGUE,
        [
            *(reads("scratchpad", *place) for place in read.ranges),
            *(writes("scratchpad", *place) for place in written.ranges),
            PORT_B,
            Access("parameter", *entries, early=True),
            *(Access("table", table, table + 1, early=True) for name, table in fields.items() if "table" in name),
        ],
        kind=EpilogueKind.DEPTHWISE,
        destination=(written.address + shift) % ADDRESS_SPACE,
        out_height=output.height,
        out_width=output.width,
        channels=output.pitch or output.channels,
        tile=tiles.tile,
        first_tile=tiles.start + number,
        tile_count=together,
        first_pixel=0 if tiles.table is not None else (first - int(tiles.rows[number])) * tiles.tile,
        pixel_count=together * tiles.pixels if tiles.table is not None else (end - first) * tiles.tile,
        first_filter=first_filter - shift,
        filter_count=count,
        parameters=output.parameters + DEPTHWISE_ENTRIES * shift,
        relu=int(output.relu),
        source=(read.address + shift) % ADDRESS_SPACE,
        source_height=source.height,
        source_width=source.width,
        window=kernel.height,
        step=kernel.stride,
        inset=kernel.padding_y,
        **fields,
    )

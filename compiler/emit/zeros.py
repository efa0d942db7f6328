"""Zeros over the tiles that a convolution leaves out, for a depthwise one that reads across their edges."""

from __future__ import annotations

from collections.abc import Iterator

from gatewright.compiler.emit.access import PORT_B, Access, reads, writes
from gatewright.compiler.emit.context import Context
from gatewright.compiler.emit.operands import tables_of
from gatewright.compiler.emit.placed_maps import OutputMap
from gatewright.compiler.plan.tile_sets import TileSet
from gatewright.contract.isa import EpilogueKind, Opcode, Stationary


def zeros_behind_first(chunks: Iterator[None], context: Context, output: OutputMap, tiles: TileSet) -> Iterator[None]:
    """Chunks of a convolution, and the zeros of its inactive ``tiles`` as soon as the array has something to do."""
    yield next(chunks)
    write_zeros(context, output, tiles)
    yield from chunks


def write_zeros(context: Context, output: OutputMap, tiles: TileSet) -> None:
    """Write zeros over tiles, block of channels by block: whatever the sums are, parameters make 0 of them.

    These parameters lie behind the convolution's own.
    """
    arch = context.arch
    across = -(-output.channels // arch.columns)
    together = 1 if tiles.height is not None else max(1, arch.accumulator_depth // tiles.pixels)
    for first in range(0, len(tiles), together):
        count = min(together, len(tiles) - first)
        blocks = max(1, min(across, arch.accumulator_depth // (count * tiles.pixels)))
        for block in range(0, across, blocks):
            begin = block * arch.columns
            channels = begin, min(blocks * arch.columns, output.channels - begin)
            _emit(context, output, tiles.part(first, count), channels)


def _emit(context: Context, output: OutputMap, tiles: TileSet, channels: tuple[int, int]) -> None:
    """Of some tiles channels (first, how many), as far as the table of channels goes."""
    first_filter, count = channels
    begin, end = tiles.span(0, len(tiles))
    placed = output.rows(begin, min(output.height, end))
    parameters = output.parameters + output.channels
    fields = {"tile_table": tiles.table} if tiles.table is not None else {}
    if output.channel_gate is not None:
        fields["filter_table"] = output.channel_gate.table
    context.out.emit(
        Opcode.EPILOGUE,
        [
            reads("accumulator", context.bank, context.bank + 1),
            *(writes("scratchpad", *place) for place in placed.ranges),
            PORT_B,
            Access("parameter", parameters, parameters + output.channels, early=True),
            *(Access("table", table, table + 1, early=True) for table in tables_of(fields)),
        ],
        kind=EpilogueKind.STORE,
        stationary=Stationary.FILTERS,
        destination=placed.address,
        out_height=output.height,
        out_width=output.width,
        channels=output.pitch or output.channels,
        tile=tiles.tile,
        first_tile=tiles.start,
        tile_count=len(tiles),
        first_pixel=tiles.first_pixel,
        pixel_count=len(tiles) * tiles.pixels,
        first_filter=first_filter,
        filter_count=count,
        bank=context.bank,
        parameters=parameters,
        relu=1,
        **placed.wrap,
        **fields,
    )

"""Byte addresses of an EPILOGUE's pixels and tiles, in the order in which its slots need them."""

from __future__ import annotations

from typing import Any

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from gatewright.contract.arch import ArchConfig
from gatewright.contract.encodings import COORDINATE_BITS
from gatewright.contract.isa import NO_TABLE
from gatewright.hw.epilogue.pixel_walk import PixelWalk
from gatewright.hw.epilogue.setup import work_layout
from gatewright.hw.layouts import PLACE
from gatewright.hw.lib.delay import delayed
from gatewright.hw.lib.rotation import small_product
from gatewright.hw.signatures import SCRATCHPAD_ADDRESS_BITS, table_read

DEPTH = 32
"""Addresses that are kept: of results, and once more for the residual, which runs ahead."""

ROOM = 22
"""Pixels on their way or kept, up to which more are begun; it is looked at with a delay of two cycles."""

PLACED = data.StructLayout({"address": SCRATCHPAD_ADDRESS_BITS, "outside": 1})
"""A pixel's address, unless it is outside the map."""


_STEPS = 8
"""From the walk's registers to the address."""


class PixelAddresses(wiring.Component):
    """A walk over the pixels in the order of the slots, multiplied out in a pipeline, and queues behind it.

    ``start`` in cycle s, with ``prepared``; ``work`` is the same from the next cycle on. The first address is there in
    cycle s + EPILOGUE_SETUP. ``pixel`` and ``tile``: the next address of a result and of an average, removed by
    ``take_pixel`` and ``take_tile``; ``ahead``: the residual's, if ``ahead_available``, or the accumulator entry's of
    the kind TAPS, removed by ``take_ahead``.

    A window's pixels are those of a tile, and its result is the tile's average: two of them, one digit behind the
    other in a row of twice as many, of the kind DIGITS. Of the kind DEPTHWISE a column of a window is such a tile: one
    in the kernel's way along a row of results, with a result where a window ends.
    """

    def __init__(self, arch: ArchConfig) -> None:
        self._arch = arch
        super().__init__(
            {
                "start": In(1),
                "prepared": In(work_layout(arch)),
                "work": In(work_layout(arch)),
                "tiles": Out(table_read()),
                "pixel": Out(PLACED),
                "take_pixel": In(1),
                "tile": Out(PLACED),
                "take_tile": In(1),
                "ahead": Out(PLACED),
                "ahead_available": Out(1),
                "take_ahead": In(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        self._walk = walk = PixelWalk(m, self._arch, self.work)
        room = Signal()
        walk.clocked(m, start=self.start, prepared=self.prepared, room=room)
        self._queues(m, *self._multiply(m))
        held = Signal(range(DEPTH + 1))
        # Two digits of a small window may be more than its pixels.
        work = self.work
        begun = walk.issue & ~walk.of_residual & (~walk.averages | work.split)
        ended = self.take_pixel | (self.take_tile & work.split)
        m.d.sync += [held.eq(held + begun - ended), room.eq(held < ROOM)]
        with m.If(self.start):
            m.d.sync += [held.eq(0), room.eq(1)]
        return m

    def _multiply(self, m: Module) -> tuple[Any, Any, Any, Any, Any]:
        """(address, outside, arrives, average, residual) of what was issued _STEPS cycles ago.

        y = tile y * pitch + inside y, and x alike; position = y * width + x; address = position * channels + base. For
        an average with pitch 1, the grid's width and the pooled map's base. A place above or left of the map is beyond
        its end for who takes it without its sign. Of two digits the pitch is 2 in x, of DEPTHWISE that of the tiles.
        Of a residual from elsewhere y and x are shifted, width and base are those of its map; it is outside where its
        pixel is.
        """
        work, walk = self.work, self._walk
        here, averages = walk.here, walk.averages
        m.d.comb += [self.tiles.table.eq(work.tile_table), self.tiles.position.eq(here.position)]
        valid, pooled, residual = Signal(_STEPS), Signal(_STEPS), Signal(_STEPS)
        m.d.sync += [
            valid.eq(Cat(walk.issue, valid[:-1])),
            pooled.eq(Cat(averages, pooled[:-1])),
            residual.eq(Cat(walk.of_residual, residual[:-1])),
        ]
        with m.If(self.start):
            m.d.sync += valid.eq(0)

        listed = work.tile_table != NO_TABLE
        raster = delayed(m, here, 1, "raster")
        # 2: the tile and its edge.
        tile_y, tile_x = Signal(PLACE["tile_y"].width, reset_less=True), Signal(PLACE["tile_x"].width, reset_less=True)
        edge_y, edge_x = Signal(work.pitch.shape(), reset_less=True), Signal(work.pitch.shape(), reset_less=True)
        inside_y, inside_x = (Signal(here.inside_y.shape(), name=name, reset_less=True) for name in ("in_y", "in_x"))
        written_row, written = Signal.like(walk.result_row), Signal.like(walk.row.result)
        m.d.sync += [written_row.eq(walk.result_row), written.eq(walk.row.result | walk.low)]
        m.d.sync += [
            tile_y.eq(Mux(listed, self.tiles.entry[COORDINATE_BITS:], raster.tile_y)),
            tile_x.eq(Mux(listed, self.tiles.entry[:COORDINATE_BITS], raster.tile_x)),
            edge_y.eq(Mux(pooled[0], work.pooled_pitch_y, work.pitch)),
            edge_x.eq(Mux(pooled[0], work.pooled_pitch_x, work.pitch)),
            inside_y.eq(Mux(pooled[0], written_row, raster.inside_y)),
            inside_x.eq(Mux(pooled[0], written, raster.inside_x)),
        ]
        # 3, 4: the pixel.
        row_bits, column_bits = len(tile_y) + len(edge_y), len(tile_x) + len(edge_x)
        # A product of few bits is two sums, each in a register.
        half = len(edge_x) // 2
        rows, columns, more_rows, more_columns = (
            Signal(bits, name=name, reset_less=True)
            for bits, name in (
                (row_bits, "rows"),
                (column_bits, "columns"),
                (row_bits, "more_rows"),
                (column_bits, "more_columns"),
            )
        )
        y, x = Signal(row_bits + 1, reset_less=True), Signal(column_bits + 1, reset_less=True)
        row, column = Signal.like(y, name="row", reset_less=True), Signal.like(x, name="column", reset_less=True)
        shift = Signal.like(work.upsample, reset_less=True)
        sum_y, sum_x = Signal.like(y, name="sum_y"), Signal.like(x, name="sum_x")
        m.d.comb += [
            sum_y.eq(rows + more_rows + delayed(m, inside_y, 1, "inside_y")),
            sum_x.eq(columns + more_columns + delayed(m, inside_x, 1, "inside_x")),
        ]
        m.d.sync += [
            shift.eq(Mux(residual[1], work.upsample, 0)),
            rows.eq(small_product(tile_y, edge_y[:half])),
            more_rows.eq(small_product(tile_y, edge_y[half:]) << half),
            columns.eq(small_product(tile_x, edge_x[:half])),
            more_columns.eq(small_product(tile_x, edge_x[half:]) << half),
            y.eq(sum_y),
            x.eq(sum_x),
            row.eq(sum_y >> shift),
            column.eq(sum_x >> shift),
        ]
        # 5, 6: its number in the map.
        width, height = Signal.like(work.pooled_width, reset_less=True), Signal.like(work.height, reset_less=True)
        across = Signal.like(width, name="across", reset_less=True)
        m.d.sync += [
            width.eq(Mux(pooled[2], work.pooled_width, Mux(residual[2], work.source_width, work.width))),
            across.eq(Mux(pooled[2], work.pooled_width, work.width)),
            height.eq(Mux(pooled[2], work.out_height, work.height)),
        ]
        outside, lower = Signal(reset_less=True), Signal(reset_less=True)
        before, number = (Signal(len(height) + len(width), name=name, reset_less=True) for name in ("before", "number"))
        m.d.sync += [
            outside.eq((y >= height) | (x >= across)),
            lower.eq(work.wraps & ~pooled[3] & ~residual[3] & (y >= work.wrap_row)),
            before.eq(row[: len(height)] * width),
            number.eq(before + delayed(m, column, 1, "x")),
        ]
        # 7, 8: its byte.
        stored = Signal(work.stored.shape(), reset_less=True)
        m.d.sync += stored.eq(Mux(pooled[4] & ~work.depthwise, work.channels, work.stored))
        offset = Signal(SCRATCHPAD_ADDRESS_BITS, reset_less=True)
        address = Signal(SCRATCHPAD_ADDRESS_BITS, reset_less=True)
        chosen = Mux(averages, walk.bases[1], Mux(walk.of_residual, walk.bases[2], walk.bases[0]))
        early = delayed(m, chosen, _STEPS - 2, "base_of")
        base = Signal(SCRATCHPAD_ADDRESS_BITS, reset_less=True)
        m.d.sync += [
            base.eq(early - Mux(delayed(m, lower, 1, "lower"), work.wrap_bytes, 0)),
            offset.eq(number * stored),
            address.eq(offset + base),
        ]
        return address, delayed(m, outside, 3, "outside"), valid[-1], pooled[-1], residual[-1]

    def _queues(self, m: Module, address: Any, outside: Any, arrives: Any, average: Any, residual: Any) -> None:
        """Small memories in LUTs: of what is written, what is read ahead, which is mostly the same, and averages."""
        m.submodules.pixels = pixels = memory.Memory(shape=PLACED, depth=DEPTH, init=[])
        m.submodules.ahead = ahead_of = memory.Memory(shape=PLACED, depth=DEPTH, init=[])
        m.submodules.averages = averages = memory.Memory(shape=PLACED, depth=DEPTH, init=[])
        write, pixel = pixels.write_port(), pixels.read_port(domain="comb")
        write_ahead, ahead = ahead_of.write_port(), ahead_of.read_port(domain="comb")
        write_average, tile = averages.write_port(), averages.read_port(domain="comb")
        m.d.comb += [
            write.data.address.eq(address),
            write.data.outside.eq(outside),
            write.en.eq(arrives & ~average & ~residual),
            write_ahead.data.address.eq(address),
            write_ahead.data.outside.eq(outside),
            write_ahead.en.eq(arrives & ~average & (residual | ~self.work.elsewhere)),
            write_average.data.address.eq(address),
            write_average.data.outside.eq(outside & self.work.windows),
            write_average.en.eq(arrives & average),
            self.pixel.eq(pixel.data),
            self.ahead.eq(ahead.data),
            self.tile.eq(tile.data),
        ]
        places = {"last": (write, write.en), "first": (pixel, self.take_pixel), "second": (ahead, self.take_ahead)}
        places |= {"last_ahead": (write_ahead, write_ahead.en)}
        places |= {"last_tile": (write_average, write_average.en), "first_tile": (tile, self.take_tile)}
        pointers = {}
        for name, (port, moves) in places.items():
            pointers[name] = pointer = Signal(range(DEPTH), name=name)
            m.d.comb += port.addr.eq(pointer)
            with m.If(moves):
                m.d.sync += pointer.eq(pointer + 1)
            with m.If(self.start):
                m.d.sync += pointer.eq(0)
        m.d.comb += self.ahead_available.eq(pointers["second"] != pointers["last_ahead"])

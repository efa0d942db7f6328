"""Byte addresses of an EPILOGUE's pixels and tiles, in the order in which its slots need them."""

from __future__ import annotations

from typing import Any

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from gatewright.contract.arch import ArchConfig
from gatewright.contract.encodings import COORDINATE_BITS
from gatewright.contract.isa import NO_TABLE
from gatewright.hw.epilogue.kernel_row import KernelRow
from gatewright.hw.epilogue.setup import COLUMNS_LEFT, KERNEL_BITS, VECTOR_BITS, inside_shape, work_layout
from gatewright.hw.layouts import PLACE
from gatewright.hw.lib.delay import delayed
from gatewright.hw.lib.rotation import small_product
from gatewright.hw.signatures import POSITION_BITS, SCRATCHPAD_ADDRESS_BITS, table_read

DEPTH = 32
"""Addresses that are kept: of results, and once more for the residual, which runs ahead."""

ROOM = 22
"""Pixels on their way or kept, up to which more are begun; it is looked at with a delay of two cycles."""

PLACED = data.StructLayout({"address": SCRATCHPAD_ADDRESS_BITS, "outside": 1})
"""A pixel's address, unless it is outside the map."""


def raster_layout(arch: ArchConfig) -> data.StructLayout:
    """A pixel: its tile's position in the list and its place inside it.

    Without a tile table also the tile's place in the grid, the columns of the map from the tile's first one on, and
    whether there are none behind the tile.
    """
    return data.StructLayout(
        {
            "position": POSITION_BITS,
            **{name: inside_shape(arch) for name in ("inside_y", "inside_x")},
            **{name: PLACE[name].width for name in ("tile_y", "tile_x")},
            "columns_left": COLUMNS_LEFT,
            "row_last": 1,
        }
    )


_STEPS = 8
"""From the walk's registers to the address."""


def copied(target: Any, source: Any) -> list[Any]:
    """Assignments of the raster's members of ``source`` to ``target``, which is one."""
    return [getattr(target, name).eq(getattr(source, name)) for name, _ in target.shape()]


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
        issue, averages, self._low = Signal(), Signal(), Signal()
        # A residual from elsewhere has an address of its own, in front of its pixel's.
        self._of_residual = Signal()
        self._raster = raster_layout(self._arch)
        self._here = Signal(self._raster, reset_less=True)
        names = ("base", "pool_base", "residual_base")
        self._bases = [Signal(SCRATCHPAD_ADDRESS_BITS, name=name, reset_less=True) for name in names]
        self._row = KernelRow(m, self.work)
        self._kernel_row = Signal(KERNEL_BITS, reset_less=True)
        # Whether the pixel is the last of its column, and the result in the last row of its tile.
        self._column_ends, self._rows_end = (Signal(name=n, reset_less=True) for n in ("column_ends", "rows_end"))
        self._top = Signal(self.work.inside_y.shape(), name="top", reset_less=True)
        self._result_row = Signal(self.work.first_row.shape(), reset_less=True)
        room = Signal()
        self._walk(m, issue, averages, room)
        address, outside, arrives, average, residual = self._multiply(m, issue, averages)
        self._queues(m, address, outside, arrives, average, residual)
        held = Signal(range(DEPTH + 1))
        # Two digits of a small window may be more than its pixels.
        work = self.work
        begun = issue & ~self._of_residual & (~averages | work.split)
        ended = self.take_pixel | (self.take_tile & work.split)
        m.d.sync += [held.eq(held + begun - ended), room.eq(held < ROOM)]
        with m.If(self.start):
            m.d.sync += [held.eq(0), room.eq(1)]
        return m

    def _walk(self, m: Module, issue: Signal, averages: Signal, room: Signal) -> None:
        """Which pixel is next; after the last pixel of a tile with ``pool``, or of a window, the tile itself."""
        work, here, columns = self.work, self._here, self._arch.columns
        walking = Signal()
        saved, following = Signal(self._raster, reset_less=True), Signal(self._raster)
        pixels, filters = Signal(VECTOR_BITS, reset_less=True), Signal(VECTOR_BITS, reset_less=True)
        inner, size = Signal(VECTOR_BITS, reset_less=True), Signal(VECTOR_BITS, reset_less=True)
        column_ends, tile_ends, advance, ends = Signal(), Signal(), Signal(), Signal()
        # Whether the pixel is the last one of what is written behind it.
        answers = Signal()
        last_inside = column_ends & (here.inside_y == work.inside_last)
        m.d.comb += [
            issue.eq(walking & room),
            column_ends.eq(here.inside_x == work.inside_last),
            tile_ends.eq(last_inside),
            answers.eq(last_inside),
            ends.eq(averages & (self._low | ~work.split)),
            advance.eq(issue & ~self._of_residual & (ends | ~(work.paired & answers))),
            following.eq(here),
            following.inside_x.eq(Mux(column_ends, work.inside_first, here.inside_x + 1)),
        ]
        with m.If(column_ends):
            m.d.comb += following.inside_y.eq(Mux(last_inside, work.inside_first, here.inside_y + 1))
        with m.If(work.depthwise):
            self._along_columns(m, advance, following, answers, tile_ends)
        with m.If(tile_ends):
            m.d.comb += [
                following.position.eq(here.position + 1),
                following.tile_x.eq(here.tile_x + 1),
                following.columns_left.eq(here.columns_left - work.tile),
                following.row_last.eq(here.columns_left <= work.tile << 1),
            ]
            with m.If(here.row_last):
                m.d.comb += [
                    following.tile_x.eq(0),
                    following.tile_y.eq(here.tile_y + 1),
                    following.columns_left.eq(work.out_width),
                    following.row_last.eq(work.out_width <= work.tile),
                ]
        base, pool_base, residual_base = self._bases
        average_next = Signal()
        m.d.comb += average_next.eq(work.paired & answers & ~ends & ~self._of_residual)
        with m.If(issue):
            m.d.sync += [
                averages.eq(average_next),
                self._low.eq(averages & ~ends),
                self._of_residual.eq(work.elsewhere & ~self._of_residual & ~average_next),
            ]
        with m.If(advance):
            m.d.sync += here.eq(following)
        with m.If(advance & (answers | ~work.windows)):
            m.d.sync += inner.eq(inner - 1)
            with m.If(inner == 1):
                with m.If(filters > work.group):
                    # The same pixels once more, for the next filters.
                    m.d.sync += [
                        here.eq(saved),
                        *self._begin(work),
                        inner.eq(size),
                        filters.eq(filters - work.group),
                        base.eq(base + work.group),
                        pool_base.eq(pool_base + work.group),
                        residual_base.eq(residual_base + work.group),
                    ]
                with m.Else():
                    left, begun = Signal(VECTOR_BITS), Signal(VECTOR_BITS)
                    m.d.comb += [left.eq(pixels - columns), begun.eq(Mux(pixels < 2 * columns, left, columns))]
                    m.d.sync += [
                        walking.eq(work.by_pixel & (pixels > columns)),
                        saved.eq(following),
                        pixels.eq(left),
                        inner.eq(begun),
                        size.eq(begun),
                        filters.eq(work.filters),
                        base.eq(work.base),
                    ]
        prepared = self.prepared
        block = Signal(VECTOR_BITS)
        m.d.comb += block.eq(Mux(prepared.by_pixel, prepared.last_lane + 1, prepared.pixels))
        with m.If(self.start):
            m.d.sync += [
                *copied(here, prepared),
                *copied(saved, prepared),
                *self._begin(prepared),
                walking.eq(prepared.store & ~prepared.empty),
                averages.eq(0),
                self._low.eq(0),
                self._of_residual.eq(prepared.elsewhere),
                pixels.eq(prepared.pixels),
                filters.eq(prepared.filters),
                inner.eq(block),
                size.eq(block),
                base.eq(prepared.base),
                pool_base.eq(prepared.pool_base),
                residual_base.eq(prepared.residual_base),
            ]

    def _begin(self, work: Any) -> list[Any]:
        """Assignments: at the first result of ``work``; without DEPTHWISE all stay 0."""
        return [
            *self._row.begin(work),
            self._kernel_row.eq(0),
            self._column_ends.eq(work.kernel_last == 0),
            self._result_row.eq(work.first_row),
            self._rows_end.eq(work.first_row == work.last_result),
            self._top.eq(work.inside_y),
        ]

    def _along_columns(self, m: Module, advance: Signal, following: Any, answers: Signal, tile_ends: Signal) -> None:
        """DEPTHWISE: down a column of the kernel, then to the next column, row of results, tile."""
        work, here, row, below = self.work, self._here, self._row, self._kernel_row
        row_ends, column_ends, rows_end = Signal(), self._column_ends, self._rows_end
        m.d.comb += [
            answers.eq(column_ends & row.due),
            row_ends.eq(answers & row.ends),
            tile_ends.eq(row_ends & rows_end),
            following.inside_x.eq(Mux(row_ends, work.inside_first, here.inside_x + column_ends)),
            following.inside_y.eq(Mux(column_ends, self._top, here.inside_y + 1)),
        ]
        with m.If(row_ends):
            m.d.comb += following.inside_y.eq(Mux(tile_ends, work.inside_first, self._top + 1 + work.skipped))
        with m.If(advance):
            m.d.sync += [
                below.eq(Mux(column_ends, 0, below + 1)),
                column_ends.eq(Mux(column_ends, work.kernel_last == 0, below + 1 == work.kernel_last)),
            ]
            with m.If(column_ends):
                m.d.sync += row.advance()
            with m.If(row_ends):
                last = Mux(rows_end, work.last_result == 0, self._result_row == work.before_last)
                m.d.sync += [
                    self._top.eq(following.inside_y),
                    self._result_row.eq(Mux(tile_ends, 0, self._result_row + 1)),
                    rows_end.eq(last),
                ]

    def _multiply(self, m: Module, issue: Signal, averages: Signal) -> tuple[Any, Any, Any, Any, Any]:
        """(address, outside, arrives, average, residual) of what was issued _STEPS cycles ago.

        y = tile y * pitch + inside y, and x alike; position = y * width + x; address = position * channels + base. For
        an average with pitch 1, the grid's width and the pooled map's base. A place above or left of the map is beyond
        its end for who takes it without its sign. Of two digits the pitch is 2 in x, of DEPTHWISE that of the tiles.
        Of a residual from elsewhere y and x are shifted, width and base are those of its map; it is outside where its
        pixel is.
        """
        work, here = self.work, self._here
        m.d.comb += [self.tiles.table.eq(work.tile_table), self.tiles.position.eq(here.position)]
        valid, pooled, residual = Signal(_STEPS), Signal(_STEPS), Signal(_STEPS)
        m.d.sync += [
            valid.eq(Cat(issue, valid[:-1])),
            pooled.eq(Cat(averages, pooled[:-1])),
            residual.eq(Cat(self._of_residual, residual[:-1])),
        ]
        with m.If(self.start):
            m.d.sync += valid.eq(0)

        listed = work.tile_table != NO_TABLE
        raster = delayed(m, here, 1, "raster")
        # 2: the tile and its edge.
        tile_y, tile_x = Signal(PLACE["tile_y"].width, reset_less=True), Signal(PLACE["tile_x"].width, reset_less=True)
        edge_y, edge_x = Signal(work.pitch.shape(), reset_less=True), Signal(work.pitch.shape(), reset_less=True)
        inside_y, inside_x = (Signal(here.inside_y.shape(), name=name, reset_less=True) for name in ("in_y", "in_x"))
        written_row, written = Signal.like(self._result_row), Signal.like(self._row.result)
        m.d.sync += [written_row.eq(self._result_row), written.eq(self._row.result | self._low)]
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
        chosen = Mux(averages, self._bases[1], Mux(self._of_residual, self._bases[2], self._bases[0]))
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

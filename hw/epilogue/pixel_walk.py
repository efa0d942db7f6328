"""The walk over an EPILOGUE's pixels, in the order in which its slots need their addresses."""

from __future__ import annotations

from typing import Any

from amaranth import Module, Mux, Signal
from amaranth.lib import data

from gatewright.contract.arch import ArchConfig
from gatewright.hw.epilogue.kernel_row import KernelRow
from gatewright.hw.epilogue.setup import COLUMNS_LEFT, KERNEL_BITS, VECTOR_BITS, inside_shape
from gatewright.hw.layouts import PLACE
from gatewright.hw.signatures import POSITION_BITS, SCRATCHPAD_ADDRESS_BITS


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


def copied(target: Any, source: Any) -> list[Any]:
    """Assignments of the raster's members of ``source`` to ``target``, which is one."""
    return [getattr(target, name).eq(getattr(source, name)) for name, _ in target.shape()]


class PixelWalk:
    """Which pixel is next; after the last pixel of a tile with ``pool``, or of a window, the tile itself.

    ``issue``: ``here`` is the pixel of this cycle. With it ``averages``: it stands for its tile; ``low``: for the lower
    one of two digits; ``of_residual``: for its residual from elsewhere, which has an address of its own, in front of
    its pixel's. ``bases``: of the map, the pooled map and the residual. ``row``, ``result_row``: of the kind DEPTHWISE.
    """

    def __init__(self, m: Module, arch: ArchConfig, work: Any) -> None:
        self._work, self._columns = work, arch.columns
        self.issue, self.averages, self.low = Signal(), Signal(), Signal()
        self.of_residual = Signal()
        self.here = Signal(raster_layout(arch), reset_less=True)
        names = ("base", "pool_base", "residual_base")
        self.bases = [Signal(SCRATCHPAD_ADDRESS_BITS, name=name, reset_less=True) for name in names]
        self.row = KernelRow(m, work)
        self._kernel_row = Signal(KERNEL_BITS, reset_less=True)
        # Whether the pixel is the last of its column, and the result in the last row of its tile.
        self._column_ends, self._rows_end = (Signal(name=n, reset_less=True) for n in ("column_ends", "rows_end"))
        self._top = Signal(work.inside_y.shape(), name="top", reset_less=True)
        self.result_row = Signal(work.first_row.shape(), reset_less=True)

    def clocked(self, m: Module, *, start: Signal, prepared: Any, room: Signal) -> None:
        """The registers' inputs: ``start`` with ``prepared``; a pixel is issued while there is ``room``."""
        work, here, columns = self._work, self.here, self._columns
        issue, averages = self.issue, self.averages
        walking = Signal()
        saved, following = Signal(here.shape(), reset_less=True), Signal(here.shape())
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
            ends.eq(averages & (self.low | ~work.split)),
            advance.eq(issue & ~self.of_residual & (ends | ~(work.paired & answers))),
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
        base, pool_base, residual_base = self.bases
        average_next = Signal()
        m.d.comb += average_next.eq(work.paired & answers & ~ends & ~self.of_residual)
        with m.If(issue):
            m.d.sync += [
                averages.eq(average_next),
                self.low.eq(averages & ~ends),
                self.of_residual.eq(work.elsewhere & ~self.of_residual & ~average_next),
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
        block = Signal(VECTOR_BITS)
        m.d.comb += block.eq(Mux(prepared.by_pixel, prepared.last_lane + 1, prepared.pixels))
        with m.If(start):
            m.d.sync += [
                *copied(here, prepared),
                *copied(saved, prepared),
                *self._begin(prepared),
                walking.eq(prepared.store & ~prepared.empty),
                averages.eq(0),
                self.low.eq(0),
                self.of_residual.eq(prepared.elsewhere),
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
            *self.row.begin(work),
            self._kernel_row.eq(0),
            self._column_ends.eq(work.kernel_last == 0),
            self.result_row.eq(work.first_row),
            self._rows_end.eq(work.first_row == work.last_result),
            self._top.eq(work.inside_y),
        ]

    def _along_columns(self, m: Module, advance: Signal, following: Any, answers: Signal, tile_ends: Signal) -> None:
        """DEPTHWISE: down a column of the kernel, then to the next column, row of results, tile."""
        work, here, row, below = self._work, self.here, self.row, self._kernel_row
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
                last = Mux(rows_end, work.last_result == 0, self.result_row == work.before_last)
                m.d.sync += [
                    self._top.eq(following.inside_y),
                    self.result_row.eq(Mux(tile_ends, 0, self.result_row + 1)),
                    rows_end.eq(last),
                ]

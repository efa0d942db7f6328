"""GATHER's loop counters: tiles, pixels, kernel rows and pieces, one piece a cycle."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from gatewright.contract.arch import ArchConfig
from gatewright.contract.timing import TILE_CYCLES
from gatewright.hw.gather.prepare import OPERANDS, behind_shape, gather_sizes, run_bits
from gatewright.hw.gather.tile_place import COLUMN_SHAPE, ROW_SHAPE

ADVANCE = data.StructLayout({"column": 1, "row": 1, "pixel": 1, "line": 1, "tile": 1, "tile_row": 1, "placed": 1})
"""What follows a piece, one bit set: the next run of the kernel row, the next kernel row, the next pixel, the next row
of the tile's pixels, the next tile in its row, the first tile of the next row, a tile from the table. No bit: the next
piece of the run."""


def piece_layout(arch: ArchConfig) -> data.StructLayout:
    """A piece: at most ``gather_bytes`` consecutive bytes of one run of one pixel.

    ``y``, ``x``: input row and first input column of the run. ``begin``: bytes of it before the piece, ``rest``:
    bytes from the piece's first on. ``row_ends``: the piece is its run's last. ``first``: of the
    instruction; ``vector_begins``, ``vector_ends``: first and last piece of a pixel.
    """
    return data.StructLayout(
        {
            "y": ROW_SHAPE,
            "x": COLUMN_SHAPE,
            "begin": run_bits(arch),
            "rest": run_bits(arch),
            "row_ends": 1,
            "first": 1,
            "vector_begins": 1,
            "vector_ends": 1,
            "advance": ADVANCE,
        }
    )


class _Countdown:
    """Counts items down; ``last`` is a register that says that the current item is the last of ``items``."""

    def __init__(self, items: Value, name: str) -> None:
        self._items = items
        self._left = Signal(len(items), name=f"{name}_left", reset_less=True)
        self.last = Signal(name=f"{name}_last", reset_less=True)

    def load(self, m: Module, items: Value) -> None:
        """Begin with the first of ``items``."""
        m.d.sync += [self._left.eq(items), self.last.eq(items == 1)]

    def step(self, m: Module) -> None:
        """Go on to the next item, or behind the last one to the first again."""
        m.d.sync += [
            self._left.eq(Mux(self.last, self._items, self._left - 1)),
            self.last.eq(Mux(self.last, self._items == 1, self._left == 2)),
        ]


class GatherWalk(wiring.Component):
    """Counters that run a cycle ahead of the pipeline's stage 0.

    While no instruction walks, they hold the first piece of the one to come (``coming``, ``next_y``, ``next_x``).
    In the cycle of ``take`` that piece is ``valid``, from then on one in every cycle. A tile from a table takes at
    least TILE_CYCLES cycles; in those behind its last piece nothing is valid. ``final`` is 1 in the last cycle of the
    walk. ``position`` is the table position of the next tile, whose coordinates come back at ``next_y``, ``next_x``;
    ``last_tile``: there is none, or no instruction walks. Of a pixel only the kernel rows that have bytes of the slices
    are walked, the first from ``first_begin`` on.
    """

    def __init__(self, arch: ArchConfig) -> None:
        self._arch = arch
        super().__init__(
            {
                "take": In(1),
                "coming": In(gather_sizes(arch)),
                "running": In(gather_sizes(arch)),
                "next_y": In(ROW_SHAPE),
                "next_x": In(COLUMN_SHAPE),
                "valid": Out(1),
                "piece": Out(piece_layout(arch)),
                "final": Out(1),
                "position": Out(OPERANDS["first_tile"].width),
                "last_tile": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        piece, running = self.piece, self.running
        operands = running.operands
        wide = self._arch.gather_bytes
        walking, idle = Signal(), Signal()
        begins = Signal()
        row_ends, vector_begins, first = (
            Signal(name=n, reset_less=True) for n in ("row_ends", "vector_begins", "first")
        )
        begin, rest = (Signal(run_bits(self._arch), name=name, reset_less=True) for name in ("begin", "rest"))
        # Bytes of the slices behind this run, and whether there is none.
        behind, cut = Signal(behind_shape(self._arch), reset_less=True), Signal(reset_less=True)
        # They do not fill the run that comes next.
        short = Signal(reset_less=True)
        behind_next = Signal.like(behind)
        kernel = _Countdown(running.kernel_rows, "kernel_rows")
        column = _Countdown(running.columns, "columns")
        pixel, line = _Countdown(operands.tile, "pixels"), _Countdown(operands.tile, "lines")
        tiles = _Countdown(running.tiles, "tiles")
        age = Signal(range(TILE_CYCLES), reset_less=True)

        last_row = (kernel.last & column.last) | cut
        vector_ends = row_ends & last_row
        line_ends = vector_ends & pixel.last
        tile_ends = line_ends & line.last
        tile_walked, tile_over = Signal(), Signal()
        m.d.comb += [
            begins.eq((self.take & ~running.nothing) | walking),
            self.valid.eq(begins & ~idle),
            tile_walked.eq(begins & (idle | tile_ends)),
            tile_over.eq(tile_walked & (~running.use_table | (age == 0))),
            self.final.eq(tile_over & tiles.last),
            self.last_tile.eq(tiles.last | ~walking),
        ]
        m.d.sync += [walking.eq(begins & ~self.final), idle.eq(tile_walked & ~tile_over)]
        row_last = self._walk_tiles(m, begins, tile_over, tiles, age)
        lasts = row_ends, column.last, last_row, pixel.last, line.last
        self._walk_map(m, begins, tile_over, lasts, row_last)

        def begin_vector(sizes: Any) -> None:
            m.d.sync += [begin.eq(sizes.first_begin), rest.eq(sizes.first_rest), row_ends.eq(sizes.first_rest <= wide)]
            m.d.sync += [
                behind.eq(sizes.behind_first),
                cut.eq(sizes.behind_first <= 0),
                short.eq(sizes.behind_first < sizes.run),
            ]
            kernel.load(m, sizes.kernel_rows)
            column.load(m, sizes.columns)

        m.d.comb += behind_next.eq(behind - running.run)
        with m.If(~begins):
            coming = self.coming
            m.d.sync += [vector_begins.eq(1), first.eq(1)]
            begin_vector(coming)
            pixel.load(m, coming.operands.tile)
            line.load(m, coming.operands.tile)
        with m.Elif(~idle):
            m.d.sync += [vector_begins.eq(vector_ends), first.eq(0)]
            with m.If(~row_ends):
                m.d.sync += [begin.eq(begin + wide), rest.eq(rest - wide), row_ends.eq(rest <= 2 * wide)]
            with m.Elif(last_row):
                begin_vector(running)
                pixel.step(m)
            with m.Else():
                m.d.sync += [
                    begin.eq(0),
                    behind.eq(behind_next),
                    cut.eq(behind <= running.run),
                    short.eq(behind < running.run << 1),
                ]
                m.d.sync += [rest.eq(running.run), row_ends.eq(running.run <= wide)]
                with m.If(short):
                    m.d.sync += [rest.eq(behind), row_ends.eq(behind <= wide)]
                column.step(m)
                with m.If(column.last):
                    kernel.step(m)
            with m.If(line_ends):
                line.step(m)

        m.d.comb += [
            piece.begin.eq(begin),
            piece.rest.eq(rest),
            piece.row_ends.eq(row_ends),
            piece.first.eq(first),
            piece.vector_begins.eq(vector_begins),
            piece.vector_ends.eq(vector_ends),
            piece.advance.column.eq(row_ends & ~last_row & ~column.last),
            piece.advance.row.eq(row_ends & ~last_row & column.last),
            piece.advance.pixel.eq(vector_ends & ~pixel.last),
            piece.advance.line.eq(line_ends & ~line.last),
            piece.advance.tile.eq(tile_ends & ~running.use_table & ~row_last),
            piece.advance.tile_row.eq(tile_ends & ~running.use_table & row_last),
            piece.advance.placed.eq(tile_ends & running.use_table),
        ]
        return m

    def _walk_tiles(self, m: Module, begins: Signal, tile_over: Signal, tiles: _Countdown, age: Signal) -> Signal:
        """Count tiles, and the cycles spent on one; gives whether a tile in raster order is its row's last."""
        coming, running = self.coming, self.running
        edge, width = running.operands.tile, running.operands.out_width
        rest = Signal.like(coming.rest_x, name="columns_left", reset_less=True)
        row_last = Signal(reset_less=True)
        position = Signal.like(self.position, reset_less=True)
        m.d.comb += self.position.eq(position)
        with m.If(~begins):
            tiles.load(m, coming.tiles)
            m.d.sync += position.eq(coming.operands.first_tile + 1)
            m.d.sync += [rest.eq(coming.rest_x), row_last.eq(coming.rest_x <= coming.operands.tile)]
        with m.Elif(tile_over):
            tiles.step(m)
            m.d.sync += position.eq(position + 1)
            with m.If(row_last):
                m.d.sync += [rest.eq(width), row_last.eq(width <= edge)]
            with m.Else():
                m.d.sync += [rest.eq(rest - edge), row_last.eq(rest <= (edge << 1))]
        with m.If(~begins | tile_over):
            m.d.sync += age.eq(TILE_CYCLES - 1)
        with m.Elif(age != 0):
            m.d.sync += age.eq(age - 1)
        return row_last

    def _walk_map(
        self,
        m: Module,
        begins: Signal,
        tile_over: Signal,
        lasts: tuple[Signal, Signal, Value, Signal, Signal],
        row_last: Signal,
    ) -> None:
        """The input row and column of each piece's run."""
        row_ends, column_last, kernel_last, pixel_last, line_last = lasts
        running, operands = self.running, self.running.operands
        y, line_y, tile_y = (Signal(ROW_SHAPE, name=name, reset_less=True) for name in ("y", "line_y", "tile_y"))
        x, pixel_x, tile_x = (Signal(COLUMN_SHAPE, name=name, reset_less=True) for name in ("x", "pixel_x", "tile_x"))
        next_x = pixel_x + operands.stride
        m.d.comb += [self.piece.y.eq(y), self.piece.x.eq(x)]
        new_y, new_x = Signal(ROW_SHAPE), Signal(COLUMN_SHAPE)
        next_line = line_y + operands.stride
        with m.If(~begins | running.use_table):
            m.d.comb += [new_y.eq(self.next_y), new_x.eq(self.next_x)]
        with m.Elif(row_last):
            m.d.comb += [new_y.eq(tile_y + running.tile_input), new_x.eq(-operands.padding_x)]
        with m.Else():
            m.d.comb += [new_y.eq(tile_y), new_x.eq(tile_x + running.tile_input)]
        with m.If(~begins | tile_over):
            m.d.sync += [tile_y.eq(new_y), line_y.eq(new_y), y.eq(new_y)]
            m.d.sync += [tile_x.eq(new_x), pixel_x.eq(new_x), x.eq(new_x)]
        with m.Elif(row_ends):
            with m.If(~kernel_last):
                with m.If(column_last):
                    m.d.sync += [y.eq(y + running.dilation), x.eq(pixel_x)]
                with m.Else():
                    m.d.sync += x.eq(x + running.dilation)
            with m.Elif(~pixel_last):
                m.d.sync += [y.eq(line_y), x.eq(next_x), pixel_x.eq(next_x)]
            with m.Elif(~line_last):
                m.d.sync += [y.eq(next_line), line_y.eq(next_line), x.eq(tile_x), pixel_x.eq(tile_x)]

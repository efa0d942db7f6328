"""Where GATHER's next tile lies in the input map: by its table entry, or by an instruction's place."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from gatewright.contract.arch import ArchConfig
from gatewright.contract.encodings import COORDINATE_BITS
from gatewright.contract.timing import DECODE_LATENCY, TILE_CYCLES
from gatewright.hw.gather.prepare import INPUT_BITS, OPERANDS, gather_sizes
from gatewright.hw.layouts import PLACE
from gatewright.hw.lib.delay import delayed
from gatewright.hw.lib.rotation import small_product
from gatewright.hw.signatures import SCRATCHPAD_ADDRESS_BITS, table_read

INPUT_TILE_BITS = OPERANDS["tile"].width + OPERANDS["stride"].width
ROW_SHAPE = signed(PLACE["tile_y"].width + INPUT_TILE_BITS + 1)
"""Of the input row of an output pixel: tiles may lie below the map."""

COLUMN_SHAPE = signed(PLACE["tile_x"].width + INPUT_TILE_BITS + 1)

COORDINATE_LATENCY, ADDRESS_LATENCY = 5, 6
assert max(ADDRESS_LATENCY, COORDINATE_LATENCY + 1) <= DECODE_LATENCY
assert ADDRESS_LATENCY < TILE_CYCLES


class TilePlacer(wiring.Component):
    """A pipeline from a tile to the place of its first pixel's patch in the input map.

    ``of_head``: the subject is the first tile of the instruction at the queue's head, described by ``coming`` (as it
    is being prepared); otherwise entry ``position`` of the table of the instruction that runs, ``running``.
    ``y`` and ``x`` (input row and column, padding subtracted, of the first kernel row to read) are right
    COORDINATE_LATENCY cycles after the inputs stand still, ``address`` (byte address of the first byte to read) and
    ``next_row`` (that of a tile at the left edge in the next row of tiles; for the head only) ADDRESS_LATENCY cycles.
    """

    def __init__(self, arch: ArchConfig) -> None:
        self._arch = arch
        super().__init__(
            {
                "of_head": In(1),
                "position": In(OPERANDS["first_tile"].width),
                "coming": In(gather_sizes(arch)),
                "running": In(gather_sizes(arch)),
                "place": In(PLACE),
                "tiles": Out(table_read()),
                "y": Out(ROW_SHAPE),
                "x": Out(COLUMN_SHAPE),
                "address": Out(SCRATCHPAD_ADDRESS_BITS),
                "next_row": Out(SCRATCHPAD_ADDRESS_BITS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        coming, running = self.coming, self.running
        m.d.comb += [
            self.tiles.table.eq(Mux(self.of_head, coming.operands.tile_table, running.operands.tile_table)),
            self.tiles.position.eq(Mux(self.of_head, coming.operands.first_tile, self.position)),
        ]
        # The subject's constants are registers too, each set no later than the value that it meets.
        edge = Signal(INPUT_TILE_BITS, reset_less=True)
        padding_y, padding_x = (Signal(OPERANDS[f"padding_{axis}"].width, reset_less=True) for axis in "yx")
        pitch, row_origin, row_rest = (
            Signal(SCRATCHPAD_ADDRESS_BITS, name=name, reset_less=True) for name in ("pitch", "row_origin", "row_rest")
        )
        tile_step = Signal.like(coming.tile_step, name="tile_step", reset_less=True)
        m.d.sync += [
            edge.eq(Mux(self.of_head, coming.tile_input, running.tile_input)),
            padding_y.eq(Mux(self.of_head, coming.operands.padding_y, running.operands.padding_y)),
            padding_x.eq(Mux(self.of_head, coming.operands.padding_x, running.operands.padding_x)),
            pitch.eq(Mux(self.of_head, coming.pitch, running.pitch)),
            tile_step.eq(Mux(self.of_head, coming.tile_step, running.tile_step)),
            row_origin.eq(Mux(self.of_head, coming.row_origin, running.row_origin)),
            row_rest.eq(coming.row_origin + coming.tile_row_step),
        ]
        tile_y, tile_x = Signal(PLACE["tile_y"].width, reset_less=True), Signal(PLACE["tile_x"].width, reset_less=True)
        with m.If(self.of_head & ~coming.use_table):
            m.d.sync += [tile_y.eq(self.place.tile_y), tile_x.eq(self.place.tile_x)]
        with m.Else():
            m.d.sync += [tile_y.eq(self.tiles.entry[COORDINATE_BITS:]), tile_x.eq(self.tiles.entry[:COORDINATE_BITS])]
        below, right = Signal(len(self.y) - 1, reset_less=True), Signal(len(self.x) - 1, reset_less=True)
        rows, columns, beside = (
            Signal(SCRATCHPAD_ADDRESS_BITS, name=name, reset_less=True)
            for name in ("row_bytes", "tile_bytes", "beside")
        )
        y, x = Signal(ROW_SHAPE, reset_less=True), Signal(COLUMN_SHAPE, reset_less=True)
        # Late, so chosen where they are used.
        of_head = Signal(reset_less=True)
        m.d.sync += of_head.eq(self.of_head)
        first_row, first_begin = Signal(coming.first_row.shape()), Signal(coming.first_begin.shape())
        # Of the first kernel row to read, from the tile's on: a product of few bits, two sums, each in a register.
        half = len(first_row) // 2
        offset, more_offset = (
            Signal(SCRATCHPAD_ADDRESS_BITS, name=name, reset_less=True) for name in ("offset", "more_offset")
        )
        # The rows of the input map from the tile's to it, beside its first column.
        rows_before = Signal(len(first_row) + len(coming.dilation), reset_less=True)
        first_y, first_x = Signal(ROW_SHAPE), Signal(COLUMN_SHAPE, reset_less=True)
        y_beside = Signal(ROW_SHAPE, reset_less=True)
        kernel_pitch, dilation = Signal.like(coming.kernel_pitch), Signal(coming.dilation.shape())
        m.d.comb += [
            first_row.eq(Mux(of_head, coming.first_row, running.first_row)),
            first_begin.eq(Mux(of_head, coming.first_begin, running.first_begin)),
            kernel_pitch.eq(Mux(of_head, coming.kernel_pitch, running.kernel_pitch)),
            dilation.eq(Mux(of_head, coming.dilation, running.dilation)),
            first_y.eq(y_beside + rows_before),
        ]
        address, next_row = (
            Signal(SCRATCHPAD_ADDRESS_BITS, name=name, reset_less=True) for name in ("place_address", "place_next_row")
        )
        m.d.sync += [
            below.eq(tile_y * edge),
            right.eq(tile_x * edge),
            y.eq(below - padding_y),
            x.eq(right - padding_x),
            # Beyond these bits every byte of the tile is outside the map, and its address does not matter.
            rows.eq(y[:INPUT_BITS].as_signed() * pitch + first_begin),
            offset.eq(small_product(kernel_pitch, first_row[:half])),
            more_offset.eq(small_product(kernel_pitch, first_row[half:]) << half),
            rows_before.eq(small_product(first_row, dilation)),
            y_beside.eq(y),
            first_x.eq(x),
            # Not of ``right``: no product behind a product.
            columns.eq(delayed(m, tile_x, 1, "tile_x_late") * tile_step),
            beside.eq(row_origin + columns),
            address.eq(beside + rows + offset + more_offset),
            next_row.eq(row_rest + rows + offset + more_offset),
        ]
        m.d.comb += [self.y.eq(first_y), self.x.eq(first_x), self.address.eq(address), self.next_row.eq(next_row)]
        return m

"""Where an instruction's first pixel lies, worked out while the instruction is on its way to dispatch."""

from __future__ import annotations

from amaranth import Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from gatewright.contract.isa import HEADER_BITS, OPCODE_BITS, Opcode
from gatewright.hw.layouts import INSTRUCTION_BITS, PLACE, operand_layout
from gatewright.hw.lib.delay import delayed
from gatewright.hw.lib.divide import ReciprocalDivider, registered_product

_EPILOGUE, _GATHER = operand_layout(Opcode.EPILOGUE), operand_layout(Opcode.GATHER)
_TILE_BITS, _PIXEL_BITS = _EPILOGUE["tile"].width, _EPILOGUE["first_pixel"].width
_WIDTH_BITS, _FIRST_TILE_BITS = _EPILOGUE["out_width"].width, _EPILOGUE["first_tile"].width
_LARGEST_TILE = (1 << _TILE_BITS) - 1
_LARGEST_PIXEL = (1 << _PIXEL_BITS) - 1
_LARGEST_WIDTH = (1 << _WIDTH_BITS) - 1


class Predecoder(wiring.Component):
    """The ``place`` of an ``instruction``, LATENCY cycles later, one instruction a cycle.

    Two divisions after each other: the pixel by the tile's size, then the tile by the columns of the tile grid.
    Meaningful for GATHER and EPILOGUE; for tile 0, which is illegal, what division by 0 gives.
    """

    LATENCY = ReciprocalDivider.QUOTIENT_LATENCY + ReciprocalDivider.REMAINDER_LATENCY

    def __init__(self) -> None:
        super().__init__({"instruction": In(INSTRUCTION_BITS), "place": Out(PLACE)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        operands = self.instruction[HEADER_BITS:]
        gathers = self.instruction[:OPCODE_BITS] == Opcode.GATHER
        epilogue = data.View(_EPILOGUE, operands[: _EPILOGUE.size])
        gather = data.View(_GATHER, operands[: _GATHER.size])
        tile, pixel = Signal(_TILE_BITS), Signal(_PIXEL_BITS)
        width, first_tile = Signal(_WIDTH_BITS), Signal(_FIRST_TILE_BITS)
        m.d.comb += [
            tile.eq(Mux(gathers, gather.tile, epilogue.tile)),
            pixel.eq(Mux(gathers, 0, epilogue.first_pixel)),
            width.eq(Mux(gathers, gather.out_width, epilogue.out_width)),
            first_tile.eq(Mux(gathers, gather.first_tile, epilogue.first_tile)),
        ]

        # In parallel: the pixel's tile, its row of tile edges, and the columns of the tile grid.
        edges = range(_LARGEST_TILE + 1)
        by_area = ReciprocalDivider(_LARGEST_PIXEL, [edge * edge for edge in edges])
        by_edge = ReciprocalDivider(_LARGEST_PIXEL, edges)
        columns = ReciprocalDivider(_LARGEST_WIDTH + _LARGEST_TILE - 1, edges)
        m.submodules += [by_area, by_edge, columns]
        m.d.comb += [
            by_area.dividend.eq(pixel),
            by_edge.dividend.eq(pixel),
            columns.dividend.eq(Mux(tile == 0, 0, width + tile - 1)),
            by_area.select.eq(tile),
            by_edge.select.eq(tile),
            columns.select.eq(tile),
        ]

        first = ReciprocalDivider.QUOTIENT_LATENCY
        number, row = by_area.quotient, by_edge.quotient
        # A map without columns, of which nothing is written, has a grid of one.
        by_columns = [max(1, count) for count in range(_LARGEST_WIDTH + 1)]
        in_map = ReciprocalDivider((1 << _FIRST_TILE_BITS) - 1 + _LARGEST_PIXEL, by_columns)
        m.submodules.in_map = in_map
        m.d.comb += [
            in_map.dividend.eq(delayed(m, first_tile, first, "first_tile") + number),
            in_map.select.eq(columns.quotient),
        ]

        # inside_y = row mod tile: exact in its few bits.
        bits = PLACE["inside_y"].width
        part = registered_product(m, number[:bits], delayed(m, tile, first, "tile", early=True), bits, "part")
        inside_y = Signal(bits)
        m.d.comb += inside_y.eq(delayed(m, row[:bits], 1, "row") - part)

        rest = self.LATENCY - ReciprocalDivider.REMAINDER_LATENCY
        m.d.comb += [
            self.place.tile.eq(delayed(m, number, self.LATENCY - first, "number")),
            self.place.inside_y.eq(delayed(m, inside_y, rest, "inside_y", early=True)),
            self.place.inside_x.eq(delayed(m, by_edge.remainder, rest, "inside_x", early=True)),
            self.place.tile_y.eq(delayed(m, in_map.quotient, self.LATENCY - 2 * first, "tile_y")),
            self.place.tile_x.eq(in_map.remainder),
        ]
        return m

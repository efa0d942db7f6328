"""ARRAY's loader: the stationary vectors of tile after tile go to the shadow registers."""

from __future__ import annotations

from amaranth import Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for, ceil_log2

from gatewright.contract.arch import ACCUMULATOR_BANKS, ArchConfig
from gatewright.hw.array.operand_fetch import STEP, VECTOR_BITS
from gatewright.hw.array.prepare import matmul_layout
from gatewright.hw.lib.filter_list import AHEAD

TILE = data.StructLayout(
    {
        "length": VECTOR_BITS,
        "single": 1,
        "bank": ceil_log2(ACCUMULATOR_BANKS),
        "add": 1,
        "zero": 1,
        "last_slice": 1,
        "final": 1,
    }
)
"""What the streamer has to know of a tile, a block and a slice of a MATMUL. ``single``: its length is 1;
``last_slice``: it is the last of its block, ``final``: of all."""


class TileLoader(wiring.Component):
    """``matmul`` is what is worked out of the queue's head; ``take`` begins it in the same cycle.

    Until then the loader's registers follow it, so they are right whenever the head may be taken. A load goes on, its
    ``step`` firing in every cycle, while the shadow registers are free: not ``full``, or swapped in this cycle, since
    nothing is ``streaming``. ``column``: that of the first vector of the step. ``tile``: the one in the shadow
    registers, while ``full``. Tiles run slices innermost.
    """

    def __init__(self, arch: ArchConfig) -> None:
        self._arch = arch
        self._matmul = matmul_layout(arch)
        super().__init__(
            {
                "matmul": In(self._matmul),
                "take": In(1),
                "streaming": In(1),
                "loading": Out(1),
                "full": Out(1),
                "filters_stand": Out(1),
                "column": Out(bits_for(arch.columns)),
                "step": Out(STEP),
                "tile": Out(TILE),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        columns, step = self._arch.columns, self.step
        loading, full = Signal(), Signal()
        matmul = Signal(self._matmul, reset_less=True)
        tile = Signal(TILE, reset_less=True)
        # Of this tile: vectors that are left. Of the MATMUL: vectors of this block and behind it, slices of this block.
        left = Signal(bits_for(columns), reset_less=True)
        block = Signal.like(left)
        rest = Signal(VECTOR_BITS, reset_less=True)
        slices = Signal.like(matmul.slices, reset_less=True)
        first_slice, last_slice = Signal(reset_less=True), Signal()
        column = Signal.like(self.column, reset_less=True)
        width = Mux(matmul.single, 1, self._arch.load_vectors)
        m.d.comb += [
            self.loading.eq(loading),
            self.full.eq(full),
            self.filters_stand.eq(matmul.filters_stand),
            self.column.eq(column),
            self.tile.eq(tile),
            last_slice.eq(slices == 1),
            step.fire.eq((loading | self.take) & ~(full & self.streaming)),
            step.last.eq(left <= width),
            step.count.eq(Mux(step.last, left, width)),
            step.wide.eq(~matmul.single),
            step.more.eq(left >= AHEAD),
            step.blocks.eq(1),
            step.last_slice.eq(last_slice),
            step.final.eq(last_slice & (rest == 0)),
        ]
        with m.If(~self.streaming):
            m.d.sync += full.eq(0)
        with m.If(step.fire & ~step.last):
            m.d.sync += [loading.eq(1), left.eq(left - width), column.eq(column + width)]
        with m.If(step.fire & step.last):
            following = Mux(rest > columns, columns, rest)
            m.d.sync += [
                full.eq(1),
                loading.eq(~step.final),
                tile.length.eq(matmul.length),
                tile.single.eq(matmul.length == 1),
                tile.bank.eq(matmul.bank),
                tile.add.eq(matmul.accumulate | ~first_slice),
                tile.zero.eq(matmul.zero),
                tile.last_slice.eq(last_slice),
                tile.final.eq(step.final),
                column.eq(0),
                first_slice.eq(last_slice),
                left.eq(Mux(last_slice, following, block)),
                slices.eq(Mux(last_slice, matmul.slices, slices - 1)),
            ]
            with m.If(last_slice):
                m.d.sync += [block.eq(following), rest.eq(Mux(rest > columns, rest - columns, 0))]
        # The next MATMUL may be taken in the cycle behind the last load.
        with m.If(Mux(step.fire, step.last & step.final, ~loading)):
            m.d.sync += [
                matmul.eq(self.matmul),
                left.eq(self.matmul.first_block),
                block.eq(self.matmul.first_block),
                rest.eq(self.matmul.rest),
                slices.eq(self.matmul.slices),
                first_slice.eq(1),
                column.eq(0),
            ]
        return m

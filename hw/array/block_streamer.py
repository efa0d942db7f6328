"""ARRAY's streamer: the other operand's vectors go past the stationary ones, each to its accumulator entry."""

from __future__ import annotations

from amaranth import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from gatewright.contract.arch import ArchConfig
from gatewright.contract.timing import ACCUMULATOR_LATENCY
from gatewright.hw.array.accumulation import target_layout
from gatewright.hw.array.block_loader import TILE
from gatewright.hw.array.operand_fetch import STEP, VECTOR_BITS
from gatewright.hw.lib.filter_list import AHEAD


class TileStreamer(wiring.Component):
    """When the shadow registers are ``full`` and nothing is ``streaming``, it ``swaps`` and streams their ``tile``.

    The first vector's address leaves in the cycle of the swap. A stream lasts at least ACCUMULATOR_LATENCY cycles, the
    rest bubbles: neither ``step.fire`` nor ``valid``. Vector t of block b goes to entry start + b * length + t;
    ``entry`` is the start of the MATMUL that comes next. ``last`` is the last cycle of a MATMUL's last stream.
    """

    def __init__(self, arch: ArchConfig) -> None:
        self._target = target_layout(arch)
        super().__init__(
            {
                "full": In(1),
                "tile": In(TILE),
                "entry": In(self._target["entry"].shape),
                "streaming": Out(1),
                "swaps": Out(1),
                "step": Out(STEP),
                "valid": Out(1),
                "last": Out(1),
                "target": Out(self._target),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        step, swaps = self.step, self.swaps
        streaming, tile = Signal(), Signal(TILE, reset_less=True)
        now = Signal(TILE)
        # Vectors and cycles that are left of the stream.
        vectors, cycles = Signal(VECTOR_BITS, reset_less=True), Signal(VECTOR_BITS, reset_less=True)
        # Registers beside them: vectors are left, one, AHEAD or more; a cycle.
        some, one, many, ends_next = (
            Signal(name=name, reset_less=True) for name in ("some", "one", "many", "ends_next")
        )
        ends = Signal()
        m.d.comb += [
            self.streaming.eq(streaming),
            swaps.eq(self.full & ~streaming),
            ends.eq(streaming & ends_next),
            now.eq(Mux(swaps, self.tile, tile)),
            step.fire.eq(swaps | (streaming & some)),
            step.count.eq(1),
            step.wide.eq(0),
            step.last.eq(Mux(swaps, self.tile.single, one)),
            step.more.eq(many),
            step.blocks.eq(0),
            step.last_slice.eq(self.tile.last_slice),
            step.final.eq(self.tile.final),
            self.valid.eq(step.fire),
            self.last.eq(ends & tile.final),
        ]
        with m.If(swaps):
            least = ACCUMULATOR_LATENCY
            m.d.sync += [
                streaming.eq(1),
                tile.eq(self.tile),
                vectors.eq(self.tile.length - 1),
                some.eq(~self.tile.single),
                one.eq(self.tile.length == 2),
                many.eq(self.tile.length > AHEAD),
                cycles.eq(Mux(self.tile.length > least, self.tile.length - 1, least - 1)),
                ends_next.eq(least == 2),
            ]
        with m.Elif(streaming):
            m.d.sync += [
                vectors.eq(Mux(some, vectors - 1, 0)),
                some.eq(some & ~one),
                one.eq(vectors == 2),
                many.eq(vectors > AHEAD),
                cycles.eq(cycles - 1),
                ends_next.eq(cycles == 2),
                streaming.eq(~ends),
            ]
        self._entries(m)
        m.d.comb += [self.target.bank.eq(now.bank), self.target.add.eq(now.add), self.target.zero.eq(now.zero)]
        return m

    def _entries(self, m: Module) -> None:
        """The entry of each vector; like the operands' addresses, the next tile's first is there before its swap."""
        entry = Signal(self._target["entry"].shape, reset_less=True)
        begin, following = Signal.like(entry), Signal.like(entry)
        fresh, wraps = Signal(init=1), Signal()
        length = Signal(VECTOR_BITS, reset_less=True)
        m.d.comb += self.target.entry.eq(entry)
        with m.If(self.swaps):
            m.d.sync += [
                begin.eq(entry),
                length.eq(self.tile.length),
                fresh.eq(self.tile.final),
                wraps.eq(self.tile.last_slice),
            ]
        m.d.sync += following.eq(Mux(fresh, self.entry, begin + Mux(wraps, length, 0)))
        with m.If(self.step.fire & ~self.step.last):
            m.d.sync += entry.eq(entry + 1)
        with m.Else():
            m.d.sync += entry.eq(following)

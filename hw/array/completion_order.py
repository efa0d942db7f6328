"""ARRAY's completions in order: MATMULs with work end in the pipeline, those without as soon as none is before them."""

from __future__ import annotations

from amaranth import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from gatewright.contract.arch import ArchConfig
from gatewright.contract.timing import DECODE_LATENCY, EMPTY_LATENCY, array_order_depth

assert DECODE_LATENCY >= 2, "the next take comes when room knows of the one before"
assert EMPTY_LATENCY == 3, "the register in front, retire, the count"


class CompletionOrder(wiring.Component):
    """``take`` adds a MATMUL, ``empty`` if it has no work; ``done``: the oldest one with work is complete in a cycle.

    ``retire``, a register, counts one in the next cycle: the one that is ``done``, else one without work with none
    before it. A MATMUL is taken in a register first: without work it counts EMPTY_LATENCY cycles after its ``take``.
    ``room``, a register: there is a place for another one; a place is free in the cycle that counts its MATMUL.
    """

    def __init__(self, arch: ArchConfig) -> None:
        self._depth = array_order_depth(arch.rows, arch.columns)
        super().__init__({"take": In(1), "empty": In(1), "done": In(1), "retire": Out(1), "room": Out(1, init=1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        # One bit for each MATMUL, the oldest lowest: 1 without work.
        empties, count = Signal(self._depth), Signal(range(self._depth + 1))
        waiting, oldest_empty, leaves = Signal(), Signal(), Signal()
        taken, empty = Signal(), Signal(reset_less=True)
        m.d.sync += [
            taken.eq(self.take),
            empty.eq(self.empty),
            self.retire.eq(leaves),
            self.room.eq(count != self._depth),
        ]
        m.d.comb += [
            waiting.eq(count != 0),
            oldest_empty.eq(Mux(waiting, empties[0], taken & empty)),
            leaves.eq(self.done | oldest_empty),
        ]
        kept, place = Signal(self._depth), Signal.like(count)
        pops, pushes = Signal(), Signal()
        m.d.comb += [
            pops.eq(leaves & waiting),
            pushes.eq(taken & ~(leaves & ~waiting)),
            kept.eq(Mux(pops, empties >> 1, empties)),
            place.eq(count - pops),
        ]
        m.d.sync += [count.eq(place + pushes), empties.eq(kept)]
        with m.If(pushes):
            m.d.sync += empties.bit_select(place, 1).eq(empty)
        return m

"""ARRAY's completions in order: MATMULs with work end in the pipeline, those without as soon as none is before them."""

from __future__ import annotations

from amaranth import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from gatewright.contract.arch import ArchConfig
from gatewright.contract.timing import DECODE_LATENCY, EMPTY_LATENCY, array_latency


def order_depth(arch: ArchConfig) -> int:
    """MATMULs that may be taken and not yet complete.

    A new head is valid only DECODE_LATENCY cycles after a MATMUL was taken. While the oldest one streams, one more is
    taken at most (the next one needs the shadow registers, or the stream's end); then it is array_latency cycles in
    the pipeline. Completed at once or not, those behind it leave faster than new ones come.
    """
    return 4 + -(-array_latency(arch.rows, arch.columns) // (DECODE_LATENCY + 1))


assert EMPTY_LATENCY == 3, "the register in front, retire, the count"


class CompletionOrder(wiring.Component):
    """``take`` adds a MATMUL, ``empty`` if it has no work; ``done``: the oldest one with work is complete in a cycle.

    ``retire``, a register, counts one in the next cycle: the one that is ``done``, else one without work with none
    before it. A MATMUL is taken in a register first: without work it counts EMPTY_LATENCY cycles after its ``take``.
    """

    def __init__(self, arch: ArchConfig) -> None:
        self._depth = order_depth(arch)
        super().__init__({"take": In(1), "empty": In(1), "done": In(1), "retire": Out(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        # One bit for each MATMUL, the oldest lowest: 1 without work.
        empties, count = Signal(self._depth), Signal(range(self._depth + 1))
        waiting, oldest_empty, leaves = Signal(), Signal(), Signal()
        taken, empty = Signal(), Signal(reset_less=True)
        m.d.sync += [taken.eq(self.take), empty.eq(self.empty), self.retire.eq(leaves)]
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

"""The units' completion counts."""

from __future__ import annotations

from amaranth import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from gatewright.contract.isa import COUNT_BITS, QUEUED_UNITS, UNITS
from gatewright.hw.layouts import COUNTS
from gatewright.hw.signatures import completions_signature


class Completions(wiring.Component):
    """How many instructions each unit was given, and how many it completed, modulo 2**16.

    A bit (by ``Unit``) of ``give`` or ``retire`` counts at the end of its cycle. ``view.idle``, a register: all that
    was given is complete; right while nothing was given in this cycle and the two before.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "give": In(UNITS),
                "retire": In(UNITS),
                "view": In(completions_signature()),
                "given": Out(COUNTS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        idle = []
        for unit in QUEUED_UNITS:
            done, given, retire = self.view.counts[unit], self.given[unit], self.retire[unit]
            left = Signal(COUNT_BITS, name=f"left_{unit.name.lower()}")
            # How many were left a cycle ago: 0, 1 or 2; and whether there was one less at that cycle's end.
            was = [Signal(name=f"was_{unit.name.lower()}_{number}", init=number == 0) for number in range(3)]
            less = Signal(name=f"less_{unit.name.lower()}")
            with m.If(retire):
                m.d.sync += done.eq(done + 1)
            with m.If(self.give[unit]):
                m.d.sync += given.eq(given + 1)
            m.d.sync += [left.eq(left + self.give[unit] - retire), less.eq(retire)]
            m.d.sync += [line.eq(left == number) for number, line in enumerate(was)]
            idle.append(was[0] | (was[1] & (less | retire)) | (was[2] & less & retire))
        m.d.comb += self.view.retires.eq(self.retire)
        m.d.sync += self.view.idle.eq(Cat(*idle).all())
        return m

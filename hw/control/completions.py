"""The units' completion counts."""

from __future__ import annotations

from amaranth import Cat, Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from gatewright.contract.isa import QUEUED_UNITS, UNITS
from gatewright.hw.layouts import COUNTS
from gatewright.hw.signatures import completions_signature


class Completions(wiring.Component):
    """How many instructions each unit was given, and how many it completed, modulo 2**16.

    A bit (by ``Unit``) of ``give`` or ``retire`` counts at the end of its cycle. ``view.idle``: all that was given is
    complete, by the registers of the cycle before.
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
            done, given = self.view.counts[unit], self.given[unit]
            with m.If(self.retire[unit]):
                m.d.sync += done.eq(done + 1)
            with m.If(self.give[unit]):
                m.d.sync += given.eq(given + 1)
            idle.append(done == given)
        m.d.comb += self.view.retires.eq(self.retire)
        m.d.sync += self.view.idle.eq(Cat(*idle).all())
        return m

"""The units' completion counts."""

from __future__ import annotations

from amaranth import Cat, Const, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from gatewright.contract.isa import COUNT_BITS, QUEUED_UNITS, UNITS, Unit
from gatewright.hw.control.signatures import completions_signature
from gatewright.hw.layouts import COUNTS


class Completions(wiring.Component):
    """How many instructions each unit was given, and how many it completed, modulo 2**16.

    A bit (by ``Unit``) of ``give`` or ``retire`` counts at the end of its cycle; one of ``left_out`` as both, and who
    compares waits sees it in the count alone, LEFT_OUT_LATENCY cycles behind its turn. ``view.idle``, a register: all
    that was given is complete; right while nothing was given in this cycle and the two before. So are ``load_idle``,
    of LOAD alone, and ``others_idle``. ``clear``: all counts begin again at 0; everything has to be complete.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "give": In(UNITS),
                "retire": In(UNITS),
                "left_out": In(UNITS),
                "clear": In(1),
                "view": In(completions_signature()),
                "given": Out(COUNTS),
                "load_idle": Out(1),
                "others_idle": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        idle = {}
        for unit in QUEUED_UNITS:
            done, given, retire = self.view.counts[unit], self.given[unit], self.retire[unit]
            left = Signal(COUNT_BITS, name=f"left_{unit.name.lower()}")
            # How many were left a cycle ago: 0, 1 or 2; and whether there was one less at that cycle's end.
            was = [Signal(name=f"was_{unit.name.lower()}_{number}", init=number == 0) for number in range(3)]
            less = Signal(name=f"less_{unit.name.lower()}")
            with m.If(retire | self.left_out[unit]):
                m.d.sync += done.eq(done + 1)
            # The instruction behind one that is left out may be given in the same cycle: one adder takes both.
            m.d.sync += given.eq((Cat(Const(1, 1), given) + Cat(self.left_out[unit], self.give[unit]))[1:])
            m.d.sync += [left.eq(left + self.give[unit] - retire), less.eq(retire)]
            m.d.sync += [line.eq(left == number) for number, line in enumerate(was)]
            idle[unit] = was[0] | (was[1] & (less | retire)) | (was[2] & less & retire)
            with m.If(self.clear):
                m.d.sync += [done.eq(0), given.eq(0)]
        others = Cat(line for unit, line in idle.items() if unit != Unit.LOAD).all()
        m.d.comb += self.view.retires.eq(self.retire)
        m.d.sync += [
            self.view.idle.eq(others & idle[Unit.LOAD]),
            self.load_idle.eq(idle[Unit.LOAD]),
            self.others_idle.eq(others),
        ]
        return m

"""Small quotients by comparison."""

from __future__ import annotations

from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from gatewright.hw.lib.divide import small_quotient
from tests.support.rtl import run_bench

DIVIDEND_BITS, DIVISOR_BITS = 16, 17


class SmallQuotient(wiring.Component):
    """As GATHER has it: slices' bytes by a kernel row's."""

    def __init__(self) -> None:
        super().__init__(
            {"dividend": In(DIVIDEND_BITS), "divisor": In(DIVISOR_BITS), "quotient": Out(4), "remainder": Out(16)}
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        quotient, remainder = small_quotient(m, self.dividend, self.divisor, "quotient")
        m.d.comb += [self.quotient.eq(quotient), self.remainder.eq(remainder)]
        return m


def test_quotients_and_remainders() -> None:
    print("seed 1")
    run_bench(SmallQuotient(), "tests.hw.lib.bench_small_quotient", env={"SEED": "1"})

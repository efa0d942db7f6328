from __future__ import annotations

from amaranth import Const, Module, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from gatewright.hw.epilogue.requantise import (
    PRODUCT_LATENCY,
    STEP_BITS,
    VALUE_BITS,
    above_halves,
    halves,
    halves_shared,
    product,
    saturated,
)
from gatewright.hw.lib.delay import delayed
from tests.support.rtl import run_bench

SEED = 20261121


class RequantiseLane(wiring.Component):
    """A lane of results, and one of averages, as the pipeline has them."""

    def __init__(self) -> None:
        super().__init__(
            {
                "value": In(signed(VALUE_BITS)),
                "multiplier": In(16),
                "step": In(STEP_BITS),
                "addend": In(8),
                "relu": In(1),
                "result": Out(8),
                "tile_sum": In(signed(18)),
                "average_multiplier": In(16),
                "average_step": In(STEP_BITS),
                "average": Out(8),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        scaled = product(m, self.value, self.multiplier, "product")
        lane = halves(m, scaled, delayed(m, self.step, PRODUCT_LATENCY, "step"), "lane")
        m.d.comb += self.result.eq(saturated(lane, self.addend, self.relu))

        first, second = Signal(signed(34)), Signal(signed(34))
        above = Signal(34)
        m.d.sync += [
            first.eq(self.tile_sum * self.average_multiplier),
            second.eq(first),
            above.eq(above_halves(self.average_step, 34)),
        ]
        shared = halves_shared(m, second, self.average_step, above, "shared")
        m.d.comb += self.average.eq(saturated(shared, Const(0, 8), Const(0)))
        return m


def test_rounding_and_saturation_are_those_of_the_arithmetic() -> None:
    print(f"seed {SEED}")
    run_bench(RequantiseLane(), "tests.hw.epilogue.bench_requantise", env={"SEED": str(SEED)})

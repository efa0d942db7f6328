"""cocotb: sums of signed bytes times a factor, with random restarts and pauses."""

from __future__ import annotations

import os
from random import Random
from typing import Any

import cocotb

from tests.support.rtl import Bench

MEAN_BITS = 34


@cocotb.test()
async def is_the_sum_times_the_factor(dut: Any) -> None:
    """``mean`` is two cycles behind the sum and the factor."""
    seed = int(os.environ["SEED"])
    choice = Random(seed)
    bench = Bench(dut)
    bench.set(value=0, first=0, enable=0, factor=0)
    await bench.reset()
    total, held, due = 0, 0, [0, 0]
    for cycle in range(400):
        value, factor = choice.randrange(-128, 128), choice.randrange(1 << 16)
        first, enable = choice.random() < 0.1 or cycle == 0, choice.random() < 0.8 or cycle == 0
        bench.set(value=value & 0xFF, first=int(first), enable=int(enable), factor=factor)
        await bench.settle()
        if cycle > 3:
            assert bench.get("mean") == due[0], f"seed {seed}, cycle {cycle}"
        due = [due[1], total * held & (1 << MEAN_BITS) - 1]
        held = factor
        if enable:
            total = (0 if first else total) + value
        await bench.step()

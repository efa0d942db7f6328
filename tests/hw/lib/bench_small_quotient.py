"""cocotb: small quotients against Python's divmod, a dividend a cycle."""

from __future__ import annotations

import os
import random
from typing import Any

import cocotb

from tests.support.rtl import Bench

LATENCY = 2
LARGEST, LARGEST_DIVISOR = (1 << 16) - 1, (1 << 17) - 1


@cocotb.test()
async def divides(dut: Any) -> None:
    """Beside every multiple of divisors of all sizes; beyond 15 the quotient is 15."""
    rng = random.Random(int(os.environ["SEED"]))
    bench = Bench(dut)
    await bench.reset()
    divisors = [1, 2, 3, LARGEST_DIVISOR, *(rng.randint(1, (1 << rng.randint(2, 17)) - 1) for _ in range(150))]
    for divisor in divisors:
        near = {k * divisor + step for k in range(18) for step in (-1, 0, 1)} | {LARGEST, rng.randint(0, LARGEST)}
        dividends = sorted(n for n in near if 0 <= n <= LARGEST)
        bench.set(divisor=divisor)
        for number in range(len(dividends) + LATENCY):
            bench.set(dividend=dividends[min(number, len(dividends) - 1)])
            await bench.settle()
            if number >= LATENCY:
                dividend = dividends[number - LATENCY]
                quotient, remainder = divmod(dividend, divisor)
                assert bench.get("quotient") == min(quotient, 15), (dividend, divisor)
                assert quotient > 15 or bench.get("remainder") == remainder, (dividend, divisor)
            await bench.step()

"""cocotb: a divider, one division a cycle, against Python's divmod."""

from __future__ import annotations

import os
import random
from collections import deque
from typing import Any

import cocotb

from gatewright.hw.lib.divide import ReciprocalDivider
from tests.hw.lib.dividers import DIVIDERS
from tests.support.rtl import Bench

EVERYTHING = 40_000
"""Up to so many pairs are all tried."""


def operands(largest: int, divisors: list[int], rng: random.Random) -> list[tuple[int, int]]:
    """(dividend, number of its divisor): all, or those beside multiples, where a wrong reciprocal shows first."""
    if (largest + 1) * len(divisors) <= EVERYTHING:
        return [(n, d) for d in range(len(divisors)) for n in range(largest + 1)]
    pairs = []
    for number, divisor in enumerate(divisors):
        high = largest // divisor if divisor else 0
        multiples = {high, max(high - 1, 0), 1, *(rng.randint(0, high) for _ in range(4))}
        near = {k * divisor + step for k in multiples for step in (-1, 0, 1)} | {0, largest}
        pairs += [(n, number) for n in near if 0 <= n <= largest]
    rng.shuffle(pairs)
    return pairs


@cocotb.test()
async def divides(dut: Any) -> None:
    largest, divisors = DIVIDERS[os.environ["DIVIDER"]]
    rng = random.Random(int(os.environ["SEED"]))
    bench = Bench(dut)
    await bench.reset()
    pairs = operands(largest, divisors, rng)
    low = (1 << len(dut.remainder)) - 1
    quotients: deque[int] = deque()
    remainders: deque[int] = deque()
    for number, (dividend, select) in enumerate([*pairs, *[(0, 0)] * ReciprocalDivider.REMAINDER_LATENCY]):
        bench.set(dividend=dividend, select=select)
        await bench.settle()
        if number >= ReciprocalDivider.QUOTIENT_LATENCY:
            assert bench.get("quotient") == quotients.popleft(), pairs[number - ReciprocalDivider.QUOTIENT_LATENCY]
        if number >= ReciprocalDivider.REMAINDER_LATENCY:
            assert bench.get("remainder") == remainders.popleft(), pairs[number - ReciprocalDivider.REMAINDER_LATENCY]
        divisor = divisors[select]
        quotient, remainder = divmod(dividend, divisor) if divisor else (0, dividend & low)
        quotients.append(quotient)
        remainders.append(remainder)
        await bench.step()
    print(f"{os.environ['DIVIDER']}: {len(pairs)} divisions")

"""Requantisation of one lane against ``gatewright.contract.arithmetic`` and against integers worked out by hand."""

from __future__ import annotations

import os
from typing import Any

import cocotb
import numpy as np

from gatewright.contract.arithmetic import SHIFT_MAX, requantise, saturate
from tests.support.rtl import Bench

LATENCY = 4
"""Of the lane: two registers of the product, two of the shift."""
AVERAGE_LATENCY = 3

RESULTS = (-32769, -32768, -513, -512, -256, -129, -128, -1, 0, 1, 127, 128, 255, 511, 512, 32767, 32768)

# (value, multiplier, shift, addend, relu, result)
BY_HAND = [
    (3, 1, 1, 0, 0, 2),  # 1.5, half up
    (-3, 1, 1, 0, 0, -1),  # -1.5, half up
    (-1, 1, 1, 0, 0, 0),  # -0.5
    (5, 1, 2, 0, 0, 1),  # 1.25
    (-5, 1, 2, 0, 0, -1),  # -1.25
    (-7, 1, 2, 0, 0, -2),  # -1.75
    (127, 2, 1, 0, 0, 127),
    (128, 2, 1, 0, 0, 127),
    (128, 2, 1, -1, 0, 127),
    (128, 2, 1, -128, 0, 0),
    (-128, 2, 1, 0, 0, -128),
    (-129, 2, 1, 0, 0, -128),
    (-129, 2, 1, 1, 0, -128),
    (-129, 2, 1, 127, 0, -2),
    (-129, 2, 1, 127, 1, 0),
    (50, 2, 1, -60, 1, 0),
    (50, 2, 1, -60, 0, -10),
    (255, 2, 1, -128, 0, 127),
    (254, 2, 1, -128, 0, 126),
    (512, 2, 1, -128, 0, 127),
    (-511, 2, 1, 127, 0, -128),
    (2**31 - 1, 65535, 1, -128, 0, 127),
    (-(2**31), 65535, 1, 127, 0, -128),
    (-(2**31), 65535, 1, 127, 1, 0),
    (2**31 - 1, 65535, 47, 0, 0, 1),  # just below 1
    (-(2**31), 65535, 47, 0, 0, -1),
    (-(2**31), 32768, 47, 0, 0, 0),  # -0.5
    (2**30, 65536 // 2, 46, 0, 0, 1),  # 0.5
    (2**31 - 1, 0, 20, -7, 0, -7),
]


def reference(value: int, multiplier: int, shift: int, addend: int, relu: int) -> int:
    scaled = requantise(np.array([value], np.int64), multiplier, shift)
    return int(saturate(scaled + addend, bool(relu))[0])


def boundaries() -> list[tuple[int, int, int, int, int]]:
    """Values around each result that saturation or the residual turns over, for every shift."""
    cases = []
    for shift in range(1, SHIFT_MAX + 1):
        for multiplier in (1, 3, 32768, 65535):
            for result in (
                -32769,
                -32768,
                -513,
                -512,
                -256,
                -129,
                -128,
                -1,
                0,
                1,
                127,
                128,
                255,
                511,
                512,
                32767,
                32768,
            ):
                for half in (-1, 0, 1):
                    value = ((2 * result + half) << (shift - 1)) // multiplier
                    for near in (value, value + 1):
                        if -(2**31) <= near < 2**31:
                            cases.append((near, multiplier, shift, (-128, 0, 127)[near % 3], near & 1))
    return cases


def random_cases(seed: int, count: int) -> list[tuple[int, int, int, int, int]]:
    rng = np.random.default_rng(seed)
    values = rng.integers(-(2**31), 2**31, count) >> rng.integers(0, 31, count)
    shifts, multipliers = rng.integers(1, SHIFT_MAX + 1, count), rng.integers(0, 1 << 16, count)
    addends, relus = rng.integers(-128, 128, count), rng.integers(0, 2, count)
    return [tuple(int(x) for x in row) for row in zip(values, multipliers, shifts, addends, relus, strict=True)]


async def lane(dut: Any, cases: list[tuple[int, ...]], expected: list[int]) -> None:
    """A case a cycle; the addend and relu are driven in the cycle of the result."""
    bench = Bench(dut)
    await bench.reset()
    for cycle in range(len(cases) + LATENCY):
        if cycle < len(cases):
            value, multiplier, shift, _, _ = cases[cycle]
            bench.set(value=value & ((1 << 33) - 1), multiplier=multiplier, step=shift - 1)
        if cycle >= LATENCY:
            _, _, _, addend, relu = cases[cycle - LATENCY]
            bench.set(addend=addend & 0xFF, relu=relu)
        await bench.settle()
        if cycle >= LATENCY:
            result = (bench.get("result") ^ 128) - 128
            assert result == expected[cycle - LATENCY], (cases[cycle - LATENCY], result, expected[cycle - LATENCY])
        await bench.step()


@cocotb.test()
async def by_hand(dut: Any) -> None:
    await lane(dut, [case[:5] for case in BY_HAND], [case[5] for case in BY_HAND])


@cocotb.test()
async def at_boundaries(dut: Any) -> None:
    cases = boundaries()
    await lane(dut, cases, [reference(*case) for case in cases])


@cocotb.test()
async def at_random(dut: Any) -> None:
    cases = random_cases(int(os.environ["SEED"]), 20_000)
    await lane(dut, cases, [reference(*case) for case in cases])


@cocotb.test()
async def averages(dut: Any) -> None:
    """Sums of tiles, whose parameter stands still."""
    rng = np.random.default_rng(int(os.environ["SEED"]))
    bench = Bench(dut)
    await bench.reset()
    for shift in range(1, SHIFT_MAX + 1):
        multiplier = int(rng.integers(0, 1 << 16)) >> int(rng.integers(0, 10))
        limit = 31 * 31 * 128
        sums = [int(s) for s in rng.integers(-limit, limit + 1, 20) >> rng.integers(0, 17, 20)]
        for edge in (-128, -1, 0, 1, 127):
            at = ((2 * edge + 1) << (shift - 1)) // max(multiplier, 1)
            sums += [s for s in (at - 1, at, at + 1) if abs(s) <= limit]
        bench.set(average_multiplier=multiplier, average_step=shift - 1)
        await bench.step(2)
        for cycle in range(len(sums) + AVERAGE_LATENCY):
            if cycle < len(sums):
                bench.set(tile_sum=sums[cycle] & ((1 << 18) - 1))
            await bench.settle()
            if cycle >= AVERAGE_LATENCY:
                tile_sum = sums[cycle - AVERAGE_LATENCY]
                result = (bench.get("average") ^ 128) - 128
                assert result == reference(tile_sum, multiplier, shift, 0, 0), (tile_sum, multiplier, shift, result)
            await bench.step()

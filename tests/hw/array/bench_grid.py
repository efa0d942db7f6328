"""cocotb: the grid against its twin, with random loads, swaps and streams."""

from __future__ import annotations

import os
from random import Random
from typing import Any

import cocotb
import numpy as np

from gatewright.sim.stepped.array.grid import Grid
from gatewright.sim.stepped.array.operand_fetch import Fetched
from tests.hw.array.array_cases import lanes_of, machine
from tests.support.rtl import Bench

CYCLES = 2400


@cocotb.test()
async def is_its_twin(dut: Any) -> None:
    """Everything in every cycle: the deskewed sums are equal, whatever was loaded and swapped when.

    Sums of nothing but the ends of the range, and of values around 0, where a pair's low field borrows from the high.
    """
    arch, seed = machine(os.environ["MACHINE"]), int(os.environ["SEED"])
    rng = np.random.default_rng(seed)
    choice = Random(seed)
    twin = Grid(arch.rows, arch.columns, arch.load_vectors)
    bench = Bench(dut)
    bench.set(stream=0, swap=0, bus=0, first=0, count=0)
    await bench.reset()
    seen = {"swaps": 0, "loads": 0, "swaps with loads": 0, "largest": 0, "smallest": 0, "minus one": 0, "not zero": 0}
    entering: Fetched | None = None
    corners = [np.array([-128, 127], np.int8), np.array([-1, 0, 1], np.int8), np.array([-128, -1, 0, 127], np.int8)]
    only: Any = None
    for cycle in range(CYCLES):
        # Now and then only some values, often one of them everywhere.
        if cycle % 200 == 0:
            only = corners[cycle // 400 % len(corners)] if cycle % 400 else None

        def vectors(*shape: int, only: Any = only) -> Any:
            if only is None:
                return rng.integers(-128, 128, shape, np.int8)
            return np.full(shape, choice.choice(only), np.int8) if choice.random() < 0.5 else rng.choice(only, shape)

        stream = vectors(arch.rows)
        entering = Fetched(stream=stream, swap=choice.random() < 0.1)
        bench.set(stream=int.from_bytes(stream.tobytes(), "little"), swap=int(entering.swap))
        if choice.random() < 0.6:
            first = choice.randrange(arch.columns)
            count = choice.randint(1, min(arch.load_vectors, arch.columns - first))
            bus = vectors(arch.rows, arch.load_vectors)
            entering.bus, entering.first, entering.count = bus, first, count
            # A lane holds ``rows`` bytes of one vector.
            bench.set(bus=int.from_bytes(bus.T.tobytes(), "little"), first=first, count=count)
        else:
            bench.set(bus=0, first=choice.randrange(arch.columns), count=0)
        await bench.settle()
        sums = twin.step(entering)
        got = bench.get("sums")
        # The twin's input register takes at the end of the cycle what is at the RTL's inputs in it.
        assert sums is not None and got == lanes_of(sums), f"seed {seed}, cycle {cycle}"
        seen["swaps"] += entering.swap
        seen["loads"] += entering.bus is not None
        seen["swaps with loads"] += entering.swap and entering.bus is not None
        seen["not zero"] += got != 0
        seen["largest"] += bool((sums == arch.rows * 128 * 128).any())
        seen["smallest"] += bool((sums == arch.rows * -128 * 127).any())
        seen["minus one"] += bool((sums == -1).any())
        await bench.step()
    print(f"machine {arch.name}, seed {seed}: {seen}")
    assert all(seen.values()), seen

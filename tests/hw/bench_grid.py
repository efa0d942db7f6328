"""cocotb: the grid against its twin, with random loads, swaps and streams."""

from __future__ import annotations

import os
from random import Random
from typing import Any

import cocotb
import numpy as np

from gatewright.sim.stepped.grid import Grid
from gatewright.sim.stepped.operand_fetch import Fetched
from tests.hw.array_cases import lanes_of, machine
from tests.support.rtl import Bench

CYCLES = 2000


@cocotb.test()
async def is_its_twin(dut: Any) -> None:
    """Everything in every cycle: the deskewed sums are equal, whatever was loaded and swapped when."""
    arch, seed = machine(os.environ["MACHINE"]), int(os.environ["SEED"])
    rng = np.random.default_rng(seed)
    choice = Random(seed)
    twin = Grid(arch.rows, arch.columns, arch.load_vectors)
    bench = Bench(dut)
    bench.set(stream=0, swap=0, bus=0, first=0, count=0)
    await bench.reset()
    seen = {"swaps": 0, "loads": 0, "largest": 0, "not zero": 0}
    entering: Fetched | None = None
    ends = np.array([-128, 127], np.int8)
    extreme = False
    for cycle in range(CYCLES):
        # Now and then only the ends of the range, which make the largest sums.
        extreme = choice.random() < 0.5 if cycle % 200 == 0 else extreme

        def vectors(*shape: int, only_ends: bool = extreme) -> Any:
            whole = choice.choice(ends) if only_ends and choice.random() < 0.5 else None
            data = rng.choice(ends, shape) if only_ends else rng.integers(-128, 128, shape, np.int8)
            return np.full(shape, whole, np.int8) if whole is not None else data

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
        seen["not zero"] += got != 0
        seen["largest"] += bool((sums == arch.rows * 128 * 128).any())
        await bench.step()
    print(f"machine {arch.name}, seed {seed}: {seen}")
    assert all(seen.values()), seen

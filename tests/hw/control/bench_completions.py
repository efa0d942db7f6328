"""cocotb: the completion counts against their twin."""

from __future__ import annotations

import os
import random
from typing import Any

import cocotb

from gatewright.contract.isa import COUNT_BITS, QUEUED_UNITS, Unit
from gatewright.hw.layouts import COUNTS
from tests.support.rtl import Bench, pack


@cocotb.test()
async def counts(dut: Any) -> None:
    """Past 2**16 instructions of a unit; never more complete than given."""
    rng = random.Random(int(os.environ["SEED"]))
    bench = Bench(dut)
    await bench.reset()
    # STORE has one instruction after the other for nearly 2**16 cycles, and then every unit some.
    many = (1 << COUNT_BITS) - 500
    bench.set(give=1 << Unit.STORE, retire=0, clear=0, left_out=0)
    await bench.step()
    bench.set(retire=1 << Unit.STORE)
    await bench.step(many)
    done, given, idle = [0] * len(Unit), [0] * len(Unit), 0
    done[Unit.STORE], given[Unit.STORE] = many, many + 1
    modulus = 1 << COUNT_BITS
    quiet = 0
    cleared, passed = 0, False
    for cycle in range(3600):
        # With pauses long enough for everything to be complete.
        give = [u for u in QUEUED_UNITS if cycle % 200 < 150 and rng.random() < 0.3]
        quiet = 0 if give else quiet + 1
        retire = [u for u in QUEUED_UNITS if done[u] < given[u] and rng.random() < 0.7]
        # A unit that has nothing under way may have an instruction left out, and be given the next one meanwhile.
        idle_units = [u for u in QUEUED_UNITS if done[u] == given[u]]
        left_out = [u for u in idle_units if rng.random() < 0.1]
        bench.set(give=sum(1 << u for u in give), retire=sum(1 << u for u in retire))
        bench.set(left_out=sum(1 << u for u in left_out))
        await bench.settle()
        if quiet > 2:
            assert bench.get("view__idle") == int(done == given), cycle
            assert bench.get("load_idle") == int(done[Unit.LOAD] == given[Unit.LOAD]), cycle
            others = all(done[unit] == given[unit] for unit in QUEUED_UNITS if unit != Unit.LOAD)
            assert bench.get("others_idle") == int(others), cycle
        assert bench.get("view__retires") == sum(1 << u for u in retire), cycle
        assert bench.get("view__counts") == pack(COUNTS, [n % modulus for n in done]), cycle
        assert bench.get("given") == pack(COUNTS, [n % modulus for n in given]), cycle
        idle += quiet > 2 and done == given
        for unit in [*give, *left_out]:
            given[unit] += 1
        for unit in [*retire, *left_out]:
            done[unit] += 1
        # Between two images, when nothing is under way, all counts begin again.
        clear = cycle > 2500 and quiet > 2 and done == given and rng.random() < 0.1
        bench.set(clear=int(clear))
        if clear:
            passed = passed or done[Unit.STORE] > modulus
            done, given, cleared = [0] * len(Unit), [0] * len(Unit), cleared + 1
        await bench.step()
        bench.set(clear=0)
    assert passed and idle > 0 and cleared > 1

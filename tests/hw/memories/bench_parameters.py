"""The parameters against an array of entries: beats at even and odd entries, reads in every cycle."""

from __future__ import annotations

import os
from typing import Any

import cocotb
import numpy as np

from gatewright.hw.signatures import PARAMETER, PARAMETER_READ
from tests.support.rtl import Bench, unpack


@cocotb.test()
async def same_as_entries(dut: Any) -> None:
    entries = int(os.environ["ENTRIES"])
    rng = np.random.default_rng(int(os.environ["SEED"]))
    held = [bytes(8)] * entries
    bench = Bench(dut)
    await bench.reset()
    due: list[bytes | None] = [None] * PARAMETER_READ
    parities = set()
    for cycle in range(6 * entries):
        writes = cycle < entries - 1 or rng.random() < 0.3
        first = cycle if cycle < entries - 1 else int(rng.integers(entries - 1))
        beat = rng.bytes(16)
        bench.set(write__valid=int(writes), write__entry=first, write__data=int.from_bytes(beat, "little"))
        at = int(rng.integers(entries))
        bench.set(read__entry=at)
        await bench.settle()
        for port, expected in (("read__parameter", due[0]), ("read__early", due[1])):
            if expected is not None:
                parameter = bench.get(port)
                assert unpack(PARAMETER, parameter, "bias") == int.from_bytes(expected[0:4], "little")
                assert unpack(PARAMETER, parameter, "multiplier") == int.from_bytes(expected[4:6], "little")
                assert unpack(PARAMETER, parameter, "shift") == expected[6]
        due.pop(0)
        # An entry that is written in the cycle of its read may be either.
        due.append(None if writes and at in (first, first + 1) else held[at])
        if writes:
            held[first : first + 2] = [beat[:8], beat[8:]]
            parities.add(first % 2)
        await bench.step()
    assert parities == {0, 1}

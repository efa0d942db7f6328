"""The RTL's weight buffer against arrays: random bytes in, words out, every cycle."""

from __future__ import annotations

import json
import os
from collections import deque
from typing import Any

import cocotb
import numpy as np

from gatewright.contract.arch import OPERAND_BANKS, ArchConfig
from gatewright.hw.signatures import OPERAND_READ, weight_read, weight_write
from tests.support.rtl import Bench, pack

PLACES = 6
"""Addresses at each end of a lane that are used, so that reads meet writes."""


@cocotb.test()
async def words_are_what_was_written(dut: Any) -> None:
    arch = ArchConfig.from_dict(json.loads(os.environ["ARCH"]))
    depth = arch.weight_words // OPERAND_BANKS
    ends = [*range(PLACES), *range(depth - PLACES, depth)]
    write = weight_write(arch).members["banks"].shape
    read = weight_read(arch).members["addresses"].shape
    bench = Bench(dut)
    for seed in map(int, os.environ["SEEDS"].split(",")):
        print(f"seed {seed}, {arch.name}")
        rng = np.random.default_rng(seed)
        await bench.reset()
        # Everything that is read later has a known value first.
        memory = rng.integers(0, 256, (OPERAND_BANKS, depth, arch.rows))
        initial = [(at, np.ones((OPERAND_BANKS, arch.rows), bool)) for at in ends]
        expected: deque[list[list[int]] | None] = deque([None] * OPERAND_READ)
        for cycle in range(len(ends) + 200):
            if cycle < len(initial):
                at, enable = initial[cycle]
                addresses = np.full((OPERAND_BANKS, arch.rows), at)
                values = memory[:, at].copy()
            else:
                enable = rng.integers(0, 2, (OPERAND_BANKS, arch.rows)).astype(bool)
                addresses = rng.choice(ends, (OPERAND_BANKS, arch.rows))
                values = rng.integers(0, 256, (OPERAND_BANKS, arch.rows))
            asked = rng.choice(ends, OPERAND_BANKS)
            banks = [
                [
                    {"enable": int(enable[b, k]), "address": int(addresses[b, k]), "data": int(values[b, k])}
                    for k in range(arch.rows)
                ]
                for b in range(OPERAND_BANKS)
            ]
            bench.set(write__banks=pack(write, banks), read__addresses=pack(read, asked.tolist()))
            await bench.settle()
            wanted = expected.popleft()
            if wanted is not None:
                found = bench.get("read__words").to_bytes(OPERAND_BANKS * arch.rows, "little")
                assert found == bytes(byte for word in wanted for byte in word), f"cycle {cycle}"
            known = cycle >= len(initial)
            expected.append([memory[b, asked[b]].tolist() for b in range(OPERAND_BANKS)] if known else None)
            for b, k in zip(*np.nonzero(enable), strict=True):
                memory[b, addresses[b, k], k] = values[b, k]
            await bench.step()

"""The accumulator banks against arrays: both readers, writes, and a bank that two units use."""

from __future__ import annotations

import os
from typing import Any

import cocotb
import numpy as np

from gatewright.contract.arch import ACCUMULATOR_BANKS, PRESETS
from gatewright.hw.signatures import ACCUMULATOR_READ
from tests.support.rtl import Bench


@cocotb.test()
async def same_as_arrays(dut: Any) -> None:
    arch = PRESETS[os.environ["PRESET"]]
    rng = np.random.default_rng(int(os.environ["SEED"]))
    depth, width = arch.accumulator_depth, 32 * arch.columns
    banks = [[0] * depth for _ in range(ACCUMULATOR_BANKS)]
    bench = Bench(dut)
    await bench.reset()

    def word() -> int:
        return int.from_bytes(rng.bytes(width // 8), "little")

    for bank in range(ACCUMULATOR_BANKS):
        for entry in range(depth):
            banks[bank][entry] = value = word()
            bench.set(array_write__valid=1, array_write__bank=bank, array_write__entry=entry, array_write__lanes=value)
            await bench.step()
    bench.set(array_write__valid=0)
    await bench.step(2)
    due: dict[str, list[int | None]] = {name: [None] * ACCUMULATOR_READ for name in ("array", "epilogue")}
    collided, collisions = False, 0
    for _ in range(3000):
        use = {name: int(rng.random() < 0.7) for name in ("array_read", "array_write", "epilogue_read")}
        bank = {name: int(rng.integers(ACCUMULATOR_BANKS)) for name in use}
        entry = {name: int(rng.integers(min(depth, 40))) for name in use}
        value = word()
        for name in use:
            ports = {f"{name}__valid": use[name], f"{name}__bank": bank[name], f"{name}__entry": entry[name]}
            bench.set(**ports)
        bench.set(array_write__lanes=value)
        await bench.settle()
        assert bench.get("conflict") == collided
        for name, queue in due.items():
            expected = queue.pop(0)
            if expected is not None:
                assert bench.get(f"{name}_read__lanes") == expected, name
        # ARRAY's request has the read port; EPILOGUE's data are right where the bank is its own.
        epilogue_bank = bank["epilogue_read"]
        reads_same = bool(use["array_read"]) and bank["array_read"] == epilogue_bank
        writes_same = bool(use["array_write"]) and bank["array_write"] == epilogue_bank
        collided = bool(use["epilogue_read"]) and (reads_same or writes_same)
        collisions += collided
        array_read = banks[bank["array_read"]][entry["array_read"]]
        clash = use["array_write"] and (bank["array_write"], entry["array_write"]) == (
            bank["array_read"],
            entry["array_read"],
        )
        due["array"].append(array_read if use["array_read"] and not clash else None)
        quiet = use["epilogue_read"] and not collided
        due["epilogue"].append(banks[epilogue_bank][entry["epilogue_read"]] if quiet else None)
        if use["array_write"]:
            banks[bank["array_write"]][entry["array_write"]] = value
        await bench.step()
    assert collisions > 100

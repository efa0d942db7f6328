"""Random requests to both ports of the scratchpad, against an array of bytes."""

from __future__ import annotations

import json
import os
from collections import deque
from itertools import combinations
from typing import Any

import cocotb
import numpy as np

from gatewright.contract.arch import PORT_BYTES
from gatewright.hw.signatures import SCRATCHPAD_ADDRESS_BITS, SCRATCHPAD_READ
from tests.support.rtl import Bench

SEED, CYCLES = int(os.environ["SEED"]), int(os.environ["CYCLES"])
BYTES = 1024 * int(os.environ["KIB"])
WRAP = 1 << (BYTES - 1).bit_length()

READERS: dict[str, int] = json.loads(os.environ["READERS"])
WRITERS: dict[str, int] = json.loads(os.environ["WRITERS"])
"""Bytes of a request."""
PORT_B = [*WRITERS, *(name for name in READERS if name != "gather")]


class Model:
    """The bytes, which of them are known, and the reads on their way.

    A write that is asked for in cycle t is seen by reads that are asked for from t + 1 on.
    """

    def __init__(self) -> None:
        self.bytes = np.zeros(WRAP, np.uint8)
        self.known = np.zeros(WRAP, np.bool_)
        self.reads: deque[list[tuple[str, int, np.ndarray, np.ndarray]]] = deque([[]] * SCRATCHPAD_READ)

    def read(self, names: list[tuple[str, int]]) -> None:
        places = [(name, at, (at + np.arange(READERS[name])) % WRAP) for name, at in names]
        self.reads.append([(name, at, self.bytes[p], self.known[p] & (p < BYTES)) for name, at, p in places])

    def write(self, address: int, data: np.ndarray) -> None:
        places = (address + np.arange(len(data))) % WRAP
        self.bytes[places], self.known[places] = data, True


def _quiet(bench: Bench) -> None:
    bench.set(**{f"{name}__valid": 0 for name in [*READERS, *WRITERS]})


def _address(rng: np.random.Generator, near: int) -> int:
    """Often close to the last one, often at the ends; the address space is larger than the memory, and wraps."""
    kind = rng.integers(0, 4)
    if kind == 0:
        return (near + int(rng.integers(-PORT_BYTES, PORT_BYTES + 1))) % WRAP
    if kind == 1:
        at = int(rng.integers(-PORT_BYTES, PORT_BYTES)) % WRAP
    else:
        at = int(rng.integers(0, BYTES))
    return at + WRAP * int(rng.integers(0, (1 << SCRATCHPAD_ADDRESS_BITS) // WRAP))


@cocotb.test()
async def random_requests(dut: Any) -> None:
    rng = np.random.default_rng(SEED)
    bench, model = Bench(dut), Model()
    bench.set(**{f"{name}__address": 0 for name in [*READERS, *WRITERS]})
    bench.set(**{f"{name}__{key}": 0 for name in WRITERS for key in ("count", "data")})
    _quiet(bench)
    await bench.reset()
    near, compared = 0, 0
    for cycle in range(CYCLES):
        _quiet(bench)
        user = PORT_B[int(rng.integers(0, len(PORT_B)))] if rng.random() < 0.9 else None
        reads = []
        write = None
        if rng.random() < 0.8:
            reads.append(("gather", _address(rng, near)))
        if user in WRITERS:
            near = _address(rng, near)
            data = rng.integers(0, 256, WRITERS[user], np.uint8)
            count = int(rng.integers(0, WRITERS[user] + 1))
            bench.set(**{f"{user}__count": count, f"{user}__data": int.from_bytes(data.tobytes(), "little")})
            bench.set(**{f"{user}__valid": 1, f"{user}__address": near})
            write = (near, data[:count])
        elif user is not None:
            reads.append((user, _address(rng, near)))
        for name, address in reads:
            bench.set(**{f"{name}__valid": 1, f"{name}__address": address})
        model.read(reads)
        if write is not None:
            model.write(*write)
        await bench.settle()
        assert bench.get("conflict") == 0
        for name, address, data, known in model.reads.popleft():
            raw = bench.get(f"{name}__data").to_bytes(READERS[name], "little")
            found = np.frombuffer(raw, np.uint8)
            same = (found == data) | ~known
            assert same.all(), f"seed {SEED}, cycle {cycle}: {name} at {address}: {found} instead of {data}, {known}"
            compared += int(known.sum())
        await bench.step()
    assert compared > CYCLES, f"only {compared} bytes were compared"


@cocotb.test()
async def two_requests_at_once_are_a_conflict(dut: Any) -> None:
    bench = Bench(dut)
    _quiet(bench)
    await bench.reset()
    bench.set(gather__valid=1)
    for count in range(len(PORT_B) + 1):
        for users in combinations(PORT_B, count):
            bench.set(**{f"{name}__valid": int(name in users) for name in PORT_B})
            await bench.settle()
            assert bench.get("conflict") == (count > 1), users
            await bench.step()

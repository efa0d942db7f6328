"""Random writes with byte enables and random reads, bank by bank, against an array of bytes."""

from __future__ import annotations

import os
from collections import deque
from dataclasses import replace
from typing import Any

import cocotb
import numpy as np

from gatewright.contract.arch import OPERAND_BANKS, load_arch
from gatewright.hw.signatures import OPERAND_READ, patch_read, patch_write
from tests.support.rtl import Bench, pack, unpack

ARCH = replace(load_arch(os.environ["ARCH"]), patch_kib=int(os.environ["KIB"]))
SEED, CYCLES = int(os.environ["SEED"]), int(os.environ["CYCLES"])
DEPTH = ARCH.patch_words // OPERAND_BANKS
BANKS = patch_write(ARCH).members["banks"].shape
ADDRESSES = patch_read(ARCH).members["addresses"].shape
WORDS = patch_read(ARCH).members["words"].shape


@cocotb.test()
async def random_writes_and_reads(dut: Any) -> None:
    rng = np.random.default_rng(SEED)
    bench = Bench(dut)
    bench.set(write__banks=0, read__addresses=0)
    await bench.reset()
    held = np.zeros((OPERAND_BANKS, DEPTH, ARCH.rows), np.uint8)
    known = np.zeros(held.shape, np.bool_)
    # A few addresses at both ends, so that a word is written in parts, and read while it is written.
    places = np.concatenate([np.arange(6), DEPTH - 1 - np.arange(6)])
    expected: deque[Any] = deque([None] * OPERAND_READ)
    compared = 0
    for cycle in range(CYCLES):
        write = [(int(a), rng.random(ARCH.rows) < 0.4) for a in rng.choice(places, OPERAND_BANKS)]
        data = rng.integers(0, 256, (OPERAND_BANKS, ARCH.rows), np.uint8)
        read = rng.choice(places, OPERAND_BANKS)
        entries = [
            {
                "address": address,
                "enable": int(enable @ (1 << np.arange(ARCH.rows))),
                "data": int.from_bytes(data[bank].tobytes(), "little"),
            }
            for bank, (address, enable) in enumerate(write)
        ]
        bench.set(write__banks=pack(BANKS, entries), read__addresses=pack(ADDRESSES, read.tolist()))
        expected.append([(held[bank, at].copy(), known[bank, at].copy()) for bank, at in enumerate(read)])
        for bank, (address, enable) in enumerate(write):
            held[bank, address, enable] = data[bank, enable]
            known[bank, address] |= enable
        await bench.settle()
        words = bench.get("read__words")
        for bank, (word, sure) in enumerate(expected.popleft() or []):
            found = np.frombuffer(unpack(WORDS, words, bank).to_bytes(ARCH.rows, "little"), np.uint8)
            assert ((found == word) | ~sure).all(), f"seed {SEED}, cycle {cycle}, bank {bank}: {found}, not {word}"
            compared += int(sure.sum())
        await bench.step()
    assert compared > CYCLES

"""The patch buffer's RTL: byte enables, and a word two cycles after its address."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gatewright.contract.arch import load_arch
from gatewright.hw.memories.patch_buffer import PatchBuffer
from tests.support.rtl import run_bench


@pytest.mark.parametrize(("name", "kib", "seed"), [("4x4", 1, 1), ("12x20", 3, 2), ("ultra96", 2, 3)])
def test_random_writes_and_reads(name: str, kib: int, seed: int) -> None:
    print(f"{name}, {kib} KiB, seed {seed}")
    env = {"ARCH": name, "KIB": str(kib), "SEED": str(seed), "CYCLES": "2000"}
    run_bench(PatchBuffer(replace(load_arch(name), patch_kib=kib)), "tests.hw.memories.bench_patch_buffer", env=env)

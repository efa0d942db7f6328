"""The scratchpad's RTL: any bytes, any address, both ports."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gatewright.contract.arch import load_arch
from gatewright.hw.memories.scratchpad import Scratchpad
from tests.support.rtl import run_bench


@pytest.mark.parametrize(("kib", "seed"), [(4, 1), (6, 2), (32, 3)])
def test_random_requests(kib: int, seed: int) -> None:
    print(f"{kib} KiB, seed {seed}")
    arch = replace(load_arch("ultra96"), scratchpad_kib=kib)
    env = {"KIB": str(kib), "SEED": str(seed), "CYCLES": "4000"}
    run_bench(Scratchpad(arch), "tests.hw.memories.bench_scratchpad", env=env)

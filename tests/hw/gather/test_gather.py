"""GATHER's RTL writes the twin's bytes in the twin's cycles."""

from __future__ import annotations

import pytest

from gatewright.contract.arch import load_arch
from gatewright.hw.gather.unit import GatherUnit
from tests.support.rtl import run_bench


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("name", ["4x4", "8x8", "12x20", "ultra96"])
def test_random_instructions(name: str, seed: int) -> None:
    print(f"{name} seed {seed}")
    env = {"ARCH": name, "SEED": str(seed), "INSTRUCTIONS": "120"}
    run_bench(GatherUnit(load_arch(name)), "tests.hw.gather.bench_gather", env=env)

"""Masks: unaligned writes, three readers, zero after reset."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gatewright.hw.memories.masks import Masks
from tests.hw.instructions import ARCH
from tests.support.rtl import run_bench


@pytest.mark.parametrize(("columns", "seed"), [(4, 1), (20, 2), (32, 3)])
def test_bits(columns: int, seed: int) -> None:
    print(f"seed {seed}")
    env = {"SEED": str(seed), "COLUMNS": str(columns)}
    run_bench(Masks(replace(ARCH, columns=columns)), "tests.hw.memories.bench_masks", env=env)

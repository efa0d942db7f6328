"""ARRAY: the cycles and the bytes of its twin."""

from __future__ import annotations

import pytest

from gatewright.hw.array.unit import ArrayUnit
from tests.hw.array.array_cases import machine
from tests.support.rtl import run_bench

MACHINES = ("4x4x1", "4x4x2", "4x4x4", "8x8x1", "8x8x2", "8x8x4", "5x6x4", "12x20x4")
"""Rows, columns, load_vectors; lanes rotate modulo a number that is no power of two in the last two."""


@pytest.mark.parametrize("name", MACHINES)
def test_array_is_its_twin(name: str) -> None:
    # Seed 12 on 4x4x4 has MATMULs taken right behind the last load of one with other sizes.
    for seed in ("1", "2", "12"):
        print(f"machine {name}, seed {seed}")
        run_bench(ArrayUnit(machine(name)), "tests.hw.array.bench_array", env={"MACHINE": name, "SEED": seed})

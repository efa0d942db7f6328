"""The grid of processing elements is its twin."""

from __future__ import annotations

import pytest

from gatewright.hw.grid import Grid
from tests.hw.array_cases import machine
from tests.support.rtl import run_bench


@pytest.mark.parametrize("name", ["4x4x1", "4x4x4", "5x6x4", "8x8x2", "12x20x4"])
def test_grid_is_its_twin(name: str) -> None:
    """Sizes that are and are not multiples of the vectors on the bus."""
    print(f"machine {name}, seed 1")
    arch = machine(name)
    grid = Grid(arch.rows, arch.columns, arch.load_vectors)
    run_bench(grid, "tests.hw.bench_grid", env={"MACHINE": name, "SEED": "1"})

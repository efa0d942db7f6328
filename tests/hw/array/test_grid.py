"""The grid of processing elements is its twin."""

from __future__ import annotations

import pytest

from gatewright.contract.errors import GatewrightError
from gatewright.hw.array.grid import Grid, column_strips, packed_pairs
from tests.hw.array.array_cases import machine
from tests.support.rtl import run_bench


@pytest.mark.parametrize(
    ("name", "pairs"),
    [
        ("4x4x1", 0),
        ("4x4x4", 0),
        ("5x6x4", 0),
        ("8x8x2", 0),
        ("4x4x1", 1),
        ("4x4x4", 2),
        ("5x7x2", 3),
        ("8x8x2", 2),
        ("15x4x4", 1),
        ("16x16x4", 4),
        ("12x20x4", 4),
    ],
)
def test_grid_is_its_twin(name: str, pairs: int) -> None:
    """Sizes that are and are not multiples of the vectors on the bus; packed columns in one, two and three chains."""
    print(f"machine {name}, {pairs} pairs, seed 1")
    arch = machine(name)
    grid = Grid(arch.rows, arch.columns, arch.load_vectors, pairs)
    run_bench(grid, "tests.hw.array.bench_grid", env={"MACHINE": name, "SEED": "1"})


GOAL = 192


def test_pairs_of_a_grid() -> None:
    """Just enough pairs to keep to the goal: none where it is met anyway, half of the columns at most."""
    expected = {(4, 4): 0, (8, 8): 0, (16, 12): 0, (16, 13): 1, (16, 16): 4, (12, 20): 4, (16, 32): 16}
    for (rows, columns), pairs in expected.items():
        assert packed_pairs(rows, columns, GOAL) == pairs, (rows, columns)
    for rows in range(4, 17):
        for columns in range(4, 33):
            pairs = packed_pairs(rows, columns, GOAL)
            fits = rows * (columns - pairs) <= GOAL
            assert fits or pairs == columns // 2, (rows, columns)
            assert pairs == 0 or rows * (columns - (pairs - 1)) > GOAL, (rows, columns)


@pytest.mark.parametrize("pairs", [-1, 3])
def test_pairs_that_do_not_fit(pairs: int) -> None:
    """More pairs than columns for them, or fewer than none: an error that names the range."""
    with pytest.raises(GatewrightError, match=f"5 x 5: {pairs} pairs .* give 0 to 2"):
        column_strips(5, 5, pairs)

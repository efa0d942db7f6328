"""The systolic grid by itself: products, the diagonal, swaps against loads."""

from __future__ import annotations

import numpy as np
import pytest

from gatewright.sim.stepped.array.grid import Grid
from gatewright.sim.stepped.array.operand_fetch import Fetched


def load_steps(values: np.ndarray, lanes: int) -> list[Fetched]:  # type: ignore[type-arg]
    """What enters to load ``values`` [rows, columns], ``lanes`` columns a cycle."""
    rows, columns = values.shape
    steps = []
    for first in range(0, columns, lanes):
        bus = np.zeros((rows, lanes), np.int8)
        count = min(lanes, columns - first)
        bus[:, :count] = values[:, first : first + count]
        steps.append(Fetched(bus=bus, first=first, count=count))
    return steps


@pytest.mark.parametrize(("rows", "columns", "lanes"), [(1, 1, 1), (2, 2, 4), (4, 4, 2), (3, 7, 4), (12, 20, 4)])
def test_streams_with_loads_behind_them_are_matrix_products(rows: int, columns: int, lanes: int) -> None:
    """Tiles back to back, each swapped in by its first vector while the next one loads."""
    print(f"seed {rows * 100 + columns}")
    rng = np.random.default_rng(rows * 100 + columns)
    grid = Grid(rows, columns, lanes)
    length = -(-columns // lanes) + 2
    tiles = [rng.integers(-128, 128, (rows, columns), dtype=np.int8) for _ in range(4)]
    streams = [rng.integers(-128, 128, (length, rows), dtype=np.int8) for _ in tiles]
    entering: list[Fetched | None] = list(load_steps(tiles[0], lanes))
    first = len(entering)
    for number, stream in enumerate(streams):
        loads = load_steps(tiles[number + 1], lanes) if number + 1 < len(tiles) else []
        for position, vector in enumerate(stream):
            step = loads[position] if position < len(loads) else Fetched()
            step.stream, step.swap = vector, position == 0
            entering.append(step)
    outputs = [grid.step(step) for step in entering + [None] * (rows + columns + 5)]
    expected = np.concatenate([s.astype(np.int64) @ t for s, t in zip(streams, tiles, strict=True)])
    # The input register, the diagonal (rows - 1 + columns - 1), the product's and the sum's registers.
    latency = rows + columns + 1
    for number, sums in enumerate(expected):
        np.testing.assert_array_equal(outputs[first + number + latency], sums)


def test_an_element_acts_at_the_local_time_plus_its_row_and_column() -> None:
    """A value, a load and a swap that enter together reach PE(r, c) r + c cycles after PE(0, 0)."""
    rows, columns = 3, 4
    grid = Grid(rows, columns, 1)
    loads = load_steps(np.full((rows, columns), 3, np.int8), 1)
    for step in [*loads, Fetched(stream=np.full(rows, 5, np.int8), swap=True)]:
        grid.step(step)
    for time in range(rows + columns + 1):
        grid.step(None)
        for r in range(rows):
            for c in range(columns):
                assert (grid.active[r, c] == 3) == (time >= r + c), (time, r, c)
                assert (grid.activation[r, c] == 5) == (time == r + c), (time, r, c)
                assert grid.product[r, c] == (15 if time == r + c else 0), (time, r, c)
                assert grid.sum[r, c] == (15 * (r + 1) if time == r + c + 1 else 0), (time, r, c)


def test_a_quiet_grid_holds_its_values_and_does_nothing() -> None:
    grid = Grid(4, 4, 4)
    for step in load_steps(np.full((4, 4), 7, np.int8), 4):
        grid.step(step)
    for _ in range(20):
        last = grid.step(None)
    assert last is None
    assert (grid.shadow == 7).all() and not grid.active.any() and not grid.sum.any()

"""Tiles and bins of grids that do not divide a map, against torch's nearest upsampling and adaptive pooling."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from gatewright.compiler.graph.graph import TensorShape
from gatewright.compiler.graph.grids import bins, tile_edge, tiling_of
from gatewright.compiler.plan.bin_windows import areas, bin_windows


@pytest.mark.parametrize(("cells", "size", "edge"), [(4, 7, 2), (7, 56, 8), (2, 3, 2), (3, 8, 3), (4, 5, None)])
def test_pixels_belong_to_the_tile_that_upsampling_gives_them(cells: int, size: int, edge: int | None) -> None:
    assert tile_edge((cells, cells), size, size) == edge
    numbers = torch.arange(cells * cells).view(1, 1, cells, cells).float()
    enlarged = F.interpolate(numbers, size=(size, size), mode="nearest")[0, 0].numpy()
    if edge is not None:
        rows = np.arange(size) // edge
        np.testing.assert_array_equal(enlarged, rows[:, None] * cells + rows)
        mask = np.arange(cells * cells).reshape(cells, cells) % 3 == 1
        tiling = tiling_of((cells, cells), TensorShape(1, size, size))
        assert tiling.pixels(mask) == int(np.isin(enlarged, np.flatnonzero(mask)).sum())
    else:
        assert len(set(np.unique(enlarged[0], return_counts=True)[1].tolist())) > 1


@pytest.mark.parametrize(
    ("grid", "height", "width"), [((4, 4), 7, 7), ((3, 3), 10, 10), ((2, 5), 5, 9), ((1, 1), 6, 6)]
)
def test_windows_average_the_bins_of_adaptive_pooling(grid: tuple[int, int], height: int, width: int) -> None:
    """As EPILOGUE reads them: a square window, in a map that begins at an offset and has so many rows."""
    values = torch.randint(-128, 128, (1, 1, height, width), generator=torch.Generator().manual_seed(1)).double()
    flat = values.numpy().reshape(-1)
    windows = bin_windows(grid, TensorShape(1, height, width))
    assert windows is not None and len(windows) == grid[0] * grid[1]
    found = []
    for one in windows:
        y, x = divmod(one.place, one.out_width)
        total = 0.0
        for row in range(y * one.step - one.inset, y * one.step - one.inset + one.window):
            for column in range(x * one.step - one.inset, x * one.step - one.inset + one.window):
                if 0 <= row < one.height and 0 <= column < width:
                    total += flat[one.offset + row * width + column]
        assert one.area in areas(grid, TensorShape(1, height, width))
        found.append(total / one.area)
    expected = F.adaptive_avg_pool2d(values, grid).numpy().reshape(-1)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)
    spans = [(span.first, span.end) for span in bins(grid[0], height)]
    assert spans[0][0] == 0 and spans[-1][1] == height


def test_bins_that_are_no_windows() -> None:
    assert bin_windows((5, 5), TensorShape(8, 7, 7)) is None

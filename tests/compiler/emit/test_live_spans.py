"""What a live GATHER reads of a map that moves: every tile that its kernel touches, whatever the gate leaves out."""

from __future__ import annotations

import numpy as np
import pytest

from gatewright.compiler.emit.decided_gate import DecidedGate
from gatewright.compiler.emit.operands import _span
from gatewright.compiler.emit.placed_maps import Kernel, SourceMap

GRID, TILE = 4, 2


@pytest.mark.parametrize("seed", range(8))
def test_neighbours_are_within_the_rows_by_position(seed: int) -> None:
    """Seed 0: only the first tile is off, so that a list's rows do not end where the map's do."""
    rng = np.random.default_rng(seed)
    on = rng.random(GRID * GRID) < 0.8
    if seed == 0:
        on[:] = np.arange(GRID * GRID) > 0
    everywhere = np.array([y << 8 | x for y in range(GRID) for x in range(GRID)], np.uint16)
    gate = DecidedGate(1, 2, everywhere, grid=(GRID, GRID), live=True)
    size = GRID * TILE
    source, tiles = SourceMap(0, size, size, 4, tile_gate=gate, moving=True), gate.tiles(size)
    active = [(int(n) // GRID, int(n) % GRID) for n in np.flatnonzero(on)]
    for first in range(len(active)):
        for count in range(1, len(tiles) - first):
            begin, end = _span(source, tiles, first, count, Kernel(3, 3, 1, 1, 1))
            touched = {
                position
                for y, x in active[first : first + count]
                for position, (v, u) in enumerate(active)
                if max(abs(y - v), abs(x - u)) <= 1
            }
            for position in touched:
                top = position // GRID * TILE  # where the list of all tiles has it
                assert begin <= top and top + TILE <= end, f"seed {seed}: tiles {first} + {count} need {position}"
    assert _span(source, tiles, len(tiles) - 1, 1, Kernel(3, 3, 1, 1, 1)) == (0, size)  # the last stands for all

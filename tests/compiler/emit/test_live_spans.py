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


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("size", [6, 7, 8, 10])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_what_is_written_behind_these_rows_shares_no_word_with_what_is_read(
    size: int, channels: int, seed: int
) -> None:
    """Compact tiles lie one behind the other, whatever the words of 16 bytes; those at an edge are smaller."""
    across = -(-size // TILE)
    on = np.random.default_rng(seed).random(across * across) < 0.8
    everywhere = np.array([y << 8 | x for y in range(across) for x in range(across)], np.uint16)
    gate = DecidedGate(1, 2, everywhere, grid=(across, across), live=True)
    source, tiles = SourceMap(0, size, size, channels, tile_gate=gate, moving=True), gate.tiles(size)
    active = [(int(n) // across, int(n) % across) for n in np.flatnonzero(on)]
    edges = [min(TILE, size - at * TILE) for at in range(across)]
    ends = np.cumsum([edges[y] * edges[x] * channels for y, x in active])
    for first in range(len(active)):
        for count in range(1, len(tiles) - first):
            _, end = _span(source, tiles, first, count, Kernel(3, 3, 1, 1, 1))
            read = [
                position
                for y, x in active[first : first + count]
                for position, (v, u) in enumerate(active)
                if max(abs(y - v), abs(x - u)) <= 1
            ]
            behind = [position for position in range(len(active)) if position // across * TILE >= end]
            if read and behind:
                last_word, next_word = (int(ends[max(read)]) - 1) // 16, int(ends[behind[0] - 1]) // 16
                assert last_word < next_word, f"seed {seed}: tiles {first} + {count} share a word with {behind[0]}"

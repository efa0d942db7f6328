"""How lists are cut of which only the machine knows the length: the cheapest way on average, of all that there are."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from gatewright.compiler.plan.live_chunks import live_chunks, split_live_chunk
from gatewright.compiler.plan.tile_sets import TileSet
from gatewright.contract.arch import PRESETS
from gatewright.contract.isa import Only, Stationary

ARCH = PRESETS["ultra96"]


def compositions(total: int, most: int) -> Iterator[list[int]]:
    """All lists of sizes from 1 to ``most`` that sum up to ``total``."""
    if not total:
        yield []
    for first in range(1, min(total, most) + 1):
        yield from ([first, *rest] for rest in compositions(total - first, most))


def average(sizes: list[int], area: int, slices: int, filters: int) -> int:
    """Cycles over all lengths of a list that is cut so: products, instructions, the first gather, the last epilogue."""
    blocks, there = -(-filters // 16), -(-filters // 2)
    total = 0
    for length in range(sum(sizes) + 1):
        total += 2 * sizes[0] * area
        begin = 0
        for size in sizes:
            pixels = max(0, min(length - begin, size)) * area
            if pixels == 0:
                total += 30 * blocks
            else:
                standing = there // 16 * max(pixels, 16)
                streamed = -(-pixels // 16) * max(4, there % 16) if there % 16 else 0
                total += slices * (standing + streamed) + 10 * blocks
                total += 5 * pixels if length <= begin + size else 0
            begin += size
    return total


@pytest.mark.parametrize(("tiles", "edge", "slices", "filters"), [(9, 2, 36, 64), (10, 2, 18, 32), (12, 4, 9, 16)])
def test_no_other_way_is_cheaper(tiles: int, edge: int, slices: int, filters: int) -> None:
    area = edge**2
    cut = live_chunks(TileSet(edge, 3, np.zeros(tiles, np.int64), bottom=99), slices, filters, ARCH)
    sizes = [count for _, count in cut]
    assert [first for first, _ in cut] == [sum(sizes[:n]) for n in range(len(sizes))] and sum(sizes) == tiles
    most = min(4096 // 3 // slices, 512) // area
    cheapest = min(average(other, area, slices, filters) for other in compositions(tiles, most))
    assert average(sizes, area, slices, filters) == cheapest


def test_a_block_is_there_in_two_ways() -> None:
    parts = split_live_chunk(48, 40, ARCH)
    assert [(whole.first_filter, whole.filters) for whole, _ in parts] == [(0, 16), (16, 16), (32, 8)]
    for whole, fewer in parts:
        assert (whole.stationary, whole.only) == (Stationary.FILTERS, Only.ALL)
        assert (fewer.stationary, fewer.only) == (Stationary.PIXELS, Only.FEWER)
        assert (whole.first_filter, whole.filters, whole.pixels) == (fewer.first_filter, fewer.filters, fewer.pixels)

"""How lists are cut of which only the machine knows the length: the cheapest way on average, of all that there are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from gatewright.compiler.plan.live_chunks import both_ways, live_chunks, split_live_chunk
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
    """Cycles over all lengths of a list that is cut so, and all counts of filters: products, the instructions of empty
    chunks, the last epilogue."""
    total = 0
    for there in range(1, filters + 1):
        for length in range(sum(sizes) + 1):
            begin = 0
            for size in sizes:
                pixels = max(0, min(length - begin, size)) * area
                if pixels == 0:
                    total += 30 * -(-filters // 16)
                else:
                    standing = there // 16 * max(pixels, 16)
                    streamed = -(-pixels // 16) * max(4, there % 16) if there % 16 else 0
                    total += slices * (standing + streamed)
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
    parts = split_live_chunk(12, 4, 40, ARCH)
    assert [(whole.first_filter, whole.filters) for whole, _ in parts] == [(0, 16), (16, 16), (32, 8)]
    for whole, fewer in parts:
        assert (whole.stationary, whole.only) == (Stationary.FILTERS, Only.ALL)
        assert (fewer.stationary, fewer.only) == (Stationary.PIXELS, Only.FEWER)
        assert (whole.first_filter, whole.filters, whole.pixels) == (fewer.first_filter, fewer.filters, fewer.pixels)
        assert whole.pixels == 48


def test_tiles_that_fill_the_columns_stand_in_any_case() -> None:
    """As many cycles as standing filters, for 16 of them, whatever the number of tiles."""
    parts = split_live_chunk(3, 16, 40, ARCH)
    assert [(part.stationary, part.only, part.filters) for (part,) in parts] == [
        (Stationary.PIXELS, Only.ALWAYS, filters) for filters in (16, 16, 8)
    ]


@pytest.mark.parametrize(
    ("depth", "ways"),
    [
        (30, [(Stationary.FILTERS, Only.ALWAYS)]),
        (31, [(Stationary.FILTERS, Only.ALL), (Stationary.PIXELS, Only.FEWER)]),
        (32, [(Stationary.PIXELS, Only.ALWAYS)]),
    ],
)
def test_pixels_stand_for_as_many_filters_as_have_room(depth: int, ways: list[tuple[Stationary, Only]]) -> None:
    """A tile that fills the columns, 32 filters: an accumulator entry for each that streams past."""
    parts = both_ways(1, 16, 0, 32, replace(ARCH, accumulator_depth=depth))
    assert [(part.stationary, part.only) for part in parts] == ways

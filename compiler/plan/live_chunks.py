"""How a product is cut whose tiles and filters only the machine knows: it may find any number of both in its tables.

The chunks of a replayed program shrink towards the end of the list, and its operands stand still as it is best for the
counts that it was compiled for. Here the list may end anywhere, so the chunks are those that take the array the fewest
cycles on average, were every count as likely as any other; and which operand stands still the machine chooses.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from gatewright.compiler.plan.tile_sets import TileSet
from gatewright.compiler.plan.tiling import PATCH_SHARE, Part, pieces_of_sizes
from gatewright.contract.arch import ArchConfig
from gatewright.contract.isa import Only, Stationary
from gatewright.contract.timing import ACCUMULATOR_LATENCY

EMPTY_INSTRUCTIONS = 30
"""Cycles that the instructions of a block of filters take in their units in a chunk behind the list's end, where no
product hides them: EPILOGUE's are done one after the other."""

DRAIN_CYCLES = 5
"""Cycles of a product's end for each pixel of its last chunk: its epilogues, and what waits for them."""


def split_live_chunk(tiles: int, area: int, filters: int, arch: ArchConfig) -> list[tuple[Part, ...]]:
    """Cut a chunk of so many tiles of ``area`` pixels, of a product of which a table picks the filters.

    It picks ``filters`` at most. Each block of them comes in the ways of ``both_ways``.
    """
    firsts = range(0, filters, arch.columns)
    return [both_ways(tiles, area, first, min(arch.columns, filters - first), arch) for first in firsts]


def both_ways(tiles: int, area: int, first: int, filters: int, arch: ArchConfig) -> tuple[Part, ...]:
    """A chunk by a block of filters, of which the table fills all or a part.

    There are two ways, of which one has work: filters stand still if the table fills the block, pixels do if it does
    not. One alone is left if the other has no room, or if pixels are as good for a full block: where tiles fill the
    array's columns no list leaves any empty.
    """
    pixels = tiles * area
    whole = Part(Stationary.FILTERS, 0, pixels, first, filters, Only.ALL)
    fewer = replace(whole, stationary=Stationary.PIXELS, only=Only.FEWER)
    columns = -(-pixels // arch.columns)
    if columns * (filters - 1) > arch.accumulator_depth:
        return (replace(whole, only=Only.ALWAYS),)
    if area % arch.columns == 0 and columns * filters <= arch.accumulator_depth:
        return (replace(fewer, only=Only.ALWAYS),)
    return whole, fewer


def live_chunks(tiles: TileSet, slices: int, filters: int, arch: ArchConfig) -> list[tuple[int, int]]:
    """Cut a list of tiles into (first, count) chunks, for a product whose filters a table picks."""
    return pieces_of_sizes(list(_sizes(len(tiles), tiles.area, slices, filters, arch)))


@lru_cache(maxsize=256)
def _sizes(tiles: int, area: int, slices: int, filters: int, arch: ArchConfig) -> tuple[int, ...]:
    """Tiles of each chunk: the shortest path through the places at which the list may be cut."""
    limit = max(1, min(arch.patch_words // PATCH_SHARE // slices, arch.accumulator_depth) // area)
    blocks = -(-filters // arch.columns)
    found = [divmod(count, arch.columns) for count in range(1, filters + 1)]
    whole = sum(full for full, _ in found)
    streamed = sum(max(rest, ACCUMULATOR_LATENCY) for _, rest in found if rest)

    def products(pixels: int) -> int:
        """The array's cycles per slice, summed over all counts of filters."""
        return whole * max(pixels, arch.columns) + -(-pixels // arch.columns) * streamed

    def cost(first: int, end: int) -> int:
        """Of a chunk, summed over all lengths of the list and counts of filters: its products, its instructions if it
        is empty, and what shows of its epilogue if it is the last that is not."""
        total = 0
        for length in range(tiles + 1):
            pixels = max(0, min(length, end) - first) * area
            if not pixels:
                total += filters * EMPTY_INSTRUCTIONS * blocks
                continue
            total += slices * products(pixels) + (filters * DRAIN_CYCLES * pixels if length <= end else 0)
        return total

    best: list[tuple[int, tuple[int, ...]]] = [(0, ())]
    for end in range(1, tiles + 1):
        value, first = min((best[first][0] + cost(first, end), first) for first in range(max(0, end - limit), end))
        best.append((value, (*best[first][1], end - first)))
    return best[tiles][1]

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

INSTRUCTIONS = 10
"""Cycles that the instructions of a block of filters take in their units, in a chunk that has pixels."""

EMPTY_INSTRUCTIONS = 30
"""The same in a chunk behind the list's end, where no product hides them: EPILOGUE's are done one after the other."""

GATHER_CYCLES = 2
"""Cycles of a product's begin for each pixel of its first chunk, which the array waits for."""


DRAIN_CYCLES = 5
"""Cycles of a product's end for each pixel of its last chunk: its epilogues, and what waits for them."""


def split_live_chunk(pixels: int, filters: int, arch: ArchConfig) -> list[tuple[Part, ...]]:
    """Cut a chunk of a product of which a table picks the filters, ``filters`` at most.

    Each block of filters comes in two ways, of which one has work: filters stand still if the table fills the block,
    pixels do if it does not.
    """
    firsts = range(0, filters, arch.columns)
    return [both_ways(pixels, first, min(arch.columns, filters - first), arch) for first in firsts]


def both_ways(pixels: int, first: int, filters: int, arch: ArchConfig) -> tuple[Part, ...]:
    """A chunk by a block of filters, of which the table fills all or a part; in one way, if the other has no room."""
    whole = Part(Stationary.FILTERS, 0, pixels, first, filters, Only.ALL)
    if -(-pixels // arch.columns) * (filters - 1) > arch.accumulator_depth:
        return (replace(whole, only=Only.ALWAYS),)
    return whole, replace(whole, stationary=Stationary.PIXELS, only=Only.FEWER)


def live_chunks(tiles: TileSet, slices: int, filters: int, arch: ArchConfig) -> list[tuple[int, int]]:
    """Cut a list of tiles into (first, count) chunks, for a product whose filters a table picks."""
    return pieces_of_sizes(list(_sizes(len(tiles), tiles.area, slices, filters, arch)))


@lru_cache(maxsize=256)
def _sizes(tiles: int, area: int, slices: int, filters: int, arch: ArchConfig) -> tuple[int, ...]:
    """Tiles of each chunk: the shortest path through the places at which the list may be cut."""
    limit = max(1, min(arch.patch_words // PATCH_SHARE // slices, arch.accumulator_depth) // area)
    blocks = -(-filters // arch.columns)
    whole, rest = divmod(-(-filters // 2), arch.columns)
    """Of the filters half are there."""

    def products(pixels: int) -> int:
        """The array's cycles per slice."""
        streamed = -(-pixels // arch.columns) * max(rest, ACCUMULATOR_LATENCY) if rest else 0
        return whole * max(pixels, arch.columns) + streamed

    def cost(first: int, end: int) -> int:
        """Of a chunk, summed over all lengths of the list: its products, its instructions, and what shows of its
        gather, if it is the first one, or of its epilogue, if it is the last."""
        total = 0 if first else (tiles + 1) * GATHER_CYCLES * end * area
        for length in range(tiles + 1):
            pixels = max(0, min(length, end) - first) * area
            if not pixels:
                total += EMPTY_INSTRUCTIONS * blocks
                continue
            total += slices * products(pixels) + INSTRUCTIONS * blocks + (DRAIN_CYCLES * pixels if length <= end else 0)
        return total

    best: list[tuple[int, tuple[int, ...]]] = [(0, ())]
    for end in range(1, tiles + 1):
        value, first = min((best[first][0] + cost(first, end), first) for first in range(max(0, end - limit), end))
        best.append((value, (*best[first][1], end - first)))
    return best[tiles][1]

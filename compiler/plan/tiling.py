"""Which pixels go together, and which operand stands still: the mapping of one layer.

Pure arithmetic on sizes; nothing here knows about instructions.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from gatewright.compiler.plan.filters import Slices, growing_pieces, pieces_of
from gatewright.compiler.plan.layout import padded_vectors
from gatewright.compiler.plan.tile_sets import TileSet
from gatewright.contract.arch import ArchConfig
from gatewright.contract.errors import GatewrightError
from gatewright.contract.isa import Only, Stationary
from gatewright.contract.timing import ACCUMULATOR_LATENCY

PATCH_SHARE = 3
"""A piece of a product takes one in so many words of the patch buffer: one is multiplied, two are gathered ahead."""

PIECE_UNIT = 3
"""Slices that GATHER moves in a cycle."""

PIECE_GROWTH = 3.0
"""How patches that the array waits for grow from piece to piece: it takes three times as long as GATHER."""

SHORT_SLICES = 2
"""Slices of a product for which the array takes little longer than its neighbours."""


@dataclass(frozen=True)
class Part:
    """One MATMUL and its EPILOGUE: a range of a chunk's pixels by a range of filters."""

    stationary: Stationary
    first_pixel: int
    pixels: int
    first_filter: int
    filters: int
    only: Only = Only.ALWAYS


@lru_cache(maxsize=4096)
def split_chunk(
    pixels: int,
    filters: int,
    arch: ArchConfig,
    indirect: bool,
    filters_only: bool,
    capacity: int,
    pixels_only: bool = False,
) -> tuple[Part, ...]:
    """Cut a chunk's pixel x filter rectangle into parts with the fewest array cycles per slice.

    The candidates: filters stand still; pixels stand still; whole blocks of filters stand still and
    the remaining filters stream past standing pixels; and the same the other way round. ``indirect``
    filters load one vector a cycle; ``filters_only`` forbids standing pixels (residual, pooling), ``pixels_only``
    standing filters (planes);
    ``capacity`` bounds the streamed vectors (accumulator entries).
    """
    columns = arch.columns
    whole_filters, whole_pixels = filters // columns * columns, pixels // columns * columns
    candidates = [[(Stationary.FILTERS, 0, pixels, 0, filters)]]
    if not filters_only:
        candidates.append([(Stationary.PIXELS, 0, pixels, 0, filters)])
        if 0 < whole_filters < filters:
            candidates.append(
                [
                    (Stationary.FILTERS, 0, pixels, 0, whole_filters),
                    (Stationary.PIXELS, 0, pixels, whole_filters, filters - whole_filters),
                ]
            )
        if 0 < whole_pixels < pixels:
            candidates.append(
                [
                    (Stationary.PIXELS, 0, whole_pixels, 0, filters),
                    (Stationary.FILTERS, whole_pixels, pixels - whole_pixels, 0, filters),
                ]
            )
    if pixels_only:
        candidates = [[(Stationary.PIXELS, 0, pixels, 0, filters)]]
    best = min(candidates, key=lambda parts: sum(_cycles(part, arch, indirect) for part in parts))
    return tuple(piece for part in best for piece in _blocks(part, columns, capacity))


def _cycles(part: tuple[Stationary, int, int, int, int], arch: ArchConfig, indirect: bool) -> int:
    """Array cycles per slice."""
    stationary, _, pixels, _, filters = part
    still, stream = (filters, pixels) if stationary == Stationary.FILTERS else (pixels, filters)
    total = 0
    for first in range(0, still, arch.columns):
        block = min(arch.columns, still - first)
        slow = indirect and stationary == Stationary.FILTERS
        load = block if slow else -(-block // arch.load_vectors)
        total += max(stream, ACCUMULATOR_LATENCY, load)
    return total


def _blocks(part: tuple[Stationary, int, int, int, int], columns: int, capacity: int) -> list[Part]:
    """One block of the stationary operand per part, so that the epilogue follows closely."""
    stationary, first_pixel, pixels, first_filter, filters = part
    if stationary == Stationary.FILTERS:
        steps = (capacity, columns)
    else:
        steps = (columns, capacity)
    return [
        Part(
            stationary,
            first_pixel + p,
            min(steps[0], pixels - p),
            first_filter + f,
            min(steps[1], filters - f),
        )
        for p in range(0, pixels, steps[0])
        for f in range(0, filters, steps[1])
    ]


def chunks(tiles: TileSet, slices: int, arch: ArchConfig, patch_words: int, eager: bool) -> list[tuple[int, int]]:
    """Cut a tile list into (first, count) chunks that are gathered, multiplied and written in turn.

    Sizes grow from one block of pixels (the array starts early, and the gather of a chunk hides
    behind the product of the one before) and shrink to one block again (the epilogue of a chunk
    hides behind the product of the next, and what waits for the layer waits briefly). Chunks are
    larger where the reduction is short. They grow faster in a product like the stem's, whose results wait for port B
    until the image is loaded: the accumulator banks hold more pixels so. ``eager`` halves the first and the last: worth
    it where filters load fast. Rows of a tile are a range of pixels in a chunk of that tile alone.
    """
    if tiles.height is not None:
        return pieces_of_sizes([1] * len(tiles))
    block = max(arch.columns, 16)
    limit = max(1, min(patch_words // 4 // slices, arch.accumulator_depth) // tiles.area)
    largest = min(limit, max(1, block * max(1, min(8, 64 // slices)) // tiles.area))
    smallest = min(limit, max(1, block // tiles.area))
    total = len(tiles)
    if total < 2 * smallest:
        return pieces_of_sizes(_evenly(total, -(-total // limit)))
    edge = max(1, smallest // 2) if eager else smallest
    head, tail = [edge], [edge]
    left = total - head[0] - tail[0]
    growth = 3 if slices <= SHORT_SLICES and tiles.table is None else 2
    growing, shrinking = growth * smallest, 3 * smallest
    while True:
        if growing < largest and growing <= left:
            head.append(growing)
            left, growing = left - growing, growth * growing
        elif shrinking < largest and shrinking <= left:
            tail.append(shrinking)
            left, shrinking = left - shrinking, 3 * shrinking
        else:
            break
    middle: list[int] = []
    if 0 < left < smallest and head[-1] + left <= limit:
        head[-1] += left
    elif left > 0:
        count = max(-(-left // limit), min(-(-left // largest), max(1, left // smallest)))
        middle = _evenly(left, count)
    return pieces_of_sizes(head + middle + tail[::-1])


def _evenly(total: int, count: int) -> list[int]:
    """``count`` sizes that sum up to ``total`` and differ by 1 at most."""
    return [total * (n + 1) // count - total * n // count for n in range(count)]


def pieces_of_sizes(sizes: list[int]) -> list[tuple[int, int]]:
    """Consecutive (first, count) pairs."""
    starts = np.cumsum([0, *sizes[:-1]])
    return [(int(first), count) for first, count in zip(starts, sizes, strict=True) if count > 0]


def even_chunks(
    tiles: TileSet, arch: ArchConfig, slices: int, pixels: int, share: int = PATCH_SHARE
) -> list[tuple[int, int]]:
    """Cut a tile list into few chunks of about one size, as an accumulator bank and a share of the patch buffer allow.

    They have at most ``pixels``, or a tile. ``slices`` is what is gathered of a chunk at once. For products that add up
    piece by piece it is little: a long stream of pixels costs no more patch buffer, only shorter pieces.
    """
    limit = min(arch.accumulator_depth // tiles.pixels, arch.patch_words // (share * slices) // tiles.area)
    if not limit:
        raise GatewrightError(
            f"arch {arch.name}: a tile of {tiles.area} pixels needs {tiles.pixels} accumulator entries and "
            f"{share * slices * tiles.area} words of the patch buffer; raise accumulator_depth or patch_kib"
        )
    limit = max(1, min(limit, pixels // tiles.pixels))
    return pieces_of_sizes(_evenly(len(tiles), len(tiles) if tiles.height else -(-len(tiles) // limit)))


def shrinking(chunks: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The chunks, the last one cut into halves, the second half again, down to a tile.

    What waits for the layer waits for the epilogue of the last chunk, and so briefly.
    """
    *others, (first, count) = chunks
    while count > 1:
        others.append((first, count - count // 2))
        first, count = first + count - count // 2, count // 2
    return [*others, (first, count)]


def first_pieces(tiles: TileSet, slices: int, unit: int = 1) -> tuple[Slices, ...]:
    """The pieces in which a product's first patches are gathered: whole, but where the array waits for picked tiles.

    They begin at multiples of ``unit`` slices.
    """
    if tiles.table is None:
        return (Slices(0, slices),)
    unit = PIECE_UNIT if unit == 1 else unit
    return growing_pieces(slices, slices, unit, max(unit, PIECE_UNIT), PIECE_GROWTH)


def patch_share(unit: int, slices: int, area: int, patch_words: int) -> int:
    """One in how many words of the patch buffer a piece of a product takes, if pieces are multiples of ``unit`` slices.

    ``PATCH_SHARE`` if a tile's pixels have room in it, else the most in which they have.
    """
    words = min(unit, slices) * padded_vectors(area)
    return next((share for share in range(PATCH_SHARE, 1, -1) if share * words <= patch_words), 1)


def patch_pieces(
    loaded: Slices, slices: int, vectors: int, patch_words: int, unit: int = 1, share: int = PATCH_SHARE
) -> list[Slices]:
    """Pieces of the first ``slices`` slices that lie in ``loaded``, each of at most a share of the patch buffer.

    They begin at multiples of ``unit`` slices from the first on.
    """
    count = min(loaded.count, slices - loaded.first)
    most = patch_words // share // vectors
    unit = min(PIECE_UNIT, max(most, 1)) if unit == 1 else unit
    return [Slices(loaded.first + piece.first, piece.count) for piece in pieces_of(max(count, 0), most, unit)]


def whole_part(
    pixels: int, filters: int, arch: ArchConfig, filters_only: bool, indirect: bool = False, pixels_only: bool = False
) -> Part:
    """A chunk by few filters as one part: the operand stands still that takes the array fewer cycles."""
    parts = [Part(Stationary.FILTERS, 0, pixels, 0, filters)]
    fits = -(-pixels // arch.columns) * filters <= arch.accumulator_depth
    if pixels_only:
        assert fits
        parts = []
    if fits and not filters_only:
        parts.append(Part(Stationary.PIXELS, 0, pixels, 0, filters))
    return min(parts, key=lambda p: _cycles((p.stationary, 0, p.pixels, 0, p.filters), arch, indirect))

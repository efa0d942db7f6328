"""The mapping of a layer: parts that cover a chunk, chunks that cover a tile list, within the machine's limits."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from gatewright.compiler.plan.tile_sets import TileSet, all_tiles, listed_tiles
from gatewright.compiler.plan.tiling import chunks, even_chunks, first_pieces, shrinking, split_chunk
from gatewright.contract.arch import PRESETS, ArchConfig
from gatewright.contract.encodings import COORDINATE_BITS
from gatewright.contract.isa import Stationary

arches = st.builds(
    ArchConfig,
    rows=st.integers(4, 16),
    columns=st.integers(4, 32),
    load_vectors=st.sampled_from([1, 2, 4]),
    accumulator_depth=st.integers(16, 1024),
)


def array_cycles(stationary: Stationary, pixels: int, filters: int, arch: ArchConfig, indirect: bool) -> int:
    """Cycles of one slice of one MATMUL by section 5 of the architecture: the larger of stream and load, at least 4."""
    still, stream = (filters, pixels) if stationary == Stationary.FILTERS else (pixels, filters)
    total = 0
    while still > 0:
        block = min(still, arch.columns)
        one_by_one = indirect and stationary == Stationary.FILTERS
        total += max(stream, 4, block if one_by_one else -(-block // arch.load_vectors))
        still -= block
    return total


@settings(deadline=None, max_examples=300)
@given(st.integers(1, 300), st.integers(1, 130), arches, st.booleans(), st.booleans(), st.integers(16, 512))
def test_parts_cover_every_pixel_and_filter_once(
    pixels: int, filters: int, arch: ArchConfig, indirect: bool, filters_only: bool, capacity: int
) -> None:
    parts = split_chunk(pixels, filters, arch, indirect, filters_only, capacity)
    covered = np.zeros((pixels, filters), int)
    for part in parts:
        area = covered[part.first_pixel :, part.first_filter :][: part.pixels, : part.filters]
        assert area.shape == (part.pixels, part.filters) and area.size > 0
        area += 1
        still, stream = part.filters, part.pixels
        if part.stationary == Stationary.PIXELS:
            assert not filters_only
            still, stream = stream, still
        assert still <= arch.columns and stream <= capacity
    assert (covered == 1).all()


@settings(deadline=None, max_examples=300)
@given(st.integers(1, 300), st.integers(1, 130), arches, st.booleans(), st.booleans())
def test_a_split_is_never_slower_than_the_plain_mapping(
    pixels: int, filters: int, arch: ArchConfig, indirect: bool, filters_only: bool
) -> None:
    parts = split_chunk(pixels, filters, arch, indirect, filters_only, 1024)
    chosen = sum(array_cycles(part.stationary, part.pixels, part.filters, arch, indirect) for part in parts)
    assert chosen <= array_cycles(Stationary.FILTERS, pixels, filters, arch, indirect)
    if not filters_only:
        assert chosen <= array_cycles(Stationary.PIXELS, pixels, filters, arch, indirect)


def test_neither_few_filters_nor_few_pixels_are_rounded_up() -> None:
    arch = ArchConfig()
    for pixels, filters, cycles in (
        (256, 4, 16 * 4),
        (4, 256, 16 * 4),
        (256, 20, 256 + 16 * 4),
        (20, 256, 256 + 16 * 4),
    ):
        parts = split_chunk(pixels, filters, arch, False, False, 512)
        assert sum(array_cycles(p.stationary, p.pixels, p.filters, arch, False) for p in parts) == cycles


def tile_set(tiles: int, tile: int) -> TileSet:
    return TileSet(tile, None, np.arange(tiles) * tile)


@settings(deadline=None, max_examples=400)
@given(st.integers(1, 2000), st.sampled_from([1, 2, 4, 8]), st.integers(1, 80), arches, st.booleans())
def test_chunks_follow_one_another_and_fit(tiles: int, tile: int, slices: int, arch: ArchConfig, eager: bool) -> None:
    pieces = chunks(tile_set(tiles, tile), slices, arch, arch.patch_words, eager)
    end = 0
    for first, count in pieces:
        assert first == end and count > 0
        end += count
    assert end == tiles
    largest = max(count for _, count in pieces)
    pixels = largest * tile * tile
    # Less than a tile there is not: whether that fits is checked where it is gathered and multiplied.
    assert largest == 1 or (pixels <= arch.accumulator_depth and pixels * slices <= arch.patch_words // 4)


def test_tiles_in_raster_order_with_their_first_rows() -> None:
    tiles = all_tiles(9, 6, 4)
    assert (len(tiles), tiles.area, tiles.table) == (6, 16, None)
    assert tiles.rows.tolist() == [0, 0, 4, 4, 8, 8]
    listed = listed_tiles(np.array([0x0003, 0x0200, 0x0A01], np.uint16), 2, 5)
    assert (listed.rows.tolist(), listed.table, listed.area) == ([0, 4, 20], 5, 4)


def test_rows_that_cut_tiles() -> None:
    listed = listed_tiles(np.array([0x0003, 0x0101, 0x0102, 0x0300], np.uint16), 4, 5)
    found = [(t.start, len(t), t.top, t.height, t.first_pixel, t.pixels) for t in listed.cut_to(2, 14)]
    assert found == [(3, 1, 0, 2, 0, 8), (1, 2, 0, None, 0, 16), (0, 1, 2, 2, 8, 8)]
    (lower,) = listed.cut_to(3, 4)
    assert (lower.span(0, 1), lower.pixels, lower.area) == ((3, 4), 4, 16)
    assert chunks(listed.cut_to(4, 6)[0], 1, PRESETS["ultra96"], 4096, False) == [(0, 1), (1, 1)]


@settings(deadline=None, max_examples=200)
@given(st.integers(1, 300))
def test_first_pieces_cover_every_slice_once_and_the_first_takes_a_cycle_a_pixel(slices: int) -> None:
    picked = listed_tiles(np.arange(4, dtype=np.uint16), 2, table=3)
    pieces = first_pieces(picked, slices)
    assert [n for piece in pieces for n in range(piece.first, piece.first + piece.count)] == list(range(slices))
    assert pieces[0].count * 16 <= 48 or slices == pieces[0].count < 6
    (whole,) = first_pieces(all_tiles(8, 8, 2), slices)
    assert (whole.first, whole.count) == (0, slices)


@settings(deadline=None, max_examples=200)
@given(st.integers(1, 60), st.sampled_from([1, 2, 4]), st.integers(1, 100))
def test_even_chunks_cover_every_tile_once_within_the_pixels(edge: int, tile: int, pixels: int) -> None:
    tiles, arch = all_tiles(edge, edge, tile), PRESETS["ultra96"]
    pieces = even_chunks(tiles, arch, 3, pixels)
    assert [n for first, count in pieces for n in range(first, first + count)] == list(range(len(tiles)))
    assert all(count == 1 or count * tile * tile <= pixels for _, count in pieces)


def test_rows_of_a_live_list_reach_to_the_end_of_their_tiles() -> None:
    """A grid of 4x4 tiles of 4 pixels: whatever is active, parts of tiles end where they are cut, others with tiles."""
    every = np.array([y << COORDINATE_BITS | x for y in range(4) for x in range(4)], np.uint16)
    tiles = listed_tiles(every, 4, table=1, bottom=16)
    assert [tiles.rows_of(*rows).gate_rows for rows in ((0, 5), (4, 12))] == [(0, 2), (1, 3)]
    assert [tiles.rows_of(*rows).span(0, 4) for rows in ((0, 5), (4, 12))] == [(0, 8), (4, 12)]
    cut = tiles.cut_to(3, 9)
    assert [(part.gate_rows, part.span(0, 4)) for part in cut] == [((2, 3), (8, 9)), ((1, 2), (4, 8)), ((0, 1), (3, 4))]
    assert [(part.first_pixel, part.pixels) for part in cut] == [(0, 4), (0, 16), (12, 4)]


def test_the_last_chunk_is_cut_into_halves_down_to_a_tile() -> None:
    assert shrinking([(0, 4), (4, 7)]) == [(0, 4), (4, 4), (8, 2), (10, 1)]
    assert shrinking([(0, 1)]) == [(0, 1)]
